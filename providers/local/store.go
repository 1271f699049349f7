package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Options say how a store uses its engine. The zero value commits Flushed.
type Options struct {
	// Backend is the selector under which the store is known; "" is the engine's
	// name.
	Backend string
	// Durability is the class of every commit; one that the engine does not have
	// is ErrUnsupported.
	Durability engine.Durability
	// Limits bound what the store holds.
	Limits Occupancy
	// Now is the clock; nil is the system's at opening, running monotonically.
	Now func() time.Time
	// Disk tells how full the device under the store is, in percent; nil where
	// there is none. Report calls it.
	Disk func() (float64, error)
	// Degraded tells what of the engine needs looking after, "" if nothing does; nil where
	// an engine has nothing to tell. Report calls it.
	Degraded func() string
	// NoNamedSnapshots hides those of an engine that has them.
	NoNamedSnapshots bool
	// FirstRevision is the least revision that may be given; 0 is 1. A store whose
	// state may go back, such as one restored from a backup, sets it above all that
	// was ever given.
	FirstRevision uint64
}

// reserve is the number of revisions that one write of the header takes.
const reserve = 1 << 20

// Store is a driver.Store over an engine, which it owns.
type Store struct {
	engine   engine.Engine
	multi    engine.MultiGetter // nil where the engine has none
	options  Options
	strong   engine.Durability
	caps     driver.Capabilities
	now      func() time.Time
	locks    *locks
	known    *known
	work     sync.Pool // of *work
	occupied *occupied // nil without limits

	revision atomic.Uint64 // the last that was given
	reserved atomic.Uint64 // the first that must not be given yet
	grow     sync.Mutex    // held while the header is written
	closed   atomic.Bool   // for what does not ask the engine

	// walks is held for reading while an iterator is open, so that Close waits.
	walks sync.RWMutex
}

// work is the memory of one commit.
type work struct {
	batch engine.Batch
	row   []byte
	// reads and writes are the hashes of the keys that the commit reads and writes.
	reads, writes []uint64
	// one is the writes of a commit of one.
	one [1]driver.Write
}

// release gives the memory back, without what is the caller's.
func (s *Store) release(k *work) {
	k.one[0] = driver.Write{}
	s.work.Put(k)
}

// New returns a store over e, which is its from now on; if New fails, e is the
// caller's still. Where the engine is no Checkpointer or Compacter, neither is the
// store.
func New(ctx context.Context, e engine.Engine, o Options) (driver.Store, error) {
	s, err := open(ctx, e, o)
	if err != nil {
		return nil, err
	}
	return s.declared(), nil
}

func open(ctx context.Context, e engine.Engine, o Options) (*Store, error) {
	traits := e.Traits()
	if err := engine.CheckDurability(traits.Durability, o.Durability); err != nil {
		return nil, err
	}
	s := &Store{engine: e, options: o, locks: newLocks(), known: new(known), now: o.Now}
	s.multi, _ = e.(engine.MultiGetter)
	s.strong, _ = traits.Durability.Strongest()
	s.work.New = func() any { return new(work) }
	if s.now == nil {
		start := time.Now()
		s.now = func() time.Time { return start.Add(time.Since(start)).Round(0) }
	}
	name := o.Backend
	if name == "" {
		name = traits.Name
	}
	s.caps = driver.Capabilities{
		Backend: name, Version: traits.Version, Durability: durabilities[o.Durability], Persistent: traits.Persistent,
		TTL: true, Fence: true, RangeReads: true,
		Limits: driver.Limits{
			MaxKeyBytes:     traits.Limits.MaxKeyBytes - overheadBytes,
			MaxValueBytes:   traits.Limits.MaxValueBytes - expiresHeader,
			MaxCommitWrites: 1 << 20,
			MaxCommitBytes:  traits.Limits.MaxBatchBytes / 2,
		},
		Commit: true, BatchGet: true, BulkPut: true, Snapshot: true, Clock: true, Expire: true, Report: true,
		Checkpoint: traits.Checkpoint, Compact: traits.Compact,
		// Those of an engine in memory are gone with it. Every other that names snapshots
		// does the rest, too.
		Named: traits.NamedSnapshots && traits.Persistent && traits.Checkpoint && traits.Compact && !o.NoNamedSnapshots,
	}
	// A commit of the largest size has room for what a row and its expiry add.
	s.caps.Limits.MaxCommitWrites = min(s.caps.Limits.MaxCommitWrites, traits.Limits.MaxBatchBytes/4/128)
	if err := s.load(ctx); err != nil {
		return nil, err
	}
	if o.Limits.limited() {
		var err error
		if s.occupied, err = s.count(ctx, o.Limits); err != nil {
			return nil, err
		}
	}
	return s, nil
}

