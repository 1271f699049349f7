package report

import (
	"slices"
)

// Lines is a drawing of times over sizes: panels side by side, two in a row, each
// with both axes logarithmic.
type Lines struct {
	Title, Detail string
	Panels        []LinesPanel
}

// LinesPanel is one panel of Lines. Bound, if not 0, is a time that is drawn
// across, and named.
type LinesPanel struct {
	Title     string
	Lines     []Line
	Bound     float64
	BoundText string
}

// Line is an engine's: pairs of a size and ns, all above 0, sizes ascending.
type Line struct {
	Engine string
	Points [][2]float64
}

const (
	linesWidth  = 460.0
	linesHeight = 300.0
)

// SVG draws the lines as a file that stands alone. Points that are not above 0
// are left out.
func (l Lines) SVG() []byte {
	rows := (len(l.Panels) + 1) / 2
	p := &plot{title: l.Title, detail: l.Detail, width: 2 * linesWidth, height: 48 + linesHeight*float64(rows)}
	var names []string
	for _, panel := range l.Panels {
		for _, line := range panel.Lines {
			names = append(names, line.Engine)
		}
	}
	engines := enginesNamed(names)
	p.head()
	for i, panel := range l.Panels {
		p.lines(panel, engines, linesWidth*float64(i%2), 48+linesHeight*float64(i/2))
	}
	return p.standalone(style(engines))
}

// lines draws a panel whose upper left corner is at x0, y0.
func (p *plot) lines(panel LinesPanel, engines []engine, x0, y0 float64) {
	left, right := x0+66, x0+linesWidth-112
	top, bottom := y0+30, y0+linesHeight-40
	p.text(x0+12, y0+16, "s", "", panel.Title)
	var sizes, times []float64
	for i, line := range panel.Lines {
		line.Points = slices.DeleteFunc(slices.Clone(line.Points), func(at [2]float64) bool {
			return at[0] <= 0 || at[1] <= 0 || !isFigure(at[0]) || !isFigure(at[1])
		})
		panel.Lines[i] = line
		for _, at := range line.Points {
			sizes, times = append(sizes, at[0]), append(times, at[1])
		}
	}
	if len(times) == 0 {
		p.text(left, (top+bottom)/2, "dim s", "", "not measured")
		return
	}
	if panel.Bound > 0 {
		times = append(times, panel.Bound)
	}
	y := newLogScale(times, bottom, top)
	x := logScale{slices.Min(sizes), slices.Max(sizes), left + 8, right - 8}
	if x.low == x.high {
		x.low, x.high = x.low/2, x.high*2
	}
	p.logAxis(y, left, right, duration)
	slices.Sort(sizes)
	for _, size := range slices.Compact(sizes) {
		p.line(x.at(size), top, x.at(size), bottom, "gr")
		p.text(x.at(size), bottom+18, "dim s", "middle", axisText(scaled(size, 1000, "", "k", "M", "G")))
	}
	p.line(left, bottom, right, bottom, "ax")
	if panel.Bound > 0 {
		p.line(left, y.at(panel.Bound), right, y.at(panel.Bound), "lim")
		p.text(right-6, y.at(panel.Bound)-5, "s halo", "end", panel.BoundText)
	}
	var labels []label
	for _, e := range engines {
		i := slices.IndexFunc(panel.Lines, func(l Line) bool { return l.Engine == e.Name })
		if i < 0 || len(panel.Lines[i].Points) == 0 {
			continue
		}
		var points [][2]float64
		p.begin(e, e.Title)
		for _, at := range panel.Lines[i].Points {
			points = append(points, [2]float64{x.at(at[0]), y.at(at[1])})
		}
		p.path(points, "ln")
		for _, at := range points {
			p.mark(e, at[0], at[1])
		}
		p.end()
		last := points[len(points)-1]
		labels = append(labels, label{want: last[1], x: last[0], e: &e, text: e.Title})
	}
	p.labels(labels, top, bottom, right)
}
