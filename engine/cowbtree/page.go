package cowbtree

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// The layout of pages, in memory and in the file, stands in doc.go. The functions
// of this file are given the bytes of a page, which a commit may change while they
// look: they check each number before they use it, and say if one cannot be.

const (
	minPageBytes = 4 << 10
	// maxPageBytes is room for the three largest separators, which an inner page may
	// have to hold.
	maxPageBytes = minPageBytes << (classes - 1)
	classes      = 7

	headerBytes = 32
	// A reference is in two parts, the first of which, of hotBytes, is what reading
	// needs.
	refBytes    = 24
	hotBytes    = 12
	extentBytes = 24

	// atHint is where the hint lies in a reference.
	atHint = 8

	leafEntryBytes = 1 + 2 + 4
	indexEvery     = 16
)

// Offsets in the header of a page.
const (
	atKind      = 0
	atLevel     = 1
	atShift     = 2
	atFlags     = 3
	atCount     = 4
	atCap       = 6
	atSize      = 8
	atHeap      = 12
	atGarbage   = 16
	atPrefixLen = 20
	atPrefix    = 24
	// atShortPrefix is where a prefix of up to shortPrefix bytes lies, in the header.
	atShortPrefix = 28
	shortPrefix   = 4
)

const (
	kindLeaf  = 1
	kindInner = 2

	// flagExtents says that values of this page, or of pages below it, are in
	// extents of their own.
	flagExtents = 1
)

func u16(b []byte, at int) int    { return int(binary.LittleEndian.Uint16(b[at:])) }
func u32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }

func putU16(b []byte, at, v int)            { binary.LittleEndian.PutUint16(b[at:], uint16(v)) }
func putU32(b []byte, at int, v uint32)     { binary.LittleEndian.PutUint32(b[at:], v) }
func putU64(b []byte, at int, v uint64)     { binary.LittleEndian.PutUint64(b[at:], v) }
func pageCount(b []byte) int                { return u16(b, atCount) }
func pageLevel(b []byte) int                { return int(b[atLevel]) }
func shiftFor(size int) uint                { return uint(max(0, bits.Len(uint(size-1))-16)) }
func leafDir(capacity int) int              { return headerBytes + leafEntryBytes*capacity }
func slotOfLeaf(b []byte, capacity int) int { return headerBytes + capacity }

// innerDir is where the parts of an inner page's directory begin.
type innerDir struct{ heads, refs, rests, slots, end int }

func innerDirOf(capacity int) innerDir {
	// A block of 16 heads is a line of the processor's cache.
	heads := (headerBytes + 4*((capacity+indexEvery-1)/indexEvery) + 63) &^ 63
	refs := heads + 4*capacity
	rests := refs + hotBytes*capacity
	slots := rests + (refBytes-hotBytes)*capacity
	return innerDir{heads, refs, rests, slots, slots + 2*capacity}
}

// dirBytes is the size of header and directory of a page.
func dirBytes(kind byte, capacity int) int {
	if kind == kindInner {
		return innerDirOf(capacity).end
	}
	return leafDir(capacity)
}

// counts returns a page's kind, its entries and the places of its directory, in one
// look.
func counts(b []byte) (kind byte, count, capacity int) {
	word := u64(b, 0)
	return byte(word >> (8 * atKind)), int(word >> (8 * atCount) & 0xffff), int(word >> (8 * atCap))
}

// hash is the hash of a key of which leaves keep a byte: a folded multiplication
// for each 8 bytes, as in wyhash. It is part of the format.
func hash(key []byte) uint64 {
	const k0, k1 = 0xa0761d6478bd642f, 0xe7037ed1a0b428db
	h := uint64(len(key)) ^ k0
	for len(key) > 8 {
		hi, lo := bits.Mul64(binary.LittleEndian.Uint64(key)^k1, h)
		h = hi ^ lo
		key = key[8:]
	}
	var last uint64
	if len(key) == 8 {
		last = binary.LittleEndian.Uint64(key)
	} else {
		for i, c := range key {
			last |= uint64(c) << (8 * i)
		}
	}
	hi, lo := bits.Mul64(last^k1, h)
	return hi ^ lo
}

