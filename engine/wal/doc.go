// Package wal is the write-ahead log that the engines share: one order of records,
// each as durable as its commit asks for, in one directory or mirrored in several.
//
// # Files
//
// A log is a set of files NNNNNN.wal, its slots, by the same names and with the
// same bytes in each sink. A slot is written once with zeros, and then overwritten
// again and again: no flush has to wait for metadata. While the log is written in
// bulk, with 256 KiB and more for each flush, space for the slot is reserved only,
// which reads as zeros. A segment is one use of a slot. Numbers are little-endian;
// CRC is CRC32C.
//
//	segment = head { group } anything
//	head    = header, at 0, and a copy of it, at 2048, in 4096 bytes
//
//	header, 512 bytes, zeros where nothing is said:
//	   0  "orbitwal"
//	   8  u32 version: 2
//	  12  u32 unit: 512 to 4096, a power of two, what the device writes at once
//	  16  u64 id of the log
//	  24  u64 generation: one more at every opening and every change of the sinks
//	  32  u64 number of the segment, ascending
//	  40  u64 number of the segment before it; 0 if nothing before it is needed
//	  48  u64 sequence of its first record
//	  56  u64 durable: all records up to this sequence were flushed
//	  64  u64 salt, which no earlier use of the slot has had
//	  72  u64 number of the slot
//	  80  u8  flush: 1 direct, 2 through the page cache
//	  82  u16 a bit for each sink that was in sync, by its place in Options; 0 for all
//	 508  u32 CRC of the 508 bytes before it
//
//	group  = mark { record }, from a multiple of the unit to a multiple of it
//	mark, 48 bytes:
//	   0  u32 CRC of bytes 8 to 48
//	   4  u32 40<<2 | 2
//	   8  u64 id of the log
//	  16  u64 seed of the segment
//	  24  u64 offset of the mark in the segment; bit 63 set: the log was closed here
//	  32  u64 sequence of the next record
//	  40  u64 durable, as in the header
//	record, a multiple of 8 bytes:
//	   0  u32 checksum
//	   4  u32 length of the payload << 2 | 1
//	   8      payload, and zeros
//
// Eight zeros in place of a record say that the rest of the unit is empty. With
//
//	scramble(x) = the finalizer of SplitMix64
//	seed        = scramble(scramble(scramble(id + generation·p1) + number·p2) + salt)
//	checksum    = CRC(payload) + scramble(seed + offset·p1 + sequence·p2 + word·p3)
//
// where word is the record's second u32 and p1 to p3 are the odd constants of
// format.go, a record counts in one place of one life of one slot only.
//
// # Durability
//
// Appended as Buffered, a record is stored into a mapping of the segment, or, from
// 1 KiB on, written into the page cache, where it survives the process; the next
// flush takes it along. Appended as Flushed, it waits in memory for the leader of
// the next group, who writes all of them past the page cache with one durable
// write, or, where that is faster, by way of the page cache and a flush. The page
// cache and direct writes take turns: a record reaches the kernel no sooner than
// all before it. The page cache is filled with zeros ahead of the records, in pieces that the
// kernel holds as one, where that is little beside what the next flush has to write anyway;
// and a log whose segments stay, by Options.Retain, has the kernel write them back every 4
// MiB, so that no flush waits for all that was put since the last one.
//
// A flush is acknowledged when every sink that is in sync has it. A sink that
// fails, or does not answer a flush, is left behind: the others begin a segment of a
// higher generation, flushed before anything more is acknowledged, so that it
// cannot pass for current when it is back. The failure of the last sink makes the
// log read-only for good.
//
// # Recovery
//
// The sink with the highest generation wins. Its segments are chained by their
// links, and read until a record does not match. That is the torn tail of a crash,
// and the end of the log, unless some head or mark, wherever it lies, says that
// this record or a later one was flushed: then it is ErrCorrupt. Since each group
// tells of the one before it, damage to what was flushed is found, except to the
// very last flush before a crash; Close leaves a mark for that one too.
//
// Where the log is opened without one of its sinks, generations and numbers leap by
// 2^32: farther than that sink can have come alone, so that it does not win when it
// is back.
//
// With Options.Rejoin, a sink that is behind is not brought level by Open but by Rejoin,
// while the log goes on: it copies the segments whose heads the sink does not have, and
// those that may have records which no head in the sink says were flushed; the newest
// segment last, under a barrier, after which the sink counts from a segment of a higher
// generation on. A sink may be missing then if the newest head says that it did not
// count. One that did may have gone on alone: without Options.AllowMissing that is
// refused.
//
// Nothing is written to a file of the log by opening it, except to bring sinks
// level; the first Append begins a new segment behind the recovered end. Segments
// behind a torn one are not erased: no link leads to them any more.
//
// # What the device is trusted with
//
//   - A unit that was flushed stays, whatever happens to other units: acknowledged
//     bytes are not written again, except that the page cache writes back whole
//     pages, with the same bytes where they were flushed before.
//   - A flush that reports success has happened. One that reports failure is never
//     repeated.
//   - Nothing is assumed of the order, or of the wholeness, of what was not flushed.
//   - A slot has all its blocks: overwriting needs no room. (Not so on file systems
//     that copy on write, where a full disk then makes the log read-only.)
package wal
