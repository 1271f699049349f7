package wal

import (
	"context"
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// fillSegments appends to the page cache until the log is in its nth segment, and returns
// the last record.
func fillSegments(t *testing.T, l *Log, n uint64) (last uint64) {
	t.Helper()
	for in := uint64(0); in < n; {
		last = mustAppend(t, l, 1000, engine.Buffered)
		l.mu.Lock()
		in = l.number
		l.mu.Unlock()
	}
	return last
}

// release releases what a log has, and returns one of the slots that it had when that is
// clean, unless the log fails before that. Slots that the janitor has made meanwhile are left
// out, which would be taken first.
func release(t *testing.T, l *Log, last uint64) (ready slot, failed error) {
	t.Helper()
	l.mu.Lock()
	had := map[int]bool{}
	for _, s := range l.segments[:len(l.segments)-1] {
		had[s.slot.id] = true
	}
	l.mu.Unlock()
	if err := l.Release(last); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.failed == nil {
		at := l.largestFree(0)
		switch {
		case at < 0 || l.free[at].dirty:
			l.settled.Wait()
		case had[l.free[at].id]:
			return l.free[at], nil
		default:
			l.free = append(l.free[:at], l.free[at+1:]...)
			l.kick()
		}
	}
	return slot{}, l.failed
}

// TestFreedSlotIsFlushedAhead: what the page cache holds of a slot that is free again is
// flushed before a commit needs the slot.
func TestFreedSlotIsFlushedAhead(t *testing.T) {
	l, _ := openOn(t, diskWith(t, "/log"), Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10})
	for range 3 {
		ready, err := release(t, l, fillSegments(t, l, l.number+2))
		if err != nil {
			t.Fatal(err)
		}
		fillSegments(t, l, l.number+1)
		l.mu.Lock()
		if got := l.seg.slot; got != ready {
			t.Errorf("slot %+v was taken, and %+v was ready", got, ready)
		}
		l.mu.Unlock()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFreedSlotCannotBeFlushed: a flush that fails is never tried again, so that the log
// takes nothing more.
func TestFreedSlotCannotBeFlushed(t *testing.T) {
	d := diskWith(t, "/log")
	l, _ := openOn(t, d, Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10})
	last := fillSegments(t, l, 3)
	d.Inject(simdisk.Fault{Op: simdisk.OpSyncData, Effect: simdisk.EIO})
	if ready, err := release(t, l, last); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("slot %+v is said to be clean, and the log is well: %v", ready, err)
	}
	if _, err := l.Append(context.Background(), make([]byte, 10), engine.Buffered); !errors.Is(err, engine.ErrReadOnly) {
		t.Error(err)
	}
	if err := l.Close(); err == nil {
		t.Error("closed without an error")
	}
}
