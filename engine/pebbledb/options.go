package pebbledb

import (
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Compression chooses how tables are compressed.
type Compression uint8

const (
	// Snappy is Pebble's default: the fastest of its algorithms on every level.
	Snappy Compression = iota
	// NoCompression stores blocks as they are.
	NoCompression
	// Zstd compresses the last level, where most data lies, with zstd, and those
	// above with faster algorithms.
	Zstd
)

// Options configure a store. The zero value takes every default; where Pebble's
// own default is meant for small databases, it is CockroachDB's setting.
type Options struct {
	// CacheBytes bounds the blocks held in memory together with the memtables;
	// default 256 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which a memtable is flushed; default 64 MiB.
	// Up to four exist before writes are held back.
	MemTableBytes uint64
	// BloomBitsPerKey sizes the filter of each table; default 10, negative for
	// none.
	BloomBitsPerKey int
	// BlockBytes is the size of a table's data blocks before compression;
	// default 32 KiB.
	BlockBytes int
	// Compression of new tables; existing ones stay readable.
	Compression Compression
	// MaxConcurrentCompactions bounds the compactions that run at once when debt
	// builds up; default GOMAXPROCS. One runs otherwise.
	MaxConcurrentCompactions int
	// L0CompactionThreshold is the number of sublevels of L0 that starts a
	// compaction; default 2.
	L0CompactionThreshold int
	// L0StopWritesThreshold is the number of sublevels of L0 at which writes are
	// held back until compaction has caught up; default 1,000.
	L0StopWritesThreshold int
	// MaxOpenFiles bounds the tables held open; default 1,000.
	MaxOpenFiles int
	// FS holds the files; nil is the operating system.
	FS vfs.FS
	// Logger receives what Pebble logs; nil drops it.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.CacheBytes == 0 {
		o.CacheBytes = 256 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 64 << 20
	}
	if o.BloomBitsPerKey == 0 {
		o.BloomBitsPerKey = 10
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = 32 << 10
	}
	if o.MaxConcurrentCompactions == 0 {
		o.MaxConcurrentCompactions = runtime.GOMAXPROCS(0)
	}
	if o.L0CompactionThreshold == 0 {
		o.L0CompactionThreshold = 2
	}
	if o.L0StopWritesThreshold == 0 {
		o.L0StopWritesThreshold = 1000
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = 1000
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
}

// pebbleOptions is what a plain program would open Pebble with.
func (o Options) pebbleOptions() *pebble.Options {
	p := &pebble.Options{
		FS:                          o.FS,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   o.CacheBytes,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       o.L0CompactionThreshold,
		L0StopWritesThreshold:       o.L0StopWritesThreshold,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                o.MaxOpenFiles,
		CompactionConcurrencyRange:  func() (int, int) { return 1, o.MaxConcurrentCompactions },
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = o.BlockBytes
		p.Levels[i].IndexBlockSize = 256 << 10
		if o.BloomBitsPerKey > 0 {
			p.Levels[i].FilterPolicy = bloom.FilterPolicy(o.BloomBitsPerKey)
		}
	}
	switch o.Compression {
	case NoCompression:
		p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	case Zstd:
		p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	default:
		p.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
			return pebble.UniformDBCompressionSettings(block.SnappyCompression)
		})
	}
	return p
}
