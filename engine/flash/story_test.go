package flash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// alone are options of one path on a simulated disk, that checkpoints and cleans often.
var alone = flash.Options{Inline: true, CacheBytes: -1, SegmentBytes: 16 << 10, CheckpointBytes: 32 << 10, Paths: []string{"/data"}, Compression: flash.NoCompression}

// overwrite puts the same keys again and again, in another order each time, with a value of
// the round.
func overwrite(t testing.TB, e engine.Engine, keys, rounds int) {
	t.Helper()
	for round := range rounds {
		for _, i := range rand.New(rand.NewPCG(uint64(round), 1)).Perm(keys) {
			var b engine.Batch
			b.Put(keyOf(i), valueOf(round*keys+i))
			if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSnapshotHoldsSegments: what a snapshot or an iterator sees is there, whatever was
// overwritten, cleaned and given back since; and is given back when they are closed.
func TestSnapshotHoldsSegments(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, d, alone)
	overwrite(t, e, 100, 1)
	snap, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	it, err := e.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, e, 100, 30)
	m := e.Metrics().Other
	if m["freed_segments"] == 0 || m["checkpoints"] < 3 {
		t.Fatalf("nothing was given back: %v", m)
	}
	for i := range 100 {
		if got, err := snap.Get(keyOf(i), nil); err != nil || !bytes.Equal(got, valueOf(i)) {
			t.Fatalf("the snapshot has %.20q under %s: %v", got, keyOf(i), err)
		}
		if ok := it.Next(); i > 0 && !ok || i == 0 && !it.First() {
			t.Fatalf("the iterator ends at %d: %v", i, it.Err())
		}
		if got, err := it.Value(); err != nil || !bytes.Equal(got, valueOf(i)) {
			t.Fatalf("the iterator has %.20q under %s: %v", got, it.Key(), err)
		}
	}
	held := e.Metrics().Other["dead_segments"]
	if held == 0 {
		t.Fatal("no segment is held")
	}
	if err := errors.Join(it.Close(), snap.Close()); err != nil {
		t.Fatal(err)
	}
	overwrite(t, e, 100, 2)
	if now := e.Metrics().Other["dead_segments"]; now >= held {
		t.Fatalf("%v segments were held, and %v are", held, now)
	}
	closed(t, e)
}

// TestCleaningBoundsSpace: however often values are overwritten, no more of the disk is
// taken than Fill and some segments allow for.
func TestCleaningBoundsSpace(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 2})
	for _, fill := range []float64{0.5, 0.8} {
		o := alone
		o.Fill, o.Paths = fill, []string{fmt.Sprintf("/fill%v", fill)}
		e := mustOpen(t, d, o)
		overwrite(t, e, 400, 20)
		m := e.Metrics().Other
		if got, most := m["segment_bytes"], m["live_bytes"]/fill+8*16<<10; m["cleaned_segments"] == 0 || got > most {
			t.Errorf("fill %v: segments of %v bytes, and should be up to %v: %v", fill, got, most, m)
		}
		for i := range 400 {
			if got, err := e.Get(keyOf(i), nil); err != nil || !bytes.Equal(got, valueOf(19*400+i)) {
				t.Fatalf("get %d: %.20q, %v", i, got, err)
			}
		}
		closed(t, e)
	}
}

// TestMovedValuesGoBehindNewerOnes: a value that cleaning moved does not come back over one
// that was put since, after a crash either.
func TestMovedValuesGoBehindNewerOnes(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 3})
	o := alone
	o.CheckpointBytes = 1 << 30 // all is replayed
	e := mustOpen(t, d, o)
	overwrite(t, e, 300, 6)
	if e.Metrics().Other["cleaned_segments"] == 0 {
		t.Fatal("nothing was cleaned")
	}
	if err := e.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	killed := d.Kill()
	_ = e.Close() // the process is gone
	e = mustOpen(t, killed, o)
	for i := range 300 {
		if got, err := e.Get(keyOf(i), nil); err != nil || !bytes.Equal(got, valueOf(5*300+i)) {
			t.Fatalf("get %d after a crash: %.20q, %v", i, got, err)
		}
	}
	closed(t, e)
}

