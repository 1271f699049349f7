// Package tiny is the smallest engine that keeps its promises, and that breaks
// one of them on demand. The tests of the torture modes run it: a mode must pass
// it as it is, and find each Defect.
//
// A store is a log of batches, "log", and a checkpoint of the whole map, "data".
// A log record is
//
//	checksum  4 bytes  CRC32C of "l" and the rest
//	length    4 bytes  of the payload
//	sequence  8 bytes
//	payload            the encoded batch
//
// and "data" is one such record, with "d" in the checksum, with all entries as
// puts of one batch. Close and Compact write "data" aside, rename it, and empty
// the log.
package tiny
