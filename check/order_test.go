package check_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/check"
)

const prefix = "!"

// mark is the marker of a writer.
func mark(writer, number string) check.Change { return put(prefix+writer, number) }

// marks is a scan of all markers; entries are "writer=number".
func marks(entries ...string) check.Read {
	for i := range entries {
		entries[i] = prefix + entries[i]
	}
	return scan(prefix, "\"", 0, entries...)
}

// ordered finds the order of a history, and checks it.
func ordered(h *check.History) error {
	out, err := check.Order(h, prefix)
	if err != nil {
		return err
	}
	return check.Sequence(out)
}

var orderExamples = []example{
	{"nothing", history(), ""},
	{"the value tells who came last", history(
		op(0, 1, 9, mark("a", "1"), put("k", "a1")),
		op(1, 1, 9, mark("b", "1"), put("k", "b1")),
		op(2, 10, 11, marks("a=1", "b=1"), got("k", "a1")),
	), ""},
	{"a snapshot between the two", history(
		op(0, 1, 20, mark("a", "1"), put("k", "a1")),
		op(1, 1, 20, mark("b", "1"), put("k", "b1")),
		op(2, 10, 11, marks("b=1"), got("k", "b1")),
		op(2, 21, 22, marks("a=1", "b=1"), got("k", "a1")),
	), ""},
	{"several deletes", history(
		op(0, 1, 9, mark("a", "1"), put("k", "a1"), del("x")),
		op(1, 1, 9, mark("b", "1"), del("k"), put("x", "b1")),
		op(2, 1, 9, mark("c", "1"), delRange("k", "l"), put("y", "1")),
		op(3, 10, 11, marks("a=1", "b=1", "c=1"), missed("k"), got("x", "b1")),
	), ""},
	{"several deletes, of which the one called last came before the put", history(
		op(0, 2, 40, mark("a", "1"), del("k")),
		op(1, 50, 60, mark("b", "1"), put("y", "b1")),
		op(2, 1, 100, mark("c", "1"), put("k", "c1"), put("y", "c1")),
		op(3, 1, 100, mark("d", "1"), del("k")),
		op(4, 110, 111, marks("a=1", "b=1", "c=1", "d=1"), missed("k"), got("y", "c1")),
	), ""},
	{"a write in flight that is seen", crashed(history(
		op(0, 1, check.Never, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks("a=1"), got("k", "a1")),
	), powerCut), ""},
	{"a write in flight that is lost", crashed(history(
		op(0, 1, check.Never, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks(), missed("k")),
		op(0, 203, 204, mark("a", "2"), put("k", "a2")),
		op(1, 205, 206, marks("a=2"), got("k", "a2")),
	), powerCut), ""},
	{"a write in flight finds its place among known ones", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1"), at(5)),
		op(1, 1, check.Never, mark("b", "1"), put("k", "b1")),
		op(0, 3, 4, mark("a", "2"), put("x", "a2"), at(9)),
		op(1, 201, 202, marks("a=2", "b=1"), got("k", "b1"), got("x", "a2")),
	), powerCut), ""},

	{"torn batch", history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, marks("a=1"), missed("k")),
	), "torn or stale"},
	{"torn snapshot: two that no order has", history(
		op(0, 1, 20, mark("a", "1"), put("x", "a1")),
		op(1, 1, 20, mark("b", "1"), put("y", "b1")),
		op(2, 3, 4, marks("a=1")),
		op(3, 3, 4, marks("b=1")),
	), "no prefix"},
	{"stale snapshot", history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, marks(), missed("k")),
	), "no order"},
	{"snapshots go backwards", history(
		op(0, 1, 20, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, marks("a=1"), got("k", "a1")),
		op(1, 5, 6, marks(), missed("k")),
	), "no order"},
	{"future read", history(
		op(1, 1, 2, marks("a=1"), got("k", "a1")),
		op(0, 3, 4, mark("a", "1"), put("k", "a1")),
	), "no order"},
	{"a marker from nowhere", history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, marks("a=2"), got("k", "a1")),
	), "nobody wrote"},
	{"winners against real time", history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, mark("b", "1"), put("k", "b1")),
		op(2, 5, 6, marks("a=1", "b=1"), got("k", "a1")),
	), "no order"},
	{"winners that contradict each other", history(
		op(0, 1, 9, mark("a", "1"), put("x", "a1"), put("y", "a1")),
		op(1, 1, 9, mark("b", "1"), put("x", "b1"), put("y", "b1")),
		op(2, 10, 11, marks("a=1", "b=1"), got("x", "a1"), got("y", "b1")),
	), "no order"},
	{"phantom", history(
		op(0, 1, 9, mark("a", "1"), put("x", "a1")),
		op(2, 10, 11, marks("a=1"), scan("a", "", 0, "x=a1", "y=?")),
	), "read under y ?"},
	{"several deletes, all before the put", history(
		op(0, 1, 2, mark("a", "1"), del("x")),
		op(1, 1, 2, mark("b", "1"), del("x")),
		op(0, 3, 4, mark("a", "2"), put("x", "a2")),
		op(2, 10, 11, marks("a=2", "b=1"), missed("x")),
	), "each delete of it came before a put"},
	{"a deleted key in a scan", history(
		op(0, 1, 2, mark("a", "1"), put("x", "a1")),
		op(0, 3, 4, mark("a", "2"), del("x")),
		op(2, 10, 11, marks("a=2"), scan("a", "", 0, "x=a1")),
	), "no order"},

	{"lost acknowledged flush", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1"), flushed),
		op(1, 201, 202, marks(), missed("k")),
	), powerCut), "lost"},
	{"lost at a clean close", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks(), missed("k")),
	), reopened), "lost"},
	{"a flush covers the writers before it", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, mark("b", "1"), put("x", "b1"), flushed),
		op(1, 201, 202, marks(), missed("k")),
	), powerCut), "lost"},
	{"non-prefix recovery: an older write lost, a newer one there", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 3, 4, mark("b", "1"), put("x", "b1")),
		op(1, 201, 202, marks("b=1"), missed("k"), got("x", "b1")),
	), powerCut), "no order"},
	{"non-prefix recovery: against what was read before", crashed(history(
		op(0, 1, 9, mark("a", "1"), put("k", "a1")),
		op(1, 1, 9, mark("b", "1"), put("x", "b1")),
		op(2, 3, 4, marks("a=1"), got("k", "a1"), missed("x")),
		op(1, 201, 202, marks("b=1"), missed("k"), got("x", "b1")),
	), powerCut), "no prefix"},
	{"half a batch recovered", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks("a=1"), missed("k")),
	), powerCut), "torn or stale"},
	{"what was lost comes back", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks(), missed("k")),
		op(1, 203, 204, marks("a=1"), got("k", "a1")),
	), powerCut), "which was lost when"},
	{"what was recovered goes", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, marks("a=1"), got("k", "a1")),
		op(1, 203, 204, marks(), missed("k")),
	), powerCut), "was there when the store was opened"},
	{"nobody looked after the crash", crashed(history(
		op(0, 1, 2, mark("a", "1"), put("k", "a1")),
		op(1, 201, 202, mark("b", "1"), put("k", "b1")),
	), powerCut), "unknown"},
}

