package errors

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Name is the mode's, and what its replay strings begin with.
const Name = "errors"

const directory = "/store"

// store is the engine under torture.
type store struct {
	engine target.Engine
	traits engine.Traits
}

func (s store) on(d *simdisk.Disk) func(dir string) (engine.Engine, error) {
	return func(dir string) (engine.Engine, error) { return s.engine.OpenOn(d, dir) }
}

// strongest gives a write the strongest class that the engine has.
func (s store) strongest(o workload.Op) workload.Op {
	o.Durability, _ = s.traits.Durability.Strongest()
	return o
}

func newRandom(a, b uint64) *rand.Rand { return rand.New(rand.NewPCG(a, b)) }

// newDisk returns an empty disk, on which the directory of an engine that is not
// ours is there.
func newDisk(e target.Engine, seed uint64, sites bool) (*simdisk.Disk, error) {
	d := simdisk.New(simdisk.Options{Seed: seed, Sites: sites, Transparent: e.Transparent})
	if e.Foreign {
		if err := errors.Join(d.MkdirAll(directory), d.SyncDir("/")); err != nil {
			return nil, fmt.Errorf("make %s: %w", directory, err)
		}
	}
	return d, nil
}

// everything is the workload of a run's first round: each kind of operation, each
// class, and values that fill pages.
func everything(t engine.Traits) workload.Workload {
	var w workload.Workload
	for i, o := range workload.Alphabet(t) {
		w = append(w, o)
		if o.Kind == workload.Write && i%6 == 5 {
			w = append(w, workload.Op{Kind: workload.Sync})
		}
	}
	d, _ := t.Durability.Strongest()
	put := func(key string) workload.Op {
		return workload.Op{Kind: workload.Write, Durability: d, Changes: []workload.Change{{Kind: engine.OpPut, Key: key, Size: 300}}}
	}
	return append(w, put("d"), put("e"))
}

// foreignFaults is how many faults of a workload engines get that are not ours,
// where a run has no budget.
const foreignFaults = 150

// run is one run of the mode.
type run struct {
	store
	target.Run
	ends time.Time
	// halt: an engine hangs, and no more is to be tried.
	halt atomic.Bool

	mu       sync.Mutex
	result   target.Result
	failures map[workload.Fault]target.Failure
	order    []workload.Fault
	coverage coverage
}

// Mode makes calls of the disk fail. Work counts workloads, of which the first
// has every kind of operation and the others follow from the seed; 0 is 1. A run
// reports the first failure of each kind.
func Mode(ctx context.Context, r target.Run) (target.Result, error) {
	start := time.Now()
	m := &run{Run: r, failures: make(map[workload.Fault]target.Failure), coverage: newCoverage()}
	m.result = target.Result{Mode: Name, Engine: r.Engine.Name}
	leave := func(why string) (target.Result, error) {
		m.result.LeftOut = append(m.result.LeftOut, why)
		return m.result, nil
	}
	switch e := r.Engine; {
	case e.Missing != "":
		return leave(e.Name + ": " + e.Missing)
	case e.OpenOn == nil:
		return leave(e.Name + " does not run on a simulated disk")
	}
	m.engine = r.Engine
	if r.Budget > 0 {
		m.ends = start.Add(r.Budget)
	}
	for round := int64(0); ; round++ {
		m.mu.Lock()
		found := len(m.failures) > 0
		m.mu.Unlock()
		if m.ends.IsZero() && round >= max(1, r.Work) || m.over() || found && !r.Engine.Foreign {
			break
		}
		seed := r.Seed + uint64(round)
		w, sites, err := m.count(ctx, round, seed)
		if err != nil {
			return m.result, err
		}
		if w == nil || !m.traits.Persistent {
			break
		}
		if err := m.round(ctx, w, sites, seed); err != nil {
			return target.Result{}, err
		}
		m.mu.Lock()
		m.result.Add("workloads", 1)
		m.mu.Unlock()
	}
	// Beside an engine that hangs, others may still be at work.
	m.mu.Lock()
	defer m.mu.Unlock()
	if !r.Engine.MayExit { // such a run is one of many, whose sites cannot be added up
		m.result.Add("I/O sites", int64(len(m.coverage.sites)))
		m.result.Tables = []target.Table{m.coverage.table()}
	}
	if !m.traits.Persistent && len(m.failures) == 0 {
		return leave(r.Engine.Name + " keeps nothing on a disk")
	}
	if m.result.Get("faults fired") == 0 && len(m.failures) == 0 {
		m.result.Failures = []target.Failure{{What: "no fault fired: nothing was tested", Seed: r.Seed}}
	}
	for _, f := range m.order {
		failure := m.failures[f]
		if r.Engine.Foreign {
			m.result.Observed = append(m.result.Observed, string(f)+": "+failure.What+"\n"+failure.Workload+failure.Command)
		} else {
			m.result.Failures = append(m.result.Failures, failure)
		}
	}
	m.result.Elapsed = time.Since(start)
	result := m.result
	result.Counts = slices.Clone(result.Counts)
	return result, ctx.Err()
}

