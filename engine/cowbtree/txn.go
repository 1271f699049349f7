package cowbtree

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
)

// txn makes the next tree from the newest one, which stays as it is. Its pages are
// nobody else's until it is published. Under mu.
type txn struct {
	*Engine
	// first is below the numbers of the transaction's own pages.
	first uint64
	root  root
	fresh []ref
	dead  []dead
	taken []extentRef
	// spilled are the pages that were written before the transaction was published.
	spilled []extent
	// via is, for each level, where the reference to the page there was found.
	via [32]via
	// settled is how many of fresh there were at the last spill.
	settled int
	// cut, if not 0, is the sector behind which pages are to be moved away.
	cut int64
	// last is the key put last, by which ascending keys are known.
	last []byte
	// single says that the transaction is one change, which may then end in the page
	// above the leaf. inPlace is that end, which publish carries out; its frame is nil
	// if there is none.
	single  bool
	inPlace childChange
}

// childChange puts pages in the place of child i of a page that only the newest tree
// has.
type childChange struct {
	frame *frame
	i     int
	out   []entry
}

// scratch is memory that transactions use again.
type scratch struct {
	txn     txn
	pages   [32][]byte
	entries []entry
	keys    []byte
	value   []byte
	one     [1]entry
}

// replacement returns the page of a reference as what comes in the place of another
// one, in scratch that the next takes again.
func (t *txn) replacement(r ref) []entry {
	t.scratch.one[0] = entry{child: r}
	return t.scratch.one[:]
}

func (e *Engine) begin() *txn {
	e.cache.mu.Lock()
	first := e.cache.lastID
	e.cache.mu.Unlock()
	t := &e.scratch.txn
	*t = txn{Engine: e, first: first, root: *e.root.Load(), fresh: t.fresh[:0], dead: t.dead[:0], taken: t.taken[:0], spilled: t.spilled[:0], last: e.lastKey}
	return t
}

// owns reports whether the page is one of the transaction's own, that is still in
// memory alone.
func (t *txn) owns(r ref) bool {
	return r.isUnwritten() && r.id&^unwritten > t.first
}

// abort forgets the transaction.
func (t *txn) abort() {
	for _, r := range t.fresh {
		t.cache.drop(r.hint, r.id)
	}
	for _, x := range t.taken {
		t.giveExtent(x)
	}
	for _, x := range t.spilled {
		delete(t.young, x.at)
		t.space.give(x)
	}
}

func (t *txn) giveExtent(x extentRef) {
	where := extentOf(x.id)
	delete(t.young, where.at)
	t.space.give(where)
}

// publish makes the transaction's tree the newest.
func (t *txn) publish() {
	e := t.Engine
	e.lastKey = t.last
	if x := t.inPlace; x.frame != nil {
		v := x.frame.lock()
		replaceIn(x.frame.page(), x.i, 1, x.out)
		x.frame.unlock(v)
		e.history.changed = true
	}
	if t.root.ref.id != e.root.Load().ref.id {
		next := t.root
		e.root.Store(&next)
		e.history.changed = true
	}
	for _, d := range t.dead {
		e.history.bury(d)
	}
}

// supersede notes that a page is not in the tree any more.
func (t *txn) supersede(r ref) {
	if t.owns(r) {
		t.cache.drop(r.hint, r.id) // nobody else has seen it
		return
	}
	t.dead = append(t.dead, dead{id: r.id, birth: r.birth, hint: r.hint})
}

// forget notes that a value is not in the tree any more.
func (t *txn) forget(place []byte) {
	x := readExtentRef(place)
	for i, y := range t.taken {
		if y.id == x.id {
			t.taken = slices.Delete(t.taken, i, i+1)
			t.giveExtent(x)
			return
		}
	}
	t.dead = append(t.dead, dead{id: x.id, birth: x.birth, extent: true})
}

// ofNewest reports whether the frame holds a page that only the newest tree has, or a
// transaction, and nobody has written, so that only who holds mu changes it. Under mu.
func (e *Engine) ofNewest(f *frame) bool {
	return f.birth == e.history.generation && f.id.Load()&unwritten != 0 && f.place.Load() == 0
}

// newest returns the frame of such a page; nil for others.
func (e *Engine) newest(r ref) *frame {
	if f := e.cache.frame(r.hint); f != nil && f.id.Load() == r.id && e.ofNewest(f) {
		return f
	}
	return nil
}