func fingerprint(key []byte) byte { return byte(hash(key) >> 56) }

// head is the first four bytes of a suffix, as a number in their order.
func head(suffix []byte) uint32 {
	if len(suffix) >= 4 {
		return binary.BigEndian.Uint32(suffix)
	}
	var h uint32
	for i, c := range suffix {
		h |= uint32(c) << (24 - 8*i)
	}
	return h
}

// record reads the record at offset off: its suffix, and its value or, if extent,
// the place of its value. ok is false if it does not lie in the page.
func record(b []byte, off int) (suffix, value []byte, extent, ok bool) {
	if off < headerBytes || off+2 > len(b) {
		return nil, nil, false, false
	}
	// Short lengths take a byte each.
	n, tag, at := int(b[off]), int(b[off+1]), off+2
	if n|tag >= 0x80 {
		key, w := binary.Uvarint(b[off:])
		if w <= 0 || key > uint64(len(b)) {
			return nil, nil, false, false
		}
		val, x := binary.Uvarint(b[off+w:])
		if x <= 0 || val > uint64(len(b))+1 {
			return nil, nil, false, false
		}
		n, tag, at = int(key), int(val), off+w+x
	}
	size := tag - 1
	if tag == 0 {
		size, extent = extentBytes, true
	}
	mid := at + n
	if mid+size > len(b) {
		return nil, nil, false, false
	}
	return b[at:mid:mid], b[mid : mid+size : mid+size], extent, true
}

func uvarintBytes(n int) int { return (bits.Len(uint(n|1)) + 6) / 7 }

// recordBytes is the size of a record.
func recordBytes(suffix, value int, extent bool) int {
	if extent {
		return uvarintBytes(suffix) + 1 + suffix + extentBytes
	}
	return uvarintBytes(suffix) + uvarintBytes(value+1) + suffix + value
}

// putRecord writes a record at off; recordBytes is its length.
func putRecord(b []byte, off int, suffix, value []byte, extent bool) {
	off += binary.PutUvarint(b[off:], uint64(len(suffix)))
	tag := uint64(0)
	if !extent {
		tag = uint64(len(value)) + 1
	}
	off += binary.PutUvarint(b[off:], tag)
	off += copy(b[off:], suffix)
	copy(b[off:], value)
}

// prefix returns the bytes with which every key of the page begins.
func prefix(b []byte) ([]byte, bool) {
	n := u16(b, atPrefixLen)
	if n == 0 {
		return nil, true
	}
	at := int(u32(b, atPrefix))
	if n <= shortPrefix {
		at = atShortPrefix
	} else if at < headerBytes || at > len(b)-n {
		return nil, false
	}
	return b[at : at+n : at+n], true
}

// slotAt returns the offset of record i, given where the slots begin.
func slotAt(b []byte, slots, i int) int { return u16(b, slots+2*i) << (b[atShift] & 3) }

// findInLeaf looks for a key. ok is false if the page changed meanwhile.
func findInLeaf(b []byte, key []byte, fp byte) (value []byte, extent, found, ok bool) {
	_, value, extent, found, ok = placeInLeaf(b, key, fp)
	return value, extent, found, ok
}

// placeInLeaf is findInLeaf, and returns the place of the entry too.
func placeInLeaf(b []byte, key []byte, fp byte) (i int, value []byte, extent, found, ok bool) {
	kind, count, capacity := counts(b)
	if kind != kindLeaf || count > capacity || leafDir(capacity) > len(b) {
		return 0, nil, false, false, false
	}
	slots := headerBytes + capacity
	// The lines with the slots are on their way while the fingerprints are compared.
	if count > 0 && u16(b, slots)|u16(b, slots+2*count-2) == 0 {
		return 0, nil, false, false, false
	}
	pattern := uint64(fp) * eachByte
	for base := 0; base < count; base += 8 {
		// Behind the last fingerprint are slots, and enough of them.
		for marks := marksOf(u64(b, headerBytes+base), pattern); marks != 0; marks &= marks - 1 {
			i := base + bits.TrailingZeros64(marks)>>3
			if i >= count {
				break
			}
			value, extent, found, ok := isKeyAt(b, slotAt(b, slots, i), key)
			if found || !ok {
				return i, value, extent, found, ok
			}
		}
	}
	return 0, nil, false, false, true
}

