package simdisk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// calls makes one call of each method on a disk with a file /a of two pages, a
// directory /d and a mapping, and returns its error.
var calls = []struct {
	op   simdisk.Op
	call func(d *simdisk.Disk, f vfs.File, m vfs.Mapping) error
}{
	{simdisk.OpOpen, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		f, err := d.Open("/a", 0)
		if err == nil {
			f.Close()
		}
		return err
	}},
	{simdisk.OpRead, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error {
		_, err := f.ReadAt(make([]byte, 8), 0)
		return err
	}},
	{simdisk.OpWrite, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error {
		_, err := f.WriteAt(make([]byte, 8), 0, vfs.Plain)
		return err
	}},
	{simdisk.OpDSync, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error {
		_, err := f.WriteAt(make([]byte, 8), 0, vfs.DSync)
		return err
	}},
	{simdisk.OpSync, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Sync() }},
	{simdisk.OpSyncData, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.SyncData() }},
	{simdisk.OpSyncDir, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.SyncDir("/d") }},
	{simdisk.OpWriteback, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Writeback(0, 8) }},
	{simdisk.OpPreallocate, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Preallocate(0, 8) }},
	{simdisk.OpPunch, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Punch(0, 8) }},
	{simdisk.OpTruncate, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Truncate(8192) }},
	{simdisk.OpSize, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error {
		_, err := f.Size()
		return err
	}},
	{simdisk.OpMap, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error {
		m, err := f.Map(0, 8)
		if err == nil {
			m.Close()
		}
		return err
	}},
	{simdisk.OpMapWrite, func(_ *simdisk.Disk, _ vfs.File, m vfs.Mapping) error { return m.Write(make([]byte, 8), 0) }},
	{simdisk.OpMapView, func(_ *simdisk.Disk, _ vfs.File, m vfs.Mapping) error {
		return m.View(0, 8, func([]byte) error { return nil })
	}},
	{simdisk.OpRename, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.Rename("/a", "/a") }},
	{simdisk.OpLink, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.Link("/a", "/l") }},
	{simdisk.OpClone, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.Clone("/a", "/c") }},
	{simdisk.OpRemove, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.Remove("/r") }},
	{simdisk.OpMkdirAll, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error { return d.MkdirAll("/d") }},
	{simdisk.OpList, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		_, err := d.List("/d")
		return err
	}},
	{simdisk.OpStat, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		_, err := d.Stat("/a")
		return err
	}},
	{simdisk.OpLock, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		l, err := d.Lock("/d")
		if err == nil {
			l.Close()
		}
		return err
	}},
	{simdisk.OpDiskUsage, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		_, err := d.DiskUsage("/a")
		return err
	}},
	{simdisk.OpCapabilities, func(d *simdisk.Disk, _ vfs.File, _ vfs.Mapping) error {
		_, err := d.Capabilities("/d")
		return err
	}},
	{simdisk.OpClose, func(_ *simdisk.Disk, f vfs.File, _ vfs.Mapping) error { return f.Close() }},
}

// stage makes the disk that calls need.
func stage(t *testing.T) (*simdisk.Disk, vfs.File, vfs.Mapping) {
	t.Helper()
	d := simdisk.New(simdisk.Options{})
	must(t, d.MkdirAll("/d"))
	must(t, open(t, d, "/r").Close())
	f := open(t, d, "/a")
	write(t, f, strings.Repeat("o", 8192), 0)
	write(t, f, "before", 0)
	m, err := f.Map(0, 8192)
	must(t, err)
	return d, f, m
}

