package blockfs

import "math/bits"

// bitmap has a bit for each unit.
type bitmap []uint64

func newBitmap(units int64) bitmap { return make(bitmap, (units+63)/64) }

func (b bitmap) has(unit int64) bool { return b[unit/64]>>(unit%64)&1 == 1 }

func (b bitmap) flip(unit, count int64) {
	for ; count > 0; unit, count = unit+1, count-1 {
		b[unit/64] ^= 1 << (unit % 64)
	}
}

// setNew sets bits none of which is set; false, with some of them set, if one is.
func (b bitmap) setNew(unit, count int64) bool {
	for ; count > 0; unit, count = unit+1, count-1 {
		if b.has(unit) {
			return false
		}
		b[unit/64] |= 1 << (unit % 64)
	}
	return true
}

// run is a piece of the device, in units.
type run struct{ unit, count int64 }

// release is a run that is free when the changes up to a number are durable.
type release struct {
	run
	change uint64
}

// space tells which units of the device are in use.
type space struct {
	used  bitmap
	units int64
	free  int64
	// held are in use, and nobody's.
	held      []release
	heldUnits int64
}

// freeRun returns the first free run at or after a unit, cut to most; count 0 if there is none.
func (s *space) freeRun(from, most int64) run {
	for from < s.units && s.used.has(from) {
		if word := ^s.used[from/64] >> (from % 64); word != 0 {
			from += int64(bits.TrailingZeros64(word))
		} else {
			from = (from/64 + 1) * 64
		}
	}
	r := run{unit: from}
	for r.count < most && from+r.count < s.units && !s.used.has(from+r.count) {
		r.count++
	}
	return r
}

// take takes n units, in one run where it can, the first from near on, and then from 0 on.
// Nil if there are not so many.
func (s *space) take(n, near int64) []run {
	if n > s.free {
		return nil
	}
	var runs []run
	for _, whole := range []bool{true, false} {
		for _, part := range []run{{near, s.units}, {0, near}} {
			for at := part.unit; at < part.count && n > 0; {
				r := s.freeRun(at, n)
				if r.count == 0 || r.unit >= part.count {
					break
				}
				at = r.unit + r.count
				if whole && r.count < n {
					continue
				}
				s.used.flip(r.unit, r.count)
				s.free -= r.count
				n -= r.count
				runs = append(runs, r)
			}
		}
	}
	return runs
}

// give makes a run free.
func (s *space) give(r run) {
	s.used.flip(r.unit, r.count)
	s.free += r.count
}

// hold keeps a run, which is in use, until the changes up to a number are durable.
func (s *space) hold(r run, change uint64) {
	s.held = append(s.held, release{r, change})
	s.heldUnits += r.count
}

// settle frees what was held for changes that are durable.
func (s *space) settle(durable uint64) {
	kept := s.held[:0]
	for _, h := range s.held {
		if h.change > durable {
			kept = append(kept, h)
			continue
		}
		s.give(h.run)
		s.heldUnits -= h.count
	}
	s.held = kept
}
