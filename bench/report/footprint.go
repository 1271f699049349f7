package report

import (
	"github.com/orbit-persistence/orbit/bench/result"
)

// footprints say what the engines need: one table for each data set, with one
// group for each workload and durability class.
func (v *view) footprints() []table {
	perByte := metric{name: "disk ÷ data", title: "bytes on disk per byte of keys and values in the store",
		value: func(m *result.Measurement) float64 { return float64(m.DiskBytes) / v.logicalBytes(m) }, format: times, zero: true, plain: true}
	median := metric{name: "p50", title: "median", value: medianNs, format: duration}
	reopen := median
	reopen.name, reopen.title = "time", "from the reopening after kill -9 to the first read, median"
	loadRate := throughput
	loadRate.name, loadRate.title = "records/s", "bulk load of the sorted data set"

	// In the order shown. Cells of more clients than the fewest add little.
	kinds := []struct {
		workload string
		metrics  []metric
	}{
		{"load", []metric{loadRate, cpuPerOp, writeAmp, disk, perByte, rss, stalls}},
		{"put", []metric{writeAmp, disk, rss, stalls}}, // adds records, so that their size is not known
		{"overwrite", []metric{writeAmp, disk, perByte, rss, stalls}},
		{"get-uniform", []metric{rss, disk, perByte}},
		{"recovery", []metric{reopen, rss, disk}},
		{"snapshot", []metric{median, p99, rss}},
	}
	var out []table
	for _, data := range v.data {
		t := table{
			ID:    fileName("need", data),
			Title: data,
		}
		var groups []func(engines []engine) group
		var used []*series
		for _, k := range kinds {
			for _, s := range fewestClients(seriesOf(v.cells(func(m *result.Measurement) bool { return m.Data == data && m.Workload == k.workload }))) {
				used = append(used, s)
				detail := s.detail()
				if s.class != "-" {
					detail = s.class + ", " + detail
				}
				groups = append(groups, func(engines []engine) group { return v.group(s, s.workload, detail, engines, k.metrics) })
			}
		}
		if t.Engines = v.among(used); len(used) == 0 {
			continue
		}
		for _, g := range groups {
			t.Groups = append(t.Groups, g(t.Engines))
		}
		out = append(out, t)
	}
	return out
}

// fewestClients keeps, of series that differ in the number of clients only,
// the one with the fewest; ss is in the order of seriesOf.
func fewestClients(ss []*series) []*series {
	var out []*series
	for _, s := range ss {
		if n := len(out); n > 0 && out[n-1].workload == s.workload && out[n-1].class == s.class && out[n-1].clients < s.clients {
			continue
		}
		out = append(out, s)
	}
	return out
}
