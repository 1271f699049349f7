package enginebench

import (
	"cmp"
	"context"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
	"github.com/orbit-persistence/orbit/engine/rocks"
)

// config is what is asked of every engine alike. Nothing is compressed.
type config struct {
	CacheBytes int64 `json:"cache_bytes"`
	// Class is that of the writes to come, for engines that fix it, or pay for it,
	// when they are opened.
	Class engine.Durability `json:"class"`
	// Direct reads past the page cache, where the engine can.
	Direct bool `json:"direct,omitempty"`
	// CheckpointBytes is how much may be logged before it is written to the data
	// file, for engines that have such a bound; 0 is the engine's own.
	CheckpointBytes int64 `json:"checkpoint_bytes,omitempty"`
	// MemtableBytes is the size of a memtable, of engines that have one; 0 is 64 MiB.
	MemtableBytes int64 `json:"memtable_bytes,omitempty"`
	// KeepLog leaves everything in the log, so that all of it is there to replay.
	KeepLog bool `json:"keep_log,omitempty"`
}

// memtable returns the size of a memtable.
func (c config) memtable() int64 { return cmp.Or(c.MemtableBytes, 64*mib) }

// subject is an engine as it is measured here. Its name is that of its column in
// the bench too.
type subject struct {
	name    string
	missing string
	open    func(dir string, c config) (engine.Engine, error)
	// log matches the files below the directory that are the log, not the data.
	log string
	// executable is another build that runs the engine, as childName; empty is this
	// one, and name.
	executable, childName string
	// tree is whether it is a B+tree in one file, inMemory whether it has no files.
	tree, inMemory bool
	// logs is whether there is a log to replay; direct whether config.Direct is
	// kept.
	logs, direct bool
}

// keptLogBytes is more than any log that this package leaves to be replayed.
const keptLogBytes = 2 << 30

var subjects = []subject{
	{
		name: "cowbtree", tree: true, log: "log/*", logs: true, direct: true,
		open: func(dir string, c config) (engine.Engine, error) {
			o := cowbtree.Options{CacheBytes: c.CacheBytes, Direct: c.Direct, CheckpointBytes: c.CheckpointBytes}
			if c.KeepLog {
				o.CheckpointBytes = keptLogBytes
			}
			return cowbtree.Open(context.Background(), dir, o)
		},
	},
	{
		name: "lsm", log: "log/*", logs: true,
		open: func(dir string, c config) (engine.Engine, error) {
			o := lsm.Options{CacheBytes: c.CacheBytes, MemtableBytes: c.memtable(), Compression: lsm.NoCompression}
			if c.KeepLog {
				o.MemtableBytes = keptLogBytes / 2
			}
			return lsm.Open(context.Background(), dir, o)
		},
	},
	{
		name: "lmdb", missing: unless(lmdb.Available, "lmdb"), tree: true,
		open: func(dir string, c config) (engine.Engine, error) {
			return lmdb.Open(dir, lmdb.Options{NoSync: true})
		},
	},
	{
		name: "bbolt", tree: true,
		open: func(dir string, c config) (engine.Engine, error) {
			return bbolt.Open(dir, bbolt.Options{NoSync: c.Class == engine.Buffered})
		},
	},
	{
		name: "pebble", log: "*.log", logs: true,
		open: func(dir string, c config) (engine.Engine, error) {
			o := pebbledb.Options{CacheBytes: c.CacheBytes, MemTableBytes: uint64(c.memtable()), Compression: pebbledb.NoCompression}
			if c.KeepLog {
				o.MemTableBytes = keptLogBytes / 2 // Pebble's own bound is below 4 GiB
			}
			return pebbledb.Open(dir, o)
		},
	},
	{
		name: "rocksdb", missing: unless(rocks.Available, "rocksdb"), log: "*.log", logs: true, direct: true,
		open: func(dir string, c config) (engine.Engine, error) {
			// The class memory makes buffered commits dearer, so it is asked for only
			// where it is measured.
			o := rocks.Options{CacheBytes: uint64(c.CacheBytes), WriteBufferBytes: uint64(c.memtable()), Compression: rocks.None, DirectReads: c.Direct, ManualLogFlush: c.Class == engine.Memory}
			if c.KeepLog {
				o.WriteBufferBytes = keptLogBytes
			}
			return rocks.Open(dir, o)
		},
	},
	{
		name: "memory", inMemory: true,
		open: func(string, config) (engine.Engine, error) { return memory.Open(), nil },
	},
}

// unless says how to get an engine that this build lacks.
func unless(available bool, tag string) string {
	if available {
		return ""
	}
	return "built without it; run `make build`, or build with -tags " + tag
}

func findSubject(name string) (subject, bool) {
	i := slices.IndexFunc(subjects, func(s subject) bool { return s.name == name })
	if i < 0 {
		return subject{}, false
	}
	return subjects[i], true
}

func subjectNames() []string {
	var names []string
	for _, s := range subjects {
		names = append(names, s.name)
	}
	return names
}
