package providers

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestLatencyBuckets: each duration is in the bucket whose bounds it lies between.
func TestLatencyBuckets(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		d := time.Duration(random.Int64N(1 << (1 + random.IntN(40))))
		i := bucketOf(d)
		if i < latencyBuckets-1 && d > BucketBound(i) || i > 0 && d <= BucketBound(i-1) {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", d, i, BucketBound(i))
		}
	}
	for i := range latencyBuckets {
		if got := bucketOf(BucketBound(i)); got != i {
			t.Errorf("the bound of bucket %d is in bucket %d", i, got)
		}
	}
	var l latency
	for i := range 100 {
		l.observe(time.Duration(i+1) * time.Millisecond)
	}
	s := l.snapshot()
	if q := s.Quantile(0.5); q < 50*time.Millisecond || q > 63*time.Millisecond || s.Mean() != 50500*time.Microsecond {
		t.Errorf("median %s, mean %s", q, s.Mean())
	}
}
