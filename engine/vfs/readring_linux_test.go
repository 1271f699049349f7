package vfs_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// openRing returns a ring; the test is skipped where the kernel has none.
func openRing(t testing.TB, depth int) *vfs.ReadRing {
	t.Helper()
	r, err := vfs.NewReadRing(vfs.OS(), depth)
	if errors.Is(err, engine.ErrUnsupported) {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// numberedFile is a file whose blocks of 512 bytes begin with their number.
func numberedFile(t *testing.T, blocks int) vfs.File {
	t.Helper()
	f, err := vfs.OS().Open(filepath.Join(t.TempDir(), "a"), vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, blocks*512)
	for i := range blocks {
		binary.LittleEndian.PutUint64(data[i*512:], uint64(i))
	}
	if _, err := f.WriteAt(data, 0, vfs.Plain); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestReadRing reads with more goroutines than there is room for, some of whose threads
// end with them, single blocks and many at once, and behind the end.
func TestReadRing(t *testing.T) {
	const blocks, callers, rounds = 1000, 16, 300
	f := numberedFile(t, blocks)
	r := openRing(t, 4)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 1))
			for round := range rounds {
				one := func() {
					requests := make([]*vfs.Request, 1+round%7)
					for i := range requests {
						requests[i] = &vfs.Request{File: f, Data: make([]byte, 512), Offset: random.Int64N(blocks+1) * 512}
					}
					if err := r.Read(requests...); err != nil {
						t.Error(err)
						return
					}
					for _, q := range requests {
						want := q.Offset / 512
						if want == blocks {
							if q.N != 0 || q.Err != io.EOF {
								t.Errorf("behind the end: %d bytes, %v", q.N, q.Err)
							}
							continue
						}
						if got := binary.LittleEndian.Uint64(q.Data); q.Err != nil || q.N != 512 || got != uint64(want) {
							t.Errorf("block %d is %d, %d bytes, %v", want, got, q.N, q.Err)
						}
					}
				}
				if c > 1 || round%10 > 0 {
					one()
					continue
				}
				ended := make(chan struct{})
				go func() {
					runtime.LockOSThread() // and the thread ends with the goroutine
					defer close(ended)
					one()
				}()
				<-ended
			}
		})
	}
	all.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(&vfs.Request{File: f, Data: make([]byte, 512)}); !errors.Is(err, engine.ErrClosed) {
		t.Fatalf("read after Close: %v", err)
	}
	if err := r.Close(); !errors.Is(err, engine.ErrClosed) {
		t.Fatalf("second Close: %v", err)
	}
}

// TestReadRingRefuses has requests that cannot be carried out among others.
func TestReadRingRefuses(t *testing.T) {
	f := numberedFile(t, 4)
	closed := numberedFile(t, 4)
	closed.Close()
	r := openRing(t, 2)
	defer r.Close()
	good := &vfs.Request{File: f, Data: make([]byte, 512), Offset: 512}
	gone := &vfs.Request{File: closed, Data: make([]byte, 512)}
	alien := &vfs.Request{File: newHungFile(), Data: make([]byte, 512)}
	negative := &vfs.Request{File: f, Data: make([]byte, 512), Offset: -1}
	if err := r.Read(alien, gone, good, negative); err != nil {
		t.Fatal(err)
	}
	if good.Err != nil || binary.LittleEndian.Uint64(good.Data) != 1 {
		t.Errorf("the good one: %v", good.Err)
	}
	if !errors.Is(gone.Err, engine.ErrClosed) || !errors.Is(alien.Err, engine.ErrInvalid) || !errors.Is(negative.Err, engine.ErrInvalid) {
		t.Errorf("refused with %v, %v, %v", gone.Err, alien.Err, negative.Err)
	}
	// Alone, too: nobody leads then.
	if err := r.Read(negative); err != nil || !errors.Is(negative.Err, engine.ErrInvalid) {
		t.Errorf("alone: %v, %v", err, negative.Err)
	}
}

