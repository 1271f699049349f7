package wal_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
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

// afterwards returns a disk as it is when all that was written is durable.
func afterwards(d *simdisk.Disk) *simdisk.Disk {
	w := d.Walk()
	for w.Next() {
	}
	all := make([]simdisk.Fate, len(w.Pending()))
	for i := range all {
		all[i] = simdisk.Kept
	}
	return w.Crash(all, 1)
}

// TestHeadIsLost: both copies of the head of the newest segment are damaged, and
// its records were flushed.
func TestHeadIsLost(t *testing.T) {
	d := newDisk(t)
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 12)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := d.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		image := afterwards(d)
		for _, off := range []int64{20, 2048 + 20} {
			if err := image.Rot(filepath.Join(dir, name), off, 1); err != nil {
				t.Fatal(err)
			}
		}
		l, got, err := open(image, 0)
		if err == nil && len(got) == 12 {
			l.Close() // an empty slot
			continue
		}
		if !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%s: %d records, %v", name, len(got), err)
		}
		seen++
	}
	if seen < 2 {
		t.Errorf("only %d segments of %q count", seen, names)
	}
}

// TestTruncatedSlot cuts a file of a closed log, in its only sink and in one of
// two.
func TestTruncatedSlot(t *testing.T) {
	for _, size := range []int64{0, 100, 511, 512, 2560, 4095, 4096, 4097, 8191, 8192} {
		for _, sinks := range [][]string{{"/a/log"}, {"/a/log", "/b/log"}, {"/b/log", "/a/log"}} {
			if size >= 8192 && len(sinks) == 1 {
				continue // it may have been made so: nothing in the head tells
			}
			d := twoDevices(t, 1)
			o := wal.Options{FS: d, Sinks: sinks, SegmentBytes: 16 << 10, Inline: true}
			openIt := func() (*wal.Log, int, error) {
				n := 0
				l, err := wal.Open(context.Background(), o, 0, func(wal.Record) error { n++; return nil })
				return l, n, err
			}
			l, _, err := openIt()
			if err != nil {
				t.Fatal(err)
			}
			for range 30 {
				appendFlushed(t, l, strings.Repeat("x", 700))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := d.List("/a/log")
			if err != nil || len(names) < 2 {
				t.Fatal(names, err)
			}
			for _, name := range names {
				image := afterwards(d)
				f, err := image.Open("/a/log/"+name, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(f.Truncate(size), f.Sync(), f.Close()); err != nil {
					t.Fatal(err)
				}
				o.FS = image
				l, n, err := openIt()
				switch {
				case err == nil && n == 30:
					if err := l.Close(); err != nil {
						t.Error(err)
					}
					if l, n, err = openIt(); err != nil || n != 30 {
						t.Errorf("%s of %d bytes in one of %q: opened again: %d records, %v", name, size, sinks, n, err)
					} else {
						appendFlushed(t, l, "more")
						l.Close()
					}
				case len(sinks) == 1 && errors.Is(err, engine.ErrCorrupt):
				default:
					t.Errorf("%s of %d bytes in one of %q: %d records, %v", name, size, sinks, n, err)
				}
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
