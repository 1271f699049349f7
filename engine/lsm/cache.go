package lsm

import (
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/internal/epoch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	frameBytes = blockTarget
	// frameStride keeps the heads of frames from sharing few sets of the processor's
	// caches.
	frameStride = frameBytes + 64
	// evictAtOnce is how many frames are taken back together: each needs a grace period.
	evictAtOnce = 64
)

// What stands in a table for each of its blocks: the number of its frame and one, or 0;
// whether it was read since the clock's hand passed; or that the table is gone.
const (
	frameUsed = 1 << 31
	frameGone = 1<<31 - 1
)

// cache holds blocks, unpacked, in frames outside the heap. Who has entered the domain
// reads frames without a lock: a frame is not used again before all have left who may
// read it. Which frames go is found by a clock: Corbató, "A Paging Experiment with the
// Multics System", 1968.
type cache struct {
	memory *vfs.Memory
	data   []byte
	domain *epoch.Domain
	frames int
	misses atomic.Uint64

	// mu guards what follows.
	mu     sync.Mutex
	free   []uint32
	fresh  int // frames from here on were never used
	owners []frameOwner
	hand   int
}

// frameOwner is the block that is in a frame.
type frameOwner struct {
	frames []atomic.Uint32
	block  int
}

func newCache(bytes int64, domain *epoch.Domain) (*cache, error) {
	frames := int(bytes / frameStride)
	memory, err := vfs.ReserveMemory(frames*frameStride, true)
	if err != nil {
		return nil, err
	}
	return &cache{memory: memory, data: memory.Bytes(), domain: domain, frames: frames, owners: make([]frameOwner, frames)}, nil
}

// get returns a block of a table if it is in a frame; nil if not.
func (c *cache) get(frames []atomic.Uint32, i int) block {
	v := frames[i].Load()
	if v&^frameUsed == 0 || v&^frameUsed == frameGone {
		return nil
	}
	if v&frameUsed == 0 {
		frames[i].CompareAndSwap(v, v|frameUsed)
	}
	at := int(v&^frameUsed-1) * frameStride
	return c.data[at : at+frameBytes : at+frameBytes]
}

// put copies a block into a frame, if there is one.
func (c *cache) put(frames []atomic.Uint32, i int, b block) {
	if len(b) > frameBytes || frames[i].Load() != 0 {
		return
	}
	f, ok := c.take()
	if !ok {
		return
	}
	at := int(f) * frameStride
	copy(c.data[at:at+frameBytes], b)
	c.mu.Lock()
	c.owners[f] = frameOwner{frames, i}
	if !frames[i].CompareAndSwap(0, f+1) {
		c.owners[f] = frameOwner{}
		c.free = append(c.free, f)
	}
	c.mu.Unlock()
}

// take returns a frame that nobody uses.
func (c *cache) take() (uint32, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for try := 0; ; try++ {
		if n := len(c.free); n > 0 {
			f := c.free[n-1]
			c.free = c.free[:n-1]
			return f, true
		}
		if c.fresh < c.frames {
			c.fresh++
			return uint32(c.fresh - 1), true
		}
		if try == 2 || c.frames == 0 {
			return 0, false
		}
		evicted := c.evict()
		c.mu.Unlock()
		c.retire(evicted)
		c.mu.Lock()
	}
}

// evict takes frames from their blocks. Under mu.
func (c *cache) evict() []uint32 {
	out := make([]uint32, 0, evictAtOnce)
	for range 2*c.frames + 1 {
		if len(out) == min(evictAtOnce, c.frames/4+1) {
			break
		}
		f := c.hand
		if c.hand++; c.hand == c.frames {
			c.hand = 0
		}
		o := c.owners[f]
		if o.frames == nil {
			continue // it is on its way to the free ones
		}
		slot := &o.frames[o.block]
		if v := slot.Load(); v&frameUsed != 0 && slot.CompareAndSwap(v, v&^frameUsed) {
			continue
		}
		if slot.CompareAndSwap(uint32(f+1), 0) {
			c.owners[f] = frameOwner{}
			out = append(out, uint32(f))
		}
	}
	return out
}

// retire makes frames free when nobody can be reading them any more.
func (c *cache) retire(frames []uint32) {
	if len(frames) == 0 {
		c.domain.Poll()
		return
	}
	c.domain.Retire(func() {
		c.mu.Lock()
		c.free = append(c.free, frames...)
		c.mu.Unlock()
	})
}

// drop gives back the frames of a table that is gone; none is filled afterwards.
func (c *cache) drop(frames []atomic.Uint32) {
	var evicted []uint32
	c.mu.Lock()
	for i := range frames {
		if v := frames[i].Swap(frameGone) &^ frameUsed; v != 0 && v != frameGone {
			c.owners[v-1] = frameOwner{}
			evicted = append(evicted, v-1)
		}
	}
	c.mu.Unlock()
	c.retire(evicted)
}

// used is the memory of the frames that were ever used.
func (c *cache) used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.fresh) * frameStride
}

func (c *cache) release() error { return c.memory.Release() }
