package flash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/internal/gobench"
	"golang.org/x/sys/unix"
)

// BenchmarkGoals measures what this engine is held to: `make bench-flash` runs it, and holds
// its figures to the goals. What is beside something else takes turns with it, and the median
// of the turns' ratios is reported. A run of each is a measurement as a whole.
func BenchmarkGoals(b *testing.B) {
	for _, g := range []struct {
		name    string
		measure func(b *testing.B)
	}{
		{"reads", goalReads}, {"cached", goalCached}, {"ingest", goalIngest}, {"flushed", goalFlushed}, {"mirrored", goalMirrored},
		{"memory", goalMemory}, {"amplification", goalAmplification}, {"recovery", goalRecovery}, {"lost", goalLost}, {"resync", goalResync},
	} {
		b.Run(g.name, func(b *testing.B) {
			for range b.N {
				g.measure(b)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	goalTurns = 5
	goalValue = 430
)

// turns calls each of some measurements by turns, and returns what they returned.
func turns(measure ...func() float64) [][]float64 {
	out := make([][]float64, len(measure))
	for range goalTurns {
		for i, m := range measure {
			out[i] = append(out[i], m())
		}
	}
	return out
}

// reportRatio reports the median of the ratios of what was measured by turns.
func reportRatio(b *testing.B, unit string, of, to []float64) {
	var ratios []float64
	for i := range of {
		ratios = append(ratios, of[i]/to[i])
	}
	b.ReportMetric(gobench.Median(ratios), unit)
}

// rate returns how often some clients can call in a second.
func rate(b *testing.B, clients int, call func(r *rand.Rand, buf []byte) error) float64 {
	b.Helper()
	const window = 700 * time.Millisecond
	var done sync.WaitGroup
	var calls atomic.Int64
	begin := time.Now()
	for range clients {
		done.Go(func() {
			r := rand.New(rand.NewPCG(rand.Uint64(), 1)) // other keys than the last time, which may be cached
			buf := vfs.AlignedBuffer(4096, 4096)
			for time.Since(begin) < window {
				if err := call(r, buf); err != nil {
					b.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	done.Wait()
	return float64(calls.Load()) / time.Since(begin).Seconds()
}

// p50 returns the median time of a call by one client, in nanoseconds, in groups of calls,
// since to look at the clock takes as long as some of them.
func p50(b *testing.B, calls, group int, call func(r *rand.Rand, buf []byte) error) float64 {
	b.Helper()
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	buf := vfs.AlignedBuffer(4096, 4096)
	var took []float64
	for range calls / group {
		begin := time.Now()
		for range group {
			if err := call(r, buf); err != nil {
				b.Fatal(err)
			}
		}
		took = append(took, float64(time.Since(begin))/float64(group))
	}
	return gobench.Median(took)
}

// goalReads gets records without a cache, beside reads of the device, and beside RocksDB
// with direct reads, where both have a cache of a twentieth.
func goalReads(b *testing.B) {
	dir := benchDir(b)
	n := benchKeys(1_000_000)
	e := open(b, filepath.Join(dir, "store"), flash.Options{CacheBytes: -1, Compression: flash.NoCompression})
	defer mustClose(b, e)
	loadKeys(b, e, n, goalValue)
	const bytes = 512 << 20
	f := device(b, dir, bytes)
	at := func(r *rand.Rand) int64 { return r.Int64N(bytes/4096) * 4096 }
	read := func(r *rand.Rand, buf []byte) error {
		_, err := f.ReadAt(buf, at(r))
		return err
	}
	reads := []func(r *rand.Rand, buf []byte) error{read}
	ring, err := vfs.NewReadRing(vfs.OS(), 32)
	switch {
	case err == nil:
		defer ring.Close()
		reads = append(reads, func(r *rand.Rand, buf []byte) error {
			q := vfs.Request{File: f, Data: buf, Offset: at(r)}
			return errors.Join(ring.Read(&q), q.Err)
		})
	case !errors.Is(err, engine.ErrUnsupported):
		b.Fatal(err)
	}
	get := func(e engine.Engine) func(r *rand.Rand, buf []byte) error {
		return func(r *rand.Rand, buf []byte) error {
			_, err := e.Get(key16(r.IntN(n)), buf[:0])
			return err
		}
	}
	const clients = 32
	took := turns(
		func() float64 { // by whichever way is faster
			most := 0.0
			for _, read := range reads {
				most = max(most, rate(b, clients, read))
			}
			return most
		},
		func() float64 { return rate(b, clients, get(e)) },
		func() float64 { return p50(b, 4000, 1, read) },
		func() float64 { return p50(b, 4000, 1, get(e)) },
	)
	reportRatio(b, "gets/device", took[1], took[0])
	reportRatio(b, "latency/device", took[3], took[2])
	before := e.Metrics().Other["reads"]
	const calls = 10_000
	p50(b, calls, 1, get(e))
	b.ReportMetric((e.Metrics().Other["reads"]-before)/calls, "reads/get")

	size := int64(n) * (goalValue + 16) / 20
	cached := open(b, filepath.Join(dir, "cached"), flash.Options{CacheBytes: size, Compression: flash.NoCompression})
	defer mustClose(b, cached)
	loadKeys(b, cached, n, goalValue)
	rocks, err := rocks.Open(filepath.Join(dir, "rocksdb"), rocks.Options{CacheBytes: uint64(size), DirectReads: true, Compression: rocks.None})
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, rocks)
	loadKeys(b, rocks, n, goalValue)
	if err := rocks.Compact(b.Context(), nil, nil); err != nil {
		b.Fatal(err)
	}
	took = turns(
		func() float64 { return rate(b, clients, get(cached)) }, func() float64 { return rate(b, clients, get(rocks)) },
		func() float64 { return p50(b, 4000, 1, get(cached)) }, func() float64 { return p50(b, 4000, 1, get(rocks)) },
	)
	reportRatio(b, "gets/rocksdb", took[0], took[1])
	reportRatio(b, "latency/rocksdb", took[2], took[3])
}

// goalCached gets records that are all in the cache, beside LMDB.
func goalCached(b *testing.B) {
	n := benchKeys(1_000_000)
	dir := benchDir(b)
	e := open(b, filepath.Join(dir, "store"), flash.Options{CacheBytes: int64(n) * 200, Compression: flash.NoCompression})
	defer mustClose(b, e)
	peer, err := lmdb.Open(filepath.Join(dir, "lmdb"), lmdb.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer mustClose(b, peer)
	loadKeys(b, e, n, 100)
	loadKeys(b, peer, n, 100)
	walk(b, e, nil, n)
	order := rand.New(rand.NewPCG(2, 2))
	keys := make([][]byte, 1<<18)
	for i := range keys {
		keys[i] = key16(order.IntN(n))
	}
	next := 0
	get := func(e engine.Engine) func() float64 {
		return func() float64 {
			return p50(b, 400_000, 8, func(_ *rand.Rand, buf []byte) error {
				next++
				_, err := e.Get(keys[next&(len(keys)-1)], buf[:0])
				return err
			})
		}
	}
	took := turns(get(e), get(peer))
	reportRatio(b, "get/lmdb", took[0], took[1])
	b.ReportMetric(gobench.Median(took[0]), "get-ns")
}

// goalIngest puts incompressible values of 16 KiB, beside sequential direct writes of the
// device, and records of 430 bytes in batches of 100. Each turn has a store of its own.
func goalIngest(b *testing.B) {
	const total = 1 << 30
	dir := benchDir(b)
	f := device(b, dir, total)
	ingest := func(records, each, bytes int) float64 {
		at := filepath.Join(dir, "store")
		e := open(b, at, flash.Options{CacheBytes: -1})
		begin := time.Now()
		loadIn(b, e, records, bytes, each)
		took := time.Since(begin)
		mustClose(b, e)
		if err := os.RemoveAll(at); err != nil {
			b.Fatal(err)
		}
		return float64(records) / took.Seconds()
	}
	took := turns(
		func() float64 {
			buf := vfs.AlignedBuffer(1<<20, 4096)
			begin := time.Now()
			for at := int64(0); at < total; at += int64(len(buf)) {
				if _, err := f.WriteAt(buf, at, vfs.Plain); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.SyncData(); err != nil {
				b.Fatal(err)
			}
			return total / time.Since(begin).Seconds()
		},
		func() float64 { return ingest(total>>14, 1, 16<<10) * (16 << 10) },
		func() float64 { return ingest(1_000_000, 100, goalValue) },
	)
	reportRatio(b, "ingest/device", took[1], took[0])
	b.ReportMetric(gobench.Median(took[2]), "records/s")
}

// flushes opens a store for flushed puts of some clients, and returns how many they make in
// a second.
func flushes(b *testing.B, paths ...string) func(clients int) float64 {
	e := open(b, "", flash.Options{Paths: paths, CacheBytes: -1, Timeout: time.Minute})
	b.Cleanup(func() { mustClose(b, e) })
	loadKeys(b, e, 10_000, goalValue)
	return func(clients int) float64 {
		return rate(b, clients, func(r *rand.Rand, buf []byte) error {
			var batch engine.Batch
			batch.Put(key16(r.IntN(1<<30)), buf[:goalValue])
			return e.Apply(context.Background(), &batch, engine.Flushed)
		})
	}
}

// goalFlushed makes flushed puts by 1, 16 and 64 clients, beside durable writes of 4 KiB by
// one.
func goalFlushed(b *testing.B) {
	dir := benchDir(b)
	f := device(b, dir, 64<<20)
	put := flushes(b, filepath.Join(dir, "store"))
	took := turns(
		func() float64 {
			at := int64(0)
			return rate(b, 1, func(_ *rand.Rand, buf []byte) error {
				at = (at + 4096) % (64 << 20)
				_, err := f.WriteAt(buf, at, vfs.DSync)
				return err
			})
		},
		func() float64 { return put(1) }, func() float64 { return put(16) }, func() float64 { return put(64) },
	)
	for i, unit := range []string{"R-at-1", "R-at-16", "R-at-64"} {
		reportRatio(b, unit, took[i+1], took[0])
	}
}

// goalMirrored makes flushed puts on two paths, beside each of them alone.
func goalMirrored(b *testing.B) {
	one, two := benchDir(b), benchDir(b)
	both := flushes(b, filepath.Join(one, "both"), filepath.Join(two, "both"))
	first, second := flushes(b, filepath.Join(one, "alone")), flushes(b, filepath.Join(two, "alone"))
	for _, clients := range []int{1, 16} {
		took := turns(
			func() float64 { return 1 / both(clients) },
			func() float64 { return max(1/first(clients), 1/second(clients)) },
		)
		reportRatio(b, fmt.Sprintf("commit/slower-at-%d", clients), took[0], took[1])
	}
}

// goalMemory tells what the index takes for each key of 16 bytes, beside the key.
func goalMemory(b *testing.B) {
	n := benchKeys(1_000_000)
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	e := open(b, benchDir(b), flash.Options{CacheBytes: -1, Compression: flash.NoCompression})
	defer mustClose(b, e)
	loadKeys(b, e, n, 8)
	b.ReportMetric((heap()-before)/float64(n)-16, "B/key")
}

// deviceWrites returns how many bytes were written to the device under a directory.
func deviceWrites(b *testing.B, dir string) int64 {
	b.Helper()
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev)))
	if err != nil {
		b.Fatal(err)
	}
	const sectorsWritten = 6
	sectors, err := strconv.ParseInt(strings.Fields(string(data))[sectorsWritten], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return sectors * 512
}

// goalAmplification overwrites records at random while the store is as full as it is asked
// to be, and tells how many bytes the device was given for each byte that was put, all that
// others write meanwhile included.
func goalAmplification(b *testing.B) {
	n := benchKeys(1_000_000)
	dir := benchDir(b)
	e := open(b, dir, flash.Options{CacheBytes: -1, Compression: flash.NoCompression, SegmentBytes: 4 << 20, Fill: 0.81})
	defer mustClose(b, e)
	loadKeys(b, e, n, goalValue)
	value := noise(goalValue)
	r := rand.New(rand.NewPCG(3, 3))
	var fill, disk []float64 // of use, of the segments and of the disk: it goes up and down
	overwrite := func(count int) {
		fill, disk = fill[:0], disk[:0]
		var batch engine.Batch
		for i := range count {
			if i%(count/100) == 0 {
				m := e.Metrics()
				fill = append(fill, m.Other["fill"])
				disk = append(disk, m.Other["live_bytes"]/float64(m.DiskBytes))
			}
			batch.Reset()
			batch.Put(key16(r.IntN(n)), value)
			if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
		}
		if err := e.Sync(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	overwrite(2 * n) // until it is as it stays
	before, wrote := e.Metrics(), deviceWrites(b, dir)
	overwrite(2 * n)
	after, wrote := e.Metrics(), deviceWrites(b, dir)-wrote
	put := float64(2 * n * (goalValue + 16))
	b.ReportMetric(float64(wrote)/put, "device-B/B")
	b.ReportMetric((put+float64(after.BytesCompacted-before.BytesCompacted)+float64(after.BytesFlushed-before.BytesFlushed))/put, "store-B/B")
	b.ReportMetric(gobench.Median(fill), "fill")
	b.ReportMetric(gobench.Median(disk), "of-disk")
}

// goalRecovery opens 10,000,000 records whose process was killed when a hundredth of them
// had been put again behind the last checkpoint.
func goalRecovery(b *testing.B) {
	n := 10 * benchKeys(1_000_000)
	o := flash.Options{CacheBytes: -1, Compression: flash.NoCompression}
	dir := filepath.Join(benchDir(b), "store")
	e := open(b, dir, o)
	loadKeys(b, e, n, 100)
	mustClose(b, e)
	o.CheckpointBytes = 1 << 40
	e = open(b, dir, o)
	loadKeys(b, e, n/100, 100)
	// A copy of the files, which nothing changes now, is what a kill leaves.
	killed := filepath.Join(benchDir(b), "killed")
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	mustClose(b, e)
	var took []float64
	for range 3 {
		runtime.GC()
		begin := time.Now()
		e := open(b, killed, o)
		took = append(took, time.Since(begin).Seconds())
		if got := e.Metrics().Other["keys"]; int(got) != n {
			b.Fatalf("%v keys of %d", got, n)
		}
		mustClose(b, e) // nothing was written, so that it stays as it is
	}
	b.ReportMetric(gobench.Median(took), "s")
}

// goalLost has one of two paths hang, on a simulated disk, while it is read and written, and
// tells how long the longest call was, in deadlines. None may fail.
func goalLost(b *testing.B) {
	const deadline = 300 * time.Millisecond
	d := simdisk.New(simdisk.Options{Seed: 1, Devices: []simdisk.Device{{Path: "/one"}, {Path: "/two"}}})
	e := open(b, "", flash.Options{FS: d, Paths: []string{"/one/data", "/two/data"}, CacheBytes: -1, Timeout: deadline})
	defer mustClose(b, e)
	const n = 10_000
	loadKeys(b, e, n, goalValue)
	var longest atomic.Int64
	call := func(r *rand.Rand, buf []byte) error {
		begin := time.Now()
		var err error
		if r.IntN(2) == 0 {
			_, err = e.Get(key16(r.IntN(n)), buf[:0])
		} else {
			var batch engine.Batch
			batch.Put(key16(r.IntN(n)), buf[:goalValue])
			err = e.Apply(context.Background(), &batch, engine.Flushed)
		}
		for took := int64(time.Since(begin)); ; {
			if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
				return err
			}
		}
	}
	rate(b, 4, call)
	longest.Store(0)
	hang := d.Inject(simdisk.Fault{Path: "/two/data/*", Effect: simdisk.Hang, Sticky: true})
	rate(b, 4, call)
	if inSync := e.Metrics().Other["paths_in_sync"]; inSync != 1 {
		b.Errorf("%v paths count, and one of two hangs", inSync)
	}
	hang.Release()
	b.ReportMetric(float64(longest.Load())/float64(deadline), "pause/deadline")
}

// goalResync has one of two paths away for a hundredth of the writes, and tells what is
// copied to it when it is back, as a share of the data. Whole segments are copied, which are
// small here beside the hundredth.
func goalResync(b *testing.B) {
	n := 4 * benchKeys(1_000_000)
	dir := benchDir(b)
	paths := []string{filepath.Join(dir, "one"), filepath.Join(dir, "two")}
	e := open(b, "", flash.Options{Paths: paths, CacheBytes: -1, Compression: flash.NoCompression, SegmentBytes: 1 << 20, ResyncRate: -1, Timeout: time.Minute})
	defer mustClose(b, e)
	loadKeys(b, e, n, goalValue)
	if err := os.Rename(paths[1], paths[1]+".away"); err != nil {
		b.Fatal(err)
	}
	// It is missed when the next segment is begun.
	next := n
	put := func(count int) {
		for range count {
			var batch engine.Batch
			batch.Put(key16(next), noise(goalValue))
			next++
			if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
		}
	}
	for e.Metrics().Other["paths_in_sync"] == 2 {
		put(1000)
	}
	put(n / 100)
	if err := e.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	before := e.Metrics()
	if err := os.RemoveAll(paths[1]); err != nil { // should something have been made there
		b.Fatal(err)
	}
	if err := os.Rename(paths[1]+".away", paths[1]); err != nil {
		b.Fatal(err)
	}
	for level := false; !level; {
		changed := e.PathsChanged()
		if level = e.Metrics().Other["paths_in_sync"] == 2; !level {
			select {
			case <-changed:
			case <-time.After(5 * time.Minute):
				b.Fatalf("the path is not level after five minutes: %+v", e.Paths())
			}
		}
	}
	after := e.Metrics()
	b.ReportMetric((after.Other["resync_bytes"]-before.Other["resync_bytes"])/after.Other["live_bytes"], "copied/data")
}
