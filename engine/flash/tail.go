package flash

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

const (
	// mostTail is how many entries a tail may have: their fingerprints are compared at once,
	// and every put that finds it full copies the leaf. There is one mark more.
	mostTail = 7
	// mostPending is how many entries of a batch that is not in sight yet the tail of a leaf
	// may have when it has just been copied: with more, little would be left of it.
	mostPending = 4
)

// tailState is how many entries the tail of a leaf has, in the low byte; how many of them are
// of batches before the last one that put into it, in the next; and the number of that one.
//
// It is stored after an entry was, and loaded before one is: so what it counts does not change.
// All of a batch comes into sight at once, by the number that a root shows, see root.published.
type tailState uint64

func newTailState(batch uint64, settled, n int) tailState {
	return tailState(batch<<16 | uint64(settled)<<8 | uint64(n))
}

func (s tailState) batch() uint64 { return uint64(s) >> 16 }
func (s tailState) settled() int  { return int(s >> 8 & 0xff) }
func (s tailState) n() int        { return int(s & 0xff) }

// inSight returns how many entries of the tail are in sight where batches up to published are.
func (l *leaf) inSight(published uint64) int {
	s := tailState(l.tail.Load())
	if s.batch() <= published {
		return s.n()
	}
	return s.settled()
}

// runOf returns a leaf of a state that is fixed with all in its run that is in sight; one that
// has a tail is copied to memory.
func (r *root) runOf(l *leaf, memory *[]byte) *leaf {
	return l.folded(l.inSight(r.published.Load()), memory)
}

// inTail returns how many entries the tail has. For who writes.
func (l *leaf) inTail() int { return tailState(l.tail.Load()).n() }

// tailBytes is the memory of the tail: entries, one behind the other.
func (l *leaf) tailBytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(l), inMemory+int(l.size))), l.room)
}

// tailEnd is where the next entry goes. For who writes.
func (l *leaf) tailEnd() int {
	if n := l.inTail(); n > 0 {
		return int(l.ends[n-1])
	}
	return 0
}

// tailEntry returns entry i of the tail.
func (l *leaf) tailEntry(i int) []byte {
	start := 0
	if i > 0 {
		start = int(l.ends[i-1])
	}
	return l.tailBytes()[start:l.ends[i]]
}

// findTail is find, in the first k entries of the tail, for a key without the prefix. The
// newest entry of a key counts.
func (l *leaf) findTail(rest []byte, fingerprint byte, k int) (location, bool) {
	const low, high = 0x0101010101010101, 0x8080808080808080
	x := l.marks.Load() ^ uint64(fingerprint)*low
	// It may have a bit too many, above one that it has for good reason.
	m := (x - low) & ^x & high & (1<<(8*k) - 1)
	for m != 0 {
		top := 63 - bits.LeadingZeros64(m)
		m &^= 1 << top
		if e := l.tailEntry(top >> 3); bytes.Equal(e[locationBytes:], rest) {
			return decodeLocation(e), true
		}
	}
	return location{}, false
}

// add puts an entry of a batch into the tail; false if it has no room for it. Under the lock
// of who writes.
func (l *leaf) add(batch uint64, key []byte, fingerprint byte, at location) bool {
	s := tailState(l.tail.Load())
	n, p := s.n(), int(l.prefix)
	if n == mostTail || len(key) < p {
		return false
	}
	from := l.tailEnd()
	to := from + locationBytes + len(key) - p
	if to > int(l.room) {
		return false
	}
	sh := l.shape()
	if !bytes.Equal(key[:p], l.prefixBytes(&sh)) {
		return false
	}
	b := l.tailBytes()[from:to]
	at.encode(b)
	copy(b[locationBytes:], key[p:])
	l.ends[n] = uint16(to)
	l.marks.Store(l.marks.Load() | uint64(fingerprint)<<(8*n))
	settled := s.settled()
	if s.batch() != batch {
		settled = n
	}
	l.tail.Store(uint64(newTailState(batch, settled, n+1)))
	return true
}

// tailEntries returns entries k to n of the tail, their keys in memory of their own.
func (l *leaf) tailEntries(k, n, extra int) []entry {
	out := make([]entry, 0, n-k+extra)
	s := l.shape()
	for i := k; i < n; i++ {
		e := l.tailEntry(i)
		key := append(append(make([]byte, 0, int(l.prefix)+len(e)), l.prefixBytes(&s)...), e[locationBytes:]...)
		out = append(out, entry{key, decodeLocation(e)})
	}
	return out
}

// addition is an entry that a leaf gets when it is copied.
type addition struct {
	rest     []byte // the key without the prefix
	at       location
	mark     byte
	place    int // of the first entry of the run that is not below it
	replaces bool
}

// additions are sorted, and there is one of each key.
type additions struct {
	list [mostTail + 1]addition
	n    int
}

// insert adds one that is newer than those that are there.
func (a *additions) insert(l *leaf, s *shape, rest []byte, mark byte, at location) {
	i := a.n
	for ; i > 0; i-- {
		c := bytes.Compare(a.list[i-1].rest, rest)
		if c == 0 {
			a.list[i-1].at = at
			return
		}
		if c < 0 {
			break
		}
	}
	x := addition{rest: rest, at: at, mark: mark}
	lo, hi := 0, int(l.n)
	if i > 0 {
		lo = a.list[i-1].place
	}
	if i < a.n {
		hi = a.list[i].place
	}
	x.place, x.replaces = l.searchIn(s, lo, hi, rest)
	copy(a.list[i+1:a.n+1], a.list[i:a.n])
	a.list[i] = x
	a.n++
}

