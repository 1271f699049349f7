package pebbledb

import (
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Metrics maps Pebble's.
func (e *Engine) Metrics() engine.Metrics {
	if e.life.Enter() != nil {
		return engine.Metrics{}
	}
	defer e.life.Exit()
	p := e.db.Metrics()
	m := engine.Metrics{
		// Pebble learns the size of the newest log only when it is full.
		DiskBytes:           p.DiskSpaceUsage() - p.WAL.PhysicalSize + max(p.WAL.PhysicalSize, p.WAL.Size),
		MemoryBytes:         uint64(p.BlockCache.Size) + p.MemTable.Size + p.MemTable.ZombieSize,
		BytesApplied:        e.bytesApplied.Load(),
		BytesLogged:         p.WAL.BytesWritten,
		CacheHits:           uint64(p.BlockCache.Hits),
		CacheMisses:         uint64(p.BlockCache.Misses),
		CompactionDebtBytes: p.Compact.EstimatedDebt,
		Other: map[string]float64{
			"filter_hits":           float64(p.Filter.Hits),
			"filter_misses":         float64(p.Filter.Misses),
			"flushes":               float64(p.Flush.Count),
			"compactions":           float64(p.Compact.Count),
			"read_amplification":    float64(p.ReadAmp()),
			"memtable_bytes":        float64(p.MemTable.Size),
			"log_physical_bytes":    float64(p.WAL.PhysicalSize),
			"snapshot_pinned_bytes": float64(p.Snapshots.PinnedSize),
			"compaction_seconds":    p.Compact.Duration.Seconds(),
			"table_ingested_bytes":  0,
			"obsolete_table_bytes":  float64(p.Table.ObsoleteSize + p.Table.ZombieSize),
		},
	}
	for _, level := range p.Levels {
		m.BytesFlushed += level.TableBytesFlushed + level.BlobBytesFlushed
		m.BytesCompacted += level.TableBytesCompacted + level.BlobBytesCompacted
		m.Other["table_ingested_bytes"] += float64(level.TableBytesIngested)
		m.Levels = append(m.Levels, engine.LevelMetrics{Files: level.TablesCount, Bytes: uint64(level.AggregateSize())})
	}
	m.Stalls, m.StallTime = e.stalls.read(time.Now())
	m.OpenIterators, m.OpenSnapshots = e.life.Open()
	return m
}

// stallClock adds up the times in which Pebble holds writes back. One such time
// counts once, however many writes wait.
type stallClock struct {
	mu    sync.Mutex
	count uint64
	total time.Duration
	since time.Time
}

func (c *stallClock) begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	c.since = now
}

func (c *stallClock) end(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.since.IsZero() {
		c.total += now.Sub(c.since)
		c.since = time.Time{}
	}
}

func (c *stallClock) read(now time.Time) (uint64, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since.IsZero() {
		return c.count, c.total
	}
	return c.count, c.total + now.Sub(c.since)
}
