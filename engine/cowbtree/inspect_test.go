package cowbtree_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestInspectFindsNothing: after all kinds of lives a closed store is sound, and is
// what the model says when it is opened again.
func TestInspectFindsNothing(t *testing.T) {
	direct := false
	if c, err := vfs.OS().Capabilities(t.TempDir()); err == nil {
		direct = c.Direct
	}
	options := map[string]cowbtree.Options{
		"inline":     {Inline: true},
		"background": {},
		"lz4":        {Inline: true, Compression: cowbtree.LZ4},
		"zstd":       {Compression: cowbtree.Zstd},
		"direct":     {Direct: true},
		"few keys":   {Inline: true, MaxKeysPerNode: 4},
		"many keys":  {Inline: true, MaxKeysPerNode: 1000, Compression: cowbtree.LZ4},
		"automatic":  {Inline: true, SnapshotInterval: 50},
		"one":        {Inline: true, CheckpointBytes: 1 << 30},
	}
	for name, o := range options {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if o.Direct && !direct {
				t.Skip("no direct I/O here")
			}
			o.CacheBytes, o.SegmentBytes = 32<<20, 64<<10
			if o.CheckpointBytes == 0 {
				o.CheckpointBytes = 100 << 10
			}
			dir := t.TempDir()
			if o.Inline {
				o.FS, dir = simdisk.New(simdisk.Options{Seed: 1}), "/store"
			}
			s := newStory(t, 1, dir, o)
			for range 4 {
				s.steps(t, 400)
				if o.SnapshotInterval == 0 {
					s.check(t)
				}
				s.close(t)
				s.e = open(t, dir, o)
				inspect(t, s.fs, dir) // while nothing is written
			}
			if o.SnapshotInterval == 0 {
				s.check(t)
			}
			s.close(t)
		})
	}
}
