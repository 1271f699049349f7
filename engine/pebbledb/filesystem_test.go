package pebbledb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// put commits the keys from to to, each with itself as its value.
func put(t *testing.T, e engine.Engine, from, to int, d engine.Durability) {
	t.Helper()
	for i := from; i < to; i++ {
		var b engine.Batch
		key := fmt.Appendf(nil, "key-%06d", i)
		b.Put(key, append(key, make([]byte, 500)...))
		if err := e.Apply(context.Background(), &b, d); err != nil {
			t.Fatal(err)
		}
	}
}

// have returns how many of the first n keys are there, and ends the test if they
// are no prefix, or any is damaged.
func have(t *testing.T, e engine.Engine, n int) int {
	t.Helper()
	count := n
	for i := range n {
		key := fmt.Sprintf("key-%06d", i)
		value, err := e.Get([]byte(key), nil)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			count = min(count, i)
		case err != nil:
			t.Fatal(err)
		case count < i:
			t.Fatalf("key %d is lost and key %d is there", count, i)
		case string(value[:len(key)]) != key || len(value) != len(key)+500:
			t.Fatalf("key %d has the value %.20q", i, value)
		}
	}
	return count
}

// TestOnSimulatedDisk writes, flushes and compacts, cuts the power with all that
// is pending kept, none, and a part, and opens the store again.
func TestOnSimulatedDisk(t *testing.T) {
	const flushed, written = 600, 800
	d := simdisk.New(simdisk.Options{})
	o := tiny
	o.FS = pebbledb.OnFS(d)
	e, err := pebbledb.Open("/store", o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pebbledb.Open("/store", o); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("a second opener: %v", err)
	}
	// Tables and their removal, so that more than the log is at stake.
	put(t, e, 0, flushed-1, engine.Memory)
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	put(t, e, flushed-1, flushed, engine.Flushed)
	put(t, e, flushed, written, engine.Memory)
	w := d.Walk()
	for w.Next() {
	}
	n := len(w.Pending())
	half := slices.Repeat([]simdisk.Fate{simdisk.Kept, simdisk.Left, simdisk.Lost, simdisk.Garbage}, n/4+1)
	for what, fates := range map[string][]simdisk.Fate{
		"none kept": nil, "all kept": slices.Repeat([]simdisk.Fate{simdisk.Kept}, n), "some kept": half,
	} {
		image := w.Crash(fates, 1)
		o.FS = pebbledb.OnFS(image)
		r, err := pebbledb.Open("/store", o)
		if err != nil {
			t.Errorf("%s of %d: %v", what, n, err)
			continue
		}
		if got := have(t, r, written); got < flushed {
			t.Errorf("%s of %d: %d of %d flushed keys are there", what, n, got, flushed)
		}
		put(t, r, written, written+1, engine.Flushed)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

// TestIgnoredFlush shows that TestOnSimulatedDisk can fail: where the disk ignores
// Pebble's flushes, what it acknowledged as flushed is lost.
func TestIgnoredFlush(t *testing.T) {
	d := simdisk.New(simdisk.Options{
		Sites: true, Transparent: []string{"github.com/orbit-persistence/orbit/engine/pebbledb."},
	})
	o := tiny
	o.FS = pebbledb.OnFS(d)
	e, err := pebbledb.Open("/store", o)
	if err != nil {
		t.Fatal(err)
	}
	put(t, e, 0, 10, engine.Flushed)
	sites := 0
	for _, s := range d.Sites() {
		if !strings.HasPrefix(s.Name, "github.com/cockroachdb/") && s.Op&simdisk.OpFlush != 0 {
			t.Errorf("a flush of Pebble is taken for one of %s", s.Name)
		}
		if s.Op&simdisk.OpFlush != 0 {
			d.IgnoreFlush(s.Name)
			sites++
		}
	}
	put(t, e, 10, 20, engine.Flushed)
	w := d.Walk()
	for w.Next() {
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	o.FS = pebbledb.OnFS(w.Crash(nil, 0))
	r, err := pebbledb.Open("/store", o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := have(t, r, 20); got != 10 || sites < 3 {
		t.Errorf("with %d sites that lie, %d keys are there", sites, got)
	}
}

// TestOnFS checks what Pebble expects of a file system beside what it does in
// TestOnSimulatedDisk.
func TestOnFS(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	fsys := pebbledb.OnFS(d)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fsys.MkdirAll("/a/b", 0o755))
	f, err := fsys.Create("/a/b/f", pebblevfs.WriteCategoryUnspecified)
	must(err)
	for _, p := range []string{"one", "two"} {
		_, err = f.Write([]byte(p))
		must(err)
	}
	must(f.Close())

	// Create makes another file, Open and ReuseForWrite the same one.
	must(fsys.Link("/a/b/f", "/a/b/old"))
	f, err = fsys.Create("/a/b/f", pebblevfs.WriteCategoryUnspecified)
	must(err)
	must(f.Close())
	f, err = fsys.ReuseForWrite("/a/b/old", "/a/b/new", pebblevfs.WriteCategoryUnspecified)
	must(err)
	_, err = f.Write([]byte("ONE"))
	must(err)
	must(f.Close())
	f, err = fsys.Open("/a/b/new", pebblevfs.SequentialReadsOption)
	must(err)
	all, err := io.ReadAll(f)
	must(err)
	info, err := f.Stat()
	must(err)
	if string(all) != "ONEtwo" || info.Size() != 6 || info.IsDir() || info.Name() != "new" {
		t.Errorf("read %q; %d bytes", all, info.Size())
	}
	must(f.Close())

	if _, err := fsys.Open("/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of an absent file: %v", err)
	}
	var path *fs.PathError
	d.Inject(simdisk.Fault{Op: simdisk.OpLock})
	if _, err := fsys.Lock("/a/LOCK"); !errors.As(err, &path) || !errors.Is(err, syscall.EIO) {
		t.Errorf("a lock that cannot be tried: %v", err)
	}
	dir, err := fsys.OpenDir("/a")
	must(err)
	must(dir.Sync())
	if _, err := dir.Read(nil); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("read of a directory: %v", err)
	}
	must(dir.Close())
	must(fsys.RemoveAll("/a"))
	must(fsys.RemoveAll("/a"))
	if names, err := d.List("/"); err != nil || len(names) != 0 {
		t.Errorf("%q are left, %v", names, err)
	}
}
