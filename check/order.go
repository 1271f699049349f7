package check

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Order finds the commit order of a history whose store tells none, and returns a
// history with it, for Sequence. Each write must have put a marker: the entry
// prefix+writer → number in decimal, where the numbers of a writer grow with each
// of its writes and are never used again, also after a crash. A read of the whole
// range of markers, in one operation with other reads, shows exactly which writes
// those reads saw.
//
// Such operations must stand in one chain, each showing all the writes of the one
// before, crashes included: what is recovered is told by the first of them after
// a crash, which must precede the first write. Between two of them the order of
// writes follows from real time and from which value won, where both are enough;
// what remains is free, and any order will do.
//
// The result has the writes that some operation showed, or that were acknowledged,
// with dense places, and the operations that show markers, with theirs. Other
// reads are left out, those of conditional commits too: Referee and Cycles judge
// them. Places that writes carry are kept as an order, so that writes of unknown
// place find theirs among them; all or none of the others must carry one.
//
// The error is a *Violation where there is no such order, and wraps ErrUnknown
// where the winner among several deletes was not guessed.
func Order(h *History, prefix string) (*History, error) {
	epochs, err := split(h)
	if err != nil {
		return nil, err
	}
	o := &ordering{h: h, prefix: prefix, out: &History{Crashes: slices.Clone(h.Crashes)}, writers: map[string]int{}}
	if err := o.index(epochs); err != nil {
		return nil, err
	}
	for n := range epochs {
		if err := o.epoch(n, epochs); err != nil {
			return nil, err
		}
	}
	return o.out, nil
}

type ordering struct {
	h       *History
	prefix  string
	out     *History
	writers map[string]int // marker key to number of the writer

	writes [][]write // of each writer, in order of number; all epochs
	// base says where each writer's writes of the epoch begin, left what its marker
	// showed when the epoch began: the writes in between were lost.
	base, left []int
	place      uint64
}

// write is a write with its marker's number.
type write struct {
	op     int
	number uint64
	epoch  int
}

// index finds the markers of all writes.
func (o *ordering) index(epochs [][]int) error {
	for n, ops := range epochs {
		for _, i := range ops {
			op := &o.h.Operations[i]
			if len(op.Changes) == 0 {
				continue
			}
			found := false
			for _, c := range op.Changes {
				if c.Kind != Put || !strings.HasPrefix(c.Key, o.prefix) {
					continue
				}
				number, err := strconv.ParseUint(c.Value, 10, 64)
				if err != nil || found {
					return fmt.Errorf("check: write %d has no marker, or several: %s", i, op)
				}
				found = true
				w, ok := o.writers[c.Key]
				if !ok {
					w = len(o.writes)
					o.writers[c.Key] = w
					o.writes = append(o.writes, nil)
				}
				if k := len(o.writes[w]); k > 0 && o.writes[w][k-1].number >= number {
					return fmt.Errorf("check: write %d: the numbers of its writer do not grow: %s", i, op)
				}
				o.writes[w] = append(o.writes[w], write{i, number, n})
			}
			if !found {
				return fmt.Errorf("check: write %d has no marker: %s", i, op)
			}
		}
	}
	o.base, o.left = make([]int, len(o.writes)), make([]int, len(o.writes))
	return nil
}

// view is an operation that shows markers, and where each writer stands in it.
type view struct {
	op    int
	shown []int // the index behind the newest write shown
	sum   int
}

// view reads the markers of an operation of this epoch, or of the first after it;
// ok is false if it shows none.
func (o *ordering) view(i int) (v view, ok bool, err error) {
	op := &o.h.Operations[i]
	for k := range op.Reads {
		r := &op.Reads[k]
		if !r.Scan || r.Limit != 0 || r.Key > o.prefix || r.Upper != "" && (r.Upper <= o.prefix || strings.HasPrefix(r.Upper, o.prefix)) {
			continue
		}
		v = view{op: i, shown: make([]int, len(o.writes))}
		for _, e := range r.Entries {
			if !strings.HasPrefix(e.Key, o.prefix) {
				continue
			}
			w, known := o.writers[e.Key]
			number, bad := strconv.ParseUint(e.Value, 10, 64)
			if !known || bad != nil {
				return v, false, o.h.violation([]int{i}, "a marker %s=%s, which nobody wrote", quote(e.Key), quote(e.Value))
			}
			at, found := slices.BinarySearchFunc(o.writes[w], number, func(x write, n uint64) int { return cmp.Compare(x.number, n) })
			if !found {
				return v, false, o.h.violation([]int{i}, "a marker %s=%s, which nobody wrote", quote(e.Key), quote(e.Value))
			}
			v.shown[w] = at + 1
		}
		for w, shown := range v.shown {
			switch {
			case shown == o.left[w]:
				v.shown[w] = o.base[w]
			case shown < o.left[w]:
				return v, false, o.h.violation([]int{i, o.writes[w][o.left[w]-1].op}, "lost: [%d] was there when the store was opened, and [%d] does not show it", o.writes[w][o.left[w]-1].op, i)
			case shown <= o.base[w]:
				return v, false, o.h.violation([]int{i, o.writes[w][shown-1].op}, "[%d] shows [%d], which was lost when the store was opened", i, o.writes[w][shown-1].op)
			}
			v.sum += v.shown[w]
		}
		return v, true, nil
	}
	return v, false, nil
}

