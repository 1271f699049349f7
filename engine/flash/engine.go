package flash

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/epoch"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Engine is an open store. Open makes one.
type Engine struct {
	options Options
	// fs has the files. With several paths each call has a deadline, so that nothing waits
	// for one that hangs; deadline is the same then, else nil.
	fs       vfs.FS
	devices  devices
	deadline *vfs.DeadlineFS
	id       uint64 // of the store
	// buffered: there is no direct I/O, and Options.PageCache allows for that.
	buffered atomic.Bool
	// ringRefused is why reads are blocking calls although there might be a ring.
	ringRefused error
	log         *wal.Log
	paths       []*path
	// change is closed when a path is not as it was; nil if nobody asked. Guarded by
	// changeMu.
	changeMu sync.Mutex
	change   chan struct{}
	cache    *cache
	life     lifetime.Lifetime
	closed   atomic.Bool
	// domain is who reads without a lock.
	domain epoch.Domain

	// index is written under mu, and read by anyone. visible is the newest commit in it.
	index   *tree
	visible atomic.Uint64

	// segments are those of the log, by the low half of their numbers. They are changed
	// under mu and segmentsMu, and read under either.
	segmentsMu sync.RWMutex
	segments   map[uint32]*segment

	// mu puts commits in order, of the log and of the index alike. It guards all up to
	// counters.
	mu      sync.Mutex
	current *segment // the one that was written to last
	// applied is the last record of the log that is in the index.
	applied uint64
	// pins are the records after which states are held, and by how many.
	pins  []pin
	dead  []*segment // with nothing of use in the newest state
	live  int64      // weight of all that is of use
	total int64      // bytes of the segments that are not dead
	// mayFree says that some of the dead ones may be given back, stuck that cleaning has
	// found no more to do.
	mayFree, stuck bool
	families       map[string]engine.FamilyID
	known          map[engine.FamilyID]bool
	// nextFamily is the number of the next family.
	nextFamily engine.FamilyID
	// batch is what is on its way into the index.
	batch batchChange
	// loads are the parts of bulk loads that are not in sight yet, by their first record.
	loads map[uint64]*load
	// logged is how much was logged since the last checkpoint, checkpointed what that
	// has, and how large it is.
	logged         int64
	checkpointed   uint64
	checkpointSize int64
	checkpointKeys int64
	// failed is why no write can be trusted any more; trouble why the background could not do
	// its work.
	failed, trouble error
	// changed is signalled when there is more room, or something has failed.
	changed *sync.Cond
	// behind says that cleaning is too far behind, so that writers wait.
	behind bool

	// checkpointing is held while a checkpoint is written, cleaning while a segment is
	// cleaned. They are taken before mu.
	checkpointing, cleaning sync.Mutex
	// unflushed is how much cleaning has moved since it flushed by itself. Guarded by cleaning.
	unflushed int

	background background
	counters   counters
	tries      tries
}

// counters are what Metrics tells.
type counters struct {
	applied, moved, checkpointBytes atomic.Uint64
	reads, readBytes                atomic.Uint64
	checkpoints, cleaned, freed     atomic.Uint64
	stalls                          atomic.Uint64
	stallTime                       atomic.Int64
	repaired, hedged, damaged       atomic.Uint64
	resyncs, resynced               atomic.Uint64
}

var traits = engine.Traits{
	Name:        "flash",
	Version:     fmt.Sprintf("Orbit flash, format %d", formatVersion),
	Durability:  engine.DurabilityOf(engine.Memory, engine.Buffered, engine.Flushed),
	Persistent:  true,
	Checkpoint:  true,
	Compact:     true,
	Limits:      engine.DefaultLimits(),
	MultiGet:    true,
	Families:    true,
	Conditional: true,
	Sequenced:   true,
	Ingest:      true,
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits { return traits }

// LastSequence implements engine.Sequenced.
func (e *Engine) LastSequence() uint64 { return e.visible.Load() }

// Close implements engine.Engine. It writes a checkpoint first, so that the next opening
// has nothing to replay.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return engine.ErrClosed
	}
	return e.life.Close(e.release)
}

// release ends everything, when nobody uses it any more.
func (e *Engine) release() error {
	e.background.end()
	err := e.checkpointAtClose()
	return errors.Join(err, e.letGoAll())
}

// checkpointAtClose writes a checkpoint if there is something new, and the store can be
// written to. One that fails for want of room is not missed: the log has everything.
func (e *Engine) checkpointAtClose() error {
	e.mu.Lock()
	failed, idle := e.failed, e.applied == e.checkpointed
	e.mu.Unlock()
	if failed != nil {
		return failed
	}
	if idle {
		return nil
	}
	if err := e.checkpoint(context.Background()); err != nil && !harmless(err) {
		return err
	}
	return nil
}

// letGoAll releases what is held, whatever there is of it.
func (e *Engine) letGoAll() error {
	e.domain.Retire(func() {})
	e.domain.Wait()
	var errs []error
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	for _, p := range e.paths {
		e.closeFilesIn(p)
	}
	if e.cache != nil {
		errs = append(errs, e.cache.release())
	}
	for _, p := range e.paths {
		if p.ring != nil {
			errs = append(errs, p.ring.Close())
		}
		errs = append(errs, p.giveUp())
	}
	err := e.devices.close()
	if len(e.present()) == len(e.paths) { // as with giveUp
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// enter begins a call that may wait; life.Exit ends it.
func (e *Engine) enter() error { return e.life.Enter() }

// fail makes the engine read-only for good. Under mu.
func (e *Engine) fail(cause error) error {
	if e.failed == nil {
		e.failed = fmt.Errorf("%w: reopen after the device is mended: %w", engine.ErrReadOnly, cause)
	}
	e.changed.Broadcast()
	return e.failed
}

// judge makes the engine read-only if an error means that.
func (e *Engine) judge(err error) error {
	if errors.Is(err, engine.ErrReadOnly) {
		e.mu.Lock()
		err = e.fail(err)
		e.mu.Unlock()
	}
	return err
}
