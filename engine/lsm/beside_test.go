package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

func mustOpen(t testing.TB, dir string, o Options) *Engine {
	t.Helper()
	e, err := Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func apply(t testing.TB, e *Engine, d engine.Durability, fill func(b *engine.Batch)) {
	t.Helper()
	var b engine.Batch
	fill(&b)
	if err := e.Apply(context.Background(), &b, d); err != nil {
		t.Fatal(err)
	}
}

// TestGetBesideClose: a get that found the store open, and was then overtaken by all of
// Close, is told that it is closed.
func TestGetBesideClose(t *testing.T) {
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	e := mustOpen(t, "/store", o)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e.closed.Store(false) // as the get saw it
	if v, err := e.Get([]byte("key"), []byte("dst")); !errors.Is(err, engine.ErrClosed) || string(v) != "dst" {
		t.Fatalf("%q, %v", v, err)
	}
}

// hooked calls a hook before each read of a table.
type hooked struct {
	vfs.FS
	hook func()
}

type hookedFile struct {
	vfs.File
	fs *hooked
}

func (h *hooked) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := h.FS.Open(name, flags)
	if err != nil || filepath.Ext(name) != tableSuffix {
		return f, err
	}
	return &hookedFile{f, h}, nil
}

func (f *hookedFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.hook != nil {
		f.fs.hook()
	}
	return f.File.ReadAt(p, off)
}

// TestReadersAreInTheDomain: whoever reads a block, which may be in a frame the next time, is
// among those who are waited for before a frame is used again.
func TestReadersAreInTheDomain(t *testing.T) {
	ctx := context.Background()
	h := &hooked{FS: simdisk.New(simdisk.Options{Seed: 1})}
	o := tiny(h)
	o.Inline = true
	e := mustOpen(t, "/store", o)
	const n = 300
	for i := range n {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100)) })
	}
	if err := e.flushAll(ctx); err != nil {
		t.Fatal(err)
	}
	x, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	walk := func(r engine.Reader, backward bool) error {
		it, err := r.NewIterator(engine.IterOptions{})
		if err != nil {
			return err
		}
		ok, move := it.First(), it.Next
		if backward {
			ok, move = it.Last(), it.Prev
		}
		for ; ok; ok = move() {
		}
		return errors.Join(it.Err(), it.Close())
	}
	for what, read := range map[string]func() error{
		"get":             func() error { _, err := e.Get(optionKey(7), nil); return err },
		"get of snapshot": func() error { _, err := x.Get(optionKey(7), nil); return err },
		"multi-get":       func() error { return e.MultiGet([][]byte{optionKey(7)}, func(int, []byte, bool) {}) },
		"walk":            func() error { return walk(e, false) },
		"walk back":       func() error { return walk(e, true) },
		"walk snapshot":   func() error { return walk(x, false) },
		"apply if": func() error {
			return e.ApplyIf(ctx, x, engine.ReadSet{Ranges: []engine.Range{{Lower: []byte("a"), Upper: []byte("b")}}}, putBatch([]byte("other"), ""), engine.Memory)
		},
	} {
		eachTable(t, e, func(_ int, x *table, r *tableReader) {
			e.cache.drop(r.frames)
			r.frames = make([]atomic.Uint32, len(r.frames))
		})
		e.domain.Wait()
		reads := 0
		h.hook = func() {
			reads++
			freed := false
			e.domain.Retire(func() { freed = true })
			e.domain.Poll()
			if freed {
				t.Errorf("%s: a frame could be used again under it", what)
			}
		}
		err := read()
		h.hook = nil
		if err != nil || reads == 0 && what != "apply if" {
			t.Errorf("%s: %d reads, %v", what, reads, err)
		}
	}
	if err := errors.Join(x.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointBesideRoll: a checkpoint does not look at what writing the manifest anew
// changes. The race detector tells.
func TestCheckpointBesideRoll(t *testing.T) {
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	e := mustOpen(t, "/store", o)
	apply(t, e, engine.Buffered, func(b *engine.Batch) { b.Put([]byte("key"), []byte("value")) })
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20 {
			err := func() error {
				e.installing.Lock()
				defer e.installing.Unlock()
				e.mu.Lock()
				whole := e.whole(e.state.Load().levels)
				e.mu.Unlock()
				return e.rollManifest(whole)
			}()
			if err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 20 {
		if err := e.Checkpoint(context.Background(), fmt.Sprintf("/copy%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, "/copy19", o)
	if v, err := c.Get([]byte("key"), nil); err != nil || string(v) != "value" {
		t.Fatal(string(v), err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDroppedFamily: what a family held that was dropped goes, and so does the memory of
// it, while other families are written to; it does not come back when the store is opened.
func TestDroppedFamily(t *testing.T) {
	ctx := context.Background()
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline = true
	e := mustOpen(t, "/store", o)
	id, err := e.CreateFamily(ctx, "dropped")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, e, engine.Buffered, func(b *engine.Batch) {
		for i := range 200 {
			b.PutIn(id, fmt.Appendf(nil, "%03d", i), make([]byte, 100))
		}
	})
	if err := e.DropFamily(ctx, "dropped"); err != nil {
		t.Fatal(err)
	}
	beyond, err := e.CreateFamily(ctx, "beyond") // so that tables reach over the range
	if err != nil {
		t.Fatal(err)
	}
	other := func() {
		apply(t, e, engine.Buffered, func(b *engine.Batch) {
			b.Put([]byte("other"), []byte("value"))
			b.PutIn(beyond, []byte("other"), []byte("value"))
		})
	}
	for opened := range 3 {
		other()
		if err := e.Compact(ctx, nil, nil); err != nil {
			t.Fatal(err)
		}
		other() // there is something in memory, and it is looked for what can be done
		if n := len(e.clearing); n != 0 {
			t.Fatalf("opened %d times: %d families are being cleared", opened, n)
		}
		if m := e.Metrics().Other; m["range_tombstones"] != 0 || m["entries"] != 2 {
			t.Fatalf("opened %d times: %v tombstones, %v entries", opened, m["range_tombstones"], m["entries"])
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, "/store", o)
		if names, err := e.Families(); err != nil || len(names) != 2 || names["beyond"] != beyond {
			t.Fatalf("opened %d times: families %v (%v)", opened+1, names, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForeignFiles: files that the store did not make stay, whatever their names end with.
func TestForeignFiles(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	o := tiny(d)
	e := mustOpen(t, "/store", o)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := []string{"notes.txt", "7.table", "0000007.values", "x.table", "kitchen.table", ".table", "-1.table"}
	for _, name := range foreign {
		putFile(t, d, "/store/"+name, []byte("not of a store"))
	}
	garbage := []string{"000099.table", "1000099.values"}
	for _, name := range garbage {
		putFile(t, d, "/store/"+name, []byte("what a crash has left"))
	}
	e = mustOpen(t, "/store", o)
	if n := e.newFile(); n <= 1000099 {
		t.Errorf("the next file is %d", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range foreign {
		if string(fileContent(t, d, "/store/"+name)) != "not of a store" {
			t.Errorf("%s is not as it was", name)
		}
	}
	for _, name := range garbage {
		if _, err := d.Stat("/store/" + name); !missing(err) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
}
