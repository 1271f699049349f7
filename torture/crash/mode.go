package crash

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Name is the mode's.
const Name = "crash"

// more is the number of workloads beyond the exhaustive ones where a run does
// not say, and foreignWork of those that engines get that are not ours.
const (
	more        = 200
	foreignWork = 40
)

// able returns why an engine cannot be put on a simulated disk.
func able(e target.Engine) error {
	switch {
	case e.Missing != "":
		return fmt.Errorf("%w: %s: %s", engine.ErrUnsupported, e.Name, e.Missing)
	case e.OpenOn == nil:
		return fmt.Errorf("%w: %s does not run on a simulated disk", engine.ErrUnsupported, e.Name)
	}
	return nil
}

// traits asks an engine that it opens on a disk of its own.
func traits(e target.Engine) (t engine.Traits, err error) {
	d, err := newDisk(e, 0)
	if err != nil {
		return t, err
	}
	err = workload.Guard(func() error {
		opened, err := e.OpenOn(d, Directory)
		if err != nil {
			return fmt.Errorf("open %s on an empty disk: %w", e.Name, err)
		}
		t = opened.Traits()
		return opened.Close()
	})
	return t, err
}

// plan is the workloads of a run, by number.
type plan struct {
	seed uint64
	// foreign engines have goroutines of their own, so that a small workload is
	// not the same each time: they get large ones alone.
	foreign  bool
	traits   engine.Traits
	alphabet []workload.Op
	pairs    []int
}

func newPlan(seed uint64, t engine.Traits, foreign bool) *plan {
	p := &plan{seed: seed, foreign: foreign, traits: t, alphabet: append(workload.Alphabet(t), workload.Op{Kind: workload.Kill})}
	// In the order of the seed, so that a part of them is a fair one.
	p.pairs = rand.New(rand.NewPCG(seed, 2)).Perm(len(p.alphabet) * len(p.alphabet))
	return p
}

// exhaustive returns the number of workloads that a run needs to have done all of
// one and two operations: one of four, after the first, is larger.
func (p *plan) exhaustive() int64 {
	if p.foreign {
		return 0
	}
	return int64(len(p.alphabet) + (len(p.pairs)+2)/3*4)
}

// small reports whether the workload with that number is of one or two
// operations, and which it is.
func (p *plan) small(i int64) (workload.Workload, bool) {
	if p.foreign {
		return nil, false
	}
	n := int64(len(p.alphabet))
	if i < n {
		return workload.Workload{p.alphabet[i]}, true
	}
	i -= n
	if at := i/4*3 + i%4; i%4 < 3 && at < n*n {
		pair := p.pairs[at]
		return workload.Workload{p.alphabet[pair/int(n)], p.alphabet[pair%int(n)]}, true
	}
	return nil, false
}

// workload returns the one with that number, and the density of its cuts.
func (p *plan) workload(i int64) (workload.Workload, density) {
	if w, small := p.small(i); small {
		return w, dense
	}
	seed := mix(p.seed, uint64(i))
	random := rand.New(rand.NewPCG(seed, 3))
	if p.foreign {
		return workload.Random(seed, 20+random.IntN(180), p.traits), foreign
	}
	if seed&1 == 1 {
		return workload.WithKills(workload.Random(seed, 20+random.IntN(180), p.traits), seed), large
	}
	w := make(workload.Workload, 3)
	for j := range w {
		w[j] = p.alphabet[random.IntN(len(p.alphabet))]
	}
	return w, sampled
}

// left counts the small workloads that are not among the first done.
func (p *plan) left(done int64) (n int64) {
	for i := done; i < p.exhaustive(); i++ {
		if _, small := p.small(i); small {
			n++
		}
	}
	return n
}

// run is one run of the mode.
type run struct {
	store
	target.Run
	plan   *plan
	limit  int64 // number of workloads; 0: until the deadline
	ends   time.Time
	next   atomic.Int64
	counts counts
	// last is the number of the last workload that is still to be done: those
	// before a failure are finished, so that each run finds the same first one.
	last atomic.Int64

	mu     sync.Mutex
	failed map[int64]found // by the number of the workload
}

