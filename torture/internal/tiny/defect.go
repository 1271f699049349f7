package tiny

// Defect is a promise that the engine breaks.
type Defect string

// The defects.
const (
	None Defect = ""
	// AckBeforeSync: a Flushed batch is acknowledged without a flush.
	AckBeforeSync Defect = "acknowledges before the flush"
	// BufferedInMemory: so is a Buffered one that only the process has.
	BufferedInMemory Defect = "buffered batches stay in memory"
	// NoDirectorySync: the names of new files are not made durable.
	NoDirectorySync Defect = "no directory sync after create"
	// NoChecksum: replay does not look at checksums.
	NoChecksum Defect = "no checksum in replay"
	// PastTorn: replay goes on behind a record that is bad.
	PastTorn Defect = "replay past a torn record"
	// EarlyTruncate: the log is emptied before the checkpoint is durable.
	EarlyTruncate Defect = "log emptied before the checkpoint is durable"
	// SplitBatch: each change of a batch is a record of its own.
	SplitBatch Defect = "batches split in the log"
	// UnsafeRecovery: recovery writes the log anew in place.
	UnsafeRecovery Defect = "recovery rewrites the log in place"
	// NoTailSync: recovery does not make durable that it cut the torn tail.
	NoTailSync Defect = "recovery leaves the torn tail"
	// IgnoreWriteError, IgnoreFlushError: an error of the disk is dropped.
	IgnoreWriteError Defect = "write error ignored"
	IgnoreFlushError Defect = "flush error ignored"
	// RetryFlush: a failed flush is tried again, and trusted.
	RetryFlush Defect = "flush retried and trusted"
	// HalfBatch: a full disk leaves the batch in memory.
	HalfBatch Defect = "batch shown that the full disk refused"
	// NoLock: two handles may be open.
	NoLock Defect = "no lock"
	// Panics: a torn record is a panic.
	Panics Defect = "panic on a torn record"
	// Unopenable: a torn record is ErrCorrupt.
	Unopenable Defect = "torn tail taken for corruption"
	// BackwardsShort: an iterator loses the first entry on its way back.
	BackwardsShort Defect = "backwards without the first entry"
	// SequenceReset: the sequence starts anew at each open.
	SequenceReset Defect = "sequence reset"
	// SharedSnapshot: a snapshot shows later writes.
	SharedSnapshot Defect = "snapshot shows later writes"
	// NoDataChecksum: the checkpoint is read without a look at its checksum.
	NoDataChecksum Defect = "no checksum of the checkpoint"
	// CorruptIsAbsent: a damaged checkpoint passes for an empty store.
	CorruptIsAbsent Defect = "damage read as not found"
	// UnsyncedCopy: a checkpoint is not made durable.
	UnsyncedCopy Defect = "checkpoint copy not durable"
	// KeepsBatch, KeepsBounds: what the caller lent is used after the call.
	KeepsBatch  Defect = "values stay in the caller's batch"
	KeepsBounds Defect = "an iterator keeps the caller's bounds"
	// StuckFull: once the disk was full, nothing is written any more.
	StuckFull Defect = "full disk remembered"
)
