package lsm

import (
	"bytes"
)

// source is a part of the store as an iterator sees it: of each key the newest version
// that is not above the iterator's. It stands on an entry while its methods return true;
// the bytes of that are good until it moves.
type source interface {
	seekGE(key []byte) bool
	seekLT(key []byte) bool
	next() bool
	prev() bool
	entry() *entry
	err() error
	// cover returns the span around a key that tombstones of the source delete.
	cover(key []byte) span
}

// memSource is a memtable.
type memSource struct {
	m      *memtable
	ranges *rangeSets
	at     uint64
	c      trieCursor
	e      entry
}

// reset makes it one of a memtable.
func (s *memSource) reset(m *memtable, ranges *rangeSets, at uint64) {
	*s = memSource{m: m, ranges: ranges, at: at, c: trieCursor{t: m.trie, stack: s.c.stack}}
}

// forget lets go of all but memory for the next one.
func (s *memSource) forget() { *s = memSource{c: trieCursor{stack: s.c.stack}} }

func (s *memSource) entry() *entry { return &s.e }
func (s *memSource) err() error    { return nil }

// settle takes the entry that the cursor stands on, or that move leads to.
func (s *memSource) settle(move func()) bool {
	for s.c.record != 0 {
		if r := s.m.trie.visible(s.c.record, s.at); r != 0 {
			s.e = s.m.entry(r)
			return true
		}
		move()
	}
	s.e = entry{}
	return false
}

func (s *memSource) seekGE(key []byte) bool {
	s.c.seekGE(key)
	return s.settle(s.c.next)
}

func (s *memSource) seekLT(key []byte) bool {
	s.c.seekLT(key)
	return s.settle(s.c.prev)
}

func (s *memSource) next() bool {
	s.c.next()
	return s.settle(s.c.next)
}

func (s *memSource) prev() bool {
	s.c.prev()
	return s.settle(s.c.prev)
}

// passDead moves from a tombstone on to the next entry that is none, or past as much as
// lies before a limit; see trieCursor.
func (s *memSource) passDead(limit []byte, back bool) bool {
	s.c.passDead(s.at, limit, back)
	if back {
		return s.settle(s.c.prev)
	}
	return s.settle(s.c.next)
}

func (s *memSource) cover(key []byte) span {
	var out span
	if s.ranges == nil {
		return out
	}
	// The sets need not cut where others do: what holds for all of them is as wide as the
	// narrowest.
	for _, f := range s.ranges.sets {
		out = meet(out, f.cover(key, s.at))
	}
	return out
}

// meet returns where two spans around one key both are, deleted at the later version.
func meet(a, b span) span {
	if b.lower != nil && (a.lower == nil || bytes.Compare(b.lower, a.lower) > 0) {
		a.lower = b.lower
	}
	if b.upper != nil && (a.upper == nil || bytes.Compare(b.upper, a.upper) < 0) {
		a.upper = b.upper
	}
	a.version = max(a.version, b.version)
	return a
}

// runSource is a run.
type runSource struct {
	run    *run
	at     uint64
	ranged bool // some table has tombstones
	table  int
	c      tableCursor
	// held is the entry while the cursor is before it, as after a move backwards.
	e    entry
	back struct{ key, value []byte }
	// reversed says that the cursor stands before all versions of the entry's key.
	reversed bool
	failure  error
}

// reset makes it one of a run.
func (s *runSource) reset(r *run, at uint64) {
	s.forget()
	s.run, s.at, s.ranged = r, at, r.ranged
}

// forget lets go of all but memory for the next one.
func (s *runSource) forget() {
	back := s.back
	*s = runSource{table: -1, c: tableCursor{memory: s.c.memory, key: s.c.key}}
	s.back.key, s.back.value = back.key[:0], back.value[:0]
}

func (s *runSource) entry() *entry { return &s.e }

func (s *runSource) err() error { return s.failure }

// open goes to a table; false at the ends.
func (s *runSource) open(i int) bool {
	if i < 0 || i >= len(s.run.tables) {
		return false
	}
	if i != s.table {
		s.table = i
		s.c.reset(s.run.tables[i])
	}
	return true
}

func (s *runSource) end() bool {
	s.e = entry{}
	if s.failure == nil {
		s.failure = s.c.err
	}
	return false
}

