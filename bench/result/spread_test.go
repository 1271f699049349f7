package result

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func run(rates map[string]float64) *Result {
	r := &Result{}
	for _, engine := range []string{"a", "b", "c"} {
		r.Measurements = append(r.Measurements,
			Measurement{Engine: engine, Workload: "put", Data: "d", Durability: "memory", Clients: 1, OpsPerS: rates[engine]},
			Measurement{Engine: engine, Workload: "get", Data: "d", Durability: "-", Clients: 1, OpsPerS: 10})
	}
	return r
}

func TestRatios(t *testing.T) {
	runs := []*Result{run(map[string]float64{"a": 100, "b": 50, "c": 0}), run(map[string]float64{"a": 120, "b": 50, "c": 10}), run(map[string]float64{"a": 110, "b": 50, "c": 10})}
	all := Ratios(runs)
	// put: a/b alone, as c has no figure in one run; get: all three pairs.
	if len(all) != 4 {
		t.Fatalf("%d ratios: %+v", len(all), all)
	}
	r := all[0]
	if r.Engine != "a" || r.Over != "b" || r.Median != 2.2 || math.Abs(r.Farthest-0.0909) > 0.001 {
		t.Errorf("%+v", r)
	}
	var out bytes.Buffer
	if err := WriteSpread(&out, runs, 0.05); err != nil || !strings.Contains(out.String(), "| a / b | 2.2 |") || !strings.Contains(out.String(), "1 (25.0 %) move by more than 5 %") {
		t.Errorf("%v\n%s", err, &out)
	}
	out.Reset()
	if err := WriteSpread(&out, nil, 0.05); err != nil || !strings.Contains(out.String(), "no cell") {
		t.Errorf("%v\n%s", err, &out)
	}
}
