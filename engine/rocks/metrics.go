//go:build rocksdb

package rocks

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Metrics asks RocksDB's properties, of all families together. BytesFlushed is
// what was written to level 0, BytesCompacted what was written to the others, to
// the KiB; an ingestion counts as one or the other.
func (s *store) Metrics() engine.Metrics {
	var m engine.Metrics
	if s.life.Enter() != nil {
		return m
	}
	defer s.life.Exit()
	m.BytesApplied = s.applied.Load()
	m.OpenIterators, m.OpenSnapshots = s.life.Open()
	m.DiskBytes = diskUsage(s.dir)
	m.MemoryBytes = s.settings.cache.GetUsage()
	if s.options.Statistics {
		m.CacheHits, m.CacheMisses = s.native.cacheCounts()
	} else {
		m.Missing = []string{"CacheHits", "CacheMisses"}
	}
	defaultFamily := s.family.native
	database := s.native.mapProperty(defaultFamily, "rocksdb.dbstats")
	m.BytesLogged = uint64(number(database["db.wal_bytes_written"]))
	m.StallTime = time.Duration(number(database["db.user_write_stall_micros"])) * time.Microsecond
	m.Other = map[string]float64{
		"log_syncs":         number(database["db.wal_syncs"]),
		"block_cache_bytes": float64(m.MemoryBytes),
	}
	for _, f := range s.enterFamilies() {
		s.addFamily(&m, f)
		f.exit()
	}
	return m
}

// addFamily adds what one family has.
func (s *store) addFamily(m *engine.Metrics, f *family) {
	property := func(name string) uint64 {
		n, _ := s.db.GetIntPropertyCF("rocksdb."+name, f.handle)
		return n
	}
	memtables := property("size-all-mem-tables")
	readers := property("estimate-table-readers-mem")
	m.MemoryBytes += memtables + readers
	m.CompactionDebtBytes += property("estimate-pending-compaction-bytes")
	m.Other["memtable_bytes"] += float64(memtables)
	m.Other["table_reader_bytes"] += float64(readers)
	m.Other["background_errors"] += float64(property("background-errors"))

	stats := s.native.mapProperty(f.native, "rocksdb.cfstats")
	m.Stalls += uint64(number(stats["io_stalls.total_stop"]) + number(stats["io_stalls.total_slowdown"]))
	for name, value := range stats {
		level, stat, ok := levelStat(name)
		if !ok {
			continue
		}
		for len(m.Levels) <= level {
			m.Levels = append(m.Levels, engine.LevelMetrics{})
		}
		switch stat {
		case "NumFiles":
			m.Levels[level].Files += int64(number(value))
		case "SizeBytes":
			m.Levels[level].Bytes += uint64(number(value))
		case "WriteGB":
			written := uint64(number(value) * (1 << 30))
			if level == 0 {
				m.BytesFlushed += written
			} else {
				m.BytesCompacted += written
			}
		}
	}
}

// levelStat reads the name "compaction.L0.WriteGB".
func levelStat(name string) (level int, stat string, ok bool) {
	rest, ok := strings.CutPrefix(name, "compaction.L")
	if !ok {
		return 0, "", false
	}
	digits, stat, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, "", false
	}
	level, err := strconv.Atoi(digits)
	return level, stat, err == nil
}

// number reads a figure of RocksDB's; what is none is 0.
func number(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return f
}

// diskUsage is the size of the files in dir.
func diskUsage(dir string) (bytes uint64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		// A file that is gone in between has no size.
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			bytes += allocated(info)
		}
	}
	return bytes
}

// allocated is what a file occupies: RocksDB reserves space for its log ahead,
// beyond the file's size.
func allocated(info os.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Blocks) * 512
	}
	return uint64(info.Size())
}
