package simdisk

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Op is a set of methods of vfs.FS, vfs.File and vfs.Mapping.
type Op uint32

// The methods. A write with DSync is an OpDSync and no OpWrite.
const (
	OpOpen Op = 1 << iota
	OpRead
	OpWrite
	OpDSync
	OpSync
	OpSyncData
	OpSyncDir
	OpWriteback
	OpPreallocate
	OpPunch
	OpTruncate
	OpSize
	OpMap
	OpMapWrite
	OpMapView
	OpClose
	OpRename
	OpLink
	OpClone
	OpRemove
	OpMkdirAll
	OpList
	OpStat
	OpLock
	OpDiskUsage
	OpCapabilities

	opEnd

	// OpAny is every method.
	OpAny = opEnd - 1
	// OpFlush is what makes something durable.
	OpFlush = OpSync | OpSyncData | OpSyncDir | OpDSync
	// OpAnyWrite is what writes bytes.
	OpAnyWrite = OpWrite | OpDSync | OpMapWrite
	// OpAnyRead is what reads them.
	OpAnyRead = OpRead | OpMapView
)

// opNames are the operations that errors name.
var opNames = map[Op]string{
	OpOpen: "open", OpRead: "read", OpWrite: "write", OpDSync: "write", OpSync: "sync", OpSyncData: "sync-data",
	OpSyncDir: "sync-dir", OpWriteback: "writeback", OpPreallocate: "preallocate", OpPunch: "punch", OpTruncate: "truncate", OpSize: "size",
	OpMap: "map", OpMapWrite: "write-map", OpMapView: "read-map", OpClose: "close", OpRename: "rename", OpLink: "link",
	OpClone: "clone", OpRemove: "remove", OpMkdirAll: "mkdir", OpList: "list", OpStat: "stat", OpLock: "lock",
	OpDiskUsage: "disk-usage", OpCapabilities: "probe",
}

// String returns the names of the methods, as errors have them, joined by "|".
func (o Op) String() string {
	var names []string
	for one := Op(1); one < opEnd; one <<= 1 {
		if o&one == 0 {
			continue
		}
		name := opNames[one]
		if one == OpDSync {
			name = "dsync"
		}
		names = append(names, name)
	}
	return strings.Join(names, "|")
}

// Effect is what a fault does.
type Effect uint8

// The effects, and the methods that can have them.
const (
	// EIO: the call fails with EIO and does nothing. A flush can be repeated. Any
	// method.
	EIO Effect = iota
	// NoSpace: likewise with ENOSPC. OpOpen, OpAnyWrite (EIO in a mapping), flushes
	// and what makes names or reserves space. Where it is sticky, later writes for which
	// the file has the space are carried out.
	NoSpace
	// ShortWrite: the first half of the bytes is written, in whole sectors if the
	// handle is direct; io.ErrShortWrite, and EIO in a mapping. OpAnyWrite.
	ShortWrite
	// FailedFlush: EIO, and what was to be made durable passes for clean: it can
	// be read, and no later flush takes it. At a power cut it is pending as
	// before. A DSync write did write. OpFlush.
	FailedFlush
	// Slow: the call takes Delay longer, at most MaxDelay. Any method.
	Slow
	// Hang: the call waits until Release or Remove, and goes on then. Kill ends it
	// with ErrKilled, Vanish with EIO. Any method.
	Hang
	// Misdirect: the bytes go to another place, To and Shift say which, and the
	// call succeeds. They do not make a file longer there. OpWrite, OpDSync,
	// OpMapWrite.
	Misdirect
	// StaleRead: the call returns the content before the newest write of any of
	// the bytes. It does not fire where there was none. OpAnyRead.
	StaleRead
	// BitRot: a bit of what is to be read, by the seed's choice, flips at rest.
	// OpAnyRead.
	BitRot
)

var effectNames = [...]string{"EIO", "ENOSPC", "short write", "failed flush", "slow", "hang", "misdirected write", "stale read", "bit rot"}

// String returns the name of the effect.
func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return fmt.Sprintf("effect(%d)", uint8(e))
}

// ops returns the methods that can have an effect.
func (e Effect) ops() Op {
	switch e {
	case NoSpace:
		return OpOpen | OpAnyWrite | OpFlush | OpPreallocate | OpPunch | OpTruncate | OpRename | OpLink | OpClone | OpMkdirAll | OpLock
	case ShortWrite, Misdirect:
		return OpAnyWrite
	case FailedFlush:
		return OpFlush
	case StaleRead, BitRot:
		return OpAnyRead
	}
	return OpAny
}

