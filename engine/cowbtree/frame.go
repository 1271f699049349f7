package cowbtree

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// frame is the head of a piece of memory that holds a page, which lies behind it.
//
// Its version is a lock and a stamp: odd while the page is changed, and another
// one afterwards. A reader takes the version, looks at the identity, reads what it
// wants, and takes the version again; if that has changed it knows nothing, and
// begins anew. So reading takes no lock and writes nothing that is shared.
type frame struct {
	version atomic.Uint64
	// id is the page's identity, as in the references to it; 0 if the frame is free.
	// It is unwritten until no reference says so any more, and the frame is not
	// evicted before.
	id atomic.Uint64
	// place is where the page was written, with that checksum; 0 until then, and for
	// a page that was read.
	place atomic.Uint64
	birth uint64
	sum   uint32
	// chances is how often the clock passes the frame by before it takes it.
	chances atomic.Uint32
	next    uint32 // in the list of free frames
	handle  uint32
	level   uint8
	_       [15]byte
}

const (
	frameBytes = 64

	leafChances  = 1
	innerChances = 8

	indexBits = 29

	// hugeBudget is the least budget of a cache that takes large pages from the
	// operating system.
	hugeBudget = 32 << 20

	// leastFrames of a size are there whatever the budget, so that the way down to a
	// page does not evict itself.
	leastFrames = 64
)

// frameClass is the class of the smallest frame for a page of n bytes.
func frameClass(n int) int { return max(0, bits.Len(uint(n-1))-12) }

func classOf(handle uint32) int { return int(handle >> indexBits) }

// bytes returns the page of a frame.
func (f *frame) bytes(class int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(f), frameBytes)), minPageBytes<<class)
}

// page returns the page of a frame in use.
func (f *frame) page() []byte { return f.bytes(classOf(f.handle)) }

// lock begins a change, and returns the version before it.
func (f *frame) lock() uint64 {
	for {
		v := f.version.Load()
		if v&1 == 0 && f.version.CompareAndSwap(v, v+1) {
			return v
		}
		runtime.Gosched()
	}
}

// unlock ends a change that readers must not miss; restore one that they may.
func (f *frame) unlock(v uint64)  { f.version.Store(v + 2) }
func (f *frame) restore(v uint64) { f.version.Store(v) }

// is reports whether the frame holds the page of that identity.
func (f *frame) is(id uint64) bool { return f.id.Load() == id || f.place.Load() == id && id != 0 }

// use marks the frame as used lately.
func (f *frame) use(chances uint32) {
	if f.chances.Load() < chances {
		f.chances.Store(chances)
	}
}

// cache is the memory for pages: frames of some sizes, each size in an array of
// its own, of which memory is taken as it comes to be used. A frame lies 64 bytes
// off the next multiple of 4 KiB, so that equal offsets in pages do not fall onto
// the same lines of the processor's cache.
type cache struct {
	budget int64
	inline bool // no goroutines
	// first is the array of the smallest frames, rest those of the others; small is
	// the number of the smallest. They do not change once they are there.
	first unsafe.Pointer
	small uint32
	rest  [classes]atomic.Pointer[frame]

	// unwritten are the bytes of frames whose page is not in the file yet.
	unwritten atomic.Int64

	// mu guards what follows.
	mu     sync.Mutex
	arrays [classes]array
	used   int64 // bytes of frames that were ever handed out
	lastID uint64
	// populating is set while a goroutine takes memory ahead of its use; background
	// waits for it.
	populating bool
	background sync.WaitGroup
}

// array is the frames of one size.
type array struct {
	memory *vfs.Memory
	frames uint32 // there may be so many, the first of which is never used
	next   uint32 // the first that never was
	free   uint32 // the head of the list
	hand   uint32 // of the clock
	ahead  int    // bytes that were taken from the operating system before their use
}

