package bbolt_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	// The random case is shorter than its default: every commit writes the whole
	// freelist, which open snapshots let grow, so that 100,000 operations take
	// minutes; `make test-long` runs them. The flushed class is the same code with
	// two flushes more.
	for _, c := range []struct {
		name       string
		options    bbolt.Options
		operations int
	}{
		{"nosync", bbolt.Options{NoSync: true}, 20_000},
		{"sync", bbolt.Options{}, 5000},
	} {
		t.Run(c.name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Target{
				Name:       "bbolt-" + c.name,
				Operations: c.operations,
				Open:       func(dir string) (engine.Engine, error) { return bbolt.Open(dir, c.options) },
			})
		})
	}
}

// TestFull fills a small store with a snapshot open: no wait for the map to
// move, an error, nothing of the batch, and room again after a deletion.
func TestFull(t *testing.T) {
	e, err := bbolt.Open(t.TempDir(), bbolt.Options{NoSync: true, MaxBytes: 48 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	snap, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b engine.Batch
	written := byte(0)
	for ; written < 100; written++ {
		b.Reset()
		b.Put([]byte{1, written}, nil)
		b.Put([]byte{2, written}, make([]byte, 1<<20))
		if err = e.Apply(t.Context(), &b, engine.Buffered); err != nil {
			break
		}
	}
	if !errors.Is(err, engine.ErrNoSpace) {
		t.Fatalf("after %d MiB: want %v, got %v", written, engine.ErrNoSpace, err)
	}
	if _, err := e.Get([]byte{1, written}, nil); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("part of a refused batch is there (%v)", err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.DeleteRange([]byte{2}, []byte{3})
	if err := e.Apply(t.Context(), &b, engine.Buffered); err != nil {
		t.Fatalf("delete in a full store: %v", err)
	}
	for i := range written / 2 {
		b.Reset()
		b.Put([]byte{3, i}, make([]byte, 1<<20))
		if err := e.Apply(t.Context(), &b, engine.Buffered); err != nil {
			t.Fatalf("put %d after a deletion made room: %v", i, err)
		}
	}
}

// TestDamaged opens a file of other bytes.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/data.db", []byte(strings.Repeat("not a tree", 10_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bbolt.Open(dir, bbolt.Options{}); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("open of a file of other bytes: want %v, got %v", engine.ErrCorrupt, err)
	}
}

// TestVersion keeps the version in the traits true to go.mod.
func TestVersion(t *testing.T) {
	e, err := bbolt.Open(t.TempDir(), bbolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(e.Traits().Version, " ")
	if !strings.Contains(string(mod), "go.etcd.io/bbolt "+version) {
		t.Errorf("Traits say %q, which is not what go.mod has", e.Traits().Version)
	}
}
