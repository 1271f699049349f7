package flash

import (
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Metrics implements engine.Engine. Other has:
//
//	keys, index_bytes                       in the index; the latter about
//	segments, dead_segments                 of the log; with nothing of use
//	segment_bytes, live_bytes               of their files; of what is of use in them
//	fill                                    the latter as a share of the former
//	reads, read_bytes                       of paths
//	deepest_queue                           the most reads in flight at one time on one path
//	checkpoints, checkpoint_bytes           of the index
//	cleaned_segments, freed_segments, damaged_segments
//	direct_io                               1, or 0 where everything goes through the page cache
//	io_uring                                1, or 0 where all reads are blocking calls, as with several paths
//	io_uring_errno                          the system's error it was refused with; -1 for another reason, 0 for none
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
	for _, p := range e.present() {
		if u, err := e.usage(p); err == nil {
			disk += u.own
		}
	}
	log := e.log.Stats()
	direct := 1.0
	if e.buffered.Load() {
		direct = 0
	}
	ring := 0.0
	if e.paths[0].ring != nil {
		ring = 1
	}
	fill := 1.0
	if total > 0 {
		fill = float64(live) / float64(total)
	}
	inSync := 0
	var deepest int64
	for _, p := range e.paths {
		deepest = max(deepest, p.deepest.Load())
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
			"deepest_queue":    float64(deepest),
			"checkpoints":      float64(c.checkpoints.Load()),
			"checkpoint_bytes": float64(checkpoint),
			"cleaned_segments": float64(c.cleaned.Load()),
			"freed_segments":   float64(c.freed.Load()),
			"damaged_segments": float64(c.damaged.Load()),
			"direct_io":        direct,
			"io_uring":         ring,
			"io_uring_errno":   float64(vfs.ErrorNumber(e.ringRefused)),
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

// usage is what the files of a path occupy, and how full the device under it is.
type usage struct {
	own    int64
	device vfs.Usage
	err    error
}

// usageTimeout is how long Metrics, or DiskUsage, waits for a path.
const usageTimeout = time.Second

// usage asks for the usage of a path. It is an error if that does not answer in time; then
// the question stays open, and no other is asked.
func (e *Engine) usage(p *path) (usage, error) {
	if e.options.Inline {
		u := measure(e.fs, p.dir)
		return u, u.err
	}
	timer := time.NewTimer(usageTimeout)
	defer timer.Stop()
	late := func() (usage, error) {
		return usage{}, fmt.Errorf("%s does not answer within %v when it is asked what it holds", p.dir, usageTimeout)
	}
	select {
	case p.measuring <- struct{}{}:
	case <-timer.C:
		return late()
	}
	answer := make(chan usage, 1)
	go func() {
		u := measure(e.fs, p.dir)
		<-p.measuring
		answer <- u
	}()
	select {
	case u := <-answer:
		return u, u.err
	case <-timer.C:
		return late()
	}
}

func measure(fsys vfs.FS, dir string) (u usage) {
	names, err := fsys.List(dir)
	if err != nil {
		return usage{err: err}
	}
	for _, name := range names {
		if info, err := fsys.Stat(dir + "/" + name); err == nil {
			u.own += info.Allocated
		}
	}
	u.device, u.err = fsys.DiskUsage(dir)
	return u
}

// DiskUsage tells of the fullest device under a path that counts. It is an error if one
// cannot be asked, beside what is known of the others.
func (e *Engine) DiskUsage() (fullest vfs.Usage, err error) {
	if err := e.enter(); err != nil {
		return fullest, err
	}
	defer e.life.Exit()
	for _, p := range e.present() {
		u, failed := e.usage(p)
		if failed == nil && (fullest.Total == 0 || u.device.UsedPercent() > fullest.UsedPercent()) {
			fullest = u.device
		}
		err = errors.Join(err, failed)
	}
	return fullest, err
}
