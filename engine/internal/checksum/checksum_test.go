package checksum

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestVectors pins the polynomial: RFC 3720 (iSCSI), appendix B.4.
func TestVectors(t *testing.T) {
	ascending := make([]byte, 32)
	for i := range ascending {
		ascending[i] = byte(i)
	}
	for _, c := range []struct {
		data []byte
		want uint32
	}{
		{nil, 0},
		{make([]byte, 32), 0x8a9136aa},
		{bytes.Repeat([]byte{0xff}, 32), 0x62a8ab43},
		{ascending, 0x46dd794e},
		{[]byte("123456789"), 0xe3069283},
	} {
		if got := Of(c.data); got != c.want {
			t.Errorf("checksum of %x is %#x, want %#x", c.data, got, c.want)
		}
	}
}

// TestParts: a checksum of parts is that of the whole, however it is cut.
func TestParts(t *testing.T) {
	whole := []byte("the whole of a record, its header and its payload")
	want := Of(whole)
	for i := range whole {
		if got := Of(whole[:i], nil, whole[i:]); got != want {
			t.Errorf("cut at %d: %#x, want %#x", i, got, want)
		}
		if got := Update(Of(whole[:i]), whole[i:]); got != want {
			t.Errorf("continued at %d: %#x, want %#x", i, got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	data := []byte("record")
	stored := Of(data)
	if !Matches(stored, Of(data)) {
		t.Error("the checksum of the same bytes does not match")
	}
	for i := range data {
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			if Matches(stored, Of(damaged)) {
				t.Errorf("a flip of bit %d of byte %d is not found", bit, i)
			}
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	header, payload := make([]byte, 16), make([]byte, 150)
	var matches bool
	if n := testing.AllocsPerRun(100, func() { matches = Matches(1, Of(header, payload)) }); n != 0 || matches {
		t.Errorf("%v allocations, matches: %v", n, matches)
	}
}