const eachByte = 0x0101010101010101

// marksOf returns the top bit of each byte that is as those of the pattern. The
// lowest mark is right; those above one may be wrong by a borrow, which the comparison
// of the keys finds out.
func marksOf(bytes, pattern uint64) uint64 {
	x := bytes ^ pattern
	return (x - eachByte) &^ x & (0x80 * eachByte)
}

// firstInLeaf returns the place of the first of up to 64 entries, of which there are
// some, that may have the fingerprint, or of the last. It looks at all: where many
// keys are looked for at once, a branch at the right one would be foretold wrong for
// each; where it is one key, that does no harm, and placeInLeaf is faster.
func firstInLeaf(b []byte, count int, fp byte) int {
	pattern := uint64(fp) * eachByte
	var all uint64
	for k := 0; k < min(count, 64); k += 8 {
		// The product has the eight marks side by side in its top byte.
		all |= (marksOf(u64(b, headerBytes+k), pattern) >> 7) * 0x0102040810204080 >> 56 << k
	}
	return min(bits.TrailingZeros64(all), count-1)
}

// isKeyAt reports whether the record at offset off is that of the key.
func isKeyAt(b []byte, off int, key []byte) (value []byte, extent, found, ok bool) {
	suffix, value, extent, ok := record(b, off)
	if !ok {
		return nil, false, false, false
	}
	if len(suffix) > len(key) || !bytes.Equal(suffix, key[len(key)-len(suffix):]) {
		return nil, false, false, true
	}
	p, ok := prefix(b)
	if !ok {
		return nil, false, false, false
	}
	if len(p)+len(suffix) == len(key) && bytes.Equal(p, key[:len(p)]) {
		return value, extent, true, true
	}
	return nil, false, false, true
}

// without returns key without the page's prefix; side is -1 or 1 if it has not
// that prefix, and sorts before or after all keys that have.
func without(b []byte, key []byte) (suffix []byte, side int, ok bool) {
	p, ok := prefix(b)
	if !ok || len(p) == 0 {
		return key, 0, ok
	}
	if len(key) >= len(p) && bytes.Equal(key[:len(p)], p) {
		return key[len(p):], 0, true
	}
	return nil, bytes.Compare(key, p), true
}

// lowerBound returns the place of the first key in a leaf that is not below key,
// and whether it is key.
func lowerBound(b []byte, key []byte) (i int, exact, ok bool) {
	kind, count, capacity := counts(b)
	if kind != kindLeaf || count > capacity || leafDir(capacity) > len(b) {
		return 0, false, false
	}
	suffix, side, ok := without(b, key)
	switch {
	case !ok:
		return 0, false, false
	case side < 0:
		return 0, false, true
	case side > 0:
		return count, false, true
	}
	slots := headerBytes + capacity
	heads := slots + 2*capacity
	h := head(suffix)
	lo, hi := 0, count
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		at := u32(b, heads+4*mid)
		if at == h {
			s, _, _, ok := record(b, slotAt(b, slots, mid))
			if !ok {
				return 0, false, false
			}
			switch bytes.Compare(s, suffix) {
			case 0:
				return mid, true, true
			case -1:
				lo = mid + 1
			default:
				hi = mid
			}
		} else if at < h {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, false, true
}

// childFor returns the place of the child that key belongs to: the last whose
// separator is not above it. The separator of the first counts as below all.
func childFor(b []byte, key []byte) (i int, ok bool) {
	i, _, ok = childRefFor(b, key)
	return i, ok
}

// childRefFor is childFor, and returns the offset of the reference's first part too.
func childRefFor(b []byte, key []byte) (i, at int, ok bool) {
	kind, count, capacity := counts(b)
	d := innerDirOf(capacity)
	if kind != kindInner || count == 0 || count > capacity || d.end > len(b) {
		return 0, 0, false
	}
	suffix := key
	if u16(b, atPrefixLen) > 0 {
		var side int
		if suffix, side, ok = without(b, key); !ok || side < 0 {
			return 0, d.refs, ok
		} else if side > 0 {
			return count - 1, d.refs + hotBytes*(count-1), true
		}
	}
	i, ok = childIn(b, d, count, head(suffix), suffix)
	return i, d.refs + hotBytes*i, ok
}

// load32 reads four bytes of a page at an offset that is known to lie in it.
func load32(p unsafe.Pointer, at int) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(p, at))[:])
}

