package engine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"pgregory.net/rapid"
)

// anyOp draws an operation, its bytes mostly short, and with both forms of
// family and lengths of one and two bytes.
var anyOp = rapid.Custom(func(t *rapid.T) engine.Op {
	op := engine.Op{
		Kind: rapid.SampledFrom([]engine.OpKind{engine.OpPut, engine.OpDelete, engine.OpDeleteRange}).Draw(t, "kind"),
		Family: rapid.OneOf(
			rapid.Just(engine.FamilyID(0)),
			rapid.Map(rapid.Uint32(), func(f uint32) engine.FamilyID { return engine.FamilyID(f) }),
		).Draw(t, "family"),
		Key: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key"),
	}
	if op.Kind != engine.OpDelete {
		op.Value = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "second")
	}
	return op
})

// add does op by the method that a user calls.
func add(b *engine.Batch, op engine.Op) {
	switch {
	case op.Kind == engine.OpPut && op.Family == 0:
		b.Put(op.Key, op.Value)
	case op.Kind == engine.OpPut:
		b.PutIn(op.Family, op.Key, op.Value)
	case op.Kind == engine.OpDelete && op.Family == 0:
		b.Delete(op.Key)
	case op.Kind == engine.OpDelete:
		b.DeleteIn(op.Family, op.Key)
	case op.Family == 0:
		b.DeleteRange(op.Key, op.Value)
	default:
		b.DeleteRangeIn(op.Family, op.Key, op.Value)
	}
}

func sameOp(a, b engine.Op) bool {
	return a.Kind == b.Kind && a.Family == b.Family && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

// TestBatchRoundTrip: what is added comes out, of the batch and of its encoding.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOf(anyOp).Draw(t, "ops")
		limits := engine.Limits{
			NoEmptyKey:    rapid.Bool().Draw(t, "no empty key"),
			MaxKeyBytes:   rapid.IntRange(0, 200).Draw(t, "largest key"),
			MaxValueBytes: rapid.IntRange(0, 200).Draw(t, "largest value"),
			MaxBatchBytes: rapid.IntRange(0, 2000).Draw(t, "largest batch"),
		}
		var b engine.Batch
		families := false
		for _, op := range ops {
			key, second := bytes.Clone(op.Key), bytes.Clone(op.Value)
			add(&b, engine.Op{Kind: op.Kind, Family: op.Family, Key: key, Value: second})
			for _, p := range [][]byte{key, second} { // the caller's again
				for i := range p {
					p[i]++
				}
			}
			families = families || op.Family != 0
		}
		decoded, err := engine.DecodeBatch(bytes.Clone(b.Encoded()))
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		for what, b := range map[string]*engine.Batch{"built": &b, "decoded": decoded} {
			if got := slices.Collect(b.Ops()); !slices.EqualFunc(got, ops, sameOp) {
				t.Fatalf("%s: operations are %v, want %v", what, got, ops)
			}
			if b.Count() != len(ops) || b.Size() != len(b.Encoded()) || b.UsesFamilies() != families || b.Sequence() != 0 {
				t.Fatalf("%s: count %d, size %d, uses families %v, sequence %d", what, b.Count(), b.Size(), b.UsesFamilies(), b.Sequence())
			}
			if got, want := kindOf(limits.Check(b)), kindOf(checkEach(limits, b)); got != want {
				t.Fatalf("%s: Check gives %v, one by one it is %v", what, got, want)
			}
		}
		if !bytes.Equal(decoded.Encoded(), b.Encoded()) {
			t.Fatalf("decoded, it is encoded as %x, before as %x", decoded.Encoded(), b.Encoded())
		}
	})
}

// checkEach is Limits.Check without its short cut.
func checkEach(l engine.Limits, b *engine.Batch) error {
	if b.Size() > l.MaxBatchBytes {
		return engine.ErrTooLarge
	}
	for op := range b.Ops() {
		isRange := op.Kind == engine.OpDeleteRange
		switch {
		case len(op.Key) > l.MaxKeyBytes, isRange && len(op.Value) > l.MaxKeyBytes:
			return engine.ErrTooLarge
		case !isRange && len(op.Key) == 0 && l.NoEmptyKey:
			return engine.ErrInvalid
		case !isRange && len(op.Value) > l.MaxValueBytes:
			return engine.ErrTooLarge
		}
	}
	return nil
}

