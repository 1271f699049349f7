package engine

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Batch is a list of changes that commit together, in order. Its zero value is
// empty and ready. It is kept in its encoded form, so that a log writes it
// without another copy:
//
//	batch  = { op }
//	op     = kind [ family ] key [ second ]
//	kind   = byte: 1 put, 2 delete, 3 delete-range; bit 7 set: family follows
//	family = uvarint FamilyID, never 0 (without bit 7 it is the default, 0)
//	key    = uvarint length, bytes
//	second = the same; put: the value, delete-range: the upper bound; not after delete
//
// A batch holds copies: arguments are the caller's when a method returns.
type Batch struct {
	data     []byte
	count    int
	seq      uint64
	maxKey   int
	maxValue int
	emptyKey bool // some put or delete has the empty key
	families bool
	borrowed bool // data is the caller's of DecodeBatch
}

// OpKind is the kind of a change.
type OpKind uint8

// The kinds, with the byte that encodes them.
const (
	OpPut         OpKind = 1
	OpDelete      OpKind = 2
	OpDeleteRange OpKind = 3

	familyBit = 0x80
)

// String returns "put", "delete" or "delete-range".
func (k OpKind) String() string {
	switch k {
	case OpPut:
		return "put"
	case OpDelete:
		return "delete"
	case OpDeleteRange:
		return "delete-range"
	}
	return fmt.Sprintf("op(%d)", uint8(k))
}

// Op is one change of a batch. Its bytes alias the batch.
type Op struct {
	Kind   OpKind
	Family FamilyID
	Key    []byte
	// Value is the value of a put, the upper bound of a delete-range.
	Value []byte
}

// Put sets key to value. An empty value is a value.
func (b *Batch) Put(key, value []byte) { b.add(OpPut, 0, key, value) }

// Delete removes key; a key that is not there stays so.
func (b *Batch) Delete(key []byte) { b.add(OpDelete, 0, key, nil) }

// DeleteRange removes every key in [lower, upper). Nothing, if lower >= upper.
func (b *Batch) DeleteRange(lower, upper []byte) { b.add(OpDeleteRange, 0, lower, upper) }

// PutIn is Put in a family.
func (b *Batch) PutIn(f FamilyID, key, value []byte) { b.add(OpPut, f, key, value) }

// DeleteIn is Delete in a family.
func (b *Batch) DeleteIn(f FamilyID, key []byte) { b.add(OpDelete, f, key, nil) }

// DeleteRangeIn is DeleteRange in a family.
func (b *Batch) DeleteRangeIn(f FamilyID, lower, upper []byte) {
	b.add(OpDeleteRange, f, lower, upper)
}

func (b *Batch) add(kind OpKind, f FamilyID, key, second []byte) {
	if f == 0 {
		b.data = append(b.data, byte(kind))
	} else {
		b.data = append(b.data, byte(kind)|familyBit)
		b.data = binary.AppendUvarint(b.data, uint64(f))
		b.families = true
	}
	b.data = binary.AppendUvarint(b.data, uint64(len(key)))
	b.data = append(b.data, key...)
	if kind != OpDelete {
		b.data = binary.AppendUvarint(b.data, uint64(len(second)))
		b.data = append(b.data, second...)
	}
	b.note(kind, key, second)
}

// note keeps the extremes by which Limits.Check settles most batches at once.
func (b *Batch) note(kind OpKind, key, second []byte) {
	if kind == OpDeleteRange {
		b.maxKey = max(b.maxKey, len(second))
	} else {
		b.emptyKey = b.emptyKey || len(key) == 0
		b.maxValue = max(b.maxValue, len(second))
	}
	b.maxKey = max(b.maxKey, len(key))
	b.count++
}

// Count returns the number of operations.
func (b *Batch) Count() int { return b.count }

// Size returns the encoded size in bytes.
func (b *Batch) Size() int { return len(b.data) }

