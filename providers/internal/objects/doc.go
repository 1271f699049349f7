// Package objects makes a driver.Store of a bucket: of whatever service has objects
// with names, lists them in order, and puts one under a condition. Each service has
// its client in a package of its own, as a Bucket; all else is here, once.
//
// # What is stored
//
// The name of an object is the configured prefix and the name of its key, as
// driver.EncodeName writes it, with "-/" after each 240 bytes, because MinIO and
// services over a file system take no part of a path that is longer than 255. Names
// stay in order with it, and a part of a path is never both an object and a
// directory. Names that begin with "P" are the store's own. Objects of others are not
// shown, and Report tells of them.
//
//	object    = u8 1, 16 bytes at random, value
//	tombstone = u8 2, 15 bytes at random
//
// An entity tag is mostly a hash of an object's bytes: without the random ones a value
// that is written again would bring its tag back, and a compare-and-swap of before would
// succeed (the ABA problem). An object is never as short as a tombstone, so that a
// list, which shows sizes, tells them apart without reading them.
//
// # Deletes
//
// Some services put under a condition and delete without looking at it. Whether this
// one does is tried out when a store is opened. If so, a delete puts a tombstone under
// the condition, which every reader takes for nothing at all, and a put that wants a
// key to be absent puts over the tombstone that it has met.
//
// versitygw looks at the condition, but then removes the object without the lock under
// which it puts, so that a put in between is lost, or was never deleted. No trial finds
// that, and it is known by the name in its answers: there every delete puts a tombstone
// under a condition, but for that of a name which is never used again, and no tombstone is
// removed by its version, which has no lock either. A proxy that takes the header Server
// away hides it.
//
// A tombstone cannot be removed by its name, since that could remove what was put in
// its place a moment ago. Where the bucket keeps versions, Compact removes it by its
// version; else it is kept, 16 bytes for each key that was deleted.
//
// # What becomes of a write
//
// A request that found no connection was not applied: ErrUnavailable. One that was sent
// and had no answer may have been, now or later: ErrOutcomeUnknown. No SDK repeats
// anything below this package; see Transport.
package objects
