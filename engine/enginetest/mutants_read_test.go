package enginetest_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
)

// panics is the one defect that is noticed by a panic.
const panics = "a get panics"

// after returns the first key behind key.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

// getting seeds a defect in what Get returns.
func getting(change func(key, dst, value []byte, err error) ([]byte, error)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		get := s.get
		s.get = func(key, dst []byte) ([]byte, error) {
			value, err := get(key, nil)
			return change(key, dst, value, err)
		}
	})
}

// iterating seeds a defect in every iterator.
func iterating(change func(*cursor)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) { s.onIterator = change })
}

// bounding seeds a defect in the options of the engine's iterators.
func bounding(change func(*engine.IterOptions)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) {
		inner := s.newIterator
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			change(&o)
			return inner(o)
		}
	})
}

// pinning seeds a defect in every snapshot.
func pinning(change func(*subject, *pin)) func(string) (engine.Engine, error) {
	return volatile(func(s *subject) { s.onSnapshot = func(p *pin) { change(s, p) } })
}

var readMutants = []mutant{
	{"point/put-get-delete", "a miss is an empty value", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		return append(dst, value...), nil
	})},
	{"point/put-get-delete", "a miss is nil without an error for a key that was deleted", volatile(func(s *subject) {
		deleted := map[string]bool{}
		s.edit(func(ops []engine.Op) []engine.Op {
			for _, op := range ops {
				deleted[string(op.Key)] = op.Kind == engine.OpDelete
			}
			return ops
		})
		get := s.get
		s.get = func(key, dst []byte) ([]byte, error) {
			value, err := get(key, dst)
			if deleted[string(key)] {
				err = nil
			}
			return value, err
		}
	})},
	{"point/put-get-delete", panics, getting(func([]byte, []byte, []byte, error) ([]byte, error) {
		panic("the engine's own")
	})},
	{"point/empty-value-is-a-value", "an empty value is a miss", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		if len(value) == 0 {
			return dst, engine.ErrNotFound
		}
		return append(dst, value...), err
	})},
	{"point/empty-value-is-a-value", "iterators skip empty values", iterating(func(c *cursor) {
		first, next := c.first, c.next
		skip := func(ok bool) bool {
			for ; ok; ok = next() {
				if v, _ := c.value(); len(v) > 0 {
					return true
				}
			}
			return false
		}
		c.first = func() bool { return skip(first()) }
		c.next = func() bool { return skip(next()) }
	})},
	{"point/empty-key", "iterators do not show the empty key", iterating(func(c *cursor) {
		first, next := c.first, c.next
		c.first = func() bool { return first() && (len(c.key()) > 0 || next()) }
	})},
	{"point/empty-key", "SeekLT stops short of the empty key", iterating(func(c *cursor) {
		seek := c.seekLT
		c.seekLT = func(key []byte) bool { return seek(key) && len(c.key()) > 0 }
	})},
	{"point/binary-keys-and-values", "values end at a nought", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		value, _, _ = bytes.Cut(value, []byte{0})
		return append(dst, value...), err
	})},
	{"point/get-appends-to-dst", "Get overwrites dst", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		if err != nil {
			return dst, err
		}
		return append(dst[:0], value...), nil
	})},
	{"point/get-appends-to-dst", "Get ignores dst", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		if err != nil {
			return dst, err
		}
		return value, nil
	})},
	{"point/get-appends-to-dst", "a miss returns nil for dst", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		if err != nil {
			return nil, err
		}
		return append(dst, value...), nil
	})},
	{"point/get-appends-to-dst", "a miss grows dst", getting(func(_, dst, value []byte, err error) ([]byte, error) {
		if err != nil {
			return append(dst, 0), err
		}
		return append(dst, value...), nil
	})},

	{"iterator/empty-store", "Key of a new iterator is empty, not nil", iterating(func(c *cursor) {
		key := c.key
		c.key = func() []byte { return append([]byte{}, key()...) }
	})},
	{"iterator/empty-store", "Value on no entry is no error", iterating(func(c *cursor) {
		value := c.value
		c.value = func() ([]byte, error) { v, _ := value(); return v, nil }
	})},
	{"iterator/no-position-no-step", "Next of a new iterator is First", iterating(func(c *cursor) {
		next := c.next
		c.next = func() bool {
			if c.key() == nil {
				return c.first()
			}
			return next()
		}
	})},
	{"iterator/no-position-no-step", "Prev of a new iterator is Last", iterating(func(c *cursor) {
		prev := c.prev
		c.prev = func() bool {
			if c.key() == nil {
				return c.last()
			}
			return prev()
		}
	})},
	{"iterator/no-position-no-step", "Next past the last stays on it", iterating(func(c *cursor) {
		next := c.next
		c.next = func() bool {
			if c.key() != nil && !next() {
				c.last()
				return false
			}
			return c.key() != nil
		}
	})},
	{"iterator/no-position-no-step", "an end is for ever", iterating(func(c *cursor) {
		first, next := c.first, c.next
		var ended bool
		c.next = func() bool { ended = !next(); return !ended }
		c.first = func() bool { return !ended && first() }
	})},
	{"iterator/every-seek-under-every-bound", "the upper bound is inclusive", bounding(func(o *engine.IterOptions) {
		if o.Upper != nil {
			o.Upper = after(o.Upper)
		}
	})},
	{"iterator/every-seek-under-every-bound", "the lower bound is exclusive", bounding(func(o *engine.IterOptions) {
		if o.Lower != nil {
			o.Lower = after(o.Lower)
		}
	})},
	{"iterator/every-seek-under-every-bound", "an empty upper bound is open", bounding(func(o *engine.IterOptions) {
		if len(o.Upper) == 0 {
			o.Upper = nil
		}
	})},
	{"iterator/every-seek-under-every-bound", "reversed bounds are swapped", bounding(func(o *engine.IterOptions) {
		if o.Upper != nil && bytes.Compare(o.Lower, o.Upper) > 0 {
			o.Lower, o.Upper = o.Upper, o.Lower
		}
	})},
	{"iterator/every-seek-under-every-bound", "SeekLT finds the key itself", iterating(func(c *cursor) {
		seek := c.seekLT
		c.seekLT = func(key []byte) bool { return seek(after(key)) }
	})},
	{"iterator/every-seek-under-every-bound", "SeekGE passes over the key itself", iterating(func(c *cursor) {
		seek := c.seekGE
		c.seekGE = func(key []byte) bool { return seek(after(key)) }
	})},
	{"iterator/every-seek-under-every-bound", "moves outside the bounds", volatile(func(s *subject) {
		// Only First and Last honour the bounds.
		inner := s.newIterator
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			bounded, err := inner(o)
			if err != nil {
				return nil, err
			}
			defer bounded.Close()
			first, last := []byte(nil), []byte(nil)
			if bounded.First() {
				first = bytes.Clone(bounded.Key())
				bounded.Last()
				last = bytes.Clone(bounded.Key())
			}
			i, err := s.iterate(s.base, engine.IterOptions{KeysOnly: o.KeysOnly})
			if err == nil {
				c := i.(*cursor)
				ge := c.seekGE
				c.first = func() bool { return first != nil && ge(first) }
				c.last = func() bool { return last != nil && ge(last) }
			}
			return i, err
		}
	})},
	{"iterator/every-seek-under-every-bound", "Prev after SeekGE skips an entry", iterating(func(c *cursor) {
		seek, prev := c.seekGE, c.prev
		var sought bool
		c.seekGE = func(key []byte) bool { sought = true; return seek(key) }
		c.prev = func() bool {
			ok := prev() && (!sought || prev())
			sought = false
			return ok
		}
	})},
	{"iterator/turning-round", "Prev after Next skips an entry", iterating(func(c *cursor) {
		next, prev := c.next, c.prev
		var forward bool
		c.next = func() bool { forward = true; return next() }
		c.prev = func() bool {
			ok := prev() && (!forward || prev())
			forward = false
			return ok
		}
	})},
	{"iterator/turning-round", "Next after Prev stays where it is", iterating(func(c *cursor) {
		next, prev := c.next, c.prev
		var backward bool
		c.prev = func() bool { backward = true; return prev() }
		c.next = func() bool {
			if backward && c.key() != nil {
				backward = false
				return true
			}
			return next()
		}
	})},
	{"iterator/keys-only", "KeysOnly returns values", bounding(func(o *engine.IterOptions) { o.KeysOnly = false })},
	{"iterator/keys-only", "KeysOnly returns empty values", iterating(func(c *cursor) {
		value := c.value
		c.value = func() ([]byte, error) {
			v, err := value()
			if errors.Is(err, engine.ErrUnsupported) {
				err = nil
			}
			return v, err
		}
	})},
	{"iterator/fixed-when-made", "an iterator moves on to what was written since", volatile(func(s *subject) {
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			i, err := s.iterate(s.base, o)
			if err != nil {
				return nil, err
			}
			c := i.(*cursor)
			next := c.next
			c.next = func() bool {
				key := bytes.Clone(c.key())
				if key == nil {
					return next()
				}
				fresh, err := s.base.NewIterator(o)
				if err != nil {
					return false
				}
				overlay := next
				closing := c.close
				c.over(fresh)
				c.next, c.close = overlay, func() error { return errors.Join(fresh.Close(), closing()) }
				return c.seekGE(after(key))
			}
			return i, nil
		}
	})},
	{"batch/many-operations", "an iterator ends after 256 entries without an error", iterating(func(c *cursor) {
		next := c.next
		n := 0
		c.next = func() bool { n++; return n%256 != 0 && next() }
	})},
	{"iterator/fixed-when-made", "a failed move is an end without an error", iterating(func(c *cursor) {
		// Values of "old" under keys from 0400 on stand on a page that cannot be
		// read.
		next, prev := c.next, c.prev
		broken := func() bool { return bytes.Compare(c.key(), []byte("0400")) >= 0 }
		c.next = func() bool { return next() && !broken() }
		c.prev = func() bool { return prev() && !broken() }
	})},
	{"iterator/several-at-once", "an iterator is fixed at its first move", volatile(func(s *subject) {
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return lazily(s, s.base, o) }
	})},
	{"ownership/arguments-stay-the-callers", "an iterator keeps the caller's bounds", volatile(func(s *subject) {
		s.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			snap, err := s.base.Snapshot()
			if err != nil {
				return nil, err
			}
			i, err := lazily(s, snap, o)
			closing := i.close
			i.close = func() error { return errors.Join(closing(), snap.Close()) }
			return i, err
		}
	})},
	{"ownership/arguments-stay-the-callers", "Key after SeekGE is the caller's probe", iterating(func(c *cursor) {
		seek, key := c.seekGE, c.key
		c.seekGE = func(probe []byte) bool {
			ok := seek(probe)
			c.key = key
			if bytes.Equal(probe, key()) {
				c.key = func() []byte { return probe }
			}
			return ok
		}
	})},
	{"ownership/results-of-get-are-the-callers", "Get returns the engine's own bytes", volatile(func(s *subject) {
		get := s.get
		own := map[string][]byte{}
		s.edit(func(ops []engine.Op) []engine.Op { clear(own); return ops })
		s.get = func(key, dst []byte) ([]byte, error) {
			value, cached := own[string(key)]
			if !cached {
				v, err := get(key, nil)
				if err != nil {
					return dst, err
				}
				value, own[string(key)] = v, v
			}
			if dst == nil {
				return value, nil
			}
			return append(dst, value...), nil
		}
	})},
	{"ownership/results-of-get-are-the-callers", "Get reads large values into a shared buffer", volatile(func(s *subject) {
		get := s.get
		var shared []byte
		s.edit(func(ops []engine.Op) []engine.Op { clear(shared); return ops })
		s.get = func(key, dst []byte) ([]byte, error) {
			var err error
			if shared, err = get(key, shared[:0]); err == nil && dst == nil && len(shared) > 4096 {
				return shared, nil
			}
			return get(key, dst)
		}
	})},
	{"ownership/iterator-bytes-until-the-next-move", "Value is read anew at each call", volatile(func(s *subject) {
		s.onIterator = func(c *cursor) {
			value := c.value
			c.value = func() ([]byte, error) {
				if key := c.key(); key != nil {
					if v, err := s.base.Get(key, nil); err == nil {
						return v, nil
					}
				}
				v, err := value()
				return append([]byte("gone"), v...), err
			}
		}
	})},
	{"ownership/iterator-bytes-until-the-next-move", "a write reuses the memory of Value", volatile(func(s *subject) {
		var lent [][]byte
		s.onIterator = func(c *cursor) {
			value := c.value
			c.value = func() ([]byte, error) {
				v, err := value()
				lent = append(lent, bytes.Clone(v))
				return lent[len(lent)-1], err
			}
		}
		s.edit(func(ops []engine.Op) []engine.Op {
			for _, p := range lent {
				clear(p)
			}
			lent = nil
			return ops
		})
	})},

	{"snapshot/fixed-under-writes", "a snapshot's gets see later writes", pinning(func(s *subject, p *pin) {
		get := p.get
		p.get = func(key, dst []byte) ([]byte, error) {
			if value, err := get(key, dst); err != nil {
				return value, err
			}
			return s.base.Get(key, dst)
		}
	})},
	{"snapshot/fixed-under-writes", "a snapshot's iterators see later writes", pinning(func(s *subject, p *pin) {
		p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(s.base, o) }
	})},
	{"snapshot/fixed-under-writes", "a closed snapshot answers gets", pinning(func(_ *subject, p *pin) {
		closing := p.close
		var ended bool
		p.close = func() error {
			if ended {
				return closing()
			}
			ended = true
			return nil
		}
	})},
	{"snapshot/fixed-under-writes", "a closed snapshot gives iterators", pinning(func(s *subject, p *pin) {
		newIterator := p.newIterator
		p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			i, err := newIterator(o)
			if errors.Is(err, engine.ErrClosed) {
				return s.iterate(s.base, o)
			}
			return i, err
		}
	})},
	{"snapshot/fixed-under-writes", "a second Close of a snapshot is nil", pinning(func(_ *subject, p *pin) {
		closing := p.close
		p.close = func() error { closing(); return nil }
	})},
	{"snapshot/fixed-under-writes", "compaction drops what a snapshot holds", persistent(func(s *familySubject) {
		var held []*pin
		s.onSnapshot = func(p *pin) { held = append(held, p) }
		compact := s.compact
		s.compact = func(ctx context.Context, lower, upper []byte) error {
			for _, p := range held {
				p.get = s.base.Get
				p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(s.base, o) }
			}
			return compact(ctx, lower, upper)
		}
	})},
	{"snapshot/each-its-own-state", "all open snapshots share the newest one's state", volatile(func(s *subject) {
		var all []*pin
		s.onSnapshot = func(p *pin) {
			for _, older := range all {
				older.get, older.newIterator = p.get, p.newIterator
			}
			all = append(all, p)
		}
	})},
	{"snapshot/each-its-own-state", "a snapshot lags one commit behind", volatile(func(s *subject) {
		apply, snapshot := s.apply, s.snapshot
		var behind engine.Snapshot
		s.apply = func(ctx context.Context, b *engine.Batch, d engine.Durability) error {
			behind, _ = snapshot()
			return apply(ctx, b, d)
		}
		s.snapshot = func() (engine.Snapshot, error) { return behind, nil }
	})},
	{"snapshot/each-its-own-state", "closing one snapshot ends the others", volatile(func(s *subject) {
		var all []*pin
		s.onSnapshot = func(p *pin) {
			all = append(all, p)
			closing := p.close
			p.close = func() error {
				for _, other := range all {
					other.get = s.base.Get
					other.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(s.base, o) }
				}
				return closing()
			}
		}
	})},
	{"snapshot/of-nothing", "a snapshot is fixed at its first read", volatile(func(s *subject) {
		s.onSnapshot = func(p *pin) {
			var fixed engine.Snapshot
			fix := func() engine.Snapshot {
				if fixed == nil {
					fixed, _ = s.base.Snapshot()
				}
				return fixed
			}
			p.get = func(key, dst []byte) ([]byte, error) { return fix().Get(key, dst) }
			p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) { return s.iterate(fix(), o) }
		}
	})},
	{"snapshot/iterator-bounds", "a snapshot's iterators ignore the bounds", pinning(func(s *subject, p *pin) {
		p.newIterator = func(o engine.IterOptions) (engine.Iterator, error) {
			return s.iterate(p.snap, engine.IterOptions{KeysOnly: o.KeysOnly})
		}
	})},
	{"concurrent/snapshot-shared-by-readers", "a snapshot serves one reader at a time", pinning(func(_ *subject, p *pin) {
		get := p.get
		var busy sync.Mutex
		p.get = func(key, dst []byte) ([]byte, error) {
			if !busy.TryLock() {
				return dst, errors.New("busy")
			}
			defer busy.Unlock()
			for range 10 {
				runtime.Gosched()
			}
			return get(key, dst)
		}
	})},
	{"random/against-a-map", "a cache of gets outlives delete-range", volatile(func(s *subject) {
		get := s.get
		cache := map[string][]byte{}
		s.edit(func(ops []engine.Op) []engine.Op {
			for _, op := range ops {
				if op.Kind != engine.OpDeleteRange {
					delete(cache, string(op.Key))
				}
			}
			return ops
		})
		s.get = func(key, dst []byte) ([]byte, error) {
			if value, there := cache[string(key)]; there {
				return append(dst, value...), nil
			}
			value, err := get(key, nil)
			if err != nil {
				return dst, err
			}
			cache[string(key)] = value
			return append(dst, value...), nil
		}
	})},
	{"random/against-a-map", "Prev steps wrongly over keys that share 40 bytes", iterating(func(c *cursor) {
		prev := c.prev
		c.prev = func() bool {
			from := bytes.Clone(c.key())
			return prev() && (len(from) < 40 || !bytes.HasPrefix(c.key(), from[:40]) || from[len(from)-1] != '7' || prev())
		}
	})},
}

// lazily returns an iterator that is made at its first move.
func lazily(s *subject, r engine.Reader, o engine.IterOptions) (*cursor, error) {
	empty, err := r.NewIterator(engine.IterOptions{Upper: []byte{}})
	if err != nil {
		return new(cursor), err
	}
	c := new(cursor)
	c.over(empty)
	closing := c.close
	begin := func() {
		i, err := s.iterate(r, o)
		if err != nil {
			panic(err)
		}
		c.over(i)
		last := c.close
		c.close = func() error { return errors.Join(last(), closing()) }
	}
	c.first = func() bool { begin(); return c.first() }
	c.last = func() bool { begin(); return c.last() }
	c.seekGE = func(key []byte) bool { begin(); return c.seekGE(key) }
	c.seekLT = func(key []byte) bool { begin(); return c.seekLT(key) }
	return c, nil
}
