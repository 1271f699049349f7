//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	fileMode      = 0o600
	directoryMode = 0o700

	// blockUnit is what stat counts allocated space in, on every system.
	blockUnit = 512
)

// OS returns the file system of the operating system. Linux has everything of
// this package; other systems have neither direct I/O, DSync, Preallocate, Punch,
// Map, Clone nor io_uring, and say ErrUnsupported. New files and directories are
// the user's alone (modes 0600 and 0700).
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Open(name string, flags OpenFlags) (File, error) {
	f, err := open(name, flags)
	if err != nil {
		return nil, NewError("open", name, -1, err)
	}
	return f, nil
}

func open(name string, flags OpenFlags) (*osFile, error) {
	mode, err := openMode(flags)
	if err != nil {
		return nil, err
	}
	// Without O_NONBLOCK, opening a pipe by mistake would wait for its other end.
	var fd int
	err = untilDone(func() error {
		fd, err = unix.Open(name, mode|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, fileMode)
		return err
	})
	if err != nil {
		if flags&Direct != 0 && errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("%w: no direct I/O on this file system: %w", engine.ErrUnsupported, err)
		}
		return nil, err
	}
	f := &osFile{
		fd:         fd,
		name:       name,
		align:      unaligned,
		readOnly:   flags&ReadOnly != 0,
		syncWrites: flags&SyncWrites != 0,
	}
	if err := f.identify(flags); err != nil {
		closeDescriptor(fd)
		return nil, err
	}
	return f, nil
}

// identify finds out what was opened, and refuses what is no File.
func (f *osFile) identify(flags OpenFlags) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFBLK:
		f.device = true
	default:
		return fmt.Errorf("%w: neither a regular file nor a block device", engine.ErrInvalid)
	}
	// io_uring would take it to mean that a read may fail for not being cached.
	if err := unix.SetNonblock(f.fd, false); err != nil {
		return err
	}
	if flags&Direct != 0 {
		a, err := directAlignment(f.fd, f.device)
		if err != nil {
			return err
		}
		f.align = a
	}
	return nil
}

// openMode translates flags for open(2).
func openMode(flags OpenFlags) (int, error) {
	if flags&ReadOnly != 0 && flags&(Create|Truncate) != 0 {
		return 0, fmt.Errorf("%w: ReadOnly excludes Create and Truncate", engine.ErrInvalid)
	}
	if flags&Exclusive != 0 && flags&Create == 0 {
		return 0, fmt.Errorf("%w: Exclusive needs Create", engine.ErrInvalid)
	}
	mode := unix.O_RDWR
	if flags&ReadOnly != 0 {
		mode = unix.O_RDONLY
	}
	for _, f := range []struct {
		flag OpenFlags
		bits int
	}{
		{Create, unix.O_CREAT}, {Exclusive, unix.O_EXCL}, {Truncate, unix.O_TRUNC},
		{Direct, openDirect}, {SyncWrites, openDSync},
	} {
		if flags&f.flag == 0 {
			continue
		}
		if f.bits == 0 {
			return 0, fmt.Errorf("%w on this platform: direct I/O and synchronous writes", engine.ErrUnsupported)
		}
		mode |= f.bits
	}
	return mode, nil
}

func (osFS) Rename(from, to string) error {
	return NewError("rename", from+" to "+to, -1, os.Rename(from, to))
}

func (osFS) Link(from, to string) error {
	err := os.Link(from, to)
	// EPERM is the kernel's word for a file system without hard links.
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: no hard link of this file: %w", engine.ErrUnsupported, unix.EPERM)
	}
	return NewError("link", from+" to "+to, -1, err)
}

func (osFS) Clone(from, to string) error {
	return NewError("clone", from+" to "+to, -1, cloneFile(from, to))
}

// cloneFile leaves nothing behind where it fails.
func cloneFile(from, to string) error {
	src, err := open(from, ReadOnly)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := open(to, Create|Exclusive)
	if err != nil {
		return err
	}
	err = untilDone(func() error { return cloneContent(dst.fd, src.fd) })
	if closed := dst.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(to)
	}
	return err
}

func (osFS) Remove(name string) error {
	return NewError("remove", name, -1, os.Remove(name))
}

