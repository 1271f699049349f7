package check_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/check"
)

const flushed = check.SurvivesPower

// Crashes at 100; clients go on at 200.
var (
	powerCut = check.Crash{At: 100, Class: check.SurvivesPower}
	exit     = check.Crash{At: 100, Class: check.SurvivesExit}
	reopened = check.Crash{At: 100}
)

func recoveredTo(c check.Crash, place uint64) check.Crash {
	c.Sequence, c.Known = place, true
	return c
}

var sequenceExamples = []example{
	{"nothing", history(), ""},
	{"a put and its get", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 3, 4, got("k", "1")),
	), ""},
	{"concurrent: either is right", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(0, 3, 9, put("k", "2"), at(2)),
		op(1, 4, 5, got("k", "1")),
		op(1, 6, 7, got("k", "2")),
	), ""},
	{"all kinds", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), put("c", "1"), at(3)),
		op(0, 3, 4, delRange("a", "c"), put("a", "2"), at(5)),
		op(0, 5, 6, del("c"), at(6)),
		op(1, 1, 8, scan("", "", 0, "a=2", "c=1")),
		op(2, 5, 6, scan("", "", 1, "a=2")),
		op(2, 7, 8, scan("b", "z", 0), got("a", "2"), missed("c"), at(6)),
		op(3, 9, 12, got("a", "2"), missed("b"), put("b", "3"), at(9)),
		op(3, 13, 14, scan("a", "c", 2, "a=2", "b=3")),
	), ""},
	{"a snapshot at a place between two writes", history(
		op(0, 1, 2, put("k", "1"), at(2)),
		op(0, 3, 9, put("k", "2"), at(8)),
		op(1, 3, 4, got("k", "1"), at(5)),
	), ""},

	{"stale read", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(0, 3, 4, put("k", "2"), at(2)),
		op(1, 5, 6, got("k", "1")),
	), "the store held 2, written by [1] at place 2"},
	{"stale snapshot", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(0, 3, 4, put("k", "2"), at(2)),
		op(1, 5, 6, got("k", "1"), at(1)),
	), "stale"},
	{"stale miss", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 3, 4, missed("k")),
	), "read under k nothing"},
	{"future read", history(
		op(1, 1, 2, got("k", "1")),
		op(0, 3, 4, put("k", "1"), at(1)),
	), "the store held nothing"},
	{"future snapshot", history(
		op(1, 1, 2, got("k", "1"), at(1)),
		op(0, 3, 4, put("k", "1"), at(1)),
	), "from the future"},
	{"dirty read: a value that nobody wrote", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 1, 9, got("k", "7")),
	), "which nobody wrote"},
	{"reads go backwards", history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(0, 3, 20, put("k", "2"), at(2)),
		op(1, 4, 5, got("k", "2")),
		op(2, 6, 7, got("k", "1")),
	), "the store held 2"},
	{"reads of different keys go backwards", history(
		op(0, 1, 20, put("x", "1"), at(1)),
		op(1, 1, 20, put("y", "1"), at(2)),
		op(2, 4, 5, got("y", "1")),
		op(3, 6, 7, missed("x")),
	), "read under x nothing"},
	{"reads of different keys go backwards, with a place", history(
		op(0, 1, 20, put("x", "1"), at(1)),
		op(1, 1, 20, put("y", "1"), at(2)),
		op(2, 4, 5, got("y", "1")),
		op(3, 6, 7, got("x", "1"), at(1)),
	), "older state than one that had returned"},
	{"lost update", history(
		op(0, 1, 2, put("n", "0"), at(1)),
		op(0, 3, 6, got("n", "0"), put("n", "1a"), at(2)),
		op(1, 3, 6, got("n", "0"), put("n", "1b"), at(3)),
	), "the store held 1a"},
	{"write skew", history(
		op(0, 1, 2, put("x", "0"), put("y", "0"), at(1)),
		op(0, 3, 6, got("x", "0"), put("y", "1"), at(2)),
		op(1, 3, 6, got("y", "0"), put("x", "1"), at(3)),
	), "the store held 1"},
	{"torn batch", history(
		op(0, 1, 9, put("x", "1"), put("y", "1"), at(1)),
		op(1, 2, 3, got("x", "1"), missed("y")),
	), "read under"},
	{"torn batch in a scan", history(
		op(0, 1, 9, put("x", "1"), put("y", "1"), at(1)),
		op(1, 2, 3, scan("", "", 0, "y=1")),
	), "read under x nothing"},
	{"phantom: a scan shows what was deleted", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), at(1)),
		op(0, 3, 4, del("b"), at(2)),
		op(1, 5, 6, scan("a", "c", 0, "a=1", "b=1")),
	), "read under b 1"},
	{"phantom: a scan shows what a later write put", history(
		op(0, 1, 2, put("a", "1"), at(1)),
		op(0, 3, 9, put("b", "2"), at(2)),
		op(0, 10, 11, put("c", "3"), at(3)),
		op(1, 3, 12, scan("", "", 0, "a=1", "c=3")),
	), "read under b nothing"},
	{"a scan skips a key", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), put("c", "1"), at(1)),
		op(1, 3, 4, scan("", "", 0, "a=1", "c=1")),
	), "read under b nothing"},
	{"a scan ends early", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), at(1)),
		op(1, 3, 4, scan("", "", 2, "a=1")),
	), "read under b nothing"},
	{"a scan goes beyond its bound", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), at(1)),
		op(1, 3, 4, scan("", "b", 0, "a=1", "b=1")),
	), "read under b 1"},
	{"a scan goes beyond its limit", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), at(1)),
		op(1, 3, 4, scan("", "", 1, "a=1", "b=1")),
	), "read under b 1"},
	{"range-delete one key too far", history(
		op(0, 1, 2, put("a", "1"), put("b", "1"), at(1)),
		op(0, 3, 4, delRange("a", "b"), at(2)),
		op(1, 5, 6, missed("b")),
	), "the store held 1"},
	{"two writes at one place", history(
		op(0, 1, 2, put("a", "1"), at(1)),
		op(1, 1, 2, put("b", "1"), at(1)),
	), "two writes at place 1"},
	{"order against real time", history(
		op(0, 1, 2, put("a", "1"), at(2)),
		op(1, 3, 4, put("b", "1"), at(1)),
	), "against real time"},

	{"nothing lost at a clean close", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 201, 202, got("k", "1")),
	), recoveredTo(reopened, 1)), ""},
	{"lost at a clean close", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 201, 202, missed("k")),
	), recoveredTo(reopened, 0)), "lost"},
	{"lost at a clean close, and no word of it", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 201, 202, missed("k")),
	), recoveredTo(reopened, 1)), "read under k nothing"},
	{"a suffix is lost", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1), flushed),
		op(0, 3, 4, put("k", "2"), at(2)),
		op(0, 5, 6, got("k", "2")),
		op(1, 201, 202, got("k", "1")),
		op(0, 203, 204, put("k", "3"), at(2)),
		op(0, 205, 206, got("k", "3")),
	), recoveredTo(powerCut, 1)), ""},
	{"what was lost comes back", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1), flushed),
		op(0, 3, 4, put("k", "2"), at(2)),
		op(0, 201, 202, put("x", "3"), at(3)),
		op(1, 203, 204, got("k", "2")),
	), recoveredTo(powerCut, 1)), "the store held 1"},
	{"a flushed write covers those before it", crashed(history(
		op(0, 1, 9, put("k", "1"), at(1)),
		op(1, 1, 9, put("x", "2"), at(2), flushed),
		op(1, 201, 202, missed("k"), missed("x")),
	), recoveredTo(powerCut, 0)), "lost: the write at place 2"},
	{"a flush covers what had returned", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1)),
		op(1, 3, 4, flushed),
		op(1, 201, 202, missed("k")),
	), powerCut), "lost: the write at place 1"},
	{"a flush covers not what had not returned", crashed(history(
		op(0, 1, 9, put("k", "1"), at(1)),
		op(1, 3, 4, flushed),
		op(1, 201, 202, missed("k")),
	), powerCut), ""},
	{"buffered survives an exit", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1), check.SurvivesExit),
		op(1, 201, 202, missed("k")),
	), exit), "lost"},
	{"buffered need not survive a power cut", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1), check.SurvivesExit),
		op(1, 201, 202, missed("k")),
	), powerCut), ""},
	{"lost acknowledged flush", crashed(history(
		op(0, 1, 2, put("k", "1"), at(1), flushed),
		op(0, 3, 4, put("k", "2"), at(2), flushed),
		op(1, 201, 202, got("k", "1")),
	), powerCut), "lost: the write at place 2"},
	{"not a prefix: a hole", crashed(history(
		op(0, 1, 2, put("x", "1"), at(1)),
		op(0, 3, 4, put("y", "2"), at(2)),
		op(1, 201, 202, scan("", "", 0, "y=2")),
	), powerCut), "no prefix"},
	{"not a prefix: half a batch", crashed(history(
		op(0, 1, 2, put("x", "1"), put("y", "1"), at(1)),
		op(1, 201, 202, scan("", "", 0, "y=1")),
	), powerCut), "no prefix"},
	{"in flight with a place: either way", crashed(history(
		op(0, 1, check.Never, put("x", "1"), at(1), flushed),
		op(1, 201, 202, missed("x")),
	), powerCut), ""},
	{"acknowledged after the crash: not covered", crashed(history(
		op(0, 1, 150, put("x", "1"), at(1), flushed),
		op(1, 201, 202, missed("x")),
	), powerCut), ""},
	{"the order goes back after a crash", crashed(history(
		op(0, 1, 2, put("x", "1"), at(4)),
		op(0, 201, 202, put("x", "2"), at(3)),
	), recoveredTo(reopened, 4)), "stood at 4 when it was opened"},
	{"two crashes", crashed(history(
		op(0, 1, 2, put("x", "1"), at(1), flushed),
		op(0, 3, 4, put("x", "2"), at(2)),
		op(0, 201, 202, got("x", "1")),
		op(0, 203, 204, put("y", "3"), at(2)),
		op(0, 401, 402, got("x", "1"), missed("y")),
	), powerCut, check.Crash{At: 300, Class: flushed}), ""},
	{"the second crash loses what the first left", crashed(history(
		op(0, 1, 2, put("x", "1"), at(1)),
		op(0, 201, 202, got("x", "1")),
		op(0, 401, 402, missed("x")),
	), recoveredTo(powerCut, 1), recoveredTo(check.Crash{At: 300, Class: flushed}, 0)), "lost"},
	{"unknown outcome, unknown place, seen", crashed(history(
		op(0, 1, check.Never, put("x", "1")),
		op(1, 201, 202, got("x", "1")),
	), powerCut), "unknown"},
	{"unknown outcome, unknown place, not seen", crashed(history(
		op(0, 1, check.Never, put("x", "1")),
		op(1, 201, 202, missed("x")),
	), powerCut), ""},
	{"nothing was read after the crash", crashed(history(
		op(0, 1, 2, put("x", "1"), at(1)),
		op(1, 201, 202, put("x", "2"), at(1)),
	), powerCut), "unknown"},
}

func TestSequenceExamples(t *testing.T) {
	for _, e := range sequenceExamples {
		t.Run(e.name, func(t *testing.T) { judge(t, check.Sequence(&e.history), e.want) })
	}
}

// TestSequenceRefuses: what is no history is neither passed nor a violation.
func TestSequenceRefuses(t *testing.T) {
	for name, h := range map[string]check.History{
		"a write without a place":         history(op(0, 1, 2, put("k", "1"))),
		"a return that precedes the call": history(op(0, 2, 1, got("k", "1"))),
	} {
		err := check.Sequence(&h)
		if err == nil {
			t.Errorf("%s passes", name)
		} else {
			if _, violation := err.(*check.Violation); violation {
				t.Errorf("%s: a violation: %v", name, err)
			}
		}
	}
}
