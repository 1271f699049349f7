package flash

import "unsafe"

// cursor walks a state of the tree that is fixed.
type cursor struct {
	root  *root
	stack []step
	leaf  *leaf // nil: it stands on nothing
	// memory is for a copy of the leaf, if it has a tail.
	memory []byte
	shape  shape
	at     int
}

// step is an inner node on the way down, and the child that the way goes on with.
type step struct {
	node *inner
	at   int
}

func (c *cursor) valid() bool { return c.leaf != nil }

func (c *cursor) stop() bool {
	c.leaf = nil
	return false
}

func (c *cursor) stand(p unsafe.Pointer) {
	c.leaf = c.root.runOf((*leaf)(p), &c.memory)
	c.shape = c.leaf.shape()
}

// down goes to the first or last entry below a node.
func (c *cursor) down(p unsafe.Pointer, level int, last bool) {
	for ; level > 0; level-- {
		n := (*inner)(p)
		i := 0
		if last {
			i = len(n.kids) - 1
		}
		c.stack = append(c.stack, step{n, i})
		p = loadPointer(&n.kids[i])
	}
	c.stand(p)
	c.at = 0
	if last {
		c.at = int(c.leaf.n) - 1
	}
}

func (c *cursor) first() bool {
	c.stack = c.stack[:0]
	if c.root.top == nil {
		return c.stop()
	}
	c.down(c.root.top, c.root.height, false)
	return true
}

func (c *cursor) last() bool {
	c.stack = c.stack[:0]
	if c.root.top == nil {
		return c.stop()
	}
	c.down(c.root.top, c.root.height, true)
	return true
}

// seekGE goes to the first entry that is not below key.
func (c *cursor) seekGE(key []byte) bool {
	c.stack = c.stack[:0]
	p := c.root.top
	if p == nil {
		return c.stop()
	}
	for range c.root.height {
		n := (*inner)(p)
		i := n.order.child(key)
		c.stack = append(c.stack, step{n, i})
		p = loadPointer(&n.kids[i])
	}
	c.stand(p)
	if c.at, _ = c.leaf.search(key); c.at == int(c.leaf.n) {
		c.at--
		return c.next()
	}
	return true
}

// seekLT goes to the last entry that is below key.
func (c *cursor) seekLT(key []byte) bool {
	if !c.seekGE(key) {
		return c.last()
	}
	return c.prev()
}

func (c *cursor) next() bool {
	if c.at+1 < int(c.leaf.n) {
		c.at++
		return true
	}
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.at+1 < len(top.node.kids) {
			top.at++
			c.down(loadPointer(&top.node.kids[top.at]), c.root.height-len(c.stack), false)
			return true
		}
		c.stack = c.stack[:len(c.stack)-1]
	}
	return c.stop()
}

func (c *cursor) prev() bool {
	if c.at > 0 {
		c.at--
		return true
	}
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.at > 0 {
			top.at--
			c.down(loadPointer(&top.node.kids[top.at]), c.root.height-len(c.stack), true)
			return true
		}
		c.stack = c.stack[:len(c.stack)-1]
	}
	return c.stop()
}

// appendKey appends the key that it stands on.
func (c *cursor) appendKey(out []byte) []byte { return c.leaf.appendKey(out, &c.shape, c.at) }

func (c *cursor) location() location { return c.leaf.location(&c.shape, c.at) }

// copyTo makes another cursor stand where this one does, as long as this one does not move.
func (c *cursor) copyTo(d *cursor) {
	stack, memory := append(d.stack[:0], c.stack...), d.memory
	*d = *c
	d.stack, d.memory = stack, memory
}
