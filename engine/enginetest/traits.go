package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

var traitCases = []Case{
	{"traits/declared-and-present-or-neither", func(s *session) {
		if s.traits.Name == "" || s.traits.Version == "" {
			s.failf("Traits lack a Name or a Version: %+v", s.traits)
		}
		if s.traits.Persistent != (s.traits.Durability.Has(engine.Buffered) || s.traits.Durability.Has(engine.Flushed)) {
			s.failf("Persistent is %v with durability %s", s.traits.Persistent, s.traits.Durability)
		}
		_, multi := s.Engine.(engine.MultiGetter)
		_, families := s.Engine.(engine.FamilyStore)
		_, conditional := s.Engine.(engine.Conditional)
		_, named := s.Engine.(engine.NamedSnapshots)
		_, sequenced := s.Engine.(engine.Sequenced)
		_, ingest := s.Engine.(engine.Ingester)
		_, logged := s.Engine.(engine.Logged)
		for _, x := range []struct {
			name              string
			declared, present bool
		}{
			{"MultiGet", s.traits.MultiGet, multi},
			{"Families", s.traits.Families, families},
			{"Conditional", s.traits.Conditional, conditional},
			{"NamedSnapshots", s.traits.NamedSnapshots, named},
			{"Sequenced", s.traits.Sequenced, sequenced},
			{"Ingest", s.traits.Ingest, ingest},
			{"Logged", s.traits.Logged, logged},
		} {
			if x.declared != x.present {
				s.failf("trait %s: declared is %v, present is %v", x.name, x.declared, x.present)
			}
		}
		snap := s.snapshot()
		_, families = snap.(engine.FamilyReader)
		_, sequenced = snap.(engine.SequencedSnapshot)
		if families != s.traits.Families || sequenced != s.traits.Sequenced {
			s.failf("a snapshot has FamilyReader: %v, SequencedSnapshot: %v; the engine declares %v, %v", families, sequenced, s.traits.Families, s.traits.Sequenced)
		}
		s.ok(snap.Close(), "close snapshot")
	}},
	{"traits/multi-get", multiGet},
	{"traits/families", families},
	{"traits/conditional", conditional},
	{"traits/named-snapshots", namedSnapshots},
	{"traits/sequenced", sequenced},
	{"traits/ingest", ingest},
	{"traits/logged", logged},
	{"traits/checkpoint", checkpoint},
	{"traits/compact", compact},
	{"traits/metrics", metrics},
}

func multiGet(s *session) {
	x, ok := s.Engine.(engine.MultiGetter)
	if !ok {
		return // that it is not declared is checked above; likewise below
	}
	m := newModel()
	s.apply(func(b *engine.Batch) {
		for i := range 1000 {
			b.Put(fmt.Appendf(nil, "%04d", i*2), []byte(pattern(i%200)))
		}
		m.apply(b)
	})
	rng := s.random(31)
	for _, count := range []int{0, 1, 2, 16, 17, 500} {
		var keys [][]byte
		for range count {
			keys = append(keys, fmt.Appendf(nil, "%04d", rng.IntN(2100)))
		}
		next := 0
		err := x.MultiGet(keys, func(i int, value []byte, present bool) {
			want, there := m.entries[string(keys[i])]
			if i != next || present != there || present && string(value) != want || !present && value != nil {
				s.failf("multi-get of %d: answer %d is for %d: %s present is %v (want %v), value %s", count, next, i, keys[i], present, there, engine.QuoteKey(value))
			}
			next++
		})
		s.ok(err, "multi-get of %d", count)
		if next != count {
			s.failf("multi-get of %d keys gave %d answers", count, next)
		}
	}
}

