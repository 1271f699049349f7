//go:build !amd64 && !arm64

// Package prefetch asks the processor to bring memory near before it is needed; on
// this one it does nothing.
package prefetch

import "unsafe"

// Line asks for the line of the cache that p points into, which may be anything.
func Line(unsafe.Pointer) {}

// Lines asks for n lines of 64 bytes from p on.
func Lines(unsafe.Pointer, int) {}