// segment is the writes between two views that differ.
type segment struct {
	writes []int
	views  []view
}

// epoch orders one stretch between crashes.
func (o *ordering) epoch(n int, epochs [][]int) error {
	var views []view
	collect := func(ops []int) error {
		for _, i := range ops {
			if op := &o.h.Operations[i]; len(op.Changes) == 0 && op.Return != Never {
				v, ok, err := o.view(i)
				if err != nil {
					return err
				}
				if ok {
					views = append(views, v)
				}
			}
		}
		return nil
	}
	if err := collect(epochs[n]); err != nil {
		return err
	}
	var crash *Crash
	recovered := -1 // the operation that tells
	if n < len(o.h.Crashes) {
		crash = &o.h.Crashes[n]
		for _, i := range probe(o.h, epochs[n+1]) {
			before := len(views)
			if err := collect([]int{i}); err != nil {
				return err
			}
			if len(views) > before {
				recovered = i
				break
			}
		}
		if recovered < 0 && len(epochs[n+1]) > 0 {
			return fmt.Errorf("%w: no markers were read after the crash at %d before it was written to", ErrUnknown, crash.At)
		}
	}
	slices.SortStableFunc(views, func(a, b view) int { return cmp.Compare(a.sum, b.sum) })
	segments, left, err := o.segments(n, views, recovered)
	if err != nil {
		return err
	}
	sorted, err := o.sort(n, segments, recovered)
	if err != nil {
		return err
	}
	// Places are given, first to what stays.
	start := o.place
	places := map[int]uint64{}
	at := start
	for _, i := range sorted {
		at++
		places[i] = at
	}
	seen := start
	for _, s := range segments {
		seen += uint64(len(s.writes))
		for _, v := range s.views {
			if v.op == recovered {
				if err := o.acknowledged(n, crash, left, v); err != nil {
					return err
				}
				o.place = seen
				continue
			}
			op := o.h.Operations[v.op]
			op.Sequence = seen
			o.out.Operations = append(o.out.Operations, op)
		}
	}
	for _, i := range epochs[n] {
		op := o.h.Operations[i]
		switch at, placed := places[i]; {
		case placed:
			op.Sequence, op.Reads = at, nil
			o.out.Operations = append(o.out.Operations, op)
		case len(op.Changes) == 0 && len(op.Reads) == 0:
			o.out.Operations = append(o.out.Operations, op)
		}
	}
	if crash == nil {
		return nil
	}
	if recovered < 0 {
		o.place = at
	}
	o.out.Crashes[n].Sequence, o.out.Crashes[n].Known = o.place, true
	for w := range o.writes {
		if recovered >= 0 && left[w] > o.base[w] {
			o.left[w] = left[w]
		}
		for o.base[w] < len(o.writes[w]) && o.writes[w][o.base[w]].epoch <= n {
			o.base[w]++
		}
	}
	return nil
}

// acknowledged checks that a crash left what it had to.
func (o *ordering) acknowledged(n int, crash *Crash, left []int, v view) error {
	for w := range o.writes {
		for k := o.base[w]; k < len(o.writes[w]); k++ {
			x := o.writes[w][k]
			op := &o.h.Operations[x.op]
			if k >= left[w] && x.epoch == n && op.Return < crash.At && op.Survives >= crash.Class {
				return o.h.violation([]int{x.op, v.op}, "lost: [%d] was acknowledged in a class that survives the crash at %d, and is not there", x.op, crash.At)
			}
		}
	}
	return nil
}

// segments cuts the writes of an epoch by the views, which must be a chain. The
// last segment holds what no view shows but was acknowledged. left is what the
// crash left of each writer.
func (o *ordering) segments(n int, views []view, recovered int) (segments []segment, left []int, err error) {
	at := slices.Clone(o.base)
	segments = []segment{{}}
	lastView := -1
	for _, v := range views {
		var s segment
		for w := range at {
			shown := v.shown[w]
			if shown < at[w] {
				ops := []int{v.op}
				if lastView >= 0 {
					ops = []int{lastView, v.op}
				}
				return nil, nil, o.h.violation(ops, "no prefix: each of two reads shows writes that the other does not; of the writer of %s %d and %d", o.name(w), at[w], shown)
			}
			for ; at[w] < shown; at[w]++ {
				if x := o.writes[w][at[w]]; x.epoch > n {
					return nil, nil, o.h.violation([]int{v.op, x.op}, "from the future: [%d] shows a write called after the crash that followed", v.op)
				}
				s.writes = append(s.writes, o.writes[w][at[w]].op)
			}
		}
		if len(s.writes) > 0 {
			segments = append(segments, s)
		}
		last := &segments[len(segments)-1]
		last.views = append(last.views, v)
		lastView = v.op
		if v.op == recovered {
			left = slices.Clone(at)
		}
	}
	var rest segment
	for w := range at {
		for _, x := range o.writes[w][at[w]:] {
			if x.epoch == n && o.h.Operations[x.op].Return != Never {
				rest.writes = append(rest.writes, x.op)
			}
		}
	}
	return append(segments, rest), left, nil
}

