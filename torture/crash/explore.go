package crash

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// counts are those of a run.
type counts struct {
	workloads, points, images, distinct, nested atomic.Int64
}

// failure is a violation and how it came about.
type failure struct {
	err error // holds a *workload.Violation
	// path is the cuts, the first in the workload; empty if the workload itself
	// failed.
	path []cut
}

// explorer makes the cuts of one workload.
type explorer struct {
	store
	seed uint64
	// again is how many images there are for each one that is cut during its
	// recovery at one moment, and all for each that is cut at all moments.
	again, all uint64
	counts     *counts
	// doing is told of each image before its recovery.
	doing func(path []cut)
	// stop ends the exploration.
	stop func() bool
}

// seen is what an image showed.
type seen struct {
	number uint64
	copies int
}

// explore makes the cuts of r at a density and returns the first failure; nil if
// there is none. path is the cuts that led to r.
func (x *explorer) explore(ctx context.Context, r *recording, d density, path []cut) *failure {
	known := make(map[[16]byte]seen)
	var found *failure
	level := x.seed
	for _, c := range path {
		level = c.seed(level)
	}
	lastPoint := -1
	cuts(r, d, level, func(w *simdisk.Walk, c cut, m mark) bool {
		if x.stop() || ctx.Err() != nil {
			return false
		}
		if c.event != lastPoint {
			lastPoint = c.event
			x.counts.points.Add(1)
		}
		accept := m.accept
		if allKept(c.fates) {
			accept = both(accept, m.kept)
		}
		seed := c.seed(level)
		image := w.Crash(c.fates, seed)
		x.counts.images.Add(1)
		hash := image.Hash()
		if s, ok := known[hash]; ok && s.copies >= m.copies {
			if !x.history.Has(accept, s.number) {
				found = &failure{err: x.verdict(s.number, accept), path: appended(path, c)}
			}
			return found == nil
		}
		trail := appended(path, c)
		x.doing(trail)
		x.counts.distinct.Add(1)
		if len(path) > 0 {
			x.counts.nested.Add(1)
		}
		rec := recovery{store: x.store, image: image, accept: accept, copies: m.copies, depth: len(trail), seed: seed}
		shown, next, err := rec.run(ctx)
		if err != nil {
			if ctx.Err() == nil {
				found = &failure{err: err, path: trail}
			}
			return false
		}
		known[hash] = seen{shown.Number, m.copies}
		if len(trail) < deepest {
			switch {
			case x.all > 0 && len(path) == 0 && seed/16%x.all == 0:
				found = x.explore(ctx, next, everywhere, trail)
			case x.again > 0 && seed/16%x.again == 0:
				found = x.explore(ctx, next, once, trail)
			}
		}
		return found == nil
	})
	return found
}

// verdict makes the violation of an image whose content was checked before.
func (x *explorer) verdict(number uint64, a workload.Accept) error {
	fault := workload.Lost
	if a.Least <= a.Most && x.history.States[a.Most].Number < number {
		fault = workload.Ahead
	}
	return &workload.Violation{Fault: fault, Text: fmt.Sprintf("the store ends with batch %d, which is not right by now", number)}
}

func allKept(fates []simdisk.Fate) bool {
	return !slices.ContainsFunc(fates, func(f simdisk.Fate) bool { return f != simdisk.Kept })
}

func appended(path []cut, c cut) []cut { return append(path[:len(path):len(path)], c) }
