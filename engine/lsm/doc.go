// Package lsm is a log-structured merge-tree over the shared log: commits that cost a
// record of the log and an insertion in memory, reads that take no lock, and data that
// is written in long runs, merged, and packed.
//
// # A commit
//
// A commit is a record of the log, the batch in its encoded form, and its entries in the
// memtable; mu puts both in order. All that can fail comes before the record. Each batch
// has a version, and one more for each delete-range of it that follows a put or delete: a
// tombstone of a range deletes what is of lower versions than its own. When the memtable
// is full another takes its place, and it waits in a queue for its turn to be written to
// tables. Before writers would have to stop, because the queue is full or merges are
// behind, they are slowed to what flushes and merges do; see pace.go.
//
// The memtable is an adaptive radix tree (Leis et al., ICDE 2013) in an arena outside the
// heap, that one writes and any number read, beside a filter. Its tombstones of ranges
// are sets of fragments that do not overlap; see tombstone.go.
//
// # Reading
//
// A state is a memtable, the queue, and the levels. It does not change, but for the
// memtable's content, and one atomic pointer leads to the newest. A reader takes that and
// the newest visible version, and looks from the newest part to the oldest; the first
// that has the key, or deletes it, settles the matter, since of one key all versions in
// a part are newer than those in the parts below. What no state has any more is
// released when those have left who may still read it; see internal/epoch.
//
// In a table the filter says whether a key may be there, the index in which block. Blocks
// lie unpacked in frames of 4 KiB outside the heap, which a clock takes back; larger ones
// are read each time. A get compares eight fingerprints at a time, and then keys. An
// iterator merges all parts, and passes over what a newer tombstone deletes.
//
// A snapshot is a version: it holds no files, but keeps merges from leaving out what it
// sees.
//
// # Levels
//
// Flushes and bulk loads make runs at the top, which may overlap; each level below is
// one run of tables, and older than those above. When there are several runs at the top,
// a slice of all of them, some tens of MiB, is merged into the first level that is in
// use: as few levels are as the multiplier allows, the last with most of the data, and
// each as many times larger than the one above as the others (Dong et al., "Optimizing
// Space Amplification in RocksDB", CIDR 2017). Of a table of which a slice was taken
// pieces are left, with narrower bounds in the same file. A level that is too large gives
// the table that overlaps least to the one below. What overlaps nothing is moved, not
// written, unless there is something to leave out.
//
// Merges leave out what nobody sees: of the versions between two snapshots all but the
// newest; and where nothing older lies below, tombstones that all snapshots see, and the
// version itself, which is then 0.
//
// Values from a size on lie in files of their own, which merges need not write again
// (Lu et al., "WiscKey", FAST 2016). When less than half of such a file is of use, the
// tables that refer to it are written anew, with what is left of it. A piece of a table
// counts with its share of the references; the file goes when no table has one any more.
//
// A bulk load becomes tables, of version 0, while commits go on. A record of the log
// gives them their place in the order, and the version that theirs are to be added to.
//
// # Families
//
// All families are in one tree: before each key stands the number of its family, as a
// uvarint, which is a byte of 0 for the default one. Errors, and Inspect, tell keys with
// it. A family that is dropped is gone when the manifest says so. Its content is deleted
// by a tombstone, which is made again at every opening until nothing is left.
//
// # Durability
//
//   - Memory and Buffered are the same here: the record is in the hands of the kernel when
//     Apply returns, and the death of the process loses nothing.
//   - Flushed: the record is flushed, outside mu, so that one flush serves all who wait.
//   - A table or value file is flushed, and its name by a flush of the directory, before
//     an edit in the manifest tells of it; the edit is flushed before the log forgets what
//     is in the table, before files that it has no more are removed, and before readers
//     see it. So is the table of a bulk load before its record.
//   - CURRENT is written under another name, flushed, renamed, and the directory flushed,
//     before the manifest forgets what came before the edit that it leads to.
//
// Flushes and merges that fail for want of room, or for damage that they read, are tried
// again; commits go on while there is room in memory, and not too many runs wait to be
// merged, and then get that error. After any
// other write or flush that failed the engine is read-only: reads go on, Close reports
// it, and the next opening replays the log.
//
// # Recovery
//
// The manifest is read from where CURRENT says on, then the log from the record on that
// the manifest says is in no table. Memtables that fill meanwhile are flushed. Tables and
// value files that nothing tells of, which flushes and merges have left that did not come
// to their end, are then removed. A log that is torn at its end is whole up to there; all
// else that does not match is ErrCorrupt: see engine/wal. A directory with tables or a
// log but no CURRENT is refused; so is one with other files, if it has no store.
//
// # Files
//
//	DIR/CURRENT        where the manifest begins; CURRENT.new while it is made
//	DIR/manifest/      a log of edits: see engine/wal
//	DIR/log/           the log: see engine/wal
//	DIR/NNNNNN.table   a table
//	DIR/NNNNNN.values  a value file
//	DIR/LOCK           the lock of the directory
//
// A number is that of one file alone, as long as the manifest or a file has it. Numbers
// are little-endian, except for those called uvarint, which are as in encoding/binary.
// CRC is CRC32C, hash is XXH64 with the seed 0, of the whole key. A key is a uvarint of
// its length and its bytes. Bytes of which nothing is said are zeros.
//
//	CURRENT, 64 bytes:
//	   0  "orbitlsm"
//	   8  u32 version: 1
//	  12  u32 number of levels, the top included: 2 to 16
//	  16  u64 id of the store
//	  24  u64 the record of the manifest after which the newest whole edit comes, which the
//	      others build on
//	  60  u32 CRC of the 60 bytes before it
//
// A payload of the manifest is an edit, which changes what those before it say:
//
//	edit = { change }
//	change, a byte and uvarints, except for keys and names, which are as keys:
//	   1  nothing of before holds: the edit is whole
//	   2  a table comes: level, 0 for the top; run, 0 below the top; number; bytes of the
//	      file; about how many of them are within the bounds; entries, deletes, range
//	      tombstones; bytes of keys and values; lowest version, highest version; what is
//	      to be added to the versions; key that none is below; key that all are below;
//	      number of value files, and of each its number, and the stored bytes referred to
//	   3  a table goes, or a piece of one: number; key that none is below
//	   4  a value file comes: number; bytes
//	   5  a value file goes: number
//	   6  all is in tables up to: version; sequence of its record of the log
//	   7  the highest number that a file has
//	   8  a family comes: number; name
//	   9  a family was dropped: number
//	  10  nothing is left of a family: number
//	  11  the number of the next family
//	  12  the log has begun: from here on there is a file of it
//
// In an edit tables go before others come, and value files come before others go. A run
// is called by the version of the newest commit that was in it when it was made. All that is said of a table beside its bounds,
// the part within them, level and run is of the whole file, whatever pieces are left.
//
// A payload of the log is a batch (engine.Batch has its format), or begins with a zero:
//
//	0  u8  0
//	1  u8  1 bulk load, 2 clear a range of all families
//	2      bulk load: uvarint version; an edit in which its tables come to the run of that
//	       version
//	       clear: key that is deleted first; key that is not deleted any more
//
// What is stored in tables and value files is
//
//	stored = packed, u8 codec, u32 check
//	packed = the payload            codec 0
//	       | uvarint size, LZ4 block        1
//	       | uvarint size, Zstandard frame  2
//
//	check       = CRC(packed, codec) + low half of scramble
//	x           = id of the store XOR (number of the file · p1 + offset · p2)
//	scramble    = fold(fold(x) · p2)
//	fold(x)     = x XOR x>>32
//	p1, p2      = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
//
// modulo 2^32 and 2^64. So what is stored counts in one place of one file only. What is
// less than 64 bytes, or does not become an eighth smaller, is not packed.
//
//	table = { stored block } stored tombstones, stored filter, stored index, footer
//
//	footer, 56 bytes:
//	   0  "orbittbl"
//	   8  u32 version: 1
//	  16  u64 id of the store
//	  24  u64 number of the table
//	  32  u64 entries
//	  40  u32 length of the stored tombstones
//	  44  u32 of the stored filter
//	  48  u32 of the stored index
//	  52  u32 CRC of the 52 bytes before it
//
// These parts are never packed. Blocks begin at 0, and end where the tombstones begin.
//
//	tombstones = { key, key, uvarint number of versions, { uvarint version } }
//
// Each deletes the keys from the first on that are below the second. They ascend, and do
// not overlap; versions descend.
//
//	filter = nothing: there is none
//	       | u8 0, u8 probes, at offset 8 lines of 8 u64
//	       | u8 1, what github.com/bits-and-blooms/bloom writes: u64 bits, u64 probes,
//	         u64 bits, words of u64, all big-endian; it knows the hashes, of 8 bytes
//
// In a filter of lines, the line of a key is the high half of hash · lines. In it the
// bits are set, of 0 to 511, that the low 9 bits of x are, which is then shifted by 9, for
// each probe. For the first seven x is mix(hash) at first, for the others mix(hash · p2).
//
//	mix(x) = (x XOR x>>32) · p1
//
//	index = u32 number of blocks, and of each
//	          uvarint bytes shared with the key before; uvarint how many more; these
//	          uvarint length of the stored block
//
// The key of a block is not above its keys, and above those of the block before; that of
// the first is empty.
//
//	block = header fingerprints slots prefix { record }
//	header, 24 bytes:
//	   0  u32 number of entries; bit 31 set: slots are wide
//	   4  u32 length of the prefix
//	   8  u64 lowest version
//	  16  u32 size of the block
//	  20  u8  1 if some key has several versions, else 0
//	fingerprints: of each entry a u8, the top byte of the hash; zeros up to a multiple of 8
//	slots: of each entry the offset of its record, a u16; wide, a u32
//	prefix: what all keys have in common
//	record:
//	  u8       kind: 1 put, 2 delete, 3 put of a value elsewhere; bit 7 set: with a version
//	  uvarint  length of the key without the prefix
//	  uvarint  length of the value
//	  uvarint  with a version: what that is above the lowest; else it is the lowest
//	           the key without the prefix
//	           value; nothing for a delete; where it is, for one elsewhere
//
// Records lie one behind the other in the order of entries: keys ascend, and of one key
// versions descend. All versions of a key are in one block, which has about 4 KiB unless
// they need more. Versions are below 2^56.
//
//	value file = { stored value }
//	where a value is:
//	  uvarint  number of the value file
//	  uvarint  offset
//	  uvarint  length as it is stored
//	  uvarint  length
//
// Inspect holds a store to all of this.
//
// # What the device is trusted with
//
//   - What was flushed stays, whatever is written elsewhere: tables and value files are
//     written once.
//   - A flush that reports success has happened. One that reports failure is never
//     repeated.
//   - A rename is whole: a crash leaves the one file or the other.
//   - Nothing is assumed of the order, or of the wholeness, of what was not flushed.
//
// It is not trusted with the bytes: each is read under a checksum that depends on where
// it belongs, so that what is damaged, old, or another's is ErrCorrupt, with file and
// offset, and what is elsewhere can still be read.
//
// # Limits
//
// Keys of 64 KiB, values of 128 MiB, batches of 256 MiB; tables below 4 GiB; 16 levels.
//
// # What it is not
//
//   - Commits do not run beside each other: mu is held for each, though not for its flush.
//   - Indexes and filters of open tables lie in memory, about 1 % of what these hold,
//     beside the cache; OpenFiles bounds how many are open.
//   - There are no named snapshots; one in a process keeps what it sees from being left
//     out for as long as it is open.
package lsm
