package cowbtree

// copyPage copies a page into dst, which is as large as any frame may be that is to
// hold it, with room for more entries. It reports false, having done nothing, where
// the page must be built anew: its records are elsewhere, or too much of it is
// garbage.
func copyPage(dst, src []byte) bool {
	kind := src[atKind]
	size, at := int(u32(src, atSize)), int(u32(src, atHeap))
	count := pageCount(src)
	shift := shiftFor(len(dst))
	records := size - at
	room := len(dst) - dirBytes(kind, count) - records
	if uint(src[atShift]) != shift || int(u32(src, atGarbage)) > len(dst)/8 || (len(dst)-size)&(1<<shift-1) != 0 || room < 0 {
		return false
	}
	each := records/max(count, 1) + leafEntryBytes
	if kind == kindInner {
		each += refBytes
	}
	slack := min(room/(each+1), 1<<16-1-count)
	for slack > 0 && dirBytes(kind, count+slack) > len(dst)-records {
		slack--
	}
	move(dst, src, count+slack, len(dst))
	return true
}

// pack makes the image of a page for the file: without slack, and without hints. It
// is in out, which is made longer if need be.
func pack(out, b []byte) []byte {
	kind, count := b[atKind], pageCount(b)
	shift := uint(b[atShift])
	var n int
	if u32(b, atGarbage) == 0 {
		n = roundTo(dirBytes(kind, count), shift) + int(u32(b, atSize)-u32(b, atHeap))
		out = grow(out, n)
		move(out, b, count, n)
	} else {
		var entries []entry
		var keys []byte
		for i := range count {
			var e entry
			e, keys = entryAt(b, i, keys)
			entries = append(entries, e)
		}
		n = builtBytes(kind, entries, shift)
		n = roundTo(n, shift)
		out = grow(out, n)
		build(out, kind, pageLevel(b), entries)
	}
	if kind == kindInner {
		for i := range count {
			putU32(out, refAt(out, i)+atHint, 0)
		}
	}
	return out
}

// grow returns n bytes in the memory of b, if they fit.
func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n, max(n, minPageBytes))
	}
	return b[:n]
}

// move makes dst a page of size bytes with the entries of src and a directory of
// that capacity, keeping its records as they lie.
func move(dst, src []byte, capacity, size int) {
	kind := src[atKind]
	from, at := int(u32(src, atSize)), int(u32(src, atHeap))
	count, old := pageCount(src), u16(src, atCap)
	by := size - from // may be below 0
	copy(dst[:headerBytes], src[:headerBytes])
	clear(dst[headerBytes:min(dirBytes(kind, capacity), at+by)])
	copy(dst[at+by:size], src[at:from])
	putU32(dst, atSize, uint32(size))
	putU32(dst, atHeap, uint32(at+by))
	if u16(src, atPrefixLen) > shortPrefix {
		putU32(dst, atPrefix, uint32(int(u32(src, atPrefix))+by))
	}
	putU16(dst, atCap, capacity)
	slots, to := headerBytes+old, headerBytes+capacity
	if kind == kindInner {
		d, n := innerDirOf(old), innerDirOf(capacity)
		slots, to = d.slots, n.slots
		copy(dst[n.heads:], src[d.heads:d.heads+4*count])
		copy(dst[n.refs:], src[d.refs:d.refs+hotBytes*count])
		copy(dst[n.rests:], src[d.rests:d.rests+(refBytes-hotBytes)*count])
	} else {
		copy(dst[headerBytes:], src[headerBytes:headerBytes+count])
		copy(dst[headerBytes+3*capacity:], src[headerBytes+3*old:headerBytes+3*old+4*count])
	}
	shift := uint(src[atShift])
	for i := range count {
		putU16(dst, to+2*i, u16(src, slots+2*i)+by>>shift)
	}
	if kind == kindInner {
		indexHeads(dst)
	}
}