// TestEachMethodFails injects EIO into each method, and ENOSPC where it can be;
// without a fault the call succeeds, and the fault of one method fires at no
// other.
func TestEachMethodFails(t *testing.T) {
	seen := simdisk.Op(0)
	for _, c := range calls {
		seen |= c.op
		t.Run(c.op.String(), func(t *testing.T) {
			d, f, m := stage(t)
			must(t, c.call(d, f, m))

			d, f, m = stage(t)
			i := d.Inject(simdisk.Fault{Op: c.op})
			other := d.Inject(simdisk.Fault{Op: simdisk.OpAny &^ c.op})
			if err := c.call(d, f, m); !errors.Is(err, syscall.EIO) {
				t.Errorf("%v with EIO: %v", c.op, err)
			}
			var e *vfs.Error
			if err := c.call(d, f, m); i.Fired() != 1 || c.op != simdisk.OpClose && err != nil && !errors.As(err, &e) {
				t.Errorf("fired %d times; again: %v", i.Fired(), err)
			}
			// These close what they opened.
			if c.op != simdisk.OpOpen && c.op != simdisk.OpMap && c.op != simdisk.OpLock && other.Fired() != 0 {
				t.Errorf("a fault of the other methods fired at %v", c.op)
			}

			d, f, m = stage(t)
			i = d.Inject(simdisk.Fault{Op: c.op, Effect: simdisk.NoSpace})
			err := c.call(d, f, m)
			switch {
			case i.Fired() == 0:
				must(t, err)
			case c.op == simdisk.OpMapWrite && !errors.Is(err, syscall.EIO),
				c.op != simdisk.OpMapWrite && !errors.Is(err, engine.ErrNoSpace):
				t.Errorf("%v with ENOSPC: %v", c.op, err)
			}
		})
	}
	if seen != simdisk.OpAny {
		t.Errorf("no call for %v", simdisk.OpAny&^seen)
	}
}

// TestRefusedOverwrite: a fault tells whether it refused a write for which there was space.
func TestRefusedOverwrite(t *testing.T) {
	for _, c := range []struct {
		off  int64
		want bool
	}{{0, true}, {4000, true}, {8192, false}, {8000, false}} {
		d := simdisk.New(simdisk.Options{})
		f, err := d.Open("/file", vfs.Create)
		must(t, err)
		_, err = f.WriteAt(make([]byte, 8192), 0, vfs.Plain)
		must(t, err)
		i := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Effect: simdisk.NoSpace})
		if _, err := f.WriteAt(make([]byte, 200), c.off, vfs.Plain); !errors.Is(err, engine.ErrNoSpace) {
			t.Errorf("write at %d: %v", c.off, err)
		}
		if got := i.RefusedOverwrite(); got != c.want {
			t.Errorf("write at %d of 8192: over what has its space: %v", c.off, got)
		}
		i.Remove()
		// A disk that stays full takes what needs no space, once it has refused something.
		i = d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Effect: simdisk.NoSpace, Sticky: true})
		for range 2 {
			if _, err := f.WriteAt(make([]byte, 200), 8192, vfs.Plain); !errors.Is(err, engine.ErrNoSpace) {
				t.Errorf("a write that needs space: %v", err)
			}
		}
		if _, err := f.WriteAt([]byte("new"), 0, vfs.Plain); err != nil || read(t, f, 3) != "new" || i.Fired() != 2 || i.RefusedOverwrite() {
			t.Errorf("a write that needs none: %v; %d were refused", err, i.Fired())
		}
		must(t, f.Close())
	}
}

// TestFilesAreGone: a fault tells whether any file that it hit can still be found, by
// whatever name.
func TestFilesAreGone(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	i := d.Inject(simdisk.Fault{Op: simdisk.OpSync, Effect: simdisk.NoSpace, Sticky: true})
	for _, name := range []string{"/one", "/two"} {
		f, err := d.Open(name, vfs.Create)
		must(t, err)
		if err := f.Sync(); !errors.Is(err, engine.ErrNoSpace) {
			t.Fatalf("sync of %s: %v", name, err)
		}
		must(t, f.Close())
	}
	for _, step := range []struct {
		do   func() error
		gone bool
	}{
		{func() error { return nil }, false},
		{func() error { return d.Remove("/one") }, false},
		{func() error { return d.Rename("/two", "/three") }, false},
		{func() error { return d.Remove("/three") }, true},
	} {
		must(t, step.do())
		if got := i.FilesAreGone(); got != step.gone {
			t.Errorf("gone: %v, want %v", got, step.gone)
		}
	}
}

// read returns the first n bytes of a file.
func read(t *testing.T, f vfs.File, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := f.ReadAt(b, 0)
	must(t, err)
	return string(b)
}

