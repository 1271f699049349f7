package result

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
)

// Ratio is the rate of one engine over that of another in one cell, in each of
// several runs.
type Ratio struct {
	Engine, Over     string
	Workload, Data   string
	Durability       string
	Clients          int
	Values           []float64 // one for each run, in the order of the runs
	Median, Farthest float64   // Farthest is the largest distance from the median, as a share of it
}

// Ratios returns the ratios of all pairs of engines in all cells that every run
// has figures for, those that moved the most first.
func Ratios(runs []*Result) []Ratio {
	if len(runs) == 0 {
		return nil
	}
	var all []Ratio
	first := runs[0].Measurements
	for i, a := range first {
		for _, b := range first[i+1:] {
			if a.Engine == b.Engine || a.Workload != b.Workload || a.Data != b.Data || a.Clients != b.Clients || a.Durability != b.Durability {
				continue
			}
			r := Ratio{Engine: a.Engine, Over: b.Engine, Workload: a.Workload, Data: a.Data, Durability: a.Durability, Clients: a.Clients}
			for _, run := range runs {
				x := run.Find(a.Engine, a.Workload, a.Data, a.Durability, a.Clients)
				y := run.Find(b.Engine, b.Workload, b.Data, b.Durability, b.Clients)
				if x == nil || y == nil || x.OpsPerS <= 0 || y.OpsPerS <= 0 {
					break
				}
				r.Values = append(r.Values, x.OpsPerS/y.OpsPerS)
			}
			if len(r.Values) < len(runs) {
				continue
			}
			sorted := slices.Sorted(slices.Values(r.Values))
			r.Median = sorted[len(sorted)/2]
			for _, v := range r.Values {
				r.Farthest = max(r.Farthest, math.Abs(v/r.Median-1))
			}
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b Ratio) int { return cmp.Compare(b.Farthest, a.Farthest) })
	return all
}

// WriteSpread writes how far the ratios between engines moved between runs: a
// summary as Markdown, and those that moved by more than limit.
func WriteSpread(w io.Writer, runs []*Result, limit float64) error {
	all := Ratios(runs)
	if len(all) == 0 {
		_, err := fmt.Fprintf(w, "no cell has figures of two engines in all of %d runs\n", len(runs))
		return err
	}
	over := 0
	for _, r := range all {
		if r.Farthest > limit {
			over++
		}
	}
	at := func(share float64) float64 { return 100 * all[int(share*float64(len(all)-1))].Farthest }
	_, err := fmt.Fprintf(w, "%d ratios between two engines, %d runs. A ratio moves from its median by %.1f %% in the median, %.1f %% at the 90th percentile, %.1f %% at most; %d (%.1f %%) move by more than %.0f %%.\n",
		len(all), len(runs), at(.5), at(.1), at(0), over, 100*float64(over)/float64(len(all)), 100*limit)
	if err != nil || over == 0 {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n| data | workload | class | clients | ratio | median | runs | moved |\n|---|---|---|---|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, r := range all[:over] {
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %d | %s / %s | %.3g | %.3g | %.0f %% |\n", r.Data, r.Workload, r.Durability, r.Clients, r.Engine, r.Over, r.Median, r.Values, 100*r.Farthest); err != nil {
			return err
		}
	}
	return nil
}
