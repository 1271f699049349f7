package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Sequence checks a history against the commit order that its writes carry, in
// O(n log n) for operations of bounded size:
//
//   - no two writes have one place, and writes that followed each other in real
//     time are in that order;
//   - every operation's reads show the state at one place, its Sequence if it is
//     known, which is no older than any write that returned, and any place read
//     at, before it was called, and no newer than any write called after it
//     returned; a write's own reads show the state just before it;
//   - a crash leaves one prefix of the order, no shorter than the newest write
//     that was acknowledged in a class that survives it, nor than what an earlier
//     crash left. Where the recovered place is not known, it is the newest at
//     which all operations hold that returned before the first write after the
//     crash.
//
// It returns nil, a *Violation, or an error that wraps ErrUnknown where a read
// shows a key that a write of unknown outcome and unknown place may have changed.
// Each write whose outcome is known must have a place; another error says that
// one has not.
//
// Places of reads that carry none are chosen as early as they can be, which is
// exact: an earlier place never forbids a later operation anything. The method is
// the one of checking timestamped snapshot isolation by replay.
func Sequence(h *History) error {
	epochs, err := split(h)
	if err != nil {
		return err
	}
	state := new(contents)
	var base uint64
	var lost []int
	for i, e := range epochs {
		r := replay{h: h, state: state, place: base, ops: e, lost: lost}
		if i < len(h.Crashes) {
			r.crash = &h.Crashes[i]
			if !r.crash.Known {
				r.probe = probe(h, epochs[i+1])
			}
		}
		if err := r.run(); err != nil {
			return err
		}
		state, base, lost = r.recovered, r.recoveredAt, r.lost
	}
	return nil
}

// split sorts operations into the stretches between crashes, each in order of
// calls.
func split(h *History) ([][]int, error) {
	epochs := make([][]int, len(h.Crashes)+1)
	for i := range h.Operations {
		o := &h.Operations[i]
		if o.Return < o.Call {
			return nil, fmt.Errorf("check: operation %d returned before it was called: %s", i, o)
		}
		n, _ := slices.BinarySearchFunc(h.Crashes, o.Call, func(c Crash, at int64) int { return cmp.Compare(c.At, at) })
		epochs[n] = append(epochs[n], i)
	}
	for _, e := range epochs {
		slices.SortFunc(e, func(a, b int) int { return cmp.Compare(h.Operations[a].Call, h.Operations[b].Call) })
	}
	return epochs, nil
}

// probe returns the operations of an epoch that can only have seen what was
// recovered: those that returned before its first write was called.
func probe(h *History, epoch []int) []int {
	var probe []int
	end := int64(math.MaxInt64)
	for _, i := range epoch {
		if o := &h.Operations[i]; len(o.Changes) > 0 {
			end = o.Call
			break
		}
	}
	for _, i := range epoch {
		if o := &h.Operations[i]; len(o.Reads) > 0 && o.Return < end {
			probe = append(probe, i)
		}
	}
	return probe
}

// replay goes through one epoch in commit order.
type replay struct {
	h     *History
	state *contents
	// place is that of the newest write in state, until the last before the next.
	place, until uint64
	ops          []int // by call
	crash        *Crash
	probe        []int

	writes  []int // by place
	lost    []int // writes without a place, which may have happened or not
	waiting []pending
	active  []pending

	target      uint64  // the last place of a write that Crash.Sequence covers
	tooShort    *uint64 // a place that fits what was recovered, and is too old
	recovered   *contents
	recoveredAt uint64
}

// pending is an operation without changes, to be placed within [low, high].
type pending struct {
	op        int
	low, high uint64
	// floor is low, where the operation has no place of its own: it grows with
	// the time of the call.
	floor  uint64
	tested bool
}

func (r *replay) op(i int) *Operation { return &r.h.Operations[i] }

func (r *replay) run() error {
	for _, i := range r.ops {
		switch o := r.op(i); {
		case len(o.Changes) == 0:
		case o.Sequence != 0:
			r.writes = append(r.writes, i)
		case o.Return == Never:
			r.lost = append(r.lost, i)
		default:
			return fmt.Errorf("check: write %d has no place in the commit order: %s", i, o)
		}
	}
	slices.SortStableFunc(r.writes, func(a, b int) int { return cmp.Compare(r.op(a).Sequence, r.op(b).Sequence) })
	if err := r.orderOfWrites(); err != nil {
		return err
	}
	floor, err := r.bounds()
	if err != nil {
		return err
	}
	r.lasts(0)
	if err := r.settle(nil); err != nil {
		return err
	}
	if r.crash != nil {
		r.target = r.place
		for _, i := range r.writes {
			if at := r.op(i).Sequence; at <= r.crash.Sequence {
				r.target = at
			}
		}
	}
	r.keep(floor)
	for n, i := range r.writes {
		o := r.op(i)
		for _, p := range r.active {
			if p.high < o.Sequence {
				return r.mismatch(p)
			}
		}
		for k := range o.Reads {
			if d, differs := r.state.differs(&o.Reads[k]); differs {
				return r.wrong(i, d, o.Sequence-1, o.Sequence-1)
			}
		}
		r.state.apply(i, o.Changes)
		r.place = o.Sequence
		r.lasts(n + 1)
		if err := r.settle(o.Changes); err != nil {
			return err
		}
		r.keep(floor)
	}
	if len(r.active) > 0 {
		return r.mismatch(r.active[0])
	}
	if len(r.waiting) > 0 {
		return r.mismatch(r.waiting[0])
	}
	return r.end(floor)
}