// TestCrashAroundCleaning cuts the power while segments are overwritten, cleaned, given back
// and used again, with nothing, everything and some of what was pending: each key has a value
// no older than the last that was flushed.
func TestCrashAroundCleaning(t *testing.T) {
	const keys = 60
	d := simdisk.New(simdisk.Options{Seed: 8})
	e := mustOpen(t, d, alone)
	type flush struct{ event, round int }
	var flushes []flush
	for round := range 12 {
		for n, i := range rand.New(rand.NewPCG(uint64(round), 2)).Perm(keys) {
			if round > 0 && n >= keys*2/3 {
				break // some keys keep what they have
			}
			var b engine.Batch
			b.Put(keyOf(i), valueOf(round*keys+i))
			if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
		if round%4 == 0 {
			if err := e.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			flushes = append(flushes, flush{d.Events(), round})
		}
	}
	if m := e.Metrics().Other; m["cleaned_segments"] == 0 || m["freed_segments"] == 0 {
		t.Fatalf("nothing was cleaned: %v", m)
	}
	closed(t, e)
	// What each key has after each round.
	after := make([][keys]int, 12)
	for round := range after {
		if round > 0 {
			after[round] = after[round-1]
		}
		for n, i := range rand.New(rand.NewPCG(uint64(round), 2)).Perm(keys) {
			if round == 0 || n < keys*2/3 {
				after[round][i] = round
			}
		}
	}
	w := d.Walk()
	images := 0
	for at := 1; w.Next(); at++ {
		flushed := -1
		for _, f := range flushes {
			if at >= f.event {
				flushed = f.round
			}
		}
		if flushed < 0 || at%3 != 0 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(at), 3))
		for fate, kept := range []float64{0, 1, 0.5, 0.5, 0.8} {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				if fates[i] = simdisk.Lost; r.Float64() < kept {
					fates[i] = simdisk.Kept
				}
			}
			image := w.Crash(fates, 1)
			e, err := openPaths(image, alone)
			if err != nil {
				t.Fatalf("event %d, %v: %v", at, fate, err)
			}
			for i := range keys {
				got, err := e.Get(keyOf(i), nil)
				if err != nil {
					t.Fatalf("event %d, %v: get %d: %v", at, fate, i, err)
				}
				var n int
				if _, err := fmt.Sscanf(string(got), "value %d", &n); err != nil || n%keys != i || n/keys < after[flushed][i] {
					t.Fatalf("event %d, %v: key %d has %.20q, and round %d was flushed", at, fate, i, got, flushed)
				}
			}
			closed(t, e)
			images++
		}
	}
	if images < 200 {
		t.Fatalf("%d images", images)
	}
}

// TestSurvivorKnowsAtOnce: when a commit is acknowledged that a path has missed, the one that
// is left knows that it is alone: it opens without the other, whatever was pending.
func TestSurvivorKnowsAtOnce(t *testing.T) {
	d := twoDevices(t, 9)
	e := mustOpen(t, d, onPaths(true))
	put(t, e, 0, 20)
	if err := d.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	put(t, e, 20, 21)
	w := d.Kill().Walk()
	_ = e.Close() // the process is gone
	for w.Next() {
	}
	image := w.Crash(make([]simdisk.Fate, len(w.Pending())), 1) // all of it is lost
	if err := image.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, image, onPaths(true))
	wantAll(t, e, 21)
	closed(t, e)
}

// TestOneReadForEachGet: a value that is not cached costs one read of whole blocks, and a
// cached one none.
func TestOneReadForEachGet(t *testing.T) {
	for _, block := range []int{512, 4096} {
		d := simdisk.New(simdisk.Options{Seed: 4})
		o := alone
		o.CacheBytes, o.BlockBytes = 8<<20, block
		e := mustOpen(t, d, o)
		var b engine.Batch
		for i := range 200 {
			b.Put(keyOf(i), valueOf(i))
		}
		if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
		for _, want := range []float64{200, 0} {
			before := e.Metrics().Other
			wantAll(t, e, 200)
			after := e.Metrics().Other
			if got := after["reads"] - before["reads"]; got != want {
				t.Errorf("blocks of %d: %v reads, want %v", block, got, want)
			}
			if got := after["read_bytes"] - before["read_bytes"]; want > 0 && (int(got)%block != 0 || got > want*float64(block+len(valueOf(0))+block)) {
				t.Errorf("blocks of %d: %v bytes were read", block, got)
			}
		}
		closed(t, e)
	}
}

