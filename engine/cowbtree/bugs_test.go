package cowbtree_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestLongKeysInASmallCache reads large pages where few of that size are in memory:
// bringing a leaf in must not drop the pages on the way to it, for ever.
func TestLongKeysInASmallCache(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := open(t, "/store", cowbtree.Options{FS: d, Inline: true, CacheBytes: cowbtree.MinCacheBytes})
	ctx := context.Background()
	long := func(i int) []byte { return append(bytes.Repeat([]byte{'k'}, 60_000), fmt.Sprintf("%06d", i)...) }
	short := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	put := func(key []byte) {
		t.Helper()
		var b engine.Batch
		b.Put(key, make([]byte, 500))
		if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	const longs, shorts = 30, 4000
	for i := range longs {
		put(long(i))
	}
	for i := range shorts {
		put(short(i))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, "/store", cowbtree.Options{FS: d, Inline: true, CacheBytes: cowbtree.MinCacheBytes})
	// Small pages take the whole cache first.
	done := make(chan error, 1)
	go func() {
		for i := range shorts {
			if _, err := e.Get(short(i), nil); err != nil {
				done <- err
				return
			}
		}
		for i := range longs {
			if _, err := e.Get(long(i), nil); err != nil {
				done <- err
				return
			}
		}
		it, err := e.NewIterator(engine.IterOptions{})
		if err != nil {
			done <- err
			return
		}
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		err = it.Close()
		if n != longs+shorts {
			err = fmt.Errorf("%d keys (%v)", n, err)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("no end")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNewerVersionIsNotPassedBy: the newest meta slot is of a format that this build
// does not know, the others are of ours.
func TestNewerVersionIsNotPassedBy(t *testing.T) {
	v := newVictim(t, cowbtree.Options{})
	data := bytes.Clone(v.data)
	newest, at := uint64(0), 0
	for slot := range 3 {
		if n := binary.LittleEndian.Uint64(data[slot*metaSlot+24:]); n > newest {
			newest, at = n, slot
		}
	}
	b := data[at*metaSlot:][:128]
	binary.LittleEndian.PutUint32(b[8:], 9)
	binary.LittleEndian.PutUint32(b[12:], checksum.Of(b[:12], b[16:]))
	r := v.judge(t, "version 9", v.replaced(t, v.copies()(), data))
	if r.opened == nil || !strings.Contains(r.opened.Error(), "format version 9") {
		t.Errorf("the store is opened by an older meta slot: %v", r.opened)
	}
}

// TestBulkLoadIsNotForgotten: the meta page of a bulk load is damaged, so that the
// one before it counts; but the log does not have what was loaded.
func TestBulkLoadIsNotForgotten(t *testing.T) {
	for slot := range int64(3) {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := cowbtree.Options{FS: d, Inline: true}
		e := open(t, "/store", o)
		ctx := context.Background()
		var b engine.Batch
		b.Put([]byte("logged"), []byte("value"))
		if err := e.Apply(ctx, &b, engine.Flushed); err != nil {
			t.Fatal(err)
		}
		if err := e.Ingest(ctx, entriesOf(map[string]string{"loaded": "value"})); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := d.Rot("/store/data", slot*metaSlot+40, 1); err != nil {
			t.Fatal(err)
		}
		e, err := cowbtree.Open(ctx, "/store", o)
		if err != nil {
			continue // refused
		}
		if _, err := e.Get([]byte("loaded"), nil); err == engine.ErrNotFound {
			t.Errorf("meta slot %d is damaged, and what was loaded is silently gone", slot)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSpilledDuringCheckpoint: a commit that is larger than the memory for changed
// pages writes pages while a checkpoint is under way, which that does not have. If
// the power is cut after it, the space of those pages must be free again.
func TestSpilledDuringCheckpoint(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := open(t, "/store", cowbtree.Options{FS: d, CacheBytes: cowbtree.MinCacheBytes, CheckpointBytes: 1 << 30})
	ctx := context.Background()
	random := rand.New(rand.NewPCG(1, 1))
	key := func() []byte { return fmt.Appendf(nil, "%08d", random.IntN(100_000)) }
	apply := func(n int) {
		t.Helper()
		var b engine.Batch
		for range n {
			b.Put(key(), make([]byte, 8))
		}
		if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
			t.Error(err)
		}
	}
	if err := e.Ingest(ctx, func(yield func(k, v []byte) bool) {
		for i := range 100_000 {
			if !yield(fmt.Appendf(nil, "%08d", i), make([]byte, 40)) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	apply(10)
	d.Mark("checkpoint")
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "/store/data", Effect: simdisk.Hang})
	compacted := make(chan error, 1)
	go func() { compacted <- e.Compact(ctx, []byte("x"), []byte("y")) }() // which begins with a checkpoint
	<-hang.Met()
	before := e.Metrics().Other["pages_written"]
	apply(1000)
	if e.Metrics().Other["pages_written"] == before {
		t.Fatal("no pages were written by the commit")
	}
	hang.Release()
	if err := <-compacted; err != nil {
		t.Fatal(err)
	}
	w := d.Walk()
	begun, written := false, false
	for w.Next() {
		v := w.Event()
		begun = begun || v.Kind == simdisk.EventMark
		written = written || begun && v.Kind == simdisk.EventWrite && v.Path == "/store/data" && v.Offset < 3*metaSlot
		if written && v.Kind == simdisk.EventSync {
			break
		}
	}
	if !written {
		t.Fatal("no checkpoint")
	}
	all := make([]simdisk.Fate, len(w.Pending()))
	for i := range all {
		all[i] = simdisk.Kept
	}
	image := w.Crash(all, 1)
	var out strings.Builder
	if err := cowbtree.Inspect(ctx, image, "/store", &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogBufferBytes flushes the log in the background once so much of it is not: less
// than each commit has, or the last of them might be left.
func TestLogBufferBytes(t *testing.T) {
	flushesItself(t, cowbtree.Options{LogBufferBytes: 500}, true)
}

// TestDirectBesideBuffered: memory that a store reads into is kept for the next
// read, which may be one of a direct store in the same process.
func TestDirectBesideBuffered(t *testing.T) {
	tries := 60
	if cowbtree.RaceEnabled {
		tries = 15
	}
	for n := range tries {
		emptyPools()
		for _, direct := range []bool{false, false, true} {
			d := simdisk.New(simdisk.Options{Seed: 1})
			o := cowbtree.Options{FS: d, Inline: true, Direct: direct, CacheBytes: cowbtree.MinCacheBytes}
			e := open(t, "/store", o)
			// The memory for pages of few sectors is aligned by chance alone.
			model := load(t, e, n, 20)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = open(t, "/store", o)
			if err := same(e, model); err != nil {
				t.Fatalf("direct is %v: %v", direct, err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCommitsBesideCheckpoints: writers, each with keys of its own, while one
// checkpoint follows the other.
func TestCommitsBesideCheckpoints(t *testing.T) {
	const writers, keys = 4, 10_000
	puts := 60_000
	if cowbtree.RaceEnabled || testing.Short() {
		puts = 5000
	}
	dir := t.TempDir()
	e := open(t, dir, cowbtree.Options{CacheBytes: 32 << 20, CheckpointBytes: 128 << 10})
	ctx := context.Background()
	model := make([]map[string]string, writers)
	var wg sync.WaitGroup
	for w := range writers {
		model[w] = map[string]string{}
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			var b engine.Batch
			for i := range puts {
				n := random.Uint32N(keys)
				key, value := fmt.Sprintf("%08x/%d/%d", n*0x9e3779b1, n, w), fmt.Sprintf("%0100d", i)
				b.Reset()
				b.Put([]byte(key), []byte(value))
				if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
					t.Error(err)
					return
				}
				model[w][key] = value
				if got, err := e.Get([]byte(key), nil); err != nil || string(got) != value {
					t.Errorf("%s is %q (%v) and should be %q", key, got, err, value)
					return
				}
			}
		})
	}
	wg.Wait()
	// Commits wait for one where four times as much is logged: there are this many.
	if e.Metrics().Other["checkpoints"] < 3 {
		t.Errorf("%v checkpoints", e.Metrics().Other["checkpoints"])
	}
	all := map[string]string{}
	for _, m := range model {
		maps.Copy(all, m)
	}
	if err := same(e, all); err != nil {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, cowbtree.Options{})
	if err := same(e, all); err != nil {
		t.Errorf("opened again: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	inspect(t, vfs.OS(), dir)
}
