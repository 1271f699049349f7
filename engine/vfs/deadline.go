package vfs

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// DeadlineFS is an FS whose calls, and those of its files, come back within a time,
// whatever the device does. One that has not ended then is an error that is
// os.ErrDeadlineExceeded; it goes on in a goroutine of its own, which ends when the device
// lets go of it, and may take effect at any later time. Pending counts those.
//
// Late calls touch nothing of the caller's: transfers are by copies. So they are for what
// is not in a hurry; Unbounded is for the rest. Queues have timeouts of their own.
type DeadlineFS struct {
	fs    FS
	limit time.Duration
	dirs  []string
	// pending are the calls below each directory that have not come back.
	pending []atomic.Int64
}

// NewDeadlineFS returns an FS over another one. A call has limit, and as long again for
// every 4 MiB that it reads, writes or flushes. Pending counts below each of dirs.
func NewDeadlineFS(fsys FS, limit time.Duration, dirs ...string) *DeadlineFS {
	d := &DeadlineFS{fs: fsys, limit: limit, pending: make([]atomic.Int64, len(dirs)+1)}
	for _, dir := range dirs {
		d.dirs = append(d.dirs, filepath.Clean(dir))
	}
	return d
}

// Pending returns how many calls below one of the directories have not come back.
func (d *DeadlineFS) Pending(dir string) int64 { return d.counter(dir).Load() }

// counter returns the counter of the directory that a name is below; the last is for names
// that are below none.
func (d *DeadlineFS) counter(name string) *atomic.Int64 {
	name = filepath.Clean(name)
	for i, dir := range d.dirs {
		if name == dir || strings.HasPrefix(name, dir+string(filepath.Separator)) {
			return &d.pending[i]
		}
	}
	return &d.pending[len(d.dirs)]
}

// Unbounded returns the file that one of a DeadlineFS stands for, whose calls take as long
// as they take; any other file is returned as it is. It is closed by closing the other.
func Unbounded(f File) File {
	if d, ok := f.(*deadlineFile); ok {
		return d.file
	}
	return f
}

// ended is how a call has ended.
type ended[T any] struct {
	value T
	err   error
}

// within makes a call. What it returns too late is given to undo, unless that is nil.
func within[T any](d *DeadlineFS, bytes int64, op, name string, call func() (T, error), undo func(T)) (T, error) {
	pending := d.counter(name)
	pending.Add(1)
	done, given := make(chan ended[T]), make(chan struct{})
	go func() {
		v, err := call()
		pending.Add(-1)
		select {
		case done <- ended[T]{v, err}:
		case <-given:
			if err == nil && undo != nil {
				undo(v)
			}
		}
	}()
	limit := d.limit * time.Duration(1+bytes>>22)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case e := <-done:
		return e.value, e.err
	case <-timer.C:
		close(given)
		var none T
		return none, NewError(op, name, -1, fmt.Errorf("%w after %v", os.ErrDeadlineExceeded, limit))
	}
}