// page returns a page that nobody changes while the transaction looks at it: one of
// the newest tree alone, or a copy in the scratch of that level.
func (t *txn) page(r ref, level int) ([]byte, error) {
	if f := t.newest(r); f != nil {
		return f.page(), nil
	}
	b := grow(t.scratch.pages[level], maxPageBytes)
	t.scratch.pages[level] = b
	b, err := t.copyOf(r, b, t.via[level])
	if rt := t.Engine.root.Load(); rt.ref.id == t.root.ref.id {
		t.root.ref.hint = rt.ref.hint
	}
	return b, err
}

// via is where a reference was found: in the page of another one, at an offset.
type via struct {
	parent ref
	at     int
}

// copyOf copies the page of a reference into b, and returns it.
func (e *Engine) copyOf(r ref, b []byte, from via) ([]byte, error) {
	for tries := 0; ; tries++ {
		copied, err := e.copyOfFrame(r, b)
		if copied != nil {
			return copied, nil
		}
		if err != nil {
			if err := again(tries); err != nil {
				return nil, e.fail(err)
			}
			continue
		}
		f, err := e.load(r)
		if err != nil {
			return nil, err
		}
		r.hint = f.handle
		e.hint(from, r)
	}
}

// copyOfFrame copies the page of a reference into b, from its frame; nil if it is not
// in memory. Its only error is errAgain, where the page may be there, and nowhere else:
// it is being written, or somebody has the frame locked.
func (e *Engine) copyOfFrame(r ref, b []byte) ([]byte, error) {
	f := e.cache.frame(r.hint)
	var v uint64
	if f != nil {
		if v = f.version.Load(); v&1 == 1 {
			return nil, errAgain
		}
	}
	if f == nil || !f.is(r.id) {
		if r.isUnwritten() {
			return nil, errAgain
		}
		return nil, nil
	}
	p := f.bytes(classOf(r.hint))
	b = grow(b, len(p))
	n := copy(b, p)
	if f.version.Load() != v {
		return nil, errAgain
	}
	f.use(leafChances)
	return b[:n], nil
}

// hint notes, where a reference was found, in which frame its page is now.
func (e *Engine) hint(from via, r ref) {
	if rt := e.root.Load(); rt.ref.id == r.id {
		e.root.CompareAndSwap(rt, &root{ref: r, level: rt.level})
	}
	f := e.cache.frame(from.parent.hint)
	if f == nil || from.parent.id == 0 {
		return
	}
	v := f.lock()
	if b := f.page(); f.is(from.parent.id) && from.at+hotBytes <= len(b) && u64(b, from.at) == r.id {
		atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[from.at+atHint])), r.hint)
	}
	f.restore(v)
}

// make puts a new page of the entries into the tree.
func (t *txn) make(kind byte, level int, entries []entry) (ref, error) {
	size := max(t.pageBytes, minPageBytes)
	for builtBytes(kind, entries, shiftFor(size)) > size {
		if size *= 2; size > maxPageBytes {
			return ref{}, fmt.Errorf("%w: a page of %d entries needs more than %d bytes", engine.ErrTooLarge, len(entries), maxPageBytes)
		}
	}
	f, err := t.cache.take(size)
	if err != nil {
		return ref{}, err
	}
	build(f.page(), kind, level, entries)
	return t.born(f), nil
}

func (t *txn) born(f *frame) ref {
	r := t.cache.born(f, t.history.generation)
	t.fresh = append(t.fresh, r)
	t.counters.pagesBorn.Add(1)
	if t.patching && f.level > 0 {
		t.patchPage(f)
	}
	return r
}

// makePages makes as many pages of the entries as it takes, and returns them with
// their separators; that of the first is its first key. The entry at place was
// added last.
func (t *txn) makePages(out []entry, kind byte, level int, entries []entry, place int, ascending bool) ([]entry, error) {
	if len(entries) == 0 {
		return out, nil
	}
	size := max(t.pageBytes, minPageBytes)
	least := 1
	if kind == kindInner {
		least = 2
	}
	if len(entries) < 2*least || len(entries) <= t.maxKeys && builtBytes(kind, entries, shiftFor(size)) <= size {
		r, err := t.make(kind, level, entries)
		return append(out, entry{key: entries[0].key, child: r}), err
	}
	at := len(entries) - 1
	if !ascending || place != at || kind == kindInner {
		at = halfOf(entries)
	}
	if ascending && kind == kindInner && place == len(entries)-1 {
		at = len(entries) - 2
	}
	at = min(max(at, least), len(entries)-least)
	from := len(out)
	out, err := t.makePages(out, kind, level, entries[:at], place, ascending)
	if err != nil {
		return out, err
	}
	middle := len(out)
	out, err = t.makePages(out, kind, level, entries[at:], place-at, ascending)
	if err == nil && kind == kindLeaf && middle > from && middle < len(out) {
		out[middle].key = separator(entries[at-1].key, entries[at].key)
	}
	return out, err
}

