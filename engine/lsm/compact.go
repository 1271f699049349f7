package lsm

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	// readAhead is how much of a table a merge reads at once.
	readAhead = 256 << 10
	// dirtyShare is the share of a value file that is of no use from which on the rest
	// is written anew.
	dirtyShare = 0.5
)

// sliceBytes is about how much of the level below one merge of the top rewrites.
func (s *store) sliceBytes() int64 { return 2 * s.options.TableBytes }

// plan is a merge to be made.
type plan struct {
	// inputs are parts of runs, newest first, of which what is in [lower, upper) is
	// merged; nil bounds are open. They become tables of a level; of a run of the top,
	// if that is 0.
	inputs       []input
	lower, upper []byte
	level        int
	run          uint64
	// move says that the tables need not be written anew.
	move bool
	// next is where the next merge of the top begins, if this is one.
	next  []byte
	isTop bool
}

// input are tables of one run.
type input struct {
	level  int
	run    uint64
	tables []*table
}

// compactOnce makes the merge that is most in need of being made; false if none is.
func (e *Engine) compactOnce(ctx context.Context) (bool, error) {
	e.compacting.Lock()
	defer e.compacting.Unlock()
	if e.background.paused.Load() {
		return false, nil
	}
	e.mu.Lock()
	failed := e.failed
	e.mu.Unlock()
	if failed != nil {
		return false, nil
	}
	st := e.hold()
	defer e.releaseState(st)
	p := e.pick(st.levels)
	if p == nil {
		return false, e.clearDropped()
	}
	return true, e.carryOut(ctx, st, p)
}

// targets returns the level that the top is merged into, and how many bytes each level
// may have before it is merged into the one below: 0 for those above.
func (e *Engine) targets(l *levels) (base int, target []float64) {
	last := len(l.below)
	target = make([]float64, last+1)
	top := float64(e.options.MemtableBytes) * float64(e.options.CompactionThreshold)
	ratio := math.Max(float64(l.below[last-1].bytes())/top, 1)
	// As few levels as the multiplier allows, and each as many times the one above as
	// the others.
	steps := int(math.Ceil(math.Log(ratio)/math.Log(float64(e.options.Multiplier)) - 0.05))
	steps = min(max(steps, 1), last)
	each := math.Pow(ratio, 1/float64(steps))
	base = last - steps + 1
	for level := 1; level < base; level++ {
		// What is above would be older than what came below it.
		if len(l.below[level-1].tables) > 0 {
			base = level
		}
	}
	target[last] = math.Inf(1)
	for level := last - steps + 1; level < last; level++ {
		target[level] = top * math.Pow(each, float64(level-last+steps))
	}
	return base, target
}

// pick returns the merge that is most in need; nil if none is.
func (e *Engine) pick(l *levels) *plan {
	base, target := e.targets(l)
	best, score := 0, float64(len(l.top))/float64(e.options.CompactionThreshold)
	for level := 1; level < len(l.below); level++ {
		bytes := float64(l.below[level-1].bytes())
		if bytes == 0 {
			continue
		}
		s := math.Inf(1)
		if target[level] > 0 {
			s = bytes / target[level]
		}
		if s > score {
			best, score = level, s
		}
	}
	switch {
	case score < 1:
		return e.pickDirty(l)
	case best == 0:
		return e.pickTop(l, base)
	}
	return e.pickLevel(l, best)
}

// pickTop merges a slice of all runs of the top into a level: all that they have from
// the cursor on, up to some tables of the level.
func (e *Engine) pickTop(l *levels, base int) *plan {
	if p := e.pickMove(l, base); p != nil {
		return p
	}
	into := l.below[base-1]
	p := &plan{lower: e.cursor, level: base, isTop: true}
	tables := into.overlap(p.lower, nil)
	size := int64(0)
	for i, t := range tables {
		if size += t.live; size >= e.sliceBytes() && i+1 < len(tables) {
			p.upper = tables[i+1].lower
			break
		}
	}
	if p.upper == nil {
		p.upper = e.sliceEnd(l, p.lower, size)
	}
	// Where the cursor is in the middle of a table, all of the table is merged.
	if len(tables) > 0 && p.lower != nil && bytes.Compare(tables[0].lower, p.lower) < 0 {
		p.lower = tables[0].lower
	}
	p.next = p.upper
	for _, r := range l.top {
		if in := r.overlap(p.lower, p.upper); len(in) > 0 {
			p.inputs = append(p.inputs, input{0, r.id, in})
		}
	}
	if len(p.inputs) == 0 {
		if e.cursor == nil && p.upper == nil {
			return nil
		}
		// Nothing of the top is here: go on behind it.
		e.cursor = p.next
		return e.pickTop(l, base)
	}
	if in := into.overlap(p.lower, p.upper); len(in) > 0 {
		p.inputs = append(p.inputs, input{base, 0, in})
	}
	return p
}

