package pebbledb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
)

// fence stands between Pebble and its file system. The first failed change of a
// file that Pebble cannot do without (logs, MANIFEST, markers, OPTIONS, and the
// directory itself, but not tables) closes it. Pebble is told that the change
// went well, as it would otherwise end the process, some of it by unlocking a
// mutex twice, which nothing can recover. Once the fence is closed
//
//   - changes of those files are dropped, and so is every removal: what the
//     last good MANIFEST names stays where it is, and a log never has a hole;
//   - a memtable is flushed into a table in memory, so that a write that waits
//     for it ends; there are no further ones, as
//   - the engine lets no write in, and reports every commit that was under way
//     when the fence closed as failed.
//
// Files outside the store's directory, those of a checkpoint, pass through.
type fence struct {
	vfs.FS
	dir string
	// armed is set when the store is open. Until then errors reach Pebble's Open,
	// which returns them.
	armed  atomic.Bool
	closed atomic.Pointer[error]
	// open ends when the fence is closed, by shut.
	open context.Context
	shut context.CancelFunc
	// full is why the newest flush or compaction found no room, nil otherwise.
	full atomic.Pointer[error]
	// memory holds the tables that are flushed after the fence was closed.
	memory *vfs.MemFS
	// ending is closed when the engine closes, to end pauses.
	ending chan struct{}
}

// flushCategory is how Pebble marks a table that a memtable is flushed into.
const flushCategory vfs.DiskWriteCategory = "pebble-memtable-flush"

func newFence(fs vfs.FS, dir string) *fence {
	f := &fence{FS: fs, dir: dir, memory: vfs.NewMem(), ending: make(chan struct{})}
	f.open, f.shut = context.WithCancel(context.Background())
	return f
}

// stop closes the fence; the first cause counts.
func (f *fence) stop(cause error) {
	f.closed.CompareAndSwap(nil, &cause)
	f.shut()
}

// cause returns why the fence is closed, nil while it is open.
func (f *fence) cause() error {
	if p := f.closed.Load(); p != nil {
		return *p
	}
	return nil
}

// guards reports whether name is in the store's directory, and the store is open.
func (f *fence) guards(name string) bool {
	return f.armed.Load() && f.PathDir(name) == f.dir
}

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// change makes a change of a guarded file, unless the fence is closed; a failure
// closes it.
func (f *fence) change(op, name string, do func() error) {
	if f.cause() != nil {
		return
	}
	if err := do(); err != nil {
		f.stop(fmt.Errorf("%s %s: %w", op, name, err))
	}
}

// background takes an error that Pebble met in the background.
func (f *fence) background(err error) {
	if err = translate(err); errors.Is(err, engine.ErrNoSpace) {
		f.full.Store(&err)
	} else {
		f.stop(err)
	}
}

// retried slows down what Pebble would otherwise retry at once and for ever.
func (f *fence) retried(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		f.background(err) // at once, so that fewer writes come to wait for room
	}
	if err != nil && f.armed.Load() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-f.ending:
		}
	}
	return err
}

// writable makes a file to be written. A guarded one that cannot be made, or comes
// after the fence was closed, is an empty stand-in.
func (f *fence) writable(op, name string, do func() (vfs.File, error)) (vfs.File, error) {
	if f.PathDir(name) != f.dir {
		return do()
	}
	if isTable(name) {
		file, err := do()
		if err != nil {
			return nil, f.retried(err)
		}
		return &tableFile{File: file, fence: f}, nil
	}
	var file vfs.File
	var err error
	create := func() error {
		file, err = do()
		return err
	}
	if f.armed.Load() {
		f.change(op, name, create)
	} else if create() != nil {
		return nil, err
	}
	if file == nil {
		standIn, err := vfs.NewMem().Create("detached", vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		file = standIn
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

// Create makes a file.
func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if f.guards(name) && isTable(name) && category == flushCategory && f.cause() != nil {
		return f.memory.Create(f.PathBase(name), category)
	}
	return f.writable("create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

// Open opens a file for reading.
func (f *fence) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if isTable(name) && f.guards(name) && f.cause() != nil {
		if file, err := f.memory.Open(f.PathBase(name), opts...); err == nil {
			return file, nil
		}
	}
	return f.FS.Open(name, opts...)
}

// OpenReadWrite opens a file for writing.
func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.writable("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite recycles a log.
func (f *fence) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.writable("reuse as", to, func() (vfs.File, error) { return f.FS.ReuseForWrite(from, to, category) })
}

// OpenDir opens a directory.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil || name != f.dir {
		return file, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

// Remove removes a file, unless the fence is closed.
func (f *fence) Remove(name string) error {
	if f.guards(name) && f.cause() != nil {
		return nil
	}
	return f.FS.Remove(name)
}

// Rename renames a file.
func (f *fence) Rename(from, to string) error {
	if !f.guards(to) || isTable(to) {
		return f.FS.Rename(from, to)
	}
	f.change("rename to", to, func() error { return f.FS.Rename(from, to) })
	return nil
}

// GetDiskUsage tells the free space. That it cannot be told is no failure of the
// store; Pebble makes one of any error but this.
func (f *fence) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := f.FS.GetDiskUsage(path)
	if err != nil {
		return usage, vfs.ErrUnsupported
	}
	return usage, nil
}

// Unwrap is for vfs.Root.
func (f *fence) Unwrap() vfs.FS { return f.FS }

// fencedFile is a file that Pebble cannot do without, or the store's directory.
// Most are made while the store opens, when failures are still returned.
type fencedFile struct {
	vfs.File
	fence *fence
	name  string
}

func (f *fencedFile) change(op string, do func() error) error {
	if !f.fence.armed.Load() {
		return do()
	}
	f.fence.change(op, f.name, do)
	return nil
}

// Write appends p.
func (f *fencedFile) Write(p []byte) (int, error) {
	err := f.change("write", func() error {
		n, err := f.File.Write(p)
		if err == nil && n < len(p) {
			err = io.ErrShortWrite
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteAt writes p at an offset.
func (f *fencedFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.change("write", func() error { _, err := f.File.WriteAt(p, at); return err }); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync flushes the file.
func (f *fencedFile) Sync() error { return f.change("sync", f.File.Sync) }

// SyncData flushes the file's data.
func (f *fencedFile) SyncData() error { return f.change("sync", f.File.SyncData) }

// SyncTo starts to flush a prefix of the file.
func (f *fencedFile) SyncTo(length int64) (full bool, err error) {
	err = f.change("sync", func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close closes the file.
func (f *fencedFile) Close() error {
	err := f.File.Close()
	return f.change("close", func() error { return err })
}

// tableFile is a table being written, which Pebble tries again in a new file if
// that fails.
type tableFile struct {
	vfs.File
	fence *fence
}

// Write appends p.
func (f *tableFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fence.retried(err)
}

// Sync flushes the file.
func (f *tableFile) Sync() error { return f.fence.retried(f.File.Sync()) }

// SyncData flushes the file's data.
func (f *tableFile) SyncData() error { return f.fence.retried(f.File.SyncData()) }

var _ vfs.FS = (*fence)(nil)

// removeAll empties what a failed or interrupted operation has left.
func removeAll(fs vfs.FS, dir string) error {
	if err := fs.RemoveAll(dir); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
