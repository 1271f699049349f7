package workload

import (
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// Shrink returns a smaller workload for which fails is still true. It drops
// operations by delta debugging (Zeller and Hildebrandt, "Simplifying and
// Isolating Failure-Inducing Input", 2002, the complements alone), then changes
// of batches, then makes values smaller. It calls fails at most limit times.
// fails must be true for w, and is not called with it.
func Shrink(w Workload, limit int, fails func(Workload) bool) Workload {
	try := func(c Workload) bool {
		if limit <= 0 {
			return false
		}
		limit--
		return fails(c)
	}
	for size := len(w) / 2; size > 0; {
		dropped := false
		for at := 0; at+size <= len(w); {
			c := slices.Concat(w[:at], w[at+size:])
			if len(c) > 0 && try(c) {
				w, dropped = c, true
			} else {
				at += size
			}
		}
		if !dropped || size > len(w)/2 {
			size /= 2
		}
	}
	for i := range w {
		for j := 0; len(w[i].Changes) > 1 && j < len(w[i].Changes); {
			if c := with(w, i, slices.Delete(slices.Clone(w[i].Changes), j, j+1)); try(c) {
				w = c
			} else {
				j++
			}
		}
		for j := range w[i].Changes {
			for _, size := range []int{8, 700, 5000} {
				if w[i].Changes[j].Kind != engine.OpPut || w[i].Changes[j].Size <= size {
					continue
				}
				changes := slices.Clone(w[i].Changes)
				changes[j].Size = size
				if c := with(w, i, changes); try(c) {
					w = c
					break
				}
			}
		}
	}
	return w
}

// with returns a copy of w with other changes in operation i.
func with(w Workload, i int, changes []Change) Workload {
	w = slices.Clone(w)
	w[i].Changes = changes
	return w
}
