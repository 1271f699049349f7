package paths

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Name is the mode's, and what its replay strings begin with.
const Name = "paths"

// defaultWork is how many workloads a run without a budget has.
const defaultWork = 300

// open asks an engine for its traits.
func open(e target.Engine) (s store, err error) {
	s.engine = e
	if e.OpenOnPaths == nil {
		return s, fmt.Errorf("%w: %s has no paths", engine.ErrUnsupported, e.Name)
	}
	err = workload.Guard(func() error {
		opened, err := s.on(newDisk(0))("")
		if err != nil {
			return fmt.Errorf("open %s on an empty disk: %w", e.Name, err)
		}
		s.traits = opened.Traits()
		return opened.Close()
	})
	s.traits.Checkpoint = false // a copy has no paths
	return s, err
}

// workload returns that of a seed.
func (s store) workload(seed uint64) workload.Workload {
	return workload.Random(seed, 5+int(seed%50), s.traits)
}

// Mode loses devices. Work counts workloads, by the seed and those after it; 0 is
// 300. A run reports the first failure of each kind.
func Mode(ctx context.Context, r target.Run) (target.Result, error) {
	start := time.Now()
	result := target.Result{Mode: Name, Engine: r.Engine.Name}
	if r.Engine.Missing != "" {
		result.LeftOut = append(result.LeftOut, r.Engine.Name+": "+r.Engine.Missing)
		return result, nil
	}
	if r.Engine.OpenOnPaths == nil {
		result.LeftOut = append(result.LeftOut, r.Engine.Name+" has no paths")
		return result, nil
	}
	s, err := open(r.Engine)
	if err != nil {
		return result, err
	}
	work := r.Work
	if work == 0 {
		work = defaultWork
	}
	if r.Budget > 0 {
		work = 0
	}
	for _, name := range []string{"workloads", "paths lost", "in the middle of a call", "returns", "late writes", "power cuts", "opened with one path"} {
		result.Add(name, 0)
	}
	var mu sync.Mutex
	var next, done atomic.Int64
	var halt atomic.Bool
	failed := make(map[workload.Fault]found)
	hang := workers.Run(workers.Patience, func(begin func(*round)) {
		for ctx.Err() == nil && !halt.Load() && (work > 0 || time.Since(start) < r.Budget) {
			n := next.Add(1) - 1
			if work > 0 && n >= work {
				return
			}
			seed := r.Seed + uint64(n)
			one := &round{store: s, w: s.workload(seed), seed: seed}
			begin(one)
			err := one.run(ctx)
			done.Add(1)
			mu.Lock()
			if ctx.Err() == nil {
				one.count(&result)
				if err != nil {
					fault := workload.FaultOf(err)
					if first, known := failed[fault]; !known || n < first.n {
						failed[fault] = found{n, one, err}
					}
				}
			}
			mu.Unlock()
		}
	}, func() { r.Report(done.Load(), work, "workloads") })
	halt.Store(true)
	mu.Lock()
	defer mu.Unlock()
	if err := ctx.Err(); err != nil {
		return result, err
	}
	if hang != nil {
		v := &workload.Violation{Fault: workload.Hung, Text: fmt.Sprintf("no end after %v", workers.Patience)}
		result.Failures = append(result.Failures, s.report(v, hang.Task.w, hang.Task.seed, hang.Stacks))
	}
	for _, f := range slices.SortedFunc(maps.Values(failed), func(a, b found) int { return cmp.Compare(a.n, b.n) }) {
		failure, err := s.shrink(ctx, f.round, f.err)
		if err != nil {
			return result, err
		}
		result.Failures = append(result.Failures, failure)
	}
	if len(result.Failures) == 0 && result.Get("paths lost") == 0 {
		result.Failures = append(result.Failures, target.Failure{What: "no path was lost: nothing was tested", Seed: r.Seed})
	}
	result.Elapsed = time.Since(start)
	return result, nil
}

// found is a failure, by the number of its workload, before it is shrunk.
type found struct {
	n     int64
	round *round
	err   error
}

func (r *round) count(x *target.Result) {
	add := func(name string, is bool) {
		if is {
			x.Add(name, 1)
		}
	}
	x.Add("workloads", 1)
	add("paths lost", r.lost)
	add("in the middle of a call", r.midway)
	add("returns", r.returned)
	x.Add("late writes", r.late)
	add("power cuts", r.cut)
	x.Add("opened with one path", r.alone)
}

// shrink makes the workload of a failure small.
func (s store) shrink(ctx context.Context, r *round, failed error) (target.Failure, error) {
	fault := workload.FaultOf(failed)
	if fault == "" {
		return target.Failure{}, failed
	}
	workload.Shrink(r.w, 200, func(w workload.Workload) bool {
		smaller := &round{store: s, w: w, seed: r.seed}
		err := smaller.run(ctx)
		if workload.FaultOf(err) != fault {
			return false
		}
		r, failed = smaller, err
		return true
	})
	again := &round{store: s, w: r.w, seed: r.seed}
	if workload.FaultOf(again.run(ctx)) != fault {
		failed = fmt.Errorf("%w (it did not happen again: the engine does not do the same each time)", failed)
	}
	return s.report(failed, r.w, r.seed, r.trace()), ctx.Err()
}

func (s store) report(err error, w workload.Workload, seed uint64, trace string) target.Failure {
	var v *workload.Violation
	if errors.As(err, &v) && v.Stack != "" {
		trace += "-- the panic\n" + v.Stack
	}
	return target.Failure{
		What: err.Error(), Seed: seed, Workload: w.String(), Trace: trace,
		Command: fmt.Sprintf("orbit-cli torture --modes %s --engines %s --replay %s", Name, s.engine.Name,
			strings.Join([]string{Name, strconv.FormatUint(seed, 16), w.Pack()}, ".")),
	}
}

// Replay does again what the Command of a failure says, and returns the failure
// that it meets; a zero one if the engine keeps its promises.
func Replay(ctx context.Context, e target.Engine, replay string) (target.Failure, error) {
	bad := func(why error) (target.Failure, error) {
		return target.Failure{}, fmt.Errorf("%w: replay string %q: %w", engine.ErrInvalid, replay, why)
	}
	parts := strings.Split(replay, ".")
	if len(parts) != 3 || parts[0] != Name {
		return bad(fmt.Errorf("want %s.SEED.WORKLOAD", Name))
	}
	seed, err := strconv.ParseUint(parts[1], 16, 64)
	if err != nil {
		return bad(err)
	}
	w, err := workload.Unpack(parts[2])
	if err != nil {
		return bad(err)
	}
	s, err := open(e)
	if err != nil {
		return target.Failure{}, err
	}
	r := &round{store: s, w: w, seed: seed}
	if err := r.run(ctx); err != nil {
		if workload.FaultOf(err) == "" {
			return target.Failure{}, err
		}
		return s.report(err, w, seed, r.trace()), nil
	}
	return target.Failure{}, nil
}
