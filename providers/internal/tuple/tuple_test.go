package tuple_test

import (
	"bytes"
	"cmp"
	"math"
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

func TestNumbersKeepTheirOrder(t *testing.T) {
	whole := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64}))
	real := rapid.OneOf(rapid.Float64().Filter(func(f float64) bool { return !math.IsNaN(f) }),
		rapid.SampledFrom([]float64{math.Inf(-1), -math.MaxFloat64, -math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0, math.SmallestNonzeroFloat64, math.Inf(1)}))
	nanos := rapid.Uint32Range(0, 999_999_999)
	rapid.Check(t, func(t *rapid.T) {
		i, j := whole.Draw(t, "i"), whole.Draw(t, "j")
		if bytes.Compare(tuple.AppendInt(nil, i), tuple.AppendInt(nil, j)) != cmp.Compare(i, j) {
			t.Fatalf("%d and %d", i, j)
		}
		if back, rest, err := tuple.Int(tuple.AppendInt(nil, i)); back != i || len(rest) != 0 || err != nil {
			t.Fatalf("%d is %d, %v", i, back, err)
		}
		f, g := real.Draw(t, "f"), real.Draw(t, "g")
		if bytes.Compare(tuple.AppendFloat(nil, f), tuple.AppendFloat(nil, g)) != cmp.Compare(f, g) {
			t.Fatalf("%g and %g", f, g)
		}
		if back, rest, err := tuple.Float(tuple.AppendFloat(nil, f)); back != f || len(rest) != 0 || err != nil {
			t.Fatalf("%g is %g, %v", f, back, err)
		}
		m, n := nanos.Draw(t, "m"), nanos.Draw(t, "n")
		want := cmp.Or(cmp.Compare(i, j), cmp.Compare(m, n))
		if bytes.Compare(tuple.AppendTime(nil, i, m), tuple.AppendTime(nil, j, n)) != want {
			t.Fatalf("%d.%d and %d.%d", i, m, j, n)
		}
		if s, back, rest, err := tuple.Time(tuple.AppendTime(nil, i, m)); s != i || back != m || len(rest) != 0 || err != nil {
			t.Fatalf("%d.%d is %d.%d, %v", i, m, s, back, err)
		}
		b := rapid.Bool().Draw(t, "b")
		if back, rest, err := tuple.Bool(tuple.AppendBool(nil, b)); back != b || len(rest) != 0 || err != nil {
			t.Fatalf("%t is %t, %v", b, back, err)
		}
	})
	if bytes.Compare(tuple.AppendBool(nil, false), tuple.AppendBool(nil, true)) >= 0 {
		t.Error("true comes first")
	}
}

// FuzzElements: what is read is what would be written.
func FuzzElements(f *testing.F) {
	f.Add([]byte{1})
	f.Add([]byte("\x80\x00\x00\x00\x00\x00\x00\x00\x3b\x9a\xca\x00"))
	f.Add([]byte("\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Add(bytes.Repeat([]byte{0xff}, 12))
	f.Fuzz(func(t *testing.T, key []byte) {
		same := func(what string, again, rest []byte, err error) {
			if err == nil && !bytes.Equal(append(again, rest...), key) {
				t.Errorf("%x as %s", key, what)
			}
		}
		b, rest, err := tuple.Bool(key)
		same("a truth value", tuple.AppendBool(nil, b), rest, err)
		i, rest, err := tuple.Int(key)
		same("a whole number", tuple.AppendInt(nil, i), rest, err)
		f, rest, err := tuple.Float(key)
		same("a number", tuple.AppendFloat(nil, f), rest, err)
		s, n, rest, err := tuple.Time(key)
		same("a time", tuple.AppendTime(nil, s, n), rest, err)
	})
}
