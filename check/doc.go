// Package check tells whether what clients saw of a store can be the work of a
// correct one. It knows nothing of any store: it judges histories.
//
// A History is a list of operations, each with the interval in which it took
// effect, what it read and what it changed, and the crashes in between. All
// operations are of one form: at one moment within the interval the reads held,
// and then the changes were made. A get, a scan, a put, a batch, a conditional
// commit are operations of that form; so is a snapshot, whose interval is that
// in which it was taken, and whose reads are all that was ever read from it.
//
// # The checkers
//
//   - Sequence replays the commit order that the store itself tells, in
//     O(n log n), scans, snapshots and crashes included. It is for bulk.
//   - Order finds the commit order of a store that tells none, from marker
//     entries that every batch writes and every snapshot shows; Sequence then
//     checks the rest.
//   - Linearizable asks porcupine, which needs no order and trusts none: per key,
//     and over the whole map in small windows. It is the referee.
//   - Cycles looks for anomalies among transactions that append to lists, by
//     Elle's method, and names them.
//
// A checker that could not decide says so: "unknown" is not a pass.
//
// # Real time
//
// An operation must take effect between its call and its return. Times are
// nanoseconds of one monotonic clock; intervals are closed, so that a return and
// a call at the same time are concurrent. An operation whose outcome is unknown,
// because a crash cut it off, returns Never: it may have taken effect at any
// time after its call and before the crash, or not at all.
package check