// reservation is the memory that is set aside for frames of one size, in bytes:
// more than the budget, since a batch may change more pages than that.
func reservation(budget int64) int64 {
	if raceEnabled {
		return 2*budget + 64<<20 // the heap's, which is cleared when it is used again
	}
	return 4*budget + 4<<30
}

// newCache returns a cache. Calls may still be reading when the store is closed,
// so its memory lives until the garbage collector knows that none does.
func newCache(budget int64, inline bool) (*cache, error) {
	c := &cache{budget: budget, inline: inline || budget < hugeBudget}
	if err := c.reserve(0); err != nil {
		return nil, err
	}
	c.first, c.small = unsafe.Pointer(c.rest[0].Load()), c.arrays[0].frames
	return c, nil
}

// reserve makes the array of a class. Under mu, or before anyone else is there.
func (c *cache) reserve(class int) error {
	stride := minPageBytes<<class + frameBytes
	n := min(reservation(c.budget)/int64(stride), 1<<indexBits-1)
	m, err := vfs.ReserveMemory(int(n)*stride+frameBytes, c.budget >= hugeBudget)
	if err != nil {
		return err
	}
	b := m.Bytes()
	skip := -uintptr(unsafe.Pointer(&b[0])) & (frameBytes - 1)
	c.arrays[class] = array{memory: m, frames: uint32(n), next: 1}
	c.rest[class].Store((*frame)(unsafe.Pointer(&b[skip])))
	runtime.AddCleanup(c, func(m *vfs.Memory) { _ = m.Release() }, m)
	return nil
}

// empty gives the memory back. Calls that are still reading find nothing, unless
// now says that there are none, and that the addresses are to be given back too.
func (c *cache) empty(now bool) {
	c.background.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for class := range c.arrays {
		a := &c.arrays[class]
		switch {
		case a.memory == nil:
		case now:
			_ = a.memory.Release()
		default:
			a.memory.Discard(0, int(a.next)*(minPageBytes<<class+frameBytes))
		}
	}
}

// frame returns the frame of a handle, which may be any number; nil if there is no
// such frame.
func (c *cache) frame(handle uint32) *frame {
	if handle < c.small {
		return (*frame)(unsafe.Add(c.first, uintptr(handle)*(minPageBytes+frameBytes)))
	}
	return c.large(handle)
}

func (c *cache) large(handle uint32) *frame {
	class := classOf(handle)
	if class == 0 || class >= classes {
		return nil
	}
	base, index := c.rest[class].Load(), handle&(1<<indexBits-1)
	stride := uintptr(minPageBytes<<class + frameBytes)
	if base == nil || int64(index) >= min(reservation(c.budget)/int64(stride), 1<<indexBits-1) {
		return nil
	}
	return (*frame)(unsafe.Add(unsafe.Pointer(base), uintptr(index)*stride))
}

