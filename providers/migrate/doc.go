// Package migrate takes what one provider holds to another, whatever the two are, and
// writes it to a file and reads it back.
//
//	result, err := migrate.New().
//		FromProvider(old).
//		ToProvider(new).
//		WithValidation(true).
//		Execute(ctx)
//
// # How it goes
//
// A pass reads source and target side by side, in the order of keys, and writes to the
// target where they differ: puts what it lacks or has otherwise, deletes what it should
// not have. The first pass fills the target, the next ones find what was written
// meanwhile, and one that finds nothing is the validation. Memory is bounded by some
// batches, whatever the size.
//
// Passes compare contents, not revisions: those of two backends have nothing in common,
// and a target would have to keep the source's beside its own.
//
// # After a kill
//
// While it is being filled, the target holds an entry under RecordKey, which says from
// where it is filled and how far that has come. It is written before any other entry,
// goes along with the batches, and is deleted last. Whoever calls again with the same
// source goes on behind the last batch that is known to be there; with another source it
// is ErrConflict. A file beside the target would not be found by who goes on on another
// machine, and could be behind or ahead of the target after a loss of power. It is the
// lowest key but one, so that it is found by one read; a source that has it is refused,
// since it is half a store. A finished target does not have it.
//
// Who was killed right behind the end finds a target without that entry which holds what
// the source does, and has nothing to do. Any other target that is not empty is refused.
//
// What changed in the source while nobody copied is found by the pass that always
// follows after going on.
//
// # Live
//
// Where all writes of a program go through a Switch, it remembers the keys that were
// written; the barrier, during which writes wait, lasts as long as copying the few of
// them that are left. The Switch then serves the target.
//
// Elsewhere WithBarrier gives what holds the writers back. Passes are repeated until one
// finds little, and the last ones run under the barrier, which so lasts as long as
// reading both sides. Where the source is a driver.Watcher, what it tells of is copied
// in place of the passes before the barrier. Watchers tell late, so nothing rests on
// them.
//
// # What goes along
//
//   - Keys and values, byte for byte. So leases, nodes and tables go along, with the
//     fencing tokens of leases, which go on growing.
//   - The time at which an entry expires, by the remaining time on the clocks of the
//     two backends. A backend without TTLs takes no entry that has one: ErrUnsupported.
//   - Revisions do not: each entry has one of the target's. What was read before, and is
//     put after, under the condition of a revision, conflicts; a Switch sees to it.
//   - The largest fencing token seen by each key does not: no backend lists them. The
//     first write with a token after the migration sets it again. Until then a writer
//     who was fenced off is not, so let no write with an old token be under way.
//   - Transactions that are under way in the source are finished there or conflict.
//
// # The file
//
// An export is text, one JSON object a line, in UTF-8:
//
//	{"orbit_export":1,"id":"9f…","backend":"cow_btree","created":"2026-11-26T04:30:00Z"}
//	{"key":"node/…","value":"…"}
//	{"key64":"AP8=","value64":"…","expires":"2026-11-26T05:00:00.123456789Z"}
//	{"orbit_export_end":1,"entries":2,"expiring":1,"leases":0,"nodes":1,"bytes":99,"digest":"…","sha256":"…"}
//
// The first line has the version of the format and an id of the export's own. Entries
// follow in the order of their keys, which ascend strictly. A key or value that is not
// UTF-8 is base64 (RFC 4648, section 4), under key64 or value64. expires, in UTC, is
// there for entries that end. The last line has how many entries there are, how many of
// them expire, how many are leases and nodes, the bytes of keys and values together, the
// Digest, and the SHA-256 of all bytes before that line. A file without it is cut off,
// and refused. Names that are not known are refused too. The order of names, and spaces
// between them, are free in the lines of entries. A file whose name ends in .gz or .zst is packed.
package migrate
