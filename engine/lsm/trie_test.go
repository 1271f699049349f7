package lsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// pieces are what adversarial keys are put together from: keys that are the beginning of
// others, share less and more than the four bytes that nodes keep of what they skip, and
// differ in each kind of byte.
var pieces = []string{
	"", "\x00", "\x00\x00", "\xff", "\xff\xff", "a", "ab", "abc", "abcd", "abcde", "abcdef", "b",
	"abcdeX", "abcdefghijklmnop", strings.Repeat("p", 3), strings.Repeat("p", 4), strings.Repeat("p", 5), strings.Repeat("p", 130),
	strings.Repeat("p", 64) + "q" + strings.Repeat("p", 64), strings.Repeat("q", 101),
}

// adversary makes a key of pieces.
func adversary(r *rand.Rand) []byte {
	var k []byte
	for range r.IntN(4) {
		k = append(k, pieces[r.IntN(len(pieces))]...)
	}
	switch r.IntN(6) {
	case 0: // nodes with many children
		k = append(k, byte(r.IntN(256)))
	case 1:
		k = append(k, byte(r.IntN(256)), byte(r.IntN(4)))
	}
	return k
}

// trieModel is what is in a trie: of each key the versions, newest first.
type trieModel map[string][]entry

func (m trieModel) insert(e entry) {
	list := m[string(e.key)]
	if len(list) > 0 && list[0].version == e.version {
		list = list[1:]
	}
	m[string(e.key)] = append([]entry{e}, list...)
}

// compare holds a trie to the model: every key, the versions of each, both ways, and by
// seeks to and beside them.
func (m trieModel) compare(t *trie, probes [][]byte) error {
	keys := slices.Sorted(maps.Keys(m))
	check := func(r ref, key string) error {
		for i, want := range m[key] {
			if r == 0 {
				return fmt.Errorf("key %.40q has %d of %d versions", key, i, len(m[key]))
			}
			v, kind := t.version(r)
			if string(t.recordKey(r)) != key || v != want.version || kind != want.kind || !bytes.Equal(t.recordValue(r), want.value) {
				return fmt.Errorf("version %d of key %.40q is %d of %.40q", want.version, key, v, t.recordKey(r))
			}
			r = t.older(r)
		}
		if r != 0 {
			return fmt.Errorf("key %.40q has more than %d versions", key, len(m[key]))
		}
		return nil
	}
	stands := func(what string, c *trieCursor, i int) error {
		if i < 0 || i >= len(keys) {
			if c.record != 0 {
				return fmt.Errorf("%s: at %.40q, and should be nowhere", what, t.recordKey(c.record))
			}
			return nil
		}
		if c.record == 0 || string(t.recordKey(c.record)) != keys[i] {
			return fmt.Errorf("%s: not at %.40q, key %d of %d", what, keys[i], i, len(keys))
		}
		return nil
	}
	for _, k := range keys {
		if err := check(t.find([]byte(k)), k); err != nil {
			return err
		}
	}
	if _, _, err := m.dead(t, ref(t.load(rootSlot))); err != nil {
		return err
	}
	c := trieCursor{t: t}
	c.first()
	for i := range len(keys) + 1 {
		if err := stands("forward", &c, i); err != nil {
			return err
		}
		if c.record != 0 {
			c.next()
		}
	}
	c.last()
	for i := len(keys) - 1; i >= -1; i-- {
		if err := stands("backward", &c, i); err != nil {
			return err
		}
		if c.record != 0 {
			c.prev()
		}
	}
	for _, p := range probes {
		at, found := slices.BinarySearch(keys, string(p))
		if r := t.find(p); (r != 0) != found {
			return fmt.Errorf("find %.40q: %v, want %v", p, r != 0, found)
		}
		c.seekGE(p)
		if err := stands(fmt.Sprintf("seekGE %.40q", p), &c, at); err != nil {
			return err
		}
		if c.record != 0 {
			c.next()
			if err := stands("next behind a seek", &c, at+1); err != nil {
				return err
			}
		}
		if c.seekGE(p); c.record != 0 {
			c.prev()
			if err := stands("prev behind a seek", &c, at-1); err != nil {
				return err
			}
		}
		c.seekLT(p)
		if err := stands(fmt.Sprintf("seekLT %.40q", p), &c, at-1); err != nil {
			return err
		}
		if c.record != 0 {
			c.next()
			if err := stands("next behind seekLT", &c, at); err != nil {
				return err
			}
		}
	}
	return nil
}

