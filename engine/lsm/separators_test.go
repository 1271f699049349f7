package lsm

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// separatorsOf makes separators of keys, which it sorts.
func separatorsOf(keys [][]byte) (separators, [][]byte) {
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	var all []byte
	var ends []uint32
	for _, k := range keys {
		all = append(all, k...)
		ends = append(ends, uint32(len(all)))
	}
	return newSeparators(all, ends), keys
}

// TestSeparators: find finds the last key that is not above, of any number of keys, with
// or without the empty one, that have much in common, or only their first bytes.
func TestSeparators(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 6))
		var prefix []byte
		if r.IntN(2) == 0 {
			prefix = adversary(r)
		}
		var keys [][]byte
		for range rapid.IntRange(0, 200).Draw(rt, "keys") {
			keys = append(keys, append(bytes.Clone(prefix), adversary(r)...))
		}
		if r.IntN(2) == 0 { // as an index has
			keys = append(keys, nil)
		}
		s, keys := separatorsOf(keys)
		probes := slices.Clone(keys)
		for _, k := range keys {
			probes = append(probes, append(bytes.Clone(k), 0), append(bytes.Clone(k), 0xff))
			if len(k) > 0 {
				probes = append(probes, k[:len(k)-1])
			}
		}
		for range 50 {
			probes = append(probes, adversary(r), append(bytes.Clone(prefix), adversary(r)...))
		}
		for _, p := range probes {
			want, found := slices.BinarySearchFunc(keys, p, bytes.Compare)
			if !found {
				want--
			}
			if got := s.find(p); got != want {
				rt.Fatalf("key %.60q of %d keys: %d, want %d", p, len(keys), got, want)
			}
		}
	})
}