func kindOf(err error) error {
	for _, kind := range []error{engine.ErrTooLarge, engine.ErrInvalid} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return err
}

// TestBatchEncoding pins the bytes, which stand in logs.
func TestBatchEncoding(t *testing.T) {
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	b.Delete([]byte("gone"))
	b.DeleteRange([]byte("a"), []byte("b"))
	b.PutIn(300, nil, nil)
	b.DeleteIn(1, bytes.Repeat([]byte("k"), 130))
	b.DeleteRangeIn(math.MaxUint32, nil, []byte("z"))
	want := "\x01\x03key\x05value" +
		"\x02\x04gone" +
		"\x03\x01a\x01b" +
		"\x81\xac\x02\x00\x00" +
		"\x82\x01\x82\x01" + string(bytes.Repeat([]byte("k"), 130)) +
		"\x83\xff\xff\xff\xff\x0f\x00\x01z"
	if string(b.Encoded()) != want {
		t.Fatalf("encoded as\n%q, want\n%q", b.Encoded(), want)
	}
}

// TestResetAfterDecode: a decoded batch does not write into what it was given.
func TestResetAfterDecode(t *testing.T) {
	data := append(make([]byte, 0, 64), "\x02\x01k"...)
	b, err := engine.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Delete([]byte("other"))
	if string(data) != "\x02\x01k" {
		t.Errorf("the source now holds %q", data)
	}
}

func TestBatchReset(t *testing.T) {
	var b engine.Batch
	b.PutIn(7, make([]byte, 100), make([]byte, 1000))
	b.SetSequence(9)
	memory := &b.Encoded()[0]
	b.Reset()
	if b.Count() != 0 || b.Size() != 0 || b.UsesFamilies() || b.Sequence() != 0 || len(slices.Collect(b.Ops())) != 0 {
		t.Fatalf("after Reset: %+v", &b)
	}
	small := engine.Limits{MaxKeyBytes: 1, MaxValueBytes: 1, MaxBatchBytes: 100}
	b.Put([]byte("k"), []byte("v"))
	if err := small.Check(&b); err != nil {
		t.Fatalf("sizes from before Reset still count: %v", err)
	}
	if &b.Encoded()[0] != memory {
		t.Fatal("Reset dropped the memory")
	}
}

func TestBatchOpsStopsWhenAsked(t *testing.T) {
	var b engine.Batch
	b.Put([]byte("a"), nil)
	b.Put([]byte("b"), nil)
	for op := range b.Ops() {
		if string(op.Key) != "a" {
			t.Fatalf("went on to %q", op.Key)
		}
		break
	}
}

// TestOpsCannotReachTheirNeighbours: appending to what an operation shows does
// not write into the one behind it.
func TestOpsCannotReachTheirNeighbours(t *testing.T) {
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	b.Delete([]byte("next"))
	before := bytes.Clone(b.Encoded())
	for op := range b.Ops() {
		_ = append(op.Key, "xxxx"...)
		_ = append(op.Value, "xxxx"...)
	}
	if !bytes.Equal(b.Encoded(), before) {
		t.Fatalf("the batch is now %q", b.Encoded())
	}
}

func TestOpKindString(t *testing.T) {
	for kind, want := range map[engine.OpKind]string{
		engine.OpPut: "put", engine.OpDelete: "delete", engine.OpDeleteRange: "delete-range", 0: "op(0)", 0x81: "op(129)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("kind %d is %q, want %q", uint8(kind), got, want)
		}
	}
}

