package rocks

import (
	"fmt"
	"runtime"

	"github.com/orbit-persistence/orbit/engine"
)

// Options set up a store. The zero value is ready to use: it is the set that
// RocksDB's own tuning guide calls a good starting point ("Setup Options and
// Basic Tuning" in its wiki), see the package comment.
type Options struct {
	// CacheBytes is the block cache, which holds index and filter blocks too;
	// 0 is 256 MiB.
	CacheBytes uint64
	// WriteBufferBytes is one memtable of one family; 0 is 64 MiB, RocksDB's
	// default.
	WriteBufferBytes uint64
	// MaxWriteBuffers is how many memtables of one family may exist before writes
	// wait; 0 is 2, RocksDB's default.
	MaxWriteBuffers int
	// TargetFileBytes is the size of a table of the first level; 0 is 64 MiB,
	// RocksDB's default.
	TargetFileBytes uint64
	// MaxBackgroundJobs is the number of flushes and compactions at one time; 0 is
	// the number of processors, at least 2.
	MaxBackgroundJobs int
	// Compression is of every level; "" is LZ4.
	Compression Compression
	// BloomBitsPerKey is the size of the full filters; 0 is 10 bits, which one
	// absent key in a hundred passes; below 0 there are none.
	BloomBitsPerKey float64
	// BlockBytes is a data block before compression; 0 is 16 KiB.
	BlockBytes int
	// DirectReads reads tables past the page cache, so that CacheBytes is all the
	// memory that reads have.
	DirectReads bool
	// ManualLogFlush sets RocksDB's option manual_wal_flush, and so adds the class
	// Memory. Buffered then costs a full device more than the commit: see the
	// package comment.
	ManualLogFlush bool
	// Statistics turns on RocksDB's counters, without which CacheHits and
	// CacheMisses are missing from the metrics. They cost reads 5 to 10 %.
	Statistics bool
	// Families are created when the store is opened, where they are not there yet.
	Families []string
}

// Compression names a block compression.
type Compression string

// The compressions.
const (
	None   Compression = "none"
	Snappy Compression = "snappy"
	LZ4    Compression = "lz4"
	Zstd   Compression = "zstd"
)

// WithDefaults returns o with every zero replaced by what Open takes for it.
func (o Options) WithDefaults() Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = 256 << 20
	}
	if o.WriteBufferBytes == 0 {
		o.WriteBufferBytes = 64 << 20
	}
	if o.MaxWriteBuffers == 0 {
		o.MaxWriteBuffers = 2
	}
	if o.TargetFileBytes == 0 {
		o.TargetFileBytes = 64 << 20
	}
	if o.MaxBackgroundJobs == 0 {
		o.MaxBackgroundJobs = max(2, runtime.GOMAXPROCS(0))
	}
	if o.Compression == "" {
		o.Compression = LZ4
	}
	if o.BloomBitsPerKey == 0 {
		o.BloomBitsPerKey = 10
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = 16 << 10
	}
	return o
}

// Validate returns an ErrInvalid that names the first field that no store could
// be opened with.
func (o Options) Validate() error {
	switch o.Compression {
	case "", None, Snappy, LZ4, Zstd:
	default:
		return fmt.Errorf("rocksdb options: %w: Compression %q; choose none, snappy, lz4 or zstd", engine.ErrInvalid, o.Compression)
	}
	if o.MaxBackgroundJobs < 0 {
		return fmt.Errorf("rocksdb options: %w: MaxBackgroundJobs %d is negative", engine.ErrInvalid, o.MaxBackgroundJobs)
	}
	if o.MaxWriteBuffers < 0 || o.MaxWriteBuffers == 1 {
		return fmt.Errorf("rocksdb options: %w: MaxWriteBuffers %d; 2 or more, or 0 for the default", engine.ErrInvalid, o.MaxWriteBuffers)
	}
	if o.BlockBytes < 0 {
		return fmt.Errorf("rocksdb options: %w: BlockBytes %d is negative", engine.ErrInvalid, o.BlockBytes)
	}
	for _, name := range o.Families {
		if name == "" {
			return fmt.Errorf("rocksdb options: %w: a family without a name", engine.ErrInvalid)
		}
	}
	return nil
}
