package vfs

// File is an open file or block device.
type File interface {
	// Name returns the name by which it was opened.
	Name() string

	// ReadAt fills p from offset off, as io.ReaderAt: fewer bytes come only with
	// an error, which is io.EOF, bare, at the end of the file.
	ReadAt(p []byte, off int64) (int, error)

	// WriteAt writes p at offset off and lets the file grow; what lies between
	// the old end and off reads as zeros. Fewer bytes are written only with an
	// error. A block device does not grow: ErrNoSpace.
	WriteAt(p []byte, off int64, flags WriteFlags) (int, error)

	// Sync makes content, length and metadata durable; see "A failed flush".
	// It covers what was written through a Mapping and through other handles.
	Sync() error

	// SyncData is Sync without the metadata that reading does not need, such as
	// times.
	SyncData() error

	// Writeback asks the kernel to begin to write [off, off+n) to the device, so that a later
	// Sync has less to wait for. Nothing is durable by it, and a Sync reports what of it
	// fails. It does nothing where there is no such call.
	Writeback(off, n int64) error

	// Preallocate reserves space for [off, off+n), and lets the file grow to
	// include it. Bytes never written read as zeros. The space is reserved, not
	// written: the first overwrite still changes metadata, so that its flush is
	// dearer than that of written space. Where there is not enough it is
	// ErrNoSpace and the length is as before, but some space may be taken;
	// Truncate, to that length, gives it back.
	Preallocate(off, n int64) error

	// Punch gives back the space of [off, off+n), which reads as zeros; the
	// length stays. Partial blocks are zeroed. On a device the range must be
	// aligned to its blocks.
	Punch(off, n int64) error

	// Truncate sets the length; what is new reads as zeros. A device has a fixed
	// one: ErrUnsupported.
	Truncate(size int64) error

	// Size returns the length in bytes.
	Size() (int64, error)

	// Alignment returns what direct I/O asks for: {1, 1} for a buffered handle.
	Alignment() Alignment

	// Map maps [off, off+n) for shared reading and writing. off is a multiple of
	// the page size; the range lies within the file, else ErrInvalid. All of it
	// should have been written before: storing into a hole takes space that the
	// disk may not have. The mapping outlives the handle. It must be closed.
	Map(off int64, n int) (Mapping, error)

	// Close ends the handle; nothing is made durable by it. Every later call is
	// ErrClosed, a second Close too.
	Close() error
}

// WriteFlags change what one write promises.
type WriteFlags uint8

const (
	// Plain writes are in the hands of the kernel when they return: they survive
	// the death of the process.
	Plain WriteFlags = 0
	// DSync writes are durable, with the length of the file, when they return.
	// ErrUnsupported where there is no such write.
	DSync WriteFlags = 1
)

// Mapping is a range of a file mapped into memory. What is written through it is
// in the hands of the kernel at once, without a system call, and durable after a
// Sync or SyncData of any handle of the file.
//
// The bytes are reached only through its methods, because touching them may
// fault: the file was truncated, a block cannot be read, a hole cannot be
// filled. The processor reports that as a signal (SIGBUS), which would end the
// process. The methods run with debug.SetPanicOnFault, which turns it into a
// panic of the goroutine, recover that panic if its address lies in the mapping,
// and return an *Error with EIO; part of a write may then be done. The race
// detector does not see mapped memory.
type Mapping interface {
	// Len returns the number of bytes mapped.
	Len() int

	// Write copies p into the mapping at offset off, counted from its start.
	Write(p []byte, off int) error

	// View calls f with the bytes [off, off+n). f must only read them, and must
	// not let them escape; its error is returned as it is.
	View(off, n int, f func(b []byte) error) error

	// Close ends the mapping. Every later call is ErrClosed, a second Close too.
	Close() error
}
