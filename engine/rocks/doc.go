// Package rocks is RocksDB behind the engine contract.
//
// It is built with the tag rocksdb, cgo and a C++ compiler, over the library
// that Debian ships (librocksdb-dev 7.8.3) and its binding grocksdb v1.7.14, the
// pair of versions that fit. Without the tag, Available is false and Open says
// how to build.
//
// # Which library
//
// Debian's library has its assertions compiled in. Its speeds understate
// RocksDB, and it aborts the process where RocksDB would return an error: when a
// write to the log fails, as on a full device, and when a handle outlives the
// database. A library without them is made by deps/rocksdb-release.sh, whose
// last line is its directory:
//
//	DIR=$(deps/rocksdb-release.sh | tail -n 1)
//	CGO_CPPFLAGS="-I$DIR/include" CGO_LDFLAGS="-L$DIR/lib -lbz2" \
//		go build -tags rocksdb ./...
//
// The directory holds a static library only, which the linker then takes before
// the system's shared one; grocksdb names all that it refers to but bzip2.
// CGO_CPPFLAGS reaches both compilers, CGO_CFLAGS would leave out the C++ one.
// Traits.Version tells which library is linked, by asking it for a symbol that
// only a build with assertions defines.
//
// # What grocksdb does, and what not
//
// grocksdb opens the store and does everything that is done rarely: options,
// families, checkpoints, ingestion, properties. Reads, iterators and commits go
// through native.cc, which makes one crossing from Go to C of each, into memory
// of the caller's:
//
//   - A get copies the value to dst. grocksdb's takes three crossings (get, and
//     free of value and slice) and allocates.
//   - An iterator fetches blocks of entries, 1 and then four times as many with
//     each fetch, up to 16 KiB. grocksdb's takes five crossings an entry.
//   - A batch is encoded in Go, in RocksDB's own form, and passed whole.
//   - A multi-get passes all keys and gets all values at once.
//   - Compaction can be cancelled and returns its error, and the map properties
//     are read, neither of which RocksDB's C interface has.
//
// The package's benchmarks do the same operations through it and through
// grocksdb alone. 100,000 records of 16 B/100 B, release library, 2 cores, the
// least of 8 runs, in ns:
//
//	                       get   put, buffered   scan of 100
//	grocksdb             3,783           5,727        58,864
//	this package         3,243           4,850        38,226
//
// # Durability
//
// The log is never turned off. Flushed is WriteOptions.sync: the record is on
// the device before the commit is visible (one fdatasync a commit, or one a
// group of concurrent ones). Buffered is RocksDB's default: the record has gone
// through write(2).
//
// Memory needs manual_wal_flush, an option of the open store, hence
// Options.ManualLogFlush: commits then stay in the log's buffer of up to 1 MiB in
// the process, Flushed flushes that, and Buffered is a commit followed by
// FlushWAL. This costs no more than RocksDB's own write to the file (measured: one
// write(2) each), but its order differs: a commit is visible before its record
// reaches the file. If that fails, the device being full, the commit is not
// undone, and the store turns ErrReadOnly instead of ErrNoSpace.
//
// In every class, a crash loses a suffix of the commits: recovery ends at the
// first record that is not whole (kPointInTimeRecovery), RocksDB syncs a log that
// is full before it writes tables from a later one, and an ingestion, whose
// tables are durable at once, syncs the log first.
//
// # Full and failing devices
//
// Where there is no room for a table, writes are ErrNoSpace until RocksDB finds
// room, for which it looks every five seconds. Where there is none for the log,
// the commit is ErrNoSpace and later ones are ErrReadOnly: RocksDB 7.8 does not
// take up a log again that has a record in part. Any other failure of a write or
// flush is ErrReadOnly at once. Reads go on in every case.
//
// # Settings
//
// The zero Options are what RocksDB's tuning guide recommends to begin with:
// level_compaction_dynamic_level_bytes, index and filter blocks in the block
// cache with those of level 0 pinned, full Bloom filters of 10 bits a key, blocks
// of 16 KiB in format 5, LZ4, bytes_per_sync of 1 MiB. Families share the options
// and the cache; each has memtables of its own.
package rocks
