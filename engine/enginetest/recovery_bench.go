package enginetest

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// BenchmarkRecovery opens a store whose process was killed with all of its records in the
// log alone: of 16 and 100 bytes, put one by one, with keys at random. What open opens must
// keep a log of 500,000 of them.
func BenchmarkRecovery(b *testing.B, open func(dir string) (engine.Engine, error)) {
	opened := func(dir string) engine.Engine {
		e, err := open(dir)
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	const records = 500_000
	dir := b.TempDir()
	store, left, killed := filepath.Join(dir, "store"), filepath.Join(dir, "left"), filepath.Join(dir, "killed")
	e := opened(store)
	random := rand.New(rand.NewPCG(1, 1))
	var batch engine.Batch
	key, value := make([]byte, 16), make([]byte, 100)
	for range records {
		binary.BigEndian.PutUint64(key, random.Uint64())
		batch.Reset()
		batch.Put(key, value)
		if err := e.Apply(context.Background(), &batch, engine.Buffered); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	// A copy of the files is what a kill leaves.
	if err := os.CopyFS(left, os.DirFS(store)); err != nil {
		b.Fatal(err)
	}
	if err := e.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		if err := os.CopyFS(killed, os.DirFS(left)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		e := opened(killed)
		b.StopTimer()
		if got, err := e.Get(key, nil); err != nil || len(got) != len(value) {
			b.Fatalf("the last key is of %d bytes, %v", len(got), err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.RemoveAll(killed); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(records*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}
