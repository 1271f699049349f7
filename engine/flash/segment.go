package flash

import (
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// segment is a segment of the log that has values, or may have had some.
type segment struct {
	id     uint32 // the low half of number
	number uint64
	slot   int
	bytes  int64 // of its file; 0 if it is not known to be there

	// Guarded by Engine.mu:
	live int64 // weight of the values in it that are of use in the newest state
	// born is the last record before it had values, died the one that left nothing of use
	// in it, 0 while there is something: states in between need it.
	born, died uint64
	// damaged: something that is of use in it cannot be read, so it is not cleaned.
	damaged bool

	// mendMu is held while a piece of it is written again, which ends before it goes; it is
	// taken before filesMu.
	mendMu sync.Mutex
	// filesMu guards what follows. It is not held in the kernel: a path that hangs would
	// keep others from being read.
	filesMu sync.Mutex
	files   []vfs.File // open for reading, by path
	closed  bool       // it goes, or is gone
}

// weightOf is what an entry counts for in its segment.
func weightOf(keyBytes int, at location) int64 { return int64(keyBytes) + int64(at.bytes()) + 16 }

// segmentAt returns the segment of a place of the log, which it adds if it is new. Under
// mu.
func (e *Engine) segmentAt(at wal.Place) *segment {
	if c := e.current; c != nil && c.number == at.Segment {
		return c
	}
	id := uint32(at.Segment)
	s := e.segments[id]
	if s == nil {
		s = &segment{id: id, number: at.Segment, slot: at.Slot, born: e.applied}
		if e.log != nil { // else it is being opened
			s.bytes = e.log.SegmentBytes(at.Segment)
			e.total += s.bytes
		}
		e.stuck = false
		e.segmentsMu.Lock()
		e.segments[id] = s
		e.segmentsMu.Unlock()
	}
	old := e.current
	e.current = s
	if old != nil {
		e.bury(old)
	}
	return s
}

// segmentOf returns the segment that a location is in, nil if there is none any more.
func (e *Engine) segmentOf(at location) *segment {
	e.segmentsMu.RLock()
	s := e.segments[at.segment]
	e.segmentsMu.RUnlock()
	return s
}

// use counts a value that came. Under mu.
func (e *Engine) use(s *segment, keyBytes int, at location) {
	w := weightOf(keyBytes, at)
	s.live += w
	e.live += w
}

// drop counts a value that is not of use any more. Under mu.
func (e *Engine) drop(keyBytes int, at location) {
	s := e.segments[at.segment]
	if s == nil {
		return
	}
	w := weightOf(keyBytes, at)
	s.live -= w
	e.live -= w
	if s.live == 0 {
		e.bury(s)
	}
}

// bury notes that nothing in a segment is of use, if that is so. Under mu.
func (e *Engine) bury(s *segment) {
	if s.live != 0 || s == e.current || s.died != 0 {
		return
	}
	// The record under way may be what left nothing: it is applied next.
	s.died = e.applied + 1
	e.total -= s.bytes
	e.mayFree = true
	e.dead = append(e.dead, s)
}

// pin is the record after which a state is held, and by how many.
type pin struct {
	at    uint64
	holds int
}

// hold fixes the newest state. Under mu.
func (e *Engine) hold() (*root, uint64) {
	if n := len(e.pins); n > 0 && e.pins[n-1].at == e.applied {
		e.pins[n-1].holds++
	} else {
		e.pins = append(e.pins, pin{e.applied, 1})
	}
	return e.index.fix(), e.applied
}

// unhold gives up a hold. Under mu.
func (e *Engine) unhold(at uint64) {
	for i := range e.pins {
		if e.pins[i].at != at {
			continue
		}
		if e.pins[i].holds--; e.pins[i].holds == 0 {
			e.mayFree = len(e.dead) > 0
			e.pins = slices.Delete(e.pins, i, i+1)
		}
		return
	}
}

// pinned reports whether a state that is held needs a dead segment. Under mu.
func (e *Engine) pinned(s *segment) bool {
	for _, p := range e.pins {
		if p.at >= s.born && p.at < s.died {
			return true
		}
	}
	return false
}

// free gives back the dead segments that no state needs. What left nothing of use in them
// is flushed first, since after a loss of power they would be of use again.
func (e *Engine) free() error {
	e.mu.Lock()
	e.mayFree = false
	var going []*segment
	var upto uint64
	for _, s := range e.dead {
		// One that a replay needs goes after the next checkpoint.
		if !e.pinned(s) && s.died <= e.applied && !e.log.Chained(s.number) {
			going = append(going, s)
			upto = max(upto, s.died)
		}
	}
	e.mu.Unlock()
	if len(going) == 0 {
		return nil
	}
	if err := e.log.Flush(upto); err != nil {
		return e.judge(err)
	}
	for _, s := range going {
		s.setClosed() // nobody may write to it again
		ok, err := e.log.Free(s.number)
		if err == nil || ok {
			e.forget(s)
		}
		if err != nil {
			return e.judge(err)
		}
	}
	return nil
}

// forget takes a segment out that is gone.
func (e *Engine) forget(s *segment) {
	e.mu.Lock()
	e.dead = slices.DeleteFunc(e.dead, func(d *segment) bool { return d == s })
	e.segmentsMu.Lock()
	delete(e.segments, s.id)
	e.segmentsMu.Unlock()
	e.changed.Broadcast()
	e.mu.Unlock()
	e.counters.freed.Add(1)
	s.closeFiles()
}

// gone reports whether the segment goes, or is gone.
func (s *segment) gone() bool {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	return s.closed
}

// setClosed says that the segment goes. It waits until nobody writes a piece of it again.
func (s *segment) setClosed() {
	s.mendMu.Lock()
	defer s.mendMu.Unlock()
	s.filesMu.Lock()
	s.closed = true
	s.filesMu.Unlock()
}

// closeFiles closes the files that are open for reading. Nothing was written by them.
func (s *segment) closeFiles() {
	s.filesMu.Lock()
	open := s.files
	s.files, s.closed = nil, true
	s.filesMu.Unlock()
	for _, f := range open {
		if f != nil {
			_ = f.Close()
		}
	}
}

// holdAt holds once more a state that is held. Under mu.
func (e *Engine) holdAt(at uint64) {
	for i := range e.pins {
		if e.pins[i].at == at {
			e.pins[i].holds++
			return
		}
	}
}
