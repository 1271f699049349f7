package flash

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
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

// leaf is a sorted run of keys with locations, and a tail of what was put since it was
// made, in one piece of memory without pointers. The run does not change, and the tail
// only grows, so readers need no lock:
//
//	leaf  = header, n fingerprints of a byte, n offsets of 2 or 4 bytes, prefix, { entry }, tail
//	entry = location, the key without the prefix
//
// Offsets count from the first entry, and have 4 bytes if the entries take more than
// 64 KiB; an entry ends where the next one begins. A fingerprint is the low byte of the
// XXH64 of the key. What there is to the tail stands in tail.go; a checkpoint has none.
type leaf struct {
	gen    uint64           // of the tree when it was made
	tail   atomic.Uint64    // a tailState
	marks  atomic.Uint64    // fingerprints of the tail, that of the oldest entry in the low byte
	ends   [mostTail]uint16 // where its entries end, counted from the end of the run
	room   uint16           // bytes for them
	size   uint32           // of the leaf as a checkpoint describes it; the first field that is in one
	n      uint16
	prefix uint16
}

const (
	leafHead = int(unsafe.Sizeof(leaf{}))
	// storedHead is the size of the header that a checkpoint describes, inMemory how much
	// larger it is here.
	storedHead = 16
	inMemory   = leafHead - storedHead
	// leafBytes is about the largest size of a leaf with more than one entry, its tail
	// apart. A put copies a leaf now and then; a larger one has less above it.
	leafBytes = 1536
	narrow    = 1 << 16
)

// bytes are those of the leaf without its tail.
func (l *leaf) bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(l)), inMemory+int(l.size))
}

// newLeaf returns memory of a leaf of a size, and of room for a tail, of which there may be
// more than was asked for: what the allocator would lose. If memory is not nil, it is used for
// a leaf without a tail, and grows. The header is zeroed.
func newLeaf(memory *[]byte, size, room int) *leaf {
	need := max(size+inMemory+room, leafHead)
	var b []byte
	switch {
	case memory == nil && room == 0:
		b = make([]byte, need)
	case memory == nil:
		b = append([]byte(nil), make([]byte, need)...)
	default:
		*memory = slices.Grow((*memory)[:0], need)[:need]
		b = *memory
		clear(b[:leafHead])
	}
	l := (*leaf)(unsafe.Pointer(unsafe.SliceData(b)))
	l.size = uint32(size)
	if room > 0 {
		l.room = uint16(min(cap(b)-size-inMemory, 1<<16-1))
	}
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
	if len(s.b)-s.entries > narrow {
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
	return len(s.b)
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

// find returns the entry of a key, of the run and the first k of the tail; false if there is
// none.
func (l *leaf) find(key []byte, fingerprint byte, k int) (location, bool) {
	s := l.shape()
	if len(key) < int(l.prefix) || !bytes.Equal(key[:l.prefix], l.prefixBytes(&s)) {
		return location{}, false
	}
	rest := key[l.prefix:]
	if k > 0 {
		if at, ok := l.findTail(rest, fingerprint, k); ok {
			return at, true
		}
	}
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

// search returns the place of the first entry of the run that is not below key, and whether
// it is that of key.
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
	return l.searchIn(&s, 0, int(l.n), key[len(p):])
}

// searchIn is search among entries lo to hi, for a key without the prefix.
func (l *leaf) searchIn(s *shape, lo, hi int, rest []byte) (int, bool) {
	for lo < hi {
		m := (lo + hi) / 2
		switch c := bytes.Compare(l.suffix(s, m), rest); {
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

// entry is a key with its location.
type entry struct {
	key []byte
	at  location
}

// entries returns the entries of the run and of the first k of the tail, in order, their keys
// in memory of their own; with room for extra ones.
func (l *leaf) entries(k, extra int) []entry {
	l = l.folded(k, nil)
	s := l.shape()
	out := make([]entry, l.n, int(l.n)+extra)
	p := l.prefixBytes(&s)
	memory := make([]byte, 0, len(s.b)-s.entries+int(l.n)*len(p))
	for i := range out {
		from := len(memory)
		memory = append(append(memory, p...), l.suffix(&s, i)...)
		out[i] = entry{memory[from:len(memory):len(memory)], l.location(&s, i)}
	}
	return out
}

// without returns a copy of a leaf without a tail, without entries i to j, nil if none is
// left.
func (l *leaf) without(gen uint64, i, j int) *leaf {
	if j-i == int(l.n) {
		return nil
	}
	es := l.entries(0, 0)
	return buildLeaf(gen, append(es[:i], es[j:]...), nil, 0)
}

// storedSize is the size of a leaf of n entries that take total bytes without their prefix.
func storedSize(n, prefix, total int) int {
	width := 2
	if total > narrow {
		width = 4
	}
	return storedHead + n*(1+width) + prefix + total
}

// commonPrefix is what the keys of sorted entries, at least one, have in common with each
// other and those of more.
func commonPrefix(es, more []entry) int {
	first := es[0].key
	prefix := min(common(first, es[len(es)-1].key), 1<<16-1)
	for _, e := range more {
		prefix = min(prefix, common(first, e.key))
	}
	return prefix
}

// buildLeaf makes a leaf of sorted entries, at least one, with room bytes for a tail, into
// which more can be put.
func buildLeaf(gen uint64, es, more []entry, room int) *leaf {
	prefix, total := commonPrefix(es, more), 0
	for _, e := range es {
		total += locationBytes + len(e.key) - prefix
	}
	l := newLeaf(nil, storedSize(len(es), prefix, total), tailRoom(room, total, len(es)))
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

// middle returns where to split a leaf of several entries: in the middle of their bytes.
func (l *leaf) middle() int {
	s := l.shape()
	half := s.entries + (len(s.b)-s.entries)/2
	m := sort.Search(int(l.n), func(i int) bool { return s.start(i) >= half })
	return min(max(m, 1), int(l.n)-1)
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

// sound reports whether the bytes of a leaf that was read are those of one: its
// parts lie within it, and its keys ascend.
func (l *leaf) sound() bool {
	if int(l.size) < storedHead || l.n == 0 || l.n > 1<<15 {
		return false
	}
	s := l.shape()
	if s.entries > len(s.b) || s.entries < 0 {
		return false
	}
	at := s.entries
	var before []byte
	for i := range int(l.n) {
		start, end := s.start(i), l.end(&s, i)
		if start != at || end < start+locationBytes || end > len(s.b) {
			return false
		}
		suffix := s.b[start+locationBytes : end]
		if i > 0 && bytes.Compare(before, suffix) >= 0 {
			return false
		}
		before, at = suffix, end
	}
	return at == len(s.b)
}

func loadPointer(p *unsafe.Pointer) unsafe.Pointer     { return atomic.LoadPointer(p) }
func storePointer(p *unsafe.Pointer, v unsafe.Pointer) { atomic.StorePointer(p, v) }
