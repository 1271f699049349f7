// Package local makes a driver.Store of any engine.Engine.
//
// # Rows
//
// A row is one entry of the engine. The key of a row is the user's key, unless it
// begins with a byte 0: then a byte 0, a byte 1 and the rest of it, which keeps the
// order. What the store keeps for itself is below all of these:
//
//	00 00 'h'            header: u8 version 1, u64 revisions below this are taken
//	00 00 'f' key        fence: u8 version 1, u64 largest token seen for the key
//	00 00 'x' u64 key    expiry: nothing; the key may expire at this time
//
//	row      = u8 version 1, u8 flags, u64 revision, [ u64 expiry ], value
//	flags    = 1: there is an expiry
//	expiry   = nanoseconds since 1970, in UTC
//
// Numbers are big-endian. An unknown version, an unknown flag and a row that is too
// short are ErrCorrupt. A directory of an engine with rows and no header was not
// written by this package, and is refused.
//
// An expiry stays when its row is written again, and is dropped when its time has
// come: it is the row that says when it expires.
//
// # Revisions
//
// A revision is a number that grows with each commit of the store. A block of
// numbers is reserved in the header, flushed, before the first of them is used, so
// that no crash, whatever it loses, lets a number be used twice.
//
// # Isolation
//
// Each key belongs to one of 256 locks, which a write holds from its condition to
// its commit. A commit of many keys holds those of all that it has read or writes,
// one that has read ranges holds all. Reads take no lock. It needs nothing of an
// engine but atomic batches, so transactions are serializable over all of them. An
// engine's own Conditional is not used: it would decide a second time, by
// snapshots, what the locks and revisions have decided.
//
// # Time
//
// The store's clock is that of the system at opening, and runs on monotonically:
// while a store is open, no step of the system's clock ends or prolongs an entry.
package local
