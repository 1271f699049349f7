package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// Matrix is the outcome of a run: mutants by detectors.
type Matrix struct {
	Seed     uint64    `json:"seed"`
	Modes    []string  `json:"modes"`
	Mutants  []Verdict `json:"mutants"`
	Sites    []Verdict `json:"sites"`
	Seconds  float64   `json:"seconds"`
	Unjudged []string  `json:"unjudged,omitempty"`
	// Failed are modes that fail without a mutant, and arguments that are void.
	// Idle are modes that do nothing here.
	Failed []string `json:"failed,omitempty"`
	Idle   []string `json:"idle,omitempty"`
}

// Wrong returns the verdicts that are not what was expected.
func (m *Matrix) Wrong() []Verdict {
	return slices.DeleteFunc(slices.Concat(m.Mutants, m.Sites), func(v Verdict) bool { return v.Wrong == "" })
}

// Killed counts the defects that were found, and all.
func (m *Matrix) Killed() (killed, of int) {
	for _, v := range m.Mutants {
		if v.Class != Equivalent {
			of++
			if v.Wrong == "" {
				killed++
			}
		}
	}
	return killed, of
}

// median returns the time in which half of the defects that were found had been
// found; 0 if none was.
func (m *Matrix) median() time.Duration {
	var all []float64
	for _, v := range m.Mutants {
		if len(v.Found) > 0 {
			all = append(all, v.Seconds)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return time.Duration(all[len(all)/2] * float64(time.Second))
}

// summarize adds up the matrix for the summary of a run.
func (m *Matrix) summarize(x *target.Result) {
	killed, of := m.Killed()
	x.Add("mutants", int64(of))
	x.Add("mutants found", int64(killed))
	x.Add("median ms to find one", m.median().Milliseconds())
	for _, v := range m.Mutants {
		if v.Class == Equivalent && v.Wrong == "" {
			x.Add("equivalent ones that survive", 1)
		}
	}
	x.Add("sites switched off", int64(len(m.Sites)))
	x.Add("of those found", 0)
	x.Add("argued", 0)
	for _, v := range m.Sites {
		switch {
		case v.Argued != "":
			x.Add("argued", 1)
		case v.Wrong == "":
			x.Add("of those found", 1)
		}
	}
	x.LeftOut = append(x.LeftOut, m.Idle...)
	for _, name := range m.Unjudged {
		x.LeftOut = append(x.LeftOut, name+": no time, or no mode for it, in this run")
	}
	fail := func(what string) {
		x.Failures = append(x.Failures, target.Failure{
			What: what, Seed: m.Seed, Command: fmt.Sprintf("orbit-cli torture --modes mutants --seed %d", m.Seed),
		})
	}
	for _, what := range m.Failed {
		fail(what)
	}
	for _, v := range m.Wrong() {
		fail(fmt.Sprintf("mutant %s (%s): %s", v.Name, v.Breaks, v.Wrong))
	}
}

// Config says what to judge, and with what.
type Config struct {
	// Program is what Build built, Directory one that exists, for scratch.
	Program, Directory string
	Seed               uint64
	Mutants            []Mutant
	// Modes are those that exist. A mutant is held against those of its own that
	// do, and is unjudged if there are none.
	Modes []string
	// Quick gives each mode one small run.
	Quick bool
	// Ends bounds the run, if it is not zero: what is left then is unjudged.
	Ends time.Time
	// Progress is told what is judged next; it may be nil.
	Progress func(done, of int, what string)
}

// siteModes are what a site that is switched off is held against.
var siteModes = []string{Tests, "crash", "rot", "paths"}

// Run judges the mutants, and all sites that the modes meet.
func Run(ctx context.Context, c Config) (*Matrix, error) {
	started := time.Now()
	r := &runner{program: c.Program, dir: c.Directory, seed: c.Seed, quick: c.Quick}
	m := &Matrix{Seed: c.Seed}
	var err error
	if c.Progress != nil {
		c.Progress(0, len(c.Mutants), "the modes without a mutant")
	}
	if m.Modes, m.Failed, m.Idle, err = r.baseline(ctx, c.Modes); err != nil {
		return nil, err
	}
	c.Modes = m.Modes
	bySite := intersect(siteModes, c.Modes)
	var sites []string
	if len(bySite) > 0 {
		if sites, err = r.sites(ctx, bySite); err != nil {
			return nil, err
		}
	}
	m.Failed = append(m.Failed, void(sites)...)
	begin := func(done int, what string) (over bool) {
		if c.Progress != nil {
			c.Progress(done, len(c.Mutants)+len(sites), what)
		}
		return !c.Ends.IsZero() && time.Now().After(c.Ends)
	}
	for i, mutant := range c.Mutants {
		over := begin(i, mutant.Name)
		with, known := found(m.Mutants, mutant.With)
		if mutant.Class == Canary {
			mutant.Modes = slices.DeleteFunc(slices.Clone(c.Modes), func(mode string) bool { return mode == Tests })
		}
		mutant.Modes = intersect(mutant.Modes, c.Modes)
		if over || len(mutant.Modes) == 0 || mutant.With != "" && !known {
			m.Unjudged = append(m.Unjudged, mutant.Name)
			continue
		}
		var v Verdict
		if mutant.With != "" {
			v, err = r.harness(ctx, mutant, with)
		} else {
			v, err = r.mutant(ctx, mutant)
		}
		if err != nil {
			return nil, err
		}
		m.Mutants = append(m.Mutants, v)
	}
	for i, site := range sites {
		if begin(len(c.Mutants)+i, site) {
			m.Unjudged = append(m.Unjudged, site)
			continue
		}
		v, err := r.site(ctx, site, bySite)
		if err != nil {
			return nil, err
		}
		m.Sites = append(m.Sites, v)
	}
	m.Seconds = time.Since(started).Seconds()
	return m, nil
}

// void returns the arguments that are about none of the sites.
func void(sites []string) []string {
	var failed []string
	for about := range argued {
		if !slices.ContainsFunc(sites, func(s string) bool { return withoutLine(s) == about }) {
			failed = append(failed, "argued.go is about "+about+", which no mode meets")
		}
	}
	slices.Sort(failed)
	return failed
}

// found returns the verdict on a mutant that was found. One of the harness can
// only be noticed by a defect that is.
func found(verdicts []Verdict, name string) (Verdict, bool) {
	i := slices.IndexFunc(verdicts, func(v Verdict) bool { return v.Name == name && len(v.Found) > 0 })
	if i < 0 {
		return Verdict{}, false
	}
	return verdicts[i], true
}

// intersect returns those of a that are in b.
func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return !slices.Contains(b, x) })
}