// TestDecodeBatchCorrupt: each damage is told at the operation that it hits.
func TestDecodeBatchCorrupt(t *testing.T) {
	const good = "\x01\x01k\x01v" // 5 bytes
	for _, c := range []struct{ what, bad string }{
		{"kind 0", "\x00"},
		{"unknown kind", "\x04\x01k"},
		{"unknown kind with a family", "\x84\x01\x01k"},
		{"family bit alone", "\x80"},
		{"no family", "\x81"},
		{"cut family", "\x81\x80"},
		{"default family written out", "\x81\x00\x01k\x01v"},
		{"family in more bytes than it needs", "\x81\x81\x00\x01k\x01v"},
		{"key length in more bytes than it needs", "\x02\x81\x00k"},
		{"value length in more bytes than it needs", "\x01\x01k\x80\x00"},
		{"family of 33 bits", "\x81\x80\x80\x80\x80\x10\x01k\x01v"},
		{"no key length", "\x02"},
		{"cut key length", "\x02\x80"},
		{"key length of 65 bits", "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"},
		{"key length of all memory", "\x02" + string(binary.AppendUvarint(nil, math.MaxUint64))},
		{"cut key", "\x02\x02k"},
		{"no value", "\x01\x01k"},
		{"cut value", "\x01\x01k\x02v"},
		{"no upper bound", "\x03\x01k"},
	} {
		for n := range 3 {
			data := bytes.Repeat([]byte(good), n)
			b, err := engine.DecodeBatch(append(data, c.bad...))
			if b != nil || !errors.Is(err, engine.ErrCorrupt) {
				t.Errorf("%s: got %v, %v", c.what, b, err)
				continue
			}
			want := fmt.Sprintf("decode batch of %d bytes: corrupt at offset %d", 5*n+len(c.bad), 5*n)
			if err.Error() != want {
				t.Errorf("%s: error %q, want %q", c.what, err, want)
			}
		}
	}
}

// TestDecodeAgain: a batch that is decoded into has nothing of what it was.
func TestDecodeAgain(t *testing.T) {
	var large, small, into engine.Batch
	large.PutIn(3, nil, make([]byte, 1000))
	large.Delete([]byte("a long key"))
	small.Put([]byte("k"), []byte("v"))
	for _, want := range []*engine.Batch{&large, &small, {}} {
		if err := into.Decode(want.Encoded()); err != nil {
			t.Fatal(err)
		}
		fresh, err := engine.DecodeBatch(want.Encoded())
		if err != nil || !reflect.DeepEqual(&into, fresh) {
			t.Errorf("decoded again: %+v, %v; want %+v", &into, err, fresh)
		}
	}
	if err := into.Decode(large.Encoded()); err != nil {
		t.Fatal(err)
	}
	if err := into.Decode([]byte("no batch")); !errors.Is(err, engine.ErrCorrupt) || into.Count() != 0 || into.Size() != 0 {
		t.Errorf("%v, and %d operations", err, into.Count())
	}
	into.Put([]byte("k"), []byte("v"))
	if !bytes.Equal(into.Encoded(), small.Encoded()) {
		t.Errorf("what is put into it then: %x", into.Encoded())
	}
}

// FuzzDecodeBatch: no input panics; what decodes is encoded as it was, and says
// the same when it is built anew; what does not is told at the first operation
// that is bad.
func FuzzDecodeBatch(f *testing.F) {
	var b engine.Batch
	f.Add(b.Encoded())
	b.Put([]byte("key"), []byte("value"))
	b.DeleteIn(1<<20, []byte("key"))
	b.DeleteRange(nil, bytes.Repeat([]byte("z"), 200))
	f.Add(bytes.Clone(b.Encoded()))
	f.Add(b.Encoded()[:b.Size()-1])
	f.Add([]byte("\x01\x80\x00\x00")) // a length in more bytes than it needs
	f.Fuzz(func(t *testing.T, data []byte) {
		decoded, err := engine.DecodeBatch(data)
		if err != nil {
			var size, offset int
			if _, scanErr := fmt.Sscanf(err.Error(), "decode batch of %d bytes: corrupt at offset %d", &size, &offset); scanErr != nil ||
				!errors.Is(err, engine.ErrCorrupt) || decoded != nil || size != len(data) || offset >= len(data) {
				t.Fatalf("%d bytes: got %v, %v (%v)", len(data), decoded, err, scanErr)
			}
			if _, err := engine.DecodeBatch(data[:offset]); err != nil {
				t.Fatalf("offset %d is not that of the first bad operation: %v", offset, err)
			}
			return
		}
		if !bytes.Equal(decoded.Encoded(), data) {
			t.Fatalf("encoded as %x, want %x", decoded.Encoded(), data)
		}
		var again engine.Batch
		for op := range decoded.Ops() {
			add(&again, op)
		}
		if !slices.EqualFunc(slices.Collect(again.Ops()), slices.Collect(decoded.Ops()), sameOp) || again.Count() != decoded.Count() {
			t.Fatalf("built anew it is %x, want %x", again.Encoded(), data)
		}
		// Lengths may have come in more bytes than they need.
		if again.Size() > len(data) || again.Size() == len(data) && !bytes.Equal(again.Encoded(), data) {
			t.Fatalf("built anew it is encoded as %x, want %x", again.Encoded(), data)
		}
	})
}