// sliceEnd bounds a slice, of which the level below has so many bytes, by what the top
// has; nil for no bound.
func (e *Engine) sliceEnd(l *levels, lower []byte, size int64) []byte {
	var cuts [][]byte
	for _, r := range l.top {
		for _, t := range r.overlap(lower, nil) {
			cuts = append(cuts, t.lower)
		}
	}
	slices.SortFunc(cuts, bytes.Compare)
	for _, cut := range cuts {
		if lower != nil && bytes.Compare(cut, lower) <= 0 {
			continue
		}
		n := size
		for _, r := range l.top {
			for _, t := range r.overlap(lower, cut) {
				if bytes.Compare(t.upper, cut) <= 0 {
					n += t.live
				}
			}
		}
		if n >= e.sliceBytes() {
			return cut
		}
	}
	return nil
}

// pickMove moves the oldest run of the top to a level where nothing overlaps it.
func (e *Engine) pickMove(l *levels, base int) *plan {
	oldest := l.top[len(l.top)-1]
	for _, t := range oldest.tables {
		// Tombstones go by merging alone.
		if t.deletes+t.ranges > 0 {
			return nil
		}
		for _, r := range l.below[:base] {
			if len(r.overlap(t.lower, t.upper)) > 0 {
				return nil
			}
		}
	}
	return &plan{inputs: []input{{0, oldest.id, oldest.tables}}, level: base, move: true}
}

// pickLevel merges a table of a level into the one below: the one that overlaps least
// there.
func (e *Engine) pickLevel(l *levels, level int) *plan {
	r, into := l.below[level-1], l.below[level]
	var best *table
	var least float64
	for _, t := range r.tables {
		var n int64
		for _, u := range into.overlap(t.lower, t.upper) {
			n += u.live
		}
		if cost := float64(n) / float64(t.live+1); best == nil || cost < least {
			best, least = t, cost
		}
	}
	p := &plan{inputs: []input{{level, 0, []*table{best}}}, lower: best.lower, upper: best.upper, level: level + 1}
	in := into.overlap(best.lower, best.upper)
	if len(in) == 0 && (level+1 < len(l.below) || best.deletes+best.ranges == 0) {
		p.move = true
		return p
	}
	if len(in) > 0 {
		p.inputs = append(p.inputs, input{level + 1, 0, in})
		p.lower = lowest(p.lower, in[0].lower, true)
		p.upper = highest(p.upper, in[len(in)-1].upper, true)
	}
	return p
}

// dirty returns the value files of which little is of use.
func (l *levels) dirty() map[uint64]bool {
	var out map[uint64]bool
	if len(l.values) == 0 {
		return nil
	}
	uses := l.uses()
	for n, v := range l.values {
		if float64(uses[n]) < (1-dirtyShare)*float64(v.bytes) && !v.damaged.Load() {
			if out == nil {
				out = map[uint64]bool{}
			}
			out[n] = true
		}
	}
	return out
}

// pickDirty writes a table anew that has values in a value file of which little is of
// use.
func (e *Engine) pickDirty(l *levels) *plan {
	dirty := l.dirty()
	if len(dirty) == 0 {
		return nil
	}
	rewrite := func(level int, id uint64, t *table) *plan {
		for _, u := range t.refs {
			if dirty[u.file] {
				return &plan{inputs: []input{{level, id, []*table{t}}}, lower: t.lower, upper: t.upper, level: level, run: id}
			}
		}
		return nil
	}
	for i, r := range l.below {
		for _, t := range r.tables {
			if p := rewrite(i+1, 0, t); p != nil {
				return p
			}
		}
	}
	for _, r := range l.top {
		for _, t := range r.tables {
			if p := rewrite(0, r.id, t); p != nil {
				return p
			}
		}
	}
	return nil
}

// bottom reports whether nothing is older than what a plan merges, in its range.
func (l *levels) bottom(p *plan) bool {
	if p.level == 0 {
		return false
	}
	for level := p.level + 1; level <= len(l.below); level++ {
		if len(l.below[level-1].overlap(p.lower, p.upper)) > 0 {
			return false
		}
	}
	return true
}

