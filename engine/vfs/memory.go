package vfs

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// Memory is zeroed memory outside the garbage collected heap, for caches that are
// large and hold no pointers. The operating system gives it as it is touched; to
// reserve much of it costs nothing.
type Memory struct{ data []byte }

// ReserveMemory reserves n bytes. With huge, the operating system is asked to use
// large pages, which are taken whole.
func ReserveMemory(n int, huge bool) (*Memory, error) {
	data, err := reserve(n, huge)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes of memory: %w: %w", n, engine.ErrNoSpace, err)
	}
	return &Memory{data}, nil
}

// Bytes returns the memory, good until Release.
func (m *Memory) Bytes() []byte { return m.data }

// Discard gives back what was taken of [off, off+n), which may read as zeros or as
// before.
func (m *Memory) Discard(off, n int) { discard(m.data[off : off+n]) }

// Populate takes [off, off+n) from the operating system before it is touched, so
// that who touches it need not wait. Where that cannot be done, nothing happens.
func (m *Memory) Populate(off, n int) { populate(m.data[off : off+n]) }

// Release ends the memory; touching it afterwards faults.
func (m *Memory) Release() error {
	data := m.data
	m.data = nil
	return release(data)
}
