package cowbtree

// Changes of an inner page in its place. The page is nobody else's yet.

// setChild puts another reference in the place of child i.
func setChild(b []byte, i int, r ref) {
	b[atFlags] |= r.flags
	putRef(b, i, r)
}

// hasRoomForChild reports whether insertChild has room.
func hasRoomForChild(b []byte, key []byte, maxKeys int) bool {
	suffix, side, _ := without(b, key)
	count, capacity := pageCount(b), u16(b, atCap)
	n := roundTo(recordBytes(len(suffix), 0, false), uint(b[atShift]))
	return side == 0 && count < capacity && count < maxKeys && int(u32(b, atHeap))-n >= innerDirOf(capacity).end
}

// insertChild puts a child with its separator at i, which is not 0. hasRoomForChild
// said that it can.
func insertChild(b []byte, i int, key []byte, r ref) {
	suffix, _, _ := without(b, key)
	count, capacity := pageCount(b), u16(b, atCap)
	shift := uint(b[atShift])
	d := innerDirOf(capacity)
	off := newRecord(b, roundTo(recordBytes(len(suffix), 0, false), shift), suffix, nil, false)
	copy(b[d.heads+4*(i+1):d.heads+4*(count+1)], b[d.heads+4*i:d.heads+4*count])
	const rest = refBytes - hotBytes
	copy(b[d.refs+hotBytes*(i+1):d.refs+hotBytes*(count+1)], b[d.refs+hotBytes*i:d.refs+hotBytes*count])
	copy(b[d.rests+rest*(i+1):d.rests+rest*(count+1)], b[d.rests+rest*i:d.rests+rest*count])
	copy(b[d.slots+2*(i+1):d.slots+2*(count+1)], b[d.slots+2*i:d.slots+2*count])
	putU32(b, d.heads+4*i, head(suffix))
	putU16(b, d.slots+2*i, off>>shift)
	putU16(b, atCount, count+1)
	setChild(b, i, r)
	indexHeads(b)
}

// removeChild removes child i, which is not 0, and its separator.
func removeChild(b []byte, i int) {
	count, capacity := pageCount(b), u16(b, atCap)
	d := innerDirOf(capacity)
	addGarbage(b, recordBytesAt(b, slotAt(b, d.slots, i)))
	copy(b[d.heads+4*i:], b[d.heads+4*(i+1):d.heads+4*count])
	const rest = refBytes - hotBytes
	copy(b[d.refs+hotBytes*i:], b[d.refs+hotBytes*(i+1):d.refs+hotBytes*count])
	copy(b[d.rests+rest*i:], b[d.rests+rest*(i+1):d.rests+rest*count])
	copy(b[d.slots+2*i:], b[d.slots+2*(i+1):d.slots+2*count])
	putU16(b, atCount, count-1)
	indexHeads(b)
}

// indexHeads makes the index of every 16th head.
func indexHeads(b []byte) {
	heads := innerDirOf(u16(b, atCap)).heads
	for i := 0; i < pageCount(b); i += indexEvery {
		putU32(b, headerBytes+4*(i/indexEvery), u32(b, heads+4*i))
	}
}
