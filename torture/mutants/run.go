package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// perMutant bounds the time that goes into one mutant.
const perMutant = 60 * time.Second

// Verdict is what became of a mutant or of a site that was switched off.
type Verdict struct {
	Name   string `json:"name"`
	Class  Class  `json:"class"`
	Breaks string `json:"breaks,omitempty"`
	// Found names the modes that failed, the first of them unless all were asked.
	Found []string `json:"found"`
	// How is what the first of them said.
	How string `json:"how,omitempty"`
	// Mode, Seed and Work are the run that found it first.
	Mode string `json:"mode,omitempty"`
	Seed uint64 `json:"seed,omitempty"`
	Work int64  `json:"work,omitempty"`
	// Runs counts runs of a mode, each with a seed of its own.
	Runs    int     `json:"runs"`
	Seconds float64 `json:"seconds"`
	// Argued says why it survives, and may; "" if it does not.
	Argued string `json:"argued,omitempty"`
	// Wrong says why this is not what was expected; "" if it is.
	Wrong string `json:"wrong,omitempty"`
}

// runner runs the program with the mutants.
type runner struct {
	program, dir string
	seed         uint64
	// quick leaves out all but the first effort of each mode.
	quick bool
}

// efforts are the amounts of work of the runs that a mode has, each with a seed of
// its own, before a mutant counts as not found by it: mostly the first, small one
// finds it. 0 is the mode's default.
var efforts = map[string][]int64{"crash": {40, 600, 1200}, "linear": {3, 12}}

func (r *runner) efforts(mode string) []int64 {
	of := efforts[mode]
	switch {
	case mode == Tests:
		return []int64{0}
	case of == nil:
		of = []int64{0, 0}
	}
	if r.quick {
		of = of[:1]
	}
	return of
}

// outcome is what a run of a mode showed.
type outcome struct {
	// how it failed, "" if it did not.
	how string
	// idle says why it did nothing at all, "" if it did something.
	idle string
}

// Tests is the mode that runs the tests of the package that the mutant is in, wal, vfs or
// an engine: some defects show only where several goroutines, or sinks, meet in a way
// that a mode rarely makes.
const Tests = "tests"

// testsSuffix makes the name of the test program of an engine of that of the other.
func testsSuffix(engine string) string { return "." + engine + ".test" }

// below are no engines: what is wrong there their own tests find.
var below = []string{"blockfs", "vfs"}

// engineOf is the engine that shows a mutant or a site: the example, which stands on
// the log, unless it is one of another engine, or of what is below them.
func engineOf(on string) string {
	if name, _, named := strings.Cut(on, "/"); named && slices.Contains(below, name) {
		return name
	}
	for _, name := range []string{"cowbtree", "lsm", "flash"} {
		if strings.HasPrefix(on, name+"/") || strings.Contains(on, "/engine/"+name+".") {
			return name
		}
	}
	return "example"
}

// tests runs the test program with some mutants on.
func (r *runner) tests(ctx context.Context, on string, env ...string) (outcome, error) {
	args := []string{"-test.failfast", "-test.timeout=40s"} // below perMutant: what hangs is found
	of := engineOf(on)
	if of == "flash" {
		args = append(args, "-test.skip=Conformance") // which takes as long, and finds nothing that others do not
	}
	cmd := exec.CommandContext(ctx, r.program+testsSuffix(of), args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), append(env, "ORBIT_MUTANT="+on)...)
	if of == "lsm" {
		cmd.Env = append(cmd.Env, "ORBIT_TEST_OPERATIONS=1000") // or its longest would take more
	}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	if err == nil {
		return outcome{}, nil
	}
	for _, sign := range []string{"--- FAIL: ", "panic: ", "fatal error: "} {
		if _, after, ok := strings.Cut(string(out), sign); ok {
			return outcome{how: firstLine(after)}, nil
		}
	}
	return outcome{}, fmt.Errorf("the tests with %q: %w\n%s", on, err, out)
}

