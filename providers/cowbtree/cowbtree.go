// Package cowbtree is the provider over the copy-on-write B+tree. Importing it
// registers the backend "cow_btree".
package cowbtree

import (
	"context"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// Backend is the selector.
const Backend = "cow_btree"

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
	// CacheBytes is the memory for pages; 0 is 256 MiB.
	CacheBytes int64
	// MaxKeysPerNode bounds the entries of a page; 0 leaves it to the page's size.
	MaxKeysPerNode int
	// WALBufferSize is how many bytes of the log may be unflushed, in the classes
	// below Flushed, before they are flushed in the background; 0 leaves it to the
	// operating system.
	WALBufferSize int64
	// WALSyncInterval is how often they are flushed all the same; 0 is never.
	WALSyncInterval time.Duration
	// EnableSnapshots allows named snapshots (driver.NamedSnapshotter), and so
	// SnapshotInterval.
	EnableSnapshots bool
	// SnapshotInterval is the number of commits between two snapshots; 0 is none.
	SnapshotInterval uint64
	// MaxAutomaticSnapshots is how many of those are kept; 0 is 8.
	MaxAutomaticSnapshots int
	// Compression packs pages: "none", "lz4" or "zstd"; "" is "lz4".
	Compression string
}

// Defaults returns the defaults.
func Defaults() Config {
	return Config{DataDir: "./orbit_data", WALBufferSize: 1 << 20, WALSyncInterval: 5 * time.Second, EnableSnapshots: true, Compression: "lz4"}
}

// Open opens the store. ErrLocked if another has the directory open.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	if c.DataDir == "" {
		return nil, fmt.Errorf("%w: data_dir is empty", driver.ErrInvalid)
	}
	if c.SnapshotInterval > 0 && !c.EnableSnapshots {
		return nil, fmt.Errorf("%w: snapshot_interval is %d and enable_snapshots is off", driver.ErrInvalid, c.SnapshotInterval)
	}
	o := cowbtree.Options{
		CacheBytes: c.CacheBytes, MaxKeysPerNode: c.MaxKeysPerNode, LogBufferBytes: c.WALBufferSize, LogSyncInterval: c.WALSyncInterval,
		NoSnapshots: !c.EnableSnapshots, SnapshotInterval: c.SnapshotInterval, MaxAutomaticSnapshots: c.MaxAutomaticSnapshots,
	}
	switch c.Compression {
	case "none":
		o.Compression = cowbtree.NoCompression
	case "lz4", "":
		o.Compression = cowbtree.LZ4
	case "zstd":
		o.Compression = cowbtree.Zstd
	default:
		return nil, fmt.Errorf("%w: unknown compression %q; choose none, lz4 or zstd", driver.ErrInvalid, c.Compression)
	}
	if err := local.MakeDir(vfs.OS(), c.DataDir); err != nil {
		return nil, err
	}
	e, err := cowbtree.Open(ctx, c.DataDir, o)
	if err != nil {
		return nil, err
	}
	return local.Own(ctx, e, c.DataDir, local.Options{Backend: Backend, Durability: c.Durability, NoNamedSnapshots: !c.EnableSnapshots})
}
