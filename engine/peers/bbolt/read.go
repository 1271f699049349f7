package bbolt

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// Get appends the value of key to dst.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	if err := e.life.Enter(); err != nil {
		return dst, err
	}
	defer e.life.Exit()
	tx, err := e.db.Begin(false)
	if err != nil {
		return dst, engine.KeyError("get", key, translate(err))
	}
	dst, err = get(tx.Bucket(bucketName), key, dst)
	if endErr := tx.Rollback(); err == nil && endErr != nil {
		err = engine.KeyError("get", key, endErr)
	}
	return dst, err
}

func get(bucket *bolt.Bucket, key, dst []byte) ([]byte, error) {
	value := bucket.Get(key)
	if value == nil {
		return dst, engine.ErrNotFound
	}
	return append(dst, value...), nil
}

// view is a read transaction with the number of its users. Reads of one
// transaction may run at once if they share the bucket: only the look-up of a
// bucket changes the transaction.
type view struct {
	tx     *bolt.Tx
	bucket *bolt.Bucket
	users  atomic.Int64
}

func (e *Engine) newView() (*view, error) {
	tx, err := e.db.Begin(false)
	if err != nil {
		return nil, translate(err)
	}
	v := &view{tx: tx, bucket: tx.Bucket(bucketName)}
	v.users.Store(1)
	return v, nil
}

// leave ends the transaction after its last user.
func (v *view) leave() error {
	if v.users.Add(-1) > 0 {
		return nil
	}
	return v.tx.Rollback()
}

// NewIterator returns an iterator over the newest commit.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	v, err := e.newView()
	if err != nil {
		return nil, fmt.Errorf("new iterator: %w", err)
	}
	return newIterator(&e.life, v, o), nil
}

// Snapshot returns a reader of the newest commit.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.life.Enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	v, err := e.newView()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	e.life.Hold(lifetime.Snapshot)
	return &snapshot{life: &e.life, view: v}, nil
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
	return get(s.view.bucket, key, dst)
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
	err := s.view.leave()
	s.view = nil
	if dropErr := s.life.Drop(lifetime.Snapshot); err == nil {
		err = dropErr
	}
	return err
}

type iterator struct {
	life         *lifetime.Lifetime
	view         *view // nil once closed
	cursor       *bolt.Cursor
	lower, upper []byte
	keysOnly     bool
	// key is nil where it stands on no entry; both alias the map.
	key, value []byte
}

// newIterator takes over one use of v.
func newIterator(life *lifetime.Lifetime, v *view, o engine.IterOptions) engine.Iterator {
	life.Hold(lifetime.Iterator)
	return &iterator{
		life: life, view: v, cursor: v.bucket.Cursor(), keysOnly: o.KeysOnly,
		lower: bytes.Clone(o.Lower), upper: bytes.Clone(o.Upper),
	}
}

// stand takes the cursor's entry if it lies within the bounds.
func (i *iterator) stand(key, value []byte) bool {
	if key == nil || bytes.Compare(key, i.lower) < 0 || i.upper != nil && bytes.Compare(key, i.upper) >= 0 {
		i.key, i.value = nil, nil
		return false
	}
	i.key, i.value = key, value
	return true
}

// First moves to the first entry.
func (i *iterator) First() bool {
	if i.view == nil {
		return false
	}
	return i.stand(i.cursor.Seek(i.lower))
}

// Last moves to the last entry.
func (i *iterator) Last() bool {
	if i.view == nil {
		return false
	}
	if i.upper == nil {
		return i.stand(i.cursor.Last())
	}
	return i.stand(i.before(i.upper))
}

// before moves the cursor to the last entry whose key is < key.
func (i *iterator) before(key []byte) ([]byte, []byte) {
	if k, _ := i.cursor.Seek(key); k == nil {
		return i.cursor.Last()
	}
	return i.cursor.Prev()
}

// SeekGE moves to the first entry at or after key.
func (i *iterator) SeekGE(key []byte) bool {
	if i.view == nil {
		return false
	}
	if bytes.Compare(key, i.lower) < 0 {
		key = i.lower
	}
	return i.stand(i.cursor.Seek(key))
}

// SeekLT moves to the last entry before key.
func (i *iterator) SeekLT(key []byte) bool {
	if i.view == nil {
		return false
	}
	if i.upper != nil && bytes.Compare(key, i.upper) > 0 {
		key = i.upper
	}
	return i.stand(i.before(key))
}

// Next moves to the next entry.
func (i *iterator) Next() bool { return i.key != nil && i.stand(i.cursor.Next()) }

// Prev moves to the entry before.
func (i *iterator) Prev() bool { return i.key != nil && i.stand(i.cursor.Prev()) }

// Key returns the current key.
func (i *iterator) Key() []byte { return i.key }

// Value returns the current value.
func (i *iterator) Value() ([]byte, error) {
	switch {
	case i.keysOnly:
		return nil, fmt.Errorf("value: %w: the iterator was opened for keys only", engine.ErrUnsupported)
	case i.key == nil:
		return nil, engine.ErrNotFound
	}
	return i.value, nil
}

// Err returns nil: a cursor has no errors.
func (i *iterator) Err() error { return nil }

// Close releases the iterator.
func (i *iterator) Close() error {
	if i.view == nil {
		return engine.ErrClosed
	}
	err := i.view.leave()
	i.view, i.cursor, i.key, i.value = nil, nil, nil, nil
	if dropErr := i.life.Drop(lifetime.Iterator); err == nil {
		err = dropErr
	}
	return err
}
