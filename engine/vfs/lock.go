//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"fmt"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

// dirLock holds a lock by an open descriptor, so that the kernel releases it
// with the process. flock belongs to the open file and not, as fcntl locks do,
// to the process, so that it keeps out a second opener in the same one.
type dirLock struct {
	fd     int
	name   string
	closed atomic.Bool
}

func lock(name string) (*dirLock, error) {
	info, err := stat(name)
	if err != nil {
		return nil, err
	}
	path, mode := filepath.Join(name, LockName), unix.O_RDWR|unix.O_CREAT
	switch info.Kind {
	case Directory:
	case BlockDevice:
		path, mode = name, unix.O_RDONLY|exclusiveDevice
	default:
		return nil, fmt.Errorf("%w: neither a directory nor a block device", engine.ErrInvalid)
	}
	l := &dirLock{name: name}
	err = untilDone(func() (err error) {
		l.fd, err = unix.Open(path, mode|unix.O_CLOEXEC, fileMode)
		return err
	})
	if err == unix.EBUSY {
		return nil, fmt.Errorf("%w: %w", engine.ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	err = untilDone(func() error { return unix.Flock(l.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err != nil {
		closeDescriptor(l.fd)
		if err == unix.EWOULDBLOCK {
			err = fmt.Errorf("%w: %w", engine.ErrLocked, err)
		}
		return nil, err
	}
	return l, nil
}

// Close releases the lock. It unlocks before it closes, because a child that is
// just being started may hold a copy of the descriptor for a moment.
func (l *dirLock) Close() error {
	if l.closed.Swap(true) {
		return NewError("unlock", l.name, -1, engine.ErrClosed)
	}
	err := unix.Flock(l.fd, unix.LOCK_UN)
	if closed := closeDescriptor(l.fd); err == nil {
		err = closed
	}
	return NewError("unlock", l.name, -1, err)
}
