package example

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Options configure a store. The zero value takes every default.
type Options struct {
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
	// Sinks are the directories of the log, each with a whole copy; by default one
	// within the store's own.
	Sinks []string
	// AllowMissing opens the store although some of the sinks cannot be read.
	AllowMissing bool
	// SegmentBytes is the size of a segment of the log; 0 is the log's default.
	SegmentBytes int64
	// CheckpointBytes is how much is logged before the next commit writes a
	// checkpoint; default 64 MiB.
	CheckpointBytes int64
	// Inline makes the same calls do the same I/O, as a simulated disk needs.
	Inline bool
}

// Engine is an open store. Open makes one.
type Engine struct {
	fs  vfs.FS
	dir string
	// life is held by each call that uses the files, exclusively by Close.
	life sync.RWMutex
	// newest is what readers see; nil once the engine is closed.
	newest atomic.Pointer[state]

	// mu puts commits in order: of the log and of the map alike. It guards all up
	// to log.
	mu              sync.Mutex
	tree            *btree.BTreeG[entry]
	logged          int64 // bytes of batches since the last checkpoint
	checkpointBytes int64
	failed          error // of a flush of a checkpoint; no write can be trusted since

	log     *wal.Log
	lock    io.Closer
	applied atomic.Uint64
	// holders counts open iterators and snapshots, and the engine itself. Whoever
	// takes it to nought unlocks the directory.
	holders, iterators, snapshots atomic.Int64
}

// state is one commit. It is never changed.
type state struct {
	tree     *btree.BTreeG[entry]
	sequence uint64
}

// entry is a key and its value, with the sequence of the commit that wrote it.
// Its bytes never change.
type entry struct {
	key, value []byte
	sequence   uint64
}

func less(a, b entry) bool { return bytes.Compare(a.key, b.key) < 0 }

var traits = engine.Traits{
	Name:        "example",
	Version:     "Orbit example engine, format 1",
	Durability:  engine.DurabilityOf(engine.Memory, engine.Buffered, engine.Flushed),
	Persistent:  true,
	Checkpoint:  true,
	Compact:     true,
	Limits:      engine.DefaultLimits(),
	Conditional: true,
	Sequenced:   true,
}

// Open opens the store in dir, and makes it if there is none.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	e := &Engine{
		fs: o.FS, dir: dir, checkpointBytes: o.CheckpointBytes,
		tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
	}
	e.holders.Store(1)
	if e.fs == nil {
		e.fs = vfs.OS()
	}
	if e.checkpointBytes == 0 {
		e.checkpointBytes = 64 << 20
	}
	if err := makeDir(e.fs, dir); err != nil {
		return nil, fmt.Errorf("open example store: %w", err)
	}
	var err error
	if e.lock, err = e.fs.Lock(dir); err != nil {
		return nil, fmt.Errorf("open example store: %w", err)
	}
	if err := e.recover(ctx, o); err != nil {
		return nil, fmt.Errorf("open example store: %w", errors.Join(err, e.lock.Close()))
	}
	return e, nil
}

// recover reads the checkpoint and replays the log behind it.
func (e *Engine) recover(ctx context.Context, o Options) error {
	sinks := o.Sinks
	if len(sinks) == 0 {
		sinks = []string{filepath.Join(e.dir, "log")}
	}
	for _, dir := range sinks {
		if err := makeDir(e.fs, dir); err != nil && !o.AllowMissing {
			return err
		}
	}
	b, sequence, err := readCheckpoint(e.fs, filepath.Join(e.dir, dataName))
	if err != nil {
		return err
	}
	e.change(b, sequence)
	last := sequence
	e.log, err = wal.Open(ctx, wal.Options{
		FS: e.fs, Sinks: sinks, AllowMissing: o.AllowMissing, SegmentBytes: o.SegmentBytes, Inline: o.Inline,
	}, sequence, func(r wal.Record) error {
		if r.Sequence != last+1 {
			return fmt.Errorf("log of %s: %w: record %d follows %d", e.dir, engine.ErrCorrupt, r.Sequence, last)
		}
		b, err := engine.DecodeBatch(r.Payload)
		if err != nil {
			return fmt.Errorf("log of %s, record %d: %w", e.dir, r.Sequence, err)
		}
		e.change(b, r.Sequence)
		e.logged += int64(b.Size())
		last = r.Sequence
		return nil
	})
	if err != nil {
		return err
	}
	e.publish(last)
	return nil
}

// Traits implements engine.Engine.
func (e *Engine) Traits() engine.Traits { return traits }

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.apply(ctx, b, d, func() error { return nil })
}

// ApplyIf implements engine.Conditional.
func (e *Engine) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	s, ok := at.(*Snapshot)
	if !ok || s.engine != e {
		return fmt.Errorf("apply: %w: the snapshot is not of this store", engine.ErrInvalid)
	}
	then := s.state.Load()
	if then == nil {
		return fmt.Errorf("apply: snapshot: %w", engine.ErrClosed)
	}
	return e.apply(ctx, b, d, func() error { return unchanged(reads, then.tree, e.tree) })
}

