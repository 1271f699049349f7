package enginetest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// benchmarkRecords is the size of the store of Benchmark.
const benchmarkRecords = 1_000_000

// Benchmark times an engine in this process, to see what a change did to it: gets, many
// gets at once where the engine has them, scans of 100 entries, overwrites and inserts,
// and a queue, in the class Buffered, over 1,000,000 records with keys of 16 B in no order and values
// of 100 B. open opens it in an empty directory; it should cache all of that. figures,
// unless nil, adds what the engine did for b.N puts. Engines are compared by the bench.
func Benchmark(b *testing.B, open func(dir string) (engine.Engine, error), figures func(b *testing.B, before, after engine.Metrics)) {
	run := func(name string, loop func(b *testing.B, e engine.Engine)) {
		b.Run(name, func(b *testing.B) {
			e := benchmarkStore(b, open)
			b.ReportAllocs()
			b.ResetTimer()
			loop(b, e)
		})
	}
	run("Get", benchmarkGet)
	run("MultiGet16", benchmarkMultiGet)
	run("Scan100", benchmarkScan)
	puts := func(next func(rng *rand.Rand, i int) int) func(*testing.B, engine.Engine) {
		return func(b *testing.B, e engine.Engine) { benchmarkPut(b, e, next, figures) }
	}
	run("Overwrite", puts(func(rng *rand.Rand, _ int) int { return rng.IntN(benchmarkRecords) }))
	run("Insert", puts(func(_ *rand.Rand, i int) int { return benchmarkRecords + i }))
	run("Queue", benchmarkQueue)
}

// benchmarkQueue puts an entry at the end of a queue of 10,000, takes the oldest away,
// and every 64 times looks at the first, past all that were taken away.
func benchmarkQueue(b *testing.B, e engine.Engine) {
	const length = 10_000
	lower := []byte("queue/")
	name := func(n int) []byte { return binary.BigEndian.AppendUint64(lower[:len(lower):len(lower)], uint64(n)) }
	var batch engine.Batch
	value := make([]byte, 100)
	for n := range length + b.N {
		if n == length {
			b.ResetTimer()
		}
		batch.Reset()
		batch.Put(name(n), value)
		if n >= length {
			batch.Delete(name(n - length))
		}
		if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
			b.Fatal(err)
		}
		if n < length || n%64 != 0 {
			continue
		}
		it, err := e.NewIterator(engine.IterOptions{Lower: lower, Upper: []byte("queue0")})
		if err != nil {
			b.Fatal(err)
		}
		if !it.First() || string(it.Key()) != string(name(n-length+1)) {
			b.Fatalf("the queue begins with %q", it.Key())
		}
		if err := it.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkKey appends the key of a record to dst.
func benchmarkKey(dst []byte, i int) []byte {
	x := uint64(i)*0x9e3779b97f4a7c15 ^ 0x5851f42d4c957f2d
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	dst = binary.BigEndian.AppendUint64(dst, x)
	return binary.BigEndian.AppendUint64(dst, uint64(i))
}

// benchmarkStore opens a store with all records.
func benchmarkStore(b *testing.B, open func(dir string) (engine.Engine, error)) engine.Engine {
	b.Helper()
	e, err := open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	var batch engine.Batch
	value := make([]byte, 100)
	var key []byte
	for i := range benchmarkRecords {
		key = benchmarkKey(key[:0], i)
		batch.Put(key, value)
		if batch.Count() == 1000 || i == benchmarkRecords-1 {
			if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	return e
}

// benchmarkKeys returns keys that are there, drawn uniformly.
func benchmarkKeys() [][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, 1<<16)
	for i := range keys {
		keys[i] = benchmarkKey(nil, rng.IntN(benchmarkRecords))
	}
	return keys
}

func benchmarkGet(b *testing.B, e engine.Engine) {
	keys := benchmarkKeys()
	var value []byte
	b.ResetTimer()
	for i := range b.N {
		var err error
		if value, err = e.Get(keys[i&(len(keys)-1)], value[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkMultiGet(b *testing.B, e engine.Engine) {
	m, ok := e.(engine.MultiGetter)
	if !ok {
		b.Skip("SKIPPED, NOT VERIFIED HERE: the engine has no MultiGet")
	}
	keys := benchmarkKeys()
	n := 0
	found := func(_ int, _ []byte, present bool) {
		if present {
			n++
		}
	}
	b.ResetTimer()
	for i := 0; i < b.N; i += 16 {
		at := i & (len(keys) - 1)
		if err := m.MultiGet(keys[at:at+16], found); err != nil {
			b.Fatal(err)
		}
	}
	if n < b.N {
		b.Fatal("keys were not there")
	}
}

func benchmarkScan(b *testing.B, e engine.Engine) {
	rng := rand.New(rand.NewPCG(1, 2))
	var key []byte
	sum := 0
	for i := 0; i < b.N; i += 100 {
		it, err := e.NewIterator(engine.IterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		key = benchmarkKey(key[:0], rng.IntN(benchmarkRecords))
		n := 0
		for ok := it.SeekGE(key); ok && n < 100; ok = it.Next() {
			value, err := it.Value()
			if err != nil {
				b.Fatal(err)
			}
			sum += len(it.Key()) + int(value[0]) + int(value[99])
			n++
		}
		if err := it.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if sum == 0 {
		b.Fatal("nothing was read")
	}
}

func benchmarkPut(b *testing.B, e engine.Engine, next func(*rand.Rand, int) int, figures func(b *testing.B, before, after engine.Metrics)) {
	rng := rand.New(rand.NewPCG(1, 2))
	var batch engine.Batch
	value := make([]byte, 100)
	var key []byte
	before := e.Metrics()
	b.ResetTimer()
	for i := range b.N {
		key = benchmarkKey(key[:0], next(rng, i))
		batch.Reset()
		batch.Put(key, value)
		if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if figures != nil {
		figures(b, before, e.Metrics())
	}
}