func TestNthStickyPath(t *testing.T) {
	d, f, _ := stage(t)
	i := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "a", Nth: 3})
	sticky := d.Inject(simdisk.Fault{Op: simdisk.OpSync, Path: "/a", Nth: 2, Sticky: true})
	elsewhere := d.Inject(simdisk.Fault{Path: "/a/*", Sticky: true})
	bad := d.Inject(simdisk.Fault{Path: "[", Sticky: true})
	r := open(t, d, "/r")
	var failed []int
	for n := 1; n <= 5; n++ {
		write(t, r, "x", 0)
		if _, err := f.WriteAt([]byte("x"), 0, vfs.Plain); err != nil {
			failed = append(failed, n)
		}
	}
	if len(failed) != 1 || failed[0] != 3 || i.Fired() != 1 {
		t.Errorf("writes %v failed, fired %d times", failed, i.Fired())
	}
	must(t, f.Sync())
	must(t, r.Sync())
	for range 3 {
		if f.Sync() == nil {
			t.Error("a sticky fault went away")
		}
	}
	sticky.Remove()
	must(t, f.Sync())
	if sticky.Fired() != 3 || elsewhere.Fired() != 0 || bad.Fired() != 0 {
		t.Errorf("fired %d, %d and %d times", sticky.Fired(), elsewhere.Fired(), bad.Fired())
	}
	two := d.Inject(simdisk.Fault{Op: simdisk.OpRename, Path: "b"})
	if d.Rename("/a", "/b") == nil || two.Fired() != 1 {
		t.Error("the second name of a call does not count")
	}
}

func TestShortWrite(t *testing.T) {
	d, f, m := stage(t)
	d.Inject(simdisk.Fault{Effect: simdisk.ShortWrite})
	n, err := f.WriteAt([]byte("AFTER!"), 0, vfs.Plain)
	if n != 3 || !errors.Is(err, io.ErrShortWrite) || read(t, f, 6) != "AFTore" {
		t.Errorf("wrote %d, %v: %s", n, err, read(t, f, 6))
	}
	d.Inject(simdisk.Fault{Op: simdisk.OpMapWrite, Effect: simdisk.ShortWrite})
	if err := m.Write([]byte("xxyy"), 0); !errors.Is(err, syscall.EIO) || read(t, f, 6) != "xxTore" {
		t.Errorf("mapped: %v, %s", err, read(t, f, 6))
	}
	direct, err := d.Open("/a", vfs.Direct)
	must(t, err)
	d.Inject(simdisk.Fault{Effect: simdisk.ShortWrite})
	if n, err := direct.WriteAt(vfs.AlignedBuffer(1536, 512), 0, vfs.Plain); n != 512 || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("direct: wrote %d, %v", n, err)
	}
}

// TestFailedDSync: the bytes can be read, and are not durable.
func TestFailedDSync(t *testing.T) {
	d, f, _ := stage(t)
	must(t, f.Sync())
	must(t, d.SyncDir("/"))
	i := d.Inject(simdisk.Fault{Effect: simdisk.FailedFlush})
	n, err := f.WriteAt([]byte("AFTER!"), 0, vfs.DSync)
	if n != 0 || !errors.Is(err, syscall.EIO) || i.Fired() != 1 || read(t, f, 6) != "AFTER!" {
		t.Errorf("wrote %d, %v: %s", n, err, read(t, f, 6))
	}
	must(t, f.Sync())
	w := end(d)
	if units(w) != "write /a[0,6)" {
		t.Errorf("pending: %s", units(w))
	}
	if got := read(t, open(t, w.Crash(nil, 0), "/a"), 6); got != "before" {
		t.Errorf("after a power cut: %s", got)
	}
	if got := read(t, open(t, w.Crash(all(w, simdisk.Kept), 0), "/a"), 6); got != "AFTER!" {
		t.Errorf("after a power cut that kept it: %s", got)
	}
}

func TestMisdirect(t *testing.T) {
	d, f, m := stage(t)
	r := open(t, d, "/r")
	write(t, r, "rrrrrrrr", 0)
	i := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Effect: simdisk.Misdirect})
	write(t, f, "LOST", 0)
	b := make([]byte, 6)
	_, err := f.ReadAt(b, 4096)
	must(t, err)
	if read(t, f, 6) != "before" || string(b) != "LOSToo" || i.Fired() != 1 {
		t.Errorf("the file has %s at 0 and %s at 4096", read(t, f, 6), b)
	}
	// Elsewhere it makes nothing longer, here it does.
	d.Inject(simdisk.Fault{Op: simdisk.OpDSync, Effect: simdisk.Misdirect, To: "/r", Shift: 6 - 8192})
	_, err = f.WriteAt([]byte("LOST"), 8192, vfs.DSync)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	if got := whole(t, r); got != "rrrrrrLO" || size != 8196 {
		t.Errorf("the other file has %s, this one %d bytes", got, size)
	}
	d.Inject(simdisk.Fault{Op: simdisk.OpMapWrite, Effect: simdisk.Misdirect, To: "/absent"})
	must(t, m.Write([]byte("LOST"), 0))
	if read(t, f, 6) != "before" {
		t.Error("a write to nowhere landed")
	}
}

