package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// curveTicks are the quantiles that are marked.
var curveTicks = []struct {
	q    float64
	text string
}{{0.5, "50%"}, {0.9, "90%"}, {0.99, "99%"}, {0.999, "99.9%"}, {0.9999, "99.99%"}, {0.99999, "99.999%"}}

// nines is a quantile's place on the axis: 0.9 at 1, 0.99 at 2, and so on.
func nines(q float64) float64 { return -math.Log10(1 - q) }

// curve is the points of a measured curve that can be drawn: the place of the
// quantile and the latency in ns, ascending.
func curve(m *result.Measurement) [][2]float64 {
	var out [][2]float64
	last := math.Inf(-1)
	for _, at := range m.Curve {
		// The largest quantile, 1, has no place on the axis.
		if q := at[0]; q >= 0 && q < 1 && at[1] > 0 && isFigure(at[1]) && nines(q) > last {
			last = nines(q)
			out = append(out, [2]float64{last, at[1]})
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// curvePlots are the latency curves, one plot for each kind of cell.
func (v *view) curvePlots() []*plot {
	var out []*plot
	all := seriesOf(v.cells(func(m *result.Measurement) bool { return m.Error == "" && len(curve(m)) > 0 }))
	for i, s := range all {
		later := i > 0 && all[i-1].workload == s.workload && all[i-1].data == s.data && all[i-1].class == s.class
		out = append(out, v.curvePlot(s, later))
	}
	return out
}

func (v *view) curvePlot(s *series, later bool) *plot {
	p := &plot{
		title: s.workload, detail: s.data + ", " + classHead(s.class) + ", " + s.detail() + ": latency by share of calls",
		file: fileName("latency", s.data, s.workload, classHead(s.class), plural(s.clients, "client"), sizePart(s)),
		data: s.data, class: s.class, later: later, width: 640, height: 360,
	}
	if s.class == "-" {
		p.detail = s.data + ", " + s.detail() + ": latency by share of calls"
	}
	const left, top = 58.0, 54.0
	right, bottom := p.width-112, p.height-34

	var latencies []float64
	far := nines(0.999)
	for _, m := range s.by {
		c := curve(m)
		far = max(far, c[len(c)-1][0])
		for _, at := range c {
			latencies = append(latencies, at[1])
		}
	}
	far = min(far, nines(0.99999))
	limits := s.limits()
	for _, l := range limits {
		latencies = append(latencies, l.Ns)
	}
	y := newLogScale(latencies, bottom, top)
	x := func(n float64) float64 { return left + min(n, far)/far*(right-left) }

	p.head()
	p.logAxis(y, left, right, duration)
	for _, t := range curveTicks {
		if n := nines(t.q); n <= far*1.001 {
			p.line(x(n), top, x(n), bottom, "gr")
			p.text(x(n), bottom+18, "dim s", "middle", t.text)
		}
	}
	p.line(left, bottom, right, bottom, "ax")
	for _, l := range limits {
		p.line(left, y.at(l.Ns), right, y.at(l.Ns), "lim")
	}

	var labels []label
	for _, e := range v.engines {
		m := s.by[e.Name]
		if m == nil {
			continue
		}
		c := curve(m)
		p.begin(e, fmt.Sprintf("%s: p50 %s, p99 %s, p99.9 %s", e.Title, duration(m.P50Ns), duration(m.P99Ns), duration(m.P999Ns)))
		points := thin(c, far, x, y)
		p.path(points, "ln")
		for _, t := range curveTicks {
			if at, ok := interpolate(c, nines(t.q)); ok && nines(t.q) <= far*1.001 {
				p.mark(e, x(nines(t.q)), y.at(at))
			}
		}
		p.end()
		last := points[len(points)-1]
		labels = append(labels, label{want: last[1], x: last[0], e: &e, text: e.Title})
	}
	p.limitNames(limits, y, right)
	p.labels(labels, top, bottom, right)
	return p
}

// limitNames names the limits above their lines, at the right, where the curves
// are mostly well above.
func (p *plot) limitNames(limits []limit, y logScale, right float64) {
	last := math.Inf(1)
	for _, l := range limits {
		// The higher of two that lie side by side goes further up.
		last = min(y.at(l.Ns)-5, last-14)
		p.text(right-6, last, "s halo", "end", strings.TrimSpace("limit "+duration(l.Ns)+" "+clip(l.Is, 58)))
	}
}

// labels names the lines at their right ends.
func (p *plot) labels(labels []label, top, bottom, right float64) {
	spread(labels, top+2, bottom, 15)
	for _, l := range labels {
		lead := [][2]float64{{l.x + 4, l.want}, {right + 4, l.want}, {right + 11, l.y}}
		if l.e == nil {
			p.path(lead, "lead")
			p.text(right+15, l.y+4, "s", "", l.text)
			continue
		}
		p.begin(*l.e, l.text)
		p.path(lead, "lead")
		p.mark(*l.e, right+17, l.y)
		p.text(right+25, l.y+4, "s", "", clip(l.text, 14))
		p.end()
	}
}

// thin maps a curve to the drawing, without the points that nobody can tell
// from their neighbours.
func thin(c [][2]float64, far float64, x func(float64) float64, y logScale) [][2]float64 {
	var out [][2]float64
	for i, at := range c {
		if at[0] > far {
			break
		}
		point := [2]float64{x(at[0]), y.at(at[1])}
		if n := len(out); n > 0 && i < len(c)-1 && math.Abs(point[0]-out[n-1][0]) < 3 && math.Abs(point[1]-out[n-1][1]) < 2 {
			continue
		}
		out = append(out, point)
	}
	if len(out) == 0 {
		out = append(out, [2]float64{x(c[0][0]), y.at(c[0][1])})
	}
	return out
}

// interpolate reads a curve at a place, between its points in the logarithm.
func interpolate(c [][2]float64, n float64) (float64, bool) {
	i := slices.IndexFunc(c, func(at [2]float64) bool { return at[0] >= n-1e-9 })
	switch {
	case i < 0:
		return 0, false
	case i == 0:
		return c[0][1], c[0][0] <= n+1e-9
	}
	a, b := c[i-1], c[i]
	f := (n - a[0]) / (b[0] - a[0])
	return math.Exp(math.Log(a[1]) + f*(math.Log(b[1])-math.Log(a[1]))), true
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// sizePart is the part of a file name that tells sizes apart, where there are
// several.
func sizePart(s *series) string {
	if s.records == 0 {
		return ""
	}
	return fmt.Sprint(s.records)
}
