package dirs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/peers/internal/dirs"
)

func TestMakeEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // not there, then there and empty
		if err := dirs.MakeEmpty(dir); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dirs.MakeEmpty(dir); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("MakeEmpty of a directory with a file: %v", err)
	}
	if err := dirs.Sync(dir); err != nil {
		t.Error(err)
	}
	if used, err := dirs.Usage(dir); err != nil || used < 100_000 || used > 200_000 {
		t.Errorf("Usage with a file of 100,000 bytes: %d (%v)", used, err)
	}
	if err := dirs.Clear(dir); err != nil {
		t.Error(err)
	}
	if used, err := dirs.Usage(dir); err != nil || used != 0 {
		t.Errorf("Usage after Clear: %d (%v)", used, err)
	}
}
