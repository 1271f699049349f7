// Package bbolt puts bbolt, the B+tree under etcd, behind the engine contract
// for comparison.
//
// # Durability
//
// A store has one class, chosen when it is opened: Flushed, or Buffered with
// Options.NoSync. They cannot be mixed in one file. bbolt has no log; a commit
// writes new pages and then one of two meta pages, and without the flushes
// between them the device may keep any subset. After two commits without flush
// both meta pages are new and pages of the last flushed state are used again:
// a loss of power may then damage the whole file, commits that were once
// flushed included, until the next Sync. The death of the process loses
// nothing, as pages are written by write(2) before a commit returns.
//
// Commits are not grouped: each Flushed one costs two flushes. bbolt's own
// DB.Batch, which makes one transaction of several, would make callers wait
// 10 ms for each other.
//
// # Readers and the size of the map
//
// bbolt reads through a memory map, which it cannot move while a read
// transaction is open: a goroutine with a snapshot that writes would wait for
// itself. So the map is as large as the file may become, Options.MaxBytes, from
// the start, which costs address space only. A file that would outgrow it is
// ErrNoSpace.
//
// An open snapshot or iterator keeps bbolt from using any page again that was
// freed after it was made. The file grows meanwhile, and with it the freelist,
// which every commit writes in full. The file never shrinks: Compact is not
// declared.
//
// # Damage
//
// bbolt panics on a damaged page. Open turns that into ErrCorrupt; a read does
// not, and a page has no checksum that would find damage in a value.
package bbolt
