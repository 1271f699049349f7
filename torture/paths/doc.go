// Package paths takes a device from under an engine that keeps its data on
// several, gives it back stale, and cuts the power in between.
//
// An engine does a random workload with its paths on two devices of a simulated
// disk. One of them vanishes, between two operations or in the middle of a call,
// and may come back while the workload goes on: with what was durable on it, and
// with some of the writes that were under way when it went landing late. In the
// end the store is closed, or the power is cut at a random event since the loss,
// and what is pending has a fate of its own.
//
// # What is asked of the engine
//
//   - Every operation succeeds: one path is enough.
//   - The store opens again with both paths, of which one may be stale, and shows
//     what package workload's oracle takes for right: a stale path never wins.
//   - It takes a batch, closes, and opens with that, as in package crash.
//   - Opening it has brought the stale path level: then either path alone shows
//     the same.
//
// Late writes land before the store is opened again. One that lands later still,
// on what is then in use, is damage, and the matter of package rot.
package paths
