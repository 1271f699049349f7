package lsm

import (
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Metrics implements engine.Engine. Other has:
//
//	memtable_bytes, memtables                   memory of changes not in tables yet
//	table_memory_bytes, block_cache_bytes       indexes and filters of open tables; blocks
//	open_files, files_opened                    tables and value files that are open, and how often one was
//	table_bytes, value_bytes, value_live_bytes  files of tables, of values, what of these is of use
//	damaged_value_files                         met by merges, which leave what they hold where it is
//	entries, tombstones, range_tombstones       in tables
//	flushes, compactions, moves                 made since the store was opened
//	compaction_read_bytes, values_moved_bytes
//	flush_seconds, compaction_seconds
//	write_amplification                         bytes written to tables for each that was applied
//	read_amplification                          the runs that a get may have to look into
//	space_amplification                         bytes of tables for each of the last level
//	top_runs, longest_stall_seconds, write_rate_bytes  the last is what writers are held to; 0 for nothing
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	st := e.hold()
	defer e.releaseState(st)
	c := &e.counters
	iterators, snapshots := e.life.Open()
	l := st.levels
	memtables, memBytes := 1, st.mem.bytes()
	for _, q := range st.queue {
		if q.mem != nil {
			memtables++
			memBytes += q.mem.bytes()
		}
	}
	e.mu.Lock()
	rate := e.pace.rate
	e.mu.Unlock()
	var logged int64
	logs := filepath.Join(e.dir, logName)
	if names, err := e.fs.List(logs); err == nil {
		for _, name := range names {
			if info, err := e.fs.Stat(filepath.Join(logs, name)); err == nil {
				logged += info.Allocated
			}
		}
	}
	levels := []engine.LevelMetrics{{}}
	for _, r := range l.top {
		levels[0].Files += int64(len(r.tables))
		levels[0].Bytes += uint64(r.bytes())
	}
	runs := len(l.top)
	for _, r := range l.below {
		if len(r.tables) > 0 {
			runs++
		}
		levels = append(levels, engine.LevelMetrics{Files: int64(len(r.tables)), Bytes: uint64(r.bytes())})
	}
	var tables, values, live int64
	var entries, deletes, ranges uint64
	seen := map[uint64]bool{}
	for _, t := range l.all {
		if !seen[t.number] {
			seen[t.number] = true
			tables += t.bytes
			entries += t.entries
			deletes += t.deletes
			ranges += t.ranges
		}
	}
	damaged := 0
	for _, v := range l.values {
		values += v.bytes
		if v.damaged.Load() {
			damaged++
		}
	}
	for _, n := range l.uses() {
		live += n
	}
	applied := c.applied.Load()
	ratio := func(a, b float64) float64 {
		if b == 0 {
			return 0
		}
		return a / b
	}
	last := l.below[len(l.below)-1].bytes()
	return engine.Metrics{
		DiskBytes:           uint64(tables + values + logged),
		MemoryBytes:         uint64(e.cache.used() + memBytes + e.tableMemory.Load()),
		BytesApplied:        applied,
		BytesLogged:         e.log.Stats().Bytes,
		BytesFlushed:        c.flushed.Load(),
		BytesCompacted:      c.compacted.Load(),
		CacheMisses:         e.cache.misses.Load(),
		CompactionDebtBytes: uint64(e.debt(l)),
		Stalls:              c.stalls.Load(),
		StallTime:           time.Duration(c.stallTime.Load()),
		OpenIterators:       iterators,
		OpenSnapshots:       snapshots,
		Levels:              levels,
		// A hit is not counted: that would be a write to shared memory at every get.
		Missing: []string{"CacheHits"},
		Other: map[string]float64{
			"memtable_bytes":        float64(memBytes),
			"memtables":             float64(memtables),
			"table_memory_bytes":    float64(e.tableMemory.Load()),
			"block_cache_bytes":     float64(e.cache.used()),
			"open_files":            float64(e.files.open.Load()),
			"files_opened":          float64(e.files.opened.Load()),
			"table_bytes":           float64(tables),
			"value_bytes":           float64(values),
			"value_live_bytes":      float64(live),
			"damaged_value_files":   float64(damaged),
			"entries":               float64(entries),
			"tombstones":            float64(deletes),
			"range_tombstones":      float64(ranges),
			"flushes":               float64(c.flushes.Load()),
			"compactions":           float64(c.compactions.Load()),
			"moves":                 float64(c.moves.Load()),
			"compaction_read_bytes": float64(c.compactionRead.Load()),
			"values_moved_bytes":    float64(c.values.Load()),
			"flush_seconds":         time.Duration(c.flushTime.Load()).Seconds(),
			"compaction_seconds":    time.Duration(c.compactTime.Load()).Seconds(),
			"write_amplification":   ratio(float64(c.flushed.Load()+c.compacted.Load()), float64(applied)),
			"read_amplification":    float64(runs),
			"space_amplification":   ratio(float64(tables), float64(last)),
			"top_runs":              float64(len(l.top)),
			"longest_stall_seconds": time.Duration(c.longestStall.Load()).Seconds(),
			"write_rate_bytes":      rate,
		},
	}
}

// debt is about how many bytes merges have before them: what is above its level's share,
// once for each level that it has to go down.
func (e *Engine) debt(l *levels) int64 {
	base, target := e.targets(l)
	var debt int64
	if len(l.top) >= e.options.CompactionThreshold {
		for _, r := range l.top {
			debt += r.bytes()
		}
		debt += l.below[base-1].bytes()
	}
	for level := 1; level < len(l.below); level++ {
		if n := l.below[level-1].bytes(); float64(n) > target[level] {
			debt += n - int64(target[level])
		}
	}
	return debt
}
