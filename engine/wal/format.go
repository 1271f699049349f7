package wal

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

const (
	magic   = "orbitwal"
	version = 2

	suffix    = ".wal"
	temporary = ".tmp"

	leastUnit   = 512  // of flushing: a group begins and ends at a multiple of it
	headBytes   = 4096 // of a segment, before its first group
	headerBytes = 512
	copyOffset  = 2048 // of the second copy of the header

	recordHeader = 8
	markPayload  = 40
	markBytes    = recordHeader + markPayload

	// MaxPayload is the largest payload of a record, in bytes.
	MaxPayload = 1<<29 - 1
)

// Kinds of records. None is 0, so that no record begins with eight zeros.
const (
	kindData uint32 = 1 + iota
	kindMark
	kindBits = 2
)

// header is what the head of a segment says.
type header struct {
	unit       uint32 // bytes
	id         uint64 // of the log
	generation uint64 // one more at every open and every change of the sinks
	number     uint64 // of the segment; ascending
	previous   uint64 // the number of the one before it; 0 if none is needed
	first      uint64 // sequence of the first record
	durable    uint64 // all records up to it were flushed when this was written
	salt       uint64 // differs from that of every earlier use of the slot
	place      uint64 // the slot
	method     FlushMethod
	members    uint16 // a bit for each sink that was in sync; 0 for all
}

// has reports whether a sink was in sync when the header was written.
func (h header) has(sink int) bool { return h.members == 0 || h.members>>sink&1 == 1 }

// encode puts both copies into head, which has headBytes.
func (h header) encode(head []byte) {
	clear(head)
	copy(head, magic)
	binary.LittleEndian.PutUint32(head[8:], version)
	binary.LittleEndian.PutUint32(head[12:], h.unit)
	for i, v := range [...]uint64{h.id, h.generation, h.number, h.previous, h.first, h.durable, h.salt, h.place} {
		binary.LittleEndian.PutUint64(head[16+8*i:], v)
	}
	head[80] = byte(h.method)
	binary.LittleEndian.PutUint16(head[82:], h.members)
	binary.LittleEndian.PutUint32(head[headerBytes-4:], checksum.Of(head[:headerBytes-4]))
	copy(head[copyOffset:], head[:headerBytes])
}

// newer reports whether the header was written after other.
func (h header) newer(other header) bool {
	return h.generation > other.generation || h.generation == other.generation && h.number > other.number
}

// decodeHead reads the head of the segment in a slot; ok is false if neither copy
// is whole, as in a slot that was never used, or if they are of other slots. Of two that differ it takes the newer one:
// the other is what was there before, in a sector that was not overwritten. A whole
// header of another version is ErrUnsupported.
func decodeHead(head []byte, slot int) (h header, ok bool, err error) {
	for _, at := range [...]int{0, copyOffset} {
		if len(head) < at+headerBytes {
			break
		}
		b := head[at : at+headerBytes]
		if string(b[:len(magic)]) != magic || !checksum.Matches(binary.LittleEndian.Uint32(b[headerBytes-4:]), checksum.Of(b[:headerBytes-4])) {
			continue
		}
		if v := binary.LittleEndian.Uint32(b[8:]); v != version {
			return header{}, false, fmt.Errorf("%w: log format version %d; this program reads %d", engine.ErrUnsupported, v, version)
		}
		c := header{unit: binary.LittleEndian.Uint32(b[12:]), method: FlushMethod(b[80]), members: binary.LittleEndian.Uint16(b[82:])}
		for i, v := range [...]*uint64{&c.id, &c.generation, &c.number, &c.previous, &c.first, &c.durable, &c.salt, &c.place} {
			*v = binary.LittleEndian.Uint64(b[16+8*i:])
		}
		if c.unit < leastUnit || c.unit > headBytes || c.unit&(c.unit-1) != 0 {
			return header{}, false, fmt.Errorf("%w: the header of a log segment has a unit of %d bytes", engine.ErrCorrupt, c.unit)
		}
		if c.place != uint64(slot) {
			continue
		}
		if !ok || c.newer(h) {
			h, ok = c, true
		}
	}
	return h, ok, nil
}

