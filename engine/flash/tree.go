package flash

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// tree is the index: a B+tree in memory. One goroutine at a time writes; any number read,
// from a root, and take no lock.
//
// Every node has the generation of the tree in which it was made. A fixed state is the
// root, and a new generation: nodes of earlier ones are copied before they are changed.
// In its own generation a node changes for readers in two ways only: a leaf gets another entry
// in its tail, and an inner node another child in the place of one, in one store. So what a
// reader sees is the state before or after.
//
// Changes have numbers, and entries of a tail the number of theirs: what a change of more
// than one key puts is in the tails before it is in sight, and comes into sight with the
// number that the root shows. Where that cannot be, since something is deleted, or one leaf
// gets more than a tail holds, the change goes on in a new generation, apart from what
// readers see, and comes into sight with a root of its own.
type tree struct {
	root atomic.Pointer[root]
	// gen is that of the nodes that may be changed. fixed says that somebody holds the
	// root as it is: the next change is of a new generation.
	gen   uint64
	fixed bool
	// number is that of the newest change. hidden says that what it puts is not in sight,
	// in nodes that are.
	number uint64
	hidden bool
}

// root is where a state of the tree begins: a *leaf at height 0, an *inner above; nil if
// there is nothing.
type root struct {
	top    unsafe.Pointer
	height int
	count  atomic.Int64 // of keys; as of the newest change while the root is the newest
	// published is the number of the newest change that is in sight from here.
	published atomic.Uint64
}

// inner is a node above the leaves. Children are of the level below; those of key k are
// behind as many separators as are not above k.
type inner struct {
	gen   uint64
	order *order
	kids  []unsafe.Pointer
}

// order is what separates the children of an inner node; it does not change, and copies
// of the node share it.
type order struct {
	prefix []byte // of all separators
	heads  []uint64
	seps   [][]byte
}

// fanout is the largest number of children.
const fanout = 64

func newTree() *tree {
	t := &tree{gen: 1}
	t.root.Store(&root{})
	return t
}

func headOf(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

func newOrder(seps [][]byte) *order {
	o := &order{seps: seps, heads: make([]uint64, len(seps))}
	if len(seps) > 0 {
		o.prefix = seps[0][:common(seps[0], seps[len(seps)-1])]
	}
	for i, s := range seps {
		o.heads[i] = headOf(s[len(o.prefix):])
	}
	return o
}

// child returns the place of the child that has a key.
func (o *order) child(key []byte) int {
	p := o.prefix
	if len(p) > 0 {
		n := min(len(p), len(key))
		switch c := bytes.Compare(key[:n], p[:n]); {
		case c < 0 || c == 0 && len(key) < len(p):
			return 0
		case c > 0:
			return len(o.seps)
		}
	}
	head := headOf(key[len(p):])
	lo, hi := 0, len(o.heads)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if o.heads[m] < head {
			lo = m + 1
		} else {
			hi = m
		}
	}
	for lo < len(o.heads) && o.heads[lo] == head && bytes.Compare(o.seps[lo], key) <= 0 {
		lo++
	}
	return lo
}

// get returns the location of a key. What is published counts before the leaf is looked for,
// so that of a batch that counts the leaf has everything: the second put of a key too.
func (r *root) get(key []byte) (location, bool) { return r.getAt(key, r.published.Load()) }

// getAt is get, of changes up to published.
func (r *root) getAt(key []byte, published uint64) (location, bool) {
	l := r.leafOf(key)
	if l == nil {
		return location{}, false
	}
	return l.find(key, fingerprintOf(key), l.inSight(published))
}

// fix returns the root as a state that no later change touches.
func (t *tree) fix() *root {
	t.fixed = true
	r := t.root.Load()
	return r
}

// change begins a change. whole says that it is to come into sight at once, by publish; else
// each key does by itself. The root that it returns is the writer's.
func (t *tree) change(whole bool) *root {
	t.number++
	r := t.root.Load()
	if t.fixed {
		return t.apart(r)
	}
	if t.hidden = whole; !whole {
		r.published.Store(t.number)
	}
	return r
}

