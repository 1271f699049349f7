package flash

import (
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Metrics implements engine.Engine. Other has:
//
//	keys, index_bytes                       in the index; the latter about
//	segments, dead_segments                 of the log; with nothing of use
//	segment_bytes, live_bytes               of their files; of what is of use in them
//	fill                                    the latter as a share of the former
//	reads, read_bytes                       of paths
//	checkpoints, checkpoint_bytes           of the index
//	cleaned_segments, freed_segments, damaged_segments
//	direct_io                               1, or 0 where everything goes through the page cache
//	paths, paths_in_sync, hung_paths        how many there are, and count
//	repaired, hedged                        values found damaged in a path and written again; reads asked of two
//	resyncs, resync_bytes                   how often a path came back, and what was copied to it
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	c := &e.counters
	iterators, snapshots := e.life.Open()
	e.mu.Lock()
	live, total, segments, dead := e.live, e.total, len(e.segments), len(e.dead)
	keys := e.index.root.Load().count.Load()
	debt := max(e.excess(), 0)
	checkpoint := e.checkpointSize
	e.mu.Unlock()
	var disk int64
	for _, p := range e.paths {
		names, err := e.fs.List(p.dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			if info, err := e.fs.Stat(p.dir + "/" + name); err == nil {
				disk += info.Allocated
			}
		}
	}
	log := e.log.Stats()
	direct := 1.0
	if e.buffered.Load() {
		direct = 0
	}
	fill := 1.0
	if total > 0 {
		fill = float64(live) / float64(total)
	}
	inSync := 0
	for _, p := range e.paths {
		if !p.away.Load() {
			inSync++
		}
	}
	return engine.Metrics{
		DiskBytes:           uint64(disk),
		MemoryBytes:         uint64(e.cache.used() + e.indexBytes(keys)),
		BytesApplied:        c.applied.Load(),
		BytesLogged:         log.Bytes,
		BytesFlushed:        c.checkpointBytes.Load(),
		BytesCompacted:      c.moved.Load(),
		CacheMisses:         e.cache.misses.Load(),
		CompactionDebtBytes: uint64(debt),
		Stalls:              c.stalls.Load(),
		StallTime:           time.Duration(c.stallTime.Load()),
		OpenIterators:       iterators,
		OpenSnapshots:       snapshots,
		// A hit is not counted: that would be a write to shared memory at every get.
		Missing: []string{"CacheHits"},
		Other: map[string]float64{
			"keys":             float64(keys),
			"index_bytes":      float64(e.indexBytes(keys)),
			"segments":         float64(segments),
			"dead_segments":    float64(dead),
			"segment_bytes":    float64(total),
			"live_bytes":       float64(live),
			"fill":             fill,
			"reads":            float64(c.reads.Load()),
			"read_bytes":       float64(c.readBytes.Load()),
			"checkpoints":      float64(c.checkpoints.Load()),
			"checkpoint_bytes": float64(checkpoint),
			"cleaned_segments": float64(c.cleaned.Load()),
			"freed_segments":   float64(c.freed.Load()),
			"damaged_segments": float64(c.damaged.Load()),
			"direct_io":        direct,
			"paths":            float64(len(e.paths)),
			"paths_in_sync":    float64(inSync),
			"hung_paths":       float64(log.Hung),
			"repaired":         float64(c.repaired.Load()),
			"resyncs":          float64(c.resyncs.Load()),
			"resync_bytes":     float64(c.resynced.Load()),
			"hedged":           float64(c.hedged.Load()),
		},
	}
}

// indexBytes is about what the index takes. The last checkpoint says how large its leaves
// are.
func (e *Engine) indexBytes(keys int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.checkpointKeys == 0 {
		return keys * 40
	}
	return int64(float64(keys) * float64(e.checkpointSize) / float64(e.checkpointKeys) * 1.1)
}