func TestStaleRead(t *testing.T) {
	d, f, m := stage(t)
	i := d.Inject(simdisk.Fault{Effect: simdisk.StaleRead, Sticky: true})
	if got := read(t, f, 6); got != "oooooo" {
		t.Errorf("stale by one write: %s", got)
	}
	write(t, f, "AFTER!", 0)
	if got := read(t, f, 6); got != "before" {
		t.Errorf("stale by one write: %s", got)
	}
	must(t, m.View(0, 6, func(b []byte) error {
		if string(b) != "before" {
			t.Errorf("a stale view: %s", b)
		}
		return nil
	}))
	if i.Fired() != 3 {
		t.Errorf("fired %d times", i.Fired())
	}
	// What was never written in this log cannot be stale.
	c := simdisk.New(simdisk.Options{})
	write(t, open(t, c, "/a"), "once", 0)
	w := end(c)
	again := w.Crash(all(w, simdisk.Kept), 0)
	i = again.Inject(simdisk.Fault{Effect: simdisk.StaleRead})
	f = open(t, again, "/a")
	if read(t, f, 4) != "once" || i.Fired() != 0 {
		t.Error("a read was stale without a write before")
	}
	write(t, f, "twice", 0)
	if read(t, f, 4) != "once" || i.Fired() != 1 {
		t.Error("a read was not stale")
	}
}

func TestRot(t *testing.T) {
	d, f, _ := stage(t)
	must(t, d.SyncDir("/"))
	must(t, d.Rot("/a", 2, 0x20))
	if got := read(t, f, 6); got != "beFore" {
		t.Errorf("rotten: %s", got)
	}
	w := end(d)
	if got := read(t, open(t, w.Crash(nil, 0), "/a"), 6); got != "beFore" {
		t.Errorf("after a power cut: %s", got)
	}
	for _, off := range []int64{-1, 8192} {
		if err := d.Rot("/a", off, 1); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("rot at %d: %v", off, err)
		}
	}
	if err := d.Rot("/absent", 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("rot of an absent file: %v", err)
	}

	i := d.Inject(simdisk.Fault{Effect: simdisk.BitRot})
	got := read(t, f, 6)
	if got == "beFore" || got != read(t, f, 6) || i.Fired() != 1 {
		t.Errorf("a read that finds rot: %q, then %q", got, read(t, f, 6))
	}
}

func TestSlowAndHang(t *testing.T) {
	d, f, _ := stage(t)
	slow := d.Inject(simdisk.Fault{Op: simdisk.OpRead, Effect: simdisk.Slow, Delay: time.Millisecond})
	read(t, f, 6)
	if slow.Fired() != 1 {
		t.Error("nothing was slow")
	}

	hang := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Effect: simdisk.Hang})
	q, err := d.NewQueue(vfs.QueueOptions{Depth: 2})
	must(t, err)
	_, err = q.Submit(&vfs.Request{File: f, Data: []byte("LATE"), Write: true, Timeout: time.Millisecond})
	must(t, err)
	var done [1]*vfs.Request
	_, err = q.Wait(done[:], 1, 0)
	must(t, err)
	if !errors.Is(done[0].Err, os.ErrDeadlineExceeded) || q.Stuck() != 1 {
		t.Errorf("a request that hangs: %v, %d stuck", done[0].Err, q.Stuck())
	}
	// Others are served meanwhile.
	if read(t, f, 6) != "before" || hang.Fired() != 1 {
		t.Error("the write did not hang")
	}
	hang.Release()
	for q.Stuck() > 0 {
		_, err = q.Wait(done[:], 1, time.Millisecond)
		must(t, err)
	}
	must(t, q.Close())
	if got := read(t, f, 6); got != "LATEre" {
		t.Errorf("after Release: %s", got)
	}
}

