package lsm_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/lsm"
)

func Benchmark(b *testing.B) {
	open := func(dir string) (engine.Engine, error) {
		return lsm.Open(context.Background(), dir, lsm.Options{CacheBytes: 1 << 30})
	}
	enginetest.Benchmark(b, open, func(b *testing.B, before, after engine.Metrics) {
		b.ReportMetric(float64((after.StallTime-before.StallTime).Nanoseconds())/float64(b.N), "stalled-ns/op")
		written := after.BytesFlushed + after.BytesCompacted - before.BytesFlushed - before.BytesCompacted
		b.ReportMetric(float64(written)/float64(after.BytesApplied-before.BytesApplied), "write-amp")
		b.ReportMetric(after.Other["top_runs"], "runs")
		b.ReportMetric(after.Other["longest_stall_seconds"]*1e3, "stop-ms")
	})
}

func BenchmarkRecovery(b *testing.B) {
	enginetest.BenchmarkRecovery(b, func(dir string) (engine.Engine, error) {
		return lsm.Open(context.Background(), dir, lsm.Options{MemtableBytes: 256 << 20})
	})
}
