package badger_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/peers/badger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name       string
		noSync     bool
		operations int
	}{
		{"nosync", true, 20_000}, // half a millisecond each: a snapshot looks through all that was deleted
		{"sync", false, 5000},    // the same code with a flush more
	} {
		t.Run(c.name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Target{
				Name:       "badger-" + c.name,
				Operations: c.operations,
				Open: func(dir string) (engine.Engine, error) {
					return badger.Open(dir, badger.Options{NoSync: c.noSync, CacheBytes: 4 << 20, MemTableBytes: 8 << 20})
				},
			})
		})
	}
}

// TestTransactionTooBig checks that what Badger refuses, and Limits cannot tell,
// leaves nothing behind.
func TestTransactionTooBig(t *testing.T) {
	e, err := badger.Open(t.TempDir(), badger.Options{NoSync: true, MemTableBytes: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var b engine.Batch
	apply := func() error {
		defer b.Reset()
		return e.Apply(t.Context(), &b, engine.Buffered)
	}
	const keys = 20_000
	for i := range keys {
		b.Put(fmt.Appendf(nil, "%06d", i), nil)
	}
	if b.Size() > e.Traits().Limits.MaxBatchBytes {
		t.Fatalf("the batch of %d bytes is above the limit", b.Size())
	}
	if err := apply(); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("a batch of %d operations: want %v, got %v", keys, engine.ErrTooLarge, err)
	}
	if _, err := e.Get([]byte("000000"), nil); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("part of a refused batch is there (%v)", err)
	}
	for i := range keys {
		b.Put(fmt.Appendf(nil, "%06d", i), nil)
		if b.Count() == 1000 {
			if err := apply(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.DeleteRange([]byte("0"), []byte("1"))
	if err := apply(); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("a delete-range of %d keys: want %v, got %v", keys, engine.ErrTooLarge, err)
	}
	if _, err := e.Get([]byte("000000"), nil); err != nil {
		t.Errorf("a refused delete-range deleted: %v", err)
	}
	b.Put([]byte("!badger!x"), nil)
	if err := apply(); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a reserved key: want %v, got %v", engine.ErrInvalid, err)
	}
}

// TestDamaged opens a store whose manifest is other bytes.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/MANIFEST", []byte(strings.Repeat("not a tree", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := badger.Open(dir, badger.Options{}); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("open with a manifest of other bytes: want %v, got %v", engine.ErrCorrupt, err)
	}
}

// TestVersion keeps the version in the traits true to go.mod.
func TestVersion(t *testing.T) {
	e, err := badger.Open(t.TempDir(), badger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mod, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(e.Traits().Version, " ")
	if !strings.Contains(string(mod), "github.com/dgraph-io/badger/v4 "+version) {
		t.Errorf("Traits say %q, which is not what go.mod has", e.Traits().Version)
	}
}
