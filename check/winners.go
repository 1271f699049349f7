package check

import (
	"cmp"
	"fmt"
	"slices"
)

// returns are the times of the chain that graph.order makes of the spans.
func (o *ordering) returns(spans []interval) []int64 {
	ends := make([]int64, len(spans))
	for i, s := range spans {
		ends[i] = s.end
	}
	slices.Sort(ends)
	return ends
}

// choose lets one of the removes come after all puts, the one called last if it
// can be, and reports whether one could. g has no cycle, and gets none.
//
// A path from a remove to a put stays among the writes of their segment, and
// passes no return that is as late as those of all puts, which bounds the search.
func (o *ordering) choose(g graph, c choice, nodes map[int]int, chains int, ends []int64) bool {
	latest := int64(0)
	puts := map[int]bool{}
	for _, p := range c.puts {
		puts[nodes[p]] = true
		latest = max(latest, o.h.Operations[p].Return)
	}
	for _, r := range c.removes {
		seen := map[int]bool{nodes[r]: true}
		stack := []int{nodes[r]}
		blocked := false
		for len(stack) > 0 && !blocked {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			for _, e := range g[v] {
				if seen[e.to] || e.to == c.end || e.to >= chains && ends[e.to-chains] >= latest {
					continue
				}
				blocked = blocked || puts[e.to]
				seen[e.to] = true
				stack = append(stack, e.to)
			}
		}
		if !blocked {
			for _, p := range c.puts {
				g.add(nodes[p], nodes[r], writeWrite, c.key)
			}
			return true
		}
	}
	return false
}

// choice: a key was absent after a segment in which several writes removed it and
// others put it. One of those that removed it came last.
type choice struct {
	key           string
	puts, removes []int // removes: the one called last first
	end           int   // node of the segment's end
}

// winners finds, for each key that a view shows, which write of it came last, and
// adds that the others of its segment came before.
func (o *ordering) winners(segments []segment, before func(a, b int, key string)) ([]choice, error) {
	keys := map[string]bool{}
	for _, s := range segments {
		for _, i := range s.writes {
			for _, c := range o.h.Operations[i].Changes {
				if c.Kind != DeleteRange {
					keys[c.Key] = true
				}
			}
		}
		for _, v := range s.views {
			for _, r := range o.h.Operations[v.op].Reads {
				if !r.Scan {
					keys[r.Key] = true
				}
				for _, e := range r.Entries {
					keys[e.Key] = true
				}
			}
		}
	}
	sorted := make([]string, 0, len(keys))
	for key := range keys {
		sorted = append(sorted, key)
	}
	slices.Sort(sorted)
	touched := map[string][]int{} // segments that changed a key, so far
	effects := make([]map[string][]effect, len(segments))
	settled := map[string]Entry{} // by key and segment: what the views showed
	var choices []choice
	for k, s := range segments {
		effects[k] = map[string][]effect{}
		for _, i := range s.writes {
			for key, e := range o.effects(i, sorted) {
				effects[k][key] = append(effects[k][key], e)
			}
		}
		for key := range effects[k] {
			touched[key] = append(touched[key], k)
		}
		for _, v := range s.views {
			reads := o.h.Operations[v.op].Reads
			for x := range reads {
				r := &reads[x]
				first, _ := slices.BinarySearch(sorted, r.Key)
				rest := r.Entries
				for ; first < len(sorted) && r.covers(sorted[first]); first++ {
					key := sorted[first]
					var shown *Entry
					if len(rest) > 0 && rest[0].Key == key {
						shown, rest = &rest[0], rest[1:]
					}
					at := touched[key]
					if len(at) == 0 {
						continue // of an earlier epoch; Sequence compares it
					}
					from := at[len(at)-1]
					id := fmt.Sprintf("%d %s", from, key)
					value := Entry{}
					if shown != nil {
						value = *shown
						value.Key = "present"
					}
					if was, done := settled[id]; done {
						if was != value {
							return nil, o.h.violation([]int{v.op}, "[%d] shows the same writes of %s as another read, and a different value", v.op, quote(key))
						}
						continue
					}
					settled[id] = value
					c, err := o.winner(v.op, key, shown, effects[from][key], before)
					if err != nil {
						return nil, err
					}
					if c != nil {
						c.end = 2 * from
						choices = append(choices, *c)
					}
				}
			}
		}
	}
	return choices, nil
}

// effect is what a write leaves of a key.
type effect struct {
	op      int
	present bool
	value   string
}

// effects returns what a write leaves of each of the keys that it changes.
func (o *ordering) effects(i int, keys []string) map[string]effect {
	left := map[string]effect{}
	for _, c := range o.h.Operations[i].Changes {
		switch c.Kind {
		case Put:
			left[c.Key] = effect{i, true, c.Value}
		case Delete:
			left[c.Key] = effect{op: i}
		case DeleteRange:
			n, _ := slices.BinarySearch(keys, c.Key)
			for ; n < len(keys) && keys[n] < c.Value; n++ {
				left[keys[n]] = effect{op: i}
			}
		}
	}
	return left
}

// winner says which of the writes of a key in one segment came last.
func (o *ordering) winner(reader int, key string, shown *Entry, effects []effect, before func(a, b int, key string)) (*choice, error) {
	var winners, others []int
	for _, e := range effects {
		if e.present == (shown != nil) && (shown == nil || e.value == shown.Value) {
			winners = append(winners, e.op)
		} else {
			others = append(others, e.op)
		}
	}
	switch {
	case len(winners) == 0:
		what := "nothing"
		if shown != nil {
			what = quote(shown.Value)
		}
		return nil, o.h.violation(append([]int{reader}, others[:min(len(others), 8)]...), "[%d] shows the markers of the newest writes of %s, and under it %s, which none of them left: torn or stale", reader, quote(key), what)
	case len(winners) > 1:
		if len(others) == 0 {
			return nil, nil
		}
		slices.SortFunc(winners, func(a, b int) int { return cmp.Compare(o.h.Operations[b].Call, o.h.Operations[a].Call) })
		return &choice{key: key, puts: others, removes: winners}, nil
	}
	for _, w := range others {
		before(w, winners[0], key)
	}
	return nil, nil
}
