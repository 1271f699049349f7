package flash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

func ordered(i int) []byte { return fmt.Appendf(nil, "key %03d", i) }

// TestLateReader: a get that was at the device while the key changed does not make what it
// brings the newest value.
func TestLateReader(t *testing.T) {
	for name, change := range map[string]func(*engine.Batch){
		"put":          func(b *engine.Batch) { b.Put(ordered(1), []byte("new")) },
		"delete":       func(b *engine.Batch) { b.Delete(ordered(1)) },
		"batch":        func(b *engine.Batch) { b.Put(ordered(1), []byte("new")); b.Put(ordered(3), nil) },
		"delete range": func(b *engine.Batch) { b.DeleteRange(ordered(0), ordered(2)) },
	} {
		t.Run(name, func(t *testing.T) {
			meet := &meeting{FS: vfs.OS(), size: 2, met: make(chan struct{})}
			e := open(t, t.TempDir(), flash.Options{FS: meet, PageCache: true})
			var b engine.Batch
			b.Put(ordered(1), []byte("old"))
			b.Put(ordered(2), []byte("another"))
			apply := func(b *engine.Batch) {
				if err := e.Apply(context.Background(), b, engine.Flushed); err != nil {
					t.Fatal(err)
				}
			}
			apply(&b)
			meet.called.Store(true)
			var late sync.WaitGroup
			late.Go(func() {
				if got, err := e.Get(ordered(1), nil); err == nil && string(got) != "old" && string(got) != "new" {
					t.Errorf("the late reader: %q", got)
				}
			})
			for meet.begun.Load() == 0 {
				runtime.Gosched()
			}
			b = engine.Batch{}
			change(&b)
			apply(&b)
			if _, err := e.Get(ordered(2), nil); err != nil { // which lets both go on
				t.Fatal(err)
			}
			late.Wait()
			got, err := e.Get(ordered(1), nil)
			if deleted := strings.HasPrefix(name, "delete"); deleted != errors.Is(err, engine.ErrNotFound) || !deleted && string(got) != "new" {
				t.Errorf("%q, %v", got, err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCachedGetsSeeWholeBatches: one writer changes eight keys at a time, by batches, ranges
// and bulk loads; who has seen one of a change sees all of it, by gets that the cache
// answers, and by snapshots and iterators beside them.
func TestCachedGetsSeeWholeBatches(t *testing.T) {
	e := open(t, t.TempDir(), flash.Options{PageCache: true, SegmentBytes: 1 << 20})
	const keys, rounds = 8, 3000
	ctx := context.Background()
	write := func(n int) error {
		var b engine.Batch
		value := fmt.Appendf(nil, "%d", n)
		switch n % 5 {
		case 0: // what it deletes is put again by the same batch
			b.DeleteRange(ordered(0), ordered(keys))
		case 1:
			return e.Ingest(ctx, func(yield func(k, v []byte) bool) {
				for i := 0; i < keys && yield(ordered(i), value); i++ {
				}
			})
		}
		for i := range keys {
			b.Put(ordered(i), value)
		}
		return e.Apply(ctx, &b, engine.Buffered)
	}
	if err := write(2); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	var all sync.WaitGroup
	for c := range 3 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			seen := 0
			var dst []byte
			look := func(read engine.Reader, what string) {
				got, err := read.Get(ordered(r.IntN(keys)), dst[:0])
				n, _ := strconv.Atoi(string(got))
				if err != nil || n < seen {
					t.Errorf("%s: %d after %d, %v", what, n, seen, err)
					over.Store(true)
				}
				seen, dst = n, got
			}
			for !over.Load() {
				for range 20 {
					look(e, "get")
				}
				if s, err := e.Snapshot(); err == nil {
					look(s, "snapshot")
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for n := 3; n < rounds && !over.Load(); n++ {
		if err := write(n); err != nil {
			t.Error(err)
			break
		}
	}
	over.Store(true)
	all.Wait()
	if err := e.Compact(ctx, nil, nil); err != nil {
		t.Error(err)
	}
	for i := range keys {
		if got, err := e.Get(ordered(i), nil); err != nil || string(got) != fmt.Sprint(rounds-1) {
			t.Errorf("key %d: %q, %v", i, got, err)
		}
	}
	if m := e.Metrics(); m.CacheMisses == 0 {
		t.Error("nothing was read past the cache")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