var durabilities = map[engine.Durability]driver.Durability{
	engine.Memory: driver.InMemory, engine.Buffered: driver.SurvivesProcess, engine.Flushed: driver.SurvivesPower,
}

// load reads the header, and writes one into an empty store.
func (s *Store) load(ctx context.Context) error {
	data, err := s.engine.Get(headerKey, nil)
	if errors.Is(err, engine.ErrNotFound) {
		it, err := s.engine.NewIterator(engine.IterOptions{KeysOnly: true})
		if err != nil {
			return err
		}
		occupied := it.First()
		if err := it.Close(); err != nil {
			return err
		}
		if occupied {
			return fmt.Errorf("%w: the store holds entries and no header: it was written by something else than a provider", engine.ErrInvalid)
		}
		data = encodeNumber(headerVersion, 1)
		if err := s.writeHeader(ctx, 1); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	from, err := decodeNumber("header", headerVersion, data)
	if err != nil {
		return err
	}
	from = max(from, s.options.FirstRevision, 1)
	s.revision.Store(from - 1)
	s.reserved.Store(from)
	return nil
}

func (s *Store) writeHeader(ctx context.Context, reserved uint64) error {
	var b engine.Batch
	b.Put(headerKey, encodeNumber(headerVersion, reserved))
	return s.engine.Apply(ctx, &b, s.strong)
}

// nextRevision returns a number that was never given before.
func (s *Store) nextRevision(ctx context.Context) (uint64, error) {
	r := s.revision.Add(1)
	if r < s.reserved.Load() {
		return r, nil
	}
	s.grow.Lock()
	defer s.grow.Unlock()
	if r < s.reserved.Load() {
		return r, nil
	}
	if err := s.writeHeader(ctx, r+reserve); err != nil {
		return 0, fmt.Errorf("reserve revisions: %w", err)
	}
	s.reserved.Store(r + reserve)
	return r, nil
}

// Capabilities implements driver.Store.
func (s *Store) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store: the header can be read.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.engine.Get(headerKey, nil)
	return err
}

// Now implements driver.Clock.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	if s.closed.Load() {
		return time.Time{}, driver.ErrClosed
	}
	return s.now(), nil
}

// Close implements driver.Store. Snapshots should be closed before; where some are
// not, it is ErrInUse, and the store is released with the last of them.
func (s *Store) Close() error {
	s.walks.Lock()
	defer s.walks.Unlock()
	s.closed.Store(true)
	return s.engine.Close()
}

// Report implements driver.Reporter.
func (s *Store) Report() driver.Report {
	m := s.engine.Metrics()
	r := driver.Report{
		MemoryBytes: m.MemoryBytes, DiskBytes: m.DiskBytes, CompactionBacklog: m.CompactionDebtBytes, BacklogUnit: "bytes",
		CacheHits: m.CacheHits, CacheMisses: m.CacheMisses,
	}
	r.Details = details(&m)
	if s.occupied != nil {
		s.occupied.report(&r)
	}
	reasons := []string{r.Degraded}
	if s.options.Disk != nil {
		percent, err := s.options.Disk()
		if err != nil {
			reasons = append(reasons, "the device's usage is not known: "+err.Error())
		}
		r.DiskUsedPercent = percent
	}
	if s.options.Degraded != nil {
		reasons = append(reasons, s.options.Degraded())
	}
	r.Degraded = strings.Join(slices.DeleteFunc(reasons, func(s string) bool { return s == "" }), "; ")
	return r
}

