package lsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sort"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// A block holds entries in the order of keys, and of one key the newest first. All
// versions of a key are in one block. Its layout is in doc.go.
//
// A get compares the one-byte fingerprints of all entries with that of its key, eight at
// a time, and looks only at records whose fingerprint is the same.

const (
	blockHead = 24
	// blockTarget is the largest block that has more than one key.
	blockTarget = 4096

	recordVersioned = 0x80
	recordKindMask  = 0x03
)

// blockBuilder makes blocks.
type blockBuilder struct {
	// prefix is the part that all keys have in common so far: a part of first.
	prefix  int
	entries []built
	// keys holds the keys, and values the values, one after the other.
	keys, values []byte
	lowest       uint64 // of the versions
	fixed        int    // what the entries take beside keys
	several      bool   // versions of some key
	out          []byte
}

type built struct {
	keyEnd, valueEnd int
	version          uint64
	kind             entryKind
	fingerprint      byte
}

func (b *blockBuilder) reset() {
	b.entries, b.keys, b.values = b.entries[:0], b.keys[:0], b.values[:0]
	b.prefix, b.fixed, b.lowest, b.several = 0, 0, maxVersion, false
}

func (b *blockBuilder) first() []byte { return b.keys[:b.entries[0].keyEnd] }

// fits reports whether an entry can be added within the target.
func (b *blockBuilder) fits(e *entry) bool {
	n := len(b.entries)
	if n == 0 {
		return true
	}
	prefix := b.prefix
	if n == 1 {
		prefix = b.entries[0].keyEnd
	}
	if first := b.first(); len(e.key) < prefix || !bytes.Equal(first[:prefix], e.key[:prefix]) {
		prefix = commonPrefix(first[:prefix], e.key)
	}
	size := blockHead + 8 + b.fixed + fixedBytes(e) + len(b.keys) + len(e.key) - prefix*n
	return size <= blockTarget
}

// sizeWith bounds the size of the block with one more entry, however wide slots are.
func (b *blockBuilder) sizeWith(e *entry) int64 {
	n := len(b.entries) + 1
	return int64(blockHead) + 8 + int64(b.fixed) + int64(fixedBytes(e)) + 2*int64(n) + int64(len(b.keys)) + int64(len(e.key))
}

// fixedBytes bounds what an entry takes beside its key: fingerprint, slot, head of the
// record, and the value.
func fixedBytes(e *entry) int {
	n := 1 + 2 + 1 + uvarintBytes(uint64(len(e.key))) + uvarintBytes(uint64(len(e.value))) + len(e.value)
	if e.version != 0 {
		n += 8
	}
	return n
}

func uvarintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// add adds an entry behind those that are there; same says that it is of the same key as
// the one before.
func (b *blockBuilder) add(e *entry, hash uint64, same bool) {
	b.several = b.several || same
	switch n := len(b.entries); {
	case n == 0:
		b.prefix = len(e.key)
	default:
		if first := b.first(); len(e.key) < b.prefix || !bytes.Equal(first[:b.prefix], e.key[:b.prefix]) {
			b.prefix = commonPrefix(first[:b.prefix], e.key)
		}
	}
	b.keys = append(b.keys, e.key...)
	b.values = append(b.values, e.value...)
	b.lowest = min(b.lowest, e.version)
	b.fixed += fixedBytes(e)
	b.entries = append(b.entries, built{len(b.keys), len(b.values), e.version, e.kind, byte(hash >> 56)})
}

