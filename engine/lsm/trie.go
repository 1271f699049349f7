package lsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// trie is the order of a memtable: an adaptive radix tree (Leis et al., "The
// Adaptive Radix Tree", ICDE 2013) in an arena of memory outside the heap. One
// goroutine writes; any number read, and never wait.
//
// Nodes are told apart by the depth of the byte that they branch on; bytes that all
// keys below a node have in common are skipped, as in a Patricia trie, and the last
// four of them stand in the node. So a node that gets another parent need not change.
// A node that must grow is copied, and the copy put in its place: who reads the old
// one sees what was there when it began. Nothing is freed before the whole arena is.
//
//	ref     = u32: the place in the arena in units of 8 bytes; bit 31 set: of a record
//	node    = u32 kind | count << 8 | alive << 20, u32 depth, u32 own, 4 skipped bytes,
//	          u32 dead, tail
//	own     = ref of the record whose key ends at depth; it comes before the children
//	alive   = how many children, own included, have a key below whose newest record is
//	          no tombstone
//	dead    = where that is 0, ref of the newest of those tombstones: who sees it sees
//	          nothing below the node, and a walk passes it by; else 0
//	tail    = 4 bytes of keys, 4 refs
//	        | 16 bytes of keys, 16 refs
//	        | 256 bytes, each the number of a child and 1, or 0; 48 refs
//	        | 256 refs
//	record  = u64 version | kind << 56, u32 older, u32 key length, u32 value length,
//	          key, value; the older version of the same key has its ref in older
type trie struct {
	memory *vfs.Memory
	data   []byte
	// used is how much of the arena is taken, records the number of records.
	used    atomic.Int64
	records atomic.Int64
	// path is of the writer.
	path []step
}

// ref is the place of a node or a record; 0 is none.
type ref uint32

// step is a node on the way down, and the place of the reference to it.
type step struct {
	node ref
	slot int64
}

const (
	recordBit ref = 1 << 31
	unitBytes     = 8

	nodeHead     = 20
	node4Bytes   = nodeHead + 4 + 4*4
	node16Bytes  = nodeHead + 16 + 16*4
	node48Bytes  = nodeHead + 256 + 48*4
	node256Bytes = nodeHead + 256*4
	recordHead   = 20

	// rootSlot is the place of the reference to the root.
	rootSlot = 8
	// trieReserve is what one insertion may take beside its record: a node that grows,
	// and one that splits.
	trieReserve = node256Bytes + node4Bytes
)

// The kinds of nodes, by how many children they have room for.
const (
	kind4 = iota
	kind16
	kind48
	kind256
)

// newTrie makes an empty one in an arena of so many bytes, which the system gives as
// they come to be used.
func newTrie(capacity int64) (*trie, error) {
	capacity = min(capacity, int64(recordBit)*unitBytes)
	memory, err := vfs.ReserveMemory(int(capacity), true)
	if err != nil {
		return nil, fmt.Errorf("make memtable: %w", err)
	}
	return trieIn(memory), nil
}

// trieIn makes an empty one in memory that may have been another's.
func trieIn(memory *vfs.Memory) *trie {
	t := &trie{memory: memory, data: memory.Bytes()}
	clear(t.data[:16])
	t.used.Store(16)
	return t
}

// trieNeed bounds what entries take, whose keys and values have so many bytes.
func trieNeed(entries, bytes int64) int64 {
	return bytes + entries*(trieReserve+recordHead+unitBytes)
}

func (t *trie) load(at int64) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&t.data[at])))
}

// store makes what was set before seen, as far as it can be reached by what it stores.
func (t *trie) store(at int64, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&t.data[at])), v)
}

// set writes what nobody looks at before something else is stored. Readers may look at the
// word, though, for what else is in it: the race detector is told.
func (t *trie) set(at int64, v uint32) {
	if raceEnabled {
		t.store(at, v)
		return
	}
	*(*uint32)(unsafe.Pointer(&t.data[at])) = v
}

func (r ref) isRecord() bool { return r&recordBit != 0 }
func (r ref) at() int64      { return int64(r&^recordBit) * unitBytes }

// allocNode takes n bytes, which are zero: the arena may have been another's before.
func (t *trie) allocNode(n int64) ref {
	r := t.alloc(n)
	clear(t.data[r.at() : r.at()+n])
	return r
}

