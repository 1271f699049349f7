package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/orbit-persistence/orbit/bench/result"
	"go.uber.org/goleak"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// few keeps of the sample what shows each kind of cell once, so that a change
// of the golden files can be read.
func few() *result.Result {
	r := sample()
	r.Measurements = slices.DeleteFunc(r.Measurements, func(m result.Measurement) bool {
		keep := map[string]bool{"put": true, "overwrite": true, "get-uniform": true, "load": true, "recovery": true, "scan-100": true}
		return m.Data != "lease" || !keep[m.Workload] || m.Clients == 64 || (m.Clients == 16 && m.Workload != "put")
	})
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s:%d differs (go test -update writes it anew)\n got %q\nwant %q", path, i+1, g[i], w[i])
		}
	}
	t.Fatalf("%s has %d lines, got %d", path, len(w), len(g))
}

func TestMarkdownGolden(t *testing.T) { golden(t, "table.md", Markdown(few())) }

func TestTerminalGolden(t *testing.T) {
	for name, width := range map[string]int{"terminal-80.txt": 80, "terminal-160.txt": 160} {
		var b bytes.Buffer
		if err := Terminal(&b, few(), width); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
		for i, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("%s:%d is %d wide: %q", name, i+1, n, line)
			}
		}
	}
}

// Each row of a Markdown table has as many cells as its head, whatever the
// texts of the result hold.
func TestMarkdownRowsAreWhole(t *testing.T) {
	r := sample()
	r.Run.CPU, r.Run.Notes = "a|b\nc", []string{"<script>alert(1)</script> `x` | \x00\x1b[31m"}
	columns := 0
	for i, line := range strings.Split(string(Markdown(r)), "\n") {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		if columns == 0 {
			columns = n
		}
		if n != columns {
			t.Fatalf("line %d has %d bars, its table %d: %s", i+1, n, columns, line)
		}
	}
	if bytes.Contains(Markdown(r), []byte("<script")) || bytes.Contains(Markdown(r), []byte("\x1b")) {
		t.Error("text of the result is taken for markup")
	}
}

// void elements of HTML have no end.
var void = map[string]bool{"meta": true, "link": true, "input": true, "br": true}

func TestHTMLIsWellFormed(t *testing.T) {
	r := sample()
	r.Run.Notes = append(r.Run.Notes, `</style><script>alert("x")</script>`)
	r.Measurements[0].LimitIs = `<b>"limit"</b>`
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	ids, links := map[string]bool{}, map[string]bool{}
	var text strings.Builder
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				t.Fatal(z.Err())
			}
			break
		}
		tok := z.Token()
		switch kind {
		case html.TextToken:
			if len(open) == 0 || open[len(open)-1] != "style" {
				text.WriteString(tok.Data)
			}
		case html.StartTagToken:
			if tok.Data == "script" {
				t.Error("the page has a script")
			}
			if !void[tok.Data] {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("</%s> closes %v", tok.Data, open)
			}
			open = open[:len(open)-1]
		}
		for _, a := range tok.Attr {
			switch {
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("id %q stands twice", a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			case a.Key == "href" && strings.HasPrefix(a.Val, "#"):
				links[a.Val[1:]] = true
			case (a.Key == "href" || a.Key == "src") && a.Val != "data:,":
				t.Errorf("%s refers to %q", tok.Data, a.Val)
			}
			if strings.Contains(a.Val, "://") {
				t.Errorf("%s of %s has an address: %q", a.Key, tok.Data, a.Val)
			}
		}
	}
	if len(open) > 0 {
		t.Errorf("left open: %v", open)
	}
	for l := range links {
		if !ids[l] {
			t.Errorf("a link leads to #%s, which is not there", l)
		}
	}
	if i := bytes.Index(page, []byte("://")); i >= 0 {
		t.Errorf("the page has an address: %q", page[max(0, i-40):i+40])
	}
	if bytes.Contains(page, []byte("url(")) || bytes.Contains(page, []byte("@import")) {
		t.Error("the style refers to something outside")
	}
	if bytes.Contains(page, []byte("ZgotmplZ")) {
		t.Error("the template refused a value")
	}
	for _, e := range enginesOf(r) {
		if !strings.Contains(text.String(), e.Title) {
			t.Errorf("engine %s is missing", e.Title)
		}
	}
	for _, m := range r.Measurements {
		if !strings.Contains(text.String(), m.Workload) {
			t.Errorf("workload %s is missing", m.Workload)
		}
	}
	for _, want := range []string{"not built yet", "cut short", "~41μs", "acme/kv", "no space left on device"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestSVGsAreWellFormed(t *testing.T) {
	r := sample()
	svgs := SVGs(r)
	name := regexp.MustCompile(`^[a-z0-9._-]+\.svg$`)
	kinds := map[string]int{}
	for file, data := range svgs {
		if !name.MatchString(file) {
			t.Errorf("file name %q", file)
		}
		for _, k := range svgKinds {
			if strings.HasPrefix(file, k) {
				kinds[k]++
			}
		}
		d := xml.NewDecoder(bytes.NewReader(data))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		if bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Inf")) {
			t.Errorf("%s has a coordinate that is no number", file)
		}
	}
	for _, k := range svgKinds {
		if kinds[k] == 0 {
			t.Errorf("no plot of kind %s", k)
		}
	}
	if !bytes.Contains(svgs["flushed-put-lease.svg"], []byte("R = 17.2 k/s")) {
		t.Error("the flush rate is missing")
	}
}

