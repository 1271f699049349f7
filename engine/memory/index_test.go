package memory

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestIndexAgainstMap gives many keys the same hash, and the others hashes that
// meet at the end of a small table, so that probes cross it and each other.
func TestIndexAgainstMap(t *testing.T) {
	homes := []uint64{0, 1, 14, 15, 31, 15 | 1<<4, 1<<63 | 15, 1<<63 | 63}
	hash := func(key []byte) uint64 { return homes[int(key[0])%len(homes)] }
	anyKey := rapid.Custom(func(t *rapid.T) []byte {
		return fmt.Appendf(nil, "%c%d", rapid.IntRange(0, len(homes)-1).Draw(t, "home"), rapid.IntRange(0, 19).Draw(t, "n"))
	})
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		model := map[string]*record{}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				key := anyKey.Draw(t, "key")
				r := newRecord(key, nil)
				if old := x.set(hash(key), r); old != model[string(key)] {
					t.Fatalf("set %q: the record before is %v, want %v", key, old, model[string(key)])
				}
				model[string(key)] = r
			},
			"remove": func(t *rapid.T) {
				key := anyKey.Draw(t, "key")
				if old := x.remove(hash(key), key); old != model[string(key)] {
					t.Fatalf("remove %q: the record is %v, want %v", key, old, model[string(key)])
				}
				delete(model, string(key))
			},
			"find": func(t *rapid.T) {
				key := anyKey.Draw(t, "key")
				if r := x.find(hash(key), key); r != model[string(key)] {
					t.Fatalf("find %q: %v, want %v", key, r, model[string(key)])
				}
			},
			"": func(t *rapid.T) {
				for key, r := range model {
					if got := x.find(hash([]byte(key)), []byte(key)); got != r {
						t.Fatalf("%q has the record %v, want %v", key, got, r)
					}
				}
				checkIndex(t, x, len(model))
			},
		})
	})
}

// checkIndex fails unless x holds n entries, each in the run of full slots from
// its home, counted, and with room left in every table.
func checkIndex(t interface{ Fatalf(string, ...any) }, x *index, n int) {
	total := 0
	for s := range x.shards {
		tab := x.shards[s].Load()
		count := 0
		for i := range tab.slots {
			r := tab.slots[i].rec.Load()
			if r == nil {
				continue
			}
			count++
			h := tab.slots[i].hash.Load()
			if x.shard(h) != uint64(s) || x.find(h, r.key()) != r {
				t.Fatalf("shard %d, slot %d: %q cannot be found", s, i, r.key())
			}
		}
		if count != x.counts[s] || count*3 > len(tab.slots)*2 {
			t.Fatalf("shard %d: %d entries in %d slots, counted as %d", s, count, len(tab.slots), x.counts[s])
		}
		total += count
	}
	if total != n {
		t.Fatalf("%d entries, want %d", total, n)
	}
}

// TestIndexKeepsProbesShort: what is removed leaves nothing behind that a probe
// has to pass.
func TestIndexKeepsProbesShort(t *testing.T) {
	x := newIndex()
	for i := range 100_000 {
		key := fmt.Appendf(nil, "%d", i)
		h := x.hash(key)
		x.set(h, newRecord(key, nil))
		if i >= 10 {
			old := fmt.Appendf(nil, "%d", i-10)
			x.remove(x.hash(old), old)
		}
	}
	checkIndex(t, x, 10)
	if n := x.bytes(); n != len(x.shards)*firstSlots*16 {
		t.Fatalf("the tables of 10 entries have grown to %d bytes", n)
	}
}

func TestRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xff}), 0, 12), 2, 2).Draw(t, "keys")
		value := rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		a, b := newRecord(keys[0], value), newTombstone(keys[1])
		if !bytes.Equal(a.key(), keys[0]) || !bytes.Equal(a.value(), value) || a.value() == nil || !bytes.Equal(b.key(), keys[1]) {
			t.Fatalf("records of %q and %q are %q: %q and %q", keys[0], keys[1], a.key(), a.value(), b.key())
		}
		if got, want := less(a.item(), b.item()), bytes.Compare(keys[0], keys[1]) < 0; got != want {
			t.Fatalf("%q before %q: %v", keys[0], keys[1], got)
		}
	})
}
