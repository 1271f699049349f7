package wal

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// openOn opens a log without goroutines of its own in the directories of a
// simulated disk, and returns the payloads that it replayed.
func openOn(t *testing.T, fsys vfs.FS, o Options) (*Log, []string) {
	t.Helper()
	var got []string
	o.FS = fsys
	l, err := Open(context.Background(), o, 0, func(r Record) error {
		got = append(got, string(r.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, got
}

func diskWith(t *testing.T, dirs ...string) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	for _, dir := range dirs {
		if err := d.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func mustAppend(t *testing.T, l *Log, n int, d engine.Durability) uint64 {
	t.Helper()
	s, err := l.Append(context.Background(), make([]byte, n), d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFailureBetweenFlushes: the way into the page cache fails after one flush has
// ended and before the next begins. Who waits for the next one is not served.
func TestFailureBetweenFlushes(t *testing.T) {
	d := diskWith(t, "/log")
	l, _ := openOn(t, d, Options{Sinks: []string{"/log"}, Inline: true, Flush: Direct})
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpDSync, Effect: simdisk.Hang})
	first, second, third := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	one := mustAppend(t, l, 10, engine.Flushed)
	go func() { first <- l.Flush(one) }()
	<-hang.Met()
	two := mustAppend(t, l, 10, engine.Flushed)
	go func() { second <- l.Flush(two) }()
	for l.waiting.Load() == 0 {
		runtime.Gosched()
	}
	go func() {
		_, err := l.Append(context.Background(), []byte("three"), engine.Buffered)
		third <- err
	}()
	for wants := false; !wants; runtime.Gosched() {
		l.mu.Lock()
		wants = l.wantCached
		l.mu.Unlock()
	}
	fault := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Effect: simdisk.EIO})
	hang.Release()
	if err := <-first; err != nil {
		t.Errorf("the flush that succeeded: %v", err)
	}
	if err := <-second; !errors.Is(err, engine.ErrReadOnly) || fault.Fired() != 1 {
		t.Errorf("record %d is acknowledged as flushed, and was not: %v", two, err)
	}
	if err := <-third; !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("buffered record: %v", err)
	}
	if err := l.Close(); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// slotUnderWay returns a log of two segments, in which a slot is being made: it
// takes until release is called.
func slotUnderWay(t *testing.T) (d *simdisk.Disk, l *Log, release func()) {
	t.Helper()
	d = diskWith(t, "/log")
	l, _ = openOn(t, d, Options{Sinks: []string{"/log"}, SegmentBytes: 128 << 10, Inline: true, Flush: Direct})
	mustAppend(t, l, 70<<10, engine.Buffered)
	mustAppend(t, l, 70<<10, engine.Buffered)
	if l.number != 2 {
		t.Fatalf("the newest segment is %d", l.number)
	}
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpSync, Effect: simdisk.Hang})
	go l.prepare()
	synctest.Wait()
	if hang.Fired() != 1 {
		t.Fatal("no slot is made")
	}
	return d, l, hang.Release
}

// TestAppendsBehindASlot: all who wait for the same slot go on in it together.
func TestAppendsBehindASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, release := slotUnderWay(t)
		const writers = 8
		done := make(chan error, writers)
		for range writers {
			go func() {
				_, err := l.Append(context.Background(), make([]byte, 60<<10), engine.Buffered)
				done <- err
			}()
		}
		synctest.Wait()
		release()
		for range writers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if l.number > 2+writers/2+1 {
			t.Errorf("%d segments for %d records of half a segment", l.number-2, writers)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBufferedBehindASlot: a buffered record that had to wait for a slot is in the
// page cache when Append returns, whatever was flushed meanwhile.
func TestBufferedBehindASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l, release := slotUnderWay(t)
		done := make(chan error)
		go func() {
			_, err := l.Append(context.Background(), make([]byte, 60<<10), engine.Buffered)
			done <- err
		}()
		synctest.Wait()
		// The last of these flushes takes the log out of the page cache.
		for range cachedFlushes {
			s, err := l.Append(context.Background(), nil, engine.Flushed)
			if err == nil {
				err = l.Flush(s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := uint64(2 + cachedFlushes + 1)
		_, got := openOn(t, d.Kill(), Options{Sinks: []string{"/log"}, SegmentBytes: 128 << 10, Inline: true})
		if uint64(len(got)) != want {
			t.Errorf("the process died, and of %d records %d are there", want, len(got))
		}
	})
}

// TestCloseBehindASlot: an Append that waits for a slot when the log is closed
// appends nothing.
func TestCloseBehindASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l, release := slotUnderWay(t)
		last := l.LastSequence()
		appended, closed := make(chan error), make(chan error)
		go func() { closed <- l.Close() }()
		synctest.Wait()
		go func() {
			l.mu.Lock()
			l.closed = false // it came just before
			l.mu.Unlock()
			_, err := l.Append(context.Background(), make([]byte, 60<<10), engine.Buffered)
			appended <- err
		}()
		synctest.Wait()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		hang := d.Inject(simdisk.Fault{Op: simdisk.OpSyncData, Effect: simdisk.Hang})
		release()
		synctest.Wait()
		if hang.Fired() != 1 {
			t.Fatal("Close does not flush")
		}
		if err := <-appended; !errors.Is(err, engine.ErrClosed) {
			t.Errorf("append: %v", err)
		}
		hang.Release()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if l.LastSequence() != last {
			t.Errorf("record %d was appended to a closed log", l.LastSequence())
		}
	})
}

