package wal_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// retaining opens a log in two sinks that keeps every segment, and returns its records.
func retaining(fsys vfs.FS, force bool) (*wal.Log, []string, error) {
	var got []string
	l, err := wal.Open(context.Background(), wal.Options{
		FS: fsys, Sinks: twoSinks, SegmentBytes: 16 << 10, Inline: true, Rejoin: true, AllowMissing: force,
		Retain: func(uint64) bool { return true },
	}, 0, func(r wal.Record) error {
		got = append(got, string(r.Payload))
		return nil
	})
	return l, got, err
}

func fillSinks(t *testing.T, l *wal.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		appendFlushed(t, l, fmt.Sprintf("%d %0600d", i, i))
	}
}

func wantRecords(t *testing.T, got []string, n int, what string) {
	t.Helper()
	for i, r := range got {
		if !strings.HasPrefix(r, fmt.Sprintf("%d ", i)) {
			t.Fatalf("%s: record %d is %.20q", what, i, r)
		}
	}
	if len(got) < n {
		t.Fatalf("%s: %d records, and %d were flushed", what, len(got), n)
	}
}

// TestRejoinAtEveryCrash takes a sink away and brings it level while the log goes on. At
// every power cut meanwhile, with nothing and with everything of what was pending, the log
// opens with what was flushed; and once the sink counts, with it alone.
func TestRejoinAtEveryCrash(t *testing.T) {
	d := twoDevices(t, 1)
	l, _, err := retaining(d, false)
	if err != nil {
		t.Fatal(err)
	}
	fillSinks(t, l, 0, 60)
	if err := d.Vanish("/b"); err != nil {
		t.Fatal(err)
	}
	fillSinks(t, l, 60, 120)
	if _, err := d.Return("/b"); err != nil {
		t.Fatal(err)
	}
	from := d.Events()
	var copied int64
	err = l.Rejoin(context.Background(), 1, wal.RejoinOptions{Progress: func(n, total int64) {
		if copied = n; n > total {
			t.Errorf("%d of %d bytes", n, total)
		}
	}})
	if err != nil || copied == 0 || l.Stats().Lost != nil {
		t.Fatalf("%d bytes copied, %v: %v", copied, l.Stats().Lost, err)
	}
	joined := d.Events()
	fillSinks(t, l, 120, 140)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w := d.Walk()
	images := 0
	for at := 1; w.Next(); at++ {
		if at < from {
			continue
		}
		flushed := 120
		if at == d.Events() {
			flushed = 140
		}
		for _, fate := range []simdisk.Fate{simdisk.Lost, simdisk.Kept} {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = fate
			}
			image := w.Crash(fates, 1)
			l, got, err := retaining(image, false)
			if err != nil {
				t.Fatalf("event %d of %d, %v: %v", at, d.Events(), fate, err)
			}
			wantRecords(t, got, flushed, fmt.Sprintf("event %d, %v", at, fate))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			images++
			if at < joined {
				continue
			}
			alone := w.Crash(fates, 1)
			if err := alone.Vanish("/a"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := retaining(alone, false); err == nil {
				t.Fatalf("event %d: a sink that counts is missing, and that is no error", at)
			}
			l, got, err = retaining(alone, true)
			if err != nil {
				t.Fatalf("event %d, %v, the sink alone: %v", at, fate, err)
			}
			wantRecords(t, got, flushed, "alone")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if images < 100 {
		t.Fatalf("%d images", images)
	}
}

// TestMissingSinkThatIsBehind: a sink may be missing if the others know that it is behind;
// one that counted, or that is there and empty, may not.
func TestMissingSinkThatIsBehind(t *testing.T) {
	d := twoDevices(t, 2)
	l, _, err := retaining(d, false)
	if err != nil {
		t.Fatal(err)
	}
	fillSinks(t, l, 0, 10)
	if err := d.Vanish("/b"); err != nil {
		t.Fatal(err)
	}
	fillSinks(t, l, 10, 20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, got, err := retaining(d, false)
	if err != nil {
		t.Fatalf("the sink that is behind is missing: %v", err)
	}
	wantRecords(t, got, 20, "without it")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Return("/b"); err != nil {
		t.Fatal(err)
	}
	if err := d.Vanish("/a"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := retaining(d, false); err == nil || !strings.Contains(err.Error(), "/a/log") {
		t.Fatalf("the stale sink alone: %v", err)
	}
	states, err := wal.Survey(context.Background(), wal.Options{FS: d, Sinks: twoSinks})
	if err != nil || states[0].Err == nil || !states[0].Counted || !states[1].Current || states[1].Empty {
		t.Fatalf("survey: %+v, %v", states, err)
	}
}

// TestPlaces: AppendAt and replay tell the same place, where the payload lies; what is not
// written yet is staged; a segment stays until it is freed.
func TestPlaces(t *testing.T) {
	d := twoDevices(t, 3)
	ctx := context.Background()
	places := map[uint64]wal.Place{}
	o := wal.Options{FS: d, Sinks: twoSinks[:1], SegmentBytes: 16 << 10, Inline: true}
	var freed uint64
	o.Retain = func(number uint64) bool { return number != freed }
	l, err := wal.Open(ctx, o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload := func(i int) []byte { return fmt.Appendf(nil, "%d %0600d", i, i) }
	read := func(at wal.Place, i int) {
		t.Helper()
		got := make([]byte, len(payload(i)))
		if !l.Unwritten(at.Segment) || !l.ReadStaged(at.Segment, at.Offset, got) {
			f, err := d.Open(twoSinks[0]+"/"+wal.SlotName(at.Slot), vfs.ReadOnly)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.ReadAt(got, at.Offset); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if string(got) != string(payload(i)) {
			t.Fatalf("record %d is not at %+v", i, at)
		}
	}
	for i := 1; i <= 100; i++ {
		class := engine.Durability(i % 2)
		s, at, err := l.AppendAt(ctx, payload(i), class)
		if err != nil || s != uint64(i) {
			t.Fatal(s, err)
		}
		places[s] = at
		read(at, i)
		if i%7 == 0 {
			if err := l.Flush(s); err != nil {
				t.Fatal(err)
			}
			read(at, i)
		}
	}
	if err := l.Release(90); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 100; i++ {
		read(places[uint64(i)], i)
	}
	first := places[1].Segment
	if current := places[100].Segment; !l.Chained(current) || l.Chained(first) || l.Chained(current+1) {
		t.Fatalf("in the chain: %v, %v, %v; want the current segment alone", l.Chained(current), l.Chained(first), l.Chained(current+1))
	} else if ok, err := l.Free(current); ok || err != nil {
		t.Fatalf("the current segment was freed: %v", err)
	}
	if ok, err := l.Free(first); !ok || err != nil || l.SegmentBytes(first) != 0 {
		t.Fatalf("free: %v, %v", ok, err)
	}
	freed = first
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	seen := 0
	l, err = wal.Open(ctx, o, 90, func(r wal.Record) error {
		seen++
		if r.Place != places[r.Sequence] {
			return fmt.Errorf("record %d is at %+v, and was at %+v", r.Sequence, r.Place, places[r.Sequence])
		}
		return nil
	})
	if err != nil || seen != 10 {
		t.Fatalf("%d records: %v", seen, err)
	}
	if l.SegmentBytes(first) != 0 {
		t.Fatal("a segment that was freed is back")
	}
	for i := 1; i <= 100; i++ {
		if at := places[uint64(i)]; at.Segment != first {
			read(at, i)
		}
	}
	if err := l.Close(); err != nil && !errors.Is(err, engine.ErrClosed) {
		t.Fatal(err)
	}
}

// TestFlushBesideRejoin: who waits for a record that a flush of Rejoin takes along is of the
// next group.
func TestFlushBesideRejoin(t *testing.T) {
	d := twoDevices(t, 1)
	ctx := context.Background()
	l, err := wal.Open(ctx, wal.Options{
		FS: d, Sinks: twoSinks, SegmentBytes: 16 << 10, Rejoin: true, Flush: wal.Direct, SinkTimeout: time.Minute,
	}, 0, func(wal.Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	fillSinks(t, l, 0, 10)
	l.Lose(1, errors.New("lost"))
	fillSinks(t, l, 10, 20)
	var record uint64
	var hang *simdisk.Injection
	done, ready := make(chan error, 2), make(chan struct{})
	go func() {
		done <- l.Rejoin(ctx, 1, wal.RejoinOptions{Ready: func() (err error) {
			record, err = l.Append(ctx, []byte("late"), engine.Flushed)
			hang = d.Inject(simdisk.Fault{Path: twoSinks[0] + "/*", Op: simdisk.OpDSync, Effect: simdisk.Hang})
			close(ready)
			return err
		}})
	}()
	<-ready
	<-hang.Met()
	go func() { done <- l.Flush(record) }()
	for range 1000 { // it waits, or ends in a panic
		runtime.Gosched()
	}
	hang.Remove()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if l.Stats().Lost != nil {
		t.Fatal(l.Stats().Lost)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSegmentsWithoutRecords: a segment that only told of another generation holds nothing
// that anybody could free, and is given back when the log is done with it.
func TestSegmentsWithoutRecords(t *testing.T) {
	l, _, err := retaining(twoDevices(t, 1), false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fillSinks(t, l, 0, 1)
	for range 3 { // each way a generation begins, and a segment with it
		l.Lose(1, errors.New("it is gone"))
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := l.Rejoin(t.Context(), 1, wal.RejoinOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	fillSinks(t, l, 1, 2)
	if n := len(l.Segments()); n < 5 {
		t.Fatalf("%d segments; the test has checked nothing", n)
	}
	if err := l.Release(l.LastSequence()); err != nil {
		t.Fatal(err)
	}
	var kept []uint64
	for _, s := range l.Segments() {
		kept = append(kept, s.Number)
	}
	if len(kept) != 2 { // the first one, with a record, and the last
		t.Errorf("the segments %d are kept", kept)
	}
}
