package vfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// skipLoudly is for what cannot be checked on this machine.
func skipLoudly(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Skipf("SKIPPED, NOT VERIFIED HERE: "+format, args...)
}

func TestAlignedBuffer(t *testing.T) {
	for _, align := range []int{1, 512, 4096, 1 << 20} {
		for _, n := range []int{0, 1, 511, 4096, 5000} {
			b := AlignedBuffer(n, align)
			if len(b) != n || cap(b) != n || n > 0 && addressOf(b)%uintptr(align) != 0 {
				t.Errorf("AlignedBuffer(%d, %d): length %d, capacity %d, address %#x", n, align, len(b), cap(b), addressOf(b))
			}
		}
	}
}

// TestProbeAlignment compares the fallback with what statx says.
func TestProbeAlignment(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	f, err := open(name, Create|Direct)
	if errors.Is(err, engine.ErrUnsupported) {
		skipLoudly(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if a, err := probeAlignment(f.fd); err != nil || a.Offset != safeAlignment {
		t.Errorf("empty file: %+v, %v; want the safe alignment", a, err)
	}
	if err := os.WriteFile(name, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := probeAlignment(f.fd); err != nil || a.Offset < f.align.Offset || a.Offset%f.align.Offset != 0 {
		t.Errorf("probed %+v, %v; statx says %+v", a, err, f.align)
	}
}

func TestOpenRefusesPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, flags := range []OpenFlags{0, ReadOnly} {
		if _, err := OS().Open(name, flags); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("open of a pipe: %v", err)
		}
	}
	if info, err := OS().Stat(name); err != nil || info.Kind != OtherKind {
		t.Errorf("stat of a pipe: %+v, %v", info, err)
	}
}

// TestHotPathAllocations keeps what a log does at every commit off the heap.
func TestHotPathAllocations(t *testing.T) {
	f, err := OS().Open(filepath.Join(t.TempDir(), "a"), Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 4096)
	if _, err := f.WriteAt(p, 0, Plain); err != nil {
		t.Fatal(err)
	}
	m, err := f.Map(0, 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, run := range map[string]func() error{
		"mapped write": func() error { return m.Write(p[:150], 100) },
		"write":        func() error { _, err := f.WriteAt(p, 0, Plain); return err },
		"read":         func() error { _, err := f.ReadAt(p, 0); return err },
		"sync":         f.SyncData,
		"dsync write":  func() error { _, err := f.WriteAt(p, 0, DSync); return err },
	} {
		if n := testing.AllocsPerRun(10, func() {
			if err := run(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

const lockHelperVariable = "VFS_TEST_LOCK_DIR"

// TestLockHolder is the process that TestLockDiesWithProcess kills.
func TestLockHolder(t *testing.T) {
	dir := os.Getenv(lockHelperVariable)
	if dir == "" {
		t.Skip("runs as a child of TestLockDiesWithProcess")
	}
	if _, err := OS().Lock(dir); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("\nlocked\n")
	io.Copy(io.Discard, os.Stdin)
}

func TestLockDiesWithProcess(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestLockHolder$")
	child.Env = append(os.Environ(), lockHelperVariable+"="+dir)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	locked := false
	for lines := bufio.NewScanner(stdout); !locked && lines.Scan(); {
		locked = lines.Text() == "locked"
	}
	_, err = OS().Lock(dir)
	if !locked || !errors.Is(err, engine.ErrLocked) || !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("lock held by another process (%v): %v", locked, err)
	}
	child.Process.Kill()
	child.Wait()
	l, err := OS().Lock(dir)
	if err != nil {
		t.Fatalf("lock after the death of its holder: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// loopDevice returns a block device over a new file of that size, and the file.
func loopDevice(t *testing.T, size int64) (device, backing string) {
	t.Helper()
	if os.Getuid() != 0 {
		skipLoudly(t, "loop devices need root")
	}
	backing = filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(backing, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		skipLoudly(t, "losetup: %v: %s", err, out)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", device, err, out)
		}
	})
	return device, backing
}

// loopFS returns the mount point of an ext4 file system of that size.
func loopFS(t *testing.T, size int64) (dir, device string) {
	t.Helper()
	device, _ = loopDevice(t, size)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", device).CombinedOutput(); err != nil {
		skipLoudly(t, "mkfs.ext4: %v: %s", err, out)
	}
	dir = t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		skipLoudly(t, "mount of a loop device: %v", err)
	}
	t.Cleanup(func() {
		if err := loopfs.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return dir, device
}

func TestDevice(t *testing.T) {
	const size = 1 << 20
	device, _ := loopDevice(t, size)
	for _, flags := range []OpenFlags{0, Direct, Direct | SyncWrites} {
		f, err := OS().Open(device, flags)
		if err != nil {
			t.Fatal(err)
		}
		a := f.Alignment()
		if flags&Direct != 0 && (a.Memory < 512 || a.Offset < 512) {
			t.Errorf("alignment %+v", a)
		}
		if n, err := f.Size(); err != nil || n != size {
			t.Errorf("size %d, %v", n, err)
		}
		p := AlignedBuffer(8192, 4096)
		for i := range p {
			p[i] = byte(flags) + 1
		}
		if _, err := f.WriteAt(p, 4096, DSync); err != nil {
			t.Error(err)
		}
		got := AlignedBuffer(8192, 4096)
		if n, err := f.ReadAt(got, 4096); n != len(got) || err != nil || !bytes.Equal(got, p) {
			t.Errorf("read what was written: %d, %v", n, err)
		}
		if n, err := f.ReadAt(got, size-4096); n != 4096 || err != io.EOF {
			t.Errorf("read over the end: %d, %v", n, err)
		}
		if n, err := f.WriteAt(p, size-4096, Plain); n != 4096 || !errors.Is(err, engine.ErrNoSpace) {
			t.Errorf("write over the end: %d, %v", n, err)
		}
		if err := f.Punch(4096, 4096); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(got[:4096], 4096); err != nil || !bytes.Equal(got[:4096], make([]byte, 4096)) {
			t.Errorf("a punched block is not zero, %v", err)
		}
		for what, err := range map[string]error{"Truncate": f.Truncate(4096), "Preallocate": f.Preallocate(0, 4096)} {
			if !errors.Is(err, engine.ErrUnsupported) {
				t.Errorf("%s of a device: %v", what, err)
			}
		}
		if err := f.Sync(); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if info, err := OS().Stat(device); err != nil || info.Kind != BlockDevice || info.Size != size {
		t.Errorf("stat: %+v, %v", info, err)
	}
	if u, err := OS().DiskUsage(device); err != nil || u.Total != size {
		t.Errorf("disk usage: %+v, %v", u, err)
	}

	l, err := OS().Lock(device)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OS().Lock(device); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("second lock of a device: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestDeviceReadError(t *testing.T) {
	device, backing := loopDevice(t, 1<<20)
	f, err := OS().Open(device, Direct)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(backing, 0); err != nil {
		t.Fatal(err)
	}
	p := AlignedBuffer(4096, 4096)
	_, err = f.ReadAt(p, 8192)
	var where *Error
	if !errors.Is(err, syscall.EIO) || !errors.As(err, &where) || where.Op != "read" || where.Path != device || where.Offset != 8192 {
		t.Errorf("read of a device that lost its blocks: %v", err)
	}
	for _, method := range []Method{Pool, IOUring} {
		q, err := OS().NewQueue(QueueOptions{Depth: 1, Method: method})
		if errors.Is(err, engine.ErrUnsupported) {
			t.Logf("SKIPPED, NOT VERIFIED HERE: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		r := &Request{File: f, Data: p, Offset: 4096}
		if _, err := q.Submit(r); err != nil {
			t.Fatal(err)
		}
		if n, err := q.Wait(make([]*Request, 1), 1, 0); n != 1 || err != nil || !errors.Is(r.Err, syscall.EIO) {
			t.Errorf("%v: %d, %v, request %v", method, n, err, r.Err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir, device := loopFS(t, 4<<20)
	if _, err := OS().Lock(device); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("lock of a mounted device: %v", err)
	}
	f, err := OS().Open(filepath.Join(dir, "a"), Create)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("kept"), 0, Plain); err != nil {
		t.Fatal(err)
	}
	err = f.Preallocate(0, 64<<20)
	if !errors.Is(err, engine.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("preallocation of more than there is: %v", err)
	}
	if n, err := f.Size(); err != nil || n != 4 {
		t.Errorf("length after a preallocation that failed: %d, %v", n, err)
	}
	if err := f.Truncate(4); err != nil {
		t.Fatal(err)
	}
	if info, err := OS().Stat(f.Name()); err != nil || info.Allocated > 64<<10 {
		t.Errorf("space after a preallocation that failed, and Truncate: %+v, %v", info, err)
	}
	n, err := f.WriteAt(make([]byte, 8<<20), 4, Plain)
	if !errors.Is(err, engine.ErrNoSpace) || n >= 8<<20 {
		t.Errorf("write of more than there is: %d, %v", n, err)
	}
	var where *Error
	if !errors.As(err, &where) || where.Offset != int64(4+n) {
		t.Errorf("the error does not say where: wrote %d, %v", n, err)
	}
	if err := f.Truncate(4); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(" on"), 4, DSync); err != nil {
		t.Errorf("write with room again: %v", err)
	}
	u, err := OS().DiskUsage(dir)
	if err != nil || u.FileSystem != "ext4" || u.Total == 0 || u.Total > 4<<20 {
		t.Errorf("usage %+v, %v", u, err)
	}
}

// TestRingRefused asks for a ring as in a container that forbids it. The filter
// goes with the thread, which ends with its goroutine.
func TestRingRefused(t *testing.T) {
	refused := make(chan error)
	go func() {
		runtime.LockOSThread()
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
		}
		if err != nil {
			refused <- fmt.Errorf("seccomp: %w", err)
			return
		}
		_, err = OS().NewQueue(QueueOptions{Depth: 1, Method: IOUring})
		refused <- err
	}()
	err := <-refused
	if err != nil && strings.HasPrefix(err.Error(), "seccomp") {
		skipLoudly(t, "%v", err)
	}
	if !errors.Is(err, engine.ErrUnsupported) || !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "io_uring_disabled") {
		t.Errorf("a ring where the kernel refuses it: %v", err)
	}
}

// TestRingTimeout freezes the file system under a write.
func TestRingTimeout(t *testing.T) {
	dir, _ := loopFS(t, 4<<20)
	q, err := OS().NewQueue(QueueOptions{Depth: 2, Method: IOUring})
	if errors.Is(err, engine.ErrUnsupported) {
		skipLoudly(t, "%v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := OS().Open(filepath.Join(dir, "a"), Create)
	if err != nil {
		t.Fatal(err)
	}
	root, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(root) })
	const fiFreeze, fiThaw = 0xC0045877, 0xC0045878
	if err := unix.IoctlSetInt(root, fiFreeze, 0); err != nil {
		skipLoudly(t, "freezing a file system: %v", err)
	}
	thaw := sync.OnceFunc(func() {
		if err := unix.IoctlSetInt(root, fiThaw, 0); err != nil {
			t.Errorf("thaw: %v", err)
		}
	})
	t.Cleanup(thaw)
	data := []byte("late")
	hung := &Request{File: f, Data: data, Write: true, Timeout: time.Millisecond}
	closing := &Request{File: f, Data: []byte("later"), Offset: 4, Write: true, Timeout: time.Millisecond}
	done := make([]*Request, 2)
	if _, err := q.Submit(hung); err != nil {
		t.Error(err)
	}
	if n, err := q.Wait(done, 1, 0); n != 1 || err != nil || !errors.Is(hung.Err, os.ErrDeadlineExceeded) || hung.Data != nil {
		t.Errorf("Wait for a frozen write: %d, %v, %+v", n, err, hung)
	}
	if q.InFlight() != 0 || q.Stuck() != 1 {
		t.Errorf("in flight %d, stuck %d; want 0, 1", q.InFlight(), q.Stuck())
	}
	if n, err := q.Submit(closing, hung); n != 1 || err != nil {
		t.Errorf("Submit with one place left: %d, %v", n, err)
	}
	// Both are stuck when the queue closes; both are written in the end, from
	// memory that was kept for them.
	if err := q.Close(); !errors.Is(err, engine.ErrInUse) {
		t.Errorf("Close with requests stuck: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	thaw()
	name := filepath.Join(dir, "a")
	for ; ; time.Sleep(time.Millisecond) {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) == "latelater" {
			break
		}
	}
	// The descriptor goes with the last request, which unmounting waits for.
	for fd := f.(*osFile).fd; ; time.Sleep(time.Millisecond) {
		if target, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil || target != name {
			break
		}
	}
}