// olderThan returns the runs behind the first that a plan merges, without those that it
// does: these have nothing more in its range.
func (l *levels) olderThan(p *plan) []*run {
	merged := func(level int, id uint64) bool {
		return slices.ContainsFunc(p.inputs, func(in input) bool { return in.level == level && in.run == id })
	}
	var older []*run
	met := false
	for _, r := range l.top {
		if merged(0, r.id) {
			met = true
		} else if met {
			older = append(older, r)
		}
	}
	for i, r := range l.below {
		if merged(i+1, r.id) {
			met = true
		} else if met {
			older = append(older, r)
		}
	}
	return older
}

// carryOut makes a merge. Under compacting.
func (e *Engine) carryOut(ctx context.Context, st *state, p *plan) (err error) {
	start := time.Now()
	ed := &edit{}
	if p.move {
		for _, in := range p.inputs {
			for _, t := range in.tables {
				ed.removed = append(ed.removed, removal{t.number, t.lower})
				ed.added = append(ed.added, addition{level: p.level, run: p.run, meta: &t.tableMeta})
			}
		}
		e.counters.moves.Add(1)
		return e.installEdit(ed, nil, nil)
	}
	e.mu.Lock()
	snapshots := e.snapshotVersions()
	e.mu.Unlock()
	l := st.levels
	j := &job{e: e, lower: p.lower, upper: p.upper, snapshots: snapshots, bottom: l.bottom(p), older: l.olderThan(p), levels: l, dirty: l.dirty()}
	j.options = e.table(p.level == len(l.below))
	var stones []tombstone
	var topBytes, readBytes int64
	for _, in := range p.inputs {
		j.streams = append(j.streams, newRunStream(in.tables, p.lower, p.upper, readAhead))
		for _, t := range in.tables {
			rest, share, err := t.without(p.lower, p.upper)
			if err != nil {
				return err
			}
			readBytes += share
			if in.level == 0 {
				topBytes += share
			}
			ed.removed = append(ed.removed, removal{t.number, t.lower})
			for _, m := range rest {
				ed.added = append(ed.added, addition{level: in.level, run: in.run, meta: m})
			}
			if t.ranges > 0 {
				r, err := t.open()
				if err != nil {
					return err
				}
				stones = r.ranges.within(t.lower, t.upper).within(p.lower, p.upper).tombstones(stones)
			}
		}
	}
	j.ranges = fragmentAll(stones, snapshots)
	if p.isTop {
		e.mu.Lock()
		e.pace.merges.begin(topBytes, start)
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			now := time.Now()
			e.pace.merges.end(err == nil, now)
			e.setPace(now)
			e.mu.Unlock()
		}()
	}
	tables, values, err := j.run(ctx)
	if err != nil {
		return fmt.Errorf("merge into level %d: %w", p.level, err)
	}
	for _, m := range tables {
		ed.added = append(ed.added, addition{level: p.level, run: p.run, meta: m})
	}
	ed.values = values
	if err := e.installEdit(ed, nil, j); err != nil {
		return err
	}
	if p.isTop {
		e.cursor = p.next
	}
	e.counters.compactions.Add(1)
	e.counters.compactionRead.Add(uint64(readBytes))
	e.counters.compacted.Add(uint64(bytesOf(tables, values)))
	since(start, &e.counters.compactTime)
	return nil
}

// without returns the pieces of a table beside [lower, upper), and about how many bytes
// it has within.
func (t *table) without(lower, upper []byte) (rest []*tableMeta, share int64, err error) {
	r, err := t.open()
	if err != nil {
		return nil, 0, err
	}
	share = t.live
	piece := func(from, to []byte) {
		m := t.tableMeta
		m.lower, m.upper = from, to
		m.live = max(min(r.bytesBetween(from, to), share-1), 0) // less than all: it is a piece
		share -= m.live
		rest = append(rest, &m)
	}
	if lower != nil && bytes.Compare(t.lower, lower) < 0 {
		piece(t.lower, lower)
	}
	if upper != nil && bytes.Compare(upper, t.upper) < 0 {
		piece(upper, t.upper)
	}
	return rest, share, nil
}