// apart has a change go on in a new generation, beside what readers see, with all that it has
// done so far.
func (t *tree) apart(r *root) *root {
	t.gen++
	t.fixed, t.hidden = false, false
	own := &root{top: r.top, height: r.height}
	own.count.Store(r.count.Load())
	own.published.Store(t.number)
	return own
}

// publish shows what was changed.
func (t *tree) publish(r *root) {
	r.published.Store(t.number)
	if t.root.Load() != r {
		t.root.Store(r)
	}
}

// changed is what became of a node.
type changed struct {
	node  unsafe.Pointer // nil: it cannot be done without going apart
	right unsafe.Pointer // unless nil, what was split off behind sep
	sep   []byte
}

// leafOf returns the leaf that a key belongs into; nil if there is none.
func (r *root) leafOf(key []byte) *leaf {
	p := r.top
	for range r.height {
		n := (*inner)(p)
		p = loadPointer(&n.kids[n.order.child(key)])
	}
	return (*leaf)(p)
}

// together is for how many keys leavesOf looks at once.
const together = 16

// leavesOf looks for the leaves that keys belong into, and asks the processor for them, so
// that it waits for all of them at once. A put takes what it finds where it holds.
func (r *root) leavesOf(keys [][]byte, leaves *[together]*leaf) {
	for i, key := range keys {
		l := r.leafOf(key)
		leaves[i] = l
		prefetch.Lines(unsafe.Pointer(l), 4) // the header, fingerprints and the prefix
	}
	for i := range keys {
		if l := leaves[i]; l != nil && l.room > 0 {
			prefetch.Lines(unsafe.Pointer(unsafe.SliceData(l.tailBytes()[l.tailEnd():])), 1)
		}
	}
}

// put sets a key, and returns what it had. The root that is in sight may be another one
// afterwards: it is returned. l is what leavesOf has found for the key, or nil.
func (t *tree) put(r *root, l *leaf, key []byte, at location) (now *root, old location, had bool) {
	mark := fingerprintOf(key)
	if l == nil || l.gen != t.gen { // it is of an earlier generation, or another one has its place
		l = r.leafOf(key)
	}
	if l == nil {
		if t.hidden {
			r = t.apart(r)
		}
		return t.grown(r, unsafe.Pointer(buildLeaf(t.gen, []entry{{key, at}}, nil, 0)), 0, 1), old, false
	}
	old, had = l.find(key, mark, l.inTail())
	added := int64(1)
	if had {
		added = 0
	}
	if l.gen == t.gen && l.add(t.number, key, mark, at) {
		if !had {
			r.count.Add(1)
		}
		return r, old, had
	}
	c := t.putBelow(r, r.top, r.height, key, mark, at)
	if c.node == nil {
		r = t.apart(r)
		c = t.putBelow(r, r.top, r.height, key, mark, at)
	}
	switch {
	case c.right != nil:
		n := &inner{gen: t.gen, order: newOrder([][]byte{c.sep}), kids: []unsafe.Pointer{c.node, c.right}}
		return t.grown(r, unsafe.Pointer(n), r.height+1, added), old, had
	case c.node != r.top:
		return t.grown(r, c.node, r.height, added), old, had
	case added > 0:
		r.count.Add(added)
	}
	return r, old, had
}

// grown returns a root with another top. One that is in sight is not changed but for its
// count.
func (t *tree) grown(r *root, top unsafe.Pointer, height int, added int64) *root {
	if t.root.Load() != r {
		r.top, r.height = top, height
		r.count.Add(added)
		return r
	}
	n := &root{top: top, height: height}
	n.count.Store(r.count.Load() + added)
	n.published.Store(r.published.Load())
	return n
}

