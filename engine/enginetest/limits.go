package enginetest

import (
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

var limitCases = []Case{
	{"limits/published", func(s *session) {
		l := s.traits.Limits
		if l.MaxKeyBytes < 500 || l.MaxValueBytes < 1<<17 || l.MaxBatchBytes < l.MaxKeyBytes+l.MaxValueBytes {
			s.failf("Limits %+v: want keys of 500 bytes, values of 128 KiB, and a batch that holds one largest of each", l)
		}
	}},
	{"limits/largest-key-and-one-byte-more", func(s *session) {
		largest := strings.Repeat("k", s.traits.Limits.MaxKeyBytes)
		s.put(largest, "v")
		s.put(largest[:len(largest)-1], "w")
		s.has(s, largest, "v")
		s.put("x", "1")
		for what, build := range map[string]func(*engine.Batch){
			"put":                       func(b *engine.Batch) { b.Put([]byte(largest+"k"), []byte("v")) },
			"delete":                    func(b *engine.Batch) { b.Delete([]byte(largest + "k")) },
			"delete-range, lower bound": func(b *engine.Batch) { b.DeleteRange([]byte(largest+"k"), []byte("l")) },
			"delete-range, upper bound": func(b *engine.Batch) { b.DeleteRange([]byte("a"), []byte(largest+"k")) },
		} {
			b := batch(func(b *engine.Batch) { b.Put([]byte("x"), []byte("2")); build(b) })
			s.wants(engine.ErrTooLarge, s.Apply(s.ctx, b, s.weak), "%s with a key one byte over the limit", what)
			s.has(s, "x", "1")
			s.has(s, largest, "v")
		}
		s.lacks(s, largest+"k") // reading a key that cannot be there is no error
		it := s.iterator(s, engine.IterOptions{})
		if !it.SeekLT([]byte(largest+"kk")) || string(it.Key()) != largest {
			s.failf("SeekLT with a key over the limit: want the largest key, got %s (%v)", engine.QuoteKey(it.Key()), it.Err())
		}
		if !it.SeekGE([]byte(largest+"kk")) || string(it.Key()) != "x" {
			s.failf("SeekGE with a key over the limit: want x, got %s (%v)", engine.QuoteKey(it.Key()), it.Err())
		}
		s.ok(it.Close(), "close iterator")
		if s.traits.Persistent {
			s.reopen()
			s.has(s, largest, "v")
		}
		s.delete(largest)
		s.lacks(s, largest)
		s.has(s, largest[:len(largest)-1], "w")
	}},
	{"limits/largest-value-and-one-byte-more", func(s *session) {
		key := strings.Repeat("k", s.traits.Limits.MaxKeyBytes)
		value := []byte(pattern(s.traits.Limits.MaxValueBytes + 1))
		largest := value[:len(value)-1]
		s.apply(func(b *engine.Batch) { b.Put([]byte(key), largest) })
		got, err := s.Get([]byte(key), nil)
		s.ok(err, "get of the largest value")
		if string(got) != string(largest) {
			s.failf("the largest value, of %d bytes, came back as %d other bytes", len(largest), len(got))
		}
		over := batch(func(b *engine.Batch) { b.Put([]byte("x"), nil); b.Put([]byte(key), value) })
		s.wants(engine.ErrTooLarge, s.Apply(s.ctx, over, s.weak), "put of a value one byte over the limit")
		s.lacks(s, "x")
		s.delete(key)
		s.lacks(s, key)
	}},
	{"limits/batch-too-large", func(s *session) {
		value := make([]byte, min(1<<20, s.traits.Limits.MaxValueBytes))
		b := batch(func(b *engine.Batch) {
			b.Put([]byte("x"), nil)
			for b.Size() <= s.traits.Limits.MaxBatchBytes {
				b.Put([]byte{'k', byte(b.Count()), byte(b.Count() >> 8)}, value)
			}
		})
		s.wants(engine.ErrTooLarge, s.Apply(s.ctx, b, s.weak), "apply %d bytes, over the limit of %d", b.Size(), s.traits.Limits.MaxBatchBytes)
		s.shows(s, newModel(), "after a batch that was too large")
	}},
}
