package blockfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/blockfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	device = "/dev/one"
	mib    = 1 << 20
)

func newDisk(seed uint64) *simdisk.Disk {
	return simdisk.New(simdisk.Options{Seed: seed, Devices: []simdisk.Device{
		{Path: device, Capacity: 64 * mib, Raw: true}, {Path: "/dev/two", Capacity: 96 * mib, Raw: true},
	}})
}

// on returns the file system of a disk's first device.
func on(t testing.TB, d vfs.FS) *blockfs.FS {
	t.Helper()
	fsys := blockfs.New(d, device)
	t.Cleanup(func() { must(t, fsys.Close()) })
	return fsys
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// conform runs the suite with a device for each case.
func conform(t *testing.T, fresh func(t *testing.T) (vfs.FS, string)) {
	for _, c := range vfstest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			fsys, dir := fresh(t)
			err := c.Run(fsys, dir)
			var skipped *vfstest.Skipped
			if errors.As(err, &skipped) {
				t.Skip("SKIPPED, NOT VERIFIED HERE: " + skipped.Reason)
			}
			must(t, err)
		})
	}
}

func TestConformance(t *testing.T) {
	conform(t, func(t *testing.T) (vfs.FS, string) { return on(t, newDisk(1)), device })
}

func put(t testing.TB, fsys vfs.FS, name, content string, sync bool) {
	t.Helper()
	f, err := fsys.Open(device+"/"+name, vfs.Create|vfs.Truncate)
	must(t, err)
	_, err = f.WriteAt([]byte(content), 0, vfs.Plain)
	must(t, err)
	if sync {
		must(t, f.Sync())
	}
	must(t, f.Close())
}

func get(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(device+"/"+name, vfs.ReadOnly)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return string(b)
}

// write writes to the device itself.
func write(t testing.TB, d vfs.FS, p []byte, off int64) {
	t.Helper()
	f, err := d.Open(device, 0)
	must(t, err)
	_, err = f.WriteAt(p, off, vfs.Plain)
	must(t, errors.Join(err, f.Sync(), f.Close()))
}

// TestPassesOn: what does not lie on a device goes to the FS below, also what has a name
// that only begins like the device's, and a path that is a directory.
func TestPassesOn(t *testing.T) {
	d := newDisk(1)
	fsys := blockfs.New(d, device, "/dir")
	defer fsys.Close()
	must(t, fsys.MkdirAll("/dir"))
	for _, name := range []string{"/dir/a", "/dev/one1", "/b"} {
		f, err := fsys.Open(name, vfs.Create)
		must(t, err)
		must(t, f.Close())
		if _, err := d.Stat(name); err != nil {
			t.Error(err)
		}
	}
	must(t, fsys.Rename("/b", "/c"))
	if err := fsys.Rename("/c", device+"/c"); err == nil {
		t.Error("a rename onto a device")
	}
	if names, err := d.List("/"); err != nil || !slices.Equal(names, []string{"c", "dev", "dir"}) {
		t.Error(names, err)
	}
	if info, err := fsys.Stat(device); err != nil || info.Kind != vfs.BlockDevice || info.Size != 64*mib {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestLookingWritesNothing: a device that is only looked at stays empty.
func TestLookingWritesNothing(t *testing.T) {
	d := newDisk(1)
	before := d.Hash()
	fsys := on(t, d)
	names, err := fsys.List(device)
	must(t, err)
	_, err = fsys.Open(device+"/a", vfs.ReadOnly)
	if len(names) > 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(names, err)
	}
	l, err := fsys.Lock(device)
	must(t, err)
	must(t, l.Close())
	if d.Hash() != before {
		t.Error("it was written to")
	}
}

// TestForeignIsRefused: what others have on a device stays, and the error says what it is.
func TestForeignIsRefused(t *testing.T) {
	for _, c := range []struct {
		magic  string
		offset int64
		want   string
	}{
		{"XFSB", 0, "xfs"}, {"\x53\xef", 1080, "ext4"}, {"_BHRfS_M", 65600, "btrfs"}, {"EFI PART", 512, "GPT"}, {"\x55\xaa", 510, "MBR"},
		{"LABELONE", 512, "LVM"}, {"x", 1<<20 - 1, "at 1048575"}, {"garbage", 512 << 10, "at 524288"},
	} {
		for _, ours := range []bool{false, true} {
			d := newDisk(1)
			if ours { // somebody has made a file system over it
				if c.offset == 512<<10 {
					continue
				}
				put(t, on(t, d), "a", "content", true)
			}
			write(t, d, []byte(c.magic), c.offset)
			before := d.Hash()
			fsys := on(t, d)
			_, err := fsys.List(device)
			if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), device) || !strings.Contains(err.Error(), "dd if=/dev/zero") {
				t.Errorf("%q: %v", c.magic, err)
			}
			if _, err := fsys.Lock(device); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%q: lock: %v", c.magic, err)
			}
			if _, err := fsys.Open(device+"/a", vfs.Create); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%q: open: %v", c.magic, err)
			}
			if d.Hash() != before {
				t.Errorf("%q: it was written to", c.magic)
			}
		}
	}
}

