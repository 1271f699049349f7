package real

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// store is a model of a store: what was applied, in the commit order.
type store map[string]string

func (s store) apply(b batch) {
	var e engine.Batch
	b.encode(&e)
	for op := range e.Ops() {
		s.op(op)
	}
}

func (s store) op(op engine.Op) {
	switch op.Kind {
	case engine.OpPut:
		s[string(op.Key)] = string(op.Value)
	case engine.OpDelete:
		delete(s, string(op.Key))
	case engine.OpDeleteRange:
		for key := range s {
			if string(op.Key) <= key && key < string(op.Value) {
				delete(s, key)
			}
		}
	}
}

func (s store) entries() []entry {
	var all []entry
	for _, key := range slices.Sorted(maps.Keys(s)) {
		all = append(all, entry{[]byte(key), []byte(s[key])})
	}
	return all
}

// scene is a history in which writers take turns: 0, 1, 2, 3, 0, and so on.
type scene struct {
	t       *testing.T
	history *history
	ledger  *ledger
	round   uint64
	order   []name // of the round
}

func newScene(t *testing.T) *scene {
	t.Helper()
	l, err := newLedger()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	all := engine.Traits{Durability: engine.DurabilityOf(engine.Durabilities...)}
	return &scene{t: t, history: newHistory(planFor(7, all)), ledger: l}
}

// work does a round of so many batches, all of them acknowledged.
func (s *scene) work(batches int) {
	s.round++
	base := s.history.newest()
	s.ledger.reset(base)
	s.order = nil
	for i := range batches {
		w := i % writers
		at := base[w] + uint64(i/writers) + 1
		s.ledger.begin(w, at)
		s.ledger.writers[w].acked.Store(at)
		s.order = append(s.order, name{s.round, w, at})
	}
	s.history.absorb(s.round, s.ledger, s.ledger.acks())
}

// into applies the first batches of the round to a store.
func (s *scene) into(to store, batches int) store {
	for _, n := range s.order[:batches] {
		to.apply(s.history.plan.batch(n))
	}
	return to
}

// TestPrefixes: each prefix of the commit order is right, and what it lacks is
// counted by class.
func TestPrefixes(t *testing.T) {
	s := newScene(t)
	s.work(40)
	for n := range 41 {
		v := s.history.check(s.into(store{}, n).entries())
		if v.wrong != nil || v.broken != nil {
			t.Fatalf("a prefix of %d batches: %v, %v", n, v.wrong, v.broken)
		}
		var lost Classes
		for _, n := range s.order[n:] {
			lost.add(s.history.plan.batch(n).durability, 1)
		}
		if v.lost != lost {
			t.Errorf("a prefix of %d batches: lost %+v, want %+v", n, v.lost, lost)
		}
	}
	lost := verdict{lost: Classes{Memory: 1}}
	if lost.fault(killed) != nil || lost.fault(cut) != nil || workload.FaultOf(lost.fault(closed)) != workload.Lost {
		t.Error("batches of class memory may be lost, but not by a clean close")
	}
	lost = verdict{lost: Classes{Buffered: 1}}
	if lost.fault(cut) != nil || workload.FaultOf(lost.fault(killed)) != workload.Lost || lost.fault(closed) == nil {
		t.Error("batches of class buffered may be lost by a power cut alone")
	}
	lost = verdict{lost: Classes{Flushed: 1}}
	if workload.FaultOf(lost.fault(cut)) != workload.Lost || lost.fault(killed) == nil || lost.fault(closed) == nil {
		t.Error("batches of class flushed may never be lost")
	}
}

// TestSync: what a Sync covered counts as flushed.
func TestSync(t *testing.T) {
	s := newScene(t)
	s.work(40)
	s.ledger.writers[2].synced.Store(10)
	s.history.absorb(s.round, &ledger{pages: &pages{}}, s.ledger.acks())
	if v := s.history.check(nil); v.lost.Flushed < 10 {
		t.Errorf("lost are %+v, and 10 of a writer were covered by a Sync", v.lost)
	}
}

