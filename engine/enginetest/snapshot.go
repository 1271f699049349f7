package enginetest

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

var snapshotCases = []Case{
	{"snapshot/fixed-under-writes", func(s *session) {
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for i := range 500 {
				b.Put(fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "old %d", i))
			}
			m.apply(b)
		})
		before := m.clone()
		snap := s.snapshot()
		s.shows(snap, before, "snapshot, fresh")
		for round := range 5 {
			s.apply(func(b *engine.Batch) {
				for i := round; i < 700; i += 3 {
					b.Put(fmt.Appendf(nil, "%04d", i), fmt.Appendf(nil, "new %d.%d", round, i))
				}
				b.DeleteRange(fmt.Appendf(nil, "%04d", round*100), fmt.Appendf(nil, "%04d", round*100+50))
				b.Delete(fmt.Appendf(nil, "%04d", 499-round))
				m.apply(b)
			})
			s.shows(snap, before, fmt.Sprintf("snapshot, after %d rounds of writes", round+1))
			s.shows(s, m, fmt.Sprintf("engine, after %d rounds of writes", round+1))
		}
		if s.traits.Compact {
			s.ok(s.Compact(s.ctx, nil, nil), "compact")
			s.shows(snap, before, "snapshot, after compaction")
			s.shows(s, m, "engine, after compaction")
		}
		s.ok(snap.Close(), "close snapshot")
		s.wants(engine.ErrClosed, snap.Close(), "second close of a snapshot")
		_, err := snap.Get([]byte("0000"), nil)
		s.wants(engine.ErrClosed, err, "get from a closed snapshot")
		_, err = snap.NewIterator(engine.IterOptions{})
		s.wants(engine.ErrClosed, err, "iterator of a closed snapshot")
		s.shows(s, m, "engine, after the snapshot is closed")
	}},
	{"snapshot/each-its-own-state", func(s *session) {
		m := newModel()
		var snaps []engine.Snapshot
		var states []*model
		rng := s.random(21)
		for i := range 30 {
			s.apply(func(b *engine.Batch) {
				for range 20 {
					key := fmt.Appendf(nil, "%03d", rng.IntN(200))
					if rng.IntN(3) == 0 {
						b.Delete(key)
					} else {
						b.Put(key, fmt.Appendf(nil, "%d", i))
					}
				}
				m.apply(b)
			})
			snaps = append(snaps, s.snapshot())
			states = append(states, m.clone())
		}
		order := rng.Perm(len(snaps))
		for n, i := range order { // closed in any order, the others stay good
			s.shows(snaps[i], states[i], fmt.Sprintf("snapshot %d of 30", i))
			s.ok(snaps[i].Close(), "close snapshot %d", i)
			if n%10 == 0 {
				s.put("999", fmt.Sprint(n))
			}
		}
	}},
	{"snapshot/of-nothing", func(s *session) {
		snap := s.snapshot()
		s.put("a", "1")
		s.shows(snap, newModel(), "snapshot of the empty store")
		s.ok(snap.Close(), "close snapshot")
	}},
	{"snapshot/iterator-bounds", func(s *session) {
		m := newModel()
		for _, key := range []string{"a", "b", "c", "d"} {
			s.put(key, "v")
			m.put(key, "v")
		}
		snap := s.snapshot()
		s.deleteRange("a", "z")
		probes := [][]byte{{}, []byte("a"), []byte("b"), []byte("b\x00"), []byte("d"), []byte("e")}
		for _, lower := range probes {
			for _, upper := range probes {
				s.seeksMatch(snap, m, engine.IterOptions{Lower: lower, Upper: upper}, probes)
			}
		}
		s.ok(snap.Close(), "close snapshot")
	}},
}
