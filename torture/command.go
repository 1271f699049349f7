package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/target"
)

// Command is the command line of torture, for kong.
type Command struct {
	Engines []string      `placeholder:"NAME,..." help:"Engines to torture; all that this build has, if not given."`
	Modes   []string      `placeholder:"NAME,..." help:"Ways to do it; all, if not given. See --list."`
	Seed    uint64        `default:"1" help:"Seed of all that is random."`
	Budget  time.Duration `placeholder:"10m" help:"How long all of it takes, divided among modes and engines by what they are worth; a fixed amount of work, if not given."`
	Work    int64         `placeholder:"N" help:"That amount, in units of the mode."`
	Dir     string        `placeholder:"DIR" help:"Where stores on the real disk are made and removed. Default: the system's temporary directory."`
	JSON    string        `name:"json" placeholder:"FILE" help:"Write the report as JSON."`
	Out     string        `placeholder:"DIR" help:"Write the kill matrix of the mutants and the crash table of kill and powercut there."`
	Replay  string        `placeholder:"STRING" help:"Replay a failure: the string is part of the command that the failure printed."`
	List    bool          `help:"List engines and modes, and exit."`
}

// errFound is the error of a run that did its work and found failures.
var errFound = errors.New("promises were broken; see above")

// Run runs what was asked for and prints the report. A UsageError means that the
// call is at fault, and nothing was run.
func (c *Command) Run(ctx context.Context, engines []target.Engine) error {
	tuneCollector()
	if task := os.Getenv(childEnv); task != "" {
		return serveChild(ctx, task, engines, modesWith(c.Out))
	}
	return c.run(ctx, engines, modesWith(c.Out), os.Stdout, newProgress(os.Stderr))
}

// task is a mode to be run on an engine.
type task struct {
	mode   mode
	engine target.Engine
}

func (c *Command) run(ctx context.Context, engines []target.Engine, modes []mode, out io.Writer, p *progress) error {
	if c.List {
		return list(out, engines, modes)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.Budget < 0 || c.Work < 0 {
		return usagef("--budget and --work must be above nought")
	}
	report := newReport(c)
	dir, err := os.MkdirTemp(c.Dir, "orbit-torture-")
	if err != nil {
		return usagef("--dir: %w", err)
	}
	// What is left in it belongs to failures.
	defer os.Remove(dir)
	tasks, err := c.plan(engines, modes, dir, report)
	if err != nil {
		return err
	}
	p.tasks = len(tasks)
	if c.Replay != "" {
		if tasks, err = c.replays(tasks); err != nil {
			return err
		}
	}
	for i, t := range tasks {
		report.about[t.mode.name] = t.mode.about
		if ctx.Err() != nil {
			report.note("interrupted before %s of %s", t.mode.name, t.engine.Name)
			continue
		}
		var budget time.Duration
		if c.Budget > 0 {
			budget = share(c.Budget-time.Since(report.Started), tasks[i:])
		}
		if err := c.runTask(ctx, t, budget, dir, report, p); err != nil {
			return err
		}
	}
	report.Elapsed = time.Since(report.Started)
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
		report.Kept = dir
	}
	p.clear()
	if c.JSON != "" {
		if err := report.writeJSON(c.JSON); err != nil {
			return err
		}
	}
	if err := report.print(out); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; the report covers what was run before")
	}
	if report.failed() {
		return errFound
	}
	return nil
}

// runTask runs one mode on one engine in a directory of its own. An error of the
// harness is kept in the report, and the other tasks go on.
func (c *Command) runTask(ctx context.Context, t task, budget time.Duration, dir string, report *report, p *progress) error {
	scratch, err := os.MkdirTemp(dir, t.mode.name+"-")
	if err != nil {
		return err
	}
	p.begin(t.mode.name, t.engine.Name, budget)
	started := time.Now()
	r := target.Run{Engine: t.engine, Seed: c.Seed, Budget: budget, Work: c.Work, Progress: p.step, Directory: scratch}
	var result target.Result
	if c.Replay == "" && t.needsChildren() {
		result, err = inChildren(ctx, t.mode.name, r)
	} else {
		result, err = t.mode.run(ctx, r)
	}
	result.Mode, result.Engine = t.mode.name, t.engine.Name
	if result.Elapsed == 0 {
		result.Elapsed = time.Since(started)
	}
	o := outcome{Result: result}
	if err != nil {
		o.Error = err.Error()
	}
	report.Results = append(report.Results, o)
	p.end(o)
	clean := os.RemoveAll
	if len(result.Failures) > 0 {
		clean = removeIfEmpty // pictures of failures stay
	}
	if err := clean(scratch); err != nil { // what was found counts for more
		report.note("%s of %s left something behind: %v", t.mode.name, t.engine.Name, err)
	}
	return nil
}

