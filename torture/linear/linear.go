package linear

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/target"
)

// name is the mode's, as the tools take it.
const name = "linear"

// defaultWork is how many rounds a run without a budget has.
const defaultWork = 4

// decide bounds the time that porcupine has for one key or window. What it does
// not decide is counted as unknown.
const decide = 5 * time.Second

// Mode runs rounds of histories over the engine: Run.Work of them, or as many as
// end within Run.Budget, at least one. The first failure ends it. Porcupine's
// picture of a failure stays in Run.Directory, and the failure names it.
func Mode(ctx context.Context, r target.Run) (target.Result, error) {
	start := time.Now()
	m := &mode{run: r, result: target.Result{Mode: name, Engine: r.Engine.Name}}
	for _, c := range []string{"histories", "operations", "restarts", "power cuts", "keys judged", "windows", "unknown", "transactions", "conflicts"} {
		m.result.Add(c, 0)
	}
	if r.Engine.Missing != "" {
		m.result.LeftOut = append(m.result.LeftOut, r.Engine.Name+": "+r.Engine.Missing)
		return m.result, nil
	}
	if why := noCuts(r.Engine); why != "" {
		m.result.LeftOut = append(m.result.LeftOut, "power cuts among clients: "+r.Engine.Name+" "+why)
	}
	work := r.Work
	if work == 0 {
		work = defaultWork
	}
	if r.Budget > 0 {
		work = 0
	}
	var err error
	for n := int64(0); work == 0 || n < work; n++ {
		if work == 0 && n > 0 && time.Since(start) >= r.Budget {
			break
		}
		r.Report(n, work, fmt.Sprintf("%d operations", m.result.Get("operations")))
		if err = m.round(ctx, r.Seed+uint64(n)); err != nil || len(m.result.Failures) > 0 {
			break
		}
	}
	if m.result.Get("operations") == 0 && err == nil && len(m.result.Failures) == 0 {
		m.result.Failures = []target.Failure{{What: "no operation is in a history: nothing was tested", Seed: r.Seed}}
	}
	m.result.Elapsed = time.Since(start)
	return m.result, err
}

type mode struct {
	run    target.Run
	result target.Result
}

// noCuts says why an engine gets no power cuts on the simulated disk; "" if it does.
func noCuts(e target.Engine) string {
	switch {
	case e.OpenOn == nil:
		return "does not open on the simulated disk"
	case e.Foreign:
		return "needs a journal for its names, which these have not; those of mode crash have"
	}
	return ""
}

// shape is the size of a history.
type shape struct {
	what    string
	clients int
	// parts are separated by restarts; in each part, the clients do batches of
	// steps and wait for each other after each.
	parts, batches, steps int
	keys                  int
	windows               bool
	// cuts: the restarts are power cuts, on the simulated disk.
	cuts bool
}

// medium makes one for a history of that shape.
func (m *mode) medium(seed uint64, s shape) (medium, error) {
	if s.cuts {
		return newSimulated(m.run.Engine, seed), nil
	}
	path, err := os.MkdirTemp(m.run.Directory, s.what+"-")
	if err != nil {
		return nil, fmt.Errorf("linear: %w", err)
	}
	return &directory{m.run.Engine, path}, nil
}

// round runs one history of each kind.
func (m *mode) round(ctx context.Context, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0))
	shapes := []shape{
		{what: "bulk", clients: 2 + rng.IntN(7), parts: 1 + rng.IntN(3), batches: 1, steps: 150, keys: 4 + rng.IntN(60)},
		{what: "windows", clients: 2 + rng.IntN(2), parts: 1 + rng.IntN(2), batches: 30, steps: 4, keys: 2 + rng.IntN(5), windows: true},
	}
	if noCuts(m.run.Engine) == "" {
		shapes = append(shapes, shape{what: "power cuts", clients: 2 + rng.IntN(4), parts: 2 + rng.IntN(3), batches: 1, steps: 60, keys: 4 + rng.IntN(20), cuts: true})
	}
	for _, s := range shapes {
		h, failed, err := m.history(ctx, seed, s)
		if err != nil {
			return err
		}
		workload := fmt.Sprintf("%s: %d clients, %d parts of %d times %d steps, %d keys", s.what, s.clients, s.parts, s.batches, s.steps, s.keys)
		if failed == nil {
			m.result.Add("histories", 1)
			m.result.Add("operations", int64(len(h.Operations)))
			failed, err = m.judge(h, seed, s)
			if err != nil {
				return err
			}
		}
		if failed != nil {
			m.fail(seed, workload, failed)
			return nil
		}
	}
	failed, err := m.lists(ctx, seed)
	if failed != nil {
		m.fail(seed, "transactions that append to lists", failed)
	}
	return err
}