// finish returns the block, valid until the next one is finished.
func (b *blockBuilder) finish() []byte {
	n := len(b.entries)
	wide := blockHead+8+b.fixed+len(b.keys) > 1<<16-1
	slot := 2
	if wide {
		slot = 4
	}
	slotsAt := slotsOf(n)
	recordsAt := slotsAt + slot*n + b.prefix
	out := b.out
	if cap(out) < recordsAt {
		out = make([]byte, 0, max(2*recordsAt, 2*blockTarget))
	}
	out = out[:recordsAt]
	clear(out[:slotsAt])
	le := binary.LittleEndian
	count := uint32(n)
	if wide {
		count |= wideBit
	}
	le.PutUint32(out, count)
	le.PutUint32(out[4:], uint32(b.prefix))
	le.PutUint64(out[8:], b.lowest)
	copy(out[slotsAt+slot*n:], b.keys[:b.prefix])
	keyAt, valueAt := 0, 0
	for i := range b.entries {
		e := &b.entries[i]
		out[blockHead+i] = e.fingerprint
		if wide {
			le.PutUint32(out[slotsAt+4*i:], uint32(len(out)))
		} else {
			le.PutUint16(out[slotsAt+2*i:], uint16(len(out)))
		}
		head := byte(e.kind)
		if e.version != b.lowest {
			head |= recordVersioned
		}
		key := b.keys[keyAt+b.prefix : e.keyEnd]
		value := b.values[valueAt:e.valueEnd]
		out = append(out, head)
		if len(key) < 0x80 && len(value) < 0x80 {
			out = append(out, byte(len(key)), byte(len(value)))
		} else {
			out = binary.AppendUvarint(out, uint64(len(key)))
			out = binary.AppendUvarint(out, uint64(len(value)))
		}
		if head&recordVersioned != 0 {
			out = binary.AppendUvarint(out, e.version-b.lowest)
		}
		out = append(out, key...)
		out = append(out, value...)
		keyAt, valueAt = e.keyEnd, e.valueEnd
	}
	le.PutUint32(out[16:], uint32(len(out)))
	if b.several {
		out[20] = 1
	}
	b.out = out
	return out
}

const wideBit = 1 << 31

// slotsOf is where the slots of a block of n entries are, behind the fingerprints.
func slotsOf(n int) int { return blockHead + (n+7)&^7 }

// block is a block in memory, checked by checkBlock when it was read.
type block []byte

func (b block) count() int     { return int(binary.LittleEndian.Uint32(b) &^ wideBit) }
func (b block) wide() bool     { return b[3]&0x80 != 0 }
func (b block) prefixLen() int { return int(binary.LittleEndian.Uint32(b[4:])) }
func (b block) lowest() uint64 { return binary.LittleEndian.Uint64(b[8:]) }
func (b block) size() int      { return int(binary.LittleEndian.Uint32(b[16:])) }

// several reports whether some key has more than one version in the block.
func (b block) several() bool { return b[20] != 0 }

func (b block) slot(n, i int) int {
	at := slotsOf(n)
	if b.wide() {
		return int(binary.LittleEndian.Uint32(b[at+4*i:]))
	}
	return int(binary.LittleEndian.Uint16(b[at+2*i:]))
}

func (b block) prefix(n int) []byte {
	at := slotsOf(n) + 2*n
	if b.wide() {
		at += 2 * n
	}
	return b[at : at+b.prefixLen()]
}

// record reads the record at a place. The key lacks the prefix.
func (b block) record(at int) (suffix, value []byte, version uint64, kind entryKind) {
	head, k, v := b[at], int(b[at+1]), int(b[at+2])
	at += 3
	if k|v >= 0x80 {
		u, w := binary.Uvarint(b[at-2:])
		k, at = int(u), at-2+w
		u, w = binary.Uvarint(b[at:])
		v, at = int(u), at+w
	}
	version = binary.LittleEndian.Uint64(b[8:])
	if head&recordVersioned != 0 {
		u, w := binary.Uvarint(b[at:])
		version += u
		at += w
	}
	return b[at : at+k], b[at+k : at+k+v], version, entryKind(head & recordKindMask)
}

