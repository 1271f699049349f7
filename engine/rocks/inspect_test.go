package rocks

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// TestInspectOfNothing says that there is no store, and where there may be one, but no
// RocksDB, how to get that.
func TestInspectOfNothing(t *testing.T) {
	dir := t.TempDir()
	if err := Inspect(t.Context(), dir, new(strings.Builder)); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "CURRENT"), []byte("MANIFEST-000004\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := engine.ErrUnsupported
	if Available {
		want = engine.ErrCorrupt // the manifest is missing
	}
	if err := Inspect(t.Context(), dir, new(strings.Builder)); !errors.Is(err, want) {
		t.Errorf("%v; want %v", err, want)
	}
}
