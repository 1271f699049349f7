package gobench

import (
	"reflect"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	got, err := Read(strings.NewReader(`goos: linux
pkg: example.org/providers/table
BenchmarkInsert/provider=lsm-2   100   2000 ns/op   150000.5 rows/s
    bench_test.go:1: a line of a log
pkg: example.org/engine
BenchmarkGet   100   7100 p50-ns
PASS
`))
	want := []Result{
		{"table", "Insert/provider=lsm", map[string]float64{"ns/op": 2000, "rows/s": 150000.5}},
		{"engine", "Get", map[string]float64{"p50-ns": 7100}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for name, wrong := range map[string]string{"nothing": "PASS\n", "no number": "BenchmarkGet 1 x ns/op\n"} {
		if got, err := Read(strings.NewReader(wrong)); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, of := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := Median(of); got != want {
			t.Errorf("%v of %v; want %v", got, of, want)
		}
	}
}
