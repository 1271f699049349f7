package blockfs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// mount is a device that is in use.
type mount struct {
	device string
	// cached is the device through the page cache, by which tables and zeros go; direct is
	// it past the cache, or nil, and noDirect then says why.
	cached, direct vfs.File
	noDirect       error
	unit, units    int64

	// committing is held while a table is written, and guards the following.
	committing sync.Mutex
	disk       state

	// mu guards what is below. It is not held while the device is read or written.
	mu    sync.Mutex
	files map[string]*inode
	space space
	// change counts the changes of names, sizes and extents; those up to durable are durable.
	change, durable uint64
	// cost is the most that the table of all files takes.
	cost int
	// failed is why no flush counts any more.
	failed error
}

// firstChange stands for all that a device had when it was first looked at.
const firstChange = 1

// state is what the tables on a device are.
type state struct {
	// fresh: there is none yet. labelled: both labels are whole.
	fresh, labelled bool
	generation      uint64
	// place is where the newest lies.
	place int
	// found is that table as it was found, which may be in the page cache alone; nil once it
	// is known to be durable. again is the copy of it that is written again then.
	found []byte
	again int
}

// inode is a file.
type inode struct {
	// content is held by what changes size or extents, and held for reading by transfers
	// within them.
	content sync.RWMutex

	// Changed with content and mount.mu held, so that either is enough to read them.
	size    int64
	extents []extent

	// Guarded by mount.mu.
	name    string // "" once it has none
	change  uint64 // the last one of it
	cost    int    // the most that it takes in a table
	handles int
	// pins counts what a ring reads of it; units that it loses meanwhile are late.
	pins int
	late []extent
}

// found is what a device has.
type found struct {
	state
	header header
	files  []entry
	// older are the files of the older tables that are whole.
	older [][]entry
}

// survey reads the labels and tables of a device of so many bytes.
func survey(device string, f vfs.File, size int64) (found, error) {
	var x found
	at := func(off int64, err error) error { return vfs.NewError("mount", device, off, err) }
	if size < leastBytes {
		return x, at(-1, fmt.Errorf("%w: the device has %d bytes, and must have %d", engine.ErrInvalid, size, leastBytes))
	}
	front := make([]byte, frontBytes)
	if _, err := f.ReadAt(front, 0); err != nil {
		return x, err
	}
	if allZeros(front) {
		x.fresh = true
		x.header = header{unit: unitFor(size)}
		x.header.units = min((size-dataStart)/x.header.unit, mostUnits)
		return x, nil
	}
	labels, begun := 0, false
	whole := slices.Clone(front)
	for _, off := range labelOffsets {
		label := front[off : off+block]
		if sealed(label, labelMagic) {
			if err := checkVersion(label); err != nil {
				return x, at(off, err)
			}
			labels++
		}
		begun = begun || string(label[:len(labelMagic)]) == labelMagic
		clear(whole[off : off+block])
	}
	if !allZeros(whole) {
		return x, at(-1, foreign(device, whole))
	}
	x.labelled = labels == len(labelOffsets)
	damage, err := x.readTables(device, f, size)
	if err != nil {
		return x, err
	}
	if x.state.generation == 0 {
		if !begun {
			return x, at(-1, foreign(device, front))
		}
		return x, fmt.Errorf("no table of files is whole; restore the device from a copy or a backup: %w", damage)
	}
	return x, nil
}

// readTables reads the tables, and takes the newest that is whole. damage says what is wrong
// with the first that is not.
func (x *found) readTables(device string, f vfs.File, size int64) (damage, err error) {
	for place := range places {
		for n := range copies {
			off := copyOffset(place, n)
			h, table, files, err := readTable(f, off, size)
			switch {
			case errors.Is(err, engine.ErrCorrupt):
				if damage == nil {
					damage = vfs.NewError("mount", device, off, err)
				}
			case err != nil:
				return nil, vfs.NewError("mount", device, off, err)
			case h.generation > x.state.generation:
				if x.state.generation > 0 {
					x.older = append(x.older, x.files)
				}
				x.header, x.files = h, files
				x.state.generation, x.place, x.found = h.generation, place, table
				// If this is the only copy that is whole, it stays as it is.
				x.again = 1 - n
			case h.generation == x.state.generation:
				x.again = 0
			default:
				x.older = append(x.older, files)
			}
		}
	}
	return damage, nil
}

