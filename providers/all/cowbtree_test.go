package all_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
)

var cowBTreeEffects = map[string]func(t *testing.T){
	"data_dir": hasDataDir("CowBTree"),
	"max_keys_per_node": func(t *testing.T) {
		few, many := figure(t, "CowBTree", [2]string{"max_keys_per_node = 4\nenable_compression = false", "enable_compression = false"}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 1000, 10, true)
			compacted(t, p, "data_file_bytes")
			return detail(t, p, "pages_written")
		})
		less(t, "pages with as many keys as there is room for, and with 4", 10*many, few)
	},
	// Commits that are not flushed are flushed in the background by their bytes…
	"wal_buffer_size": func(t *testing.T) {
		p, _ := opened(t, "CowBTree", "durability = \"buffered\"\nwal_sync_interval = 0\nwal_buffer_size = \"64KiB\"")
		put(t, p, "first", nil) // which reserves revisions, flushed
		before := detail(t, p, "log_flushes")
		fill(t, p, 100, 10_000, true)
		awaits(t, "a flush after a megabyte", func() bool { return detail(t, p, "log_flushes") > before })
		p, _ = opened(t, "CowBTree", "durability = \"buffered\"\nwal_sync_interval = 0\nwal_buffer_size = \"1GiB\"")
		put(t, p, "first", nil)
		before = detail(t, p, "log_flushes")
		fill(t, p, 100, 10_000, true)
		if n := detail(t, p, "log_flushes") - before; n != 0 {
			t.Errorf("%.0f flushes with room for all", n)
		}
	},
	// … and by time.
	"wal_sync_interval": func(t *testing.T) {
		p, _ := opened(t, "CowBTree", "durability = \"buffered\"\nwal_sync_interval = \"1ms\"\nwal_buffer_size = \"1GiB\"")
		put(t, p, "first", nil)
		before := detail(t, p, "log_flushes")
		put(t, p, "key", nil)
		awaits(t, "a flush after a while", func() bool { return detail(t, p, "log_flushes") > before })
	},
	"enable_snapshots": func(t *testing.T) {
		p, _ := opened(t, "CowBTree", "")
		put(t, p, "key", []byte("then"))
		n, ok := p.Driver().(driver.NamedSnapshotter)
		if !ok || !p.Capabilities().Named {
			t.Fatal("there are no named snapshots by default")
		}
		if err := n.CreateSnapshot(t.Context(), "name"); err != nil {
			t.Fatal(err)
		}
		p, _ = opened(t, "CowBTree", "enable_snapshots = false")
		if _, ok := p.Driver().(driver.NamedSnapshotter); ok || p.Capabilities().Named {
			t.Error("there are named snapshots where they are switched off")
		}
		_, err := config.Parse("test.toml", []byte("type = \"CowBTree\"\nenable_snapshots = false\nsnapshot_interval = 5\n"), nil)
		if !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an interval of snapshots that are switched off is read with %v", err)
		}
	},
	"snapshot_interval": func(t *testing.T) {
		p, _ := opened(t, "CowBTree", "snapshot_interval = 3\nmax_automatic_snapshots = 1000")
		n := p.Driver().(driver.NamedSnapshotter)
		for i := range 30 {
			put(t, p, fmt.Sprint(i), nil)
		}
		names, err := n.ListSnapshots(t.Context())
		if err != nil || len(names) != 10 || !strings.HasPrefix(names[0], "auto-") {
			t.Errorf("30 commits make the snapshots %q, %v", names, err)
		}
	},
	"max_automatic_snapshots": func(t *testing.T) {
		p, _ := opened(t, "CowBTree", "snapshot_interval = 1\nmax_automatic_snapshots = 2")
		for i := range 10 {
			put(t, p, fmt.Sprint(i), nil)
		}
		n := p.Driver().(driver.NamedSnapshotter)
		names, err := n.ListSnapshots(t.Context())
		if err != nil || len(names) != 2 {
			t.Fatalf("there are the snapshots %q, %v", names, err)
		}
		snap, err := n.OpenSnapshot(t.Context(), names[1])
		if err != nil {
			t.Fatal(err)
		}
		defer snap.Close()
		if _, err := snap.Get(t.Context(), []byte("8")); err != nil {
			t.Errorf("the snapshot before the last commit has not the one before that: %v", err)
		}
		if _, err := snap.Get(t.Context(), []byte("9")); !errors.Is(err, providers.ErrNotFound) {
			t.Errorf("the snapshot before the last commit has that: %v", err)
		}
	},
	"enable_compression": func(t *testing.T) {
		sizes := map[string]float64{}
		for _, compression := range []string{"none", "lz4", "zstd"} {
			p, _ := opened(t, "CowBTree", "enable_compression = \""+compression+"\"")
			for i := range 20_000 / 100 { // what neither packs away whole
				var writes []providers.Write
				for j := range 100 {
					writes = append(writes, providers.Write{Key: fmt.Appendf(nil, "key %08d", i*100+j), Value: fmt.Appendf(nil, "%x", 1<<20+(i*100+j)*7919)})
				}
				if err := p.BulkPut(t.Context(), writes); err != nil {
					t.Fatal(err)
				}
			}
			sizes[compression] = compacted(t, p, "data_file_bytes")
		}
		less(t, "with lz4 and without", sizes["lz4"], sizes["none"])
		less(t, "with zstd and with lz4", sizes["zstd"], sizes["lz4"])
	},
	"cache_size": func(t *testing.T) {
		small, large := figure(t, "CowBTree", [2]string{"cache_size = \"1MiB\"\ndurability = \"memory\"", "cache_size = \"64MiB\"\ndurability = \"memory\""}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 20_000, 400, true)
			compacted(t, p, "data_file_bytes")
			readAll(t, p, 20_000)
			return float64(p.Metrics().Report.MemoryBytes)
		})
		less(t, "memory for 8 MB with a cache of 1 MiB, and the bound", small, 1<<20+1)
		less(t, "half of 8 MB, and memory with a cache of 64 MiB", 4e6, large)
	},
	"durability": durabilities("CowBTree", map[string]driver.Durability{
		"flushed": driver.SurvivesPower, "buffered": driver.SurvivesProcess, "memory": driver.InMemory,
	}),
}
