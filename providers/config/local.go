package config

import (
	"fmt"
	"time"
)

// Memory keeps everything in memory, and with DiskBackup a copy on disk.
type Memory struct {
	// MaxEntries bounds the number of records; 0 is no bound.
	MaxEntries int64 `name:"max_entries" default:"0"`
	// MaxBytes bounds the memory that keys and values take; 0 is no bound.
	MaxBytes Bytes `name:"max_bytes" default:"0"`
	// WhenFull is what a write at the bound does: refuse it with an error, or evict
	// records, of a few at random the one that was written longest ago.
	WhenFull WhenFull `name:"when_full" default:"refuse" oneof:"refuse,evict"`
	// DiskBackup writes a copy to disk from time to time, which is read back when the
	// provider opens. Without it nothing survives.
	DiskBackup *DiskBackup `name:"disk_backup"`
}

// WhenFull is what a memory provider does at its bound: "refuse" or "evict".
type WhenFull string

// What a full memory provider does.
const (
	Refuse WhenFull = "refuse"
	Evict  WhenFull = "evict"
)

// DiskBackup is the copy on disk of a memory provider.
type DiskBackup struct {
	// Path is the file; it is replaced as a whole.
	Path string `name:"path" required:"true"`
	// SyncInterval is the time from one copy to the next.
	SyncInterval time.Duration `name:"sync_interval" default:"300s" min:"1s" max:"8760h"`
	// Compression packs the file.
	Compression Compression `name:"compression" default:"none" oneof:"none,gzip,lz4,zstd"`
}

// Kind returns KindMemory.
func (Memory) Kind() Kind { return KindMemory }

// Validate reports every mistake.
func (c Memory) Validate() error { return validateAlone(c) }

func (c Memory) check(r *report) {
	if c.WhenFull == Evict && c.MaxEntries == 0 && c.MaxBytes == 0 {
		r.bad("when_full", "has no bound to act at; set max_entries or max_bytes", "")
	}
}

// CowBTree is the copy-on-write B+tree.
type CowBTree struct {
	// DataDir is the directory of the store; for a provider that is not told, the one
	// of its name below data_dir of [server].
	DataDir string `name:"data_dir" default:"orbit_data/cow_btree" required:"true"`
	// MaxKeysPerNode bounds the entries of a page; 0 leaves the bound to the page's
	// size. More than 64 make pages larger than 4 KiB.
	MaxKeysPerNode int `name:"max_keys_per_node" default:"0" max:"65535"`
	// WALBufferSize is how much of the log commits of the classes below flushed may
	// leave unflushed before it is flushed in the background.
	WALBufferSize Bytes `name:"wal_buffer_size" default:"1MiB" max:"1GiB"`
	// WALSyncInterval is how often the log is flushed in the background while there
	// are unflushed commits; 0 leaves that to the operating system.
	WALSyncInterval time.Duration `name:"wal_sync_interval" default:"5s" max:"24h"`
	// EnableSnapshots allows named snapshots.
	EnableSnapshots bool `name:"enable_snapshots" default:"true"`
	// SnapshotInterval makes a named snapshot after so many commits, when the next one
	// comes; 0 makes none.
	SnapshotInterval int64 `name:"snapshot_interval" default:"0"`
	// MaxAutomaticSnapshots is how many of those are kept; the oldest goes first.
	MaxAutomaticSnapshots int `name:"max_automatic_snapshots" default:"8" min:"1" max:"10000"`
	// Compression packs the pages in the data file; true is lz4.
	Compression Compression `name:"enable_compression" also:"compression" default:"lz4" oneof:"none,lz4,zstd" whentrue:"lz4"`
	// CacheSize is the memory for pages.
	CacheSize Bytes `name:"cache_size" also:"cache_mb:MiB block_cache_mb:MiB block_cache_size" default:"256MiB" min:"1MiB" max:"16TiB"`
	// Durability is the class in which writes are acknowledged.
	Durability Durability `name:"durability" default:"flushed" oneof:"flushed,buffered,memory"`
}

