// Package errors makes each call of the disk fail in turn under an engine, by
// SQLite's method: the n-th call of a method fails, and n is counted up until
// nothing fires any more.
//
// A workload runs once on a simulated disk without faults, which counts the calls
// by method and by the place in the engine that they come from. Then, for each
// call, each effect that a call of that method can have, and each of once and
// from then on, the workload runs again with that fault:
//
//   - EIO: the call does nothing.
//   - ENOSPC, where the call takes space or makes something durable.
//   - A short write: half of the bytes are written.
//   - A failed flush: what was to be made durable passes for clean, and no later
//     flush takes it.
//
// A fault that does not fire although the call was counted is a failure of the
// run.
//
// # What is asked of the engine
//
//   - An operation succeeds, or returns an error in whose chain is what the disk
//     returned, or engine.ErrReadOnly. It does not panic, and it returns.
//   - A batch that ErrNoSpace refused is not there, now or after a crash. Once the
//     fault is gone, the store takes writes again; unless what was refused is a write
//     over bytes that have their space, as only a file system does that copies on write:
//     the store may be ErrReadOnly then.
//   - After a flush failed in an Apply or a Sync that returned its error, each
//     write is ErrReadOnly until the store is opened again; unless there was no room,
//     the error is ErrNoSpace, and no file has a name any more of which a flush failed:
//     a table that is made anew.
//   - Reads go on: each gives what is right, or the error of the disk, and never
//     ErrNotFound for a key that is there.
//   - After the operation in which the fault fired first, and at the end, the
//     power is cut, with all lost, with all kept, and with mixtures. What then
//     opens is held against the oracle: nothing that was acknowledged as flushed
//     is lost. A write that failed may be there or not.
//   - A store that did not open opens once the fault is gone.
package errors