// alloc takes n bytes.
func (t *trie) alloc(n int64) ref {
	at := t.used.Load()
	t.used.Store(at + (n+unitBytes-1)&^(unitBytes-1))
	return ref(at / unitBytes)
}

func (t *trie) head(n ref) (kind, count int, depth int) {
	info := t.load(n.at())
	return int(info & 0xff), int(info >> 8 & 0xfff), int(t.load(n.at() + 4))
}

// dead returns the newest tombstone below a node where nothing else is the newest of its
// key; else 0.
func (t *trie) dead(n ref) ref { return ref(t.load(n.at() + 16)) }

// deadTo reports whether nothing below a node is seen at a version. What was seen at a
// version is so for good: what comes later is newer.
func (t *trie) deadTo(n ref, at uint64) bool {
	d := t.dead(n)
	if d == 0 {
		return false
	}
	version, _ := t.version(d)
	return version <= at
}

// alive reports whether something below is the newest of its key and no tombstone.
func (t *trie) alive(r ref) bool {
	if !r.isRecord() {
		return r != 0 && t.dead(r) == 0
	}
	_, kind := t.version(r)
	return kind != kindDelete
}

// changed tells the nodes on the path, from the n-th up, that a child of the last of them
// was alive or not, and is now, by the newest record.
func (t *trie) changed(n int, was, is bool, newest ref) {
	for n--; n >= 0 && !(was && is); n-- {
		node := ref(t.load(t.path[n].slot))
		info := t.load(node.at())
		switch {
		case is && !was:
			info += 1 << 20
		case was && !is:
			info -= 1 << 20
		}
		t.store(node.at(), info)
		was, is = t.dead(node) == 0, info>>20 > 0
		switch {
		case !is:
			t.store(node.at()+16, uint32(newest))
		case !was:
			t.store(node.at()+16, 0)
		}
	}
}

// born is changed for a node that nobody sees yet, with two children.
func (t *trie) born(n, a, b, newest ref) {
	alive := uint32(0)
	for _, r := range []ref{a, b} {
		if t.alive(r) {
			alive++
		}
	}
	t.set(n.at(), t.load(n.at())|alive<<20)
	if alive == 0 {
		t.set(n.at()+16, uint32(newest))
	}
}

func (t *trie) own(n ref) ref { return ref(t.load(n.at() + 8)) }

// skipped returns the last four bytes before depth, the last one lowest.
func (t *trie) skipped(n ref) uint32 { return t.load(n.at() + 12) }

// The places of keys and children in a node.
func keysAt(n ref) int64 { return n.at() + nodeHead }

func childrenAt(n ref, kind int) int64 {
	switch kind {
	case kind4:
		return n.at() + nodeHead + 4
	case kind16:
		return n.at() + nodeHead + 16
	case kind48:
		return n.at() + nodeHead + 256
	}
	return n.at() + nodeHead
}

func (t *trie) keyByte(at int64) int {
	return int(t.load(at&^3)>>(8*uint(at&3))) & 0xff
}

func (t *trie) setKeyByte(at int64, b byte) { t.set(at&^3, t.withKeyByte(at, b)) }

// withKeyByte returns the word around a place with another byte there.
func (t *trie) withKeyByte(at int64, b byte) uint32 {
	shift := 8 * uint(at&3)
	return t.load(at&^3)&^(0xff<<shift) | uint32(b)<<shift
}

// child returns the place of the reference to the child for a byte; 0 if there is none.
func (t *trie) child(n ref, kind, count int, b byte) int64 {
	const ones, tops = 0x01010101, 0x80808080
	switch kind {
	case kind4:
		x := t.load(keysAt(n)) ^ uint32(b)*ones
		if x = (x - ones) &^ x & tops; x != 0 {
			if i := bits.TrailingZeros32(x) / 8; i < count {
				return childrenAt(n, kind4) + int64(i)*4
			}
		}
	case kind16:
		for w := 0; w < count; w += 4 {
			x := t.load(keysAt(n)+int64(w)) ^ uint32(b)*ones
			if x = (x - ones) &^ x & tops; x != 0 {
				if i := w + bits.TrailingZeros32(x)/8; i < count {
					return childrenAt(n, kind16) + int64(i)*4
				}
				return 0
			}
		}
	case kind48:
		if i := t.keyByte(keysAt(n) + int64(b)); i != 0 {
			return childrenAt(n, kind48) + int64(i-1)*4
		}
	default:
		if at := childrenAt(n, kind256) + int64(b)*4; t.load(at) != 0 {
			return at
		}
	}
	return 0
}