func (m *run) over() bool { return m.halt.Load() || !m.ends.IsZero() && time.Now().After(m.ends) }

// fail keeps the first failure of a kind.
func (m *run) fail(f workload.Fault, failure target.Failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.failures[f]; !known {
		m.failures[f] = failure
		m.order = append(m.order, f)
	}
}

// count runs the workload of a round without faults and returns the sites of the
// calls that it makes. The workload is nil if it fails as it is, which is a
// failure of the run.
func (m *run) count(ctx context.Context, round int64, seed uint64) (workload.Workload, callSites, error) {
	d, err := newDisk(m.engine, seed, true)
	if err != nil {
		return nil, nil, err
	}
	if round == 0 {
		if err := workload.Guard(func() error {
			e, err := m.engine.OpenOn(d, directory)
			if err != nil {
				return fmt.Errorf("open %s on an empty disk: %w", m.engine.Name, err)
			}
			m.traits = e.Traits()
			return e.Close()
		}); err != nil {
			return nil, nil, err
		}
		if d, err = newDisk(m.engine, seed, true); err != nil {
			return nil, nil, err
		}
	}
	w := everything(m.traits)
	if round > 0 {
		w = workload.Random(seed, 12, m.traits)
	}
	s := workload.Session{Open: m.on(d), Directory: directory}
	if err := workload.Guard(func() error { return s.Run(ctx, w) }); err != nil {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		m.fail(workload.FaultOf(err), m.report(err, w, seed, failing{}, ""))
		return nil, nil, nil
	}
	sites := make(callSites)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, site := range d.Sites() {
		for _, nth := range site.Calls {
			sites[call{site.Op, nth}] = site.Name
		}
		m.coverage.sites[place{site.Name, site.Op}] = true
	}
	return w, sites, nil
}

// round runs a workload with each fault, on all cores.
func (m *run) round(ctx context.Context, w workload.Workload, sites callSites, seed uint64) error {
	var faults []failing
	for _, op := range methods() {
		for _, e := range effects {
			if e.ops&op == 0 {
				continue
			}
			for nth := 1; sites[call{op, nth}] != ""; nth++ {
				faults = append(faults, failing{op, nth, e.effect, false}, failing{op, nth, e.effect, true})
			}
		}
	}
	if m.engine.Foreign {
		newRandom(seed, 7).Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		if all := len(faults); m.ends.IsZero() && all > foreignFaults {
			faults = faults[:foreignFaults]
			m.mu.Lock()
			m.result.LeftOut = append(m.result.LeftOut, fmt.Sprintf("%d of %d faults of a workload: a sample, without a budget", all-foreignFaults, all))
			m.mu.Unlock()
		}
	}
	var next, done atomic.Int64
	hang := workers.Run(workers.Patience, func(begin func(failing)) {
		for ctx.Err() == nil && !m.over() {
			at := int(next.Add(1)) - 1
			if at >= len(faults) {
				return
			}
			begin(faults[at])
			m.attempt(ctx, w, faults[at], sites, seed)
			done.Add(1)
		}
	}, func() { m.Report(done.Load(), int64(len(faults)), "faults injected") })
	if hang != nil {
		m.halt.Store(true)
		v := wrong(workload.Hung, nil, "no end after %v", workers.Patience)
		m.fail(workload.Hung, m.report(v, w, seed, hang.Task, hang.Stacks))
		return nil
	}
	if left := int64(len(faults)) - done.Load(); left > 0 && ctx.Err() == nil && !m.engine.Foreign {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.result.LeftOut = append(m.result.LeftOut, fmt.Sprintf("%d of %d faults of a workload: the budget was over", left, len(faults)))
	}
	return ctx.Err()
}

