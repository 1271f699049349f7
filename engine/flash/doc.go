// Package flash is a log-structured store for flash devices: the segments of its log are
// its segments, so that a value is written once, and read with one direct read.
//
// # A commit
//
// A commit is a record of the log, package wal, which has the values, and as many entries
// in an index in memory, which has the keys in order and where each value lies; mu puts
// both in order. All that can fail comes before the record.
//
// The index is a B+tree whose leaves are pieces of memory without pointers: a sorted run,
// which does not change, and room behind it for what was put since, which goes into the run
// when the leaf is copied. So a put writes a few bytes into a leaf, and copies it once in
// eight times; readers take no lock, and what nobody reads any more is the garbage
// collector's. What a batch puts there has its number, and comes into sight when that is
// said to be; where a batch deletes, or puts much into one leaf, it makes new nodes beside
// those in sight, and comes into sight with a new root. A snapshot or iterator is a root,
// after which the tree is in a new generation: nodes of earlier ones are copied before they
// are changed.
//
// # Reading
//
// The index tells segment, offset, length and checksum of a value; a cache of values, by
// place, comes before the device. What no file has yet is in the log's memory. Since the
// checksum stands in the index, what is read is the value that was written or it is
// damaged: a rotten, misdirected or stale block is found. A place never has another value,
// so that a get that finds its segment gone, or another in its place, only has to look
// into the index again. Snapshots and iterators hold the segments that they may need: those
// that had values then, and that have had some since.
//
// A walk reads ahead: with each value those that follow, twice as many each time, up to four
// times IODepth; values that lie close to each other come with one read.
//
// # Checkpoints and recovery
//
// From time to time the whole index is written to a file, beside the segments, and takes
// the place of the one before by a rename. Opening reads it, and replays the log behind
// it; values are not read. The log keeps a segment until Free gives it back: when nothing
// in it is of use in the newest state, no state that is held needs it, a checkpoint is
// behind its records, and what left nothing of use in it has been flushed.
//
// # Cleaning
//
// When less than Fill of the segments is of use, the values that are of use in one are
// logged again as moves: a move counts where its key still has the value at the old place,
// so that it changes nothing in the order of commits. The segment is taken of which
// (1-u)·age/(1+u) is largest, u being what is of use in it (Rosenblum and Ousterhout, "The
// Design and Implementation of a Log-Structured File System", SOSP 1991). Moves that the
// kernel has are not flushed by themselves: a segment goes when what left nothing of use in
// it has been flushed. Where cleaning falls far behind, writers wait for it.
//
// # Several paths
//
// Each path has all of the store: the same segments, and a checkpoint. A flush is
// acknowledged when all paths have it that count. A path that fails, or does not answer
// for seven eighths of Timeout, counts no more; before anything else is acknowledged the
// others have a segment of a higher generation, flushed, whose head says which paths count.
// So at the next opening a path is told current from stale; and where a path is missing
// that counted last, opening is refused, unless Force says otherwise: it may have gone on
// alone.
//
// With several paths every call to one has that deadline. What has not come back by then
// goes on in a goroutine of its own, with memory of its own, and the path is not brought level
// before it has ended. So nothing of them is mapped: a thread that touches a page whose device
// is silent cannot be stopped, and the collector of garbage would wait for it. A buffered commit
// costs a system call for each path then. With one path there is nothing to go on with, and
// its segments are mapped: if that one falls silent, so may the process.
//
// Reads go to the path with the shortest queue. One that fails, or takes longer than 99 of
// 100 reads there, is asked of another path too. What is damaged in one path, and not in
// another, is written again while the read goes on; Scrub does so with everything.
//
// With fewer Replicas than paths the others are spare: they hold nothing that counts, and
// one is brought level when a path is lost.
//
// A path that comes back, or an empty directory or device in its place, is brought level in the
// background at ResyncRate: it is given the segments whose heads it does not have, and those
// of which no head there, and no mark in its newest segment, says that all records were
// flushed. The last one, and the checkpoint, come under a barrier, behind which the path
// counts.
//
// # Durability
//
//   - Memory and Buffered are the same here: the record is in the hands of the kernel when
//     Apply returns, and the death of the process loses nothing.
//   - Flushed: the record is flushed, outside mu, so that one flush serves all who wait.
//   - A checkpoint is flushed, and named, when all that it speaks of has been flushed; in
//     all paths that count before the log forgets what it has.
//   - After a write or flush that failed in the last path the engine is read-only: reads go
//     on, Close reports it, and the next opening replays the log. A full disk is
//     ErrNoSpace, and all is as before.
//
// # Files
//
//	PATH/index        the last checkpoint; index.new while it is made
//	PATH/NNNNNN.wal   the log's segments: see engine/wal
//	PATH/LOCK         the lock of the directory
//
// A path may be a raw block device, such as /dev/nvme0n1, which then has these files, but for
// LOCK, by package blockfs: index and segments lie in extents of the device, whose table is
// written when a segment's file is made or removed, and with each checkpoint. Commits
// overwrite segments in their place, so that nothing lies between them and the device. A
// device that is empty, its first MiB being zeros, is taken as an empty directory is; one
// with anything else on it is refused. The table has room for about 80,000 segments: above 1
// TB SegmentBytes should be larger than it is by default.
//
// Numbers are little-endian, except for those called uvarint, which are as in
// encoding/binary. CRC is CRC32C. A key is a uvarint of its length and its bytes; keys of
// the index begin with the number of their family, as a uvarint, a byte of 0 for the
// default one. Bytes of which nothing is said are zeros.
//
//	index = header { part }
//	header, 64 bytes:
//	   0  "orbitfls"
//	   8  u32 version: 1
//	  12  u32 number of paths
//	  16  u64 id of the store
//	  24  u64 sequence: the last record of the log that is in it
//	  32  u64 the newest commit in it
//	  40  u64 number of entries
//	  48  u32 the path that the file is in, from 0
//	  60  u32 CRC of the 60 bytes before it
//
//	part = u32 length, u32 check, payload
//	check = CRC(payload) + low half of x, of part number i:
//	  x = fold(fold(id XOR (sequence·p1 + i·p2)) · p2), fold(x) = x XOR x>>32
//	  p1, p2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
//
// The first part is a summary, all of uvarints but for names: the number of the next
// family; how many families, and of each its number, and its name as a key; how many
// segments that have values, and of each its number, its slot, the record before its first
// value, and what is of use in it, 16 and the length of the key for each value beside its
// own. The last part has no bytes. Those between have leaves, one behind the other, without
// a tail, and without their first 8 bytes:
//
//	leaf, n entries:
//	   0  8 bytes that are left out, though the size counts them
//	   8  u32 size of the leaf
//	  12  u16 n
//	  14  u16 length of the prefix
//	  16      n fingerprints of a byte: the low byte of the XXH64 of the key
//	          n offsets, a u16 each; a u32 if the entries take more than 64 KiB
//	          prefix: what all keys have in common
//	          entries: location, the key without the prefix
//	location, 16 bytes:
//	   0  u32 low half of the number of the segment
//	   4  u32 offset of the stored value in its file
//	   8  u32 its length; from bit 28 on the codec
//	  12  u32 CRC of the stored value
//
// Offsets count from the first entry, and entries lie one behind the other.
//
// A value is stored as it is (codec 0), or as a uvarint of its length and an LZ4 block (1)
// or a Zstandard frame (2). A payload of the log is a batch (engine.Batch has its format)
// with values as they are, or begins with a zero:
//
//	0  u8  0
//	1  u8  1 packed batch, 2 moves, 3 family, 4 no family, 5 part of a bulk load, 6 end of one
//	2      packed batch: as a batch; a put's value is a u8 codec and the stored value
//	       moves: of each value its key; u32 segment and u32 offset of where it was; u8
//	       codec; stored value, as a key
//	       family: uvarint number, name up to the end
//	       no family: uvarint number; its keys are deleted
//	       part: u64 record of the first part, 0 in that one; then as a packed batch, of
//	       puts alone
//	       end: u64 record of the first part, whose load comes into sight
//
// Inspect holds a path to all of this.
//
// # What the device is trusted with
//
//   - What was flushed stays, whatever is written elsewhere; flushed segments are not
//     written to, but to mend them.
//   - A flush that reports success has happened. One that reports failure is never
//     repeated.
//   - A rename is whole: a crash leaves the one file or the other.
//   - Nothing is assumed of the order, or of the wholeness, of what was not flushed.
//
// # Limits
//
// Keys of 64 KiB, values of 128 MiB, batches of 256 MiB; 16 paths; segments below 4 GiB,
// and 2^32 of them in the life of a store.
//
// # What it is not
//
//   - All keys are in memory, at about 27 bytes beside each of 16 bytes.
//   - Commits do not run beside each other: mu is held for each, though not for its flush.
//   - A held snapshot keeps whole segments, however little of them it needs.
//   - Every path has everything: values are not spread over paths.
//   - There are no named snapshots.
package flash