// Write writes kill-matrix.md and kill-matrix.json into a directory.
func (m *Matrix) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kill-matrix.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kill-matrix.md"), []byte(m.Markdown()), 0o644)
}

// Markdown returns the matrix as tables.
func (m *Matrix) Markdown() string {
	var b strings.Builder
	killed, of := m.Killed()
	off, arguments := 0, 0
	for _, v := range m.Sites {
		switch {
		case v.Argued != "":
			arguments++
		case len(v.Found) > 0:
			off++
		}
	}
	fmt.Fprintf(&b, "# Kill matrix\n\n%d of %d seeded defects found, half of them within %.2f s each; %d of %d sites that were switched off, %d more may be; seed %d, %.0f s.\n",
		killed, of, m.median().Seconds(), off, len(m.Sites), arguments, m.Seed, m.Seconds)
	fmt.Fprintf(&b, "A cross is a mode that failed, a dot one that did not; a mutant is given to the next mode only if the one before did not find it. Runs are with seeds of their own.\n")
	for _, t := range []struct {
		title    string
		verdicts []Verdict
	}{{"Mutants", m.Mutants}, {"Sites switched off", m.Sites}} {
		fmt.Fprintf(&b, "\n## %s\n\n| class | mutant | breaks | %s | runs | s | how it was found |\n|---|---|---|%s---|---|---|\n", t.title, strings.Join(m.Modes, " | "), strings.Repeat("---|", len(m.Modes)))
		for _, v := range t.verdicts {
			fmt.Fprintf(&b, "| %s | %s | %s |", v.Class, v.Name, v.Breaks)
			for _, mode := range m.Modes {
				fmt.Fprintf(&b, " %s |", map[bool]string{true: "×", false: "·"}[slices.Contains(v.Found, mode)])
			}
			how := v.How
			if v.Wrong != "" {
				how = "**" + v.Wrong + "** " + how
			}
			fmt.Fprintf(&b, " %d | %.1f | %s |\n", v.Runs, v.Seconds, strings.ReplaceAll(how, "|", "\\|"))
		}
	}
	if arguments > 0 {
		b.WriteString("\n## Survivors, and why they may\n\n| site | argument |\n|---|---|\n")
		for _, v := range m.Sites {
			if v.Argued != "" {
				fmt.Fprintf(&b, "| %s | %s |\n", v.Name, v.Argued)
			}
		}
	}
	for _, what := range slices.Concat(m.Failed, m.Idle) {
		fmt.Fprintf(&b, "\n**%s.**\n", strings.ReplaceAll(what, "|", "\\|"))
	}
	if len(m.Unjudged) > 0 {
		fmt.Fprintf(&b, "\nNot judged, %d: %s.\n", len(m.Unjudged), strings.Join(m.Unjudged, ", "))
	}
	return b.String()
}