type found struct {
	w workload.Workload
	f *failure
}

// task is what a worker does now.
type task struct {
	w    workload.Workload
	path []cut
}

// Mode explores crashes on simulated disks. Work counts workloads; 0 is as many as
// it takes to do all of one and two operations, and 200 more. It ends at the first
// failure, which it shrinks; that of an engine that is not ours is observed. Images are told apart within a workload.
func Mode(ctx context.Context, r target.Run) (target.Result, error) {
	result := target.Result{Mode: Name, Engine: r.Engine.Name}
	start := time.Now()
	if err := able(r.Engine); err != nil {
		result.LeftOut = append(result.LeftOut, err.Error())
		return result, nil
	}
	m := &run{Run: r, failed: make(map[int64]found)}
	m.engine = r.Engine
	var err error
	if m.traits, err = traits(r.Engine); err != nil {
		return result, err
	}
	if !m.traits.Persistent {
		result.LeftOut = append(result.LeftOut, r.Engine.Name+" keeps nothing: there is nothing to recover")
		return result, nil
	}
	m.plan = newPlan(r.Seed, m.traits, r.Engine.Foreign)
	m.last.Store(math.MaxInt64)
	if r.Budget > 0 {
		m.ends = start.Add(r.Budget)
	} else {
		m.limit = r.Work
		if m.limit == 0 {
			m.limit = m.plan.exhaustive() + more
			if r.Engine.Foreign {
				m.limit = foreignWork
			}
		}
		m.last.Store(m.limit - 1)
	}
	hung := m.workers(ctx)
	// Beside an engine that hangs, others may still be at work.
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return result, err
	}
	done := m.counts.workloads.Load()
	result.Counts = []target.Count{
		{Name: "workloads", N: done},
		{Name: "crash points", N: m.counts.points.Load()},
		{Name: "crash images", N: m.counts.images.Load()},
		{Name: "distinct images", N: m.counts.distinct.Load()},
		{Name: "crashes during recovery", N: m.counts.nested.Load()},
	}
	if left := m.plan.left(done); left > 0 && len(m.failed) == 0 && hung == nil {
		result.LeftOut = append(result.LeftOut, fmt.Sprintf("%d workloads of one and two operations: they are beyond the work or the budget of this run", left))
	}
	if hung != nil {
		result.Failures = append(result.Failures, *hung)
	}
	if m.counts.distinct.Load() == 0 && len(m.failed) == 0 && hung == nil {
		result.Failures = append(result.Failures, target.Failure{What: "no crash image was made: nothing was tested", Seed: r.Seed})
	}
	// The same seed reports the same failure, whichever worker came first.
	least := int64(-1)
	for i := range m.failed {
		if least < 0 || i < least {
			least = i
		}
	}
	if least >= 0 {
		f, err := m.shrink(ctx, m.failed[least])
		if err != nil {
			return result, err
		}
		if r.Engine.Foreign {
			result.Observed = append(result.Observed, string(workload.FaultOf(m.failed[least].f.err))+": "+f.What+"\n"+f.Workload+f.Command)
		} else {
			result.Failures = append(result.Failures, f)
		}
	}
	result.Elapsed = time.Since(start)
	return result, nil
}

// workers runs the workloads on all cores. It returns the failure of an engine
// that hangs.
func (m *run) workers(ctx context.Context) *target.Failure {
	hang := workers.Run(workers.Patience, func(begin func(task)) { m.work(ctx, begin) }, m.progress)
	if hang == nil {
		return nil
	}
	m.last.Store(-1)
	v := &workload.Violation{Fault: workload.Hung, Text: fmt.Sprintf("no end after %v", workers.Patience)}
	f := m.report(v, hang.Stacks, hang.Task.w, m.Seed, hang.Task.path)
	return &f
}

