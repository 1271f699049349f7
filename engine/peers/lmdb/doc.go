// Package lmdb is LMDB behind the engine contract, adapted for comparison.
//
// It is built with the tag lmdb and cgo, over the system's library
// (liblmdb-dev), through a thin layer of C of its own: the Go bindings there are
// bring a copy of LMDB. Without the tag, Available is false and Open says how to
// build.
//
// A get is one crossing from Go to C: it renews a read transaction of a pool,
// looks up, copies the value to the caller's memory, and resets the transaction.
// A batch is one crossing and one write transaction, and batches commit one after
// the other: LMDB has one writer. An iterator fetches up to 64 entries with a
// crossing, and its keys and values are not copies, but lie in LMDB's map, so
// that a page that is not in memory is read when it is touched.
//
// # Durability
//
// Flushed is LMDB's default: the pages, a fdatasync, then the meta page, written
// with O_DSYNC. LMDB does not group commits.
//
// Options.NoSync adds Buffered. Such a commit is MDB_NOSYNC without MDB_WRITEMAP:
// pages and meta page go through write(2), so that it survives the death of the
// process. What it does not have is order on the device. After a loss of power,
// until the next Flushed commit or Sync, a meta page may be there without the
// pages that it refers to, and pages of older commits may have been used again:
// LMDB then is corrupt, commits that were Flushed before included, and does not
// notice, having no checksums. The contract's promise that a crash loses a suffix
// holds without NoSync, and with it for crashes of the process.
//
// There is no Memory class.
//
// # Limits and failures
//
// Keys have up to 511 bytes, as the library is compiled, and there is no empty
// key. The store grows up to Options.MapBytes, beyond which commits are
// ErrNoSpace, deletions too, which need pages before they free some: it goes on
// when it is opened with more. A write or flush that fails for another reason
// than space makes the store ErrReadOnly. A file that is cut short is ErrCorrupt
// when it is opened; an error of the device while the map is read is a signal
// that ends the process.
//
// # Readers
//
// A snapshot or iterator that is open keeps LMDB from using again every page that
// is freed after it, so that the file grows with the writes. A snapshot is one
// read transaction, which takes one thread at a time: its readers wait for each
// other. There can be 4,096 iterators and snapshots; one more is ErrInUse.
//
// LMDB (0.9.24) itself lets a reader begin in the midst of a commit, if two commits
// pass while it begins: it then sees what is not yet acknowledged, and the next one
// what was before. The adapter begins such a reader again; a Checkpoint, whose reader
// is LMDB's own, is as LMDB has it.
package lmdb
