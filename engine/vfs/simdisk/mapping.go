package simdisk

import (
	"fmt"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// mapping is a range of a file. There is no memory behind it: each access goes
// to the file's pages.
type mapping struct {
	disk          *Disk
	id            inodeID
	name          string
	device, epoch int
	off           int64
	length        int

	closed bool // under the lock
}

func (m *mapping) Len() int { return m.length }

// begin starts an access of [off, off+n); with nil the disk is locked.
func (m *mapping) begin(c *call, off, n int) error {
	if off < 0 || n < 0 || off > m.length-n {
		return fmt.Errorf("%w: %d bytes from %d are not in a mapping of %d", engine.ErrInvalid, n, off, m.length)
	}
	s := m.disk.s
	s.mu.Lock()
	var err error
	if m.closed {
		err = engine.ErrClosed
	} else if err = s.admit(m.disk, c); err == nil && m.closed {
		err = engine.ErrClosed
	}
	if err == nil && n > 0 {
		// A page that begins beyond the end of the file is not there.
		last := (m.off + int64(off) + int64(n) - 1) / pageSize * pageSize
		if last >= s.im.inodes[m.id].length {
			err = fmt.Errorf("%w: fault under the mapping", syscall.EIO)
		}
	}
	if err != nil {
		s.mu.Unlock()
	}
	return err
}

func (m *mapping) Write(p []byte, off int) error {
	at := m.off + int64(off)
	c := call{op: OpMapWrite, path: m.name, device: m.device, epoch: m.epoch}
	if err := m.begin(&c, off, len(p)); err != nil {
		return c.fail(at, err)
	}
	s := m.disk.s
	defer s.mu.Unlock()
	return c.fail(at, m.write(&c, p, at))
}

// write is Write of what lies in the mapping and in the file's pages.
func (m *mapping) write(c *call, p []byte, at int64) (err error) {
	s := m.disk.s
	if c.effect(ShortWrite) {
		c.fault.fire(c.op, c.path)
		p = p[:len(p)/2]
		err = fmt.Errorf("%w: fault under the mapping", syscall.EIO)
	}
	// What is stored behind the end, in its page, does not reach the file.
	p = p[:max(0, min(int64(len(p)), s.im.inodes[m.id].length-at))]
	room, full := s.fit(m.id, at, int64(len(p)))
	if full != nil {
		p = p[:room]
		err = fmt.Errorf("%w: no space for a hole under the mapping", syscall.EIO)
	}
	id, label := m.id, "mapped"
	if c.effect(Misdirect) && len(p) > 0 {
		c.fault.fire(c.op, c.path)
		label = "misdirected"
		id, at, p = s.misdirect(c, m.id, at, p)
	}
	if flushed := s.write(id, m.name, label, at, p, false, c); flushed != nil {
		return flushed
	}
	return err
}

func (m *mapping) View(off, n int, f func(b []byte) error) error {
	at := m.off + int64(off)
	c := call{op: OpMapView, path: m.name, device: m.device, epoch: m.epoch}
	if err := m.begin(&c, off, n); err != nil {
		return c.fail(at, err)
	}
	b := make([]byte, n)
	s := m.disk.s
	s.source(&c, m.id, at, int64(n)).read(b, at)
	s.mu.Unlock()
	return f(b)
}

func (m *mapping) Close() error {
	s := m.disk.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case m.closed:
		return vfs.NewError("unmap", m.name, m.off, engine.ErrClosed)
	case m.disk.life != s.life:
		return vfs.NewError("unmap", m.name, m.off, ErrKilled)
	}
	m.closed = true
	s.open(m.id, -1)
	return nil
}
