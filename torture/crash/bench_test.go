package crash_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/torture/crash"
	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/target"
)

// BenchmarkImages measures distinct crash images, recovered and checked, on all
// cores, over small workloads of a small engine.
func BenchmarkImages(b *testing.B) {
	var images int64
	for seed := uint64(1); b.Loop(); seed++ {
		result, err := crash.Mode(context.Background(), target.Run{Engine: tiny.Target(tiny.None), Seed: seed, Work: 200})
		if err != nil || len(result.Failures) > 0 {
			b.Fatal(err, result.Failures)
		}
		images += result.Get("distinct images")
	}
	b.ReportMetric(float64(images)/b.Elapsed().Seconds(), "images/s")
}
