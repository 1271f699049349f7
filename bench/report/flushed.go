package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/orbit-persistence/orbit/bench/result"
)

// flushedPlots set the rate of flushed puts against R, the rate at which the
// device flushes, by the number of clients; one plot for each data set.
func (v *view) flushedPlots() []*plot {
	var rates []float64 // R before and after
	for _, l := range []*result.Limits{v.run.LimitsBefore, v.run.LimitsAfter} {
		if l != nil && l.FlushNs > 0 && isFigure(perSecond(l.FlushNs)) {
			rates = append(rates, perSecond(l.FlushNs))
		}
	}
	if len(rates) == 0 {
		return nil
	}
	var out []*plot
	for _, data := range v.data {
		ss := seriesOf(v.cells(func(m *result.Measurement) bool {
			return m.Data == data && m.Workload == "put" && m.Durability == "flushed" && m.Error == "" && m.OpsPerS > 0 && isFigure(m.OpsPerS)
		}))
		// Where there are several sizes, the smallest stands for them.
		ss = slices.CompactFunc(ss, func(a, b *series) bool { return a.clients == b.clients })
		if len(ss) > 0 {
			out = append(out, v.flushedPlot(data, ss, rates))
		}
	}
	return out
}

func (v *view) flushedPlot(data string, ss []*series, rates []float64) *plot {
	p := &plot{
		title: "Flushed puts against the flush rate R", detail: data + ": operations a second by clients; R before and after the run bounds the band",
		file: fileName("flushed-put", data), data: data, class: "flushed", width: 640, height: 360,
	}
	const left, top = 58.0, 54.0
	right, bottom := p.width-112, p.height-46

	values := slices.Clone(rates)
	for _, s := range ss {
		for _, m := range s.by {
			values = append(values, m.OpsPerS)
		}
	}
	y := newLogScale(values, bottom, top)
	// Clients double from tick to tick; a single one stands in the middle.
	low, high := float64(ss[0].clients), float64(ss[len(ss)-1].clients)
	x := func(clients int) float64 {
		if high <= low || low < 1 {
			return (left + right) / 2
		}
		const inset = 26
		return left + inset + math.Log(float64(clients)/low)/math.Log(high/low)*(right-left-2*inset)
	}

	p.head()
	p.logAxis(y, left, right, rate)
	for _, s := range ss {
		p.line(x(s.clients), top, x(s.clients), bottom, "gr")
		p.text(x(s.clients), bottom+18, "dim s", "middle", count(int64(s.clients)))
	}
	p.text((left+right)/2, bottom+36, "dim s", "middle", "clients")
	p.line(left, bottom, right, bottom, "ax")

	lowR, highR := slices.Min(rates), slices.Max(rates)
	if d := y.at(lowR) - y.at(highR); d > 0.5 {
		p.rect(left, y.at(highR), right-left, d, "band")
	}
	p.line(left, y.at(rates[0]), right, y.at(rates[0]), "lim")

	labels := []label{{want: y.at(rates[0]), x: right, text: "R = " + rate(rates[0])}}
	for _, e := range v.among(ss) {
		var points [][2]float64
		text := e.Title + ":"
		for _, s := range ss {
			if m := s.by[e.Name]; m != nil {
				points = append(points, [2]float64{x(s.clients), y.at(m.OpsPerS)})
				text += fmt.Sprintf(" %s at %s (%s R)", rate(m.OpsPerS), plural(s.clients, "client"), times(m.OpsPerS/rates[0]))
			}
		}
		p.begin(e, text)
		if len(points) > 1 {
			p.path(points, "ln")
		}
		for _, at := range points {
			p.mark(e, at[0], at[1])
		}
		p.end()
		last := points[len(points)-1]
		labels = append(labels, label{want: last[1], x: last[0], e: &e, text: e.Title})
	}
	p.labels(labels, top, bottom, right)
	return p
}