// TestCancelledBehindASlot: whoever waits for a slot, or for the way into the page
// cache, need not wait longer than its context.
func TestCancelledBehindASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, release := slotUnderWay(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			_, err := l.Append(ctx, make([]byte, 60<<10), engine.Buffered)
			done <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		default:
			t.Error("still waiting")
		}
		release()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLateAnswer: a sink that hung in the middle of a flush answers after the log
// was closed. It writes nothing more, and does not touch what was closed.
func TestLateAnswer(t *testing.T) {
	dirs := []string{"/a", "/b"}
	d := diskWith(t, dirs...)
	l, _ := openOn(t, d, Options{Sinks: dirs, SegmentBytes: 16 << 10, SinkTimeout: 20 * time.Millisecond, Flush: Direct})
	for range 3 {
		mustAppend(t, l, 10<<10, engine.Flushed)
	}
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpDSync, Path: "/b/*", Effect: simdisk.Hang})
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if s := l.Stats(); s.Hung != 1 || hang.Fired() != 1 {
		t.Fatalf("no sink hangs: %+v", s)
	}
	if err := l.Release(l.LastSequence()); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	more := d.Inject(simdisk.Fault{Op: simdisk.OpDSync, Path: "/b/*", Effect: simdisk.EIO})
	hang.Release()
	<-l.sinks[1].ended
	if more.Fired() != 0 {
		t.Error("a sink that was left behind goes on with the flush")
	}
}

// TestSinkFailsAndHangs: a sink that fails in one call while another hangs is not
// waited for.
func TestSinkFailsAndHangs(t *testing.T) {
	dirs := []string{"/a", "/b"}
	d := diskWith(t, dirs...)
	l, _ := openOn(t, d, Options{Sinks: dirs, SinkTimeout: 200 * time.Millisecond, Flush: SyncData})
	s := mustAppend(t, l, 10, engine.Buffered)
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpSyncData, Path: "/b/*", Effect: simdisk.Hang})
	done := make(chan error)
	go func() { done <- l.Flush(s) }()
	<-hang.Met()
	fault := d.Inject(simdisk.Fault{Op: simdisk.OpMapWrite, Path: "/b/*", Effect: simdisk.EIO})
	mustAppend(t, l, 10, engine.Buffered)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if s := l.Stats(); fault.Fired() != 1 || s.Hung != 1 {
		t.Errorf("no sink is said to hang: %+v", s)
		hang.Release()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	hang.Release()
	<-l.sinks[1].ended
}

// TestNewSegmentThatCannotBeFlushed: the log is read-only where what the page cache has of a
// slot's last use cannot be flushed, before the slot is used again.
func TestNewSegmentThatCannotBeFlushed(t *testing.T) {
	d := diskWith(t, "/log")
	l, _ := openOn(t, d, Options{Sinks: []string{"/log"}, SegmentBytes: 16 << 10, Inline: true})
	ctx := context.Background()
	payload := make([]byte, 6<<10)
	for range 6 { // some segments, none of which is flushed
		sequence, err := l.Append(ctx, payload, engine.Buffered)
		if err == nil {
			err = l.Release(sequence - 1)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fault := d.Inject(simdisk.Fault{Op: simdisk.OpFlush, Effect: simdisk.EIO, Sticky: true})
	var err error
	for range 6 {
		if _, err = l.Append(ctx, payload, engine.Buffered); err != nil {
			break
		}
	}
	if !errors.Is(err, engine.ErrReadOnly) || fault.Fired() == 0 {
		t.Errorf("%v, and %d flushes failed", err, fault.Fired())
	}
	fault.Remove()
	if err := l.Close(); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("close: %v", err)
	}
}

// TestSilentSink: a sink that hangs is waited for once, by all that wait for it, also where
// one of them had more patience; and a small flush has no more because its segment is large.
func TestSilentSink(t *testing.T) {
	const timeout = time.Second // less than it takes the janitor to wait for the log, in which no time passes
	synctest.Test(t, func(t *testing.T) {
		d := diskWith(t, "/one", "/two")
		l, _ := openOn(t, d, Options{Sinks: []string{"/one", "/two"}, SinkTimeout: timeout})
		last := fillSegments(t, l, 4)
		if err := l.Flush(last); err != nil {
			t.Fatal(err)
		}
		last = mustAppend(t, l, 1000, engine.Buffered)
		if bytes := l.seg.slot.bytes; bytes < 8<<20 {
			t.Fatalf("the segment has %d bytes only", bytes)
		}
		l.mu.Lock()
		l.endGroup() // so that the flush stores nothing, and is what hangs
		l.mu.Unlock()
		hang := d.Inject(simdisk.Fault{Path: "/two/*", Effect: simdisk.Hang, Sticky: true})
		begin := time.Now()
		patient := make(chan error, 1)
		go func() {
			patient <- l.timed(1, 5, func() error { return d.Remove("/two/none") })
		}()
		if err := l.Flush(last); err != nil {
			t.Error(err)
		}
		if err := <-patient; !errors.Is(err, errHung) {
			t.Error(err)
		}
		if took := time.Since(begin); took != timeout {
			t.Errorf("a sink that hangs was waited for %s, with a timeout of %s", took, timeout)
		}
		if lost := l.Stats().Lost; len(lost) != 1 {
			t.Errorf("lost sinks: %v", lost)
		}
		hang.Release()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
