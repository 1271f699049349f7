// Package lsmtree is the provider over the LSM-tree, the default backend. Importing it
// registers the backend "lsm_tree".
package lsmtree

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "lsm_tree"

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
	// MemtableBytes is the size at which a memtable is written to a table; 0 is 64 MiB.
	MemtableBytes int64
	// MaxMemtables is how many memtables there are before writes wait; 0 is 4.
	MaxMemtables int
	// MaxLevels is the number of levels; 0 is 7. A store keeps the number that it was
	// made with: another one is ErrInvalid.
	MaxLevels int
	// LevelSizeMultiplier is how many times the bytes of a level the one below may
	// have; 0 is 10.
	LevelSizeMultiplier int
	// CompactionThreshold is how many runs there are at the top when they are merged
	// with what is below; 0 is 4.
	CompactionThreshold int
	// EnableBloomFilters gives tables filters, which tell those without a key from
	// others.
	EnableBloomFilters bool
	// BloomFilterBitsPerKey is their size; 0 is 10.
	BloomFilterBitsPerKey float64
	// Compression packs blocks of tables, and large values: "none", "lz4" or "zstd"; ""
	// is "lz4".
	Compression string
	// CacheBytes is the memory for blocks of tables; 0 is 256 MiB.
	CacheBytes int64
}

// Defaults returns the defaults.
func Defaults() Config {
	return Config{DataDir: "./orbit_data", MaxMemtables: 10, EnableBloomFilters: true, Compression: "lz4"}
}

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	o := lsm.Options{
		CacheBytes: c.CacheBytes, MemtableBytes: c.MemtableBytes, MaxMemtables: c.MaxMemtables, Levels: c.MaxLevels,
		Multiplier: c.LevelSizeMultiplier, CompactionThreshold: c.CompactionThreshold, FilterBitsPerKey: c.BloomFilterBitsPerKey,
	}
	if !c.EnableBloomFilters {
		o.Filter = lsm.NoFilter
	}
	switch c.Compression {
	case "none":
		o.Compression = lsm.NoCompression
	case "lz4", "":
		o.Compression = lsm.LZ4
	case "zstd":
		o.Compression = lsm.Zstd
	default:
		return nil, fmt.Errorf("%w: unknown compression %q; choose none, lz4 or zstd", driver.ErrInvalid, c.Compression)
	}
	if err := local.MakeDir(vfs.OS(), c.DataDir); err != nil {
		return nil, err
	}
	e, err := lsm.Open(ctx, c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability})
}
