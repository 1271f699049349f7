package flash

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// cache holds values, unpacked, by where they lie: no place ever has another value, so
// that nothing in it can be out of date. Each shard is a ring that is written from one
// end to the other; what was read since it was written is written again when its turn
// to go comes (FIFO with reinsertion, as a clock does it).
//
//	entry = u64 place, u32 length, u32 whether it was read, value, up to a multiple of 8
//
// Entries are found by a hash table with linear probing, at most three quarters full, so
// that most lookups touch one line of it and then the entry.
//
//	slot = u32 tag << 32 | offset of the entry in units of 8 and 1; 0 if it is empty
type cache struct {
	memory *vfs.Memory
	shards [cacheShards]cacheShard
	misses atomic.Uint64
}

const (
	cacheShards = 64
	entryHead   = 16
	// wrapMark is the length of an entry that says that the ring goes on at its start.
	wrapMark = 1<<32 - 1
	// mostKept is how many entries an insertion writes again.
	mostKept = 4
	// leastSlots is what a table begins with.
	leastSlots = 64
	// mostLines of a value are asked for; the processor has no room for more.
	mostLines = 8
)

type cacheShard struct {
	// mu guards what follows, and the bytes of data.
	mu   sync.Mutex
	data []byte
	// table has a power of two of slots; entries of them are taken.
	table   []uint64
	entries int
	// head is where the next entry goes, tail the oldest entry; used is what lies between.
	head, tail, used int
	touched          int // the most that was ever in use
	_                [64]byte
}

func newCache(bytes int64) (*cache, error) {
	c := &cache{}
	each := bytes / cacheShards &^ 7
	if bytes < 0 || each < 64 {
		return c, nil
	}
	each = min(each, 1<<32-8)
	memory, err := vfs.ReserveMemory(int(each*cacheShards), true)
	if err != nil {
		return nil, err
	}
	c.memory = memory
	for i := range c.shards {
		at := int64(i) * each
		c.shards[i].data = memory.Bytes()[at : at+each : at+each]
		c.shards[i].table = make([]uint64, leastSlots)
	}
	return c, nil
}

// find returns the shard of a place, and its tag there, whose upper bits say where in the
// table it belongs.
func (c *cache) find(place uint64) (s *cacheShard, tag uint32) {
	shard, tag := tagOf(place)
	return &c.shards[shard], tag
}

func tagOf(place uint64) (shard int, tag uint32) {
	h := place * 0x9e3779b97f4a7c15
	return int(h >> 58), uint32(h >> 26)
}

// home returns where in the table a tag belongs.
func (s *cacheShard) home(tag uint32) int {
	return int(uint64(tag) * uint64(len(s.table)) >> 32)
}

// entry returns the offset of the entry of a place; -1 if there is none.
func (s *cacheShard) entry(place uint64, tag uint32) int {
	if len(s.table) == 0 {
		return -1
	}
	for i := s.home(tag); s.table[i] != 0; i = (i + 1) & (len(s.table) - 1) {
		if slot := s.table[i]; uint32(slot>>32) == tag {
			if at := slotEntry(slot); binary.LittleEndian.Uint64(s.data[at:]) == place {
				return at
			}
		}
	}
	return -1
}

func slotOf(tag uint32, at int) uint64 { return uint64(tag)<<32 | uint64(at/8+1) }

func slotEntry(slot uint64) int { return (int(uint32(slot)) - 1) * 8 }

// insert takes an entry into the table.
func (s *cacheShard) insert(slot uint64) {
	if 4*(s.entries+1) > 3*len(s.table) {
		old := s.table
		s.table = make([]uint64, 2*len(old))
		for _, slot := range old {
			if slot != 0 {
				s.place(slot)
			}
		}
	}
	s.place(slot)
	s.entries++
}

func (s *cacheShard) place(slot uint64) {
	i := s.home(uint32(slot >> 32))
	for s.table[i] != 0 {
		i = (i + 1) & (len(s.table) - 1)
	}
	s.table[i] = slot
}