// after returns the child with the smallest byte above b, which may be -1, and that
// byte; 0 if there is none.
func (t *trie) after(n ref, b int) (ref, int) {
	kind, count, _ := t.head(n)
	best, where := 256, int64(0)
	switch kind {
	case kind4, kind16:
		for i := range count {
			if k := t.keyByte(keysAt(n) + int64(i)); k > b && k < best {
				best, where = k, childrenAt(n, kind)+int64(i)*4
			}
		}
	case kind48:
		for k := b + 1; k < 256; k++ {
			if i := t.keyByte(keysAt(n) + int64(k)); i != 0 {
				best, where = k, childrenAt(n, kind48)+int64(i-1)*4
				break
			}
		}
	default:
		for k := b + 1; k < 256; k++ {
			if r := ref(t.load(childrenAt(n, kind256) + int64(k)*4)); r != 0 {
				return r, k
			}
		}
	}
	if where == 0 {
		return 0, best
	}
	return ref(t.load(where)), best
}

// before returns the child with the largest byte below b, which may be 256, and that
// byte; 0 if there is none.
func (t *trie) before(n ref, b int) (ref, int) {
	kind, count, _ := t.head(n)
	best, where := -1, int64(0)
	switch kind {
	case kind4, kind16:
		for i := range count {
			if k := t.keyByte(keysAt(n) + int64(i)); k < b && k > best {
				best, where = k, childrenAt(n, kind)+int64(i)*4
			}
		}
	case kind48:
		for k := b - 1; k >= 0; k-- {
			if i := t.keyByte(keysAt(n) + int64(k)); i != 0 {
				best, where = k, childrenAt(n, kind48)+int64(i-1)*4
				break
			}
		}
	default:
		for k := b - 1; k >= 0; k-- {
			if r := ref(t.load(childrenAt(n, kind256) + int64(k)*4)); r != 0 {
				return r, k
			}
		}
	}
	if where == 0 {
		return 0, best
	}
	return ref(t.load(where)), best
}

// A record, as it lies in the arena. Only older is ever changed, and only before
// others can see the record.
func (t *trie) version(r ref) (version uint64, kind entryKind) {
	v := *(*uint64)(unsafe.Pointer(&t.data[r.at()]))
	return v & maxVersion, entryKind(v >> 56)
}

func (t *trie) older(r ref) ref {
	return ref(*(*uint32)(unsafe.Pointer(&t.data[r.at()+8])))
}

func (t *trie) recordKey(r ref) []byte {
	at := r.at()
	n := int64(*(*uint32)(unsafe.Pointer(&t.data[at+12])))
	return t.data[at+recordHead : at+recordHead+n : at+recordHead+n]
}

func (t *trie) recordValue(r ref) []byte {
	at := r.at()
	k := int64(*(*uint32)(unsafe.Pointer(&t.data[at+12])))
	n := int64(*(*uint32)(unsafe.Pointer(&t.data[at+16])))
	from := at + recordHead + k
	return t.data[from : from+n : from+n]
}

// find returns the newest record of a key; 0 if there is none.
func (t *trie) find(key []byte) ref {
	r := ref(t.load(rootSlot))
	for r != 0 && !r.isRecord() {
		kind, count, depth := t.head(r)
		if len(key) <= depth {
			if r = t.own(r); len(key) < depth || r == 0 {
				return 0
			}
			break
		}
		slot := t.child(r, kind, count, key[depth])
		if slot == 0 {
			return 0
		}
		r = ref(t.load(slot))
	}
	if r == 0 || !bytes.Equal(t.recordKey(r), key) {
		return 0
	}
	return r
}

// prefetch asks for the node that a key leads to below those that are likely to be near.
func (t *trie) prefetch(key []byte) {
	r := ref(t.load(rootSlot))
	for range 2 {
		if r == 0 || r.isRecord() {
			return
		}
		kind, count, depth := t.head(r)
		if len(key) <= depth {
			return
		}
		slot := t.child(r, kind, count, key[depth])
		if slot == 0 {
			return
		}
		r = ref(t.load(slot))
	}
	prefetch.Lines(unsafe.Pointer(&t.data[r.at()]), 2)
}

