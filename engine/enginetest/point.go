package enginetest

import (
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

var pointCases = []Case{
	{"point/put-get-delete", func(s *session) {
		s.lacks(s, "a")
		s.put("a", "1")
		s.has(s, "a", "1")
		s.put("a", "2")
		s.has(s, "a", "2")
		s.lacks(s, "")
		s.lacks(s, "a\x00")
		s.delete("a")
		s.lacks(s, "a")
		s.delete("a") // of a key that is not there: nothing
		s.put("a", "3")
		s.has(s, "a", "3")
	}},
	{"point/empty-value-is-a-value", func(s *session) {
		s.put("empty", "")
		s.has(s, "empty", "")
		m := newModel()
		m.put("empty", "")
		s.shows(s, m, "one empty value")
		s.put("empty", "full")
		s.has(s, "empty", "full")
		s.put("empty", "")
		s.has(s, "empty", "")
		if s.traits.Persistent {
			s.reopen()
			s.has(s, "empty", "")
		}
	}},
	{"point/empty-key", func(s *session) {
		b := batch(func(b *engine.Batch) { b.Put(nil, []byte("v")); b.Put([]byte("x"), nil) })
		err := s.Apply(s.ctx, b, s.weak)
		if s.traits.Limits.NoEmptyKey {
			s.wants(engine.ErrInvalid, err, "put of the empty key, which Limits.NoEmptyKey refuses")
			s.lacks(s, "x")
			return
		}
		s.ok(err, "put of the empty key")
		s.has(s, "", "v")
		it := s.iterator(s, engine.IterOptions{})
		if !it.First() || len(it.Key()) != 0 {
			s.failf("first key: want the empty one, got %q", it.Key())
		}
		if !it.SeekLT([]byte{0}) || len(it.Key()) != 0 {
			s.failf("SeekLT(00): want the empty key, got %q", it.Key())
		}
		s.ok(it.Close(), "close iterator")
		s.delete("")
		s.lacks(s, "")
	}},
	{"point/binary-keys-and-values", func(s *session) {
		// Keys that differ only in bytes that text handling would fold, cut or
		// sort wrongly.
		m := newModel()
		for _, key := range []string{
			"\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "a\xff", "b", "\x7f", "\x80", "\xff",
			"\xff\x00", "\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\x00", "ü", "A", "\r\n",
		} {
			value := "v\x00" + key + "\xff\x00"
			s.put(key, value)
			m.put(key, value)
		}
		s.shows(s, m, "binary keys")
	}},
	{"point/keys-alike-in-their-first-bytes", func(s *session) {
		// Engines that compare a few leading bytes first must fall back right.
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for n := range 40 {
				for _, head := range []string{"", "12345678", "1234567812345678", strings.Repeat("p", 300)} {
					key := head + strings.Repeat("x", n)
					if key == "" {
						continue
					}
					b.Put([]byte(key), []byte(key))
					m.put(key, key)
				}
			}
		})
		s.shows(s, m, "keys that are prefixes of each other")
		for _, key := range m.keys {
			s.lacks(s, key+"\x00")
		}
	}},
	{"point/get-appends-to-dst", func(s *session) {
		s.put("k", "value")
		for _, room := range []int{0, 3, 64} {
			dst := append(make([]byte, 0, 4+room), "head"...)
			got, err := s.Get([]byte("k"), dst)
			s.ok(err, "get")
			if string(got) != "headvalue" {
				s.failf("get with dst %q and room for %d: want %q, got %q", "head", room, "headvalue", got)
			}
			got, err = s.Get([]byte("absent"), dst)
			s.wants(engine.ErrNotFound, err, "get of an absent key")
			if string(got) != "head" {
				s.failf("get of an absent key: dst %q came back as %q", "head", got)
			}
		}
	}},
	{"point/large-values", func(s *session) {
		m := newModel()
		for _, size := range []int{4095, 4096, 4097, 65_535, 65_536, 1 << 20} {
			if size > s.traits.Limits.MaxValueBytes {
				break
			}
			key := engine.QuoteKey([]byte{byte(size), byte(size >> 8), byte(size >> 16)})
			value := pattern(size)
			s.put(key, value)
			m.put(key, value)
		}
		s.shows(s, m, "large values")
		for _, key := range m.keys { // larger to small and back
			s.put(key, "small")
			s.has(s, key, "small")
			s.put(key, m.entries[key])
		}
		s.shows(s, m, "large values, written again")
		if s.traits.Persistent {
			s.reopen()
			s.shows(s, m, "large values, reopened")
		}
	}},
}

// pattern returns size bytes in which a shifted, cut or swapped part shows.
func pattern(size int) string {
	p := make([]byte, size)
	x := uint32(size)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return string(p)
}
