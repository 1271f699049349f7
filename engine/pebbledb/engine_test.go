package pebbledb_test

import (
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes every test flush, compact and evict.
var small = pebbledb.Options{CacheBytes: 1 << 20, MemTableBytes: 256 << 10}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Target{
		Name: "pebble",
		Open: func(dir string) (engine.Engine, error) { return pebbledb.Open(dir, small) },
	})
}

// TestVersion keeps the version in the traits true to go.mod.
func TestVersion(t *testing.T) {
	e, err := pebbledb.Open(t.TempDir(), small)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(e.Traits().Version, " ")
	if !strings.Contains(string(mod), "github.com/cockroachdb/pebble/v2 "+version) {
		t.Errorf("Traits say %q, which is not what go.mod has", e.Traits().Version)
	}
}
