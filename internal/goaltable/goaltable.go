// Command goaltable reads what `go test -bench -count=N` prints of tables, migration and
// backup, and prints the medians beside their goals, in Markdown; `make bench-operations`
// does both.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/orbit-persistence/orbit/internal/gobench"
)

func main() {
	text, err := report(os.Stdin, goals)
	if err != nil {
		fmt.Fprintln(os.Stderr, "goaltable:", err)
		os.Exit(1)
	}
	fmt.Print(text)
}

// goal is what a metric of a benchmark is to reach.
type goal struct {
	what      string
	benchmark string // the package's name, a space, the benchmark's
	unit      string
	least     float64 // 0: there is most
	most      float64
	// scale and shown are how the metric is shown.
	scale float64
	shown string
}

var goals = []goal{
	{what: "table: insert, lsm_tree, memory class, batches of 100 rows of 5 columns with one index", benchmark: "table Insert/provider=lsm_tree", unit: "rows/s", least: 100_000, shown: "rows/s"},
	{what: "table: select of one row by its key, of 1,000,000, p50", benchmark: "table Select/by=key/provider=lsm_tree", unit: "p50-ns", most: 6_000, scale: 1e-3, shown: "µs"},
	{what: "table: select of ten rows by an index, of 1,000,000, p50", benchmark: "table Select/by=index/provider=lsm_tree", unit: "p50-ns", most: 100_000, scale: 1e-3, shown: "µs"},
	{what: "migrate memory to lsm_tree, flushed, 1,000,000 entries, validated", benchmark: "migrate Migrate/validated=true", unit: "entries/s", least: 200_000, shown: "entries/s"},
	{what: "export of Debian's Contents index from lsm_tree", benchmark: "migrate Contents/export", unit: "entries/s", least: 150_000, shown: "entries/s"},
	{what: "import of it into lsm_tree, flushed, validated", benchmark: "migrate Contents/import", unit: "entries/s", least: 150_000, shown: "entries/s"},
	{what: "the same, the largest heap; the bound is our own", benchmark: "migrate Contents/import", unit: "heap-MiB", most: 256, shown: "MiB"},
	{what: "puts that are left while a base is taken of a store under load", benchmark: "backup Backup", unit: "puts-left", least: 0.8, shown: "×"},
	{what: "restore, beside the device's sequential bandwidth", benchmark: "backup Backup", unit: "restore/sequential", least: 0.5, shown: "×"},
}

func report(from io.Reader, goals []goal) (string, error) {
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
	text := `# Tables, migration and backup

Medians of the runs, and their range. Repeat them by ` + "`make bench-operations`" + ` on a machine
that does nothing else.

| what | goal | median | from | to | runs | |
|---|--:|--:|--:|--:|--:|---|
`
	for _, g := range goals {
		all := found[g.benchmark+" "+g.unit]
		if len(all) == 0 {
			return "", fmt.Errorf("there is no %s of %s", g.unit, g.benchmark)
		}
		median := gobench.Median(all)
		bound, met := "≥ "+g.show(g.least), median >= g.least
		if g.most > 0 {
			bound, met = "≤ "+g.show(g.most), median <= g.most
		}
		verdict := "✓"
		if !met {
			verdict = "✗ missed"
		}
		text += fmt.Sprintf("| %s | %s %s | %s | %s | %s | %d | %s |\n", g.what, bound, g.shown, g.show(median), g.show(slices.Min(all)), g.show(slices.Max(all)), len(all), verdict)
	}
	return text, nil
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