// TestViolations: the oracle finds each way in which a store can be wrong.
func TestViolations(t *testing.T) {
	const batches = 41 // the last is of writer 0
	for what, c := range map[string]struct {
		spoil func(s *scene, to store)
		want  string
	}{
		"a hole between writers": {func(s *scene, to store) {
			clear(to)
			for i, n := range s.order {
				if i < batches-4 || n.writer == 0 {
					to.apply(s.history.plan.batch(n))
				}
			}
		}, "commit order broken"},
		"a hole of a writer": {func(s *scene, to store) {
			clear(to)
			for i, n := range s.order {
				if i != batches-5 {
					to.apply(s.history.plan.batch(n))
				}
			}
		}, "state of no commit: after batch 11 of writer 0"},
		"half a batch": {func(s *scene, to store) {
			s.work(1)
			var e engine.Batch
			s.history.plan.batch(s.order[0]).encode(&e)
			for op := range e.Ops() {
				to.op(op)
				break
			}
		}, "state of no commit"},
		"a batch without its marker": {func(s *scene, to store) {
			s.work(1)
			old := to[markerKey(0)]
			s.into(to, 1)
			to[markerKey(0)] = old
		}, "state of no commit"},
		"a value that is another": {func(s *scene, to store) { to[ownKey(1, 3)] = "x" }, "w1/03 is 1 bytes"},
		"a key that nobody wrote": {func(s *scene, to store) { to["other"] = "x" }, `a key "other"`},
		"a key like ours":         {func(s *scene, to store) { to["w1/3"] = "x" }, `a key "w1/3"`},
		"a batch that was not begun": {func(s *scene, to store) {
			to[markerKey(3)] = string(name{1, 3, 11}.encode())
		}, "only 10 were begun"},
		"a batch of another round": {func(s *scene, to store) {
			to[markerKey(3)] = string(name{2, 3, 10}.encode())
		}, "which was lost before"},
		"a broken marker":             {func(s *scene, to store) { to[markerKey(3)] = "x" }, "the marker ~writer3"},
		"the marker of another":       {func(s *scene, to store) { to[markerKey(3)] = to[markerKey(2)] }, "the marker ~writer3"},
		"a shared key that is gone":   {func(s *scene, to store) { delete(to, sharedKey(0)) }, "~shared0 is not there"},
		"an old batch in a shared":    {func(s *scene, to store) { to[sharedKey(0)] = string(name{1, 0, 10}.encode()) }, "~shared0 was last written by batch 10"},
		"an order that cannot be":     {func(s *scene, to store) { to[sharedKey(0)] = string(name{1, 3, 10}.encode()) }, "acknowledged before batch 11 of writer 0"},
		"a shared key without sense":  {func(s *scene, to store) { to[sharedKey(1)] = "x" }, "the value of ~shared1"},
		"a shared key out of nothing": {func(s *scene, to store) { to[sharedKey(0)] = string(name{1, 0, 0}.encode()) }, "~shared0 was last written by batch 0"},
	} {
		s := newScene(t)
		s.work(batches)
		to := s.into(store{}, batches)
		if v := s.history.check(to.entries()); v.fault(closed) != nil {
			t.Fatalf("%s: wrong before it was spoiled: %v", what, v.fault(closed))
		}
		c.spoil(s, to)
		v := s.history.check(to.entries())
		err := v.wrong
		if err == nil {
			err = v.broken
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

// TestLostDoesNotComeBack: a batch that was lost, and whose place another has
// taken, is told from that.
func TestLostDoesNotComeBack(t *testing.T) {
	s := newScene(t)
	s.work(40)
	kept := s.into(store{}, 33)
	old := s.into(store{}, 40)
	v := s.history.check(kept.entries())
	if v.wrong != nil || v.broken != nil {
		t.Fatal(v.wrong, v.broken)
	}
	s.history.settle(v.shown)
	s.work(12)
	if v := s.history.check(old.entries()); v.wrong == nil || !strings.Contains(v.wrong.Error(), "lost before") {
		t.Errorf("the store as it was before: %v", v.wrong)
	}
	if v := s.history.check(s.into(kept, 12).entries()); v.fault(closed) != nil {
		t.Errorf("after another round: %v", v.fault(closed))
	}
}

// TestManyRounds: the oracle follows a store that loses something in each round,
// but not what was flushed.
func TestManyRounds(t *testing.T) {
	s := newScene(t)
	to := store{}
	for range 60 {
		s.work(32)
		least := 0
		for i, n := range s.order {
			if s.history.plan.batch(n).durability == engine.Flushed {
				least = i + 1
			}
		}
		to = s.into(to, max(least, int(s.round)%32))
		v := s.history.check(to.entries())
		if err := v.fault(cut); err != nil {
			t.Fatalf("round %d: %v", s.round, err)
		}
		s.history.settle(v.shown)
	}
	if s.history.writers[0].base == 0 {
		t.Error("nothing was flushed in 60 rounds")
	}
	if v := s.history.check(nil); v.lost.Flushed != 0 {
		t.Logf("of an empty store, %d flushed batches are gone", v.lost.Flushed)
	} else {
		t.Error("an empty store has lost nothing, says the oracle")
	}
}
