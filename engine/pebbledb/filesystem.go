package pebbledb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
	orbitvfs "github.com/orbit-persistence/orbit/engine/vfs"
)

// OnFS makes Pebble run on a file system of ours, such as a simulated disk, as
// Options.FS. It does no more than it is asked to, so that a missing flush shows:
// Preallocate and SyncTo, which promise nothing, do nothing. Errors are
// *fs.PathError, as from the operating system.
func OnFS(fsys orbitvfs.FS) vfs.FS { return fileSystem{fsys} }

type fileSystem struct{ on orbitvfs.FS }

// pathError gives an error the form in which Pebble, and this package, look for
// it.
func pathError(err error) error {
	var e *orbitvfs.Error
	if errors.As(err, &e) {
		return &fs.PathError{Op: e.Op, Path: e.Path, Err: e.Err}
	}
	return err
}

func (s fileSystem) open(name string, flags orbitvfs.OpenFlags) (*openFile, error) {
	f, err := s.on.Open(name, flags)
	if err != nil {
		return nil, pathError(err)
	}
	return &openFile{file: f}, nil
}

// Create makes a new file, in place of one that has the name.
func (s fileSystem) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.open(name, orbitvfs.Create|orbitvfs.Exclusive)
	if errors.Is(err, fs.ErrExist) {
		if err := s.Remove(name); err != nil {
			return nil, err
		}
		f, err = s.open(name, orbitvfs.Create|orbitvfs.Exclusive)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Link gives a file a second name.
func (s fileSystem) Link(from, to string) error { return pathError(s.on.Link(from, to)) }

// Open opens a file for reading.
func (s fileSystem) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.openWith(name, orbitvfs.ReadOnly, opts)
}

// OpenReadWrite opens a file for reading and writing, and makes it where there is
// none.
func (s fileSystem) OpenReadWrite(name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return s.openWith(name, orbitvfs.Create, opts)
}

func (s fileSystem) openWith(name string, flags orbitvfs.OpenFlags, opts []vfs.OpenOption) (vfs.File, error) {
	f, err := s.open(name, flags)
	if err != nil {
		return nil, err
	}
	for _, o := range opts {
		o.Apply(f)
	}
	return f, nil
}

// OpenDir opens a directory, to be synced.
func (s fileSystem) OpenDir(name string) (vfs.File, error) {
	info, err := s.on.Stat(name)
	if err != nil {
		return nil, pathError(err)
	}
	if info.Kind != orbitvfs.Directory {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("%w: not a directory", engine.ErrInvalid)}
	}
	return &openDirectory{on: s.on, name: name}, nil
}

// Remove removes a file or an empty directory.
func (s fileSystem) Remove(name string) error { return pathError(s.on.Remove(name)) }

// RemoveAll removes a file or directory with all it holds; it may be absent.
func (s fileSystem) RemoveAll(name string) error {
	info, err := s.on.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return pathError(err)
	}
	var first error
	if info.Kind == orbitvfs.Directory {
		names, err := s.on.List(name)
		first = pathError(err)
		for _, child := range names {
			if err := s.RemoveAll(filepath.Join(name, child)); first == nil {
				first = err
			}
		}
	}
	if err := s.Remove(name); first == nil {
		first = err
	}
	return first
}

// Rename renames a file.
func (s fileSystem) Rename(from, to string) error { return pathError(s.on.Rename(from, to)) }

// ReuseForWrite renames a file and opens it, with what it holds.
func (s fileSystem) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.Rename(from, to); err != nil {
		return nil, err
	}
	return s.OpenReadWrite(to, category)
}

// MkdirAll makes a directory and its parents.
func (s fileSystem) MkdirAll(dir string, _ os.FileMode) error { return pathError(s.on.MkdirAll(dir)) }

// Lock locks the directory of a lock file. A lock that is held is ErrLocked, and
// no error of the path.
func (s fileSystem) Lock(name string) (io.Closer, error) {
	if filepath.Base(name) != orbitvfs.LockName {
		return nil, fmt.Errorf("lock %s: %w: locks are called %s", name, engine.ErrUnsupported, orbitvfs.LockName)
	}
	l, err := s.on.Lock(filepath.Dir(name))
	if errors.Is(err, engine.ErrLocked) {
		return nil, err
	}
	if err != nil {
		return nil, pathError(err)
	}
	return l, nil
}

