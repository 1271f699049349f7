package wal

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	probeFlushes = 9
	// probeGain is how much faster the other method must be to be taken instead.
	probeGain = 0.8
	// probeEvery is how often the log looks again, while it flushes.
	probeEvery = time.Minute
)

// probe returns the faster method of flushing in a directory, by overwriting the
// last bytes of a slot that nobody uses. The method in use now, if there is one,
// stays unless the other is faster by a margin.
func probe(fsys vfs.FS, dir string, s slot, now FlushMethod) (FlushMethod, error) {
	f, err := openFile(fsys, filepath.Join(dir, segmentName(s.id)), true)
	if err != nil {
		return 0, err
	}
	times, err := measure(f, s.bytes)
	if err = errors.Join(err, f.direct.Close(), f.cached.Close()); errors.Is(err, engine.ErrUnsupported) {
		return SyncData, nil // no durable direct writes
	}
	if err != nil {
		return 0, fmt.Errorf("probe the flush of %s: %w", dir, err)
	}
	direct, sync := float64(times[0]), float64(times[1])
	switch now {
	case Direct:
		direct *= probeGain
	case SyncData:
		sync *= probeGain
	}
	if sync < direct {
		return SyncData, nil
	}
	return Direct, nil
}

// measure returns the median time of a flush, direct and by SyncData.
func measure(f segmentFile, size int64) (median [2]time.Duration, err error) {
	block := vfs.AlignedBuffer(headBytes, headBytes)
	var times [2][]time.Duration
	for range probeFlushes {
		begin := time.Now()
		if _, err := f.direct.WriteAt(block, size-headBytes, vfs.DSync); err != nil {
			return median, err
		}
		middle := time.Now()
		if _, err := f.cached.WriteAt(block, size-headBytes, vfs.Plain); err != nil {
			return median, err
		}
		if err := f.cached.SyncData(); err != nil {
			return median, err
		}
		times[0], times[1] = append(times[0], middle.Sub(begin)), append(times[1], time.Since(middle))
	}
	for i := range times {
		slices.Sort(times[i])
		median[i] = times[i][probeFlushes/2]
	}
	return median, nil
}

// directUnit returns the unit of direct writes to a slot's file; ErrUnsupported
// if there are none.
func directUnit(fsys vfs.FS, name string) (uint32, error) {
	f, err := fsys.Open(name, vfs.Direct)
	if err != nil {
		return 0, err
	}
	a := f.Alignment()
	if err := f.Close(); err != nil {
		return 0, err
	}
	if a.Offset > headBytes || a.Memory > headBytes {
		return 0, fmt.Errorf("%s: %w: direct writes of %d bytes", name, engine.ErrUnsupported, a.Offset)
	}
	return uint32(max(leastUnit, a.Offset)), nil
}
