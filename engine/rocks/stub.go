//go:build !rocksdb

package rocks

import (
	"context"
	"fmt"
	"io"

	"github.com/orbit-persistence/orbit/engine"
)

// Available tells whether this binary was built with RocksDB.
const Available = false

// Open returns ErrUnsupported, which says how to build with RocksDB.
func Open(dir string, _ Options) (engine.Engine, error) {
	return nil, fmt.Errorf("open %s: %w: built without RocksDB; run 'make deps-bench', then build with -tags rocksdb", dir, engine.ErrUnsupported)
}

// Inspect returns ErrUnsupported if dir has a store of RocksDB, else ErrNotFound.
func Inspect(_ context.Context, dir string, _ io.Writer) error {
	manifest, err := manifestOf(dir)
	switch {
	case err != nil:
		return fmt.Errorf("inspect %s: %w", dir, err)
	case manifest != "":
		return fmt.Errorf("inspect %s: %w: it is a store of RocksDB, and this was built without; run 'make deps-bench', then build with -tags rocksdb", dir, engine.ErrUnsupported)
	}
	return fmt.Errorf("inspect %s: %w: no store of RocksDB", dir, engine.ErrNotFound)
}
