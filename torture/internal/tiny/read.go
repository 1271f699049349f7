package tiny

import (
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

func (e *Engine) view() *view {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

// Get implements engine.Engine.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return dst, err
	}
	return e.now.get(key, dst)
}

func (v *view) get(key, dst []byte) ([]byte, error) {
	if i, found := v.find(key); found {
		return append(dst, v.entries[i].value...), nil
	}
	return dst, engine.ErrNotFound
}

// NewIterator implements engine.Engine.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	v := e.view()
	return v.iterator(o, e.defect), nil
}

func (v *view) iterator(o engine.IterOptions, d Defect) *iterator {
	it := &iterator{entries: v.entries, at: -1, keysOnly: o.KeysOnly, defect: d}
	it.narrow(o)
	if d == KeepsBounds {
		it.bounds = o
	}
	return it
}

// narrow keeps to the bounds.
func (it *iterator) narrow(o engine.IterOptions) {
	v := &view{entries: it.entries}
	if o.Upper != nil {
		to, _ := v.find(o.Upper)
		it.entries = it.entries[:to]
	}
	if o.Lower != nil {
		from, _ := v.find(o.Lower)
		it.entries = it.entries[min(from, len(it.entries)):]
	}
}

// Snapshot implements engine.Engine.
func (e *Engine) Snapshot() (engine.Snapshot, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return nil, err
	}
	return &snapshot{e: e, v: e.now}, nil
}

type snapshot struct {
	e      *Engine
	v      *view
	closed bool
}

func (s *snapshot) shown() *view {
	if s.e.defect == SharedSnapshot {
		return s.e.view()
	}
	return s.v
}

func (s *snapshot) Get(key, dst []byte) ([]byte, error) { return s.shown().get(key, dst) }

func (s *snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return s.shown().iterator(o, None), nil
}

func (s *snapshot) Sequence() uint64 { return s.v.seq }

func (s *snapshot) Close() error {
	if s.closed {
		return engine.ErrClosed
	}
	s.closed = true
	return nil
}

type iterator struct {
	entries  []entry
	at       int
	keysOnly bool
	defect   Defect
	bounds   engine.IterOptions // for KeepsBounds
	closed   bool
}

func (it *iterator) valid() bool { return it.at >= 0 && it.at < len(it.entries) }

func (it *iterator) to(i int) bool {
	it.narrow(it.bounds)
	it.at = i
	return it.valid()
}

func (it *iterator) First() bool { return it.to(0) }
func (it *iterator) Last() bool  { return it.to(len(it.entries) - 1) }

func (it *iterator) SeekGE(key []byte) bool {
	i, _ := slices.BinarySearchFunc(it.entries, key, func(e entry, k []byte) int { return slices.Compare(e.key, k) })
	return it.to(i)
}

func (it *iterator) SeekLT(key []byte) bool {
	it.SeekGE(key)
	return it.to(it.at - 1)
}

func (it *iterator) Next() bool { return it.valid() && it.to(it.at+1) }

func (it *iterator) Prev() bool {
	if it.defect == BackwardsShort && it.at == 1 {
		return it.to(-1)
	}
	return it.valid() && it.to(it.at-1)
}

func (it *iterator) Key() []byte {
	if !it.valid() {
		return nil
	}
	return it.entries[it.at].key
}

func (it *iterator) Value() ([]byte, error) {
	switch {
	case !it.valid():
		return nil, engine.ErrNotFound
	case it.keysOnly:
		return nil, engine.ErrUnsupported
	}
	return it.entries[it.at].value, nil
}

func (it *iterator) Err() error { return nil }

func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.closed = true
	return nil
}
