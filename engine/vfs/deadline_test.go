package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// hangingFS hangs in Open, or in the writes of its files, until it is released.
type hangingFS struct {
	vfs.FS
	opens, writes bool
	release       chan struct{}
	opened        chan vfs.File
}

func (h *hangingFS) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	if h.opens {
		<-h.release
	}
	f, err := h.FS.Open(name, flags)
	if err == nil && h.opens {
		h.opened <- f
	}
	return hangingFile{f, h}, err
}

type hangingFile struct {
	vfs.File
	fs *hangingFS
}

func (f hangingFile) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	if f.fs.writes {
		<-f.fs.release
	}
	return f.File.WriteAt(p, off, flags)
}

// The tests below are of time that passes when all wait for it.

// TestDeadlineOfOpen: an open that hangs comes back, counts as pending until it has ended,
// and what it opens then is closed.
func TestDeadlineOfOpen(t *testing.T) { synctest.Test(t, deadlineOfOpen) }

func deadlineOfOpen(t *testing.T) {
	dir := t.TempDir()
	h := &hangingFS{FS: vfs.OS(), opens: true, release: make(chan struct{}), opened: make(chan vfs.File, 1)}
	d := vfs.NewDeadlineFS(h, time.Millisecond, filepath.Join(dir, "other"), dir)
	name := filepath.Join(dir, "a")
	if _, err := d.Open(name, vfs.Create); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("an open that hangs: %v", err)
	}
	if d.Pending(dir) != 1 || d.Pending(filepath.Join(dir, "other")) != 0 {
		t.Fatalf("%d calls are pending", d.Pending(dir))
	}
	close(h.release)
	f := <-h.opened
	synctest.Wait()
	if n := d.Pending(dir); n != 0 {
		t.Errorf("%d calls are pending, and none hangs", n)
	}
	if _, err := f.Size(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("a file that was opened too late stays open: %v", err)
	}
}

// TestDeadlineOfWrite: a write that lands late has the bytes that it was given, whatever the
// caller does with the memory since.
func TestDeadlineOfWrite(t *testing.T) { synctest.Test(t, deadlineOfWrite) }

func deadlineOfWrite(t *testing.T) {
	dir := t.TempDir()
	h := &hangingFS{FS: vfs.OS(), writes: true, release: make(chan struct{})}
	d := vfs.NewDeadlineFS(h, 20*time.Millisecond, dir)
	name := filepath.Join(dir, "a")
	f, err := d.Open(name, vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	data := []byte("what was written")
	if _, err := f.WriteAt(data, 0, vfs.Plain); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a write that hangs: %v", err)
	}
	copy(data, "something else..")
	close(h.release)
	synctest.Wait()
	if n := d.Pending(dir); n != 0 {
		t.Errorf("%d calls are pending, and none hangs", n)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "what was written" {
		t.Fatalf("late came %q, %v", got, err)
	}
	if _, err := f.Map(0, 1); err == nil {
		t.Fatal("a mapping has no deadline")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
