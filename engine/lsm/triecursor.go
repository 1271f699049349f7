package lsm

import (
	"bytes"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// trieCursor walks the keys of a trie in order. What was there when the walk began is
// met; what comes meanwhile may be.
type trieCursor struct {
	t *trie
	// record is the newest version of the key that the cursor stands on; 0 for none.
	record ref
	stack  []branch
}

// branch is a node on the way to a record, and the byte of the child that the way goes
// on with; -1 for the record whose key ends there.
type branch struct {
	node ref
	at   int
}

func (c *trieCursor) first() {
	c.stack = c.stack[:0]
	c.down(ref(c.t.load(rootSlot)))
}

func (c *trieCursor) last() {
	c.stack = c.stack[:0]
	c.downLast(ref(c.t.load(rootSlot)))
}

// down goes to the first record below r.
func (c *trieCursor) down(r ref) {
	for r != 0 && !r.isRecord() {
		c.t.prefetchChildren(r)
		if own := c.t.own(r); own != 0 {
			c.stack = append(c.stack, branch{r, -1})
			r = own
			break
		}
		child, b := c.t.after(r, -1)
		c.stack = append(c.stack, branch{r, b})
		r = child
	}
	c.record = r
}

// downLast goes to the last record below r.
func (c *trieCursor) downLast(r ref) {
	for r != 0 && !r.isRecord() {
		c.t.prefetchChildren(r)
		child, b := c.t.before(r, 256)
		if child == 0 {
			child, b = c.t.own(r), -1
		}
		c.stack = append(c.stack, branch{r, b})
		r = child
	}
	c.record = r
}

// next goes to the record behind the one that the stack leads to.
func (c *trieCursor) next() {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if child, b := c.t.after(top.node, top.at); child != 0 {
			top.at = b
			c.down(child)
			return
		}
		c.stack = c.stack[:len(c.stack)-1]
	}
	c.record = 0
}

// prev goes to the record before the one that the stack leads to.
func (c *trieCursor) prev() {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.at >= 0 {
			if child, b := c.t.before(top.node, top.at); child != 0 {
				top.at = b
				c.downLast(child)
				return
			}
			if own := c.t.own(top.node); own != 0 {
				top.at = -1
				c.record = own
				return
			}
		}
		c.stack = c.stack[:len(c.stack)-1]
	}
	c.record = 0
}

// passDead goes on from a tombstone that a reader at a version sees, to the next record
// that is none to that reader, or, past as much as lies before it, to one at the limit or
// behind it; back, the other way. Subtrees without a living record are passed by as a
// whole.
func (c *trieCursor) passDead(at uint64, limit []byte, back bool) {
	for {
		top := len(c.stack)
		for i := top - 1; i >= 0 && c.t.deadTo(c.stack[i].node, at); i-- {
			if !inside(c.t.recordKey(c.t.end(c.stack[i].node, back)), limit, back) {
				break
			}
			top = i
		}
		c.stack = c.stack[:top]
		if back {
			c.prev()
		} else {
			c.next()
		}
		if c.record == 0 || !inside(c.t.recordKey(c.record), limit, back) {
			return
		}
		if r := c.t.visible(c.record, at); r != 0 {
			if _, kind := c.t.version(r); kind != kindDelete {
				return
			}
		}
	}
}

// inside reports whether a key comes before a limit in a walk.
func inside(key, limit []byte, back bool) bool {
	if back {
		return bytes.Compare(key, limit) > 0
	}
	return bytes.Compare(key, limit) < 0
}

// end returns the last record below a node, or the first.
func (t *trie) end(r ref, first bool) ref {
	for !r.isRecord() {
		if first {
			if own := t.own(r); own != 0 {
				return own
			}
			r, _ = t.after(r, -1)
			continue
		}
		child, _ := t.before(r, 256)
		if child == 0 {
			return t.own(r)
		}
		r = child
	}
	return r
}

// prefetchChildren asks for what a walk over a node will come to, if that is not much.
func (t *trie) prefetchChildren(n ref) {
	kind, count, _ := t.head(n)
	if kind > kind16 {
		return
	}
	at := childrenAt(n, kind)
	for i := range int64(count) {
		prefetch.Lines(unsafe.Pointer(&t.data[ref(t.load(at+4*i)).at()]), 2)
	}
}

// seekGE goes to the first record whose key is >= key.
func (c *trieCursor) seekGE(key []byte) {
	c.stack = c.stack[:0]
	r, base := ref(c.t.load(rootSlot)), 0
	for r != 0 && !r.isRecord() {
		kind, count, depth := c.t.head(r)
		if order := c.compareSkipped(r, depth, base, key); order != 0 {
			if order > 0 {
				c.down(r)
			} else {
				c.next()
			}
			return
		}
		if len(key) == depth {
			c.down(r)
			return
		}
		b := key[depth]
		c.stack = append(c.stack, branch{r, int(b)})
		c.t.prefetchChildren(r)
		slot := c.t.child(r, kind, count, b)
		if slot == 0 {
			c.next()
			return
		}
		r, base = ref(c.t.load(slot)), depth+1
	}
	if c.record = r; r != 0 && bytes.Compare(c.t.recordKey(r), key) < 0 {
		c.next()
	}
}

// seekLT goes to the last record whose key is < key.
func (c *trieCursor) seekLT(key []byte) {
	c.seekGE(key)
	if c.record == 0 {
		c.last()
		return
	}
	c.prev()
}

// compareSkipped compares what all keys below a node have from base to depth with key;
// a key that ends before comes before them.
func (c *trieCursor) compareSkipped(r ref, depth, base int, key []byte) int {
	if depth == base {
		return compareLength(len(key), depth)
	}
	n := min(depth, len(key)) - base
	if depth-base <= 4 {
		skipped := c.t.skipped(r)
		for i := range max(n, 0) {
			b := byte(skipped >> (8 * uint(depth-base-1-i)))
			if b != key[base+i] {
				return int(b) - int(key[base+i])
			}
		}
		return compareLength(len(key), depth)
	}
	like := c.t.recordKey(c.t.end(r, true))
	if order := bytes.Compare(like[base:base+max(n, 0)], key[base:base+max(n, 0)]); order != 0 {
		return order
	}
	return compareLength(len(key), depth)
}

// compareLength tells how keys of at least depth bytes compare with their own prefix of
// length n: above it, if that is shorter than depth.
func compareLength(n, depth int) int {
	if n < depth {
		return 1
	}
	return 0
}