// halfOf returns where to split entries so that both parts are as large.
func halfOf(entries []entry) int {
	total := 0
	for _, e := range entries {
		total += len(e.key) + len(e.value) + leafEntryBytes
	}
	sum := 0
	for i, e := range entries {
		n := len(e.key) + len(e.value) + leafEntryBytes
		if sum+n/2 >= total/2 && i > 0 {
			return i
		}
		sum += n
	}
	return len(entries) - 1
}

// separator returns the shortest key above a and not above b.
func separator(a, b []byte) []byte {
	n := 0
	for n < len(a) && a[n] == b[n] {
		n++
	}
	return b[:n+1]
}

// entries returns the entries of a page, in scratch that the next call takes again.
// The keys are copies, the values alias the page.
func (t *txn) entries(b []byte) []entry {
	list, keys := t.scratch.entries[:0], t.scratch.keys[:0]
	count := pageCount(b)
	need := 0
	p, _ := prefix(b)
	need = count*len(p) + len(b)
	if cap(keys) < need {
		keys = make([]byte, 0, 2*need)
	}
	for i := range count {
		var x entry
		x, keys = entryAt(b, i, keys)
		list = append(list, x)
	}
	t.scratch.entries, t.scratch.keys = list, keys
	return list
}

// change is one operation on a key.
type change struct {
	key, value []byte
	extent     bool
	remove     bool
}

// apply carries a change out. On an error the transaction must be aborted.
func (t *txn) apply(c *change) error {
	out, same, err := t.applyTo(t.root.ref, t.root.level, c, true)
	switch {
	case err != nil:
		return err
	case same && t.inPlace.frame == nil:
		return nil
	case !same:
		if err := t.replaceRoot(out); err != nil {
			return err
		}
	}
	if !c.remove {
		t.last = append(t.last[:0], c.key...)
	}
	return nil
}

// replaceRoot makes a tree of what came in the place of the root.
func (t *txn) replaceRoot(out []entry) error {
	level := t.root.level
	for len(out) > 1 {
		level++
		own := slices.Clone(out)
		var err error
		if out, err = t.makePages(nil, kindInner, level, own, len(own)-1, false); err != nil {
			return err
		}
	}
	if len(out) == 0 {
		r, err := t.make(kindLeaf, 0, nil)
		t.root = root{ref: r}
		return err
	}
	t.root = root{ref: out[0].child, level: level}
	// A root with one child is no use.
	for t.root.level > 0 {
		b, err := t.page(t.root.ref, t.root.level)
		if err != nil {
			return err
		}
		if pageCount(b) > 1 {
			break
		}
		old := t.root.ref
		t.root = root{ref: readRef(b, 0), level: t.root.level - 1}
		t.supersede(old)
	}
	return nil
}

// applyTo carries a change out below a page, and returns what comes in its place;
// same says that it stays. rightmost says that no page of its level is behind it.
func (t *txn) applyTo(r ref, level int, c *change, rightmost bool) (out []entry, same bool, err error) {
	if level == 0 {
		return t.applyToLeaf(r, c, rightmost)
	}
	b, err := t.page(r, level)
	if err != nil {
		return nil, false, err
	}
	i, ok := childFor(b, c.key)
	if !ok {
		return nil, false, t.damaged(r)
	}
	child := readRef(b, i)
	t.via[level-1] = via{r, refAt(b, i)}
	out, same, err = t.applyTo(child, level-1, c, rightmost && i == pageCount(b)-1)
	if err != nil || same {
		return nil, same, err
	}
	n := 1
	if c.remove && len(out) == 1 {
		if i, n, out, err = t.merge(r, b, i, level, out); err != nil {
			return nil, false, err
		}
	}
	if n == 1 && t.endsAbove(r, b, i, level, out) {
		return nil, true, nil
	}
	return t.replace(r, b, level, i, n, out)
}

