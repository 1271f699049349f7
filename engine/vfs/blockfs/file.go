package blockfs

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// file is a handle of a file.
type file struct {
	m    *mount
	n    *inode
	name string // as it was opened
	// through is the device as this handle reads and writes it.
	through vfs.File
	align   vfs.Alignment

	readOnly, syncWrites bool

	// mu guards the following: whoever leaves last of a closed handle lets go of the file.
	mu     sync.Mutex
	calls  int
	closed bool
}

var (
	_ vfs.File   = (*file)(nil)
	_ vfs.Pinner = (*file)(nil)
)

func (f *file) Name() string { return f.name }

func (f *file) Alignment() vfs.Alignment { return f.align }

// enter begins a call: nil, to be matched by leave, or ErrClosed.
func (f *file) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return engine.ErrClosed
	}
	f.calls++
	return nil
}

func (f *file) leave() {
	f.mu.Lock()
	f.calls--
	last := f.closed && f.calls == 0
	f.mu.Unlock()
	if last {
		f.letGo()
	}
}

func (f *file) letGo() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.n.handles--
	f.m.drop(f.n)
}

// Close ends the handle. It waits for nothing.
func (f *file) Close() error {
	f.mu.Lock()
	closed, last := f.closed, f.calls == 0
	f.closed = true
	f.mu.Unlock()
	if closed {
		return f.fail("close", -1, engine.ErrClosed)
	}
	if last {
		f.letGo()
	}
	return nil
}

func (f *file) fail(op string, off int64, err error) error {
	return vfs.NewError(op, f.name, off, err)
}

// do runs a call.
func (f *file) do(op string, off int64, run func() error) error {
	err := f.enter()
	if err == nil {
		defer f.leave()
		err = run()
	}
	return f.fail(op, off, err)
}

// change runs a call that changes [off, off+n), with content held.
func (f *file) change(op string, off, n int64, run func() error) error {
	return f.do(op, off, func() error {
		switch {
		case f.readOnly:
			return errReadOnlyHandle
		case off < 0 || n < 0:
			return fmt.Errorf("%w: no range: %d bytes from %d", engine.ErrInvalid, n, off)
		case off+n < off || off+n > mostUnits*f.m.unit:
			return syscall.EFBIG
		}
		f.n.content.Lock()
		defer f.n.content.Unlock()
		return run()
	})
}

var errReadOnlyHandle = fmt.Errorf("%w: opened for reading only", engine.ErrInvalid)

