package lease

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/node"
	"pgregory.net/rapid"
)

func FuzzDecodeRecord(f *testing.F) {
	f.Add(appendRecord(nil, &record{token: 7, ttl: 5, expires: time.Unix(1, 2), node: node.ID{Namespace: "n", Key: "k"}}))
	f.Add(appendRecord(nil, &record{released: true, token: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRecord(data)
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := decodeRecord(appendRecord(nil, &r)); err != nil || again != r {
			t.Fatalf("%+v becomes %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeReference(f *testing.F) {
	for _, k := range []Key{NoKey(), StringKey("a"), Int32Key(-1), Int64Key(1 << 40)} {
		f.Add(appendReference(nil, Reference{"T", k}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeReference(data)
		if err != nil {
			if !errors.Is(err, driver.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(appendReference(nil, r), data) {
			t.Fatalf("%x is %v", data, r)
		}
	})
}

// TestReferencesKeepOrder: numbers of one type are in order, and no two keys are alike.
func TestReferencesKeepOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		x, y := appendReference(nil, Reference{"T", Int64Key(a)}), appendReference(nil, Reference{"T", Int64Key(b)})
		if (a < b) != (bytes.Compare(x, y) < 0) {
			t.Fatal(a, b)
		}
	})
}
