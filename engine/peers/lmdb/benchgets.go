//go:build lmdb

package lmdb

import (
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// BenchGets is for benches alone: it tells what LMDB costs without Go. It gets
// the keys of keyBytes each that stand one after the other in packed, by a loop
// in C in one read transaction, which copies each value to dst where it has the
// room. It returns how long that took and the bytes of the values. A key that is
// not there is ErrNotFound; an engine that is not LMDB is ErrUnsupported.
func BenchGets(e engine.Engine, packed []byte, keyBytes int, dst []byte) (took time.Duration, bytes int, err error) {
	s, ok := e.(*store)
	if !ok {
		return 0, 0, fmt.Errorf("bench gets: %w: %T is not LMDB", engine.ErrUnsupported, e)
	}
	if keyBytes < 1 || len(packed)%keyBytes != 0 {
		return 0, 0, fmt.Errorf("bench gets: %w: %d bytes are no keys of %d", engine.ErrInvalid, len(packed), keyBytes)
	}
	if err := s.life.Enter(); err != nil {
		return 0, 0, fmt.Errorf("bench gets: %w", err)
	}
	defer s.life.Exit()
	start := time.Now()
	bytes, err = s.native.benchGets(packed, keyBytes, dst)
	if took = time.Since(start); err != nil {
		return 0, 0, fmt.Errorf("bench gets: %w", err)
	}
	return took, bytes, nil
}
