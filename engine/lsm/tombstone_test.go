package lsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tombstoneKeys are few, so that ranges meet in every way: equal bounds, one within
// another, one behind another.
func tombstoneKey(i int) []byte { return fmt.Appendf(nil, "%02d", i) }

const tombstoneSpace = 12

// newestOf returns, by looking at every tombstone, the newest one over a key that a
// reader sees.
func newestOf(list []tombstone, key []byte, at uint64) (v uint64) {
	for _, t := range list {
		if t.version <= at && bytes.Compare(t.lower, key) <= 0 && bytes.Compare(key, t.upper) < 0 {
			v = max(v, t.version)
		}
	}
	return v
}

func drawTombstones(r *rand.Rand, n int) []tombstone {
	var list []tombstone
	for v := range n {
		a, b := r.IntN(tombstoneSpace), r.IntN(tombstoneSpace)
		if a == b {
			b++
		}
		list = append(list, tombstone{tombstoneKey(min(a, b)), tombstoneKey(max(a, b)), uint64(v + 1)})
	}
	return list
}

func drawSnapshots(r *rand.Rand, most int) []uint64 {
	var out []uint64
	for range r.IntN(4) {
		out = append(out, uint64(r.IntN(most+2)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// checkFragments returns what is wrong with the form of fragments.
func checkFragments(f fragments) error {
	for i, g := range f {
		if bytes.Compare(g.lower, g.upper) >= 0 || len(g.versions) == 0 {
			return fmt.Errorf("fragment %d is [%s, %s), with %d versions", i, g.lower, g.upper, len(g.versions))
		}
		if i > 0 && bytes.Compare(f[i-1].upper, g.lower) > 0 {
			return fmt.Errorf("fragment %d overlaps the one before", i)
		}
		for j := 1; j < len(g.versions); j++ {
			if g.versions[j] >= g.versions[j-1] {
				return fmt.Errorf("fragment %d has versions %d", i, g.versions)
			}
		}
	}
	return nil
}

// probesOf are all keys of the space, and what lies beside them.
func tombstoneProbes() (out [][]byte) {
	for i := range tombstoneSpace + 2 {
		out = append(out, tombstoneKey(i), append(tombstoneKey(i), 0))
	}
	return append(out, nil, []byte("zz"))
}

// TestFragments: fragments tell the newest reader and those at snapshots of every key what
// a look at all tombstones does, and keep no version that none of them needs.
func TestFragments(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 2))
		n := rapid.IntRange(0, 20).Draw(rt, "tombstones")
		list := drawTombstones(r, n)
		snapshots := drawSnapshots(r, n)
		r.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
		f := fragmentAll(slices.Clone(list), snapshots)
		if err := checkFragments(f); err != nil {
			rt.Fatal(err)
		}
		readers := append(slices.Clone(snapshots), latest)
		for _, g := range f {
			for _, v := range g.versions {
				if !slices.ContainsFunc(readers, func(at uint64) bool { return newestAt(g.versions, at) == v }) {
					rt.Fatalf("version %d of [%s, %s) is of no use to snapshots %d", v, g.lower, g.upper, snapshots)
				}
			}
		}
		for _, at := range readers {
			for _, k := range tombstoneProbes() {
				want := newestOf(list, k, at)
				if got := f.coverVersion(k, at); got != want {
					rt.Fatalf("at %d key %q is deleted at %d, want %d", at, k, got, want)
				}
				s := f.cover(k, at)
				if s.version != want || !s.contains(k) {
					rt.Fatalf("at %d the span of key %q is %q to %q at %d, want version %d", at, k, s.lower, s.upper, s.version, want)
				}
				// What the span says holds for every key in it.
				for _, other := range tombstoneProbes() {
					if s.contains(other) && newestOf(list, other, at) != want {
						rt.Fatalf("at %d the span of %q has key %q in it", at, k, other)
					}
				}
			}
		}
		lower, upper := tombstoneKey(r.IntN(tombstoneSpace)), tombstoneKey(r.IntN(tombstoneSpace))
		cut := f.within(lower, upper)
		if err := checkFragments(cut); err != nil {
			rt.Fatal(err)
		}
		for _, k := range tombstoneProbes() {
			want := uint64(0)
			if bytes.Compare(lower, k) <= 0 && bytes.Compare(k, upper) < 0 {
				want = f.coverVersion(k, latest)
			}
			if got := cut.coverVersion(k, latest); got != want {
				rt.Fatalf("cut to [%s, %s), key %q is deleted at %d, want %d", lower, upper, k, got, want)
			}
		}
		kept := f.above(snapshots)
		for _, k := range tombstoneProbes() {
			want := newestOf(list, k, latest)
			if len(snapshots) == 0 || want <= snapshots[0] {
				want = 0
			}
			if got := kept.coverVersion(k, latest); got != want {
				rt.Fatalf("above %d key %q is deleted at %d, want %d", snapshots, k, got, want)
			}
		}
		decoded, err := decodeRanges(encodeRanges(f))
		if err != nil || !slices.EqualFunc(decoded, f, func(a, b fragment) bool {
			return bytes.Equal(a.lower, b.lower) && bytes.Equal(a.upper, b.upper) && slices.Equal(a.versions, b.versions)
		}) {
			rt.Fatalf("%v decoded is %v (%v)", f, decoded, err)
		}
	})
}

