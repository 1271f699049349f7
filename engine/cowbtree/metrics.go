package cowbtree

import (
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Metrics implements engine.Engine. Other has:
//
//	page_reads, inner_page_reads, extent_reads  pages, and values, read from the file
//	page_bytes_used, unwritten_bytes            memory for pages, and those not in the file
//	data_file_bytes, log_bytes                  what the files occupy
//	log_flushes                                 that made the log durable
//	data_free_bytes                             of the data file's length, unused
//	checkpoints, checkpoint_seconds             made since the store was opened
//	pages_written, pages_copied, changes_in_place
//	named_snapshots, dead_pages                 names, and pages that only snapshots have, or that are to be freed
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	c := &e.counters
	iterators, snapshots := e.life.Open()
	e.cache.mu.Lock()
	used := e.cache.used
	e.cache.mu.Unlock()
	e.mu.Lock()
	deadPages, names, logged := 0, len(e.names), e.logged
	for s := e.history.first; s != nil; s = s.next {
		deadPages += len(s.dead)
	}
	for _, list := range e.history.deferred {
		deadPages += len(list)
	}
	e.mu.Unlock()
	e.space.mu.Lock()
	free := e.space.total
	e.space.mu.Unlock()
	data, log := e.occupied(filepath.Join(e.dir, dataName)), int64(0)
	logs := filepath.Join(e.dir, logName)
	if names, err := e.fs.List(logs); err == nil {
		for _, name := range names {
			log += e.occupied(filepath.Join(logs, name))
		}
	}
	logStats := e.log.Stats()
	return engine.Metrics{
		DiskBytes:           uint64(data + log),
		MemoryBytes:         uint64(used),
		BytesApplied:        c.applied.Load(),
		BytesLogged:         logStats.Bytes,
		BytesFlushed:        c.flushed.Load(),
		BytesCompacted:      c.compacted.Load(),
		CacheMisses:         c.pageReads.Load(),
		CompactionDebtBytes: uint64(max(logged, 0)),
		Stalls:              c.stalls.Load(),
		StallTime:           time.Duration(c.stallTime.Load()),
		OpenIterators:       iterators,
		OpenSnapshots:       snapshots,
		// A hit is not counted: that would be a write to shared memory at every get.
		Missing: []string{"CacheHits", "Levels"},
		Other: map[string]float64{
			"page_reads":         float64(c.pageReads.Load()),
			"inner_page_reads":   float64(c.innerReads.Load()),
			"extent_reads":       float64(c.extentReads.Load()),
			"page_bytes_used":    float64(used),
			"unwritten_bytes":    float64(e.cache.unwritten.Load()),
			"data_file_bytes":    float64(data),
			"log_bytes":          float64(log),
			"log_flushes":        float64(logStats.Flushes),
			"data_free_bytes":    float64(free * sectorBytes),
			"checkpoints":        float64(c.checkpoints.Load()),
			"checkpoint_seconds": float64(c.checkpointTime.Load()) / 1e9,
			"pages_written":      float64(c.pagesWritten.Load()),
			"pages_copied":       float64(c.pagesBorn.Load()),
			"changes_in_place":   float64(c.inPlace.Load()),
			"named_snapshots":    float64(names),
			"dead_pages":         float64(deadPages),
		},
	}
}

// occupied is the space that a file takes; 0 if it is not there.
func (e *Engine) occupied(name string) int64 {
	info, err := e.fs.Stat(name)
	if err != nil {
		return 0
	}
	return info.Allocated
}
