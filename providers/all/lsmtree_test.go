package all_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// fast keeps the tests of what lies in memory from waiting for the device.
const fast = "durability = \"memory\"\n"

var lsmTreeEffects = map[string]func(t *testing.T){
	"data_dir": hasDataDir("LsmTree"),
	"memtable_size_mb": func(t *testing.T) {
		p, _ := opened(t, "LsmTree", fast+"memtable_size_mb = 1")
		fill(t, p, 4000, 1000, true)
		awaits(t, "a memtable that is written", func() bool { return detail(t, p, "flushes") > 0 })
		p, _ = opened(t, "LsmTree", fast)
		fill(t, p, 4000, 1000, true)
		if n, held := detail(t, p, "flushes"), detail(t, p, "memtable_bytes"); n != 0 || held < 4e6 {
			t.Errorf("4 MB make %.0f flushes of a memtable of 64 MiB, which has %.0f bytes", n, held)
		}
	},
	"max_memtables": func(t *testing.T) {
		// How many there are is up to the writer and the device; the bound is not.
		most := func(options string, until float64) (most float64) {
			p, _ := opened(t, "LsmTree", fast+"memtable_size_mb = 1\n"+options)
			value := make([]byte, 100_000)
			for i := 0; most < until || i < 500; i++ {
				put(t, p, fmt.Sprint(i), value)
				most = max(most, detail(t, p, "memtables"))
			}
			return most
		}
		if n := most("max_memtables = 2", 0); n > 2 {
			t.Errorf("there were %.0f memtables of 2", n)
		}
		most("max_memtables = 20", 3) // returns once there are more
	},
	"max_levels": func(t *testing.T) {
		p, dir := opened(t, "LsmTree", "max_levels = 3")
		details := p.Metrics().Report.Details
		_, second := details["level_2_bytes"]
		_, third := details["level_3_bytes"]
		if !second || third {
			t.Errorf("of 3 levels, the top included, the figures are %v", details)
		}
		closed(t, p)
		if p, err := tryOpen(t, dir, "LsmTree", "max_levels = 4"); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("with another number than it was made with it opens with %v", err)
			if err == nil {
				closed(t, p)
			}
		}
	},
	"level_size_multiplier": func(t *testing.T) {
		levels := func(options string) (n int) {
			p, _ := opened(t, "LsmTree", fast+"memtable_size_mb = 1\ncompaction_threshold = 1\n"+options)
			fill(t, p, 24_000, 1000, true)
			awaits(t, "merges", func() bool {
				r := p.Metrics().Report
				return r.CompactionBacklog == 0 && r.Details["top_runs"] < 1 && r.Details["memtables"] == 1
			})
			for i := 1; i < 7; i++ {
				if detail(t, p, fmt.Sprintf("level_%d_bytes", i)) > 0 {
					n++
				}
			}
			return n
		}
		flat, steep := levels("level_size_multiplier = 100"), levels("level_size_multiplier = 2")
		less(t, "levels of 24 MB, of which each has a hundred times, and twice, the one above", float64(flat), float64(steep))
	},
	"compaction_threshold": func(t *testing.T) {
		p, _ := opened(t, "LsmTree", fast+"memtable_size_mb = 1\ncompaction_threshold = 2")
		fill(t, p, 8000, 1000, true)
		awaits(t, "a merge of two runs", func() bool { return detail(t, p, "compactions")+detail(t, p, "moves") > 0 })
		p, _ = opened(t, "LsmTree", fast+"memtable_size_mb = 1\ncompaction_threshold = 1000")
		fill(t, p, 8000, 1000, true)
		awaits(t, "flushes", func() bool { return detail(t, p, "memtables") == 1 })
		if n, runs := detail(t, p, "compactions"), detail(t, p, "top_runs"); n != 0 || runs < 4 {
			t.Errorf("8 MB make %.0f merges and %.0f runs where 1000 are wanted", n, runs)
		}
	},
	"enable_bloom_filters": func(t *testing.T) {
		// Looking for what is not there reads blocks, unless a filter knows better.
		with, without := figure(t, "LsmTree", [2]string{fast, fast + "enable_bloom_filters = false"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 4000, 1000, true)
			compacted(t, p, "table_bytes")
			before := p.Metrics().CacheMisses
			for i := range 4000 {
				if _, err := p.Get(t.Context(), fmt.Appendf(nil, "key %08d not there", i)); !errors.Is(err, providers.ErrNotFound) {
					t.Fatal(err)
				}
			}
			return float64(p.Metrics().CacheMisses - before)
		})
		less(t, "blocks read for keys that are not there, with filters and without", 2*with, without)
	},
	"bloom_filter_bits_per_key": func(t *testing.T) {
		small, large := figure(t, "LsmTree", [2]string{fast + "bloom_filter_bits_per_key = 2", fast + "bloom_filter_bits_per_key = 64"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 20_000, 10, true)
			return compacted(t, p, "table_bytes")
		})
		less(t, "tables with filters of 2 bits and some 140,000 bytes, and of 64 bits", small+140_000, large)
	},
	"enable_compression": func(t *testing.T) {
		sizes := map[string]float64{}
		for _, compression := range []string{"none", "lz4", "zstd"} {
			p, _ := opened(t, "LsmTree", fast+"enable_compression = \""+compression+"\"")
			fill(t, p, 4000, 900, false)
			sizes[compression] = compacted(t, p, "table_bytes")
		}
		less(t, "with lz4 and without", sizes["lz4"], sizes["none"])
		less(t, "with zstd and with lz4", sizes["zstd"], sizes["lz4"])
	},
	"block_cache_mb": func(t *testing.T) {
		small, large := figure(t, "LsmTree", [2]string{fast + "block_cache_mb = 1", fast + "block_cache_mb = 64"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 10_000, 800, true)
			compacted(t, p, "table_bytes")
			readAll(t, p, 10_000)
			return detail(t, p, "block_cache_bytes")
		})
		less(t, "blocks of 8 MB in a cache of 1 MiB, and the bound", small, 1<<20+1)
		less(t, "half of 8 MB, and blocks in a cache of 64 MiB", 4e6, large)
	},
	"durability": durabilities("LsmTree", map[string]driver.Durability{
		"flushed": driver.SurvivesPower, "buffered": driver.SurvivesProcess, "memory": driver.InMemory,
	}),
}
