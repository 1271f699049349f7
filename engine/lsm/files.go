package lsm

import (
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// openFiles are the tables and value files that are open: at most so many. When there
// is another, one goes that was not read since the clock's hand passed, as in the cache
// of blocks.
//
// A file that goes is closed when nobody is reading it any more. So who reads from one
// has entered the domain, and asks for it anew each time. Index, filter and tombstones
// lie in the heap: who has them may keep them.
type openFiles struct {
	bound int

	mu sync.Mutex // guards what follows
	// list are those that are open, and hand is where the clock stands in it.
	list []openable
	hand int

	// open counts those in list; opened all that were opened so far.
	open   atomic.Int64
	opened atomic.Uint64
}

// openable is a file that may be open.
type openable interface {
	// recent reports whether the file was read since it was asked last.
	recent() bool
	// shut closes the file when nobody is reading it any more.
	shut()
	// place is where the file stands in the list, for the list alone.
	place() *int
}

// add counts a file that was opened just now, and shuts another if there are too many.
func (o *openFiles) add(f openable) {
	o.opened.Add(1)
	o.mu.Lock()
	var gone openable
	if len(o.list) >= o.bound {
		gone = o.choose()
		o.remove(gone)
	}
	*f.place() = len(o.list)
	o.list = append(o.list, f)
	o.open.Store(int64(len(o.list)))
	o.mu.Unlock()
	if gone != nil {
		gone.shut()
	}
}

// choose returns the file that is to go. Under mu.
func (o *openFiles) choose() openable {
	for range 2 * len(o.list) {
		o.hand++
		if o.hand >= len(o.list) {
			o.hand = 0
		}
		if f := o.list[o.hand]; !f.recent() {
			return f
		}
	}
	return o.list[0] // all of them are read all the time
}

// remove takes a file from the list. Under mu.
func (o *openFiles) remove(f openable) {
	i, last := *f.place(), len(o.list)-1
	o.list[i] = o.list[last]
	*o.list[i].place() = i
	o.list[last] = nil
	o.list = o.list[:last]
	*f.place() = -1
}

// forget takes a file from the list that its owner shuts, if it is there still.
func (o *openFiles) forget(f openable) {
	o.mu.Lock()
	if i := *f.place(); i >= 0 && i < len(o.list) && o.list[i] == f {
		o.remove(f)
		o.open.Store(int64(len(o.list)))
	}
	o.mu.Unlock()
}

// closeLater closes a file that was read from, when all have left who may be reading it.
func (s *store) closeLater(f vfs.File) {
	// Nothing was written by this handle, and nothing is lost if it cannot be closed.
	s.domain.Retire(func() { _ = f.Close() })
}
