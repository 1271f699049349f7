package check

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Referee judges histories by porcupine (Wing and Gong's search with Lowe's
// cache), without any commit order. What a crash of a class above Volatile took
// is unknown to it: it judges the stretches between such crashes, the first from
// the empty store, the others from an unknown state that their first reads tell.
type Referee struct {
	// Timeout bounds each part of a history; 0 is none. A part that is not decided
	// in time is counted as unknown.
	Timeout time.Duration
	// Picture receives porcupine's page, HTML, of the first part that is wrong;
	// nil drops it.
	Picture io.Writer
}

// Verdict counts what a Referee looked at.
type Verdict struct {
	// Parts that were judged: keys, or windows. Unknown of them were not decided.
	Parts, Unknown int64
	// Operations within the parts; a batch counts in each key that it touches.
	Operations int64
}

// Keys judges each key by itself: whether the operations on it can be put in one
// order within their intervals. It sees no defect between keys. It returns a
// *Violation for the first key that is wrong, or the error of Picture.
func (r Referee) Keys(h *History) (Verdict, error) {
	var v Verdict
	for n, stretch := range stretches(h) {
		t := translate(h, stretch)
		t.empty = n == 0
		for key := range t.keys {
			if err := r.judge(h, t.only(key), fmt.Sprintf("the operations on %s have no order that explains them", quote(t.keys[key])), &v); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

// Windows judges whole operations, batches and scans and conditional commits, in
// windows between moments at which no operation was under way, each from an
// unknown state. The search grows steeply with the clients in a window: to be
// decided it wants few clients that wait for each other often. An operation whose
// outcome is unknown ends the windows of its stretch. It returns a *Violation for
// the first window that is wrong, or the error of Picture.
func (r Referee) Windows(h *History) (Verdict, error) {
	var v Verdict
	for s, stretch := range stretches(h) {
		for first := s == 0; len(stretch) > 0; first = false {
			n, end := 1, h.Operations[stretch[0]].Return
			for n < len(stretch) && h.Operations[stretch[n]].Call <= end {
				end = max(end, h.Operations[stretch[n]].Return)
				n++
			}
			t := translate(h, stretch[:n])
			t.empty = first
			if err := r.judge(h, t, fmt.Sprintf("%d operations on the whole map have no order that explains them", n), &v); err != nil {
				return v, err
			}
			stretch = stretch[n:]
		}
	}
	return v, nil
}

// stretches are the operations between crashes that may take something, each in
// order of calls.
func stretches(h *History) [][]int {
	var stretches [][]int
	next := 0
	var ops []int
	all := make([]int, len(h.Operations))
	for i := range all {
		all[i] = i
	}
	slices.SortFunc(all, func(a, b int) int {
		return int(min(1, max(-1, h.Operations[a].Call-h.Operations[b].Call)))
	})
	for _, i := range all {
		for ; next < len(h.Crashes) && h.Crashes[next].At < h.Operations[i].Call; next++ {
			if h.Crashes[next].Class != Volatile {
				stretches = append(stretches, ops)
				ops = nil
			}
		}
		if o := &h.Operations[i]; o.Return != Never || len(o.Changes) > 0 {
			ops = append(ops, i)
		}
	}
	return append(stretches, ops)
}

// translation is a part of a history in small numbers: keys by their place in
// order, values by when they were first met.
type translation struct {
	keys   []string
	values []string // 0 is none
	ops    []compact
	empty  bool // it begins with the empty store
}

// compact is an operation in numbers.
type compact struct {
	op      int
	reads   []cell
	changes []cell
}

// cell is a key and its value; nothing is 0, a value i+1 stands for values[i].
type cell struct{ key, value uint32 }

// The values of a cell that are none.
const (
	absent  = 0
	unknown = 1
	values  = 2 // from here on
)

// translate writes ranges out over the keys that the part mentions.
func translate(h *History, part []int) *translation {
	t := &translation{}
	numbers := map[string]uint32{}
	value := func(s string) uint32 {
		n, ok := numbers[s]
		if !ok {
			n = uint32(len(t.values)) + values
			numbers[s] = n
			t.values = append(t.values, s)
		}
		return n
	}
	mentioned := map[string]bool{}
	for _, i := range part {
		o := &h.Operations[i]
		for k := range o.Reads {
			if !o.Reads[k].Scan {
				mentioned[o.Reads[k].Key] = true
			}
			for _, e := range o.Reads[k].Entries {
				mentioned[e.Key] = true
			}
		}
		for _, c := range o.Changes {
			if c.Kind != DeleteRange {
				mentioned[c.Key] = true
			}
		}
	}
	for key := range mentioned {
		t.keys = append(t.keys, key)
	}
	slices.Sort(t.keys)
	find := func(key string) uint32 {
		n, _ := slices.BinarySearch(t.keys, key)
		return uint32(n)
	}
	for _, i := range part {
		o := &h.Operations[i]
		c := compact{op: i}
		for k := range o.Reads {
			if o.Return == Never {
				break
			}
			c.reads = t.read(c.reads, &o.Reads[k], find, value)
		}
		for _, change := range o.Changes {
			switch change.Kind {
			case Put:
				c.changes = append(c.changes, cell{find(change.Key), value(change.Value)})
			case Delete:
				c.changes = append(c.changes, cell{find(change.Key), absent})
			case DeleteRange:
				for n := find(change.Key); int(n) < len(t.keys) && t.keys[n] < change.Value; n++ {
					c.changes = append(c.changes, cell{n, absent})
				}
			}
		}
		t.ops = append(t.ops, c)
	}
	return t
}

// read appends what a read shows of each key that it covers.
func (t *translation) read(cells []cell, r *Read, find func(string) uint32, value func(string) uint32) []cell {
	if !r.Scan {
		if len(r.Entries) == 0 {
			return append(cells, cell{find(r.Key), absent})
		}
		return append(cells, cell{find(r.Key), value(r.Entries[0].Value)})
	}
	rest := r.Entries
	for n := find(r.Key); int(n) < len(t.keys) && r.covers(t.keys[n]); n++ {
		c := cell{key: n, value: absent}
		if len(rest) > 0 && rest[0].Key == t.keys[n] {
			c.value = value(rest[0].Value)
			rest = rest[1:]
		}
		cells = append(cells, c)
	}
	// Entries out of order, twice, or beyond the bounds: no state shows them.
	for _, e := range rest {
		n := find(e.Key)
		cells = append(cells, cell{n, value(e.Value)}, cell{n, absent})
	}
	if r.Limit > 0 && len(r.Entries) > r.Limit {
		n := find(r.Entries[r.Limit].Key)
		cells = append(cells, cell{n, absent})
	}
	return cells
}

// only is the part of one key.
func (t *translation) only(key int) *translation {
	one := &translation{keys: t.keys[key : key+1], values: t.values, empty: t.empty}
	pick := func(cells []cell) []cell {
		var picked []cell
		for _, c := range cells {
			if c.key == uint32(key) {
				picked = append(picked, cell{0, c.value})
			}
		}
		return picked
	}
	for _, o := range t.ops {
		if c := (compact{o.op, pick(o.reads), pick(o.changes)}); len(c.reads)+len(c.changes) > 0 {
			one.ops = append(one.ops, c)
		}
	}
	return one
}

var hashSeed = maphash.MakeSeed()

// model is the map: its state is four bytes a key, in a string.
func (t *translation) model(h *History) porcupine.Model {
	initial := make([]byte, 4*len(t.keys))
	for n := range t.keys {
		if !t.empty {
			binary.LittleEndian.PutUint32(initial[4*n:], unknown)
		}
	}
	return porcupine.Model{
		Init: func() any { return string(initial) },
		Step: func(state, input, _ any) (bool, any) {
			s, o := state.(string), input.(compact)
			next := []byte(nil)
			at := func(key uint32) uint32 {
				if next != nil {
					return binary.LittleEndian.Uint32(next[4*key:])
				}
				return uint32(s[4*key]) | uint32(s[4*key+1])<<8 | uint32(s[4*key+2])<<16 | uint32(s[4*key+3])<<24
			}
			set := func(key, value uint32) {
				if next == nil {
					next = []byte(s)
				}
				binary.LittleEndian.PutUint32(next[4*key:], value)
			}
			for _, c := range o.reads {
				switch at(c.key) {
				case c.value:
				case unknown:
					set(c.key, c.value)
				default:
					return false, state
				}
			}
			for _, c := range o.changes {
				set(c.key, c.value)
			}
			if next == nil {
				return true, state
			}
			return true, string(next)
		},
		Hash: func(state any) uint64 { return maphash.String(hashSeed, state.(string)) },
		DescribeOperation: func(input, _ any) string {
			o := &h.Operations[input.(compact).op]
			return describe(o.Reads, o.Changes)
		},
		DescribeState: func(state any) string {
			var b strings.Builder
			for n, key := range t.keys {
				switch v := binary.LittleEndian.Uint32([]byte(state.(string)[4*n:])); v {
				case unknown:
				case absent:
					fmt.Fprintf(&b, "%s: none ", quote(key))
				default:
					fmt.Fprintf(&b, "%s=%s ", quote(key), quote(t.values[v-values]))
				}
			}
			return b.String()
		},
	}
}

// judge asks porcupine about one part.
func (r Referee) judge(h *History, t *translation, wrong string, v *Verdict) error {
	history := make([]porcupine.Operation, len(t.ops))
	for n, c := range t.ops {
		o := &h.Operations[c.op]
		history[n] = porcupine.Operation{ClientId: o.Client, Input: c, Call: o.Call, Return: o.Return}
	}
	v.Parts++
	v.Operations += int64(len(history))
	model := t.model(h)
	result := porcupine.CheckOperationsTimeout(model, history, r.Timeout)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		v.Unknown++
		return nil
	}
	ops := make([]int, 0, shown)
	for _, c := range t.ops[:min(len(t.ops), shown)] {
		ops = append(ops, c.op)
	}
	violation := h.violation(ops, "%s; the first of them:", wrong)
	if r.Picture == nil {
		return violation
	}
	_, info := porcupine.CheckOperationsVerbose(model, history, max(r.Timeout, time.Second))
	if err := porcupine.Visualize(model, info, r.Picture); err != nil {
		return fmt.Errorf("%w\ncheck: draw it: %w", violation, err)
	}
	return violation
}

// shown is how many operations of a wrong part are shown as text.
const shown = 40
