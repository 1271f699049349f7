// Package workload makes the operations with which an engine is tortured, does
// them, and knows what the store may show afterwards.
//
// A Workload is a list of operations, and has a text form, one operation a line,
// from which failures are replayed:
//
//	put flushed a 100
//	delete buffered a
//	delete-range memory a c
//	batch flushed put a 10; delete b; delete-range c e
//	sync
//	snapshot
//	checkpoint
//	compact
//	reopen
//
// A number is the size of a value in bytes. Its content follows from its place
// in the workload, so that no two values of eight bytes or more are alike.
//
// # The oracle
//
// The oracle trusts no engine. The harness does one operation at a time, so it
// knows the commit order, and keeps the state after each batch as a plain sorted
// list. Each batch also puts its number under MarkerKey. What a store shows names
// the batch it claims to end with, and must then be the state after that batch,
// key for key, in both directions and by point reads: one prefix of the commit
// order, batches whole. Which prefixes are right follows from what was
// acknowledged, and is an Accept:
//
//   - After a loss of power, not less than the last acknowledged flush: a Flushed
//     batch, a Sync, a clean close.
//   - After the death of the process, not less than the last acknowledged
//     Buffered batch either.
//   - Never more than was begun.
package workload
