package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
)

// fact is a property of the run.
type fact struct{ Name, Text string }

// facts are the conditions of the run.
func (v *view) facts() []fact {
	r := v.run
	f := []fact{
		{"Run", fmt.Sprintf("%s profile, %s, %s", orNone(r.Profile), r.Started.UTC().Format("2006-01-02 15:04 MST"), elapsed(r.Seconds))},
		{"Commit", orNone(r.Commit)},
		{"Processor", fmt.Sprintf("%s, %s, GOMAXPROCS %d", orNone(r.CPU), plural(r.Cores, "core"), r.GOMAXPROCS)},
		{"Memory", byteSize(float64(r.RAMBytes)) + "; limit on each engine: " + memoryLimit(r.MemoryLimit)},
		{"System", fmt.Sprintf("%s, %s; file system %s", orNone(r.OS), orNone(r.Kernel), orNone(r.FileSystem))},
		{"Go", strings.TrimPrefix(orNone(r.Versions["go"]), "go") + ", GOGC " + orNone(r.GOGC)},
		{"Cache", byteSize(float64(r.CacheBytes)) + " for each engine that takes one"},
		{"Rounds", fmt.Sprintf("%d, engines interleaved; seed %d", r.Rounds, r.Seed)},
	}
	if r.HarnessNs > 0 {
		f = append(f, fact{"Harness", duration(r.HarnessNs) + " for an operation that does nothing; it is part of every figure"})
	}
	return f
}

func orNone(s string) string {
	if s = oneLine(s); s == "" {
		return none
	}
	return s
}

