package cowbtree

import "math/bits"

// cover knows which sectors of a file somebody has: a bit for each.
type cover struct {
	words []uint64
	size  int64
}

func newCover(size int64) *cover { return &cover{words: make([]uint64, (size+63)/64), size: size} }

// take makes the sectors of x somebody's. ok is false, and at the first of them, if
// one is already; the others are taken all the same. x lies within the file.
func (c *cover) take(x extent) (at int64, ok bool) {
	ok = true
	for s := x.at; s < x.end(); {
		shift := s % 64
		n := min(64-shift, x.end()-s)
		mask := ^uint64(0) >> (64 - n) << shift
		if both := c.words[s/64] & mask; both != 0 && ok {
			at, ok = s-shift+int64(bits.TrailingZeros64(both)), false
		}
		c.words[s/64] |= mask
		s += n
	}
	return at, ok
}

// gaps calls each for the runs of sectors that nobody has.
func (c *cover) gaps(each func(extent)) {
	var gap extent
	for s := int64(0); s < c.size; {
		w := c.words[s/64]
		if s%64 == 0 && s+64 <= c.size && (w == 0 || w == ^uint64(0)) {
			if w == 0 {
				if gap.n == 0 {
					gap.at = s
				}
				gap.n += 64
			} else if gap.n > 0 {
				each(gap)
				gap = extent{}
			}
			s += 64
			continue
		}
		if w>>(s%64)&1 == 0 {
			if gap.n == 0 {
				gap.at = s
			}
			gap.n++
		} else if gap.n > 0 {
			each(gap)
			gap = extent{}
		}
		s++
	}
	if gap.n > 0 {
		each(gap)
	}
}
