package wal

import (
	"context"
	"errors"
	"runtime"
	"testing"

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
	for hang.Fired() == 0 {
		runtime.Gosched()
	}
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
