package memory_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
)

// These keep the figures of doc.go: 1,000,000 records of 16 B/100 B, keys
// uniform, percentiles by a clock read around each call.

const benchRecords = 1_000_000

func benchKey(dst []byte, i uint64) []byte {
	// A bijection that scatters (SplitMix64's finaliser), so that keys are
	// distinct and in random order.
	z := i + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	dst = binary.BigEndian.AppendUint64(dst, z)
	return binary.BigEndian.AppendUint64(dst, i)
}

func loaded(b *testing.B) *memory.Engine {
	e := memory.Open()
	b.Cleanup(func() { e.Close() })
	var batch engine.Batch
	value := make([]byte, 100)
	for i := range uint64(benchRecords) {
		batch.Put(benchKey(nil, i), value)
		if batch.Count() == 1000 {
			if err := e.Apply(context.Background(), &batch, engine.Memory); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	return e
}

func report(b *testing.B, h *hdrhistogram.Histogram) {
	b.ReportMetric(float64(h.ValueAtQuantile(50)), "p50-ns")
	b.ReportMetric(float64(h.ValueAtQuantile(99)), "p99-ns")
	b.ReportMetric(float64(h.ValueAtQuantile(99.9)), "p99.9-ns")
}

func BenchmarkGet(b *testing.B) {
	e := loaded(b)
	h := hdrhistogram.New(1, 1e10, 3)
	key, value := make([]byte, 0, 16), make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key[:0], rand.Uint64N(benchRecords))
		start := nanotime()
		if _, err := e.Get(key, value); err != nil {
			b.Fatal(err)
		}
		h.RecordValue(nanotime() - start)
	}
	report(b, h)
}

func BenchmarkPut(b *testing.B) {
	e := loaded(b)
	h := hdrhistogram.New(1, 1e10, 3)
	value := make([]byte, 100)
	key := make([]byte, 0, 16)
	var batch engine.Batch
	i := uint64(benchRecords)
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key[:0], i)
		i++
		start := nanotime()
		batch.Reset()
		batch.Put(key, value)
		if err := e.Apply(context.Background(), &batch, engine.Memory); err != nil {
			b.Fatal(err)
		}
		h.RecordValue(nanotime() - start)
	}
	report(b, h)
}