// TestRangeSets: while tombstones come, and snapshots come and go, each reader that there
// may be finds what a look at all tombstones says: the newest, those at snapshots, and
// those who began at the version that pruned tells of, or later. There are few sets.
func TestRangeSets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 4))
		var sets *rangeSets
		var all []tombstone
		visible, version := uint64(0), uint64(0)
		var snapshots []uint64
		commits := []uint64{0} // the versions that readers may begin at
		for range rapid.IntRange(1, 60).Draw(rt, "commits") {
			if r.IntN(4) == 0 {
				snapshots = append(snapshots, visible)
				slices.Sort(snapshots)
				snapshots = slices.Compact(snapshots)
			}
			if r.IntN(5) == 0 && len(snapshots) > 0 {
				i := r.IntN(len(snapshots))
				snapshots = slices.Delete(snapshots, i, i+1)
			}
			for range 1 + r.IntN(3) { // of one commit
				version++
				one := drawTombstones(r, 1)[0]
				one.version = version
				all = append(all, one)
				sets = sets.with(one, visible, snapshots)
			}
			before := visible
			visible = version
			if sets.pruned > before {
				rt.Fatalf("pruned is %d, and commits were visible up to %d", sets.pruned, before)
			}
			readers := append(slices.Clone(snapshots), latest)
			commits = append(commits, visible)
			for _, at := range commits {
				if at >= sets.pruned {
					readers = append(readers, at)
				}
			}
			for i, f := range sets.sets {
				if err := checkFragments(f); err != nil {
					rt.Fatal(err)
				}
				if i > 0 && len(sets.sets[i-1]) <= 2*len(f) {
					rt.Fatalf("set %d has %d fragments, the one before %d", i, len(f), len(sets.sets[i-1]))
				}
			}
			for _, at := range readers {
				for _, k := range tombstoneProbes() {
					if got, want := sets.cover(k, at), newestOf(all, k, at); got != want {
						rt.Fatalf("at %d key %q is deleted at %d, want %d", at, k, got, want)
					}
				}
			}
			f := sets.fragments(snapshots)
			for _, at := range append(slices.Clone(snapshots), latest) {
				for _, k := range tombstoneProbes() {
					if got, want := f.coverVersion(k, at), newestOf(all, k, at); got != want {
						rt.Fatalf("as one set, at %d key %q is deleted at %d, want %d", at, k, got, want)
					}
				}
			}
		}
	})
}
