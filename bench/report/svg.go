package report

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plot is a drawing in the making. Everything in it has a class, so that the
// page and the standalone file share one style sheet, and colours follow the
// reader's preference for light or dark.
type plot struct {
	file          string // name of the standalone file, without .svg
	title, detail string
	// data and class say where on the page the plot belongs; later is set where
	// it belongs behind the first plots of its kind.
	data, class   string
	later         bool
	width, height float64
	b             strings.Builder
}

// style is the style sheet of plots and of the engines' colours on the page.
func style(engines []engine) string {
	var b strings.Builder
	b.WriteString(plotStyle)
	write := func(colour func(ink) string) {
		for _, e := range engines {
			c := colour(palette[e.Index%len(palette)])
			fmt.Fprintf(&b, ".e%d{--c:%s}.plot .e%d .ln{stroke:%s}.plot .e%d .fl{fill:%s}\n", e.Index, c, e.Index, c, e.Index, c)
		}
	}
	write(func(i ink) string { return i.light })
	b.WriteString("@media screen and (prefers-color-scheme:dark){" + plotStyleDark + "\n")
	write(func(i ink) string { return i.dark })
	b.WriteString("}\n")
	return b.String()
}

const plotStyle = `.plot{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
.plot text{fill:#1c2025}.plot .dim{fill:#646c78}.plot .h{font-size:14px;font-weight:600}.plot .s{font-size:11px}
.plot .bg{fill:#fff}.plot .gr{stroke:#e7e9ed;stroke-width:1;fill:none}.plot .gr2{stroke:#f3f4f6;stroke-width:1;fill:none}
.plot .ax{stroke:#9aa1ab;stroke-width:1;fill:none}.plot .lim{stroke:#1c2025;stroke-width:1.25;stroke-dasharray:5 4;fill:none}
.plot .band{fill:#1c2025;opacity:.07}.plot .ln{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.plot .lead{fill:none;stroke:#9aa1ab;stroke-width:.75}.plot .mk{stroke:#fff;stroke-width:1}.plot .wh{stroke:#1c2025;stroke-width:1;fill:none;opacity:.55}
.plot .halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}
`

const plotStyleDark = `.plot text{fill:#e6e8eb}.plot .dim{fill:#9aa3af}.plot .bg{fill:#14171b}.plot .gr{stroke:#2a2f36}.plot .gr2{stroke:#1e2227}
.plot .ax{stroke:#6b7480}.plot .lim{stroke:#e6e8eb}.plot .band{fill:#e6e8eb;opacity:.1}.plot .lead{stroke:#6b7480}.plot .mk{stroke:#14171b}
.plot .wh{stroke:#e6e8eb}.plot .halo{stroke:#14171b}`

// num writes a coordinate.
func num(v float64) string {
	s := strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
	if s == "-0" {
		return "0"
	}
	return s
}

func (p *plot) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(&p.b, `<text x="%s" y="%s"`, num(x), num(y))
	if class != "" {
		fmt.Fprintf(&p.b, ` class="%s"`, class)
	}
	if anchor != "" {
		fmt.Fprintf(&p.b, ` text-anchor="%s"`, anchor)
	}
	p.b.WriteString(">" + html.EscapeString(s) + "</text>\n")
}

func (p *plot) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&p.b, `<path d="M%s %sL%s %s" class="%s"/>`+"\n", num(x1), num(y1), num(x2), num(y2), class)
}

func (p *plot) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&p.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"/>`+"\n", num(x), num(y), num(w), num(h), class)
}

// begin opens the group of an engine, with a title for the pointer to find.
func (p *plot) begin(e engine, title string) {
	fmt.Fprintf(&p.b, `<g class="series e%d"><title>%s</title>`+"\n", e.Index, html.EscapeString(title))
}

func (p *plot) end() { p.b.WriteString("</g>\n") }

func (p *plot) path(points [][2]float64, class string) {
	p.b.WriteString(`<path d="`)
	for i, at := range points {
		c := "L"
		if i == 0 {
			c = "M"
		}
		p.b.WriteString(c + num(at[0]) + " " + num(at[1]))
	}
	p.b.WriteString(`" class="` + class + `"/>` + "\n")
}

// mark draws the engine's own shape at a point.
func (p *plot) mark(e engine, x, y float64) {
	const r = 3.6
	var d string
	at := func(dx, dy float64) string { return num(x+dx*r) + " " + num(y+dy*r) }
	switch e.Index % 9 {
	case 0:
		fmt.Fprintf(&p.b, `<circle cx="%s" cy="%s" r="%s" class="mk fl"/>`+"\n", num(x), num(y), num(r))
		return
	case 1:
		d = "M" + at(-.9, -.9) + "L" + at(.9, -.9) + "L" + at(.9, .9) + "L" + at(-.9, .9) + "Z"
	case 2:
		d = "M" + at(0, -1.2) + "L" + at(1.1, .8) + "L" + at(-1.1, .8) + "Z"
	case 3:
		d = "M" + at(0, -1.3) + "L" + at(1.3, 0) + "L" + at(0, 1.3) + "L" + at(-1.3, 0) + "Z"
	case 4:
		d = "M" + at(0, 1.2) + "L" + at(1.1, -.8) + "L" + at(-1.1, -.8) + "Z"
	case 5:
		d = "M" + at(-.4, -1.2) + "L" + at(.4, -1.2) + "L" + at(.4, -.4) + "L" + at(1.2, -.4) + "L" + at(1.2, .4) + "L" + at(.4, .4) + "L" + at(.4, 1.2) + "L" + at(-.4, 1.2) + "L" + at(-.4, .4) + "L" + at(-1.2, .4) + "L" + at(-1.2, -.4) + "L" + at(-.4, -.4) + "Z"
	case 6:
		d = "M" + at(-1, -1) + "L" + at(1, -1) + "L" + at(.25, 0) + "L" + at(1, 1) + "L" + at(-1, 1) + "L" + at(-.25, 0) + "Z"
	case 7:
		d = "M" + at(-.45, -1.3) + "L" + at(.45, -1.3) + "L" + at(.45, 1.3) + "L" + at(-.45, 1.3) + "Z"
	default:
		d = "M" + at(-.6, -1.1) + "L" + at(.6, -1.1) + "L" + at(1.2, 0) + "L" + at(.6, 1.1) + "L" + at(-.6, 1.1) + "L" + at(-1.2, 0) + "Z"
	}
	p.b.WriteString(`<path d="` + d + `" class="mk fl"/>` + "\n")
}