// mode runs one mode with some mutants on.
func (r *runner) mode(ctx context.Context, mode, on string, seed uint64, work int64, env ...string) (outcome, error) {
	if mode == Tests {
		return r.tests(ctx, on, env...)
	}
	dir, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return outcome{}, err
	}
	defer os.RemoveAll(dir)
	report := filepath.Join(dir, "report.json")
	cmd := exec.CommandContext(ctx, r.program, "--engines", engineOf(on), "--modes", mode, "--seed", strconv.FormatUint(seed, 10), "--work", strconv.FormatInt(work, 10), "--dir", dir, "--json", report)
	cmd.Env = append(os.Environ(), append(env, "ORBIT_MUTANT="+on)...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	var summary struct {
		Results []struct {
			target.Result
			Error string `json:"error"`
		} `json:"results"`
		LeftOut []string `json:"left_out"`
	}
	if data, err := os.ReadFile(report); err == nil {
		if err := json.Unmarshal(data, &summary); err != nil {
			return outcome{}, err
		}
	}
	if runErr == nil {
		idle := append([]string{"it did nothing"}, summary.LeftOut...)
		for _, x := range summary.Results {
			if slices.ContainsFunc(x.Counts, func(c target.Count) bool { return c.N > 0 }) {
				return outcome{}, nil
			}
			idle = append(idle, x.LeftOut...)
		}
		return outcome{idle: strings.Join(idle, "; ")}, nil
	}
	for _, x := range summary.Results {
		if len(x.Failures) > 0 {
			return outcome{how: firstLine(x.Failures[0].What)}, nil
		}
		if x.Error != "" {
			return outcome{how: "the harness: " + firstLine(x.Error)}, nil
		}
	}
	if _, why, ok := strings.Cut(out.String(), "nothing to run: "); ok {
		return outcome{idle: firstLine(why)}, nil
	}
	for _, sign := range []string{"panic: ", "fatal error: ", "unexpected fault address"} {
		if _, after, ok := strings.Cut(out.String(), sign); ok {
			return outcome{how: "the process ended: " + sign + firstLine(after)}, nil
		}
	}
	return outcome{}, fmt.Errorf("%s with %q: %w\n%s", mode, on, runErr, out.String())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 160
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// mutant judges one mutant.
func (r *runner) mutant(ctx context.Context, m Mutant) (v Verdict, err error) {
	v = Verdict{Name: m.Name, Class: m.Class, Breaks: m.Breaks, Found: []string{}}
	started := time.Now()
	defer func() { v.Seconds = time.Since(started).Seconds() }()
	bounded, cancel := context.WithTimeout(ctx, perMutant)
	defer cancel()
	for _, mode := range m.Modes {
		for n, work := range r.efforts(mode) {
			how, err := r.try(bounded, &v, mode, m.Name, r.seed+uint64(n), work)
			if bounded.Err() != nil && ctx.Err() == nil {
				v.Wrong = fmt.Sprintf("not found within %s", perMutant)
				return v, nil
			}
			if err != nil {
				return v, err
			}
			if how != "" {
				break
			}
		}
		if len(v.Found) > 0 && m.Class != Canary {
			break
		}
	}
	switch {
	case m.Class == Equivalent:
		if len(v.Found) > 0 {
			v.Wrong = "it changes nothing, and is found"
		}
	case m.Class == Canary && len(v.Found) != len(m.Modes):
		v.Wrong = "not every mode finds it"
	case len(v.Found) == 0:
		v.Wrong = "it survives"
	}
	return v, nil
}

// try runs one mode and notes in v what it finds.
func (r *runner) try(ctx context.Context, v *Verdict, mode, on string, seed uint64, work int64) (how string, err error) {
	o, err := r.mode(ctx, mode, on, seed, work)
	if err != nil {
		return "", err
	}
	v.Runs++
	if o.how != "" {
		v.Found = append(v.Found, mode)
		if v.How == "" {
			v.How, v.Mode, v.Seed, v.Work = o.how, mode, seed, work
		}
	}
	return o.how, nil
}

// harness judges a mutant of the harness by the run that finds the defect that it
// must hide: it is noticed if that passes.
func (r *runner) harness(ctx context.Context, m Mutant, with Verdict) (Verdict, error) {
	v := Verdict{Name: m.Name, Class: m.Class, Breaks: m.Breaks, Found: []string{}}
	started := time.Now()
	how, err := r.try(ctx, &v, with.Mode, m.Name+","+m.With, with.Seed, with.Work)
	v.Seconds = time.Since(started).Seconds()
	if err != nil {
		return v, err
	}
	if how != "" {
		v.Wrong = m.With + " is found all the same: the harness does not need what this breaks, or it breaks nothing"
		return v, nil
	}
	v.Found, v.How, v.Mode, v.Seed, v.Work = []string{with.Mode}, m.With+" survives with it", with.Mode, with.Seed, with.Work
	return v, nil
}

// site judges one site, switched off.
func (r *runner) site(ctx context.Context, name string, modes []string) (Verdict, error) {
	what, place, _ := strings.Cut(name, " ")
	v, err := r.mutant(ctx, Mutant{
		Name: name, Class: map[string]Class{"flush": Durability, "checksum": Device}[what],
		Breaks: what + " switched off in " + place, Modes: modes,
	})
	if why := argued[what+" "+withoutLine(place)]; why != "" {
		switch v.Wrong {
		case "it survives":
			v.Wrong, v.Argued = "", why
		case "":
			v.Wrong = "it is found, and its argument in argued.go is void"
		}
	}
	return v, err
}

// withoutLine cuts the line off a site, so that it stays when lines are added.
func withoutLine(place string) string {
	if i := strings.LastIndexByte(place, ':'); i >= 0 {
		return place[:i]
	}
	return place
}

// baseline tries the modes where nothing is seeded, by the very runs that judge
// mutants. A mode that fails then, or does nothing, judges nothing: sound are the
// others, and failed and idle say why.
func (r *runner) baseline(ctx context.Context, modes []string) (sound, failed, idle []string, err error) {
	for _, mode := range modes {
		fails, does, err := r.unmutated(ctx, mode)
		switch {
		case err != nil:
			return nil, nil, nil, err
		case fails != "":
			failed = append(failed, fails)
		case does != "":
			idle = append(idle, does)
		default:
			sound = append(sound, mode)
		}
	}
	return sound, failed, idle, nil
}

// unmutated is baseline of one mode: why it fails, or what it does not do.
func (r *runner) unmutated(ctx context.Context, mode string) (fails, does string, err error) {
	for n, work := range r.efforts(mode) {
		seed := r.seed + uint64(n)
		names := noMutants
		if mode == Tests {
			names = slices.Clone(names)
			for _, name := range below {
				names = append(names, name+"/")
			}
		}
		for _, on := range names {
			o, err := r.mode(ctx, mode, on, seed, work)
			switch {
			case err != nil:
				return "", "", err
			case o.how != "":
				return fmt.Sprintf("%s of %s fails without a mutant, and judges none: seed %d, work %d: %s", mode, engineOf(on), seed, work, o.how), "", nil
			case o.idle != "" && on == "": // the others need not have what a mode is about
				return "", fmt.Sprintf("%s judges no mutant: %s", mode, o.idle), nil
			}
		}
	}
	return "", "", nil
}

// noMutants are names of none, under which each of the engines runs.
var noMutants = []string{"", "cowbtree/", "lsm/", "flash/"}

// sites finds the sites that the modes meet.
func (r *runner) sites(ctx context.Context, modes []string) ([]string, error) {
	list := filepath.Join(r.dir, "sites")
	for _, mode := range modes {
		for _, on := range noMutants {
			o, err := r.mode(ctx, mode, on, r.seed, r.efforts(mode)[0], "ORBIT_SITES="+list)
			if err != nil {
				return nil, err
			}
			if o.how != "" {
				return nil, fmt.Errorf("%s fails without a mutant: %s", mode, o.how)
			}
		}
	}
	data, err := os.ReadFile(list)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("no mode met a site that flushes or verifies a checksum")
	}
	if err != nil {
		return nil, err
	}
	all := strings.Fields(strings.ReplaceAll(string(data), " ", "\x00"))
	for i := range all {
		all[i] = strings.ReplaceAll(all[i], "\x00", " ")
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
