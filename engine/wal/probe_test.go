package wal

import (
	"context"
	"fmt"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// TestProbeAgain: the probe works on a slot that nobody uses and gives it back, and
// whatever it finds, the log goes on by it, back and forth, and keeps everything.
func TestProbeAgain(t *testing.T) {
	dir := t.TempDir()
	o := Options{Sinks: []string{dir}, SegmentBytes: 16 << 10, Inline: true} // no janitor comes between
	ctx := context.Background()
	l, err := Open(ctx, o, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !l.canDirect {
		t.Skip("SKIPPED, NOT VERIFIED HERE: no direct I/O in the directory for tests, so there is nothing to choose between")
	}
	n := 0
	write := func() {
		t.Helper()
		for range 40 {
			n++
			s, err := l.Append(ctx, fmt.Appendf(nil, "%0500d", n), engine.Flushed)
			if err == nil {
				err = l.Flush(s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		for _, method := range []FlushMethod{Direct, SyncData} {
			write()
			if len(l.free) == 0 {
				l.prepare()
			}
			l.mu.Lock()
			free := len(l.free)
			l.mu.Unlock()
			l.probeAgain()
			l.mu.Lock()
			if len(l.free) != free || free == 0 || l.making || l.method != Direct && l.method != SyncData {
				t.Errorf("%d free slots before, %d after; making %v, flush by %v", free, len(l.free), l.making, l.method)
			}
			// As if it had found this.
			l.method, l.wantCached = method, method == SyncData && !l.cached
			if method == Direct {
				l.cachedFor = 0
			}
			l.mu.Unlock()
			write()
			l.mu.Lock()
			if l.cached != (method == SyncData) {
				t.Errorf("flush by %v: cached is %v", method, l.cached)
			}
			l.mu.Unlock()
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := 0
	l, err = Open(ctx, o, 0, func(r Record) error {
		if got++; string(r.Payload) != fmt.Sprintf("%0500d", got) {
			return fmt.Errorf("record %d is %.20s…", got, r.Payload)
		}
		return nil
	})
	if err != nil || got != n {
		t.Fatalf("%d records of %d, %v", got, n, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// withoutMap is a file system without mappings.
type withoutMap struct{ vfs.FS }

func (d withoutMap) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := d.FS.Open(name, flags)
	if err != nil {
		return nil, err
	}
	return unmapped{f}, nil
}

type unmapped struct{ vfs.File }

func (unmapped) Map(int64, int) (vfs.Mapping, error) { return nil, engine.ErrUnsupported }

// TestProbeWithoutMap: where files cannot be mapped the probe stores by writes.
func TestProbeWithoutMap(t *testing.T) {
	ctx := context.Background()
	o := Options{FS: withoutMap{vfs.OS()}, Sinks: []string{t.TempDir()}, SegmentBytes: 16 << 10}
	for range 2 {
		l, err := Open(ctx, o, 0, func(Record) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if !l.canDirect {
			t.Skip("SKIPPED, NOT VERIFIED HERE: no direct I/O in the directory for tests, so that nothing is probed")
		}
		for _, d := range []engine.Durability{engine.Buffered, engine.Flushed} {
			s, err := l.Append(ctx, []byte("record"), d)
			if err == nil {
				err = l.Flush(s)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
