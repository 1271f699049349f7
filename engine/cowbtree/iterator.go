package cowbtree

import (
	"bytes"
	"fmt"
	"sync"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/lifetime"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// iterator walks a snapshot, a leaf at a time, of which it has a copy.
type iterator struct {
	engine *Engine
	tree   *tree
	// snapshot is what it holds; nil for one that the engine uses itself.
	snapshot     *snapshot
	lower, upper []byte // nil is open
	keysOnly     bool
	closed       bool
	err          error

	*iteratorMemory
	// at is the entry on which it stands, of those in [begin, end) that are within
	// the bounds; -1 for none.
	at, begin, end int
	count          int
	slots          int
	prefixed       int // how much of key is the leaf's prefix
	place          []byte
	value          []byte
}

// step is where a path goes on from an inner page, which was so at that version.
type step struct {
	frame   *frame
	version uint64
	i, of   int
}

// iteratorMemory is memory that iterators leave to others.
type iteratorMemory struct {
	leaf, spare, key, far []byte
	// path leads to the leaf: at each level above it, the page and the child.
	path [32]step
}

var iteratorPool = sync.Pool{New: func() any { return new(iteratorMemory) }}

// NewIterator implements engine.Reader.
func (e *Engine) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.life.Exit()
	e.lockCommits()
	s := e.take()
	e.mu.Unlock()
	return e.iteratorOf(s, o), nil
}

// NewIterator implements engine.Reader.
func (s *Snapshot) NewIterator(o engine.IterOptions) (engine.Iterator, error) {
	if s.closed.Load() {
		return nil, engine.ErrClosed
	}
	e := s.engine
	e.lockCommits()
	s.snapshot.holds++
	s.snapshot.readers++
	e.mu.Unlock()
	return e.iteratorOf(s.snapshot, o), nil
}

// iteratorOf returns an iterator over a snapshot that is held for it.
func (e *Engine) iteratorOf(s *snapshot, o engine.IterOptions) *iterator {
	e.life.Hold(lifetime.Iterator)
	it := e.iterate(&s.root, o)
	it.snapshot = s
	it.lower, it.upper = bytes.Clone(o.Lower), bytes.Clone(o.Upper)
	return it
}

// iterate returns an iterator over a tree that nothing changes meanwhile.
func (e *Engine) iterate(t *tree, o engine.IterOptions) *iterator {
	return &iterator{engine: e, tree: t, lower: o.Lower, upper: o.Upper, keysOnly: o.KeysOnly, at: -1, iteratorMemory: iteratorPool.Get().(*iteratorMemory)}
}

func (it *iterator) First() bool {
	if it.lower != nil {
		return it.seek(it.lower, false)
	}
	return it.seek(nil, false)
}

func (it *iterator) Last() bool {
	if it.upper != nil {
		return it.seek(it.upper, true)
	}
	if it.closed || it.err != nil {
		return false
	}
	if !it.walk(func() error { return it.descend(nil, true) }) {
		return false
	}
	it.at = it.end - 1
	return it.settleBack()
}

func (it *iterator) SeekGE(key []byte) bool {
	if it.lower != nil && bytes.Compare(key, it.lower) < 0 {
		key = it.lower
	}
	return it.seek(key, false)
}

func (it *iterator) SeekLT(key []byte) bool {
	if it.upper != nil && bytes.Compare(key, it.upper) > 0 {
		key = it.upper
	}
	return it.seek(key, true)
}

// seek moves to the first entry not below key, or, if back, to the last one below.
func (it *iterator) seek(key []byte, back bool) bool {
	if it.closed || it.err != nil {
		return false
	}
	if !it.walk(func() error { return it.descend(key, false) }) {
		return false
	}
	i, _, _ := lowerBound(it.leaf, key)
	if back {
		it.at = i - 1
		return it.settleBack()
	}
	it.at = i
	return it.settleAhead()
}

// walk repeats a step until the pages that it reads stand still.
func (it *iterator) walk(step func() error) bool {
	it.at = -1
	for tries := 0; ; tries++ {
		err := it.try(step)
		if err == nil {
			return true
		}
		if err == errAgain {
			err = again(tries)
		}
		if err != nil {
			it.err = fmt.Errorf("iterate: %w", err)
			return false
		}
	}
}

func (it *iterator) try(step func() error) error {
	if raceEnabled {
		defer it.engine.alone()()
	}
	return step()
}