// take returns a frame for a page of n bytes, which no one else has: its id is 0.
func (c *cache) take(n int) (*frame, error) {
	class := frameClass(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &c.arrays[class]
	if a.memory == nil {
		if err := c.reserve(class); err != nil {
			return nil, err
		}
	}
	stride := int64(minPageBytes<<class + frameBytes)
	if a.free != 0 {
		f := c.frame(a.free)
		a.free = f.next
		return f, nil
	}
	if c.used+stride > c.budget && a.next > leastFrames {
		if f := c.evict(class); f != nil {
			return f, nil
		}
	}
	if a.next >= a.frames {
		return nil, fmt.Errorf("%w: %d pages of %d bytes are in memory, all of them changed; commit less at a time, or use a larger cache", engine.ErrTooLarge, a.next-1, minPageBytes<<class)
	}
	handle := uint32(class)<<indexBits | a.next
	a.next++
	c.used += stride
	c.populate(a, int(a.next)*int(stride))
	f := c.frame(handle)
	f.handle = handle
	return f, nil
}

// populate takes memory behind the bytes that are used, where there may be more use:
// the operating system clears it first, and to find large pages can take it
// milliseconds. Under mu.
func (c *cache) populate(a *array, used int) {
	const least, most = 4 << 20, 32 << 20
	want := min(used/4, most)
	if c.inline || c.populating || used < least || a.ahead > used+want/2 || int64(used+want) > c.budget {
		return
	}
	c.populating = true
	from := max(a.ahead, used)
	a.ahead = used + want
	m, n := a.memory, a.ahead-from
	from &^= 1<<21 - 1
	c.background.Go(func() {
		m.Populate(from, n)
		c.mu.Lock()
		c.populating = false
		c.mu.Unlock()
	})
}

// evict takes the frame of a page that is in the file and was not used lately. It
// is nil if there is none. Under mu.
func (c *cache) evict(class int) *frame {
	a := &c.arrays[class]
	if a.next <= 1 {
		return nil
	}
	for candidates := true; candidates; {
		candidates = false
		for range a.next - 1 {
			if a.hand++; a.hand >= a.next {
				a.hand = 1
			}
			f := c.frame(uint32(class)<<indexBits | a.hand)
			id := f.id.Load()
			if id == 0 || id&unwritten != 0 {
				continue
			}
			candidates = true
			if n := f.chances.Load(); n > 0 {
				f.chances.Store(n - 1)
			} else if f.clear(id) {
				return f
			}
		}
	}
	return nil
}

// clear empties a frame that holds that page, which is in the file; false if it does
// not, any more.
func (f *frame) clear(id uint64) bool {
	v := f.lock()
	if f.id.Load() != id || id&unwritten != 0 {
		f.restore(v)
		return false
	}
	f.id.Store(0)
	f.place.Store(0)
	f.unlock(v)
	return true
}

// forgo frees the frame of a page that is in the file, and is needed in memory no
// more. Nothing happens if the frame does not hold the page, and while its identity
// is the number that it was given when it was made, though its place may be known:
// others may still refer to it by that number, what was written may not have reached
// the file, and a late reader may mean what was in that place before.
func (c *cache) forgo(handle uint32, id uint64) {
	if f := c.frame(handle); f != nil && id != 0 && f.clear(id) {
		c.give(f)
	}
}

// drop frees the frame of a page that nobody needs any more. Nothing happens if the
// frame does not hold the page.
func (c *cache) drop(handle uint32, id uint64) {
	f := c.frame(handle)
	if f == nil || id == 0 {
		return
	}
	v := f.lock()
	if !f.is(id) {
		f.restore(v)
		return
	}
	if f.id.Load()&unwritten != 0 {
		c.unwritten.Add(-int64(minPageBytes << classOf(handle)))
	}
	f.id.Store(0)
	f.place.Store(0)
	f.unlock(v)
	c.give(f)
}

// give puts an empty frame into the list of the free.
func (c *cache) give(f *frame) {
	c.mu.Lock()
	a := &c.arrays[classOf(f.handle)]
	f.next = a.free
	a.free = f.handle
	c.mu.Unlock()
}

// born makes the page in the frame one of the tree, not yet written, and returns
// a reference to it.
func (c *cache) born(f *frame, birth uint64) ref {
	c.mu.Lock()
	c.lastID++
	id := c.lastID | unwritten
	c.mu.Unlock()
	b := f.page()
	f.birth, f.level = birth, b[atLevel]
	f.place.Store(0)
	f.chances.Store(leafChances)
	c.unwritten.Add(int64(len(b)))
	f.id.Store(id)
	return ref{id: id, birth: birth, flags: b[atFlags], hint: f.handle}
}

// resident puts a page that was read from the file into a frame.
func (c *cache) resident(image []byte, r ref) (*frame, error) {
	f, err := c.take(len(image))
	if err != nil {
		return nil, err
	}
	copy(f.page(), image)
	f.birth, f.level, f.sum = r.birth, image[atLevel], r.sum
	f.chances.Store(leafChances)
	// In one step: from here on others may find the page, and let go of it.
	f.id.Store(r.id)
	return f, nil
}
