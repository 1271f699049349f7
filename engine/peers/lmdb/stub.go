//go:build !lmdb

package lmdb

import (
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Available tells whether this binary was built with LMDB.
const Available = false

// Open returns ErrUnsupported, which says how to build with LMDB.
func Open(dir string, _ Options) (engine.Engine, error) {
	return nil, fmt.Errorf("open %s: %w: built without LMDB; run 'make deps-bench', then build with -tags lmdb", dir, engine.ErrUnsupported)
}

// BenchGets returns ErrUnsupported.
func BenchGets(engine.Engine, []byte, int, []byte) (took time.Duration, bytes int, err error) {
	return 0, 0, fmt.Errorf("bench gets: %w: built without LMDB", engine.ErrUnsupported)
}