// Kind returns KindCowBTree.
func (CowBTree) Kind() Kind { return KindCowBTree }

// Validate reports every mistake.
func (c CowBTree) Validate() error { return validateAlone(c) }

func (c CowBTree) check(r *report) {
	if c.MaxKeysPerNode > 0 && c.MaxKeysPerNode < 4 {
		r.bad("max_keys_per_node", fmt.Sprintf("must be 0 or from 4 to 65535, not %d", c.MaxKeysPerNode), "")
	}
	if !c.EnableSnapshots && c.SnapshotInterval > 0 {
		r.bad("snapshot_interval", "makes snapshots, which enable_snapshots = false forbids; set one of them", "")
	}
}

// LsmTree is the log-structured merge tree.
type LsmTree struct {
	// DataDir is the directory of the store; for a provider that is not told, the one
	// of its name below data_dir of [server].
	DataDir string `name:"data_dir" default:"orbit_data/lsm_tree" required:"true"`
	// MemtableSize is the size at which a memtable is written to a table.
	MemtableSize Bytes `name:"memtable_size_mb" unit:"MiB" also:"memtable_size_limit memtable_size" default:"64MiB" min:"1MiB" max:"8GiB"`
	// MaxMemtables is how many memtables there may be before writes wait; they are
	// slowed down as it comes near.
	MaxMemtables int `name:"max_memtables" default:"10" min:"2" max:"1000"`
	// MaxLevels is the number of levels, the top included. A store keeps the number that
	// it was made with: another one is refused when it is opened.
	MaxLevels int `name:"max_levels" default:"7" min:"2" max:"16"`
	// LevelSizeMultiplier is how much larger a level is than the one above it.
	LevelSizeMultiplier int `name:"level_size_multiplier" default:"10" min:"2" max:"100"`
	// CompactionThreshold is the number of tables of the top level that starts a
	// compaction.
	CompactionThreshold int `name:"compaction_threshold" default:"4" min:"1" max:"1000"`
	// EnableBloomFilters makes a filter for each table.
	EnableBloomFilters bool `name:"enable_bloom_filters" default:"true"`
	// BloomFilterBitsPerKey is the size of the filters; 10 let one absent key in a
	// hundred pass. Also given as the rate of absent keys that pass.
	BloomFilterBitsPerKey int `name:"bloom_filter_bits_per_key" also:"bloom_filter_fp_rate:rate" default:"10" min:"1" max:"64"`
	// Compression packs the blocks of tables; true is lz4.
	Compression Compression `name:"enable_compression" also:"compression" default:"lz4" oneof:"none,lz4,zstd" whentrue:"lz4"`
	// BlockCache is the memory for blocks of tables.
	BlockCache Bytes `name:"block_cache_mb" unit:"MiB" also:"block_cache_size" default:"256MiB" min:"1MiB" max:"1TiB"`
	// Durability is the class in which writes are acknowledged.
	Durability Durability `name:"durability" default:"flushed" oneof:"flushed,buffered,memory"`
}

// Kind returns KindLsmTree.
func (LsmTree) Kind() Kind { return KindLsmTree }

// Validate reports every mistake.
func (c LsmTree) Validate() error { return validateAlone(c) }

func (LsmTree) check(*report) {}