// TestZeroedIsEmpty: zeros in the first MiB make a device empty, whatever tables lie behind.
func TestZeroedIsEmpty(t *testing.T) {
	d := newDisk(1)
	for i := range 10 {
		put(t, on(t, d), fmt.Sprint("old", i), "content", true)
	}
	write(t, d, make([]byte, mib), 0)
	fsys := on(t, d)
	if names, err := fsys.List(device); err != nil || len(names) > 0 {
		t.Fatal(names, err)
	}
	put(t, fsys, "new", "content", true)
	if names, err := on(t, d).List(device); err != nil || !slices.Equal(names, []string{"new"}) {
		t.Fatal(names, err)
	}
}

// TestSmallDevice: there is no room for tables.
func TestSmallDevice(t *testing.T) {
	d := simdisk.New(simdisk.Options{Devices: []simdisk.Device{{Path: device, Capacity: 31 * mib, Raw: true}}})
	if _, err := on(t, d).List(device); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "32505856") {
		t.Fatal(err)
	}
}

// copyAt is where a copy of the table lies, as doc.go says.
func copyAt(place, n int) int64 { return int64(1+4*(2*place+n)) * mib }

// TestDamagedTables: one damaged copy of each table, and one damaged label, change nothing;
// without a whole table the device and the offset are told.
func TestDamagedTables(t *testing.T) {
	for i := range 4 {
		off, damaged := int64(i/2*4096), i%2 // header, payload; of which copy
		d := newDisk(1)
		fsys := on(t, d)
		for i := range 5 {
			put(t, fsys, fmt.Sprint("file", i), "content", true)
		}
		bad := bytes.Repeat([]byte{0xa5}, 512)
		for place := range 2 {
			write(t, d, bad, copyAt(place, damaged)+off)
		}
		write(t, d, make([]byte, 4096), 512<<10)
		fsys = on(t, d)
		for i := range 5 {
			if got := get(t, fsys, fmt.Sprint("file", i)); got != "content" {
				t.Fatalf("file %d: %q", i, got)
			}
		}
		put(t, fsys, "more", "content", true) // and the label is whole again
		write(t, d, make([]byte, 4096), 768<<10)
		get(t, on(t, d), "more")

		for place := range 2 {
			for n := range 2 {
				write(t, d, bad, copyAt(place, n)+off)
			}
		}
		_, err := on(t, d).List(device)
		var where *vfs.Error
		if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), device) || !errors.As(err, &where) || !strings.Contains(err.Error(), "at 1048576") {
			t.Errorf("without a table: %v", err)
		}
	}
}

// TestNewerFormat: what a newer program wrote is refused by its version.
func TestNewerFormat(t *testing.T) {
	for _, newer := range []func(t *testing.T, d *simdisk.Disk){
		func(t *testing.T, d *simdisk.Disk) { write(t, d, blockfs.LabelOfVersion(2), 512<<10) },
		func(t *testing.T, d *simdisk.Disk) { write(t, d, blockfs.HeaderOfVersion(2), copyAt(1, 1)) },
	} {
		d := newDisk(1)
		put(t, on(t, d), "a", "content", true)
		newer(t, d)
		if _, err := on(t, d).List(device); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("%v", err)
		}
	}
}

