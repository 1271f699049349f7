package vfs_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

func TestReserveMemory(t *testing.T) {
	m, err := vfs.ReserveMemory(1<<30, false) // far more than is touched
	if err != nil {
		t.Fatal(err)
	}
	b := m.Bytes()
	if len(b) != 1<<30 || b[0] != 0 || b[1<<29] != 0 {
		t.Fatalf("%d bytes, beginning with %d and %d in the middle; want zeros", len(b), b[0], b[1<<29])
	}
	b[1<<29] = 7
	if m.Populate(0, 1<<20); b[1<<19] != 0 {
		t.Error("memory that was taken is not zero")
	}
	if m.Discard(0, 1<<20); b[1<<29] != 7 {
		t.Error("memory that was kept has changed")
	}
	if err := m.Release(); err != nil {
		t.Error(err)
	}
	// Builds for the race detector keep what is released, for the next.
	if m, err = vfs.ReserveMemory(1<<30, false); err != nil {
		t.Fatal(err)
	}
	if b := m.Bytes(); len(b) != 1<<30 || b[1<<29] != 0 {
		t.Errorf("%d bytes with %d in the middle, after others were released; want zeros", len(b), b[1<<29])
	}
	if err := m.Release(); err != nil {
		t.Error(err)
	}
}
