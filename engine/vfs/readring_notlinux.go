//go:build !linux

package vfs

import "github.com/orbit-persistence/orbit/engine"

// ReadRing is of Linux.
type ReadRing struct{}

type ringCaller struct{}

// NewReadRing is ErrUnsupported.
func NewReadRing(FS, int) (*ReadRing, error) { return nil, engine.ErrUnsupported }

// Read is never called.
func (r *ReadRing) Read(...*Request) error { return engine.ErrUnsupported }

// Close is never called.
func (r *ReadRing) Close() error { return engine.ErrUnsupported }