func (m *run) progress() {
	m.Report(m.counts.workloads.Load(), m.limit, fmt.Sprintf("workloads, %d images", m.counts.distinct.Load()))
}

// over reports whether no further image of a workload is to be made.
func (m *run) over(i int64) bool {
	return i > m.last.Load() || !m.ends.IsZero() && time.Now().After(m.ends)
}

// work takes workloads until there are no more.
func (m *run) work(ctx context.Context, begin func(task)) {
	for ctx.Err() == nil {
		i := m.next.Add(1) - 1
		if m.over(i) {
			return
		}
		w, d := m.plan.workload(i)
		tell := func(path []cut) { begin(task{w, path}) }
		tell(nil)
		x := &explorer{
			store: m.store, seed: m.Seed, again: 8, all: 128, counts: &m.counts, doing: tell,
			stop: func() bool { return m.over(i) },
		}
		f := x.workload(ctx, w, d, i > 0)
		if f == nil {
			if !m.over(i) {
				m.counts.workloads.Add(1)
			}
			continue
		}
		m.mu.Lock()
		m.failed[i] = found{w, f}
		m.last.Store(min(m.last.Load(), i))
		m.mu.Unlock()
	}
}

// workload does one workload and makes its cuts. Where last, those of a small one
// begin with its last operation.
func (x *explorer) workload(ctx context.Context, w workload.Workload, d density, last bool) *failure {
	r, history, err := record(ctx, x.engine, w, x.seed)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return &failure{err: err}
	}
	x.history = history
	// The marks are two for the open and two for each operation before the last.
	if last && d == dense {
		r.from = r.marks[2*len(w)].event
	}
	return x.explore(ctx, r, d, nil)
}

// shrinkImages bounds the images made to try a smaller workload, and
// shrinkWorkloads the workloads tried.
const (
	shrinkImages    = 3000
	shrinkWorkloads = 150
)

// shrink makes a failure small, and then its cuts simple.
func (m *run) shrink(ctx context.Context, f found) (target.Failure, error) {
	fault := workload.FaultOf(f.f.err)
	if fault == "" {
		return target.Failure{}, f.f.err
	}
	if m.engine.Foreign { // it need not do the same again
		return m.report(f.f.err, "", f.w, m.Seed, f.f.path), nil
	}
	attempt := func(w workload.Workload) *failure {
		var c counts
		x := &explorer{
			store: m.store, seed: m.Seed, counts: &c, doing: func([]cut) {},
			stop: func() bool { return c.images.Load() > shrinkImages || ctx.Err() != nil },
		}
		if len(f.f.path) > 1 {
			x.again, x.all = 1, 4
		}
		d := sampled
		if len(w) <= 2 {
			d = dense
		}
		if g := x.workload(ctx, w, d, false); g != nil && workload.FaultOf(g.err) == fault {
			return g
		}
		return nil
	}
	w := workload.Shrink(f.w, shrinkWorkloads, func(w workload.Workload) bool {
		g := attempt(w)
		if g != nil {
			f.f = g
		}
		return g != nil
	})
	path := f.f.path
	for i := range path {
		for j := range path[i].fates {
			if path[i].fates[j] == simdisk.Kept {
				continue
			}
			simpler := slices.Clone(path)
			simpler[i].fates = slices.Clone(path[i].fates)
			simpler[i].fates[j] = simdisk.Kept
			failed, _, err := m.replay(ctx, w, m.Seed, simpler)
			if err == nil && workload.FaultOf(failed) == fault {
				path = simpler
			}
		}
	}
	failed, trace, err := m.replay(ctx, w, m.Seed, path)
	if err != nil && !errors.Is(err, engine.ErrInvalid) {
		return target.Failure{}, err
	}
	if failed == nil {
		failed = fmt.Errorf("%w (it did not happen again: the engine does not do the same each time)", f.f.err)
	}
	return m.report(failed, trace, w, m.Seed, path), nil
}
