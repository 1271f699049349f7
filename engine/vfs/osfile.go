//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

// maxTransfer bounds one system call; darwin refuses 2 GiB and more.
const maxTransfer = 1 << 30

const (
	opRead  = "read"
	opWrite = "write"
)

var errOpenedReadOnly = fmt.Errorf("%w: opened for reading only", engine.ErrInvalid)

// osFile is a file descriptor. It is not an os.File, whose loop over short reads
// misaligns the rest of a direct one.
type osFile struct {
	fd       int
	name     string
	align    Alignment
	readOnly bool
	device   bool
	// syncWrites: the descriptor has O_DSYNC.
	syncWrites bool
	users      users
}

func (f *osFile) Name() string { return f.name }

func (f *osFile) Alignment() Alignment { return f.align }

// enter begins an operation: nil, to be matched by leave, or ErrClosed.
func (f *osFile) enter(op string) error {
	if !f.users.enter() {
		return NewError(op, f.name, -1, engine.ErrClosed)
	}
	return nil
}

func (f *osFile) leave() {
	if f.users.leave() {
		closeDescriptor(f.fd)
	}
}

// checkTransfer refuses what the kernel would refuse less clearly, or would take
// here and refuse elsewhere.
func (f *osFile) checkTransfer(op string, p []byte, off int64) error {
	if off < 0 {
		return NewError(op, f.name, off, fmt.Errorf("%w: negative offset", engine.ErrInvalid))
	}
	if op == opWrite && f.readOnly {
		return NewError(op, f.name, off, errOpenedReadOnly)
	}
	return NewError(op, f.name, off, f.align.Check(p, off))
}

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter(opRead); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.checkTransfer(opRead, p, off); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		m, err := unix.Pread(f.fd, p[n:min(len(p), n+maxTransfer)], off+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, NewError(opRead, f.name, off+int64(n), err)
		}
		n += m
		if m == 0 || f.endsAt(m) {
			break
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// endsAt reports whether a read of n bytes tells that the file ends there: a
// direct read stops inside a block only at the end, and going on from there
// would be misaligned.
func (f *osFile) endsAt(n int) bool { return n&(f.align.Offset-1) != 0 }

func (f *osFile) WriteAt(p []byte, off int64, flags WriteFlags) (int, error) {
	if err := f.enter(opWrite); err != nil {
		return 0, err
	}
	defer f.leave()
	if err := f.checkTransfer(opWrite, p, off); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		rest := p[n:min(len(p), n+maxTransfer)]
		var m int
		var err error
		if flags&DSync == 0 || f.syncWrites {
			m, err = unix.Pwrite(f.fd, rest, off+int64(n))
		} else {
			m, err = pwriteDSync(f.fd, rest, off+int64(n))
		}
		if err == unix.EINTR && flags&DSync == 0 && !f.syncWrites {
			continue
		}
		if err == nil && (m == 0 || f.endsAt(m)) {
			err = io.ErrShortWrite
		}
		n += max(m, 0)
		if err != nil {
			return n, NewError(opWrite, f.name, off+int64(n), err)
		}
	}
	return n, nil
}

func (f *osFile) Sync() error {
	return f.do("sync", -1, func() error { return fullSync(f.fd) })
}

func (f *osFile) SyncData() error {
	return f.do("sync-data", -1, func() error { return dataSync(f.fd) })
}

func (f *osFile) Writeback(off, n int64) error {
	return f.change("writeback", off, n, func() error {
		if n == 0 { // which means all of the file there
			return nil
		}
		return untilDone(func() error { return beginWriteback(f.fd, off, n) })
	})
}

func (f *osFile) Preallocate(off, n int64) error {
	return f.change("preallocate", off, n, func() error {
		if f.device {
			return fmt.Errorf("%w: a device has all its space", engine.ErrUnsupported)
		}
		return untilDone(func() error { return preallocate(f.fd, off, n) })
	})
}

func (f *osFile) Punch(off, n int64) error {
	return f.change("punch", off, n, func() error {
		return untilDone(func() error { return punch(f.fd, off, n) })
	})
}

func (f *osFile) Truncate(size int64) error {
	return f.change("truncate", size, 0, func() error {
		if f.device {
			return fmt.Errorf("%w: a device has a fixed length", engine.ErrUnsupported)
		}
		return untilDone(func() error { return unix.Ftruncate(f.fd, size) })
	})
}

func (f *osFile) Size() (size int64, err error) {
	err = f.do("size", -1, func() error {
		size, err = f.length()
		return err
	})
	return size, err
}

// length is Size inside an operation.
func (f *osFile) length() (int64, error) {
	if f.device {
		return deviceSize(f.fd)
	}
	var st unix.Stat_t
	err := unix.Fstat(f.fd, &st)
	return st.Size, err
}

func (f *osFile) Map(off int64, n int) (m Mapping, err error) {
	err = f.change("map", off, int64(n), func() error {
		size, err := f.length()
		if err != nil {
			return err
		}
		if n == 0 || off > size-int64(n) {
			return fmt.Errorf("%w: %d bytes are not in a file of %d", engine.ErrInvalid, n, size)
		}
		data, err := mapShared(f.fd, off, n)
		if err != nil {
			return err
		}
		m = &mapping{name: f.name, off: off, data: data}
		return nil
	})
	return m, err
}

func (f *osFile) Close() error {
	wasOpen, release := f.users.close()
	if !wasOpen {
		return NewError("close", f.name, -1, engine.ErrClosed)
	}
	if release {
		return NewError("close", f.name, -1, closeDescriptor(f.fd))
	}
	return nil
}

// do runs one operation that is not a transfer.
func (f *osFile) do(op string, off int64, run func() error) error {
	if err := f.enter(op); err != nil {
		return err
	}
	defer f.leave()
	return NewError(op, f.name, off, run())
}

// change runs an operation that needs a writable handle, on [off, off+n).
func (f *osFile) change(op string, off, n int64, run func() error) error {
	return f.do(op, off, func() error {
		if f.readOnly {
			return errOpenedReadOnly
		}
		if off < 0 || n < 0 || off+n < off {
			return fmt.Errorf("%w: no range: %d bytes from %d", engine.ErrInvalid, n, off)
		}
		return run()
	})
}

// untilDone repeats a system call that a signal interrupted before it did
// anything. It is not for flushes; see the package comment.
func untilDone(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// closeDescriptor closes fd. After EINTR the descriptor is gone all the same on
// the systems supported here, and may already be another's.
func closeDescriptor(fd int) error {
	if err := unix.Close(fd); !errors.Is(err, unix.EINTR) {
		return err
	}
	return nil
}
