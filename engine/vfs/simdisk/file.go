package simdisk

import (
	"fmt"
	"io"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// file is an open handle.
type file struct {
	disk   *Disk
	id     inodeID
	name   string
	device int
	epoch  int
	align  vfs.Alignment

	readOnly, syncWrites, raw bool

	closed bool // under the lock
}

var errReadOnlyHandle = fmt.Errorf("%w: opened for reading only", engine.ErrInvalid)

func (f *file) Name() string { return f.name }

func (f *file) Alignment() vfs.Alignment { return f.align }

// begin starts a call; with nil the disk is locked.
func (f *file) begin(c *call) error {
	s := f.disk.s
	s.mu.Lock()
	if f.closed {
		s.mu.Unlock()
		return engine.ErrClosed
	}
	err := s.admit(f.disk, c)
	if err == nil && f.closed { // while it hung
		err = engine.ErrClosed
	}
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

// do runs one call on the inode, under the lock.
func (f *file) do(op Op, off int64, run func(s *state, c *call, n *inode) error) error {
	c := call{op: op, path: f.name, device: f.device, epoch: f.epoch}
	err := f.begin(&c)
	if err == nil {
		s := f.disk.s
		defer s.mu.Unlock()
		err = run(s, &c, s.im.inodes[f.id])
	}
	return c.fail(off, err)
}

// change is do for what needs a writable handle, on [off, off+n).
func (f *file) change(op Op, off, n int64, run func(s *state, c *call, n *inode) error) error {
	return f.do(op, off, func(s *state, c *call, i *inode) error {
		if f.readOnly {
			return errReadOnlyHandle
		}
		if off < 0 || n < 0 || off+n < off {
			return fmt.Errorf("%w: no range: %d bytes from %d", engine.ErrInvalid, n, off)
		}
		return run(s, c, i)
	})
}

// checkTransfer refuses what is misaligned, or no range.
func (f *file) checkTransfer(p []byte, off int64) error {
	if off < 0 {
		return fmt.Errorf("%w: negative offset", engine.ErrInvalid)
	}
	return f.align.Check(p, off)
}

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	c := call{op: OpRead, path: f.name, device: f.device, epoch: f.epoch}
	if err := f.begin(&c); err != nil {
		return 0, c.fail(off, err)
	}
	s := f.disk.s
	defer s.mu.Unlock()
	if err := f.checkTransfer(p, off); err != nil {
		return 0, c.fail(off, err)
	}
	from := s.source(&c, f.id, off, int64(len(p)))
	if off < from.length {
		n = int(min(int64(len(p)), from.length-off))
		from.read(p[:n], off)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// source returns what a read is to show, which the faults of reading choose.
func (s *state) source(c *call, id inodeID, off, length int64) *inode {
	n := s.im.inodes[id]
	switch {
	case c.effect(StaleRead):
		if old := s.stale(id, off, off+length); old != nil {
			c.fault.fire(c.op, c.path)
			return old
		}
		c.fault.seen-- // there was nothing to be stale; the next call counts
	case c.effect(BitRot):
		end := min(off+length, n.length)
		if off >= end {
			c.fault.seen--
			break
		}
		c.fault.fire(c.op, c.path)
		r := mix(s.options.Seed, uint64(len(s.log)))
		s.rot(id, c.path, off+int64(r>>8)%(end-off), 1<<(r%8))
		return s.im.inodes[id]
	}
	return n
}

// stale returns a file before the newest write of any byte of [from, to); nil if
// there is none.
func (s *state) stale(id inodeID, from, to int64) *inode {
	newest := -1
	for i := range s.log {
		e := &s.log[i]
		if e.inode == id && (e.Kind == EventWrite || e.Kind == EventPunch) && e.Offset < to && from < e.Offset+e.Length {
			newest = i
		}
	}
	if newest < 0 {
		return nil
	}
	w := s.walk()
	for w.next < newest {
		w.Next()
	}
	return w.current.inodes[id]
}

func (f *file) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	c := call{op: OpWrite, path: f.name, device: f.device, epoch: f.epoch}
	if flags&vfs.DSync != 0 || f.syncWrites {
		c.op = OpDSync
	}
	c.late = &lateWrite{f.id, f.name, off, p}
	if err := f.begin(&c); err != nil {
		return 0, c.fail(off, err)
	}
	s := f.disk.s
	defer s.mu.Unlock()
	err := f.checkTransfer(p, off)
	if err == nil && f.readOnly {
		err = errReadOnlyHandle
	}
	if err != nil {
		return 0, c.fail(off, err)
	}
	n, err := f.write(&c, p, off)
	return n, c.fail(off+int64(n), err)
}

// write is WriteAt of what may be written.
func (f *file) write(c *call, p []byte, off int64) (n int, err error) {
	s := f.disk.s
	if c.effect(ShortWrite) {
		c.fault.fire(c.op, c.path)
		p = p[:len(p)/2/f.align.Offset*f.align.Offset]
		err = io.ErrShortWrite
	}
	room, full := s.fit(f.id, off, int64(len(p)))
	if full != nil {
		// Direct transfers end with a sector, and so does the room for them.
		p, err = p[:room], full
	}
	if len(p) == 0 {
		return 0, err
	}
	if c.effect(Misdirect) {
		c.fault.fire(c.op, c.path)
		at, to, part := s.misdirect(c, f.id, off, p)
		s.write(at, f.name, "misdirected", to, part, c.op == OpDSync, c)
		return len(p), err
	}
	if flushed := s.write(f.id, f.name, "", off, p, c.op == OpDSync && err == nil, c); flushed != nil {
		return 0, flushed
	}
	return len(p), err
}

// fit returns how many of n bytes there is room for, and why not for all.
func (s *state) fit(id inodeID, off, n int64) (int64, error) {
	i := s.im.inodes[id]
	if i.kind == vfs.BlockDevice {
		if off+n > i.length {
			return max(0, i.length-off), syscall.ENOSPC
		}
		return n, nil
	}
	if off+n > maxLength || off+n < off {
		return 0, syscall.EFBIG
	}
	room := s.room(i.device)
	if room >= n/pageSize+2 {
		return n, nil
	}
	for number := off / pageSize; number*pageSize < off+n; number++ {
		if i.has(number) {
			continue
		}
		if room == 0 {
			return max(0, number*pageSize-off), syscall.ENOSPC
		}
		room--
	}
	return n, nil
}

// write writes bytes of the caller's that fit, and makes them durable if dsync;
// its error is that of the flush.
func (s *state) write(id inodeID, name, label string, off int64, p []byte, dsync bool, c *call) error {
	if len(p) == 0 {
		return nil
	}
	e := event{
		Event: Event{Kind: EventWrite, Path: name, Offset: off, Length: int64(len(p)), Label: label},
		inode: id, data: append([]byte(nil), p...),
	}
	if length := s.im.inodes[id].length; off+int64(len(p)) > length {
		e.resized, e.before, e.after = true, length, off+int64(len(p))
	}
	s.do(e)
	if !dsync {
		return nil
	}
	return s.flush(c, event{Event: Event{Kind: EventDSync, Path: name, Offset: off, Length: int64(len(p))}, inode: id, wrote: len(s.log) - 1})
}

// misdirect returns where the bytes of a write go instead, as many as the other
// file is long. The file that they were meant for gets the length it would have.
func (s *state) misdirect(c *call, id inodeID, off int64, p []byte) (inodeID, int64, []byte) {
	n := s.im.inodes[id]
	if end := off + int64(len(p)); end > n.length {
		s.resize(id, c.path, end)
	}
	fault := &c.fault.fault
	if fault.To != "" {
		// Where there is no such file, no other is hit.
		other, err := s.lookup(clean(fault.To))
		if err != nil || s.im.inodes[other].kind == vfs.Directory {
			return id, off, nil
		}
		id = other
	}
	off = max(0, off+fault.Shift)
	room, _ := s.fit(id, off, min(int64(len(p)), max(0, s.im.inodes[id].length-off)))
	return id, off, p[:room]
}

func (f *file) Sync() error     { return f.sync(OpSync) }
func (f *file) SyncData() error { return f.sync(OpSyncData) }

func (f *file) sync(op Op) error {
	return f.do(op, -1, func(s *state, c *call, _ *inode) error {
		e := event{Event: Event{Kind: EventSync, Path: f.name}, inode: f.id}
		if op == OpSyncData {
			e.Label = "data"
		}
		return s.flush(c, e)
	})
}

// Writeback does nothing: what is not flushed may be on the disk, or not, without it.
func (f *file) Writeback(off, n int64) error {
	return f.change(OpWriteback, off, n, func(*state, *call, *inode) error { return nil })
}

func (f *file) Preallocate(off, n int64) error {
	return f.change(OpPreallocate, off, n, func(s *state, _ *call, i *inode) error {
		switch {
		case f.raw:
			return fmt.Errorf("%w: a device has all its space", engine.ErrUnsupported)
		case n == 0:
			return fmt.Errorf("%w: no range", engine.ErrInvalid)
		case off+n > maxLength:
			return syscall.EFBIG
		case i.missing(off, off+n) > s.room(i.device):
			return syscall.ENOSPC
		}
		e := event{Event: Event{Kind: EventReserve, Path: f.name, Offset: off, Length: n}, inode: f.id}
		if off+n > i.length {
			e.resized, e.before, e.after = true, i.length, off+n
		}
		s.do(e)
		return nil
	})
}

func (f *file) Punch(off, n int64) error {
	return f.change(OpPunch, off, n, func(s *state, _ *call, i *inode) error {
		switch {
		case n == 0:
			return fmt.Errorf("%w: no range", engine.ErrInvalid)
		case f.raw && (off%sectorSize != 0 || n%sectorSize != 0 || off+n > i.length):
			return fmt.Errorf("%w: [%d, %d) is not of whole blocks of the device", engine.ErrInvalid, off, off+n)
		}
		if n = min(n, i.length-off); n > 0 {
			s.do(event{Event: Event{Kind: EventPunch, Path: f.name, Offset: off, Length: n}, inode: f.id})
		}
		return nil
	})
}

func (f *file) Truncate(size int64) error {
	return f.change(OpTruncate, size, 0, func(s *state, _ *call, i *inode) error {
		switch {
		case f.raw:
			return fmt.Errorf("%w: a device has a fixed length", engine.ErrUnsupported)
		case size > maxLength:
			return syscall.EFBIG
		}
		if size != i.length {
			s.resize(f.id, f.name, size)
		}
		return nil
	})
}

func (f *file) Size() (size int64, err error) {
	err = f.do(OpSize, -1, func(_ *state, _ *call, n *inode) error {
		size = n.length
		return nil
	})
	return size, err
}

func (f *file) Map(off int64, n int) (vfs.Mapping, error) {
	var m *mapping
	err := f.change(OpMap, off, int64(n), func(s *state, _ *call, i *inode) error {
		if n == 0 || off%pageSize != 0 || off > i.length-int64(n) {
			return fmt.Errorf("%w: %d bytes from %d are not pages of a file of %d", engine.ErrInvalid, n, off, i.length)
		}
		s.open(f.id, 1)
		m = &mapping{disk: f.disk, id: f.id, name: f.name, device: f.device, epoch: f.epoch, off: off, length: n}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Close ends the handle even where a fault makes it fail, as close(2) does.
func (f *file) Close() error {
	c := call{op: OpClose, path: f.name, device: f.device, epoch: f.epoch}
	s := f.disk.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.closed {
		return c.fail(-1, engine.ErrClosed)
	}
	f.closed = true
	if f.disk.life == s.life {
		s.open(f.id, -1)
	}
	return c.fail(-1, s.admit(f.disk, &c))
}