func families(s *session) {
	x, ok := s.Engine.(engine.FamilyStore)
	if !ok {
		b := batch(func(b *engine.Batch) { b.Put([]byte("a"), nil); b.PutIn(1, []byte("a"), nil) })
		s.wants(engine.ErrUnsupported, s.Apply(s.ctx, b, s.weak), "a batch that names a family")
		s.lacks(s, "a")
		return
	}
	one, err := x.CreateFamily(s.ctx, "one")
	s.ok(err, "create family one")
	two, err := x.CreateFamily(s.ctx, "two")
	s.ok(err, "create family two")
	again, err := x.CreateFamily(s.ctx, "one")
	s.ok(err, "create family one again")
	zero, err := x.CreateFamily(s.ctx, "default")
	s.ok(err, "create the default family")
	if one == 0 || two == 0 || one == two || again != one || zero != 0 {
		s.failf("families one, two, one again, default have the IDs %d, %d, %d, %d", one, two, again, zero)
	}
	_, err = x.CreateFamily(s.ctx, "")
	s.wants(engine.ErrInvalid, err, "create a family without a name")
	s.apply(func(b *engine.Batch) {
		b.Put([]byte("k"), []byte("in default"))
		b.PutIn(one, []byte("k"), []byte("in one"))
		b.PutIn(two, []byte("k"), []byte("in two"))
		b.PutIn(two, []byte("l"), []byte("in two"))
	})
	in := func(x engine.FamilyReader, f engine.FamilyID) engine.Reader {
		r, err := x.In(f)
		s.ok(err, "reader of family %d", f)
		return r
	}
	s.has(s, "k", "in default")
	s.has(in(x, 0), "k", "in default")
	s.has(in(x, one), "k", "in one")
	s.has(in(x, two), "k", "in two")
	s.lacks(in(x, one), "l")
	s.lacks(s, "l")
	snap := s.snapshot()
	s.apply(func(b *engine.Batch) {
		b.DeleteIn(one, []byte("k"))
		b.DeleteRangeIn(two, []byte("k"), []byte("l"))
	})
	s.has(s, "k", "in default")
	s.lacks(in(x, one), "k")
	s.lacks(in(x, two), "k")
	s.has(in(x, two), "l", "in two")
	s.has(in(snap.(engine.FamilyReader), one), "k", "in one")
	it := s.iterator(in(snap.(engine.FamilyReader), two), engine.IterOptions{})
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	s.ok(it.Close(), "close iterator")
	if n != 2 {
		s.failf("the snapshot of family two shows %d entries of 2", n)
	}
	s.ok(snap.Close(), "close snapshot")

	b := batch(func(b *engine.Batch) { b.Put([]byte("x"), nil); b.PutIn(two+100, []byte("x"), nil) })
	s.wants(engine.ErrNotFound, s.Apply(s.ctx, b, s.weak), "a batch that names no family there is")
	s.lacks(s, "x")
	_, err = x.In(two + 100)
	s.wants(engine.ErrNotFound, err, "reader of a family that is not there")

	if s.traits.Persistent {
		s.reopen()
		x = s.Engine.(engine.FamilyStore)
	}
	all, err := x.Families()
	s.ok(err, "families")
	if len(all) != 3 || all["one"] != one || all["two"] != two || all["default"] != 0 {
		s.failf("families are %v; want default: 0, one: %d, two: %d", all, one, two)
	}
	s.has(in(x, two), "l", "in two")
	s.lacks(in(x, one), "k")
	s.ok(x.DropFamily(s.ctx, "two"), "drop family two")
	s.wants(engine.ErrNotFound, x.DropFamily(s.ctx, "two"), "drop family two again")
	s.wants(engine.ErrInvalid, x.DropFamily(s.ctx, "default"), "drop the default family")
	_, err = x.In(two)
	s.wants(engine.ErrNotFound, err, "reader of a dropped family")
	newTwo, err := x.CreateFamily(s.ctx, "two")
	s.ok(err, "create family two anew")
	if newTwo == two {
		s.failf("the ID %d of a dropped family was given again", two)
	}
	s.lacks(in(x, newTwo), "l")
	s.has(s, "k", "in default")
	three, err := x.CreateFamily(s.ctx, "three")
	s.ok(err, "create family three")
	s.ok(x.DropFamily(s.ctx, "three"), "drop family three")
	if s.traits.Persistent {
		s.reopen()
		x = s.Engine.(engine.FamilyStore)
	}
	all, err = x.Families()
	s.ok(err, "families")
	if len(all) != 3 || all["one"] != one || all["two"] != newTwo || all["default"] != 0 {
		s.failf("families are %v; want default: 0, one: %d, two: %d", all, one, newTwo)
	}
	four, err := x.CreateFamily(s.ctx, "four")
	s.ok(err, "create family four")
	if slices.Contains([]engine.FamilyID{0, one, two, newTwo, three}, four) {
		s.failf("family four has the ID %d, which was given before", four)
	}
}