// insertTail adds the first k entries of the tail.
func (a *additions) insertTail(l *leaf, s *shape, k int) {
	marks := l.marks.Load()
	for i := range k {
		e := l.tailEntry(i)
		a.insert(l, s, e[locationBytes:], byte(marks>>(8*i)), decodeLocation(e))
	}
}

// folded returns a leaf that has the first k entries of the tail in its run, if there are
// any: a copy that is in no tree, in memory unless that is nil.
func (l *leaf) folded(k int, memory *[]byte) *leaf {
	if k == 0 {
		return l
	}
	var a additions
	s := l.shape()
	a.insertTail(l, &s, k)
	return l.fold(memory, 0, &s, &a, math.MaxInt, noTail)
}

// noTail asks for a leaf without room for a tail.
const noTail = -1

// fold returns a copy that has other entries in its run too, and a tail with room for what
// puts like those before need, at least room bytes; nil if it would have more than one entry
// and be larger than most. It is one pass of copying.
func (l *leaf) fold(memory *[]byte, gen uint64, s *shape, a *additions, most, room int) *leaf {
	n, total := int(l.n), len(s.b)-s.entries
	for i := range a.list[:a.n] {
		if x := &a.list[i]; !x.replaces {
			n++
			total += locationBytes + len(x.rest)
		}
	}
	size := storedSize(n, int(l.prefix), total)
	if n > 1 && size > most {
		return nil
	}
	out := newLeaf(memory, size, tailRoom(room, total, n))
	out.gen, out.n, out.prefix = gen, uint16(n), l.prefix
	o := out.shape()
	copy(o.b[o.entries-int(l.prefix):], l.prefixBytes(s))
	from, to, at := 0, 0, o.entries // entries of the run from which on they are not copied yet, and where they go
	for i := range a.list[:a.n] {
		x := &a.list[i]
		at = l.copyRun(s, from, x.place, &o, to, at)
		to += x.place - from
		from = x.place
		o.b[leafHead+to] = x.mark
		o.setStart(to, at)
		x.at.encode(o.b[at:])
		at += locationBytes + copy(o.b[at+locationBytes:], x.rest)
		to++
		if x.replaces {
			from++
		}
	}
	l.copyRun(s, from, int(l.n), &o, to, at)
	return out
}

// copyRun copies entries i to j into another leaf of the same prefix, of which they are those
// from to on, and lie at at; and returns where they end there.
func (l *leaf) copyRun(s *shape, i, j int, o *shape, to, at int) int {
	if i == j {
		return at
	}
	copy(o.b[leafHead+to:], s.b[leafHead+i:leafHead+j])
	start, end := s.start(i), l.end(s, j-1)
	if s.width == 2 && o.width == 2 {
		moved := uint16(at - o.entries - (start - s.entries))
		src, dst := s.b[s.offsets+2*i:s.offsets+2*j], o.b[o.offsets+2*to:]
		for k := 0; k < len(src); k += 2 {
			binary.LittleEndian.PutUint16(dst[k:], binary.LittleEndian.Uint16(src[k:])+moved)
		}
	} else {
		for k := i; k < j; k++ {
			o.setStart(to+k-i, at+s.start(k)-start)
		}
	}
	return at + copy(o.b[at:], s.b[start:end])
}

// part returns a leaf of entries i to j, at least one, with room for a tail, into which more
// can be put.
func (l *leaf) part(gen uint64, i, j int, more []entry, room int) *leaf {
	s := l.shape()
	first := l.suffix(&s, i)
	longer := min(common(first, l.suffix(&s, j-1)), 1<<16-1-int(l.prefix)) // prefix than that of l
	for _, e := range more {
		longer = min(longer, common(first, e.key[l.prefix:]))
	}
	n, prefix := j-i, int(l.prefix)+longer
	total := l.end(&s, j-1) - s.start(i) - n*longer
	out := newLeaf(nil, storedSize(n, prefix, total), tailRoom(room, total, n))
	out.gen, out.n, out.prefix = gen, uint16(n), uint16(prefix)
	o := out.shape()
	copy(o.b[o.entries-prefix:], l.prefixBytes(&s))
	copy(o.b[o.entries-longer:], first[:longer])
	if longer == 0 {
		l.copyRun(&s, i, j, &o, 0, o.entries)
		return out
	}
	copy(o.b[leafHead:], s.b[leafHead+i:leafHead+j])
	at := o.entries
	for k := i; k < j; k++ {
		o.setStart(k-i, at)
		e := s.b[s.start(k):l.end(&s, k)]
		copy(o.b[at:], e[:locationBytes])
		at += locationBytes + copy(o.b[at+locationBytes:], e[locationBytes+longer:])
	}
	return out
}

// tailRoom is how much room the tail of a leaf gets, of n entries that take total bytes, if it
// needs at least room.
func tailRoom(room, total, n int) int {
	if room == noTail {
		return 0
	}
	return max(room, min(mostTail*(total/n), leafBytes/3))
}