// head writes the title and the line below it.
func (p *plot) head() {
	p.text(12, 22, "h", "", p.title)
	p.text(12, 39, "dim s", "", p.detail)
}

// inline is the drawing as a part of an HTML page.
func (p *plot) inline() string { return p.document("", "") }

// standalone is the drawing as a file.
func (p *plot) standalone(css string) []byte {
	return []byte(p.document(` xmlns="http://www.w3.org/2000/svg"`, "<style>"+css+"</style>\n"+`<rect width="100%" height="100%" class="bg"/>`+"\n"))
}

func (p *plot) document(attributes, preamble string) string {
	return fmt.Sprintf(`<svg%s class="plot" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s">`+"\n",
		attributes, num(p.width), num(p.height), num(p.width), num(p.height), html.EscapeString(p.title+", "+p.detail)) +
		preamble + p.b.String() + "</svg>\n"
}

// label is a text that wants to stand at a height: the name of an engine, or
// of a limit, which has no engine.
type label struct {
	want, y float64
	e       *engine
	text    string
	x       float64 // where its line ends
}

// spread moves labels apart so that none covers another, and sorts them by
// height. Those that move down first and those that move up first both keep the
// distance; halfway between them stands each group about where it wants to be.
func spread(labels []label, top, bottom, height float64) {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.want, b.want) })
	n := len(labels)
	down, up := make([]float64, n), make([]float64, n)
	for i, l := range labels {
		down[i], up[i] = l.want, l.want
	}
	pushDown := func(ys []float64) {
		at := top
		for i := range ys {
			ys[i] = max(ys[i], at)
			at = ys[i] + height
		}
	}
	pushUp := func(ys []float64) {
		at := bottom
		for i := n - 1; i >= 0; i-- {
			ys[i] = min(ys[i], at)
			at = ys[i] - height
		}
	}
	pushDown(down)
	pushUp(down)
	pushUp(up)
	pushDown(up)
	for i := range labels {
		labels[i].y = (down[i] + up[i]) / 2
	}
}

// logScale maps low to high, both above 0, to from to to.
type logScale struct{ low, high, from, to float64 }

func (s logScale) at(v float64) float64 {
	return s.from + (math.Log10(v)-math.Log10(s.low))/(math.Log10(s.high)-math.Log10(s.low))*(s.to-s.from)
}

// ticks are the 1, 2 and 5 of each power of ten within the scale; whole ones
// are marked.
func (s logScale) ticks() (values []float64, whole []bool) {
	for e := math.Floor(math.Log10(s.low)); e <= math.Ceil(math.Log10(s.high)); e++ {
		for _, f := range []float64{1, 2, 5} {
			if v := f * math.Pow(10, e); v >= s.low*0.999 && v <= s.high*1.001 {
				values, whole = append(values, v), append(whole, f == 1)
			}
		}
	}
	return values, whole
}

// newLogScale spans the values, rounded outwards to 1, 2 or 5.
func newLogScale(values []float64, from, to float64) logScale {
	low, high := slices.Min(values), slices.Max(values)
	step := func(v float64, up bool) float64 {
		p := math.Pow(10, math.Floor(math.Log10(v)))
		steps := []float64{1, 2, 5, 10}
		if up {
			for _, f := range steps {
				if f*p >= v*0.999 {
					return f * p
				}
			}
			return 10 * p
		}
		for _, f := range slices.Backward(steps) {
			if f*p <= v*1.001 {
				return f * p
			}
		}
		return p
	}
	// A little air, so that no line lies on the frame.
	low, high = step(low*0.93, false), step(high*1.07, true)
	if high <= low*2.01 {
		low, high = step(low*0.7, false), step(high*1.5, true)
	}
	return logScale{low, high, from, to}
}

// axisText is a tick's label: a figure without the digits that it does not
// need.
func axisText(s string) string {
	n, unit, ok := strings.Cut(s, " ")
	if !ok {
		return s
	}
	if strings.Contains(n, ".") {
		n = strings.TrimRight(strings.TrimRight(n, "0"), ".")
	}
	return n + " " + unit
}

// logAxis draws the horizontal lines of a logarithmic axis, labelled at left.
func (p *plot) logAxis(s logScale, left, right float64, format func(float64) string) {
	values, whole := s.ticks()
	dense := s.high/s.low > 200 // label powers of ten only
	for i, v := range values {
		class := "gr2"
		if whole[i] || !dense {
			class = "gr"
			p.text(left-8, s.at(v)+4, "dim s", "end", axisText(format(v)))
		}
		p.line(left, s.at(v), right, s.at(v), class)
	}
}
