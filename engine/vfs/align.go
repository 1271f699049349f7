package vfs

import (
	"fmt"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
)

// Alignment is what direct I/O asks of a transfer, in bytes. Both are powers of
// two, and 512 at least for a direct handle, even if the device would take less:
// what is aligned here is aligned on most devices.
type Alignment struct {
	// Memory divides the address of the buffer.
	Memory int
	// Offset divides the offset in the file and the length.
	Offset int
}

// safeAlignment suits every device whose own figure cannot be had.
const safeAlignment = 4096

// unaligned is the Alignment of buffered I/O: anything goes.
var unaligned = Alignment{Memory: 1, Offset: 1}

// AlignedBuffer returns n zero bytes at an address that align divides; align is
// a power of two. The memory is the garbage collector's, which does not move it.
func AlignedBuffer(n, align int) []byte {
	b := make([]byte, n+align-1)
	skip := int(-addressOf(b) & uintptr(align-1))
	return b[skip : skip+n : skip+n]
}

// Check returns ErrInvalid, naming what is wrong, for a transfer between p and
// offset off that is not aligned. An empty p needs no address.
func (a Alignment) Check(p []byte, off int64) error {
	switch {
	case off&int64(a.Offset-1) != 0:
		return fmt.Errorf("%w: offset %d of direct I/O is not a multiple of %d", engine.ErrInvalid, off, a.Offset)
	case len(p)&(a.Offset-1) != 0:
		return fmt.Errorf("%w: length %d of direct I/O is not a multiple of %d", engine.ErrInvalid, len(p), a.Offset)
	case len(p) > 0 && addressOf(p)&uintptr(a.Memory-1) != 0:
		return fmt.Errorf("%w: buffer of direct I/O is not at a multiple of %d", engine.ErrInvalid, a.Memory)
	}
	return nil
}

func addressOf(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }
