package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

func TestLimitsCheck(t *testing.T) {
	limits := engine.Limits{MaxKeyBytes: 8, MaxValueBytes: 10, MaxBatchBytes: 64}
	noEmpty := limits
	noEmpty.NoEmptyKey = true
	bytes := func(n int) []byte { return []byte(strings.Repeat("x", n)) }
	for _, c := range []struct {
		what   string
		limits engine.Limits
		build  func(*engine.Batch)
		kind   error
		text   string
	}{
		{"nothing", limits, func(*engine.Batch) {}, nil, ""},
		{"largest key", limits, func(b *engine.Batch) { b.Put(bytes(8), nil) }, nil, ""},
		{"one more", limits, func(b *engine.Batch) { b.Put(bytes(9), nil) }, engine.ErrTooLarge,
			`put "xxxxxxxxx": too large: key of 9 bytes; the limit is 8`},
		{"largest key deleted", limits, func(b *engine.Batch) { b.Delete(bytes(8)) }, nil, ""},
		{"one more, deleted", limits, func(b *engine.Batch) { b.Delete(bytes(9)) }, engine.ErrTooLarge,
			`delete "xxxxxxxxx": too large: key of 9 bytes; the limit is 8`},
		{"largest bounds", limits, func(b *engine.Batch) { b.DeleteRange(bytes(8), bytes(8)) }, nil, ""},
		{"lower bound of one more", limits, func(b *engine.Batch) { b.DeleteRange(bytes(9), bytes(1)) }, engine.ErrTooLarge,
			`delete-range "xxxxxxxxx": too large: key of 9 bytes; the limit is 8`},
		{"upper bound of one more", limits, func(b *engine.Batch) { b.DeleteRange(bytes(1), bytes(9)) }, engine.ErrTooLarge,
			`delete-range "xxxxxxxxx": too large: upper bound of 9 bytes; the limit is 8`},
		{"largest value", limits, func(b *engine.Batch) { b.Put(bytes(8), bytes(10)) }, nil, ""},
		{"value of one more", limits, func(b *engine.Batch) { b.Put([]byte("k"), bytes(11)) }, engine.ErrTooLarge,
			`put "k": too large: value of 11 bytes; the limit is 10`},
		{"a family's too", limits, func(b *engine.Batch) { b.PutIn(3, []byte("k"), bytes(11)) }, engine.ErrTooLarge,
			`put "k": too large: value of 11 bytes; the limit is 10`},
		{"the last of several", limits, func(b *engine.Batch) { b.Put([]byte("a"), nil); b.Delete(bytes(9)) }, engine.ErrTooLarge,
			`delete "xxxxxxxxx": too large: key of 9 bytes; the limit is 8`},
		{"largest batch", limits, func(b *engine.Batch) {
			for range 16 {
				b.Put([]byte("k"), nil) // 4 bytes
			}
		}, nil, ""},
		{"batch of one byte more", limits, func(b *engine.Batch) {
			for range 15 {
				b.Put([]byte("k"), nil)
			}
			b.Put([]byte("k"), []byte("v"))
		}, engine.ErrTooLarge, "too large: batch of 65 bytes; the limit is 64"},
		{"empty key", limits, func(b *engine.Batch) { b.Put(nil, nil); b.Delete(nil) }, nil, ""},
		{"empty key, put where there is none", noEmpty, func(b *engine.Batch) { b.Put(nil, nil) }, engine.ErrInvalid,
			`put "": invalid argument: this engine has no empty key`},
		{"empty key, deleted where there is none", noEmpty, func(b *engine.Batch) { b.Delete(nil) }, engine.ErrInvalid,
			`delete "": invalid argument: this engine has no empty key`},
		{"empty bound where there is no empty key", noEmpty, func(b *engine.Batch) { b.DeleteRange(nil, nil) }, nil, ""},
	} {
		var b engine.Batch
		c.build(&b)
		err := c.limits.Check(&b)
		if !errors.Is(err, c.kind) || err != nil && err.Error() != c.text {
			t.Errorf("%s: got %v, want %q", c.what, err, c.text)
		}
		decoded, err := engine.DecodeBatch(b.Encoded())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.limits.Check(decoded); !errors.Is(err, c.kind) || err != nil && err.Error() != c.text {
			t.Errorf("%s, decoded: got %v, want %q", c.what, err, c.text)
		}
	}
}

func TestDefaultLimitsHoldOneLargestEntry(t *testing.T) {
	l := engine.DefaultLimits()
	var b engine.Batch
	b.Put(make([]byte, l.MaxKeyBytes), nil)
	if entry := b.Size() + l.MaxValueBytes; entry+8 > l.MaxBatchBytes || l.NoEmptyKey {
		t.Fatalf("%+v have no room for an entry of %d bytes", l, entry)
	}
}

func TestLimitsCheckAllocatesNothing(t *testing.T) {
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	l := engine.DefaultLimits()
	if n := testing.AllocsPerRun(100, func() {
		if err := l.Check(&b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