// newRecord writes a record, which nobody sees yet.
func (t *trie) newRecord(key, value []byte, version uint64, kind entryKind, older ref) ref {
	r := t.alloc(int64(recordHead + len(key) + len(value)))
	at := r.at()
	b := t.data[at : at+int64(recordHead+len(key)+len(value))]
	*(*uint64)(unsafe.Pointer(&b[0])) = version | uint64(kind)<<56
	*(*uint32)(unsafe.Pointer(&b[8])) = uint32(older)
	*(*uint32)(unsafe.Pointer(&b[12])) = uint32(len(key))
	*(*uint32)(unsafe.Pointer(&b[16])) = uint32(len(value))
	copy(b[recordHead:], key)
	copy(b[recordHead+len(key):], value)
	t.records.Add(1)
	return r | recordBit
}

// newNode makes an empty node of 4, which branches at depth, for keys that are as key
// up to there.
func (t *trie) newNode(depth int, key []byte) ref {
	n := t.allocNode(node4Bytes)
	t.set(n.at(), kind4)
	t.set(n.at()+4, uint32(depth))
	var skipped uint32
	for _, b := range key[max(depth-4, 0):depth] {
		skipped = skipped<<8 | uint32(b)
	}
	t.set(n.at()+12, skipped)
	return n
}

// add puts a child into a node that has none for that byte. Where the node is full, a
// larger copy takes its place.
func (t *trie) add(n ref, slot int64, b byte, child ref) {
	kind, count, _ := t.head(n)
	if kind != kind256 && count == [...]int{4, 16, 48}[kind] {
		n = t.grow(n, kind, count)
		kind++
		defer t.store(slot, uint32(n))
	}
	switch kind {
	case kind4, kind16:
		t.set(childrenAt(n, kind)+int64(count)*4, uint32(child))
		t.setKeyByte(keysAt(n)+int64(count), b)
	case kind48:
		t.set(childrenAt(n, kind48)+int64(count)*4, uint32(child))
		// Readers look at the byte, or the child, without the count before.
		at := keysAt(n) + int64(b)
		t.store(at&^3, t.withKeyByte(at, byte(count+1)))
	default:
		t.store(childrenAt(n, kind256)+int64(b)*4, uint32(child))
	}
	t.store(n.at(), uint32(kind)|uint32(count+1)<<8|t.load(n.at())>>20<<20)
}

// grow returns a copy of a full node with more room.
func (t *trie) grow(n ref, kind, count int) ref {
	to := t.allocNode([...]int64{node16Bytes, node48Bytes, node256Bytes}[kind])
	for i := int64(4); i < nodeHead; i += 4 {
		t.set(to.at()+i, t.load(n.at()+i))
	}
	place := 0
	for b := range 256 {
		slot := t.child(n, kind, count, byte(b))
		if slot == 0 {
			continue
		}
		child := t.load(slot)
		switch kind {
		case kind4:
			t.set(childrenAt(to, kind16)+int64(place)*4, child)
			t.setKeyByte(keysAt(to)+int64(place), byte(b))
		case kind16:
			t.set(childrenAt(to, kind48)+int64(place)*4, child)
			t.setKeyByte(keysAt(to)+int64(b), byte(place+1))
		default:
			t.set(childrenAt(to, kind256)+int64(b)*4, child)
		}
		place++
	}
	t.set(to.at(), uint32(kind+1)|uint32(count)<<8|t.load(n.at())>>20<<20)
	return to
}