func conditional(s *session) {
	x, ok := s.Engine.(engine.Conditional)
	if !ok {
		return
	}
	s.put("a", "1")
	s.put("m", "1")
	commit := func(at engine.Snapshot, reads engine.ReadSet, key string) error {
		return x.ApplyIf(s.ctx, at, reads, batch(func(b *engine.Batch) { b.Put([]byte(key), []byte("new")) }), s.weak)
	}
	keys := func(names ...string) (r engine.ReadSet) {
		for _, name := range names {
			r.Keys = append(r.Keys, []byte(name))
		}
		return r
	}
	span := func(lower, upper string) engine.ReadSet {
		return engine.ReadSet{Ranges: []engine.Range{{Lower: []byte(lower), Upper: []byte(upper)}}}
	}
	for _, c := range []struct {
		what     string
		reads    engine.ReadSet
		between  func()
		conflict bool
	}{
		{"nothing read, all changed", engine.ReadSet{}, func() { s.put("a", "2") }, false},
		{"read and unchanged", keys("a", "absent"), func() { s.put("b", "2") }, false},
		{"a key that was put", keys("a"), func() { s.put("a", "other") }, true},
		{"a key that was deleted", keys("a"), func() { s.delete("a") }, true},
		{"a key that was not there and is", keys("absent"), func() { s.put("absent", "") }, true},
		{"a key in a deleted range", keys("m"), func() { s.deleteRange("l", "n") }, true},
		{"a range beside the change", span("c", "d"), func() { s.put("d", "x"); s.put("b", "x") }, false},
		{"a range with a new key", span("c", "d"), func() { s.put("c", "x") }, true},
		{"a range with a changed value", span("a", "b"), func() { s.put("a", "changed") }, true},
		{"a range with a deleted key", span("a", "b"), func() { s.delete("a") }, true},
		{"an open range", engine.ReadSet{Ranges: []engine.Range{{}}}, func() { s.put("zz", "x") }, true},
	} {
		s.apply(func(b *engine.Batch) {
			b.DeleteRange([]byte{0}, []byte{0xff})
			b.Put([]byte("a"), []byte("1"))
			b.Put([]byte("m"), []byte("1"))
		})
		snap := s.snapshot()
		c.between()
		err := commit(snap, c.reads, "written")
		if c.conflict {
			s.wants(engine.ErrConflict, err, "%s", c.what)
			s.lacks(s, "written")
		} else {
			s.ok(err, "%s", c.what)
			s.has(s, "written", "new")
		}
		s.ok(snap.Close(), "close snapshot")
	}
	// Write skew: two transactions that each read what the other writes.
	first, second := s.snapshot(), s.snapshot()
	s.ok(commit(first, keys("x", "y"), "x"), "first of two")
	s.wants(engine.ErrConflict, commit(second, keys("x", "y"), "y"), "second of two that read what the other writes")
	s.ok(first.Close(), "close snapshot")
	s.ok(second.Close(), "close snapshot")
	s.lacks(s, "y")

	other, err := s.target.Open(s.elsewhere())
	s.ok(err, "open another store")
	foreign, err := other.Snapshot()
	s.ok(err, "snapshot of another store")
	s.wants(engine.ErrInvalid, commit(foreign, keys("x"), "y"), "with the snapshot of another engine")
	s.ok(foreign.Close(), "close the other's snapshot")
	s.ok(other.Close(), "close the other store")
	s.lacks(s, "y")

	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	snap := s.snapshot()
	s.wants(context.Canceled, x.ApplyIf(ctx, snap, engine.ReadSet{}, batch(func(b *engine.Batch) { b.Put([]byte("y"), nil) }), s.weak), "with a cancelled context")
	s.ok(snap.Close(), "close snapshot")
	s.wants(engine.ErrClosed, commit(snap, keys("x"), "z"), "with a closed snapshot")
	s.lacks(s, "y")

	snap = s.snapshot()
	for d := engine.Durability(0); d < 8; d++ {
		if !s.traits.Durability.Has(d) {
			err := x.ApplyIf(s.ctx, snap, engine.ReadSet{}, batch(func(b *engine.Batch) { b.Put([]byte("y"), nil) }), d)
			s.wants(engine.ErrUnsupported, err, "with durability %s, which is not declared", d)
		}
	}
	tooLong := strings.Repeat("y", s.traits.Limits.MaxKeyBytes+1)
	s.wants(engine.ErrTooLarge, commit(snap, engine.ReadSet{}, tooLong), "with a key one byte over the limit")
	s.lacks(s, "y")
	s.ok(snap.Close(), "close snapshot")
}

