package engine

import "time"

// Metrics are an engine's own counters since it was opened, and gauges of now.
// A field that an engine has no figure for stays zero and is named in Missing,
// so that a nought is never taken for a measurement.
type Metrics struct {
	// DiskBytes is what the engine's files occupy, MemoryBytes what the engine
	// holds in caches and buffers (not all of the process).
	DiskBytes, MemoryBytes uint64

	// BytesApplied is the encoded size of the batches applied. BytesLogged,
	// BytesFlushed and BytesCompacted are what was written for them to the log,
	// from memory to tables or pages, and again by compaction or cleaning.
	BytesApplied, BytesLogged, BytesFlushed, BytesCompacted uint64

	CacheHits, CacheMisses uint64

	// CompactionDebtBytes is the work that compaction has before it.
	CompactionDebtBytes uint64
	// Stalls counts writes that were held back, StallTime how long in all.
	Stalls    uint64
	StallTime time.Duration

	OpenIterators, OpenSnapshots int64

	// Levels is the shape of an LSM, from the top down.
	Levels []LevelMetrics

	// Missing names the fields above that this engine cannot tell.
	Missing []string
	// Other holds what only this engine has, under snake_case names with the
	// unit last: "filter_hits", "arena_bytes".
	Other map[string]float64
}

// LevelMetrics is one level of an LSM.
type LevelMetrics struct {
	Files int64
	Bytes uint64
}
