package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Record is one record of a log.
type Record struct {
	// Sequence is its place in the order of all records, from 1.
	Sequence uint64
	// Payload is what was appended; valid until the callback returns.
	Payload []byte
	// Place is where the payload lies.
	Place Place
}

// Place is where in a log the payload of a record lies: in the file of a slot, which is
// called SlotName in each sink, at an offset. It stays there until the segment is given
// back; the same slot is then another segment's.
type Place struct {
	Slot    int
	Segment uint64
	Offset  int64
}

// Log is an open log. Its methods may be called from many goroutines.
type Log struct {
	fs      vfs.FS
	options Options
	sinks   []*sink

	// mu guards what follows.
	mu sync.Mutex
	// settled is signalled when a flush has ended or a slot was made, for those few
	// who wait for the log to come to rest.
	settled *sync.Cond

	id, generation, number uint64
	unit                   uint32
	canDirect              bool        // there are durable direct writes
	method                 FlushMethod // the faster one

	last    uint64 // sequence of the newest record
	durable uint64 // all records up to it are flushed

	segments []*segment // ascending; the last is seg
	seg      *segment   // nil until the first Append
	end      int64      // where the next record goes in seg
	grouped  bool       // a group was begun and not ended
	groupAt  int64

	// staged are the bytes of seg from stagedAt to end that no file has yet.
	staged   []byte
	stagedAt int64
	queue    []extent   // ended groups for direct writes, not begun
	dirty    []*segment // with bytes in the page cache that are not flushed
	// cachedBytes is how much went to the page cache since the last flush.
	cachedBytes int64
	// stored is what the kernel is to be asked to write.
	stored []stretch
	// prefillBytes is how much is prefilled at a time; it does not change.
	prefillBytes int64
	buffers      [][]byte // for staging

	// cached: records go to the page cache as they are appended, so that they
	// survive the process. cachedFor counts down the flushes until they go past it
	// again.
	cached     bool
	cachedFor  int
	wantCached bool

	flushing  bool   // somebody leads a flush, and begins the next one
	inFlight  *group // whom the flush under way serves
	sealed    uint64 // the last record that it takes along; 0 if there is none
	next      *group // who gathers for the one after it
	groupSize int    // how many the last flush served
	reform    bool   // a sink was lost, and the others do not say so yet

	lastSlot int
	free     []slot
	// bulk: the segment before this one was written with few flushes, so that slots are
	// reserved only. flushesBefore were made before this one.
	bulk          bool
	flushesBefore uint64
	// notRemoved is why the janitor could not remove a slot, until somebody is told.
	notRemoved error
	// retained are the slots of segments that replay does not need any more, and that
	// Options.Retain keeps, by number. writing are the extents that a flush is writing.
	retained map[uint64]*segment
	writing  []extent
	making   bool // a slot, without mu
	joining  bool // a sink is about to count: nothing is appended

	tails []*Tail // who read the log while it is written

	failed  error
	closed  bool
	written bool // since Open
	stats   Stats

	// unwritten is the oldest segment with bytes that no file has yet; the largest number
	// if there is none.
	unwritten atomic.Uint64

	waiting   atomic.Int64 // how many have come to next, for its leader to watch
	flushTime atomic.Int64 // ns, a moving average

	janitor janitor
}

// Stats tell what a log has done since it was opened.
type Stats struct {
	// Appends counts records, Flushes the flushes that made them durable.
	Appends, Flushes uint64
	// Bytes were written to each sink by flushes past the page cache.
	Bytes uint64
	// Method is how flushes reach the device.
	Method FlushMethod
	// FlushTime is a moving average.
	FlushTime time.Duration
	// Lost names the sinks that the log goes on without, and why. Each is brought
	// level when the log is opened again.
	Lost map[string]error
	// Hung counts the sinks in which a system call has not come back.
	Hung int
}

// Stats returns what the log has done.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Method, s.FlushTime = l.method, time.Duration(l.flushTime.Load())
	for _, k := range l.sinks {
		if k.lost != nil {
			if s.Lost == nil {
				s.Lost = make(map[string]error)
			}
			s.Lost[k.dir] = k.lost
		}
		if k.hung {
			s.Hung++
		}
	}
	return s
}

// name names the log in errors.
func (l *Log) name() string { return strings.Join(l.options.Sinks, ", ") }

// Append gives payload the next place in the order. Appended as Buffered or
// Memory, the record is in the hands of the kernel when Append returns: it
// survives the death of the process. Appended as Flushed it may not, until Flush
// returns, which costs less. Append copies payload.
//
// It blocks only for a new segment, and as Buffered behind a flush of Flushed
// ones. ErrNoSpace and ErrTooLarge: nothing was appended, and the log goes on. Any
// other failure of the last sink leaves the log ErrReadOnly; the record may then
// be found when it is opened again. An error of ctx is returned before the record
// has its place, and not after.
func (l *Log) Append(ctx context.Context, payload []byte, d engine.Durability) (sequence uint64, err error) {
	sequence, _, err = l.AppendAt(ctx, payload, d)
	return sequence, err
}