// RocksDB is RocksDB; the binary must be built with the tag rocksdb.
type RocksDB struct {
	// DataDir is the directory of the store; for a provider that is not told, the one
	// of its name below data_dir of [server].
	DataDir string `name:"data_dir" default:"orbit_data/rocksdb" required:"true"`
	// Compression packs the blocks of tables; true is lz4.
	Compression Compression `name:"compression" also:"enable_compression" default:"lz4" oneof:"none,snappy,lz4,zstd" whentrue:"lz4"`
	// BlockCache is the memory for blocks of tables, their indexes and filters.
	BlockCache Bytes `name:"block_cache_mb" unit:"MiB" also:"block_cache_size" default:"256MiB" min:"1MiB" max:"16TiB"`
	// WriteBuffer is the size at which a memtable is written to a table.
	WriteBuffer Bytes `name:"write_buffer_mb" unit:"MiB" also:"write_buffer_size" default:"64MiB" min:"1MiB" max:"16GiB"`
	// MaxWriteBufferNumber is how many memtables may exist before writes wait.
	MaxWriteBufferNumber int `name:"max_write_buffer_number" default:"3" min:"2" max:"1000"`
	// TargetFileSize is the size of a table of the first level.
	TargetFileSize Bytes `name:"target_file_size_base" default:"64MiB" min:"1MiB" max:"16GiB"`
	// MaxBackgroundJobs is the number of flushes and compactions at one time.
	MaxBackgroundJobs int `name:"max_background_jobs" default:"4" min:"1" max:"1024"`
	// EnableStatistics turns on RocksDB's counters, without which there are no cache
	// hits and misses in the metrics. They cost reads 5 to 10 %.
	EnableStatistics bool `name:"enable_statistics" default:"false"`
	// Durability is the class in which writes are acknowledged.
	Durability Durability `name:"durability" default:"flushed" oneof:"flushed,buffered,memory"`
}

// Kind returns KindRocksDB.
func (RocksDB) Kind() Kind { return KindRocksDB }

// Validate reports every mistake.
func (c RocksDB) Validate() error { return validateAlone(c) }

func (RocksDB) check(*report) {}

// Pebble is Pebble, CockroachDB's storage engine.
type Pebble struct {
	// DataDir is the directory of the store; for a provider that is not told, the one
	// of its name below data_dir of [server].
	DataDir string `name:"data_dir" default:"orbit_data/pebble" required:"true"`
	// Compression packs the blocks of tables; true is snappy.
	Compression Compression `name:"compression" also:"enable_compression" default:"snappy" oneof:"none,snappy,zstd" whentrue:"snappy"`
	// BlockCache is the memory for blocks of tables, memtables included.
	BlockCache Bytes `name:"block_cache_mb" unit:"MiB" also:"block_cache_size" default:"256MiB" min:"1MiB" max:"16TiB"`
	// MemtableSize is the size at which a memtable is written to a table; up to four
	// exist before writes wait.
	MemtableSize Bytes `name:"memtable_size_mb" unit:"MiB" also:"memtable_size write_buffer_mb:MiB write_buffer_size" default:"64MiB" min:"1MiB" max:"2GiB"`
	// EnableBloomFilters makes a filter for each table.
	EnableBloomFilters bool `name:"enable_bloom_filters" default:"true"`
	// BloomFilterBitsPerKey is the size of the filters.
	BloomFilterBitsPerKey int `name:"bloom_filter_bits_per_key" also:"bloom_filter_fp_rate:rate" default:"10" min:"1" max:"64"`
	// CompactionThreshold is the number of sublevels of the top level that starts a
	// compaction.
	CompactionThreshold int `name:"compaction_threshold" default:"2" min:"1" max:"1000"`
	// MaxOpenFiles bounds the tables held open.
	MaxOpenFiles int `name:"max_open_files" default:"1000" min:"10" max:"1000000"`
	// Durability is the class in which writes are acknowledged; there is no buffered.
	Durability Durability `name:"durability" default:"flushed" oneof:"flushed,buffered,memory"`
}

// Kind returns KindPebble.
func (Pebble) Kind() Kind { return KindPebble }

// Validate reports every mistake.
func (c Pebble) Validate() error { return validateAlone(c) }

func (c Pebble) check(r *report) {
	if c.Durability == "buffered" {
		r.unsupported("durability", "Pebble has no class buffered: without a flush it acknowledges before the write reaches the kernel; choose flushed, or memory to lose the newest writes with the process")
	}
}

