package memory

import (
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/tidwall/btree"
)

// iterator walks one view. rec is the record on which it stands, nil for none.
type iterator struct {
	inner        btree.IterG[item]
	rec          *record
	lower, upper *record // nil is open
	keysOnly     bool
	closed       bool
	// open is the engine's count of open iterators; nil for one of its own.
	open *atomic.Int64
}

// NewIterator implements engine.Reader.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	defer e.lockAll()()
	if e.closed.Load() {
		return nil, engine.ErrClosed
	}
	e.openIterators.Add(1)
	return newIterator(e.newest(), o, &e.openIterators), nil
}

func newIterator(v *view, o engine.IterOptions, open *atomic.Int64) *iterator {
	it := &iterator{keysOnly: o.KeysOnly, open: open}
	if o.Lower != nil {
		it.lower = newRecord(o.Lower, nil)
	}
	if o.Upper != nil {
		it.upper = newRecord(o.Upper, nil)
	}
	it.inner.Init(v.tree, false)
	return it
}

// stand takes the inner iterator's entry, if it has one and it is within the
// bounds.
func (it *iterator) stand(ok bool) bool {
	it.rec = nil
	if !ok {
		return false
	}
	at := it.inner.Item()
	if it.upper != nil && !less(at, it.upper.item()) || it.lower != nil && less(at, it.lower.item()) {
		return false
	}
	it.rec = at.rec
	return true
}

func (it *iterator) First() bool {
	switch {
	case it.closed:
		return false
	case it.lower != nil:
		return it.stand(it.inner.Seek(it.lower.item()))
	}
	return it.stand(it.inner.First())
}

func (it *iterator) Last() bool {
	switch {
	case it.closed:
		return false
	case it.upper != nil:
		return it.before(it.upper)
	}
	return it.stand(it.inner.Last())
}

func (it *iterator) SeekGE(key []byte) bool {
	if it.closed {
		return false
	}
	to := newRecord(key, nil)
	if it.lower != nil && less(to.item(), it.lower.item()) {
		to = it.lower
	}
	return it.stand(it.inner.Seek(to.item()))
}

func (it *iterator) SeekLT(key []byte) bool {
	if it.closed {
		return false
	}
	to := newRecord(key, nil)
	if it.upper != nil && less(it.upper.item(), to.item()) {
		to = it.upper
	}
	return it.before(to)
}

// before moves to the last entry before to.
func (it *iterator) before(to *record) bool {
	if it.inner.Seek(to.item()) {
		return it.stand(it.inner.Prev())
	}
	return it.stand(it.inner.Last())
}

func (it *iterator) Next() bool { return it.rec != nil && it.stand(it.inner.Next()) }
func (it *iterator) Prev() bool { return it.rec != nil && it.stand(it.inner.Prev()) }

func (it *iterator) Key() []byte {
	if it.rec == nil {
		return nil
	}
	return it.rec.key()
}

func (it *iterator) Value() ([]byte, error) {
	switch {
	case it.closed:
		return nil, engine.ErrClosed
	case it.rec == nil:
		return nil, engine.ErrNotFound
	case it.keysOnly:
		return nil, engine.ErrUnsupported
	}
	return it.rec.value(), nil
}

func (it *iterator) Err() error { return nil }

func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.closed = true
	it.rec = nil
	it.inner = btree.IterG[item]{} // lets go of the view
	if it.open != nil {
		it.open.Add(-1)
	}
	return nil
}