// below is 1 if a is below b, and else 0, without a branch, which would be foretold
// wrong once for each search.
func below(a, b uint32) uint64 { return (uint64(a) - uint64(b)) >> 63 }

// childIn returns the place of the child with that head and suffix: it counts the
// heads that are below, of every 16th, and then of the block that begins there.
func childIn(b []byte, d innerDir, count int, h uint32, suffix []byte) (i int, ok bool) {
	index := unsafe.Pointer(&b[headerBytes])
	blocks := uint64(0)
	for k := 1; k < (count+indexEvery-1)/indexEvery; k++ {
		blocks += below(load32(index, 4*k), h)
	}
	i = int(blocks) * indexEvery
	heads := unsafe.Pointer(&b[d.heads])
	n := uint64(0)
	if block := unsafe.Add(heads, 4*i+4); i+indexEvery < count {
		for k := 0; k < 4*indexEvery; k += 16 {
			n += below(load32(block, k), h) + below(load32(block, k+4), h) + below(load32(block, k+8), h) + below(load32(block, k+12), h)
		}
	} else {
		for k := 0; k < 4*(count-1-i); k += 4 {
			n += below(load32(block, k), h)
		}
	}
	i += int(n)
	for i+1 < count && load32(heads, 4*(i+1)) == h {
		s, _, _, ok := record(b, slotAt(b, d.slots, i+1))
		if !ok {
			return 0, false
		}
		if bytes.Compare(s, suffix) > 0 {
			break
		}
		i++
	}
	return i, true
}

// ref is a reference to a page.
type ref struct {
	// id is where the page is in the file, as an extent, or, with the bit unwritten
	// set, the number that it was given when it was made.
	id uint64
	// birth is the generation in which the page was made, flags are the page's.
	birth uint64
	flags byte
	// sum is the checksum of what is in the file.
	sum uint32
	// hint is the frame that last held it. Not in the file.
	hint uint32
}

const unwritten = 1 << 63

func (r ref) isUnwritten() bool { return r.id&unwritten != 0 }

// readRef and putRef read and write reference i of an inner page.
func readRef(b []byte, i int) ref {
	d := innerDirOf(u16(b, atCap))
	at, rest := d.refs+hotBytes*i, d.rests+(refBytes-hotBytes)*i
	word := u64(b, rest+4)
	return ref{id: u64(b, at), hint: u32(b, at+atHint), sum: u32(b, rest), birth: word >> 8, flags: byte(word)}
}

func putRef(b []byte, i int, r ref) {
	d := innerDirOf(u16(b, atCap))
	at, rest := d.refs+hotBytes*i, d.rests+(refBytes-hotBytes)*i
	putU64(b, at, r.id)
	putU32(b, at+atHint, r.hint)
	putU32(b, rest, r.sum)
	putU64(b, rest+4, r.birth<<8|uint64(r.flags))
}

// refAt returns where the first part of reference i of an inner page lies.
func refAt(b []byte, i int) int { return innerDirOf(u16(b, atCap)).refs + hotBytes*i }

// entry is what a page is made of.
type entry struct {
	key []byte
	// value is that of a leaf's entry, or, if extent, the place of it.
	value  []byte
	extent bool
	// child is that of an inner page's entry.
	child ref
}

// entryAt returns entry i; its key is made of prefix and suffix in scratch, which
// is returned extended. The value aliases the page. The page must be stable.
func entryAt(b []byte, i int, scratch []byte) (entry, []byte) {
	capacity := u16(b, atCap)
	slots := headerBytes + capacity
	var e entry
	if b[atKind] == kindInner {
		d := innerDirOf(capacity)
		slots = d.slots
		e.child = readRef(b, i)
	}
	suffix, value, extent, _ := record(b, slotAt(b, slots, i))
	from := len(scratch)
	if b[atKind] == kindLeaf || i > 0 {
		p, _ := prefix(b)
		scratch = append(scratch, p...)
		scratch = append(scratch, suffix...)
	}
	e.key = scratch[from:len(scratch):len(scratch)]
	e.value, e.extent = value, extent
	return e, scratch
}

