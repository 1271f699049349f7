package flash

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

// A payload of the log is a batch as package engine encodes it, or begins with a zero,
// which no batch does, and a kind.
const (
	recordOther = 0
	// recordPacked is a batch in which a byte stands before each value, that counts in its
	// length: how it is packed.
	recordPacked = 1
	// recordMoves has values that cleaning wrote again.
	recordMoves = 2
	// recordFamily and recordNoFamily tell of families.
	recordFamily   = 3
	recordNoFamily = 4
	// recordPart is a part of a bulk load, as a packed batch of puts; recordLoad brings
	// the parts behind a record into sight.
	recordPart = 5
	recordLoad = 6
)

// operation is one change of a batch in the log. Its bytes alias the payload.
type operation struct {
	kind   engine.OpKind
	family engine.FamilyID
	key    []byte
	// value is the stored value of a put, the upper bound of a delete-range; at is where
	// it lies in the payload.
	value []byte
	codec codec
	at    int
}

func (o *operation) location(segment uint32, payloadAt int64) location {
	return location{
		segment: segment, offset: uint32(payloadAt) + uint32(o.at),
		size: uint32(len(o.value)) | uint32(o.codec)<<sizeBits, check: checksum.Of(o.value),
	}
}

func badRecord(at int, what string) error {
	return fmt.Errorf("%w: %s at offset %d of it; a newer version of this program may have written it", engine.ErrCorrupt, what, at)
}

func uvarintAt(p []byte, at int) (uint64, int, bool) {
	if at < len(p) && p[at] < 0x80 {
		return uint64(p[at]), at + 1, true
	}
	if at > len(p) {
		return 0, at, false
	}
	n, w := binary.Uvarint(p[at:])
	return n, at + max(w, 0), w > 0
}

func bytesAt(p []byte, at int) ([]byte, int, bool) {
	n, at, ok := uvarintAt(p, at)
	if !ok || n > uint64(len(p)-at) {
		return nil, at, false
	}
	end := at + int(n)
	return p[at:end:end], end, true
}

// nextOperation reads the operation at an offset of a batch, packed or not.
func nextOperation(p []byte, at int, packed bool) (o operation, next int, err error) {
	start := at
	const familyBit = 0x80
	o.kind = engine.OpKind(p[at] &^ familyBit)
	withFamily := p[at]&familyBit != 0
	at++
	ok := o.kind >= engine.OpPut && o.kind <= engine.OpDeleteRange
	if ok && withFamily {
		var f uint64
		f, at, ok = uvarintAt(p, at)
		ok = ok && f != 0 && f <= 1<<32-1
		o.family = engine.FamilyID(f)
	}
	if ok {
		o.key, at, ok = bytesAt(p, at)
	}
	if ok && o.kind != engine.OpDelete {
		o.value, at, ok = bytesAt(p, at)
		o.at = at - len(o.value)
		if ok && packed && o.kind == engine.OpPut {
			if ok = len(o.value) > 0 && codec(o.value[0]) < numCodecs; ok {
				o.codec, o.value = codec(o.value[0]), o.value[1:]
				o.at++
			}
		}
	}
	if !ok {
		return o, at, badRecord(start, "no operation")
	}
	return o, at, nil
}

// encoder has the memory in which batches are packed.
type encoder struct {
	payload, value []byte
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// mostKeptBytes is the memory of an encoder that is kept for another batch.
const mostKeptBytes = 1 << 20

// giveBack ends the use of a payload.
func (z *encoder) giveBack() {
	if cap(z.payload)+cap(z.value) <= mostKeptBytes {
		encoders.Put(z)
	}
}

// encode returns the payload of a batch: its own encoding, or, in the memory of z, one with
// packed values.
func (z *encoder) encode(b *engine.Batch, c Compression, tries *tries) (payload []byte, packed bool, err error) {
	if c == NoCompression {
		return b.Encoded(), false, nil
	}
	worth := false
	for op := range b.Ops() {
		if worth = op.Kind == engine.OpPut && len(op.Value) >= leastPacked; worth {
			break
		}
	}
	if !worth || !tries.worth() {
		return b.Encoded(), false, nil
	}
	z.payload = append(z.payload[:0], recordOther, recordPacked)
	vain := 0 // values of this batch in a row that did not pack, or were not tried
	for op := range b.Ops() {
		try := c
		if vain >= mostFailed && vain%triesApart != 0 {
			try = NoCompression
		}
		var how codec
		if z.payload, z.value, how, err = appendOperation(z.payload, z.value, op, try); err != nil {
			return nil, false, err
		}
		switch {
		case op.Kind != engine.OpPut || len(op.Value) < leastPacked:
		case how != codecNone:
			vain = 0
			tries.note(how)
		default:
			vain++
			if try == c {
				tries.note(how)
			}
		}
	}
	return z.payload, true, nil
}

// appendOperation appends an operation of a packed batch, and returns how its value was
// packed. memory is for the packed value.
func appendOperation(out, memory []byte, op engine.Op, c Compression) (_, _ []byte, how codec, err error) {
	kind := byte(op.Kind)
	if op.Family != 0 {
		out = binary.AppendUvarint(append(out, kind|0x80), uint64(op.Family))
	} else {
		out = append(out, kind)
	}
	out = appendBytes(out, op.Key)
	switch op.Kind {
	case engine.OpPut:
		var packed []byte
		if packed, memory, how, err = pack(memory, op.Value, c); err != nil {
			return out, memory, how, err
		}
		out = binary.AppendUvarint(out, uint64(len(packed))+1)
		out = append(append(out, byte(how)), packed...)
	case engine.OpDeleteRange:
		out = appendBytes(out, op.Value)
	}
	return out, memory, how, nil
}

func appendBytes(out, b []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}

// move is a value that cleaning wrote again.
type move struct {
	key      []byte   // with the number of its family
	from     location // its place counts
	stored   []byte
	codec    codec
	storedAt int // where in the payload
}

func appendMove(out []byte, key []byte, from location, stored []byte) []byte {
	out = appendBytes(out, key)
	out = binary.LittleEndian.AppendUint32(out, from.segment)
	out = binary.LittleEndian.AppendUint32(out, from.offset)
	out = append(out, byte(from.codec()))
	return appendBytes(out, stored)
}

func nextMove(p []byte, at int) (m move, next int, err error) {
	start := at
	key, at, ok := bytesAt(p, at)
	if !ok || len(p)-at < 9 || codec(p[at+8]) >= numCodecs {
		return m, at, badRecord(start, "no move")
	}
	m.key = key
	m.from = location{segment: binary.LittleEndian.Uint32(p[at:]), offset: binary.LittleEndian.Uint32(p[at+4:])}
	m.codec = codec(p[at+8])
	if m.stored, at, ok = bytesAt(p, at+9); !ok {
		return m, at, badRecord(start, "no move")
	}
	m.storedAt = at - len(m.stored)
	return m, at, nil
}