// readTable reads a copy of a table: its header, all of it, and its files.
func readTable(f vfs.File, off, size int64) (h header, table []byte, files []entry, err error) {
	table = make([]byte, block)
	if _, err := f.ReadAt(table, off); err != nil {
		return h, nil, nil, err
	}
	if h, err = decodeHeader(table, size); err != nil {
		return h, nil, nil, err
	}
	table = append(table, make([]byte, roundUp(h.length))...)
	if _, err := f.ReadAt(table[block:], off+block); err != nil {
		return h, nil, nil, err
	}
	files, _, err = decodeFiles(h, table[block:block+h.length])
	return h, table, files, err
}

// allZeros reports whether b, of a MiB at most, is zeros.
func allZeros(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

// open takes a device into use. It changes nothing on it.
func open(base vfs.FS, device string) (m *mount, err error) {
	f, err := base.Open(device, 0)
	if err != nil {
		return nil, err
	}
	m = &mount{device: device, cached: f, files: map[string]*inode{}, change: firstChange}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	size, err := f.Size()
	if err != nil {
		return m, err
	}
	x, err := survey(device, f, size)
	if err != nil {
		return m, err
	}
	m.disk, m.unit = x.state, x.header.unit
	m.units = min((size-dataStart)/m.unit, mostUnits) // it may have become larger
	if m.direct, err = base.Open(device, vfs.Direct); errors.Is(err, engine.ErrUnsupported) {
		m.direct, m.noDirect, err = nil, err, nil
	}
	if err != nil {
		return m, err
	}
	m.take(x)
	return m, nil
}

// take begins with what a device has.
func (m *mount) take(x found) {
	s := &m.space
	s.used, s.units, s.free = newBitmap(m.units), m.units, m.units
	for _, f := range x.files {
		n := &inode{name: f.name, size: f.size, extents: f.extents, change: m.change}
		m.files[f.name] = n
		m.weigh(n)
		for _, e := range f.extents {
			s.used.setNew(e.unit, e.count) // the decoder has seen to that
			s.free -= e.count
		}
	}
	// A loss of power may bring back an older table until a newer one is durable.
	for _, files := range x.older {
		for _, f := range files {
			for _, e := range f.extents {
				m.holdFree(e)
			}
		}
	}
}

// holdFree takes what is free of an extent, and holds it until the first commit.
func (m *mount) holdFree(e extent) {
	s := &m.space
	for at, end := e.unit, min(e.unit+e.count, m.units); at < end; {
		r := s.freeRun(at, end-at)
		if r.count == 0 || r.unit >= end {
			return
		}
		r.count = min(r.count, end-r.unit)
		s.used.flip(r.unit, r.count)
		s.free -= r.count
		s.hold(r, m.change)
		at = r.unit + r.count
	}
}

// weigh counts what a file takes in a table. Under mu.
func (m *mount) weigh(n *inode) {
	m.cost -= n.cost
	n.cost = 0
	if n.name != "" {
		n.cost = fileCost + len(n.name) + extentCost*len(n.extents)
	}
	m.cost += n.cost
}

// checkRoom refuses what makes the table of files too large. Under mu.
func (m *mount) checkRoom(more int) error {
	if m.cost+more > mostPayload {
		return fmt.Errorf("%w: the table of files is full; make fewer and larger files", engine.ErrNoSpace)
	}
	return nil
}

// close gives up the device. Calls under way end as they end; every later one is ErrClosed.
func (m *mount) close() error {
	m.mu.Lock()
	m.failed = fmt.Errorf("%w: the device was given up", engine.ErrClosed)
	m.mu.Unlock()
	err := m.cached.Close()
	if m.direct != nil {
		err = errors.Join(err, m.direct.Close())
	}
	return err
}

// intact reports whether flushes count, and the device still has what it had.
func (m *mount) intact() bool {
	m.committing.Lock()
	defer m.committing.Unlock()
	m.mu.Lock()
	failed := m.failed
	m.mu.Unlock()
	size, err := m.cached.Size()
	if failed != nil || err != nil {
		return false
	}
	x, err := survey(m.device, m.cached, size)
	return err == nil && x.state.generation == m.disk.generation && x.fresh == m.disk.fresh
}

// flush makes durable what was written to the device. Once that has failed it fails for good:
// the device may have lost what is of any file.
func (m *mount) flush() error {
	m.mu.Lock()
	err := m.failed
	m.mu.Unlock()
	if err == nil {
		err = m.failing(m.cached.SyncData())
	}
	return err
}

// failing notes the error of a flush.
func (m *mount) failing(err error) error {
	if err == nil || errors.Is(err, engine.ErrUnsupported) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed == nil {
		m.failed = fmt.Errorf("a flush of %s failed, and what it was to make durable may be lost; close the store and open it again: %w", m.device, err)
	}
	return err
}

// commit makes the changes up to a number durable, and all that was written.
func (m *mount) commit(change uint64) error {
	m.committing.Lock()
	defer m.committing.Unlock()
	m.mu.Lock()
	if m.durable >= change {
		m.mu.Unlock()
		return m.flush() // which the one that took the change along may have come before
	}
	m.mu.Unlock()
	if err := m.confirm(); err != nil {
		return err
	}
	m.mu.Lock()
	if m.durable >= change {
		m.mu.Unlock()
		return nil // there was nothing but what was found, and the flush was just now
	}
	change = m.change
	payload := encodeFiles(m.entries())
	m.mu.Unlock()

	// What the table speaks of is there before the table is.
	if err := m.flush(); err != nil {
		return err
	}
	d := &m.disk
	if d.fresh {
		if err := m.erase(); err != nil {
			return err
		}
	}
	place := (d.place + 1) % places
	h := header{unit: m.unit, units: m.units, generation: d.generation + 1}
	if err := m.writeTable(place, h.encode(payload)); err != nil {
		return err
	}
	if !d.labelled {
		if err := m.writeLabels(); err != nil {
			return err
		}
	}
	m.disk = state{labelled: true, generation: h.generation, place: place}
	m.settle(change)
	return nil
}

// settle notes that the changes up to a number are durable.
func (m *mount) settle(change uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = change
	m.space.settle(change)
}

// confirm makes durable the table that was found, which may be in the page cache alone, and
// there pass for clean. One copy of it is written again; if it was durable, the other is.
func (m *mount) confirm() error {
	d := &m.disk
	if d.found == nil {
		return nil
	}
	if _, err := m.cached.WriteAt(d.found, copyOffset(d.place, d.again), vfs.Plain); err != nil {
		return err
	}
	if err := m.flush(); err != nil {
		return err
	}
	d.found = nil
	m.settle(firstChange)
	return nil
}

// entries returns the files in the order of names. Under mu.
func (m *mount) entries() []entry {
	list := make([]entry, 0, len(m.files))
	for name, n := range m.files {
		list = append(list, entry{name, n.size, n.extents})
	}
	slices.SortFunc(list, func(a, b entry) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

// erase takes away the tables of an earlier life of the device.
func (m *mount) erase() error {
	zeros := make([]byte, block)
	for place := range places {
		for n := range copies {
			if _, err := m.cached.WriteAt(zeros, copyOffset(place, n), vfs.Plain); err != nil {
				return err
			}
		}
	}
	return m.flush()
}

func (m *mount) writeTable(place int, table []byte) error {
	for n := range copies {
		if _, err := m.cached.WriteAt(table, copyOffset(place, n), vfs.Plain); err != nil {
			return err
		}
	}
	return m.flush()
}

func (m *mount) writeLabels() error {
	label := encodeLabel()
	for _, off := range labelOffsets {
		if _, err := m.cached.WriteAt(label, off, vfs.Plain); err != nil {
			return err
		}
	}
	return m.flush()
}

// touch notes a change of a file. Under mu.
func (m *mount) touch(n *inode) {
	m.change++
	n.change = m.change
}

// forget notes that a file has lost its name. Under mu.
func (m *mount) forget(n *inode) {
	m.touch(n)
	n.name = ""
	m.weigh(n)
	m.drop(n)
}

// drop gives back the units of a file that has neither a name nor a handle. Under mu.
func (m *mount) drop(n *inode) {
	if n.name != "" || n.handles > 0 {
		return
	}
	m.release(n.extents, n.change)
	n.extents, n.size = nil, 0
}

// release gives back extents, once the changes up to a number are durable. Under mu.
func (m *mount) release(extents []extent, change uint64) {
	for _, e := range extents {
		m.space.hold(run{e.unit, e.count}, change)
	}
	m.space.settle(m.durable)
}

// reserve takes units for what a file has none for of [off, end), which is not empty. It
// returns the file's extents with them, and the new ones among these. With content held.
func (m *mount) reserve(n *inode, off, end int64) (plan, fresh []extent, err error) {
	missing := missingUnits(n.extents, off/m.unit, unitsOf(end, m.unit))
	plan = slices.Clone(n.extents)
	for _, gap := range missing {
		near := int64(0)
		for _, e := range plan {
			if e.at+e.count == gap.at {
				near = e.unit + e.count
			}
		}
		runs, err := m.takeUnits(gap.count, near)
		if err != nil {
			m.giveBack(fresh)
			return nil, nil, err
		}
		for _, r := range runs {
			x := extent{gap.at, r.unit, r.count}
			gap.at += r.count
			fresh = append(fresh, x)
			plan = append(plan, x)
		}
	}
	slices.SortFunc(plan, func(a, b extent) int { return int(a.at - b.at) })
	m.mu.Lock()
	err = m.checkRoom(extentCost * len(fresh))
	m.mu.Unlock()
	if err != nil && len(fresh) > 0 {
		m.giveBack(fresh)
		return nil, nil, err
	}
	return plan, fresh, nil
}

// takeUnits takes units, if need be such as a commit gives back.
func (m *mount) takeUnits(count, near int64) ([]run, error) {
	m.mu.Lock()
	runs := m.space.take(count, near)
	wait, change := m.space.free+m.space.heldUnits >= count, m.change
	m.mu.Unlock()
	if runs != nil {
		return runs, nil
	}
	if wait {
		if err := m.commit(change); err != nil {
			return nil, err
		}
		m.mu.Lock()
		runs = m.space.take(count, near)
		m.mu.Unlock()
	}
	if runs == nil {
		return nil, fmt.Errorf("%w: %d bytes on a device of %d", engine.ErrNoSpace, count*m.unit, m.units*m.unit)
	}
	return runs, nil
}

// giveBack frees units that no table has.
func (m *mount) giveBack(fresh []extent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range fresh {
		m.space.give(run{e.unit, e.count})
	}
}

// missingUnits returns the units of [first, end) that no extent has: each extent returned
// has unit 0.
func missingUnits(extents []extent, first, end int64) (missing []extent) {
	for _, e := range extents {
		if e.at >= end {
			break
		}
		if e.at > first {
			missing = append(missing, extent{at: first, count: e.at - first})
		}
		first = max(first, e.at+e.count)
	}
	if first < end {
		missing = append(missing, extent{at: first, count: end - first})
	}
	return missing
}

// merged returns extents, which are sorted, with those made one that continue each other.
func merged(extents []extent) []extent {
	var out []extent
	for _, e := range extents {
		if k := len(out) - 1; k >= 0 && out[k].at+out[k].count == e.at && out[k].unit+out[k].count == e.unit {
			out[k].count += e.count
			continue
		}
		out = append(out, e)
	}
	return out
}
