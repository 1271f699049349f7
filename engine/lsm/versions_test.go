package lsm

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestTombstonesGo: tombstones, and versions that they or newer ones hide, stay as long as a
// snapshot sees what is below, or tables have it that are not merged; then they go.
func TestTombstonesGo(t *testing.T) {
	ctx := context.Background()
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline, o.CompactionThreshold = true, 100 // nothing is merged by itself
	e := mustOpen(t, "/store", o)
	key := func(i int) []byte { return fmt.Appendf(nil, "%03d", i) }
	fill := func() {
		apply(t, e, engine.Memory, func(b *engine.Batch) {
			for i := range 100 {
				b.Put(key(i), []byte("value"))
			}
		})
	}
	clear := func(ranged bool) {
		apply(t, e, engine.Memory, func(b *engine.Batch) {
			if ranged {
				b.DeleteRange(key(0), key(99))
			} else {
				for i := range 99 {
					b.Delete(key(i))
				}
			}
		})
	}
	compact := func(lower, upper []byte) {
		t.Helper()
		if err := e.Compact(ctx, lower, upper); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() string {
		m := e.Metrics().Other
		return fmt.Sprintf("%v entries, %v tombstones, %v of ranges", m["entries"], m["tombstones"], m["range_tombstones"])
	}
	expect := func(when, want string) {
		t.Helper()
		if got := counts(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	for _, ranged := range []bool{false, true} {
		fill()
		compact(nil, nil)
		expect("filled", "100 entries, 0 tombstones, 0 of ranges")
		clear(ranged)
		if err := e.flushAll(ctx); err != nil {
			t.Fatal(err)
		}
		// What is below is not merged: they stay.
		if ranged {
			expect("above what they delete", "100 entries, 0 tombstones, 1 of ranges")
		} else {
			expect("above what they delete", "199 entries, 99 tombstones, 0 of ranges")
		}
		compact(nil, nil)
		expect("merged", "1 entries, 0 tombstones, 0 of ranges")

		fill()
		x, err := e.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		clear(ranged)
		compact(nil, nil)
		if ranged {
			expect("under a snapshot", "100 entries, 0 tombstones, 1 of ranges")
		} else {
			expect("under a snapshot", "199 entries, 99 tombstones, 0 of ranges")
		}
		// One that sees the deletion alone keeps neither.
		y, err := e.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := x.Get(key(5), nil); err != nil || string(v) != "value" {
			t.Fatal(string(v), err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		compact(nil, nil)
		expect("under a later snapshot", "1 entries, 0 tombstones, 0 of ranges")
		if _, err := y.Get(key(5), nil); err != engine.ErrNotFound {
			t.Fatal(err)
		}
		if err := errors.Join(y.Close(), e.invariants(true)); err != nil {
			t.Fatal(err)
		}
		// A part of them goes, where a part is merged.
		fill()
		compact(nil, nil)
		clear(true)
		compact(key(0), key(50))
		if _, err := e.Get(key(49), nil); err != engine.ErrNotFound {
			t.Fatal(err)
		}
		if _, err := e.Get(key(50), nil); err != engine.ErrNotFound {
			t.Fatal(err)
		}
		if err := e.invariants(true); err != nil {
			t.Fatal(err)
		}
		compact(nil, nil)
		expect("in two steps", "1 entries, 0 tombstones, 0 of ranges")
	}
	// Versions between snapshots go, others stay.
	var pins []engine.Snapshot
	for n := range 30 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(key(7), fmt.Appendf(nil, "%d", n)) })
		if n%10 == 4 {
			x, err := e.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			pins = append(pins, x)
		}
	}
	compact(nil, nil)
	expect("three snapshots and the newest", "5 entries, 0 tombstones, 0 of ranges") // and key 99
	for i, x := range pins {
		if v, err := x.Get(key(7), nil); err != nil || string(v) != fmt.Sprint(i*10+4) {
			t.Errorf("snapshot %d: %q, %v", i, v, err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestChangedSince: a conditional commit sees each kind of change that came behind its
// snapshot, be it the very next commit, wherever that lies by now; and none that came
// before, or beside what was read.
func TestChangedSince(t *testing.T) {
	ctx := context.Background()
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline = true
	e := mustOpen(t, "/store", o)
	key, beside := []byte("key"), []byte("key beside")
	changes := map[string]func(k []byte) error{
		"put":       func(k []byte) error { return e.Apply(ctx, putBatch(k, "value"), engine.Memory) },
		"delete":    func(k []byte) error { var b engine.Batch; b.Delete(k); return e.Apply(ctx, &b, engine.Memory) },
		"bulk load": func(k []byte) error { return e.Ingest(ctx, entriesOf(map[string]string{string(k): "loaded"})) },
		"range": func(k []byte) error {
			var b engine.Batch
			b.DeleteRange(k, append(k[:len(k):len(k)], 0))
			return e.Apply(ctx, &b, engine.Memory)
		},
		"put and cut": func(k []byte) error {
			b := putBatch(k, "x")
			b.DeleteRange([]byte("x"), []byte("y"))
			return e.Apply(ctx, b, engine.Memory)
		},
	}
	reads := map[string]engine.ReadSet{
		"key":   {Keys: [][]byte{key}},
		"range": {Ranges: []engine.Range{{Lower: key, Upper: []byte("key ")}}},
		"all":   {Ranges: []engine.Range{{}}},
	}
	moves := map[string]func() error{
		"in memory": func() error { return nil },
		"flushed":   func() error { return e.flushAll(ctx) },
		"merged":    func() error { return e.Compact(ctx, nil, nil) },
	}
	n := 0
	for change, do := range changes {
		for moved, move := range moves {
			for read, set := range reads {
				for _, hit := range []bool{true, false} {
					what := fmt.Sprintf("%s, %s, read as %s, hit: %v", change, moved, read, hit)
					if err := errors.Join(e.Apply(ctx, putBatch(key, "value"), engine.Memory), move()); err != nil {
						t.Fatal(err)
					}
					x, err := e.Snapshot()
					if err != nil {
						t.Fatal(err)
					}
					where := key
					if !hit {
						where = beside
					}
					if err := errors.Join(do(where), move()); err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					err = e.ApplyIf(ctx, x, set, putBatch([]byte("other"), "value"), engine.Memory)
					if want := hit || read == "all"; errors.Is(err, engine.ErrConflict) != want || err != nil && !want {
						t.Errorf("%s: %v", what, err)
					}
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
					n++
				}
			}
		}
	}
	if err := e.Close(); err != nil || n != 90 {
		t.Fatal(n, err)
	}
}

func putBatch(k []byte, v string) *engine.Batch {
	var b engine.Batch
	b.Put(k, []byte(v))
	return &b
}

// TestFileNumbers: a number is not given to another file, though the first one is gone.
func TestFileNumbers(t *testing.T) {
	ctx := context.Background()
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline = true
	e := mustOpen(t, "/store", o)
	for i := range 200 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100)) })
	}
	apply(t, e, engine.Memory, func(b *engine.Batch) { b.DeleteRange(nil, []byte("z")) })
	if err := e.Compact(ctx, nil, nil); err != nil {
		t.Fatal(err)
	}
	last := e.lastFile.Load()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := dataFiles(o.FS.List, "/store"); err != nil || len(left) > 0 || last < 3 {
		t.Fatalf("%d files were made, %v are left (%v)", last, left, err)
	}
	e = mustOpen(t, "/store", o)
	if n := e.newFile(); n <= last {
		t.Errorf("file %d again, of %d", n, last)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
