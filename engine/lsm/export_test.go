package lsm

import (
	"errors"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// prepare makes of an engine one that can be used without Open.
func prepare(e *Engine, o Options) {
	e.options, e.fs, e.dir = o, o.FS, "/store"
	e.files.bound, e.mostBlock = max(o.OpenFiles, MinOpenFiles), maxStored
	e.changed = sync.NewCond(&e.mu)
}

// fileContent returns all of a file.
func fileContent(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := readFull(f, b); err != nil || n != len(b) {
		t.Fatal(n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// putFile makes a file, or puts another content into it.
func putFile(t testing.TB, fsys vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fsys.Open(name, vfs.Create|vfs.Truncate)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(content, 0, vfs.Plain)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// RaceEnabled says that everything takes longer.
const RaceEnabled = raceEnabled