// A result may be all but empty, or hold figures that no clock gives.
func TestOddResults(t *testing.T) {
	odd := sample()
	for i := range odd.Measurements {
		m := &odd.Measurements[i]
		m.P50Ns, m.OpsPerS, m.LimitNs, m.WriteAmp = math.NaN(), math.Inf(1), -3, -1
		m.Curve = [][2]float64{{0.5, -1}, {0.2, math.NaN()}, {1.5, 4}, {-1, 3}, {0.9, 0}, {1, 1}}
		m.KeyBytes, m.ValueBytes, m.Records = 0, 0, 0
	}
	odd.Run.Data, odd.Run.LimitsBefore, odd.Run.Seconds = nil, nil, math.Inf(1)
	odd.Run.LimitsAfter = &result.Limits{FlushNs: math.NaN()}
	failed := &result.Result{Measurements: []result.Measurement{{Engine: "rocksdb", Workload: "put", Data: "lease", Durability: "flushed", Clients: 1,
		Error: "built without RocksDB: make deps-bench, then build with -tags rocksdb"}}}
	one := sample()
	one.Measurements = one.Measurements[:1]
	one.Measurements[0].Clients = 0
	for name, r := range map[string]*result.Result{"empty": {}, "odd": odd, "failed": failed, "one": one} {
		t.Run(name, func(t *testing.T) {
			md := Markdown(r)
			if err := Terminal(io.Discard, r, 1); err != nil {
				t.Error(err)
			}
			if _, err := HTML(r); err != nil {
				t.Error(err)
			}
			for file, svg := range SVGs(r) {
				if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
					t.Errorf("%s has a coordinate that is no number", file)
				}
			}
			if bytes.Contains(md, []byte("NaN")) || bytes.Contains(md, []byte("Inf")) {
				t.Error("the table shows a figure that is none")
			}
			if name == "failed" && !bytes.Contains(md, []byte("built without RocksDB [1]")) {
				t.Errorf("the error is missing:\n%s", md)
			}
		})
	}
}

// Engines are compared within a durability class and nowhere else.
func TestClassesStayApart(t *testing.T) {
	v := newView(sample())
	for _, tab := range v.comparisons() {
		if strings.HasSuffix(tab.Title, "flushed") {
			for _, e := range tab.Engines {
				if e.Name == "memory" {
					t.Errorf("%s shows the memory engine, which flushes nothing", tab.Title)
				}
			}
		}
		for _, g := range tab.Groups {
			for _, r := range g.Rows {
				best := 0
				for _, c := range r.Cells {
					if c.Best {
						best++
					}
				}
				if r.Metric != p50ToLimit.name && best == 0 {
					t.Errorf("%s, %s %s: %s has no best", tab.Title, g.Name, g.Detail, r.Metric)
				}
			}
		}
	}
}

// Several sizes of one engine make rows of their own.
func TestSizesStayApart(t *testing.T) {
	r := &result.Result{}
	for _, n := range []int{1_000_000, 10_000_000} {
		for _, e := range []string{"memory", "lsm"} {
			r.Measurements = append(r.Measurements, result.Measurement{Engine: e, Workload: "get-uniform", Data: "lease", Durability: "-", Clients: 1, Records: n, P50Ns: float64(n)})
		}
	}
	tabs := newView(r).comparisons()
	if len(tabs) != 1 || len(tabs[0].Groups) != 2 || tabs[0].Groups[1].Detail != "1 client, 10,000,000 records" {
		t.Errorf("got %+v", tabs)
	}
}

func TestWriteAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results", "latest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"latency-lease-gone-1-client.svg", "mine.svg", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := few()
	if err := WriteAll(dir, r); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got[e.Name()] = true
	}
	want := []string{"bench.json", "table.md", "report.html", "mine.svg", "notes.txt"}
	for name := range SVGs(r) {
		want = append(want, name)
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d files, want %d: a plot of an earlier run, or a partial file, was left", len(got), len(want))
	}
	back, err := result.Read(filepath.Join(dir, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Markdown(back), Markdown(r)) {
		t.Error("the result read back makes another table")
	}
	if err := WriteAll(filepath.Join(dir, "table.md"), r); err == nil {
		t.Error("a directory that is a file is no error")
	}
}

