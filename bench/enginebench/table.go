package enginebench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Write prints the result in Markdown: the goals first, then every figure with
// the engines side by side.
func (r *Result) Write(w io.Writer) {
	fmt.Fprintf(w, "# %s\n\n", r.Title)
	if r.Quick {
		fmt.Fprintf(w, "**A quick run: sizes and times are far below those of the goals, and so its figures say little.**\n\n")
	}
	fmt.Fprintf(w, "Commit %s, %s, %.0f s; %s. Uniform records of 16 B and 100 B where nothing else is said.\n", r.Commit, r.Started, r.Seconds, r.Machine)
	fmt.Fprintf(w, "A figure is the median of up to %d rounds, in which the engines take turns; behind it stands its range. A ratio is the median of the rounds' ratios. Latencies of the bench's cells are of its open loop, all rounds together.\n", r.Rounds)
	r.writeLeftOut(w)
	r.writeGoals(w)
	for _, section := range r.sectionNames() {
		r.writeFigures(w, section)
	}
	fmt.Fprintf(w, "\n## Engines\n\n| | |\n|---|---|\n")
	for _, name := range append([]string{r.Engine}, r.Peers...) {
		fmt.Fprintf(w, "| %s | %s |\n", name, cmp.Or(r.Versions[name], "not measured"))
	}
	if len(r.Notes) > 0 {
		fmt.Fprintf(w, "\n## Notes\n\n")
		for _, note := range r.Notes {
			fmt.Fprintf(w, "- %s\n", note)
		}
	}
}

func (r *Result) writeLeftOut(w io.Writer) {
	for _, what := range r.LeftOut {
		fmt.Fprintf(w, "\n**LEFT OUT: %s**\n", what)
	}
}

func (r *Result) writeGoals(w io.Writer) {
	met, missed := 0, 0
	for _, o := range r.Goals {
		switch {
		case o.Met:
			met++
		case o.Measured != nil:
			missed++
		}
	}
	fmt.Fprintf(w, "\n## Goals of %s: %d met, %d missed, %d not measured\n\n", r.Engine, met, missed, len(r.Goals)-met-missed)
	fmt.Fprintf(w, "| | figure | goal | measured | |\n|---|---|--:|--:|---|\n")
	before := ""
	for _, o := range r.Goals {
		section := o.Section
		if section == before {
			section = ""
		}
		before = o.Section
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", section, o.text(), o.bound(), o.measured(), o.verdict())
	}
}

func (o *Outcome) text() string {
	if o.Against == "" {
		return o.Text
	}
	return o.Text + " (" + o.Against + ")"
}

func (o *Outcome) bound() string {
	if o.Most > 0 {
		return "≤ " + withUnit(o.Most, o.Unit)
	}
	return "≥ " + withUnit(o.Least, o.Unit)
}

func (o *Outcome) measured() string {
	if o.Measured == nil {
		return "—"
	}
	return withUnit(*o.Measured, o.Unit)
}

func (o *Outcome) verdict() string {
	switch {
	case o.Measured == nil:
		return "not measured: " + o.Why
	case o.Met:
		return "met"
	}
	return "✗ missed"
}

func withUnit(v float64, unit string) string {
	switch unit {
	case "":
		return short(v)
	case "×":
		return short(v) + "×"
	}
	return short(v) + " " + unit
}

func (r *Result) sectionNames() []string {
	var names []string
	for _, f := range r.Figures {
		if !slices.Contains(names, f.Section) {
			names = append(names, f.Section)
		}
	}
	return names
}

func (r *Result) writeFigures(w io.Writer, section string) {
	var rows, columns []string
	units := map[string]string{}
	for _, name := range append(append([]string{r.Engine}, r.Peers...), Machine) {
		if slices.ContainsFunc(r.Figures, func(f *Figure) bool { return f.Section == section && f.Engine == name }) {
			columns = append(columns, name)
		}
	}
	for _, f := range r.Figures {
		if f.Section == section && !slices.Contains(rows, f.Name) {
			rows = append(rows, f.Name)
			units[f.Name] = f.Unit
		}
	}
	// What is measured over sizes stands together.
	slices.SortStableFunc(rows, func(a, b string) int { return cmp.Compare(growthIndex(a), growthIndex(b)) })
	fmt.Fprintf(w, "\n## %s\n\n| | unit | %s |\n|---|---|%s\n", section, strings.Join(columns, " | "), strings.Repeat("--:|", len(columns)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s | %s |", row, units[row])
		for _, column := range columns {
			fmt.Fprintf(w, " %s |", r.find(row, column).cell())
		}
		fmt.Fprintln(w)
	}
}

// growthIndex is the place of a figure's name among growthNames, -1 if it is none
// of them.
func growthIndex(row string) int {
	return slices.IndexFunc(growthNames, func(name string) bool { return strings.HasPrefix(row, name+" at ") })
}

// cell returns a figure as it stands in a table.
func (f *Figure) cell() string {
	if f == nil {
		return ""
	}
	if len(f.Rounds) == 1 {
		return short(f.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", short(f.Median), short(slices.Min(f.Rounds)), short(slices.Max(f.Rounds)))
}

// short returns three digits that count, and all of a larger whole number.
func short(v float64) string {
	switch size := math.Abs(v); {
	case size >= 100:
		return thousands(int(math.Round(v)))
	case size >= 10:
		return fmt.Sprintf("%.1f", v)
	case size >= 0.1 || size == 0:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.4f", v)
}

// thousands writes a number with a comma between groups of three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	first := 1
	if n < 0 {
		first = 2
	}
	for i := len(s) - 3; i >= first; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