// checkTransfer refuses what is misaligned, or no range.
func (f *file) checkTransfer(p []byte, off int64) error {
	if off < 0 {
		return fmt.Errorf("%w: negative offset", engine.ErrInvalid)
	}
	return f.align.Check(p, off)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.enter(); err != nil {
		return 0, f.fail("read", -1, err)
	}
	defer f.leave()
	if err := f.checkTransfer(p, off); err != nil {
		return 0, f.fail("read", off, err)
	}
	f.n.content.RLock()
	defer f.n.content.RUnlock()
	size := f.n.size
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	// A direct read of the end takes the whole sector, which the unit has.
	align := int64(f.align.Offset)
	end := off + min(int64(len(p)), (size+align-1)/align*align-off)
	err := eachPiece(f.n.extents, f.m.unit, off, end, func(at, from, to int64) error {
		part := p[from-off : to-off]
		if at < 0 {
			clear(part)
			return nil
		}
		if _, err := f.through.ReadAt(part, at); err != nil {
			end = from
			return f.fail("read", from, err)
		}
		return nil
	})
	n := int(min(end, size) - off)
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// eachPiece calls f with each piece of [off, end): where on the device it lies, below 0 for
// a hole, and what it is of the file.
func eachPiece(extents []extent, unit, off, end int64, f func(at, from, to int64) error) error {
	i := sort.Search(len(extents), func(i int) bool { return (extents[i].at+extents[i].count)*unit > off })
	for off < end {
		at, to := int64(-1), end
		if i < len(extents) {
			e := extents[i]
			if begin := e.at * unit; off < begin {
				to = min(end, begin)
			} else {
				to = min(end, (e.at+e.count)*unit)
				at = dataStart + e.unit*unit + off - begin
				i++
			}
		}
		if err := f(at, off, to); err != nil {
			return err
		}
		off = to
	}
	return nil
}

func (f *file) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	if err := f.enter(); err != nil {
		return 0, f.fail("write", -1, err)
	}
	defer f.leave()
	err := f.checkTransfer(p, off)
	if err == nil && f.readOnly {
		err = errReadOnlyHandle
	}
	if err != nil {
		return 0, f.fail("write", off, err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.syncWrites {
		flags |= vfs.DSync
	}
	n, err := f.write(p, off, flags)
	return n, f.fail("write", off+int64(n), err)
}

func (f *file) write(p []byte, off int64, flags vfs.WriteFlags) (n int, err error) {
	end := off + int64(len(p))
	if end < off || end > mostUnits*f.m.unit {
		return 0, syscall.EFBIG
	}
	f.m.mu.Lock()
	dirty, failed := f.n.change > f.m.durable, f.m.failed
	f.m.mu.Unlock()
	if flags&vfs.DSync != 0 && failed != nil {
		return 0, failed
	}
	how := flags
	if dirty {
		how = vfs.Plain // the commit that the length takes has the bytes
	}
	n, done, err := f.writeWithin(p, off, how)
	if !done {
		how = vfs.Plain
		n, err = f.writeGrowing(p, off)
	}
	if err == nil && flags != how {
		err = f.makeDurable()
	}
	return n, err
}

// writeWithin writes what changes neither size nor extents; done is false if that would.
func (f *file) writeWithin(p []byte, off int64, flags vfs.WriteFlags) (n int, done bool, err error) {
	f.n.content.RLock()
	defer f.n.content.RUnlock()
	end := off + int64(len(p))
	if end > f.n.size || len(missingUnits(f.n.extents, off/f.m.unit, unitsOf(end, f.m.unit))) > 0 {
		return 0, false, nil
	}
	n, err = f.writePieces(f.n.extents, p, off, flags)
	return n, true, err
}

func (f *file) writePieces(extents []extent, p []byte, off int64, flags vfs.WriteFlags) (n int, err error) {
	err = eachPiece(extents, f.m.unit, off, off+int64(len(p)), func(at, from, to int64) error {
		written, err := f.through.WriteAt(p[from-off:to-off], at, flags)
		n += written
		if flags&vfs.DSync != 0 {
			err = f.m.failing(err)
		}
		return err
	})
	return n, err
}

// writeGrowing writes what takes units, or makes the file longer.
func (f *file) writeGrowing(p []byte, off int64) (int, error) {
	n, m := f.n, f.m
	n.content.Lock()
	defer n.content.Unlock()
	end := off + int64(len(p))
	plan, fresh, err := m.reserve(n, off, end)
	if err != nil {
		return 0, err
	}
	written := 0
	size := max(n.size, end)
	if err = m.zero(n, plan, fresh, size, off, end); err == nil {
		written, err = f.writePieces(plan, p, off, vfs.Plain)
	}
	if err != nil {
		m.giveBack(fresh)
		return int(max(0, min(int64(written), n.size-off))), err
	}
	m.adopt(n, plan, size)
	return written, nil
}

// zero fills with zeros what comes into sight of a file when it has the extents of plan, of
// which some are fresh, and a size: all but [off, end), which is written. With content held.
func (m *mount) zero(n *inode, plan, fresh []extent, size, off, end int64) error {
	for _, e := range plan {
		from, to := e.at*m.unit, min((e.at+e.count)*m.unit, size)
		if !slices.Contains(fresh, e) {
			from = max(from, n.size)
		}
		for _, part := range [][2]int64{{from, min(to, off)}, {max(from, end), to}} {
			for at := part[0]; at < part[1]; {
				p := zeros[:min(part[1]-at, int64(len(zeros)))]
				if _, err := m.cached.WriteAt(p, dataStart+e.unit*m.unit+at-e.at*m.unit, vfs.Plain); err != nil {
					return err
				}
				at += int64(len(p))
			}
		}
	}
	return nil
}

var zeros = make([]byte, 1<<20)

// adopt gives a file its new extents and size. With content held.
func (m *mount) adopt(n *inode, extents []extent, size int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n.extents, n.size = merged(extents), size
	m.touch(n)
	m.weigh(n)
}

// makeDurable makes the bytes, size and extents of the file durable.
func (f *file) makeDurable() error {
	f.m.mu.Lock()
	change, durable := f.n.change, f.m.durable
	f.m.mu.Unlock()
	if change <= durable {
		return f.m.flush()
	}
	return f.m.commit(change)
}

func (f *file) Sync() error { return f.do("sync", -1, f.makeDurable) }

func (f *file) SyncData() error { return f.do("sync-data", -1, f.makeDurable) }

func (f *file) Writeback(off, n int64) error {
	return f.do("writeback", off, func() error {
		switch {
		case f.readOnly:
			return errReadOnlyHandle
		case off < 0 || n < 0 || off+n < off:
			return fmt.Errorf("%w: no range: %d bytes from %d", engine.ErrInvalid, n, off)
		}
		f.n.content.RLock()
		defer f.n.content.RUnlock()
		return eachPiece(f.n.extents, f.m.unit, off, min(off+n, f.n.size), func(at, from, to int64) error {
			if at < 0 {
				return nil
			}
			return f.m.cached.Writeback(at, to-from)
		})
	})
}

func (f *file) Preallocate(off, n int64) error {
	return f.change("preallocate", off, n, func() error {
		if n == 0 {
			return fmt.Errorf("%w: no range", engine.ErrInvalid)
		}
		end := off + n
		plan, fresh, err := f.m.reserve(f.n, off, end)
		if err != nil {
			return err
		}
		size := max(f.n.size, end)
		if err := f.m.zero(f.n, plan, fresh, size, size, size); err != nil {
			f.m.giveBack(fresh)
			return err
		}
		f.m.adopt(f.n, plan, size)
		return nil
	})
}

// Punch is ErrUnsupported.
func (f *file) Punch(off, n int64) error {
	return f.change("punch", off, n, func() error {
		return fmt.Errorf("%w: no holes are made in files on a device", engine.ErrUnsupported)
	})
}

func (f *file) Truncate(size int64) error {
	return f.change("truncate", size, 0, func() error { return f.m.truncate(f.n, size) })
}

// truncate sets the size of a file. With content held.
func (m *mount) truncate(n *inode, size int64) error {
	if size == n.size {
		return nil
	}
	if size > n.size {
		if err := m.zero(n, n.extents, nil, size, size, size); err != nil {
			return err
		}
		m.adopt(n, n.extents, size)
		return nil
	}
	var kept, gone []extent
	for _, e := range n.extents {
		stay := min(max(unitsOf(size, m.unit)-e.at, 0), e.count)
		if stay > 0 {
			kept = append(kept, extent{e.at, e.unit, stay})
		}
		if stay < e.count {
			gone = append(gone, extent{e.at + stay, e.unit + stay, e.count - stay})
		}
	}
	m.adopt(n, kept, size)
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.pins > 0 {
		n.late = append(n.late, gone...)
		return nil
	}
	m.release(gone, n.change)
	return nil
}

func (f *file) Size() (size int64, err error) {
	err = f.do("size", -1, func() error {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		size = f.n.size
		return nil
	})
	return size, err
}

// Map is ErrUnsupported.
func (f *file) Map(off int64, n int) (vfs.Mapping, error) {
	return nil, f.do("map", off, func() error {
		return fmt.Errorf("%w: files on a device are not mapped", engine.ErrUnsupported)
	})
}

// Pin tells where a piece of the file lies on the device, so that a ring reads it there. It
// holds no lock: who has pinned some pieces may read others, past who waits to change the
// file.
func (f *file) Pin(off int64, n int) (vfs.File, int64, bool) {
	if f.enter() != nil {
		return nil, 0, false
	}
	f.m.mu.Lock()
	f.n.pins++
	extents, size := f.n.extents, f.n.size
	f.m.mu.Unlock()
	place := int64(-1)
	if end := off + int64(n); off >= 0 && n > 0 && end <= size {
		_ = eachPiece(extents, f.m.unit, off, end, func(at, from, to int64) error {
			if from == off && to == end {
				place = at
			}
			return nil
		})
	}
	if place < 0 {
		f.Unpin()
		return nil, 0, false
	}
	return f.through, place, true
}

// Unpin ends what Pin began.
func (f *file) Unpin() {
	f.m.mu.Lock()
	if f.n.pins--; f.n.pins == 0 {
		f.m.release(f.n.late, f.n.change)
		f.n.late = nil
	}
	f.m.mu.Unlock()
	f.leave()
}
