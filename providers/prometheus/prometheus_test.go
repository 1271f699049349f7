package prometheus_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	_ "github.com/orbit-persistence/orbit/providers/memory"
	orbit "github.com/orbit-persistence/orbit/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// TestCollector: what is done is counted under the names that the alerts ask for.
func TestCollector(t *testing.T) {
	p, err := providers.Open(t.Context(), providers.Config{Backend: "memory", Name: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 3 {
		if _, err := p.Put(t.Context(), []byte("k"), []byte("v"), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(orbit.New(func() []*providers.Provider { return []*providers.Provider{p} })); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		m := f.GetMetric()[0]
		if len(m.GetLabel()) != 2 || m.GetLabel()[0].GetValue() != "memory" || m.GetLabel()[1].GetValue() != "main" {
			t.Errorf("%s has labels %v", f.GetName(), m.GetLabel())
		}
		switch f.GetName() {
		case "orbit_write_operations_total":
			if m.GetCounter().GetValue() != 3 {
				t.Errorf("writes: %v", m)
			}
		case "orbit_write_latency_seconds":
			h := m.GetHistogram()
			if last := h.GetBucket()[len(h.GetBucket())-1]; h.GetSampleCount() != 3 || last.GetCumulativeCount() != 3 || h.GetSampleSum() <= 0 {
				t.Errorf("latencies: %v", m)
			}
		}
	}
	if len(names) != 15 {
		t.Errorf("%d metrics: %v", len(names), names)
	}
	asked := regexp.MustCompile(`orbit_\w+`).FindAllString(orbit.Alerts, -1)
	if len(asked) < 9 {
		t.Errorf("the alerts ask for %q", asked)
	}
	for _, name := range asked {
		if !names[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("the alerts ask for %s, which there is not", name)
		}
	}
	for _, threshold := range []string{"> 0.1\n", "> 0.01\n", "> 0.001\n", "> 80\n", "> 85\n", "> 10\n"} {
		if !strings.Contains(orbit.Alerts, threshold) {
			t.Errorf("no alert has the threshold %q", threshold)
		}
	}
}