// remove takes an entry out of the table. Those behind it that could not be at home move
// up, so that a search may end at an empty slot.
func (s *cacheShard) remove(slot uint64) {
	mask := len(s.table) - 1
	i := s.home(uint32(slot >> 32))
	for s.table[i] != slot {
		if s.table[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.table[j] != 0; j = (j + 1) & mask {
		if home := s.home(uint32(s.table[j] >> 32)); (j-home)&mask >= (j-i)&mask {
			s.table[i] = s.table[j]
			i = j
		}
	}
	s.table[i] = 0
	s.entries--
}

// get appends the value at a place to dst, if it is cached.
func (c *cache) get(place uint64, dst []byte) ([]byte, bool) {
	s, tag := c.find(place)
	s.mu.Lock()
	at := s.entry(place, tag)
	if at < 0 {
		s.mu.Unlock()
		c.misses.Add(1)
		return dst, false
	}
	n := binary.LittleEndian.Uint32(s.data[at+8:])
	s.data[at+12] = 1
	from := at + entryHead
	dst = append(dst, s.data[from:from+int(n)]...)
	s.mu.Unlock()
	return dst, true
}

// prefetchSlot asks for the memory that says where the value at a place is cached.
func (c *cache) prefetchSlot(place uint64) {
	s, tag := c.find(place)
	s.mu.Lock()
	if len(s.table) > 0 {
		prefetch.Line(unsafe.Pointer(&s.table[s.home(tag)]))
	}
	s.mu.Unlock()
}

// prefetchValue asks for the memory of the value at a place, of about so many bytes, if it
// is cached.
func (c *cache) prefetchValue(place uint64, bytes int) {
	s, tag := c.find(place)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.table) == 0 {
		return
	}
	for i := s.home(tag); s.table[i] != 0; i = (i + 1) & (len(s.table) - 1) {
		if slot := s.table[i]; uint32(slot>>32) == tag {
			prefetch.Lines(unsafe.Pointer(&s.data[slotEntry(slot)]), min((entryHead+bytes)/64+1, mostLines))
			return
		}
	}
}

// put caches the value at a place.
func (c *cache) put(place uint64, value []byte) {
	s, tag := c.find(place)
	need := entryHead + (len(value)+7)&^7
	s.mu.Lock()
	defer s.mu.Unlock()
	if need > len(s.data)/4 {
		return
	}
	if s.entry(place, tag) >= 0 {
		return
	}
	kept := 0
	for !s.room(need) {
		if s.used == 0 {
			return
		}
		if !s.evict(&kept, need) {
			return
		}
	}
	s.append(place, tag, value)
}

// room reports whether an entry fits before the oldest one, and goes to the start of the
// ring where only that has room.
func (s *cacheShard) room(need int) bool {
	if s.used == 0 {
		s.head, s.tail = 0, 0
	}
	if s.used > 0 && s.head <= s.tail {
		return s.tail-s.head >= need
	}
	if len(s.data)-s.head >= need {
		return true
	}
	// The rest of the ring is passed over.
	if s.tail < need && s.used > 0 || s.used == 0 {
		return false
	}
	if rest := len(s.data) - s.head; rest >= entryHead {
		binary.LittleEndian.PutUint32(s.data[s.head+8:], wrapMark)
	}
	s.used += len(s.data) - s.head
	s.head = 0
	return true
}

// evict takes the oldest entry out; one that was read since goes to the other end, if
// there is room for it beside what is to be inserted.
func (s *cacheShard) evict(kept *int, need int) bool {
	if len(s.data)-s.tail < entryHead || binary.LittleEndian.Uint32(s.data[s.tail+8:]) == wrapMark {
		s.used -= len(s.data) - s.tail
		s.tail = 0
		return true
	}
	at := s.tail
	place := binary.LittleEndian.Uint64(s.data[at:])
	n := int(binary.LittleEndian.Uint32(s.data[at+8:]))
	size := entryHead + (n+7)&^7
	again := s.data[at+12] != 0 && *kept < mostKept
	_, tag := tagOf(place)
	s.remove(slotOf(tag, at))
	s.tail += size
	s.used -= size
	if s.tail == len(s.data) {
		s.tail = 0
	}
	if again && n <= 1<<14 {
		*kept++
		var buf [1 << 14]byte
		copy(buf[:], s.data[at+entryHead:at+entryHead+n])
		if s.room(size) {
			s.append(place, tag, buf[:n])
		}
	}
	return true
}

// append writes an entry for which there is room.
func (s *cacheShard) append(place uint64, tag uint32, value []byte) {
	at := s.head
	binary.LittleEndian.PutUint64(s.data[at:], place)
	binary.LittleEndian.PutUint32(s.data[at+8:], uint32(len(value)))
	binary.LittleEndian.PutUint32(s.data[at+12:], 0)
	copy(s.data[at+entryHead:], value)
	size := entryHead + (len(value)+7)&^7
	s.insert(slotOf(tag, at))
	s.head += size
	s.used += size
	s.touched = max(s.touched, s.head)
	if s.head == len(s.data) {
		s.head = 0
	}
}

// used is the memory that was ever taken.
func (c *cache) used() (n int64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += int64(s.touched) + 8*int64(len(s.table))
		s.mu.Unlock()
	}
	return n
}

func (c *cache) release() error {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.data, s.table, s.entries, s.used, s.head, s.tail = nil, nil, 0, 0, 0, 0
		s.mu.Unlock()
	}
	if c.memory == nil {
		return nil
	}
	return c.memory.Release()
}
