package flash

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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
			for i := range 20_000 {
				k := key(r)
				switch op := r.IntN(1000); {
				case op < 600:
					at := location{uint32(i), r.Uint32(), r.Uint32(), r.Uint32()}
					root, old, had := m.t.put(m.t.change(op < 100), k, at)
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
