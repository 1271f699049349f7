package lsm

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
)

// iterator merges the sources of a state. order has those that stand on an entry, by key
// in the direction of the walk, of one key the newest source first.
type iterator struct {
	e       *Engine
	st      *state
	family  int // the length of what stands before the keys
	options engine.IterOptions
	// lower and upper bound the keys, with the number of their family.
	lower, upper []byte
	upperHead    uint64
	*parts
	forward bool
	// ranged says that some source has tombstones of ranges.
	ranged bool
	// limit is set while the walk goes forward, no ranges are deleted, and what it stands
	// on is of a run: up to there, nothing but that run has to be looked at.
	limit     []byte
	limitHead uint64
	// key and value are what it stands on; value may have to be fetched.
	key     []byte
	current *merged
	value   []byte
	seek    []byte
	err     error
	closed  bool
}

// parts are what an iterator is made of that is worth keeping for the next one.
type parts struct {
	sources []merged
	order   []*merged
	mems    []memSource
	runs    []runSource
}

var partsPool = sync.Pool{New: func() any { return new(parts) }}

// reserve makes room for so many sources, so that they stay where they are.
func (p *parts) reserve(mems, runs int) {
	p.mems = slices.Grow(p.mems[:0], mems)
	p.runs = slices.Grow(p.runs[:0], runs)
	p.sources = slices.Grow(p.sources[:0], mems+runs)
	p.order = slices.Grow(p.order[:0], mems+runs)
}

func (p *parts) add(s source, ranged bool) {
	p.sources = append(p.sources, merged{source: s, e: s.entry(), index: len(p.sources), ranged: ranged})
}

func (p *parts) addMem(m *memtable, ranges *rangeSets, at uint64) {
	p.mems = p.mems[:len(p.mems)+1]
	s := &p.mems[len(p.mems)-1]
	s.reset(m, ranges, at)
	p.add(s, ranges != nil)
	p.sources[len(p.sources)-1].mem = s
}

func (p *parts) addRun(r *run, at uint64) {
	p.runs = p.runs[:len(p.runs)+1]
	s := &p.runs[len(p.runs)-1]
	s.reset(r, at)
	p.add(s, r.ranged)
	p.sources[len(p.sources)-1].run = s
}

// giveBack lets go of what the parts are of.
func (p *parts) giveBack() {
	for i := range p.mems {
		p.mems[i].forget()
	}
	for i := range p.runs {
		p.runs[i].forget()
	}
	clear(p.sources)
	clear(p.order[:cap(p.order)])
	partsPool.Put(p)
}

// merged is a source in a merge.
type merged struct {
	source
	e     *entry
	head  uint64
	index int
	// span is what its tombstones do around the last key that was asked for; asked says
	// that there is one.
	span  span
	asked bool
	// ranged says that it has tombstones at all.
	ranged bool
	// mem or run is the source.
	mem *memSource
	run *runSource
}

// NewIterator implements engine.Reader.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	return e.iterate(0, o, latest)
}

// iterate returns an iterator over a family, as a reader at a version sees it.
func (e *Engine) iterate(f engine.FamilyID, o engine.IterOptions, at uint64) (engine.Iterator, error) {
	if at == latest {
		if err := e.enter(); err != nil {
			return nil, err
		}
		defer e.life.Exit()
	}
	e.life.Hold(lifetime.Iterator)
	v := view{state: e.hold()}
	e.lookAt(&v, at)
	it := &iterator{e: e, st: v.state, options: o}
	it.family = len(appendPrefix(nil, f))
	it.lower, it.upper = familyBounds(f, o.Lower, o.Upper)
	it.upperHead = headOf(it.upper)
	it.parts = partsPool.Get().(*parts)
	it.reserve(1+len(v.queue), len(v.queue)+len(v.levels.runs))
	addRun := func(r *run) {
		if len(r.overlap(it.lower, it.upper)) > 0 {
			it.addRun(r, v.at)
		}
	}
	if !v.mem.untouched() {
		it.addMem(v.mem, v.ranges, v.at)
	}
	for _, q := range v.queue {
		if q.mem != nil {
			it.addMem(q.mem, q.mem.ranges.Load(), v.at)
		} else {
			addRun(q.run)
		}
	}
	for _, r := range v.levels.runs {
		addRun(r)
	}
	for i := range it.sources {
		it.ranged = it.ranged || it.sources[i].ranged
	}
	return it, nil
}

