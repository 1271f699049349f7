package simdisk

import "slices"

// UnitKind is what a Unit changes.
type UnitKind uint8

// The kinds of units.
const (
	// Write: bytes of a file, [Offset, Offset+Length).
	Write UnitKind = iota
	// Length: the length of a file, which becomes Length.
	Length
	// Name: one or, by a rename within a directory, two names of a directory.
	Name
)

// String returns "write", "length" or "name".
func (k UnitKind) String() string {
	switch k {
	case Write:
		return "write"
	case Length:
		return "length"
	}
	return "name"
}

// Unit is a change that is not durable: a power cut may keep or lose it.
type Unit struct {
	// Event is the index of the event that made it.
	Event          int
	Kind           UnitKind
	Path           string
	Offset, Length int64
}

// span is a range of a file, [from, to).
type span struct{ from, to int64 }

// assignment is a name and what it is to stand for; 0 is nothing.
type assignment struct {
	name string
	id   inodeID
}

// unit is a pending change.
type unit struct {
	event int
	kind  UnitKind
	path  string
	inode inodeID // the file, or the directory of a Name

	// data is that of a Write at off, nil for length zeros. parts are the ranges
	// of it that are still pending; nil is all.
	off, length int64
	data        []byte
	parts       []span

	// shrinks: a Length that cut the file.
	shrinks bool

	names [2]assignment // of a Name
	named int

	// stuck: a flush failed, and no later one will take it.
	stuck bool
}

// all returns the range of a Write.
func (u *unit) all() span { return span{u.off, u.off + u.length} }

// clip takes [from, to) out of what is pending of a Write, and reports whether
// anything is left.
func (u *unit) clip(from, to int64) bool {
	whole := u.all()
	if to <= whole.from || whole.to <= from {
		return true
	}
	parts := u.parts
	if parts == nil {
		parts = []span{whole}
	}
	left := []span{} // not nil, which is all
	for _, s := range parts {
		if a := (span{s.from, min(s.to, from)}); a.from < a.to {
			left = append(left, a)
		}
		if b := (span{max(s.from, to), s.to}); b.from < b.to {
			left = append(left, b)
		}
	}
	u.parts = left
	return len(left) > 0
}

// Walk goes through the recorded log of a Disk. It belongs to one goroutine; the
// disks it makes are independent of it.
type Walk struct {
	origin *state
	log    []event
	next   int
	// current is what the running system saw, durable what a power cut that
	// loses all would leave.
	current, durable image
	pending          []unit
	units            []Unit // of pending, as Pending returns them; valid if listed
	listed           bool
	nameless         []bool // by inode, as forget found
}

// Walk returns a walk of the events so far, before the first of them.
func (d *Disk) Walk() *Walk {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.s.walk()
}

// walk is Walk under the lock.
func (s *state) walk() *Walk {
	return &Walk{
		origin:  s,
		log:     s.log[:len(s.log):len(s.log)],
		current: image{newToken(), slices.Clone(s.base)},
		durable: image{newToken(), slices.Clone(s.base)},
	}
}

