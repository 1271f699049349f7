package lsm

import (
	"bytes"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// memtable holds the newest changes. One goroutine writes, under the engine's mu.
type memtable struct {
	trie   *trie
	filter *blocked
	ranges atomic.Pointer[rangeSets]
	// first and last are the versions in it; first is 0 while it is empty. The writer's.
	first, last uint64
	// sequence is the newest record of the log in it. The writer's.
	sequence uint64
	// data counts the bytes of keys and values.
	data int64
	// stones is about what the tombstones of ranges take, which are not in the trie.
	stones int64
	holds  atomic.Int64
	// ahead is up to where the arena was taken from the operating system before its use.
	ahead atomic.Int64
}

const (
	// aheadFrom is how much of an arena is used before more is taken ahead, so that a small
	// store stays small; aheadBytes is how much is taken at a time, at least that before the
	// writer comes to it.
	aheadFrom  = 4 << 20
	aheadBytes = 4 << 20
)

// nearEnd reports whether the writer comes soon to memory that was not taken yet: the
// operating system clears it first, which takes it milliseconds for each large page.
func (m *memtable) nearEnd() bool {
	used, ahead := m.bytes(), m.ahead.Load()
	return used > aheadFrom && used+aheadBytes > ahead && ahead < int64(len(m.trie.data))
}

// takeAhead takes memory before the writer comes to it.
func (m *memtable) takeAhead() {
	from := max(m.ahead.Load(), m.bytes())
	end := min(from+aheadBytes, int64(len(m.trie.data)))
	m.trie.memory.Populate(int(from&^4095), int(end-from&^4095))
	m.ahead.Store(end)
}

// stoneBytes is what a tombstone of a range takes beside its keys: a fragment, versions,
// and that sets of them are merged.
const stoneBytes = 128

// arenaBytes is the memory of a memtable that is full at a size, with room for some more.
func arenaBytes(bytes int64) int64 { return bytes + bytes/8 + 64<<10 }

// newMemtable makes a memtable, with at least so much room.
func (e *Engine) newMemtable(room int64) (*memtable, error) {
	bytes := e.options.MemtableBytes
	if room+64 <= arenaBytes(bytes) {
		if spare := e.spare.Swap(nil); spare != nil {
			clear(spare.filter.words)
			ahead := max(spare.ahead.Load(), spare.bytes())
			m := &memtable{trie: trieIn(spare.trie.memory), filter: spare.filter}
			m.ahead.Store(ahead)
			return m, nil
		}
	}
	t, err := newTrie(max(arenaBytes(bytes), room+64))
	if err != nil {
		return nil, err
	}
	// Entries of 100 bytes and more have ten bits of the filter and more.
	return &memtable{trie: t, filter: newBlocked(int(max(bytes, room)/100)+1, 10)}, nil
}

// releaseMemtable gives up a hold. The memory is kept for another one.
func (e *Engine) releaseMemtable(m *memtable) {
	if m.holds.Add(-1) > 0 {
		return
	}
	if int64(len(m.trie.data)) == arenaBytes(e.options.MemtableBytes) {
		m = e.spare.Swap(m)
	}
	m.free()
}

// free gives back the memory of a memtable that nobody has; nil has none.
func (m *memtable) free() {
	if m != nil {
		// It fails for memory alone that was released before.
		_ = m.trie.memory.Release()
	}
}

// full reports whether a memtable is as large as it may be, or has less room than what
// comes needs. The writer's.
func (m *memtable) full(limit, need int64) bool {
	used := m.bytes()
	return used+m.stones >= limit || used+need > int64(len(m.trie.data))
}

// bytes is the memory that is in use, but for tombstones of ranges.
func (m *memtable) bytes() int64 { return m.trie.used.Load() }

func (m *memtable) empty() bool { return m.first == 0 }

// put adds a change of one key.
func (m *memtable) put(key, value []byte, version uint64, kind entryKind) {
	m.trie.insert(key, value, version, kind)
	m.filter.add(hashOf(key))
	m.data += int64(len(key) + len(value))
	m.note(version)
}

// prefetch asks for the memory that the one change of a batch will come to, while the log
// is being written.
func (m *memtable) prefetch(b *engine.Batch) {
	for op := range b.Ops() {
		var buf [shortKey + maxPrefix]byte
		key := append(appendPrefix(buf[:0], op.Family), op.Key...)
		m.filter.prefetch(hashOf(key))
		m.trie.prefetch(key)
	}
}

// deleteRange adds a tombstone. See rangeSets.with.
func (m *memtable) deleteRange(lower, upper []byte, version, visible uint64, snapshots []uint64) {
	t := tombstone{append([]byte{}, lower...), append([]byte{}, upper...), version}
	m.ranges.Store(m.ranges.Load().with(t, visible, snapshots))
	m.data += int64(len(lower) + len(upper))
	m.stones += int64(len(lower)+len(upper)) + stoneBytes
	m.note(version)
}

func (m *memtable) note(version uint64) {
	if m.first == 0 {
		m.first = version
	}
	m.last = version
}

// find returns the newest version of a key that a reader at a version sees; 0 if there
// is none.
func (m *memtable) find(key []byte, hash, at uint64) ref {
	if !m.filter.has(hash) {
		return 0
	}
	return m.trie.visible(m.trie.find(key), at)
}

// visible returns the newest of the versions that begin with r that a reader at a
// version sees; 0 if there is none.
func (t *trie) visible(r ref, at uint64) ref {
	for r != 0 {
		if version, _ := t.version(r); version <= at {
			return r
		}
		r = t.older(r)
	}
	return 0
}

// has reports whether there are keys, or tombstones, in [lower, upper).
func (m *memtable) has(lower, upper []byte) bool {
	c := trieCursor{t: m.trie}
	if c.seekGE(lower); c.record != 0 && bytes.Compare(m.trie.recordKey(c.record), upper) < 0 {
		return true
	}
	return len(m.ranges.Load().fragments(nil).within(lower, upper)) > 0
}

// entry returns what a record says. Its bytes are good as long as the memtable.
func (m *memtable) entry(r ref) entry {
	version, kind := m.trie.version(r)
	return entry{key: m.trie.recordKey(r), value: m.trie.recordValue(r), version: version, kind: kind}
}

// batchNeed bounds the room that a batch takes in a trie.
func batchNeed(b *engine.Batch) int64 {
	return trieNeed(int64(b.Count()), int64(b.Size())+int64(b.Count())*maxPrefix)
}
