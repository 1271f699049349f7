package cowbtree

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// Snapshot is one commit of an Engine.
type Snapshot struct {
	engine   *Engine
	snapshot *snapshot
	closed   atomic.Bool
}

// Snapshot implements engine.Engine. It takes the same time at any size: nothing is
// copied but what later commits change.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.lockCommits()
	defer e.mu.Unlock()
	return e.handle(e.take()), nil
}

// take returns a snapshot of what readers see now, held once more. Under mu.
func (e *Engine) take() *snapshot {
	if e.hidden != nil {
		e.hidden.holds++
		e.hidden.readers++
		return e.hidden
	}
	return e.history.read(e.root.Load(), e.seq.Load())
}

// readDone gives up a snapshot of take, and frees some of what only that one needed;
// more than that is left to the background. Under mu.
func (e *Engine) readDone(s *snapshot) {
	e.history.readDone(s)
	switch {
	case e.background.wake == nil:
		e.freeDeferred()
	case e.history.freeDeferred(freeSlice):
		e.wake()
	}
}

// handle returns a handle of a snapshot that is held for it.
func (e *Engine) handle(s *snapshot) *Snapshot {
	e.life.Hold(lifetime.Snapshot)
	return &Snapshot{engine: e, snapshot: s}
}

// Get implements engine.Reader.
func (s *Snapshot) Get(key, dst []byte) ([]byte, error) {
	if s.closed.Load() {
		return dst, engine.ErrClosed
	}
	return s.engine.get(&s.snapshot.root, key, dst, "get from snapshot")
}

// Sequence implements engine.SequencedSnapshot; 0 once it is closed.
func (s *Snapshot) Sequence() uint64 {
	if s.closed.Load() {
		return 0
	}
	return s.snapshot.sequence
}

// Close implements engine.Snapshot.
func (s *Snapshot) Close() error {
	if s.closed.Swap(true) {
		return engine.ErrClosed
	}
	e := s.engine
	e.lockCommits()
	e.readDone(s.snapshot)
	e.mu.Unlock()
	return e.life.Drop(lifetime.Snapshot)
}

// A record of the log that is no batch begins with a zero, which no batch does. The
// next byte says what it is, the rest is a name.
const (
	recordNoBatch  = 0
	recordName     = 1
	recordAutoName = 2
	recordUnname   = 3
	recordIngest   = 4
	// recordIngested follows when a bulk load is durable: without that one, replay
	// passes over the load; with it, a checkpoint that has not the load is too old.
	recordIngested = 5
)

func noBatch(kind byte, name string) []byte {
	return append([]byte{recordNoBatch, kind}, name...)
}

// CreateSnapshot implements engine.NamedSnapshots. It costs one flushed commit; the
// pages that the snapshot holds are those that it had anyway.
func (e *Engine) CreateSnapshot(ctx context.Context, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("create snapshot: %w: the name is empty", engine.ErrInvalid)
	case len(name) > engine.MaxKeyBytes:
		return fmt.Errorf("create snapshot: %w: a name of %d bytes; the limit is %d", engine.ErrTooLarge, len(name), engine.MaxKeyBytes)
	}
	return e.flushed("create snapshot", name, func() (uint64, error) {
		if err := e.ready(ctx, true, 0); err != nil {
			return 0, err
		}
		return e.createSnapshot(ctx, name, recordName)
	})
}

// flushed carries out a change of names, and waits until it is durable.
func (e *Engine) flushed(op, name string, change func() (uint64, error)) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if e.options.NoSnapshots {
		return fmt.Errorf("%s %q: %w: snapshots are switched off", op, name, engine.ErrUnsupported)
	}
	e.lockCommits()
	sequence, err := change()
	e.mu.Unlock()
	if err == nil {
		err = e.log.Flush(sequence)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", op, name, err)
	}
	return nil
}

// createSnapshot names the newest commit. Under mu.
func (e *Engine) createSnapshot(ctx context.Context, name string, kind byte) (uint64, error) {
	if e.names[name] != nil {
		return 0, fmt.Errorf("%w: the name is taken", engine.ErrConflict)
	}
	sequence, err := e.log.Append(ctx, noBatch(kind, name), engine.Flushed)
	if err != nil {
		return 0, err
	}
	e.seq.Store(sequence)
	e.nameSnapshot(name, sequence, kind == recordAutoName)
	return sequence, nil
}

// nameSnapshot gives the newest tree a name. Under mu.
func (e *Engine) nameSnapshot(name string, sequence uint64, automatic bool) {
	s := e.history.take(e.root.Load(), sequence)
	if automatic {
		e.automaticSequence = sequence
	}
	s.name, s.automatic = name, automatic
	e.names[name] = s
	e.namesChanged = true
	e.logged += int64(len(name)) + 64
}

