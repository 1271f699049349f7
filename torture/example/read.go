package example

import (
	"bytes"
	"sync/atomic"

	"github.com/tidwall/btree"

	"github.com/orbit-persistence/orbit/engine"
)

// Get implements engine.Reader.
func (e *Engine) Get(key, dst []byte) ([]byte, error) { return get(e.newest.Load(), key, dst) }

// get reads from a state, which is nil where the handle is closed.
func get(s *state, key, dst []byte) ([]byte, error) {
	if s == nil {
		return dst, engine.ErrClosed
	}
	n, ok := s.tree.Get(entry{key: key})
	if !ok {
		return dst, engine.ErrNotFound
	}
	return append(dst, n.value...), nil
}

// Snapshot is one commit of an Engine.
type Snapshot struct {
	engine *Engine
	state  atomic.Pointer[state] // nil once it is closed
}

// Snapshot implements engine.Engine.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	s := &Snapshot{engine: e}
	s.state.Store(e.newest.Load())
	e.snapshots.Add(1)
	e.holders.Add(1)
	return s, nil
}

// Get implements engine.Reader.
func (s *Snapshot) Get(key, dst []byte) ([]byte, error) { return get(s.state.Load(), key, dst) }

// Sequence implements engine.SequencedSnapshot; 0 once it is closed.
func (s *Snapshot) Sequence() uint64 {
	if at := s.state.Load(); at != nil {
		return at.sequence
	}
	return 0
}

// NewIterator implements engine.Reader.
func (s *Snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	at := s.state.Load()
	if at == nil {
		return nil, engine.ErrClosed
	}
	return s.engine.iterate(at, o), nil
}

// Close implements engine.Snapshot.
func (s *Snapshot) Close() error {
	if s.state.Swap(nil) == nil {
		return engine.ErrClosed
	}
	s.engine.snapshots.Add(-1)
	return s.engine.drop()
}

// NewIterator implements engine.Reader.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.RUnlock()
	return e.iterate(e.newest.Load(), o), nil
}

func (e *Engine) iterate(s *state, o engine.IterOptions) *iterator {
	it := newIterator(s.tree, o)
	it.engine = e
	e.iterators.Add(1)
	e.holders.Add(1)
	return it
}

// iterator walks one state. at is the entry on which it stands, if on is set.
type iterator struct {
	engine  *Engine
	inner   btree.IterG[entry]
	options engine.IterOptions
	at      entry
	on      bool
	closed  bool
}

func newIterator(tree *btree.BTreeG[entry], o engine.IterOptions) *iterator {
	o.Lower, o.Upper = bytes.Clone(o.Lower), bytes.Clone(o.Upper)
	it := &iterator{options: o}
	it.inner.Init(tree, false)
	return it
}

// stand takes the inner iterator's entry, if there is one and it is within the
// bounds.
func (it *iterator) stand(ok bool) bool {
	it.at, it.on = entry{}, false
	if !ok {
		return false
	}
	at, o := it.inner.Item(), it.options
	if o.Lower != nil && bytes.Compare(at.key, o.Lower) < 0 || o.Upper != nil && bytes.Compare(at.key, o.Upper) >= 0 {
		return false
	}
	it.at, it.on = at, true
	return true
}

func (it *iterator) First() bool {
	if it.closed {
		return false
	}
	if it.options.Lower != nil {
		return it.stand(it.inner.Seek(entry{key: it.options.Lower}))
	}
	return it.stand(it.inner.First())
}

func (it *iterator) Last() bool {
	if it.closed {
		return false
	}
	if it.options.Upper != nil {
		return it.before(it.options.Upper)
	}
	return it.stand(it.inner.Last())
}

func (it *iterator) SeekGE(key []byte) bool {
	if it.closed {
		return false
	}
	if bytes.Compare(key, it.options.Lower) < 0 {
		key = it.options.Lower
	}
	return it.stand(it.inner.Seek(entry{key: key}))
}

func (it *iterator) SeekLT(key []byte) bool {
	if it.closed {
		return false
	}
	if upper := it.options.Upper; upper != nil && bytes.Compare(key, upper) > 0 {
		key = upper
	}
	return it.before(key)
}

// before moves to the last entry before key.
func (it *iterator) before(key []byte) bool {
	if it.inner.Seek(entry{key: key}) {
		return it.stand(it.inner.Prev())
	}
	return it.stand(it.inner.Last())
}

func (it *iterator) Next() bool { return it.on && it.stand(it.inner.Next()) }
func (it *iterator) Prev() bool { return it.on && it.stand(it.inner.Prev()) }

func (it *iterator) Key() []byte { return it.at.key }

func (it *iterator) Value() ([]byte, error) {
	switch {
	case it.closed:
		return nil, engine.ErrClosed
	case !it.on:
		return nil, engine.ErrNotFound
	case it.options.KeysOnly:
		return nil, engine.ErrUnsupported
	}
	return it.at.value, nil
}

func (it *iterator) Err() error { return nil } // memory has none

func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.stand(false)
	it.closed = true
	it.inner = btree.IterG[entry]{} // lets go of the state
	it.engine.iterators.Add(-1)
	return it.engine.drop()
}
