// Package vfstest is the conformance suite of vfs.FS. It checks what package vfs
// promises of a running system; what a loss of power leaves is for the torture
// harness.
package vfstest

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Case is one check.
type Case struct {
	Name string
	// Run does the check with files in dir, which exists and is empty. Its error
	// is a *Skipped where the file system does not have what is checked.
	Run func(fsys vfs.FS, dir string) error
}

// Skipped says why a case did not apply.
type Skipped struct{ Reason string }

// Error returns the reason.
func (s *Skipped) Error() string { return "skipped: " + s.Reason }

// Cases returns all checks.
func Cases() []Case {
	var cases []Case
	for _, c := range []struct {
		name string
		run  func(*env)
	}{
		{"Names/OpenFlags", openFlags},
		{"Names/Rename", rename},
		{"Names/Link", link},
		{"Names/Clone", clone},
		{"Names/Remove", remove},
		{"Names/Directories", directories},
		{"Names/Lock", lock},
		{"Names/Usage", usage},
		{"File/ReadAt", readAt},
		{"File/WriteAt", writeAt},
		{"File/DSync", dsync},
		{"File/Sync", syncs},
		{"File/Truncate", truncate},
		{"File/Writeback", writeback},
		{"File/Preallocate", preallocate},
		{"File/Punch", punch},
		{"File/Closed", closedFile},
		{"File/Concurrent", concurrent},
		{"File/Model", model},
		{"Direct/Transfers", directTransfers},
		{"Direct/Misaligned", directMisaligned},
		{"Map/Coherent", mapCoherent},
		{"Map/Bounds", mapBounds},
		{"Map/Fault", mapFault},
		{"Queue/Pool", queueOf(vfs.Pool)},
		{"Queue/IOUring", queueOf(vfs.IOUring)},
	} {
		cases = append(cases, Case{c.name, func(fsys vfs.FS, dir string) (err error) {
			e := &env{FS: fsys, dir: dir}
			defer func() {
				e.closeAll()
				switch p := recover().(type) {
				case nil:
				case stop:
					err = p.err
				default:
					panic(p)
				}
			}()
			c.run(e)
			return nil
		}})
	}
	return cases
}

// Check runs every case under dir, which exists, and returns what failed, joined.
// Cases that do not apply are passed over.
func Check(fsys vfs.FS, dir string) error {
	var failed []error
	for i, c := range Cases() {
		err := runCase(c, fsys, dir, i)
		var skipped *Skipped
		if err != nil && !errors.As(err, &skipped) {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(failed...)
}

// Run runs every case as a subtest, under dir, which exists.
func Run(t *testing.T, fsys vfs.FS, dir string) {
	for i, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			err := runCase(c, fsys, dir, i)
			var skipped *Skipped
			if errors.As(err, &skipped) {
				t.Skip("SKIPPED, NOT VERIFIED HERE: " + skipped.Reason)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func runCase(c Case, fsys vfs.FS, dir string, i int) error {
	dir = filepath.Join(dir, fmt.Sprintf("case-%02d", i))
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return c.Run(fsys, dir)
}

// env is one run of a case. Its methods end the case where something is wrong.
type env struct {
	vfs.FS
	dir    string
	opened []io.Closer
}

// closeLater has c closed when the case ends, if it was not closed before.
func (e *env) closeLater(c io.Closer) { e.opened = append(e.opened, c) }

func (e *env) closeAll() {
	for _, c := range e.opened {
		c.Close()
	}
}

// stop carries the end of a case up to its start.
type stop struct{ err error }

func (e *env) fail(format string, args ...any) { panic(stop{fmt.Errorf(format, args...)}) }

func (e *env) skip(format string, args ...any) {
	panic(stop{&Skipped{fmt.Sprintf(format, args...)}})
}

// must ends the case unless err is nil.
func (e *env) must(err error) {
	if err != nil {
		e.fail("unexpected error: %w", err)
	}
}

// want ends the case unless err is target.
func (e *env) want(err, target error, what string) {
	if !errors.Is(err, target) {
		e.fail("%s: got error %v, want one that is %v", what, err, target)
	}
}

// check ends the case unless ok.
func (e *env) check(ok bool, format string, args ...any) {
	if !ok {
		e.fail(format, args...)
	}
}

func (e *env) path(name string) string { return filepath.Join(e.dir, name) }

func (e *env) open(name string, flags vfs.OpenFlags) vfs.File {
	f, err := e.Open(e.path(name), flags)
	e.must(err)
	e.closeLater(f)
	return f
}

// create makes a file of that content.
func (e *env) create(name, content string) {
	f := e.open(name, vfs.Create|vfs.Truncate)
	e.write(f, []byte(content), 0)
	e.must(f.Close())
}

func (e *env) write(f vfs.File, p []byte, off int64) {
	n, err := f.WriteAt(p, off, vfs.Plain)
	e.must(err)
	e.check(n == len(p), "write of %d bytes returned %d and no error", len(p), n)
}

// content returns all of an open file.
func (e *env) content(f vfs.File) string {
	size, err := f.Size()
	e.must(err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	e.must(err)
	return string(b)
}

// expect checks the content under a name.
func (e *env) expect(name, content string) {
	f := e.open(name, vfs.ReadOnly)
	got := e.content(f)
	e.must(f.Close())
	e.check(got == content, "content of %s is %.80q, want %.80q", name, got, content)
}

func (e *env) capabilities() vfs.Capabilities {
	c, err := e.Capabilities(e.dir)
	e.must(err)
	return c
}
