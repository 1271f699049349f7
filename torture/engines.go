package torture

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/peers/badger"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/example"
	"github.com/orbit-persistence/orbit/torture/real"
	"github.com/orbit-persistence/orbit/torture/target"
)

// Standard returns the project's engines and peers, set up so small that little
// data makes them flush, compact and recycle.
func Standard() []target.Engine {
	return []target.Engine{
		{
			Name: "example",
			Open: func(dir string) (engine.Engine, error) {
				return example.Open(context.Background(), dir, example.Options{CheckpointBytes: 1 << 20})
			},
			OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
				return example.Open(context.Background(), dir, example.Options{
					FS: fsys, Inline: true, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10,
				})
			},
			OpenOnPaths: func(fsys vfs.FS, dirs []string) (engine.Engine, error) {
				return example.Open(context.Background(), target.PathsHome, example.Options{
					FS: fsys, Inline: true, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10,
					Sinks: dirs, AllowMissing: true,
				})
			},
		},
		{
			Name: "cowbtree",
			Open: func(dir string) (engine.Engine, error) {
				return cowbtree.Open(context.Background(), dir, cowbtree.Options{CacheBytes: 4 << 20, CheckpointBytes: 1 << 20})
			},
			OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
				return cowbtree.Open(context.Background(), dir, cowbtree.Options{
					FS: fsys, Inline: true, CacheBytes: cowbtree.MinCacheBytes, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10, MaxKeysPerNode: 4,
				})
			},
		},
		{
			Name: "lsm",
			Open: func(dir string) (engine.Engine, error) {
				return lsm.Open(context.Background(), dir, lsm.Options{
					CacheBytes: 4 << 20, MemtableBytes: 256 << 10, TableBytes: 128 << 10, Multiplier: 3, ValuesApart: 200, ValueFileBytes: 128 << 10,
				})
			},
			OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
				return lsm.Open(context.Background(), dir, lsm.Options{
					FS: fsys, Inline: true, CacheBytes: lsm.MinCacheBytes, MemtableBytes: lsm.MinMemtableBytes, SegmentBytes: 16 << 10,
					TableBytes: 4 << 10, Multiplier: 2, CompactionThreshold: 2, ValuesApart: 64, ValueFileBytes: 4 << 10,
				})
			},
		},
		{
			Name: "flash",
			Open: func(dir string) (engine.Engine, error) {
				return flash.Open(context.Background(), dir, flash.Options{
					CacheBytes: 1 << 20, SegmentBytes: 256 << 10, CheckpointBytes: 1 << 20, PageCache: true,
				})
			},
			OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
				return flash.Open(context.Background(), dir, flash.Options{
					FS: fsys, Inline: true, CacheBytes: -1, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10,
				})
			},
			OpenOnPaths: func(fsys vfs.FS, dirs []string) (engine.Engine, error) {
				return flash.Open(context.Background(), target.PathsHome, flash.Options{
					FS: fsys, Inline: true, CacheBytes: -1, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10,
					Paths: dirs, Force: true,
				})
			},
			OpenMirrored: openMirrored,
		},
		{
			// On two paths of one disk, for the modes on the real kernel; on simulated
			// disks the entry above takes its paths away.
			Name: "flash-mirrored",
			Open: func(dir string) (engine.Engine, error) {
				return flash.Open(context.Background(), dir, flash.Options{
					CacheBytes: 1 << 20, SegmentBytes: 256 << 10, CheckpointBytes: 1 << 20, PageCache: true,
					Paths: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")},
				})
			},
		},
		{
			Name: "memory",
			Open: func(string) (engine.Engine, error) { return memory.Open(), nil },
		},
		{
			Name:    "pebble",
			Foreign: true, MayExit: true, // a goroutine of it panics when Open meets an error of the disk
			Open: func(dir string) (engine.Engine, error) {
				return pebbledb.Open(dir, pebbledb.Options{CacheBytes: 8 << 20, MemTableBytes: 256 << 10})
			},
			OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
				return pebbledb.Open(dir, pebbledb.Options{FS: pebbledb.OnFS(fsys), CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
			},
			Transparent: []string{
				"github.com/orbit-persistence/orbit/engine/pebbledb.", "github.com/cockroachdb/pebble/vfs.", "os.", "io.", "bufio.",
			},
		},
		{
			Name:    "rocksdb",
			Missing: missingUnless(rocks.Available, "rocksdb"),
			Foreign: true, MayExit: true, // Debian's library has its assertions on
			Open: func(dir string) (engine.Engine, error) {
				return rocks.Open(dir, rocks.Options{CacheBytes: 8 << 20, WriteBufferBytes: 256 << 10})
			},
		},
		{
			Name:    "bbolt",
			Foreign: true, MayExit: true, // it reads through a mapping
			Open: func(dir string) (engine.Engine, error) { return bbolt.Open(dir, bbolt.Options{}) },
		},
		{
			Name:    "lmdb",
			Missing: missingUnless(lmdb.Available, "lmdb"),
			Foreign: true, MayExit: true, // it reads through a mapping
			Open: func(dir string) (engine.Engine, error) { return lmdb.Open(dir, lmdb.Options{}) },
		},
		{
			Name:    "badger",
			Foreign: true, MayExit: true, // it reads and logs through mappings
			Open: func(dir string) (engine.Engine, error) {
				return badger.Open(dir, badger.Options{CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
			},
		},
	}
}

// openMirrored opens a flash store for target.Engine.OpenMirrored.
func openMirrored(dirs []string, force bool) (target.Mirrored, error) {
	return real.OpenFlash(dirs, flash.Options{Force: force, Timeout: time.Second})
}

// missingUnless says how to get an engine that this build lacks.
func missingUnless(available bool, tag string) string {
	if available {
		return ""
	}
	return fmt.Sprintf("built without it; run `make deps-bench`, then build with -tags %s (`make build` does)", tag)
}
