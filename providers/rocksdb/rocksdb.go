// Package rocksdb is the provider over RocksDB. Importing it registers the backend
// "rocksdb". It needs the build tag rocksdb and the C library; without them Open is
// ErrUnsupported and says how to build.
package rocksdb

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "rocksdb"

// Available tells whether this program was built with RocksDB.
const Available = rocks.Available

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Defaults())
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store; Defaults is where to begin.
type Config struct {
	// DataDir is the directory, made if it is not there.
	DataDir string
	// Durability is what an acknowledged write survives: Flushed unless set.
	Durability engine.Durability
	// CacheBytes is the block cache, which holds indexes and filters too; 0 is 256 MiB.
	CacheBytes uint64
	// WriteBufferBytes is one memtable; 0 is 64 MiB.
	WriteBufferBytes uint64
	// MaxWriteBuffers is how many memtables may exist before writes wait; 0 is 2,
	// RocksDB's default.
	MaxWriteBuffers int
	// TargetFileBytes is the size of a table of the first level; 0 is 64 MiB.
	TargetFileBytes uint64
	// MaxBackgroundJobs is the number of flushes and compactions at one time; 0 is the
	// number of processors, at least 2.
	MaxBackgroundJobs int
	// Compression packs tables: "none", "snappy", "lz4" or "zstd"; "" is "lz4".
	Compression string
	// EnableStatistics turns on RocksDB's counters, cache hits and misses among
	// them.
	EnableStatistics bool
}

// Defaults returns the defaults.
func Defaults() Config {
	return Config{DataDir: "./orbit_data", CacheBytes: 256 << 20, WriteBufferBytes: 64 << 20, MaxWriteBuffers: 3, MaxBackgroundJobs: 4, Compression: "lz4"}
}

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	o := rocks.Options{
		CacheBytes: c.CacheBytes, WriteBufferBytes: c.WriteBufferBytes, MaxWriteBuffers: c.MaxWriteBuffers, TargetFileBytes: c.TargetFileBytes,
		MaxBackgroundJobs: c.MaxBackgroundJobs, Compression: rocks.Compression(c.Compression),
		ManualLogFlush: c.Durability == engine.Memory, Statistics: c.EnableStatistics,
	}
	if Available { // else nothing is opened, and nothing made
		if err := local.MakeDir(vfs.OS(), c.DataDir); err != nil {
			return nil, err
		}
	}
	e, err := rocks.Open(c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability})
}
