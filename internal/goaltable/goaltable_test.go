package main

import (
	"io"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const output = `pkg: example.org/providers/table
BenchmarkInsert/provider=lsm-2   100   2000 ns/op   150000 rows/s
BenchmarkInsert/provider=lsm-2   100   2000 ns/op   90000.5 rows/s
BenchmarkInsert/provider=lsm-2   100   2000 ns/op   1234567 rows/s
pkg: example.org/providers/other
BenchmarkGet   100   7100 p50-ns
`
	some := &report{title: "Some", command: "make some", goals: []goal{
		{what: "insert", benchmark: "table Insert/provider=lsm", unit: "rows/s", least: 100_000, shown: "rows/s"},
		{what: "get", benchmark: "other Get", unit: "p50-ns", most: 6_000, scale: 1e-3, shown: "µs"},
		{what: "no goal", benchmark: "other Get", unit: "p50-ns", shown: "ns"},
	}, notes: "A note.\n"}
	text, err := some.write(strings.NewReader(output))
	want := "| insert | ≥ 100,000 rows/s | 150,000 | 90,000 | 1,234,567 | 3 | ✓ |\n| get | ≤ 6 µs | 7.1 | 7.1 | 7.1 | 1 | ✗ missed |\n| no goal | none, in ns | 7,100 | 7,100 | 7,100 | 1 |  |\n\nA note.\n"
	if err != nil || !strings.HasSuffix(text, want) {
		t.Errorf("%s%v", text, err)
	}
	if text, err := some.write(strings.NewReader("pkg: p/table\nBenchmarkInsert 1 2 rows/s\n")); err == nil {
		t.Errorf("without the benchmark of a goal: %s", text)
	}
}

func TestRun(t *testing.T) {
	for _, args := range [][]string{nil, {"flash", "operations"}, {"other"}} {
		if err := run(args, strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "flash|operations") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
