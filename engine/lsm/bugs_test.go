package lsm_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
)

// TestLostManifest: a store whose manifest was lost does not pass for a new one, and
// keeps its tables.
func TestLostManifest(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, lsm.Options{})
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	tables := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "*.table"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := tables()
	if before == 0 {
		t.Fatal("no table was written")
	}
	logs, err := filepath.Glob(filepath.Join(dir, "manifest", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no manifest: %v", err)
	}
	for _, name := range logs {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if e, err := lsm.Open(context.Background(), dir, lsm.Options{}); !errors.Is(err, engine.ErrCorrupt) {
		if err == nil {
			e.Close()
		}
		t.Fatalf("opened without a manifest: %v", err)
	}
	if n := tables(); n != before {
		t.Fatalf("%d of %d tables are left", n, before)
	}
}
