package wal

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
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

// TestPrefill: where slots are used again the page cache is filled ahead of the records, in
// each sink, but not when there is a flush for every record; and all records are there.
func TestPrefill(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		d := diskWith(t, "/a", "/b")
		o := Options{Sinks: []string{"/a", "/b"}, SegmentBytes: 64 << 10, Flush: SyncData, Inline: true}
		l, _ := openOn(t, d, o)
		r := rand.New(rand.NewPCG(1, 1))
		var want []string
		var released uint64
		ahead := false
		for l.number < 8 {
			p := make([]byte, 200+r.IntN(3000))
			for i := range p {
				p[i] = byte(r.Uint32() | 1)
			}
			seq, err := l.Append(t.Context(), p, engine.Buffered)
			if err == nil && flushed {
				err = l.Flush(seq)
			}
			if err == nil && l.seg.first == seq && len(l.segments) > 3 {
				released = l.segments[2].first - 1
				err = l.Release(released)
			}
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, string(p))
			if l.number < 6 {
				continue // its slot is fresh
			}
			ahead = ahead || l.seg.filled > l.end && l.seg.filled < l.seg.slot.bytes
			if flushed && l.seg.filled > 4*headBytes { // the head and a record go out together
				t.Fatalf("filled up to %d, and each record is flushed", l.seg.filled)
			}
		}
		if !flushed && !ahead {
			t.Error("nothing was filled ahead")
		}
		var got []string
		o.FS = d.Kill()
		again, err := Open(t.Context(), o, released, func(r Record) error {
			got = append(got, string(r.Payload))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want = want[len(want)-len(got):]; len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("flushed %v: of %d records that were appended last, others are there", flushed, len(got))
		}
		if last := released + uint64(len(got)); last < l.last {
			t.Errorf("record %d is there, and %d was the last", last, l.last)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCleanSlotIsKept: of slots that are one too many those go first whose flush is still to
// come.
func TestCleanSlotIsKept(t *testing.T) {
	l, _ := openOn(t, diskWith(t, "/log"), Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10, SpareSlots: 1, Inline: true})
	last := fillSegments(t, l, 4)
	l.prepare()
	if len(l.free) != 1 || l.free[0].dirty {
		t.Fatalf("free are %+v", l.free)
	}
	clean := l.free[0]
	if err := l.Release(last); err != nil {
		t.Fatal(err)
	}
	if len(l.free) != 1 || l.free[0] != clean {
		t.Errorf("%+v are kept, and %+v was clean", l.free, clean)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWrittenBackEarly: where segments stay the kernel is asked to write them back, and that
// it cannot is no failure: the flush will tell. Elsewhere it is not asked.
func TestWrittenBackEarly(t *testing.T) {
	for _, stays := range []bool{true, false} {
		d := diskWith(t, "/log")
		asked := d.Inject(simdisk.Fault{Op: simdisk.OpWriteback, Path: "/log/" + segmentName(1), Sticky: true, Effect: simdisk.EIO})
		o := Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10}
		if stays {
			o.Retain = func(uint64) bool { return true }
		}
		l, _ := openOn(t, d, o)
		fillSegments(t, l, 3)
		if stays {
			select {
			case <-asked.Met():
			case <-time.After(30 * time.Second):
				t.Error("the kernel was not asked to write a segment that stays")
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if !stays && asked.Fired() > 0 {
			t.Error("the kernel was asked to write a segment that does not stay")
		}
	}
}

// removing is a disk where Remove waits, and then does what the test says.
type removing struct {
	vfs.FS
	begun chan struct{}
	goOn  chan error
}

func (r *removing) Remove(name string) error {
	r.begun <- struct{}{}
	if err := <-r.goOn; err != nil {
		return err
	}
	return r.FS.Remove(name)
}

// TestSurplusSlotsAreRemovedAside: commits go on while a slot is removed that is one too many.
// One that cannot be removed is kept, and the next Release tells why.
func TestSurplusSlotsAreRemovedAside(t *testing.T) {
	r := &removing{diskWith(t, "/log"), make(chan struct{}), make(chan error)}
	l, _ := openOn(t, r, Options{Sinks: []string{"/log"}, SegmentBytes: 64 << 10, SpareSlots: 1})
	if err := l.Release(fillSegments(t, l, 5)); err != nil {
		t.Fatal(err)
	}
	<-r.begun
	last := fillSegments(t, l, l.number+1)
	full := errors.New("the disk does not want to")
	r.goOn <- full
	// The janitor has told when it waits again.
	l.kick()
	end := time.Now().Add(30 * time.Second)
	for told := false; !told; {
		if time.Now().After(end) {
			t.Fatal("nobody is told that a slot cannot be removed")
		}
		select {
		case <-r.begun:
			r.goOn <- full
		default:
			err := l.Release(last)
			if err != nil && !errors.Is(err, full) {
				t.Fatal(err)
			}
			told = err != nil
		}
	}
	done := make(chan error)
	go func() { done <- l.Close() }()
	for {
		select {
		case <-r.begun:
			r.goOn <- nil
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			if n := len(l.free); n > 1 {
				t.Errorf("%d free slots are left behind Close, and 1 should be", n)
			}
			return
		}
	}
}

// TestSlotsOfBulk: a log that is written in bulk reserves its slots, and has all of it behind
// a power cut; one that is flushed again and again writes them first, so that no flush waits
// for metadata.
func TestSlotsOfBulk(t *testing.T) {
	o := Options{Sinks: []string{"/log"}, SegmentBytes: 4 << 20, Inline: true}
	for _, c := range []struct {
		d       engine.Durability
		bytes   int
		reserve bool
	}{{engine.Buffered, 200_000, true}, {engine.Flushed, 200_000, false}, {engine.Buffered, 2_000, true}, {engine.Flushed, 2_000, false}} {
		d := diskWith(t, "/log")
		l, _ := openOn(t, d, o)
		written := 0
		for ; l.number < 5; written++ {
			mustAppend(t, l, c.bytes, c.d)
			if c.d == engine.Flushed {
				if err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		full := d.Inject(simdisk.Fault{Op: simdisk.OpPreallocate, Effect: simdisk.NoSpace})
		var err error
		for from := l.number; l.number == from && err == nil; written++ {
			if _, err = l.Append(t.Context(), make([]byte, c.bytes), c.d); err == nil && c.d == engine.Flushed {
				err = l.Sync()
			}
		}
		if errors.Is(err, engine.ErrNoSpace) != c.reserve || err != nil && !c.reserve {
			t.Errorf("%s, %d bytes each: with no room to reserve: %v", c.d, c.bytes, err)
		}
		if err != nil {
			written--
		}
		full.Remove()
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		again, got := openOn(t, d.Kill(), o) // l, which has no goroutines, goes with its process
		if len(got) != written {
			t.Errorf("%s, %d bytes each: %d records of %d are there again", c.d, c.bytes, len(got), written)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}
