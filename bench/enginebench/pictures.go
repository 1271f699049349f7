package enginebench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench/report"
)

// Pictures draws the result: the goals, and the cost as the store grows. The keys
// are names of files.
func (r *Result) Pictures() map[string][]byte {
	files := map[string][]byte{}
	if slices.ContainsFunc(r.Goals, func(o Outcome) bool { return o.Measured != nil }) {
		files[r.Suite+"-goals.svg"] = r.gauges().SVG()
	}
	if len(r.Growth) > 0 {
		files[r.Suite+"-growth.svg"] = r.lines().SVG()
	}
	return files
}

func (r *Result) gauges() report.Gauges {
	g := report.Gauges{Title: "Goals of " + r.Engine, Detail: "each figure as a share of its bound, the dashed line; to the right of it the goal is missed"}
	if r.Quick {
		g.Detail = "A QUICK RUN, not for figures; " + g.Detail
	}
	for _, o := range r.Goals {
		g.Rows = append(g.Rows, report.Gauge{Text: o.text(), Value: o.measured() + ", " + o.bound(), Share: o.share()})
	}
	return g
}

// share is the measured figure's part of the bound, the other way round where
// more is better; 0 if nothing was measured. What is far within the bound counts
// as a hundredth of it.
func (o *Outcome) share() float64 {
	const least = 0.01
	switch {
	case o.Measured == nil:
		return 0
	case o.Most > 0:
		return max(*o.Measured/o.Most, least)
	case *o.Measured <= 0:
		return 1 / least
	}
	return max(o.Least / *o.Measured, least)
}

// unitNs is how many ns a unit of time is.
var unitNs = map[string]float64{"ns": 1, "µs": 1e3, "ms": 1e6}

func (r *Result) lines() report.Lines {
	l := report.Lines{Title: "Cost as the store grows", Detail: "times by the number of records of 116 bytes; both axes logarithmic"}
	if r.Quick {
		l.Detail = "A QUICK RUN, not for figures; " + l.Detail
	}
	for _, name := range growthNames {
		panel := report.LinesPanel{Title: strings.ToUpper(name[:1]) + name[1:]}
		for _, c := range r.Growth {
			if c.Name != name {
				continue
			}
			line := report.Line{Engine: c.Engine}
			if c.Bound > 0 {
				panel.Bound, panel.BoundText = c.Bound*unitNs[c.Unit], fmt.Sprintf("goal %g %s", c.Bound, c.Unit)
			}
			for _, at := range c.Points {
				line.Points = append(line.Points, [2]float64{at[0], at[1] * unitNs[c.Unit]})
			}
			panel.Lines = append(panel.Lines, line)
		}
		l.Panels = append(l.Panels, panel)
	}
	return l
}
