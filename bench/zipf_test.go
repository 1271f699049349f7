package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestZipfian holds the drawn frequencies against the law: rank r comes up in
// proportion to 1/(r+1)^0.99.
func TestZipfian(t *testing.T) {
	const n, draws = 1000, 2_000_000
	z := newZipfian(n)
	rng := rand.New(rand.NewPCG(1, 1))
	counts := make([]int, n)
	for range draws {
		counts[z.rank(rng)]++
	}
	for _, rank := range []int{0, 1, 9, 99, 999} {
		want := draws / math.Pow(float64(rank+1), zipfTheta) / z.zetan
		// The method is exact for the first two ranks and an approximation from
		// there on.
		if got := float64(counts[rank]); got < want*0.7 || got > want*1.35 {
			t.Errorf("rank %d came up %.0f times, want about %.0f", rank, got, want)
		}
	}
	seen := map[int]bool{}
	for range 10_000 {
		i := z.scrambled(rng)
		if i < 0 || i >= n {
			t.Fatalf("record %d of %d", i, n)
		}
		seen[i] = true
	}
	if len(seen) < n/4 {
		t.Errorf("only %d of %d records came up", len(seen), n)
	}
	if r := newZipfian(1).rank(rng); r != 0 {
		t.Errorf("rank %d of one", r)
	}
}
