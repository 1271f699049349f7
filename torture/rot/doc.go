// Package rot damages what is stored, one sector at a time, and asks whether the
// engine notices.
//
// An engine does a workload on a simulated disk. Then, in each sector of 512
// bytes of each file of the store in turn, one thing goes wrong:
//
//   - flip: a bit is another.
//   - zero: the sector is zeros.
//   - misdirect: what was written to another sector of the store lies here, where
//     it does not belong.
//   - swap: this sector and another one changed places.
//   - stale: the sector holds what it held earlier in the workload; a write was
//     lost after it was acknowledged.
//
// The store is opened and all of it is read, by key, forwards and backwards. The
// damage is
//
//   - detected, if the open or a read is engine.ErrCorrupt, and what other reads
//     give is right;
//   - harmless, if all reads are right: the sector was not in use, or the engine
//     mended it;
//   - undetected, a failure, if a read gives a wrong value, if a key that is there
//     is ErrNotFound or is missing from a scan, if another error comes, or on a
//     panic.
//
// That is after a clean close. After a loss of power the end of a log looks like
// damage, so that there the store may also show a shorter prefix of the commit
// order than was acknowledged, whole.
//
// Bit rot is outside the contract of an engine that is not ours; what it does is
// observed, not judged.
package rot
