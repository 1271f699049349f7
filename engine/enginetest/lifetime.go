package enginetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
)

var lifetimeCases = []Case{
	{"lifetime/reopen", func(s *session) {
		m := newModel()
		for round := range 4 {
			s.apply(func(b *engine.Batch) {
				for i := range 200 {
					b.Put(fmt.Appendf(nil, "%d/%03d", round, i), fmt.Appendf(nil, "%d", i))
				}
				b.DeleteRange(fmt.Appendf(nil, "%d/050", round), fmt.Appendf(nil, "%d/060", round))
				m.apply(b)
			})
			s.reopen()
			if !s.traits.Persistent {
				m = newModel()
			}
			s.shows(s, m, fmt.Sprintf("after %d reopens", round+1))
		}
	}},
	{"lifetime/second-opener", func(s *session) {
		s.put("a", "1")
		second, err := s.target.Open(s.dir)
		if !s.traits.Persistent {
			s.ok(err, "a second store in memory")
			s.lacks(second, "a") // it is another store
			s.ok(second.Close(), "close the second store")
			s.has(s, "a", "1")
			return
		}
		s.wants(engine.ErrLocked, err, "second opener of %s", s.dir)
		s.has(s, "a", "1")
		s.put("b", "2")
		s.reopen()
		s.has(s, "a", "1")
		s.has(s, "b", "2")
	}},
	{"lifetime/everything-closed", func(s *session) {
		s.put("a", "1")
		e, traits := s.Engine, s.traits
		s.ok(e.Close(), "close")
		s.Engine = nil
		wants := func(what string, err error) { s.wants(engine.ErrClosed, err, "%s after Close", what) }
		_, err := e.Get([]byte("a"), nil)
		wants("Get", err)
		_, err = e.NewIterator(engine.IterOptions{})
		wants("NewIterator", err)
		_, err = e.Snapshot()
		wants("Snapshot", err)
		wants("Apply", e.Apply(s.ctx, batch(func(b *engine.Batch) { b.Put([]byte("a"), nil) }), s.weak))
		wants("Apply of an empty batch", e.Apply(s.ctx, new(engine.Batch), s.weak))
		wants("Close", e.Close())
		if traits.Persistent {
			wants("Sync", e.Sync(s.ctx))
		}
		if traits.Checkpoint {
			wants("Checkpoint", e.Checkpoint(s.ctx, s.root+"/copy"))
		}
		if traits.Compact {
			wants("Compact", e.Compact(s.ctx, nil, nil))
		}
		if x, ok := e.(engine.MultiGetter); ok {
			wants("MultiGet", x.MultiGet([][]byte{[]byte("a")}, func(int, []byte, bool) {}))
		}
		if x, ok := e.(engine.FamilyStore); ok {
			_, err = x.CreateFamily(s.ctx, "f")
			wants("CreateFamily", err)
			wants("DropFamily", x.DropFamily(s.ctx, "f"))
			_, err = x.Families()
			wants("Families", err)
			_, err = x.In(0)
			wants("In", err)
		}
		if x, ok := e.(engine.NamedSnapshots); ok {
			wants("CreateSnapshot", x.CreateSnapshot(s.ctx, "n"))
			_, err = x.ListSnapshots()
			wants("ListSnapshots", err)
			_, err = x.OpenSnapshot("n")
			wants("OpenSnapshot", err)
			wants("DropSnapshot", x.DropSnapshot(s.ctx, "n"))
		}
		if x, ok := e.(engine.Ingester); ok {
			wants("Ingest", x.Ingest(s.ctx, func(func([]byte, []byte) bool) {}))
		}
		if e.Traits().Name != traits.Name {
			s.failf("Traits changed at Close")
		}
		if m := e.Metrics(); m.DiskBytes != 0 || m.BytesApplied != 0 || m.OpenIterators != 0 {
			s.failf("Metrics after Close: want the zero value, got %+v", m)
		}
	}},
	{"lifetime/close-with-open-handles", func(s *session) {
		m := newModel()
		s.apply(func(b *engine.Batch) {
			for i := range 1000 {
				b.Put(fmt.Appendf(nil, "%04d", i), []byte(pattern(100)))
			}
			m.apply(b)
		})
		it := s.iterator(s, engine.IterOptions{})
		snap := s.snapshot()
		its := s.iterator(snap, engine.IterOptions{})
		if !it.First() || !its.Last() {
			s.failf("no entry to stand on")
		}
		e := s.Engine
		s.wants(engine.ErrInUse, e.Close(), "close with two iterators and a snapshot open")
		s.Engine = nil
		_, err := e.Get([]byte("0000"), nil)
		s.wants(engine.ErrClosed, err, "get after such a close")
		s.wants(engine.ErrClosed, e.Close(), "second close")
		if s.traits.Persistent {
			_, err = s.target.Open(s.dir)
			s.wants(engine.ErrLocked, err, "open while handles of the closed engine are open")
		}
		s.shows(snap, m, "the snapshot, after its engine was closed")
		n := 1
		for it.Next() {
			n++
		}
		if n != 1000 || it.Err() != nil {
			s.failf("the iterator, after its engine was closed: want 1,000 entries, got %d (%v)", n, it.Err())
		}
		s.ok(it.Close(), "close iterator")
		s.wants(engine.ErrClosed, it.Close(), "second close of an iterator")
		s.ok(its.Close(), "close the snapshot's iterator")
		s.ok(snap.Close(), "close snapshot")
		s.open() // the last handle has released the directory
		if s.traits.Persistent {
			s.shows(s, m, "reopened")
		}
	}},
	{"lifetime/close-under-load", func(s *session) {
		// Calls that meet Close end well or with ErrClosed, whatever they were doing.
		s.put("a", "1")
		e := s.Engine
		var wg sync.WaitGroup
		errs := make(chan error, 64)
		started := make(chan struct{}, 8)
		for worker := range 8 {
			wg.Go(func() {
				for i := 0; ; i++ {
					var err error
					switch worker % 4 {
					case 0:
						_, err = e.Get([]byte("a"), nil)
					case 1:
						err = e.Apply(s.ctx, batch(func(b *engine.Batch) { b.Put(fmt.Appendf(nil, "%d", i%100), []byte("v")) }), s.weak)
					case 2:
						var it engine.Iterator
						if it, err = e.NewIterator(engine.IterOptions{}); err == nil {
							for it.First(); it.Next(); {
							}
							err = it.Close()
						}
					case 3:
						var snap engine.Snapshot
						if snap, err = e.Snapshot(); err == nil {
							_, err = snap.Get([]byte("a"), nil)
							err = errors.Join(err, snap.Close())
						}
					}
					if i == 5 {
						started <- struct{}{}
					}
					if err != nil {
						if i < 5 || !errors.Is(err, engine.ErrClosed) {
							errs <- fmt.Errorf("worker %d, call %d: %w", worker, i, err)
							started <- struct{}{}
						}
						return
					}
				}
			})
		}
		for range 8 {
			<-started
		}
		if err := e.Close(); err != nil && !errors.Is(err, engine.ErrInUse) {
			s.failf("close under load: %w", err)
		}
		s.Engine = nil
		wg.Wait()
		select {
		case err := <-errs:
			s.failf("close under load: %w", err)
		default:
		}
		s.open()
		if s.traits.Persistent {
			s.has(s, "a", "1")
		}
	}},
}
