package badger

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// Get appends the value of key to dst.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	if err := e.life.Enter(); err != nil {
		return dst, err
	}
	defer e.life.Exit()
	txn := e.db.NewTransaction(false)
	defer txn.Discard()
	return get(txn, key, dst)
}

func get(txn *badger.Txn, key, dst []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err == nil {
		err = item.Value(func(value []byte) error {
			dst = append(dst, value...)
			return nil
		})
	}
	switch err {
	case nil:
		return dst, nil
	case badger.ErrKeyNotFound, badger.ErrEmptyKey:
		return dst, engine.ErrNotFound
	}
	return dst, engine.KeyError("get", key, translate(err))
}

// view is a read transaction with the number of its users.
type view struct {
	txn   *badger.Txn
	users atomic.Int64
}

func (e *Engine) newView() *view {
	v := &view{txn: e.db.NewTransaction(false)}
	v.users.Store(1)
	return v
}

// leave ends the transaction after its last user.
func (v *view) leave() {
	if v.users.Add(-1) == 0 {
		v.txn.Discard()
	}
}

// NewIterator returns an iterator over the newest commit.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	return newIterator(&e.life, e.newView(), o), nil
}

// Snapshot returns a reader of the newest commit.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.life.Hold(lifetime.Snapshot)
	return &snapshot{life: &e.life, view: e.newView()}, nil
}

type snapshot struct {
	life *lifetime.Lifetime
	// mu keeps view, nil once closed, in place while a call uses it.
	mu   sync.RWMutex
	view *view
}

// Get appends the value of key to dst.
func (s *snapshot) Get(key, dst []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return dst, engine.ErrClosed
	}
	return get(s.view.txn, key, dst)
}

// NewIterator returns an iterator over the snapshot.
func (s *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return nil, engine.ErrClosed
	}
	s.view.users.Add(1)
	return newIterator(s.life, s.view, o), nil
}

// Close releases the snapshot.
func (s *snapshot) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		return engine.ErrClosed
	}
	s.view.leave()
	s.view = nil
	return s.life.Drop(lifetime.Snapshot)
}

// iterator turns two of Badger's, which go one way each, into one. Each is made
// when it is first needed: the transaction fixes the state that they show.
type iterator struct {
	life         *lifetime.Lifetime
	view         *view // nil once closed
	lower, upper []byte
	keysOnly     bool

	forward, backward *badger.Iterator
	// at is the one of the two that stands on the current entry, nil if none does.
	at *badger.Iterator
	// value is the current value once it was read, and memory for the next.
	value     []byte
	haveValue bool
	err       error
}

// newIterator takes over one use of v.
func newIterator(life *lifetime.Lifetime, v *view, o engine.IterOptions) engine.Iterator {
	life.Hold(lifetime.Iterator)
	return &iterator{
		life: life, view: v, keysOnly: o.KeysOnly,
		lower: bytes.Clone(o.Lower), upper: bytes.Clone(o.Upper),
	}
}

// made returns the one of the two that *it is, and makes it if it is not there.
func (i *iterator) made(it **badger.Iterator) *badger.Iterator {
	if *it == nil {
		*it = i.view.txn.NewIterator(badger.IteratorOptions{Reverse: it == &i.backward})
	}
	return *it
}

// from moves to the first entry whose key is >= key.
func (i *iterator) from(key []byte) bool {
	it := i.made(&i.forward)
	it.Seek(key) // of the empty key, to the first
	return i.stand(it)
}

// stand takes the entry of from if it has one within the bounds.
func (i *iterator) stand(from *badger.Iterator) bool {
	i.at, i.haveValue = nil, false
	if !from.Valid() {
		return false
	}
	key := from.Item().Key()
	if string(key) < string(i.lower) || i.upper != nil && string(key) >= string(i.upper) {
		return false
	}
	i.at = from
	return true
}

// movable reports whether a move may be tried; if not, it stands on no entry.
func (i *iterator) movable() bool {
	if i.view == nil || i.err != nil {
		i.at = nil
		return false
	}
	return true
}

// First moves to the first entry.
func (i *iterator) First() bool {
	if !i.movable() {
		return false
	}
	return i.from(i.lower)
}

// Last moves to the last entry.
func (i *iterator) Last() bool {
	if !i.movable() {
		return false
	}
	if i.upper != nil {
		return i.before(i.upper)
	}
	back := i.made(&i.backward)
	back.Rewind()
	return i.stand(back)
}

// SeekGE moves to the first entry at or after key.
func (i *iterator) SeekGE(key []byte) bool {
	if !i.movable() {
		return false
	}
	if string(key) < string(i.lower) {
		key = i.lower
	}
	return i.from(key)
}

// SeekLT moves to the last entry before key.
func (i *iterator) SeekLT(key []byte) bool {
	if !i.movable() {
		return false
	}
	if i.upper != nil && string(key) > string(i.upper) {
		key = i.upper
	}
	return i.before(key)
}

// before moves to the last entry whose key is < key.
func (i *iterator) before(key []byte) bool {
	if len(key) == 0 { // Badger would seek to the last
		i.at = nil
		return false
	}
	back := i.made(&i.backward)
	back.Seek(key)
	if back.Valid() && string(back.Item().Key()) == string(key) {
		back.Next()
	}
	return i.stand(back)
}

// Next moves to the next entry.
func (i *iterator) Next() bool {
	if i.at == nil || !i.movable() {
		return false
	}
	it := i.made(&i.forward)
	if i.at == i.backward {
		it.Seek(i.at.Item().Key())
	}
	it.Next()
	return i.stand(it)
}

// Prev moves to the entry before.
func (i *iterator) Prev() bool {
	if i.at == nil || !i.movable() {
		return false
	}
	if i.at == i.forward {
		return i.before(i.at.Item().Key())
	}
	i.backward.Next()
	return i.stand(i.backward)
}

// Key returns the current key.
func (i *iterator) Key() []byte {
	if i.at == nil {
		return nil
	}
	return i.at.Item().Key()
}

// Value returns the current value.
func (i *iterator) Value() ([]byte, error) {
	switch {
	case i.keysOnly:
		return nil, fmt.Errorf("value: %w: the iterator was opened for keys only", engine.ErrUnsupported)
	case i.at == nil:
		return nil, engine.ErrNotFound
	case i.haveValue:
		return i.value, nil
	}
	value, err := i.at.Item().ValueCopy(i.value[:0])
	if err != nil {
		i.err = engine.KeyError("value", i.Key(), translate(err))
		i.at = nil
		return nil, i.err
	}
	i.value, i.haveValue = value, true
	return value, nil
}

// Err returns the first error met.
func (i *iterator) Err() error { return i.err }

// Close releases the iterator.
func (i *iterator) Close() error {
	if i.view == nil {
		return engine.ErrClosed
	}
	for _, it := range []*badger.Iterator{i.forward, i.backward} {
		if it != nil {
			it.Close()
		}
	}
	i.view.leave()
	i.view, i.at = nil, nil
	if err := i.life.Drop(lifetime.Iterator); i.err == nil {
		return err
	}
	return i.err
}
