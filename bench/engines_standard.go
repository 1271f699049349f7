package bench

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/peers/badger"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
	"github.com/orbit-persistence/orbit/engine/rocks"
)

// Standard returns the project's engines and peers, with the settings that
// their own documentation recommends, the same cache for all that have one, and
// Snappy for all that compress blocks by default.
func Standard() []Engine {
	engines := []Engine{
		{
			Name:     "memory",
			Open:     func(string, Config) (engine.Engine, error) { return memory.Open(), nil },
			Settings: func(Config) string { return "none; all data in memory" },
		},
		{
			Name: "cowbtree",
			Open: func(dir string, c Config) (engine.Engine, error) {
				return cowbtree.Open(context.Background(), dir, cowbtree.Options{CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string {
				return fmt.Sprintf("cache of pages %d MiB, changed ones included; pages of 4 KiB, not compressed, written when 128 MiB have been logged", c.CacheBytes/mib)
			},
		},
		{
			Name: "lsm",
			Open: func(dir string, c Config) (engine.Engine, error) {
				return lsm.Open(context.Background(), dir, lsm.Options{CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string {
				return fmt.Sprintf("block cache %d MiB, memtable 64 MiB, blocks of 4 KiB, LZ4, filters of 10 bits, values of 1 KiB and more apart", c.CacheBytes/mib)
			},
		},
		{
			Name: "flash",
			Open: func(dir string, c Config) (engine.Engine, error) {
				return flash.Open(context.Background(), dir, flash.Options{CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string {
				return fmt.Sprintf("cache of values %d MiB beside the index, which is in memory; one path, direct I/O, 32 reads in flight, values packed by LZ4", c.CacheBytes/mib)
			},
		},
		{
			Name:    "rocksdb",
			Missing: missingUnless(rocks.Available, "rocksdb"),
			Open: func(dir string, c Config) (engine.Engine, error) {
				return rocks.Open(dir, rocksOptions(c))
			},
			Settings: func(c Config) string {
				o := rocksOptions(c).WithDefaults()
				return fmt.Sprintf("block cache %d MiB, write buffer %d MiB, %d background jobs, blocks of %d KiB, %s, filters of %g bits, manual_wal_flush for the class memory",
					o.CacheBytes/mib, o.WriteBufferBytes/mib, o.MaxBackgroundJobs, o.BlockBytes>>10, o.Compression, o.BloomBitsPerKey)
			},
		},
		{
			Name: "pebble",
			Open: func(dir string, c Config) (engine.Engine, error) {
				return pebbledb.Open(dir, pebbledb.Options{CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string {
				return fmt.Sprintf("cache %d MiB (memtables count against it), memtable 64 MiB, blocks of 32 KiB, snappy, filters of 10 bits, CockroachDB's compaction settings", c.CacheBytes/mib)
			},
		},
		{
			Name:    "bbolt",
			Classes: engine.DurabilityOf(engine.Buffered, engine.Flushed),
			Open: func(dir string, c Config) (engine.Engine, error) {
				return bbolt.Open(dir, bbolt.Options{NoSync: c.Durability == engine.Buffered})
			},
			Settings: func(Config) string {
				return "cached by the page cache, within the memory limit; NoSync for the class buffered"
			},
		},
		{
			Name:    "badger",
			Classes: engine.DurabilityOf(engine.Buffered, engine.Flushed),
			Open: func(dir string, c Config) (engine.Engine, error) {
				return badger.Open(dir, badger.Options{NoSync: c.Durability == engine.Buffered, CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string {
				return fmt.Sprintf("block cache %d MiB, memtable 64 MiB, snappy; SyncWrites for the class flushed", c.CacheBytes/mib)
			},
		},
		{
			Name:    "lmdb",
			Missing: missingUnless(lmdb.Available, "lmdb"),
			Open: func(dir string, _ Config) (engine.Engine, error) {
				return lmdb.Open(dir, lmdb.Options{NoSync: true})
			},
			Settings: func(Config) string {
				return "cached by the page cache, within the memory limit; MDB_NOSYNC for commits of the class buffered"
			},
		},
	}
	return append(engines, tunings()...)
}

// missingUnless says how to get an engine that this build lacks.
func missingUnless(available bool, tag string) string {
	if available {
		return ""
	}
	return fmt.Sprintf("built without it; run `make deps-bench`, then build with -tags %s (`make build` does)", tag)
}

func rocksOptions(c Config) rocks.Options {
	o := rocks.Options{CacheBytes: c.CacheBytes, Compression: rocks.Snappy, ManualLogFlush: true}
	switch c.Tuning {
	case "read-heavy":
		o.WriteBufferBytes, o.CacheBytes, o.BloomBitsPerKey = 32*mib, 2*c.CacheBytes, 15
	case "write-heavy":
		o.WriteBufferBytes = 128 * mib
	case "memory-constrained":
		o.WriteBufferBytes, o.CacheBytes = 8*mib, c.CacheBytes/8
	case "production":
		o.WriteBufferBytes, o.CacheBytes, o.MaxBackgroundJobs = 256*mib, gib, 8
	}
	return o
}

// tunings are the seed's tuning profiles, of which RocksDB has the settings
// today, as columns of their own in the full profile. They change the memory
// that an engine has, which their names say.
func tunings() []Engine {
	var engines []Engine
	for _, name := range []string{"read-heavy", "write-heavy", "memory-constrained", "production"} {
		engines = append(engines, Engine{
			Name: "rocksdb@" + name, Tuning: name,
			Missing: missingUnless(rocks.Available, "rocksdb"),
			Open: func(dir string, c Config) (engine.Engine, error) {
				c.Tuning = name
				return rocks.Open(dir, rocksOptions(c))
			},
			Settings: func(c Config) string {
				c.Tuning = name
				o := rocksOptions(c).WithDefaults()
				return fmt.Sprintf("the seed's profile: block cache %d MiB, write buffer %d MiB, %d background jobs, filters of %g bits", o.CacheBytes/mib, o.WriteBufferBytes/mib, o.MaxBackgroundJobs, o.BloomBitsPerKey)
			},
		})
	}
	return engines
}
