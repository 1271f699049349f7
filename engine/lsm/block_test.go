package lsm

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawEntries makes entries as a block has them: by key, of one key the newest first.
func drawEntries(r *rand.Rand, keys, versions int, valueBytes int) []entry {
	var list []entry
	prefix := []byte(nil)
	if r.IntN(2) == 0 {
		prefix = adversary(r)
	}
	for range keys {
		k := append(bytes.Clone(prefix), adversary(r)...)
		v := uint64(r.IntN(1000))
		if r.IntN(20) == 0 {
			v = maxVersion - 100
		}
		for n := 1 + r.IntN(versions); n > 0; n-- {
			e := entry{key: k, version: v + uint64(n), kind: kindPut, value: bytes.Repeat([]byte{byte(n)}, r.IntN(valueBytes+1))}
			if r.IntN(4) == 0 {
				e.kind, e.value = kindDelete, nil
			}
			if r.IntN(8) == 0 && n == 1 {
				e.version = 0
			}
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return int(int64(b.version) - int64(a.version))
	})
	return slices.CompactFunc(list, func(a, b entry) bool { return bytes.Equal(a.key, b.key) && a.version == b.version })
}

// buildBlock makes one block of entries.
func buildBlock(list []entry) block {
	var b blockBuilder
	b.reset()
	for i := range list {
		same := i > 0 && bytes.Equal(list[i-1].key, list[i].key)
		b.add(&list[i], hashOf(list[i].key), same)
	}
	return bytes.Clone(b.finish())
}

// compareBlock holds a block to the entries that it was made of.
func compareBlock(b block, list []entry, probes [][]byte, add uint64) error {
	if err := checkBlock(b); err != nil {
		return err
	}
	n := b.count()
	if n != len(list) {
		return fmt.Errorf("%d entries, want %d", n, len(list))
	}
	several := false
	for i, want := range list {
		suffix, value, version, kind := b.record(b.slot(n, i))
		k := append(bytes.Clone(b.prefix(n)), suffix...)
		if !bytes.Equal(k, want.key) || !bytes.Equal(value, want.value) || version != want.version || kind != want.kind {
			return fmt.Errorf("entry %d is %.40q, version %d, want %.40q, version %d", i, k, version, want.key, want.version)
		}
		several = several || i > 0 && bytes.Equal(list[i-1].key, want.key)
	}
	if b.several() != several {
		return fmt.Errorf("several: %v, want %v", b.several(), several)
	}
	for _, p := range probes {
		at := slices.IndexFunc(list, func(e entry) bool { return bytes.Compare(e.key, p) >= 0 })
		if at < 0 {
			at = n
		}
		if got := b.seek(p); got != at {
			return fmt.Errorf("seek %.40q: %d, want %d", p, got, at)
		}
		for _, seen := range []uint64{0, 3, 500, 1001, latest} {
			var want *entry
			for i := at; i < n && bytes.Equal(list[i].key, p) && want == nil; i++ {
				if list[i].version+add <= seen {
					want = &list[i]
				}
			}
			value, version, kind, ok := b.get(p, hashOf(p), seen, add)
			if ok != (want != nil) || ok && (version != want.version+add || kind != want.kind || !bytes.Equal(value, want.value)) {
				return fmt.Errorf("get %.40q at %d: version %d, %v", p, seen, version, ok)
			}
		}
	}
	return nil
}

func blockProbes(r *rand.Rand, list []entry) (out [][]byte) {
	for _, e := range list {
		out = append(out, e.key, append(bytes.Clone(e.key), 0))
		if n := len(e.key); n > 0 {
			out = append(out, e.key[:n-1])
		}
	}
	for range 10 {
		out = append(out, adversary(r))
	}
	return out
}

// TestBlock: a block gives back what was put into it, to walks, seeks, and gets at each
// version; small ones, and such as are wider than two bytes can count.
func TestBlock(t *testing.T) {
	wide := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 8))
		valueBytes := []int{0, 30, 200, 3000}[r.IntN(4)]
		list := drawEntries(r, rapid.IntRange(1, 60).Draw(rt, "keys"), 1+r.IntN(4), valueBytes)
		b := buildBlock(list)
		if b.wide() {
			wide++
		}
		if err := compareBlock(b, list, blockProbes(r, list), uint64(r.IntN(2)*7)); err != nil {
			rt.Fatal(err)
		}
	})
	if wide == 0 {
		t.Error("no wide block was made")
	}
}

// TestBlockEdges: the widths at which lengths and places take more bytes.
func TestBlockEdges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, k := range []int{0, 1, 127, 128, 129, 64 << 10} {
		for _, v := range []int{0, 1, 127, 128, 16383, 16384, 1<<16 - 200, 1 << 16, 1<<21 + 1} {
			list := []entry{
				{key: bytes.Repeat([]byte{'k'}, k), value: bytes.Repeat([]byte{'v'}, v), version: 9, kind: kindPut},
				{key: append(bytes.Repeat([]byte{'k'}, k), 'a'), value: bytes.Repeat([]byte{'w'}, v), version: maxVersion, kind: kindPut},
				{key: append(bytes.Repeat([]byte{'k'}, k), 'a'), value: []byte("x"), version: 3, kind: kindPut},
			}
			if err := compareBlock(buildBlock(list), list, blockProbes(r, list), 0); err != nil {
				t.Fatalf("keys of %d bytes, values of %d: %v", k, v, err)
			}
		}
	}
}

// TestBlockFits: fits never lets a block of more than one key grow above its target, and
// lets it come near.
func TestBlockFits(t *testing.T) {
	fullest := 0
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 9))
		var b blockBuilder
		b.reset()
		list := drawEntries(r, 300, 1, 1+r.IntN(100))
		n := 0
		for i := range list {
			if i > 0 && bytes.Equal(list[i-1].key, list[i].key) {
				continue
			}
			if !b.fits(&list[i]) {
				break
			}
			b.add(&list[i], hashOf(list[i].key), false)
			n++
		}
		if size := len(b.finish()); n > 1 && size > blockTarget {
			rt.Fatalf("a block of %d entries has %d bytes", n, size)
		} else if n < len(list) {
			fullest = max(fullest, size)
		}
	})
	if fullest < blockTarget*9/10 {
		t.Errorf("the fullest block has %d bytes", fullest)
	}
}