// List returns the names in a directory.
func (s fileSystem) List(dir string) ([]string, error) {
	names, err := s.on.List(dir)
	return names, pathError(err)
}

// Stat tells of a file or directory.
func (s fileSystem) Stat(name string) (vfs.FileInfo, error) {
	info, err := s.on.Stat(name)
	if err != nil {
		return nil, pathError(err)
	}
	return fileInfo{filepath.Base(name), info}, nil
}

// PathBase returns the last element of a path.
func (s fileSystem) PathBase(path string) string { return filepath.Base(path) }

// PathJoin joins elements of a path.
func (s fileSystem) PathJoin(elem ...string) string { return filepath.Join(elem...) }

// PathDir returns a path without its last element.
func (s fileSystem) PathDir(path string) string { return filepath.Dir(path) }

// GetDiskUsage tells how full the file system is.
func (s fileSystem) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := s.on.DiskUsage(path)
	return vfs.DiskUsage{AvailBytes: u.Available, TotalBytes: u.Total, UsedBytes: u.Total - u.Free}, pathError(err)
}

// Unwrap returns nil: what is below is not Pebble's.
func (s fileSystem) Unwrap() vfs.FS { return nil }

// openFile is a file with a position, which Read and Write move.
type openFile struct {
	file orbitvfs.File
	at   int64
}

func (f *openFile) Close() error { return pathError(f.file.Close()) }

func (f *openFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	return n, pathError(err)
}

func (f *openFile) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *openFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.file.WriteAt(p, off, orbitvfs.Plain)
	return n, pathError(err)
}

func (f *openFile) Preallocate(int64, int64) error { return nil }

func (f *openFile) Stat() (vfs.FileInfo, error) {
	size, err := f.file.Size()
	if err != nil {
		return nil, pathError(err)
	}
	return fileInfo{filepath.Base(f.file.Name()), orbitvfs.Info{Size: size}}, nil
}

func (f *openFile) Sync() error                 { return pathError(f.file.Sync()) }
func (f *openFile) SyncData() error             { return pathError(f.file.SyncData()) }
func (f *openFile) SyncTo(int64) (bool, error)  { return false, nil }
func (f *openFile) Prefetch(int64, int64) error { return nil }
func (f *openFile) Fd() uintptr                 { return vfs.InvalidFd }

// openDirectory is a directory, of which only the flush is of use.
type openDirectory struct {
	on   orbitvfs.FS
	name string
}

var errDirectory = fmt.Errorf("%w: a directory", engine.ErrInvalid)

func (d *openDirectory) refuse(op string) error {
	return &fs.PathError{Op: op, Path: d.name, Err: errDirectory}
}

func (d *openDirectory) Close() error                       { return nil }
func (d *openDirectory) Sync() error                        { return pathError(d.on.SyncDir(d.name)) }
func (d *openDirectory) SyncData() error                    { return d.Sync() }
func (d *openDirectory) SyncTo(int64) (bool, error)         { return false, nil }
func (d *openDirectory) Read([]byte) (int, error)           { return 0, d.refuse("read") }
func (d *openDirectory) ReadAt([]byte, int64) (int, error)  { return 0, d.refuse("read") }
func (d *openDirectory) Write([]byte) (int, error)          { return 0, d.refuse("write") }
func (d *openDirectory) WriteAt([]byte, int64) (int, error) { return 0, d.refuse("write") }
func (d *openDirectory) Preallocate(int64, int64) error     { return nil }
func (d *openDirectory) Prefetch(int64, int64) error        { return nil }
func (d *openDirectory) Fd() uintptr                        { return vfs.InvalidFd }

func (d *openDirectory) Stat() (vfs.FileInfo, error) { return fileSystem{d.on}.Stat(d.name) }

// fileInfo is Info in the form of package os. There are no times.
type fileInfo struct {
	name string
	info orbitvfs.Info
}

func (i fileInfo) Name() string           { return i.name }
func (i fileInfo) Size() int64            { return i.info.Size }
func (i fileInfo) ModTime() time.Time     { return time.Time{} }
func (i fileInfo) IsDir() bool            { return i.info.Kind == orbitvfs.Directory }
func (i fileInfo) Sys() any               { return nil }
func (i fileInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (i fileInfo) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