func TestKill(t *testing.T) {
	d, f, m := stage(t)
	must(t, d.Remove("/r"))
	gone := open(t, d, "/gone")
	must(t, d.Remove("/gone"))
	l, err := d.Lock("/d")
	must(t, err)
	before, pending := d.Hash(), len(end(d).Pending())
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpSync, Effect: simdisk.Hang})
	hung := make(chan error)
	go func() { hung <- f.Sync() }()
	<-hang.Met()
	next := d.Kill()
	if err := <-hung; !errors.Is(err, simdisk.ErrKilled) {
		t.Errorf("what hung: %v", err)
	}
	for _, c := range calls {
		if err := c.call(d, f, m); !errors.Is(err, simdisk.ErrKilled) && c.op != simdisk.OpClose {
			t.Errorf("%v of a dead process: %v", c.op, err)
		}
	}
	for i, err := range []error{gone.Sync(), l.Close(), m.Close()} {
		if !errors.Is(err, simdisk.ErrKilled) || !errors.Is(err, engine.ErrClosed) {
			t.Errorf("call %d of a dead process: %v", i, err)
		}
	}
	if next.Hash() != before || len(end(next).Pending()) != pending {
		t.Error("the death of a process changed the disk")
	}
	l, err = next.Lock("/d")
	must(t, err)
	must(t, l.Close())
	write(t, open(t, next, "/a"), "alive", 0)
	if again := d.Kill(); again.Hash() != next.Hash() {
		t.Error("a second Kill of the same process did something")
	}
	must(t, next.Remove("/a"))
}

func TestCapacity(t *testing.T) {
	d := simdisk.New(simdisk.Options{Devices: []simdisk.Device{{Path: "/small", Capacity: 4 * 4096}}})
	f := open(t, d, "/small/a")
	usage := func(want uint64) {
		t.Helper()
		u, err := d.DiskUsage("/small")
		must(t, err)
		if u.Total != 16384 || u.Available != want {
			t.Errorf("%+v, want %d available", u, want)
		}
	}
	usage(16384)
	n, err := f.WriteAt(make([]byte, 20000), 100, vfs.Plain)
	if n != 16284 || !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("wrote %d, %v", n, err)
	}
	usage(0)
	write(t, f, "over what is there", 0)
	must(t, f.Truncate(4097))
	usage(8192)
	if err := f.Preallocate(0, 5*4096); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("reserved too much: %v", err)
	}
	must(t, f.Preallocate(0, 4*4096))
	usage(0)
	write(t, f, "reserved", 3*4096)
	if err := d.Clone("/small/a", "/small/b"); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("cloned too much: %v", err)
	}
	must(t, f.Punch(0, 4096))
	usage(4096)
	m, err := f.Map(0, 8192)
	must(t, err)
	write(t, open(t, d, "/small/b"), "b", 0)
	if err := m.Write([]byte("hole"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("wrote to a hole of a full disk: %v", err)
	}
	must(t, d.Remove("/small/a"))
	usage(0)
	must(t, f.Close())
	usage(0)
	must(t, m.Close())
	usage(12288)
	must(t, d.SyncDir("/small"))
	u, err := end(d).Crash(nil, 0).DiskUsage("/small")
	must(t, err)
	if u.Available != 16384 {
		t.Errorf("after a power cut: %+v", u)
	}
	write(t, open(t, d, "/elsewhere"), strings.Repeat("x", 20000), 0)
	for i, err := range []error{
		d.Rename("/elsewhere", "/small/c"), d.Link("/elsewhere", "/small/c"), d.Clone("/elsewhere", "/small/c"),
	} {
		if !errors.Is(err, syscall.EXDEV) {
			t.Errorf("call %d between devices: %v", i, err)
		}
	}
	if d.Remove("/small") == nil || d.Rename("/small", "/large") == nil {
		t.Error("the root of a device was taken away")
	}
}

