package blockfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// fileSystem is the type that Usage and Capabilities name.
const fileSystem = "blockfs"

// FS has files on block devices, below their names, and all else as the FS below it has it.
// It must be closed.
type FS struct {
	vfs.FS
	paths []*path
}

var _ vfs.FS = (*FS)(nil)

// path is a name that may be a device's.
type path struct {
	name string

	// mu guards the following, also while the device is looked at.
	mu sync.Mutex
	// mount is nil while nobody has asked for the device. directory: it is none.
	mount     *mount
	directory bool
}

// New returns base with files on those of the paths that are block devices of base. A path
// may become one, or be away for a time. Nothing is read yet.
func New(base vfs.FS, paths ...string) *FS {
	fs := &FS{FS: base}
	for _, name := range paths {
		fs.paths = append(fs.paths, &path{name: filepath.Clean(name)})
	}
	return fs
}

// Below returns the FS that has the devices.
func (fs *FS) Below() vfs.FS { return fs.FS }

// Close gives up the devices. What was not made durable is lost, as with a loss of power;
// files that are open are ErrClosed. It does not wait for calls under way. The FS may go on
// being used, and takes the devices again.
func (fs *FS) Close() error {
	var errs []error
	for _, p := range fs.paths {
		p.mu.Lock()
		if p.mount != nil {
			errs = append(errs, p.mount.close())
			p.mount = nil
		}
		p.mu.Unlock()
	}
	return errors.Join(errs...)
}

// get returns the mount of a path, nil if it is no block device.
func (p *path) get(base vfs.FS) (*mount, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current(base)
}

// current is get with mu held.
func (p *path) current(base vfs.FS) (*mount, error) {
	if p.mount != nil || p.directory {
		return p.mount, nil
	}
	info, err := base.Stat(p.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil || info.Kind != vfs.BlockDevice {
		p.directory = err == nil && info.Kind == vfs.Directory
		return nil, nil // base has to say what is wrong
	}
	p.mount, err = open(base, p.name)
	if err != nil {
		p.mount = nil
	}
	return p.mount, err
}

// find returns the mount that a name lies in, and its name there, "" for the device itself;
// nil if it is for base.
func (fs *FS) find(name string) (m *mount, in string, err error) {
	clean := filepath.Clean(name)
	for _, p := range fs.paths {
		rest, below := strings.CutPrefix(clean, p.name)
		if !below || rest != "" && rest[0] != filepath.Separator {
			continue
		}
		m, err := p.get(fs.FS)
		return m, strings.TrimPrefix(rest, string(filepath.Separator)), err
	}
	return nil, "", nil
}

// on runs a call with a name on a device, if that is where it lies; done says so.
func (fs *FS) on(op, name string, run func(m *mount, in string) error) (done bool, err error) {
	m, in, err := fs.find(name)
	if m == nil && err == nil {
		return false, nil
	}
	if err == nil {
		err = run(m, in)
	}
	return true, vfs.NewError(op, name, -1, err)
}

// lookup returns a file. Under mu.
func (m *mount) lookup(in string) (*inode, error) {
	first, _, nested := strings.Cut(in, string(filepath.Separator))
	switch n := m.files[first]; {
	case n == nil:
		return nil, syscall.ENOENT
	case nested:
		return nil, syscall.ENOTDIR
	default:
		return n, nil
	}
}

// checkName refuses what cannot be the name of a new file.
func (m *mount) checkName(in string) error {
	if dir, _, nested := strings.Cut(in, string(filepath.Separator)); nested {
		if m.files[dir] != nil {
			return syscall.ENOTDIR
		}
		return syscall.ENOENT
	}
	if !validName(in) {
		return fmt.Errorf("%w: %q is no name of a file", engine.ErrInvalid, in)
	}
	return nil
}

// Open opens a file.
func (fs *FS) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	var f *file
	done, err := fs.on("open", name, func(m *mount, in string) (err error) {
		switch {
		case flags&vfs.ReadOnly != 0 && flags&(vfs.Create|vfs.Truncate) != 0:
			return fmt.Errorf("%w: ReadOnly excludes Create and Truncate", engine.ErrInvalid)
		case flags&vfs.Exclusive != 0 && flags&vfs.Create == 0:
			return fmt.Errorf("%w: Exclusive needs Create", engine.ErrInvalid)
		case in == "":
			return fmt.Errorf("%w: the device has files, and is not one", engine.ErrInvalid)
		}
		f, err = m.open(name, in, flags)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case done:
		return f, nil
	}
	return fs.FS.Open(name, flags)
}

// open opens a file by its name on the device.
func (m *mount) open(name, in string, flags vfs.OpenFlags) (*file, error) {
	f := &file{
		m: m, name: name, through: m.cached, align: vfs.Alignment{Memory: 1, Offset: 1},
		readOnly: flags&vfs.ReadOnly != 0, syncWrites: flags&vfs.SyncWrites != 0,
	}
	if flags&vfs.Direct != 0 {
		if m.direct == nil {
			return nil, m.noDirect
		}
		f.through, f.align = m.direct, m.direct.Alignment()
		if int64(f.align.Offset) > m.unit || int64(f.align.Memory) > m.unit {
			return nil, fmt.Errorf("%w: direct I/O of %d bytes, at multiples of %d in memory, on units of %d", engine.ErrUnsupported, f.align.Offset, f.align.Memory, m.unit)
		}
	}
	n, err := m.hold(in, flags)
	if err != nil {
		return nil, err
	}
	f.n = n
	if flags&vfs.Truncate != 0 {
		n.content.Lock()
		err := m.truncate(n, 0)
		n.content.Unlock()
		if err != nil {
			f.letGo()
			return nil, err
		}
	}
	return f, nil
}

// hold finds or makes a file, and counts a handle of it.
func (m *mount) hold(in string, flags vfs.OpenFlags) (*inode, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(in)
	switch {
	case err == nil && flags&vfs.Exclusive != 0:
		return nil, syscall.EEXIST
	case err == syscall.ENOENT && flags&vfs.Create != 0:
		if err := m.checkName(in); err != nil {
			return nil, err
		}
		if err := m.checkRoom(fileCost + len(in)); err != nil {
			return nil, err
		}
		n = &inode{name: in}
		m.files[in] = n
		m.weigh(n)
		m.touch(n)
	case err != nil:
		return nil, err
	}
	n.handles++
	return n, nil
}

// Rename gives a file another name on its device.
func (fs *FS) Rename(from, to string) error {
	a, inA, err := fs.find(from)
	var b *mount
	var inB string
	if err == nil {
		b, inB, err = fs.find(to)
	}
	switch {
	case err != nil:
	case a == nil && b == nil:
		return fs.FS.Rename(from, to)
	case a != b:
		err = syscall.EXDEV
	case inA == "" || inB == "":
		err = syscall.EBUSY
	default:
		err = a.rename(inA, inB)
	}
	return vfs.NewError("rename", from+" to "+to, -1, err)
}

func (m *mount) rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.lookup(from)
	if err == nil {
		err = m.checkName(to)
	}
	if err != nil || from == to {
		return err
	}
	if old := m.files[to]; old != nil {
		m.forget(old)
	}
	delete(m.files, from)
	m.files[to] = n
	n.name = to
	m.weigh(n)
	m.touch(n)
	return nil
}

