package flash_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// TestReadsByRing gets with many goroutines at once, each value its own, with a ring of
// io_uring, where the kernel refuses it, and from two paths, which go without; metrics tell
// which it was.
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
				// Some path has 3 of 5 reads that are in flight at one time.
				meet := &meeting{FS: c.fs, size: 5, met: make(chan struct{})}
				o := flash.Options{FS: meet, CacheBytes: -1, IODepth: 8, PageCache: true}
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
				meet.called.Store(true)
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
				ring, errno := 0, c.errno
				if paths > 1 {
					errno = 0 // nobody asked for one
				} else if errno == 0 {
					ring = 1
				}
				if m["io_uring"] != float64(ring) || m["io_uring_errno"] != float64(errno) {
					t.Errorf("io_uring %v, errno %v; want %d, %d", m["io_uring"], m["io_uring_errno"], ring, errno)
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

// meeting is a file system where blocking reads, once it was called, go on when size reads
// have begun.
type meeting struct {
	vfs.FS
	size   int64
	called atomic.Bool
	begun  atomic.Int64
	met    chan struct{}
}

func (m *meeting) Below() vfs.FS { return m.FS }

func (m *meeting) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := m.FS.Open(name, flags)
	if err != nil {
		return nil, err
	}
	return meetingFile{f, m}, nil
}

func (m *meeting) begin() {
	if m.called.Load() && m.begun.Add(1) == m.size {
		close(m.met)
	}
}

type meetingFile struct {
	vfs.File
	meeting *meeting
}

func (f meetingFile) ReadAt(data []byte, off int64) (int, error) {
	f.meeting.begin()
	if f.meeting.called.Load() {
		<-f.meeting.met
	}
	return f.File.ReadAt(data, off)
}

// Pin is what a ring asks before it reads.
func (f meetingFile) Pin(off int64, _ int) (vfs.File, int64, bool) {
	f.meeting.begin()
	return f.File, off, true
}

func (meetingFile) Unpin() {}

// ringError returns why the kernel has no rings.
func ringError() error {
	r, err := vfs.NewReadRing(vfs.OS(), 1)
	if err != nil {
		return err
	}
	return r.Close()
}