func (o *ordering) name(w int) string {
	for key, n := range o.writers {
		if n == w {
			return quote(key)
		}
	}
	return ""
}

// sort finds an order of the writes that explains all that the views show.
func (o *ordering) sort(n int, segments []segment, recovered int) ([]int, error) {
	nodes := map[int]int{} // by operation; the first nodes are the segments' ends
	var list []int
	node := func(i int) int {
		k, ok := nodes[i]
		if !ok {
			k = 2*len(segments) + len(list)
			nodes[i] = k
			list = append(list, i)
		}
		return k
	}
	for _, s := range segments {
		for _, i := range s.writes {
			node(i)
		}
		for _, v := range s.views {
			node(v.op)
		}
	}
	fixed := make(graph, 2*len(segments)+len(list))
	// Each segment: node 2k when all its writes are done, 2k+1 when the next begin.
	var spans []interval
	for k, s := range segments {
		fixed.add(2*k, 2*k+1, writeWrite, "")
		for _, i := range s.writes {
			if k > 0 {
				fixed.add(2*k-1, nodes[i], writeWrite, "")
			}
			fixed.add(nodes[i], 2*k, writeWrite, "")
		}
		if k > 0 {
			fixed.add(2*k-1, 2*k, writeWrite, "")
		}
		for _, v := range s.views {
			fixed.add(2*k, nodes[v.op], writeRead, "")
			fixed.add(nodes[v.op], 2*k+1, readWrite, "")
		}
	}
	var told []int
	for _, i := range list {
		op := &o.h.Operations[i]
		if i != recovered { // what was lost had returned when it was called
			spans = append(spans, interval{nodes[i], op.Call, op.Return})
		}
		if len(op.Changes) > 0 && op.Sequence != 0 {
			told = append(told, i)
		}
	}
	slices.SortFunc(told, func(a, b int) int {
		return cmp.Compare(o.h.Operations[a].Sequence, o.h.Operations[b].Sequence)
	})
	for k := 1; k < len(told); k++ {
		fixed.add(nodes[told[k-1]], nodes[told[k]], writeWrite, "")
	}
	fixed = fixed.order(spans)
	choices, err := o.winners(segments, func(before, after int, key string) { fixed.add(nodes[before], nodes[after], writeWrite, key) })
	if err != nil {
		return nil, err
	}
	rank := func(v int) int64 {
		if v -= 2 * len(segments); v >= 0 && v < len(list) {
			return o.h.Operations[list[v]].Call
		}
		return 0
	}
	if fixed.sort(rank) == nil {
		var cycle []int
		component := fixed.components(anyDependency)[0]
		for _, s := range fixed.cycle(component, anyDependency, anyDependency) {
			if v := s.from - 2*len(segments); v >= 0 && v < len(list) {
				cycle = append(cycle, list[v])
			}
		}
		return nil, o.h.violation(cycle, "no order of these operations explains what was read and when; each must come before the next")
	}
	chains := 2*len(segments) + len(list)
	ends := o.returns(spans)
	rng := rand.New(rand.NewPCG(uint64(n), uint64(len(list))))
	const tries = 16
	for range tries {
		g := make(graph, len(fixed))
		for v := range fixed {
			g[v] = slices.Clip(fixed[v])
		}
		bad := -1
		for k, c := range choices {
			if !o.choose(g, c, nodes, chains, ends) {
				bad = k
				break
			}
		}
		if bad < 0 {
			sorted := g.sort(rank)
			if sorted == nil {
				return nil, fmt.Errorf("%w: the deletes that were taken to come last make a circle", ErrUnknown)
			}
			var writes []int
			for _, v := range sorted {
				if v -= 2 * len(segments); v >= 0 && v < len(list) && len(o.h.Operations[list[v]].Changes) > 0 {
					writes = append(writes, list[v])
				}
			}
			return writes, nil
		}
		if bad == 0 {
			c := choices[0]
			return nil, o.h.violation(append(slices.Clone(c.removes), c.puts...), "%s was not there, but each delete of it came before a put", quote(c.key))
		}
		// What could not be chosen now is chosen first next time.
		c := choices[bad]
		choices = append([]choice{c}, slices.Delete(choices, bad, bad+1)...)
		rng.Shuffle(len(choices)-1, func(a, b int) { choices[a+1], choices[b+1] = choices[b+1], choices[a+1] })
	}
	return nil, fmt.Errorf("%w: which of several deletes came last was not found in %d tries", ErrUnknown, tries)
}
