package memory

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"
)

// index maps keys to their newest records: open addressing with linear probing,
// in shards that grow on their own, so that no write waits for a large table to
// be copied. Writers change it under Engine.mu; readers need no lock but must
// check Engine.version, since what they find may be stale.
type index struct {
	seed   maphash.Seed
	shards [1 << shardBits]atomic.Pointer[table]
	// counts holds the entries of each shard. Guarded by Engine.mu.
	counts [1 << shardBits]int
}

const (
	shardBits  = 8
	firstSlots = 16
)

type table struct {
	mask  uint64
	slots []slot
}

// slot is empty where rec is nil. The hash stands beside the pointer, so that a
// probe touches no record but the right one.
type slot struct {
	hash atomic.Uint64
	rec  atomic.Pointer[record]
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	x.empty()
	return x
}

// empty forgets all entries. Under Engine.mu.
func (x *index) empty() {
	for i := range x.shards {
		x.shards[i].Store(newTable(firstSlots))
		x.counts[i] = 0
	}
}

func newTable(slots int) *table {
	return &table{mask: uint64(slots - 1), slots: make([]slot, slots)}
}

func (x *index) hash(key []byte) uint64 { return maphash.Bytes(x.seed, key) }

func (x *index) shard(hash uint64) uint64 { return hash >> (64 - shardBits) }

// find returns the record of key, nil if there is none. Without Engine.mu the
// answer holds only if Engine.version was even and the same before and after.
func (x *index) find(hash uint64, key []byte) *record {
	t := x.shards[x.shard(hash)].Load()
	// The walk is bounded, since a reader may see a table in the middle of a
	// change in which no slot is empty.
	for i, n := hash&t.mask, 0; n < len(t.slots); i, n = (i+1)&t.mask, n+1 {
		s := &t.slots[i]
		r := s.rec.Load()
		if r == nil {
			return nil
		}
		if s.hash.Load() == hash && bytes.Equal(r.key(), key) {
			return r
		}
	}
	return nil
}

// set makes r the record of its key and returns the one before, nil if new.
// Under Engine.mu.
func (x *index) set(hash uint64, r *record) *record {
	n := x.shard(hash)
	t := x.shards[n].Load()
	i := hash & t.mask
	for ; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		old := s.rec.Load()
		if old == nil {
			break
		}
		if s.hash.Load() == hash && bytes.Equal(old.key(), r.key()) {
			s.rec.Store(r)
			return old
		}
	}
	x.counts[n]++
	if x.counts[n]*3 > len(t.slots)*2 {
		t = t.grown()
		x.shards[n].Store(t)
		for i = hash & t.mask; t.slots[i].rec.Load() != nil; i = (i + 1) & t.mask {
		}
	}
	t.slots[i].hash.Store(hash)
	t.slots[i].rec.Store(r)
	return nil
}

// remove takes key out and returns its record, nil if there is none. Under
// Engine.mu. The entries behind it move up (Knuth vol. 3, 6.4, algorithm R), so
// that no mark is left and probes stay short.
func (x *index) remove(hash uint64, key []byte) *record {
	n := x.shard(hash)
	t := x.shards[n].Load()
	hole := hash & t.mask
	var old *record
	for ; ; hole = (hole + 1) & t.mask {
		s := &t.slots[hole]
		if old = s.rec.Load(); old == nil {
			return nil
		}
		if s.hash.Load() == hash && bytes.Equal(old.key(), key) {
			break
		}
	}
	x.counts[n]--
	for i := (hole + 1) & t.mask; ; i = (i + 1) & t.mask {
		r := t.slots[i].rec.Load()
		if r == nil {
			break
		}
		h := t.slots[i].hash.Load()
		// An entry may move to the hole unless its home lies behind the hole.
		if (i-h)&t.mask >= (i-hole)&t.mask {
			t.slots[hole].hash.Store(h)
			t.slots[hole].rec.Store(r)
			hole = i
		}
	}
	t.slots[hole].rec.Store(nil)
	return old
}

func (t *table) grown() *table {
	g := newTable(2 * len(t.slots))
	for i := range t.slots {
		r := t.slots[i].rec.Load()
		if r == nil {
			continue
		}
		h := t.slots[i].hash.Load()
		j := h & g.mask
		for g.slots[j].rec.Load() != nil {
			j = (j + 1) & g.mask
		}
		g.slots[j].hash.Store(h)
		g.slots[j].rec.Store(r)
	}
	return g
}

// bytes returns the memory of the tables.
func (x *index) bytes() int {
	n := 0
	for i := range x.shards {
		n += 16 * len(x.shards[i].Load().slots)
	}
	return n
}