// TestFull: a full device refuses writes and keeps what it has; what was removed makes room.
func TestFull(t *testing.T) {
	d := newDisk(1)
	fsys := on(t, d)
	chunk := strings.Repeat("x", mib)
	n := 0
	for ; ; n++ {
		f, err := fsys.Open(fmt.Sprintf("%s/%02d", device, n), vfs.Create)
		must(t, err)
		_, err = f.WriteAt([]byte(chunk), 0, vfs.Plain)
		must(t, f.Close())
		if err != nil {
			if !errors.Is(err, engine.ErrNoSpace) {
				t.Fatal(err)
			}
			break
		}
	}
	if n != 47 {
		t.Fatalf("%d files of 1 MiB on a device with 47 MiB for files", n)
	}
	for i := range n {
		if got := get(t, fsys, fmt.Sprintf("%02d", i)); got != chunk {
			t.Fatalf("file %d has %d bytes", i, len(got))
		}
	}
	if u, err := fsys.DiskUsage(device); err != nil || u.Free != 0 || u.Total != 47*mib {
		t.Errorf("%+v, %v", u, err)
	}
	f, err := fsys.Open(device+"/00", 0)
	must(t, err)
	if err := f.Preallocate(mib, 1); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("preallocate: %v", err)
	}
	_, err = f.WriteAt([]byte("y"), 5, vfs.DSync)
	must(t, err)
	must(t, f.Close())
	must(t, fsys.Remove(device+"/07"))
	put(t, fsys, "more", chunk, true) // what is free only behind a commit
	if got := get(t, on(t, d), "more"); got != chunk {
		t.Errorf("%d bytes", len(got))
	}
}

// TestFullTable: the table of files has room for so many.
func TestFullTable(t *testing.T) {
	fsys := on(t, newDisk(1))
	name := strings.Repeat("n", 240)
	var err error
	n := 0
	for ; err == nil; n++ {
		var f vfs.File
		if f, err = fsys.Open(fmt.Sprintf("%s/%s%06d", device, name, n), vfs.Create); err == nil {
			must(t, f.Close())
		}
	}
	if !errors.Is(err, engine.ErrNoSpace) || n < 15_000 {
		t.Fatalf("%d files: %v", n, err)
	}
	must(t, fsys.SyncDir(device))
}

// TestFailedFlush: after a flush that failed none succeeds, of whatever file, until the
// device is locked again; reads go on.
func TestFailedFlush(t *testing.T) {
	d := newDisk(1)
	fsys := on(t, d)
	put(t, fsys, "a", "durable", true)
	put(t, fsys, "b", "content", false)
	old, err := fsys.Open(device+"/b", 0)
	must(t, err)
	d.Inject(simdisk.Fault{Path: device, Op: simdisk.OpSyncData, Effect: simdisk.FailedFlush})
	if err := old.Sync(); err == nil {
		t.Fatal("a failed flush succeeded")
	}
	a, err := fsys.Open(device+"/a", 0)
	must(t, err)
	_, dsync := a.WriteAt([]byte("x"), 0, vfs.DSync)
	for i, err := range []error{a.Sync(), old.SyncData(), fsys.SyncDir(device), dsync} {
		if err == nil {
			t.Errorf("flush %d succeeded", i)
		}
	}
	if got := get(t, fsys, "b"); got != "content" {
		t.Errorf("%q", got)
	}
	l, err := fsys.Lock(device)
	must(t, err)
	if err := old.Sync(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("a file from before: %v", err)
	}
	must(t, old.Close())
	must(t, a.Close())
	put(t, fsys, "b", "again", true)
	if got := get(t, fsys, "a"); got != "durable" {
		t.Errorf("%q", got)
	}
	must(t, l.Close())
}

