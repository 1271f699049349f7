package protocol

import (
	"bytes"
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

func FuzzDecodeRedis(f *testing.F) {
	f.Add(encodeRedis(0, nil))
	f.Add(encodeRedis(1<<62, []byte("x")))
	f.Add([]byte{1, 0x80, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, value []byte) {
		expires, data, err := decodeRedis(value)
		if err != nil && !errors.Is(err, engine.ErrCorrupt) || err == nil && !bytes.Equal(encodeRedis(expires, data), value) {
			t.Fatalf("%x is %d %x, %v", value, expires, data, err)
		}
	})
}

func FuzzDecodeExpiry(f *testing.F) {
	f.Add(expiryKey(1_700_000_000_000_000_000, "a:b"))
	f.Add("00000000000000000001:")
	f.Add("+0000000000000000001:k")
	f.Fuzz(func(t *testing.T, entry string) {
		expires, key, err := decodeExpiry(entry)
		if err != nil && !errors.Is(err, engine.ErrCorrupt) || err == nil && expiryKey(expires, key) != entry {
			t.Fatalf("%q is %d %q, %v", entry, expires, key, err)
		}
	})
}

func FuzzDecodeEmbedding(f *testing.F) {
	f.Add(encodeEmbedding([]float32{1, -2.5}))
	f.Add([]byte{1})
	f.Add([]byte{1, 0x7f, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		vector, err := decodeEmbedding(data)
		if err != nil && !errors.Is(err, engine.ErrCorrupt) || err == nil && !bytes.Equal(encodeEmbedding(vector), data) {
			t.Fatalf("%x is %v, %v", data, vector, err)
		}
	})
}

// FuzzKeys: names go back and forth, and no two lists of names are one key.
func FuzzKeys(f *testing.F) {
	f.Add("a", "b:c", "a:b", "c")
	f.Add("%3A", ":", ":", "%3A")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		one, err := keyOf("k", a, b)
		if (err != nil) != (a == "" || b == "") {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if two, err := keyOf("k", c, d); err == nil && (one == two) != (a == c && b == d) {
			t.Fatalf("%q %q and %q %q: %q, %q", a, b, c, d, one, two)
		}
		if name, rest, err := firstName(one[2:]); err != nil || name != a || rest != b {
			t.Fatalf("%q is %q, %q, %v", one, name, rest, err)
		}
		if name, rest, err := firstName(a); err == nil {
			if again, _ := prefixOf("k", name); again+rest != "k:"+a {
				t.Fatalf("%q is read as %q, %q", a, name, rest)
			}
		} else if !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
