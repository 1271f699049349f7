package cowbtree

// Changes of a leaf in its place. The page must be stable, and is left as it was
// where there is no room.

// liveBytes is what a page would take without slack and garbage.
func liveBytes(b []byte) int {
	return dirBytes(b[atKind], pageCount(b)) + int(u32(b, atSize)-u32(b, atHeap)-u32(b, atGarbage))
}

// recordBytesAt is the size of the record at offset off, rounded as it lies there.
func recordBytesAt(b []byte, off int) int {
	suffix, value, extent, _ := record(b, off)
	n := len(value)
	if extent {
		n = 0
	}
	return roundTo(recordBytes(len(suffix), n, extent), uint(b[atShift]))
}

// hasRoom reports whether putInLeaf has room for an entry at i, without making
// anything new of the page.
func hasRoom(b []byte, i int, exact bool, key []byte, value int, extent bool, maxKeys int) bool {
	suffix, side, _ := without(b, key)
	if side != 0 {
		return false
	}
	count, capacity := pageCount(b), u16(b, atCap)
	n := roundTo(recordBytes(len(suffix), value, extent), uint(b[atShift]))
	if exact {
		old := recordBytesAt(b, slotAt(b, slotOfLeaf(b, capacity), i))
		return n <= old || int(u32(b, atHeap))-n >= leafDir(capacity)
	}
	if count >= maxKeys {
		return false
	}
	if count == capacity {
		capacity += growth(capacity)
	}
	return capacity < 1<<16 && int(u32(b, atHeap))-n >= leafDir(capacity)
}

// growth is how many places a full directory gains.
func growth(capacity int) int { return 4 + capacity/8 }

// putInLeaf puts an entry at i, over the one there if exact. hasRoom said that it
// can.
func putInLeaf(b []byte, i int, exact bool, key, value []byte, extent bool) {
	suffix, _, _ := without(b, key)
	count, capacity := pageCount(b), u16(b, atCap)
	if extent {
		b[atFlags] |= flagExtents
	}
	shift := uint(b[atShift])
	size := len(value)
	if extent {
		size = 0
	}
	n := roundTo(recordBytes(len(suffix), size, extent), shift)
	if exact {
		slots := slotOfLeaf(b, capacity)
		off := slotAt(b, slots, i)
		old := recordBytesAt(b, off)
		if n <= old {
			putRecord(b, off, suffix, value, extent)
			addGarbage(b, old-n)
			return
		}
		addGarbage(b, old)
		putU16(b, slots+2*i, newRecord(b, n, suffix, value, extent)>>shift)
		return
	}
	if count == capacity {
		growDirectory(b, capacity+growth(capacity))
		capacity = u16(b, atCap)
	}
	off := newRecord(b, n, suffix, value, extent)
	slots := slotOfLeaf(b, capacity)
	heads := slots + 2*capacity
	copy(b[headerBytes+i+1:headerBytes+count+1], b[headerBytes+i:headerBytes+count])
	copy(b[slots+2*(i+1):slots+2*(count+1)], b[slots+2*i:slots+2*count])
	copy(b[heads+4*(i+1):heads+4*(count+1)], b[heads+4*i:heads+4*count])
	b[headerBytes+i] = fingerprint(key)
	putU16(b, slots+2*i, off>>shift)
	putU32(b, heads+4*i, head(suffix))
	putU16(b, atCount, count+1)
}

// newRecord writes a record of n bytes below the others.
func newRecord(b []byte, n int, suffix, value []byte, extent bool) int {
	off := int(u32(b, atHeap)) - n
	putRecord(b, off, suffix, value, extent)
	putU32(b, atHeap, uint32(off))
	return off
}

func addGarbage(b []byte, n int) { putU32(b, atGarbage, u32(b, atGarbage)+uint32(n)) }

// growDirectory makes room for more entries, which is there.
func growDirectory(b []byte, capacity int) {
	old, count := u16(b, atCap), pageCount(b)
	copy(b[headerBytes+3*capacity:], b[headerBytes+3*old:headerBytes+3*old+4*count])
	copy(b[headerBytes+capacity:], b[headerBytes+old:headerBytes+old+2*count])
	putU16(b, atCap, capacity)
}

// removeFromLeaf removes entry i.
func removeFromLeaf(b []byte, i int) {
	count, capacity := pageCount(b), u16(b, atCap)
	slots := slotOfLeaf(b, capacity)
	heads := slots + 2*capacity
	addGarbage(b, recordBytesAt(b, slotAt(b, slots, i)))
	copy(b[headerBytes+i:], b[headerBytes+i+1:headerBytes+count])
	copy(b[slots+2*i:], b[slots+2*(i+1):slots+2*count])
	copy(b[heads+4*i:], b[heads+4*(i+1):heads+4*count])
	putU16(b, atCount, count-1)
}
