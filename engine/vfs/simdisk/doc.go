// Package simdisk is a disk in memory behind vfs.FS that crashes. The same calls
// make the same disk, the same log and, by the same seed, the same crash.
//
// # A running disk
//
// A Disk keeps the contract of package vfs. Files are numbered inodes of pages of
// 4 KiB and a length; names are entries of directories. Every change is an event
// of one global log, which Mark puts the harness's own events into. What a
// process sees is as if all events had come about.
//
// # What a power cut leaves
//
// A change that is not durable is pending. Pending changes are units:
//
//   - Write: bytes of a file, by WriteAt, buffered or direct, by a Mapping, by
//     Punch (zeros) or by Clone. The device has a cache, so direct is not durable.
//   - Length: a new length of a file, also the one that a write made.
//   - Name: a change of a directory. Open with Create, Link, Remove, each level of
//     MkdirAll and a Rename within a directory are one unit each. A Rename between
//     directories is two: the new name, then the end of the old one.
//
// Sync and SyncData make the Writes and Lengths of that file durable, by whatever
// handle they came, and nothing else. SyncDir makes the Names of that one
// directory durable, and nothing else; not that of the directory in its parent. A
// write with DSync makes its own sectors and all Lengths of the file durable. No
// other order is kept: there is no journal, and units do not wait for others.
//
// At a power cut each unit has a Fate of its own, so any subset of them is there:
//
//   - They land in the order in which they were made, upon what is durable.
//   - A Write lands whole, not at all, with the sectors at its start or its end, or
//     with some sectors full of random bytes. A sector is 512 bytes at a multiple
//     of 512. Bytes that it did not write are never hurt, not even those in the
//     same sector: a write that is smaller than a sector does not put its
//     neighbours at risk (SQLite calls that powersafe overwrite).
//   - Bytes that land beyond a length that was lost are not seen; they are zeros
//     if the file grows again. A length that lands without its bytes shows zeros,
//     or what was durable there. A Length that cuts the file cuts what landed.
//   - A file without a name is gone, and all that is in a directory without one.
//   - Units land in subsets that no journal would leave, such as the end of an old
//     name of a Rename between directories without the new one: the file is gone.
//     If a directory has two names, the first in order is kept.
//
// Of a sector that becomes durable by itself, by DSync say, older pending writes
// to it are over: they are durable with it, as the sector is written as a whole.
// A unit of which nothing can ever be seen again is dropped: that of a file whose
// removal is durable. Space is no unit: an image may hold more than its device,
// what was removed and what came in its place, and space that was reserved and not
// synced may be reserved in it or not.
//
// The flush that is between its start and its end needs no case of its own: a cut
// just before its event, with a subset, is what it leaves. So does one after the
// event of a write stand for a cut within it; a write with DSync is two events,
// the write and the flush of it.
//
// What is not modelled: times, permissions, symbolic links; a collateral loss of
// bytes that nobody wrote; units that land in another order than they were made.
//
// # From a log to images
//
// A Walk goes over the log and keeps, beside what a process saw, what is durable,
// and the pending units; Crash makes a Disk of it by a Fate for each unit. Images
// share their pages until they are changed. Everything on such a disk is durable,
// and its own log is empty, so that it can be recovered, walked over and crashed
// again.
//
// # Faults
//
// Inject makes calls fail; see Effect. After a FailedFlush the changes are no
// longer dirty: they are read as they are, and no flush makes them durable. They
// stay pending until a flush of newer ones takes them along: it writes whole
// sectors, and the length; a newer entry of a name ends the older ones.
// Vanish and Return take a device and give it back with what was durable. Rot
// flips bits at rest. Kill ends a process, not the disk. An Injection counts the
// calls it changed.
package simdisk
