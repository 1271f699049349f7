package check_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/check"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The hand-made histories below are written with these.

func op(client int, call, ret int64, parts ...any) check.Operation {
	o := check.Operation{Client: client, Call: call, Return: ret}
	for _, p := range parts {
		switch p := p.(type) {
		case check.Read:
			o.Reads = append(o.Reads, p)
		case check.Change:
			o.Changes = append(o.Changes, p)
		case at:
			o.Sequence = uint64(p)
		case check.Survival:
			o.Survives = p
		default:
			panic("not a part of an operation")
		}
	}
	return o
}

type at uint64

func put(key, value string) check.Change {
	return check.Change{Kind: check.Put, Key: key, Value: value}
}
func del(key string) check.Change { return check.Change{Kind: check.Delete, Key: key} }
func delRange(lower, upper string) check.Change {
	return check.Change{Kind: check.DeleteRange, Key: lower, Value: upper}
}

// scan is a read of a range; entries are "key=value".
func scan(lower, upper string, limit int, entries ...string) check.Read {
	r := check.Read{Scan: true, Key: lower, Upper: upper, Limit: limit}
	for _, e := range entries {
		key, value, _ := strings.Cut(e, "=")
		r.Entries = append(r.Entries, check.Entry{Key: key, Value: value})
	}
	return r
}

func got(key, value string) check.Read { return check.Got(key, value) }
func missed(key string) check.Read     { return check.Missed(key) }

// example is a hand-made history, and a part of what must be said of it.
type example struct {
	name    string
	history check.History
	// want is "" for a good history; "unknown" for one that cannot be decided.
	want string
}

func history(ops ...check.Operation) check.History { return check.History{Operations: ops} }

// crashed adds crashes to a history.
func crashed(h check.History, crashes ...check.Crash) check.History {
	h.Crashes = crashes
	return h
}

// judge fails the test if a checker did not say what an example wants.
func judge(t *testing.T, err error, want string) {
	t.Helper()
	var v *check.Violation
	switch {
	case want == "":
		if err != nil {
			t.Errorf("a good history: %v", err)
		}
	case want == "unknown":
		if !errors.Is(err, check.ErrUnknown) {
			t.Errorf("got %v, want that it is not decided", err)
		}
	case !errors.As(err, &v):
		t.Errorf("got %v, want a violation with %q", err, want)
	case !strings.Contains(v.What, want):
		t.Errorf("got %q, want %q in it", v.What, want)
	}
}

func TestOperationString(t *testing.T) {
	o := op(3, 10, check.Never, got("a", "x y"), missed("b"), scan("a", "", 2, "a=1", "b=2"), put("k", "v"), del("d"), delRange("a", "b"), at(7))
	want := `client 3 10..unknown @7: get a: "x y", get b: none, scan [a, "") limit 2: a=1 b=2, put k=v, delete d, delete [a, b)`
	if got := o.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	flush := op(0, 1, 2)
	if got := flush.String(); got != "client 0 1..2: flush" {
		t.Errorf("a flush: %s", got)
	}
	long := op(0, 1, 2, check.Read{Scan: true, Entries: slices.Repeat([]check.Entry{{Key: strings.Repeat("k", 99), Value: "v"}}, 20)})
	if got := long.String(); !strings.Contains(got, "…=v and 8 more") {
		t.Errorf("a long scan: %s", got)
	}
}