// lasts notes how long the state lasts before the n-th write.
func (r *replay) lasts(n int) {
	r.until = math.MaxUint64
	if n < len(r.writes) {
		r.until = r.op(r.writes[n]).Sequence - 1
	}
}

// orderOfWrites checks the places of writes against each other and real time.
func (r *replay) orderOfWrites() error {
	latest := -1 // of the writes so far, the one called last
	for n, i := range r.writes {
		o := r.op(i)
		if n > 0 && o.Sequence == r.op(r.writes[n-1]).Sequence {
			return r.h.violation([]int{r.writes[n-1], i}, "two writes at place %d of the commit order", o.Sequence)
		}
		if o.Sequence <= r.place {
			return r.h.violation([]int{i}, "a write at place %d, although the store stood at %d when it was opened", o.Sequence, r.place)
		}
		if latest >= 0 && o.Return < r.op(latest).Call {
			return r.h.violation([]int{i, latest}, "the commit order is against real time: a write that had returned is at place %d, after one called later at %d", o.Sequence, r.op(latest).Sequence)
		}
		if latest < 0 || o.Call > r.op(latest).Call {
			latest = i
		}
	}
	return nil
}

// bounds finds between which places each operation without changes must lie,
// queues them, and returns how much the crash must leave.
func (r *replay) bounds() (floor uint64, err error) {
	byReturn := slices.Clone(r.writes)
	slices.SortFunc(byReturn, func(a, b int) int { return cmp.Compare(r.op(a).Return, r.op(b).Return) })
	newest := make([]uint64, len(byReturn)+1) // of the first n to return
	newest[0] = r.place
	for n, i := range byReturn {
		newest[n+1] = max(newest[n], r.op(i).Sequence)
	}
	byCall := slices.Clone(r.writes)
	slices.SortFunc(byCall, func(a, b int) int { return cmp.Compare(r.op(a).Call, r.op(b).Call) })
	oldest := make([]uint64, len(byCall)+1) // of the n-th to be called and later
	oldest[len(byCall)] = math.MaxUint64
	for n := len(byCall) - 1; n >= 0; n-- {
		oldest[n] = min(oldest[n+1], r.op(byCall[n]).Sequence)
	}
	atCall := func(o *Operation) uint64 {
		n, _ := slices.BinarySearchFunc(byReturn, o.Call, func(i int, call int64) int { return cmp.Compare(r.op(i).Return, call) })
		return newest[n]
	}
	floor = r.place
	for _, i := range r.ops {
		o := r.op(i)
		writes := len(o.Changes) > 0
		if r.crash != nil && o.Return < r.crash.At && o.Survives >= r.crash.Class {
			switch {
			case writes:
				floor = max(floor, o.Sequence)
			case o.Survives > Volatile:
				floor = max(floor, atCall(o))
			}
		}
		if writes || len(o.Reads) == 0 || o.Return == Never {
			continue
		}
		n, _ := slices.BinarySearchFunc(byCall, o.Return, func(i int, end int64) int {
			if r.op(i).Call <= end {
				return -1
			}
			return 1
		})
		p := pending{op: i, low: atCall(o), high: oldest[n] - 1}
		p.floor = p.low
		if at := o.Sequence; at != 0 {
			if at < p.low {
				return 0, r.h.violation(append(r.at(p.low), i), "stale: read at place %d, although the write at %d had returned when it was called", at, p.low)
			}
			if at > p.high {
				return 0, r.h.violation(append(r.at(p.high+1), i), "from the future: read at place %d, although the write at %d was called after it returned", at, p.high+1)
			}
			p.low, p.high = at, at
		}
		r.waiting = append(r.waiting, p)
	}
	return floor, nil
}

// settle places the operations that hold in the state as it is now. Those
// looked at before are looked at again only where the changes touch their reads.
//
// Active operations were called before any of them returned, so that they may be
// placed in any order; the queue waits for them, since a read must not be placed
// before one that had returned when it was called.
func (r *replay) settle(changes []Change) error {
	soonest := int64(math.MaxInt64) // return of those not placed yet
	keep := r.active[:0]
	for _, p := range r.active {
		o := r.op(p.op)
		if !r.fits(&p, o, changes) {
			keep = append(keep, p)
			soonest = min(soonest, o.Return)
		}
	}
	r.active = keep
	for len(r.waiting) > 0 {
		p := r.waiting[0]
		o := r.op(p.op)
		if p.floor > r.place || o.Call > soonest {
			break
		}
		if p.high < r.place {
			return r.mismatch(p)
		}
		r.waiting = r.waiting[1:]
		if !r.fits(&p, o, nil) {
			r.active = append(r.active, p)
			soonest = min(soonest, o.Return)
		}
	}
	return nil
}