// dead checks what the nodes below r, and r, say of what is dead below them, and returns
// whether something is alive, and the newest version of what is not.
func (m trieModel) dead(t *trie, r ref) (alive bool, newest uint64, err error) {
	if r.isRecord() {
		e := m[string(t.recordKey(r))][0]
		return e.kind != kindDelete, e.version, nil
	}
	children := []ref{t.own(r)}
	for child, b := t.after(r, -1); child != 0; child, b = t.after(r, b) {
		children = append(children, child)
	}
	living := uint32(0)
	for _, child := range children {
		if child == 0 {
			continue
		}
		below, version, err := m.dead(t, child)
		if err != nil {
			return false, 0, err
		}
		if below {
			living++
		}
		newest = max(newest, version)
	}
	if counted := t.load(r.at()) >> 20; counted != living {
		return false, 0, fmt.Errorf("a node at depth %d counts %d children that live, of which there are %d", t.load(r.at()+4), counted, living)
	}
	switch d := t.dead(r); {
	case living > 0 && d != 0:
		return false, 0, fmt.Errorf("a node with %d children that live says that all are dead", living)
	case living == 0 && d == 0:
		return false, 0, fmt.Errorf("a node without a child that lives does not say so")
	case living == 0:
		if version, _ := t.version(d); version != newest {
			return false, 0, fmt.Errorf("a node names the tombstone %d as the newest, which is %d", version, newest)
		}
	}
	return living > 0, newest, nil
}

// walkLiving holds walks that pass by what is dead to the model: at a version, from each
// tombstone to each limit, both ways.
func (m trieModel) walkLiving(t *trie, at uint64, limits [][]byte) error {
	keys := slices.Sorted(maps.Keys(m))
	// dead and living say what a reader at the version sees of a key, which may be neither.
	seen := func(k string) (entry, bool) {
		for _, e := range m[k] {
			if e.version <= at {
				return e, true
			}
		}
		return entry{}, false
	}
	for from, k := range keys {
		if e, ok := seen(k); !ok || e.kind != kindDelete {
			continue
		}
		for _, limit := range limits {
			for _, back := range []bool{false, true} {
				want, step := "", 1
				if back {
					step = -1
				}
				for i := from + step; i >= 0 && i < len(keys); i += step {
					e, ok := seen(keys[i])
					if ok && e.kind != kindDelete || !inside([]byte(keys[i]), limit, back) {
						want = keys[i]
						break
					}
				}
				c := trieCursor{t: t}
				c.seekGE([]byte(k))
				c.passDead(at, limit, back)
				got := ""
				if c.record != 0 {
					got = string(t.recordKey(c.record))
				}
				if got != want {
					return fmt.Errorf("from %.40q at %d to %.40q, back %t: at %.40q, and should be at %.40q", k, at, limit, back, got, want)
				}
			}
		}
	}
	return nil
}

func newTestTrie(t testing.TB, capacity int64) *trie {
	t.Helper()
	x, err := newTrie(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.memory.Release(); err != nil {
			t.Error(err)
		}
	})
	return x
}

