package wal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// TestPowerCutBeforeFirstFlush leaves the head of the first segment in one of two sinks
// alone, as a power cut may before anything was flushed: the log opens. Once something was
// flushed, or where the slot is not there, the other sink was replaced, and it does not.
func TestPowerCutBeforeFirstFlush(t *testing.T) {
	for _, c := range []struct {
		name           string
		flush, replace bool
		want           error
	}{
		{"begun", false, false, nil},
		{"replaced", false, true, engine.ErrInvalid},
		{"flushed", true, false, engine.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			live, cut := t.TempDir(), t.TempDir()
			open := func(dir string) (*wal.Log, error) {
				return wal.Open(context.Background(), wal.Options{
					Sinks: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, SegmentBytes: 16 << 10, Inline: true, Rejoin: true,
				}, 0, func(wal.Record) error { return nil })
			}
			for _, sink := range []string{"a", "b"} {
				if err := os.Mkdir(filepath.Join(live, sink), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			l, err := open(live)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if c.flush {
				// Enough for a second segment, whose head tells of it.
				fillSinks(t, l, 0, 60)
			} else if _, err := l.Append(context.Background(), []byte("nobody was promised this"), engine.Buffered); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(cut, os.DirFS(live)); err != nil {
				t.Fatal(err)
			}
			slots, err := filepath.Glob(filepath.Join(cut, "a", "*.wal"))
			if err != nil || len(slots) == 0 {
				t.Fatalf("%d slots: %v", len(slots), err)
			}
			for _, name := range slots {
				if c.replace {
					err = os.Remove(name)
				} else {
					err = os.WriteFile(name, make([]byte, 16<<10), 0o666)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			again, err := open(cut)
			if !errors.Is(err, c.want) {
				t.Fatalf("opened with %v, want %v", err, c.want)
			}
			if err == nil {
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
