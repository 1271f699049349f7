package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// handles counts the files of tables and values that are open.
type handles struct {
	vfs.FS
	open, most atomic.Int64
}

type handle struct {
	vfs.File
	of *handles
}

func (h *handles) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := h.FS.Open(name, flags)
	if err != nil || flags != vfs.ReadOnly || !strings.HasSuffix(name, tableSuffix) && !strings.HasSuffix(name, valueSuffix) {
		return f, err
	}
	n := h.open.Add(1)
	for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
	}
	return &handle{f, h}, nil
}

func (f *handle) Close() error {
	f.of.open.Add(-1)
	return f.File.Close()
}

// ofManyFiles is a store with many tables and value files.
func ofManyFiles(t *testing.T, fsys vfs.FS, bound, n int) *Engine {
	t.Helper()
	e := mustOpen(t, "/store", Options{
		FS: fsys, Inline: true, CacheBytes: MinCacheBytes, MemtableBytes: 64 << 10, TableBytes: 8 << 10, ValuesApart: 300, ValueFileBytes: 8 << 10, OpenFiles: bound, Compression: NoCompression,
	})
	for i := range n {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100+400*(i%3/2))) })
	}
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestOpenFiles: no more tables and value files are open than OpenFiles says, whatever is
// read, be it by iterators that stand in the midst of a table; what is closed takes no
// memory, and metrics tell how many are open.
func TestOpenFiles(t *testing.T) {
	const n = 1500
	for _, bound := range []int{MinOpenFiles, 20, 0} {
		h := &handles{FS: simdisk.New(simdisk.Options{Seed: 1})}
		e := ofManyFiles(t, h, bound, n)
		most := bound
		if bound == 0 {
			most = 1000
		}
		files := 0
		st := e.hold()
		files = len(st.levels.files) + len(st.levels.values)
		e.releaseState(st)
		if files < 30 {
			t.Fatalf("%d files", files)
		}
		var walks []engine.Iterator
		for i := range 8 {
			it, err := e.NewIterator(engine.IterOptions{})
			if err != nil || !it.SeekGE(optionKey(i*n/8)) {
				t.Fatal(err, it.Err())
			}
			walks = append(walks, it)
		}
		r := rand.New(rand.NewPCG(1, 2))
		check := func(key, v []byte, err error) {
			t.Helper()
			var i int
			if _, err2 := fmt.Sscanf(string(key), "a key of 20 b %d", &i); err2 != nil {
				t.Fatal(err2)
			}
			if want := optionValue(i, 100+400*(i%3/2)); err != nil || !bytes.Equal(v, want) {
				t.Fatalf("%q is %d bytes, want %d (%v)", key, len(v), len(want), err)
			}
		}
		for range 3000 {
			key := optionKey(r.IntN(n))
			v, err := e.Get(key, nil)
			check(key, v, err)
			it := walks[r.IntN(len(walks))]
			move := it.Next
			if r.IntN(3) == 0 {
				move = it.Prev
			}
			if !move() {
				it.SeekGE(key)
			}
			v, err = it.Value()
			check(it.Key(), v, err)
			if open := e.files.open.Load(); open > int64(most) {
				t.Fatalf("%d files are open", open)
			}
		}
		for _, it := range walks {
			if err := it.Close(); err != nil {
				t.Fatal(err)
			}
		}
		e.domain.Wait()
		e.domain.Wait()
		m := e.Metrics().Other
		if open := h.open.Load(); open > int64(most) || float64(open) != m["open_files"] || open == 0 {
			t.Errorf("bound %d: %d are open, and metrics say %v", bound, open, m["open_files"])
		}
		// Those that are being closed are open for a moment longer.
		if h.most.Load() > int64(most)+10 {
			t.Errorf("bound %d: up to %d were open", bound, h.most.Load())
		}
		if again := m["files_opened"] > 2*float64(files); again != (bound != 0) {
			t.Errorf("bound %d: files were opened %v times, of %d", bound, m["files_opened"], files)
		}
		if err := errors.Join(e.invariants(true), e.Close()); err != nil {
			t.Fatal(err)
		}
		if open := h.open.Load(); open != 0 {
			t.Errorf("bound %d: %d are open when the store is closed", bound, open)
		}
	}
}

// TestOpenFilesBesideReaders: files are closed and opened again under gets and scans of
// several goroutines, none of which notices.
func TestOpenFilesBesideReaders(t *testing.T) {
	const n = 600
	h := &handles{FS: vfs.OS()}
	dir := t.TempDir()
	e := mustOpen(t, dir, Options{FS: h, CacheBytes: MinCacheBytes, MemtableBytes: 64 << 10, TableBytes: 8 << 10, ValuesApart: 300, ValueFileBytes: 8 << 10, OpenFiles: MinOpenFiles})
	model := map[string]string{}
	for i := range n {
		v := optionValue(i, 100+400*(i%3/2))
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), v) })
		model[string(optionKey(i))] = string(v)
	}
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for range 3 {
				if w == 0 {
					if err := e.Compact(context.Background(), nil, nil); err != nil {
						t.Error(err)
					}
					apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(0), []byte(model[string(optionKey(0))])) })
				}
				if err := same(e, model); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if m := e.Metrics().Other; m["files_opened"] < 200 || m["open_files"] > MinOpenFiles {
		t.Errorf("%v opened, %v open", m["files_opened"], m["open_files"])
	}
	if err := errors.Join(e.invariants(true), e.Close()); err != nil || h.open.Load() != 0 {
		t.Fatal(h.open.Load(), err)
	}
}