func namedSnapshots(s *session) {
	x, ok := s.Engine.(engine.NamedSnapshots)
	if !ok {
		return
	}
	list := func(want ...string) {
		got, err := x.ListSnapshots()
		s.ok(err, "list snapshots")
		if !slices.Equal(got, want) {
			s.failf("snapshots are %q, want %q", got, want)
		}
	}
	list()
	m := newModel()
	states := map[string]*model{}
	for _, name := range []string{"b", "a", "c"} {
		s.apply(func(b *engine.Batch) {
			for i := range 100 {
				b.Put(fmt.Appendf(nil, "%s%d", name, i), []byte(name))
				b.Put(fmt.Appendf(nil, "shared%d", i), []byte(name))
			}
			m.apply(b)
		})
		s.ok(x.CreateSnapshot(s.ctx, name), "create snapshot %s", name)
		states[name] = m.clone()
	}
	s.wants(engine.ErrConflict, x.CreateSnapshot(s.ctx, "a"), "create a snapshot under a taken name")
	s.wants(engine.ErrInvalid, x.CreateSnapshot(s.ctx, ""), "create a snapshot without a name")
	list("a", "b", "c")
	s.deleteRange("a", "z")
	m = newModel()
	if s.traits.Persistent {
		s.reopen()
		x = s.Engine.(engine.NamedSnapshots)
		list("a", "b", "c")
	}
	for _, name := range []string{"a", "b", "c"} {
		snap, err := x.OpenSnapshot(name)
		s.ok(err, "open snapshot %s", name)
		s.shows(snap, states[name], "snapshot "+name)
		s.ok(snap.Close(), "close snapshot %s", name)
	}
	held, err := x.OpenSnapshot("b")
	s.ok(err, "open snapshot b")
	s.ok(x.DropSnapshot(s.ctx, "b"), "drop snapshot b")
	list("a", "c")
	s.shows(held, states["b"], "an open handle of a dropped snapshot")
	s.ok(held.Close(), "close snapshot b")
	_, err = x.OpenSnapshot("b")
	s.wants(engine.ErrNotFound, err, "open a dropped snapshot")
	s.wants(engine.ErrNotFound, x.DropSnapshot(s.ctx, "b"), "drop a dropped snapshot")
	if s.traits.Persistent {
		s.reopen()
		x = s.Engine.(engine.NamedSnapshots)
		list("a", "c")
	}
	s.shows(s, m, "the engine")
}