// untouched reports, to readers, whether there is nothing in a memtable.
func (m *memtable) untouched() bool { return m.trie.records.Load() == 0 && m.ranges.Load() == nil }

// before reports whether a comes before b in the direction of the walk.
func (it *iterator) before(a, b *merged) bool {
	if a.head != b.head {
		return (a.head < b.head) == it.forward
	}
	if c := bytes.Compare(a.e.key, b.e.key); c != 0 {
		return (c < 0) == it.forward
	}
	return a.index < b.index
}

// place puts order[i] in its place among those behind it.
func (it *iterator) place(i int) {
	o := it.order
	m := o[i]
	for i+1 < len(o) && !it.before(m, o[i+1]) {
		o[i] = o[i+1]
		i++
	}
	o[i] = m
}

// insert puts a source into the order.
func (it *iterator) insert(m *merged) {
	m.head = headOf(m.e.key)
	it.order = append(it.order, m)
	for i := len(it.order) - 1; i > 0 && it.before(m, it.order[i-1]); i-- {
		it.order[i], it.order[i-1] = it.order[i-1], it.order[i]
	}
}

// moved takes order[i], which has moved, to its place, or out if it stands nowhere.
func (it *iterator) moved(i int, ok bool) bool {
	m := it.order[i]
	if !ok {
		if err := m.err(); err != nil {
			it.fail(err)
			return false
		}
		it.order = append(it.order[:i], it.order[i+1:]...)
		return true
	}
	m.head = headOf(m.e.key)
	it.place(i)
	return true
}

func (it *iterator) fail(err error) {
	if it.err == nil {
		it.err = fmt.Errorf("iterate: %w", err)
	}
	it.order = it.order[:0]
	it.stop()
}

// stop makes the iterator stand nowhere.
func (it *iterator) stop() bool {
	it.current, it.key, it.limit = nil, nil, nil
	return false
}

// start makes all sources stand at a key, or before it, and takes the first entry.
func (it *iterator) start(key []byte, forward bool) bool {
	if it.err != nil || it.closed {
		return it.stop()
	}
	it.forward = forward
	it.order = it.order[:0]
	for i := range it.sources {
		m := &it.sources[i]
		m.asked = false
		ok := false
		if forward {
			ok = m.seekGE(key)
		} else {
			ok = m.seekLT(key)
		}
		if ok {
			it.insert(m)
		} else if err := m.err(); err != nil {
			it.fail(err)
			return false
		}
	}
	return it.settle()
}

// settle takes the first entry of the order that is not deleted, and within the bounds.
func (it *iterator) settle() bool {
	it.limit = nil
	for len(it.order) > 0 {
		m := it.order[0]
		if it.forward && m.head >= it.upperHead && bytes.Compare(m.e.key, it.upper) >= 0 || !it.forward && bytes.Compare(m.e.key, it.lower) < 0 {
			break
		}
		deleted := m.e.kind == kindDelete
		if it.ranged {
			covered, skipped := it.deleted(m)
			if it.err != nil {
				return false
			} else if skipped {
				continue
			}
			deleted = deleted || covered
		}
		if !deleted {
			it.current, it.key, it.value = m, m.e.key[it.family:], nil
			if m.run != nil && it.forward && !it.ranged {
				it.bound(m)
			}
			return true
		}
		if !it.step() {
			return false
		}
	}
	return it.stop()
}

// bound sets the limit of what is of the run alone that the walk stands on. Where another
// source has the key too, there is none: that source has to move first.
func (it *iterator) bound(m *merged) {
	it.limit, it.limitHead = it.upper, it.upperHead
	if len(it.order) == 1 {
		return
	}
	next := it.order[1]
	switch {
	case next.head > it.limitHead || next.head == it.limitHead && bytes.Compare(next.e.key, it.limit) >= 0:
	case next.head == m.head && bytes.Equal(next.e.key, m.e.key):
		it.limit = nil
	default:
		it.limit, it.limitHead = next.e.key, next.head
	}
}

// deleted reports whether tombstones delete the entry of a source. Where those of a newer
// source do, older ones pass over all of the span, and skipped is true.
func (it *iterator) deleted(m *merged) (deleted, skipped bool) {
	for i := range m.index + 1 {
		s := &it.sources[i]
		if !s.ranged {
			continue
		}
		if !s.asked || !s.span.contains(m.e.key) {
			s.span, s.asked = s.cover(m.e.key), true
			if err := s.err(); err != nil {
				it.fail(err)
				return false, false
			}
		}
		if s.span.version == 0 {
			continue
		}
		if i == m.index {
			return s.span.version > m.e.version, false
		}
		it.pass(i, s.span)
		return true, true
	}
	return false, false
}

