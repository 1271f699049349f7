package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// Snapshot is one commit of an Engine.
type Snapshot struct {
	engine *Engine
	view   atomic.Pointer[view] // nil once it is closed
}

// Snapshot implements engine.Engine.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	defer e.lockAll()()
	if e.closed.Load() {
		return nil, engine.ErrClosed
	}
	return e.handle(e.newest()), nil
}

func (e *Engine) handle(v *view) *Snapshot {
	e.openSnaps.Add(1)
	s := &Snapshot{engine: e}
	s.view.Store(v)
	return s
}

// Get implements engine.Reader.
func (s *Snapshot) Get(key, dst []byte) ([]byte, error) {
	v := s.view.Load()
	if v == nil {
		return dst, engine.ErrClosed
	}
	i, ok := v.tree.Get(newRecord(key, nil).item())
	if !ok {
		return dst, engine.ErrNotFound
	}
	return append(dst, i.rec.value()...), nil
}

// NewIterator implements engine.Reader.
func (s *Snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	v := s.view.Load()
	if v == nil {
		return nil, engine.ErrClosed
	}
	s.engine.openIterators.Add(1)
	return newIterator(v, o, &s.engine.openIterators), nil
}

// Sequence implements engine.SequencedSnapshot; 0 once it is closed.
func (s *Snapshot) Sequence() uint64 {
	if v := s.view.Load(); v != nil {
		return v.seq
	}
	return 0
}

// Close implements engine.Snapshot.
func (s *Snapshot) Close() error {
	if s.view.Swap(nil) == nil {
		return engine.ErrClosed
	}
	s.engine.openSnaps.Add(-1)
	return nil
}

// CreateSnapshot implements engine.NamedSnapshots.
func (e *Engine) CreateSnapshot(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("create snapshot: %w: the name is empty", engine.ErrInvalid)
	}
	defer e.lockAll()()
	if e.closed.Load() {
		return engine.ErrClosed
	}
	if e.names[name] != nil {
		return fmt.Errorf("create snapshot %q: %w: the name is taken", name, engine.ErrConflict)
	}
	e.names[name] = e.newest()
	return nil
}

// ListSnapshots implements engine.NamedSnapshots.
func (e *Engine) ListSnapshots() ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return nil, engine.ErrClosed
	}
	return slices.Sorted(maps.Keys(e.names)), nil
}

// OpenSnapshot implements engine.NamedSnapshots.
func (e *Engine) OpenSnapshot(name string) (engine.Snapshot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return nil, engine.ErrClosed
	}
	if e.names[name] == nil {
		return nil, fmt.Errorf("open snapshot %q: %w", name, engine.ErrNotFound)
	}
	return e.handle(e.names[name]), nil
}

// DropSnapshot implements engine.NamedSnapshots.
func (e *Engine) DropSnapshot(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return engine.ErrClosed
	}
	if e.names[name] == nil {
		return fmt.Errorf("drop snapshot %q: %w", name, engine.ErrNotFound)
	}
	delete(e.names, name)
	return nil
}
