package cowbtree

import (
	"sync"

	"github.com/tidwall/btree"
)

const (
	sectorBytes = 512
	// blockSectors is what is handed out at least. Pages are packed by sectors within
	// what one checkpoint takes; a block that holds a page that lives is not written
	// to, since the operating system, or the device, might have to write all of it.
	blockSectors = 8
	// metaSectors are the slots of the meta pages. Each checkpoint takes the next one
	// in turn, so that the two before it stay.
	metaSlots   = 3
	metaSectors = metaSlots * blockSectors
)

// extent is some sectors of the data file.
type extent struct{ at, n int64 }

func (e extent) end() int64 { return e.at + e.n }

// id packs an extent into the identity of a page: 42 bits for where, 21 for how
// much.
func (e extent) id() uint64 { return uint64(e.at)<<21 | uint64(e.n) }

const maxExtentSectors = 1<<21 - 1

func extentOf(id uint64) extent {
	return extent{at: int64(id >> 21), n: int64(id & maxExtentSectors)}
}

func sectors(bytes int) int64 { return int64(bytes+sectorBytes-1) / sectorBytes }

// space knows which sectors of the data file are free.
type space struct {
	// mu guards what follows.
	mu   sync.Mutex
	free *btree.BTreeG[extent] // by where they are; no two touch
	// size is the length of the file, in sectors.
	size int64
	// total counts the free sectors, least the fewest since it was last asked.
	total, least int64
	// cursor is where taking goes on.
	cursor int64
}

func newSpace(size int64) *space {
	return &space{
		free: btree.NewBTreeGOptions(func(a, b extent) bool { return a.at < b.at }, btree.Options{NoLocks: true}),
		size: size,
	}
}

// give makes an extent free.
func (s *space) give(e extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert(e)
}

func (s *space) insert(e extent) {
	if e.n <= 0 {
		return
	}
	s.total += e.n
	var before, after extent
	s.free.Descend(e, func(x extent) bool { before = x; return false })
	s.free.Ascend(e, func(x extent) bool { after = x; return false })
	if before.n > 0 && before.end() == e.at {
		s.free.Delete(before)
		e.at, e.n = before.at, before.n+e.n
	}
	if after.n > 0 && e.end() == after.at {
		s.free.Delete(after)
		e.n += after.n
	}
	s.free.Set(e)
}

// load makes extents free, of which a new space has none yet. None is empty, they
// ascend, and each begins where the one before ends, or behind that. Giving them one
// by one took most of the time of opening a store with many.
func (s *space) load(list []extent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 0; i < len(list); {
		e := list[i]
		for i++; i < len(list) && list[i].at == e.end(); i++ {
			e.n += list[i].n
		}
		s.free.Load(e)
		s.total += e.n
	}
}

// rewind makes taking begin at the front again, where it leaves the end of the
// file free.
func (s *space) rewind() {
	s.mu.Lock()
	s.cursor = 0
	s.mu.Unlock()
}

// take returns a free extent of whole blocks, of least sectors at least and most at
// most. ok is false if there is none, and the file has to grow.
func (s *space) take(least, most int64) (extent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range 2 {
		var found, whole extent
		start := extent{at: s.cursor}
		// The cursor may lie within an extent.
		s.free.Descend(start, func(x extent) bool {
			if x.end() > s.cursor {
				start.at = x.at
			}
			return false
		})
		s.free.Ascend(start, func(x extent) bool {
			from := max(x.at, s.cursor)
			from = (from + blockSectors - 1) &^ (blockSectors - 1)
			n := (x.end() - from) &^ (blockSectors - 1)
			if n < least || n <= 0 {
				return true
			}
			found, whole = extent{from, min(n, (most+blockSectors-1)&^(blockSectors-1))}, x
			return false
		})
		if found.n > 0 {
			s.free.Delete(whole)
			s.total -= whole.n
			s.insert(extent{whole.at, found.at - whole.at})
			s.insert(extent{found.end(), whole.end() - found.end()})
			s.cursor = found.end()
			s.least = min(s.least, s.total)
			return found, true
		}
		if s.cursor == 0 {
			break
		}
		s.cursor = 0
	}
	return extent{}, false
}

// grown tells that the file has become longer.
func (s *space) grown(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size > s.size {
		s.insert(extent{s.size, size - s.size})
		s.size = size
	}
}

// tail takes the free sectors at the end of the file, all but keep of them, in
// whole blocks, and returns how many; the file is shorter by them.
func (s *space) tail(keep int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.free.Max()
	if !ok || last.end() != s.size {
		return 0
	}
	from := (last.at + keep + blockSectors - 1) &^ (blockSectors - 1)
	n := last.end() - from
	if n <= 0 {
		return 0
	}
	s.free.Delete(last)
	s.total -= last.n
	s.size = from
	s.insert(extent{last.at, from - last.at})
	s.least = min(s.least, s.total)
	return n
}

// list returns the free extents in order.
func (s *space) list() []extent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.free.Items()
}

// remove takes an extent of which all must be free; false if it is not.
func (s *space) remove(x extent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var whole extent
	s.free.Descend(x, func(y extent) bool { whole = y; return false })
	if whole.n == 0 || whole.end() < x.end() {
		return false
	}
	s.free.Delete(whole)
	s.total -= whole.n
	s.insert(extent{whole.at, x.at - whole.at})
	s.insert(extent{x.end(), whole.end() - x.end()})
	return true
}