func TestRaw(t *testing.T) {
	d := simdisk.New(simdisk.Options{Devices: []simdisk.Device{{Path: "/dev/x", Capacity: 8192, Raw: true}}})
	info, err := d.Stat("/dev/x")
	must(t, err)
	if info != (vfs.Info{Kind: vfs.BlockDevice, Size: 8192}) {
		t.Errorf("%+v", info)
	}
	f, err := d.Open("/dev/x", 0)
	must(t, err)
	if n, err := f.WriteAt(make([]byte, 8), 8188, vfs.Plain); n != 4 || !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("over the end: %d, %v", n, err)
	}
	write(t, f, "durable", 0)
	must(t, f.SyncData())
	write(t, f, "pending", 0)
	for i, err := range []error{f.Truncate(0), f.Preallocate(0, 1)} {
		if !errors.Is(err, engine.ErrUnsupported) {
			t.Errorf("call %d on a device: %v", i, err)
		}
	}
	if err := f.Punch(1, 1); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("an unaligned hole: %v", err)
	}
	l, err := d.Lock("/dev/x")
	must(t, err)
	if _, err := d.Lock("/dev/x"); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	must(t, l.Close())
	c, err := end(d).Crash(nil, 0).Open("/dev/x", 0)
	must(t, err)
	if got := read(t, c, 7); got != "durable" {
		t.Errorf("after a power cut: %s", got)
	}
}

func TestDevices(t *testing.T) {
	d := simdisk.New(simdisk.Options{Devices: []simdisk.Device{{Path: "/m/one"}, {Path: "/m/two"}}})
	var files []vfs.File
	for _, dir := range []string{"/m/one", "/m/two"} {
		f := open(t, d, dir+"/a")
		write(t, f, "durable", 0)
		must(t, f.Sync())
		must(t, d.SyncDir(dir))
		write(t, f, "PENDING", 0)
		files = append(files, f)
	}
	m, err := files[0].Map(0, 7)
	must(t, err)
	must(t, open(t, d, "/m/one/new").Close())
	hang := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "/m/one/a", Effect: simdisk.Hang})
	hung := make(chan error)
	go func() {
		_, err := files[0].WriteAt([]byte("!!"), 5, vfs.Plain)
		hung <- err
	}()
	<-hang.Met()
	must(t, d.Vanish("/m/one"))
	if err := <-hung; !errors.Is(err, syscall.EIO) {
		t.Errorf("what hung: %v", err)
	}
	_, absent := d.Open("/m/one/a", 0)
	_, listed := d.List("/m/one")
	for i, err := range []error{
		files[0].Sync(), m.Write([]byte("x"), 0), m.View(0, 1, func([]byte) error { return nil }),
		absent, listed, d.SyncDir("/m/one"), d.Rename("/m/one/a", "/m/two/b"), d.MkdirAll("/m/one/d"),
	} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d on a device that is away: %v", i, err)
		}
	}
	if read(t, files[1], 7) != "PENDING" {
		t.Error("the other device suffered")
	}

	late, err := d.Return("/m/one")
	must(t, err)
	if err := files[0].Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a handle from before: %v", err)
	}
	f := open(t, d, "/m/one/a")
	if got := content(t, d); got != "/m/ /m/one/ /m/one/a=durable /m/two/ /m/two/a=PENDING" {
		t.Errorf("after the return: %s", got)
	}
	if pending := units(end(d)); pending != "write /m/two/a[0,7)" {
		t.Errorf("pending after the return: %s", pending)
	}
	if len(late.Units()) != 2 || late.Units()[1].Event != -1 {
		t.Fatalf("late: %+v", late.Units())
	}
	write(t, f, "newer", 0)
	must(t, f.Sync())
	must(t, late.Land(1))
	if got := read(t, f, 7); got != "newer!!" {
		t.Errorf("after a late write: %s", got)
	}
	must(t, late.Land(0))
	if got := read(t, open(t, end(d).Crash(nil, 0), "/m/one/a"), 7); got != "PENDING" {
		t.Errorf("a late write at a power cut: %s", got)
	}
	w := end(d)
	if got, want := w.Crash(all(w, simdisk.Kept), 0).Hash(), d.Hash(); got != want {
		t.Error("all kept is not what the running system sees")
	}
	must(t, d.Remove("/m/one/a"))
	must(t, f.Close())
	must(t, files[0].Close())
	must(t, m.Close())
	if err := late.Land(0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a late write to a file that is gone: %v", err)
	}
	for i, err := range []error{d.Vanish("/m"), d.Vanish("/absent"), func() error { _, err := d.Return("/m/two"); return err }()} {
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}
