package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// table has engines as columns, and groups of rows: one group for each kind of
// cell, one row for each metric.
type table struct {
	ID      string
	Title   string
	Intro   string
	Engines []engine
	Groups  []group
	// Limits tells whether the last column has the limits.
	Limits bool
}

// group is the rows of one workload.
type group struct {
	Name   string
	Detail string
	Rows   []row
	Limits []limit
}

// row is one metric of a workload.
type row struct {
	Metric string
	Title  string
	Cells  []cell // one for each engine
}

// cell is one figure.
type cell struct {
	Text  string
	Ratio string // to the best of the row, empty where there is nothing to compare
	Best  bool
	Title string
	// Note is the number of the error that the cell ended with, or 0. The error
	// holds for all rows of the group: Covered is set in those below the first.
	Note    int
	Covered bool
}

// metric reads one figure of a cell.
type metric struct {
	name, title string
	value       func(*result.Measurement) float64
	format      func(float64) string
	// more is set where a higher figure is better.
	more bool
	// zero is set where 0 is a figure, not the absence of one.
	zero bool
	// plain leaves out the comparison with the best of the row.
	plain bool
	// about adds what else is known of the figure.
	about func(*result.Measurement) string
}

var (
	p50 = metric{name: "p50", title: "half of the calls took at most this long, from the intended start",
		value: func(m *result.Measurement) float64 { return m.P50Ns }, format: duration, about: aboutLatency}
	p50ToLimit = metric{name: "÷ limit", title: "p50 as a multiple of the machine's limit",
		value: func(m *result.Measurement) float64 {
			if m.LimitNs <= 0 {
				return 0
			}
			return m.P50Ns / m.LimitNs
		}, format: times, plain: true}
	p99 = metric{name: "p99", title: "1 call in 100 took longer",
		value: func(m *result.Measurement) float64 { return m.P99Ns }, format: duration}
	p999 = metric{name: "p99.9", title: "1 call in 1,000 took longer",
		value: func(m *result.Measurement) float64 { return m.P999Ns }, format: duration}
	callP50 = metric{name: "call p50", title: "time of a call in the closed loop; there was no open loop",
		value: func(m *result.Measurement) float64 { return m.ServiceP50Ns }, format: duration}
	callP99 = metric{name: "call p99", title: "time of a call in the closed loop; there was no open loop",
		value: func(m *result.Measurement) float64 { return m.ServiceP99Ns }, format: duration}
	throughput = metric{name: "ops/s", title: "closed loop, all clients together, median of the rounds",
		value: func(m *result.Measurement) float64 { return m.OpsPerS }, format: rate, more: true, about: aboutRate}
	cpuPerOp = metric{name: "CPU/op", title: "CPU of the whole process, background work included",
		value: func(m *result.Measurement) float64 { return m.CPUNsPerOp }, format: duration}
	rss = metric{name: "memory", title: "resident memory after the cell, without the data set that it reads",
		value: func(m *result.Measurement) float64 { return float64(m.RSSBytes) }, format: byteSize}
	disk = metric{name: "disk", title: "what the store's directory occupies after the cell",
		value: func(m *result.Measurement) float64 { return float64(m.DiskBytes) }, format: byteSize, zero: true}
	writeAmp = metric{name: "write amp.", title: "bytes written to the device per byte of keys and values put",
		value: func(m *result.Measurement) float64 { return m.WriteAmp }, format: times, zero: true}
	stalls = metric{name: "stalls", title: "time in calls that took over 10 ms, closed loop",
		value: func(m *result.Measurement) float64 { return m.StallMs * 1e6 }, format: durationOrNone, zero: true}
)

func aboutLatency(m *result.Measurement) string {
	parts := []string{"mean " + duration(m.MeanNs)}
	if m.OpenRate > 0 {
		parts = append(parts, "offered "+rate(m.OpenRate))
	}
	if m.ServiceP50Ns > 0 {
		parts = append(parts, "call p50 "+duration(m.ServiceP50Ns)+", p99 "+duration(m.ServiceP99Ns)+" in the closed loop")
	}
	return strings.Join(parts, "; ")
}

func aboutRate(m *result.Measurement) string {
	if len(m.RoundOpsPerS) < 2 {
		return ""
	}
	return fmt.Sprintf("%d rounds, %s to %s", len(m.RoundOpsPerS), rate(slices.Min(m.RoundOpsPerS)), rate(slices.Max(m.RoundOpsPerS)))
}

// figure gives a metric of a cell, and whether there is one.
func (k *metric) figure(m *result.Measurement) (float64, bool) {
	if m == nil || m.Error != "" {
		return 0, false
	}
	x := k.value(m)
	return x, isFigure(x) && (x > 0 || k.zero)
}

// best is the best figure of a series, 0 if fewer than two can be compared. A
// zero, such as the disk that a store in memory needs, is beyond comparison.
func (k *metric) best(s *series) float64 {
	best, n := 0.0, 0
	for _, m := range s.by {
		x, ok := k.figure(m)
		if !ok || x == 0 {
			continue
		}
		n++
		if best == 0 || (k.more && x > best) || (!k.more && x < best) {
			best = x
		}
	}
	if n < 2 || k.plain {
		return 0
	}
	return best
}

// group makes the rows of a series. Metrics that no engine has are left out.
func (v *view) group(s *series, name, detail string, engines []engine, metrics []metric) group {
	g := group{Name: name, Detail: detail, Limits: s.limits()}
	for i := range metrics {
		k := &metrics[i]
		found := false
		for _, m := range s.by {
			_, ok := k.figure(m)
			found = found || ok
		}
		if found {
			g.Rows = append(g.Rows, v.row(s, k, engines, len(g.Rows) == 0))
		}
	}
	if len(g.Rows) == 0 && len(metrics) > 0 { // all failed
		g.Rows = append(g.Rows, v.row(s, &metrics[0], engines, true))
	}
	return g
}

func (v *view) row(s *series, k *metric, engines []engine, first bool) row {
	r := row{Metric: k.name, Title: k.title}
	best := k.best(s)
	for _, e := range engines {
		m := s.by[e.Name]
		x, ok := k.figure(m)
		switch {
		case m == nil:
			r.Cells = append(r.Cells, cell{Text: none, Title: "not measured in this run"})
		case m.Error != "" && first:
			r.Cells = append(r.Cells, cell{Text: shortError(m.Error), Title: oneLine(m.Error), Note: v.errors.number(m)})
		case m.Error != "":
			r.Cells = append(r.Cells, cell{Covered: true})
		case !ok:
			r.Cells = append(r.Cells, cell{Text: none, Title: "no figure for this cell"})
		default:
			c := cell{Text: k.format(x)}
			if best > 0 && x > 0 {
				c.Ratio, c.Best = times(x/best), math.Abs(x-best) < 1e-9*best
			}
			if k.about != nil {
				c.Title = k.about(m)
			} else if first {
				c.Title = oneLine(m.Note)
			}
			r.Cells = append(r.Cells, c)
		}
	}
	return r
}