// Next goes over one more event, and reports false if there is none. A power cut
// between two events is one at the Walk between two calls of Next; one within a
// write, or within a flush, is one after, or before it.
func (w *Walk) Next() bool {
	if w.next == len(w.log) {
		return false
	}
	e := &w.log[w.next]
	w.next++
	w.listed = false
	if e.Kind != EventReturn {
		w.current.apply(e)
	}
	switch e.Kind {
	case EventWrite, EventPunch:
		w.add(unit{
			event: e.Index, kind: Write, path: e.Path, inode: e.inode,
			off: e.Offset, length: e.Length, data: e.data,
		})
	case EventReserve:
		w.durable.reserve(e.inode, e.Offset, e.Offset+e.Length)
	case EventCreate, EventMkdir:
		w.durable.add(e.child, e.kind, e.device)
		w.name(e, e.inode, assignment{e.name, e.child})
	case EventLink:
		w.name(e, e.inode, assignment{e.name, e.child})
	case EventRename:
		if e.inode == e.dir2 {
			w.name(e, e.inode, assignment{e.name2, e.child}, assignment{e.name, 0})
		} else {
			w.name(e, e.dir2, assignment{e.name2, e.child})
			w.name(e, e.inode, assignment{e.name, 0})
		}
	case EventRemove:
		w.name(e, e.inode, assignment{e.name, 0})
	case EventSync, EventSyncDir:
		switch e.outcome {
		case flushed:
			w.flush(e.inode)
		case forgotten:
			for i := range w.pending {
				if u := &w.pending[i]; u.inode == e.inode {
					u.stuck = true
				}
			}
		}
		if e.Kind == EventSyncDir {
			w.forget()
		}
	case EventDSync:
		w.dsync(e)
	case EventRot, EventLate:
		// current has it already, so it settles with its sectors.
		w.lengths(e.inode)
		w.settle(e.inode, e.Offset, e.Offset+e.Length)
	case EventReturn:
		w.revert(e.device)
	}
	if e.resized {
		w.add(unit{
			event: e.Index, kind: Length, path: e.Path, inode: e.inode,
			length: e.after, shrinks: e.after < e.before,
		})
	}
	return true
}

// Event describes the event that Next went over.
func (w *Walk) Event() Event { return w.log[w.next-1].Event }

// Pending returns the units that a power cut here may keep or lose, oldest
// first. The slice is valid until Next.
func (w *Walk) Pending() []Unit {
	if !w.listed {
		w.units = w.units[:0]
		for i := range w.pending {
			u := &w.pending[i]
			w.units = append(w.units, Unit{u.event, u.kind, u.path, u.off, u.length})
		}
		w.listed = true
	}
	return w.units
}

// name makes a Name unit of a directory.
func (w *Walk) name(e *event, dir inodeID, names ...assignment) {
	u := unit{event: e.Index, kind: Name, path: e.Path, inode: dir, named: len(names)}
	copy(u.names[:], names)
	w.add(u)
}

// keep drops the units for which it is false, and those that are 0.
func (w *Walk) keep(f func(i int, u *unit) bool) {
	n := 0
	for i := range w.pending {
		if u := &w.pending[i]; f(i, u) {
			if n < i {
				w.pending[n] = *u
			}
			n++
		}
	}
	clear(w.pending[n:])
	w.pending = w.pending[:n]
}

// flush makes the units of a file, or of a directory, durable, the stuck ones
// excepted.
func (w *Walk) flush(id inodeID) {
	fresh, stuck := false, false
	for i := range w.pending {
		if u := &w.pending[i]; u.inode == id {
			fresh = fresh || !u.stuck
			stuck = stuck || u.stuck
		}
	}
	if !fresh {
		return
	}
	if !stuck {
		w.durable.inodes[id] = w.current.inodes[id]
		w.current.share()
		w.keep(func(_ int, u *unit) bool { return u.inode != id })
		return
	}
	w.lengths(id)
	// What is current in a sector becomes durable as a whole, with what is stuck
	// in it.
	var spans []span
	for i := range w.pending {
		if u := &w.pending[i]; u.inode == id && !u.stuck && u.kind == Write {
			spans = append(spans, u.all())
		}
	}
	for _, s := range spans {
		w.settle(id, s.from, s.to)
	}
	w.settleNames(id)
}

// settle makes the sectors with [from, to) durable as they are, as far as the
// file is. No older unit can change them any more.
func (w *Walk) settle(id inodeID, from, to int64) {
	from = from / sectorSize * sectorSize
	to = (to + sectorSize - 1) / sectorSize * sectorSize
	length := w.durable.inodes[id].length
	if to >= length {
		to = length
	}
	if from >= to {
		return
	}
	var b [pageSize]byte
	for at := from; at < to; {
		part := b[:min(to-at, pageSize-at%pageSize)]
		n := w.current.inodes[id]
		if n.peek(at/pageSize) == nil && w.durable.inodes[id].peek(at/pageSize) == nil {
			at += int64(len(part))
			continue
		}
		n.read(part, at)
		w.durable.write(id, at, part)
		at += int64(len(part))
	}
	w.keep(func(_ int, u *unit) bool { return u.inode != id || u.kind != Write || u.clip(from, to) })
}

