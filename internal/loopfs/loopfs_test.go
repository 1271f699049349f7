package loopfs_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// leave makes the test binary a program that is killed beside a mounted disk.
const leave = "ORBIT_TEST_LEAVE_A_DISK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(leave); dir != "" {
		leaveDisk(dir)
	}
	goleak.VerifyTestMain(m)
}

func needs(t *testing.T, k loopfs.Kind) {
	t.Helper()
	if why := k.Missing(); why != "" {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: %s: %s", k.Name, why)
	}
}

// newDisk makes a disk, which is closed at the end of the test.
func newDisk(t *testing.T, k loopfs.Kind) *loopfs.Disk {
	t.Helper()
	needs(t, k)
	d, err := loopfs.New(t.Context(), t.TempDir(), k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(false); err != nil {
			t.Error(err)
		}
	})
	return d
}

// TestCut: what was flushed before a cut is there after it, what was written and
// not flushed is lost, and nothing can be written in between.
func TestCut(t *testing.T) {
	for _, k := range loopfs.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			d := newDisk(t, k)
			for round := range 3 {
				if err := d.Mount(); err != nil {
					t.Fatal(err)
				}
				if round == 0 {
					write(t, filepath.Join(d.Path(), "flushed"), true)
				}
				write(t, filepath.Join(d.Path(), "lost"), false)
				if err := d.Cut(); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(d.Path(), "late"), nil, 0o600); err == nil {
					t.Error("a file was made after the cut")
				}
				if err := d.Unmount(); err != nil {
					t.Fatal(err)
				}
				if err := d.Mount(); err != nil {
					t.Fatal(err)
				}
				if data, err := os.ReadFile(filepath.Join(d.Path(), "flushed")); err != nil || string(data) != content {
					t.Errorf("what was flushed is %q (%v)", data, err)
				}
				if data, err := os.ReadFile(filepath.Join(d.Path(), "lost")); err == nil && string(data) == content {
					t.Error("what was not flushed is there")
				}
				if err := d.Unmount(); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Format(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := d.Mount(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(d.Path(), "flushed")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a new file system has the old file: %v", err)
			}
		})
	}
}

var content = strings.Repeat("content ", 4096)

func write(t *testing.T, name string, flush bool) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		t.Error(err)
	}
	if flush {
		dir, err := os.Open(filepath.Dir(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), dir.Sync(), dir.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// TestTruncate: what lies behind the end of the device is an error of the device.
func TestTruncate(t *testing.T) {
	k := loopfs.Kinds[1]
	d := newDisk(t, k)
	if err := d.Mount(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(d.Path(), "file")
	write(t, name, true)
	extents, err := d.Extents(name)
	if err != nil || len(extents) != len(content)/4096 {
		t.Fatalf("%d extents (%v)", len(extents), err)
	}
	if err := errors.Join(d.Unmount(), d.Mount()); err != nil { // nothing is in the cache
		t.Fatal(err)
	}
	if err := d.Truncate(extents[0]); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(name); err == nil {
		t.Errorf("read %d bytes from behind the end of the device", len(data))
	}
	if err := errors.Join(d.Cut(), d.Unmount(), d.Format(t.Context()), d.Mount()); err != nil {
		t.Fatal(err)
	}
	write(t, name, true)
}

// TestFreeze: a write waits while the file system is frozen, and a read does not.
func TestFreeze(t *testing.T) {
	for _, k := range loopfs.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			d := newDisk(t, k)
			if err := d.Mount(); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(d.Path(), "file")
			write(t, name, true)
			if err := d.Freeze(); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			begun := make(chan struct{})
			var thawed atomic.Bool
			go func() {
				close(begun)
				err := os.WriteFile(filepath.Join(d.Path(), "late"), []byte(content), 0o600)
				if !thawed.Load() {
					err = errors.New("a write did not wait")
				}
				written <- err
			}()
			<-begun
			for range 100 { // and the write would end meanwhile
				if data, err := os.ReadFile(name); err != nil || string(data) != content {
					t.Errorf("read while it is frozen: %d bytes (%v)", len(data), err)
				}
			}
			thawed.Store(true)
			if err := d.Thaw(); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			if err := d.Thaw(); err == nil {
				t.Error("a file system that is not frozen was thawed")
			}
		})
	}
}

// TestFill: there is no room, and then there is.
func TestFill(t *testing.T) {
	for _, k := range loopfs.Kinds {
		t.Run(k.Name, func(t *testing.T) {
			d := newDisk(t, k)
			if err := errors.Join(d.Mount(), d.Fill(1<<20), d.Fill(64<<10)); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(d.Path(), "file")
			if err := os.WriteFile(name, make([]byte, 256<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("256 KiB where there is room for 64: %v", err)
			}
			if err := d.Empty(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, make([]byte, 256<<10), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
}

// leaveDisk mounts a disk, says where it is, and waits for its end.
func leaveDisk(dir string) {
	d, err := loopfs.New(context.Background(), dir, loopfs.Kinds[0])
	if err == nil {
		err = d.Mount()
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	if err := os.Mkdir(filepath.Join(d.Path(), "here"), 0o700); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(d.Path() + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestSweep: the disk of a process that was killed is taken away, one that is in
// use is not.
func TestSweep(t *testing.T) {
	k := loopfs.Kinds[0]
	needs(t, k)
	mine, err := loopfs.New(t.Context(), t.TempDir(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := mine.Close(false); err != nil {
			t.Error(err)
		}
	}()
	if err := errors.Join(mine.Mount(), os.Mkdir(filepath.Join(mine.Path(), "here"), 0o700)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leave+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimSpace(string(line[:n]))
	if _, err := os.Stat(filepath.Join(path, "here")); err != nil {
		t.Fatalf("it is not mounted: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if swept, err := loopfs.Sweep(); err != nil || swept < 1 {
		t.Errorf("swept %d (%v)", swept, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left are %v (%v)", names, err)
	}
	if _, err := os.Stat(filepath.Join(mine.Path(), "here")); err != nil {
		t.Errorf("a disk in use was swept: %v", err)
	}
}
