package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/orbit-persistence/orbit/bench/result"
)

// view is a result arranged for showing; Markdown, Terminal, HTML and SVGs all
// start from it.
type view struct {
	r       *result.Result
	run     *result.RunHeader
	engines []engine
	data    []string
	errors  *footnotes
}

func newView(r *result.Result) *view {
	v := &view{r: r, run: &r.Run, engines: enginesOf(r)}
	for _, d := range r.Run.Data {
		v.data = append(v.data, d.Name)
	}
	var names []string
	for i := range r.Measurements {
		names = append(names, r.Measurements[i].Data)
	}
	// Data sets in the order of the header, then those that it does not name.
	v.data = byRank(v.data, append(names, v.data...))
	v.errors = footnotesOf(r)
	return v
}

// cells gives the measurements that pass keep, in the order of the result.
func (v *view) cells(keep func(*result.Measurement) bool) []*result.Measurement {
	var out []*result.Measurement
	for i := range v.r.Measurements {
		if m := &v.r.Measurements[i]; keep(m) {
			out = append(out, m)
		}
	}
	return out
}

// series is the cells of one kind: a workload on a data set in a durability
// class with a number of clients, at most one for each engine.
type series struct {
	workload, data, class string
	clients               int
	// records is set only where one engine was measured at several sizes.
	records int
	by      map[string]*result.Measurement
}

// detail says what varies within a table: the number of clients, and the size
// where there are several; and what an operation is where a call is several.
func (s *series) detail() string {
	d := plural(s.clients, "client")
	if strings.HasPrefix(s.workload, "multi-get-") {
		d += ", per key"
	}
	if s.records > 0 {
		d += ", " + count(int64(s.records)) + " records"
	}
	return d
}

// seriesOf groups cells, in the order shown.
func seriesOf(cells []*result.Measurement) []*series {
	type key struct {
		workload, data, class string
		clients, records      int
	}
	type cell struct {
		key
		engine string
	}
	sizes := map[cell]map[int]bool{} // of each engine, without the size
	several := map[key]bool{}        // kinds at which one engine has several sizes
	for _, m := range cells {
		k := key{m.Workload, m.Data, m.Durability, m.Clients, 0}
		c := cell{k, m.Engine}
		if sizes[c] == nil {
			sizes[c] = map[int]bool{}
		}
		sizes[c][m.Records] = true
		if len(sizes[c]) > 1 {
			several[k] = true
		}
	}
	found := map[key]*series{}
	var out []*series
	for _, m := range cells {
		k := key{m.Workload, m.Data, m.Durability, m.Clients, 0}
		if several[k] {
			k.records = m.Records
		}
		s := found[k]
		if s == nil {
			s = &series{m.Workload, m.Data, m.Durability, m.Clients, k.records, map[string]*result.Measurement{}}
			found[k] = s
			out = append(out, s)
		}
		s.by[m.Engine] = m
	}
	slices.SortStableFunc(out, func(a, b *series) int {
		return cmp.Or(
			cmp.Compare(rank(knownWorkloads, a.workload), rank(knownWorkloads, b.workload)),
			cmp.Compare(a.workload, b.workload),
			cmp.Compare(rank(classes, a.class), rank(classes, b.class)),
			cmp.Compare(a.class, b.class),
			cmp.Compare(a.data, b.data),
			cmp.Compare(a.clients, b.clients),
			cmp.Compare(a.records, b.records))
	})
	return out
}

// among gives the engines of v that have a cell in one of the series.
func (v *view) among(ss []*series) []engine {
	var out []engine
	for _, e := range v.engines {
		if slices.ContainsFunc(ss, func(s *series) bool { return s.by[e.Name] != nil }) {
			out = append(out, e)
		}
	}
	return out
}

// limit is what a cell is held against.
type limit struct {
	Ns float64
	Is string
}

// limits lists the different limits of the series' cells, the lowest first.
func (s *series) limits() []limit {
	var out []limit
	for _, m := range s.by {
		if l := (limit{m.LimitNs, oneLine(m.LimitIs)}); m.LimitNs > 0 && isFigure(m.LimitNs) && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b limit) int { return cmp.Or(cmp.Compare(a.Ns, b.Ns), cmp.Compare(a.Is, b.Is)) })
	return out
}

// logicalBytes is the size of the keys and values that a cell's store holds.
func (v *view) logicalBytes(m *result.Measurement) float64 {
	for _, d := range v.run.Data {
		if d.Name == m.Data && d.KeyBytes+d.ValueBytes > 0 {
			return float64(m.Records) * (d.KeyBytes + d.ValueBytes)
		}
	}
	return float64(m.Records) * float64(m.KeyBytes+m.ValueBytes)
}

// medianNs is the open loop's median, or the closed loop's where there was no
// open one.
func medianNs(m *result.Measurement) float64 {
	switch {
	case m.P50Ns > 0:
		return m.P50Ns
	case m.ServiceP50Ns > 0:
		return m.ServiceP50Ns
	}
	return m.MeanNs
}

// footnote is an error and the cells that ended with it.
type footnote struct {
	Number int
	Text   string
	cells  []string
}

// Where names the first of the cells.
func (f *footnote) Where() string {
	const shown = 3
	if n := len(f.cells) - shown; n > 1 {
		return fmt.Sprintf("%s and %d more cells", strings.Join(f.cells[:shown], "; "), n)
	}
	return strings.Join(f.cells, "; ")
}

// footnotes numbers the errors of a result, each text once.
type footnotes struct {
	list []*footnote
	by   map[string]*footnote
}

func footnotesOf(r *result.Result) *footnotes {
	f := &footnotes{by: map[string]*footnote{}}
	for i := range r.Measurements {
		m := &r.Measurements[i]
		if m.Error == "" {
			continue
		}
		n := f.by[m.Error]
		if n == nil {
			n = &footnote{Number: len(f.list) + 1, Text: oneLine(m.Error)}
			f.by[m.Error] = n
			f.list = append(f.list, n)
		}
		n.cells = append(n.cells, fmt.Sprintf("%s %s, %s, %s, %s", m.Engine, m.Workload, m.Data, classHead(m.Durability), plural(m.Clients, "client")))
	}
	return f
}

func (f *footnotes) number(m *result.Measurement) int { return f.by[m.Error].Number }

// shortError is what fits in a cell: the cause, which by Go's convention is the
// last part, except that a missing library is named at the front.
func shortError(s string) string {
	const most = 36
	s = oneLine(s)
	if strings.HasPrefix(s, "built without") {
		s, _, _ = strings.Cut(s, ":")
	} else if i := strings.LastIndex(s, ": "); i >= 0 {
		s = s[i+2:]
	}
	if r := []rune(s); len(r) > most {
		s = strings.TrimRight(string(r[:most-1]), " ,;") + "…"
	}
	return s
}

// oneLine makes a text of the result fit for a line: control characters, with
// which a foreign library's message may be laced, become spaces.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
