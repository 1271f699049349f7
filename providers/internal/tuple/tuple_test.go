package tuple_test

import (
	"bytes"
	"testing"

	"github.com/orbit-persistence/orbit/providers/internal/tuple"
	"pgregory.net/rapid"
)

func TestOrderAndRoundTrip(t *testing.T) {
	s := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte{0, 1, 0xff})), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		a1, a2, b1, b2 := s.Draw(t, "a1"), s.Draw(t, "a2"), s.Draw(t, "b1"), s.Draw(t, "b2")
		a, b := tuple.Append(tuple.Append(nil, a1), a2), tuple.Append(tuple.Append(nil, b1), b2)
		want := bytes.Compare(a1, b1)
		if want == 0 {
			want = bytes.Compare(a2, b2)
		}
		if bytes.Compare(a, b) != want {
			t.Fatalf("%x %x are in another order than %x %x", a1, a2, b1, b2)
		}
		one, rest, err := tuple.Next(a)
		if err != nil || !bytes.Equal(one, a1) {
			t.Fatal(one, err)
		}
		two, rest, err := tuple.Next(rest)
		if err != nil || !bytes.Equal(two, a2) || len(rest) != 0 {
			t.Fatal(two, rest, err)
		}
	})
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("a\x00\x01"))
	f.Add([]byte("\x00\xff\x00"))
	f.Add([]byte("\x00\x02\x00\x01"))
	f.Fuzz(func(t *testing.T, key []byte) {
		s, rest, err := tuple.Next(key)
		if err == nil && !bytes.Equal(append(tuple.Append(nil, s), rest...), key) {
			t.Fatalf("%x", key)
		}
	})
}
