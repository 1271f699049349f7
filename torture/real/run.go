package real

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/internal/loopfs"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// run is one run of a mode that stops stores: several lanes beside each other.
type run struct {
	target.Run
	mode  string
	ends  time.Time
	lanes []*lane

	mu     sync.Mutex
	done   int64
	result target.Result
	rows   []Row
	// observed counts what a foreign engine did, by kind.
	observed map[workload.Fault]int
	halt     bool
}

func newRun(mode string, r target.Run) *run {
	m := &run{Run: r, mode: mode, observed: make(map[workload.Fault]int)}
	m.result = target.Result{Mode: mode, Engine: r.Engine.Name}
	if r.Budget > 0 {
		m.ends = time.Now().Add(r.Budget)
	}
	return m
}

// add adds a lane on a place, which it owns.
func (m *run) add(p place, stops event) error {
	l, err := newLedger()
	if err != nil {
		_, closeErr := p.close(false)
		return errors.Join(err, closeErr)
	}
	seed := rand.New(rand.NewPCG(m.Seed, uint64(len(m.lanes))))
	m.lanes = append(m.lanes, &lane{
		engine: m.Engine, seed: seed.Uint64(), place: p, stops: stops, ledger: l, random: seed,
		tally: &Row{Engine: m.Engine.Name, Foreign: m.Engine.Foreign, Mode: m.mode, FileSystem: p.fileSystem()},
	})
	return nil
}

// work takes all lanes through rounds, each through its share of work where there
// is no budget, and ends them.
func (m *run) work(ctx context.Context, work int64) (target.Result, error) {
	began := time.Now()
	errs := make([]error, len(m.lanes))
	var all sync.WaitGroup
	for i, l := range m.lanes {
		share := work/int64(len(m.lanes)) + 1
		all.Go(func() { errs[i] = m.workOn(ctx, l, share, work) })
	}
	all.Wait()
	m.result.Elapsed = time.Since(began)
	m.sum()
	err := errors.Join(errs...)
	if err == nil && len(m.result.Failures) == 0 && m.total().Acked.all() == 0 {
		err = errors.New("no batch was acknowledged: nothing was tested")
	}
	return m.result, err
}

// halted reports whether a failure or an error has ended the run.
func (m *run) halted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.halt
}

func (m *run) over() bool {
	return m.halted() || !m.ends.IsZero() && time.Now().After(m.ends)
}

// workOn takes one lane through rounds and ends it. Its error is of the harness.
func (m *run) workOn(ctx context.Context, l *lane, share, of int64) (err error) {
	var failed *target.Failure
	began := time.Now()
	defer func() {
		kept, endErr := l.end(failed != nil)
		l.tally.Seconds = time.Since(began).Seconds()
		err = errors.Join(err, endErr)
		if failed != nil {
			failed.What += "\nwhat is left of it: " + kept
			m.mu.Lock()
			m.result.Failures = append(m.result.Failures, *failed)
			m.mu.Unlock()
		}
	}()
	fresh := true
	for i := int64(0); (i < share || !m.ends.IsZero()) && !m.over(); i++ {
		if l.rounds >= storeRounds {
			if failed, err = m.judge(ctx, l, l.finish(ctx)); failed != nil || err != nil {
				return err
			}
			fresh = true
		}
		if fresh {
			if err := l.begin(ctx); err != nil {
				return err
			}
			fresh = false
		}
		fault := l.step(ctx)
		if failed, err = m.judge(ctx, l, fault); failed != nil || err != nil {
			return err
		}
		fresh = fault != nil
		m.mu.Lock()
		m.done++
		done := m.done
		m.mu.Unlock()
		if m.ends.IsZero() {
			m.Report(done, of, "rounds")
		} else {
			m.Report(done, 0, "rounds")
		}
	}
	if !fresh && !m.halted() {
		failed, err = m.judge(ctx, l, l.finish(ctx))
	}
	return err
}