func (m *mode) fail(seed uint64, workload string, err error) {
	f := target.Failure{
		What: err.Error(), Seed: seed, Workload: workload,
		Command: fmt.Sprintf("orbit-cli torture --engines %s --modes %s --seed %d", m.run.Engine.Name, name, seed),
	}
	var v *check.Violation
	if errors.As(err, &v) {
		f.What, f.Trace = v.What, v.History
		var p *pictured
		if errors.As(err, &p) {
			f.What += "; picture: " + p.path
		}
	}
	m.result.Failures = append(m.result.Failures, f)
}

// history runs the clients of one history. failed is what the engine did wrong.
func (m *mode) history(ctx context.Context, seed uint64, s shape) (h *check.History, failed, err error) {
	on, err := m.medium(seed, s)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, on.close()) }()
	h = &check.History{}
	c := newClock()
	e, failed := on.open()
	if failed != nil {
		return nil, fmt.Errorf("open: %w", failed), nil
	}
	defer func() {
		if e != nil {
			failed = errors.Join(failed, e.Close())
		}
	}()
	clients := make([]*client, s.clients)
	for i := range clients {
		clients[i] = newClient(i, seed, c, s.keys, on)
	}
	for part := range s.parts {
		if part > 0 {
			if !e.Traits().Persistent {
				break
			}
			ended := e
			e = nil
			crash, failed := on.end(ended, clients, c.between)
			if failed != nil {
				return nil, failed, nil
			}
			opened, failed := on.open()
			if failed != nil {
				return nil, fmt.Errorf("open again: %w", failed), nil
			}
			e = opened
			if x, ok := e.(engine.Sequenced); ok {
				crash.Sequence, crash.Known = x.LastSequence(), true
			}
			if n := len(h.Crashes); n > 0 && !happened(clients) {
				h.Crashes = h.Crashes[:n-1] // nobody saw what it left
			}
			h.Crashes = append(h.Crashes, crash)
			m.result.Add(on.counted(), 1)
			for _, c := range clients {
				c.first = len(c.ops)
			}
			// What is there is read before anyone writes.
			if failed := clients[0].look(e); failed != nil {
				return nil, failed, nil
			}
		}
		if failed := work(ctx, e, clients, s); failed != nil {
			return nil, failed, ctx.Err()
		}
	}
	for _, c := range clients {
		h.Operations = append(h.Operations, c.ops...)
		m.result.Add("conflicts", c.conflicts)
	}
	return h, nil, nil
}

// happened reports whether anything of the part that ended is in a history: a
// power cut may have come before the engine was open.
func happened(clients []*client) bool {
	return slices.ContainsFunc(clients, func(c *client) bool { return len(c.ops) > c.first })
}

// judge asks every checker that applies. unknown is counted, and is no failure.
func (m *mode) judge(h *check.History, seed uint64, s shape) (failed, err error) {
	sequenced := true
	for i := range h.Operations {
		if o := &h.Operations[i]; len(o.Changes) > 0 && o.Sequence == 0 && o.Return != check.Never {
			sequenced = false
			break
		}
	}
	if sequenced {
		if failed, err := m.verdict(check.Sequence(h)); failed != nil || err != nil {
			return failed, err
		}
	}
	// The order of the markers is found without the places that the engine told.
	own := &check.History{Operations: append([]check.Operation(nil), h.Operations...), Crashes: append([]check.Crash(nil), h.Crashes...)}
	for i := range own.Operations {
		own.Operations[i].Sequence = 0
	}
	for i := range own.Crashes {
		own.Crashes[i].Sequence, own.Crashes[i].Known = 0, false
	}
	ordered, err := check.Order(own, markers)
	if err == nil {
		err = check.Sequence(ordered)
	}
	if failed, err := m.verdict(err); failed != nil || err != nil {
		return failed, err
	}
	referee := check.Referee{Timeout: decide}
	var picture bytes.Buffer
	referee.Picture = &picture
	v, err := referee.Keys(h)
	m.result.Add("keys judged", v.Parts)
	m.result.Add("unknown", v.Unknown)
	if err == nil && s.windows {
		v, err = referee.Windows(h)
		m.result.Add("windows", v.Parts)
		m.result.Add("unknown", v.Unknown)
	}
	failed, err = m.verdict(err)
	if failed != nil && picture.Len() > 0 {
		path := filepath.Join(m.run.Directory, fmt.Sprintf("linear-%s-%s-%d.html", m.run.Engine.Name, s.what, seed))
		if err := os.WriteFile(path, picture.Bytes(), 0o644); err != nil {
			return failed, fmt.Errorf("linear: keep the picture of a failure: %w", err)
		}
		failed = &pictured{failed, path}
	}
	return failed, err
}

// verdict tells a violation from what could not be decided and from an error of
// the harness.
func (m *mode) verdict(err error) (failed, harness error) {
	var v *check.Violation
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &v):
		return err, nil
	case errors.Is(err, check.ErrUnknown):
		m.result.Add("unknown", 1)
		return nil, nil
	}
	return nil, fmt.Errorf("linear: %w", err)
}

// pictured is a failure of which there is a picture.
type pictured struct {
	error
	path string
}

func (p *pictured) Unwrap() error { return p.error }
