//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"fmt"
	"runtime/debug"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
)

// mapping is memory that the kernel shares with a file.
type mapping struct {
	name string
	// off is where in the file it starts.
	off   int64
	data  []byte
	users users
}

func (m *mapping) Len() int { return len(m.data) }

func (m *mapping) Write(p []byte, off int) (err error) {
	if err := m.enter("write-map", off, len(p)); err != nil {
		return err
	}
	defer m.leave("write-map", debug.SetPanicOnFault(true), &err)
	copy(m.data[off:], p)
	return nil
}

func (m *mapping) View(off, n int, f func(b []byte) error) (err error) {
	if err := m.enter("read-map", off, n); err != nil {
		return err
	}
	defer m.leave("read-map", debug.SetPanicOnFault(true), &err)
	return f(m.data[off : off+n : off+n])
}

// enter begins an access of [off, off+n), to be matched by a deferred leave.
func (m *mapping) enter(op string, off, n int) error {
	if off < 0 || n < 0 || off > len(m.data)-n {
		return NewError(op, m.name, m.off, fmt.Errorf("%w: %d bytes from %d are not in a mapping of %d", engine.ErrInvalid, n, off, len(m.data)))
	}
	if !m.users.enter() {
		return NewError(op, m.name, m.off+int64(off), engine.ErrClosed)
	}
	return nil
}

// leave ends an access. It is deferred itself, so that it may recover: a fault in
// the mapping becomes *err, every other panic goes on.
func (m *mapping) leave(op string, panicOnFault bool, err *error) {
	debug.SetPanicOnFault(panicOnFault)
	fault := recover()
	if m.users.leave() {
		unmap(m.data)
	}
	if fault == nil {
		return
	}
	// The runtime's error for a fault has this method.
	addressed, ok := fault.(interface {
		error
		Addr() uintptr
	})
	if !ok {
		panic(fault)
	}
	at := addressed.Addr() - addressOf(m.data)
	if at >= uintptr(len(m.data)) {
		panic(fault)
	}
	*err = NewError(op, m.name, m.off+int64(at), fmt.Errorf("%w: fault under the mapping", syscall.EIO))
}

func (m *mapping) Close() error {
	wasOpen, release := m.users.close()
	if !wasOpen {
		return NewError("unmap", m.name, m.off, engine.ErrClosed)
	}
	if release {
		return NewError("unmap", m.name, m.off, unmap(m.data))
	}
	return nil
}
