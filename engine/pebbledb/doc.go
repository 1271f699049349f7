// Package pebbledb puts Pebble, the storage engine of CockroachDB, behind the
// engine contract.
//
// # Durability
//
// Memory is Pebble's NoSync, Flushed its Sync. There is no Buffered: NoSync
// returns when the commit stands in a buffer of the process that a goroutine
// writes out later, so the newest such commits die with the process, and Pebble
// has no call that waits for write(2) alone.
//
// # What differs from using Pebble directly
//
// Pebble answers a failed write of its log or MANIFEST with Logger.Fatalf or a
// panic in a goroutine of its own, and so ends the process. Here a fence between
// Pebble and the file system (fence.go) keeps such a failure from it and turns
// the engine read-only instead: ErrReadOnly with the cause, reads go on. After
// that nothing more reaches the log or the MANIFEST and no file is removed, so
// that the directory stays as the failure left it.
//
// A table that cannot be written is no such failure: Pebble keeps what it comes
// from and tries again in a new file. Writes get ErrNoSpace meanwhile if the
// device is full, and resume by themselves; after any other error the engine is
// read-only. A write that Pebble already holds back when the device is full waits
// until there is room, and Close waits for that write.
//
// Sequenced is not declared: Pebble's API tells the sequence number of a batch,
// but neither that of a snapshot nor the newest.
//
// Pebble counts memtables against the block cache: with CacheBytes below a few
// memtables nothing is left for blocks.
package pebbledb
