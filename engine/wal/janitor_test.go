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

// TestFreedSlotIsFlushedAhead: what the page cache holds of a slot that is free again is
// flushed before a commit needs the slot.
func TestFreedSlotIsFlushedAhead(t *testing.T) {
	l, _ := openOn(t, diskWith(t, "/log"), Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10})
	for range 3 {
		if err := l.Release(fillSegments(t, l, l.number+2)); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		at := l.largestFree(0)
		for at < 0 || l.free[at].dirty {
			l.settled.Wait()
			at = l.largestFree(0)
		}
		ready, number := l.free[at], l.number
		l.mu.Unlock()
		fillSegments(t, l, number+1)
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
	if err := l.Release(last); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	for l.failed == nil {
		if at := l.largestFree(0); at >= 0 && !l.free[at].dirty { // one that was made meanwhile
			l.free = append(l.free[:at], l.free[at+1:]...)
			l.kick()
			continue
		}
		l.settled.Wait()
	}
	l.mu.Unlock()
	if _, err := l.Append(context.Background(), make([]byte, 10), engine.Buffered); !errors.Is(err, engine.ErrReadOnly) {
		t.Error(err)
	}
	if err := l.Close(); err == nil {
		t.Error("closed without an error")
	}
}
