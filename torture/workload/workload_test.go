package workload_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/workload"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var all = engine.Traits{
	Durability: engine.DurabilityOf(engine.Memory, engine.Buffered, engine.Flushed),
	Checkpoint: true, Compact: true,
}

// TestText: what is printed is read, and packed and unpacked, as it was.
func TestText(t *testing.T) {
	for seed := range uint64(50) {
		w := workload.Random(seed, 100, all)
		if again := workload.Random(seed, 100, all); !reflect.DeepEqual(again, w) {
			t.Fatalf("seed %d gives two workloads", seed)
		}
		parsed, err := workload.Parse(w.String())
		if err != nil || !reflect.DeepEqual(parsed, w) {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, w, parsed)
		}
		if unpacked, err := workload.Unpack(w.Pack()); err != nil || !reflect.DeepEqual(unpacked, w) {
			t.Fatalf("seed %d, packed: %v", seed, err)
		}
	}
	const text = `# a comment

put flushed a 100
delete buffered "a; b"
delete-range memory a c
batch flushed put a 0; delete "\xff"; delete-range c e
sync
`
	w, err := workload.Parse(strings.Replace(text, `"\xff"`, `"\x00"`, 1))
	if err != nil || len(w) != 5 || w[1].Changes[0].Key != "a; b" || len(w[3].Changes) != 3 {
		t.Errorf("%v: %s", err, w)
	}
	for _, bad := range []string{
		"put", "put flushed", "put flushed a", "put flushed a x", "put flushed a -1", "put flushed a 1 2",
		"put flushed a 1;", "put flushed a 1; delete b", "put sometimes a 1", "batch flushed", "delete flushed",
		"delete-range flushed a", "sync now", "jump", `put flushed "a 1`, `put flushed "" 1`, "delete flushed ~marker", text,
	} {
		if w, err := workload.Parse(bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%q is read as %v, %v", bad, w, err)
		}
	}
	for _, bad := range []string{"!", "AAAA", workload.Workload{{Kind: 77}}.Pack()} {
		if w, err := workload.Unpack(bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%q is unpacked as %v, %v", bad, w, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(workload.Random(1, 30, all).String())
	f.Fuzz(func(t *testing.T, text string) {
		w, err := workload.Parse(text)
		if err != nil {
			return
		}
		again, err := workload.Parse(w.String())
		if err != nil || !reflect.DeepEqual(again, w) {
			t.Fatalf("%v:\n%s\nbecomes\n%s", err, w, again)
		}
	})
}

func TestEnumerate(t *testing.T) {
	ops := workload.Alphabet(all)
	for n := 1; n <= 2; n++ {
		seen := make(map[string]bool)
		for w := range workload.Enumerate(ops, n) {
			if len(w) != n {
				t.Fatalf("%d operations: %s", n, w)
			}
			seen[w.String()] = true
		}
		if want := []int{1, len(ops), len(ops) * len(ops)}[n]; len(seen) != want {
			t.Errorf("%d workloads of %d operations, want %d", len(seen), n, want)
		}
	}
	without := all
	without.Checkpoint, without.Durability = false, engine.DurabilityOf(engine.Flushed)
	for _, o := range workload.Alphabet(without) {
		if o.Kind == workload.Checkpoint || o.Durability != engine.Flushed {
			t.Errorf("an engine without it gets %s", o)
		}
	}
}

func TestShrink(t *testing.T) {
	w := workload.Random(7, 200, all)
	needs := func(w workload.Workload) bool {
		deletes, large := false, false
		for _, o := range w {
			for _, c := range o.Changes {
				deletes = deletes || c.Kind == engine.OpDelete
				large = large || deletes && c.Size > 600
			}
		}
		return large
	}
	if !needs(w) {
		t.Fatal("the workload does not have what is looked for")
	}
	small := workload.Shrink(w, 1000, needs)
	changes := 0
	for _, o := range small {
		changes += len(o.Changes)
	}
	if !needs(small) || changes > 2 {
		t.Errorf("shrunk to\n%s", small)
	}
	calls := 0
	workload.Shrink(w, 5, func(workload.Workload) bool { calls++; return false })
	if calls != 5 {
		t.Errorf("%d calls where 5 are the limit", calls)
	}
}

// session returns one on an empty disk.
func session(d tiny.Defect) *workload.Session {
	disk := simdisk.New(simdisk.Options{})
	return &workload.Session{
		Open:      func(dir string) (engine.Engine, error) { return tiny.Open(disk, dir, d) },
		Directory: "/store",
	}
}

// TestSession: the model agrees with an engine over long workloads.
func TestSession(t *testing.T) {
	for seed := range uint64(10) {
		s := session(tiny.None)
		if err := s.Run(context.Background(), workload.Random(seed, 150, all)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b := s.History.Bounds
		if n := len(s.History.States) - 1; b.Begun != n || b.Flushed != n || b.Buffered != n || n == 0 {
			t.Errorf("seed %d: %+v of %d batches after a close", seed, b, n)
		}
		for _, c := range s.History.Copies {
			if err := s.History.CheckCopy(s.Open, c); err != nil {
				t.Error(err)
			}
			if n := len(s.History.States); c.State < n-1 {
				wrong := c
				wrong.State = n - 1
				if err := s.History.CheckCopy(s.Open, wrong); workload.FaultOf(err) != workload.BadCopy {
					t.Errorf("a checkpoint of another state passes: %v", err)
				}
			}
		}
	}
}

// lying is a reader that shows entries of its own making.
type lying struct {
	forward, backward, points []workload.Entry
	err                       error // of iterators
}

func (l lying) Get(key, dst []byte) ([]byte, error) {
	for _, e := range l.points {
		if e.Key == string(key) {
			return append(dst, e.Value...), nil
		}
	}
	return dst, engine.ErrNotFound
}

func (l lying) NewIterator(engine.IterOptions) (engine.Iterator, error) {
	return &liar{lying: l}, nil
}

type liar struct {
	lying
	engine.Iterator
	shown []workload.Entry
	at    int
	step  int
}

func (l *liar) valid() bool { return l.at >= 0 && l.at < len(l.shown) }
func (l *liar) First() bool { l.shown, l.at, l.step = l.forward, 0, 1; return l.valid() }
func (l *liar) Last() bool {
	l.shown, l.at, l.step = l.backward, len(l.backward)-1, -1
	return l.valid()
}
func (l *liar) Next() bool             { l.at++; return l.valid() }
func (l *liar) Prev() bool             { l.at--; return l.valid() }
func (l *liar) Key() []byte            { return []byte(l.shown[l.at].Key) }
func (l *liar) Value() ([]byte, error) { return []byte(l.shown[l.at].Value), nil }
func (l *liar) Err() error             { return l.err }
func (l *liar) Close() error           { return l.err }

// TestCheck: the oracle takes what is right, and nothing else.
func TestCheck(t *testing.T) {
	s := session(tiny.None)
	w := workload.Workload{
		{Changes: []workload.Change{{Kind: engine.OpPut, Key: "a", Size: 20}}},
		{Changes: []workload.Change{{Kind: engine.OpPut, Key: "b", Size: 20}}},
		{Changes: []workload.Change{{Kind: engine.OpDelete, Key: "a"}}},
	}
	if err := s.Run(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	h := s.History
	honest := func(i int) lying {
		e := h.States[i].Entries
		return lying{forward: e, backward: e, points: e}
	}
	other := func(entries []workload.Entry, i int) []workload.Entry {
		entries = slices.Clone(entries)
		entries[i].Value = "other value, 20 byte"
		return entries
	}
	two := h.States[2].Entries
	for _, c := range []struct {
		what  string
		shown lying
		a     workload.Accept
		want  workload.Fault
	}{
		{"the newest state", honest(3), workload.Accept{Least: 3, Most: 3}, ""},
		{"a prefix", honest(1), workload.Accept{Least: 1, Most: 3}, ""},
		{"the empty store", honest(0), workload.Accept{Most: 3}, ""},
		{"one of the others", honest(2), workload.Accept{Least: 1, Also: h.States[2:3]}, ""},
		{"less than was flushed", honest(1), workload.Accept{Least: 2, Most: 3}, workload.Lost},
		{"nothing", honest(0), workload.Accept{Least: 1, Most: 3}, workload.Lost},
		{"more than was begun", honest(3), workload.Accept{Least: 1, Most: 2}, workload.Ahead},
		{"none is right", honest(3), workload.Accept{Least: 1}, workload.Lost},
		{"a hole", lying{forward: two[1:], backward: two[1:], points: two[1:]}, workload.Accept{Most: 3}, workload.Wrong},
		{"no last entry", lying{forward: two[:2], backward: two[:2], points: two}, workload.Accept{Most: 3}, workload.Wrong},
		{"another value", lying{forward: other(two, 0), backward: two, points: two}, workload.Accept{Most: 3}, workload.Wrong},
		{"backwards short", lying{forward: two, backward: two[1:], points: two}, workload.Accept{Most: 3}, workload.Disagrees},
		{"backwards other", lying{forward: two, backward: other(two, 1), points: two}, workload.Accept{Most: 3}, workload.Disagrees},
		{"get other", lying{forward: two, backward: two, points: other(two, 1)}, workload.Accept{Most: 3}, workload.Disagrees},
		{"get missing", lying{forward: two, backward: two, points: two[1:]}, workload.Accept{Most: 3}, workload.Disagrees},
		{"get more", lying{forward: two, backward: two, points: slices.Concat(two, []workload.Entry{{Key: "zzz"}})}, workload.Accept{Most: 3}, workload.Disagrees},
		{"a marker of no batch", lying{points: []workload.Entry{{Key: workload.MarkerKey, Value: "12345678"}}}, workload.Accept{Most: 3}, workload.Wrong},
		{"a short marker", lying{points: []workload.Entry{{Key: workload.MarkerKey, Value: "1"}}}, workload.Accept{Most: 3}, workload.Wrong},
		{"an iterator that fails", lying{forward: two, backward: two, points: two, err: engine.ErrCorrupt}, workload.Accept{Most: 3}, workload.Failed},
	} {
		if _, err := h.Check(c.shown, c.a); workload.FaultOf(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestReadable: errors are excused, and only those that may be; what is wrong is
// not.
func TestReadable(t *testing.T) {
	s := session(tiny.None)
	if err := s.Run(context.Background(), workload.Random(3, 60, all)); err != nil {
		t.Fatal(err)
	}
	e := s.History.States[len(s.History.States)-1].Entries
	if len(e) < 3 {
		t.Fatalf("only %d entries", len(e))
	}
	corrupt := func(err error) bool { return errors.Is(err, engine.ErrCorrupt) }
	for _, c := range []struct {
		what   string
		shown  lying
		want   workload.Fault
		failed bool
	}{
		{"all", lying{forward: e, backward: e, points: e}, "", false},
		{"an iterator that ends with an error", lying{forward: e[:1], backward: e[1:], points: e, err: engine.ErrCorrupt}, "", true},
		{"an iterator that ends without", lying{forward: e[:1], backward: e, points: e}, workload.Wrong, false},
		{"another error", lying{forward: e[:1], backward: e, points: e, err: engine.ErrNoSpace}, workload.WrongError, false},
		{"ErrNotFound from an iterator", lying{forward: e[:1], backward: e, points: e, err: engine.ErrNotFound}, workload.WrongError, false},
		{"not found", lying{forward: e, backward: e, points: e[1:]}, workload.Wrong, false},
		{"too much", lying{forward: append(e[:len(e):len(e)], e[0]), backward: e, points: e}, workload.Wrong, false},
		{"backwards other", lying{forward: e, backward: e[:len(e)-1], points: e, err: engine.ErrCorrupt}, workload.Wrong, true},
	} {
		failed, err := workload.Readable(c.shown, e, corrupt)
		if workload.FaultOf(err) != c.want || err == nil && failed > 0 != c.failed {
			t.Errorf("%s: %d failed, %v, want %q", c.what, failed, err, c.want)
		}
	}
}
