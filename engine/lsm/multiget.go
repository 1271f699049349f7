package lsm

import (
	"bytes"
	"sync"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
)

// groupKeys is how many keys of a MultiGet are looked for together: about as many misses
// as a processor has under way at the same time.
const groupKeys = 16

// lookup is one key of a group.
type lookup struct {
	key  []byte // with the number of its family
	hash uint64
	// settled says that value is its value, or that it has none, if that is nil.
	settled bool
	value   []byte

	// Where it is looked for in a memtable.
	node ref
	// Where it is looked for in a run: cover is the version at which a tombstone there
	// deletes it.
	table  *table
	reader *tableReader
	block  int
	frame  block // nil if the block is in none
	cover  uint64
}

// lookups is a group. All of its keys go through a part of the store together, a step at
// a time, and each step asks for the memory that the next one will read: the misses of the
// processor's cache, which a get has one after the other, are under way at the same time.
type lookups struct {
	each [groupKeys]lookup
	// pending are the keys that are not settled, near those of them that a part may have.
	pending, near []*lookup
	keys, values  []byte
	apart         []byte
}

var lookupsPool = sync.Pool{New: func() any {
	return &lookups{pending: make([]*lookup, 0, groupKeys), near: make([]*lookup, 0, groupKeys)}
}}

// MultiGet implements engine.MultiGetter.
func (e *Engine) MultiGet(keys [][]byte, found func(i int, value []byte, present bool)) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	v := view{state: e.hold()}
	defer e.releaseState(v.state)
	e.lookAt(&v, latest)
	g := lookupsPool.Get().(*lookups)
	defer func() {
		clear(g.each[:])
		if cap(g.keys)+cap(g.values)+cap(g.apart) < 1<<20 {
			lookupsPool.Put(g)
		}
	}()
	for first := 0; first < len(keys); first += groupKeys {
		group := keys[first:min(first+groupKeys, len(keys))]
		// The state is held, but not the frames that blocks are in.
		token := e.domain.Enter()
		l, err := g.lookUp(&v, group)
		e.domain.Exit(token)
		if err != nil {
			return engine.KeyError("get", l.key[1:], err)
		}
		for i := range group {
			value := g.each[i].value
			found(first+i, value, value != nil)
		}
	}
	return nil
}

// lookUp looks for keys of the default family. The values are good until the next group.
// With an error comes the key that it is about.
func (g *lookups) lookUp(v *view, keys [][]byte) (*lookup, error) {
	g.keys, g.values, g.pending = g.keys[:0], g.values[:0], g.pending[:0]
	n := 0
	for _, key := range keys {
		n += 1 + len(key)
	}
	if cap(g.keys) < n {
		g.keys = make([]byte, 0, n)
	}
	for i, key := range keys {
		start := len(g.keys)
		g.keys = append(appendPrefix(g.keys, 0), key...)
		full := g.keys[start:len(g.keys):len(g.keys)]
		g.each[i] = lookup{key: full, hash: hashOf(full)}
		g.pending = append(g.pending, &g.each[i])
	}
	if !v.mem.untouched() {
		g.inMemtable(v.mem, v.ranges, v.at)
	}
	for _, q := range v.queue {
		if q.mem != nil {
			g.inMemtable(q.mem, q.mem.ranges.Load(), v.at)
		} else if l, err := g.inRun(v, q.run); err != nil {
			return l, err
		}
	}
	for _, r := range v.levels.runs {
		if len(g.pending) == 0 {
			break
		}
		if l, err := g.inRun(v, r); err != nil {
			return l, err
		}
	}
	return nil, nil
}

// settle takes a value, or that there is none.
func (g *lookups) settle(l *lookup, value []byte, there bool) {
	l.settled = true
	if there {
		start := len(g.values)
		g.values = append(g.values, value...)
		l.value = g.values[start:len(g.values):len(g.values)]
		if l.value == nil {
			l.value = []byte{}
		}
	}
}

// forgetSettled leaves those pending that are not settled.
func (g *lookups) forgetSettled() {
	left := g.pending[:0]
	for _, l := range g.pending {
		if !l.settled {
			left = append(left, l)
		}
	}
	g.pending = left
}