// attempt runs a workload with one fault and notes what came of it.
func (m *run) attempt(ctx context.Context, w workload.Workload, f failing, sites callSites, seed uint64) {
	a := &attempt{store: m.store, failing: f, w: w, seed: seed}
	err := a.run(ctx)
	m.mu.Lock()
	m.result.Add("faults injected", 1)
	m.result.Add("did not fire", 0)
	m.result.Add("power cuts", a.cuts)
	if a.fired {
		m.result.Add("faults fired", 1)
		m.coverage.fired(f, sites)
	} else if ctx.Err() == nil {
		m.result.Add("did not fire", 1)
	}
	if a.hung.Load() {
		m.result.Add("hung until mended", 1)
	}
	m.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if a.hung.Load() {
		err = wrong(workload.Hung, nil, "no end after %v, until the disk was mended", patience)
	}
	// The calls of an engine that is not ours need not be the same each time.
	if err == nil && !a.fired && !m.engine.Foreign {
		err = wrong(workload.Failed, nil, "the fault %v did not fire, although the call was counted", f)
	}
	if err == nil {
		return
	}
	m.mu.Lock()
	_, known := m.failures[workload.FaultOf(err)]
	m.mu.Unlock()
	if known {
		return
	}
	fault := workload.FaultOf(err)
	if m.engine.Foreign { // it need not do the same again
		m.fail(fault, m.report(err, w, seed, f, a.trace()))
		return
	}
	// A smaller workload meets other calls, so each of the same method is tried.
	w = workload.Shrink(w, 60, func(w workload.Workload) bool {
		for nth := 1; nth <= f.nth; nth++ {
			smaller := &attempt{store: m.store, failing: f, w: w, seed: seed}
			smaller.nth = nth
			again := smaller.run(ctx)
			if again != nil && smaller.fired && workload.FaultOf(again) == fault {
				f, a, err = smaller.failing, smaller, again
				return true
			}
			if !smaller.fired {
				break
			}
		}
		return false
	})
	again := &attempt{store: m.store, failing: f, w: w, seed: seed}
	if second := again.run(ctx); a.fired && workload.FaultOf(second) != fault {
		err = fmt.Errorf("%w (it did not happen again: the engine does not do the same each time)", err)
	}
	m.fail(fault, m.report(err, w, seed, f, a.trace()))
}

func (a *attempt) trace() string {
	if a.disk == nil {
		return ""
	}
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = a.disk.WriteTrace(&b)
	return b.String()
}

// report makes the failure of a run.
func (s store) report(err error, w workload.Workload, seed uint64, f failing, trace string) target.Failure {
	var v *workload.Violation
	if errors.As(err, &v) && v.Stack != "" {
		trace += "-- the panic\n" + v.Stack
	}
	what, fault := err.Error(), ""
	if f.op != 0 {
		fault = f.String()
		what = fmt.Sprintf("%s at the call number %d of %v: %s", f.effect, f.nth, f.op, what)
	}
	return target.Failure{
		What: what, Seed: seed, Workload: w.String(), Trace: trace,
		Command: fmt.Sprintf("orbit-cli torture --modes %s --engines %s --replay %s", Name, s.engine.Name,
			strings.Join([]string{Name, strconv.FormatUint(seed, 16), fault, w.Pack()}, ".")),
	}
}

// Replay does again what the Command of a failure says, and returns the failure
// that it meets; a zero one if the engine keeps its promises.
func Replay(ctx context.Context, e target.Engine, replay string) (target.Failure, error) {
	bad := func(why error) (target.Failure, error) {
		return target.Failure{}, fmt.Errorf("%w: replay string %q: %w", engine.ErrInvalid, replay, why)
	}
	parts := strings.Split(replay, ".")
	if len(parts) != 4 || parts[0] != Name {
		return bad(fmt.Errorf("want %s.SEED.FAULT.WORKLOAD", Name))
	}
	seed, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil {
		return bad(err)
	}
	w, err := workload.Unpack(parts[3])
	if err != nil {
		return bad(err)
	}
	if e.OpenOn == nil {
		return bad(fmt.Errorf("%s does not run on a simulated disk", e.Name))
	}
	m := &run{Run: target.Run{Engine: e}, failures: make(map[workload.Fault]target.Failure), coverage: newCoverage()}
	m.engine = e
	if _, _, err := m.count(ctx, 0, seed); err != nil {
		return target.Failure{}, err
	}
	if parts[2] == "" {
		d, err := newDisk(e, seed, false)
		if err != nil {
			return target.Failure{}, err
		}
		s := workload.Session{Open: m.on(d), Directory: directory}
		if err := workload.Guard(func() error { return s.Run(ctx, w) }); err != nil {
			return m.report(err, w, seed, failing{}, ""), nil
		}
		return target.Failure{}, nil
	}
	f, err := parseFailing(parts[2])
	if err != nil {
		return bad(err)
	}
	a := &attempt{store: m.store, failing: f, w: w, seed: seed}
	if err := a.run(ctx); err != nil {
		return m.report(err, w, seed, f, a.trace()), nil
	}
	return target.Failure{}, nil
}