// commonPrefix returns how many bytes all keys begin with, in order as they are.
// The first separator of an inner page does not count; one key alone has no
// prefix, so that others can come to it.
func commonPrefix(kind byte, entries []entry) int {
	if kind == kindInner && len(entries) > 0 {
		entries = entries[1:]
	}
	if len(entries) < 2 {
		return 0
	}
	a, b := entries[0].key, entries[len(entries)-1].key
	n := min(len(a), len(b), 1<<16-1)
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// roundTo rounds n up to a multiple of 1<<shift.
func roundTo(n int, shift uint) int { return (n + 1<<shift - 1) &^ (1<<shift - 1) }

// builtBytes is the size of a page of the entries without any slack, for slots of
// that shift.
func builtBytes(kind byte, entries []entry, shift uint) int {
	p := commonPrefix(kind, entries)
	n := dirBytes(kind, len(entries))
	if p > shortPrefix {
		n += roundTo(p, shift)
	}
	for i, e := range entries {
		suffix := 0
		if kind == kindLeaf || i > 0 {
			suffix = len(e.key) - p
		}
		n += roundTo(recordBytes(suffix, len(e.value), e.extent), shift)
	}
	return n
}

// build makes a page of the entries in b, all of whose bytes it takes: records from
// the end, in order, the last one last, and room between them and the directory.
// It fits if builtBytes says so.
func build(b []byte, kind byte, level int, entries []entry) {
	shift := shiftFor(len(b))
	clear(b[:headerBytes])
	b[atKind], b[atLevel], b[atShift] = kind, byte(level), byte(shift)
	putU32(b, atSize, uint32(len(b)))
	p := commonPrefix(kind, entries)
	capacity := len(entries)
	if kind == kindLeaf {
		// The room, divided as the entries that are there divide theirs.
		used := builtBytes(kind, entries, shift)
		each := max((used-headerBytes)/max(len(entries), 1), leafEntryBytes+4)
		capacity = min(capacity+(len(b)-used)/each, 1<<16-1)
	} else {
		for slack := min(len(entries)/4+2, 1<<16-1-capacity); slack > 0; slack /= 2 {
			if used := builtBytes(kind, entries, shift) - dirBytes(kind, capacity); dirBytes(kind, capacity+slack)+used <= len(b) {
				capacity += slack
				break
			}
		}
	}
	putU16(b, atCount, len(entries))
	putU16(b, atCap, capacity)
	var pre []byte
	if n := len(entries); n > 0 {
		pre = entries[n-1].key[:p]
	}
	at := len(b)
	if p > shortPrefix {
		at = (at - roundTo(p, shift)) &^ (1<<shift - 1)
		copy(b[at:], pre)
		putU32(b, atPrefix, uint32(at))
	} else {
		copy(b[atShortPrefix:headerBytes], pre)
	}
	putU16(b, atPrefixLen, p)
	d := innerDirOf(capacity)
	slots := headerBytes + capacity
	heads := slots + 2*capacity
	if kind == kindInner {
		slots, heads = d.slots, d.heads
	}
	var flags byte
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		var suffix []byte
		if kind == kindLeaf || i > 0 {
			suffix = e.key[p:]
		}
		at -= roundTo(recordBytes(len(suffix), len(e.value), e.extent), shift)
		putRecord(b, at, suffix, e.value, e.extent)
		putU16(b, slots+2*i, at>>shift)
		putU32(b, heads+4*i, head(suffix))
		if kind == kindInner {
			putRef(b, i, e.child)
			if i%indexEvery == 0 {
				putU32(b, headerBytes+4*(i/indexEvery), head(suffix))
			}
			flags |= e.child.flags
		} else {
			b[headerBytes+i] = fingerprint(e.key)
			if e.extent {
				flags |= flagExtents
			}
		}
	}
	b[atFlags] = flags
	putU32(b, atHeap, uint32(at))
}
