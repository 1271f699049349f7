package flash

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/cespare/xxhash/v2"
)

// location is where a value lies, and what it must look like there.
type location struct {
	segment uint32 // the low half of the segment's number
	offset  uint32 // in its file
	size    uint32 // as it is stored, in the low 28 bits; above them the codec
	check   uint32 // CRC of what is stored
}

const (
	sizeBits      = 28
	locationBytes = 16
)

func (l location) bytes() int   { return int(l.size & (1<<sizeBits - 1)) }
func (l location) codec() codec { return codec(l.size >> sizeBits) }

// place is what no two values ever share.
func (l location) place() uint64 { return uint64(l.segment)<<32 | uint64(l.offset) }

func (l location) encode(b []byte) {
	_ = b[locationBytes-1]
	binary.LittleEndian.PutUint32(b, l.segment)
	binary.LittleEndian.PutUint32(b[4:], l.offset)
	binary.LittleEndian.PutUint32(b[8:], l.size)
	binary.LittleEndian.PutUint32(b[12:], l.check)
}

func decodeLocation(b []byte) location {
	_ = b[locationBytes-1]
	return location{
		binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]),
		binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:]),
	}
}

// leaf is a sorted run of keys with locations, in one piece of memory without
// pointers. It does not change, so readers need no lock, and it is as large as it needs
// to be:
//
//	leaf  = header, n fingerprints of a byte, n offsets of 2 or 4 bytes, prefix, { entry }
//	entry = location, the key without the prefix
//
// Offsets count from the first entry, and have 4 bytes if the entries take more than
// 64 KiB; an entry ends where the next one begins. A fingerprint is the low byte of the
// XXH64 of the key.
type leaf struct {
	gen    uint64 // of the tree when it was made; not in a checkpoint
	size   uint32 // of all of it
	n      uint16
	prefix uint16
}

const (
	leafHead = int(unsafe.Sizeof(leaf{}))
	// leafBytes is about the largest size of a leaf with more than one entry. A put
	// copies a leaf; a larger one has less above it.
	leafBytes = 1536
	narrow    = 1 << 16
)

func (l *leaf) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(l)), l.size) }

// newLeaf returns zeroed memory of a leaf; its size is a multiple of nothing.
func newLeaf(size int) *leaf {
	b := make([]byte, max(size, leafHead))
	l := (*leaf)(unsafe.Pointer(unsafe.SliceData(b)))
	l.size = uint32(size)
	return l
}

// shape are the places of the parts of a leaf.
type shape struct {
	b       []byte
	offsets int
	width   int
	entries int
}

func (l *leaf) shape() shape {
	s := shape{b: l.bytes(), offsets: leafHead + int(l.n), width: 2}
	s.entries = s.offsets + 2*int(l.n) + int(l.prefix)
	if int(l.size)-s.entries > narrow {
		s.width = 4
		s.entries += 2 * int(l.n)
	}
	return s
}

func (s *shape) start(i int) int {
	if s.width == 2 {
		return s.entries + int(binary.LittleEndian.Uint16(s.b[s.offsets+2*i:]))
	}
	return s.entries + int(binary.LittleEndian.Uint32(s.b[s.offsets+4*i:]))
}

func (s *shape) setStart(i, at int) {
	if s.width == 2 {
		binary.LittleEndian.PutUint16(s.b[s.offsets+2*i:], uint16(at-s.entries))
	} else {
		binary.LittleEndian.PutUint32(s.b[s.offsets+4*i:], uint32(at-s.entries))
	}
}

func (l *leaf) end(s *shape, i int) int {
	if i+1 < int(l.n) {
		return s.start(i + 1)
	}
	return int(l.size)
}

func (l *leaf) suffix(s *shape, i int) []byte {
	return s.b[s.start(i)+locationBytes : l.end(s, i)]
}

func (l *leaf) location(s *shape, i int) location { return decodeLocation(s.b[s.start(i):]) }

func (l *leaf) prefixBytes(s *shape) []byte {
	return s.b[s.entries-int(l.prefix) : s.entries]
}

// appendKey appends the key of entry i.
func (l *leaf) appendKey(out []byte, s *shape, i int) []byte {
	return append(append(out, l.prefixBytes(s)...), l.suffix(s, i)...)
}

func hashOf(key []byte) uint64 { return xxhash.Sum64(key) }

func fingerprintOf(key []byte) byte { return byte(hashOf(key)) }

// find returns the entry of a key; false if there is none.
func (l *leaf) find(key []byte, fingerprint byte) (location, bool) {
	s := l.shape()
	if len(key) < int(l.prefix) || !bytes.Equal(key[:l.prefix], l.prefixBytes(&s)) {
		return location{}, false
	}
	rest := key[l.prefix:]
	const low, high = 0x0101010101010101, 0x8080808080808080
	want := uint64(fingerprint) * low
	for base := 0; base < int(l.n); base += 8 {
		// The bytes behind the fingerprints belong to the leaf too.
		var word uint64
		if at := leafHead + base; at+8 <= len(s.b) {
			word = binary.LittleEndian.Uint64(s.b[at:])
		} else {
			var b [8]byte
			copy(b[:], s.b[at:])
			word = binary.LittleEndian.Uint64(b[:])
		}
		x := word ^ want
		for m := (x - low) & ^x & high; m != 0; m &= m - 1 {
			i := base + bits.TrailingZeros64(m)>>3
			if i >= int(l.n) {
				break
			}
			if bytes.Equal(l.suffix(&s, i), rest) {
				return l.location(&s, i), true
			}
		}
	}
	return location{}, false
}

