package simdisk

import (
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// fileSystem is the type that Usage and Capabilities name.
const fileSystem = "simdisk"

// directAlignment is what direct handles ask for.
var directAlignment = vfs.Alignment{Memory: sectorSize, Offset: sectorSize}

// on makes the call of a method with a name, and runs it under the lock.
func (d *Disk) on(op Op, name string, run func(s *state, c *call, path string) error) error {
	path := clean(name)
	c := call{op: op, path: name, device: d.s.deviceOf(path), epoch: -1}
	err := d.begin(&c)
	if err == nil {
		defer d.s.mu.Unlock()
		err = run(d.s, &c, path)
	}
	return c.fail(-1, err)
}

// onTwo is on for two names.
func (d *Disk) onTwo(op Op, from, to string, run func(s *state, from, to string) error) error {
	a, b := clean(from), clean(to)
	c := call{op: op, path: from + " to " + to, device: d.s.deviceOf(b), epoch: -1}
	err := d.begin(&c)
	if err == nil {
		defer d.s.mu.Unlock()
		if err = d.s.reach(&call{device: d.s.deviceOf(a), epoch: -1}); err == nil {
			err = run(d.s, a, b)
		}
	}
	return c.fail(-1, err)
}

// Open opens a regular file or a raw device.
func (d *Disk) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	var f *file
	err := d.on(OpOpen, name, func(s *state, _ *call, path string) error {
		switch {
		case flags&vfs.ReadOnly != 0 && flags&(vfs.Create|vfs.Truncate) != 0:
			return fmt.Errorf("%w: ReadOnly excludes Create and Truncate", engine.ErrInvalid)
		case flags&vfs.Exclusive != 0 && flags&vfs.Create == 0:
			return fmt.Errorf("%w: Exclusive needs Create", engine.ErrInvalid)
		}
		id, err := s.openInode(path, name, flags)
		if err != nil {
			return err
		}
		n := s.im.inodes[id]
		s.open(id, 1)
		f = &file{
			disk: d, id: id, name: name, device: n.device, epoch: s.devices[n.device].epoch,
			align: vfs.Alignment{Memory: 1, Offset: 1}, raw: n.kind == vfs.BlockDevice,
			readOnly: flags&vfs.ReadOnly != 0, syncWrites: flags&vfs.SyncWrites != 0,
		}
		if flags&vfs.Direct != 0 {
			f.align = directAlignment
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openInode finds or makes what Open opens.
func (s *state) openInode(path, name string, flags vfs.OpenFlags) (inodeID, error) {
	id, err := s.lookup(path)
	if err == nil {
		n := s.im.inodes[id]
		switch {
		case n.kind == vfs.Directory:
			return 0, fmt.Errorf("%w: neither a regular file nor a block device", engine.ErrInvalid)
		case flags&vfs.Exclusive != 0:
			return 0, syscall.EEXIST
		case flags&vfs.Truncate != 0 && n.kind == vfs.RegularFile && n.length > 0:
			s.resize(id, name, 0)
		}
		return id, nil
	}
	if err != syscall.ENOENT || flags&vfs.Create == 0 {
		return 0, err
	}
	dir, last, _, err := s.parent(path)
	if err != nil {
		return 0, err
	}
	return s.create(EventCreate, dir, last, name), nil
}

// create makes a file or directory with a name that is free.
func (s *state) create(kind EventKind, dir inodeID, last, name string) inodeID {
	id := inodeID(len(s.im.inodes))
	e := event{Event: Event{Kind: kind, Path: name}, inode: dir, name: last, child: id, device: s.im.inodes[dir].device}
	if kind == EventMkdir {
		e.kind = vfs.Directory
	}
	s.do(e)
	s.link(id, 1)
	return id
}

// resize sets the length of a file.
func (s *state) resize(id inodeID, name string, length int64) {
	s.do(event{
		Event: Event{Kind: EventLength, Path: name, Length: length}, inode: id,
		resized: true, before: s.im.inodes[id].length, after: length,
	})
}

// Rename gives a file or directory another name on its device.
func (d *Disk) Rename(from, to string) error {
	return d.onTwo(OpRename, from, to, func(s *state, a, b string) error {
		dir, name, id, err := s.parent(a)
		if err != nil {
			return err
		}
		if id == 0 {
			return syscall.ENOENT
		}
		dir2, name2, old, err := s.parent(b)
		if err != nil {
			return err
		}
		n := s.im.inodes[id]
		switch {
		case s.holdsMount(a) || s.holdsMount(b):
			return fmt.Errorf("%w: a device is mounted there", syscall.EBUSY)
		case s.im.inodes[dir2].device != n.device:
			return syscall.EXDEV
		case old == id:
			return nil
		case n.kind == vfs.Directory && strings.HasPrefix(b, a+"/"):
			return syscall.EINVAL
		case old != 0 && s.im.inodes[old].kind == vfs.Directory:
			return syscall.EEXIST
		case old != 0 && n.kind == vfs.Directory:
			return syscall.ENOTDIR
		}
		s.do(event{
			Event: Event{Kind: EventRename, Path: from, Label: to}, inode: dir, name: name,
			child: id, dir2: dir2, name2: name2,
		})
		if old != 0 {
			s.link(old, -1)
		}
		return nil
	})
}

// holdsMount reports whether a device is mounted at a path or below it.
func (s *state) holdsMount(path string) bool {
	for i := range s.devices {
		root := s.devices[i].Path
		if root == path || strings.HasPrefix(root, path+"/") {
			return true
		}
	}
	return false
}

// Link gives a file a second name on its device.
func (d *Disk) Link(from, to string) error {
	return d.onTwo(OpLink, from, to, func(s *state, a, b string) error {
		id, err := s.lookup(a)
		if err != nil {
			return err
		}
		dir, name, old, err := s.parent(b)
		switch {
		case err != nil:
			return err
		case old != 0:
			return syscall.EEXIST
		case s.im.inodes[id].kind != vfs.RegularFile:
			return fmt.Errorf("%w: no hard link of this: %w", engine.ErrUnsupported, syscall.EPERM)
		case s.im.inodes[dir].device != s.im.inodes[id].device:
			return syscall.EXDEV
		}
		s.do(event{Event: Event{Kind: EventLink, Path: from, Label: to}, inode: dir, name: name, child: id})
		s.link(id, 1)
		return nil
	})
}

// Clone makes a new file of the content of another on its device. It takes space
// of its own.
func (d *Disk) Clone(from, to string) error {
	return d.onTwo(OpClone, from, to, func(s *state, a, b string) error {
		id, err := s.lookup(a)
		if err != nil {
			return err
		}
		dir, name, old, err := s.parent(b)
		n := s.im.inodes[id]
		switch {
		case err != nil:
			return err
		case old != 0:
			return syscall.EEXIST
		case n.kind != vfs.RegularFile:
			return fmt.Errorf("%w: not a regular file", engine.ErrInvalid)
		case s.im.inodes[dir].device != n.device:
			return syscall.EXDEV
		case s.room(n.device) < n.allocated:
			return syscall.ENOSPC
		}
		copied := s.create(EventCreate, dir, name, to)
		if n.length > 0 {
			s.resize(copied, to, n.length)
		}
		for i, l := range n.leaves {
			if l == nil {
				continue
			}
			for j, p := range l.pages {
				off := int64(i)*leafBytes + int64(j)*pageSize
				if p == nil || off >= n.length {
					continue
				}
				data := append([]byte(nil), p.data[:min(pageSize, n.length-off)]...)
				s.do(event{Event: Event{Kind: EventWrite, Path: to, Offset: off, Length: int64(len(data)), Label: "clone"}, inode: copied, data: data})
			}
		}
		return nil
	})
}

// Remove removes a file or an empty directory.
func (d *Disk) Remove(name string) error {
	return d.on(OpRemove, name, func(s *state, _ *call, path string) error {
		dir, last, id, err := s.parent(path)
		switch {
		case err != nil:
			return err
		case id == 0:
			return syscall.ENOENT
		case s.im.inodes[id].mount:
			return fmt.Errorf("%w: the root of a device", syscall.EBUSY)
		case len(s.im.inodes[id].entries) > 0:
			return syscall.ENOTEMPTY
		}
		s.do(event{Event: Event{Kind: EventRemove, Path: name}, inode: dir, name: last})
		s.link(id, -1)
		return nil
	})
}

// MkdirAll makes a directory and the parents that are missing.
func (d *Disk) MkdirAll(dir string) error {
	return d.on(OpMkdirAll, dir, func(s *state, _ *call, path string) error {
		id := rootID
		for at := 1; at < len(path); {
			end := len(path)
			if i := strings.IndexByte(path[at:], '/'); i >= 0 {
				end = at + i
			}
			n := s.im.inodes[id]
			if n.kind != vfs.Directory {
				return syscall.ENOTDIR
			}
			child := n.lookup(path[at:end])
			if child == 0 {
				child = s.create(EventMkdir, id, path[at:end], path[:end])
			}
			id, at = child, end+1
		}
		if s.im.inodes[id].kind != vfs.Directory {
			return syscall.ENOTDIR
		}
		return nil
	})
}

// directory returns the inode of a directory.
func (s *state) directory(path string) (inodeID, error) {
	id, err := s.lookup(path)
	if err == nil && s.im.inodes[id].kind != vfs.Directory {
		err = syscall.ENOTDIR
	}
	return id, err
}

// List returns the names in a directory in ascending order.
func (d *Disk) List(dir string) (names []string, err error) {
	err = d.on(OpList, dir, func(s *state, _ *call, path string) error {
		id, err := s.directory(path)
		if err != nil {
			return err
		}
		for _, e := range s.im.inodes[id].entries {
			names = append(names, e.name)
		}
		return nil
	})
	return names, err
}

// Stat tells what a name stands for.
func (d *Disk) Stat(name string) (info vfs.Info, err error) {
	err = d.on(OpStat, name, func(s *state, _ *call, path string) error {
		id, err := s.lookup(path)
		if err != nil {
			return err
		}
		n := s.im.inodes[id]
		info.Kind = n.kind
		if n.kind != vfs.Directory {
			info.Size = n.length
		}
		if n.kind == vfs.RegularFile {
			info.Allocated = n.allocated * pageSize
		}
		return nil
	})
	return info, err
}

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(dir string) error {
	return d.on(OpSyncDir, dir, func(s *state, c *call, path string) error {
		id, err := s.directory(path)
		if err != nil {
			return err
		}
		return s.flush(c, event{Event: Event{Kind: EventSyncDir, Path: dir}, inode: id})
	})
}

// flush records a flush that came to its end.
func (s *state) flush(c *call, e event) error {
	var err error
	switch {
	case c.effect(FailedFlush):
		c.fault.fire(c.op, c.path)
		e.outcome, e.Err = forgotten, "failed"
		err = syscall.EIO
	case c.lied:
		e.outcome, e.Err = undone, "ignored"
	}
	s.record(e)
	return err
}

// lock is a lock of a directory or a raw device.
type lock struct {
	disk   *Disk
	id     inodeID
	name   string
	closed bool
}

// Lock takes an exclusive lock among the users of this disk.
func (d *Disk) Lock(name string) (io.Closer, error) {
	var l *lock
	err := d.on(OpLock, name, func(s *state, _ *call, path string) error {
		id, err := s.lookup(path)
		if err != nil {
			return err
		}
		n := s.im.inodes[id]
		if n.kind == vfs.RegularFile {
			return fmt.Errorf("%w: neither a directory nor a block device", engine.ErrInvalid)
		}
		if s.locked[id] != nil {
			return engine.ErrLocked
		}
		if n.kind == vfs.Directory && n.lookup(vfs.LockName) == 0 {
			s.create(EventCreate, id, vfs.LockName, clean(name+"/"+vfs.LockName))
		}
		if s.locked == nil {
			s.locked = make(map[inodeID]*lock)
		}
		l = &lock{disk: d, id: id, name: name}
		s.locked[id] = l
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close releases the lock.
func (l *lock) Close() error {
	s := l.disk.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case l.closed:
		return vfs.NewError("unlock", l.name, -1, engine.ErrClosed)
	case l.disk.life != s.life:
		return vfs.NewError("unlock", l.name, -1, ErrKilled)
	}
	l.closed = true
	delete(s.locked, l.id)
	return nil
}

// DiskUsage tells how full the device is that holds name.
func (d *Disk) DiskUsage(name string) (u vfs.Usage, err error) {
	err = d.on(OpDiskUsage, name, func(s *state, _ *call, path string) error {
		id, err := s.lookup(path)
		if err != nil {
			return err
		}
		n := s.im.inodes[id]
		if n.kind == vfs.BlockDevice {
			u = vfs.Usage{Total: uint64(n.length), FileSystem: "block device"}
			return nil
		}
		free := s.room(n.device)
		u = vfs.Usage{
			Total:      uint64(free+s.devices[n.device].used) * pageSize,
			Free:       uint64(free) * pageSize,
			Available:  uint64(free) * pageSize,
			FileSystem: fileSystem,
		}
		return nil
	})
	return u, err
}

// Capabilities tells what there is: everything. It makes no files.
func (d *Disk) Capabilities(dir string) (able vfs.Capabilities, err error) {
	err = d.on(OpCapabilities, dir, func(s *state, _ *call, path string) error {
		if _, err := s.directory(path); err != nil {
			return err
		}
		able = vfs.Capabilities{
			FileSystem: fileSystem, Direct: true, Alignment: directAlignment,
			DSync: true, Preallocate: true, Punch: true, Map: true, Link: true, Clone: true, Directories: true,
		}
		return nil
	})
	return able, err
}

// NewQueue returns a queue of Method Pool; there is no other.
func (d *Disk) NewQueue(o vfs.QueueOptions) (vfs.Queue, error) {
	if o.Method != vfs.Pool {
		return nil, fmt.Errorf("new queue: %w: %v on a simulated disk", engine.ErrUnsupported, o.Method)
	}
	return vfs.NewPool(o.Depth)
}