// judge says what an error of a lane is: a failure of the engine, or an error of
// the harness, either of which ends the run; or neither, if there was none or the
// engine is foreign.
func (m *run) judge(ctx context.Context, l *lane, fault error) (*target.Failure, error) {
	if fault == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	kind := workload.FaultOf(fault)
	if kind == "" || ctx.Err() != nil {
		m.halt = true
		return nil, fault
	}
	l.tally.note(fault)
	text := fmt.Sprintf("%s, round %d: %s", l.place.fileSystem(), l.round, fault)
	if m.Engine.Foreign {
		if m.observed[kind]++; m.observed[kind] == 1 {
			m.result.Observed = append(m.result.Observed, text)
		}
		return nil, nil
	}
	m.halt = true
	return &target.Failure{What: text, Seed: m.Seed, Trace: l.positions(), Command: m.command()}, nil
}

// each takes a store on each file system in turn through rounds of a mode of its own,
// so many on each if there is no budget.
func (m *run) each(ctx context.Context, kinds []loopfs.Kind, rounds int64, round func(context.Context, *lane, *disk, int64) error) (target.Result, error) {
	began := time.Now()
	var disks []*disk
	err := func() error {
		for _, k := range kinds {
			d, err := newDisk(ctx, m.Directory, k, m.Engine.Foreign)
			if err != nil {
				return err
			}
			if err := m.add(d, killed); err != nil {
				return err
			}
			disks = append(disks, d)
		}
		for n := int64(0); n < rounds || !m.ends.IsZero(); n++ {
			for i, l := range m.lanes {
				if m.over() {
					return nil
				}
				if err := l.begin(ctx); err != nil {
					return err
				}
				fault := round(ctx, l, disks[i], n)
				m.result.Add("rounds", 1)
				m.Report(m.result.Get("rounds"), 0, "rounds")
				failed, err := m.judge(ctx, l, fault)
				if err != nil {
					return err
				}
				if failed != nil {
					m.result.Failures = append(m.result.Failures, *failed)
				}
			}
		}
		return nil
	}()
	for _, l := range m.lanes {
		_, endErr := l.end(false)
		err = errors.Join(err, endErr)
	}
	m.result.Elapsed = time.Since(began)
	m.observe()
	return m.result, err
}

// command runs the mode again with the same choices.
func (m *run) command() string {
	s := fmt.Sprintf("orbit-cli torture --modes %s --engines %s --seed %d", m.mode, m.Engine.Name, m.Seed)
	if m.Work > 0 {
		s += fmt.Sprintf(" --work %d", m.Work)
	}
	if m.Budget > 0 {
		s += fmt.Sprintf(" --budget %s", m.Budget)
	}
	return s
}

// sum adds up what the lanes did, by file system.
func (m *run) sum() {
	for _, l := range m.lanes {
		found := false
		for i := range m.rows {
			if m.rows[i].FileSystem == l.tally.FileSystem {
				m.rows[i].merge(*l.tally)
				found = true
			}
		}
		if !found {
			m.rows = append(m.rows, *l.tally)
		}
	}
	t := m.total()
	stops := "kills"
	if m.mode == NamePowerCut {
		stops = "power cuts"
	}
	for _, c := range []target.Count{
		{Name: stops, N: t.Rounds}, {Name: stops + " in recovery", N: t.Recoveries},
		{Name: "batches acknowledged", N: t.Acked.all()},
		{Name: "lost, flushed", N: t.Lost.Flushed}, {Name: "lost, buffered", N: t.Lost.Buffered}, {Name: "lost, memory", N: t.Lost.Memory},
	} {
		m.result.Add(c.Name, c.N)
	}
	m.observe()
}

// observe says how often a foreign engine did what it did more than once.
func (m *run) observe() {
	for _, kind := range slices.Sorted(maps.Keys(m.observed)) {
		if n := m.observed[kind]; n > 1 {
			m.result.Observed = append(m.result.Observed, fmt.Sprintf("%d times: %s", n, kind))
		}
	}
}

// total is the sum over the file systems.
func (m *run) total() (t Row) {
	for _, r := range m.rows {
		t.merge(r)
	}
	return t
}
