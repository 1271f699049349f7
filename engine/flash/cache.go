package flash

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// cache holds values, unpacked, by where they lie: no place ever has another value, so
// that nothing in it can be out of date. Each shard is a ring that is written from one
// end to the other; what was read since it was written is written again when its turn
// to go comes (FIFO with reinsertion, as a clock does it).
//
//	entry = u64 place, u32 length, u32 whether it was read, value, up to a multiple of 8
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
)

type cacheShard struct {
	mu    sync.Mutex
	data  []byte
	index map[uint64]uint32
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
		c.shards[i].index = map[uint64]uint32{}
	}
	return c, nil
}

func (c *cache) shard(place uint64) *cacheShard {
	return &c.shards[place*0x9e3779b97f4a7c15>>58]
}

// get appends the value at a place to dst, if it is cached.
func (c *cache) get(place uint64, dst []byte) ([]byte, bool) {
	s := c.shard(place)
	s.mu.Lock()
	at, ok := s.index[place]
	if !ok {
		s.mu.Unlock()
		c.misses.Add(1)
		return dst, false
	}
	n := binary.LittleEndian.Uint32(s.data[at+8:])
	s.data[at+12] = 1
	from := int(at) + entryHead
	dst = append(dst, s.data[from:from+int(n)]...)
	s.mu.Unlock()
	return dst, true
}

// put caches the value at a place.
func (c *cache) put(place uint64, value []byte) {
	s := c.shard(place)
	need := entryHead + (len(value)+7)&^7
	s.mu.Lock()
	defer s.mu.Unlock()
	if need > len(s.data)/4 {
		return
	}
	if _, ok := s.index[place]; ok {
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
	s.append(place, value)
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
	delete(s.index, place)
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
			s.append(place, buf[:n])
		}
	}
	return true
}

// append writes an entry for which there is room.
func (s *cacheShard) append(place uint64, value []byte) {
	at := s.head
	binary.LittleEndian.PutUint64(s.data[at:], place)
	binary.LittleEndian.PutUint32(s.data[at+8:], uint32(len(value)))
	binary.LittleEndian.PutUint32(s.data[at+12:], 0)
	copy(s.data[at+entryHead:], value)
	size := entryHead + (len(value)+7)&^7
	s.index[place] = uint32(at)
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
		n += int64(s.touched) + 16*int64(len(s.index))
		s.mu.Unlock()
	}
	return n
}

func (c *cache) release() error {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.data, s.index, s.used, s.head, s.tail = nil, nil, 0, 0, 0
		s.mu.Unlock()
	}
	if c.memory == nil {
		return nil
	}
	return c.memory.Release()
}