// MaxDelay bounds a Slow fault.
const MaxDelay = 10 * time.Second

// Fault is an error to inject.
type Fault struct {
	// Op are the methods; 0 is all that can have the effect.
	Op Op
	// Path is a pattern of filepath.Match for the file's whole path, or for its
	// last element if it has no separator; "" is every file. A call with two names
	// matches by either.
	Path string
	// Nth is which of the matching calls fails, from 1; 0 is 1.
	Nth int
	// Sticky: so do all after it.
	Sticky bool
	Effect Effect
	// Delay is for Slow.
	Delay time.Duration
	// To is the file that Misdirect writes to, "" for the same, and Shift what it
	// adds to the offset; if neither is given, Shift is a page of 4096 bytes.
	To    string
	Shift int64
}

// Injection is a Fault at work.
type Injection struct {
	s                *state
	fault            Fault
	seen             int
	fired            int
	refusedOverwrite bool
	files            []inodeID // of the calls that it has changed; 0 for one that had no such name
	off              bool
	free             chan struct{} // closed by Release
	open             bool          // Release was called
	met              chan struct{} // closed when it fires first
}

// Inject makes the disk fail from now on as f says. Of several faults that a call
// meets, the oldest counts; Slow and Hang come before others.
func (d *Disk) Inject(f Fault) *Injection {
	if f.Op == 0 {
		f.Op = OpAny
	}
	f.Op &= f.Effect.ops()
	f.Nth = max(f.Nth, 1)
	f.Delay = min(f.Delay, MaxDelay)
	if f.To == "" && f.Shift == 0 {
		f.Shift = pageSize
	}
	i := &Injection{s: d.s, fault: f, free: make(chan struct{}), met: make(chan struct{})}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.faults = append(d.s.faults, i)
	return i
}

// Fired returns how many calls the fault has changed.
func (i *Injection) Fired() int {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return i.fired
}

// RefusedOverwrite reports whether NoSpace has failed a write for which the file had all the
// space, as only a file system does that copies on write.
func (i *Injection) RefusedOverwrite() bool {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return i.refusedOverwrite
}

// FilesAreGone reports whether each file of the calls that the fault has changed has no name
// any more: it cannot matter then what became of it.
func (i *Injection) FilesAreGone() bool {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	for _, id := range i.files {
		if id == 0 || i.s.links[id] > 0 {
			return false
		}
	}
	return true
}

// Met returns a channel that is closed when the fault changes its first call.
func (i *Injection) Met() <-chan struct{} { return i.met }

// Release lets the calls go on that hang, and lets no further one hang.
func (i *Injection) Release() {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	if !i.open {
		i.open = true
		close(i.free)
	}
}

// Remove ends the fault, and releases what hangs.
func (i *Injection) Remove() {
	i.Release()
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.off = true
	for at, f := range i.s.faults {
		if f == i {
			i.s.faults = append(i.s.faults[:at:at], i.s.faults[at+1:]...)
			return
		}
	}
}

// matches reports whether a call is one of those that the fault counts.
func (i *Injection) matches(op Op, path string) bool {
	if i.fault.Op&op == 0 {
		return false
	}
	if i.fault.Path == "" {
		return true
	}
	for len(path) > 0 {
		one, rest, _ := strings.Cut(path, " to ")
		path = rest
		name := one
		if !strings.ContainsRune(i.fault.Path, filepath.Separator) {
			name = filepath.Base(one)
		}
		// A bad pattern matches nothing, and so never fires.
		if ok, err := filepath.Match(i.fault.Path, name); ok && err == nil {
			return true
		}
	}
	return false
}

// due counts a call and reports whether the fault is to fire.
func (i *Injection) due(op Op, path string) bool {
	if i.off || !i.matches(op, path) {
		return false
	}
	i.seen++
	return i.seen == i.fault.Nth || i.fault.Sticky && i.seen > i.fault.Nth
}

// fire counts and records that the fault changes a call.
func (i *Injection) fire(op Op, path string) {
	if i.fired++; i.fired == 1 {
		close(i.met)
	}
	id, err := i.s.lookup(clean(path))
	if err != nil {
		id = 0
	}
	i.files = append(i.files, id)
	i.s.record(event{Event: Event{Kind: EventFault, Path: path, Label: i.fault.Effect.String() + " at " + op.String()}})
}