// endsAbove makes of a single change one that ends in the page above its leaf, in its
// place: so most of those do that find no room, or a leaf that others need. It
// reports false where that cannot be.
func (t *txn) endsAbove(r ref, b []byte, i, level int, out []entry) bool {
	f := t.newest(r)
	if !t.single || level != 1 || f == nil || !t.fitsIn(b, 1, out) {
		return false
	}
	for _, x := range out {
		if x.child.flags&^b[atFlags] != 0 {
			return false // the pages above do not say so yet
		}
	}
	t.inPlace = childChange{f, i, out}
	return true
}

func (t *txn) damaged(r ref) error {
	return fmt.Errorf("%w: page %#x in memory is not whole; this is a defect of the engine or of the memory", engine.ErrCorrupt, r.id)
}

func (t *txn) applyToLeaf(r ref, c *change, rightmost bool) (out []entry, same bool, err error) {
	if !t.owns(r) {
		if out, same, done, err := t.applyToCopy(r, c); done || err != nil {
			return out, same, err
		}
	}
	b, err := t.page(r, 0)
	if err != nil {
		return nil, false, err
	}
	i, exact, ok := lowerBound(b, c.key)
	if !ok {
		return nil, false, t.damaged(r)
	}
	if c.remove && !exact {
		return nil, true, nil
	}
	if t.owns(r) && t.fits(b, i, exact, c) {
		t.edit(b, i, exact, c)
		r.flags = b[atFlags]
		return t.replacement(r), !c.remove && r.flags&flagExtents == 0, nil
	}
	t.forgetValue(b, i, exact)
	// The page must be built anew, or be split.
	list := t.entries(b)
	switch {
	case c.remove:
		list = slices.Delete(list, i, i+1)
	case exact:
		list[i].value, list[i].extent = c.value, c.extent
	default:
		list = slices.Insert(list, i, entry{key: c.key, value: c.value, extent: c.extent})
		t.scratch.entries = list
	}
	ascending := rightmost || i > 0 && bytes.Equal(list[i-1].key, t.last)
	if t.owns(r) && len(list) > 0 && len(list) <= t.maxKeys && builtBytes(kindLeaf, list, shiftFor(len(b))) <= len(b) {
		// In its place, by way of a copy, since the values lie in it.
		p := grow(t.scratch.pages[0], len(b))
		t.scratch.pages[0] = p[:cap(p)]
		build(p, kindLeaf, 0, list)
		copy(b, p)
		r.flags = b[atFlags]
		return t.replacement(r), false, nil
	}
	out, err = t.makePages(nil, kindLeaf, 0, list, i, ascending)
	if err != nil {
		return nil, false, err
	}
	keepKeys(out)
	t.supersede(r)
	return out, false, nil
}

// applyToCopy carries a change out on a copy of a leaf, straight from its frame; done
// is false, and nothing has changed, where that cannot be.
func (t *txn) applyToCopy(r ref, c *change) (out []entry, same, done bool, err error) {
	old := t.cache.frame(r.hint)
	if old == nil {
		return nil, false, false, nil
	}
	f, err := t.cache.take(max(t.pageBytes, minPageBytes<<classOf(r.hint)))
	if err != nil {
		return nil, false, false, err
	}
	p := f.page()
	v := old.lock() // it may not be evicted meanwhile
	ok := old.is(r.id) && copyPage(p, old.page())
	old.restore(v)
	if ok {
		var i int
		var exact bool
		if i, exact, ok = lowerBound(p, c.key); ok && c.remove && !exact {
			t.cache.give(f)
			return nil, true, true, nil
		}
		if ok && t.fits(p, i, exact, c) {
			t.edit(p, i, exact, c)
			t.supersede(r)
			return t.replacement(t.born(f)), false, true, nil
		}
	}
	t.cache.give(f)
	return nil, false, false, nil
}

// fits reports whether edit has room, which carries a change out at entry i.
func (t *txn) fits(b []byte, i int, exact bool, c *change) bool {
	return c.remove || hasRoom(b, i, exact, c.key, len(c.value), c.extent, t.maxKeys)
}

func (t *txn) edit(b []byte, i int, exact bool, c *change) {
	t.forgetValue(b, i, exact)
	if c.remove {
		removeFromLeaf(b, i)
	} else {
		putInLeaf(b, i, exact, c.key, c.value, c.extent)
	}
}

// forgetValue notes that the value of an entry that is there goes.
func (t *txn) forgetValue(b []byte, i int, exact bool) {
	if !exact {
		return
	}
	if _, value, extent, _ := record(b, slotAt(b, slotOfLeaf(b, u16(b, atCap)), i)); extent {
		t.forget(value)
	}
}

