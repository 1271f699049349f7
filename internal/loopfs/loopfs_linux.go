package loopfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prefix begins the name of each file that holds a disk.
const prefix = "orbit-loop-"

// patience is how long an unmount waits for a process that was killed to let go
// of its files.
const patience = 10 * time.Second

const (
	// shutdown is EXT4_IOC_SHUTDOWN, which is XFS_IOC_GOINGDOWN.
	shutdown = 0x8004587d
	// noLogFlush: nothing is written any more, not even the journal.
	noLogFlush = 2
	// fibmap and figetbsz are FIBMAP and FIGETBSZ of linux/fs.h.
	fibmap   = 1
	figetbsz = 2
	// fifreeze and fithaw are FIFREEZE and FITHAW of linux/fs.h.
	fifreeze = 0xc0045877
	fithaw   = 0xc0045878
)

func missing() string {
	if os.Geteuid() != 0 {
		return "it needs root, to mount file systems"
	}
	f, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "there are no loop devices: " + err.Error()
	}
	_ = f.Close() // nothing was written to it
	return ""
}

// Disk is a file system on a loop device. Its methods are not for use at the same
// time, but for Cut, Freeze and Thaw.
type Disk struct {
	kind    Kind
	image   *os.File // holds the lock that says that this process lives
	path    string
	device  string // "" while detached
	mounted bool
}

// New makes a disk in a file in dir, with an empty file system that is not yet
// mounted, and the mount point beside it. Close ends it.
func New(ctx context.Context, dir string, k Kind) (*Disk, error) {
	image, err := os.CreateTemp(dir, prefix+"*.img")
	if err != nil {
		return nil, err
	}
	d := &Disk{kind: k, image: image, path: strings.TrimSuffix(image.Name(), ".img")}
	if err := d.start(ctx); err != nil {
		return nil, errors.Join(err, d.Close(false))
	}
	return d, nil
}

func (d *Disk) start(ctx context.Context) error {
	if err := unix.Flock(int(d.image.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", d.image.Name(), err)
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return err
	}
	if err := d.Format(ctx); err != nil {
		return err
	}
	return d.attach()
}

// Path returns the mount point.
func (d *Disk) Path() string { return d.path }

// Device returns the name of the loop device.
func (d *Disk) Device() string { return d.device }

// Image returns the name of the file that holds the disk.
func (d *Disk) Image() string { return d.image.Name() }

// Format makes a new, empty file system. The disk must not be mounted.
func (d *Disk) Format(ctx context.Context) error {
	if err := errors.Join(d.image.Truncate(0), d.image.Truncate(d.kind.Bytes)); err != nil {
		return fmt.Errorf("size of %s: %w", d.image.Name(), err)
	}
	if d.device != "" {
		if err := d.Truncate(d.kind.Bytes); err != nil { // it may have been cut short
			return err
		}
	}
	if d.kind.mkfs == nil {
		return nil
	}
	args := append(d.kind.mkfs[1:len(d.kind.mkfs):len(d.kind.mkfs)], d.image.Name())
	if out, err := exec.CommandContext(ctx, d.kind.mkfs[0], args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", d.kind.mkfs[0], err, out)
	}
	return nil
}

// attach gives the file a loop device. Another process may take the free one
// first, so it tries again.
func (d *Disk) attach() error {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer control.Close()
	// A device keeps what it is given open, with its locks, so it gets a file
	// without.
	image, err := os.OpenFile(d.image.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer image.Close()
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return fmt.Errorf("find a free loop device: %w", err)
		}
		name := fmt.Sprintf("/dev/loop%d", n)
		device, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{Fd: uint32(image.Fd())})
		// The device is not held open: its cache then ends with each mount.
		if closeErr := device.Close(); err == nil && closeErr != nil {
			return closeErr
		}
		if err == nil {
			d.device = name
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("attach %s to %s: %w", d.image.Name(), name, err)
		}
	}
	return fmt.Errorf("attach %s: each free loop device was taken by another process first", d.image.Name())
}

// Mount mounts the file system, which replays its journal if the power was cut.
func (d *Disk) Mount() error {
	if err := unix.Mount(d.device, d.path, d.kind.Type, unix.MS_NOATIME, d.kind.Options); err != nil {
		return fmt.Errorf("mount %s of %s as %s: %w", d.device, d.image.Name(), d.kind.Name, err)
	}
	d.mounted = true
	return nil
}

// Unmount unmounts the file system. It waits until processes that were killed
// have let go of it. It does nothing if it is not mounted.
func (d *Disk) Unmount() error {
	if !d.mounted {
		return nil
	}
	if err := Unmount(d.path); err != nil {
		return err
	}
	d.mounted = false
	return nil
}

// Unmount unmounts a file system. It waits until the kernel has let go of what processes that
// were killed, and rings that were closed, had open there.
func Unmount(path string) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := unix.Unmount(path, 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || pause > patience/2 {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
		time.Sleep(pause)
	}
}

