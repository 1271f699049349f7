package simdisk

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// ErrKilled is what every call returns that belongs to a process that Kill
// ended. It is engine.ErrClosed too.
var ErrKilled = fmt.Errorf("%w: the process was killed", engine.ErrClosed)

// Device is a device of a Disk.
type Device struct {
	// Path is where its file system is mounted; absolute.
	Path string
	// Capacity is its size in bytes, in whole pages of 4 KiB. 0 is no limit.
	Capacity int64
	// Raw: there is no file system, and Path is the device itself. It needs a
	// Capacity.
	Raw bool
}

// Options choose a disk.
type Options struct {
	// Seed fixes what calls and faults leave open.
	Seed uint64
	// Devices are mounted below a root device, which has no limit unless it is
	// among them, as "/".
	Devices []Device
	// Sites records where calls come from, for Disk.Sites. It takes some
	// microseconds a call.
	Sites bool
	// Transparent are prefixes of function names, with their package's path, that
	// Sites passes over: adapters between the engine and this package.
	Transparent []string
}

// Disk is a simulated disk, and a vfs.FS on it.
type Disk struct {
	s *state
	// life is the process that uses it; see Kill.
	life int
}

var _ vfs.FS = (*Disk)(nil)

// state is what the processes of one disk have in common.
type state struct {
	options Options
	// base is what im started as. It does not change.
	base []*inode

	mu      sync.Mutex
	im      image
	log     []event
	links   []int32 // names of each inode
	opens   []int32 // handles and mappings of each inode
	devices []device
	life    int
	killed  chan struct{} // closed when this life ends
	locked  map[inodeID]*lock

	faults []*Injection
	sites  map[siteKey]*Site
	visits map[Op]int      // calls of each method, where sites are recorded
	lies   map[string]bool // by site
}

// device is a Device in use.
type device struct {
	Device
	root inodeID
	used int64 // pages
	// gone is closed while the device is away; epoch counts how often it went.
	gone  chan struct{}
	away  bool
	epoch int
	late  []lateWrite
}

// New returns an empty disk. It panics if the devices make no sense.
func New(o Options) *Disk {
	devices, im := mount(o.Devices)
	s := newState(o, devices)
	s.base = im.inodes
	s.links = im.sweep(nil)
	s.im = im.clone()
	return &Disk{s: s}
}

// newState returns a state without content.
func newState(o Options, devices []device) *state {
	s := &state{options: o, killed: make(chan struct{}), devices: make([]device, len(devices))}
	for i := range devices { // what changes of a device belongs to a lock
		s.devices[i] = device{Device: devices[i].Device, root: devices[i].root}
	}
	if o.Sites {
		s.sites = make(map[siteKey]*Site)
		s.visits = make(map[Op]int)
	}
	return s
}

// mount makes an image of the roots of the devices and the directories that lead
// to them.
func mount(wanted []Device) ([]device, image) {
	im := image{token: newToken(), inodes: make([]*inode, rootID)}
	im.add(rootID, vfs.Directory, 0)
	im.inodes[rootID].mount = true
	devices := []device{{Device: Device{Path: "/"}, root: rootID}}
	for _, d := range wanted {
		d.Path = clean(d.Path)
		switch {
		case d.Capacity < 0 || d.Capacity%pageSize != 0 || d.Capacity > maxLength:
			panic(fmt.Sprintf("simdisk: device %s of %d bytes", d.Path, d.Capacity))
		case d.Raw && (d.Path == "/" || d.Capacity == 0):
			panic(fmt.Sprintf("simdisk: raw device %s of %d bytes", d.Path, d.Capacity))
		case d.Path == "/":
			devices[0].Device = d
			continue
		}
		dir, rest := rootID, d.Path[1:]
		for rest != "" {
			var name string
			name, rest, _ = strings.Cut(rest, "/")
			id := im.inodes[dir].lookup(name)
			if id == 0 {
				id = inodeID(len(im.inodes))
				im.add(id, vfs.Directory, im.inodes[dir].device)
				im.assign(dir, name, id)
			}
			dir = id
		}
		n := im.inodes[dir]
		if n.mount || len(n.entries) > 0 {
			panic(fmt.Sprintf("simdisk: device %s is mounted twice, or over another", d.Path))
		}
		n.mount, n.device = true, len(devices)
		if d.Raw {
			n.kind, n.length = vfs.BlockDevice, d.Capacity
		}
		devices = append(devices, device{Device: d, root: dir})
	}
	return devices, im
}

// Mark puts an event of the harness into the global log: an operation began, was
// acknowledged.
func (d *Disk) Mark(label string) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	d.s.record(event{Event: Event{Kind: EventMark, Label: label}})
}