// insert adds a version of a key, newer than those that are there, or of the same
// version as the newest, which it then replaces. There must be room.
func (t *trie) insert(key, value []byte, version uint64, kind entryKind) {
	slot := int64(rootSlot)
	r := ref(t.load(slot))
	if r == 0 {
		t.store(slot, uint32(t.newRecord(key, value, version, kind, 0)))
		return
	}
	t.path = t.path[:0]
	base := 0      // the bytes before it are looked at
	doubt := false // not all of them are, though
	var like []byte
	for !r.isRecord() {
		nodeKind, count, depth := t.head(r)
		skip := depth - base
		if skip > 0 {
			if skip <= 4 && depth <= len(key) {
				if d := firstDifference(t.skipped(r), key[base:depth]); d < skip {
					if doubt {
						t.path = append(t.path, step{node: r, slot: slot})
						like = t.recordKey(t.end(r, true))
						break
					}
					t.split(len(t.path), r, slot, base+d, byte(t.skipped(r)>>(8*uint(skip-1-d))), key, value, version, kind)
					return
				}
			} else {
				doubt = true
			}
		}
		t.path = append(t.path, step{node: r, slot: slot})
		if len(key) <= depth {
			if len(key) == depth && !doubt {
				t.put(len(t.path), r.at()+8, t.own(r), key, value, version, kind)
				return
			}
			like = t.recordKey(t.end(r, true))
			break
		}
		at := t.child(r, nodeKind, count, key[depth])
		if at == 0 {
			if !doubt {
				t.addRecord(len(t.path), r, slot, key[depth], key, value, version, kind)
				return
			}
			like = t.recordKey(t.end(r, true))
			break
		}
		slot, base = at, depth+1
		r = ref(t.load(at))
	}
	if r.isRecord() {
		like = t.recordKey(r)
		d := commonPrefix(like, key)
		if d == len(key) && d == len(like) {
			t.put(len(t.path), slot, r, key, value, version, kind)
			return
		}
		if !doubt || d >= base {
			n := t.newNode(d, key)
			if d == len(like) {
				t.store(n.at()+8, uint32(r))
			} else {
				t.add(n, 0, like[d], r)
			}
			t.join(len(t.path), n, r, slot, d, key, value, version, kind)
			return
		}
	}
	t.place(commonPrefix(like, key), like, key, value, version, kind)
}

// place inserts a key that differs at d from like, which is a key below the last node
// of the path.
func (t *trie) place(d int, like, key, value []byte, version uint64, kind entryKind) {
	for i, s := range t.path {
		nodeKind, count, depth := t.head(s.node)
		switch {
		case depth < d:
			continue
		case depth > d:
			t.split(i, s.node, s.slot, d, like[d], key, value, version, kind)
		case len(key) == d:
			t.put(i+1, s.node.at()+8, t.own(s.node), key, value, version, kind)
		default:
			if at := t.child(s.node, nodeKind, count, key[d]); at != 0 {
				panic("lsm: a key stands twice in the trie")
			}
			t.addRecord(i+1, s.node, s.slot, key[d], key, value, version, kind)
		}
		return
	}
	panic("lsm: a key has no place in the trie")
}

// The functions below change what is below t.path[:path], and nothing above it.

// addRecord puts the record of a new key below a node that has no child for that byte.
func (t *trie) addRecord(path int, n ref, slot int64, b byte, key, value []byte, version uint64, kind entryKind) {
	r := t.newRecord(key, value, version, kind, 0)
	t.add(n, slot, b, r)
	t.changed(path, false, kind != kindDelete, r)
}

// split puts a node that branches at d above one whose keys have the byte b there.
func (t *trie) split(path int, below ref, slot int64, d int, b byte, key, value []byte, version uint64, kind entryKind) {
	n := t.newNode(d, key)
	t.add(n, 0, b, below)
	t.join(path, n, below, slot, d, key, value, version, kind)
}

// join puts the record of a new key into a new node, which branches at d and has another
// child, and the node into the other's place.
func (t *trie) join(path int, n, other ref, slot int64, d int, key, value []byte, version uint64, kind entryKind) {
	r := t.newRecord(key, value, version, kind, 0)
	if d == len(key) {
		t.store(n.at()+8, uint32(r))
	} else {
		t.add(n, 0, key[d], r)
	}
	t.born(n, other, r, r)
	t.store(slot, uint32(n))
	t.changed(path, t.alive(other), t.alive(n), r)
}

// put makes a record the newest of its key, whose records begin with old.
func (t *trie) put(path int, slot int64, old ref, key, value []byte, version uint64, kind entryKind) {
	older, was := old, false
	if old != 0 {
		v, oldKind := t.version(old)
		if was = oldKind != kindDelete; v == version {
			older = t.older(old)
		}
	}
	r := t.newRecord(key, value, version, kind, older)
	t.store(slot, uint32(r))
	t.changed(path, was, kind != kindDelete, r)
}

// firstDifference returns the index of the first byte of key that is not that of the
// skipped bytes, which end with the lowest; the length of key if there is none.
func firstDifference(skipped uint32, key []byte) int {
	for i, b := range key {
		if byte(skipped>>(8*uint(len(key)-1-i))) != b {
			return i
		}
	}
	return len(key)
}

func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}
