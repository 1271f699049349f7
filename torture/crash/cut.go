package crash

import (
	"math/rand/v2"
	"slices"

	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// cut is a power cut: right after an event of a disk's log, with a fate for each
// unit that was pending.
type cut struct {
	event int
	fates []simdisk.Fate
}

// seed returns that of what the fates leave open, and of what is done to the
// image.
func (c cut) seed(seed uint64) uint64 {
	h := mix(seed, uint64(c.event))
	for _, f := range c.fates {
		h = mix(h, uint64(f))
	}
	return h
}

// mix returns a hash of two numbers (the finalizer of SplitMix64: Steele, Lea,
// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
func mix(a, b uint64) uint64 {
	x := a ^ (b+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// density says how many cuts to make.
type density struct {
	// subsets is the largest number of pending units of which each subset is
	// taken; 0 is never.
	subsets int
	// samples is the number of mixtures where not each subset is taken; with 1
	// there is nothing but that mixture.
	samples int
	// points is the number of events to cut at, chosen by the seed; 0 is all.
	points int
}

var (
	dense   = density{subsets: 12, samples: 64}
	sampled = density{samples: 64}
	large   = density{samples: 16, points: 32}
	// Those of cuts during a recovery.
	everywhere = density{subsets: 6, samples: 16}
	once       = density{samples: 1, points: 1}
	// That of engines that are not ours.
	foreign = density{samples: 1, points: 16}
)

// cuts goes through the log of r and calls visit for each cut of that density,
// with the walk at its event and with what is right there. It ends early when
// visit returns false.
func cuts(r *recording, d density, seed uint64, visit func(w *simdisk.Walk, c cut, m mark) bool) {
	random := rand.New(rand.NewPCG(seed, 1))
	var chosen map[int]bool
	if events := r.disk.Events() - r.from; d.points > 0 && d.points < events {
		chosen = make(map[int]bool)
		for len(chosen) < d.points {
			chosen[r.from+random.IntN(events)] = true
		}
	}
	w := r.disk.Walk()
	var last mark
	for at := 0; w.Next(); at++ {
		switch w.Event().Kind {
		case simdisk.EventMark, simdisk.EventFault, simdisk.EventKill:
			if !chosen[at] {
				continue
			}
		}
		if at < r.from || chosen != nil && !chosen[at] {
			continue
		}
		m := r.at(at, w)
		units := w.Pending()
		added := make([]bool, len(units))
		for i, u := range units {
			added[i] = u.Event == at
		}
		if !slices.Contains(added, true) && same(last, m) && chosen == nil {
			continue // each image was made at the event before
		}
		last = m
		more := func(fates []simdisk.Fate) bool {
			if r.ordered {
				orderNames(units, fates)
			}
			return visit(w, cut{at, fates}, m)
		}
		switch {
		case d.samples == 1:
			if !more(mixture(random, len(units))) {
				return
			}
		case len(units) <= d.subsets:
			if !subsets(added, more) || !torn(units, more) {
				return
			}
		default:
			if !some(units, d.samples, random, more) {
				return
			}
		}
	}
}

// orderNames loses each name behind one that is lost.
func orderNames(units []simdisk.Unit, fates []simdisk.Fate) {
	lost := false
	for i, u := range units {
		if u.Kind != simdisk.Name {
			continue
		}
		if lost {
			fates[i] = simdisk.Lost
		}
		lost = lost || fates[i] == simdisk.Lost
	}
}

// at returns what is right after a cut behind that event: what was right there,
// and what was acknowledged before the event after it that is not a mark.
func (r *recording) at(event int, w *simdisk.Walk) mark {
	i := 0
	for i+1 < len(r.marks) && r.marks[i+1].event <= event {
		i++
	}
	m := r.marks[i]
	for next := event + 1; i+1 < len(r.marks) && r.marks[i+1].event == next; next++ {
		i++
		m.accept = both(m.accept, r.marks[i].accept)
		m.kept = both(m.kept, r.marks[i].kept)
		m.copies = r.marks[i].copies
	}
	return m
}

// both returns what a and b accept.
func both(a, b workload.Accept) workload.Accept {
	c := workload.Accept{Least: max(a.Least, b.Least), Most: min(a.Most, b.Most)}
	for _, s := range a.Also {
		if slices.ContainsFunc(b.Also, func(t workload.State) bool { return s.Number == t.Number }) {
			c.Also = append(c.Also, s)
		}
	}
	return c
}

func same(a, b mark) bool {
	return a.copies == b.copies && sameAccept(a.accept, b.accept) && sameAccept(a.kept, b.kept)
}

func sameAccept(a, b workload.Accept) bool {
	return a.Least == b.Least && a.Most == b.Most &&
		slices.EqualFunc(a.Also, b.Also, func(s, t workload.State) bool { return s.Number == t.Number })
}

// subsets visits each subset of units with one of those added, or each at all if
// none was: the others were visited at the event before.
func subsets(added []bool, visit func([]simdisk.Fate) bool) bool {
	fresh := 0
	for i, is := range added {
		if is {
			fresh |= 1 << i
		}
	}
	for set := range 1 << len(added) {
		if fresh != 0 && set&fresh == 0 {
			continue
		}
		fates := make([]simdisk.Fate, len(added))
		for i := range fates {
			if set>>i&1 == 1 {
				fates[i] = simdisk.Kept
			}
		}
		if !visit(fates) {
			return false
		}
	}
	return true
}

// torn visits each write left in part.
func torn(units []simdisk.Unit, visit func([]simdisk.Fate) bool) bool {
	for i, u := range units {
		if u.Kind != simdisk.Write {
			continue
		}
		for _, f := range []simdisk.Fate{simdisk.Left, simdisk.Right, simdisk.Garbage} {
			for others := range 3 {
				fates := make([]simdisk.Fate, len(units))
				for j := range fates {
					switch {
					case j == i:
						fates[j] = f
					case others == 1, others == 2 && (j < i || u.Event == units[j].Event):
						fates[j] = simdisk.Kept
					}
				}
				if !visit(fates) {
					return false
				}
			}
		}
	}
	return true
}

// some visits none, all, each one lost, each one kept, and mixtures.
func some(units []simdisk.Unit, samples int, random *rand.Rand, visit func([]simdisk.Fate) bool) bool {
	for _, base := range []simdisk.Fate{simdisk.Lost, simdisk.Kept} {
		fates := slices.Repeat([]simdisk.Fate{base}, len(units))
		if !visit(fates) {
			return false
		}
		// Of very many, a share.
		step := max(1, len(units)/64)
		for i := len(units) - 1; i >= 0; i -= step {
			one := slices.Clone(fates)
			one[i] = simdisk.Kept - base
			if !visit(one) {
				return false
			}
		}
	}
	if len(units) == 0 {
		return true
	}
	for range samples {
		if !visit(mixture(random, len(units))) {
			return false
		}
	}
	return true
}

// mixture returns random fates. Some mixtures lose most, some keep most, some
// are about even, and half of them tear.
func mixture(random *rand.Rand, n int) []simdisk.Fate {
	fates := make([]simdisk.Fate, n)
	keep := []int{10, 50, 90}[random.IntN(3)]
	tear := []int{0, 20}[random.IntN(2)]
	for i := range fates {
		switch {
		case random.IntN(100) < tear:
			fates[i] = simdisk.Left + simdisk.Fate(random.IntN(3))
		case random.IntN(100) < keep:
			fates[i] = simdisk.Kept
		}
	}
	return fates
}
