//go:build amd64 || arm64

// Package prefetch asks the processor to bring memory near before it is needed. A
// load would do the same, but the processor remembers only so many instructions
// behind one that waits; behind a prefetch it goes on.
package prefetch

import "unsafe"

// Line asks for the line of the cache that p points into, which may be anything.
//
//go:noescape
func Line(p unsafe.Pointer)

// Lines asks for n lines of 64 bytes from p on.
//
//go:noescape
func Lines(p unsafe.Pointer, n int)
