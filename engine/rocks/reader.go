//go:build rocksdb

package rocks

import (
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// reader reads one family in one state.
type reader struct {
	store  *store
	family *family
	at     nativeSnapshot
	// life is that of what the reader was made from: the store's, or a
	// snapshot's, which holds the store and its families.
	life *lifetime.Lifetime
}

// enter begins a call, to be ended by exit.
func (r *reader) enter() error {
	if err := r.life.Enter(); err != nil {
		return err
	}
	if r.at.p == nil {
		if err := r.family.enter(); err != nil {
			r.life.Exit()
			return err
		}
	}
	return nil
}

func (r *reader) exit() {
	if r.at.p == nil {
		r.family.exit()
	}
	r.life.Exit()
}

func (r *reader) Get(key, dst []byte) ([]byte, error) {
	if err := r.enter(); err != nil {
		return dst, engine.KeyError("get", key, err)
	}
	dst, err := r.store.native.get(r.family.native, r.at, key, dst)
	r.exit()
	if err != nil {
		return dst, engine.KeyError("get", key, err)
	}
	return dst, nil
}

// lookup is the memory of a MultiGet, kept for reuse.
type lookup struct {
	packed, values []byte
	keySizes       []uint32
	sizes          []int64
}

var lookups = sync.Pool{New: func() any { return new(lookup) }}

// MultiGet looks all keys up in RocksDB's batched MultiGet, in one crossing.
// found is called after the lookup has ended, and may use the engine.
func (r *reader) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if err := r.enter(); err != nil {
		return fmt.Errorf("multi-get of %d keys: %w", len(keys), err)
	}
	l := lookups.Get().(*lookup)
	defer l.keep()
	l.packed, l.keySizes = l.packed[:0], l.keySizes[:0]
	for _, key := range keys {
		l.packed = append(l.packed, key...)
		l.keySizes = append(l.keySizes, uint32(len(key)))
	}
	l.sizes = append(l.sizes[:0], make([]int64, len(keys))...)
	values, failed, err := r.store.native.multiGet(r.family.native, r.at, l.packed, l.keySizes, l.sizes, l.values)
	r.exit()
	if err != nil {
		return engine.KeyError("multi-get", keys[failed], err)
	}
	l.values = values
	for i, size := range l.sizes {
		if size < 0 {
			found(i, nil, false)
			continue
		}
		found(i, values[:size:size], true)
		values = values[size:]
	}
	return nil
}

func (l *lookup) keep() {
	if cap(l.packed)+cap(l.values)+cap(l.sizes)*12 <= mostPooled {
		lookups.Put(l)
	}
}

// snapshot holds one state of all families.
type snapshot struct {
	reader // of the default family

	life     lifetime.Lifetime
	families map[engine.FamilyID]*family
}

func (s *store) Snapshot() (engine.Snapshot, error) {
	if err := s.life.Enter(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer s.life.Exit()
	s.life.Hold(lifetime.Snapshot)
	// No family may come or go between the two.
	s.order.RLock()
	defer s.order.RUnlock()
	snap := &snapshot{families: make(map[engine.FamilyID]*family, len(s.families))}
	for id, f := range s.families {
		f.hold()
		snap.families[id] = f
	}
	snap.reader = reader{store: s, family: s.families[0], at: s.native.snapshot(), life: &snap.life}
	return snap, nil
}

// In returns a Reader of one family as it was.
func (snap *snapshot) In(id engine.FamilyID) (engine.Reader, error) {
	if err := snap.life.Enter(); err != nil {
		return nil, fmt.Errorf("reader of family %d: %w", id, err)
	}
	defer snap.life.Exit()
	f, ok := snap.families[id]
	if !ok {
		return nil, fmt.Errorf("reader of family %d: %w", id, engine.ErrNotFound)
	}
	return &reader{store: snap.store, family: f, at: snap.at, life: &snap.life}, nil
}

func (snap *snapshot) Close() error {
	if err := snap.life.Close(snap.release); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func (snap *snapshot) release() error {
	snap.store.native.releaseSnapshot(snap.at)
	for _, f := range snap.families {
		f.exit()
	}
	return snap.store.life.Drop(lifetime.Snapshot)
}
