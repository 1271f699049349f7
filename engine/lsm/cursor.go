package lsm

import (
	"bytes"
)

// tableCursor walks all versions in a table, within its bounds. It copies each block that
// it comes to, so that it keeps nobody from anything; Key and value are good until it
// moves.
type tableCursor struct {
	t *table
	r *tableReader
	// ahead is how much is read at once, past the cache; 0 for block by block, through it.
	ahead int
	e     entry
	err   error

	block  int
	b      block
	n, i   int
	prefix int
	// inside says that all of the block is within the bounds; plain, that besides no key
	// has several versions in it.
	inside, plain bool
	memory        []byte
	key           []byte
	// What was read ahead: blocks from, to; and the bytes.
	from, to int
	raw, out []byte
}

func newTableCursor(t *table) *tableCursor {
	c := &tableCursor{}
	c.reset(t)
	return c
}

// reset makes it one of another table, that stands nowhere.
func (c *tableCursor) reset(t *table) {
	c.t, c.r, c.err = t, nil, nil
	c.b, c.block, c.from, c.to = nil, -1, 0, 0
	c.e.key = nil
}

// open opens the table, if that was not done; false on an error.
func (c *tableCursor) open() bool {
	if c.r == nil {
		c.e.key = nil
		c.r, c.err = c.t.open()
	}
	return c.err == nil
}

// load goes to a block; false at the ends, and on an error.
func (c *tableCursor) load(i int) bool {
	c.e.key = nil
	if !c.open() {
		return false
	}
	if i < 0 || i >= c.r.blocks() {
		c.b = nil
		return false
	}
	if c.b != nil && c.block == i {
		return true
	}
	if c.ahead > 0 {
		c.b, c.err = c.readAhead(i)
	} else {
		c.b, c.err = c.copy(i)
	}
	if c.err != nil {
		c.b = nil
		return false
	}
	c.block, c.n = i, c.b.count()
	prefix := c.b.prefix(c.n)
	c.prefix = len(prefix)
	c.key = append(c.key[:0], prefix...)
	c.inside = bytes.Compare(c.r.index.key(i), c.t.lower) >= 0 && i+1 < c.r.blocks() && bytes.Compare(c.r.index.key(i+1), c.t.upper) <= 0
	c.plain = c.inside && !c.b.several()
	return true
}

// copy returns a block in the cursor's own memory.
func (c *tableCursor) copy(i int) (block, error) {
	s := c.t.store
	token := s.domain.Enter()
	defer s.domain.Exit(token)
	r, err := c.t.open() // it may have been closed since
	if err != nil {
		return nil, err
	}
	b, done, err := s.block(r, i)
	if err == nil {
		c.memory = append(c.memory[:0], b[:b.size()]...)
	}
	giveBack(done)
	return c.memory, err
}

// readAhead returns a block of those that were read together, or reads more.
func (c *tableCursor) readAhead(i int) (block, error) {
	offsets := c.r.offsets
	if i < c.from || i >= c.to {
		c.from, c.to = i, i+1
		for c.to < c.r.blocks() && int(offsets[c.to+1]-offsets[i]) <= c.ahead {
			c.to++
		}
		n := int(offsets[c.to] - offsets[i])
		if cap(c.raw) < n {
			c.raw = make([]byte, max(n, c.ahead))
		}
		c.raw = c.raw[:n]
		if err := c.fill(int64(offsets[i]), i); err != nil {
			c.to = c.from
			return nil, err
		}
	}
	stored := c.raw[offsets[i]-offsets[c.from] : offsets[i+1]-offsets[c.from]]
	return c.r.decodeBlock(i, stored, &c.out)
}

// fill reads what is read ahead from an offset on, where block i begins.
func (c *tableCursor) fill(offset int64, i int) error {
	token := c.t.store.domain.Enter()
	defer c.t.store.domain.Exit(token)
	r, err := c.t.open()
	if err != nil {
		return err
	}
	if m, err := r.file.ReadAt(c.raw, offset); err != nil {
		return r.damaged(i, short("read block", r.file, offset+int64(m), err))
	}
	return nil
}

// stand goes to an entry of the block that is loaded, and says whether it is within the
// bounds.
func (c *tableCursor) stand(i int) bool {
	c.i = i
	suffix, value, version, kind := c.b.record(c.b.slot(c.n, i))
	c.key = append(c.key[:c.prefix], suffix...)
	c.e = entry{key: c.key, value: value, version: version + c.t.add, kind: kind}
	if !c.inside && (bytes.Compare(c.key, c.t.lower) < 0 || bytes.Compare(c.key, c.t.upper) >= 0) {
		c.e.key = nil
		return false
	}
	return true
}

// seekGE goes to the newest version of the first key that is >= key.
func (c *tableCursor) seekGE(key []byte) bool {
	if bytes.Compare(key, c.t.lower) < 0 {
		key = c.t.lower
	}
	if !c.open() || !c.load(max(c.r.index.find(key), 0)) {
		return false
	}
	if i := c.b.seek(key); i < c.n {
		return c.stand(i)
	}
	return c.load(c.block+1) && c.stand(0)
}

// seekLT goes to the oldest version of the last key that is < key.
func (c *tableCursor) seekLT(key []byte) bool {
	if bytes.Compare(key, c.t.upper) > 0 {
		key = c.t.upper
	}
	if !c.open() || !c.load(max(c.r.index.find(key), 0)) {
		return false
	}
	if i := c.b.seek(key); i > 0 {
		return c.stand(i - 1)
	}
	return c.load(c.block-1) && c.stand(c.n-1)
}

func (c *tableCursor) next() bool {
	if c.i+1 < c.n {
		return c.stand(c.i + 1)
	}
	return c.load(c.block+1) && c.stand(0)
}

func (c *tableCursor) prev() bool {
	if c.i > 0 {
		return c.stand(c.i - 1)
	}
	return c.load(c.block-1) && c.stand(c.n-1)
}
