package pebbledb_test

import (
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
)

// Each pair does the same through the adapter and in a plain program with the
// same settings: the difference is what the adapter costs. Both copy what they
// read, as a program that keeps a value must.

const benchRecords = 100_000

// benchKey is the i-th of the keys, in an order that jumps about.
func benchKey(key []byte, i int) []byte {
	key = append(key[:0], "user/"...)
	return binary.BigEndian.AppendUint64(key, uint64(i%benchRecords)*0x9e3779b97f4a7c15)
}

var benchValue = make([]byte, 100)

func openAdapter(b *testing.B) *pebbledb.Engine {
	e, err := pebbledb.Open(b.TempDir(), pebbledb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { e.Close() })
	var batch engine.Batch
	for i := range benchRecords {
		batch.Put(benchKey(nil, i), benchValue)
	}
	if err := e.Apply(b.Context(), &batch, engine.Flushed); err != nil {
		b.Fatal(err)
	}
	if err := e.Compact(b.Context(), nil, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return e
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

func openPlain(b *testing.B) *pebble.DB {
	o := &pebble.Options{
		FS:                          vfs.Default,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   256 << 20,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		Logger:                      quiet{},
	}
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].IndexBlockSize = 256 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	batch := db.NewBatch()
	for i := range benchRecords {
		if err := batch.Set(benchKey(nil, i), benchValue, nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		b.Fatal(err)
	}
	if err := db.Compact(b.Context(), []byte{0}, []byte{0xff}, true); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return db
}

func BenchmarkAdapterGet(b *testing.B) {
	e := openAdapter(b)
	var key, value []byte
	for i := range b.N {
		var err error
		key = benchKey(key, i)
		if value, err = e.Get(key, value[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainGet(b *testing.B) {
	db := openPlain(b)
	var key, value []byte
	for i := range b.N {
		key = benchKey(key, i)
		got, closer, err := db.Get(key)
		if err != nil {
			b.Fatal(err)
		}
		value = append(value[:0], got...)
		if err := closer.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdapterPut(b *testing.B) {
	e := openAdapter(b)
	var key []byte
	var batch engine.Batch
	for i := range b.N {
		key = benchKey(key, i)
		batch.Reset()
		batch.Put(key, benchValue)
		if err := e.Apply(b.Context(), &batch, engine.Memory); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainPut(b *testing.B) {
	db := openPlain(b)
	var key []byte
	for i := range b.N {
		key = benchKey(key, i)
		batch := db.NewBatch()
		if err := batch.Set(key, benchValue, nil); err != nil {
			b.Fatal(err)
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			b.Fatal(err)
		}
		if err := batch.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdapterScan100(b *testing.B) {
	e := openAdapter(b)
	var key []byte
	for i := range b.N {
		key = benchKey(key, i)
		it, err := e.NewIterator(engine.IterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		bytes := 0
		for n, ok := 0, it.SeekGE(key); ok && n < 100; n, ok = n+1, it.Next() {
			value, err := it.Value()
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(it.Key()) + len(value)
		}
		if err := it.Close(); err != nil || bytes == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkPlainScan100(b *testing.B) {
	db := openPlain(b)
	var key []byte
	for i := range b.N {
		key = benchKey(key, i)
		it, err := db.NewIter(&pebble.IterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		bytes := 0
		for n, ok := 0, it.SeekGE(key); ok && n < 100; n, ok = n+1, it.Next() {
			value, err := it.ValueAndErr()
			if err != nil {
				b.Fatal(err)
			}
			bytes += len(it.Key()) + len(value)
		}
		if err := it.Close(); err != nil || bytes == 0 {
			b.Fatal(err)
		}
	}
}
