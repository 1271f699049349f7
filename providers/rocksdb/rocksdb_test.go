package rocksdb_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/rocksdb"
)

func TestConformance(t *testing.T) {
	if !rocksdb.Available {
		c := rocksdb.Defaults()
		c.DataDir = t.TempDir()
		_, err := driver.Open(t.Context(), rocksdb.Backend, c)
		if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "-tags rocksdb") {
			t.Errorf("without RocksDB it opens with %v", err)
		}
		t.Skip("SKIPPED, NOT VERIFIED HERE: built without the tag rocksdb")
	}
	for name, d := range map[string]engine.Durability{"flushed": engine.Flushed, "memory": engine.Memory} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Target{Name: "rocksdb", Open: func(ctx context.Context, place string) (driver.Store, error) {
				c := rocksdb.Defaults()
				c.DataDir, c.Durability = place, d
				return driver.Open(ctx, rocksdb.Backend, c)
			}})
		})
	}
}
