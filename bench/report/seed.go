package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/bench/result"
)

// seedIntro says how far the claims can be compared with what was measured.
const seedIntro = "Beside each claim of the seed stands what this run measured on the actor lease, in each durability class, " +
	"and the machine's own limit. The claims come from three writes and three reads for each backend, on unknown hardware, " +
	"and not in one durability class: only RocksDB flushed its writes."

// seedColumns are the backends of the seed's table, as it names them.
var seedColumns = [4]struct{ engine, title string }{
	{"cowbtree", "COW B+ Tree"},
	{"lsm", "LSM-Tree"},
	{"rocksdb", "RocksDB"},
	{"memory", "Memory"},
}

// seedTable is the seed's comparison of its backends, with what was measured.
type seedTable struct {
	Columns []seedColumn
	Rows    []seedRow
}

type seedColumn struct {
	Title   string
	Version string
	Index   int
	// Absent says why the engine has no figures, and is empty if it has.
	Absent string
}

type seedRow struct {
	Name string
	// What says what the lines of the cells show.
	What  string
	Cells []seedCell
	// Limits of the machine, one a line.
	Limits []string
}

type seedCell struct {
	Claim string
	Lines []seedLine
}

// seedLine is one measured case. Parts are its figures; a cell without any has
// an em dash.
type seedLine struct {
	Label string
	Parts []string
	Title string
	Note  int
}

// seedData is the data set of the seed's table: its claims are about leases.
func (v *view) seedData() string {
	if slices.Contains(v.data, "lease") || len(v.data) == 0 {
		return "lease"
	}
	return v.data[0]
}

// one finds the cell of an engine with the fewest clients.
func (v *view) one(engine, workload, class string) *result.Measurement {
	data := v.seedData()
	var best *result.Measurement
	for _, m := range v.cells(func(m *result.Measurement) bool {
		return m.Engine == engine && m.Workload == workload && m.Data == data && m.Durability == class
	}) {
		if best == nil || m.Clients < best.Clients {
			best = m
		}
	}
	return best
}

// line shows a cell by its figures.
func (v *view) line(label string, m *result.Measurement, figures func(*result.Measurement) []string) seedLine {
	switch {
	case m == nil:
		return seedLine{Label: label, Title: "not measured in this run"}
	case m.Error != "":
		return seedLine{Label: label, Parts: []string{shortError(m.Error)}, Title: oneLine(m.Error), Note: v.errors.number(m)}
	}
	return seedLine{Label: label, Parts: figures(m)}
}

func latencyParts(m *result.Measurement) []string {
	p := []string{duration(medianNs(m))}
	tail := m.P99Ns
	if m.P50Ns == 0 {
		tail = m.ServiceP99Ns
	}
	if tail > 0 {
		p = append(p, duration(tail))
	} else {
		p = append(p, none)
	}
	if m.LimitNs > 0 {
		p = append(p, times(medianNs(m)/m.LimitNs))
	}
	return p
}

func cpuParts(m *result.Measurement) []string {
	if m.CPUNsPerOp <= 0 {
		return nil
	}
	return []string{duration(m.CPUNsPerOp)}
}

func memoryParts(m *result.Measurement) []string {
	if m.RSSBytes == 0 {
		return nil
	}
	return []string{byteSize(float64(m.RSSBytes))}
}

// written are the durability classes, without that of reads.
var written = classes[:len(classes)-1]

