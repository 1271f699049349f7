package lsm_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
)

// records is the size of the store of the benchmarks: 16 B keys in no order, 100 B
// values, all of it in memory.
const records = 1_000_000

func key(dst []byte, i int) []byte {
	x := uint64(i)*0x9e3779b97f4a7c15 ^ 0x5851f42d4c957f2d
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	dst = binary.BigEndian.AppendUint64(dst, x)
	return binary.BigEndian.AppendUint64(dst, uint64(i))
}

func loaded(b *testing.B) *lsm.Engine {
	b.Helper()
	e := open(b, b.TempDir(), lsm.Options{CacheBytes: 1 << 30})
	var batch engine.Batch
	value := make([]byte, 100)
	var k []byte
	for i := range records {
		k = key(k[:0], i)
		batch.Put(k, value)
		if batch.Count() == 1000 || i == records-1 {
			if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	b.Cleanup(func() { e.Close() })
	return e
}

func BenchmarkGet(b *testing.B) {
	e := loaded(b)
	rng := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = key(nil, rng.IntN(records))
	}
	var dst []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		var err error
		if dst, err = e.Get(keys[i&(len(keys)-1)], dst[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMultiGet16(b *testing.B) {
	e := loaded(b)
	rng := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = key(nil, rng.IntN(records))
	}
	n := 0
	found := func(_ int, _ []byte, present bool) {
		if present {
			n++
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 16 {
		at := i & (len(keys) - 1)
		if err := e.MultiGet(keys[at:at+16], found); err != nil {
			b.Fatal(err)
		}
	}
	if n < b.N {
		b.Fatal("keys were not there")
	}
}

func BenchmarkScan100(b *testing.B) {
	e := loaded(b)
	rng := rand.New(rand.NewPCG(1, 2))
	var k []byte
	sum := 0
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 100 {
		it, err := e.NewIterator(engine.IterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		k = key(k[:0], rng.IntN(records))
		n := 0
		for ok := it.SeekGE(k); ok && n < 100; ok = it.Next() {
			v, _ := it.Value()
			sum += len(it.Key()) + int(v[0]) + int(v[99])
			n++
		}
		if err := it.Close(); err != nil {
			b.Fatal(err)
		}
	}
	_ = sum
}

func BenchmarkOverwrite(b *testing.B) {
	e := loaded(b)
	put(b, e, func(rng *rand.Rand, i int) int { return rng.IntN(records) })
}

func BenchmarkInsert(b *testing.B) {
	e := loaded(b)
	put(b, e, func(_ *rand.Rand, i int) int { return records + i })
}

func put(b *testing.B, e *lsm.Engine, next func(*rand.Rand, int) int) {
	rng := rand.New(rand.NewPCG(1, 2))
	var batch engine.Batch
	value := make([]byte, 100)
	var k []byte
	before := e.Metrics()
	defer func() { report(b, before, e.Metrics()) }()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k = key(k[:0], next(rng, i))
		batch.Reset()
		batch.Put(k, value)
		if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
			b.Fatal(err)
		}
	}
}

// report adds what the engine did for the puts of a benchmark.
func report(b *testing.B, before, after engine.Metrics) {
	n := float64(b.N)
	b.ReportMetric(float64((after.StallTime-before.StallTime).Nanoseconds())/n, "stalled-ns/op")
	b.ReportMetric(float64(after.BytesFlushed+after.BytesCompacted-before.BytesFlushed-before.BytesCompacted)/float64(after.BytesApplied-before.BytesApplied), "write-amp")
	b.ReportMetric(after.Other["top_runs"], "runs")
	b.ReportMetric(after.Other["longest_stall_seconds"]*1e3, "stop-ms")
}
