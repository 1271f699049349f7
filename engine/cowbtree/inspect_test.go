package cowbtree_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestInspectFindsNothing: after all kinds of lives a closed store is sound, and is
// what the model says when it is opened again.
func TestInspectFindsNothing(t *testing.T) {
	options := map[string]cowbtree.Options{
		"inline":     {Inline: true},
		"background": {},
		"lz4":        {Inline: true, Compression: cowbtree.LZ4},
		"zstd":       {Compression: cowbtree.Zstd},
		"few keys":   {Inline: true, MaxKeysPerNode: 4},
		"many keys":  {Inline: true, MaxKeysPerNode: 1000, Compression: cowbtree.LZ4},
		"automatic":  {Inline: true, SnapshotInterval: 50},
		"one":        {Inline: true, CheckpointBytes: 1 << 30},
	}
	for name, o := range options {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live(t, o)
		})
	}
}

// TestInspectOfDirect is the same for a store past the page cache.
func TestInspectOfDirect(t *testing.T) {
	c, err := vfs.OS().Capabilities(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if !c.Direct {
		t.Skip("no direct I/O here")
	}
	live(t, cowbtree.Options{Direct: true})
}

// live lets a store live several times, with what its model says.
func live(t *testing.T, o cowbtree.Options) {
	t.Helper()
	o.CacheBytes, o.SegmentBytes = 32<<20, 64<<10
	if o.CheckpointBytes == 0 {
		o.CheckpointBytes = 100 << 10
	}
	dir := t.TempDir()
	if o.Inline {
		o.FS, dir = simdisk.New(simdisk.Options{Seed: 1}), "/store"
	}
	s := newStory(t, 1, dir, o)
	// Automatic snapshots are not in the model.
	modelled := o.SnapshotInterval == 0
	lives := 4
	if cowbtree.RaceEnabled {
		lives = 2
	}
	for range lives {
		s.steps(t, 300)
		if modelled {
			s.check(t)
		}
		s.close(t)
		s.e = open(t, dir, o)
		inspect(t, s.fs, dir) // while nothing is written
	}
	if modelled {
		s.check(t)
	}
	s.close(t)
}

// TestInspectAfterPowerCuts: the checkpoint that counts after a loss of power is
// sound, and so is the next one.
func TestInspectAfterPowerCuts(t *testing.T) {
	seeds := uint64(4)
	if cowbtree.RaceEnabled {
		seeds = 1
	}
	for seed := range seeds {
		d := simdisk.New(simdisk.Options{Seed: seed})
		o := cowbtree.Options{FS: d, Inline: true, SegmentBytes: 32 << 10, CheckpointBytes: 8 << 10, MaxKeysPerNode: 20, Compression: cowbtree.Compression(seed % 3)}
		s := newStory(t, seed, "/store", o)
		s.keys = 100
		s.steps(t, 200)
		s.close(t)
		random := rand.New(rand.NewPCG(seed, 3))
		cuts, named, made := 0, false, false
		for w := d.Walk(); w.Next(); {
			named = named || w.Event().Kind == simdisk.EventRename
			made = made || named && w.Event().Kind == simdisk.EventSyncDir && w.Event().Path == "/store"
			if !made || random.IntN(20) > 0 {
				continue
			}
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = simdisk.Fate(random.IntN(2)) // Lost or Kept
			}
			image := w.Crash(fates, 1)
			if err := cowbtree.Inspect(context.Background(), image, "/store", io.Discard); err != nil {
				t.Fatalf("seed %d, cut %d: %v", seed, cuts, err)
			}
			o.FS = image
			e := open(t, "/store", o)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if err := cowbtree.Inspect(context.Background(), image, "/store", io.Discard); err != nil {
				t.Fatalf("seed %d, cut %d: after recovery: %v", seed, cuts, err)
			}
			cuts++
		}
		if cuts < 20 {
			t.Errorf("seed %d: %d cuts", seed, cuts)
		}
	}
}

// TestInspectPrints pins what a store looks like. Checksums depend on all of the
// layout, and are left out.
func TestInspectPrints(t *testing.T) {
	ctx := context.Background()
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := open(t, "/store", cowbtree.Options{FS: d, Inline: true})
	put := func(from, to, size int) {
		t.Helper()
		var b engine.Batch
		for i := from; i < to; i++ {
			b.Put(fmt.Appendf(nil, "key %05d", i), make([]byte, size))
		}
		if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
	}
	put(0, 1000, 60)
	put(1000, 1001, 5000)
	if err := e.CreateSnapshot(ctx, "before"); err != nil {
		t.Fatal(err)
	}
	put(1000, 1001, 7000)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`checksum [0-9a-f]{8}`).ReplaceAllString(inspect(t, d, "/store"), "checksum ...")
	const want = `copy-on-write B+tree 75102053e7cf9eaf in /store/data: 143360 bytes
slot 0  checkpoint 3 of commit 4, generation 3, of a store begun at commit 0; 122880 bytes; the newest
        root at 114688, 1024 bytes, level 1, born in 3, flags 0x1, checksum ...
        catalog at 118784, 48 of 4096 bytes, checksum ...
slot 1  checkpoint 1 of commit 0, generation 1, of a store begun at commit 0; 77824 bytes
        root at 12288, 512 bytes, level 0, born in 1, flags 0x0, checksum ...
        catalog at 16384, 6 of 4096 bytes, checksum ...
slot 2  checkpoint 2 of commit 0, generation 1, of a store begun at commit 0; 77824 bytes
        root at 12288, 512 bytes, level 0, born in 1, flags 0x0, checksum ...
        catalog at 16384, 6 of 4096 bytes, checksum ...
level 1: 1 pages, 18 entries, 1024 bytes in the file; of the memory that they take they fill 17.0 %
level 0: 18 pages, 1001 entries, 73216 bytes in the file; of the memory that they take they fill 98.4 %
values apart: 1, 7000 bytes, in 8192
free: 2 extents, 11264 bytes, the largest 8192
snapshot "before" of commit 3, generation 2: 2 pages and 1 values are its alone, 12800 bytes
behind the end: 20480 bytes, which are free at the next opening
sound
`
	if got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
	if err := cowbtree.Inspect(ctx, d, "/", io.Discard); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a directory without a store: %v", err)
	}
	if err := cowbtree.Inspect(ctx, d, "/store/log", io.Discard); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a directory without a store: %v", err)
	}
}
