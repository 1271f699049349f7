// Package engine is the contract that every key-value engine of Orbit meets:
// the hand-built ones, RocksDB, Pebble, and the peers adapted for comparison.
//
// An Engine is an ordered map from byte strings to byte strings. Keys are
// ordered as bytes.Compare orders them. All changes go through Apply, which
// commits a Batch atomically in one of three durability classes; all reads go
// through a Reader, which is the engine itself (the newest commit) or a
// Snapshot (one fixed commit).
//
// # Optional capabilities
//
// What not every engine can do stands in interfaces of its own, each declared
// by a field of Traits: MultiGetter, FamilyStore, Conditional, NamedSnapshots,
// Sequenced, Ingester. An engine implements the interface if and only if it
// declares the trait; the conformance suite checks both directions.
//
// # Ownership of bytes
//
// Arguments stay the caller's: an engine copies what it keeps before the call
// returns. Results of Get are appended to the caller's slice and are the
// caller's. Results of an Iterator belong to the iterator and are valid until
// its next move or Close.
//
// # Concurrency
//
// All methods of Engine and Reader may be called from many goroutines at once.
// An Iterator and a Batch belong to one goroutine at a time.
//
// # Errors of the device
//
// A disk that is full where space is taken is ErrNoSpace: nothing of the batch is
// applied, and the engine goes on once there is room. A flush that fails, for
// whatever reason and be it want of room, makes a hand-built engine ErrReadOnly
// for good: reads go on, and the batch whose flush failed may be found after the
// next opening, or not. A read that fails is the error of that read alone.
//
// A persistent engine makes the name of its own directory durable, and of
// whatever it makes beside it.
//
// # Lifetime
//
// Close waits for calls under way, ends every background goroutine, and loses
// nothing of what was applied, in whatever class, to a persistent store. Every
// later call on the engine gives ErrClosed, a second Close too. Close of an engine
// that a failed flush made read-only releases everything and returns that error,
// since what was applied may be lost. Iterators and
// snapshots should be closed before the engine. Where some are not, Close
// returns ErrInUse with their number; they stay good, and the store is released,
// its directory unlocked, when the last of them is closed.
package engine