func (osFS) MkdirAll(dir string) error {
	return NewError("mkdir", dir, -1, os.MkdirAll(dir, directoryMode))
}

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, NewError("list", dir, -1, err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Stat(name string) (Info, error) {
	info, err := stat(name)
	return info, NewError("stat", name, -1, err)
}

func stat(name string) (Info, error) {
	st, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	switch mode := st.Mode(); {
	case mode.IsRegular():
		return Info{Kind: RegularFile, Size: st.Size(), Allocated: st.Sys().(*syscall.Stat_t).Blocks * blockUnit}, nil
	case mode.IsDir():
		return Info{Kind: Directory}, nil
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		f, err := open(name, ReadOnly)
		if err != nil {
			return Info{}, err
		}
		defer f.Close()
		size, err := deviceSize(f.fd)
		return Info{Kind: BlockDevice, Size: size}, err
	}
	return Info{Kind: OtherKind}, nil
}

func (osFS) SyncDir(dir string) error {
	return NewError("sync-dir", dir, -1, syncDir(dir))
}

func syncDir(dir string) error {
	var fd int
	err := untilDone(func() (err error) {
		fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return err
	}
	err = fullSync(fd)
	if closed := closeDescriptor(fd); err == nil {
		err = closed
	}
	return err
}

func (osFS) DiskUsage(name string) (Usage, error) {
	u, err := diskUsage(name)
	return u, NewError("disk-usage", name, -1, err)
}

// diskUsage counts a device as full: of itself.
func diskUsage(name string) (Usage, error) {
	info, err := stat(name)
	if err != nil {
		return Usage{}, err
	}
	if info.Kind == BlockDevice {
		return Usage{Total: uint64(info.Size), FileSystem: "block device"}, nil
	}
	return usage(name)
}

func (osFS) Capabilities(dir string) (Capabilities, error) {
	c, err := probe(dir)
	return c, NewError("probe", dir, -1, err)
}

// probe does each thing to files in a directory of its own, so that what a crash
// leaves behind has one name, and clears that away when it ends.
func probe(dir string) (c Capabilities, err error) {
	u, err := diskUsage(dir)
	if err != nil {
		return c, err
	}
	c.FileSystem, c.Directories = u.FileSystem, true
	dir, err = os.MkdirTemp(dir, "vfs-probe-*.tmp")
	if err != nil {
		return c, err
	}
	defer func() {
		if removed := os.RemoveAll(dir); err == nil {
			err = removed
		}
	}()
	name := filepath.Join(dir, "a")
	f, err := open(name, Create|Exclusive)
	if err != nil {
		return c, err
	}
	defer f.Close()
	// Whole written blocks are what the reading probe of the alignment needs.
	block := make([]byte, safeAlignment)
	if _, err := f.WriteAt(block, 0, Plain); err != nil {
		return c, err
	}
	for _, try := range []struct {
		able *bool
		do   func() error
	}{
		{&c.Direct, func() error {
			direct, err := open(name, Direct)
			if err != nil {
				return err
			}
			c.Alignment = direct.align
			return direct.Close()
		}},
		{&c.DSync, func() error {
			_, err := f.WriteAt(block, 0, DSync)
			return err
		}},
		{&c.Map, func() error {
			m, err := f.Map(0, len(block))
			if err != nil {
				return err
			}
			return m.Close()
		}},
		{&c.Preallocate, func() error { return f.Preallocate(0, 2*safeAlignment) }},
		{&c.Punch, func() error { return f.Punch(0, safeAlignment) }},
		{&c.Link, func() error { return osFS{}.Link(name, filepath.Join(dir, "link")) }},
		{&c.Clone, func() error { return osFS{}.Clone(name, filepath.Join(dir, "clone")) }},
	} {
		err := try.do()
		if err != nil && !errors.Is(err, engine.ErrUnsupported) {
			return c, err
		}
		*try.able = err == nil
	}
	return c, nil
}

func (osFS) Lock(name string) (io.Closer, error) {
	l, err := lock(name)
	if err != nil {
		return nil, NewError("lock", name, -1, err)
	}
	return l, nil
}

func (osFS) NewQueue(o QueueOptions) (Queue, error) {
	switch o.Method {
	case Pool:
		return NewPool(o.Depth)
	case IOUring:
		return newRing(o.Depth)
	}
	return nil, fmt.Errorf("%w: queue method %d", engine.ErrInvalid, o.Method)
}
