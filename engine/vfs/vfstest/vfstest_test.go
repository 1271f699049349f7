package vfstest_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/vfstest"
)

// defective is the file system of the OS with one thing wrong.
type defective struct {
	vfs.FS
	lock   func(string) (io.Closer, error)
	list   func([]string) []string
	file   func(vfs.File) vfs.File
	rename func(from, to string) error
}

func (d *defective) Lock(name string) (io.Closer, error) {
	if d.lock != nil {
		return d.lock(name)
	}
	return d.FS.Lock(name)
}

func (d *defective) List(dir string) ([]string, error) {
	names, err := d.FS.List(dir)
	if d.list != nil {
		names = d.list(names)
	}
	return names, err
}

func (d *defective) Rename(from, to string) error {
	if d.rename != nil {
		return d.rename(from, to)
	}
	return d.FS.Rename(from, to)
}

func (d *defective) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := d.FS.Open(name, flags)
	if err == nil && d.file != nil {
		f = d.file(f)
	}
	return f, err
}

// NewQueue knows that a ring does not take files from elsewhere.
func (d *defective) NewQueue(o vfs.QueueOptions) (vfs.Queue, error) {
	if o.Method != vfs.Pool {
		return nil, engine.ErrUnsupported
	}
	return d.FS.NewQueue(o)
}

type noCloser struct{}

func (noCloser) Close() error { return nil }

type (
	wrapsEOF     struct{ vfs.File }
	shortRead    struct{ vfs.File }
	idlePunch    struct{ vfs.File }
	closesTwice  struct{ vfs.File }
	losesWrite   struct{ vfs.File }
	anyAlignment struct{ vfs.File }
)

func (f wrapsEOF) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF {
		err = fmt.Errorf("read: %w", err)
	}
	return n, err
}

func (f shortRead) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

func (f idlePunch) Punch(int64, int64) error { return nil }

func (f closesTwice) Close() error {
	f.File.Close()
	return nil
}

func (f losesWrite) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	if off > 4096 {
		return len(p), nil
	}
	return f.File.WriteAt(p, off, flags)
}

func (f anyAlignment) Alignment() vfs.Alignment { return vfs.Alignment{Memory: 1, Offset: 1} }

// TestSuiteFinds proves that the suite can fail.
func TestSuiteFinds(t *testing.T) {
	for _, d := range []struct {
		defect, by string
		fsys       defective
	}{
		{"no lock", "Names/Lock", defective{lock: func(string) (io.Closer, error) { return noCloser{}, nil }}},
		{"unsorted list", "Names/Directories", defective{list: func(names []string) []string {
			slices.Reverse(names)
			return names
		}}},
		{"rename that forgets", "Names/Rename", defective{rename: func(string, string) error { return nil }}},
		{"wrapped EOF", "File/ReadAt", defective{file: func(f vfs.File) vfs.File { return wrapsEOF{f} }}},
		{"short read", "File/ReadAt", defective{file: func(f vfs.File) vfs.File { return shortRead{f} }}},
		{"idle punch", "File/Punch", defective{file: func(f vfs.File) vfs.File { return idlePunch{f} }}},
		{"second close", "File/Closed", defective{file: func(f vfs.File) vfs.File { return closesTwice{f} }}},
		{"lost write", "File/Model", defective{file: func(f vfs.File) vfs.File { return losesWrite{f} }}},
		{"lost write, queued", "Queue/Pool", defective{file: func(f vfs.File) vfs.File { return losesWrite{f} }}},
		{"untold alignment", "Direct/Transfers", defective{file: func(f vfs.File) vfs.File { return anyAlignment{f} }}},
	} {
		t.Run(d.defect, func(t *testing.T) {
			d.fsys.FS = vfs.OS()
			dir := t.TempDir()
			if d.by == "Direct/Transfers" {
				if c, err := vfs.OS().Capabilities(dir); err != nil || !c.Direct {
					t.Skipf("SKIPPED, NOT VERIFIED HERE: no direct I/O: %v", err)
				}
			}
			err := vfstest.Check(&d.fsys, dir)
			if err == nil || !strings.Contains(err.Error(), d.by+":") {
				t.Errorf("%s did not find it: %v", d.by, err)
			}
		})
	}
	if err := vfstest.Check(&defective{FS: vfs.OS()}, t.TempDir()); err != nil {
		t.Errorf("without a defect: %v", err)
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