func TestSpread(t *testing.T) {
	for _, wants := range [][]float64{{}, {50}, {50, 50, 50}, {0, 1, 2, 99, 100}, {10, 90, 10, 90}, {-40, 300}} {
		var labels []label
		for _, w := range wants {
			labels = append(labels, label{want: w})
		}
		spread(labels, 0, 100, 15)
		for i, l := range labels {
			if l.y < 0 || l.y > 100 || (i > 0 && l.y-labels[i-1].y < 15-1e-9) {
				t.Errorf("%v: %+v", wants, labels)
			}
		}
	}
	three := []label{{want: 50}, {want: 50}, {want: 50}}
	if spread(three, 0, 100, 15); three[1].y != 50 {
		t.Errorf("a group moved from its place: %+v", three)
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{duration(0), "0 ns"}, {duration(3.214), "3.21 ns"}, {duration(412.3), "412 ns"}, {duration(999.4), "999 ns"}, {duration(999.6), "1.00 µs"},
		{duration(1800), "1.80 µs"}, {duration(61_234), "61.2 µs"}, {duration(9_996), "10.0 µs"}, {duration(99_960), "100 µs"}, {duration(1.2e6), "1.20 ms"}, {duration(2.5e12), "2500 s"},
		{duration(math.NaN()), none}, {duration(math.Inf(1)), none}, {duration(-1), none},
		{rate(1.24e6), "1.24 M/s"}, {rate(17_182), "17.2 k/s"}, {rate(0.5), "0.500 /s"},
		{byteSize(0), "0 B"}, {byteSize(512), "512 B"}, {byteSize(1023), "0.999 KiB"}, {byteSize(312 << 20), "312 MiB"}, {byteSize(48.2), "48.2 B"},
		{byteRate(1.31e9), "1.22 GiB/s"}, {times(1), "1.00×"}, {times(12.34), "12.3×"}, {times(1234.5), "1,235×"}, {times(0.0571), "0.057×"},
		{count(1_000_000), "1,000,000"}, {count(999), "999"}, {count(-1234), "-1,234"}, {plural(1, "client"), "1 client"}, {plural(1600, "client"), "1,600 clients"},
		{shortError("a: b: no space left on device"), "no space left on device"}, {shortError("built without RocksDB: make deps-bench"), "built without RocksDB"},
		{shortError("x\x1b[31m\ny"), "x [31m y"},
		{axisText("10.0 µs"), "10 µs"}, {axisText("100 ns"), "100 ns"}, {axisText("0.500 /s"), "0.5 /s"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// The colours of the known engines differ for those who see no red, no green,
// or no blue, and stand out from their ground.
func TestPalette(t *testing.T) {
	// Machado, Oliveira, Fernandes: "A physiologically-based model for
	// simulation of color vision deficiency", 2009, severity 1.
	sight := map[string][3][3]float64{
		"full":         {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
		"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
		"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
		"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
	}
	for _, ground := range []struct {
		name, colour string
		of           func(ink) string
	}{
		{"light", "#ffffff", func(i ink) string { return i.light }},
		{"dark", "#14171b", func(i ink) string { return i.dark }},
	} {
		for i, c := range palette {
			if r := contrast(linear(t, ground.of(c)), linear(t, ground.colour)); r < 2.9 {
				t.Errorf("%s: colour %d has a contrast of %.2f to its ground", ground.name, i, r)
			}
		}
		for name, m := range sight {
			for i := range knownEngines {
				for j := range i {
					a, b := lab(apply(m, linear(t, ground.of(palette[i])))), lab(apply(m, linear(t, ground.of(palette[j]))))
					if d := math.Sqrt(sq(a[0]-b[0]) + sq(a[1]-b[1]) + sq(a[2]-b[2])); d < 18 {
						t.Errorf("%s, %s: %s and %s are %.1f apart", ground.name, name, knownEngines[i].name, knownEngines[j].name, d)
					}
				}
			}
		}
	}
}

func sq(x float64) float64 { return x * x }

// linear reads an sRGB colour as linear light.
func linear(t *testing.T, hex string) [3]float64 {
	t.Helper()
	var out [3]float64
	for i := range out {
		digits := strings.IndexByte("0123456789abcdef", hex[1+2*i])*16 + strings.IndexByte("0123456789abcdef", hex[2+2*i])
		if digits < 0 {
			t.Fatalf("colour %q", hex)
		}
		if c := float64(digits) / 255; c <= 0.04045 {
			out[i] = c / 12.92
		} else {
			out[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return out
}

func apply(m [3][3]float64, c [3]float64) (out [3]float64) {
	for i := range out {
		for j := range c {
			out[i] += m[i][j] * c[j]
		}
		out[i] = min(max(out[i], 0), 1)
	}
	return out
}

func luminance(c [3]float64) float64 { return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2] }

func contrast(a, b [3]float64) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// lab is a colour in CIE L*a*b* under D65, where distance is difference as seen.
func lab(c [3]float64) [3]float64 {
	f := func(v float64) float64 {
		if v > 216.0/24389 {
			return math.Cbrt(v)
		}
		return (24389.0/27*v + 16) / 116
	}
	x := f((0.4124*c[0] + 0.3576*c[1] + 0.1805*c[2]) / 0.95047)
	y := f(luminance(c))
	z := f((0.0193*c[0] + 0.1192*c[1] + 0.9505*c[2]) / 1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}
