package all_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// reaches holds an option to what the foreign engine itself writes, into the file
// OPTIONS of its directory, that it was opened with.
func reaches(typ, options, key string, want ...string) func(t *testing.T) {
	return func(t *testing.T) {
		p, dir := opened(t, typ, options)
		defer closed(t, p)
		files, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("there is no file OPTIONS, %v", err)
		}
		slices.Sort(files)
		text, err := os.ReadFile(files[len(files)-1])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^\s*`+key+`=(.*)$`).FindAllStringSubmatch(string(text), -1) {
			got = append(got, m[1])
		}
		got = slices.Compact(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s was opened with %s = %q, and should be with %q", typ, key, got, want)
		}
	}
}

// both runs tests one after the other.
func both(tests ...func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) {
		for _, test := range tests {
			test(t)
		}
	}
}

var rocksDBEffects = map[string]func(t *testing.T){
	"data_dir": hasDataDir("RocksDB"),
	"compression": both(
		reaches("RocksDB", "compression = \"none\"", "compression", "kNoCompression"),
		reaches("RocksDB", "compression = \"snappy\"", "compression", "kSnappyCompression"),
		reaches("RocksDB", "compression = \"lz4\"", "compression", "kLZ4Compression"),
		reaches("RocksDB", "compression = \"zstd\"", "compression", "kZSTD"),
		reaches("RocksDB", "enable_compression = true", "compression", "kLZ4Compression"),
	),
	"block_cache_mb": func(t *testing.T) {
		small, large := figure(t, "RocksDB", [2]string{"block_cache_mb = 1", "block_cache_mb = 64"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 10_000, 800, true)
			compacted(t, p, "")
			readAll(t, p, 10_000)
			return detail(t, p, "block_cache_bytes")
		})
		less(t, "blocks of 8 MB in a cache of 1 MiB, and twice the bound", small, 2<<20)
		less(t, "half of 8 MB, and blocks in a cache of 64 MiB", 4e6, large)
	},
	"write_buffer_mb":         reaches("RocksDB", "write_buffer_mb = 3", "write_buffer_size", "3145728"),
	"max_write_buffer_number": reaches("RocksDB", "max_write_buffer_number = 7", "max_write_buffer_number", "7"),
	"target_file_size_base":   reaches("RocksDB", "target_file_size_base = \"5MiB\"", "target_file_size_base", "5242880"),
	"max_background_jobs":     reaches("RocksDB", "max_background_jobs = 6", "max_background_jobs", "6"),
	"enable_statistics": func(t *testing.T) {
		off, on := figure(t, "RocksDB", [2]string{"", "enable_statistics = true"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 1000, 800, true)
			compacted(t, p, "")
			readAll(t, p, 1000)
			m := p.Metrics()
			return float64(m.CacheHits + m.CacheMisses)
		})
		if off != 0 || on == 0 {
			t.Errorf("%.0f reads of the cache are counted without statistics, and %.0f with", off, on)
		}
	},
	"durability": durabilities("RocksDB", map[string]driver.Durability{
		"flushed": driver.SurvivesPower, "buffered": driver.SurvivesProcess, "memory": driver.InMemory,
	}),
}

var pebbleEffects = map[string]func(t *testing.T){
	"data_dir": hasDataDir("Pebble"),
	"compression": both(
		reaches("Pebble", "compression = \"snappy\"", "compression", "Snappy"),
		reaches("Pebble", "compression = \"none\"", "compression", "NoCompression"),
		reaches("Pebble", "enable_compression = true", "compression", "Snappy"),
		func(t *testing.T) {
			snappy, zstd := figure(t, "Pebble", [2]string{"compression = \"snappy\"", "compression = \"zstd\""}, func(p *providers.Provider, _ string) float64 {
				fill(t, p, 4000, 900, false)
				compacted(t, p, "")
				return detail(t, p, "level_6_bytes")
			})
			less(t, "tables with zstd and with snappy", zstd, snappy)
		},
	),
	"block_cache_mb":   reaches("Pebble", "block_cache_mb = 9", "cache_size", "9437184"),
	"memtable_size_mb": reaches("Pebble", "memtable_size_mb = 3", "mem_table_size", "3145728"),
	"enable_bloom_filters": both(
		reaches("Pebble", "", "filter_policy", "rocksdb.BuiltinBloomFilter"),
		reaches("Pebble", "enable_bloom_filters = false", "filter_policy", "none"),
	),
	"bloom_filter_bits_per_key": func(t *testing.T) {
		small, large := figure(t, "Pebble", [2]string{"bloom_filter_bits_per_key = 2", "bloom_filter_bits_per_key = 64"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 20_000, 10, true)
			compacted(t, p, "")
			return detail(t, p, "level_6_bytes")
		})
		less(t, "tables with filters of 2 bits and some 100,000 bytes, and of 64 bits", small+100_000, large)
	},
	"compaction_threshold": reaches("Pebble", "compaction_threshold = 7", "l0_compaction_threshold", "7"),
	"max_open_files":       reaches("Pebble", "max_open_files = 123", "max_open_files", "123"),
	"durability": durabilities("Pebble", map[string]driver.Durability{
		"flushed": driver.SurvivesPower, "memory": driver.InMemory,
	}),
}
