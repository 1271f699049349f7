//go:build rocksdb

package rocks

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
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

// TestInspect prints a store of two families, sound and damaged, and changes nothing.
func TestInspect(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	e, err := Open(dir, Options{Families: []string{"other"}, Compression: None})
	if err != nil {
		t.Fatal(err)
	}
	families, err := e.(engine.FamilyStore).Families()
	if err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	var b engine.Batch
	for i := range n {
		b.Put(fmt.Appendf(nil, "key %06d", i), bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 50))
	}
	b.PutIn(families["other"], []byte("k"), []byte("v"))
	if err := e.Apply(t.Context(), &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
	if err := e.Compact(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	before := vfstest.Contents(t, dir)
	var out strings.Builder
	if err := Inspect(t.Context(), dir, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("family default: %d entries, %d bytes", n, n*110), "family other: 1 entries, 2 bytes", "sound\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if after := vfstest.Contents(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := Inspect(ended, dir, &out); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}

	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	largest, data := "", []byte(nil)
	for _, name := range tables {
		some, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) > len(data) {
			largest, data = name, some
		}
	}
	data[len(data)/3] ^= 1
	if err := os.WriteFile(largest, data, 0o644); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := Inspect(t.Context(), dir, &out); !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Base(largest)) || !strings.Contains(out.String(), "family other: 1 entries") {
		t.Errorf("%v; want %s named\n%s", err, filepath.Base(largest), out.String())
	}
}