// Cut cuts the power of a mounted file system: each call on it fails from now on,
// and nothing more reaches the device.
func (d *Disk) Cut() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", d.path, err)
	}
	return nil
}

// Freeze makes each write to the mounted file system wait, and whoever makes it, until
// Thaw; reads go on. What was written before is on the device when it returns.
func (d *Disk) Freeze() error { return d.freeze(fifreeze, "freeze") }

// Thaw ends what Freeze began.
func (d *Disk) Thaw() error { return d.freeze(fithaw, "thaw") }

func (d *Disk) freeze(call uint, what string) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), call, 0); err != nil {
		return fmt.Errorf("%s %s: %w", what, d.path, err)
	}
	return nil
}

// Truncate cuts the device short: what lay behind that many bytes is gone, and to
// read or write there is EIO. Only XFS is known to bear that while programs write.
func (d *Disk) Truncate(bytes int64) error {
	if err := d.image.Truncate(bytes); err != nil {
		return fmt.Errorf("truncate %s: %w", d.image.Name(), err)
	}
	f, err := os.OpenFile(d.device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	// Else a write behind the end would make the file long again.
	if err := unix.IoctlSetInt(int(f.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return errors.Join(fmt.Errorf("size of %s: %w", d.device, err), f.Close())
	}
	return f.Close()
}

// Fill takes all room of the mounted file system but that many bytes, in a file
// that Empty removes. It may be called again with less.
func (d *Disk) Fill(leave int64) error {
	if !d.mounted { // it would fill what is below the mount point
		return fmt.Errorf("fill %s: it is not mounted", d.path)
	}
	f, err := os.OpenFile(d.ballast(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for range 8 {
		var st unix.Statfs_t
		if err := unix.Statfs(d.path, &st); err != nil {
			return fmt.Errorf("room of %s: %w", d.path, err)
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		more := int64(st.Bavail)*st.Bsize - leave
		if more <= 0 {
			return nil
		}
		switch err := unix.Fallocate(int(f.Fd()), 0, info.Size(), more); err {
		case nil:
			return f.Sync()
		case unix.ENOSPC: // somebody else took of the room meanwhile
		default:
			return fmt.Errorf("fill %s: %w", d.path, err)
		}
	}
	return nil // as full as others leave it
}

// Empty takes back what Fill did.
func (d *Disk) Empty() error { return removeIfThere(d.ballast()) }

func (d *Disk) ballast() string { return filepath.Join(d.path, "ballast") }

// Extents returns where on the device each block of a file of the mounted file
// system lies, in bytes, without holes.
func (d *Disk) Extents(name string) ([]int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block, err := unix.IoctlGetInt(int(f.Fd()), figetbsz)
	if err != nil {
		return nil, fmt.Errorf("block size of %s: %w", name, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var at []int64
	for i := int64(0); i*int64(block) < info.Size(); i++ {
		n := int32(i)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), fibmap, uintptr(unsafe.Pointer(&n))); errno != 0 {
			return nil, fmt.Errorf("place of block %d of %s: %w", i, name, errno)
		}
		if n != 0 {
			at = append(at, int64(n)*int64(block))
		}
	}
	return at, nil
}

// Close unmounts and detaches the disk, and removes the mount point; the file too,
// unless keep is set.
func (d *Disk) Close(keep bool) error {
	if err := d.Unmount(); err != nil {
		return errors.Join(err, d.image.Close()) // the rest is left to Sweep
	}
	var errs []error
	if d.device != "" {
		errs = append(errs, detach(d.device))
		d.device = ""
	}
	errs = append(errs, removeIfThere(d.path))
	if !keep {
		errs = append(errs, os.Remove(d.image.Name()))
	}
	return errors.Join(append(errs, d.image.Close())...)
}

// detach takes a loop device from its file.
func detach(device string) error {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(f.Fd()), unix.LOOP_CLR_FD, 0)
	if errors.Is(err, unix.ENXIO) {
		err = nil // it is detached
	}
	if err != nil {
		err = fmt.Errorf("detach %s: %w", device, err)
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sweep unmounts, detaches and removes the disks whose process is gone, and
// returns how many there were.
func Sweep() (int, error) {
	names, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return 0, err
	}
	swept := 0
	var errs []error
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it was detached just now
		}
		image := strings.TrimSpace(string(data))
		if !strings.HasPrefix(filepath.Base(image), prefix) {
			continue
		}
		done, err := sweep(image, "/dev/"+filepath.Base(filepath.Dir(filepath.Dir(name))))
		if done {
			swept++
		}
		errs = append(errs, err)
	}
	return swept, errors.Join(errs...)
}

// sweep detaches the disk in a file if nobody holds its lock. A file that cannot
// be seen may be that of another container, and is left alone.
func sweep(image, device string) (bool, error) {
	f, err := os.Open(image)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	path := strings.TrimSuffix(image, ".img")
	// EINVAL: it was not mounted.
	if err := Unmount(path); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return false, err
	}
	return true, errors.Join(detach(device), removeIfThere(path), os.Remove(image))
}