// automatic makes the snapshot that SnapshotInterval asks for, and drops the oldest
// above the number that is kept. Under mu.
func (e *Engine) automatic(ctx context.Context) error {
	if e.failed != nil {
		return e.failed
	}
	name := fmt.Sprintf("%s%020d", AutomaticPrefix, e.seq.Load())
	if e.names[name] == nil {
		if _, err := e.createSnapshot(ctx, name, recordAutoName); err != nil {
			return fmt.Errorf("automatic snapshot: %w", err)
		}
	}
	e.automaticSequence = e.seq.Load()
	var names []string
	for name, s := range e.names {
		if s.automatic {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for ; len(names) > e.options.MaxAutomaticSnapshots; names = names[1:] {
		if _, err := e.dropSnapshot(ctx, names[0]); err != nil {
			return fmt.Errorf("drop automatic snapshot: %w", err)
		}
		e.automaticSequence = e.seq.Load()
	}
	return nil
}

// ListSnapshots implements engine.NamedSnapshots.
func (e *Engine) ListSnapshots() ([]string, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.names)), nil
}

// OpenSnapshot implements engine.NamedSnapshots.
func (e *Engine) OpenSnapshot(name string) (engine.Snapshot, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.names[name]
	if s == nil {
		return nil, fmt.Errorf("open snapshot %q: %w", name, engine.ErrNotFound)
	}
	s.holds++
	s.readers++
	return e.handle(s), nil
}

// DropSnapshot implements engine.NamedSnapshots. The space that only it held is
// free once a checkpoint without it is in the file.
func (e *Engine) DropSnapshot(ctx context.Context, name string) error {
	return e.flushed("drop snapshot", name, func() (uint64, error) {
		if err := e.ready(ctx, true, 0); err != nil {
			return 0, err
		}
		return e.dropSnapshot(ctx, name)
	})
}

func (e *Engine) dropSnapshot(ctx context.Context, name string) (uint64, error) {
	if e.names[name] == nil {
		return 0, engine.ErrNotFound
	}
	sequence, err := e.log.Append(ctx, noBatch(recordUnname, name), engine.Flushed)
	if err != nil {
		return 0, err
	}
	e.seq.Store(sequence)
	e.unname(name, sequence)
	return sequence, nil
}

// unname forgets a name. Under mu.
func (e *Engine) unname(name string, sequence uint64) {
	s := e.names[name]
	delete(e.names, name)
	s.dropped, s.droppedSequence = true, sequence
	e.namesChanged = true
	e.logged += int64(len(name)) + 64
}

// IsAutomatic reports whether a name of ListSnapshots is one that SnapshotInterval
// made.
func IsAutomatic(name string) bool { return strings.HasPrefix(name, AutomaticPrefix) }

// ApplyIf implements engine.Conditional. What was read is compared with what is
// there now; pages that both states share are not looked at.
func (e *Engine) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	s, ok := at.(*Snapshot)
	if !ok || s.engine != e {
		return fmt.Errorf("apply-if: %w: the snapshot is not of this store", engine.ErrInvalid)
	}
	if s.closed.Load() {
		return fmt.Errorf("apply-if: snapshot: %w", engine.ErrClosed)
	}
	return e.commit(ctx, b, d, func() error { return e.unchanged(s.snapshot, reads) })
}

// unchanged returns ErrConflict unless each key and range reads now as it did then.
// Under mu.
func (e *Engine) unchanged(then *snapshot, reads engine.ReadSet) error {
	if e.root.Load().ref.id == then.root.Load().ref.id {
		return nil // the pages of a snapshot do not change
	}
	var was, is []byte
	for _, key := range reads.Keys {
		var err, now error
		if was, err = e.get(&then.root, key, was[:0], "apply-if"); err != nil && err != engine.ErrNotFound {
			return err
		}
		if is, now = e.get(&e.root, key, is[:0], "apply-if"); now != nil && now != engine.ErrNotFound {
			return now
		}
		if err != now || !slices.Equal(was, is) {
			return engine.KeyError("apply-if", key, engine.ErrConflict)
		}
	}
	for _, r := range reads.Ranges {
		o := engine.IterOptions{Lower: r.Lower, Upper: r.Upper}
		same, err := sameRange(e.iterate(&then.root, o), e.iterate(&e.root, o))
		if err != nil {
			return err
		}
		if !same {
			return fmt.Errorf("apply-if: range [%s, %s): %w", engine.QuoteKey(r.Lower), engine.QuoteKey(r.Upper), engine.ErrConflict)
		}
	}
	return nil
}
