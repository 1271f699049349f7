package cowbtree_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

func Benchmark(b *testing.B) {
	open := func(dir string) (engine.Engine, error) {
		return cowbtree.Open(context.Background(), dir, cowbtree.Options{CacheBytes: 1 << 30})
	}
	enginetest.Benchmark(b, open, func(b *testing.B, before, after engine.Metrics) {
		for _, name := range []string{"pages_copied", "pages_written"} {
			b.ReportMetric((after.Other[name]-before.Other[name])/float64(b.N), name+"/op")
		}
		b.ReportMetric(float64((after.StallTime-before.StallTime).Nanoseconds())/float64(b.N), "stalled-ns/op")
		b.ReportMetric(after.Other["checkpoint_seconds"]-before.Other["checkpoint_seconds"], "checkpoint-s")
	})
}

func BenchmarkRecovery(b *testing.B) {
	enginetest.BenchmarkRecovery(b, func(dir string) (engine.Engine, error) {
		return cowbtree.Open(context.Background(), dir, cowbtree.Options{CacheBytes: 1 << 30, CheckpointBytes: 2 << 30})
	})
}
