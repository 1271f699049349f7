//go:build rocksdb

package rocks

import (
	"errors"
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// A move that seeks fetches one entry; each step in the same direction that
// needs a crossing fetches blockGrowth times as many as the last one, up to what
// blockBytes hold. So a short scan reads ahead little, and a long one pays
// hardly any crossings.
const (
	blockBytes  = 16 << 10
	blockGrowth = 4
)

// blocks are buffers of iterators.
var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// iterator hands out the entries of a block that was fetched from RocksDB, and
// fetches the next one at its end.
type iterator struct {
	reader   *reader
	native   nativeIterator // nil: no key is within the bounds
	keysOnly bool

	buffer   *[blockBytes]byte
	fetched  block
	rest     []byte // of the block, encoded
	left     int    // entries of the block that were not handed out
	most     int    // entries to fetch at the next step
	backward bool   // direction of the block

	key, value []byte
	stands     bool
	err        error
	closed     bool
}

func (r *reader) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := r.enter(); err != nil {
		return nil, fmt.Errorf("new iterator: %w", err)
	}
	defer r.exit()
	it := &iterator{reader: r, keysOnly: o.KeysOnly}
	r.store.life.Hold(lifetime.Iterator)
	if r.at.p != nil {
		r.life.Hold(lifetime.Iterator)
	}
	r.family.hold()
	if !emptyRange(o.Lower, o.Upper) {
		it.native = r.store.native.iterator(r.family.native, r.at, o)
		it.buffer = blocks.Get().(*[blockBytes]byte)
	}
	return it, nil
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
		// RocksDB's own position is at the far end of the block.
		if backward {
			return it.seek(moveSeekLT, it.key)
		}
		if !it.seek(moveSeekGE, it.key) {
			return false
		}
		return it.step(false)
	case it.left > 0:
		it.next()
		return true
	case it.fetched.end:
		return it.nowhere(it.fetched.err)
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
	it.fetched = it.native.move(m, key, it.buffer[:], it.most)
	it.left, it.rest = it.fetched.count, it.buffer[:]
	it.most *= blockGrowth
	if it.left == 0 {
		return it.nowhere(it.fetched.err)
	}
	it.stands = true
	it.next()
	return true
}

// next hands out the next entry of the block.
func (it *iterator) next() {
	it.left--
	if it.fetched.large {
		it.key, it.value = it.fetched.key, it.fetched.value
		return
	}
	it.key, it.value, it.rest = decodeEntry(it.rest)
}

// nowhere leaves the iterator without an entry, and returns false.
func (it *iterator) nowhere(err error) bool {
	it.stands, it.key, it.value, it.left = false, nil, nil, 0
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
	if it.native.p != nil {
		it.native.delete()
		blocks.Put(it.buffer)
	}
	r := it.reader
	r.family.exit()
	err := it.err
	if r.at.p != nil {
		err = errors.Join(err, r.life.Drop(lifetime.Iterator))
	}
	return errors.Join(err, r.store.life.Drop(lifetime.Iterator))
}