// TestReadRingTells: a read that the end of the file cuts short, and one that the kernel
// refuses when it carries it out, are told as a blocking call tells them.
func TestReadRingTells(t *testing.T) {
	f := numberedFile(t, 4)
	r := openRing(t, 4)
	defer r.Close()
	forbidden, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(forbidden)
	short := &vfs.Request{File: f, Data: make([]byte, 1024), Offset: 3 * 512}
	refused := &vfs.Request{File: f, Data: forbidden[:512]}
	if err := r.Read(short, refused); err != nil {
		t.Fatal(err)
	}
	if short.N != 512 || short.Err != io.EOF || binary.LittleEndian.Uint64(short.Data) != 3 {
		t.Errorf("a short read: %d bytes, %v", short.N, short.Err)
	}
	if refused.N != 0 || !errors.Is(refused.Err, unix.EFAULT) {
		t.Errorf("into forbidden memory: %d bytes, %v", refused.N, refused.Err)
	}
}

// TestReadRingClosedBesideReads: reads in flight when the ring is closed end as they would,
// and those that come later are refused.
func TestReadRingClosedBesideReads(t *testing.T) {
	f := numberedFile(t, 64)
	for range 50 {
		r := openRing(t, 4)
		var all sync.WaitGroup
		var reads atomic.Int64
		for c := range 8 {
			all.Go(func() {
				for i := 0; ; i++ {
					q := &vfs.Request{File: f, Data: make([]byte, 512), Offset: int64((i + c) % 64 * 512)}
					if err := r.Read(q); errors.Is(err, engine.ErrClosed) {
						return
					} else if err != nil || q.Err != nil || binary.LittleEndian.Uint64(q.Data) != uint64(q.Offset/512) {
						t.Errorf("block %d: %v, %v", q.Offset/512, err, q.Err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for reads.Load() < 50 && !t.Failed() {
			runtime.Gosched()
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	}
}

// TestReadRingLost: where the kernel refuses the ring itself, what it may still write to is
// taken from the requests, and later ones are refused.
func TestReadRingLost(t *testing.T) {
	f := numberedFile(t, 4)
	before := ringDescriptors(t)
	r := openRing(t, 2)
	var fd int
	for n := range ringDescriptors(t) {
		if !before[n] {
			fd = n
		}
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	q := &vfs.Request{File: f, Data: make([]byte, 512)}
	if err := r.Read(q); err == nil || q.Err == nil || q.Data != nil {
		t.Errorf("by a ring that is lost: %v, %v, %d bytes", err, q.Err, len(q.Data))
	}
	again := &vfs.Request{File: f, Data: make([]byte, 512)}
	if err := r.Read(again); err == nil {
		t.Error("a ring that is lost reads")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// ringDescriptors returns the descriptors of this process that are rings.
func ringDescriptors(t *testing.T) map[int]bool {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	rings := map[int]bool{}
	for _, name := range names {
		if to, err := os.Readlink("/proc/self/fd/" + name.Name()); err == nil && to == "anon_inode:[io_uring]" {
			n, err := strconv.Atoi(name.Name())
			if err != nil {
				t.Fatal(err)
			}
			rings[n] = true
		}
	}
	return rings
}

// BenchmarkShared is direct random reading of 4 KiB by many goroutines, each for itself by
// a blocking call, or through one ring.
func BenchmarkShared(b *testing.B) {
	const size, block = 512 << 20, 4096
	f, err := vfs.OS().Open(writtenFile(b, size), vfs.ReadOnly|vfs.Direct)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	ring := openRing(b, 64)
	defer ring.Close()
	for _, callers := range []int{1, 2, 8, 32} {
		for _, by := range []string{"call", "ring"} {
			b.Run(fmt.Sprintf("by=%s/callers=%d", by, callers), func(b *testing.B) {
				var next atomic.Int64
				var all sync.WaitGroup
				cpu := cpuTime(b)
				b.ResetTimer()
				for c := range callers {
					all.Go(func() {
						random := rand.New(rand.NewPCG(uint64(c), 1))
						q := &vfs.Request{File: f}
						memory := vfs.AlignedBuffer(block, block)
						for next.Add(1) <= int64(b.N) {
							q.Data, q.Offset = memory, random.Int64N(size/block)*block
							if by == "call" {
								_, q.Err = f.ReadAt(q.Data, q.Offset)
							} else if err := ring.Read(q); err != nil {
								b.Error(err)
							}
							if q.Err != nil {
								b.Error(q.Err)
							}
						}
					})
				}
				all.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
				b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
