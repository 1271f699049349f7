package flash

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// cache holds values, unpacked, by their keys, one of each key, and knows where they lie.
// Who knows the place of a value takes it by that: no place ever has another value. Who
// wants the newest one takes it by the key alone, past the index, where the entry says that
// it is the newest: two misses of the processor's cache in place of those of a walk from the
// root.
//
// That an entry is the newest cannot be out of date, nor can a reader see one change of a
// batch and then miss another: whoever changes the index holds the shards of the keys whose
// values it replaces or removes from before the change comes into sight until they are
// forgotten. A reader that has been to the index and the device may be late with what it
// found: its entry is the newest if the shard has seen no change since before it went.
//
// Each shard is a ring that is written from one end to the other; what was read since it
// was written is written again when its turn to go comes (FIFO with reinsertion, as a clock
// does it). What was forgotten stays until then, and nothing leads to it.
//
//	entry = u64 place, u32 length of the value, u16 of the key, u8 whether it was read,
//	        u8 whether it is the newest, key, value, up to a multiple of 8
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

// cached is how the cache knows a value: by its key, with the number of its family.
type cached struct {
	key  []byte
	hash uint64
	// newest says that the value is the newest of the key, unless the shard has changed since
	// it had seen changes.
	newest bool
	seen   uint64
}

func cachedAs(key []byte) cached { return cached{key: key, hash: hashOf(key)} }

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
	// longestKey is that of an entry.
	longestKey = 1<<16 - 1
	// mostForgotten is how many keys are forgotten one by one.
	mostForgotten = 1 << 16
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
	// changes counts the changes of values that the shard may have.
	changes uint64
	_       [64]byte
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

// on reports whether there is a cache, and a change has to tell it: a store that replays its
// log has none yet, and one may be opened without.
func (c *cache) on() bool { return c != nil && c.memory != nil }

// find returns the shard of a hash, and its tag there, whose upper bits say where in the
// table it belongs.
func (c *cache) find(hash uint64) (s *cacheShard, tag uint32) {
	return &c.shards[hash>>58], tagOf(hash)
}

func tagOf(hash uint64) uint32 { return uint32(hash >> 26) }

// home returns where in the table a tag belongs.
func (s *cacheShard) home(tag uint32) int {
	return int(uint64(tag) * uint64(len(s.table)) >> 32)
}

// entryOf returns the slot and the offset of the entry of a key; -1 if there is none.
func (s *cacheShard) entryOf(tag uint32, key []byte) (slot uint64, at int) {
	if len(s.table) == 0 {
		return 0, -1
	}
	for i := s.home(tag); s.table[i] != 0; i = (i + 1) & (len(s.table) - 1) {
		if slot := s.table[i]; uint32(slot>>32) == tag {
			if at := slotEntry(slot); bytes.Equal(s.key(at), key) {
				return slot, at
			}
		}
	}
	return 0, -1
}

// entryAt returns the offset of the entry of a place; -1 if there is none.
func (s *cacheShard) entryAt(tag uint32, place uint64) int {
	if len(s.table) == 0 {
		return -1
	}
	for i := s.home(tag); s.table[i] != 0; i = (i + 1) & (len(s.table) - 1) {
		if slot := s.table[i]; uint32(slot>>32) == tag {
			if at := slotEntry(slot); s.place(at) == place {
				return at
			}
		}
	}
	return -1
}

// The parts of the entry at an offset.
const (
	atLength = 8
	atKey    = 12
	atRead   = 14
	atNewest = 15
)

func (s *cacheShard) place(at int) uint64 { return binary.LittleEndian.Uint64(s.data[at:]) }

func (s *cacheShard) key(at int) []byte {
	n := int(binary.LittleEndian.Uint16(s.data[at+atKey:]))
	return s.data[at+entryHead:][:n]
}

func (s *cacheShard) value(at int) []byte {
	k := int(binary.LittleEndian.Uint16(s.data[at+atKey:]))
	n := int(binary.LittleEndian.Uint32(s.data[at+atLength:]))
	return s.data[at+entryHead+k:][:n]
}

// sizeOf is what an entry takes.
func sizeOf(key, value int) int { return entryHead + (key+value+7)&^7 }

func slotOf(tag uint32, at int) uint64 { return uint64(tag)<<32 | uint64(at/8+1) }

func slotEntry(slot uint64) int { return (int(uint32(slot)) - 1) * 8 }