// settleAhead goes on to the next leaf while at is behind the last entry.
func (it *iterator) settleAhead() bool {
	it.at = max(it.at, it.begin)
	for it.at >= it.end {
		if it.end < it.count || !it.next(1) {
			it.at = -1
			return false
		}
		it.at = it.begin
	}
	it.stand()
	return true
}

// settleBack does the same to the other side.
func (it *iterator) settleBack() bool {
	if it.at < 0 && it.begin > 0 {
		return false
	}
	it.at = min(it.at, it.end-1)
	for it.at < it.begin {
		if it.begin > 0 || !it.next(-1) {
			it.at = -1
			return false
		}
		it.at = it.end - 1
	}
	it.stand()
	return true
}

func (it *iterator) Next() bool {
	if it.at < 0 {
		return false
	}
	if it.at++; it.at < it.end {
		it.stand()
		return true
	}
	return it.settleAhead()
}

func (it *iterator) Prev() bool {
	if it.at < 0 {
		return false
	}
	if it.at--; it.at >= it.begin {
		it.stand()
		return true
	}
	return it.settleBack()
}

// stand reads the entry on which it stands.
func (it *iterator) stand() {
	suffix, value, extent, _ := record(it.leaf, slotAt(it.leaf, it.slots, it.at))
	it.key = append(it.key[:it.prefixed], suffix...)
	it.value, it.place = value, nil
	if extent {
		it.value, it.place = nil, value
	}
}

// descend leads the path to the leaf of a key, or, if last, to the last leaf.
func (it *iterator) descend(key []byte, last bool) error {
	rt := it.tree.Load()
	return it.down(rt, nil, 0, 0, rt.ref.id, rt.ref.hint, rt.level, func(b []byte) (int, bool) {
		if last {
			return pageCount(b) - 1, true
		}
		return childFor(b, key)
	})
}

// down leads the path from a reference, which is number n in parent, down to a leaf,
// and copies that.
func (it *iterator) down(rt *root, parent *frame, before uint64, n int, id uint64, hint uint32, level int, choose func([]byte) (int, bool)) error {
	e := it.engine
	for ; ; level-- {
		f := e.cache.frame(hint)
		var v uint64
		if f != nil {
			v = f.version.Load()
		}
		if hit := f != nil && v&1 == 0 && f.is(id); parent != nil && parent.version.Load() != before {
			return errAgain
		} else if f != nil && v&1 == 1 {
			return errAgain // as in leafFor
		} else if !hit {
			var err error
			if f, err = e.fault(it.tree, rt, parent, before, n, id); err != nil {
				return err
			}
			if v = f.version.Load(); v&1 == 1 || !f.is(id) {
				return errAgain
			}
		}
		b := f.page()
		if level == 0 {
			f.use(leafChances)
			return it.copyLeaf(f, v, b)
		}
		f.use(innerChances)
		i, ok := choose(b)
		count := pageCount(b)
		if !ok || i < 0 || i >= count {
			return errAgain
		}
		at := refAt(b, i)
		if at+hotBytes > len(b) {
			return errAgain
		}
		n = i
		id, hint = u64(b, at), hintAt(b, at)
		it.path[level] = step{frame: f, version: v, i: i, of: count}
		parent, before = f, v
	}
}

// copyLeaf takes a copy of a leaf, and the part of it that is within the bounds.
func (it *iterator) copyLeaf(f *frame, v uint64, b []byte) error {
	size, from, dir := int(u32(b, atSize)), int(u32(b, atHeap)), leafDir(u16(b, atCap))
	if b[atKind] != kindLeaf || size > len(b) || from > size || dir > from {
		return errAgain
	}
	it.spare = grow(it.spare, len(b))
	copy(it.spare, b[:dir])
	copy(it.spare[from:], b[from:size])
	if f.version.Load() != v {
		return errAgain
	}
	it.leaf, it.spare = it.spare, it.leaf
	it.count = pageCount(it.leaf)
	it.begin, it.end = 0, it.count
	it.slots = slotOfLeaf(it.leaf, u16(it.leaf, atCap))
	if it.lower != nil {
		it.begin, _, _ = lowerBound(it.leaf, it.lower)
	}
	if it.upper != nil {
		it.end, _, _ = lowerBound(it.leaf, it.upper)
	}
	p, _ := prefix(it.leaf)
	it.key = append(it.key[:0], p...)
	it.prefixed = len(p)
	return nil
}