func sequenced(s *session) {
	x, ok := s.Engine.(engine.Sequenced)
	if !ok {
		b := batch(func(b *engine.Batch) { b.Put([]byte("a"), nil) })
		s.ok(s.Apply(s.ctx, b, s.weak), "apply")
		if b.Sequence() != 0 {
			s.failf("the batch has sequence %d from an engine that is not Sequenced", b.Sequence())
		}
		return
	}
	if x.LastSequence() != 0 {
		s.failf("an empty store is at sequence %d", x.LastSequence())
	}
	var last uint64
	for i := range 50 {
		b := batch(func(b *engine.Batch) {
			for j := range i%3 + 1 {
				b.Put(fmt.Appendf(nil, "%d", j), fmt.Appendf(nil, "%d", i))
			}
		})
		s.ok(s.Apply(s.ctx, b, s.weak), "apply")
		snap := s.snapshot()
		if at := snap.(engine.SequencedSnapshot).Sequence(); b.Sequence() <= last || x.LastSequence() < b.Sequence() || at != x.LastSequence() {
			s.failf("batch %d has sequence %d after %d; the engine is at %d, a snapshot at %d", i, b.Sequence(), last, x.LastSequence(), at)
		}
		s.ok(snap.Close(), "close snapshot")
		last = b.Sequence()
		if s.traits.Persistent && i%20 == 19 {
			s.reopen()
			x = s.Engine.(engine.Sequenced)
			if x.LastSequence() < last {
				s.failf("sequence went back at a restart, from %d to %d", last, x.LastSequence())
			}
		}
	}
}

func ingest(s *session) {
	x, ok := s.Engine.(engine.Ingester)
	if !ok {
		return
	}
	m := newModel()
	s.put("00500", "under")
	s.put("zzz", "beside")
	m.put("zzz", "beside")
	scratch := make([]byte, 0, 64)
	err := x.Ingest(s.ctx, func(yield func([]byte, []byte) bool) {
		for i := range 20_000 {
			key := fmt.Appendf(scratch[:0], "%05d", i) // the same memory each time
			m.put(string(key), pattern(i%50))
			if !yield(key, []byte(pattern(i%50))) {
				return
			}
		}
	})
	s.ok(err, "ingest 20,000 sorted entries")
	s.shows(s, m, "after ingestion")
	s.put("00500", "over")
	m.put("00500", "over")
	s.shows(s, m, "a put over an ingested entry")
	for what, keys := range map[string][]string{"out of order": {"a", "c", "b"}, "a key twice": {"a", "b", "b"}} {
		err = x.Ingest(s.ctx, func(yield func([]byte, []byte) bool) {
			for _, key := range keys {
				if !yield([]byte(key), nil) {
					return
				}
			}
		})
		s.wants(engine.ErrInvalid, err, "ingest with %s", what)
		s.lacks(s, "a")
	}
	err = x.Ingest(s.ctx, func(yield func([]byte, []byte) bool) {
		_ = yield([]byte("a"), nil) && yield([]byte(strings.Repeat("b", s.traits.Limits.MaxKeyBytes+1)), nil)
	})
	s.wants(engine.ErrTooLarge, err, "ingest of a key one byte over the limit")
	s.lacks(s, "a")
	ctx, cancel := context.WithCancel(s.ctx)
	err = x.Ingest(ctx, func(yield func([]byte, []byte) bool) {
		for i := range 10_000 {
			if i == 5000 {
				cancel()
			}
			if !yield(fmt.Appendf(nil, "y%05d", i), nil) {
				return
			}
		}
	})
	s.wants(context.Canceled, err, "ingest, cancelled on the way")
	s.ok(x.Ingest(s.ctx, func(func([]byte, []byte) bool) {}), "ingest of nothing")
	if s.traits.Persistent {
		s.reopen()
	}
	s.shows(s, m, "after failed ingestions")
}

