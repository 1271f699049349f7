package memory

import (
	"bytes"
	"encoding/binary"
	"math"
	"unsafe"
)

// record is the header of one version of an entry; its key and value lie behind
// it in the same allocation. It does not change once it can be reached.
type record struct {
	// head is the key's first 8 bytes, big-endian and padded with noughts: two
	// keys whose heads differ compare as their heads do.
	head     uint64
	keyLen   uint32
	valueLen uint32 // tombstone for a deletion that waits in the tail
}

const (
	headerBytes = int(unsafe.Sizeof(record{}))
	tombstone   = math.MaxUint32
)

func newRecord(key, value []byte) *record {
	// The allocation is never smaller than the header and one byte, so that no
	// pointer to an empty key or value leaves it.
	p := make([]byte, headerBytes+max(1, len(key)+len(value)))
	r := (*record)(unsafe.Pointer(unsafe.SliceData(p)))
	r.head = keyHead(key)
	r.keyLen = uint32(len(key))
	r.valueLen = uint32(len(value))
	copy(p[headerBytes:], key)
	copy(p[headerBytes+len(key):], value)
	return r
}

func newTombstone(key []byte) *record {
	r := newRecord(key, nil)
	r.valueLen = tombstone
	return r
}

// key returns the record's key; not to be changed.
func (r *record) key() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(r), headerBytes)), r.keyLen)
}

// value returns the record's value, never nil; not to be changed.
func (r *record) value() []byte {
	if r.valueLen == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(r), headerBytes+int(r.keyLen))), r.valueLen)
}

func (r *record) size() int { return headerBytes + int(r.keyLen) + int(r.valueLen) }

func keyHead(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var p [8]byte
	copy(p[:], key)
	return binary.BigEndian.Uint64(p[:])
}

// item is what the tree holds. The head stands beside the pointer, so that most
// comparisons of a descent touch no record.
type item struct {
	head uint64
	rec  *record
}

func (r *record) item() item { return item{r.head, r} }

func less(a, b item) bool {
	if a.head != b.head {
		return a.head < b.head
	}
	return bytes.Compare(a.rec.key(), b.rec.key()) < 0
}
