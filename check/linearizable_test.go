package check_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
)

// keyExamples are about one key; the referee of keys must judge them.
var keyExamples = []example{
	{"concurrent: either is right", history(
		op(0, 1, 2, put("k", "1")),
		op(0, 3, 9, put("k", "2")),
		op(1, 4, 5, got("k", "1")),
		op(1, 6, 7, got("k", "2")),
	), ""},
	{"unknown outcome, not seen", history(op(0, 1, check.Never, put("k", "1")), op(1, 5, 6, missed("k"))), ""},
	{"unknown outcome, seen late", history(op(0, 1, check.Never, put("k", "1")), op(1, 5, 6, missed("k")), op(1, 7, 8, got("k", "1"))), ""},
	{"clean reopen", crashed(history(op(0, 1, 2, put("k", "1")), op(1, 201, 202, got("k", "1"))), reopened), ""},
	{"lost at a power cut: not for the referee to say", crashed(history(
		op(0, 1, 2, put("k", "1")),
		op(1, 201, 202, missed("k")),
	), powerCut), ""},
	{"stale read", history(op(0, 1, 2, put("k", "1")), op(0, 3, 4, put("k", "2")), op(1, 5, 6, got("k", "1"))), "no order"},
	{"stale miss", history(op(0, 1, 2, put("k", "1")), op(1, 5, 6, missed("k"))), "no order"},
	{"stale scan", history(op(0, 1, 2, put("k", "1")), op(1, 5, 6, scan("a", "z", 0))), "no order"},
	{"future read", history(op(1, 1, 2, got("k", "1")), op(0, 3, 4, put("k", "1"))), "no order"},
	{"dirty read", history(op(0, 1, 2, put("k", "1")), op(1, 1, 9, got("k", "7"))), "no order"},
	{"reads go backwards", history(
		op(0, 1, 2, put("k", "1")), op(0, 3, 20, put("k", "2")),
		op(1, 4, 5, got("k", "2")), op(2, 6, 7, got("k", "1")),
	), "no order"},
	{"lost update", history(
		op(0, 1, 2, put("n", "0")),
		op(0, 3, 6, got("n", "0"), put("n", "a")),
		op(1, 3, 6, got("n", "0"), put("n", "b")),
	), "no order"},
	{"a deleted key in a scan", history(op(0, 1, 2, put("k", "1")), op(0, 3, 4, delRange("a", "z")), op(1, 5, 6, scan("", "", 0, "k=1"))), "no order"},
	{"lost at a clean reopen", crashed(history(op(0, 1, 2, put("k", "1")), op(1, 201, 202, missed("k"))), reopened), "no order"},
	{"after a power cut two reads differ", crashed(history(
		op(0, 1, 2, put("k", "1")),
		op(1, 201, 202, missed("k")),
		op(1, 203, 204, got("k", "1")),
	), powerCut), "no order"},
	{"a scan out of order", history(op(0, 1, 2, put("a", "1"), put("b", "1")), op(1, 3, 4, scan("", "", 0, "b=1", "a=1"))), "no order"},
	{"a scan shows a key twice", history(op(0, 1, 2, put("a", "1")), op(1, 3, 4, scan("", "", 0, "a=1", "a=1"))), "no order"},
	{"a scan beyond its bound", history(op(0, 1, 2, put("a", "1"), put("b", "1")), op(1, 3, 4, scan("", "b", 0, "a=1", "b=1"))), "no order"},
	{"a scan beyond its limit", history(op(0, 1, 2, put("a", "1"), put("b", "1")), op(1, 3, 4, scan("", "", 1, "a=1", "b=1"))), "no order"},
}

// mapExamples need more than one key to be seen.
var mapExamples = []example{
	{"good", history(
		op(0, 1, 9, put("x", "1"), put("y", "1")),
		op(1, 1, 9, scan("", "", 0)),
		op(2, 1, 9, scan("", "", 0, "x=1", "y=1")),
		op(0, 20, 21, delRange("x", "y")),
		op(2, 30, 31, scan("", "", 1, "y=1")),
	), ""},
	{"write skew", history(
		op(2, 1, 2, put("x", "0"), put("y", "0")),
		op(0, 2, 6, got("x", "0"), put("y", "1")),
		op(1, 2, 6, got("y", "0"), put("x", "1")),
	), "no order"},
	{"torn batch", history(
		op(0, 1, 9, put("x", "1"), put("y", "1")),
		op(1, 2, 3, got("x", "1"), missed("y")),
	), "no order"},
	{"a scan mixes two states", history(
		op(0, 1, 2, put("x", "0"), put("y", "0")),
		op(0, 3, 4, put("x", "1")),
		op(0, 5, 9, put("y", "1")),
		op(1, 2, 9, scan("", "", 0, "x=0", "y=1")),
	), "no order"},
	{"two snapshots in opposite orders", history(
		op(0, 1, 9, put("x", "1")),
		op(1, 1, 9, put("y", "1")),
		op(2, 1, 9, got("x", "1"), missed("y")),
		op(3, 1, 9, got("y", "1"), missed("x")),
	), "no order"},
	{"phantom", history(
		op(0, 1, 9, put("x", "1"), put("y", "1")),
		op(2, 1, 9, scan("", "", 0, "y=1")),
	), "no order"},
}