// details are what an engine tells beyond the fields of a Report.
func details(m *engine.Metrics) map[string]float64 {
	d := map[string]float64{}
	for name, v := range map[string]float64{
		"applied_bytes": float64(m.BytesApplied), "logged_bytes": float64(m.BytesLogged), "flushed_bytes": float64(m.BytesFlushed),
		"compacted_bytes": float64(m.BytesCompacted), "stalls": float64(m.Stalls), "stall_seconds": m.StallTime.Seconds(),
		"open_iterators": float64(m.OpenIterators), "open_snapshots": float64(m.OpenSnapshots),
	} {
		if !slices.Contains(m.Missing, missingName[name]) {
			d[name] = v
		}
	}
	for i, level := range m.Levels {
		d[fmt.Sprintf("level_%d_tables", i)], d[fmt.Sprintf("level_%d_bytes", i)] = float64(level.Files), float64(level.Bytes)
	}
	maps.Copy(d, m.Other)
	return d
}

// missingName is how engine.Metrics.Missing calls a detail.
var missingName = map[string]string{
	"applied_bytes": "BytesApplied", "logged_bytes": "BytesLogged", "flushed_bytes": "BytesFlushed", "compacted_bytes": "BytesCompacted",
	"stalls": "Stalls", "stall_seconds": "StallTime", "open_iterators": "OpenIterators", "open_snapshots": "OpenSnapshots",
}

// declared hides what the engine cannot do.
func (s *Store) declared() driver.Store {
	checkpoint, compact := checkpointer{s}, compacter{s}
	switch {
	case s.caps.Named:
		return struct {
			*Store
			checkpointer
			compacter
			namer
		}{s, checkpoint, compact, namer{s, s.engine.(engine.NamedSnapshots)}}
	case s.caps.Checkpoint && s.caps.Compact:
		return struct {
			*Store
			checkpointer
			compacter
		}{s, checkpoint, compact}
	case s.caps.Checkpoint:
		return struct {
			*Store
			checkpointer
		}{s, checkpoint}
	case s.caps.Compact:
		return struct {
			*Store
			compacter
		}{s, compact}
	}
	return s
}

type checkpointer struct{ of *Store }

// Checkpoint implements driver.Checkpointer.
func (c checkpointer) Checkpoint(ctx context.Context, dir string) error {
	return c.of.engine.Checkpoint(ctx, dir)
}

type namer struct {
	of    *Store
	names engine.NamedSnapshots
}

// CreateSnapshot implements driver.NamedSnapshotter.
func (n namer) CreateSnapshot(ctx context.Context, name string) error {
	return n.names.CreateSnapshot(ctx, name)
}

// ListSnapshots implements driver.NamedSnapshotter.
func (n namer) ListSnapshots(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return n.names.ListSnapshots()
}

// OpenSnapshot implements driver.NamedSnapshotter.
func (n namer) OpenSnapshot(ctx context.Context, name string) (driver.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap, err := n.names.OpenSnapshot(name)
	if err != nil {
		return nil, err
	}
	return &snapshot{n.of, snap}, nil
}

// DropSnapshot implements driver.NamedSnapshotter.
func (n namer) DropSnapshot(ctx context.Context, name string) error {
	return n.names.DropSnapshot(ctx, name)
}

type compacter struct{ of *Store }

// Compact implements driver.Compacter.
func (c compacter) Compact(ctx context.Context) error { return c.of.engine.Compact(ctx, nil, nil) }

// Own is New for an engine with its data in dir: it reports how full the device is,
// and closes the engine where New fails.
func Own(ctx context.Context, e engine.Engine, dir string, o Options) (driver.Store, error) {
	if o.Disk == nil {
		o.Disk = func() (float64, error) {
			u, err := vfs.OS().DiskUsage(dir)
			if err != nil || u.Total == 0 {
				return 0, err
			}
			return u.UsedPercent(), nil
		}
	}
	s, err := New(ctx, e, o)
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return s, nil
}
