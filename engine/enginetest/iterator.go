package enginetest

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

var iteratorCases = []Case{
	{"iterator/empty-store", func(s *session) {
		it := s.iterator(s, engine.IterOptions{})
		s.standsNowhere(it, "new, on an empty store")
		if it.First() || it.Last() || it.SeekGE([]byte("a")) || it.SeekLT([]byte("a")) || it.Next() || it.Prev() {
			s.failf("a move on an empty store found %q", it.Key())
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"iterator/no-position-no-step", func(s *session) {
		s.put("a", "1")
		s.put("b", "2")
		it := s.iterator(s, engine.IterOptions{})
		s.standsNowhere(it, "new")
		if it.Next() || it.Prev() {
			s.failf("Next or Prev moved an iterator that stood nowhere, to %q", it.Key())
		}
		for _, end := range []struct {
			what string
			move func() bool
		}{
			{"Next past the last", func() bool { return it.Last() && it.Next() }},
			{"Prev past the first", func() bool { return it.First() && it.Prev() }},
			{"SeekGE past the last", func() bool { return it.SeekGE([]byte("b\x00")) }},
			{"SeekLT before the first", func() bool { return it.SeekLT([]byte("a")) }},
		} {
			if end.move() {
				s.failf("%s: want no entry, got %q", end.what, it.Key())
			}
			s.standsNowhere(it, end.what)
			if it.Next() || it.Prev() {
				s.failf("%s, then Next or Prev: want no entry, got %q", end.what, it.Key())
			}
			if !it.First() {
				s.failf("%s, then First: want an entry, got none (%v)", end.what, it.Err())
			}
			s.stands(it, "a", "1", end.what+", then First")
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"iterator/every-seek-under-every-bound", func(s *session) {
		m := newModel()
		for _, key := range []string{"b", "bb", "d", "d\x00", "f", "h\xff"} {
			s.put(key, "v"+key)
			m.put(key, "v"+key)
		}
		probes := [][]byte{nil, {}, []byte("a"), []byte("b"), []byte("b\x00"), []byte("bb"), []byte("c"), []byte("d"),
			[]byte("d\x00"), []byte("d\x00\x00"), []byte("f"), []byte("g"), []byte("h\xff"), []byte("h\xff\x00"), []byte("z"), {0xff, 0xff}}
		for _, lower := range probes {
			for _, upper := range probes {
				s.seeksMatch(s, m, engine.IterOptions{Lower: lower, Upper: upper}, probes[1:])
			}
		}
	}},
	{"iterator/turning-round", func(s *session) {
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for i := range 100 {
				key := fmt.Sprintf("%03d", i)
				b.Put([]byte(key), []byte("v"+key))
				m.put(key, "v"+key)
			}
		})
		rng := s.random(11)
		it := s.iterator(s, engine.IterOptions{Lower: []byte("010"), Upper: []byte("090")})
		at := 50
		if !it.SeekGE([]byte("050")) {
			s.failf("SeekGE(050): nothing (%v)", it.Err())
		}
		for step := range 2000 {
			forward := rng.IntN(2) == 0
			if forward && at == 89 || !forward && at == 10 {
				forward = !forward
			}
			move, name := it.Next, "Next"
			at++
			if !forward {
				move, name = it.Prev, "Prev"
				at -= 2
			}
			if !move() {
				s.failf("step %d: %s from inside found nothing (%v)", step, name, it.Err())
			}
			s.stands(it, m.keys[at], "v"+m.keys[at], fmt.Sprintf("step %d, %s", step, name))
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"iterator/keys-only", func(s *session) {
		s.put("a", "1")
		s.put("b", "2")
		it := s.iterator(s, engine.IterOptions{KeysOnly: true})
		var got string
		for ok := it.First(); ok; ok = it.Next() {
			got += string(it.Key())
			_, err := it.Value()
			s.wants(engine.ErrUnsupported, err, "Value with KeysOnly")
		}
		if got != "ab" || it.Err() != nil {
			s.failf("keys only: want a, b, got %q (%v)", got, it.Err())
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"iterator/fixed-when-made", func(s *session) {
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for i := range 300 {
				b.Put(fmt.Appendf(nil, "%04d", i*2), []byte("old"))
			}
			m.apply(b)
		})
		it := s.iterator(s, engine.IterOptions{})
		if !it.SeekGE([]byte("0100")) {
			s.failf("SeekGE(0100): nothing (%v)", it.Err())
		}
		s.apply(func(b *engine.Batch) {
			for i := range 600 {
				b.Put(fmt.Appendf(nil, "%04d", i), []byte("new"))
			}
			b.DeleteRange([]byte("0200"), []byte("0300"))
		})
		i := 50
		for ok := true; ok; ok = it.Next() {
			s.stands(it, m.keys[i], "old", "after later writes")
			i++
		}
		if i != 300 || it.Err() != nil {
			s.failf("after later writes: ends at entry %d of 300 (%v)", i, it.Err())
		}
		for ok := it.Last(); ok; ok = it.Prev() {
			i--
			s.stands(it, m.keys[i], "old", "after later writes, backward")
		}
		if i != 0 {
			s.failf("after later writes, backward: ends at entry %d", i)
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"iterator/several-at-once", func(s *session) {
		var its []engine.Iterator
		for i := range 20 {
			s.put(fmt.Sprintf("%02d", i), "v")
			its = append(its, s.iterator(s, engine.IterOptions{}))
		}
		for i, it := range its {
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			if n != i+1 || it.Err() != nil {
				s.failf("iterator made after %d puts: want %d entries, got %d (%v)", i+1, i+1, n, it.Err())
			}
		}
		for _, it := range its {
			s.ok(it.Close(), "close iterator")
		}
	}},
}

// standsNowhere fails the case unless it is without entry and without error.
func (s *session) standsNowhere(it engine.Iterator, what string) {
	if key := it.Key(); key != nil {
		s.failf("%s: Key is %q, want nil", what, key)
	}
	if _, err := it.Value(); err == nil {
		s.failf("%s: Value returned no error", what)
	}
	s.ok(it.Err(), "%s: Err", what)
}

// seeksMatch compares every kind of move from every probe with the model.
func (s *session) seeksMatch(r engine.Reader, m *model, o engine.IterOptions, probes [][]byte) {
	it := s.iterator(r, o)
	from, to := m.span(o.Lower, o.Upper)
	where := func(move string, probe []byte) string {
		return fmt.Sprintf("%s(%q) within [%q, %q)", move, probe, o.Lower, o.Upper)
	}
	expect := func(found bool, i int, what string) {
		s.ok(it.Err(), "%s", what)
		if inside := i >= from && i < to; found != inside {
			s.failf("%s: found is %v, want %v (key %q)", what, found, inside, it.Key())
		} else if inside {
			s.stands(it, m.keys[i], m.entries[m.keys[i]], what)
		} else {
			s.standsNowhere(it, what)
		}
	}
	expect(it.First(), from, where("First", nil))
	expect(it.Last(), max(to-1, from), where("Last", nil))
	for _, probe := range probes {
		at, _ := m.span(probe, nil)
		ge, lt := max(at, from), min(at, to)-1
		expect(it.SeekGE(probe), ge, where("SeekGE", probe))
		if ge >= from && ge < to {
			expect(it.Next(), ge+1, where("SeekGE, Next", probe))
			if it.SeekGE(probe) {
				expect(it.Prev(), ge-1, where("SeekGE, Prev", probe))
			}
		}
		expect(it.SeekLT(probe), lt, where("SeekLT", probe))
		if lt >= from && lt < to {
			expect(it.Prev(), lt-1, where("SeekLT, Prev", probe))
			if it.SeekLT(probe) {
				expect(it.Next(), lt+1, where("SeekLT, Next", probe))
			}
		}
	}
	s.ok(it.Close(), "close iterator")
}