// do makes a call that returns nothing.
func (d *DeadlineFS) do(op, name string, call func() error) error {
	_, err := within(d, 0, op, name, func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

// Open implements FS. A file that is opened too late is closed.
func (d *DeadlineFS) Open(name string, flags OpenFlags) (File, error) {
	f, err := within(d, 0, "open", name, func() (File, error) { return d.fs.Open(name, flags) }, func(f File) { _ = f.Close() })
	if err != nil {
		return nil, err
	}
	return &deadlineFile{fs: d, file: f}, nil
}

// Rename implements FS.
func (d *DeadlineFS) Rename(from, to string) error {
	return d.do("rename", from, func() error { return d.fs.Rename(from, to) })
}

// Link implements FS.
func (d *DeadlineFS) Link(from, to string) error {
	return d.do("link", from, func() error { return d.fs.Link(from, to) })
}

// Clone implements FS.
func (d *DeadlineFS) Clone(from, to string) error {
	return d.do("clone", from, func() error { return d.fs.Clone(from, to) })
}

// Remove implements FS.
func (d *DeadlineFS) Remove(name string) error {
	return d.do("remove", name, func() error { return d.fs.Remove(name) })
}

// MkdirAll implements FS.
func (d *DeadlineFS) MkdirAll(dir string) error {
	return d.do("mkdir", dir, func() error { return d.fs.MkdirAll(dir) })
}

// List implements FS.
func (d *DeadlineFS) List(dir string) ([]string, error) {
	return within(d, 0, "list", dir, func() ([]string, error) { return d.fs.List(dir) }, nil)
}

// Stat implements FS.
func (d *DeadlineFS) Stat(name string) (Info, error) {
	return within(d, 0, "stat", name, func() (Info, error) { return d.fs.Stat(name) }, nil)
}

// SyncDir implements FS.
func (d *DeadlineFS) SyncDir(dir string) error {
	return d.do("sync", dir, func() error { return d.fs.SyncDir(dir) })
}

// Lock implements FS. A lock that is taken too late is released.
func (d *DeadlineFS) Lock(name string) (io.Closer, error) {
	l, err := within(d, 0, "lock", name, func() (io.Closer, error) { return d.fs.Lock(name) }, func(l io.Closer) { _ = l.Close() })
	if err != nil {
		return nil, err
	}
	return &deadlineLock{fs: d, name: name, lock: l}, nil
}

// DiskUsage implements FS.
func (d *DeadlineFS) DiskUsage(name string) (Usage, error) {
	return within(d, 0, "usage", name, func() (Usage, error) { return d.fs.DiskUsage(name) }, nil)
}

// Capabilities implements FS.
func (d *DeadlineFS) Capabilities(dir string) (Capabilities, error) {
	return within(d, 0, "probe", dir, func() (Capabilities, error) { return d.fs.Capabilities(dir) }, nil)
}

// Below implements Layered.
func (d *DeadlineFS) Below() FS { return d.fs }

// NewQueue implements FS. The queue is that of the FS below, for its files: see Unbounded.
func (d *DeadlineFS) NewQueue(o QueueOptions) (Queue, error) { return d.fs.NewQueue(o) }

// deadlineLock is a lock that is released within a time.
type deadlineLock struct {
	fs   *DeadlineFS
	name string
	lock io.Closer
}

func (l *deadlineLock) Close() error { return l.fs.do("unlock", l.name, l.lock.Close) }

// deadlineFile is a file of a DeadlineFS.
type deadlineFile struct {
	fs   *DeadlineFS
	file File
	// unflushed is how many bytes were written by this handle since it was flushed.
	unflushed atomic.Int64
}

func (f *deadlineFile) Name() string { return f.file.Name() }

func (f *deadlineFile) Alignment() Alignment { return f.file.Alignment() }

// errMappingMayHang is why Map refuses.
var errMappingMayHang = fmt.Errorf("%w: a mapping has no deadline", engine.ErrUnsupported)

// transfer is memory that a late call may use when the caller does not wait any more.
func transfer(n int) []byte { return AlignedBuffer(n, safeAlignment) }

func (f *deadlineFile) ReadAt(p []byte, off int64) (int, error) {
	own := transfer(len(p))
	n, err := within(f.fs, int64(len(p)), "read", f.Name(), func() (int, error) { return f.file.ReadAt(own, off) }, nil)
	copy(p[:n], own)
	return n, err
}

func (f *deadlineFile) WriteAt(p []byte, off int64, flags WriteFlags) (int, error) {
	own := transfer(len(p))
	copy(own, p)
	f.unflushed.Add(int64(len(p)))
	return within(f.fs, int64(len(p)), "write", f.Name(), func() (int, error) { return f.file.WriteAt(own, off, flags) }, nil)
}

func (f *deadlineFile) flush(op string, call func() error) error {
	n := f.unflushed.Swap(0)
	_, err := within(f.fs, n, op, f.Name(), func() (struct{}, error) { return struct{}{}, call() }, nil)
	return err
}

func (f *deadlineFile) Sync() error { return f.flush("sync", f.file.Sync) }

func (f *deadlineFile) SyncData() error { return f.flush("sync-data", f.file.SyncData) }

func (f *deadlineFile) Writeback(off, n int64) error {
	return f.fs.do("writeback", f.Name(), func() error { return f.file.Writeback(off, n) })
}

func (f *deadlineFile) Preallocate(off, n int64) error {
	return f.fs.do("preallocate", f.Name(), func() error { return f.file.Preallocate(off, n) })
}

func (f *deadlineFile) Punch(off, n int64) error {
	return f.fs.do("punch", f.Name(), func() error { return f.file.Punch(off, n) })
}

func (f *deadlineFile) Truncate(size int64) error {
	return f.fs.do("truncate", f.Name(), func() error { return f.file.Truncate(size) })
}

func (f *deadlineFile) Size() (int64, error) {
	return within(f.fs, 0, "size", f.Name(), f.file.Size, nil)
}

// Map maps a file whose device may hang. A thread that touches such a page cannot be
// stopped while it waits for the device, and the collector of garbage, and with it the
// whole program, waits for that thread: so there is no mapping.
func (f *deadlineFile) Map(int64, int) (Mapping, error) {
	return nil, NewError("map", f.Name(), -1, errMappingMayHang)
}

// Close does not wait while another call below the same directory has not come back: of
// many files each would wait.
func (f *deadlineFile) Close() error {
	if f.fs.Pending(f.Name()) == 0 {
		return f.fs.do("close", f.Name(), f.file.Close)
	}
	pending := f.fs.counter(f.Name())
	pending.Add(1)
	go func() {
		_ = f.file.Close() // nothing is made durable by it
		pending.Add(-1)
	}()
	return nil
}
