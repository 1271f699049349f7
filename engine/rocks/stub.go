//go:build !rocksdb

package rocks

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// Available tells whether this binary was built with RocksDB.
const Available = false

// Open returns ErrUnsupported, which says how to build with RocksDB.
func Open(dir string, _ Options) (engine.Engine, error) {
	return nil, fmt.Errorf("open %s: %w: built without RocksDB; run 'make deps-bench', then build with -tags rocksdb", dir, engine.ErrUnsupported)
}
