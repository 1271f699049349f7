package cowbtree

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// lookup is one key of a MultiGet, on its way down.
type lookup struct {
	id      uint64
	hint    uint32
	frame   *frame
	version uint64
	record  int
	fp      byte
}

type lookups struct {
	each   []lookup
	values []byte
	ends   []int
}

var lookupsPool = sync.Pool{New: func() any { return new(lookups) }}

// MultiGet implements engine.MultiGetter. All keys go down the tree together, a level
// at a time, so that the misses of the processor's cache, which a get has one after
// the other, are under way at the same time.
func (e *Engine) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if e.closed.Load() {
		return engine.ErrClosed
	}
	m := lookupsPool.Get().(*lookups)
	defer lookupsPool.Put(m)
	for tries := 0; ; tries++ {
		sequence, rt := e.seq.Load(), e.root.Load()
		err := e.tryMultiGet(keys, m)
		// Commits change leaves in place: what was read is one state only if there was
		// none meanwhile.
		if err == nil && e.seq.Load() == sequence {
			break
		}
		if err != nil && err != errAgain && (e.root.Load() == rt && e.seq.Load() == sequence || tries >= mostLate) { // see get
			return err
		}
		if e.closed.Load() && e.gone() {
			return engine.ErrClosed
		}
		if tries > 8+len(keys) {
			return e.multiGetOfSnapshot(keys, found)
		}
		runtime.Gosched()
	}
	from := 0
	for i, end := range m.ends {
		if end < 0 {
			found(i, nil, false)
			continue
		}
		found(i, m.values[from:end:end], true)
		from = end
	}
	return nil
}

// multiGetOfSnapshot is MultiGet where commits come too fast.
func (e *Engine) multiGetOfSnapshot(keys [][]byte, found func(i int, value []byte, present bool)) error {
	s, err := e.Snapshot()
	if err != nil {
		return err
	}
	defer s.Close()
	var value []byte
	for i, key := range keys {
		switch value, err = s.Get(key, value[:0]); {
		case err == engine.ErrNotFound:
			found(i, nil, false)
		case err != nil:
			return err
		default:
			found(i, value, true)
		}
	}
	return nil
}

// tryMultiGet looks for the keys once, and leaves the values that it finds, one
// behind the other, and where each ends, -1 for none.
func (e *Engine) tryMultiGet(keys [][]byte, m *lookups) error {
	if raceEnabled {
		defer e.alone()()
	}
	if cap(m.each) < len(keys) {
		m.each = make([]lookup, len(keys))
		m.ends = make([]int, len(keys))
	}
	m.each, m.ends, m.values = m.each[:len(keys)], m.ends[:len(keys)], m.values[:0]
	rt := e.root.Load()
	for i, key := range keys {
		m.each[i] = lookup{id: rt.ref.id, hint: rt.ref.hint, fp: fingerprint(key)}
	}
	for level := rt.level; level > 0; level-- {
		lines := leafLines
		if level == 2 {
			lines = innerLines
		}
		for i := range m.each {
			l := &m.each[i]
			f := e.cache.frame(l.hint)
			if f == nil {
				return e.multiGetMiss(keys[i])
			}
			v := f.version.Load()
			if v&1 == 1 || !f.is(l.id) {
				return e.multiGetMiss(keys[i])
			}
			f.use(innerChances)
			b := f.page()
			_, at, ok := childRefFor(b, keys[i])
			if !ok {
				return errAgain
			}
			l.id, l.hint = u64(b, at), hintAt(b, at)
			if f.version.Load() != v {
				return errAgain
			}
			// By the time that its turn comes, the page below is near.
			if level <= 2 {
				if f := e.cache.frame(l.hint); f != nil {
					prefetch.Lines(unsafe.Pointer(f), lines)
				}
			}
		}
	}
	for i := range m.each {
		// The records, likewise.
		l := &m.each[i]
		if l.frame = e.cache.frame(l.hint); l.frame == nil {
			return e.multiGetMiss(keys[i])
		}
		l.version = l.frame.version.Load()
		l.record = nearRecord(l.frame.page(), l.fp)
	}
	for i, key := range keys {
		l := &m.each[i]
		f := l.frame
		if l.version&1 == 1 || !f.is(l.id) {
			return e.multiGetMiss(key)
		}
		f.use(leafChances)
		b := f.page()
		value, extent, there, ok := isKeyAt(b, l.record, key)
		if !there {
			value, extent, there, ok = findInLeaf(b, key, l.fp)
		}
		if !ok {
			return errAgain
		}
		m.ends[i] = -1
		if there {
			if extent {
				out, err := e.getExtent(f, l.version, value, m.values)
				if err != nil {
					return err
				}
				m.values = out
			} else {
				m.values = append(m.values, value...)
			}
			m.ends[i] = len(m.values)
		}
		if f.version.Load() != l.version {
			return errAgain
		}
	}
	return nil
}

// multiGetMiss brings the leaf of a key into memory, and asks for another try.
func (e *Engine) multiGetMiss(key []byte) error {
	if _, _, err := e.leafFor(&e.root, key, leafLines); err != nil && err != errAgain {
		return engine.KeyError("get", key, err)
	}
	return errAgain
}

// nearRecord returns the offset of the record that a get will look at first, and
// brings it near; 0 if there is none.
func nearRecord(b []byte, fp byte) int {
	kind, count, capacity := counts(b)
	if kind != kindLeaf || count == 0 || count > capacity || leafDir(capacity) > len(b) {
		return 0
	}
	at := slotAt(b, headerBytes+capacity, firstInLeaf(b, count, fp))
	prefetch.Lines(unsafe.Add(unsafe.Pointer(&b[0]), at), 2)
	return at
}