// putBelow puts a key for which the tail of its leaf has no room.
func (t *tree) putBelow(r *root, p unsafe.Pointer, level int, key []byte, mark byte, at location) changed {
	if level == 0 {
		return t.putLeaf(r, (*leaf)(p), key, mark, at)
	}
	n := (*inner)(p)
	i := n.order.child(key)
	c := t.putBelow(r, n.kids[i], level-1, key, mark, at)
	if c.node == nil {
		return c
	}
	if c.right == nil {
		return changed{node: t.withChild(n, i, c.node)}
	}
	kids := make([]unsafe.Pointer, 0, len(n.kids)+1)
	kids = append(append(append(kids, n.kids[:i]...), c.node, c.right), n.kids[i+1:]...)
	seps := slices.Insert(slices.Clone(n.order.seps), i, c.sep)
	if len(kids) <= fanout {
		return changed{node: unsafe.Pointer(&inner{t.gen, newOrder(seps), kids})}
	}
	m := len(kids) / 2
	if i+2 == len(kids) {
		m = len(kids) - 2 // keys that ascend leave full nodes behind
	}
	left := &inner{t.gen, newOrder(slices.Clone(seps[:m-1])), slices.Clone(kids[:m])}
	right := &inner{t.gen, newOrder(slices.Clone(seps[m:])), slices.Clone(kids[m:])}
	return changed{unsafe.Pointer(left), unsafe.Pointer(right), seps[m-1]}
}

// withChild returns the node with another child in the place of one.
func (t *tree) withChild(n *inner, i int, kid unsafe.Pointer) unsafe.Pointer {
	if n.kids[i] == kid {
		return unsafe.Pointer(n)
	}
	if n.gen != t.gen {
		n = &inner{t.gen, n.order, slices.Clone(n.kids)}
	}
	storePointer(&n.kids[i], kid)
	return unsafe.Pointer(n)
}

// putLeaf puts a key into a copy of a leaf, or into two.
func (t *tree) putLeaf(r *root, l *leaf, key []byte, mark byte, at location) changed {
	s := l.shape()
	prefixed := bytes.HasPrefix(key, l.prefixBytes(&s))
	// What is in sight, or in a root of its own, goes into the run; the rest into the tail.
	var pending []entry
	n := l.inTail()
	k, room := n, 0
	if t.hidden {
		k = l.inSight(r.published.Load())
		pending = append(l.tailEntries(k, n, 1), entry{key, at})
		for _, e := range pending {
			if room += locationBytes + len(e.key); prefixed {
				room -= int(l.prefix)
			}
		}
		if len(pending) > mostPending || room > leafBytes {
			return changed{}
		}
	}
	t.replaced(l)
	var all *leaf
	if prefixed {
		var a additions
		a.insertTail(l, &s, k)
		if !t.hidden {
			a.insert(l, &s, key[l.prefix:], mark, at)
		}
		if out := l.fold(nil, t.gen, &s, &a, leafBytes, room); out != nil {
			t.addPending(out, pending)
			return changed{node: unsafe.Pointer(out)}
		}
		all = l.fold(nil, t.gen, &s, &a, math.MaxInt, noTail)
	} else {
		es := l.entries(k, 1)
		if !t.hidden {
			i, _ := slices.BinarySearchFunc(es, key, func(e entry, key []byte) int { return bytes.Compare(e.key, key) })
			es = slices.Insert(es, i, entry{key, at}) // no key without the prefix is in the leaf
		}
		all = buildLeaf(t.gen, es, pending, room)
		if all.n < 2 || all.size <= leafBytes {
			t.addPending(all, pending)
			return changed{node: unsafe.Pointer(all)}
		}
	}
	return t.split(all, key, pending, room)
}

