package flash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// model is a tree, and a map that says what is in it.
type model struct {
	t    *tree
	want map[string]location
}

// check holds a root against what should be in it, both ways and by key.
func check(t *testing.T, r *root, want map[string]location) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	if n := r.count.Load(); n != int64(len(keys)) {
		t.Fatalf("the root counts %d keys of %d", n, len(keys))
	}
	c := cursor{root: r}
	i := 0
	for ok := c.first(); ok; ok = c.next() {
		if i == len(keys) || string(c.appendKey(nil)) != keys[i] || c.location() != want[keys[i]] {
			t.Fatalf("entry %d is %q at %v", i, c.appendKey(nil), c.location())
		}
		i++
	}
	if i != len(keys) {
		t.Fatalf("%d of %d keys", i, len(keys))
	}
	for ok := c.last(); ok; ok = c.prev() {
		i--
		if string(c.appendKey(nil)) != keys[i] {
			t.Fatalf("backwards, entry %d is %q", i, c.appendKey(nil))
		}
	}
	if i != 0 {
		t.Fatalf("backwards, %d keys are missing", i)
	}
	for _, key := range keys {
		if at, ok := r.get([]byte(key)); !ok || at != want[key] {
			t.Fatalf("%q is at %v, %v", key, at, ok)
		}
	}
	if err := eachLeaf(r.top, r.height, func(l *leaf) error {
		if !l.sound() {
			t.Fatal("a leaf is not sound")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// batch puts several keys, and sometimes deletes some, in one change, of which nothing may be
// in sight before its end.
func (m *model) batch(t *testing.T, r *rand.Rand, key func(*rand.Rand) []byte) {
	t.Helper()
	seen := m.t.root.Load()
	before := map[string]location{}
	deletes := r.IntN(4) == 0
	now := m.t.change(true)
	var keys [][]byte
	hide := func() {
		for _, k := range keys {
			was, there := before[string(k)]
			for _, in := range []*root{seen, m.t.root.Load()} {
				if at, ok := in.get(k); ok != there || at != was {
					t.Fatalf("%q is %v, %v before its batch is in sight; it was %v, %v", k, at, ok, was, there)
				}
			}
		}
	}
	var ahead [][]byte
	var leaves [together]*leaf
	for i := range 1 + r.IntN(30) {
		if i%together == 0 {
			ahead = ahead[:0]
			for range together {
				ahead = append(ahead, key(r))
			}
			now.leavesOf(ahead, &leaves)
		}
		k := ahead[i%together]
		keys = append(keys, k)
		was, there := m.want[string(k)]
		if there && !slices.ContainsFunc(keys[:i], func(o []byte) bool { return bytes.Equal(o, k) }) {
			before[string(k)] = was
		}
		var old location
		var had bool
		if deletes && r.IntN(3) == 0 {
			now, old, had = m.t.delete(now, k)
			delete(m.want, string(k))
		} else {
			at := location{uint32(i), r.Uint32(), r.Uint32(), r.Uint32()}
			now, old, had = m.t.put(now, leaves[i%together], k, at)
			m.want[string(k)] = at
		}
		if had != there || had && old != was {
			t.Fatalf("%q had %v, %v; it was %v, %v", k, old, had, was, there)
		}
		hide()
	}
	m.t.publish(now)
	for _, k := range keys {
		want, there := m.want[string(k)]
		if at, ok := m.t.root.Load().get(k); ok != there || at != want {
			t.Fatalf("%q is %v, %v, and should be %v, %v", k, at, ok, want, there)
		}
	}
}

// TestBatchesComeIntoSightAtOnce: who has seen one key of a batch sees the others of it, while
// leaves are copied and split, and states are held.
func TestBatchesComeIntoSightAtOnce(t *testing.T) {
	const pairs, readers = 2000, 2
	const replaced = 1 << 31 // in the offset of what the same batch puts anew
	tr := newTree()
	name := func(side byte, i int) []byte { return fmt.Appendf(nil, "%d/%c", i*2654435761%pairs, side) }
	var done atomic.Bool
	var stale, torn atomic.Int64
	var seen [readers]int
	var running sync.WaitGroup
	for n := range readers {
		r := rand.New(rand.NewPCG(uint64(n), 7))
		running.Go(func() {
			for !done.Load() {
				i := r.IntN(pairs)
				first, some := tr.root.Load().get(name('a', i))
				second, _ := tr.root.Load().get(name('b', i))
				if some {
					seen[n]++
					if second.offset < first.offset {
						stale.Add(1)
					}
					if first.offset >= replaced || second.offset >= replaced {
						torn.Add(1)
					}
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(3, 4))
	batches := 30_000
	if raceEnabled {
		batches = 4000
	}
	for v := 1; v <= batches; v++ {
		root := tr.change(true)
		for range 1 + r.IntN(3) {
			i := r.IntN(pairs)
			for _, offset := range []uint32{replaced + uint32(v), uint32(v)} {
				for _, side := range []byte{'a', 'b'} {
					root, _, _ = tr.put(root, nil, name(side, i), location{offset: offset})
				}
			}
		}
		tr.publish(root)
		if v%500 == 0 {
			tr.fix()
		}
	}
	done.Store(true)
	running.Wait()
	if n := stale.Load(); n > 0 {
		t.Fatalf("%d times one key of a batch was in sight, and the other was not", n)
	}
	if n := torn.Load(); n > 0 {
		t.Fatalf("%d times a value was in sight that the same batch has replaced", n)
	}
	for n := range seen {
		if seen[n] == 0 {
			t.Fatalf("reader %d has seen nothing", n)
		}
	}
}

// TestAscendingKeysFillLeaves: keys that ascend leave full leaves behind, with no room for what
// never comes, whether they come by themselves or in batches of a few or of many.
func TestAscendingKeysFillLeaves(t *testing.T) {
	for _, each := range []int{1, 2, 5, 7, 100} {
		tr := newTree()
		const keys = 7000
		for i := 0; i < keys; i += each {
			r := tr.change(each > 1)
			for k := i; k < i+each; k++ {
				r, _, _ = tr.put(r, nil, fmt.Appendf(nil, "%016d", k), location{offset: uint32(k)})
			}
			tr.publish(r)
		}
		r, leaves, bytes := tr.root.Load(), 0, 0
		if err := eachLeaf(r.top, r.height, func(l *leaf) error {
			leaves++
			bytes += len(l.bytes()) + int(l.room)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if average := bytes / leaves; average < leafBytes*9/10 || average > leafBytes*11/10 {
			t.Errorf("in batches of %d: %d leaves of %d bytes on average; full ones have %d", each, leaves, average, leafBytes)
		}
		if n := r.count.Load(); n < keys {
			t.Errorf("in batches of %d: %d of %d keys", each, n, keys)
		}
	}
}

// TestGetIsOfOneMoment: a get that began before a batch came into sight shows nothing of it,
// of which it may have seen a part.
func TestGetIsOfOneMoment(t *testing.T) {
	tr := newTree()
	key := []byte("key")
	put := func(r *root, v uint32) {
		if now, _, _ := tr.put(r, nil, key, location{offset: v}); now != r && tr.root.Load() == r {
			tr.publish(now)
		}
	}
	put(tr.change(false), 1)
	for i := range uint32(3) { // in the run, then in the tail
		r := tr.root.Load()
		before := r.published.Load()
		batch := tr.change(true)
		if batch != r || !tr.hidden {
			t.Fatal("the batch is not in the leaf in sight")
		}
		put(batch, 10*i+10)
		put(batch, 10*i+11)
		tr.publish(batch)
		want := uint32(1)
		if i > 0 {
			want = 10*i + 1
		}
		if at, ok := r.getAt(key, before); !ok || at.offset != want {
			t.Errorf("batch %d: a get that began before it shows %d, %v, not %d", i, at.offset, ok, want)
		}
		if at, ok := r.get(key); !ok || at.offset != 10*i+11 {
			t.Errorf("batch %d: a get behind it shows %d, %v", i, at.offset, ok)
		}
	}
}

// TestTreeAgainstMap: whatever is done, in whatever keys, the newest root shows a map of
// the same, and roots that were fixed go on showing what they did.
func TestTreeAgainstMap(t *testing.T) {
	for name, key := range map[string]func(r *rand.Rand) []byte{
		"short":    func(r *rand.Rand) []byte { return fmt.Appendf(nil, "%d", r.IntN(3000)) },
		"prefixed": func(r *rand.Rand) []byte { return fmt.Appendf(nil, "a long prefix/%08d", r.IntN(5000)) },
		"binary": func(r *rand.Rand) []byte {
			b := make([]byte, r.IntN(12))
			for i := range b {
				b[i] = byte(r.IntN(4) * 85)
			}
			return b
		},
		"huge": func(r *rand.Rand) []byte { return bytes.Repeat([]byte{byte('a' + r.IntN(2))}, 1<<16-1-r.IntN(8)) },
		"huge and short": func(r *rand.Rand) []byte {
			if r.IntN(3) == 0 {
				return []byte{byte('a' + r.IntN(4))}
			}
			return append(bytes.Repeat([]byte("a"), 60_000), fmt.Sprint(r.IntN(20))...)
		},
		"long": func(r *rand.Rand) []byte {
			return append(bytes.Repeat([]byte{byte('a' + r.IntN(2))}, r.IntN(3000)), byte(r.IntN(200)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			m := model{newTree(), map[string]location{}}
			type fixed struct {
				r    *root
				want map[string]location
			}
			var held []fixed
			rounds := 20_000
			if strings.HasPrefix(name, "huge") {
				rounds = 3000
			}
			for i := range rounds {
				k := key(r)
				switch op := r.IntN(1000); {
				case op < 30:
					m.batch(t, r, key)
				case op < 600:
					at := location{uint32(i), r.Uint32(), r.Uint32(), r.Uint32()}
					root, old, had := m.t.put(m.t.change(op < 100), nil, k, at)
					m.t.publish(root)
					if was, is := m.want[string(k)]; had != is || had && old != was {
						t.Fatalf("put %q over %v, %v; it was %v, %v", k, old, had, was, is)
					}
					m.want[string(k)] = at
				case op < 990:
					root, old, had := m.t.delete(m.t.change(op > 900), k)
					m.t.publish(root)
					if was, is := m.want[string(k)]; had != is || had && old != was {
						t.Fatalf("delete %q: %v, %v; it was %v, %v", k, old, had, was, is)
					}
					delete(m.want, string(k))
				case op < 995:
					to := key(r)
					gone := 0
					root := m.t.deleteRange(m.t.change(true), k, to, func(key []byte, at location) {
						if m.want[string(key)] != at {
							t.Fatalf("%q was deleted, at %v", key, at)
						}
						delete(m.want, string(key))
						gone++
					})
					m.t.publish(root)
					for w := range m.want {
						if w >= string(k) && w < string(to) {
							t.Fatalf("%q is in %q to %q, and was not deleted", w, k, to)
						}
					}
				default:
					held = append(held, fixed{m.t.fix(), maps.Clone(m.want)})
				}
				if i%2000 == 0 {
					check(t, m.t.root.Load(), m.want)
				}
			}
			check(t, m.t.root.Load(), m.want)
			if len(held) == 0 || len(m.want) == 0 {
				t.Fatal("nothing was held")
			}
			for _, f := range held[max(0, len(held)-20):] {
				check(t, f.r, f.want)
			}
			for range 500 {
				k := key(r)
				c := cursor{root: m.t.root.Load()}
				want, some := "", false
				for w := range m.want {
					if w >= string(k) && (!some || w < want) {
						want, some = w, true
					}
				}
				if ok := c.seekGE(k); ok != some || ok && string(c.appendKey(nil)) != want {
					t.Fatalf("seek %q: %v, want %q", k, ok, want)
				}
			}
		})
	}
}

// BenchmarkIndexPut puts records with keys of 16 bytes in random order, each by itself and in
// batches of 100, and tells what the index takes for each beside its key.
func BenchmarkIndexPut(b *testing.B) {
	const records = 1_000_000
	key := func(i int) []byte {
		k := make([]byte, 17) // of the default family
		binary.BigEndian.PutUint64(k[1:], uint64(i)*0x9e3779b97f4a7c15)
		binary.BigEndian.PutUint64(k[9:], uint64(i))
		return k
	}
	keys := make([][]byte, 0, together)
	for _, each := range []int{1, 100} {
		b.Run(fmt.Sprintf("each=%d", each), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				tr := newTree()
				b.StartTimer()
				var leaves [together]*leaf
				for i := 0; i < records; i += each {
					r := tr.change(each > 1)
					for from := 0; from < each; from += together {
						keys = keys[:0]
						for k := from; k < min(from+together, each); k++ {
							keys = append(keys, key(i+k))
						}
						if each > 1 {
							r.leavesOf(keys, &leaves)
						}
						for k := range keys {
							r, _, _ = tr.put(r, leaves[k], keys[k], location{offset: uint32(i), size: 430})
						}
					}
					tr.publish(r)
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/records-16, "B/key")
				runtime.KeepAlive(tr)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/records, "ns/put")
		})
	}
}
