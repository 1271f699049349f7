package enginetest

import "github.com/orbit-persistence/orbit/engine"

var ownershipCases = []Case{
	{"ownership/arguments-stay-the-callers", func(s *session) {
		key, value := []byte("key-1"), []byte("value-1")
		b := batch(func(b *engine.Batch) { b.Put(key, value) })
		scribble(key)
		scribble(value)
		s.ok(s.Apply(s.ctx, b, s.weak), "apply")
		s.has(s, "key-1", "value-1")
		scribble(b.Encoded()) // the batch too is the caller's again
		s.has(s, "key-1", "value-1")
		m := newModel()
		m.put("key-1", "value-1")
		s.shows(s, m, "after the batch's memory was overwritten")

		lower, upper, probe := []byte("key-0"), []byte("key-9"), []byte("key-1")
		it := s.iterator(s, engine.IterOptions{Lower: lower, Upper: upper})
		scribble(lower)
		scribble(upper)
		if !it.SeekGE(probe) {
			s.failf("SeekGE after the bounds were overwritten: nothing (%v)", it.Err())
		}
		scribble(probe)
		s.stands(it, "key-1", "value-1", "after the bounds and the probe were overwritten")
		if it.Next() {
			s.failf("Next found %q", it.Key())
		}
		if !it.First() {
			s.failf("First after the bounds were overwritten: nothing (%v)", it.Err())
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"ownership/results-of-get-are-the-callers", func(s *session) {
		for _, size := range []int{1, 100, 5000, 70_000} {
			value := pattern(size)
			s.put("k", value)
			got, err := s.Get([]byte("k"), nil)
			s.ok(err, "get")
			s.put("k", "other")
			if string(got) != value {
				s.failf("a value of %d bytes changed in the caller's hands after an overwrite", size)
			}
			s.put("k", value)
			got, err = s.Get([]byte("k"), nil)
			s.ok(err, "get")
			scribble(got)
			s.has(s, "k", value)
		}
	}},
	{"ownership/iterator-bytes-until-the-next-move", func(s *session) {
		s.put("a", pattern(3000))
		s.put("b", pattern(3001))
		it := s.iterator(s, engine.IterOptions{})
		if !it.First() {
			s.failf("First: nothing (%v)", it.Err())
		}
		key := it.Key()
		value, err := it.Value()
		s.ok(err, "value")
		s.put("a", "other") // a write is no move
		s.deleteRange("", "z")
		if string(key) != "a" || string(value) != pattern(3000) {
			s.failf("key or value changed under the iterator without a move")
		}
		again, err := it.Value()
		s.ok(err, "value, again")
		if string(again) != pattern(3000) || string(it.Key()) != "a" {
			s.failf("a second Key and Value differ from the first")
		}
		s.ok(it.Close(), "close iterator")
	}},
}

func scribble(p []byte) {
	for i := range p {
		p[i] = 0xEE
	}
}