// Flash is the store for flash devices: direct I/O over one or more paths.
type Flash struct {
	// DataDir is the only path where Paths names none; for a provider that is not
	// told, the one of its name below data_dir of [server].
	DataDir string `name:"data_dir" default:"orbit_data/flash" required:"true"`
	// Paths are directories, each on a device of its own, or block devices. A store keeps their number and
	// their order.
	Paths []string `name:"paths"`
	// EnableMultipathing writes each value to more than one path, so that the loss of
	// a path loses nothing.
	EnableMultipathing bool `name:"enable_multipathing" default:"false"`
	// Replicas is the number of paths that hold each value; 0 is 2 with
	// EnableMultipathing, else 1. Further paths are spare: one takes the place of a path
	// that is lost.
	Replicas int `name:"replicas" default:"0" max:"16"`
	// IODepth is the number of reads at one time on each path.
	IODepth int `name:"io_depth" default:"32" min:"1" max:"4096"`
	// BlockSize is the unit of reads, a power of two.
	BlockSize Bytes `name:"block_size" default:"4096" min:"512B" max:"1MiB"`
	// CacheSize is the memory for values; 0 is no cache.
	CacheSize Bytes `name:"cache_size" also:"cache_mb:MiB" default:"256MiB" max:"16TiB"`
	// Compression packs values; true is lz4.
	Compression Compression `name:"compression" also:"enable_compression" default:"lz4" oneof:"none,lz4,zstd" whentrue:"lz4"`
	// PageCache goes through the page cache on a file system without direct I/O, which
	// is refused otherwise.
	PageCache bool `name:"page_cache" default:"false"`
	// PathTimeout is how long a read or a commit may be held up by one of several paths
	// that does not answer; the path has seven eighths of it.
	PathTimeout time.Duration `name:"path_timeout" default:"2s" min:"10ms" max:"1h"`
	// RebuildRate bounds what is copied in a second to a path that is brought level; 0
	// is no bound.
	RebuildRate Bytes `name:"rebuild_rate" default:"64MiB" max:"1TiB"`
	// Durability is the class in which writes are acknowledged.
	Durability Durability `name:"durability" default:"flushed" oneof:"flushed,buffered,memory"`
}

// Kind returns KindFlash.
func (Flash) Kind() Kind { return KindFlash }

// Validate reports every mistake.
func (c Flash) Validate() error { return validateAlone(c) }

// AllPaths returns Paths, or DataDir where there are none.
func (c Flash) AllPaths() []string {
	if len(c.Paths) > 0 {
		return c.Paths
	}
	return []string{c.DataDir}
}

// Copies returns how many paths hold each value: Replicas with its default.
func (c Flash) Copies() int {
	switch {
	case c.Replicas > 0:
		return c.Replicas
	case c.EnableMultipathing:
		return 2
	}
	return 1
}

// maxPaths is the number of paths that a store may have.
const maxPaths = 16

func (c Flash) check(r *report) {
	if c.BlockSize&(c.BlockSize-1) != 0 {
		r.bad("block_size", fmt.Sprintf("must be a power of two, not %d", int64(c.BlockSize)), "")
	}
	seen := map[string]bool{}
	for _, path := range c.Paths {
		switch {
		case path == "":
			r.bad("paths", "holds an empty path", "")
		case seen[clean(path)]:
			r.bad("paths", "holds "+quote(path)+" twice; two copies on one path are lost together", "")
		}
		seen[clean(path)] = true
	}
	n := len(c.AllPaths())
	switch {
	case n > maxPaths:
		r.bad("paths", fmt.Sprintf("names %d paths, and a store has up to %d", n, maxPaths), "")
	case n > 1 && !c.EnableMultipathing:
		r.unsupported("paths", fmt.Sprintf("names %d paths, and values are not spread over paths: without a copy of each the loss of one would lose data; set enable_multipathing = true, or name one path", n))
	case c.EnableMultipathing && n < 2:
		r.bad("enable_multipathing", fmt.Sprintf("needs two or more paths, and there is %d; set paths", n), "")
	case c.EnableMultipathing && c.Replicas == 1:
		r.bad("replicas", "must be 2 or more with enable_multipathing, or 0", "")
	case !c.EnableMultipathing && c.Replicas > 1:
		r.bad("replicas", "acts with enable_multipathing = true only", "")
	case c.Copies() > n:
		r.bad("replicas", fmt.Sprintf("is %d, and there are %d paths", c.Copies(), n), "")
	}
}
