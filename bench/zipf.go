package bench

import (
	"math"
	"math/rand/v2"
)

// zipfian draws ranks 0..n-1 with YCSB's constant 0.99, by the method of Gray
// et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994.
type zipfian struct {
	n                        int
	theta, alpha, zetan, eta float64
}

const zipfTheta = 0.99

func newZipfian(n int) *zipfian {
	z := &zipfian{n: n, theta: zipfTheta, alpha: 1 / (1 - zipfTheta)}
	for i := 1; i <= n; i++ {
		z.zetan += 1 / math.Pow(float64(i), z.theta)
	}
	zeta2 := 1 + math.Pow(0.5, z.theta)
	z.eta = (1 - math.Pow(2/float64(n), 1-z.theta)) / (1 - zeta2/z.zetan)
	return z
}

// rank draws a rank; 0 is the most frequent.
func (z *zipfian) rank(rng *rand.Rand) int {
	u := rng.Float64()
	switch uz := u * z.zetan; {
	case uz < 1:
		return 0
	case uz < 1+math.Pow(0.5, z.theta):
		return min(1, z.n-1)
	}
	return min(int(float64(z.n)*math.Pow(z.eta*u-z.eta+1, z.alpha)), z.n-1)
}

// scrambled draws a record: a rank, scattered over all records as YCSB does, so
// that the hot ones are not neighbours.
func (z *zipfian) scrambled(rng *rand.Rand) int {
	return int(mix(uint64(z.rank(rng))) % uint64(z.n))
}
