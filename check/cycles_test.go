package check_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/check"
)

func app(key string, value int64) check.Step { return check.Step{Key: key, Append: true, Value: value} }
func saw(key string, list ...int64) check.Step {
	return check.Step{Key: key, List: list}
}

// txn is a committed transaction; all are concurrent.
func txn(steps ...check.Step) check.Transaction {
	return check.Transaction{Call: 1, Return: 2, Steps: steps}
}

func aborted(t check.Transaction) check.Transaction { t.Outcome = check.Aborted; return t }
func unknown(t check.Transaction) check.Transaction {
	t.Outcome, t.Return = check.Unknown, check.Never
	return t
}
func during(call, ret int64, t check.Transaction) check.Transaction {
	t.Call, t.Return = call, ret
	return t
}

// The names of what must be found; none for a good history.
var cycleExamples = []struct {
	name     string
	realTime bool
	history  []check.Transaction
	want     []string
}{
	{"nothing", true, nil, nil},
	{"good", true, []check.Transaction{
		during(1, 2, txn(app("x", 1), app("y", 1))),
		during(3, 4, txn(saw("x", 1), app("x", 2), saw("x", 1, 2), app("x", 3))),
		during(5, 6, txn(saw("x", 1, 2, 3), saw("y", 1))),
		during(1, 9, unknown(txn(app("y", 2)))),
		during(1, 9, aborted(txn(app("y", 3)))),
		during(7, 8, txn(saw("y", 1, 2))),
	}, nil},
	{"reads of the past are serializable", false, []check.Transaction{
		during(1, 2, txn(app("x", 1))),
		during(3, 4, txn(saw("x"))),
		during(5, 6, txn(saw("x", 1))),
	}, nil},
	{"write cycle", false, []check.Transaction{
		txn(app("x", 1), app("y", 1)),
		txn(app("x", 2), app("y", 2)),
		txn(saw("x", 1, 2), saw("y", 2, 1)),
	}, []string{"G0"}},
	{"aborted read", false, []check.Transaction{aborted(txn(app("x", 1))), txn(saw("x", 1))}, []string{"G1a"}},
	{"intermediate read", false, []check.Transaction{txn(app("x", 1), app("x", 2)), txn(saw("x", 1))}, []string{"G-single", "G1b"}},
	{"circular information flow", false, []check.Transaction{
		txn(app("x", 1), saw("y", 1)),
		txn(app("y", 1), saw("x", 1)),
	}, []string{"G1c"}},
	{"read skew", false, []check.Transaction{
		txn(app("x", 1), app("y", 1)),
		txn(saw("x"), saw("y", 1)),
		txn(saw("x", 1)),
	}, []string{"G-single"}},
	{"lost update", false, []check.Transaction{
		txn(saw("x"), app("x", 1)),
		txn(saw("x"), app("x", 2)),
		txn(saw("x", 1, 2)),
	}, []string{"G-single"}},
	{"lost update, and nobody reads it later", false, []check.Transaction{
		txn(saw("x"), app("x", 1)),
		txn(saw("x"), app("x", 2)),
	}, []string{"G2"}},
	{"write skew", false, []check.Transaction{
		txn(saw("x"), saw("y"), app("x", 1)),
		txn(saw("x"), saw("y"), app("y", 1)),
		txn(saw("x", 1), saw("y", 1)),
	}, []string{"G2"}},
	{"an unknown outcome that was read", false, []check.Transaction{
		unknown(txn(app("x", 1), app("y", 1))),
		txn(saw("x", 1), saw("y")),
		txn(saw("y", 1)),
	}, []string{"G-single"}},
	{"stale read", true, []check.Transaction{
		during(1, 2, txn(app("x", 1))),
		during(3, 4, txn(saw("x"))),
		during(5, 6, txn(saw("x", 1))),
	}, []string{"G-single-realtime"}},
	{"future read", true, []check.Transaction{
		during(1, 2, txn(saw("x", 1))),
		during(3, 4, txn(app("x", 1))),
	}, []string{"G1c-realtime"}},
	{"writes against real time", true, []check.Transaction{
		during(1, 2, txn(app("x", 1))),
		during(3, 4, txn(app("x", 2))),
		during(5, 6, txn(saw("x", 2, 1))),
	}, []string{"G0-realtime"}},
	{"forked snapshots in real time", true, []check.Transaction{
		during(1, 20, txn(app("x", 1))),
		during(1, 20, txn(app("y", 1))),
		during(3, 4, txn(saw("x", 1), saw("y"))),
		during(5, 6, txn(saw("x"), saw("y", 1))),
	}, []string{"G2"}},
	{"no prefix of each other", false, []check.Transaction{
		txn(app("x", 1)), txn(app("x", 2)),
		txn(saw("x", 1, 2)), txn(saw("x", 2, 1)),
	}, []string{"incompatible order"}},
	{"own append not seen", false, []check.Transaction{txn(app("x", 1), saw("x"))}, []string{"internal"}},
	{"a second read that differs", false, []check.Transaction{txn(app("x", 1)), txn(saw("x"), saw("x", 1))}, []string{"G-single", "internal"}},
	{"a value twice", false, []check.Transaction{txn(app("x", 1)), txn(saw("x", 1, 1))}, []string{"duplicate"}},
	{"appended twice", false, []check.Transaction{txn(app("x", 1)), txn(app("x", 1))}, []string{"duplicate"}},
	{"a value from nowhere", false, []check.Transaction{txn(saw("x", 7))}, []string{"garbage"}},
	{"two groups, each told", false, []check.Transaction{
		txn(saw("x"), saw("y"), app("x", 1)),
		txn(saw("x"), saw("y"), app("y", 1)),
		txn(app("a", 1), saw("b", 1)),
		txn(app("b", 1), saw("a", 1)),
		txn(saw("x", 1), saw("y", 1)),
	}, []string{"G1c", "G2"}},
}

