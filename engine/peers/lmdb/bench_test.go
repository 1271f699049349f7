//go:build lmdb

package lmdb

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	benchRecords = 100_000
	benchScan    = 100 // entries
)

func benchKey(dst []byte, i int) []byte {
	dst = binary.BigEndian.AppendUint64(dst[:0], uint64(i))
	return binary.BigEndian.AppendUint64(dst, uint64(i)*0x9E3779B97F4A7C15)
}

func benchStore(b *testing.B) *store {
	s := openTest(b, b.TempDir(), Options{NoSync: true})
	b.Cleanup(func() { closeTest(b, s) })
	var batch engine.Batch
	var key []byte
	value := make([]byte, 100)
	for i := range benchRecords {
		key = benchKey(key, i)
		batch.Put(key, value)
		if batch.Count() == 1000 || i == benchRecords-1 {
			if err := s.Apply(b.Context(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	return s
}

func BenchmarkGet(b *testing.B) {
	s := benchStore(b)
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords))
		var err error
		if value, err = s.Get(key, value[:0]); err != nil || len(value) != 100 {
			b.Fatal(len(value), err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, d := range []engine.Durability{engine.Buffered, engine.Flushed} {
		b.Run("durability="+d.String(), func(b *testing.B) {
			s := benchStore(b)
			var batch engine.Batch
			var key []byte
			value := make([]byte, 100)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				key = benchKey(key, rand.IntN(benchRecords))
				batch.Reset()
				batch.Put(key, value)
				if err := s.Apply(ctx, &batch, d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	s := benchStore(b)
	var key []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords-benchScan))
		it, err := s.NewIterator(engine.IterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for ok := it.SeekGE(key); ok && n < benchScan; ok = it.Next() {
			value, err := it.Value()
			if err != nil || len(it.Key()) != 16 || len(value) != 100 {
				b.Fatal(len(it.Key()), len(value), err)
			}
			n++
		}
		if err := it.Close(); err != nil || n != benchScan {
			b.Fatal(n, err)
		}
	}
}
