package check

import "github.com/tidwall/btree"

// contents is a state of the store, with the write that made each value.
type contents struct {
	btree.Map[string, version]
}

// copy takes O(1).
func (c *contents) copy() *contents { return &contents{*c.Copy()} }

type version struct {
	value string
	op    int
}

// apply makes the changes of one write.
func (c *contents) apply(op int, changes []Change) {
	for _, change := range changes {
		switch change.Kind {
		case Put:
			c.Set(change.Key, version{change.Value, op})
		case Delete:
			c.Delete(change.Key)
		case DeleteRange:
			var gone []string
			c.Ascend(change.Key, func(key string, _ version) bool {
				if key >= change.Value {
					return false
				}
				gone = append(gone, key)
				return true
			})
			for _, key := range gone {
				c.Map.Delete(key)
			}
		}
	}
}

// shows reports whether the reads hold in the state.
func (c *contents) shows(reads []Read) bool {
	for i := range reads {
		if _, differs := c.differs(&reads[i]); differs {
			return false
		}
	}
	return true
}

// difference is the first key at which a read is not what the state holds.
type difference struct {
	key       string
	read      string
	wasRead   bool
	held      version
	wasStored bool
}

func (c *contents) differs(r *Read) (difference, bool) {
	if !r.Scan {
		v, stored := c.Get(r.Key)
		if stored == (len(r.Entries) == 1) && (!stored || r.Entries[0] == Entry{r.Key, v.value}) {
			return difference{}, false
		}
		d := difference{key: r.Key, held: v, wasStored: stored}
		if len(r.Entries) > 0 {
			d.read, d.wasRead = r.Entries[0].Value, true
		}
		return d, true
	}
	n := 0
	var d difference
	found := false
	c.Ascend(r.Key, func(key string, v version) bool {
		if r.Upper != "" && key >= r.Upper || r.Limit > 0 && n == r.Limit {
			return false
		}
		if n == len(r.Entries) || r.Entries[n] != (Entry{key, v.value}) {
			d, found = difference{key: key, held: v, wasStored: true}, true
			if n < len(r.Entries) && r.Entries[n].Key <= key {
				d.read, d.wasRead = r.Entries[n].Value, true
				if r.Entries[n].Key < key {
					d.key, d.held, d.wasStored = r.Entries[n].Key, version{}, false
				}
			}
			return false
		}
		n++
		return true
	})
	if !found && n < len(r.Entries) {
		d, found = difference{key: r.Entries[n].Key, read: r.Entries[n].Value, wasRead: true}, true
	}
	return d, found
}