// call is one call of a method.
type call struct {
	op   Op
	path string
	// device is the device it is for, and epoch that of the handle; -1 if there is
	// none.
	device, epoch int
	// late is what lands later if the device goes while the call hangs.
	late *lateWrite

	// What begin found.
	fault *Injection // yet to fire; its effect is the method's to produce
	lied  bool       // a flush is to do nothing, and to succeed
}

// begin starts a call. If it returns nil, the disk is locked, and the caller
// unlocks it.
func (d *Disk) begin(c *call) error {
	s := d.s
	s.mu.Lock()
	if err := s.admit(d, c); err != nil {
		s.mu.Unlock()
		return err
	}
	return nil
}

// admit is begin under the lock, which it gives up while a call is slow or hangs.
func (s *state) admit(d *Disk, c *call) error {
	if d.life != s.life {
		return ErrKilled
	}
	if s.sites != nil || s.lies != nil {
		c.lied = s.visit(c.op) && c.op&OpFlush != 0
	}
	if err := s.reach(c); err != nil {
		return err
	}
	if len(s.faults) == 0 {
		return nil
	}
	var waits []*Injection
	for _, i := range s.faults {
		if !i.due(c.op, c.path) {
			continue
		}
		switch {
		case i.fault.Effect == Slow, i.fault.Effect == Hang && !i.open:
			i.fire(c.op, c.path)
			waits = append(waits, i)
		case i.fault.Effect == Hang:
		case c.fault == nil:
			c.fault = i
		}
	}
	for _, i := range waits {
		if err := s.wait(i, c); err != nil {
			return err
		}
	}
	if d.life != s.life {
		return ErrKilled
	}
	if err := s.reach(c); err != nil {
		if c.late != nil {
			at := &s.devices[c.device]
			w := *c.late
			w.data = bytes.Clone(w.data) // the caller's, who has it back with the error
			at.late = append(at.late, w)
		}
		return err
	}
	if c.fault == nil {
		return nil
	}
	switch c.fault.fault.Effect {
	case EIO:
		c.fault.fire(c.op, c.path)
		return syscall.EIO
	case NoSpace:
		if c.late != nil && s.hasSpace(c.late) {
			if c.fault.fired > 0 {
				c.fault = nil // a disk that stays full takes what needs no space
				return nil
			}
			c.fault.refusedOverwrite = true
		}
		c.fault.fire(c.op, c.path)
		if c.op == OpMapWrite {
			return fmt.Errorf("%w: no space for a hole under the mapping", syscall.EIO)
		}
		return syscall.ENOSPC
	}
	return nil
}

// hasSpace reports whether a file has all the space that a write needs.
func (s *state) hasSpace(w *lateWrite) bool {
	n := s.im.inodes[w.id]
	return n.kind == vfs.BlockDevice || w.off >= 0 && n.missing(w.off, w.off+int64(len(w.data))) == 0
}

// effect returns the effect that the method is to produce; false if there is
// none.
func (c *call) effect(e Effect) bool { return c.fault != nil && c.fault.fault.Effect == e }

// reach returns an error if the device of a call is not there.
func (s *state) reach(c *call) error {
	if c.op == OpClose {
		return nil
	}
	if d := &s.devices[c.device]; d.away || c.epoch >= 0 && c.epoch != d.epoch {
		return fmt.Errorf("%w: the device is gone", syscall.EIO)
	}
	return nil
}

// wait lets a call be slow, or hang.
func (s *state) wait(i *Injection, c *call) error {
	gone := s.devices[c.device].gone
	if gone == nil {
		gone = make(chan struct{})
		s.devices[c.device].gone = gone
	}
	killed := s.killed
	s.mu.Unlock()
	defer s.mu.Lock()
	var over <-chan time.Time
	release := i.free
	if i.fault.Effect == Slow {
		timer := time.NewTimer(i.fault.Delay)
		defer timer.Stop()
		over, release = timer.C, nil
	}
	select {
	case <-over:
	case <-release:
	case <-killed:
	case <-gone:
	}
	return nil
}

// fail makes the error of a call.
func (c *call) fail(off int64, err error) error { return vfs.NewError(opNames[c.op], c.path, off, err) }
