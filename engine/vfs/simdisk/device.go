package simdisk

import (
	"fmt"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// lateWrite is a write that a device took and did not end before it vanished.
type lateWrite struct {
	id   inodeID
	name string
	off  int64
	data []byte
}

// Late are the writes that were in flight or pending when a device vanished, and
// that it may still carry out after its return, when the files may be another
// owner's.
type Late struct {
	s      *state
	writes []lateWrite
}

// Units returns them, oldest first, as Units of Kind Write. Event is -1 for one
// that was in flight: the call hung, and was told EIO.
func (l *Late) Units() []Unit {
	units := make([]Unit, len(l.writes))
	for i, w := range l.writes {
		units[i] = Unit{-1, Write, w.name, w.off, int64(len(w.data))}
	}
	return units
}

// Land carries out the i-th of Units, over whatever is there, and is durable at
// once. What is beyond the end of the file is not written; fs.ErrNotExist if
// the file is gone.
func (l *Late) Land(i int) error {
	w := l.writes[i]
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	var n *inode
	if int(w.id) < len(l.s.im.inodes) {
		n = l.s.im.inodes[w.id]
	}
	if n == nil {
		return vfs.NewError("land", w.name, w.off, syscall.ENOENT)
	}
	data := w.data[:max(0, min(int64(len(w.data)), n.length-w.off))]
	if len(data) > 0 {
		l.s.do(event{Event: Event{Kind: EventLate, Path: w.name, Offset: w.off, Length: int64(len(data))}, inode: w.id, data: data})
	}
	return nil
}

// deviceAt returns the device that is mounted at a path.
func (s *state) deviceAt(path string) (int, error) {
	path = clean(path)
	for i := range s.devices {
		if s.devices[i].Path == path {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: no device is mounted at %s", engine.ErrInvalid, path)
}

// Vanish takes a device away, by its path: calls on it are EIO, also those that
// hang, and those of handles and mappings that were open stay so for good.
// ErrInvalid if there is none, or if it is away.
func (d *Disk) Vanish(device string) error {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.deviceAt(device)
	if err != nil {
		return err
	}
	at := &s.devices[i]
	if at.away {
		return fmt.Errorf("%w: %s is away", engine.ErrInvalid, device)
	}
	at.away = true
	at.epoch++
	if at.gone != nil {
		close(at.gone)
		at.gone = nil
	}
	s.record(event{Event: Event{Kind: EventVanish, Path: at.Path}, device: i})
	return nil
}

// Return brings a device back, with what was durable on it: what was pending is
// lost, unless the harness lets it land by the Late. ErrInvalid if there is no
// such device, or if it is not away.
func (d *Disk) Return(device string) (*Late, error) {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.deviceAt(device)
	if err != nil {
		return nil, err
	}
	at := &s.devices[i]
	if !at.away {
		return nil, fmt.Errorf("%w: %s is not away", engine.ErrInvalid, device)
	}
	w := s.walk()
	for w.Next() {
	}
	late := &Late{s: s}
	for j := range w.pending {
		u := &w.pending[j]
		if u.kind != Write || w.durable.inodes[u.inode].device != i {
			continue
		}
		data := u.data
		if data == nil {
			data = make([]byte, u.length)
		}
		late.writes = append(late.writes, lateWrite{u.inode, u.path, u.off, data})
	}
	late.writes = append(late.writes, at.late...)
	at.away, at.late = false, nil
	w.revert(i)
	s.record(event{Event: Event{Kind: EventReturn, Path: at.Path}, device: i})

	// What is open on other devices is kept; what was open here is dead.
	w.current.share()
	for id, n := range w.current.inodes {
		if n != nil && n.device == i {
			s.im.inodes[id] = n
		}
	}
	s.links = s.im.sweep(s.opens)
	s.measure()
	return late, nil
}

// Rot flips the bits of mask in one byte of a file, at rest: its sector and the
// length of the file are durable by that. ErrInvalid if the file is not so long.
func (d *Disk) Rot(name string, off int64, mask byte) error {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.lookup(clean(name))
	if err == nil && (off < 0 || off >= s.im.inodes[id].length) {
		err = fmt.Errorf("%w: the file has %d bytes", engine.ErrInvalid, s.im.inodes[id].length)
	}
	if err != nil {
		return vfs.NewError("rot", name, off, err)
	}
	s.rot(id, name, off, mask)
	return nil
}

func (s *state) rot(id inodeID, name string, off int64, mask byte) {
	s.do(event{Event: Event{Kind: EventRot, Path: name, Offset: off, Length: 1}, inode: id, data: []byte{mask}})
}