// TestOptions: each option does what it says, and what cannot be is refused.
func TestOptions(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 5})
	for what, change := range map[string]func(o *flash.Options){
		"BlockBytes is 5000":           func(o *flash.Options) { o.BlockBytes = 5000 },
		"IODepth is -1":                func(o *flash.Options) { o.IODepth = -1 },
		"Compression is 9":             func(o *flash.Options) { o.Compression = 9 },
		"Replicas is 3":                func(o *flash.Options) { o.Replicas = 3 },
		"path /data is named twice":    func(o *flash.Options) { o.Paths = []string{"/data", "/data/"} },
		"Fill is 2":                    func(o *flash.Options) { o.Fill = 2 },
		"SegmentBytes is 1, and must":  func(o *flash.Options) { o.SegmentBytes = 1 },
		"CheckpointBytes is -1, and m": func(o *flash.Options) { o.CheckpointBytes = -1 },
	} {
		o := alone
		change(&o)
		if _, err := openPaths(d, o); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	sizes := map[flash.Compression]float64{}
	for _, c := range []flash.Compression{flash.NoCompression, flash.LZ4, flash.Zstd} {
		o := alone
		o.Compression, o.Paths = c, []string{"/" + c.String()}
		e := mustOpen(t, d, o)
		put(t, e, 0, 100)
		sizes[c] = e.Metrics().Other["live_bytes"]
		closed(t, e)
		o.Compression = flash.NoCompression // each value says for itself how it was packed
		e = mustOpen(t, d, o)
		wantAll(t, e, 100)
		closed(t, e)
	}
	if !(sizes[flash.LZ4] < sizes[flash.NoCompression]/2 && sizes[flash.Zstd] < sizes[flash.NoCompression]/2) {
		t.Errorf("sizes by compression: %v", sizes)
	}
	if e := mustOpen(t, d, alone); e.Metrics().Other["direct_io"] != 1 {
		t.Error("no direct I/O on a disk that has it")
	} else {
		closed(t, e)
	}
	o := alone
	o.Paths = []string{"/a", "/b"}
	e := mustOpen(t, d, o)
	closed(t, e)
	o.Paths = []string{"/b", "/a"}
	if _, err := openPaths(d, o); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "is path 2 of the store") {
		t.Errorf("paths in another order: %v", err)
	}
	o.Paths = []string{"/a"}
	if _, err := openPaths(d, o); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "the store has 2 paths, and 1 are named") {
		t.Errorf("one path of two: %v", err)
	}
}

// buffered is a file system without direct I/O.
type buffered struct{ vfs.FS }

func (f buffered) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	if flags&vfs.Direct != 0 {
		return nil, vfs.NewError("open", name, -1, engine.ErrUnsupported)
	}
	return f.FS.Open(name, flags)
}

// TestNoDirectIO: where there is none, that is an error that says so, unless an option
// allows for it, and then metrics tell.
func TestNoDirectIO(t *testing.T) {
	d := buffered{simdisk.New(simdisk.Options{Seed: 6})}
	if _, err := openPaths(d, alone); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "set PageCache") {
		t.Fatalf("no direct I/O: %v", err)
	}
	o := alone
	o.PageCache = true
	e := mustOpen(t, d, o)
	put(t, e, 0, 50)
	wantAll(t, e, 50)
	if e.Metrics().Other["direct_io"] != 0 {
		t.Error("metrics tell of direct I/O, and there is none")
	}
	closed(t, e)
}

// TestMissingIndex: a log without its index is no empty store.
func TestMissingIndex(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 7})
	e := mustOpen(t, d, alone)
	put(t, e, 0, 50)
	closed(t, e)
	if err := d.Remove(filepath.Join("/data", "index")); err != nil {
		t.Fatal(err)
	}
	if _, err := openPaths(d, alone); !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("no index: %v", err)
	}
}
