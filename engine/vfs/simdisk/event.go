package simdisk

import (
	"bufio"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// EventKind is what an Event tells of.
type EventKind uint8

// The kinds of events.
const (
	// EventWrite: bytes were written, by WriteAt, by a Mapping, or for a Clone.
	EventWrite EventKind = iota + 1
	// EventPunch: a range was made zeros.
	EventPunch
	// EventLength: the length was set, to Event.Length.
	EventLength
	// EventReserve: space was reserved.
	EventReserve
	// EventSync: a file was flushed, by Sync or SyncData.
	EventSync
	// EventSyncDir: the names of a directory were flushed.
	EventSyncDir
	// EventDSync: the newest write was one with DSync, and is flushed.
	EventDSync
	// EventCreate: a new file has its name.
	EventCreate
	// EventMkdir: a new directory has its name.
	EventMkdir
	// EventLink: a file has a second name.
	EventLink
	// EventRename: Event.Path is now called Event.Label.
	EventRename
	// EventRemove: a name is gone.
	EventRemove
	// EventMark: the harness called Mark.
	EventMark
	// EventFault: an injected fault fired.
	EventFault
	// EventRot: bits flipped at rest.
	EventRot
	// EventLate: a write that was in flight when its device vanished landed.
	EventLate
	// EventKill: the process died.
	EventKill
	// EventVanish: a device went.
	EventVanish
	// EventReturn: a device came back.
	EventReturn
)

var eventNames = [...]string{
	EventWrite: "write", EventPunch: "punch", EventLength: "length", EventReserve: "reserve",
	EventSync: "sync", EventSyncDir: "sync-dir", EventDSync: "dsync",
	EventCreate: "create", EventMkdir: "mkdir", EventLink: "link", EventRename: "rename", EventRemove: "remove",
	EventMark: "mark", EventFault: "fault", EventRot: "rot", EventLate: "late",
	EventKill: "kill", EventVanish: "vanish", EventReturn: "return",
}

// String returns the word that the trace has for it.
func (k EventKind) String() string {
	if int(k) < len(eventNames) && eventNames[k] != "" {
		return eventNames[k]
	}
	return fmt.Sprintf("event(%d)", uint8(k))
}

// Event is one line of the global log.
type Event struct {
	// Index counts from 0.
	Index int
	Kind  EventKind
	// Path is the name the call was made with.
	Path string
	// Offset and Length are a range of the file, in bytes.
	Offset, Length int64
	// Label is the text of a mark, the second name of a rename or link, the kind
	// of a fault, or how the event came about: "mapped", "clone".
	Label string
	// Err is what the call returned; "ignored" if it returned nil and did nothing.
	Err string
}

// outcome is what became of a flush.
type outcome uint8

const (
	flushed outcome = iota
	// undone: it failed, or was ignored, and what it was to flush is as before.
	undone
	// forgotten: it failed, and what it was to flush passes for clean.
	forgotten
)

// event is what the log keeps: the Event and what it takes to do it again.
type event struct {
	Event
	inode inodeID // the file, or the directory of the name
	// data is what was written. The log's own.
	data []byte
	// resized: the length of the file changed, from before to after.
	resized       bool
	before, after int64
	outcome       outcome
	wrote         int // the event that an EventDSync flushes

	name   string  // in the directory
	child  inodeID // what it stands for
	kind   vfs.Kind
	device int
	dir2   inodeID // the directory of the second name
	name2  string
}

// apply does what the event did to a running system. EventReturn is left to the
// caller.
func (im *image) apply(e *event) {
	switch e.Kind {
	case EventWrite, EventLate:
		im.write(e.inode, e.Offset, e.data)
	case EventPunch:
		im.zero(e.inode, e.Offset, e.Offset+e.Length)
	case EventReserve:
		im.reserve(e.inode, e.Offset, e.Offset+e.Length)
	case EventCreate, EventMkdir:
		im.add(e.child, e.kind, e.device)
		im.assign(e.inode, e.name, e.child)
	case EventLink:
		im.assign(e.inode, e.name, e.child)
	case EventRename:
		im.assign(e.dir2, e.name2, e.child)
		im.assign(e.inode, e.name, 0)
	case EventRemove:
		im.assign(e.inode, e.name, 0)
	case EventRot:
		im.rot(e.inode, e.Offset, e.data[0])
	}
	if e.resized {
		im.setLength(e.inode, e.after)
	}
}

// rot flips bits of one byte.
func (im *image) rot(id inodeID, off int64, mask byte) {
	im.page(im.own(id), off/pageSize, false).data[off%pageSize] ^= mask
}

// WriteTrace writes the global log as text, one event a line: number, kind, and
// what there is of path, range, hash of the bytes, label and error. The same
// calls on a disk with the same options give the same bytes.
func (d *Disk) WriteTrace(w io.Writer) error {
	d.s.mu.Lock()
	log := d.s.log[:len(d.s.log):len(d.s.log)]
	d.s.mu.Unlock()
	b := bufio.NewWriter(w)
	for i := range log {
		e := &log[i]
		fmt.Fprintf(b, "%d %v", e.Index, e.Kind)
		if e.Path != "" {
			fmt.Fprintf(b, " %s", e.Path)
		}
		switch e.Kind {
		case EventWrite, EventPunch, EventReserve, EventRot, EventLate, EventDSync:
			fmt.Fprintf(b, " [%d,+%d)", e.Offset, e.Length)
		case EventLength:
			fmt.Fprintf(b, " %d", e.Length)
		}
		if e.data != nil {
			fmt.Fprintf(b, " #%016x", xxhash.Sum64(e.data))
		}
		if e.Label != "" {
			fmt.Fprintf(b, " %q", e.Label)
		}
		if e.Err != "" {
			fmt.Fprintf(b, ": %s", e.Err)
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}
