package vfs

import (
	"io"
	"path/filepath"
)

// FS is a file system. Names are paths as package filepath of the platform
// writes them; they stay the caller's.
type FS interface {
	// Open opens a regular file or a raw block device; a directory, a socket or
	// a terminal is ErrInvalid. A name that is not there is fs.ErrNotExist.
	Open(name string, flags OpenFlags) (File, error)

	// Rename gives a file or directory another name, and atomically takes the
	// place of a file that had it. Open handles stay with their file.
	Rename(from, to string) error

	// Link gives a file a second name; fs.ErrExist if that is taken,
	// ErrUnsupported where the file system has no hard links.
	Link(from, to string) error

	// Clone makes the new file to with the content of from, sharing its blocks
	// until one of the two is changed; fs.ErrExist if the name is taken,
	// ErrUnsupported where the file system cannot share blocks. The content is
	// durable after a Sync of the new file.
	Clone(from, to string) error

	// Remove removes a file or an empty directory. Open handles of the file stay
	// good, and its space is kept until the last of them is closed.
	Remove(name string) error

	// MkdirAll makes a directory and the parents that are missing. Each new name
	// is durable after SyncDir of its own parent.
	MkdirAll(dir string) error

	// List returns the names in a directory in ascending order, without "." and
	// "..".
	List(dir string) ([]string, error)

	// Stat tells what a name stands for.
	Stat(name string) (Info, error)

	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error

	// Lock takes an exclusive lock of a directory, by a file LockName in it, or
	// of a block device, which it refuses too while it is mounted. ErrLocked if
	// anyone has it, in this process or another. Close releases it; so does the
	// death of the process. The lock file remains.
	Lock(name string) (io.Closer, error)

	// DiskUsage tells how full the file system is that holds name.
	DiskUsage(name string) (Usage, error)

	// Capabilities tells what can be done with files in a directory. It finds
	// out by doing it to files of its own, which it removes, so it takes some
	// milliseconds and needs a directory that can be written to.
	Capabilities(dir string) (Capabilities, error)

	// NewQueue returns a queue for files of this FS. It must be closed.
	NewQueue(o QueueOptions) (Queue, error)
}

// MakeDir makes a directory, if it is not there, and its name durable; its parent is to
// be there.
func MakeDir(fsys FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// LockName is the name of the file by which Lock locks a directory. Removing it
// while a lock is held would let a second opener in.
const LockName = "LOCK"

// OpenFlags tell how to open a file. Zero opens one that is there for buffered
// reading and writing.
type OpenFlags uint

const (
	// ReadOnly refuses writes with ErrInvalid. It excludes Create and Truncate.
	ReadOnly OpenFlags = 1 << iota
	// Create makes an empty file where there is none.
	Create
	// Exclusive, which needs Create, is fs.ErrExist where there is one.
	Exclusive
	// Truncate empties the file.
	Truncate
	// Direct goes past the page cache. Memory, offset and length of each read
	// and write must then be aligned as File.Alignment says; one that is not is
	// ErrInvalid. ErrUnsupported where the file system has no direct I/O; with
	// Create, an empty file may then be left. Mixing direct and buffered access
	// to the same bytes at the same time gives either content.
	Direct
	// SyncWrites makes every write of this handle one with DSync; ErrUnsupported
	// where the platform has none that can be trusted.
	SyncWrites
)

// Kind is what a name stands for.
type Kind uint8

// The kinds of names.
const (
	RegularFile Kind = iota
	Directory
	BlockDevice
	// OtherKind cannot be opened: a socket, a pipe, a character device.
	OtherKind
)

// Info is what Stat tells.
type Info struct {
	Kind Kind
	// Size is the length in bytes of a file or device.
	Size int64
	// Allocated is the space in bytes that the file occupies: less than Size
	// with holes, more with preallocation. A device has 0.
	Allocated int64
}

// Usage is the space of a file system, in bytes.
type Usage struct {
	Total uint64
	// Free counts what only a privileged user may take too; Available does not.
	Free, Available uint64
	// FileSystem is its type, as Capabilities.FileSystem.
	FileSystem string
}

// UsedPercent returns how full it is to those who may not use what is reserved, as df
// counts.
func (u Usage) UsedPercent() float64 {
	used := float64(u.Total - u.Free)
	if most := used + float64(u.Available); most > 0 {
		return 100 * used / most
	}
	return 0
}

// Capabilities are what can be done with the files of a directory. A method or
// flag whose field is false is ErrUnsupported there.
type Capabilities struct {
	// FileSystem is the type of the file system: "ext4", "tmpfs"; its magic
	// number where the name is not known: "0x1badface".
	FileSystem string
	// Direct: Open with Direct. Alignment is what it then asks for.
	Direct    bool
	Alignment Alignment
	// DSync: WriteAt with DSync, Open with SyncWrites.
	DSync bool
	// Preallocate, Punch, Map: the File methods.
	Preallocate, Punch, Map bool
	// Link, Clone: the FS methods.
	Link, Clone bool
	// Directories: MkdirAll below it, and Rename of what it makes.
	Directories bool
}
