//go:build rocksdb

package rocks

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
)

// The same operations through this package and through grocksdb alone, on the
// same settings. doc.go quotes the figures.
const (
	benchRecords = 100_000
	benchScan    = 100 // entries
)

func benchKey(dst []byte, i int) []byte {
	dst = binary.BigEndian.AppendUint64(dst[:0], uint64(i))
	return binary.BigEndian.AppendUint64(dst, uint64(i)*0x9E3779B97F4A7C15)
}

func benchValue() []byte {
	value := make([]byte, 100)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	return value
}

func benchStore(b *testing.B, o Options) *store {
	e, err := Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e.(*store)
}

// fill loads the records and leaves them compacted.
func fill(b *testing.B, e engine.Engine) {
	var batch engine.Batch
	var key []byte
	value := benchValue()
	for i := range benchRecords {
		key = benchKey(key, i)
		batch.Put(key, value)
		if batch.Count() == 1000 || i == benchRecords-1 {
			if err := e.Apply(b.Context(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	if err := e.Compact(b.Context(), nil, nil); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAdapterGet(b *testing.B) {
	e := benchStore(b, Options{})
	fill(b, e)
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords))
		var err error
		if value, err = e.Get(key, value[:0]); err != nil || len(value) != 100 {
			b.Fatal(len(value), err)
		}
	}
}

func BenchmarkPlainGet(b *testing.B) {
	e := benchStore(b, Options{})
	fill(b, e)
	options := grocksdb.NewDefaultReadOptions()
	defer options.Destroy()
	var key, value []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords))
		slice, err := e.db.Get(options, key)
		if err != nil {
			b.Fatal(err)
		}
		value = append(value[:0], slice.Data()...)
		slice.Free()
		if len(value) != 100 {
			b.Fatal(len(value))
		}
	}
}

func BenchmarkAdapterPut(b *testing.B) {
	for _, d := range engine.Durabilities {
		b.Run("durability="+d.String(), func(b *testing.B) {
			benchPut(b, benchStore(b, Options{ManualLogFlush: d == engine.Memory}), d)
		})
	}
	b.Run("durability=buffered/log=manual", func(b *testing.B) {
		benchPut(b, benchStore(b, Options{ManualLogFlush: true}), engine.Buffered)
	})
}

func benchPut(b *testing.B, e engine.Engine, d engine.Durability) {
	var batch engine.Batch
	var key []byte
	value := benchValue()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords))
		batch.Reset()
		batch.Put(key, value)
		if err := e.Apply(ctx, &batch, d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainPut(b *testing.B) {
	for _, d := range []engine.Durability{engine.Buffered, engine.Flushed} {
		b.Run("durability="+d.String(), func(b *testing.B) {
			db := benchStore(b, Options{}).db
			options := grocksdb.NewDefaultWriteOptions()
			defer options.Destroy()
			options.SetSync(d == engine.Flushed)
			var key []byte
			value := benchValue()
			b.ReportAllocs()
			for b.Loop() {
				key = benchKey(key, rand.IntN(benchRecords))
				if err := db.Put(options, key, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAdapterScan(b *testing.B) {
	e := benchStore(b, Options{})
	fill(b, e)
	var key []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords-benchScan))
		it, err := e.NewIterator(engine.IterOptions{})
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

func BenchmarkPlainScan(b *testing.B) {
	e := benchStore(b, Options{})
	fill(b, e)
	options := grocksdb.NewDefaultReadOptions()
	defer options.Destroy()
	var key []byte
	b.ReportAllocs()
	for b.Loop() {
		key = benchKey(key, rand.IntN(benchRecords-benchScan))
		it := e.db.NewIterator(options)
		n := 0
		for it.Seek(key); it.Valid() && n < benchScan; it.Next() {
			k, v := it.Key(), it.Value()
			if k.Size() != 16 || v.Size() != 100 {
				b.Fatal(k.Size(), v.Size())
			}
			k.Free()
			v.Free()
			n++
		}
		err := errors.Join(it.Err())
		it.Close()
		if err != nil || n != benchScan {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkAdapterMultiGet(b *testing.B) {
	e := benchStore(b, Options{})
	fill(b, e)
	keys := make([][]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		for i := range keys {
			keys[i] = benchKey(keys[i], rand.IntN(benchRecords))
		}
		n := 0
		if err := e.MultiGet(keys, func(_ int, value []byte, _ bool) { n += len(value) }); err != nil || n != 1600 {
			b.Fatal(n, err)
		}
	}
}
