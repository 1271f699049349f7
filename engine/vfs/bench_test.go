package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// cpuTime returns what the process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writtenFile returns a direct file of that size, written to the disk.
func writtenFile(b *testing.B, size int64) string {
	name := filepath.Join(b.TempDir(), "a")
	f, err := vfs.OS().Open(name, vfs.Create|vfs.Direct)
	if errors.Is(err, engine.ErrUnsupported) {
		b.Skipf("SKIPPED: %v", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	p := vfs.AlignedBuffer(1<<20, 4096)
	copy(p, bytes.Repeat([]byte("orbit"), len(p)/5))
	for off := int64(0); off < size; off += int64(len(p)) {
		if _, err := f.WriteAt(p, off, vfs.Plain); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
	return name
}

// BenchmarkRead is direct random reading of 4 KiB at a depth, in IOPS and CPU.
func BenchmarkRead(b *testing.B) {
	const size, block = 512 << 20, 4096
	name := writtenFile(b, size)
	for _, method := range []vfs.Method{vfs.Pool, vfs.IOUring} {
		for _, depth := range []int{1, 32} {
			for _, procs := range []int{runtime.GOMAXPROCS(0), 8} {
				if method == vfs.IOUring && procs == 8 {
					continue
				}
				b.Run(fmt.Sprintf("queue=%v/depth=%d/procs=%d", method, depth, procs), func(b *testing.B) {
					defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
					f, err := vfs.OS().Open(name, vfs.ReadOnly|vfs.Direct)
					if err != nil {
						b.Fatal(err)
					}
					defer f.Close()
					q, err := vfs.OS().NewQueue(vfs.QueueOptions{Depth: depth, Method: method})
					if errors.Is(err, engine.ErrUnsupported) {
						b.Skipf("SKIPPED: %v", err)
					}
					if err != nil {
						b.Fatal(err)
					}
					defer q.Close()
					done := make([]*vfs.Request, depth)
					for i := range done {
						done[i] = &vfs.Request{File: f, Data: vfs.AlignedBuffer(block, block)}
					}
					random := rand.New(rand.NewPCG(1, 1))
					cpu := cpuTime(b)
					b.ReportAllocs()
					b.ResetTimer()
					for begun, ended, n := 0, 0, depth; ended < b.N; {
						again := done[:min(n, b.N-begun)]
						for _, r := range again {
							r.Offset = random.Int64N(size/block) * block
						}
						if m, err := q.Submit(again...); err != nil || m != len(again) {
							b.Fatal(m, err)
						}
						begun += len(again)
						if n, err = q.Wait(done, 1, 0); err != nil {
							b.Fatal(err)
						}
						for _, r := range done[:n] {
							if r.Err != nil {
								b.Fatal(r.Err)
							}
						}
						ended += n
					}
					b.StopTimer()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
					b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

// BenchmarkFlush is one durable overwrite of 4 KiB in a written file, by each
// primitive.
func BenchmarkFlush(b *testing.B) {
	const size, block = 4 << 20, 4096
	name := writtenFile(b, size)
	for _, p := range []struct {
		name  string
		open  vfs.OpenFlags
		write vfs.WriteFlags
		sync  bool
	}{
		{"buffered+fdatasync", 0, vfs.Plain, true},
		{"direct+fdatasync", vfs.Direct, vfs.Plain, true},
		{"direct+RWF_DSYNC", vfs.Direct, vfs.DSync, false},
		{"direct+O_DSYNC", vfs.Direct | vfs.SyncWrites, vfs.Plain, false},
	} {
		b.Run("by="+p.name, func(b *testing.B) {
			f, err := vfs.OS().Open(name, p.open)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			data := vfs.AlignedBuffer(block, block)
			b.ResetTimer()
			for i := range b.N {
				data[0] = byte(i)
				if _, err := f.WriteAt(data, int64(i)*block%size, p.write); err != nil {
					b.Fatal(err)
				}
				if p.sync {
					if err := f.SyncData(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkMappedWrite is a log record of 150 bytes copied into a mapping.
func BenchmarkMappedWrite(b *testing.B) {
	const size = 4 << 20
	f, err := vfs.OS().Open(writtenFile(b, size), 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	m, err := f.Map(0, size)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	record := make([]byte, 150)
	for i := 0; b.Loop(); i++ {
		if err := m.Write(record, i*150%(size-150)); err != nil {
			b.Fatal(err)
		}
	}
}