func TestOrderExamples(t *testing.T) {
	for _, e := range orderExamples {
		t.Run(e.name, func(t *testing.T) { judge(t, ordered(&e.history), e.want) })
	}
}

// TestOrderRefuses: without markers there is nothing to go by.
func TestOrderRefuses(t *testing.T) {
	for name, h := range map[string]check.History{
		"no marker":             history(op(0, 1, 2, put("k", "1"))),
		"two markers":           history(op(0, 1, 2, mark("a", "1"), mark("b", "1"))),
		"no number":             history(op(0, 1, 2, mark("a", "x"))),
		"numbers do not grow":   history(op(0, 1, 2, mark("a", "2")), op(0, 3, 4, mark("a", "2"))),
		"returns before called": history(op(0, 2, 1, mark("a", "2"))),
	} {
		err := ordered(&h)
		var v *check.Violation
		if err == nil || errors.As(err, &v) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestOrderPassesCorrectStores: an order is found for what correct stores show,
// with and without the places of acknowledged writes, and Sequence agrees.
func TestOrderPassesCorrectStores(t *testing.T) {
	unknown := 0
	for seed := range uint64(300) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 1 + rng.IntN(6), operations: 300, keys: 1 + rng.IntN(20), crashes: rng.IntN(4), ranges: true, markers: true, places: seed%2 == 0})
		for i := range h.Operations {
			if o := &h.Operations[i]; o.Return == check.Never {
				o.Sequence = 0
			}
		}
		if err := ordered(&h); errors.Is(err, check.ErrUnknown) {
			unknown++
		} else if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if unknown > 0 {
		t.Errorf("%d of 300 histories were not decided", unknown)
	}
}

// TestOrderFindsSpoiltSnapshots: one read of a snapshot with markers shows what no
// state holds.
func TestOrderFindsSpoiltSnapshots(t *testing.T) {
	spoilt := 0
	for seed := range uint64(300) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 4, operations: 300, keys: 8, crashes: rng.IntN(3), ranges: true, markers: true})
		var views []int
		for i, o := range h.Operations {
			if len(o.Changes) == 0 && len(o.Reads) > 0 && o.Reads[0].Scan && o.Return != check.Never && (o.Reads[0].Key == prefix || o.Reads[0].Key == "") {
				views = append(views, i)
			}
		}
		if len(views) == 0 {
			continue
		}
		at := views[rng.IntN(len(views))]
		one := check.History{Operations: slices.Clone(h.Operations[at : at+1])}
		if !garble(rng, &one) {
			continue
		}
		h.Operations[at] = one.Operations[0]
		spoilt++
		var v *check.Violation
		if err := ordered(&h); !errors.As(err, &v) {
			t.Fatalf("seed %d: %v; spoilt %s", seed, err, h.Operations[at].String())
		}
	}
	if spoilt < 250 {
		t.Errorf("only %d histories were spoilt", spoilt)
	}
}