// lengths makes the newest Length of a file durable, and with it the older ones,
// stuck or not: whatever is newer than a failed flush makes the inode dirty again.
func (w *Walk) lengths(id inodeID) {
	for i := range w.pending {
		u := &w.pending[i]
		if u.inode != id || u.kind != Length {
			continue
		}
		w.durable.setLength(id, u.length)
		if !u.shrinks {
			continue
		}
		for j := range i {
			if v := &w.pending[j]; v.inode == id && v.kind == Write {
				v.clip(u.length, maxLength)
			}
		}
	}
	w.keep(func(_ int, u *unit) bool {
		return u.inode != id || u.kind == Name || u.kind == Write && (u.parts == nil || len(u.parts) > 0)
	})
}

// settleNames makes the Names of a directory that are not stuck durable. A stuck
// one is over where a newer one of the same name is durable.
func (w *Walk) settleNames(dir inodeID) {
	for i := range w.pending {
		u := &w.pending[i]
		if u.inode != dir || u.kind != Name || u.stuck {
			continue
		}
		for _, a := range u.names[:u.named] {
			w.durable.assign(dir, a.name, a.id)
			for j := range i {
				if v := &w.pending[j]; v.inode == dir && v.kind == Name {
					v.drop(a.name)
				}
			}
		}
		u.named = 0
	}
	w.keep(func(_ int, u *unit) bool { return u.inode != dir || u.kind != Name || u.named > 0 })
}

// drop takes a name out of a Name.
func (u *unit) drop(name string) {
	for i := 0; i < u.named; i++ {
		if u.names[i].name == name {
			copy(u.names[i:], u.names[i+1:u.named])
			u.named--
			i--
		}
	}
}

// dsync makes a write durable, and the length.
func (w *Walk) dsync(e *event) {
	switch e.outcome {
	case flushed:
		w.lengths(e.inode)
		w.settle(e.inode, e.Offset, e.Offset+e.Length)
	case forgotten:
		for i := range w.pending {
			if u := &w.pending[i]; u.event == e.wrote {
				u.stuck = true
			}
		}
	}
}

// forget drops the units of files and directories that no name leads to, nor
// can any more: of temporary files, mostly.
func (w *Walk) forget() {
	for {
		named := make([]bool, len(w.durable.inodes))
		named[rootID] = true
		for _, im := range []*image{&w.durable, &w.current} {
			for id, n := range im.inodes {
				if n == nil || w.dead(inodeID(id)) {
					continue
				}
				for _, e := range n.entries {
					named[e.id] = true
				}
			}
		}
		for i := range w.pending {
			u := &w.pending[i]
			for _, a := range u.names[:u.named] {
				named[a.id] = true
			}
		}
		before := len(w.pending)
		w.nameless = w.nameless[:0]
		for _, yes := range named {
			w.nameless = append(w.nameless, !yes)
		}
		w.keep(func(_ int, u *unit) bool { return named[u.inode] })
		if len(w.pending) == before {
			return
		}
	}
}

// dead reports whether forget found that no name can lead to an inode.
func (w *Walk) dead(id inodeID) bool { return int(id) < len(w.nameless) && w.nameless[id] }

// add makes a unit pending, if it can ever be seen.
func (w *Walk) add(u unit) {
	if !w.dead(u.inode) {
		w.pending = append(w.pending, u)
	}
}

// revert takes a device back to what was durable on it.
func (w *Walk) revert(device int) {
	for id, n := range w.durable.inodes {
		if n != nil && n.device == device {
			w.current.inodes[id] = n
		}
	}
	w.durable.share()
	w.keep(func(_ int, u *unit) bool {
		n := w.durable.inodes[u.inode]
		return n != nil && n.device != device
	})
}