// next takes the leaf after this one, or before it if by is -1; false at the end.
func (it *iterator) next(by int) bool {
	more := true
	ok := it.walk(func() error {
		rt := it.tree.Load()
		level := 1
		for level <= rt.level && (it.path[level].i+by < 0 || it.path[level].i+by >= it.path[level].of) {
			level++
		}
		if level > rt.level {
			more = false
			return nil
		}
		s := it.path[level]
		b := s.frame.page()
		i := s.i + by
		at := refAt(b, i)
		if at+hotBytes > len(b) || s.frame.version.Load() != s.version {
			return it.again()
		}
		id, hint := u64(b, at), hintAt(b, at)
		err := it.down(rt, s.frame, s.version, i, id, hint, level-1, func(b []byte) (int, bool) {
			if by > 0 {
				return 0, true
			}
			return pageCount(b) - 1, true
		})
		if err == errAgain {
			return it.again()
		}
		if err == nil {
			it.path[level].i = i
			it.ahead(by)
		}
		return err
	})
	return ok && more
}

// aheadLines is how much of the next leaf is asked for while this one is walked: what
// gets its copying under way, which the processor foresees from there on. More takes
// as long as it saves, and the whole leaf longer.
const aheadLines = 16

// ahead brings the leaf near that comes after this one.
func (it *iterator) ahead(by int) {
	s := it.path[1]
	if i := s.i + by; i >= 0 && i < s.of {
		b := s.frame.page()
		if at := refAt(b, i); at+hotBytes <= len(b) {
			if f := it.engine.cache.frame(hintAt(b, at)); f != nil {
				prefetch.Lines(unsafe.Pointer(f), aheadLines)
			}
		}
	}
}

// again finds the leaf anew by a key of it, where the path to it is not good any
// more, and asks for another try.
func (it *iterator) again() error {
	var key []byte
	if it.count > 0 {
		x, _ := entryAt(it.leaf, 0, nil)
		key = x.key
	}
	if err := it.descend(key, false); err != nil {
		return err
	}
	return errAgain
}

func (it *iterator) Key() []byte {
	if it.at < 0 {
		return nil
	}
	return it.key
}

func (it *iterator) Value() ([]byte, error) {
	switch {
	case it.closed:
		return nil, engine.ErrClosed
	case it.at < 0:
		return nil, engine.ErrNotFound
	case it.keysOnly:
		return nil, engine.ErrUnsupported
	case it.place == nil:
		return it.value, nil
	}
	far, err := it.engine.readExtent(readExtentRef(it.place), it.far[:0])
	if err != nil {
		return nil, engine.KeyError("iterate", it.key, err)
	}
	it.far = far
	return far, nil
}

func (it *iterator) Err() error { return it.err }

func (it *iterator) Close() error {
	if it.closed {
		return engine.ErrClosed
	}
	it.stop()
	if it.snapshot != nil {
		e := it.engine
		e.lockCommits()
		e.readDone(it.snapshot)
		e.mu.Unlock()
		if err := e.life.Drop(lifetime.Iterator); it.err == nil {
			it.err = err
		}
	}
	return it.err
}

// stop ends an iterator, and leaves its memory to others.
func (it *iterator) stop() {
	it.closed, it.at = true, -1
	if cap(it.far) > 1<<20 {
		it.far = nil
	}
	it.path[1] = step{} // by which leafID knows that there is none
	iteratorPool.Put(it.iteratorMemory)
	it.iteratorMemory = nil
}

// sameRange reports whether two iterators show the same, and ends both. Where both
// stand at the beginning of the same leaf they pass over it.
func sameRange(a, b *iterator) (bool, error) {
	defer a.stop()
	defer b.stop()
	x, y := a.First(), b.First()
	for x && y {
		if a.at == a.begin && b.at == b.begin && a.leafID() != 0 && a.leafID() == b.leafID() {
			a.at, b.at = a.end, b.end
			x, y = a.settleAhead(), b.settleAhead()
			continue
		}
		if !bytes.Equal(a.key, b.key) {
			return false, nil
		}
		v, err := a.Value()
		if err != nil {
			return false, err
		}
		w, err := b.Value()
		if err != nil {
			return false, err
		}
		if !bytes.Equal(v, w) {
			return false, nil
		}
		x, y = a.Next(), b.Next()
	}
	if a.err != nil || b.err != nil {
		return false, cmpOr(a.err, b.err)
	}
	return x == y, nil
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// leafID is the identity of the leaf, 0 if it is not known for sure.
func (it *iterator) leafID() uint64 {
	s := it.path[1]
	if raceEnabled || s.frame == nil || it.tree.Load().level == 0 {
		return 0
	}
	id := u64(s.frame.page(), refAt(s.frame.page(), s.i))
	if s.frame.version.Load() != s.version {
		return 0
	}
	return id
}
