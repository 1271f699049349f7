package cowbtree

import (
	"bytes"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// checkContent returns ErrCorrupt, saying what is wrong, for a page that checkPage
// lets pass, but whose parts do not agree: with each other, or with the keys that
// it may have. Those are from lower on and below upper; nil is open. has are the
// flags that the entries ask for.
func checkContent(b []byte, lower, upper []byte) (has byte, err error) {
	bad := func(format string, args ...any) (byte, error) {
		return has, fmt.Errorf("%w: a page whose %s", engine.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	count, capacity, inner := pageCount(b), u16(b, atCap), b[atKind] == kindInner
	p, _ := prefix(b)
	d := innerDirOf(capacity)
	slots := slotOfLeaf(b, capacity)
	heads := slots + 2*capacity
	if inner {
		slots, heads = d.slots, d.heads
		for i := range count {
			has |= childAt(b, i).flags
		}
	}
	used := 0
	if len(p) > shortPrefix { // else it lies in the header
		used = roundTo(len(p), uint(b[atShift]))
	}
	// The first separator of an inner page stands for whatever is below all.
	first := 0
	if inner {
		first = 1
	}
	key := bytes.Clone(p)
	var before []byte
	for i := range count {
		off := slotAt(b, slots, i)
		suffix, _, extent, _ := record(b, off)
		used += recordBytesAt(b, off)
		if u32(b, heads+4*i) != head(suffix) {
			return bad("head %d is not that of its key", i)
		}
		if inner && i%indexEvery == 0 && u32(b, headerBytes+4*(i/indexEvery)) != head(suffix) {
			return bad("index does not have head %d", i)
		}
		key = append(key[:len(p)], suffix...)
		if !inner {
			if b[headerBytes+i] != fingerprint(key) {
				return bad("fingerprint %d is not that of key %s", i, engine.QuoteKey(key))
			}
			if extent {
				has |= flagExtents
			}
		}
		if i < first {
			continue
		}
		if i > first && bytes.Compare(before, suffix) >= 0 {
			return bad("key %d, %s, is not above the one before", i, engine.QuoteKey(key))
		}
		before = suffix
		// The separator of a page is that of its first child.
		if i == first && lower != nil && (bytes.Compare(key, lower) < 0 || inner && bytes.Equal(key, lower)) {
			return bad("key %d, %s, is below its separator, %s", i, engine.QuoteKey(key), engine.QuoteKey(lower))
		}
		if i == count-1 && upper != nil && bytes.Compare(key, upper) >= 0 {
			return bad("key %d, %s, is not below the separator of the next page, %s", i, engine.QuoteKey(key), engine.QuoteKey(upper))
		}
	}
	if size := int(u32(b, atSize) - u32(b, atHeap)); used+int(u32(b, atGarbage)) != size {
		return bad("records, prefix and garbage take %d of %d bytes", used+int(u32(b, atGarbage)), size)
	}
	if has&^b[atFlags] != 0 {
		return bad("flags, %#x, lack %#x", b[atFlags], has)
	}
	return has, nil
}

// childAt returns the reference in entry i of an inner page.
func childAt(b []byte, i int) ref {
	e, _ := entryAt(b, i, nil)
	return e.child
}
