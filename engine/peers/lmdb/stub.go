//go:build !lmdb

package lmdb

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// Available tells whether this binary was built with LMDB.
const Available = false

// Open returns ErrUnsupported, which says how to build with LMDB.
func Open(dir string, _ Options) (engine.Engine, error) {
	return nil, fmt.Errorf("open %s: %w: built without LMDB; run 'make deps-bench', then build with -tags lmdb", dir, engine.ErrUnsupported)
}