// fits reports whether an operation may be placed in the state as it is now.
func (r *replay) fits(p *pending, o *Operation, changes []Change) bool {
	if p.low > r.until || p.tested && !touch(changes, o.Reads) {
		return false
	}
	p.tested = true
	return r.state.shows(o.Reads)
}

// touch reports whether a change may alter what a read shows.
func touch(changes []Change, reads []Read) bool {
	for _, c := range changes {
		for i := range reads {
			if c.Kind == DeleteRange || reads[i].covers(c.Key) {
				return true
			}
		}
	}
	return false
}

// keep keeps the state if it may be the one that the crash left.
func (r *replay) keep(floor uint64) {
	switch {
	case r.crash == nil:
	case r.crash.Known:
		if r.place <= r.crash.Sequence && r.place >= floor && r.place == r.target {
			r.recovered, r.recoveredAt = r.state.copy(), r.crash.Sequence
		}
	case !r.probed():
	case r.place < floor:
		r.tooShort = new(r.place)
	default:
		r.recovered, r.recoveredAt = r.state.copy(), r.place
	}
}

// probed reports whether all that was read after the crash holds now.
func (r *replay) probed() bool {
	for _, i := range r.probe {
		if !r.state.shows(r.op(i).Reads) {
			return false
		}
	}
	return true
}

// end checks what the crash left.
func (r *replay) end(floor uint64) error {
	c := r.crash
	switch {
	case c == nil:
		return nil
	case c.Known && c.Sequence < floor:
		return r.h.violation(r.at(floor), "lost: the write at place %d was acknowledged in a class that survives; after the crash the store stands at %d", floor, c.Sequence)
	case !c.Known && len(r.probe) == 0 && floor < r.place:
		return fmt.Errorf("%w: nothing was read after the crash before it was written to", ErrUnknown)
	case r.recovered != nil:
		return nil
	case len(r.lost) > 0:
		return fmt.Errorf("%w: what was recovered may hold any of %d writes of unknown outcome and place", ErrUnknown, len(r.lost))
	case r.tooShort != nil:
		return r.h.violation(append(r.at(floor), r.probe...), "lost: the write at place %d was acknowledged in a class that survives; after the crash the store holds the state of place %d", floor, *r.tooShort)
	default:
		return r.h.violation(r.probe, "what was recovered is no prefix of the commit order from place %d on", floor)
	}
}

// at returns the write at a place, or none.
func (r *replay) at(place uint64) []int {
	n, found := slices.BinarySearchFunc(r.writes, place, func(i int, at uint64) int { return cmp.Compare(r.op(i).Sequence, at) })
	if !found {
		return nil
	}
	return r.writes[n : n+1 : n+1]
}

// mismatch reports an operation that no place fits.
func (r *replay) mismatch(p pending) error {
	o := r.op(p.op)
	for i := range o.Reads {
		if d, differs := r.state.differs(&o.Reads[i]); differs {
			return r.wrong(p.op, d, p.low, p.high)
		}
	}
	return r.wrong(p.op, difference{}, p.low, p.high)
}

// wrong reports that an operation's read differs from the state within [low,
// high], and says whose value it is.
func (r *replay) wrong(op int, d difference, low, high uint64) error {
	for _, i := range r.lost {
		if r.op(i).Call <= r.op(op).Return && touch(r.op(i).Changes, r.op(op).Reads) {
			return fmt.Errorf("%w: %s was read; a write of unknown outcome and place may have changed it: %s", ErrUnknown, quote(d.key), r.op(i))
		}
	}
	ops := []int{op}
	places := fmt.Sprintf("at place %d", low)
	if high = min(high, max(low, r.place)); high != low {
		places = fmt.Sprintf("between places %d and %d", low, high)
	}
	if d.key == "" && !d.wasRead && !d.wasStored {
		return r.h.violation(ops, "a read shows an older state than one that had returned when it was called; it holds at no later place, looked for %s", places)
	}
	read := "nothing"
	if d.wasRead {
		read = quote(d.read)
		if w := r.writer(d.key, d.read); w < 0 {
			read += ", which nobody wrote"
		} else {
			read += fmt.Sprintf(", written by [%d] at place %d", w, r.op(w).Sequence)
			ops = append(ops, w)
		}
	}
	held := "nothing"
	if d.wasStored {
		held = fmt.Sprintf("%s, written by [%d] at place %d", quote(d.held.value), d.held.op, r.op(d.held.op).Sequence)
		ops = append(ops, d.held.op)
	}
	return r.h.violation(ops, "[%d] read under %s %s; %s the store held %s", op, quote(d.key), read, places, held)
}

// writer finds the last write that put value under key, -1 if there is none.
func (r *replay) writer(key, value string) int {
	for i := len(r.h.Operations) - 1; i >= 0; i-- {
		for _, c := range r.op(i).Changes {
			if c == (Change{Put, key, value}) {
				return i
			}
		}
	}
	return -1
}
