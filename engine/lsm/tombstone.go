package lsm

import (
	"bytes"
	"slices"
	"sort"
)

// fragment is the keys in [lower, upper), which were deleted at these versions, newest
// first.
type fragment struct {
	lower, upper []byte
	versions     []uint64
}

// fragments are in the order of keys, and do not overlap.
type fragments []fragment

// span is a range of keys for which one thing holds: deleted at version, or not at all,
// if that is 0. A nil bound is open.
type span struct {
	lower, upper []byte
	version      uint64
}

func (s *span) contains(key []byte) bool {
	return (s.lower == nil || bytes.Compare(s.lower, key) <= 0) && (s.upper == nil || bytes.Compare(key, s.upper) < 0)
}

// cover returns the span around a key as a reader at that version sees it.
func (f fragments) cover(key []byte, at uint64) span {
	i := sort.Search(len(f), func(i int) bool { return bytes.Compare(f[i].upper, key) > 0 })
	var s span
	if i > 0 {
		s.lower = f[i-1].upper
	}
	if i == len(f) {
		return s
	}
	if bytes.Compare(key, f[i].lower) < 0 {
		s.upper = f[i].lower
		return s
	}
	s.lower, s.upper = f[i].lower, f[i].upper
	s.version = newestAt(f[i].versions, at)
	return s
}

// coverVersion is cover for those who need no more of it.
func (f fragments) coverVersion(key []byte, at uint64) uint64 {
	if len(f) == 0 {
		return 0
	}
	i := sort.Search(len(f), func(i int) bool { return bytes.Compare(f[i].upper, key) > 0 })
	if i == len(f) || bytes.Compare(key, f[i].lower) < 0 {
		return 0
	}
	return newestAt(f[i].versions, at)
}

// newestAt returns the first of the versions, which descend, that is not above at.
func newestAt(versions []uint64, at uint64) uint64 {
	for _, v := range versions {
		if v <= at {
			return v
		}
	}
	return 0
}

// tombstone deletes the keys in [lower, upper) of versions below its own.
type tombstone struct {
	lower, upper []byte
	version      uint64
}

// fragmentAll cuts tombstones where one begins or ends, so that those that are left
// do not overlap. Of each it keeps the versions that some reader needs: the newest one,
// and the newest that each of the snapshots sees, which ascend.
func fragmentAll(list []tombstone, snapshots []uint64) fragments {
	if len(list) == 0 {
		return nil
	}
	cuts := make([][]byte, 0, 2*len(list))
	for _, t := range list {
		cuts = append(cuts, t.lower, t.upper)
	}
	slices.SortFunc(cuts, bytes.Compare)
	cuts = slices.CompactFunc(cuts, bytes.Equal)
	slices.SortStableFunc(list, func(a, b tombstone) int { return bytes.Compare(a.lower, b.lower) })
	var out fragments
	var active []tombstone
	next := 0
	for i := range len(cuts) - 1 {
		active = slices.DeleteFunc(active, func(t tombstone) bool { return bytes.Compare(t.upper, cuts[i]) <= 0 })
		for next < len(list) && bytes.Compare(list[next].lower, cuts[i]) <= 0 {
			active = append(active, list[next])
			next++
		}
		if len(active) == 0 {
			continue
		}
		versions := make([]uint64, len(active))
		for j, t := range active {
			versions[j] = t.version
		}
		versions = needed(versions, snapshots)
		// What one range left in pieces is put together again.
		if n := len(out); n > 0 && bytes.Equal(out[n-1].upper, cuts[i]) && slices.Equal(out[n-1].versions, versions) {
			out[n-1].upper = cuts[i+1]
			continue
		}
		out = append(out, fragment{cuts[i], cuts[i+1], versions})
	}
	return out
}

// needed sorts versions, newest first, and leaves out those that neither the newest
// reader nor a snapshot sees.
func needed(versions, snapshots []uint64) []uint64 {
	slices.SortFunc(versions, func(a, b uint64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	out := versions[:0]
	stripe := -1
	for _, v := range versions {
		// The number of snapshots that do not see it.
		s := sort.Search(len(snapshots), func(i int) bool { return snapshots[i] >= v })
		if len(out) == 0 || s != stripe {
			out = append(out, v)
		}
		stripe = s
	}
	return out
}

// tombstones undoes fragmentAll.
func (f fragments) tombstones(list []tombstone) []tombstone {
	for _, g := range f {
		for _, v := range g.versions {
			list = append(list, tombstone{g.lower, g.upper, v})
		}
	}
	return list
}

// within returns the fragments cut to [lower, upper); nil bounds are open.
func (f fragments) within(lower, upper []byte) fragments {
	var out fragments
	for _, g := range f {
		if lower != nil && bytes.Compare(g.lower, lower) < 0 {
			g.lower = lower
		}
		if upper != nil && bytes.Compare(g.upper, upper) > 0 {
			g.upper = upper
		}
		if bytes.Compare(g.lower, g.upper) < 0 {
			out = append(out, g)
		}
	}
	return out
}

// rangeSets are the tombstones of a memtable: sets of fragments, each of less than half
// as many as the one before. A new tombstone is a set of its own, and sets of like size
// are made one: Bentley and Saxe, "Decomposable Searching Problems", 1980. They do not
// change.
type rangeSets struct {
	sets []fragments
	// pruned is the version that commits had become visible up to when versions were
	// left out that older readers may need, who are not snapshots.
	pruned uint64
}

// with returns the sets and one more tombstone. Readers at visible or later, and the
// snapshots, find in it what they need.
func (r *rangeSets) with(t tombstone, visible uint64, snapshots []uint64) *rangeSets {
	out := &rangeSets{sets: []fragments{}}
	if r != nil {
		out.sets, out.pruned = slices.Clone(r.sets), r.pruned
	}
	add := fragments{{t.lower, t.upper, []uint64{t.version}}}
	for n := len(out.sets); n > 0 && len(out.sets[n-1]) <= 2*len(add); n-- {
		keep := append(slices.Clone(snapshots), visible)
		slices.Sort(keep)
		add = fragmentAll(add.tombstones(out.sets[n-1].tombstones(nil)), keep)
		out.sets, out.pruned = out.sets[:n-1], visible
	}
	out.sets = append(out.sets, add)
	return out
}

// cover returns the version at which a key was deleted, as a reader at a version sees it;
// 0 if it was not.
func (r *rangeSets) cover(key []byte, at uint64) uint64 {
	var version uint64
	if r != nil {
		for _, f := range r.sets {
			version = max(version, f.coverVersion(key, at))
		}
	}
	return version
}

// fragments returns all of them as one set.
func (r *rangeSets) fragments(snapshots []uint64) fragments {
	if r == nil {
		return nil
	}
	var list []tombstone
	for _, f := range r.sets {
		list = f.tombstones(list)
	}
	return fragmentAll(list, snapshots)
}
