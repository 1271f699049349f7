package flash

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// modelValue is what a key has, and where that lies.
type modelValue struct {
	place uint64
	text  string
}

// TestCacheAgainstMap puts, changes, moves and reads keys at random, in a cache that is far
// too small for them: what is taken by key is the newest value, what is taken by place is
// the value of there.
func TestCacheAgainstMap(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c, err := newCache(cacheShards * 4096)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 1))
			const keys = 6000
			newest := map[int]modelValue{}
			older := map[int]modelValue{} // one that the key had before
			late := map[int]struct {      // who went to the index, and what is there
				k cached
				v modelValue
			}{}
			next := uint64(1)
			var got []byte
			var hits, places, lates int
			key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
			change := func(i int) modelValue {
				older[i] = newest[i]
				v := modelValue{next, fmt.Sprintf("value %d of %d%*s", next, i, r.IntN(300), "")}
				next++
				newest[i] = v
				return v
			}
			for range 150_000 {
				i := int(float64(keys) * r.Float64() * r.Float64() * r.Float64())
				k := cachedAs(key(i))
				switch now, has := newest[i]; r.IntN(16) {
				case 0: // a put of one key, which caches it
					s := c.hold(k.hash)
					v := change(i)
					s.let(k.hash)
					c.current(&k)
					c.put(&k, v.place, []byte(v.text))
				case 1: // a delete
					s := c.hold(k.hash)
					older[i] = now
					delete(newest, i)
					s.let(k.hash)
				case 2: // a batch
					var g changing
					var changed []int
					for range 1 + r.IntN(5) {
						j := r.IntN(keys)
						g.add(hashOf(key(j)))
						changed = append(changed, j)
					}
					c.change(g, func() {
						for _, j := range changed {
							change(j)
						}
					})
				case 3: // the cleaning of what has the value
					if has {
						was := now.place
						now.place, next = next, next+1
						newest[i] = now
						c.moved(k.hash, was, now.place)
					}
				case 4: // a reader of an old state caches what it sees
					if v := older[i]; v.place != 0 {
						c.put(&k, v.place, []byte(v.text))
					}
				case 5: // who went to the index before comes back
					if l, ok := late[i]; ok {
						lates++
						if got, ok = c.get(&l.k, l.v.place, got[:0]); !ok {
							c.put(&l.k, l.v.place, []byte(l.v.text))
						}
						delete(late, i)
					}
				case 6, 7: // who knows the place
					for _, v := range []modelValue{now, older[i]} {
						var ok bool
						if got, ok = c.get(&k, v.place, got[:0]); ok && v.place != 0 {
							places++
							if string(got) != v.text {
								t.Fatalf("key %d at %d: %q; want %q", i, v.place, got, v.text)
							}
						}
					}
				default:
					var ok bool
					if got, ok = c.newest(&k, got[:0]); ok {
						hits++
						if string(got) != now.text || !has {
							t.Fatalf("key %d: %q; want %q, %v", i, got, now.text, has)
						}
					} else if has && r.IntN(2) == 0 {
						late[i] = struct {
							k cached
							v modelValue
						}{k, now}
					} else if has {
						if got, ok = c.get(&k, now.place, got[:0]); !ok {
							c.put(&k, now.place, []byte(now.text))
						}
					}
				}
			}
			t.Logf("%d hits by key, %d by place, %d late readers", hits, places, lates)
			if hits < 10_000 || places < 1000 || lates < 1000 {
				t.Errorf("%d hits by key, %d by place, %d late readers: little was tried", hits, places, lates)
			}
			if err := c.release(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCacheChangesInOneStep: while a change comes into sight, nobody takes any of its keys
// from the cache, and afterwards all are forgotten; so it is with more keys than are
// forgotten one by one.
func TestCacheChangesInOneStep(t *testing.T) {
	for _, n := range []int{1, 10, mostForgotten, mostForgotten + 1} {
		c, err := newCache(64 << 20)
		if err != nil {
			t.Fatal(err)
		}
		key := func(i int) []byte { return fmt.Append(nil, i) }
		has := func(i int) bool {
			k := cachedAs(key(i))
			_, ok := c.newest(&k, nil)
			return ok
		}
		var g changing
		for i := range n {
			k := cachedAs(key(i))
			c.current(&k)
			c.put(&k, uint64(i+1), []byte("value"))
			if !has(i) {
				t.Fatalf("key %d of %d is not cached", i, n)
			}
			g.add(k.hash)
		}
		other := cachedAs([]byte("other"))
		c.current(&other)
		c.put(&other, 1<<40, []byte("value"))
		c.change(g, func() {
			for i := range n {
				if s, _ := c.find(hashOf(key(i))); s.mu.TryLock() {
					s.mu.Unlock()
					t.Fatalf("%d keys: the shard of key %d is free", n, i)
				}
			}
		})
		for i := range n {
			if has(i) {
				t.Fatalf("%d keys: key %d is the newest", n, i)
			}
			if s, _ := c.find(hashOf(key(i))); s.mu.TryLock() {
				s.mu.Unlock()
			} else {
				t.Fatalf("%d keys: the shard of key %d is still held", n, i)
			}
		}
		if got := c.shards[0].changes; n > mostForgotten && got == 0 {
			t.Errorf("%d keys: a shard has seen no change", n)
		}
		if _, ok := c.newest(&other, nil); ok != (n <= mostForgotten) {
			t.Errorf("%d keys: another key is cached: %v", n, ok)
		}
		if err := c.release(); err != nil {
			t.Fatal(err)
		}
	}
}
