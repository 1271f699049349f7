//go:build race

package vfs

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// The race detector does not see mapped memory, so its builds take the heap's. What is freed
// of that it looks at byte by byte, and the runtime clears it, used or not; so what was
// released is kept for the next who reserves as much.

// keptMost is how many bytes are kept at most.
const keptMost = 1 << 30

// leastKept is from how much on the heap gives whole pages.
const leastKept = 64 << 10

// kept is memory that was released, all zeros, by its length.
var kept struct {
	sync.Mutex
	bytes int
	of    map[int][][]byte
}

func reserve(n int, _ bool) ([]byte, error) {
	if b := takeKept(n); b != nil {
		return b, nil
	}
	return make([]byte, n), nil
}

// takeKept returns memory of that length, nil if none is kept.
func takeKept(n int) []byte {
	kept.Lock()
	defer kept.Unlock()
	last := len(kept.of[n]) - 1
	if last < 0 {
		return nil
	}
	b := kept.of[n][last]
	kept.of[n][last] = nil // or it would hold on to b
	kept.of[n] = kept.of[n][:last]
	kept.bytes -= n
	return b
}

func discard([]byte) {}

func populate([]byte) {}

func release(b []byte) error {
	kept.Lock()
	defer kept.Unlock()
	n := len(b)
	if n < leastKept || kept.bytes+n > keptMost {
		return nil
	}
	// It has pages of its own, as the heap's large pieces have, and no pointers: the kernel
	// may take them, and gives zeros when they are touched again.
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		return os.NewSyscallError("madvise", err)
	}
	if kept.of == nil {
		kept.of = make(map[int][][]byte)
	}
	kept.of[n] = append(kept.of[n], b)
	kept.bytes += n
	return nil
}