// split makes two leaves of a run: of the keys that are put now, key is in it, or is the last
// of those that are pending.
func (t *tree) split(all *leaf, key []byte, pending []entry, room int) changed {
	s := all.shape()
	last := all.appendKey(nil, &s, int(all.n)-1)
	m, left := all.middle(), room
	below := func(e entry) bool { return bytes.Compare(e.key, last) <= 0 }
	if bytes.Compare(key, last) >= 0 && !slices.ContainsFunc(pending, below) {
		// Where keys ascend nothing is put into what is left behind.
		m, left = int(all.n)-1, noTail
	}
	sep := separator(all.appendKey(nil, &s, m-1), all.appendKey(nil, &s, m))
	var before, behind []entry
	for _, e := range pending {
		if bytes.Compare(e.key, sep) < 0 {
			before = append(before, e)
		} else {
			behind = append(behind, e)
		}
	}
	a, b := all.part(t.gen, 0, m, before, left), all.part(t.gen, m, int(all.n), behind, room)
	t.addPending(a, before)
	t.addPending(b, behind)
	return changed{unsafe.Pointer(a), unsafe.Pointer(b), sep}
}

// replaced notes that another leaf has the place of one, so that nothing is put into it that
// leavesOf has found.
func (t *tree) replaced(l *leaf) {
	if l.gen == t.gen {
		l.gen = 0
	}
}

// addPending puts what is not in sight yet into the tail of a leaf that was made with room
// for it.
func (t *tree) addPending(l *leaf, pending []entry) {
	for _, e := range pending {
		if !l.add(t.number, e.key, fingerprintOf(e.key), e.at) {
			panic("flash: a leaf has no room for what it was made for")
		}
	}
}

// separator returns a short key that is above a and not above b.
func separator(a, b []byte) []byte { return bytes.Clone(b[:common(a, b)+1]) }

// delete removes a key, and returns what it had.
func (t *tree) delete(r *root, key []byte) (now *root, old location, had bool) {
	if t.hidden {
		r = t.apart(r)
	}
	if old, had = r.get(key); !had {
		return r, old, false
	}
	c := t.deleteBelow(r.top, r.height, key)
	return t.shrunk(r, c, 1), old, true
}

// shrunk returns a root whose top is what is left, of as few levels as it needs.
func (t *tree) shrunk(r *root, top unsafe.Pointer, removed int64) *root {
	height := r.height
	for top != nil && height > 0 && len((*inner)(top).kids) == 1 {
		top = (*inner)(top).kids[0]
		height--
	}
	if top == nil {
		height = 0
	}
	if top == r.top && height == r.height {
		r.count.Add(-removed)
		return r
	}
	return t.grown(r, top, height, -removed)
}

func (t *tree) deleteBelow(p unsafe.Pointer, level int, key []byte) unsafe.Pointer {
	if level == 0 {
		was := (*leaf)(p)
		l := was.folded(was.inTail(), nil)
		i, found := l.search(key)
		if !found {
			return p
		}
		t.replaced(was)
		return unsafe.Pointer(l.without(t.gen, i, i+1))
	}
	n := (*inner)(p)
	i := n.order.child(key)
	kid := t.deleteBelow(n.kids[i], level-1, key)
	switch {
	case kid == nil:
		return t.remade(n, i, i+1, nil)
	case level == 1:
		return t.merged(n, i, (*leaf)(kid))
	}
	return t.withChild(n, i, kid)
}

// merged returns the node with a leaf in the place of child i, or, where that is small,
// with one leaf in place of it and a neighbour.
func (t *tree) merged(n *inner, i int, l *leaf) unsafe.Pointer {
	if l.size < leafBytes/4 {
		for _, j := range [...]int{i - 1, i + 1} {
			if j < 0 || j >= len(n.kids) {
				continue
			}
			other := (*leaf)(n.kids[j])
			if other.size+l.size > leafBytes*3/4 {
				continue
			}
			t.replaced(other)
			a, b := l, other
			if j < i {
				a, b = other, l
			}
			one := buildLeaf(t.gen, append(a.entries(a.inTail(), int(b.n)+b.inTail()), b.entries(b.inTail(), 0)...), nil, 0)
			return t.remade(n, min(i, j), max(i, j)+1, unsafe.Pointer(one))
		}
	}
	return t.withChild(n, i, unsafe.Pointer(l))
}

// remade returns a node in which one child, or none if that is nil, is in the place of
// children i to j; nil if nothing is left.
func (t *tree) remade(n *inner, i, j int, kid unsafe.Pointer) unsafe.Pointer {
	kids := slices.Clone(n.kids[:i])
	seps := slices.Clone(n.order.seps)
	if kid != nil {
		kids = append(kids, kid)
		seps = slices.Delete(seps, i, j-1)
	} else {
		from := max(i-1, 0)
		seps = slices.Delete(seps, from, min(from+j-i, len(seps)))
	}
	kids = append(kids, n.kids[j:]...)
	if len(kids) == 0 {
		return nil
	}
	return unsafe.Pointer(&inner{t.gen, newOrder(seps), kids})
}

// deleteRange removes the keys in [lower, upper), and calls gone for each.
func (t *tree) deleteRange(r *root, lower, upper []byte, gone func(key []byte, at location)) *root {
	if t.hidden {
		r = t.apart(r)
	}
	if r.top == nil || bytes.Compare(lower, upper) >= 0 {
		return r
	}
	var removed int64
	top := t.cut(r.top, r.height, lower, upper, func(key []byte, at location) {
		removed++
		gone(key, at)
	})
	return t.shrunk(r, top, removed)
}

// cut removes keys below a node, from lower on if it is not nil, and below upper if that
// is not nil.
func (t *tree) cut(p unsafe.Pointer, level int, lower, upper []byte, gone func([]byte, location)) unsafe.Pointer {
	if level == 0 {
		was := (*leaf)(p)
		l := was.folded(was.inTail(), nil)
		i, j := 0, int(l.n)
		if lower != nil {
			i, _ = l.search(lower)
		}
		if upper != nil {
			j, _ = l.search(upper)
		}
		if i >= j {
			return p
		}
		t.replaced(was)
		s := l.shape()
		var key []byte
		for k := i; k < j; k++ {
			key = l.appendKey(key[:0], &s, k)
			gone(key, l.location(&s, k))
		}
		return unsafe.Pointer(l.without(t.gen, i, j))
	}
	n := (*inner)(p)
	i, j := 0, len(n.kids)-1
	if lower != nil {
		i = n.order.child(lower)
	}
	if upper != nil {
		j = n.order.child(upper)
	}
	node := n
	// From the right, so that what is to the left keeps its place.
	for k := j; k >= i; k-- {
		lo, hi := lower, upper
		if k > i {
			lo = nil
		}
		if k < j {
			hi = nil
		}
		kid := t.cut(node.kids[k], level-1, lo, hi, gone)
		var made unsafe.Pointer
		if kid == nil {
			made = t.remade(node, k, k+1, nil)
		} else {
			made = t.withChild(node, k, kid)
		}
		if made == nil {
			return nil
		}
		node = (*inner)(made)
	}
	return unsafe.Pointer(node)
}

// build makes a tree of leaves in order, and how many keys they have.
func (t *tree) build(leaves []*leaf, count int64) {
	r := &root{}
	r.count.Store(count)
	level := make([]unsafe.Pointer, len(leaves))
	seps := make([][]byte, 0, len(leaves))
	var last []byte
	for i, l := range leaves {
		s := l.shape()
		first := l.appendKey(nil, &s, 0)
		if i > 0 {
			seps = append(seps, separator(last, first))
		}
		last = l.appendKey(last[:0], &s, int(l.n)-1)
		level[i] = unsafe.Pointer(l)
	}
	for len(level) > 1 {
		var above []unsafe.Pointer
		var between [][]byte
		groups := (len(level) + fanout*3/4 - 1) / (fanout * 3 / 4)
		for g := range groups {
			i, j := g*len(level)/groups, (g+1)*len(level)/groups
			if g > 0 {
				between = append(between, seps[i-1])
			}
			above = append(above, unsafe.Pointer(&inner{t.gen, newOrder(slices.Clone(seps[i : j-1])), slices.Clone(level[i:j])}))
		}
		level, seps = above, between
		r.height++
	}
	if len(level) == 1 {
		r.top = level[0]
	}
	t.root.Store(r)
}
