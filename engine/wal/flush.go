package wal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// The shape of the group commit. One waiter leads: it writes, in its own
// goroutine, all that was appended before it began. Those who come meanwhile wait
// for the next flush, which the first of them leads. A leader who follows a flush
// that served several first waits a little for as many to come back: else writers
// split into two convoys that take turns, and each flush serves half of them
// (ARCHITECTURE.md has the figures).
const (
	// gatherShare is how long a leader waits for the others, as a share of a flush.
	gatherShare = 0.3
	// flushWeight is the weight of the newest flush in the moving average: 1/8.
	flushWeight = 8
)

// group are those whom one flush serves.
type group struct {
	// led: somebody leads it, or waits for lead to do so.
	led  bool
	lead chan struct{}
	// others are the rest. They take no lock when they are woken.
	others sync.Cond
	size   int // with the leader
	err    atomic.Pointer[error]
}

// result returns how the group's flush ended, once it has.
func (g *group) result() error {
	if err := g.err.Load(); err != nil {
		return *err
	}
	return nil
}

// unlocker is the lock of a group's others, who hold it until they are parked and
// do not take it again: a broadcast would else send all of them after one mutex.
type unlocker sync.Mutex

// Lock does nothing.
func (u *unlocker) Lock() {}

// Unlock unlocks the mutex.
func (u *unlocker) Unlock() { (*sync.Mutex)(u).Unlock() }

func (l *Log) newGroup() *group {
	return &group{lead: make(chan struct{}, 1), others: sync.Cond{L: (*unlocker)(&l.mu)}}
}

// Flush returns when the record of that sequence, and all before it, are flushed
// in every sink that is in sync. A failed flush of the last sink makes the log
// ErrReadOnly for good: the record, and those after it, may then be found when
// the log is opened again, or not.
func (l *Log) Flush(sequence uint64) error {
	l.lock()
	if done, err := l.flushed(sequence); done {
		l.mu.Unlock()
		return err
	}
	if l.flushing {
		g := l.next
		if sequence <= l.sealed && l.inFlight != nil {
			g = l.inFlight // the flush under way takes the record along; that of a Rejoin has no group
		} else {
			l.waiting.Add(1)
		}
		g.size++
		if g.led {
			g.others.Wait() // mu is not held any more
			return g.result()
		}
		g.led = true
		l.mu.Unlock()
		<-g.lead
		l.mu.Lock()
	} else {
		l.flushing, l.next.led, l.next.size = true, true, 1
		l.waiting.Add(1)
	}
	l.gather()
	g, err := l.flushGroup()
	if l.durable >= sequence {
		err = nil
	}
	l.mu.Unlock()
	g.others.Broadcast()
	return err
}

// flushGroup flushes for the group that has gathered, and hands over to the leader
// of the next one. It returns the group, to be woken. Under mu, which is released
// during the I/O.
func (l *Log) flushGroup() (*group, error) {
	g := l.next
	l.inFlight, l.next = g, l.newGroup()
	l.waiting.Store(0)
	err := l.flush()
	if err != nil {
		g.err.Store(&err)
	}
	l.groupSize = g.size
	l.inFlight, l.sealed = nil, 0
	if l.wantCached && l.failed == nil {
		l.toCache()
	}
	if l.flushing = l.next.led; l.flushing {
		l.next.lead <- struct{}{}
	}
	l.settled.Broadcast()
	return g, err
}

// flushed reports whether nothing is left to wait for, and how it ended. That a sink was
// lost has to be told to the others, even if nothing else has. Under mu.
func (l *Log) flushed(sequence uint64) (bool, error) {
	switch {
	case sequence <= l.durable && (!l.reform || l.failed != nil || l.closed):
		return true, nil
	case l.failed != nil:
		return true, fmt.Errorf("flush log %s: %w", l.name(), l.failed)
	case sequence > l.last:
		return true, fmt.Errorf("flush log %s: %w: record %d, and the last is %d", l.name(), engine.ErrInvalid, sequence, l.last)
	case l.closed:
		return true, fmt.Errorf("flush log %s: %w", l.name(), engine.ErrClosed)
	}
	return false, nil
}

// gather waits for as many to come as the last flush served, but not for long.
// Under mu, which is released meanwhile.
func (l *Log) gather() {
	want := int64(l.groupSize)
	if want <= 1 || l.waiting.Load() >= want || l.options.Inline {
		return
	}
	l.mu.Unlock()
	limit := time.Duration(gatherShare * float64(l.flushTime.Load()))
	for begin := time.Now(); l.waiting.Load() < want && time.Since(begin) < limit; {
		runtime.Gosched()
	}
	l.mu.Lock()
}

// flush makes durable what was appended. Under mu, which is released during the
// I/O; flushing is set, or the log is closed.
func (l *Log) flush() error {
	for l.failed == nil {
		l.closeLost()
		if l.reform {
			// A higher generation in the sinks that are left keeps the lost one from
			// passing for current. It begins a segment of its own.
			l.reform = false
			l.generation++
			if err := l.rotate(0); err != nil {
				return l.fail(err)
			}
		}
		l.endGroup()
		b := &batch{extents: l.queue, dirty: l.dirty, cached: l.cachedBytes}
		l.queue, l.dirty, l.cachedBytes = nil, nil, 0
		l.writing = b.extents
		upto := l.last
		l.sealed = upto
		if len(b.extents) == 0 && len(b.dirty) == 0 {
			l.durable = upto
			return nil
		}
		if l.cached && l.method == Direct {
			if l.cachedFor--; l.cachedFor <= 0 {
				l.cached = false
			}
		}
		live := l.inSync()
		l.setBusy(b, true)
		l.mu.Unlock()
		begin := time.Now()
		errs := l.write(b, live)
		took := time.Since(begin).Nanoseconds()
		l.mu.Lock()
		l.setBusy(b, false)
		average := l.flushTime.Load()
		if average == 0 {
			average = took
		}
		l.flushTime.Store(average + (took-average)/flushWeight)
		l.stats.Flushes++
		for k, i := range live {
			if errs[k] != nil {
				l.lose(i, errs[k], errors.Is(errs[k], errHung))
			}
		}
		if l.failed != nil {
			break
		}
		l.writing = nil
		l.noteWritten()
		l.recycle(b)
		if l.reform {
			continue
		}
		l.durable = upto
		return nil
	}
	return fmt.Errorf("flush log %s: %w", l.name(), l.failed)
}

// setBusy says whether a flush of the batch's segments is under way. Under mu.
func (l *Log) setBusy(b *batch, busy bool) {
	for _, s := range b.dirty {
		s.busy = busy
	}
	for _, e := range b.extents {
		e.seg.busy = busy
	}
}

// recycle keeps the buffers of a batch for the next ones. Under mu.
func (l *Log) recycle(b *batch) {
	for _, e := range b.extents {
		l.stats.Bytes += uint64(len(e.buf))
		if !b.abandoned.Load() && cap(e.buf) <= largeStaging && len(l.buffers) < 4 {
			l.buffers = append(l.buffers, e.buf[:0])
		}
	}
}