// apply commits b if check, which is called when no other commit can come
// between, returns nil.
func (e *Engine) apply(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) error {
	if err := engine.CheckDurability(traits.Durability, d); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: families", engine.ErrUnsupported)
	}
	if err := traits.Limits.Check(b); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.RUnlock()
	sequence, err := e.sequence(ctx, b, d, check)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	// Outside the lock, so that one flush serves all who wait for it.
	if d == engine.Flushed {
		if err := e.log.Flush(sequence); err != nil {
			return fmt.Errorf("apply: commit %d: %w", sequence, err)
		}
	}
	return nil
}

// sequence gives b its place in the commit order, in the log and in the map.
func (e *Engine) sequence(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if e.failed != nil {
		return 0, e.failed
	}
	if err := check(); err != nil {
		return 0, err
	}
	if b.Count() == 0 {
		return e.newest.Load().sequence, nil
	}
	// Before the commit, not after: if it fails, nothing of b was applied.
	if e.logged >= e.checkpointBytes {
		if err := e.checkpoint(); err != nil {
			return 0, err
		}
	}
	sequence, err := e.log.Append(ctx, b.Encoded(), d)
	if err != nil {
		return 0, err
	}
	e.change(b, sequence)
	e.publish(sequence)
	e.logged += int64(b.Size())
	e.applied.Add(uint64(b.Size()))
	b.SetSequence(sequence)
	return sequence, nil
}

// change applies b to the map, copying its bytes, which are the caller's.
func (e *Engine) change(b *engine.Batch, sequence uint64) {
	for op := range b.Ops() {
		switch op.Kind {
		case engine.OpPut:
			e.tree.Set(entry{bytes.Clone(op.Key), bytes.Clone(op.Value), sequence})
		case engine.OpDelete:
			e.tree.Delete(entry{key: op.Key})
		case engine.OpDeleteRange:
			var doomed []entry
			e.tree.Ascend(entry{key: op.Key}, func(n entry) bool {
				if bytes.Compare(n.key, op.Value) >= 0 {
					return false
				}
				doomed = append(doomed, n)
				return true
			})
			for _, n := range doomed {
				e.tree.Delete(n)
			}
		}
	}
}

// publish shows the map to readers. The copy costs nothing now; the next change
// copies the nodes that it touches.
func (e *Engine) publish(sequence uint64) {
	e.newest.Store(&state{e.tree.Copy(), sequence})
}

// unchanged returns ErrConflict unless each key and range of reads is in now as
// it was then: there or not, and written by the same commit.
func unchanged(reads engine.ReadSet, then, now *btree.BTreeG[entry]) error {
	for _, key := range reads.Keys {
		a, there := then.Get(entry{key: key})
		b, is := now.Get(entry{key: key})
		if there != is || a.sequence != b.sequence {
			return engine.KeyError("read", key, engine.ErrConflict)
		}
	}
	for _, r := range reads.Ranges {
		o := engine.IterOptions{Lower: r.Lower, Upper: r.Upper}
		a, b := newIterator(then, o), newIterator(now, o)
		for was, is := a.First(), b.First(); was || is; was, is = a.Next(), b.Next() {
			if was != is || !bytes.Equal(a.at.key, b.at.key) || a.at.sequence != b.at.sequence {
				return fmt.Errorf("read of [%s, %s): %w", engine.QuoteKey(r.Lower), engine.QuoteKey(r.Upper), engine.ErrConflict)
			}
		}
	}
	return nil
}

// LastSequence implements engine.Sequenced; 0 once the engine is closed.
func (e *Engine) LastSequence() uint64 {
	if s := e.newest.Load(); s != nil {
		return s.sequence
	}
	return 0
}

// Sync implements engine.Engine.
func (e *Engine) Sync(ctx context.Context) error {
	return e.Apply(ctx, new(engine.Batch), engine.Flushed)
}

// Metrics implements engine.Engine.
func (e *Engine) Metrics() engine.Metrics {
	if e.newest.Load() == nil {
		return engine.Metrics{}
	}
	return engine.Metrics{
		BytesApplied:  e.applied.Load(),
		OpenIterators: e.iterators.Load(),
		OpenSnapshots: e.snapshots.Load(),
		Missing: []string{"DiskBytes", "MemoryBytes", "BytesLogged", "BytesFlushed", "BytesCompacted",
			"CacheHits", "CacheMisses", "CompactionDebtBytes", "Stalls", "StallTime", "Levels"},
	}
}

// enter begins a call that uses the files; life.RUnlock ends it.
func (e *Engine) enter() error {
	e.life.RLock()
	if e.newest.Load() == nil {
		e.life.RUnlock()
		return engine.ErrClosed
	}
	return nil
}

// drop ends an iterator or snapshot, or the engine's own hold.
func (e *Engine) drop() error {
	if e.holders.Add(-1) > 0 {
		return nil
	}
	return e.lock.Close()
}

// Close implements engine.Engine. Open iterators and snapshots keep the
// directory locked, and what they show in memory.
func (e *Engine) Close() error {
	e.life.Lock()
	defer e.life.Unlock()
	if e.newest.Swap(nil) == nil {
		return engine.ErrClosed
	}
	i, s := e.iterators.Load(), e.snapshots.Load()
	err := errors.Join(e.log.Close(), e.drop())
	if i+s > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d iterators and %d snapshots are open", engine.ErrInUse, i, s))
	}
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}