// AppendAt is Append, and tells where the payload lies.
func (l *Log) AppendAt(ctx context.Context, payload []byte, d engine.Durability) (sequence uint64, at Place, err error) {
	if len(payload) > MaxPayload {
		return 0, at, fmt.Errorf("append to log %s: %w: %d bytes; the limit is %d", l.name(), engine.ErrTooLarge, len(payload), MaxPayload)
	}
	crc := checksum.Of(payload)
	n := recordBytes(len(payload))
	l.lock()
	if err = l.ready(ctx, n, d); err == nil && !l.fits(n) {
		err = l.rotate(n)
	}
	if err != nil {
		l.mu.Unlock()
		return 0, at, fmt.Errorf("append to log %s: %w", l.name(), err)
	}
	l.reserve(markBytes + n)
	if !l.grouped {
		l.beginGroup()
	}
	l.last++
	sequence = l.last
	at = Place{Slot: l.seg.slot.id, Segment: l.seg.number, Offset: l.end + recordHeader}
	l.staged = appendRecord(l.staged, payload, crc, l.seg.recordSeed, l.end, sequence)
	l.end += int64(n)
	l.stats.Appends++
	if d != engine.Flushed {
		l.cachedFor = cachedFlushes
	}
	if l.cached {
		l.store()
	} else {
		l.noteStaged()
	}
	reform, failed := l.reform, l.failed
	l.mu.Unlock()
	switch {
	case failed != nil:
		return 0, at, fmt.Errorf("append to log %s: %w", l.name(), failed)
	case reform:
		// The others must know that they are alone before anyone relies on it.
		return sequence, at, l.Flush(sequence)
	}
	return sequence, at, nil
}

// lock takes mu. It is held for less than a goroutine takes to park and be woken,
// so it is worth a few tries; and a mutex with a queue hands itself over to the
// sleeping, which costs four times as much with 16 writers on two cores.
func (l *Log) lock() {
	for range 16 {
		if l.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	l.mu.Lock()
}

// ready waits until a record of n bytes can be appended, to this segment or to the
// next one, without a wait: whatever was so before a wait need not be so after it.
// Under mu, which is released meanwhile.
func (l *Log) ready(ctx context.Context, n int, d engine.Durability) error {
	for {
		if err := l.usable(ctx); err != nil {
			return err
		}
		switch {
		case d != engine.Flushed && !l.cached && !l.flushing:
			l.toCache()
			continue
		case d != engine.Flushed && !l.cached:
			l.wantCached = true
		case l.joining:
		case l.making && !l.fits(n):
			// The slot is for all who need one.
		default:
			return nil
		}
		l.await(ctx)
	}
}

// await waits until settled is signalled, or ctx ends. Under mu, which is
// released meanwhile.
func (l *Log) await(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.settled.Broadcast()
	})
	defer stop()
	l.settled.Wait()
}

// usable returns why nothing can be appended. Under mu.
func (l *Log) usable(ctx context.Context) error {
	switch {
	case l.closed:
		return engine.ErrClosed
	case l.failed != nil:
		return l.failed
	}
	return ctx.Err()
}

// fits reports whether a record of n bytes has room in the current segment, with
// the mark that may have to come before it. Under mu.
func (l *Log) fits(n int) bool {
	if l.seg == nil {
		return false
	}
	if !l.grouped {
		n += markBytes
	}
	return roundUp(l.end+int64(n), int64(l.seg.unit)) <= l.seg.limit()
}

// fail makes the log read-only for good: after a failed flush nobody knows what
// the device has. Under mu.
func (l *Log) fail(cause error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: reopen after the device is mended: %w", engine.ErrReadOnly, cause)
	}
	return l.failed
}

// LastSequence returns the sequence of the newest record.
func (l *Log) LastSequence() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Sync returns when all that was appended is flushed.
func (l *Log) Sync() error { return l.Flush(l.LastSequence()) }

// Close flushes the log, marks its end, and closes it. A second Close is
// ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return fmt.Errorf("close log %s: %w", l.name(), engine.ErrClosed)
	}
	l.closed = true
	l.mu.Unlock()
	l.janitor.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.flushing || l.making {
		l.settled.Wait()
	}
	err := l.failed
	if err == nil && l.written {
		err = l.finish()
	}
	if err == nil {
		err = l.removeSurplus(false) // what the janitor had left
	}
	if e := l.closeAll(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close log %s: %w", l.name(), err)
	}
	return nil
}

// finish flushes the records, and then the mark that says that they are all.
// Under mu, with no flush under way.
func (l *Log) finish() error {
	if err := l.flush(); err != nil {
		return err
	}
	l.reserve(markBytes)
	l.beginGroup()
	l.mark(true)
	if l.cached {
		l.store()
	}
	return l.flush()
}

// closeAll closes every file and ends every goroutine of a sink that can end.
// Under mu.
func (l *Log) closeAll() error {
	var errs []error
	for _, s := range l.segments {
		for _, err := range s.close(l.sinks) {
			errs = append(errs, err)
		}
	}
	for _, k := range l.sinks {
		k.stop()
	}
	return errors.Join(errs...)
}
