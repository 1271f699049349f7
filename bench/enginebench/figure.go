package enginebench

import (
	"fmt"
	"slices"
)

// Figure is one figure of the result, over all rounds.
type Figure struct {
	// Section is the table it stands in, Name the row, Engine the column: the name
	// of an engine, or Machine.
	Section string `json:"section"`
	Name    string `json:"name"`
	Engine  string `json:"engine"`
	Unit    string `json:"unit"`
	// Median is that of Rounds.
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
}

// Machine is the Engine of what the machine does at its best.
const Machine = "machine"

// Result is what a run measured.
type Result struct {
	// Suite is what the files are named after, Title the heading of the table.
	Suite   string `json:"suite"`
	Title   string `json:"title"`
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	Started string `json:"started"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
	Rounds  int     `json:"rounds"`
	Quick   bool    `json:"quick,omitempty"`
	// Interrupted tells that a signal ended it before everything was measured.
	Interrupted bool `json:"interrupted,omitempty"`
	// Engine is what the goals are for, Peers what stands beside it; Versions are
	// of both.
	Engine   string            `json:"engine"`
	Peers    []string          `json:"peers"`
	Versions map[string]string `json:"versions"`
	Goals    []Outcome         `json:"goals"`
	Figures  []*Figure         `json:"figures"`
	// Growth are the figures over the number of records.
	Growth []Curve `json:"growth,omitempty"`
	// LeftOut names what was not measured, and why; Notes say how what was
	// measured was.
	LeftOut []string `json:"left_out,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// Curve is one figure of one engine over the number of records: pairs of records
// and the median.
type Curve struct {
	Name   string       `json:"name"`
	Unit   string       `json:"unit"`
	Engine string       `json:"engine"`
	Points [][2]float64 `json:"points"`
	// Bound is what the goal asks, in Unit; 0 for none.
	Bound float64 `json:"bound,omitempty"`
}

// add adds a round to a figure, which it makes if it is the first.
func (r *Result) add(section, name, engine, unit string, value float64) {
	f := r.find(name, engine)
	if f == nil {
		f = &Figure{Section: section, Name: name, Engine: engine, Unit: unit}
		r.Figures = append(r.Figures, f)
	}
	f.Rounds = append(f.Rounds, value)
	f.Median = median(f.Rounds)
}

// find returns a figure, nil if it was not measured.
func (r *Result) find(name, engine string) *Figure {
	i := slices.IndexFunc(r.Figures, func(f *Figure) bool { return f.Name == name && f.Engine == engine })
	if i < 0 {
		return nil
	}
	return r.Figures[i]
}

// leaveOut records what was not measured, once.
func (r *Result) leaveOut(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(r.LeftOut, what) {
		r.LeftOut = append(r.LeftOut, what)
	}
}

func (r *Result) note(format string, args ...any) {
	if what := fmt.Sprintf(format, args...); !slices.Contains(r.Notes, what) {
		r.Notes = append(r.Notes, what)
	}
}

// median of an even number is the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