func (s *runSource) seekGE(key []byte) bool {
	s.reversed = false
	if s.failure != nil || len(s.run.tables) == 0 {
		return s.end()
	}
	i := max(s.run.index.find(key), 0)
	if !s.open(i) {
		return s.end()
	}
	return s.forward(s.c.seekGE(key))
}

// forward goes on until the cursor stands on a version that the reader sees; ok says
// whether it stands on any.
func (s *runSource) forward(ok bool) bool {
	for {
		for ; ok; ok = s.c.next() {
			if s.c.e.version <= s.at {
				s.e = s.c.e
				return true
			}
		}
		if s.c.err != nil || !s.open(s.table+1) {
			return s.end()
		}
		ok = s.c.seekGE(s.c.t.lower)
	}
}

func (s *runSource) next() bool {
	if s.reversed {
		// The key is in memory of the source's own.
		key := append(append([]byte{}, s.e.key...), 0)
		return s.seekGE(key)
	}
	if !s.c.b.several() {
		return s.forward(s.c.next())
	}
	s.back.key = append(s.back.key[:0], s.e.key...)
	ok := s.c.next()
	for ok && bytes.Equal(s.c.e.key, s.back.key) {
		ok = s.c.next()
	}
	return s.forward(ok)
}

// nextBefore is next where that stays in a block, and leads to a value that the reader
// sees, of a key that has one version: moved is false where it does not, and nothing is
// changed. within says that the key is below a limit with that head.
func (s *runSource) nextBefore(limit []byte, head uint64) (moved, within bool) {
	c := &s.c
	i := c.i + 1
	if i >= c.n || !c.plain || s.reversed {
		return false, false
	}
	suffix, value, version, kind := c.b.record(c.b.slot(c.n, i))
	if version += c.t.add; version > s.at || kind == kindDelete {
		return false, false
	}
	c.i = i
	c.key = append(c.key[:c.prefix], suffix...)
	s.e.key, s.e.value, s.e.version, s.e.kind = c.key, value, version, kind
	h := headOf(c.key)
	return true, h < head || h == head && bytes.Compare(c.key, limit) < 0
}

func (s *runSource) seekLT(key []byte) bool {
	s.reversed = true
	if s.failure != nil || len(s.run.tables) == 0 {
		return s.end()
	}
	i := max(s.run.index.find(key), 0)
	if !s.open(i) {
		return s.end()
	}
	return s.backward(s.c.seekLT(key))
}

// backward takes the newest version that the reader sees of the key on which the cursor
// stands, or of one before it; ok says whether it stands on any.
func (s *runSource) backward(ok bool) bool {
	for {
		for ok {
			s.back.key = append(s.back.key[:0], s.c.e.key...)
			found := false
			for ok && bytes.Equal(s.c.e.key, s.back.key) {
				if s.c.e.version <= s.at {
					found = true
					s.back.value = append(s.back.value[:0], s.c.e.value...)
					s.e = entry{key: s.back.key, value: s.back.value, version: s.c.e.version, kind: s.c.e.kind}
				}
				ok = s.c.prev()
			}
			if found {
				return true
			}
		}
		if s.c.err != nil || !s.open(s.table-1) {
			return s.end()
		}
		ok = s.c.seekLT(s.c.t.upper)
	}
}

func (s *runSource) prev() bool {
	if !s.reversed {
		key := append([]byte{}, s.e.key...)
		return s.seekLT(key)
	}
	return s.backward(s.c.e.key != nil)
}

func (s *runSource) cover(key []byte) span {
	var out span
	if !s.ranged {
		return out
	}
	i := s.run.index.find(key)
	if i >= 0 && bytes.Compare(key, s.run.tables[i].upper) < 0 {
		t := s.run.tables[i]
		out.lower, out.upper = t.lower, t.upper
		if t.ranges == 0 {
			return out
		}
		r, err := t.open()
		if err != nil {
			if s.failure == nil {
				s.failure = err
			}
			return out
		}
		return meet(out, r.ranges.cover(key, s.at))
	}
	if i >= 0 {
		out.lower = s.run.tables[i].upper
	}
	if i+1 < len(s.run.tables) {
		out.upper = s.run.tables[i+1].lower
	}
	return out
}