// seed is what the checksums of the segment's records begin with, so that a
// record of another log, life or segment is none of this one. The salt is needed
// because the head of an earlier life may be lost while its records are not; the
// next life then has the same generation and number.
func (h header) seed() uint64 {
	return scramble(scramble(scramble(h.id+h.generation*prime1)+h.number*prime2) + h.salt)
}

// Odd constants with many bits, of the SplitMix64 and Murmur3 finalizers.
const (
	prime1 = 0x9e3779b97f4a7c15
	prime2 = 0xbf58476d1ce4e5b9
	prime3 = 0x94d049bb133111eb
)

// scramble spreads each bit of x over all: the finalizer of SplitMix64 (Steele,
// Lea and Flood, 2014).
func scramble(x uint64) uint64 {
	x = (x ^ x>>30) * prime2
	x = (x ^ x>>27) * prime3
	return x ^ x>>31
}

// seal is the checksum of a record: the CRC32C of its payload, plus a hash of
// where and when it was written and of its length and kind. A payload's CRC can
// so be computed before its place is known.
func seal(payload uint32, seed uint64, offset int64, sequence uint64, word uint32) uint32 {
	return payload + uint32(scramble(seed+uint64(offset)*prime1+sequence*prime2+uint64(word)*prime3))
}

// recordBytes is the space of a record with a payload of n bytes: a multiple of
// eight, so that the header of a record never straddles the end of a unit.
func recordBytes(n int) int { return (recordHeader + n + 7) &^ 7 }

// appendRecord appends a record of data, with the CRC of its payload.
func appendRecord(dst, payload []byte, crc uint32, seed uint64, offset int64, sequence uint64) []byte {
	word := uint32(len(payload))<<kindBits | kindData
	dst = binary.LittleEndian.AppendUint32(dst, seal(crc, seed, offset, sequence, word))
	dst = binary.LittleEndian.AppendUint32(dst, word)
	dst = append(dst, payload...)
	for range -len(payload) & 7 {
		dst = append(dst, 0)
	}
	return dst
}

// mark begins each group. It can be read wherever it lies, and says where it
// belongs.
type mark struct {
	id       uint64 // of the log
	seed     uint64 // of the segment
	offset   int64
	sequence uint64 // of the record behind it
	durable  uint64 // all records up to it were flushed when this was written
	closed   bool   // behind all records of a log that was closed
}

const closedFlag = 1 << 63

// encode puts the mark into dst, which has markBytes.
func (m mark) encode(dst []byte) {
	offset := uint64(m.offset)
	if m.closed {
		offset |= closedFlag
	}
	for i, v := range [...]uint64{m.id, m.seed, offset, m.sequence, m.durable} {
		binary.LittleEndian.PutUint64(dst[recordHeader+8*i:], v)
	}
	const word = markPayload<<kindBits | kindMark
	binary.LittleEndian.PutUint32(dst, checksum.Of(dst[recordHeader:markBytes]))
	binary.LittleEndian.PutUint32(dst[4:], word)
}

// decodeMark reads the mark at the head of data.
func decodeMark(data []byte) (m mark, ok bool) {
	if len(data) < markBytes || binary.LittleEndian.Uint32(data[4:]) != markPayload<<kindBits|kindMark ||
		!checksum.Matches(binary.LittleEndian.Uint32(data), checksum.Of(data[recordHeader:markBytes])) {
		return mark{}, false
	}
	var offset uint64
	for i, v := range [...]*uint64{&m.id, &m.seed, &offset, &m.sequence, &m.durable} {
		*v = binary.LittleEndian.Uint64(data[recordHeader+8*i:])
	}
	m.offset, m.closed = int64(offset&^closedFlag), offset&closedFlag != 0
	return m, true
}

// segmentName returns the name of the file in a slot.
func segmentName(slot int) string { return fmt.Sprintf("%06d%s", slot, suffix) }

// parseName is the inverse of segmentName.
func parseName(name string) (slot int, ok bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	if !ok || len(digits) < 6 {
		return 0, false
	}
	slot, err := strconv.Atoi(digits)
	return slot, err == nil && slot > 0 && segmentName(slot) == name
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) &^ (unit - 1) }
