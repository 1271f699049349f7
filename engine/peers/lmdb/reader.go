//go:build lmdb

package lmdb

import (
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

func (s *store) Get(key, dst []byte) ([]byte, error) {
	if err := s.life.Enter(); err != nil {
		return dst, engine.KeyError("get", key, err)
	}
	dst, err := s.native.get(nativeReader{}, key, dst)
	s.life.Exit()
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

// mostPooled is the capacity above which a lookup is not kept for reuse.
const mostPooled = 1 << 20

// MultiGet looks all keys up in one transaction and one crossing. found is
// called after the lookup has ended, and may use the engine.
func (s *store) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if err := s.life.Enter(); err != nil {
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
	values, err := s.native.multiGet(l.packed, l.keySizes, l.sizes, l.values)
	s.life.Exit()
	if err != nil {
		return fmt.Errorf("multi-get of %d keys: %w", len(keys), err)
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

// snapshot is a read transaction.
type snapshot struct {
	store *store
	life  lifetime.Lifetime
	// mu: a transaction and its cursors take one thread at a time.
	mu     sync.Mutex
	reader nativeReader
}

// Snapshot begins a read transaction. While it is open, LMDB uses no page again
// that became free after it.
func (s *store) Snapshot() (engine.Snapshot, error) {
	if err := s.life.Enter(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer s.life.Exit()
	reader, err := s.native.takeReader()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	s.life.Hold(lifetime.Snapshot)
	return &snapshot{store: s, reader: reader}, nil
}

func (snap *snapshot) Get(key, dst []byte) ([]byte, error) {
	if err := snap.life.Enter(); err != nil {
		return dst, engine.KeyError("get", key, err)
	}
	snap.mu.Lock()
	dst, err := snap.store.native.get(snap.reader, key, dst)
	snap.mu.Unlock()
	snap.life.Exit()
	if err != nil {
		return dst, engine.KeyError("get", key, err)
	}
	return dst, nil
}

func (snap *snapshot) Close() error {
	if err := snap.life.Close(snap.release); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

func (snap *snapshot) release() error {
	snap.store.native.giveReader(snap.reader)
	return snap.store.life.Drop(lifetime.Snapshot)
}
