package wal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// recordBytes is the size of the records of all benchmarks.
const recordBytes = 150

// benchDir returns a directory of the real disk: ORBIT_BENCH_DIR, if that is set.
func benchDir(b *testing.B) string {
	b.Helper()
	if dir := os.Getenv("ORBIT_BENCH_DIR"); dir != "" {
		dir, err := os.MkdirTemp(dir, "wal")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { os.RemoveAll(dir) })
		return dir
	}
	return b.TempDir()
}

func openBench(b *testing.B, o wal.Options) *wal.Log {
	b.Helper()
	if o.Sinks == nil {
		o.Sinks = []string{benchDir(b)}
	}
	l, err := wal.Open(context.Background(), o, 0, func(wal.Record) error { return nil })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// flushRate is R: how many overwrites of a written 4 KiB block a second are
// durable, by the faster of the two ways.
func flushRate(b *testing.B, dir string) float64 {
	b.Helper()
	name := dir + "/rate"
	f, err := vfs.OS().Open(name, vfs.Create)
	if err != nil {
		b.Fatal(err)
	}
	defer os.Remove(name)
	defer f.Close()
	block := vfs.AlignedBuffer(4096, 4096)
	for i := range 256 {
		if _, err := f.WriteAt(block, int64(i)*4096, vfs.Plain); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	direct, err := vfs.OS().Open(name, vfs.Direct)
	if err != nil {
		b.Fatal(err)
	}
	defer direct.Close()
	const rounds = 400
	var times [2][]time.Duration
	for i := range rounds {
		off := int64(i%256) * 4096
		begin := time.Now()
		if _, err := direct.WriteAt(block, off, vfs.DSync); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := f.WriteAt(block, off, vfs.Plain); err != nil {
			b.Fatal(err)
		}
		if err := f.SyncData(); err != nil {
			b.Fatal(err)
		}
		times[0], times[1] = append(times[0], middle.Sub(begin)), append(times[1], time.Since(middle))
	}
	var best float64
	for _, t := range times {
		var sum time.Duration
		for _, d := range t {
			sum += d
		}
		best = max(best, rounds/sum.Seconds())
	}
	return best
}

// BenchmarkFlushed is the closed loop of the log: each writer appends, waits for
// the flush, and goes on. R/op is the throughput over the device's own rate,
// measured before and after. Package logbench has think times and the peers.
func BenchmarkFlushed(b *testing.B) {
	for _, writers := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			dir := benchDir(b)
			rate := flushRate(b, dir)
			l := openBench(b, wal.Options{Sinks: []string{dir}})
			times := closedLoop(b, l, writers)
			rate = (rate + flushRate(b, dir)) / 2
			s := l.Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/rate, "R")
			b.ReportMetric(float64(b.N)/float64(s.Flushes), "commits/flush")
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(1e6/rate, "device-us")
		})
	}
}

// closedLoop runs b.N commits of so many writers, and returns their times in
// ascending order.
func closedLoop(b *testing.B, l *wal.Log, writers int) []time.Duration {
	b.Helper()
	var wg sync.WaitGroup
	all := make([][]time.Duration, writers)
	b.ResetTimer()
	for w := range writers {
		n := b.N / writers
		if w < b.N%writers {
			n++
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			payload := make([]byte, recordBytes)
			for range n {
				begin := time.Now()
				s, err := l.Append(context.Background(), payload, engine.Flushed)
				if err == nil {
					err = l.Flush(s)
				}
				if err != nil {
					b.Error(err)
					return
				}
				all[w] = append(all[w], time.Since(begin))
				if s%65536 == 0 {
					if err := l.Release(s); err != nil {
						b.Error(err)
					}
				}
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	times := slices.Concat(all...)
	slices.Sort(times)
	return times
}

// BenchmarkBuffered is an Append that survives the process.
func BenchmarkBuffered(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := openBench(b, wal.Options{})
			payload := make([]byte, recordBytes)
			b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
			work := func(n int) {
				for range n {
					s, err := l.Append(context.Background(), payload, engine.Buffered)
					if err == nil && s%65536 == 0 {
						err = l.Release(s)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			}
			// The slots that will be used again and again are made first.
			for range 6 {
				work(200_000)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() { work(b.N / writers) })
			}
			wg.Wait()
		})
	}
}

// BenchmarkReplay opens a log of 4,000,000 records, from the page cache.
func BenchmarkReplay(b *testing.B) {
	const records = 4_000_000
	dir := benchDir(b)
	l, err := wal.Open(context.Background(), wal.Options{Sinks: []string{dir}}, 0, nil)
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, recordBytes)
	for range records {
		if _, err := l.Append(context.Background(), payload, engine.Buffered); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		n := 0
		l, err := wal.Open(context.Background(), wal.Options{Sinks: []string{dir}}, 0, func(wal.Record) error {
			n++
			return nil
		})
		if err != nil || n != records {
			b.Fatal(n, err)
		}
		b.StopTimer()
		l.Close()
		b.StartTimer()
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}

// BenchmarkMirrored compares one sink with two. ORBIT_BENCH_SINKS names two
// directories, best on devices of their own, separated by a colon; without it both
// are on one device, where the figure says little.
func BenchmarkMirrored(b *testing.B) {
	var dirs []string
	if list := os.Getenv("ORBIT_BENCH_SINKS"); list != "" {
		for _, parent := range filepath.SplitList(list) {
			dir, err := os.MkdirTemp(parent, "wal")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(dir) })
			dirs = append(dirs, dir)
		}
	} else {
		dirs = []string{benchDir(b), benchDir(b)}
	}
	for _, writers := range []int{1, 16} {
		for n := 1; n <= len(dirs); n++ {
			b.Run(fmt.Sprintf("writers=%d/sinks=%d", writers, n), func(b *testing.B) {
				var sinks []string
				for _, parent := range dirs[:n] {
					dir, err := os.MkdirTemp(parent, "sink")
					if err != nil {
						b.Fatal(err)
					}
					sinks = append(sinks, dir)
				}
				l := openBench(b, wal.Options{Sinks: sinks})
				times := closedLoop(b, l, writers)
				b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
			})
		}
	}
}
