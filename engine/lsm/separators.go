package lsm

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// separators are keys in order, of which a search finds the last one that is not above
// its key. The first eight bytes behind what all of them have in common lie side by
// side, and every sixteenth of those apart.
type separators struct {
	prefix     []byte
	heads, top []uint64
	keys       []byte
	ends       []uint32
}

// newSeparators takes keys, one after the other, that end at ends. It keeps them.
func newSeparators(keys []byte, ends []uint32) separators {
	s := separators{keys: keys, ends: ends}
	n := len(ends)
	if n == 0 {
		return s
	}
	if n > 1 {
		// The first may be empty where nothing is below it; the others decide.
		first, last := s.key(1), s.key(n-1)
		s.prefix = first[:commonPrefix(first, last)]
	}
	s.heads = make([]uint64, n)
	s.top = make([]uint64, 0, n/16+1)
	for i := range n {
		k := s.key(i)
		switch {
		case bytes.HasPrefix(k, s.prefix):
			s.heads[i] = headOf(k[len(s.prefix):])
		case i > 0:
			panic("lsm: separators out of order")
		}
		if i%16 == 0 {
			s.top = append(s.top, s.heads[i])
		}
	}
	return s
}

func (s *separators) key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	return s.keys[start:s.ends[i]]
}

func (s *separators) count() int { return len(s.ends) }

// headOf returns the first eight bytes as a number that is in the order of keys.
func headOf(k []byte) uint64 {
	if len(k) >= 8 {
		return binary.BigEndian.Uint64(k)
	}
	var h uint64
	for _, b := range k {
		h = h<<8 | uint64(b)
	}
	return h << (8 * uint(8-len(k)))
}

// find returns the number of the last key that is not above key; -1 if all are.
func (s *separators) find(key []byte) int {
	n := len(s.ends)
	if n <= 1 {
		if n == 0 || bytes.Compare(s.key(0), key) > 0 {
			return -1
		}
		return 0
	}
	p := len(s.prefix)
	if len(key) < p || string(key[:p]) != string(s.prefix) {
		if bytes.Compare(key, s.prefix) < 0 {
			if bytes.Compare(s.key(0), key) <= 0 {
				return 0
			}
			return -1
		}
		return n - 1
	}
	h := headOf(key[p:])
	// The last of every sixteenth that is not above.
	base, m := 0, len(s.top)
	for m > 1 {
		half := m / 2
		if s.top[base+half] <= h {
			base += half
		}
		m -= half
	}
	i := base * 16
	block := s.heads[i:min(i+16, n)]
	last := 0
	for _, x := range block {
		if x <= h {
			last++
		}
	}
	i += last - 1
	if i < 0 {
		return -1
	}
	if s.heads[i] != h {
		return i
	}
	// Some have the same head: whole keys decide.
	lo := sort.Search(i, func(j int) bool { return s.heads[j] >= h })
	// i is the last with this head, as the tops that are equal were passed too.
	return lo + sort.Search(i-lo+1, func(j int) bool { return bytes.Compare(s.key(lo+j), key) > 0 }) - 1
}
