package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/orbit-persistence/orbit/bench/result"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"upper":    upperFirst,
	"duration": duration,
}).Parse(pageText))

// HTML returns one page with all tables and plots. It refers to nothing outside
// itself and has no script: engines are switched on and off by style alone.
func HTML(r *result.Result) ([]byte, error) {
	v := newView(r)
	var first, second []picture
	for _, p := range v.curvePlots() {
		second = append(second, picture{p.data, p.class, p.later, template.HTML(p.inline())})
	}
	for _, p := range v.throughputPlots() {
		second = append(second, picture{p.data, p.class, p.later, template.HTML(p.inline())})
	}
	for _, p := range append(v.flushedPlots(), v.footprintPlots()...) {
		first = append(first, picture{Drawing: template.HTML(p.inline())})
	}
	data := struct {
		Style       template.CSS
		Run         *result.RunHeader
		When        string
		Banner      string
		Engines     []engine
		Figures     []fact
		SeedIntro   string
		Seed        seedTable
		Facts       []fact
		Limits      []limitRow
		EngineRows  []engineRow
		Data        []dataRow
		HowToRead   string
		Comparisons []table
		Footprints  []table
		Overview    []picture
		Album       []albumPart
		Notes       []string
		Errors      []*footnote
	}{
		Style:       template.CSS(pageStyle + style(v.engines) + toggles(v.engines)),
		Run:         v.run,
		When:        v.run.Started.UTC().Format("2 January 2006, 15:04 MST"),
		Banner:      v.banner(),
		Engines:     v.engines,
		Figures:     v.figures(),
		SeedIntro:   seedIntro,
		Seed:        v.seedTable(),
		Facts:       v.facts(),
		Limits:      v.limitRows(),
		EngineRows:  v.engineRows(),
		Data:        v.dataRows(),
		HowToRead:   howToRead,
		Comparisons: v.comparisons(),
		Footprints:  v.footprints(),
		Overview:    first,
		Album:       v.album(second),
		Notes:       v.notes(),
		Errors:      v.errors.list,
	}
	var b bytes.Buffer
	if err := page.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("report page: %w", err)
	}
	return b.Bytes(), nil
}

// picture is a plot on the page. Its drawing was escaped where it was made.
type picture struct {
	data, class string
	later       bool
	Drawing     template.HTML
}

// albumPart is the plots of one data set and class; those in More differ from
// one before only in the number of clients.
type albumPart struct {
	ID, Title  string
	Main, More []picture
}

func (v *view) album(pictures []picture) []albumPart {
	var out []albumPart
	for _, data := range v.data {
		var seen []string
		for _, p := range pictures {
			if p.data == data {
				seen = append(seen, p.class)
			}
		}
		for _, class := range byRank(classes, seen) {
			part := albumPart{ID: fileName("plots", data, classHead(class)), Title: data + " · " + classHead(class)}
			for _, p := range pictures {
				switch {
				case p.data != data || p.class != class:
				case p.later:
					part.More = append(part.More, p)
				default:
					part.Main = append(part.Main, p)
				}
			}
			out = append(out, part)
		}
	}
	return out
}

// figures are the few numbers at the head of the page.
func (v *view) figures() []fact {
	var out []fact
	if l := v.run.LimitsBefore; l != nil {
		add := func(name string, x float64, format func(float64) string) {
			if x > 0 {
				out = append(out, fact{name, format(x)})
			}
		}
		add("R, device flushes", perSecond(l.FlushNs), rate)
		add("one flush", l.FlushNs, duration)
		add("4 KiB read, depth 1", l.Read1Ns, duration)
		add("4 KiB reads, depth 32", l.Read32PerS, rate)
		add("sequential write", l.WriteBytesPerS, byteRate)
	}
	passed, failed := 0, 0
	for _, e := range v.engines {
		passed, failed = passed+e.Passed, failed+e.Failed
	}
	text := count(int64(passed))
	if failed > 0 {
		text += fmt.Sprintf(", %s failed", count(int64(failed)))
	}
	return append(out, fact{"cells measured", text})
}

// toggles is the style by which the boxes at the head of the page hide an
// engine's columns and lines.
func toggles(engines []engine) string {
	var b bytes.Buffer
	for _, e := range engines {
		fmt.Fprintf(&b, "body:has(#show%d:not(:checked)) :is(td,th,g).e%d{display:none}\n", e.Index, e.Index)
	}
	return b.String()
}
