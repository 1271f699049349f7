// Package intent makes transactions over a store that has nothing but
// compare-and-swap of single keys: object stores, ConfigMaps, keys in different
// slots of a Redis cluster. Wrap takes such a store and returns one that is a
// driver.Committer and takes fences. Every client of the store must go through it.
//
// # What is stored
//
//	object   = u8 1, value              a plain object
//	         | u8 2, intent             an object that a transaction is about to change
//	value    = u8 flags, version, [ u64 fence ], [ bytes ]
//	flags    = 1: deleted, and kept for its fence; 2: there is a fence
//	version  = 16 bytes, at random for each write; it is the revision that users see
//	intent   = id, u64 timeout, u8 1 if there was a value, u32 length, value before,
//	           u8 1 if there is a value, value after
//	record   = u8 1, u8 state, u64 timeout, u32 keys, { u32 length, key }
//	state    = 1 pending, 2 committed, 3 aborted
//	id       = u64 nanoseconds since 1970, 8 bytes at random
//
// Numbers are big-endian, timeouts in nanoseconds. The record of a transaction is
// the object 00 00 't' id; the key of any other object is the user's, with 00 01
// for a first byte 00.
//
// # The protocol
//
//  1. The record is created as pending, if it is absent, and at the same time an
//     intent is put in the place of each object that is to be written, by
//     compare-and-swap of what was there.
//  2. When all of them stand, every object that was read is looked at again, and so
//     is every intent. An intent that stands while the record is known to be pending
//     can be taken away only after the record has changed.
//  3. The commit point: the record is swapped from pending to committed.
//  4. The intents are replaced by the values, and then the record is removed.
//
// That is three round trips, whatever the number of keys; the fourth step is nobody's
// to wait for.
//
// A store may change some keys at one moment, such as those of one hash slot; see
// Together. A transaction of nothing but such keys is one call there: it compares the
// objects that were seen without intents, and writes plain ones.
//
// Whoever meets an intent asks its record. Committed: the value is the new one.
// Aborted: it is the old one, once the swap that puts it back has succeeded, which
// shows that the intent still stood. Pending, or missing: it waits until the
// transaction's timeout has passed on its own monotonic clock since it met it first,
// and then makes the record aborted, by a swap, or by creating it. Nobody reads past
// an intent. A record that is missing while its intent still stands was never
// committed, since records of committed transactions go after their intents.
//
// Two transactions that meet go by age, so that none waits in a circle: the older one
// aborts the younger ("wound-wait", Rosenkrantz et al. 1978), the younger one waits.
//
// A crash of any client at any step leaves what others finish in this way. Sweep
// removes the records that nobody meets.
//
// The shape is that of Percolator (Peng and Dabek 2010) and of CockroachDB's parallel
// commits, without timestamps: a transaction is validated by what it has read.
//
// # Limits
//
// Ranges are not validated, and entries have no TTL: both are ErrUnsupported.
package intent
