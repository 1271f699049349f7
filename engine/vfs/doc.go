// Package vfs is the seam between the engines and the operating system: files,
// directories, locks, raw block devices, and a queue of asynchronous reads and
// writes. Nothing else under engine/ touches the OS, the adapters of foreign
// engines excepted. What runs on the real disk through OS runs on a simulated
// one through another FS; package vfstest holds both to this contract.
//
// # What survives a loss of power
//
// An engine may rely on this, and on nothing more:
//
//   - The content and the length of a file: what was written before a Sync or
//     SyncData that succeeded, and each write with DSync that succeeded. SyncData
//     makes the length durable too, since the content could not be read without.
//     Direct I/O is not durable by itself: the device has a cache.
//   - A name: what Open with Create, Rename, Link, Clone, Remove and MkdirAll did
//     to a directory before a SyncDir of it that succeeded. Sync of a file does
//     not make its name durable. A rename between directories needs both synced.
//   - Anything else may be there or not, in any combination, in units of 512
//     bytes; what was being written may read as anything at all.
//
// # Errors
//
// Every error about a file but io.EOF is an *Error with operation, path and
// offset. Its chain holds the kind of package engine that fits, and the errno:
// ENOSPC and EDQUOT are ErrNoSpace, EROFS is ErrReadOnly, what the file system or
// platform does not have is ErrUnsupported, a closed handle is ErrClosed. A
// missing file stays fs.ErrNotExist and is never ErrNotFound, which engines give
// for absent keys.
//
// # A failed flush
//
// When Sync, SyncData, SyncDir or a write with DSync fails, for whatever reason,
// the kernel may have dropped the data and marked it clean, so that the next
// call would succeed without it. They are therefore never repeated here, not
// even after EINTR, and the caller must not trust the file again.
//
// # Concurrency
//
// All methods of FS, File and Mapping may be called from many goroutines. Reads
// and writes of the same bytes are not ordered against each other. A Queue
// belongs to one goroutine at a time. Close never waits for a call under way:
// the resource goes when the last call leaves it, so that a hung device cannot
// hang Close, and no call meets a reused descriptor.
package vfs