// UsesFamilies reports whether an operation names a family other than the
// default.
func (b *Batch) UsesFamilies() bool { return b.families }

// Reset empties the batch and keeps its memory for reuse, unless that is what
// DecodeBatch was given.
func (b *Batch) Reset() {
	if b.borrowed {
		b.data = nil
	}
	*b = Batch{data: b.data[:0]}
}

// Encoded returns the encoded operations. They alias the batch, and are not to
// be changed.
func (b *Batch) Encoded() []byte { return b.data }

// Sequence returns the place in the commit order that a Sequenced engine gave
// this batch when it was last applied; 0 before that and elsewhere.
func (b *Batch) Sequence() uint64 { return b.seq }

// SetSequence records the batch's place in the commit order. Engines call it.
func (b *Batch) SetSequence(seq uint64) { b.seq = seq }

// Ops yields the operations in order. The bytes are valid while the batch is
// not changed.
func (b *Batch) Ops() iter.Seq[Op] {
	return func(yield func(Op) bool) {
		for rest := b.data; len(rest) > 0; {
			op, n, ok := decodeOp(rest)
			if !ok {
				// add and DecodeBatch let nothing else in.
				panic("engine: batch changed through an alias of its bytes")
			}
			if !yield(op) {
				return
			}
			rest = rest[n:]
		}
	}
}

// DecodeBatch reads what Encoded wrote. The batch aliases data, which must not
// change while it is in use; adding to the batch moves it to memory of its own.
// Anything but what Encoded writes, byte for byte, is ErrCorrupt with the offset
// of the first bad operation.
func DecodeBatch(data []byte) (*Batch, error) {
	b := new(Batch)
	if err := b.Decode(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Decode is DecodeBatch into a batch that is there, whatever it was; after an error it is
// empty. A log is replayed with one batch so.
func (b *Batch) Decode(data []byte) error {
	*b = Batch{data: data[:len(data):len(data)], borrowed: true}
	for at := 0; at < len(data); {
		op, n, ok := decodeOp(data[at:])
		if !ok {
			*b = Batch{}
			return fmt.Errorf("decode batch of %d bytes: %w at offset %d", len(data), ErrCorrupt, at)
		}
		b.families = b.families || op.Family != 0
		b.note(op.Kind, op.Key, op.Value)
		at += n
	}
	return nil
}

// decodeOp reads one operation from the head of p and returns its length.
func decodeOp(p []byte) (op Op, n int, ok bool) {
	if len(p) == 0 {
		return op, 0, false
	}
	op.Kind = OpKind(p[0] &^ familyBit)
	if op.Kind < OpPut || op.Kind > OpDeleteRange {
		return op, 0, false
	}
	n = 1
	if p[0]&familyBit != 0 {
		f, w := uvarint(p[n:])
		if w <= 0 || f == 0 || f > uint64(^FamilyID(0)) {
			return op, 0, false
		}
		op.Family = FamilyID(f)
		n += w
	}
	if op.Key, n, ok = decodeBytes(p, n); !ok {
		return op, 0, false
	}
	if op.Kind != OpDelete {
		if op.Value, n, ok = decodeBytes(p, n); !ok {
			return op, 0, false
		}
	}
	return op, n, true
}

func decodeBytes(p []byte, at int) ([]byte, int, bool) {
	size, w := uvarint(p[at:])
	if w <= 0 || size > uint64(len(p)-at-w) {
		return nil, 0, false
	}
	at += w
	end := at + int(size)
	return p[at:end:end], end, true
}

// uvarint is binary.Uvarint for the shortest encoding of each number alone, so
// that a batch has one encoding; others have width 0.
func uvarint(p []byte) (uint64, int) {
	if len(p) > 0 && p[0] < 0x80 {
		return uint64(p[0]), 1
	}
	n, w := binary.Uvarint(p)
	if w > 1 && p[w-1] == 0 {
		return 0, 0
	}
	return n, w
}
