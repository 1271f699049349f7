package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/log"

func newDisk(t *testing.T) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	if err := d.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	return d
}

// open opens the log with small segments and returns what it replayed.
func open(fsys vfs.FS, after uint64) (*wal.Log, []string, error) {
	var got []string
	l, err := wal.Open(context.Background(), wal.Options{FS: fsys, Sinks: []string{dir}, SegmentBytes: 8 << 10, Inline: true}, after, func(r wal.Record) error {
		got = append(got, fmt.Sprintf("%d=%s", r.Sequence, r.Payload))
		return nil
	})
	return l, got, err
}

func fill(t *testing.T, l *wal.Log, n int) {
	t.Helper()
	for range n {
		s, err := l.Append(context.Background(), fmt.Appendf(nil, "record %d", l.LastSequence()+1), engine.Flushed)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Flush(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReopenReplaysWhatIsAbove(t *testing.T) {
	d := newDisk(t)
	l, got, err := open(d, 0)
	if err != nil || len(got) != 0 {
		t.Fatalf("new log: %v, %v", got, err)
	}
	fill(t, l, 50)
	if err := l.Release(20); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, got, err = open(d, 30)
	if err != nil || len(got) != 20 || got[0] != "31=record 31" || got[19] != "50=record 50" {
		t.Fatalf("reopened: %v, %v", got, err)
	}
	fill(t, l, 1)
	if l.LastSequence() != 51 {
		t.Errorf("the order goes on at %d", l.LastSequence())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(d, 1); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("records 2 to 20 were released, and opening says %v", err)
	}
}

// TestEveryFlippedBitIsSeen damages each byte of a closed log in turn.
func TestEveryFlippedBitIsSeen(t *testing.T) {
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
	if err != nil || len(names) < 2 {
		t.Fatalf("segments %v, %v", names, err)
	}
	w := d.Walk()
	for w.Next() {
	}
	all := make([]simdisk.Fate, len(w.Pending()))
	for i := range all {
		all[i] = simdisk.Kept
	}
	seen := 0
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := d.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for off := range info.Size {
			image := w.Crash(all, 1)
			if err := image.Rot(path, off, 0x10); err != nil {
				t.Fatal(err)
			}
			l, got, err := open(image, 0)
			switch {
			case err == nil && len(got) == 12:
				l.Close() // padding, the end of the log, or a head, of which there are two
			case errors.Is(err, engine.ErrCorrupt) && off >= 4096:
				seen++
			default:
				t.Fatalf("byte %d of %s: %d records, %v", off, name, len(got), err)
			}
		}
	}
	if seen == 0 {
		t.Error("no damage was seen")
	}
}

// TestRecordsCountOnlyInTheirPlace swaps two records of one length within a group
// of a closed log.
func TestRecordsCountOnlyInTheirPlace(t *testing.T) {
	d := newDisk(t)
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := l.Append(context.Background(), fmt.Appendf(nil, "record %d", l.LastSequence()+1), engine.Flushed); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := d.Open(filepath.Join(dir, "000001.wal"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const first, size = 4096 + 48, 16
	records := make([]byte, 2*size)
	if _, err := f.ReadAt(records, first+size); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(records[8:16], []byte("record 2")) || !bytes.Equal(records[size+8:size+16], []byte("record 3")) {
		t.Fatalf("the records are not where this test looks: %q", records)
	}
	if _, err := f.WriteAt(append(records[size:], records[:size]...), first+size, vfs.Plain); err != nil {
		t.Fatal(err)
	}
	if _, got, err := open(d, 0); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("two records were swapped: %q, %v", got, err)
	}
}

// TestReleaseAtEverySequence: whatever was released, what comes behind is there.
func TestReleaseAtEverySequence(t *testing.T) {
	const records = 60
	for released := range uint64(records) {
		d := newDisk(t)
		l, _, err := open(d, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range records {
			if _, err := l.Append(context.Background(), make([]byte, 300), engine.Flushed); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Release(released); err != nil {
			t.Fatal(err)
		}
		// More, so that what was released is used again.
		for range records {
			if _, err := l.Append(context.Background(), make([]byte, 300), engine.Flushed); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, got, err := open(d, released)
		if err != nil || len(got) != int(2*records-released) {
			t.Fatalf("%d released: %d records behind it, %v", released, len(got), err)
		}
	}
}

func TestFailedFlushEndsWriting(t *testing.T) {
	d := newDisk(t)
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 3)
	d.Inject(simdisk.Fault{Op: simdisk.OpFlush, Effect: simdisk.FailedFlush})
	s, err := l.Append(context.Background(), []byte("lost"), engine.Flushed)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(s); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("failed flush: %v", err)
	}
	if _, err := l.Append(context.Background(), nil, engine.Flushed); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("append after it: %v", err)
	}
	if err := l.Close(); !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("close after it: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("orbitwal"), 40)
	f.Fuzz(func(t *testing.T, garbage []byte, at int) {
		d := newDisk(t)
		l, _, err := open(d, 0)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, l, 3)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		file, err := d.Open(filepath.Join(dir, "000001.wal"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(garbage, int64(uint16(at)), vfs.Plain); err != nil {
			t.Fatal(err)
		}
		file.Close()
		l, got, err := open(d, 0)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		l.Close()
		for i, r := range got {
			if !bytes.Equal([]byte(r), fmt.Appendf(nil, "%d=record %d", i+1, i+1)) {
				t.Fatalf("record %d is %s", i+1, r)
			}
		}
	})
}