// insert takes an entry into the table.
func (s *cacheShard) insert(slot uint64) {
	if 4*(s.entries+1) > 3*len(s.table) {
		old := s.table
		s.table = make([]uint64, 2*len(old))
		for _, slot := range old {
			if slot != 0 {
				s.settle(slot)
			}
		}
	}
	s.settle(slot)
	s.entries++
}

func (s *cacheShard) settle(slot uint64) {
	i := s.home(uint32(slot >> 32))
	for s.table[i] != 0 {
		i = (i + 1) & (len(s.table) - 1)
	}
	s.table[i] = slot
}

// remove takes an entry out of the table, and reports whether it was there. Those behind it
// that could not be at home move up, so that a search may end at an empty slot.
func (s *cacheShard) remove(slot uint64) bool {
	mask := len(s.table) - 1
	i := s.home(uint32(slot >> 32))
	for s.table[i] != slot {
		if s.table[i] == 0 {
			return false
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
	return true
}

// newest appends the newest value of a key to dst, if it is cached. If it is not, k says
// what the shard has seen, for who goes to the index then.
func (c *cache) newest(k *cached, dst []byte) ([]byte, bool) {
	if !c.on() {
		return dst, false
	}
	s, tag := c.find(k.hash)
	s.mu.Lock()
	if _, at := s.entryOf(tag, k.key); at >= 0 && s.data[at+atNewest] != 0 {
		s.data[at+atRead] = 1
		dst = append(dst, s.value(at)...)
		s.mu.Unlock()
		return dst, true
	}
	k.newest, k.seen = true, s.changes
	s.mu.Unlock()
	return dst, false
}

// get appends the value at a place to dst, if it is cached.
func (c *cache) get(k *cached, place uint64, dst []byte) ([]byte, bool) {
	s, tag := c.find(k.hash)
	s.mu.Lock()
	at := s.entryAt(tag, place)
	if at < 0 {
		s.mu.Unlock()
		c.misses.Add(1)
		return dst, false
	}
	s.data[at+atRead] = 1
	if k.newest && k.seen == s.changes {
		s.data[at+atNewest] = 1
	}
	dst = append(dst, s.value(at)...)
	s.mu.Unlock()
	return dst, true
}

// prefetchSlot asks for the memory that says where a value is cached.
func (c *cache) prefetchSlot(k *cached) {
	s, tag := c.find(k.hash)
	s.mu.Lock()
	if len(s.table) > 0 {
		prefetch.Line(unsafe.Pointer(&s.table[s.home(tag)]))
	}
	s.mu.Unlock()
}

// prefetchValue asks for the memory of a value of about so many bytes, if it is cached.
func (c *cache) prefetchValue(k *cached, bytes int) {
	s, tag := c.find(k.hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.table) == 0 {
		return
	}
	for i := s.home(tag); s.table[i] != 0; i = (i + 1) & (len(s.table) - 1) {
		if slot := s.table[i]; uint32(slot>>32) == tag {
			prefetch.Lines(unsafe.Pointer(&s.data[slotEntry(slot)]), min((entryHead+len(k.key)+bytes)/64+1, mostLines))
			return
		}
	}
}

// put caches the value at a place.
func (c *cache) put(k *cached, place uint64, value []byte) {
	s, tag := c.find(k.hash)
	need := sizeOf(len(k.key), len(value))
	s.mu.Lock()
	defer s.mu.Unlock()
	if need > len(s.data)/4 || len(k.key) > longestKey {
		return
	}
	newest := k.newest && k.seen == s.changes
	if slot, at := s.entryOf(tag, k.key); at >= 0 {
		switch {
		case s.place(at) == place:
			if newest {
				s.data[at+atNewest] = 1
			}
			return
		case s.data[at+atNewest] != 0 && !newest:
			return // who reads an old state does not put out what all others read
		}
		s.remove(slot)
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
	s.append(tag, place, k.key, value, newest)
}

// hold begins a change of the value of one key: nobody takes it from the cache until let.
func (c *cache) hold(hash uint64) *cacheShard {
	s, _ := c.find(hash)
	s.mu.Lock()
	return s
}

// let ends a change that hold began, which is in sight now.
func (s *cacheShard) let(hash uint64) {
	s.forget(tagOf(hash))
	s.mu.Unlock()
}

// forget takes the entries of a tag out of the table, for a change that is in sight.
func (s *cacheShard) forget(tag uint32) {
	s.changes++
	if len(s.table) == 0 {
		return
	}
	for i := s.home(tag); s.table[i] != 0; {
		if slot := s.table[i]; uint32(slot>>32) != tag || !s.remove(slot) {
			i = (i + 1) & (len(s.table) - 1)
		}
	}
}

// changing are the hashes of the keys whose values a change replaces or removes. Of more than
// mostForgotten it has one more, and stands for all keys.
type changing []uint64

func (g *changing) add(hash uint64) {
	if len(*g) <= mostForgotten {
		*g = append(*g, hash)
	}
}

// change brings a change of several keys into sight, by show, and forgets their values,
// in one step for all who read through the cache.
func (c *cache) change(g changing, show func()) {
	if !c.on() {
		show()
		return
	}
	all := len(g) > mostForgotten
	held := ^uint64(0)
	if !all {
		held = 0
		for _, h := range g {
			held |= 1 << (h >> 58)
		}
	}
	for i := range c.shards {
		if held>>i&1 != 0 {
			c.shards[i].mu.Lock()
		}
	}
	show()
	if all {
		for i := range c.shards {
			s := &c.shards[i]
			s.changes++
			clear(s.table)
			s.entries, s.used = 0, 0
		}
	} else {
		for _, h := range g {
			s, tag := c.find(h)
			s.forget(tag)
		}
	}
	for i := range c.shards {
		if held>>i&1 != 0 {
			c.shards[i].mu.Unlock()
		}
	}
}

// moved notes that the value of a key, which is the same, lies elsewhere now.
func (c *cache) moved(hash, from, to uint64) {
	s, tag := c.find(hash)
	s.mu.Lock()
	s.changes++ // who has read it there and is late must not make it the newest of there
	if at := s.entryAt(tag, from); at >= 0 {
		binary.LittleEndian.PutUint64(s.data[at:], to)
	}
	s.mu.Unlock()
}

// current says of a value that it is the newest, for who changes the index.
func (c *cache) current(k *cached) {
	s, _ := c.find(k.hash)
	s.mu.Lock()
	k.newest, k.seen = true, s.changes
	s.mu.Unlock()
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
		binary.LittleEndian.PutUint32(s.data[s.head+atLength:], wrapMark)
	}
	s.used += len(s.data) - s.head
	s.head = 0
	return true
}

// evict takes the oldest entry out; one that was read since goes to the other end, if
// there is room for it beside what is to be inserted.
func (s *cacheShard) evict(kept *int, need int) bool {
	if len(s.data)-s.tail < entryHead || binary.LittleEndian.Uint32(s.data[s.tail+atLength:]) == wrapMark {
		s.used -= len(s.data) - s.tail
		s.tail = 0
		return true
	}
	at := s.tail
	k := int(binary.LittleEndian.Uint16(s.data[at+atKey:]))
	n := int(binary.LittleEndian.Uint32(s.data[at+atLength:]))
	size := sizeOf(k, n)
	tag := tagOf(hashOf(s.key(at)))
	place, newest := s.place(at), s.data[at+atNewest] != 0
	again := s.remove(slotOf(tag, at)) && s.data[at+atRead] != 0 && *kept < mostKept
	s.tail += size
	s.used -= size
	if s.tail == len(s.data) {
		s.tail = 0
	}
	if again && k+n <= 1<<14 {
		*kept++
		var buf [1 << 14]byte
		copy(buf[:], s.data[at+entryHead:][:k+n])
		if s.room(size) {
			s.append(tag, place, buf[:k], buf[k:k+n], newest)
		}
	}
	return true
}

// append writes an entry for which there is room.
func (s *cacheShard) append(tag uint32, place uint64, key, value []byte, newest bool) {
	at := s.head
	binary.LittleEndian.PutUint64(s.data[at:], place)
	binary.LittleEndian.PutUint32(s.data[at+atLength:], uint32(len(value)))
	binary.LittleEndian.PutUint16(s.data[at+atKey:], uint16(len(key)))
	s.data[at+atRead], s.data[at+atNewest] = 0, 0
	if newest {
		s.data[at+atNewest] = 1
	}
	copy(s.data[at+entryHead:], key)
	copy(s.data[at+entryHead+len(key):], value)
	size := sizeOf(len(key), len(value))
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