// bytesBetween returns about how many bytes of the file have keys in [lower, upper): of a
// block that has others too, half.
func (r *tableReader) bytesBetween(lower, upper []byte) int64 {
	if r.blocks() == 0 {
		return 0
	}
	from, to := max(r.index.find(lower), 0), max(r.index.find(upper), 0)
	block := func(i int) int64 { return int64(r.offsets[i+1]) - int64(r.offsets[i]) }
	if from == to {
		return (block(from) + 1) / 2
	}
	n := int64(r.offsets[to]) - int64(r.offsets[from])
	if bytes.Compare(lower, r.index.key(from)) > 0 {
		n -= block(from) / 2
	}
	if bytes.Compare(upper, r.index.key(to)) > 0 {
		n += block(to) / 2
	}
	return n
}

// Compact implements engine.Engine: what is in [lower, upper) is merged into the last
// level.
func (e *Engine) Compact(ctx context.Context, lower, upper []byte) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if lower != nil && upper != nil && bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	if err := e.compactAll(ctx, lower, upper); err != nil {
		return fmt.Errorf("compact: %w", e.judge(err))
	}
	return nil
}

func (e *Engine) compactAll(ctx context.Context, lower, upper []byte) error {
	if err := e.flushAll(ctx); err != nil {
		return err
	}
	if lower == nil && upper == nil {
		lower = []byte{} // all families
	} else {
		lower, upper = familyBounds(0, lower, upper)
	}
	e.compacting.Lock()
	defer e.compacting.Unlock()
	from := lower
	for from != nil {
		st := e.hold()
		p := e.planAll(st.levels, from, upper)
		var err error
		if len(p.inputs) > 0 {
			err = e.carryOut(ctx, st, p)
		}
		e.releaseState(st)
		if err != nil {
			return err
		}
		from = p.next
	}
	return nil
}

// planAll merges a slice of all levels, from a key on, into the last one.
func (e *Engine) planAll(l *levels, lower, upper []byte) *plan {
	last := len(l.below)
	p := &plan{lower: lower, upper: upper, level: last}
	size := int64(0)
	for _, t := range l.below[last-1].overlap(lower, upper) {
		if size += t.live; size >= e.sliceBytes() && (upper == nil || bytes.Compare(t.upper, upper) < 0) {
			p.upper, p.next = t.upper, t.upper
			break
		}
	}
	for _, r := range l.top {
		if in := r.overlap(p.lower, p.upper); len(in) > 0 {
			p.inputs = append(p.inputs, input{0, r.id, in})
		}
	}
	for i, r := range l.below {
		if in := r.overlap(p.lower, p.upper); len(in) > 0 {
			p.inputs = append(p.inputs, input{i + 1, 0, in})
		}
	}
	// What is in the last level alone, without anything that could go, stays.
	if len(p.inputs) == 1 && p.inputs[0].level == last {
		stays := true
		for _, t := range p.inputs[0].tables {
			stays = stays && t.deletes+t.ranges == 0 && t.lowest == 0 && t.highest == 0
		}
		if stays {
			p.inputs = nil
		}
	}
	return p
}

// clearDropped forgets families that were dropped when nothing of them is left.
func (e *Engine) clearDropped() error {
	e.mu.Lock()
	ids := slices.Sorted(maps.Keys(e.clearing))
	e.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	// No commit to them comes any more, and what came before is in this state.
	st := e.hold()
	defer e.releaseState(st)
	var gone []engine.FamilyID
	for _, id := range ids {
		prefix := appendPrefix(nil, id)
		if !st.has(prefix, successor(prefix)) {
			gone = append(gone, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	e.installing.Lock()
	defer e.installing.Unlock()
	if err := e.record(&edit{cleared: gone}); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range gone {
		delete(e.clearing, id)
	}
	return nil
}

// has reports whether there are keys, or tombstones, in [lower, upper); what cannot be read
// may have some.
func (st *state) has(lower, upper []byte) bool {
	if st.mem.has(lower, upper) {
		return true
	}
	for _, q := range st.queue {
		if q.mem != nil && q.mem.has(lower, upper) || q.run != nil && q.run.has(lower, upper) {
			return true
		}
	}
	for _, r := range st.levels.runs {
		if r.has(lower, upper) {
			return true
		}
	}
	return false
}

func (r *run) has(lower, upper []byte) bool {
	for _, t := range r.overlap(lower, upper) {
		c := newTableCursor(t)
		if c.seekGE(lower) && bytes.Compare(c.e.key, upper) < 0 || c.err != nil {
			return true
		}
		if len(c.r.ranges.within(t.lower, t.upper).within(lower, upper)) > 0 {
			return true
		}
	}
	return false
}
