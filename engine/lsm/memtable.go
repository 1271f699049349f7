package lsm

import (
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
	data  int64
	holds atomic.Int64
}

// newMemtable makes one that is full at a size, and has room for some more.
func newMemtable(bytes, room int64) (*memtable, error) {
	t, err := newTrie(max(bytes+bytes/8+64<<10, room+64))
	if err != nil {
		return nil, err
	}
	// Entries of 64 bytes and more have ten bits and more of the filter.
	return &memtable{trie: t, filter: newBlocked(int(max(bytes, room)/100)+1, 10)}, nil
}

// bytes is the memory that is in use.
func (m *memtable) bytes() int64 { return m.trie.used.Load() }

func (m *memtable) empty() bool { return m.first == 0 }

// put adds a change of one key.
func (m *memtable) put(key, value []byte, version uint64, kind entryKind) {
	m.trie.insert(key, value, version, kind)
	m.filter.add(hashOf(key))
	m.data += int64(len(key) + len(value))
	m.note(version)
}

// deleteRange adds a tombstone. See rangeSets.with.
func (m *memtable) deleteRange(lower, upper []byte, version, visible uint64, snapshots []uint64) {
	t := tombstone{append([]byte{}, lower...), append([]byte{}, upper...), version}
	m.ranges.Store(m.ranges.Load().with(t, visible, snapshots))
	m.data += int64(len(lower) + len(upper))
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

// entry returns what a record says. Its bytes are good as long as the memtable.
func (m *memtable) entry(r ref) entry {
	version, kind := m.trie.version(r)
	return entry{key: m.trie.recordKey(r), value: m.trie.recordValue(r), version: version, kind: kind}
}

// batchNeed bounds the room that a batch takes in a trie.
func batchNeed(b *engine.Batch) int64 {
	return trieNeed(int64(b.Count()), int64(b.Size())+int64(b.Count())*maxPrefix)
}
