package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Place is where backups are kept: objects under names with slashes. Its methods may be
// called from many goroutines at once.
type Place interface {
	// Create begins an object, which is there, durable and whole, when its Commit
	// returns without an error, and not before. One of that name is replaced.
	Create(ctx context.Context, name string) (Object, error)
	// Open reads an object; ErrNotFound if it is not there.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the names that begin with prefix, in order.
	List(ctx context.Context, prefix string) ([]string, error)
	// Remove removes an object; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Sweep removes what is left of objects that were neither committed nor aborted, since
	// their process was killed, and returns how many there were. Nobody writes meanwhile.
	Sweep(ctx context.Context) (int, error)
	// String names the place in messages.
	String() string
}

// Object is an object that is being written. It is ended by Commit or Abort.
type Object interface {
	io.Writer
	Commit() error
	// Abort leaves nothing. After Commit it does nothing, so that it can be deferred.
	Abort()
}

// partial ends the names of files that are being written.
const partial = ".partial"

// Dir is a directory as a Place, one file for each object. It is made when something is
// written.
type Dir string

// String returns the directory.
func (d Dir) String() string { return string(d) }

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Create implements Place.
func (d Dir) Create(_ context.Context, name string) (Object, error) {
	path := d.path(name)
	if err := vfs.OS().MkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, vfs.NewError("create", path, -1, err)
	}
	return &dirObject{dir: d, file: f, path: path}, nil
}

type dirObject struct {
	dir  Dir
	file *os.File // nil once it is ended
	path string
}

// Write implements Object.
func (o *dirObject) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	return n, vfs.NewError("write", o.path, -1, err)
}

// Commit implements Object.
func (o *dirObject) Commit() error {
	f := o.file
	o.file = nil
	err := vfs.NewError("flush", o.path, -1, f.Sync())
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = vfs.NewError("rename", o.path, -1, os.Rename(o.path+partial, o.path))
	}
	if err != nil {
		return errors.Join(err, os.Remove(o.path+partial))
	}
	return vfs.OS().SyncDir(filepath.Dir(o.path))
}

// Abort implements Object.
func (o *dirObject) Abort() {
	if o.file == nil {
		return
	}
	_ = o.file.Close() // nobody will read it
	_ = o.dir.remove(o.path + partial)
	o.file = nil
}

// Open implements Place.
func (d Dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", d.path(name), driver.ErrNotFound)
	}
	if err != nil {
		return nil, vfs.NewError("open", d.path(name), -1, err)
	}
	return f, nil
}

// List implements Place.
func (d Dir) List(_ context.Context, prefix string) (names []string, err error) {
	from := d.path(prefix[:strings.LastIndexByte(prefix, '/')+1])
	err = filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was written yet, or it is being removed
		}
		if err != nil || e.IsDir() || strings.HasSuffix(path, partial) {
			return err
		}
		rel, err := filepath.Rel(string(d), path)
		if name := filepath.ToSlash(rel); err == nil && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, vfs.NewError("list", from, -1, err)
}

// Remove implements Place. Directories that are empty then go too.
func (d Dir) Remove(_ context.Context, name string) error { return d.remove(d.path(name)) }

func (d Dir) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return vfs.NewError("remove", path, -1, err)
	}
	for dir := filepath.Dir(path); len(dir) > len(string(d)); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil { // it is not empty
			break
		}
	}
	return nil
}

// Sweep implements Place.
func (d Dir) Sweep(ctx context.Context) (n int, err error) {
	var left []string
	err = filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(path, partial) {
			left = append(left, path)
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return 0, vfs.NewError("list", string(d), -1, err)
	}
	for _, path := range left {
		if err := d.remove(path); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
