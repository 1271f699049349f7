// Package pebble is the provider over Pebble. Importing it registers the backend
// "pebble".
package pebble

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "pebble"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Defaults())
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Config sets up a store; Defaults is where to begin. Zeros are Pebble's defaults.
type Config struct {
	// DataDir is the directory, made if it is not there.
	DataDir string
	// Durability is what an acknowledged write survives: Flushed unless set.
	Durability engine.Durability
	// BlockCacheMB is the memory for blocks and memtables, in MiB.
	BlockCacheMB int64
	// WriteBufferMB is one memtable, in MiB.
	WriteBufferMB int64
	// MaxBackgroundJobs is the number of compactions at one time.
	MaxBackgroundJobs int
	// Compression packs tables with Snappy.
	Compression bool
	// Logger receives what Pebble logs; nil drops it.
	Logger *slog.Logger
}

// Defaults returns the defaults.
func Defaults() Config { return Config{DataDir: "./orbit_data", Compression: true} }

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	if c.BlockCacheMB < 0 || c.WriteBufferMB < 0 || c.MaxBackgroundJobs < 0 {
		return nil, fmt.Errorf("%w: block_cache_mb, write_buffer_mb and max_background_jobs are not below 0", driver.ErrInvalid)
	}
	o := pebbledb.Options{
		CacheBytes: c.BlockCacheMB << 20, MemTableBytes: uint64(c.WriteBufferMB) << 20, MaxConcurrentCompactions: c.MaxBackgroundJobs, Logger: c.Logger,
	}
	if !c.Compression {
		o.Compression = pebbledb.NoCompression
	}
	e, err := pebbledb.Open(c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability})
}
