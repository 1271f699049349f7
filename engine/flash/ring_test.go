package flash_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// TestReadsByRing gets with many goroutines at once, each value its own, with a ring of
// io_uring and where the kernel refuses it; metrics tell which it was.
func TestReadsByRing(t *testing.T) {
	refused := vfs.ErrorNumber(ringError())
	for _, c := range []struct {
		name  string
		fs    vfs.FS
		errno int
	}{{"ring", vfs.OS(), refused}, {"refused", withoutRing{vfs.OS()}, int(syscall.EPERM)}} {
		for _, paths := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/paths=%d", c.name, paths), func(t *testing.T) {
				dir := t.TempDir()
				o := flash.Options{FS: c.fs, CacheBytes: -1, IODepth: 8, PageCache: true}
				for i := range paths {
					o.Paths = append(o.Paths, filepath.Join(dir, fmt.Sprint(i)))
				}
				e := open(t, dir, o)
				const n = 2000
				value := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, 1+i%1000) }
				var batch engine.Batch
				for i := range n {
					batch.Put(key16(i), value(i))
				}
				if err := e.Apply(context.Background(), &batch, engine.Flushed); err != nil {
					t.Fatal(err)
				}
				if e.Metrics().Other["direct_io"] == 0 {
					t.Skip("SKIPPED, NOT VERIFIED HERE: no direct I/O in the directory of tests")
				}
				var all sync.WaitGroup
				for c := range 24 {
					all.Go(func() {
						for i := c; i < n; i += 24 {
							got, err := e.Get(key16(i), nil)
							if err != nil || !bytes.Equal(got, value(i)) {
								t.Errorf("key %d: %d bytes, %v", i, len(got), err)
							}
						}
						keys := make([][]byte, 100)
						for i := range keys {
							keys[i] = key16(i*17 + c)
						}
						if err := e.MultiGet(keys, func(i int, got []byte, present bool) {
							if !present || !bytes.Equal(got, value(i*17+c)) {
								t.Errorf("key %d: %d bytes", i*17+c, len(got))
							}
						}); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				m := e.Metrics().Other
				if got := m["io_uring"] == 1; got != (c.errno == 0) || m["io_uring_errno"] != float64(c.errno) {
					t.Errorf("io_uring %v, errno %v; want errno %d", m["io_uring"], m["io_uring_errno"], c.errno)
				}
				if m["deepest_queue"] > 8 || m["deepest_queue"] < 3 {
					t.Errorf("%v reads in flight; want 3 to 8", m["deepest_queue"])
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// ringError returns why the kernel has no rings.
func ringError() error {
	r, err := vfs.NewReadRing(vfs.OS(), 1)
	if err != nil {
		return err
	}
	return r.Close()
}