// pass moves all sources older than one out of a span that it deletes.
func (it *iterator) pass(newer int, s span) {
	for i := 0; i < len(it.order); {
		m := it.order[i]
		if m.index <= newer || !s.contains(m.e.key) {
			i++
			continue
		}
		ok := false
		switch {
		case it.forward && s.upper != nil:
			ok = m.seekGE(s.upper)
		case !it.forward && s.lower != nil:
			ok = m.seekLT(s.lower)
		}
		if !it.moved(i, ok) {
			return
		}
	}
}

// step moves all sources behind the key that the first one stands on.
func (it *iterator) step() bool {
	m := it.order[0]
	for len(it.order) > 1 && it.order[1].head == m.head && bytes.Equal(it.order[1].e.key, m.e.key) {
		if !it.moved(1, it.advance(it.order[1])) {
			return false
		}
	}
	if m.mem != nil && m.e.kind == kindDelete {
		// Up to where another source has something, the dead hide nothing.
		limit := it.upper
		switch {
		case len(it.order) > 1:
			limit = it.order[1].e.key
		case !it.forward:
			limit = it.lower
		}
		return it.moved(0, m.mem.passDead(limit, !it.forward))
	}
	return it.moved(0, it.advance(m))
}

func (it *iterator) advance(m *merged) bool {
	if it.forward {
		return m.next()
	}
	return m.prev()
}

// First implements engine.Iterator.
func (it *iterator) First() bool { return it.start(it.lower, true) }

// Last implements engine.Iterator.
func (it *iterator) Last() bool { return it.start(it.upper, false) }

// SeekGE implements engine.Iterator.
func (it *iterator) SeekGE(key []byte) bool {
	it.seek = append(append(it.seek[:0], it.lower[:it.family]...), key...)
	if bytes.Compare(it.seek, it.lower) < 0 {
		return it.First()
	}
	return it.start(it.seek, true)
}

// SeekLT implements engine.Iterator.
func (it *iterator) SeekLT(key []byte) bool {
	it.seek = append(append(it.seek[:0], it.lower[:it.family]...), key...)
	if bytes.Compare(it.seek, it.upper) > 0 {
		return it.Last()
	}
	return it.start(it.seek, false)
}

// Next implements engine.Iterator.
func (it *iterator) Next() bool {
	if it.limit == nil {
		return it.move(true)
	}
	m := it.current
	moved, within := m.run.nextBefore(it.limit, it.limitHead)
	switch {
	case within:
		it.key, it.value = m.e.key[it.family:], nil
		return true
	case moved:
		m.head = headOf(m.e.key)
		it.place(0)
		return it.settle()
	}
	return it.move(true)
}

// Prev implements engine.Iterator.
func (it *iterator) Prev() bool { return it.move(false) }

func (it *iterator) move(forward bool) bool {
	if it.current == nil || it.err != nil {
		return it.stop()
	}
	if it.forward == forward {
		if !it.step() {
			return it.stop()
		}
		return it.settle()
	}
	it.seek = append(it.seek[:0], it.current.e.key...)
	if forward {
		it.seek = append(it.seek, 0)
	}
	return it.start(it.seek, forward)
}

// Key implements engine.Iterator.
func (it *iterator) Key() []byte { return it.key }

// Value implements engine.Iterator.
func (it *iterator) Value() ([]byte, error) {
	switch {
	case it.current == nil:
		return nil, engine.ErrNotFound
	case it.options.KeysOnly:
		return nil, fmt.Errorf("value: %w: the iterator has keys only", engine.ErrUnsupported)
	case it.current.e.kind != kindApart:
		return it.current.e.value, nil
	}
	if it.value == nil {
		value, err := it.st.levels.value(it.current.e.value, []byte{})
		if err != nil {
			return nil, engine.KeyError("read value", it.key, err)
		}
		it.value = value
	}
	return it.value, nil
}

// Err implements engine.Iterator.
func (it *iterator) Err() error { return it.err }

// Close implements engine.Iterator.
func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.closed = true
	it.stop()
	it.e.releaseState(it.st)
	it.parts.giveBack()
	it.parts = nil
	if err := it.e.life.Drop(lifetime.Iterator); it.err == nil {
		return err
	}
	return it.err
}