// replays turns the tasks into ones that replay a failure.
func (c *Command) replays(tasks []task) ([]task, error) {
	for i := range tasks {
		replay := tasks[i].mode.replay
		if replay == nil {
			return nil, usagef("--replay: failures of mode %s are replayed by --seed", tasks[i].mode.name)
		}
		tasks[i].mode.run = func(ctx context.Context, r target.Run) (target.Result, error) {
			var x target.Result
			f, err := replay(ctx, r.Engine, c.Replay)
			x.Add("failures replayed", 1)
			if err == nil && f.What != "" {
				x.Failures = []target.Failure{f}
			}
			return x, err
		}
	}
	return tasks, nil
}

// plan chooses engines and modes, and leaves out, with a reason in the report,
// what does not go together.
func (c *Command) plan(engines []target.Engine, modes []mode, dir string, report *report) ([]task, error) {
	chosenModes := modes
	names := c.Modes
	if c.Replay != "" {
		mode, _, ok := strings.Cut(c.Replay, ".")
		if !ok || len(c.Engines) != 1 {
			return nil, usagef("--replay %q: it begins with a mode and a dot, and needs one engine in --engines", c.Replay)
		}
		names = []string{mode}
	}
	if len(names) > 0 {
		chosenModes = nil
		for _, name := range names {
			i := slices.IndexFunc(modes, func(m mode) bool { return m.name == name })
			if i < 0 {
				return nil, usagef("unknown mode %q; choose among %s", name, joined(modes, func(m mode) string { return m.name }))
			}
			if !slices.ContainsFunc(chosenModes, func(m mode) bool { return m.name == name }) {
				chosenModes = append(chosenModes, modes[i])
			}
		}
	}
	chosenEngines, err := c.chooseEngines(engines, report)
	if err != nil {
		return nil, err
	}
	var tasks []task
	traits := make([]engine.Traits, len(chosenEngines))
	for i, e := range chosenEngines {
		if traits[i], err = traitsOf(e, filepath.Join(dir, "traits-"+e.Name)); err != nil {
			return nil, fmt.Errorf("engine %s does not open: %w", e.Name, err)
		}
	}
	for _, m := range chosenModes {
		if m.alone {
			tasks = append(tasks, task{m, target.Engine{Name: "-"}})
			continue
		}
		for i, e := range chosenEngines {
			if why := m.unfit(e, traits[i]); why != "" {
				report.note("%s of %s: %s", m.name, e.Name, why)
				continue
			}
			tasks = append(tasks, task{m, e})
		}
	}
	if len(tasks) == 0 {
		return nil, usagef("nothing to run: %s", strings.Join(report.LeftOut, "; "))
	}
	return tasks, nil
}

func (c *Command) chooseEngines(engines []target.Engine, report *report) ([]target.Engine, error) {
	var chosen []target.Engine
	if len(c.Engines) == 0 {
		for _, e := range engines {
			if e.Missing != "" {
				report.note("%s: %s", e.Name, e.Missing)
				continue
			}
			chosen = append(chosen, e)
		}
		return chosen, nil
	}
	for _, name := range c.Engines {
		i := slices.IndexFunc(engines, func(e target.Engine) bool { return e.Name == name })
		if i < 0 {
			return nil, usagef("unknown engine %q; choose among %s", name, joined(engines, func(e target.Engine) string { return e.Name }))
		}
		if engines[i].Missing != "" {
			return nil, usagef("engine %s cannot run: %s", name, engines[i].Missing)
		}
		if !slices.ContainsFunc(chosen, func(e target.Engine) bool { return e.Name == name }) {
			chosen = append(chosen, engines[i])
		}
	}
	return chosen, nil
}

// traitsOf opens an empty store to ask it what it can do.
func traitsOf(e target.Engine, dir string) (engine.Traits, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return engine.Traits{}, err
	}
	store, err := e.Open(dir)
	if err != nil {
		return engine.Traits{}, err
	}
	return store.Traits(), errors.Join(store.Close(), os.RemoveAll(dir))
}

// removeIfEmpty removes a directory with nothing in it.
func removeIfEmpty(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil || len(names) > 0 {
		return err
	}
	return os.Remove(dir)
}

// joined writes names for a person: "a, b, c".
func joined[T any](all []T, name func(T) string) string {
	var names []string
	for _, x := range all {
		names = append(names, name(x))
	}
	return strings.Join(names, ", ")
}

func list(w io.Writer, engines []target.Engine, modes []mode) error {
	var b strings.Builder
	b.WriteString("engines:\n")
	for _, e := range engines {
		about := "ready"
		switch {
		case e.Missing != "":
			about = "cannot run: " + e.Missing
		case e.OpenOn != nil:
			about = "ready, on the simulated disk too"
		}
		fmt.Fprintf(&b, "  %-10s %s\n", e.Name, about)
	}
	b.WriteString("modes:\n")
	for _, m := range modes {
		fmt.Fprintf(&b, "  %-10s %s\n", m.name, m.about)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