// get returns the newest version of a key that a reader at a version sees. add is what
// the versions of the block are lower than what they mean.
func (b block) get(key []byte, hash, seen, add uint64) (value []byte, version uint64, kind entryKind, ok bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := b.count()
	want := uint64(byte(hash>>56)) * ones
	for i := 0; i < n; i += 8 {
		x := binary.LittleEndian.Uint64(b[blockHead+i:]) ^ want
		// Above the lowest match there may be bytes that only seem to be one; what they
		// lead to is compared.
		for x = (x - ones) &^ x & tops; x != 0; x &= x - 1 {
			j := i + bits.TrailingZeros64(x)/8
			if j >= n {
				break
			}
			at := b.slot(n, j)
			prefetch.Lines(unsafe.Pointer(&b[at]), 3)
			suffix, value, version, kind := b.record(at)
			if p := len(key) - len(suffix); p != b.prefixLen() || string(suffix) != string(key[p:]) || string(b.prefix(n)) != string(key[:p]) {
				continue
			}
			if version += add; version <= seen {
				return value, version, kind, true
			}
		}
	}
	return nil, 0, 0, false
}

// prefetchRecord asks for the record that a get of a key will look at first.
func (b block) prefetchRecord(hash uint64) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := b.count()
	want := uint64(byte(hash>>56)) * ones
	for i := 0; i < n; i += 8 {
		x := binary.LittleEndian.Uint64(b[blockHead+i:]) ^ want
		if x = (x - ones) &^ x & tops; x != 0 {
			if j := i + bits.TrailingZeros64(x)/8; j < n {
				prefetch.Lines(unsafe.Pointer(&b[b.slot(n, j)]), 3)
			}
			return
		}
	}
}

// seek returns the first entry whose key is >= key; count if there is none.
func (b block) seek(key []byte) int {
	n := b.count()
	prefix := b.prefix(n)
	if len(key) < len(prefix) || string(key[:len(prefix)]) != string(prefix) {
		if bytes.Compare(key, prefix) <= 0 {
			return 0
		}
		return n
	}
	key = key[len(prefix):]
	return sort.Search(n, func(i int) bool {
		suffix, _, _, _ := b.record(b.slot(n, i))
		return bytes.Compare(suffix, key) >= 0
	})
}

// checkBlock returns ErrCorrupt for what is no block: afterwards none of its methods
// reads outside of it.
func checkBlock(p []byte) error {
	bad := func(what string, args ...any) error {
		return fmt.Errorf("%w: block of %d bytes: %s", engine.ErrCorrupt, len(p), fmt.Sprintf(what, args...))
	}
	if len(p) < blockHead {
		return bad("no head")
	}
	b := block(p)
	n, width := b.count(), 2
	if b.wide() {
		width = 4
	}
	if n == 0 || b.size() != len(p) || b.lowest() > maxVersion {
		return bad("%d entries in %d bytes", n, b.size())
	}
	records := slotsOf(n) + width*n + b.prefixLen()
	if n > len(p) || b.prefixLen() > len(p) || records > len(p) {
		return bad("%d entries, a prefix of %d bytes", n, b.prefixLen())
	}
	at := records
	for i := range n {
		if b.slot(n, i) != at {
			return bad("entry %d is at %d, and should be at %d", i, b.slot(n, i), at)
		}
		end, ok := b.checkRecord(at)
		if !ok {
			return bad("entry %d at %d", i, at)
		}
		at = end
	}
	if at != len(p) {
		return bad("the entries end at %d", at)
	}
	return nil
}

// checkRecord returns where the record at a place ends.
func (b block) checkRecord(at int) (end int, ok bool) {
	if at+3 > len(b) {
		return 0, false
	}
	head := b[at]
	if head&^(recordVersioned|recordKindMask) != 0 || head&recordKindMask == 0 {
		return 0, false
	}
	at++
	var lengths [2]uint64
	for i := range lengths {
		u, w := binary.Uvarint(b[at:])
		if w <= 0 || u > uint64(len(b)) {
			return 0, false
		}
		lengths[i] = u
		at += w
	}
	if head&recordVersioned != 0 {
		u, w := binary.Uvarint(b[at:])
		if w <= 0 || u > maxVersion-b.lowest() {
			return 0, false
		}
		at += w
	}
	if lengths[0]+lengths[1] > uint64(len(b)-at) {
		return 0, false
	}
	return at + int(lengths[0]+lengths[1]), true
}
