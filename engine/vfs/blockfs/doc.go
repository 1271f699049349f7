// Package blockfs keeps a few large files on a raw block device: a flat file system, as a
// vfs.FS over the one that has the device.
//
// A file's bytes lie in units of the device, and its name, size and units in a table that
// is written anew with each change that is to be durable. What is read or written within a
// file goes to the device with no more than a look at the file's extents in memory, by the
// page cache or direct, so that an engine that overwrites the files it made gets the device
// as it is.
//
// # What it promises
//
// All of package vfs but what Capabilities denies: there are no directories below the
// device, no Link, Clone, Map or Punch. Names and lengths are durable with Sync, SyncData or
// a DSync write of a file that changed, and with SyncDir of the device; each of them makes
// all names and lengths durable that there are.
//
// It falls short in one thing. The table is in the memory of the process until then, so
// that names and lengths that were not made durable die with the process, or with Close, as
// with a loss of power. Bytes written within what is durable of a file survive the process.
//
// A device belongs to whoever holds its Lock. Without it a device may be read, and shows
// the table of when it was first looked at.
//
// # A commit
//
// The table is encoded as it is; the device is flushed, so that all that the table speaks of
// is there; the table is written beside the last one; the device is flushed. A table that
// is whole has been written behind the first of these flushes, so that whichever table a
// loss of power leaves as the newest whole one is true.
//
// Two places for tables take turns, each with two copies. The copies are against rot: a
// table that is damaged would pass for one that was torn, and the one before it would count
// in silence. And they make one sure of a table that was found, which may be in the page
// cache alone, after a flush that failed: before the other place is written to, one of its
// copies is written again and flushed, by the first commit. Meanwhile the other copy is as
// it was, and so is the other place.
//
// The units of a removed or shortened file are used again only behind a commit without
// them; until then a loss of power brings the file back. When a device is first looked at,
// the units of older tables that are whole are kept for the same reason.
//
// # Bytes that were never written
//
// They read as zeros, whatever the device has: units may have been another file's. A unit
// that a file has not got is a hole. A unit that a write takes is filled with zeros in all
// that lies below the file's size and beside the write, before the file has it; what lies
// beyond the size counts for nothing, and is zeroed when the size grows past it. So below
// the size there is nothing that this file has not written, and since a commit flushes
// first, no table says otherwise. A file that is written from front to back has nothing to
// fill. (A mark of how far a file was written would save the zeros of Preallocate, and
// would be worth nothing to a file with holes.)
//
// # A flush that fails
//
// The device has one cache for all files, and a flush that failed may have lost any of
// them. So every later flush fails too, until the device is locked again; reads go on.
//
// # The format
//
// Numbers are little-endian, but for uvarints, which are as in encoding/binary; CRC is
// CRC32C. Bytes of which nothing is said are zeros.
//
//	device:
//	    0      1 MiB of zeros, but for two labels: at 512 KiB, and at 768 KiB
//	    1 MiB  tables: place 0, copies 0 and 1; place 1, copies 0 and 1; each in 4 MiB
//	   17 MiB  units, as many as are whole
//
//	label, 512 bytes:
//	    0  "orbitblk"
//	    8  u32 version: 1
//	  508  u32 CRC of the 508 bytes before it
//
//	table = header in 4096 bytes, payload, zeros to a multiple of 4096
//	header, 512 bytes:
//	    0  "orbittab"
//	    8  u32 version: 1
//	   12  u32 bytes of a unit: a power of two, 4 KiB to 1 MiB
//	   16  u64 number of units
//	   24  u64 generation, from 1
//	   32  u32 length of the payload
//	   36  u32 CRC of the payload
//	  508  u32 CRC of the 508 bytes before it
//	payload = { file }, in the order of names
//	file, of uvarints but for the name:
//	   length of the name, name; size; number of extents
//	   of each extent: units of hole before it; first unit; number of units
//
// The highest generation that is whole in one copy counts. A unit is the largest power of
// two of which the device has 4096, from 4 KiB to 1 MiB; it is fixed when the device is
// formatted. A device may become larger.
//
// # Formatting
//
// A device whose first MiB is zeros is empty, whatever lies behind; the first commit formats
// it: it erases the headers, flushes, writes a table, flushes, writes the labels, and
// flushes. A label that was torn by a loss of power lies in front of a whole table. A device
// with anything else in its first MiB is refused; to give it to Orbit is to zero that.
//
// # Limits
//
// Names of 255 bytes; about 80,000 files of one extent, since a table has 4 MiB at most; a
// device of 32 MiB at least. Each commit writes the table of all files, about 30 bytes for each,
// twice: it is for files of many MiB.
package blockfs
