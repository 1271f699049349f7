//go:build rocksdb

package rocks

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
)

// family is a column family. Its ID is RocksDB's own, which the MANIFEST keeps
// and does not give again.
type family struct {
	id     engine.FamilyID
	name   string
	handle *grocksdb.ColumnFamilyHandle
	native nativeFamily
	// users counts the calls under way, the iterators and snapshots on a family,
	// and, until it is dropped, the store. The last one to leave destroys the
	// handle, upon which RocksDB removes the tables. The default family is never
	// dropped, and not counted.
	users   atomic.Int32
	dropped atomic.Bool
}

func newFamily(name string, handle *grocksdb.ColumnFamilyHandle) (*family, error) {
	native, err := nativeOfFamily(handle)
	if err != nil {
		return nil, err
	}
	f := &family{id: engine.FamilyID(handle.ID()), name: name, handle: handle, native: native}
	f.users.Store(1)
	return f, nil
}

// enter keeps the family's handle until exit; ErrNotFound if it was dropped.
func (f *family) enter() error {
	if f.id == 0 {
		return nil
	}
	for {
		n := f.users.Load()
		if n == 0 || f.dropped.Load() {
			return engine.ErrNotFound
		}
		if f.users.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// hold is enter for whoever already keeps the handle.
func (f *family) hold() {
	if f.id != 0 {
		f.users.Add(1)
	}
}

func (f *family) exit() {
	if f.id != 0 && f.users.Add(-1) == 0 {
		f.handle.Destroy()
	}
}

// In returns a Reader of one family: ErrNotFound if there is none with this ID.
// A family that is dropped later is ErrNotFound to its readers, but iterators
// and snapshots that are open keep showing it.
func (s *store) In(id engine.FamilyID) (engine.Reader, error) {
	if err := s.life.Enter(); err != nil {
		return nil, fmt.Errorf("reader of family %d: %w", id, err)
	}
	defer s.life.Exit()
	s.order.RLock()
	defer s.order.RUnlock()
	f, ok := s.families[id]
	if !ok {
		return nil, fmt.Errorf("reader of family %d: %w", id, engine.ErrNotFound)
	}
	return &reader{store: s, life: &s.life, family: f}, nil
}

// CreateFamily returns the ID of the family of that name, and makes it if there
// is none.
func (s *store) CreateFamily(ctx context.Context, name string) (engine.FamilyID, error) {
	if err := s.life.Enter(); err != nil {
		return 0, fmt.Errorf("create family %q: %w", name, err)
	}
	defer s.life.Exit()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if name == "" {
		return 0, fmt.Errorf("create family: %w: the name is empty", engine.ErrInvalid)
	}
	id, err := s.createFamily(name)
	if err != nil {
		return 0, fmt.Errorf("create family %q: %w", name, err)
	}
	return id, nil
}

func (s *store) createFamily(name string) (engine.FamilyID, error) {
	s.order.Lock()
	defer s.order.Unlock()
	if f := s.familyNamed(name); f != nil {
		return f.id, nil
	}
	handle, err := s.db.CreateColumnFamily(s.settings.options, name)
	if err != nil {
		return 0, translate(err)
	}
	f, err := newFamily(name, handle)
	if err != nil {
		handle.Destroy()
		return 0, err
	}
	s.families[f.id] = f
	return f.id, nil
}

// DropFamily removes the family of that name. Its tables go with the last
// iterator and snapshot that show it.
func (s *store) DropFamily(ctx context.Context, name string) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("drop family %q: %w", name, err)
	}
	defer s.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.order.Lock()
	defer s.order.Unlock()
	f := s.familyNamed(name)
	switch {
	case f == nil:
		return fmt.Errorf("drop family %q: %w", name, engine.ErrNotFound)
	case f.id == 0:
		return fmt.Errorf("drop family %q: %w: the default family stays", name, engine.ErrInvalid)
	}
	if err := s.db.DropColumnFamily(f.handle); err != nil {
		return fmt.Errorf("drop family %q: %w", name, translate(err))
	}
	delete(s.families, f.id)
	f.dropped.Store(true)
	f.exit()
	return nil
}

// Families returns the families by name.
func (s *store) Families() (map[string]engine.FamilyID, error) {
	if err := s.life.Enter(); err != nil {
		return nil, fmt.Errorf("families: %w", err)
	}
	defer s.life.Exit()
	s.order.RLock()
	defer s.order.RUnlock()
	all := make(map[string]engine.FamilyID, len(s.families))
	for id, f := range s.families {
		all[f.name] = id
	}
	return all, nil
}

// familyNamed is called with order held.
func (s *store) familyNamed(name string) *family {
	for _, f := range s.families {
		if f.name == name {
			return f
		}
	}
	return nil
}
