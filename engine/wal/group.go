package wal

import (
	"errors"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// extent is a piece of a segment for a direct write: whole units.
type extent struct {
	seg *segment
	off int64
	buf []byte
}

const (
	stagingBytes = 64 << 10
	largeStaging = 1 << 20 // is not kept
	// writeBytes is from how much on a write into the page cache is faster than a store into a
	// mapping, which asks for no system call, but faults at each page: 3.5 µs and little more
	// for each page, against 14 µs for each page.
	writeBytes = 1 << 10
	// fillPiece is how much is written at a time to fill the page cache. It is also how much
	// is prefilled, in segments of 2 MiB and more.
	fillPiece = 128 << 10
	// cachedFlushes is after how many flushes without a buffered commit the log
	// goes past the page cache again.
	cachedFlushes = 64
)

// reserve makes room for n more bytes of staging, and the zeros that end a group,
// at an address that direct I/O takes. Under mu.
func (l *Log) reserve(n int) {
	need := len(l.staged) + n + headBytes
	if need <= cap(l.staged) {
		return
	}
	if len(l.staged) == 0 && need <= stagingBytes && len(l.buffers) > 0 {
		l.staged = l.buffers[len(l.buffers)-1]
		l.buffers = l.buffers[:len(l.buffers)-1]
		return
	}
	b := vfs.AlignedBuffer(max(stagingBytes, need, 2*cap(l.staged)), headBytes)
	l.staged = b[:copy(b, l.staged)]
}

// beginGroup puts the mark of a group, at a multiple of the unit. Under mu, after
// reserve.
func (l *Log) beginGroup() {
	l.grouped, l.groupAt, l.written = true, l.end, true
	l.mark(false)
	l.end += markBytes
}

// mark encodes the mark of the group, as of now. Under mu.
func (l *Log) mark(closed bool) {
	at := int(l.groupAt - l.stagedAt)
	if len(l.staged) < at+markBytes {
		l.staged = l.staged[:at+markBytes]
	}
	mark{
		id: l.id, seed: l.seg.recordSeed, offset: l.groupAt,
		sequence: l.last + 1, durable: l.durable, closed: closed,
	}.encode(l.staged[at:])
}

// endGroup fills the group up to a unit, and stages what is not in the page cache
// for the next flush. Under mu.
func (l *Log) endGroup() {
	if l.seg == nil {
		return
	}
	end := roundUp(l.end, int64(l.seg.unit))
	if l.cached {
		// Eight zeros say that the rest of the unit is empty.
		if l.grouped && end > l.end {
			l.reserve(recordHeader)
			l.staged = append(l.staged, zeros[:recordHeader]...)
			l.store()
		}
	} else if len(l.staged) > 0 {
		l.staged = append(l.staged, zeros[:end-l.end]...)
		l.claim()
		l.queue = append(l.queue, extent{l.seg, l.stagedAt, l.staged})
		l.staged = nil
	}
	l.end, l.stagedAt, l.grouped = end, end, false
}

// claim brings the staged mark, and the staged head, up to what is durable now: a
// later reader then knows of more records that they must be there. Under mu, not
// cached.
func (l *Log) claim() {
	if l.stagedAt == 0 {
		l.seg.durable = l.durable
		l.seg.encode(l.staged[:headBytes])
	}
	if l.grouped {
		m, _ := decodeMark(l.staged[l.groupAt-l.stagedAt:])
		m.durable = l.durable
		m.encode(l.staged[l.groupAt-l.stagedAt:])
	}
}

// store moves what is staged to the page cache of each sink. Under mu, cached.
func (l *Log) store() {
	l.prefill(l.stagedAt + int64(len(l.staged)))
	abandoned := false // a call that hangs may still read what is staged
	for i := range l.seg.files {
		k, f := l.sinks[i], &l.seg.files[i]
		if k.lost != nil {
			continue
		}
		var err error
		byWrite := k.unmappable || len(l.staged) >= writeBytes
		if f.mapped == nil && !byWrite {
			if f.mapped, err = f.cached.Map(0, int(l.seg.slot.bytes)); errors.Is(err, engine.ErrUnsupported) {
				k.unmappable, byWrite, err = true, true, nil
			}
		}
		if err == nil {
			data, at, to := l.staged, l.stagedAt, *f
			if l.unwatched() { // the function below would be an allocation
				err = to.store(data, at, byWrite)
			} else {
				err = l.timed(i, 1, func() error { return to.store(data, at, byWrite) })
			}
		}
		if err != nil {
			hung := errors.Is(err, errHung)
			l.lose(i, err, hung)
			abandoned = abandoned || hung
		}
	}
	l.stagedAt += int64(len(l.staged))
	l.cachedBytes += int64(len(l.staged))
	l.staged = l.staged[:0]
	if cap(l.staged) > largeStaging || abandoned {
		l.staged = nil
	}
	if l.stagedAt >= l.seg.writtenTo+storedBytes {
		l.noteStored(l.seg, l.stagedAt&^(headBytes-1)) // the page is not full
	}
	if n := len(l.dirty); n == 0 || l.dirty[n-1] != l.seg {
		l.dirty = append(l.dirty, l.seg)
	}
}

// store puts bytes into the page cache, by a write or into the mapping.
func (f segmentFile) store(data []byte, at int64, byWrite bool) error {
	if byWrite {
		_, err := vfs.Unbounded(f.cached).WriteAt(data, at, vfs.Plain)
		return err
	}
	return f.mapped.Write(data, int(at))
}

func prefillBytes(segment int64) int64 {
	return min(max(roundUp(segment/16, headBytes), headBytes), fillPiece)
}

// prefill fills the page cache where the records up to an offset will come, and some way
// ahead. What a flush takes along of it is written twice, so it is done only when there is as
// much for the flush without it. Under mu, cached.
func (l *Log) prefill(to int64) {
	s := l.seg
	if to <= s.filled || l.cachedBytes < l.prefillBytes {
		return
	}
	from := max(s.filled, roundUp(l.stagedAt, headBytes))
	s.filled = min(roundUp(to, l.prefillBytes), s.slot.bytes)
	for i := range s.files {
		if l.sinks[i].lost != nil {
			continue
		}
		f, to := s.files[i].cached, s.filled
		if err := l.timed(i, 1, func() error { return fill(f, from, to) }); err != nil {
			l.lose(i, err, errors.Is(err, errHung))
		}
	}
}

// fill writes zeros, and so has the page cache hold the file in large pieces: in them the
// kernel takes a page of records in 0.3 µs, and a page alone in 2.6.
func fill(f vfs.File, from, to int64) error {
	for from < to {
		n := min(fillPiece-from%fillPiece, to-from)
		if _, err := vfs.Unbounded(f).WriteAt(zeros[:n], from, vfs.Plain); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// toCache makes records go through the page cache from now on. Those that are
// staged go there first: no record may survive a process without all before it.
// Under mu, while no flush is under way.
func (l *Log) toCache() {
	l.wantCached = false
	staged := l.queue
	if len(l.staged) > 0 {
		staged = append(staged, extent{l.seg, l.stagedAt, l.staged})
	}
	for _, e := range staged {
		for i := range e.seg.files {
			if l.sinks[i].lost != nil {
				continue
			}
			if _, err := e.seg.files[i].cached.WriteAt(e.buf, e.off, vfs.Plain); err != nil {
				l.lose(i, err, false)
			}
		}
		l.cachedBytes += int64(len(e.buf))
		if n := len(l.dirty); n == 0 || l.dirty[n-1] != e.seg {
			l.dirty = append(l.dirty, e.seg)
		}
	}
	l.queue = nil
	l.stagedAt += int64(len(l.staged))
	l.staged = l.staged[:0]
	l.noteWritten()
	l.cached, l.cachedFor = true, cachedFlushes
}

// undirty takes a segment from those that need a flush. Under mu.
func (l *Log) undirty(s *segment) (was bool) {
	for i, d := range l.dirty {
		if d == s {
			l.dirty = append(l.dirty[:i], l.dirty[i+1:]...)
			return true
		}
	}
	return false
}

// unqueue takes the extents of a segment from those that need a write. Under mu.
func (l *Log) unqueue(s *segment) {
	kept := l.queue[:0]
	for _, e := range l.queue {
		if e.seg != s {
			kept = append(kept, e)
		}
	}
	l.queue = kept
}
