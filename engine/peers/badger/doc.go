// Package badger puts Badger, an LSM-tree with a log for large values, behind
// the engine contract for comparison.
//
// # Durability
//
// A store has one class, chosen when it is opened: Flushed, which is Badger's
// SyncWrites, or Buffered with Options.NoSync. Badger writes its logs through a
// shared memory map, so that a commit survives the death of the process without
// a system call. Both classes in one store would not be honest: DB.Sync flushes
// the newest logs only, not those that filled up since the commit.
//
// Flushed rests on two things that Badger leaves to the file system, and that
// ext4 and XFS do: that to flush a new log or table also makes its directory
// entry durable. After a loss of power, a Buffered store may have lost more of
// an older log than of a newer one, so that what is missing is no suffix.
//
// Commits are not grouped: a Flushed one costs a flush of the memtable's log,
// and one more of the value log, whose failure Badger tells only its logger.
// Any error logged there makes this engine read-only.
//
// # Limits
//
// A transaction must fit into about 15 % of a memtable; MaxBatchBytes is three
// quarters of that. Badger counts twelve bytes more for each operation, and
// allows one operation for each 96 bytes or so: a batch of very many very small
// operations is ErrTooLarge though it is below MaxBatchBytes. A delete-range is
// a deletion of each key in it, and counts so. Keys that begin with "!badger!"
// are ErrInvalid.
//
// # Faults
//
// Badger ends the process when an invariant fails, and the kernel does where
// the device is full, as the maps lie over sparse files. Close waits until the
// memtable could be written as a table.
package badger
