package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// report is what a run found out: the file of --json, and the summary.
type report struct {
	Started  time.Time     `json:"started"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Seed     uint64        `json:"seed"`
	Budget   time.Duration `json:"budget_ns"`
	Commit   string        `json:"commit"`
	Versions string        `json:"go"`
	Host     string        `json:"host"`
	Cores    int           `json:"cores"`

	Results []outcome `json:"results"`
	// LeftOut says what was not run, and why, beside what the results leave out.
	LeftOut []string `json:"left_out,omitempty"`
	// about says what the modes do.
	about map[string]string
	// Kept is the directory with what modes left of failures, "" if they left
	// nothing.
	Kept string `json:"kept,omitempty"`
}

// outcome is the result of one mode on one engine.
type outcome struct {
	target.Result
	// Error says why the mode could not do its work; "" if it could.
	Error string `json:"error,omitempty"`
}

// verdict is one word or two for a table.
func (o outcome) verdict() string {
	switch {
	case o.Error != "":
		return "NOT RUN"
	case len(o.Failures) > 0:
		return fmt.Sprintf("%d FAILED", len(o.Failures))
	case o.nothing():
		return "LEFT OUT"
	case len(o.Observed) > 0:
		return fmt.Sprintf("%d observed", len(o.Observed))
	}
	return "ok"
}

// nothing reports whether the mode counted nothing: that is no success.
func (o outcome) nothing() bool {
	return !slices.ContainsFunc(o.Counts, func(c target.Count) bool { return c.N > 0 })
}

func newReport(c *Command) *report {
	return &report{
		Started: time.Now().UTC(), about: make(map[string]string), Seed: c.Seed, Budget: c.Budget, Commit: commit(),
		Versions: runtime.Version(), Host: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU(),
	}
}

// Commit names the source that was built; the Makefile sets it.
var Commit string

// commit names the source of this program, as far as the build knows it.
func commit() string {
	if Commit != "" {
		return Commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = ", with changes"
		}
	}
	return revision + dirty
}

func (r *report) note(format string, args ...any) {
	r.LeftOut = append(r.LeftOut, fmt.Sprintf(format, args...))
}

// failed reports whether a promise was broken, or the harness could not look.
func (r *report) failed() bool {
	return slices.ContainsFunc(r.Results, func(o outcome) bool { return o.Error != "" || len(o.Failures) > 0 })
}

func (r *report) writeJSON(name string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(data, '\n'), 0o644)
}

// print writes the summary, and each failure with what it takes to replay it.
func (r *report) print(w io.Writer) error {
	var b strings.Builder
	amount := "a fixed amount of work"
	if r.Budget > 0 {
		amount = fmt.Sprintf("a budget of %s", r.Budget)
	}
	fmt.Fprintf(&b, "\nTorture: seed %d, %s; commit %s, %s on %s with %d cores; %s in all\n",
		r.Seed, amount, r.Commit, r.Versions, r.Host, r.Cores, short(r.Elapsed))
	for _, mode := range r.modes() {
		r.printMode(&b, mode)
	}
	r.printTotals(&b)
	for _, x := range r.Results {
		for _, o := range x.Observed {
			fmt.Fprintf(&b, "\nOBSERVED, not judged: %s of %s\n%s\n", x.Mode, x.Engine, indented(shortened(o)))
		}
	}
	left := slices.Clone(r.LeftOut)
	for _, x := range r.Results {
		for _, l := range x.LeftOut {
			left = append(left, fmt.Sprintf("%s of %s: %s", x.Mode, x.Engine, l))
		}
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, "\nNOT VERIFIED HERE, %d left out:\n", len(left))
		for _, l := range left {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	for _, x := range r.Results {
		if x.Error != "" {
			fmt.Fprintf(&b, "\nTHE HARNESS COULD NOT WORK: %s of %s: %s\n", x.Mode, x.Engine, x.Error)
		}
	}
	for _, x := range r.Results {
		for _, f := range x.Failures {
			printFailure(&b, x.Result, f)
		}
	}
	if r.Kept != "" {
		fmt.Fprintf(&b, "\nWhat failures left is in %s\n", r.Kept)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// modes are those of the results, in their order.
func (r *report) modes() []string {
	var names []string
	for _, x := range r.Results {
		if !slices.Contains(names, x.Mode) {
			names = append(names, x.Mode)
		}
	}
	return names
}

// printMode writes what one mode found, an engine a line.
func (r *report) printMode(b *strings.Builder, mode string) {
	fmt.Fprintf(b, "\n%s", mode)
	if about := r.about[mode]; about != "" {
		fmt.Fprintf(b, ": %s", about)
	}
	b.WriteByte('\n')
	var of []outcome
	var names target.Result // every count that an engine has
	for _, x := range r.Results {
		if x.Mode != mode {
			continue
		}
		of = append(of, x)
		for _, c := range x.Counts {
			names.Add(c.Name, c.N)
		}
	}
	rows := [][]string{{"engine", "verdict", "time"}}
	for _, c := range names.Counts {
		rows[0] = append(rows[0], c.Name)
	}
	for _, x := range of {
		row := []string{x.Engine, x.verdict(), short(x.Elapsed)}
		for _, c := range names.Counts {
			cell := "-" // it does not count that
			if slices.ContainsFunc(x.Counts, func(own target.Count) bool { return own.Name == c.Name }) {
				cell = grouped(x.Get(c.Name))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	writeTable(b, "  ", 2, rows)
	for _, x := range of {
		for _, t := range x.Tables {
			fmt.Fprintf(b, "\n  %s, %s:\n", x.Engine, t.Title)
			writeTable(b, "    ", 1, append([][]string{t.Columns}, t.Rows...))
		}
	}
}

// printTotals writes the sums over all engines, and how many results there are of
// each kind.
func (r *report) printTotals(b *strings.Builder) {
	var ok, failed, broken, nothing int
	for _, x := range r.Results {
		switch {
		case x.Error != "":
			broken++
		case len(x.Failures) > 0:
			failed++
		case x.nothing():
			nothing++
		default:
			ok++
		}
	}
	fmt.Fprintf(b, "\nIn all: %d of %d passed, %d failed, %d could not be run, %d left out as a whole\n", ok, len(r.Results), failed, broken, nothing)
	for _, c := range r.totals() {
		fmt.Fprintf(b, "  %15s  %s\n", grouped(c.N), c.Name)
	}
}

// short writes a time as a person would: "1.3s", "12m30s".
func short(d time.Duration) string {
	if d < 100*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func printFailure(b *strings.Builder, x target.Result, f target.Failure) {
	fmt.Fprintf(b, "\nFAILED: %s of %s, seed %d\n%s\n", x.Mode, x.Engine, f.Seed, indented(f.What))
	if f.Workload != "" {
		fmt.Fprintf(b, "  workload:\n%s\n", indented(f.Workload))
	}
	if f.Trace != "" {
		fmt.Fprintf(b, "  trace:\n%s\n", indented(f.Trace))
	}
	if f.Command != "" {
		fmt.Fprintf(b, "  replay: %s\n", f.Command)
	}
}

// shortened cuts what is observed to some lines; --json has all.
func shortened(text string) string {
	const most = 12
	lines := strings.SplitAfter(text, "\n")
	if len(lines) <= most {
		return text
	}
	return strings.Join(lines[:most], "") + fmt.Sprintf("… and %d lines, which --json has", len(lines)-most)
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// totals sums the counts by name, in the order in which they first appear.
func (r *report) totals() []target.Count {
	var sum target.Result
	for _, x := range r.Results {
		for _, c := range x.Counts {
			sum.Add(c.Name, c.N)
		}
	}
	return sum.Counts
}

// grouped writes a number with its digits in threes: 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