// TestDeviceComesBack: a device that was away is looked at again when it is locked.
func TestDeviceComesBack(t *testing.T) {
	d := newDisk(1)
	fsys := on(t, d)
	put(t, fsys, "a", "durable", true)
	put(t, fsys, "b", "lost", false)
	must(t, d.Vanish(device))
	if _, err := fsys.Lock(device); err == nil {
		t.Fatal("a device that is away was locked")
	}
	_, err := d.Return(device)
	must(t, err)
	l, err := fsys.Lock(device)
	must(t, err)
	if names, err := fsys.List(device); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Error(names, err)
	}
	put(t, fsys, "a", "changed", true)
	must(t, l.Close())
	write(t, d, make([]byte, mib), 0)
	l, err = fsys.Lock(device)
	must(t, err)
	if names, err := fsys.List(device); err != nil || len(names) > 0 {
		t.Errorf("a device that was zeroed has %q, %v", names, err)
	}
	must(t, l.Close())
}

// TestDeviceGrows: what a device has gained is used.
func TestDeviceGrows(t *testing.T) {
	d := newDisk(1)
	put(t, on(t, d), "a", "content", true)
	src, err := d.Open(device, vfs.ReadOnly)
	must(t, err)
	b := make([]byte, 64*mib)
	_, err = src.ReadAt(b, 0)
	must(t, err)
	must(t, src.Close())
	dst, err := d.Open("/dev/two", 0)
	must(t, err)
	_, err = dst.WriteAt(b, 0, vfs.Plain)
	must(t, errors.Join(err, dst.Close()))
	two := blockfs.New(d, "/dev/two")
	defer two.Close()
	u, err := two.DiskUsage("/dev/two/a")
	if err != nil || u.Total != 79*mib {
		t.Fatalf("%+v, %v", u, err)
	}
}

// TestHandleOutlivesName: a file that was removed, or replaced, keeps its bytes while it is
// open, also behind a commit; then its units are used again.
func TestHandleOutlivesName(t *testing.T) {
	fsys := on(t, newDisk(1))
	put(t, fsys, "a", strings.Repeat("a", 20*mib), true)
	held, err := fsys.Open(device+"/a", 0)
	must(t, err)
	put(t, fsys, "b", "b", true)
	must(t, fsys.Rename(device+"/b", device+"/a"))
	must(t, fsys.SyncDir(device))
	put(t, fsys, "c", strings.Repeat("c", 26*mib), true)
	f, err := fsys.Open(device+"/d", vfs.Create)
	must(t, err)
	big := []byte(strings.Repeat("d", 20*mib))
	if _, err := f.WriteAt(big, 0, vfs.Plain); !errors.Is(err, engine.ErrNoSpace) {
		t.Fatal(err)
	}
	b := make([]byte, 20*mib)
	if _, err := held.ReadAt(b, 0); err != nil || bytes.Count(b, []byte("a")) != 20*mib {
		t.Fatal(err)
	}
	must(t, held.Close())
	_, err = f.WriteAt(big, 0, vfs.Plain)
	must(t, err)
	must(t, f.Close())
}

// TestPinned: what is pinned keeps its units while the file is cut, and who waits to change
// it keeps nobody from pinning more.
func TestPinned(t *testing.T) {
	fsys := on(t, newDisk(1))
	put(t, fsys, "a", strings.Repeat("a", 2*mib), true)
	f, err := fsys.Open(device+"/a", 0)
	must(t, err)
	p := f.(vfs.Pinner)
	below, at, ok := p.Pin(mib, 4096)
	if !ok {
		t.Fatal("it is in one piece")
	}
	must(t, f.Truncate(0))
	must(t, f.Sync())
	put(t, fsys, "b", strings.Repeat("b", 45*mib), true) // all but what is pinned
	b := make([]byte, 4096)
	if _, err := below.ReadAt(b, at); err != nil || bytes.Count(b, []byte("a")) != len(b) {
		t.Errorf("what is pinned was written over: %v", err)
	}
	if _, _, ok := p.Pin(0, 1); ok {
		t.Error("behind the end")
	}
	p.Unpin()
	must(t, f.Close())
	put(t, fsys, "c", strings.Repeat("c", mib), true)
}
