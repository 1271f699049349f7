package enginetest

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

var batchCases = []Case{
	{"batch/order-within", func(s *session) {
		s.apply(func(b *engine.Batch) {
			b.Put([]byte("a"), []byte("1"))
			b.Put([]byte("a"), []byte("2"))
			b.Put([]byte("b"), []byte("1"))
			b.Delete([]byte("b"))
			b.Delete([]byte("c"))
			b.Put([]byte("c"), []byte("1"))
			b.Put([]byte("d"), []byte("1"))
			b.DeleteRange([]byte("d"), []byte("e"))
			b.DeleteRange([]byte("e"), []byte("f"))
			b.Put([]byte("e"), []byte("1"))
			b.Put([]byte("f"), []byte("1"))
			b.DeleteRange([]byte("f"), []byte("g"))
			b.Put([]byte("f"), []byte("2"))
		})
		m := newModel()
		m.put("a", "2")
		m.put("c", "1")
		m.put("e", "1")
		m.put("f", "2")
		s.shows(s, m, "the last operation on a key wins")
	}},
	{"batch/empty", func(s *session) {
		for _, d := range engine.Durabilities {
			if s.traits.Durability.Has(d) {
				s.ok(s.Apply(s.ctx, new(engine.Batch), d), "apply an empty batch, %s", d)
			}
		}
		s.shows(s, newModel(), "after empty batches")
	}},
	{"batch/reuse-after-reset", func(s *session) {
		b := new(engine.Batch)
		m := newModel()
		for i := range 100 {
			b.Reset()
			for j := range 5 {
				b.Put(fmt.Appendf(nil, "%03d.%d", i, j), fmt.Appendf(nil, "%d", i*j))
			}
			s.ok(s.Apply(s.ctx, b, s.weak), "apply batch %d", i)
			m.apply(b)
		}
		s.shows(s, m, "a batch used 100 times")
	}},
	{"batch/many-operations", func(s *session) {
		m := newModel()
		b := batch(func(b *engine.Batch) {
			for i := range 5000 {
				b.Put(fmt.Appendf(nil, "%08x", uint32(i)*2654435761), fmt.Appendf(nil, "%d", i))
			}
		})
		m.apply(b)
		s.ok(s.Apply(s.ctx, b, s.weak), "apply 5,000 operations")
		s.shows(s, m, "one batch of 5,000")
		if s.traits.Persistent {
			s.reopen()
			s.shows(s, m, "one batch of 5,000, reopened")
		}
	}},
	{"batch/every-size", func(s *session) {
		// Engines take operations some at a time, and what is left over at the end.
		m := newModel()
		key := func(i int) []byte { return fmt.Appendf(nil, "%08x", uint32(i)*2654435761) }
		next := 0
		for size := 1; size <= 70; size++ {
			b := batch(func(b *engine.Batch) {
				for range size {
					b.Put(key(next), fmt.Appendf(nil, "%d of a batch of %d", next, size))
					next++
				}
			})
			m.apply(b)
			s.ok(s.Apply(s.ctx, b, s.weak), "apply %d operations", size)
		}
		s.shows(s, m, "batches of 1 to 70")
		if s.traits.Persistent {
			s.reopen()
			s.shows(s, m, "batches of 1 to 70, reopened")
		}
	}},
	{"batch/delete-range", func(s *session) {
		keys := []string{"a", "b", "b\x00", "b\xff", "c", "c\x00", "d", "d\xff\xff", "e", "\xff", "\xff\xff"}
		for _, bounds := range [][2]string{
			{"b", "d"}, {"b", "b\x00"}, {"b", "b"}, {"d", "b"}, {"b\x00", "c\x00"}, {"", "b"}, {"", "\xff\xff\xff"},
			{"a\x00", "a\x01"}, {"e", "\xff"}, {"\xff", "\xff\xff\x00"}, {"x", "y"},
		} {
			m := newModel()
			s.apply(func(b *engine.Batch) {
				b.DeleteRange([]byte{0}, []byte("\xff\xff\xff\xff"))
				for _, key := range keys {
					b.Put([]byte(key), []byte("v"+key))
					m.put(key, "v"+key)
				}
			})
			s.deleteRange(bounds[0], bounds[1])
			m.deleteRange(bounds[0], bounds[1])
			what := fmt.Sprintf("after delete-range [%q, %q)", bounds[0], bounds[1])
			s.shows(s, m, what)
			for _, key := range keys {
				if _, there := m.entries[key]; !there {
					s.lacks(s, key)
				}
			}
			s.put("b", "again") // a write after the range must show
			m.put("b", "again")
			s.shows(s, m, what+" and a put")
		}
	}},
	{"batch/delete-range-of-many", func(s *session) {
		m := newModel()
		for chunk := range 10 {
			s.apply(func(b *engine.Batch) {
				for i := range 1000 {
					b.Put(fmt.Appendf(nil, "%05d", chunk*1000+i), fmt.Appendf(nil, "value %d", i))
				}
				m.apply(b)
			})
		}
		s.deleteRange("01234", "08765")
		m.deleteRange("01234", "08765")
		s.shows(s, m, "after deleting 7,531 of 10,000")
		it := s.iterator(s, engine.IterOptions{})
		if !it.SeekGE([]byte("04000")) || string(it.Key()) != "08765" {
			s.failf("SeekGE into a deleted span: want 08765, got %q (%v)", it.Key(), it.Err())
		}
		if !it.SeekLT([]byte("04000")) || string(it.Key()) != "01233" {
			s.failf("SeekLT into a deleted span: want 01233, got %q (%v)", it.Key(), it.Err())
		}
		s.ok(it.Close(), "close iterator")
	}},
	{"batch/each-durability", func(s *session) {
		m := newModel()
		for round := range 3 {
			for d := engine.Durability(0); d < 8; d++ {
				b := batch(func(b *engine.Batch) { b.Put(fmt.Appendf(nil, "%s-%d", d, round), []byte("v")) })
				err := s.Apply(s.ctx, b, d)
				if !s.traits.Durability.Has(d) {
					s.wants(engine.ErrUnsupported, err, "apply with durability %s, which is not declared", d)
					continue
				}
				s.ok(err, "apply with durability %s", d)
				m.apply(b)
				s.shows(s, m, "after a commit in class "+d.String())
			}
		}
		if s.traits.Persistent {
			s.reopen()
			s.shows(s, m, "every class, after a clean close")
		}
	}},
	{"batch/sync", func(s *session) {
		s.put("a", "1")
		err := s.Sync(s.ctx)
		if !s.traits.Persistent {
			s.wants(engine.ErrUnsupported, err, "Sync of an engine that lives in memory")
			return
		}
		s.ok(err, "sync")
		s.ok(s.Sync(s.ctx), "sync of nothing new")
		s.has(s, "a", "1")
	}},
}