// frameBytesFor is the size of a frame for a page in use.
func frameBytesFor(b []byte) int {
	return minPageBytes << frameClass(max(int(u32(b, atSize)), 1))
}

// keepKeys makes separators that outlive the scratch.
func keepKeys(out []entry) {
	for i := range out {
		out[i].key = bytes.Clone(out[i].key)
		out[i].value = nil
	}
}

// replace puts entries in the place of n children from i on of an inner page.
func (t *txn) replace(r ref, b []byte, level, i, n int, out []entry) ([]entry, bool, error) {
	own := t.owns(r)
	if len(out) > 0 && (len(out) <= 2 || n > 1) {
		if own {
			if t.fitsIn(b, n, out) {
				replaceIn(b, i, n, out)
				r.flags = b[atFlags]
				return t.replacement(r), r.flags == 0, nil
			}
		} else {
			f, err := t.cache.take(max(t.pageBytes, frameBytesFor(b)))
			if err != nil {
				return nil, false, err
			}
			if p := f.page(); copyPage(p, b) && t.fitsIn(p, n, out) {
				replaceIn(p, i, n, out)
				t.supersede(r)
				return t.replacement(t.born(f)), false, nil
			}
			t.cache.give(f)
		}
	}
	list := t.entries(b)
	if len(out) > 0 {
		out[0].key = list[i].key
	}
	list = slices.Replace(list, i, i+n, out...)
	t.scratch.entries = list
	// The child that came last is where more may come.
	place := i + len(out) - 1
	made, err := t.makePages(nil, kindInner, level, list, place, place == len(list)-1)
	if err != nil {
		return nil, false, err
	}
	keepKeys(made)
	t.supersede(r)
	return made, false, nil
}

// fitsIn reports whether replaceIn can, and has room.
func (t *txn) fitsIn(b []byte, n int, out []entry) bool {
	switch {
	case len(out) == 1 && n <= 2:
		return true
	case len(out) == 2 && n == 1:
		return hasRoomForChild(b, out[1].key, t.maxKeys)
	}
	return false
}

// replaceIn puts one page in the place of one or two children from i on, or two in
// the place of one, where they are. fitsIn said that it can.
func replaceIn(b []byte, i, n int, out []entry) {
	setChild(b, i, out[0].child)
	switch {
	case n == 2:
		removeChild(b, i+1)
	case len(out) == 2:
		insertChild(b, i+1, out[1].key, out[1].child)
	}
}

// merge joins the page that came in the place of child i with the one beside it, if
// it has become small, and both fit into one. It returns which children are to be
// replaced, and by what.
func (t *txn) merge(at ref, b []byte, i, level int, out []entry) (int, int, []entry, error) {
	small, err := t.page(out[0].child, level-1)
	if err != nil {
		return 0, 0, nil, err
	}
	size := max(t.pageBytes, minPageBytes)
	if liveBytes(small) >= size/4 && !(small[atKind] == kindInner && pageCount(small) < 2) {
		return i, 1, out, nil
	}
	if pageCount(small) == 0 {
		t.supersede(out[0].child)
		return i, 1, nil, nil
	}
	if pageCount(b) < 2 {
		return i, 1, out, nil
	}
	left := i
	if i == pageCount(b)-1 {
		left = i - 1
	}
	other := left
	if left == i {
		other = i + 1
	}
	// The scratch of this level may hold the small page; the other is copied apart.
	r := readRef(b, other)
	beside, err := t.copyOf(r, make([]byte, maxPageBytes), via{at, refAt(b, other)})
	if err != nil {
		return 0, 0, nil, err
	}
	if liveBytes(small)+liveBytes(beside) > size*3/4 || pageCount(small)+pageCount(beside) > t.maxKeys {
		return i, 1, out, nil
	}
	first, second := small, beside
	if other == left {
		first, second = beside, small
	}
	sep, _ := entryAt(b, left+1, nil)
	list := t.join(first, second, sep.key)
	kind := first[atKind]
	if builtBytes(kind, list, shiftFor(size)) > size {
		return i, 1, out, nil
	}
	made, err := t.make(kind, level-1, list)
	if err != nil {
		return 0, 0, nil, err
	}
	t.supersede(out[0].child)
	t.supersede(r)
	return left, 2, []entry{{child: made}}, nil
}
