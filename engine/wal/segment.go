package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// slot is a file for a segment, by the same name in each sink.
type slot struct {
	id    int
	bytes int64
	// dirty: the page cache may hold what an earlier segment wrote.
	dirty bool
	// reserved: it has not been written, and its flushes wait for metadata.
	reserved bool
	// fresh: zeros were written to it, and nothing since.
	fresh bool
}

// segment is a slot in use.
type segment struct {
	header
	recordSeed uint64 // header.seed
	slot       slot
	files      []segmentFile // by sink; zero for one that was lost before
	// used is where its records end; 0 for all of it, or if that is not known.
	used int64
	// busy: a flush of it is under way. Guarded by Log.mu.
	busy bool
	// filled is up to where the page cache has it in large pieces, writtenTo up to where the
	// kernel was asked to write it back.
	filled, writtenTo int64
}

// segmentFile is a segment in one sink. Its bytes reach the disk either through
// the page cache or past it, never both at once.
type segmentFile struct {
	cached vfs.File
	direct vfs.File // nil where there are no direct writes
	mapped vfs.Mapping
}

// limit is where the records of the segment must end: the last unit is kept for
// the mark of Close.
func (s *segment) limit() int64 { return s.slot.bytes - int64(s.unit) }

// Close closes the files.
func (f segmentFile) Close() error {
	var err error
	if f.mapped != nil {
		err = f.mapped.Close()
	}
	for _, file := range []vfs.File{f.cached, f.direct} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	return err
}

// close closes the files of the segment; in sinks that hang without waiting for it, as that
// might be for the kernel. It returns what failed in sinks that count.
func (s *segment) close(sinks []*sink) (failed map[int]error) {
	for i, f := range s.files {
		if sinks[i].hung {
			if f.cached != nil {
				sinks[i].closeLater(f)
			}
			continue
		}
		if err := f.Close(); err != nil && sinks[i].lost == nil {
			if failed == nil {
				failed = make(map[int]error)
			}
			failed[i] = err
		}
	}
	return failed
}

// closeSegment closes a segment, and goes on without the sinks that cannot. Under
// mu.
func (l *Log) closeSegment(s *segment) {
	for i, err := range s.close(l.sinks) {
		l.lose(i, err, false)
	}
}

// openFile opens a segment's file in one directory.
func openFile(fsys vfs.FS, name string, direct bool) (f segmentFile, err error) {
	if f.cached, err = fsys.Open(name, 0); err != nil {
		return segmentFile{}, err
	}
	if !direct {
		return f, nil
	}
	if f.direct, err = fsys.Open(name, vfs.Direct); err != nil {
		return segmentFile{}, errors.Join(err, f.cached.Close())
	}
	return f, nil
}

// zeros is what slots are made of. The kernel takes larger pieces into the page cache five
// times more slowly.
var zeros = make([]byte, 256<<10)

// bulkBytes is how much a log has for each flush, on average, if it is written in bulk.
const bulkBytes = 256 << 10