func TestRefereeExamples(t *testing.T) {
	var r check.Referee
	for _, e := range keyExamples {
		t.Run("keys/"+e.name, func(t *testing.T) {
			v, err := r.Keys(&e.history)
			judge(t, err, e.want)
			if v.Parts == 0 || v.Operations == 0 || v.Unknown != 0 {
				t.Errorf("looked at %+v", v)
			}
		})
	}
	for _, e := range mapExamples {
		t.Run("windows/"+e.name, func(t *testing.T) {
			_, err := r.Windows(&e.history)
			judge(t, err, e.want)
		})
		t.Run("keys alone do not see/"+e.name, func(t *testing.T) {
			if _, err := r.Keys(&e.history); err != nil {
				t.Errorf("the example is about one key: %v", err)
			}
		})
	}
}

// TestRefereePassesCorrectStores, and that windows are many.
func TestRefereePassesCorrectStores(t *testing.T) {
	for seed := range uint64(60) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 2 + rng.IntN(3), operations: 120, keys: 1 + rng.IntN(6), crashes: rng.IntN(2), ranges: true, places: true})
		var r check.Referee
		if _, err := r.Keys(&h); err != nil {
			t.Fatalf("seed %d: keys: %v", seed, err)
		}
		if _, err := r.Windows(&h); err != nil {
			t.Fatalf("seed %d: windows: %v", seed, err)
		}
	}
}

// TestRefereeAndSequenceAgree: where the given order is good, some order is; where
// there is none, the given one is not. Spoilt histories are found by both.
func TestRefereeAndSequenceAgree(t *testing.T) {
	both := 0
	for seed := range uint64(2000) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 2 + rng.IntN(3), operations: 20, keys: 1 + rng.IntN(4), ranges: true, places: true})
		if !spoil(rng, &h) {
			continue
		}
		_, referee := check.Referee{}.Windows(&h)
		sequence := check.Sequence(&h)
		if referee != nil && sequence == nil {
			t.Fatalf("seed %d: the order is good, says Sequence; there is none, says the referee: %v\n%s", seed, referee, lines(&h))
		}
		if referee != nil {
			both++
		}
	}
	if both < 500 {
		t.Errorf("both found only %d", both)
	}
}

// TestRefereeTimeout: what cannot be decided in time is unknown, and no pass.
func TestRefereeTimeout(t *testing.T) {
	// Concurrent puts of different values and one read of a value that nobody put
	// make the search go through all subsets.
	var h check.History
	for n := range 26 {
		h.Operations = append(h.Operations, op(n, 1, 1000, put("k", fmt.Sprint(n)), put(keyOf(n), "1")))
	}
	h.Operations = append(h.Operations, op(26, 1, 1000, got("k", "none")))
	v, err := check.Referee{Timeout: time.Millisecond}.Windows(&h)
	if err != nil || v.Unknown != 1 || v.Parts != 1 {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestRefereePicture: the picture of a failure is a page that shows it.
func TestRefereePicture(t *testing.T) {
	h := history(op(0, 1, 2, put("key-in-picture", "1")), op(1, 5, 6, missed("key-in-picture")))
	var page bytes.Buffer
	_, err := check.Referee{Picture: &page}.Keys(&h)
	judge(t, err, "no order")
	if s := page.String(); !strings.Contains(s, "<html") || !strings.Contains(s, "key-in-picture") {
		t.Errorf("the page has %d bytes and does not show the operation", len(s))
	}
	full := errors.New("full")
	_, err = check.Referee{Picture: failing{full}}.Keys(&h)
	var v *check.Violation
	if !errors.Is(err, full) || !errors.As(err, &v) {
		t.Errorf("a picture that cannot be written: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

var _ io.Writer = failing{}
