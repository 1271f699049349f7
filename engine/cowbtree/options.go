package cowbtree

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Compression is how pages are packed in the data file. Each page says for itself
// how it was packed, so that the option may change from one opening to the next.
type Compression uint8

const (
	// NoCompression stores pages as they are.
	NoCompression Compression = iota
	// LZ4 is fast in both directions.
	LZ4
	// Zstd packs tighter, and costs more of the processor.
	Zstd
)

// String returns "none", "lz4" or "zstd".
func (c Compression) String() string {
	switch c {
	case NoCompression:
		return "none"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("Compression(%d)", uint8(c))
}

// Options configure a store. The zero value takes every default.
type Options struct {
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
	// CacheBytes is the memory for pages, changed ones included; 0 for 256 MiB, at
	// least MinCacheBytes. Memory is taken as pages come to be used.
	CacheBytes int64
	// CheckpointBytes is how much may be logged before the changed pages are written
	// to the data file, which is the least that recovery may have to replay; while that
	// is done, as much again three times. 0 for 128 MiB, or as much as there are changed
	// pages in memory, if that is more.
	CheckpointBytes int64
	// SegmentBytes is the size of a segment of the log; 0 is the log's default.
	SegmentBytes int64
	// Compression packs pages in the data file.
	Compression Compression
	// Direct reads and writes pages past the page cache of the operating system, so
	// that CacheBytes is all the memory that data takes. ErrUnsupported where the
	// file system cannot.
	Direct bool
	// MaxKeysPerNode bounds the entries of a page. 0 leaves the bound to the page's
	// size of 4 KiB; a larger bound than a page of 4 KiB can use makes pages larger,
	// up to 64 KiB: 64 bytes for each key. Otherwise 4 to 65,535.
	MaxKeysPerNode int
	// LogBufferBytes is how much of the log commits may leave unflushed, in the
	// classes below Flushed, before the engine flushes it in the background; 0 leaves
	// that to the operating system.
	LogBufferBytes int64
	// LogSyncInterval flushes the log in the background so often while there are
	// unflushed commits; 0 leaves that to the operating system.
	LogSyncInterval time.Duration
	// NoSnapshots refuses named snapshots, automatic ones included, with
	// ErrUnsupported. Those in process are always there.
	NoSnapshots bool
	// SnapshotInterval makes a named snapshot after so many commits; 0 for none. Its
	// name is AutomaticPrefix and its sequence. MaxAutomaticSnapshots, 0 for 8, are
	// kept; the oldest goes when a new one comes.
	SnapshotInterval      uint64
	MaxAutomaticSnapshots int
	// Inline makes the same calls do the same I/O, as a simulated disk needs: there
	// are no goroutines, and checkpoints are part of the commit that comes due.
	Inline bool
}

const (
	// MinCacheBytes is the smallest cache: room for some paths from the root to a
	// leaf, of several commits.
	MinCacheBytes = 1 << 20
	// AutomaticPrefix begins the names of snapshots that SnapshotInterval makes; the
	// commit's sequence follows, in 20 digits.
	AutomaticPrefix = "auto-"

	defaultCache      = 256 << 20
	defaultCheckpoint = 128 << 20
	defaultAutomatic  = 8
	minKeysPerNode    = 4
)

// complete fills in the defaults, and returns ErrInvalid for what cannot be.
func (o Options) complete() (Options, error) {
	refuse := func(what string, v any) (Options, error) {
		return o, fmt.Errorf("%w: %s is %v", engine.ErrInvalid, what, v)
	}
	switch {
	case o.CacheBytes < 0 || o.CacheBytes > 0 && o.CacheBytes < MinCacheBytes:
		return refuse("CacheBytes", o.CacheBytes)
	case o.CheckpointBytes < 0:
		return refuse("CheckpointBytes", o.CheckpointBytes)
	case o.SegmentBytes < 0:
		return refuse("SegmentBytes", o.SegmentBytes)
	case o.Compression > Zstd:
		return refuse("Compression", o.Compression)
	case o.MaxKeysPerNode < 0 || o.MaxKeysPerNode > 0 && o.MaxKeysPerNode < minKeysPerNode || o.MaxKeysPerNode > 1<<16-1:
		return refuse("MaxKeysPerNode", o.MaxKeysPerNode)
	case o.LogBufferBytes < 0:
		return refuse("LogBufferBytes", o.LogBufferBytes)
	case o.LogSyncInterval < 0:
		return refuse("LogSyncInterval", o.LogSyncInterval)
	case o.MaxAutomaticSnapshots < 0:
		return refuse("MaxAutomaticSnapshots", o.MaxAutomaticSnapshots)
	case o.NoSnapshots && o.SnapshotInterval > 0:
		return refuse("SnapshotInterval without snapshots", o.SnapshotInterval)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MaxAutomaticSnapshots == 0 {
		o.MaxAutomaticSnapshots = defaultAutomatic
	}
	return o, nil
}

// pageBytes is the size that pages have where one entry does not need more.
func (o Options) pageBytes() int {
	if o.MaxKeysPerNode <= 64 {
		return minPageBytes
	}
	return min(1<<bits.Len(uint(64*o.MaxKeysPerNode-1)), 64<<10)
}

// maxKeys is the bound on the entries of a page.
func (o Options) maxKeys() int {
	if o.MaxKeysPerNode == 0 {
		return 1<<16 - 1
	}
	return o.MaxKeysPerNode
}

func (o Options) logOptions(dir string) wal.Options {
	return wal.Options{FS: o.FS, Sinks: []string{dir}, SegmentBytes: o.SegmentBytes, Inline: o.Inline}
}
