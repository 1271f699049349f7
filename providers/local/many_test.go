package local_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
)

// TestGetManyIsManyGets: over an engine that reads one key at a time, in any order, in
// stretches that are dense, sparse and empty, with what has expired in between.
func TestGetManyIsManyGets(t *testing.T) {
	now := time.Unix(1e9, 0)
	s, err := over(t, bare{memory.Open()}, local.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	random := rand.New(rand.NewPCG(3, 3))
	key := func(n int) []byte {
		if n%5 == 0 {
			return fmt.Appendf(nil, "\x00%06d", n) // a key that the engine has under another
		}
		return fmt.Appendf(nil, "%06d", n)
	}
	const space = 4000
	for n := range space {
		dense := n < 1000 || n > 3000
		if dense && random.IntN(10) > 0 || !dense && random.IntN(200) == 0 {
			o := driver.PutOptions{}
			if random.IntN(8) == 0 {
				o.TTL = time.Second
			}
			if _, err := s.Put(t.Context(), key(n), fmt.Append(nil, n), o); err != nil {
				t.Fatal(err)
			}
		}
	}
	now = now.Add(time.Minute)
	m := s.(driver.BatchGetter)
	found := 0
	for round := range 300 {
		from, width, count := random.IntN(space), 1+random.IntN(space), 1+random.IntN(100)
		var keys [][]byte
		for range count {
			keys = append(keys, key(from+random.IntN(width)))
		}
		if round%4 != 0 {
			slices.SortFunc(keys, bytes.Compare)
			keys = slices.CompactFunc(keys, bytes.Equal)
		}
		entries, err := m.GetMany(t.Context(), keys)
		if err != nil || len(entries) != len(keys) {
			t.Fatalf("%d entries of %d, %v", len(entries), len(keys), err)
		}
		for i, e := range entries {
			want, err := s.Get(t.Context(), keys[i])
			if err != nil {
				want = driver.Entry{Key: keys[i]}
			} else {
				found++
			}
			if !bytes.Equal(e.Key, want.Key) || !bytes.Equal(e.Value, want.Value) || e.Revision != want.Revision {
				t.Fatalf("round %d: %q is %q at %s, and a get says %q at %s", round, keys[i], e.Value, e.Revision, want.Value, want.Revision)
			}
		}
		// What was noted is what a commit is compared with.
		if err := s.(driver.Committer).Commit(t.Context(), &driver.Commit{Reads: reads(entries)}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if found < 1000 {
		t.Errorf("only %d of the keys were there", found)
	}
}

func reads(entries []driver.Entry) (all []driver.Read) {
	for _, e := range entries {
		all = append(all, driver.Read{Key: e.Key, Revision: e.Revision})
	}
	return all
}
