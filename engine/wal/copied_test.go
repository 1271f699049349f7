package wal

import (
	"errors"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestRejoinCopiesWhatWasMissed: what was flushed in a sink before it was lost is not copied
// again, also where only a mark says so; what was not flushed is.
func TestRejoinCopiesWhatWasMissed(t *testing.T) {
	const segment = 64 << 10
	for _, flushed := range []bool{true, false} {
		d := diskWith(t, "/one", "/two")
		l, _ := openOn(t, d, Options{Sinks: []string{"/one", "/two"}, SegmentBytes: segment, Inline: true})
		fillSegments(t, l, 20)
		if flushed {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		mustAppend(t, l, 10, engine.Buffered)
		l.Lose(1, errors.New("it is gone"))
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		var copied int64
		if err := l.Rejoin(t.Context(), 1, RejoinOptions{Progress: func(n, _ int64) { copied = n }}); err != nil {
			t.Fatal(err)
		}
		if all := int64(17 * segment); flushed && copied > 2*segment || !flushed && copied < all {
			t.Errorf("%d bytes were copied; all were flushed: %v", copied, flushed)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		again, got := openOn(t, d, Options{Sinks: []string{"/two"}, AllowMissing: true, Inline: true})
		if want := int(again.LastSequence()); len(got) != want || want == 0 {
			t.Errorf("the sink has %d records of %d", len(got), want)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRejoinBelievesNoStranger: a sink that was lost with a record lacking, and was then
// written to by a log of its own, claims that records of the same numbers were flushed. It is
// given the one that it lacks.
func TestRejoinBelievesNoStranger(t *testing.T) {
	for _, claims := range []string{"heads", "marks"} {
		d := diskWith(t, "/one", "/two")
		l, _ := openOn(t, d, Options{Sinks: []string{"/one", "/two"}, SegmentBytes: 64 << 10})
		mustAppend(t, l, 100, engine.Buffered)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		d.Inject(simdisk.Fault{Op: simdisk.OpAnyWrite, Path: "/two/*", Effect: simdisk.EIO})
		lacking := mustAppend(t, l, 2000, engine.Buffered)
		if lost := l.Stats().Lost; len(lost) != 1 {
			t.Fatalf("lost are %v", lost)
		}

		stranger, got := openOn(t, d, Options{Sinks: []string{"/two"}, AllowMissing: true, SegmentBytes: 64 << 10})
		if len(got) >= int(lacking) {
			t.Fatalf("the sink has %d records, and should lack the last of %d", len(got), lacking)
		}
		for range 2 {
			mustAppend(t, stranger, 100, engine.Buffered)
			if err := stranger.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if claims == "heads" {
			fillSegments(t, stranger, stranger.number+2)
		}
		if err := stranger.Close(); err != nil {
			t.Fatal(err)
		}

		if err := l.Rejoin(t.Context(), 1, RejoinOptions{}); err != nil {
			t.Fatal(err)
		}
		last := mustAppend(t, l, 100, engine.Buffered)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again, got := openOn(t, d, Options{Sinks: []string{"/two"}, AllowMissing: true})
		if len(got) != int(last) || len(got[lacking-1]) != 2000 {
			t.Errorf("%s: the sink has %d records of %d", claims, len(got), last)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNoSlotWhileASinkJoins: a slot that is made while a sink joins would not be in that sink,
// and be the one that is taken next.
func TestNoSlotWhileASinkJoins(t *testing.T) {
	d := diskWith(t, "/one", "/two")
	l, _ := openOn(t, d, Options{Sinks: []string{"/one", "/two"}, SegmentBytes: 64 << 10, Inline: true})
	fillSegments(t, l, 2)
	l.Lose(1, errors.New("the test says so"))
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, 1000, engine.Buffered) // in the segment that is copied last
	tried := 0
	if err := l.Rejoin(t.Context(), 1, RejoinOptions{Progress: func(int64, int64) {
		l.mu.Lock()
		joining := l.joining
		l.mu.Unlock()
		if joining {
			tried++
			l.prepare()
		}
	}}); err != nil {
		t.Fatal(err)
	}
	if tried == 0 {
		t.Error("nothing was copied while the sink joined")
	}
	mustAppend(t, l, 100, engine.Buffered)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
