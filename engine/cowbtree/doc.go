// Package cowbtree is a copy-on-write B+tree over the shared log: gets and scans
// that take no lock and no detour, snapshots that cost nothing to take, and commits
// that cost a record of the log.
//
// # A commit
//
// A commit is a record of the log, the batch in its encoded form, and the change of
// the tree in memory; mu puts both in order. It is as durable as the record: Memory
// and Buffered once the kernel has it, Flushed once it is flushed, which happens
// outside mu, so that one flush serves all who wait. All that can fail comes before
// the record.
//
// Pages that anybody but the newest tree needs are not changed. The first change of
// a page after a checkpoint or snapshot began makes a copy of it, and of the pages
// above it up to the root. From then on a single put or delete changes the leaf in
// its place, and nothing above it. Where the leaf has no room, or others need it, the
// page above gets new leaves in the place of the one, if it has room, and only the
// newest tree has it. For all else, and for batches of several operations, a
// transaction makes the new pages, each once, and publishes them all with the new
// root. A batch that changes more than fits into memory writes pages of its own to the
// file before it is published.
//
// Inner pages keep the shortest separators, leaves split unevenly where keys ascend,
// and pages that have become small join their neighbours. A range is deleted by
// letting go of the pages within it: leaves are read only at its two ends, and where
// they have values apart.
//
// # Reading
//
// A page in memory lies behind the head of a frame, which has a version: odd while
// the page is changed, another one afterwards. A reader takes the version, looks at
// what it needs, takes the version again, and begins anew if that is not the same.
// So it may read nonsense, but not use it: the functions of page.go check every
// number before it leads them anywhere. (The way of optimistic lock coupling: Leis
// et al., "The ART of practical synchronization", 2016.) A reference has, beside the
// page's place in the file, a hint in which frame it was last; a hint that is wrong
// costs a read of the file, and is put right. An iterator copies a leaf at a time.
//
// Frames are of seven sizes, 4 to 256 KiB, in memory that the garbage collector does
// not know. A clock takes those that were not used lately; pages that are not in the
// file yet stay.
//
// Under the race detector, which would take such reading for a mistake, a lock
// stands in for the versions.
//
// # Checkpoints
//
// A checkpoint takes a snapshot, writes those of its pages that are in memory alone,
// children first, since a reference has the checksum of what it refers to, and then
// the catalog: what is free, and what named snapshots hold. That is flushed before a
// meta page says where everything is; the meta page is flushed before the log
// forgets what is in the tree, and before the sectors of the checkpoint before are
// used again. Commits go on meanwhile, on copies. References that still name a page
// by its number in memory are then patched, a few frames at a time under mu, and
// only after that may the page be evicted.
//
// What a checkpoint that failed for want of space has written is kept for the next
// one. After any other write to the data file that failed, or a flush that did, the
// engine is read-only: reads go on, Close reports it, and the next opening replays
// the log.
//
// # Snapshots, and what is free
//
// Time is cut into generations: a new one begins with each snapshot, named or not,
// and with each checkpoint. A reference has the generation in which its page was
// born. A page that is replaced is dead; it goes to the list of the newest snapshot
// if that needs it, which is to say if it was born no later, and else is free at
// once. When a snapshot goes, what is in its list goes to the snapshot before it, if
// that needs it, or is free. So nothing is counted, and no tree is walked; see
// snapshot.go. A named snapshot is a record of the log, and from the next checkpoint
// on a root and a list in the catalog. Free sectors are handed out in blocks of 4
// KiB, in which the pages of one checkpoint are packed by sectors of 512 bytes.
//
// # Recovery
//
// The meta page with the highest checkpoint counts, and the log behind it is
// replayed. If it is damaged, the one before counts, and what that needs and is not
// there any more is ErrCorrupt: records of the log, or pages whose sectors were used
// again. What the file has beyond the length that the meta page tells is free, and so
// is whatever was written since the checkpoint: values in extents are in the log too.
// The meta page is written again, into another slot, and flushed before anything else
// is written, since it may have been in the page cache alone.
//
// A log that is missing, and a data file that is, are refused; so is a directory
// with other files.
//
// # Files
//
//	DIR/data       the data file; data.tmp while it is made
//	DIR/log/       the log: see engine/wal
//	DIR/LOCK       the lock of the directory
//
// Numbers are little-endian, except for those called uvarint, which are as in
// encoding/binary. CRC is CRC32C. A place is a u64: the first sector << 21, and how
// many there are, each of 512 bytes. Bytes of which nothing is said are zeros.
//
//	data      = slot slot slot { block }
//	slot      = meta page, in 4096 bytes
//
//	meta page, 128 bytes:
//	   0  "orbitcow"
//	   8  u32 version: 1
//	  12  u32 CRC of all but these 4 bytes
//	  16  u64 id of the store
//	  24  u64 number of the checkpoint; it is in slot number mod 3
//	  32  u64 sequence of the last commit in the tree
//	  40  u64 sequence with which the store was made: 0, or that of what it copies
//	  48  u64 generation
//	  56  u64 place of the root
//	  64  u64 its birth << 8, and its flags
//	  72  u32 CRC of its sectors
//	  76  u32 its level, at most 31
//	  80  u64 place of the catalog
//	  88  u32 bytes of it
//	  92  u32 CRC of those
//	  96  u64 length of the file, in sectors
//
//	catalog, in uvarints, except for names:
//	  number of free extents, and of each
//	      sectors between the end of the one before, or 0, and its first; sectors
//	  number of named snapshots, oldest first, and of each
//	      length of the name; name; sequence; generation; 1 if automatic, else 0
//	      level, place, birth, flags and CRC of the root
//	      number of pages and values that it has, and no later tree, and of each
//	          place << 1, and 1 for a value; birth
//
// Each sector within the length that the meta page tells is one of these: a slot,
// the catalog, a page or value of the newest tree, one in the list of a snapshot, or
// free. Inspect holds a store to that.
//
// A page takes whole sectors, all of which the CRC in its reference covers. A value
// of more than a quarter of a page is in an extent of its own, of whole blocks.
//
//	page, packed:
//	   0  u8  0x81 LZ4 block, 0x82 Zstandard frame
//	   4  u32 size of the page
//	   8  u32 length of what follows
//	  12      the page
//
//	page      = header directory room { record } [ prefix ]
//	header, 32 bytes:
//	   0  u8  kind: 1 leaf, 2 inner
//	   1  u8  level: 0 for leaves
//	   2  u8  shift: 0, 1 or 2, as is needed for the slots to reach
//	   3  u8  flags: 1 if values of it, or of pages below it, are in extents
//	   4  u16 number of entries
//	   6  u16 capacity: places of the directory
//	   8  u32 size of the page
//	  12  u32 offset from which on there are records, and the prefix
//	  16  u32 bytes of those that are nobody's; 0 in the file
//	  20  u16 length of the prefix
//	  24  u32 offset of a prefix of more than 4 bytes
//	  28      prefix of up to 4 bytes
//
//	directory of a leaf of capacity c:
//	  c × u8   fingerprints: the top byte of the hash of the whole key
//	  c × u16  slots: offset of the record >> shift
//	  c × u32  heads: the first 4 bytes of the suffix, big-endian, and zeros
//
//	directory of an inner page of capacity c:
//	  c/16, rounded up, × u32     every 16th head; zeros up to a multiple of 64 bytes
//	  c × u32                     heads
//	  c × { u64, u32 }            place of the child; 0, in memory the hint
//	  c × { u32, u64 }            CRC of its sectors; its birth << 8, and its flags
//	  c × u16                     slots
//
//	record, from a multiple of 1 << shift:
//	  uvarint  length of the suffix
//	  uvarint  0 for a value in an extent, else its length + 1; 1 in inner pages
//	           suffix: the key, without the prefix that all keys of the page have
//	           value, or where it is:
//	   0  u64 place
//	   8  u32 bytes of it
//	  12  u32 CRC of those
//	  16  u64 birth
//
// Keys ascend. The separator of a child is not above its keys, and above those of the
// child before; the record of the first one's is empty, whatever the prefix, since
// the page above has that bound. The hash is that of page.go.
//
// A payload of the log that begins with a zero is no batch:
//
//	0  u8  0
//	1  u8  1 name a snapshot, 2 name an automatic one, 3 drop one, 4 bulk load,
//	       5 the bulk load before this is durable
//	2      the name; nothing for a bulk load, which is in a checkpoint
//
// # What the device is trusted with
//
//   - What was flushed stays, whatever happens to other blocks of 4 KiB: a block that
//     has anything of the newest checkpoint is not written to before there is a newer
//     one, and the three meta slots are blocks of their own.
//   - A flush that reports success has happened. One that reports failure is never
//     repeated.
//   - Nothing is assumed of the order, or of the wholeness, of what was not flushed.
//
// It is not trusted with the bytes: each is read under a checksum that lies in what
// refers to it, so that what is damaged, old, or another's is ErrCorrupt, with file
// and offset, and what is elsewhere can still be read.
//
// # Limits
//
// Keys of 64 KiB, values of 128 MiB, batches of 256 MiB; a data file of 2 PiB; 32
// levels; 65,535 entries of a page.
//
// # What it is not
//
//   - Commits do not run beside each other: mu is held for each, though not for its
//     flush.
//   - It is no store for writes all over more data than memory: each page that
//     changed between two checkpoints is read, and written as a whole.
//   - Space is used again, but given back to the file system only at the end of the
//     file and by Compact. A value apart takes 4 KiB at least.
//   - There are no families.
package cowbtree