// TestTrieModel: a trie holds what a sorted map does, whatever the keys are like, and in
// memory that another one has left, too.
func TestTrieModel(t *testing.T) {
	x := newTestTrie(t, 16<<20)
	rapid.Check(t, func(rt *rapid.T) {
		// What the one before has left is in the way.
		x := trieIn(x.memory)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		m := trieModel{}
		version := uint64(0)
		deletes := rapid.SampledFrom([]int{20, 20, 90, 99}).Draw(rt, "deletes in a hundred")
		var probes [][]byte
		for n := range rapid.IntRange(1, 400).Draw(rt, "inserts") {
			k := adversary(r)
			version += uint64(r.IntN(3))
			if version == 0 {
				version = 1
			}
			e := entry{key: k, value: fmt.Appendf(nil, "%d", n), version: version, kind: kindPut}
			if r.IntN(100) < deletes {
				e.kind, e.value = kindDelete, nil
			}
			before := x.used.Load()
			x.insert(e.key, e.value, e.version, e.kind)
			if took, bound := x.used.Load()-before, trieNeed(1, int64(len(e.key)+len(e.value))); took > bound {
				rt.Fatalf("an insertion took %d bytes, and the bound is %d", took, bound)
			}
			m.insert(e)
			probes = append(probes, k, append(bytes.Clone(k), 0), adversary(r))
			if len(k) > 0 {
				probes = append(probes, k[:len(k)-1])
			}
		}
		if err := m.compare(x, probes); err != nil {
			rt.Fatal(err)
		}
		limits := [][]byte{probes[0], probes[r.IntN(len(probes))], {0xff, 0xff, 0xff, 0xff}, {}}
		for _, at := range []uint64{version, version / 2} {
			if err := m.walkLiving(x, at, limits); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// TestTrieLongKeys: keys of 64 KiB that differ in their first, a middle or their last
// byte, or by their length alone.
func TestTrieLongKeys(t *testing.T) {
	const long = 64 << 10
	x := newTestTrie(t, 64<<20)
	m := trieModel{}
	r := rand.New(rand.NewPCG(3, 3))
	var probes [][]byte
	base := bytes.Repeat([]byte{'k'}, long)
	for version := range uint64(200) {
		k := bytes.Clone(base)
		switch r.IntN(5) {
		case 0:
			k[0] = byte(r.IntN(256))
		case 1:
			k[r.IntN(long)] = byte(r.IntN(256))
		case 2:
			k[long-1] = byte(r.IntN(256))
		case 3:
			k = k[:long-r.IntN(6)]
		default:
			k = k[:r.IntN(long)]
		}
		e := entry{key: k, version: version + 1, kind: kindPut, value: []byte{1}}
		x.insert(e.key, e.value, e.version, e.kind)
		m.insert(e)
		probes = append(probes, k, k[:len(k)/2], append(bytes.Clone(k), 'k'))
	}
	if err := m.compare(x, probes); err != nil {
		t.Fatal(err)
	}
}

// TestTrieNodes: a node with each number of children, from 1 to 256, grown in an order
// of chance, as the root and below others.
func TestTrieNodes(t *testing.T) {
	x := newTestTrie(t, 16<<20)
	for _, prefix := range []string{"", "p", strings.Repeat("p", 7)} {
		x := trieIn(x.memory)
		m := trieModel{}
		var probes [][]byte
		for b := range 256 {
			probes = append(probes, append([]byte(prefix), byte(b)))
		}
		for i, b := range rand.New(rand.NewPCG(1, 1)).Perm(256) {
			e := entry{key: append([]byte(prefix), byte(b)), version: uint64(i + 1), kind: kindPut}
			x.insert(e.key, nil, e.version, e.kind)
			m.insert(e)
			if raceEnabled && i%8 != 0 && i < 250 { // of which each takes long
				continue
			}
			if err := m.compare(x, probes); err != nil {
				t.Fatalf("prefix %q, %d children: %v", prefix, i+1, err)
			}
		}
	}
}

// TestTrieBesideWriter: readers that walk, seek and look while keys are inserted meet all
// that was there when they began, in order, and no record that is half written. The
// numbers of keys tell them how far the writer had come.
func TestTrieBesideWriter(t *testing.T) {
	inserts := 60_000
	if raceEnabled {
		inserts = 12_000
	}
	x := newTestTrie(t, 64<<20)
	keyOf := func(i int) []byte {
		h := uint64(i) * 0x9e3779b97f4a7c15
		k := []byte(pieces[h>>32%uint64(len(pieces))])
		k = append(k, byte(h), byte(h>>8)) // nodes of all sizes
		return binary.BigEndian.AppendUint32(k, uint32(i))
	}
	valueOf := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i%40) }
	var done atomic.Int64 // keys up to here are in
	var met atomic.Int64
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 5))
			whole := func(rec ref) int {
				k := x.recordKey(rec)
				if len(k) < 6 {
					t.Errorf("a key of %d bytes", len(k))
					return 0
				}
				i := int(binary.BigEndian.Uint32(k[len(k)-4:]))
				if !bytes.Equal(k, keyOf(i)) || !bytes.Equal(x.recordValue(rec), valueOf(i)) {
					t.Errorf("key %d is %.40q", i, k)
				}
				return i
			}
			for int(done.Load()) < inserts && !t.Failed() {
				n := int(done.Load())
				if n == 0 {
					continue
				}
				i := r.IntN(n)
				if rec := x.find(keyOf(i)); rec == 0 || whole(rec) != i {
					t.Errorf("key %d of %d is not found", i, n)
				}
				c := trieCursor{t: x}
				switch r.IntN(3) {
				case 0:
					if c.seekGE(keyOf(i)); c.record == 0 || whole(c.record) != i {
						t.Errorf("a seek to key %d of %d", i, n)
					}
				case 1:
					if c.seekLT(append(keyOf(i), 0)); c.record == 0 || bytes.Compare(x.recordKey(c.record), keyOf(i)) < 0 {
						t.Errorf("a seek back to key %d of %d", i, n)
					}
				default:
					if n > 3000 && r.IntN(50) > 0 {
						continue
					}
					seen, move := 0, c.next
					var last []byte
					order := -1
					if r.IntN(2) == 0 {
						c.first()
					} else {
						c.last()
						move, order = c.prev, 1
					}
					for ; c.record != 0; move() {
						if k := x.recordKey(c.record); last != nil && bytes.Compare(last, k) != order {
							t.Errorf("%.40q behind %.40q", k, last)
						}
						last = x.recordKey(c.record)
						if whole(c.record) < n {
							seen++
						}
					}
					if seen != n {
						t.Errorf("a walk met %d of %d keys", seen, n)
					}
				}
				met.Add(1)
			}
		})
	}
	for i := range inserts {
		x.insert(keyOf(i), valueOf(i), uint64(i+1), kindPut)
		done.Store(int64(i + 1))
	}
	wg.Wait()
	if met.Load() == 0 {
		t.Fatal("no reader came to anything")
	}
}
