package pebbledb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

// TestInspect prints a store, sound and damaged, open and closed, and changes nothing.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	if err := pebbledb.Inspect(t.Context(), dir, new(strings.Builder)); !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	e, err := pebbledb.Open(dir, pebbledb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	var b engine.Batch
	for i := range n {
		b.Put(fmt.Appendf(nil, "key %06d", i), bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 50))
	}
	if err := e.Apply(t.Context(), &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := pebbledb.Inspect(t.Context(), dir, new(strings.Builder)); !errors.Is(err, engine.ErrLocked) {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// What is in the log goes to a table when it is opened.
	if e, err = pebbledb.Open(dir, pebbledb.Options{}); err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	before := vfstest.Contents(t, dir)
	var out strings.Builder
	if err := pebbledb.Inspect(t.Context(), dir, &out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, fmt.Sprintf("%d entries, %d bytes", n, n*110)) || !strings.HasSuffix(text, "sound\n") {
		t.Error(text)
	}
	if after := vfstest.Contents(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := pebbledb.Inspect(ended, dir, &out); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	data, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/3] ^= 1
	if err := os.WriteFile(tables[0], data, 0o644); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	err = pebbledb.Inspect(t.Context(), dir, &out)
	if name := strings.TrimSuffix(filepath.Base(tables[0]), ".sst"); !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), name) || strings.Contains(out.String(), "sound") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
