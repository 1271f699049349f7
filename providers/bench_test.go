package providers_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	enginememory "github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers"
)

// BenchmarkGet compares a get of the portable layer with that of the engine beneath:
// the layer may cost 300 ns and one allocation more. p50-ns are of rounds of 16, which
// other work on the machine does not move.
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
		median(b, func(i int) (err error) {
			dst, err = e.Get(keys[i%records], dst[:0])
			return err
		})
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
		median(b, func(i int) error {
			_, err := p.Get(ctx, keys[i%records])
			return err
		})
	})
}

// median reports the median time of a call.
func median(b *testing.B, call func(i int) error) {
	const round = 16
	took := make([]time.Duration, 0, 1<<20)
	start := time.Now()
	for i := 0; b.Loop(); i++ {
		if err := call(i); err != nil {
			b.Fatal(err)
		}
		if i%round == round-1 && len(took) < cap(took) {
			now := time.Now()
			took, start = append(took, now.Sub(start)), now
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/round, "p50-ns")
}
