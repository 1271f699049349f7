package objects

import (
	"bytes"
	"cmp"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/providers/driver"
	"pgregory.net/rapid"
)

// TestNames: they go back to their keys, are in the order of the keys, begin with the
// names of prefixes, and can be paths of files all at once.
func TestNames(t *testing.T) {
	n := newNaming("a/prefix")
	limit := n.maxKey(1024)
	key := rapid.Custom(func(t *rapid.T) []byte {
		// Of few letters and around the ends of parts, where something can go wrong.
		k := bytes.Repeat([]byte{rapid.SampledFrom([]byte("a/\xff")).Draw(t, "letter")}, rapid.SampledFrom([]int{0, 1, 79, 80, 81, 159, 160, 161, 239, 240, 241, limit - 2}).Draw(t, "length"))
		return append(k, rapid.SliceOfN(rapid.SampledFrom([]byte("a\x00\xff")), 0, 2).Draw(t, "end")...)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := key.Draw(t, "a"), key.Draw(t, "b")
		na, nb := n.of(a), n.of(b)
		if back, ok, err := n.key(na); len(a) > 0 && (!ok || err != nil || !bytes.Equal(back, a)) {
			t.Fatalf("%q is named %q, which is %q, %t, %v", a, na, back, ok, err)
		}
		if bytes.Compare(a, b) != cmp.Compare(na, nb) {
			t.Fatalf("%q and %q are in another order than %q and %q", na, nb, a, b)
		}
		if bytes.HasPrefix(b, a) != strings.HasPrefix(nb, na) {
			t.Fatalf("%q begins with %q: names do not say so: %q, %q", b, a, nb, na)
		}
		if strings.HasPrefix(nb, na+"/") {
			t.Fatalf("%q is an object and a directory", na)
		}
		if len(a) <= limit && len(na) > 1024 {
			t.Fatalf("the name of %d bytes has %d", len(a), len(na))
		}
		for _, part := range strings.Split(na, "/") {
			if len(part) > 255 {
				t.Fatalf("%q has a part of %d bytes", na, len(part))
			}
		}
		if len(a) > 0 && path.Clean(na) != na {
			t.Fatalf("%q is not a path as it stands", na)
		}
	})
	if limit < 300 || newNaming(strings.Repeat("p", 1000)).maxKey(1024) > 8 {
		t.Errorf("keys of %d bytes", limit)
	}
}

func FuzzKey(f *testing.F) {
	long := strings.Repeat("a", partBytes)
	for _, s := range []string{"p/a", "p/", "p/PROBE", "q", "p/" + long, "p/" + long + "-/b", "p/" + long + "-/", "p/" + long + "/b", "p/" + long + "b", "p/-00", "p/z"} {
		f.Add(s)
	}
	n := newNaming("p")
	f.Fuzz(func(t *testing.T, name string) {
		key, ok, err := n.key(name)
		switch {
		case err != nil:
			if !errors.Is(err, driver.ErrCorrupt) || ok {
				t.Fatal(ok, err)
			}
		case ok && n.of(key) != name:
			t.Fatalf("%q is the name of %q, whose name is %q", name, key, n.of(key))
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeValue([]byte("v")))
	f.Add(encodeValue(nil))
	f.Add(newTombstone())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		value, alive, err := decode(data)
		switch {
		case err != nil && !errors.Is(err, driver.ErrCorrupt):
			t.Fatal(err)
		case err == nil && alive != (len(data) != tombstoneBytes), alive && len(value) != len(data)-headBytes:
			t.Fatalf("%x is %x, %t", data, value, alive)
		}
	})
}
