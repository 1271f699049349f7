package wal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// read returns what Read gives of the log.
func read(fsys vfs.FS, after uint64) (got []string, last uint64, err error) {
	last, err = wal.Read(context.Background(), fsys, dir, after, func(r wal.Record) error {
		got = append(got, fmt.Sprintf("%d=%s", r.Sequence, r.Payload))
		return nil
	})
	return got, last, err
}

// TestReadIsWhatOpenReplays: at every crash of a log with a life behind it Read gives what
// Open then replays, and writes nothing.
func TestReadIsWhatOpenReplays(t *testing.T) {
	d := newDisk(t)
	for range 3 {
		l, _, err := open(d, 10)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, l, 30)
		for range 5 {
			if _, err := l.Append(context.Background(), []byte("buffered"), engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Release(10); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	cuts, some, damaged := 0, 0, 0
	for w := d.Walk(); w.Next(); {
		for _, fate := range []simdisk.Fate{simdisk.Lost, simdisk.Kept} {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = fate
			}
			image := w.Crash(fates, 1)
			if _, err := image.List(dir); err != nil {
				continue
			}
			got, last, err := read(image, 10)
			if n := image.Walk(); n.Next() {
				t.Fatalf("cut %d: Read makes %v", cuts, n.Event())
			}
			l, want, openErr := open(image, 10)
			if (err == nil) != (openErr == nil) || errors.Is(err, engine.ErrCorrupt) != errors.Is(openErr, engine.ErrCorrupt) {
				t.Fatalf("cut %d: Read says %v, Open %v", cuts, err, openErr)
			}
			cuts++
			if n := image.Walk(); openErr == nil && !n.Next() {
				t.Fatalf("cut %d: even Open writes nothing that shows", cuts)
			}
			if err != nil {
				damaged++
				continue
			}
			if !slices.Equal(got, want) || last != l.LastSequence() {
				t.Fatalf("cut %d: Read gives %d records up to %d, and Open %d up to %d", cuts, len(got), last, len(want), l.LastSequence())
			}
			if len(got) > 0 {
				some++
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cuts < 100 || some < 50 || damaged > 0 {
		t.Errorf("%d cuts, of which %d have records and %d damage", cuts, some, damaged)
	}
}

func TestReadFindsDamage(t *testing.T) {
	d := newDisk(t)
	if got, last, err := read(d, 7); err != nil || len(got) != 0 || last != 7 {
		t.Errorf("a log that has not begun: %v up to %d, %v", got, last, err)
	}
	if _, err := wal.Read(context.Background(), d, "/nowhere", 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	l, _, err := open(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	own := errors.New("own")
	if _, err := wal.Read(context.Background(), d, dir, 1, func(wal.Record) error { return own }); !errors.Is(err, own) {
		t.Errorf("an error of each: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := wal.Read(ctx, d, dir, 1, func(wal.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	flip := func(at ...int64) {
		t.Helper()
		f, err := d.Open(dir+"/000001.wal", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, at := range at {
			b := make([]byte, 1)
			if _, err := f.ReadAt(b, at); err != nil {
				t.Fatal(err)
			}
			b[0] ^= 1
			if _, err := f.WriteAt(b, at, vfs.Plain); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip(4096 + 48 + 9) // the first record
	if _, _, err := read(d, 0); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("a damaged record: %v", err)
	}
	flip(4096+48+9, 0, 2048) // both copies of the header
	if _, _, err := read(d, 0); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("damaged heads: %v", err)
	}
}
