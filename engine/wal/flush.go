package wal

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
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
	gatherShare = 0.2
	// flushWeight is the weight of the newest flush in the moving average: 1/8.
	flushWeight = 8
)

// waiter is a goroutine parked in Flush.
type waiter struct {
	sequence uint64
	wake     chan wakeup
}

// wakeup tells a waiter why it was woken.
type wakeup struct {
	lead bool // the next flush is its own
	err  error
	// crowd are all who are woken with it, which is at place: it wakes the two below
	// it in the binary tree of places.
	crowd []*waiter
	place int
}

var waiters = sync.Pool{New: func() any { return &waiter{wake: make(chan wakeup, 1)} }}

// wakeBelow wakes the two waiters below a place of the tree; -1 is the root's
// parent.
func wakeBelow(crowd []*waiter, place int, err error) {
	for child := 2*place + 1; child <= 2*place+2; child++ {
		if child >= 0 && child < len(crowd) {
			crowd[child].wake <- wakeup{err: err, crowd: crowd, place: child}
		}
	}
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
		w := waiters.Get().(*waiter)
		w.sequence = sequence
		l.waiters = append(l.waiters, w)
		l.waiting.Add(1)
		l.mu.Unlock()
		woken := <-w.wake
		waiters.Put(w)
		if !woken.lead {
			wakeBelow(woken.crowd, woken.place, woken.err)
			return woken.err
		}
		l.mu.Lock()
	}
	l.flushing = true
	l.gather()
	err := l.flush()
	l.handOver(err)
	if l.durable >= sequence {
		err = nil
	}
	l.mu.Unlock()
	return err
}

// flushed reports whether nothing is left to wait for, and how it ended. Under mu.
func (l *Log) flushed(sequence uint64) (bool, error) {
	switch {
	case sequence <= l.durable:
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
	want := int64(l.groupSize) - 1
	if want <= 0 || l.waiting.Load() >= want || l.options.Inline {
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
		b := &batch{extents: l.queue, dirty: l.dirty}
		l.queue, l.dirty = nil, nil
		upto := l.last
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

// handOver ends a flush: the first of those whom it did not serve leads the next
// one, and the others are woken. Under mu.
func (l *Log) handOver(err error) {
	if l.wantCached && l.failed == nil {
		l.toCache()
	}
	served := make([]*waiter, 0, len(l.waiters))
	rest := l.waiters[:0]
	for _, w := range l.waiters {
		if w.sequence <= l.durable || err != nil {
			served = append(served, w)
		} else {
			rest = append(rest, w)
		}
	}
	clear(l.waiters[len(rest):])
	l.groupSize = 1 + len(served)
	if l.flushing = len(rest) > 0; l.flushing {
		next := rest[0]
		rest = append(rest[:0], rest[1:]...)
		next.wake <- wakeup{lead: true}
	}
	l.waiters = rest
	l.waiting.Store(int64(len(rest)))
	l.settled.Broadcast()
	wakeBelow(served, -1, err)
}
