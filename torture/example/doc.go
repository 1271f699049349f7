// Package example is a small persistent engine over the shared log: a template
// for an engine of your own, and the first victim of the torture harness. It
// keeps everything in memory, and is as durable as any.
//
// # How it works
//
// The state is an ordered map, a B-tree that shares its nodes with its copies. A
// commit is one record of the log, the batch as it is; then it changes the map
// and publishes a copy of it, so that readers take no lock and a snapshot is one
// pointer. A commit can be seen once it has its place in the log, and is
// acknowledged when the log says that it has its durability class; one whose
// flush failed may therefore have been seen, and be gone after a crash.
//
// When the log has grown, the map is written to a file, and the log may forget
// what that holds:
//
//	data   = magic sequence batch sum
//	magic  = "orbitex1", the last character being the version of the format
//	sequence = uint64, little-endian: that of the last commit in it
//	batch  = a put for each entry, as engine.Batch encodes them
//	sum    = uint32, little-endian: CRC32C of all before it
//
// The order of the steps is what crash safety rests on: data.tmp is written, and
// made durable before it is renamed to data; the new name is made durable before
// the log is told. At each moment one whole checkpoint and the log behind it are
// there. Opening reads the checkpoint and replays the log.
//
// # What it is not
//
// A checkpoint writes everything, while other commits wait for it. Data must fit
// into memory, twice during a checkpoint.
package example
