package cowbtree

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// checkPage returns ErrCorrupt, saying what is wrong, for an image that is no page:
// whatever the functions of page.go rely on is so in one that is.
func checkPage(b []byte) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: a page whose %s", engine.ErrCorrupt, fmt.Sprintf(format, args...))
	}
	if len(b) < headerBytes {
		return bad("%d bytes are less than its header", len(b))
	}
	kind, level, count, capacity := b[atKind], b[atLevel], pageCount(b), u16(b, atCap)
	size, at := int(u32(b, atSize)), int(u32(b, atHeap))
	switch {
	case kind != kindLeaf && kind != kindInner:
		return bad("kind is %d", kind)
	case (kind == kindLeaf) != (level == 0):
		return bad("kind is %d at level %d", kind, level)
	case b[atShift] > 2:
		return bad("unit is 1<<%d", b[atShift])
	case b[atFlags] > flagExtents:
		return bad("flags are %#x", b[atFlags])
	case size != len(b) || size > maxPageBytes:
		return bad("size is %d, of %d bytes", size, len(b))
	case count > capacity:
		return bad("directory of %d has %d entries", capacity, count)
	case kind == kindInner && count == 0:
		return bad("children are none")
	case dirBytes(kind, capacity) > at || at > size:
		return bad("records begin at %d", at)
	case int(u32(b, atGarbage)) > size-at:
		return bad("garbage is %d bytes", u32(b, atGarbage))
	}
	if n, from := u16(b, atPrefixLen), int(u32(b, atPrefix)); n > shortPrefix && (from < at || from > size-n) {
		return bad("prefix is at %d", from)
	}
	slots := slotOfLeaf(b, capacity)
	if kind == kindInner {
		slots = innerDirOf(capacity).slots
	}
	for i := range count {
		off := slotAt(b, slots, i)
		_, _, extent, ok := record(b, off)
		if !ok || off < at {
			return bad("record %d is at %d", i, off)
		}
		if extent && kind == kindInner {
			return bad("separator %d has a value elsewhere", i)
		}
	}
	return nil
}