func TestCyclesExamples(t *testing.T) {
	for _, e := range cycleExamples {
		t.Run(e.name, func(t *testing.T) {
			var names []string
			for _, a := range check.Cycles(e.history, e.realTime) {
				names = append(names, a.Name)
				if len(a.Transactions) == 0 || !strings.Contains(a.Error(), a.Name+": ") {
					t.Errorf("%+v says little", a)
				}
			}
			slices.Sort(names)
			names = slices.Compact(names)
			if !slices.Equal(names, e.want) {
				t.Errorf("found %q, want %q", names, e.want)
			}
		})
	}
}

// TestCyclesText: the shortest cycle is told, edge by edge.
func TestCyclesText(t *testing.T) {
	found := check.Cycles([]check.Transaction{
		during(1, 2, txn(app("x", 1))),
		during(3, 4, txn(saw("x"), app("y", 1))),
		during(5, 6, txn(saw("x", 1), saw("y", 1))),
	}, true)
	want := "G-single-realtime: T1 did not see T0 in x (rw), T0 returned before T1 was called (rt)\n  T1: read x [], append y 1\n  T0: append x 1"
	if len(found) != 1 || found[0].Error() != want {
		t.Errorf("got %v, want %s", found, want)
	}
}

// serial runs random transactions on lists one after the other, at moments within
// random intervals.
func serial(rng *rand.Rand, n, keys int) []check.Transaction {
	state := map[string][]int64{}
	var history []check.Transaction
	for i := range n {
		t := during(int64(10*i)-rng.Int64N(50), int64(10*i)+rng.Int64N(50), check.Transaction{})
		aborts := rng.IntN(10) == 0
		before := map[string][]int64{}
		for range 1 + rng.IntN(4) {
			key := keyOf(rng.IntN(keys))
			if _, touched := before[key]; !touched {
				before[key] = state[key]
			}
			if rng.IntN(2) == 0 {
				v := int64(len(history)*10 + len(t.Steps))
				t.Steps = append(t.Steps, app(key, v))
				state[key] = append(slices.Clip(state[key]), v)
			} else {
				t.Steps = append(t.Steps, saw(key, state[key]...))
			}
		}
		if aborts {
			for key, list := range before {
				state[key] = list
			}
			t = aborted(t)
		} else if rng.IntN(20) == 0 {
			t = unknown(t)
		}
		history = append(history, t)
	}
	return history
}

func TestCyclesPassesSerialHistories(t *testing.T) {
	for seed := range uint64(200) {
		rng := seeded(seed)
		if found := check.Cycles(serial(rng, 300, 1+rng.IntN(10)), true); len(found) > 0 {
			t.Fatalf("seed %d: %v", seed, found[0])
		}
	}
}

// TestCyclesFindsReadsOfThePast: in a serial history one read is put back by some
// elements, so that its transaction has seen less than one before it in real time.
func TestCyclesFindsReadsOfThePast(t *testing.T) {
	spoilt := 0
	for seed := range uint64(200) {
		rng := seeded(seed)
		history := serial(rng, 200, 3)
		for i := range history { // one after the other
			if h := &history[i]; h.Outcome != check.Unknown {
				h.Call, h.Return = int64(10*i), int64(10*i+1)
			}
		}
		i := 100 + rng.IntN(100)
		if history[i].Outcome != check.Committed {
			continue
		}
		for n, s := range history[i].Steps {
			if s.Append || len(s.List) == 0 || slices.ContainsFunc(history[i].Steps, func(o check.Step) bool { return o.Append && o.Key == s.Key }) {
				continue
			}
			history[i].Steps = slices.Clone(history[i].Steps)
			history[i].Steps[n].List = s.List[:rng.IntN(len(s.List))]
			spoilt++
			if len(check.Cycles(history, true)) == 0 {
				t.Fatalf("seed %d: T%d reads %v of %v", seed, i, history[i].Steps[n].List, s.List)
			}
			break
		}
	}
	if spoilt < 50 {
		t.Errorf("only %d histories were spoilt", spoilt)
	}
}

// BenchmarkCycles: transactions of up to four steps on 100 keys; lists as long as
// some hundred elements.
func BenchmarkCycles(b *testing.B) {
	history := serial(seeded(1), 10_000, 100)
	for b.Loop() {
		if found := check.Cycles(history, true); len(found) > 0 {
			b.Fatal(found[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(history)), "ns/transaction")
}
