package lsm

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/epoch"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// store is what all parts of an open store use.
type store struct {
	options Options
	fs      vfs.FS
	dir     string
	id      uint64
	cache   *cache
	// domain is who reads without a lock.
	domain epoch.Domain
	// lastFile is the highest number that a file has.
	lastFile atomic.Uint64
	files    openFiles
	// mostBlock is how large a block may be.
	mostBlock int64
	// tableMemory is what the open tables take, beside their blocks.
	tableMemory atomic.Int64
}

// newFile returns the number of a file to be made.
func (s *store) newFile() uint64 { return s.lastFile.Add(1) }

// Engine is an open store. Open makes one.
type Engine struct {
	store
	log    *wal.Log
	lock   io.Closer
	life   lifetime.Lifetime
	closed atomic.Bool

	// state is what readers see, up to the version visible.
	state   atomic.Pointer[state]
	visible atomic.Uint64
	// spare is the memory of a memtable that was, for the next one.
	spare atomic.Pointer[memtable]

	// mu puts commits in order, of the log and of the memtable alike. It guards all up
	// to counters.
	mu sync.Mutex
	// snapshots are the versions that snapshots see, ascending, and how many see each.
	snapshots []held
	families  map[string]engine.FamilyID
	known     map[engine.FamilyID]bool
	// clearing are families that were dropped, of which something may still be there.
	clearing map[engine.FamilyID]bool
	// failed is why no write can be trusted any more. flushTrouble is why the last flush
	// could not be made, mergeTrouble why the last merge could not: they are tried again,
	// and commits that need it to succeed get the error of an attempt that began after them.
	failed                     error
	flushTrouble, mergeTrouble trouble
	// changed is signalled when the queue, failed or a trouble have changed.
	changed *sync.Cond
	pace    pace

	// installing puts changes of the manifest in order, and of the levels. It is taken
	// before mu.
	installing sync.Mutex
	manifest   manifest
	nextFamily engine.FamilyID
	// manifestVersion and manifestSequence are how far all is in tables.
	manifestVersion, manifestSequence uint64
	// logBegun says that the manifest tells of the log.
	logBegun bool

	// flushing is held while a memtable is written to a table, compacting while tables
	// are merged. They are taken before installing.
	flushing, compacting sync.Mutex
	// cursor is where the next merge of the top begins; compacting guards it.
	cursor []byte

	background background
	counters   counters
}

// background are the goroutines that flush, compact, and take memory ahead of its use. Nil
// channels if there are none.
type background struct {
	flush, compact, memory chan struct{}
	stop                   chan struct{}
	done                   sync.WaitGroup
	// paused keeps compaction from beginning, for tests.
	paused atomic.Bool
}

// counters are what Metrics tells.
type counters struct {
	applied, flushed, compacted, values, compactionRead atomic.Uint64
	flushes, compactions, moves                         atomic.Uint64
	stalls                                              atomic.Uint64
	stallTime, longestStall                             atomic.Int64
	flushTime, compactTime                              atomic.Int64
}

var traits = engine.Traits{
	Name:        "lsm",
	Version:     fmt.Sprintf("Orbit LSM-tree, format %d", formatVersion),
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
	Logged:      true,
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits { return traits }

// LastSequence implements engine.Sequenced.
func (e *Engine) LastSequence() uint64 { return e.visible.Load() }

// Close implements engine.Engine. What is in memory is written to tables before, so that
// the next opening has nothing to replay.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return engine.ErrClosed
	}
	return e.life.Close(e.release)
}

// release ends everything, when nobody uses it any more.
func (e *Engine) release() error {
	e.stopBackground()
	err := e.flushAtClose()
	return errors.Join(err, e.letGo())
}

// letGo releases what is held, whatever there is of it.
func (e *Engine) letGo() error {
	e.domain.Wait()
	var errs []error
	if st := e.state.Swap(nil); st != nil {
		e.releaseState(st)
		e.domain.Wait()
	}
	e.spare.Swap(nil).free()
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	if e.manifest.log != nil {
		errs = append(errs, e.manifest.log.Close())
	}
	if e.cache != nil {
		errs = append(errs, e.cache.release())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
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

// readFull reads as much as there is, up to the length of b.
func readFull(f vfs.File, b []byte) (int, error) {
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// since adds the time since a moment to a counter.
func since(start time.Time, to *atomic.Int64) { to.Add(int64(time.Since(start))) }
