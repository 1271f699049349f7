package enginebench

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// sample has figures of an engine, two peers and the machine.
func sample() *Result {
	r := &Result{Suite: "tree", Engine: "tree", Peers: []string{"a", "b"}, Versions: map[string]string{}, Rounds: 3}
	for engine, rounds := range map[string][]float64{"tree": {100, 210, 330}, "a": {200, 200, 300}, "b": {250, 250, 250}, Machine: {50}} {
		for _, v := range rounds {
			r.add(sectionReads, "get", engine, "ns", v)
		}
	}
	r.add(sectionReads, "nothing", "a", "", 0)
	return r
}

// TestGoals: each goal is met on one side of its bound and missed on the other.
func TestGoals(t *testing.T) {
	own := Ref{Name: "get"}
	for what, c := range map[string]struct {
		goal     Goal
		measured float64
		met      bool
		against  string
	}{
		"a figure within its bound":   {Goal{Of: own, Most: 210}, 210, true, ""},
		"a figure beyond its bound":   {Goal{Of: own, Most: 209}, 210, false, ""},
		"enough":                      {Goal{Of: own, Least: 210}, 210, true, ""},
		"not enough":                  {Goal{Of: own, Least: 211}, 210, false, ""},
		"the rounds' ratios, met":     {Goal{Of: own, Over: Ref{"get", "a"}, Most: 1.05}, 1.05, true, ""},
		"the rounds' ratios, missed":  {Goal{Of: own, Over: Ref{"get", "a"}, Most: 1}, 1.05, false, ""},
		"other rounds: the medians":   {Goal{Of: own, Over: Ref{"get", Machine}, Most: 4}, 4.2, false, ""},
		"the best peer, less is more": {Goal{Of: own, Over: Ref{"get", BestPeer}, Most: 2}, 1.05, true, "a"},
		"the best peer, more is more": {Goal{Of: own, Over: Ref{"get", BestPeer}, Least: 1}, 0.84, false, "b"},
	} {
		o := sample().outcome(c.goal)
		if o.Measured == nil || math.Abs(*o.Measured-c.measured) > 1e-9 || o.Met != c.met || o.Against != c.against {
			t.Errorf("%s: measured %v, met %v, against %q", what, o.measured(), o.Met, o.Against)
		}
	}
}

// TestGoalWithoutFigureIsNotMet: what was not measured is neither met nor missed.
func TestGoalWithoutFigureIsNotMet(t *testing.T) {
	for _, g := range []Goal{
		{Of: Ref{Name: "put"}, Most: 1},
		{Of: Ref{Name: "get"}, Over: Ref{"get", "c"}, Most: 1},
		{Of: Ref{Name: "get"}, Over: Ref{"put", BestPeer}, Most: 1},
		{Of: Ref{Name: "get"}, Over: Ref{"nothing", "a"}, Most: 1},
	} {
		if o := sample().outcome(g); o.Met || o.Measured != nil || o.Why == "" {
			t.Errorf("%+v: %+v", g, o)
		}
	}
}

func TestTable(t *testing.T) {
	r := sample()
	r.leaveOut("the moon: too far")
	r.Goals = r.judge([]Goal{
		{sectionReads, "this is met", Ref{Name: "get"}, Ref{}, 1000, 0, "ns"},
		{sectionReads, "this is missed", Ref{Name: "get"}, Ref{}, 10, 0, "ns"},
		{sectionReads, "this is not measured", Ref{Name: "put"}, Ref{}, 10, 0, "ns"},
	})
	var b bytes.Buffer
	r.Write(&b)
	for _, want := range []string{
		"1 met, 1 missed, 1 not measured", "**LEFT OUT: the moon: too far**",
		"| this is met | ≤ 1,000 ns | 210 ns | met |", "| this is missed | ≤ 10.0 ns | 210 ns | ✗ missed |",
		`| this is not measured | ≤ 10.0 ns | — | not measured: no figure "put" of tree |`,
		"| get | ns | 210 (100 to 330) | 200 (200 to 300) | 250 (250 to 250) | 50.0 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
	svg := string(r.Pictures()["tree-goals.svg"])
	for _, want := range []string{"this is missed: 210 ns", "not measured"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

// TestEachGoalHasOneBound keeps a goal from being out of reach, or always met, by
// a slip in the list.
func TestEachGoalHasOneBound(t *testing.T) {
	for _, suite := range []suite{treeSuite, lsmSuite} {
		goals := suite.goals(suite.full.cut(0), "rocksdb")
		if len(goals) < 30 {
			t.Errorf("%s: %d goals", suite.name, len(goals))
		}
		seen := map[string]bool{}
		for _, g := range goals {
			if (g.Most > 0) == (g.Least > 0) || g.Of.Name == "" || g.Unit == "" || seen[g.Text] {
				t.Errorf("%s: %+v", suite.name, g)
			}
			seen[g.Text] = true
		}
		if small := suite.goals(suite.full.cut(10_000), "rocksdb"); len(small) >= len(goals) {
			t.Errorf("%s: %d goals for the sizes up to 10,000", suite.name, len(small))
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -100: "-100"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %q", n, got)
		}
	}
	for v, want := range map[float64]string{0: "0.00", 0.0123: "0.0123", 0.45: "0.45", -3.14: "-3.14", 12.34: "12.3", 12345.6: "12,346"} {
		if got := short(v); got != want {
			t.Errorf("%v is written %q", v, got)
		}
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("the median of 1 to 4 is %v", m)
	}
}

func TestStatus(t *testing.T) {
	text := "Name:\tx\nVmRSS:\t   2048 kB\nRssAnon:\nThreads:\t4\n"
	if n, ok := parseStatus(text, "VmRSS:"); !ok || n != 2<<20 {
		t.Errorf("VmRSS is %v, %v", n, ok)
	}
	for _, field := range []string{"RssAnon:", "RssFile:"} {
		if n, ok := parseStatus(text, field); ok {
			t.Errorf("%s is %v", field, n)
		}
	}
}