func checkpoint(s *session) {
	dir := filepath.Join(s.root, "copies", "one")
	if !s.traits.Checkpoint {
		s.wants(engine.ErrUnsupported, s.Checkpoint(s.ctx, dir), "checkpoint, which is not declared")
		return
	}
	m := newModel()
	s.apply(func(b *engine.Batch) {
		for i := range 2000 {
			b.Put(fmt.Appendf(nil, "%05d", i), []byte(pattern(100)))
		}
		m.apply(b)
	})
	before := m.clone()
	s.ok(os.MkdirAll(filepath.Dir(dir), 0o755), "make the parent directory")
	var writes firstError
	var started, stop, stopped = make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { // writes of keys that the comparison leaves out
		defer close(stopped)
		for i := 0; ; i++ {
			if i == 1 {
				close(started)
			}
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Apply(s.ctx, batch(func(b *engine.Batch) { b.Put(fmt.Appendf(nil, "w%d", i%500), nil) }), s.weak); err != nil {
				writes.set(err)
				return
			}
		}
	}()
	select {
	case <-started:
	case <-stopped:
	}
	err := s.Checkpoint(s.ctx, dir)
	close(stop)
	<-stopped
	s.ok(err, "checkpoint into a directory that is not there")
	s.ok(writes.get(), "writes during the checkpoint")
	s.deleteRange("00000", "99999")
	s.put("w0", "later")

	copied, err := s.target.Open(dir)
	s.ok(err, "open the checkpoint while the store is open")
	s.ok(copied.Apply(s.ctx, batch(func(b *engine.Batch) { b.DeleteRange([]byte("w"), []byte("x")) }), s.weak), "write to the checkpoint")
	s.shows(copied, before, "the checkpoint")
	s.ok(copied.Close(), "close the checkpoint")
	s.lacks(s, "00000")
	s.has(s, "w0", "later")

	s.wants(engine.ErrInvalid, s.Checkpoint(s.ctx, dir), "checkpoint into a directory that is not empty")
	again, err := s.target.Open(dir)
	s.ok(err, "open the checkpoint again")
	s.shows(again, before, "the checkpoint, after a refused second one")
	s.ok(again.Close(), "close the checkpoint")
	empty := filepath.Join(s.root, "copies", "two")
	s.ok(os.Mkdir(empty, 0o755), "make a directory")
	s.ok(s.Checkpoint(s.ctx, empty), "checkpoint into an empty directory")
}

func compact(s *session) {
	m := newModel()
	for round := range 5 {
		s.apply(func(b *engine.Batch) {
			for i := range 1000 {
				b.Put(fmt.Appendf(nil, "%05d", i*5+round), []byte(pattern(200)))
			}
			b.DeleteRange(fmt.Appendf(nil, "%05d", round*500), fmt.Appendf(nil, "%05d", round*500+300))
			m.apply(b)
		})
	}
	if !s.traits.Compact {
		s.wants(engine.ErrUnsupported, s.Compact(s.ctx, nil, nil), "compact, which is not declared")
		return
	}
	for _, bounds := range [][2][]byte{{nil, nil}, {[]byte("01000"), []byte("02000")}, {nil, []byte("00500")}, {[]byte("04000"), nil}, {[]byte("b"), []byte("a")}} {
		s.ok(s.Compact(s.ctx, bounds[0], bounds[1]), "compact [%q, %q)", bounds[0], bounds[1])
		s.shows(s, m, fmt.Sprintf("after compacting [%q, %q)", bounds[0], bounds[1]))
	}
}