func (g *lookups) inMemtable(m *memtable, ranges *rangeSets, at uint64) {
	for _, l := range g.pending {
		m.filter.prefetch(l.hash)
	}
	g.near = g.near[:0]
	root := ref(m.trie.load(rootSlot))
	for _, l := range g.pending {
		if l.cover = 0; ranges != nil {
			l.cover = ranges.cover(l.key, at)
		}
		if m.filter.has(l.hash) {
			l.node = root
			g.near = append(g.near, l)
		} else if l.cover > 0 {
			g.settle(l, nil, false)
		}
	}
	m.trie.descend(g.near)
	for _, l := range g.near {
		r := l.node
		if r != 0 && !bytes.Equal(m.trie.recordKey(r), l.key) {
			r = 0
		}
		if r = m.trie.visible(r, at); r == 0 {
			if l.cover > 0 {
				g.settle(l, nil, false)
			}
			continue
		}
		version, kind := m.trie.version(r)
		g.settle(l, m.trie.recordValue(r), kind != kindDelete && version >= l.cover)
	}
	g.forgetSettled()
}

// descend takes keys down from their nodes, a level at a time, to the records that may be
// theirs; 0 for none.
func (t *trie) descend(keys []*lookup) {
	for under := len(keys) > 0; under; {
		under = false
		for _, l := range keys {
			r := l.node
			if r == 0 || r.isRecord() {
				continue
			}
			kind, count, depth := t.head(r)
			switch {
			case len(l.key) > depth:
				slot := t.child(r, kind, count, l.key[depth])
				if slot == 0 {
					l.node = 0
					continue
				}
				l.node = ref(t.load(slot))
			case len(l.key) == depth:
				l.node = t.own(r)
			default:
				l.node = 0
			}
			if l.node != 0 {
				prefetch.Lines(unsafe.Pointer(&t.data[l.node.at()]), 2)
				under = under || !l.node.isRecord()
			}
		}
	}
}

func (g *lookups) inRun(v *view, r *run) (*lookup, error) {
	g.near = g.near[:0]
	for _, l := range g.pending {
		t := r.find(l.key)
		if t == nil {
			continue
		}
		reader, err := t.open()
		if err != nil {
			return l, err
		}
		if reader.blocked != nil {
			reader.blocked.prefetch(l.hash)
		}
		l.table, l.reader = t, reader
		g.near = append(g.near, l)
	}
	near := g.near
	g.near = g.near[:0]
	for _, l := range near {
		l.cover = 0
		if l.table.ranges > 0 {
			l.cover = l.reader.ranges.coverVersion(l.key, v.at)
		}
		if l.block = l.reader.find(l.key, l.hash); l.block >= 0 {
			prefetch.Line(unsafe.Pointer(&l.reader.frames[l.block]))
			g.near = append(g.near, l)
		} else if l.cover > 0 {
			g.settle(l, nil, false)
		}
	}
	for _, l := range g.near {
		// Head, fingerprints and slots.
		if l.frame = l.table.store.cache.get(l.reader.frames, l.block); l.frame != nil {
			prefetch.Lines(unsafe.Pointer(&l.frame[0]), 3)
		}
	}
	for _, l := range g.near {
		if l.frame != nil {
			l.frame.prefetchRecord(l.hash)
		}
	}
	for _, l := range g.near {
		if err := g.inBlock(v, l); err != nil {
			return l, err
		}
	}
	g.forgetSettled()
	return nil, nil
}

// inBlock looks for a key in the block that it has come to.
func (g *lookups) inBlock(v *view, l *lookup) error {
	b := l.frame
	if b == nil {
		var done *buffers
		var err error
		if b, done, err = l.table.store.block(l.reader, l.block); err != nil {
			return err
		}
		defer giveBack(done)
	}
	value, version, kind, ok := b.get(l.key, l.hash, v.at, l.table.add)
	switch {
	case !ok && l.cover == 0:
	case !ok || kind == kindDelete || version < l.cover:
		g.settle(l, nil, false)
	case kind == kindApart:
		var err error
		if g.apart, err = v.levels.value(value, g.apart[:0]); err != nil {
			return err
		}
		g.settle(l, g.apart, true)
	default:
		g.settle(l, value, true)
	}
	return nil
}
