//go:build lmdb

package lmdb

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// A move that seeks fetches one entry; each step in the same direction that
// needs a crossing fetches blockGrowth times as many as the last one, up to
// blockEntries.
const blockGrowth = 4

// iterator hands out the entries of a block that was fetched from LMDB, and
// fetches the next one at its end. Its keys and values are not copies: they lie
// in LMDB's map.
type iterator struct {
	store    *store
	snapshot *snapshot      // nil: the iterator has a reader of its own
	reader   nativeReader   // its own
	native   nativeIterator // nil: no key is within the bounds
	keysOnly bool

	block    block
	most     int  // entries to fetch at the next step
	backward bool // direction of the block

	key, value []byte
	stands     bool
	err        error
	closed     bool
}

func (s *store) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := s.life.Enter(); err != nil {
		return nil, fmt.Errorf("new iterator: %w", err)
	}
	defer s.life.Exit()
	it := &iterator{store: s, keysOnly: o.KeysOnly}
	if !emptyRange(o) {
		reader, err := s.native.takeReader()
		if err != nil {
			return nil, fmt.Errorf("new iterator: %w", err)
		}
		if it.native, err = s.native.iterator(reader, o); err != nil {
			s.native.giveReader(reader)
			return nil, fmt.Errorf("new iterator: %w", err)
		}
		it.reader = reader
	}
	s.life.Hold(lifetime.Iterator)
	return it, nil
}

func (snap *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := snap.life.Enter(); err != nil {
		return nil, fmt.Errorf("new iterator: %w", err)
	}
	defer snap.life.Exit()
	it := &iterator{store: snap.store, snapshot: snap, keysOnly: o.KeysOnly}
	if !emptyRange(o) {
		snap.mu.Lock()
		native, err := snap.store.native.iterator(snap.reader, o)
		snap.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("new iterator: %w", err)
		}
		it.native = native
	}
	snap.life.Hold(lifetime.Iterator)
	snap.store.life.Hold(lifetime.Iterator)
	return it, nil
}

// emptyRange reports whether no key is within the bounds.
func emptyRange(o engine.IterOptions) bool {
	return o.Upper != nil && bytes.Compare(o.Lower, o.Upper) >= 0
}

func (it *iterator) First() bool            { return it.seek(moveFirst, nil) }
func (it *iterator) Last() bool             { return it.seek(moveLast, nil) }
func (it *iterator) SeekGE(key []byte) bool { return it.seek(moveSeekGE, key) }
func (it *iterator) SeekLT(key []byte) bool { return it.seek(moveSeekLT, key) }

func (it *iterator) Next() bool { return it.step(false) }
func (it *iterator) Prev() bool { return it.step(true) }

func (it *iterator) seek(m move, key []byte) bool {
	it.backward = m == moveLast || m == moveSeekLT
	it.most = 1
	return it.fetch(m, key)
}

func (it *iterator) step(backward bool) bool {
	switch {
	case !it.stands:
		return false
	case backward != it.backward:
		// LMDB's own position is at the far end of the block.
		if backward {
			return it.seek(moveSeekLT, it.key)
		}
		if !it.seek(moveSeekGE, it.key) {
			return false
		}
		return it.step(false)
	case len(it.block.entries) > 0:
		it.key, it.value = it.block.take()
		return true
	case it.block.end:
		return it.nowhere(it.block.err)
	case backward:
		return it.fetch(movePrev, nil)
	}
	return it.fetch(moveNext, nil)
}

// fetch moves, and stands on the first entry of the block that this brings.
func (it *iterator) fetch(m move, key []byte) bool {
	if it.err != nil || it.closed || it.native.p == nil {
		return it.nowhere(nil)
	}
	if it.snapshot != nil {
		it.snapshot.mu.Lock()
	}
	it.block = it.native.move(m, key, it.most)
	if it.snapshot != nil {
		it.snapshot.mu.Unlock()
	}
	it.most = min(it.most*blockGrowth, blockEntries)
	if len(it.block.entries) == 0 {
		return it.nowhere(it.block.err)
	}
	it.stands = true
	it.key, it.value = it.block.take()
	return true
}

// nowhere leaves the iterator without an entry, and returns false.
func (it *iterator) nowhere(err error) bool {
	it.stands, it.key, it.value, it.block.entries = false, nil, nil, nil
	if err != nil && it.err == nil {
		it.err = fmt.Errorf("iterator: %w", err)
	}
	return false
}

func (it *iterator) Key() []byte { return it.key }

func (it *iterator) Value() ([]byte, error) {
	switch {
	case !it.stands && it.closed:
		return nil, fmt.Errorf("value: %w", engine.ErrClosed)
	case !it.stands:
		return nil, engine.ErrNotFound
	case it.keysOnly:
		return nil, fmt.Errorf("value of %s: %w: the iterator is of keys only", engine.QuoteKey(it.key), engine.ErrUnsupported)
	}
	return it.value, nil
}

func (it *iterator) Err() error { return it.err }

func (it *iterator) Close() error {
	if it.closed {
		return fmt.Errorf("close iterator: %w", engine.ErrClosed)
	}
	it.nowhere(nil)
	it.closed = true
	err := it.err
	if it.snapshot != nil {
		it.snapshot.mu.Lock()
		it.deleteNative()
		it.snapshot.mu.Unlock()
		err = errors.Join(err, it.snapshot.life.Drop(lifetime.Iterator))
	} else {
		it.deleteNative()
	}
	return errors.Join(err, it.store.life.Drop(lifetime.Iterator))
}

func (it *iterator) deleteNative() {
	if it.native.p != nil {
		it.native.delete()
	}
	if it.reader.p != nil {
		it.store.native.giveReader(it.reader)
	}
}