// makeSlot makes the file of a slot in a directory: aside, at its full length, and durable
// before it has its name. Unless the slot is only to be reserved, and can be, it is
// written, so that later writes change no metadata. If there is no room, nothing is left.
func makeSlot(fsys vfs.FS, dir string, s slot) error {
	name := filepath.Join(dir, segmentName(s.id))
	f, err := fsys.Open(name+temporary, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	if err = engine.ErrUnsupported; s.reserved {
		err = f.Preallocate(0, s.bytes)
	}
	if errors.Is(err, engine.ErrUnsupported) {
		err = nil
		for off := int64(0); off < s.bytes && err == nil; off += int64(len(zeros)) {
			_, err = f.WriteAt(zeros[:min(int64(len(zeros)), s.bytes-off)], off, vfs.Plain)
		}
	}
	if err == nil {
		if err = f.Sync(); err != nil {
			err = flushError{err}
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(name+temporary, name)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(fsys, name+temporary))
	}
	if err := fsys.SyncDir(dir); err != nil {
		return flushError{err}
	}
	return nil
}

// flushError marks a failed flush: whatever its cause, what should have become
// durable may be gone, and a second flush would succeed without it.
type flushError struct{ error }

func (e flushError) Unwrap() error { return e.error }

// harmless reports whether err is one after which all is as before.
func harmless(err error) bool {
	var flush flushError
	return errors.Is(err, engine.ErrNoSpace) && !errors.As(err, &flush)
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// newSlot makes a slot in all sinks that are in sync. A sink that fails, but not
// for want of room, is lost. Under mu, which is released meanwhile if unlock is
// set; making then keeps others from doing the same.
func (l *Log) newSlot(bytes int64, unlock bool) (slot, error) {
	l.lastSlot++
	s := slot{id: l.lastSlot, bytes: bytes, reserved: l.bulk, fresh: !l.bulk}
	live := l.inSync()
	if unlock {
		l.making = true
		l.mu.Unlock()
	}
	errs := make([]error, len(live))
	for k, i := range live {
		errs[k] = l.timed(i, 5, func() error { return makeSlot(l.fs, l.sinks[i].dir, s) })
	}
	if unlock {
		l.mu.Lock()
		l.making = false
		l.settled.Broadcast()
	}
	for k, i := range live {
		if harmless(errs[k]) {
			for n, i := range live {
				if errs[n] == nil {
					errs[k] = errors.Join(errs[k], l.fs.Remove(filepath.Join(l.sinks[i].dir, segmentName(s.id))))
				}
			}
			return slot{}, errs[k]
		}
		if errs[k] != nil {
			l.lose(i, errs[k], errors.Is(errs[k], errHung))
		}
	}
	return s, l.failed
}

// nextBytes is the size of the next slot: twice that of the newest segment, up to
// the limit, so that a small log stays small.
func (l *Log) nextBytes() int64 {
	n := int64(firstSegment)
	if k := len(l.segments); k > 0 {
		n = max(n, 2*l.segments[k-1].slot.bytes)
	}
	return min(n, l.options.SegmentBytes)
}

// takeSlot returns a slot with room for a record of n bytes: the largest free one,
// or a new one. Under mu.
func (l *Log) takeSlot(n int64) (slot, error) {
	// The head, the mark of the group, the record, and the unit of Close.
	need := roundUp(headBytes+roundUp(markBytes+n, int64(l.unit))+int64(l.unit), headBytes)
	for l.making {
		l.settled.Wait()
	}
	best := l.largestFree(need)
	if best < 0 {
		return l.newSlot(max(need, l.nextBytes()), false)
	}
	s := l.free[best]
	l.free = append(l.free[:best], l.free[best+1:]...)
	return s, nil
}

// largestFree returns which free slot is the largest of those with so many bytes and more,
// and of the largest one that is clean, if there is one; -1 if there is none. Under mu.
func (l *Log) largestFree(need int64) int {
	best := -1
	for i, s := range l.free {
		if s.bytes >= need && (best < 0 || s.bytes > l.free[best].bytes || s.bytes == l.free[best].bytes && l.free[best].dirty) {
			best = i
		}
	}
	return best
}

// rotate begins another segment, with room for a record of n bytes. What was
// staged for the old one goes out with the next flush. If it fails, nothing has
// changed, unless the log is read-only now. Under mu.
func (l *Log) rotate(n int) error {
	s, err := l.takeSlot(int64(n))
	if err != nil {
		return err
	}
	seg, err := l.openSegment(s)
	if err != nil {
		l.free = append(l.free, s)
		return err
	}
	l.endGroup()
	if old := l.seg; old != nil {
		old.used = l.end
		if l.cached {
			l.noteStored(old, l.end)
		}
		old.slot.reserved = false
		l.bulk = l.end >= bulkBytes*int64(1+l.stats.Flushes-l.flushesBefore)
		for i := range old.files {
			if m := old.files[i].mapped; m != nil && !l.sinks[i].hung {
				old.files[i].mapped = nil
				if err := m.Close(); err != nil {
					l.lose(i, err, false)
				}
			}
		}
	}
	l.flushesBefore = l.stats.Flushes
	l.number = seg.number
	l.seg = seg
	l.segments = append(l.segments, seg)
	l.reserve(headBytes)
	l.staged = l.staged[:headBytes]
	seg.encode(l.staged)
	l.stagedAt, l.end = 0, headBytes
	if l.cached {
		l.store()
	} else {
		l.noteStaged()
	}
	l.kick()
	return l.failed
}

// openSegment opens the files of a slot for a new segment. Under mu.
func (l *Log) openSegment(s slot) (*segment, error) {
	seg := &segment{slot: s, files: make([]segmentFile, len(l.sinks)), header: header{
		unit: l.unit, id: l.id, generation: l.generation, number: l.number + 1, first: l.last + 1, durable: l.durable, place: uint64(s.id), method: l.method,
	}}
	if n := len(l.segments); n > 0 {
		seg.previous = l.segments[n-1].number
	}
	for _, i := range l.inSync() {
		f, err := timedOpen(l, i, func() (segmentFile, error) {
			f, err := openFile(l.fs, filepath.Join(l.sinks[i].dir, segmentName(s.id)), l.canDirect)
			if err == nil && s.dirty {
				// Else the kernel might write old pages while new blocks go past it.
				if err = f.cached.SyncData(); err != nil {
					err = flushError{errors.Join(err, f.Close())}
				}
			}
			return f, err
		})
		if err == nil {
			seg.files[i] = f
		}
		var flush flushError
		if err != nil && !errors.As(err, &flush) && (harmless(err) || len(l.inSync()) == 1) {
			l.closeSegment(seg)
			return nil, err // all is as before
		}
		if err != nil {
			l.lose(i, err, errors.Is(err, errHung))
		}
	}
	for _, i := range l.inSync() {
		seg.members |= 1 << i
	}
	if l.failed == nil { // else the last sink has no file here
		seg.salt = l.newSalt(seg)
	}
	if l.failed != nil {
		l.closeSegment(seg)
		return nil, l.failed
	}
	seg.recordSeed = seg.seed()
	if s.fresh {
		seg.filled = s.bytes
	}
	seg.slot.fresh = false
	return seg, nil
}

// newSalt returns what an earlier use of the slot has not had. Under mu.
func (l *Log) newSalt(s *segment) uint64 {
	if !l.options.Inline {
		return rand.Uint64()
	}
	// Whatever an earlier use left behind, it left after it had its salt.
	data := make([]byte, s.slot.bytes)
	var salt uint64
	for _, i := range l.inSync() {
		if _, err := s.files[i].cached.ReadAt(data, 0); err != nil {
			l.lose(i, err, false)
			continue
		}
		salt = scramble(salt + uint64(checksum.Of(data)))
	}
	return salt
}

// Release tells that the records up to sequence are durable elsewhere. The space
// of segments that hold no others, and none that a Tail keeps, is used again, or given
// back, in the background unless the log is Inline; with Options.Retain it waits for Free.
// What of an earlier call could not be given back is told by this one, and tried again.
func (l *Log) Release(sequence uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("release log %s: %w", l.name(), engine.ErrClosed)
	}
	if l.failed != nil {
		return fmt.Errorf("release log %s: %w", l.name(), l.failed)
	}
	sequence = l.releasable(sequence)
	n := 0
	for n+1 < len(l.segments) && l.segments[n+1].first <= sequence+1 && !l.segments[n].busy {
		n++
	}
	for i, s := range l.segments[:n] {
		dirty := l.undirty(s)
		l.unqueue(s)
		l.closeSegment(s)
		s.slot.dirty = dirty
		// One that was begun for another generation alone has no records.
		if l.options.Retain != nil && s.first != l.segments[i+1].first {
			s.files = nil
			l.retained[s.number] = s
			continue
		}
		l.free = append(l.free, s.slot)
	}
	l.segments = append(l.segments[:0], l.segments[n:]...)
	l.kick()
	if err := l.trim(); err != nil {
		return fmt.Errorf("release log %s: %w", l.name(), err)
	}
	return nil
}

// trim removes all but the largest free slots, or leaves that to the janitor, if there is
// one: to remove a large file takes longer than a commit should wait. Under mu.
func (l *Log) trim() error {
	if l.janitor.wake == nil {
		return l.removeSurplus(false)
	}
	err := l.notRemoved
	l.notRemoved = nil
	return err
}

// removeSurplus removes all but the largest free slots, and first of all those that one
// large record had for itself. Where unlock is set others go on meanwhile. Under mu.
func (l *Log) removeSurplus(unlock bool) error {
	use := func(s slot) int64 {
		if s.bytes > l.options.SegmentBytes {
			return 0
		}
		return s.bytes
	}
	for len(l.free) > l.options.SpareSlots {
		least := 0
		for i, s := range l.free {
			// One that is clean is worth more: its flush is behind it.
			if of := l.free[least]; use(s) < use(of) || use(s) == use(of) && s.dirty && !of.dirty {
				least = i
			}
		}
		s, live := l.free[least], l.inSync()
		l.free = append(l.free[:least], l.free[least+1:]...)
		errs := make([]error, len(live))
		if unlock {
			l.mu.Unlock()
		}
		for k, i := range live {
			errs[k] = l.timed(i, 5, func() error { return removeIfThere(l.fs, filepath.Join(l.sinks[i].dir, segmentName(s.id))) })
		}
		if unlock {
			l.mu.Lock()
		}
		for k, i := range live {
			if errs[k] != nil && len(live) == 1 {
				l.free = append(l.free, s)
				return errs[k]
			}
			if errs[k] != nil {
				l.lose(i, errs[k], errors.Is(errs[k], errHung))
			}
		}
	}
	return nil
}