// Link is ErrUnsupported on a device.
func (fs *FS) Link(from, to string) error { return fs.second("link", from, to, fs.FS.Link) }

// Clone is ErrUnsupported on a device.
func (fs *FS) Clone(from, to string) error { return fs.second("clone", from, to, fs.FS.Clone) }

func (fs *FS) second(op, from, to string, base func(from, to string) error) error {
	a, _, err := fs.find(from)
	var b *mount
	if err == nil {
		b, _, err = fs.find(to)
	}
	if err == nil && a == nil && b == nil {
		return base(from, to)
	}
	if err == nil {
		err = fmt.Errorf("%w: files on a device have a name and units of their own", engine.ErrUnsupported)
	}
	return vfs.NewError(op, from+" to "+to, -1, err)
}

// Remove removes a file.
func (fs *FS) Remove(name string) error {
	done, err := fs.on("remove", name, func(m *mount, in string) error {
		if in == "" {
			return syscall.EBUSY
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		n, err := m.lookup(in)
		if err != nil {
			return err
		}
		delete(m.files, in)
		m.forget(n)
		return nil
	})
	if done {
		return err
	}
	return fs.FS.Remove(name)
}

// MkdirAll has nothing to do for a device, and makes no directory on it.
func (fs *FS) MkdirAll(dir string) error {
	done, err := fs.on("mkdir", dir, func(m *mount, in string) error {
		if in == "" {
			return nil
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, err := m.lookup(in); err != syscall.ENOENT {
			return syscall.ENOTDIR
		}
		return fmt.Errorf("%w: there are no directories on a device", engine.ErrUnsupported)
	})
	if done {
		return err
	}
	return fs.FS.MkdirAll(dir)
}

// root runs a call for the device as a directory.
func (m *mount) root(in string, run func() error) error {
	if in == "" {
		return run()
	}
	m.mu.Lock()
	_, err := m.lookup(in)
	m.mu.Unlock()
	if err == nil {
		err = syscall.ENOTDIR
	}
	return err
}

// List returns the names of the files on a device.
func (fs *FS) List(dir string) (names []string, err error) {
	done, err := fs.on("list", dir, func(m *mount, in string) error {
		return m.root(in, func() error {
			m.mu.Lock()
			defer m.mu.Unlock()
			for name := range m.files {
				names = append(names, name)
			}
			slices.Sort(names)
			return nil
		})
	})
	if done {
		return names, err
	}
	return fs.FS.List(dir)
}

// Stat tells what a name stands for: a device stays one.
func (fs *FS) Stat(name string) (info vfs.Info, err error) {
	device := false
	done, err := fs.on("stat", name, func(m *mount, in string) error {
		if device = in == ""; device {
			return nil
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		n, err := m.lookup(in)
		if err != nil {
			return err
		}
		info = vfs.Info{Kind: vfs.RegularFile, Size: n.size}
		for _, e := range n.extents {
			info.Allocated += e.count * m.unit
		}
		return nil
	})
	if done && !device {
		return info, err
	}
	return fs.FS.Stat(name)
}

// SyncDir makes the names and lengths on a device durable.
func (fs *FS) SyncDir(dir string) error {
	done, err := fs.on("sync-dir", dir, func(m *mount, in string) error {
		return m.root(in, func() error {
			m.mu.Lock()
			change, durable, failed := m.change, m.durable, m.failed
			m.mu.Unlock()
			if failed != nil || change <= durable {
				return failed
			}
			return m.commit(change)
		})
	})
	if done {
		return err
	}
	return fs.FS.SyncDir(dir)
}

// Lock takes an exclusive lock of a device, as the FS below does, and begins with what the
// device has if a flush failed, or if it was away or has changed: files that are open from
// before are then ErrClosed.
func (fs *FS) Lock(name string) (io.Closer, error) {
	if done, err := fs.on("lock", name, func(m *mount, in string) error {
		return m.root(in, func() error { return nil })
	}); done && err != nil {
		return nil, err
	}
	l, err := fs.FS.Lock(name)
	if err != nil {
		return nil, err
	}
	for _, p := range fs.paths {
		if p.name != filepath.Clean(name) {
			continue
		}
		if err := p.renew(fs.FS); err != nil {
			return nil, errors.Join(vfs.NewError("lock", name, -1, err), l.Close())
		}
	}
	return l, nil
}

// renew looks at a device again, unless its mount is good.
func (p *path) renew(base vfs.FS) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.mount; m != nil && !m.intact() {
		p.mount = nil
		_ = m.close() // what it had open is given up
	}
	_, err := p.current(base)
	return err
}

// DiskUsage tells how full a device is.
func (fs *FS) DiskUsage(name string) (u vfs.Usage, err error) {
	done, err := fs.on("disk-usage", name, func(m *mount, in string) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if in != "" {
			if _, err := m.lookup(in); err != nil {
				return err
			}
		}
		free := uint64((m.space.free + m.space.heldUnits) * m.unit)
		u = vfs.Usage{Total: uint64(m.units * m.unit), Free: free, Available: free, FileSystem: fileSystem}
		return nil
	})
	if done {
		return u, err
	}
	return fs.FS.DiskUsage(name)
}

// Capabilities tells what can be done with files on a device.
func (fs *FS) Capabilities(dir string) (c vfs.Capabilities, err error) {
	done, err := fs.on("probe", dir, func(m *mount, in string) error {
		return m.root(in, func() error {
			c = vfs.Capabilities{FileSystem: fileSystem, Preallocate: true}
			if m.direct != nil {
				c.Direct, c.Alignment = true, m.direct.Alignment()
			}
			c.DSync, err = m.tryDSync()
			return err
		})
	})
	if done {
		return c, err
	}
	return fs.FS.Capabilities(dir)
}

// tryDSync finds out whether the device has writes with DSync, by one to a unit that is free.
func (m *mount) tryDSync() (bool, error) {
	runs, err := m.takeUnits(1, 0)
	if err != nil {
		return false, err
	}
	_, err = m.cached.WriteAt(zeros[:block], dataStart+runs[0].unit*m.unit, vfs.DSync)
	m.giveBack([]extent{{0, runs[0].unit, 1}})
	if errors.Is(err, engine.ErrUnsupported) {
		return false, nil
	}
	return err == nil, m.failing(err)
}

// NewQueue returns a queue of Method Pool; there is no other. A vfs.ReadRing reads files on a
// device all the same.
func (fs *FS) NewQueue(o vfs.QueueOptions) (vfs.Queue, error) {
	if o.Method != vfs.Pool {
		return nil, fmt.Errorf("new queue: %w: %v for files on a device", engine.ErrUnsupported, o.Method)
	}
	return vfs.NewPool(o.Depth)
}