func metrics(s *session) {
	m := s.Metrics()
	all := reflect.ValueOf(m)
	missing := map[string]bool{}
	for _, name := range m.Missing {
		field := all.FieldByName(name)
		if !field.IsValid() {
			s.failf("Metrics.Missing names %q, which is no field", name)
		}
		if !field.IsZero() {
			s.failf("Metrics.%s is %v and also named in Missing", name, field)
		}
		missing[name] = true
	}
	it, snap := s.iterator(s, engine.IterOptions{}), s.snapshot()
	for i := range 100 {
		s.put(fmt.Sprint(i), pattern(1000))
	}
	m = s.Metrics()
	if !missing["OpenIterators"] && m.OpenIterators != 1 || !missing["OpenSnapshots"] && m.OpenSnapshots != 1 {
		s.failf("open are 1 iterator and 1 snapshot; Metrics has %d and %d", m.OpenIterators, m.OpenSnapshots)
	}
	s.ok(it.Close(), "close iterator")
	s.ok(snap.Close(), "close snapshot")
	if now := s.Metrics(); now.OpenIterators != 0 || now.OpenSnapshots != 0 {
		s.failf("all handles are closed; Metrics has %d iterators and %d snapshots", now.OpenIterators, now.OpenSnapshots)
	}
	if !missing["BytesApplied"] && (m.BytesApplied < 100_000 || m.BytesApplied > 200_000) {
		s.failf("BytesApplied is %d after 100 puts of 1,000 bytes", m.BytesApplied)
	}
	if s.traits.Persistent {
		s.ok(s.Sync(s.ctx), "sync")
		if m = s.Metrics(); !missing["DiskBytes"] && m.DiskBytes < 100_000 {
			s.failf("DiskBytes is %d after 100 puts of 1,000 bytes and Sync", m.DiskBytes)
		}
	}
	for name := range m.Other {
		if bytes.ContainsFunc([]byte(name), func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_", r) }) {
			s.failf("Metrics.Other has %q, which is not snake_case", name)
		}
	}
}

// logged: what the log tells, applied to a checkpoint behind the place where that stands,
// is what the store shows.
func logged(s *session) {
	x, ok := s.Engine.(engine.Logged)
	if !ok {
		return
	}
	wrote := map[uint64]string{} // encoded batches by their sequence in the log
	random := s.random(37)
	apply := func() {
		b := batch(func(b *engine.Batch) {
			for range random.IntN(4) + 1 {
				key := fmt.Appendf(nil, "%02d", random.IntN(60))
				switch random.IntN(5) {
				case 0:
					b.Delete(key)
				case 1:
					b.DeleteRange(key, fmt.Appendf(nil, "%02d", random.IntN(60)))
				default:
					b.Put(key, []byte(pattern(random.IntN(300))))
				}
			}
		})
		s.ok(s.Apply(s.ctx, b, engine.Flushed), "apply")
		_, sequence := x.LogPosition()
		wrote[sequence] = string(b.Encoded())
	}
	for range 20 {
		apply()
	}
	log, from := x.LogPosition()
	reader, err := x.NewLogReader(from, 0)
	s.ok(err, "new log reader")
	last := from
	read := func() {
		upTo, err := reader.Read(s.ctx, func(r engine.LogRecord) error {
			if r.Sequence != last+1 {
				s.failf("the log tells record %d behind %d", r.Sequence, last)
			}
			last = r.Sequence
			if want, is := wrote[r.Sequence]; is && string(r.Batch) != want {
				s.failf("record %d of the log is not the batch that was applied", r.Sequence)
			}
			return nil
		})
		s.ok(err, "read log")
		if _, newest := x.LogPosition(); upTo != last || last != newest {
			s.failf("read up to %d, told up to %d, and the log is at %d", upTo, last, newest)
		}
		reader.Keep(last)
	}
	for range 30 {
		for range random.IntN(6) {
			apply()
		}
		read()
	}
	if now, _ := x.LogPosition(); now != log {
		s.failf("the log was %x, and is %x", log, now)
	}
	if len(wrote) < 50 {
		s.failf("%d batches have %d places in the log", len(wrote), last)
	}
	if _, err := x.NewLogReader(last+1, 0); err == nil {
		s.failf("a reader begins behind a record that is not there")
	}
	s.ok(reader.Close(), "close log reader")
	s.wants(engine.ErrClosed, reader.Close(), "close a log reader again")
}
