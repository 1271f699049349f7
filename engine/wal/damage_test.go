package wal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestSmallestSegments opens a log on real files whose slots are as small as they
// can be, in all ways to flush.
func TestSmallestSegments(t *testing.T) {
	for _, method := range []wal.FlushMethod{wal.Probe, wal.SyncData} {
		o := wal.Options{Sinks: []string{t.TempDir()}, SegmentBytes: 1, Flush: method}
		l, err := wal.Open(context.Background(), o, 0, nil)
		if err != nil {
			t.Fatalf("%v: %v", method, err)
		}
		want := 0
		for i := range 40 {
			s, err := l.Append(context.Background(), make([]byte, i*1000), engine.Durability(i%3))
			if err == nil {
				err = l.Flush(s)
			}
			if err != nil {
				t.Fatal(err)
			}
			want++
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got := 0
		l, err = wal.Open(context.Background(), o, 0, func(wal.Record) error { got++; return nil })
		if err != nil || got != want {
			t.Fatalf("%v: %d of %d records, %v", method, got, want, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHistoriesPart: each of two sinks goes on without the other. The one that was
// opened with AllowMissing counts; the other is brought level.
func TestHistoriesPart(t *testing.T) {
	for alone := 1; alone <= 40; alone += 3 {
		d := twoDevices(t, 1)
		l, _, err := openSinks(d, false)
		if err != nil {
			t.Fatal(err)
		}
		appendFlushed(t, l, "both")
		if err := d.Vanish("/b"); err != nil {
			t.Fatal(err)
		}
		for i := range alone {
			appendFlushed(t, l, fmt.Sprintf("a alone %01000d", i))
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Return("/b"); err != nil {
			t.Fatal(err)
		}
		if err := d.Vanish("/a"); err != nil {
			t.Fatal(err)
		}
		l, want, err := openSinks(d, true)
		if err != nil || len(want) != 1 {
			t.Fatal(want, err)
		}
		for i := range 5 {
			want = append(want, fmt.Sprintf("b alone %01000d", i))
			appendFlushed(t, l, want[len(want)-1])
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Return("/a"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			l, got, err := openSinks(d, false)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d records of a alone: %d records %.20q, want %d, %v", alone, len(got), got, len(want), err)
			}
			want = append(want, "both again")
			appendFlushed(t, l, "both again")
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAnotherLog: a sink with the files of another log is refused.
func TestAnotherLog(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		l, err := wal.Open(context.Background(), wal.Options{Sinks: []string{dir}, Flush: wal.SyncData}, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		appendFlushed(t, l, dir)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := wal.Open(context.Background(), wal.Options{Sinks: []string{a, b}, Flush: wal.SyncData}, 0, func(wal.Record) error { return nil })
	if !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("the logs of two directories are taken for one: %v", err)
		l.Close()
	}
}