// search returns the place of the first entry that is not below key, and whether it is
// that of key.
func (l *leaf) search(key []byte) (int, bool) {
	s := l.shape()
	p := l.prefixBytes(&s)
	n := min(len(p), len(key))
	switch c := bytes.Compare(key[:n], p[:n]); {
	case c < 0 || c == 0 && len(key) < len(p):
		return 0, false
	case c > 0:
		return int(l.n), false
	}
	rest := key[len(p):]
	lo, hi := 0, int(l.n)
	for lo < hi {
		m := (lo + hi) / 2
		switch c := bytes.Compare(l.suffix(&s, m), rest); {
		case c < 0:
			lo = m + 1
		case c == 0:
			return m, true
		default:
			hi = m
		}
	}
	return lo, false
}

// replaced returns a copy with another location in entry i.
func (l *leaf) replaced(gen uint64, i int, at location) *leaf {
	out := newLeaf(int(l.size))
	copy(out.bytes(), l.bytes())
	out.gen = gen
	s := out.shape()
	at.encode(s.b[s.start(i):])
	return out
}

// entry is a key with its location.
type entry struct {
	key []byte
	at  location
}

// entries returns all entries, their keys in memory of their own.
func (l *leaf) entries(extra int) []entry {
	s := l.shape()
	out := make([]entry, l.n, int(l.n)+extra)
	p := l.prefixBytes(&s)
	memory := make([]byte, 0, int(l.size)+int(l.n)*len(p))
	for i := range out {
		from := len(memory)
		memory = append(append(memory, p...), l.suffix(&s, i)...)
		out[i] = entry{memory[from:len(memory):len(memory)], l.location(&s, i)}
	}
	return out
}

// inserted returns a copy with another entry before entry i. It is one pass of copying
// where the key has the leaf's prefix.
func (l *leaf) inserted(gen uint64, i int, key []byte, at location) *leaf {
	s := l.shape()
	p := l.prefixBytes(&s)
	size := int(l.size) + 1 + s.width + locationBytes + len(key) - len(p)
	if !bytes.HasPrefix(key, p) || s.width != 2 || size-s.entries > narrow-8 || l.n == 0 {
		es := l.entries(1)
		es = append(es, entry{})
		copy(es[i+1:], es[i:])
		es[i] = entry{key, at}
		return buildLeaf(gen, es)
	}
	out := newLeaf(size)
	out.gen, out.n, out.prefix = gen, l.n+1, l.prefix
	o := out.shape()
	n := int(l.n)
	copy(o.b[leafHead:], s.b[leafHead:leafHead+i])
	o.b[leafHead+i] = fingerprintOf(key)
	copy(o.b[leafHead+i+1:], s.b[leafHead+i:leafHead+n])
	copy(o.b[o.entries-len(p):], p)
	here := int(l.size)
	if i < n {
		here = s.start(i)
	}
	grown := locationBytes + len(key) - len(p)
	copy(o.b[o.offsets:], s.b[s.offsets:s.offsets+2*i])
	put := o.entries + here - s.entries
	o.setStart(i, put)
	for k := i; k < n; k++ {
		o.setStart(k+1, o.entries+s.start(k)-s.entries+grown)
	}
	copy(o.b[o.entries:], s.b[s.entries:here])
	at.encode(o.b[put:])
	copy(o.b[put+locationBytes:], key[len(p):])
	copy(o.b[put+grown:], s.b[here:])
	return out
}

// without returns a copy without entries i to j, nil if none is left.
func (l *leaf) without(gen uint64, i, j int) *leaf {
	if j-i == int(l.n) {
		return nil
	}
	es := l.entries(0)
	return buildLeaf(gen, append(es[:i], es[j:]...))
}

// leafSize is what a leaf of entries takes; prefix is what their keys have in common.
func leafSize(es []entry) (size, prefix int) {
	first, last := es[0].key, es[len(es)-1].key
	prefix = min(common(first, last), 1<<16-1)
	total := 0
	for _, e := range es {
		total += locationBytes + len(e.key) - prefix
	}
	width := 2
	if total > narrow {
		width = 4
	}
	return leafHead + len(es)*(1+width) + prefix + total, prefix
}

// buildLeaf makes a leaf of sorted entries, at least one.
func buildLeaf(gen uint64, es []entry) *leaf {
	size, prefix := leafSize(es)
	l := newLeaf(size)
	l.gen, l.n, l.prefix = gen, uint16(len(es)), uint16(prefix)
	s := l.shape()
	copy(s.b[s.entries-prefix:], es[0].key[:prefix])
	at := s.entries
	for i, e := range es {
		s.b[leafHead+i] = fingerprintOf(e.key)
		s.setStart(i, at)
		e.at.encode(s.b[at:])
		at += locationBytes + copy(s.b[at+locationBytes:], e.key[prefix:])
	}
	return l
}

// common returns the length of what two keys begin with alike.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// checkLeaf reports whether the bytes of a leaf that was read are those of one: its
// parts lie within it, and its keys ascend.
func (l *leaf) sound() bool {
	if int(l.size) < leafHead || l.n == 0 {
		return false
	}
	s := l.shape()
	if s.entries > int(l.size) || s.entries < 0 {
		return false
	}
	at := s.entries
	var before []byte
	for i := range int(l.n) {
		start, end := s.start(i), l.end(&s, i)
		if start != at || end < start+locationBytes || end > int(l.size) {
			return false
		}
		suffix := s.b[start+locationBytes : end]
		if i > 0 && bytes.Compare(before, suffix) >= 0 {
			return false
		}
		before, at = suffix, end
	}
	return at == int(l.size)
}

func loadPointer(p *unsafe.Pointer) unsafe.Pointer     { return atomic.LoadPointer(p) }
func storePointer(p *unsafe.Pointer, v unsafe.Pointer) { atomic.StorePointer(p, v) }
