package check_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/orbit-persistence/orbit/check"
)

// world says what a simulated store goes through.
type world struct {
	clients, operations, keys int
	crashes                   int
	// scans, snapshots and conditional commits, or points and batches alone.
	ranges bool
	// markers puts the entry of the write into each batch, and all of them into
	// each snapshot.
	markers bool
	// places tells reads and writes their places.
	places bool
}

func keyOf(n int) string { return fmt.Sprintf("k%03d", n) }

// simulate runs a correct store and returns its history: each operation takes
// effect at one random moment of its interval. A crash takes a random suffix of
// what was not flushed; operations that it cuts off return Never.
func simulate(rng *rand.Rand, w world) check.History {
	type moment struct {
		at     int64
		client int
	}
	var h check.History
	state := map[string]string{}
	var place, durable uint64
	var states []map[string]string // by place, since the last crash, where crashes are
	base := place
	keep := func() {
		if w.crashes > 0 {
			states = append(states, maps.Clone(state))
		}
	}
	keep()
	numbers := make([]int, w.clients)
	now := int64(1)
	for part := range w.crashes + 1 {
		first := len(h.Operations)
		// Moments are drawn first, then the operations happen in their order.
		var moments []moment
		calls := map[moment][2]int64{}
		count := w.operations / (w.crashes + 1)
		for c := range w.clients {
			t := now
			for range count / w.clients {
				call := t + 1 + rng.Int64N(10)
				at := call + rng.Int64N(30)
				ret := at + rng.Int64N(30)
				m := moment{at, c}
				moments = append(moments, m)
				calls[m] = [2]int64{call, ret}
				t = ret + 1
			}
		}
		slices.SortFunc(moments, func(a, b moment) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.client, b.client)) })
		for _, m := range moments {
			o := check.Operation{Client: m.client, Call: calls[m][0], Return: calls[m][1]}
			kind := rng.IntN(10)
			if kind >= 5 && w.ranges {
				for range rng.IntN(3) {
					o.Reads = append(o.Reads, look(rng, w, state))
				}
			}
			if kind < 5 {
				if kind < 2 && w.markers {
					o.Reads = append(o.Reads, scanOf(state, "!", "\"", 0))
				}
				o.Reads = append(o.Reads, look(rng, w, state))
				if w.places && rng.IntN(2) == 0 {
					o.Sequence = place
				}
			} else {
				place++
				numbers[m.client]++
				value := fmt.Sprintf("%d.%d", m.client, numbers[m.client])
				for n := range 1 + rng.IntN(3) {
					switch k := keyOf(rng.IntN(w.keys)); rng.IntN(6) {
					case 0:
						o.Changes = append(o.Changes, check.Change{Kind: check.Delete, Key: k})
					case 1:
						if w.ranges {
							o.Changes = append(o.Changes, check.Change{Kind: check.DeleteRange, Key: k, Value: k + "~"})
						}
					default:
						o.Changes = append(o.Changes, check.Change{Kind: check.Put, Key: k, Value: fmt.Sprintf("%s.%d", value, n)})
					}
				}
				if len(o.Changes) == 0 || w.markers {
					o.Changes = append(o.Changes, check.Change{Kind: check.Put, Key: fmt.Sprintf("!%d", m.client), Value: fmt.Sprint(numbers[m.client])})
				}
				change(state, o.Changes)
				keep()
				if w.places {
					o.Sequence = place
				}
				if w.crashes > 0 && rng.IntN(4) == 0 {
					o.Survives = check.SurvivesPower
					durable = place
				}
			}
			h.Operations = append(h.Operations, o)
			now = max(now, o.Return+1)
		}
		if part == w.crashes {
			break
		}
		// The operations that were under way are cut off.
		for i := range h.Operations[first:] {
			o := &h.Operations[first+i]
			if o.Return > now-40 {
				if len(o.Changes) == 0 {
					o.Reads = nil
				}
				o.Return = check.Never
			}
		}
		left := max(base, durable) + rng.Uint64N(place-max(base, durable)+1)
		state = maps.Clone(states[left-base])
		h.Crashes = append(h.Crashes, check.Crash{At: now, Class: check.SurvivesPower, Sequence: left, Known: w.places})
		place, base, durable, states = left, left, left, nil
		keep()
		now++
		h.Operations = append(h.Operations, check.Operation{Call: now, Return: now, Reads: []check.Read{scanOf(state, "", "", 0)}})
		now++
	}
	return h
}

// look reads a random key or range.
func look(rng *rand.Rand, w world, state map[string]string) check.Read {
	k := keyOf(rng.IntN(w.keys))
	if w.ranges && rng.IntN(3) == 0 {
		return scanOf(state, k, k+"~~", rng.IntN(4))
	}
	if v, ok := state[k]; ok {
		return check.Got(k, v)
	}
	return check.Missed(k)
}

func scanOf(state map[string]string, lower, upper string, limit int) check.Read {
	r := check.Read{Scan: true, Key: lower, Upper: upper, Limit: limit}
	for _, k := range slices.Sorted(maps.Keys(state)) {
		if k >= lower && (upper == "" || k < upper) && (limit == 0 || len(r.Entries) < limit) {
			r.Entries = append(r.Entries, check.Entry{Key: k, Value: state[k]})
		}
	}
	return r
}

func change(state map[string]string, changes []check.Change) {
	for _, c := range changes {
		switch c.Kind {
		case check.Put:
			state[c.Key] = c.Value
		case check.Delete:
			delete(state, c.Key)
		case check.DeleteRange:
			maps.DeleteFunc(state, func(k, _ string) bool { return k >= c.Key && k < c.Value })
		}
	}
}

// spoil changes one read of a history, at random: another value of the same key,
// a miss, or an entry left out. It returns false if it found none to change.
func spoil(rng *rand.Rand, h *check.History) bool {
	values := map[string][]string{}
	for _, o := range h.Operations {
		for _, c := range o.Changes {
			if c.Kind == check.Put {
				values[c.Key] = append(values[c.Key], c.Value)
			}
		}
	}
	for range 100 {
		o := &h.Operations[rng.IntN(len(h.Operations))]
		if len(o.Reads) == 0 || o.Return == check.Never {
			continue
		}
		o.Reads = slices.Clone(o.Reads)
		r := &o.Reads[rng.IntN(len(o.Reads))]
		r.Entries = slices.Clone(r.Entries)
		switch {
		case len(r.Entries) > 0 && rng.IntN(2) == 0:
			n := rng.IntN(len(r.Entries))
			r.Entries = slices.Delete(r.Entries, n, n+1)
			return true
		case len(r.Entries) > 0:
			n := rng.IntN(len(r.Entries))
			e := &r.Entries[n]
			v := values[e.Key][rng.IntN(len(values[e.Key]))]
			if v != e.Value {
				e.Value = v
				return true
			}
		case !r.Scan && len(values[r.Key]) > 0:
			r.Entries = []check.Entry{{Key: r.Key, Value: values[r.Key][rng.IntN(len(values[r.Key]))]}}
			return true
		}
	}
	return false
}
