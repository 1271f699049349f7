package providers_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	enginememory "github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers"
)

// BenchmarkGet compares a get of the portable layer with that of the engine beneath:
// the layer may cost 300 ns and one allocation more.
func BenchmarkGet(b *testing.B) {
	const records = 100_000
	key := func(i int) []byte { return fmt.Appendf(nil, "lease/Player:%08d", i*7919%records) }
	value := make([]byte, 430)
	keys := make([][]byte, records)
	for i := range keys {
		keys[i] = key(i)
	}
	b.Run("engine", func(b *testing.B) {
		e := enginememory.Open()
		defer e.Close()
		for _, k := range keys {
			var batch engine.Batch
			batch.Put(k, value)
			if err := e.Apply(b.Context(), &batch, engine.Memory); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		var dst []byte
		for i := 0; b.Loop(); i++ {
			var err error
			if dst, err = e.Get(keys[i%records], dst[:0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("portable", func(b *testing.B) {
		p := open(b, providers.Config{})
		for _, k := range keys {
			if _, err := p.Put(b.Context(), k, value, providers.PutOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		ctx := context.Background()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := p.Get(ctx, keys[i%records]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