func elapsed(seconds float64) string {
	if !isFigure(seconds) || seconds > 1e9 {
		return none
	}
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

func memoryLimit(m result.MemoryLimit) string {
	if m.Bytes == 0 {
		return orNone(m.How)
	}
	return byteSize(float64(m.Bytes)) + ", " + orNone(m.How)
}

// limitRow is one limit of the machine, before and after the run.
type limitRow struct{ Name, Before, After, Drift string }

// limitRows lists the limits that were measured.
func (v *view) limitRows() []limitRow {
	var rows []limitRow
	before, after := v.run.LimitsBefore, v.run.LimitsAfter
	add := func(name string, format func(float64) string, figure func(*result.Limits) float64) {
		get := func(l *result.Limits) float64 {
			if l == nil {
				return 0
			}
			return figure(l)
		}
		b, a := get(before), get(after)
		if b <= 0 && a <= 0 {
			return
		}
		row := limitRow{name, none, none, none}
		if b > 0 {
			row.Before = format(b)
		}
		if a > 0 {
			row.After = format(a)
		}
		if a > 0 && b > 0 {
			row.Drift = times(a / b)
		}
		rows = append(rows, row)
	}
	one := cmp.Or(before, after)
	if one == nil {
		return nil
	}
	names := func(of func(*result.Limits) map[string]float64) []string {
		all := map[string]bool{}
		for _, l := range []*result.Limits{before, after} {
			if l != nil {
				for name := range of(l) {
					all[name] = true
				}
			}
		}
		return slices.Sorted(maps.Keys(all))
	}
	add("flush of 4 KiB over a recycled file, by "+orNone(one.FlushPrimitive), duration, func(l *result.Limits) float64 { return l.FlushNs })
	add("R, such flushes a second", rate, func(l *result.Limits) float64 { return perSecond(l.FlushNs) })
	for _, name := range names(func(l *result.Limits) map[string]float64 { return l.Flushes }) {
		if name != one.FlushPrimitive {
			add("flush, by "+oneLine(name), duration, func(l *result.Limits) float64 { return l.Flushes[name] })
		}
	}
	add("direct read of 4 KiB, depth 1", duration, func(l *result.Limits) float64 { return l.Read1Ns })
	ways := names(func(l *result.Limits) map[string]float64 { return l.Reads32 })
	for _, name := range ways {
		add("direct reads of 4 KiB, depth 32, by "+oneLine(name), rate, func(l *result.Limits) float64 { return l.Reads32[name] })
	}
	if len(ways) == 0 {
		add("direct reads of 4 KiB, depth 32", rate, func(l *result.Limits) float64 { return l.Read32PerS })
	}
	add("sequential direct write of 1 MiB blocks", byteRate, func(l *result.Limits) float64 { return l.WriteBytesPerS })
	sets := names(func(l *result.Limits) map[string]float64 { return l.MissNs })
	slices.SortFunc(sets, func(a, b string) int {
		return cmp.Or(cmp.Compare(numberOf(a), numberOf(b)), cmp.Compare(a, b))
	})
	for _, set := range sets {
		text := oneLine(set)
		if n := numberOf(set); n > 0 {
			text = byteSize(n)
		}
		add("dependent read of memory over "+text, duration, func(l *result.Limits) float64 { return l.MissNs[set] })
	}
	return rows
}

func perSecond(ns float64) float64 {
	if ns <= 0 {
		return 0
	}
	return 1e9 / ns
}

// numberOf reads a number, 0 if s is none.
func numberOf(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return n
}

// engineRow is what is known of an engine beside its figures.
type engineRow struct {
	engine
	Settings string
}

func (v *view) engineRows() []engineRow {
	var out []engineRow
	for _, e := range v.engines {
		out = append(out, engineRow{e, orNone(v.run.Settings[e.Name])})
	}
	return out
}

// dataRow describes a data set.
type dataRow struct {
	Name, Records, Key, Value, Size, Source, Hash string
}

func (v *view) dataRows() []dataRow {
	var out []dataRow
	for _, d := range v.run.Data {
		source := orNone(d.Source)
		if d.SourceRows > 0 {
			source += ", " + count(int64(d.SourceRows)) + " rows"
		}
		out = append(out, dataRow{d.Name, count(int64(d.Records)), byteSize(d.KeyBytes), byteSize(d.ValueBytes),
			byteSize(float64(d.Records) * (d.KeyBytes + d.ValueBytes)), source, orNone(d.Hash)})
	}
	return out
}

// notes are the remarks of the run and of its limits, each once.
func (v *view) notes() []string {
	var out []string
	add := func(prefix string, notes []string) {
		for _, n := range notes {
			if n = prefix + oneLine(n); !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	add("", v.run.Notes)
	for _, l := range []*result.Limits{v.run.LimitsBefore, v.run.LimitsAfter} {
		if l != nil {
			add("Limits: ", l.Notes)
		}
	}
	return append(out, v.cellNotes()...)
}

// cellNotes are the remarks on cells: one for each workload and data set, which
// names the engines that share a text.
func (v *view) cellNotes() []string {
	var out []string
	for _, s := range seriesOf(v.cells(func(m *result.Measurement) bool { return m.Note != "" })) {
		var texts []string
		engines := map[string][]string{}
		for _, e := range v.engines {
			if m := s.by[e.Name]; m != nil {
				text := oneLine(m.Note)
				if engines[text] == nil {
					texts = append(texts, text)
				}
				engines[text] = append(engines[text], e.Title)
			}
		}
		parts := make([]string, len(texts))
		for i, text := range texts {
			parts[i] = strings.Join(engines[text], ", ") + ": " + text
		}
		where := s.workload + ", " + s.data
		if s.class != "-" {
			where += ", " + s.class
		}
		out = append(out, where+", "+s.detail()+": "+strings.Join(parts, "; "))
	}
	return out
}

// banner says at the top what keeps the run from being whole, or is empty.
func (v *view) banner() string {
	failed := 0
	for _, e := range v.engines {
		failed += e.Failed
	}
	var parts []string
	if v.run.Partial {
		parts = append(parts, "This run was cut short: what is here is valid, the rest is missing.")
	}
	if failed > 0 {
		is := "cells have"
		if failed == 1 {
			is = "cell has"
		}
		parts = append(parts, fmt.Sprintf("%d of %d %s no figures; the errors are listed at the end.", failed, len(v.r.Measurements), is))
	}
	return strings.Join(parts, " ")
}

// howToRead is said above the comparison.
const howToRead = "Latency counts from the intended start of a call, in an open loop at a fixed share of the closed loop's rate; " +
	"ops/s is of the closed loop. Of a call that gets several keys at once, each key has its share. " +
	"Beside each figure stands its ratio to the best of its row. " +
	"Durability classes are never compared with one another."
