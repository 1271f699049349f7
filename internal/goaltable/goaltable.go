// Command goaltable reads what `go test -bench -count=N` prints of the benchmarks of a report,
// and prints the medians beside their goals, in Markdown; `make bench-operations` and `make
// bench-flash` do both.
package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/internal/gobench"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "goaltable:", err)
		os.Exit(1)
	}
}

func run(args []string, from io.Reader, to io.Writer) error {
	names := strings.Join(slices.Sorted(maps.Keys(reports)), "|")
	if len(args) != 1 {
		return fmt.Errorf("usage: goaltable %s", names)
	}
	r, ok := reports[args[0]]
	if !ok {
		return fmt.Errorf("there is no report %q, but %s", args[0], names)
	}
	text, err := r.write(from)
	if err == nil {
		_, err = io.WriteString(to, text)
	}
	return err
}

// report is a table of goals.
type report struct {
	title   string
	command string
	notes   string // behind the table, if not empty
	goals   []goal
}

// goal is what a metric of a benchmark is to reach.
type goal struct {
	what      string
	benchmark string // the package's name, a space, the benchmark's
	unit      string
	least     float64 // 0: there is most, or no goal
	most      float64
	// scale and shown are how the metric is shown.
	scale float64
	shown string
}

func (rep *report) write(from io.Reader) (string, error) {
	results, err := gobench.Read(from)
	if err != nil {
		return "", err
	}
	found := map[string][]float64{} // by benchmark and unit
	for _, r := range results {
		for unit, v := range r.Values {
			key := r.Package + " " + r.Name + " " + unit
			found[key] = append(found[key], v)
		}
	}
	text := "# " + rep.title + `

Medians of the runs, and their range. Repeat them by ` + "`" + rep.command + "`" + ` on a machine
that does nothing else.

| what | goal | median | from | to | runs | |
|---|--:|--:|--:|--:|--:|---|
`
	for _, g := range rep.goals {
		all := found[g.benchmark+" "+g.unit]
		if len(all) == 0 {
			return "", fmt.Errorf("there is no %s of %s", g.unit, g.benchmark)
		}
		median := gobench.Median(all)
		bound, verdict := g.judge(median)
		text += fmt.Sprintf("| %s | %s | %s | %s | %s | %d | %s |\n", g.what, bound, g.show(median), g.show(slices.Min(all)), g.show(slices.Max(all)), len(all), verdict)
	}
	if rep.notes != "" {
		text += "\n" + rep.notes
	}
	return text, nil
}

// judge writes the goal with its unit, and whether a value reaches it; where there is none the
// unit stands alone.
func (g *goal) judge(v float64) (bound, verdict string) {
	sign, limit, met := "≥", g.least, v >= g.least
	if g.most > 0 {
		sign, limit, met = "≤", g.most, v <= g.most
	}
	switch {
	case limit == 0 && g.shown == "":
		return "none", ""
	case limit == 0:
		return "none, in " + g.shown, ""
	case met:
		verdict = "✓"
	default:
		verdict = "✗ missed"
	}
	return strings.TrimSpace(sign + " " + g.show(limit) + " " + g.shown), verdict
}

// show writes a value in the unit that is shown, with a separator between thousands.
func (g *goal) show(v float64) string {
	if g.scale != 0 {
		v *= g.scale
	}
	if v < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}
