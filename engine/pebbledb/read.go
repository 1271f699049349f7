package pebbledb

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// take ends a Get of Pebble: it appends the value to dst.
func take(key, dst, value []byte, closer io.Closer, err error) ([]byte, error) {
	if err != nil {
		if err == pebble.ErrNotFound {
			return dst, engine.ErrNotFound
		}
		return dst, engine.KeyError("get", key, translate(err))
	}
	dst = append(dst, value...)
	if err := closer.Close(); err != nil {
		return dst[:len(dst)-len(value)], engine.KeyError("get", key, translate(err))
	}
	return dst, nil
}

// Snapshot returns a reader of the newest commit.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.life.Hold(lifetime.Snapshot)
	return &snapshot{life: &e.life, from: e.db.NewSnapshot()}, nil
}

type snapshot struct {
	life *lifetime.Lifetime
	// mu keeps from, nil once closed, in place while a call uses it.
	mu   sync.RWMutex
	from *pebble.Snapshot
}

// Get appends the value of key to dst.
func (s *snapshot) Get(key, dst []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.from == nil {
		return dst, engine.ErrClosed
	}
	value, closer, err := s.from.Get(key)
	return take(key, dst, value, closer, err)
}

// NewIterator returns an iterator over the snapshot.
func (s *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.from == nil {
		return nil, engine.ErrClosed
	}
	bounds := boundsOf(o)
	it, err := s.from.NewIter(&bounds)
	return newIterator(s.life, it, err, o)
}

// Close releases the snapshot.
func (s *snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.from == nil {
		return engine.ErrClosed
	}
	err := s.from.Close()
	s.from = nil
	if dropErr := s.life.Drop(lifetime.Snapshot); err == nil {
		return dropErr
	}
	return wrap("close snapshot", err)
}
