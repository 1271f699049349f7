// Package rocksdb is the provider over RocksDB. Importing it registers the backend
// "rocksdb". It needs the build tag rocksdb and the C library; without them Open is
// ErrUnsupported and says how to build.
package rocksdb

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/rocks"
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
	// BlockCacheMB is the block cache, in MiB.
	BlockCacheMB uint64
	// WriteBufferMB is one memtable, in MiB.
	WriteBufferMB uint64
	// MaxBackgroundJobs is the number of flushes and compactions at one time.
	MaxBackgroundJobs int
	// Compression packs tables with LZ4.
	Compression bool
	// EnableStatistics turns on RocksDB's counters, cache hits and misses among
	// them.
	EnableStatistics bool
}

// Defaults returns the defaults.
func Defaults() Config {
	return Config{DataDir: "./orbit_data", BlockCacheMB: 256, WriteBufferMB: 64, MaxBackgroundJobs: 4, Compression: true}
}

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	o := rocks.Options{
		CacheBytes: c.BlockCacheMB << 20, WriteBufferBytes: c.WriteBufferMB << 20, MaxBackgroundJobs: c.MaxBackgroundJobs,
		Compression: rocks.LZ4, ManualLogFlush: c.Durability == engine.Memory, Statistics: c.EnableStatistics,
	}
	if !c.Compression {
		o.Compression = rocks.None
	}
	e, err := rocks.Open(c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability})
}
