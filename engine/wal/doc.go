// Package wal is the write-ahead log that the engines share. This is its first
// step: one directory, segments that grow, group commit behind one flush at a
// time. Mirrored directories, recycled segments, mapped segments and direct
// flushes are not here yet; more than one sink is ErrUnsupported.
//
// # Format
//
// A segment is a file named by the sequence of its first record, in 16 digits of
// hexadecimal, with the suffix ".wal". Numbers are little-endian.
//
//	segment = header { record } [ zeros up to a multiple of 512 | end ]
//	header  = magic "orbitwal" | version u32, 1 | 4 bytes of zero | first sequence u64 | 4 bytes of zero | checksum u32
//	record  = checksum u32 | length u32 | sequence u64 | payload
//	end     = checksum u32 | 4 bytes of 0xff | sequence of the last record u64
//
// Checksums are CRC32C: of the first 28 bytes of the header; of a record from its
// length to its end. The end is written by Close, and cut off when the log is
// opened again. Sequences are consecutive.
//
// # What is durable when
//
// A record is in the page cache when Append returns (class buffered), and flushed
// when Commit with Flushed returns. A segment is flushed before the next one is
// made, and a new one is written aside, flushed, renamed, and its directory
// synced before a record goes into it. So a damaged record is the torn tail of a
// crash only in the newest segment; in any other it is ErrCorrupt, and so is a
// damaged header. A damaged record in front of the end of a closed log is too. In
// a log that was not closed, a damaged record of the newest segment, behind which
// flushed ones stand, is not yet told from a torn tail.
package wal
