package check_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/check"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// TestSequencePassesCorrectStores: what a correct store shows is never a
// violation, crashes included.
func TestSequencePassesCorrectStores(t *testing.T) {
	for seed := range uint64(300) {
		rng := seeded(seed)
		w := world{clients: 1 + rng.IntN(8), operations: 400, keys: 1 + rng.IntN(30), crashes: rng.IntN(4), ranges: true, places: true}
		h := simulate(rng, w)
		if err := check.Sequence(&h); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestSequenceFindsCrashesThatTakeTooMuch: one crash is told to have left more or
// less than it did.
func TestSequenceFindsCrashesThatTakeTooMuch(t *testing.T) {
	found := 0
	for seed := range uint64(200) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 3, operations: 300, keys: 10, crashes: 2, ranges: true, places: true})
		c := &h.Crashes[rng.IntN(2)]
		c.Sequence += 1 + rng.Uint64N(3)
		if err := check.Sequence(&h); err != nil {
			found++
		}
	}
	// Some crashes took nothing, so that there is no more to be had, and some
	// writes change nothing.
	if found < 120 {
		t.Errorf("found in %d of 200 histories", found)
	}
}

// exhaustive decides by trying every placement of the reads.
func exhaustive(h *check.History) bool {
	var writes, reads []*check.Operation
	for i := range h.Operations {
		if o := &h.Operations[i]; len(o.Changes) > 0 {
			writes = append(writes, o)
		} else {
			reads = append(reads, o)
		}
	}
	slices.SortFunc(writes, func(a, b *check.Operation) int { return int(a.Sequence) - int(b.Sequence) })
	states := []map[string]string{{}}
	for _, w := range writes {
		s := states[len(states)-1]
		for _, r := range w.Reads {
			if !holds(s, r) {
				return false
			}
		}
		s = maps.Clone(s)
		change(s, w.Changes)
		states = append(states, s)
	}
	places := make([]int, len(reads)) // writes before it
	var place func(n int) bool
	place = func(n int) bool {
		if n == len(reads) {
			return true
		}
		r := reads[n]
	candidates:
		for at := 0; at < len(states); at++ {
			if r.Sequence != 0 && (at == 0 || writes[at-1].Sequence > r.Sequence || at < len(writes) && writes[at].Sequence <= r.Sequence) {
				continue
			}
			for i, w := range writes {
				if i < at && w.Call > r.Return || i >= at && w.Return < r.Call {
					continue candidates
				}
			}
			for i, other := range reads[:n] {
				if other.Return < r.Call && places[i] > at || r.Return < other.Call && places[i] < at {
					continue candidates
				}
			}
			for _, x := range r.Reads {
				if !holds(states[at], x) {
					continue candidates
				}
			}
			places[n] = at
			if place(n + 1) {
				return true
			}
		}
		return false
	}
	return place(0)
}

func holds(state map[string]string, r check.Read) bool {
	if r.Scan {
		return slices.Equal(scanOf(state, r.Key, r.Upper, r.Limit).Entries, r.Entries)
	}
	v, ok := state[r.Key]
	return ok == (len(r.Entries) == 1) && (!ok || r.Entries[0] == check.Entry{Key: r.Key, Value: v})
}

// TestSequenceIsExact: on small histories, sound and spoilt, it says what trying
// every placement says.
func TestSequenceIsExact(t *testing.T) {
	good, bad := 0, 0
	for seed := range uint64(6000) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 2 + rng.IntN(4), operations: 16, keys: 1 + rng.IntN(3), ranges: rng.IntN(2) == 0, places: true})
		if rng.IntN(4) > 0 && !spoil(rng, &h) {
			continue
		}
		want := exhaustive(&h)
		err := check.Sequence(&h)
		var v *check.Violation
		if want != (err == nil) || err != nil && !errors.As(err, &v) {
			t.Fatalf("seed %d: got %v; trying all: %v\n%s", seed, err, want, lines(&h))
		}
		if want {
			good++
		} else {
			bad++
		}
	}
	if good < 500 || bad < 500 {
		t.Errorf("%d good histories and %d bad ones; the test shows little", good, bad)
	}
}

// TestSequenceFindsSpoiltReads: in histories too long to try everything, a read
// that shows what was overwritten before it began is found, each time.
func TestSequenceFindsSpoiltReads(t *testing.T) {
	spoilt := 0
	for seed := range uint64(400) {
		rng := seeded(seed)
		h := simulate(rng, world{clients: 4, operations: 400, keys: 8, crashes: rng.IntN(3), ranges: true, places: true})
		if !garble(rng, &h) {
			continue
		}
		spoilt++
		var v *check.Violation
		if err := check.Sequence(&h); !errors.As(err, &v) {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if spoilt < 300 {
		t.Errorf("only %d histories were spoilt", spoilt)
	}
}

// garble changes one read to show what no place can: a value that is not there,
// or a key that nobody wrote.
func garble(rng *rand.Rand, h *check.History) bool {
	for range 200 {
		o := &h.Operations[rng.IntN(len(h.Operations))]
		if len(o.Reads) == 0 || o.Return == check.Never {
			continue
		}
		o.Reads = slices.Clone(o.Reads)
		r := &o.Reads[rng.IntN(len(o.Reads))]
		r.Entries = slices.Clone(r.Entries)
		if len(r.Entries) > 0 {
			r.Entries[rng.IntN(len(r.Entries))].Value += "'"
		} else {
			r.Entries = append(r.Entries, check.Entry{Key: r.Key, Value: "x"})
		}
		return true
	}
	return false
}

func lines(h *check.History) string {
	var b strings.Builder
	for i := range h.Operations {
		b.WriteString(h.Operations[i].String() + "\n")
	}
	return b.String()
}

// BenchmarkSequence: gets, writes of two keys, and scans of 16 entries, by 8
// clients on 10,000 keys.
func BenchmarkSequence(b *testing.B) {
	rng := seeded(1)
	h := check.History{}
	state := map[int]string{}
	now, place := int64(0), uint64(0)
	for range 300_000 {
		o := check.Operation{Client: rng.IntN(8), Call: now, Return: now + 8}
		now++
		switch k := rng.IntN(10_000); rng.IntN(10) {
		case 0:
			r := check.Read{Scan: true, Key: keyOf(k), Limit: 16}
			for n := k; n < 10_000 && len(r.Entries) < 16; n++ {
				if v, ok := state[n]; ok {
					r.Entries = append(r.Entries, check.Entry{Key: benchKey(n), Value: v})
				}
			}
			r.Key, o.Sequence = benchKey(k), place
			o.Reads = []check.Read{r}
		case 1, 2, 3:
			place++
			o.Sequence = place
			for n := range 2 {
				key := (k + n*777) % 10_000
				state[key] = keyOf(int(place))
				o.Changes = append(o.Changes, check.Change{Key: benchKey(key), Value: state[key]})
			}
		default:
			if v, ok := state[k]; ok {
				o.Reads = []check.Read{check.Got(benchKey(k), v)}
			} else {
				o.Reads = []check.Read{check.Missed(benchKey(k))}
			}
		}
		h.Operations = append(h.Operations, o)
	}
	b.ResetTimer()
	for b.Loop() {
		if err := check.Sequence(&h); err != nil {
			b.Fatal(err)
		}
	}
	perOp := float64(b.Elapsed().Nanoseconds()) / float64(b.N*len(h.Operations))
	b.ReportMetric(perOp, "ns/checked")
	b.ReportMetric(60e9/perOp/1e6, "Mchecked/min")
}

func benchKey(n int) string { return "key/" + keyOf(n+100_000) }
