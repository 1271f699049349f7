// Package backup keeps copies of a provider in another place, and takes it back to any
// point between them.
//
//	b, err := backup.New(p, place, backup.Options{KeepLast: 7, Open: open})
//	go b.Run(ctx) // bases and the log, on a schedule
//
//	r, err := backup.Restore(ctx, place, target, backup.Point{Time: yesterday})
//
// # What is kept
//
// A base is a checkpoint of the whole store, made while writes go on. It counts once
// Options.Open has opened the copy and all of it was read: a checkpoint of a damaged store
// would else let the last sound base be pruned. It is copied in a part of the time only, so
// that the store keeps most of its speed: Options.Share. Between bases, and while one is
// made, the log of the engine is archived: its records, in their order, in pieces. A restore copies
// a base, and applies the archived records behind it up to the point that is asked for.
// Whatever the point, what is restored is a prefix of the commits in their order, each
// whole.
//
// The log of a Logged engine (cow_btree, lsm_tree) is read by way of a reader that keeps
// segments from being used again until they are archived. Where that would take more than
// Options.MaxLogBytes, or the process was down while segments were used again, there is a
// gap in the archive: the next base is made at once, and points in the gap cannot be
// restored. A bulk load past the log is such a gap too. Backends that are not Logged
// (flash, pebble, rocksdb) have bases only. Those that cannot make a checkpoint either, as
// memory and all remote ones, have an export (see package migrate) as their base.
//
// Named snapshots, and a store's options, are not part of a backup.
//
// # Objects
//
// A Place holds objects by name:
//
//	base/ID/f/FILE           the files of a base
//	base/ID/manifest.json    all of them with length and SHA-256; written last
//	log/LOG/FIRST-LAST-TIME  a piece of the log: its identity in hexadecimal, its first
//	                         and last record, and when it was read, in ns since 1970,
//	                         in 20 decimal digits each
//
// IDs are the time of a base's beginning in UTC, "20261126T043000.000Z", and so in order.
// A base without a manifest does not count: it was not finished.
//
// A piece is packed with Zstandard:
//
//	piece  = "orbitlog", u8 version 1, u64 log, u64 first, { record } end
//	record = u8 kind, uvarint length, payload
//	end    = u8 0, u64 last, SHA-256 of all before it
//	kind   = 1 batch: payload is its encoding; 2 nothing to apply; 3 a gap: what is
//	         stored has changed, and the record does not say how
//
// with big-endian numbers. Each record has the sequence of the one before it plus one.
//
// # Points
//
// A point is a sequence of the log, or a time: the newest piece that was read up to that
// time is the last that is applied, so that times are as fine as Options.ArchiveInterval.
//
// # After a restore
//
// Revisions begin above all that can ever have been given, so that nothing that was read
// before is overwritten by a compare-and-swap. Leases, fences and nodes are those of the
// point: whoever held a lease at that time is shown as its holder until it expires.
package backup
