package report

import "strconv"

// Gauges is a drawing of figures against their bounds.
type Gauges struct {
	Title, Detail string
	Rows          []Gauge
}

// Gauge is one figure. Share is its part of the bound: up to 1 is within it, 2 is
// twice as bad, 0 is not measured.
type Gauge struct {
	Text, Value string
	Share       float64
}

// SVG draws the gauges as a file that stands alone: the line in the middle is the
// bound, what is right of it misses it.
func (g Gauges) SVG() []byte {
	const top, left, pitch = 62.0, 430.0, 19.0
	p := &plot{title: g.Title, detail: g.Detail, width: 1000, height: top + pitch*float64(len(g.Rows)) + 34}
	right, bottom := p.width-190, top+pitch*float64(len(g.Rows))
	shares := []float64{0.5, 2}
	for _, row := range g.Rows {
		if row.Share > 0 && isFigure(row.Share) {
			shares = append(shares, min(max(row.Share, 0.01), 100))
		}
	}
	x := newLogScale(shares, left, right)
	p.head()
	values, whole := x.ticks()
	for i, v := range values {
		class := "gr2"
		if whole[i] {
			class = "gr"
			p.text(x.at(v), bottom+16, "dim s", "middle", strconv.FormatFloat(v, 'g', -1, 64)+"×")
		}
		p.line(x.at(v), top-6, x.at(v), bottom, class)
	}
	met, missed := engine{Index: 3}, engine{Index: 2} // green and red of the palette
	for i, row := range g.Rows {
		y := top + pitch*float64(i) + 8
		p.text(left-12, y+4, "s", "end", clip(row.Text, 68))
		if row.Share <= 0 || !isFigure(row.Share) {
			p.text(x.at(1)+6, y+4, "dim s halo", "", "not measured")
			continue
		}
		e := met
		if row.Share > 1 {
			e = missed
		}
		at := x.at(min(max(row.Share, 0.01), 100))
		p.begin(e, row.Text+": "+row.Value)
		p.rect(min(at, x.at(1)), y-4, max(at, x.at(1))-min(at, x.at(1)), 8, "fl")
		p.mark(e, at, y)
		p.end()
		p.text(right+10, y+4, "s", "", row.Value)
	}
	p.line(x.at(1), top-6, x.at(1), bottom, "lim")
	return p.standalone(style([]engine{met, missed}))
}
