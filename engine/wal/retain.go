package wal

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// A store may keep its values where the log wrote them, and read them there by the
// places that AppendAt and replay tell. With Options.Retain a segment lasts until the
// store frees it, however little of the log a replay needs.

// SlotName returns the name of the file of a slot.
func SlotName(slot int) string { return segmentName(slot) }

// Segment is a segment that a log has.
type Segment struct {
	Number uint64
	Slot   int
	Bytes  int64 // of its file
	// Chained: a replay needs it, or it is being written to.
	Chained bool
}

// Segments returns the segments that a log has: those that a replay needs, in order, and
// then those retained, in no order.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Segment, 0, len(l.segments)+len(l.retained))
	for _, s := range l.segments {
		out = append(out, Segment{s.number, s.slot.id, s.slot.bytes, true})
	}
	for number, s := range l.retained {
		out = append(out, Segment{number, s.slot.id, s.slot.bytes, false})
	}
	return out
}

// Free gives back a segment that Release has passed: its slot is used again. It reports
// whether there was such a segment; one that a replay would need is kept.
func (l *Log) Free(number uint64) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return false, fmt.Errorf("free a segment of log %s: %w", l.name(), engine.ErrClosed)
	case l.failed != nil:
		return false, fmt.Errorf("free a segment of log %s: %w", l.name(), l.failed)
	}
	s, ok := l.retained[number]
	if !ok {
		return false, nil
	}
	delete(l.retained, number)
	l.free = append(l.free, s.slot)
	l.kick()
	if err := l.trim(); err != nil {
		return true, fmt.Errorf("free a segment of log %s: %w", l.name(), err)
	}
	return true, nil
}

// Spare returns how many free slots there are.
func (l *Log) Spare() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.free)
}

// Unwritten reports whether bytes of a segment may not be in its files yet; ReadStaged
// has them then. Once they are there, they stay.
func (l *Log) Unwritten(segment uint64) bool { return segment >= l.unwritten.Load() }

// ReadStaged copies bytes of a segment that no file has yet, and reports whether it had
// all of them; else they are in the files.
func (l *Log) ReadStaged(segment uint64, off int64, dst []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := func(e extent) bool {
		if e.seg == nil || e.seg.number != segment || off < e.off || off+int64(len(dst)) > e.off+int64(len(e.buf)) {
			return false
		}
		copy(dst, e.buf[off-e.off:])
		return true
	}
	for _, list := range [...][]extent{l.writing, l.queue, {{l.seg, l.stagedAt, l.staged}}} {
		for _, e := range list {
			if from(e) {
				return true
			}
		}
	}
	return false
}

// noteStaged tells readers that the current segment has bytes that no file has. Under mu.
func (l *Log) noteStaged() {
	if l.seg.number < l.unwritten.Load() {
		l.unwritten.Store(l.seg.number)
	}
}

// noteWritten tells readers what is in the files now. Under mu.
func (l *Log) noteWritten() {
	oldest := uint64(math.MaxUint64)
	for _, e := range l.writing {
		oldest = min(oldest, e.seg.number)
	}
	for _, e := range l.queue {
		oldest = min(oldest, e.seg.number)
	}
	if len(l.staged) > 0 {
		oldest = min(oldest, l.seg.number)
	}
	l.unwritten.Store(oldest)
}

// ScanSegment calls each for the records of a segment, of which data is the whole
// file, in order. It ends where a record does not match: where the segment ends, or where
// it is damaged. A head that is not that of the segment is ErrCorrupt.
func ScanSegment(data []byte, slot int, number uint64, each func(Record) error) error {
	if len(data) < headBytes {
		return fmt.Errorf("scan segment %d: %w: %d bytes", number, engine.ErrCorrupt, len(data))
	}
	h, ok, err := decodeHead(data[:headBytes], slot)
	if err != nil {
		return fmt.Errorf("scan segment %d: %w", number, err)
	}
	if !ok || h.number != number {
		return vfs.NewError("scan", segmentName(slot), 0, fmt.Errorf("%w: it is not segment %d", engine.ErrCorrupt, number))
	}
	src := newSource(segmentName(slot), data)
	src.filled = len(data)
	return newScanner(h, 0).run(src, 0, each)
}

// kept returns the segments that are in no chain and that Options.Retain keeps.
func (r *recovery) kept() []foundSlot {
	if r.options.Retain == nil {
		return nil
	}
	chained := make(map[int]bool)
	for _, s := range r.chain {
		chained[s.id] = true
	}
	byNumber := make(map[uint64]foundSlot)
	for i, slots := range r.found {
		if r.sinks[i].lost != nil || r.stale[i] {
			continue
		}
		for _, s := range slots {
			if !s.used || chained[s.id] || !r.options.Retain(s.number) {
				continue
			}
			if old, ok := byNumber[s.number]; !ok || s.newer(old.header) {
				byNumber[s.number] = s
			}
		}
	}
	out := make([]foundSlot, 0, len(byNumber))
	for _, s := range byNumber {
		out = append(out, s)
	}
	return out
}

// Chained reports whether the log has a segment that a replay needs, which Free would not
// give back.
func (l *Log) Chained(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := slices.BinarySearchFunc(l.segments, number, func(s *segment, n uint64) int { return cmp.Compare(s.number, n) })
	return ok
}

// SegmentBytes returns the bytes of a segment's file; 0 if there is no such segment.
func (l *Log) SegmentBytes(number uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.retained[number]; ok {
		return s.slot.bytes
	}
	for _, s := range l.segments {
		if s.number == number {
			return s.slot.bytes
		}
	}
	return 0
}
