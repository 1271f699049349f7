package cowbtree

import (
	"sync/atomic"
)

// root is the root of a tree. It does not change.
type root struct {
	ref   ref
	level int
}

// snapshot is a state of the tree that somebody holds: readers, a name, a
// checkpoint that is being written, or the newest one in the file. They are in a
// list, oldest first.
//
// A page that a commit puts another one in the place of is dead. It is needed by
// the snapshots from its birth on, up to its death; the newest snapshot there is at
// its death keeps it in its list, if it is needed by that one, or else it is freed.
// When a snapshot goes, each dead page of its list goes to the snapshot before it,
// if that needs it, or is to be freed. So pages go exactly with the last who needs
// them, and each step looks only at the pages that it concerns. (The way of
// ZFS: Bonwick et al., "The Zettabyte File System", 2003; dead lists since 2008.)
type snapshot struct {
	prev, next *snapshot
	// generation is that in which it was taken; pages born later are not in it.
	generation uint64
	sequence   uint64
	root       atomic.Pointer[root]
	// holds counts who needs it: handles, a name, a checkpoint; readers those among
	// them that read it.
	holds, readers int
	dead           []dead
	// written says that all its pages are in the file.
	written bool
	name    string // "" for none
	// dropped says that the name is gone; the newest checkpoint in the file has it
	// still, so it is held until the next one.
	dropped         bool
	droppedSequence uint64
	automatic       bool
}

// dead is a page, or an extent with a value, that is not in the newest tree.
type dead struct {
	id     uint64
	birth  uint64
	hint   uint32
	extent bool
}

// history is the list of snapshots, and the pages that they hold. The engine's mu
// guards it.
type history struct {
	first, last *snapshot
	// generation is the number of the pages that are born now.
	generation uint64
	// changed says that the tree is another one than that of the last snapshot.
	changed bool
	// deferred are dead pages that nobody needs any more, and that are not free yet: one
	// list for each snapshot that went.
	deferred [][]dead
	// free gives back what a dead page has, evict its memory alone.
	free, evict func(dead)
}

// take returns a snapshot of the tree as it is now, held once more.
func (h *history) take(r *root, sequence uint64) *snapshot {
	if h.last != nil && !h.changed && h.last.sequence == sequence {
		h.last.holds++
		return h.last
	}
	s := &snapshot{prev: h.last, generation: h.generation, sequence: sequence, holds: 1}
	s.root.Store(r)
	h.append(s)
	h.generation++
	h.changed = false
	return s
}

// append puts a snapshot at the end of the list.
func (h *history) append(s *snapshot) {
	s.prev = h.last
	if h.last != nil {
		h.last.next = s
	} else {
		h.first = s
	}
	h.last = s
}

// bury takes a page that has died.
func (h *history) bury(d dead) {
	if h.last == nil || d.birth > h.last.generation {
		h.free(d)
		return
	}
	h.last.dead = append(h.last.dead, d)
	for s := h.last; s != nil && d.birth <= s.generation; s = s.prev {
		if s.readers > 0 {
			return
		}
	}
	h.evict(d) // only checkpoints and names have it, and those have it in the file
}

// read returns a snapshot as take does, for somebody who reads it; readDone gives
// that up.
func (h *history) read(r *root, sequence uint64) *snapshot {
	s := h.take(r, sequence)
	s.readers++
	return s
}

func (h *history) readDone(s *snapshot) {
	s.readers--
	h.release(s)
}

// release gives up a hold.
func (h *history) release(s *snapshot) {
	if s.holds--; s.holds > 0 {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		h.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		h.last = s.prev
		// The newest tree may be that of the snapshot, but nobody holds it now.
		h.changed = true
	}
	unneeded := s.dead[:0]
	for _, d := range s.dead {
		if s.prev != nil && d.birth <= s.prev.generation {
			s.prev.dead = append(s.prev.dead, d)
		} else {
			unneeded = append(unneeded, d)
		}
	}
	if s.dead = nil; len(unneeded) > 0 {
		h.deferred = append(h.deferred, unneeded)
	}
}

// freeDeferred frees n of the dead pages that nobody needs, and reports whether more are left:
// a snapshot may leave tens of thousands, which take longer than a commit should wait.
func (h *history) freeDeferred(n int) (more bool) {
	for ; n > 0 && len(h.deferred) > 0; n-- {
		last := &h.deferred[len(h.deferred)-1]
		h.free((*last)[len(*last)-1])
		if *last = (*last)[:len(*last)-1]; len(*last) == 0 {
			*last = nil
			h.deferred = h.deferred[:len(h.deferred)-1]
		}
	}
	return len(h.deferred) > 0
}
