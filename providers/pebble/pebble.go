// Package pebble is the provider over Pebble. Importing it registers the backend
// "pebble".
package pebble

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/vfs"
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

// Config sets up a store; Defaults is where to begin.
type Config struct {
	// DataDir is the directory, made if it is not there.
	DataDir string
	// Durability is what an acknowledged write survives: Flushed unless set.
	Durability engine.Durability
	// CacheBytes is the memory for blocks and memtables; 0 is 256 MiB.
	CacheBytes int64
	// MemtableBytes is one memtable, of which four exist before writes wait; 0 is
	// 64 MiB.
	MemtableBytes int64
	// BloomBitsPerKey is the size of the filters; 0 is 10, below 0 there are none.
	BloomBitsPerKey int
	// CompactionThreshold is the number of sublevels of the top level that starts a
	// compaction; 0 is 2.
	CompactionThreshold int
	// MaxCompactions is the number of compactions at one time; 0 is the number of
	// processors.
	MaxCompactions int
	// MaxOpenFiles bounds the tables held open; 0 is 1,000.
	MaxOpenFiles int
	// Compression packs tables: "none", "snappy" or "zstd"; "" is "snappy".
	Compression string
	// Logger receives what Pebble logs; nil drops it.
	Logger *slog.Logger
}

// Defaults returns the defaults.
func Defaults() Config { return Config{DataDir: "./orbit_data", Compression: "snappy"} }

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	if c.CacheBytes < 0 || c.MemtableBytes < 0 || c.CompactionThreshold < 0 || c.MaxCompactions < 0 || c.MaxOpenFiles < 0 {
		return nil, fmt.Errorf("%w: sizes and numbers are not below 0", driver.ErrInvalid)
	}
	o := pebbledb.Options{
		CacheBytes: c.CacheBytes, MemTableBytes: uint64(c.MemtableBytes), BloomBitsPerKey: c.BloomBitsPerKey, L0CompactionThreshold: c.CompactionThreshold,
		MaxConcurrentCompactions: c.MaxCompactions, MaxOpenFiles: c.MaxOpenFiles, Logger: c.Logger,
	}
	switch c.Compression {
	case "none":
		o.Compression = pebbledb.NoCompression
	case "snappy", "":
		o.Compression = pebbledb.Snappy
	case "zstd":
		o.Compression = pebbledb.Zstd
	default:
		return nil, fmt.Errorf("%w: unknown compression %q; choose none, snappy or zstd", driver.ErrInvalid, c.Compression)
	}
	if err := local.MakeDir(vfs.OS(), c.DataDir); err != nil {
		return nil, err
	}
	e, err := pebbledb.Open(c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability})
}