func (v *view) seedTable() seedTable {
	var t seedTable
	for _, c := range seedColumns {
		t.Columns = append(t.Columns, v.seedColumn(c.engine, c.title))
	}
	rows := []struct {
		name, what string
		claims     [4]string
		lines      func(engine string) []seedLine
		limits     []string
	}{
		{"Write Latency", "put, 1 client: p50 · p99 · p50 ÷ limit", [4]string{"~41μs", "~38μs", "~53μs", "<1μs"},
			func(e string) []seedLine { return v.byClass(e, "put", written, latencyParts) },
			v.seedLimits("put", written)},
		{"Read Latency", "get-uniform, 1 client: p50 · p99 · p50 ÷ limit", [4]string{"<1μs", "~0.3μs", "~19μs", "<1μs"},
			func(e string) []seedLine {
				return []seedLine{v.line("get", v.one(e, "get-uniform", "-"), latencyParts)}
			},
			v.seedLimits("get-uniform", classes[len(classes)-1:])},
		{"Memory Usage", "resident memory of the process after the cell", [4]string{"Low", "Medium", "High", "Low"},
			func(e string) []seedLine {
				return append(v.byClass(e, "put", written, memoryParts), v.line("get", v.one(e, "get-uniform", "-"), memoryParts))
			},
			v.seedSizes()},
		{"Disk Usage", "directory · per byte of data; bytes written to the device per byte put", [4]string{"Low", "Medium (write amp)", "High (write amp)", "None"},
			v.seedDisk, v.seedSizes()},
		{"CPU Usage", "of the whole process, per put by class and per get", [4]string{"Low", "Medium (compaction)", "High", "Low"},
			func(e string) []seedLine {
				return append(v.byClass(e, "put", written, cpuParts), v.line("get", v.one(e, "get-uniform", "-"), cpuParts))
			},
			v.seedHarness()},
		{"Crash Recovery", "kill -9, then from reopening to the first read", [4]string{"WAL Replay", "WAL + SSTable", "Built-in", "None"},
			v.seedRecovery, nil},
		{"Production Ready", "what this run can say: its cells, on all data", [4]string{"Beta", "Beta", "Stable", "Stable"},
			v.seedEvidence, nil},
	}
	for _, r := range rows {
		row := seedRow{Name: r.name, What: r.what, Limits: r.limits}
		for i, c := range seedColumns {
			cell := seedCell{Claim: r.claims[i]}
			if t.Columns[i].Absent == "" {
				cell.Lines = r.lines(c.engine)
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (v *view) seedColumn(name, title string) seedColumn {
	c := seedColumn{Title: title, Index: slices.IndexFunc(knownEngines, func(k struct{ name, title string }) bool { return k.name == name })}
	version, built := v.run.Versions[name]
	c.Version = oneLine(version)
	switch {
	case slices.ContainsFunc(v.engines, func(e engine) bool { return e.Name == name }):
	case built || name == "memory" || name == "rocksdb":
		c.Absent = "not in this run"
	default:
		c.Absent = "not built yet"
	}
	return c
}

func (v *view) byClass(engine, workload string, classes []string, figures func(*result.Measurement) []string) []seedLine {
	var out []seedLine
	for _, class := range classes {
		out = append(out, v.line(class, v.one(engine, workload, class), figures))
	}
	return out
}

// seedLimits names the limits that the cells of a row are held against, each
// once, with the classes that it holds for.
func (v *view) seedLimits(workload string, classes []string) []string {
	var order []limit
	holds := map[limit][]string{}
	for _, class := range classes {
		s := &series{by: map[string]*result.Measurement{}}
		for _, c := range seedColumns {
			if m := v.one(c.engine, workload, class); m != nil {
				s.by[c.engine] = m
			}
		}
		for _, l := range s.limits() {
			if holds[l] == nil {
				order = append(order, l)
			}
			holds[l] = append(holds[l], class)
		}
	}
	var out []string
	for _, l := range order {
		text := duration(l.Ns) + " " + l.Is
		if len(classes) > 1 {
			text = strings.Join(holds[l], ", ") + ": " + text
		}
		out = append(out, text)
	}
	return out
}

// seedSizes gives the size of the data, below which no store comes that keeps
// it as it is.
func (v *view) seedSizes() []string {
	for _, d := range v.run.Data {
		if size := float64(d.Records) * (d.KeyBytes + d.ValueBytes); d.Name == v.seedData() && size > 0 {
			return []string{"the data: " + byteSize(size)}
		}
	}
	return nil
}

func (v *view) seedHarness() []string {
	if v.run.HarnessNs <= 0 {
		return nil
	}
	return []string{duration(v.run.HarnessNs) + " are the harness's"}
}

func (v *view) seedDisk(engine string) []seedLine {
	var out []seedLine
	// After the load nothing but the data set is in the store.
	for _, class := range slices.Backward(written) {
		if m := v.one(engine, "load", class); m != nil {
			out = append(out, v.line("loaded", m, v.diskParts))
			break
		}
	}
	if out == nil {
		out = append(out, v.line("loaded", v.one(engine, "get-uniform", "-"), v.diskParts))
	}
	amp := func(m *result.Measurement) []string { return []string{times(m.WriteAmp)} }
	for _, class := range written {
		out = append(out, v.line("amp. "+class, v.one(engine, "put", class), amp))
	}
	return out
}

func (v *view) diskParts(m *result.Measurement) []string {
	p := []string{byteSize(float64(m.DiskBytes))}
	if size := v.logicalBytes(m); size > 0 && m.DiskBytes > 0 {
		p = append(p, times(float64(m.DiskBytes)/size))
	}
	return p
}

func (v *view) seedRecovery(engine string) []seedLine {
	var out []seedLine
	for _, class := range classes {
		if m := v.one(engine, "recovery", class); m != nil {
			label := class
			if class == "-" {
				label = "reopen"
			}
			out = append(out, v.line(label, m, func(m *result.Measurement) []string { return []string{duration(medianNs(m))} }))
		}
	}
	if out == nil {
		out = []seedLine{{Label: "reopen", Title: "not measured in this run"}}
	}
	return out
}

func (v *view) seedEvidence(name string) []seedLine {
	for _, e := range v.engines {
		if e.Name == name {
			return []seedLine{{Label: "cells", Parts: []string{fmt.Sprintf("%d passed", e.Passed), fmt.Sprintf("%d failed", e.Failed)}}}
		}
	}
	return nil
}