// Events returns the length of the global log.
func (d *Disk) Events() int {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return len(d.s.log)
}

// Kill ends the process that uses d, and returns the disk as the next process
// sees it: with the same content, and with the same global log, since nothing
// became durable by it. The calls that hang return, and from now on every call of
// d, of its files, mappings and locks is ErrKilled; its locks are free. Faults
// stay with the disk. A power cut of a running process is Kill, Walk to the end,
// and Crash.
func (d *Disk) Kill() *Disk {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.life == s.life {
		s.life++
		close(s.killed)
		s.killed = make(chan struct{})
		s.locked = nil
		s.record(event{Event: Event{Kind: EventKill}})
		opens := s.opens
		s.opens = nil
		for id, n := range opens {
			if n > 0 {
				s.free(inodeID(id))
			}
		}
	}
	return &Disk{s: s, life: s.life}
}

// record appends to the global log. The event has been applied.
func (s *state) record(e event) {
	e.Index = len(s.log)
	s.log = append(s.log, e)
}

// do applies an event and records it, and minds the space.
func (s *state) do(e event) {
	var id inodeID
	switch e.Kind {
	case EventWrite, EventPunch, EventLength, EventReserve, EventRot, EventLate:
		id = e.inode
	}
	var before int64
	if id != 0 {
		before = s.im.inodes[id].allocated
	}
	s.im.apply(&e)
	if id != 0 {
		n := s.im.inodes[id]
		s.devices[n.device].used += n.allocated - before
	}
	s.record(e)
}

// link counts names of an inode, of which n are new.
func (s *state) link(id inodeID, n int32) {
	for len(s.links) <= int(id) {
		s.links = append(s.links, 0)
	}
	s.links[id] += n
	s.free(id)
}

// open counts handles and mappings of an inode, of which n are new.
func (s *state) open(id inodeID, n int32) {
	for len(s.opens) <= int(id) {
		s.opens = append(s.opens, 0)
	}
	s.opens[id] += n
	s.free(id)
}

// free gives back the space of an inode that nobody can reach any more.
func (s *state) free(id inodeID) {
	if s.links[id] > 0 || int(id) < len(s.opens) && s.opens[id] > 0 {
		return
	}
	if n := s.im.inodes[id]; n != nil {
		if n.kind == vfs.RegularFile {
			s.devices[n.device].used -= n.allocated
		}
		s.im.inodes[id] = nil
	}
}

// measure counts the space that is used.
func (s *state) measure() {
	for i := range s.devices {
		s.devices[i].used = 0
	}
	for _, n := range s.im.inodes {
		if n != nil && n.kind == vfs.RegularFile {
			s.devices[n.device].used += n.allocated
		}
	}
}

// room returns the pages that are free on a device.
func (s *state) room(device int) int64 {
	d := &s.devices[device]
	if d.Capacity == 0 {
		return maxLength / pageSize
	}
	return max(0, d.Capacity/pageSize-d.used)
}

// clean returns the absolute form of a name.
func clean(name string) string {
	name = filepath.ToSlash(filepath.Clean(name))
	if !strings.HasPrefix(name, "/") {
		name = filepath.ToSlash(filepath.Clean("/" + name))
	}
	return name
}

// deviceOf returns the device on which a clean path would be.
func (s *state) deviceOf(path string) int {
	best, length := 0, 0
	for i := range s.devices {
		root := s.devices[i].Path
		if len(root) > length && strings.HasPrefix(path, root) && (len(path) == len(root) || path[len(root)] == '/') {
			best, length = i, len(root)
		}
	}
	return best
}

// lookup returns the inode of a clean path; ENOENT, ENOTDIR.
func (s *state) lookup(path string) (inodeID, error) {
	id, rest := rootID, path[1:]
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		n := s.im.inodes[id]
		if n.kind != vfs.Directory {
			return 0, syscall.ENOTDIR
		}
		if id = n.lookup(name); id == 0 {
			return 0, syscall.ENOENT
		}
	}
	return id, nil
}

// parent returns the directory of a clean path, the last name of it, and what
// that stands for; 0 if nothing.
func (s *state) parent(path string) (dir inodeID, name string, id inodeID, err error) {
	i := strings.LastIndexByte(path, '/')
	name = path[i+1:]
	if name == "" {
		return 0, "", 0, fmt.Errorf("%w: the root of a device", syscall.EBUSY)
	}
	if dir, err = s.lookup(path[:max(i, 1)]); err != nil {
		return 0, "", 0, err
	}
	n := s.im.inodes[dir]
	if n.kind != vfs.Directory {
		return 0, "", 0, syscall.ENOTDIR
	}
	return dir, name, n.lookup(name), nil
}
