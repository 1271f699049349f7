//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import "github.com/orbit-persistence/orbit/engine"

// Zero is for what the platform has not; see openMode.
const (
	openDirect      = 0
	openDSync       = 0
	exclusiveDevice = 0
)

func pwriteDSync(int, []byte, int64) (int, error) { return 0, engine.ErrUnsupported }

func beginWriteback(_ int, _, _ int64) error { return nil }

func preallocate(_ int, _, _ int64) error { return engine.ErrUnsupported }

func punch(_ int, _, _ int64) error { return engine.ErrUnsupported }

func cloneContent(_, _ int) error { return engine.ErrUnsupported }

func directAlignment(int, bool) (Alignment, error) { return Alignment{}, engine.ErrUnsupported }

func mapShared(int, int64, int) ([]byte, error) { return nil, engine.ErrUnsupported }

func unmap([]byte) error { return engine.ErrUnsupported }

func newRing(int) (Queue, error) { return nil, engine.ErrUnsupported }
