package report

import (
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// bar is one figure; low and high are the extremes of its rounds, if known.
type bar struct {
	value, low, high float64
	text             string // instead of a figure
}

// panel is a column of bars, one for each engine, from zero.
type panel struct {
	title string
	bars  []bar
	// limit, if not 0, is drawn across, with its name.
	limit     float64
	limitText string
}

const (
	barHeight = 13.0
	barPitch  = 21.0
)

// bars draws panels side by side. Scale is the largest figure of the axis for
// each panel.
func (p *plot) bars(engines []engine, panels []panel, scale []float64, format func(float64) string) {
	const left, top, between = 92.0, 66.0, 16.0
	room := (p.width - left - 12 - between*float64(len(panels)-1)) / float64(len(panels))
	bottom := top + barPitch*float64(len(engines))
	p.head()
	for i, e := range engines {
		p.begin(e, e.Title)
		y := top + barPitch*float64(i)
		p.mark(e, 16, y+barHeight/2)
		p.text(25, y+barHeight-2.5, "s", "", clip(e.Title, 12))
		p.end()
	}
	for n, panel := range panels {
		x0 := left + float64(n)*(room+between)
		width := room - 58 // the rest is for the figures
		x := func(v float64) float64 { return x0 + v/scale[n]*width }
		p.text(x0, top-9, "dim s", "", panel.title)
		for i, e := range engines {
			b, y := panel.bars[i], top+barPitch*float64(i)
			if b.text == "" {
				p.begin(e, e.Title+": "+format(b.value))
				p.rect(x0, y, max(x(b.value)-x0, 1), barHeight, "fl")
				p.end()
			}
		}
		if panel.limit > 0 && panel.limit <= scale[n]*1.001 {
			// Over the bars, under the figures beside them.
			p.line(x(panel.limit), top-3, x(panel.limit), bottom, "lim")
			p.text(x(panel.limit), bottom+13, "s", "middle", panel.limitText)
		}
		for i, e := range engines {
			b, y := panel.bars[i], top+barPitch*float64(i)
			if b.text != "" {
				p.text(x0+4, y+barHeight-2.5, "dim s halo", "", b.text)
				continue
			}
			end := x(b.value)
			p.begin(e, e.Title+": "+format(b.value))
			if b.high > b.low && x(b.high)-x(b.low) > 1.5 {
				p.line(x(b.low), y+barHeight/2, x(b.high), y+barHeight/2, "wh")
				p.line(x(b.low), y+3, x(b.low), y+barHeight-3, "wh")
				p.line(x(b.high), y+3, x(b.high), y+barHeight-3, "wh")
				end = max(end, x(b.high))
			}
			p.text(end+5, y+barHeight-2.5, "s halo", "", format(b.value))
			p.end()
		}
		p.line(x0, top-3, x0, bottom, "ax")
	}
	p.height = bottom + 12
	if slices.ContainsFunc(panels, func(p panel) bool { return p.limit > 0 }) {
		p.height += 12
	}
}

// throughputPlots are the closed loop's rates, one plot for each workload, data
// set and class, with a panel for each number of clients.
func (v *view) throughputPlots() []*plot {
	type key struct {
		workload, data, class string
		records               int
	}
	var order []key
	found := map[key][]*series{}
	for _, s := range seriesOf(v.cells(func(m *result.Measurement) bool { return !apart[m.Workload] })) {
		some := false
		for _, m := range s.by {
			some = some || (m.Error == "" && m.OpsPerS > 0)
		}
		if !some {
			continue
		}
		k := key{s.workload, s.data, s.class, s.records}
		if found[k] == nil {
			order = append(order, k)
		}
		found[k] = append(found[k], s)
	}
	var out []*plot
	for _, k := range order {
		ss := found[k]
		engines := v.among(ss)
		p := &plot{
			title: k.workload, detail: k.data + ", " + classHead(k.class) + ": operations a second, closed loop; whiskers span the rounds",
			file: fileName("throughput", k.data, k.workload, classHead(k.class), sizePart(ss[0])),
			data: k.data, class: k.class, width: 640,
		}
		if k.class == "-" {
			p.detail = k.data + ": operations a second, closed loop; whiskers span the rounds"
		}
		var panels []panel
		most := 0.0
		for _, s := range ss {
			pan := panel{title: s.detail()}
			for _, e := range engines {
				b := barOf(s.by[e.Name], func(m *result.Measurement) float64 { return m.OpsPerS })
				if m := s.by[e.Name]; b.text == "" && len(m.RoundOpsPerS) > 1 {
					b.low, b.high = slices.Min(m.RoundOpsPerS), slices.Max(m.RoundOpsPerS)
				}
				most = max(most, b.value, b.high)
				pan.bars = append(pan.bars, b)
			}
			panels = append(panels, pan)
		}
		scale := make([]float64, len(panels))
		for i := range scale {
			scale[i] = most // one scale, so that panels can be compared
		}
		p.bars(engines, panels, scale, rate)
		out = append(out, p)
	}
	return out
}

// barOf is a figure of a cell as a bar.
func barOf(m *result.Measurement, value func(*result.Measurement) float64) bar {
	switch {
	case m == nil:
		return bar{text: none}
	case m.Error != "":
		return bar{text: "failed"}
	case value(m) <= 0 || !isFigure(value(m)):
		return bar{text: none}
	}
	return bar{value: value(m)}
}

// footprintPlots show memory and disk, one plot for each data set.
func (v *view) footprintPlots() []*plot {
	var out []*plot
	for _, data := range v.data {
		memory := v.footprintSeries(data, func(m *result.Measurement) float64 { return float64(m.RSSBytes) })
		onDisk := v.footprintSeries(data, func(m *result.Measurement) float64 { return float64(m.DiskBytes) })
		var ss []*series
		for _, s := range []*series{memory, onDisk} {
			if s != nil {
				ss = append(ss, s)
			}
		}
		if len(ss) == 0 {
			continue
		}
		p := &plot{
			title: "Memory and disk", detail: data + "; the dashed line is the size of the keys and values",
			file: fileName("footprint", data), data: data, width: 640,
		}
		engines := v.among(ss)
		var panels []panel
		var scale []float64
		add := func(title string, s *series, value func(*result.Measurement) float64) {
			if s == nil {
				return
			}
			pan := panel{title: title + " after " + s.workload}
			if s.class != "-" {
				pan.title += ", " + s.class
			}
			most := 0.0
			for _, e := range engines {
				b := barOf(s.by[e.Name], value)
				if m := s.by[e.Name]; m != nil {
					pan.limit = max(pan.limit, v.logicalBytes(m))
					if m.Error == "" && value(m) == 0 {
						b.text = "none"
					}
				}
				most = max(most, b.value)
				pan.bars = append(pan.bars, b)
			}
			pan.limitText = byteSize(pan.limit)
			panels, scale = append(panels, pan), append(scale, max(most, pan.limit))
		}
		add("memory", memory, func(m *result.Measurement) float64 { return float64(m.RSSBytes) })
		add("disk", onDisk, func(m *result.Measurement) float64 { return float64(m.DiskBytes) })
		p.bars(engines, panels, scale, byteSize)
		out = append(out, p)
	}
	return out
}

// footprintSeries chooses the cells in which the engines hold the same data: of
// the reads, else of the load, else of puts in one class.
func (v *view) footprintSeries(data string, value func(*result.Measurement) float64) *series {
	for _, workload := range []string{"get-uniform", "load", "put"} {
		var best *series
		most := 0
		for _, s := range fewestClients(seriesOf(v.cells(func(m *result.Measurement) bool { return m.Data == data && m.Workload == workload }))) {
			n := 0
			for _, m := range s.by {
				if m.Error == "" && value(m) > 0 {
					n++
				}
			}
			if n > most {
				best, most = s, n
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// fileName joins parts to the name of a file that every file system takes.
func fileName(parts ...string) string {
	var out []string
	for _, p := range parts {
		p = strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_':
				return r
			case r >= 'A' && r <= 'Z':
				return r - 'A' + 'a'
			}
			return '-'
		}, p)
		if p = strings.Trim(p, "-."); p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, "-")
}
