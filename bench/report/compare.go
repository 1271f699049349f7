package report

import (
	"github.com/orbit-persistence/orbit/bench/result"
)

// apart are the workloads that have a table of their own: they do not measure
// one operation after another.
var apart = map[string]bool{"load": true, "recovery": true, "snapshot": true}

// comparisons are the engines side by side: one table for each data set and
// durability class, for classes are not comparable.
func (v *view) comparisons() []table {
	var out []table
	for _, data := range v.data {
		all := seriesOf(v.cells(func(m *result.Measurement) bool { return m.Data == data && !apart[m.Workload] }))
		var seen []string
		for _, s := range all {
			seen = append(seen, s.class)
		}
		for _, class := range byRank(classes, seen) {
			var ss []*series
			for _, s := range all {
				if s.class == class {
					ss = append(ss, s)
				}
			}
			t := table{
				ID:      fileName("cmp", data, classHead(class)),
				Title:   data + " · " + classHead(class),
				Intro:   classTitles[class],
				Engines: v.among(ss),
			}
			for _, s := range ss {
				g := v.group(s, s.workload, s.detail(), t.Engines, operationMetrics(s))
				t.Limits = t.Limits || len(g.Limits) > 0
				t.Groups = append(t.Groups, g)
			}
			out = append(out, t)
		}
	}
	return out
}

// operationMetrics are the metrics of operations one after another. Latency is
// that of the open loop; the closed loop's takes its place only where no engine
// of the series has an open one, so that the two are never compared.
func operationMetrics(s *series) []metric {
	for _, m := range s.by {
		if m.P50Ns > 0 {
			return []metric{p50, p50ToLimit, p99, p999, throughput, cpuPerOp}
		}
	}
	return []metric{callP50, callP99, throughput, cpuPerOp}
}
