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
	probeGain    = 0.8
	// probeEvery is how often the log looks again, while it flushes.
	probeEvery = time.Minute
)

// probe returns the faster method of flushing in a directory, by writing to a slot
// that nobody uses. now is the method in use, Probe if there is none yet.
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
	// Direct writes keep their speed when the processors are busy; flushes of the
	// page cache do not. So they must be faster by a margin, to be taken or kept.
	margin := probeGain
	if now == SyncData {
		margin = 1
	}
	if float64(times[1]) < margin*float64(times[0]) {
		return SyncData, nil
	}
	return Direct, nil
}

// measure returns the median time of a flush as the log would do it, direct and by
// SyncData: each writes behind the one before, in a half of the slot.
func measure(f segmentFile, size int64) (median [2]time.Duration, err error) {
	unit := int64(max(leastUnit, f.direct.Alignment().Offset))
	block := vfs.AlignedBuffer(int(unit), headBytes)
	m, err := f.cached.Map(0, int(size))
	if errors.Is(err, engine.ErrUnsupported) {
		m, err = nil, nil
	} else if err != nil {
		return median, err
	}
	store := func(off int64) error {
		if m != nil {
			return m.Write(block[:recordHeader], int(off))
		}
		_, err := f.cached.WriteAt(block[:recordHeader], off, vfs.Plain)
		return err
	}
	half := size / 2 &^ (unit - 1)
	var times [2][]time.Duration
	for i := int64(0); i < probeFlushes && err == nil; i++ {
		begin := time.Now()
		_, err = f.direct.WriteAt(block, i*unit%half, vfs.DSync)
		middle := time.Now()
		if err == nil {
			err = store(half + i*unit%half)
		}
		if err == nil {
			err = f.cached.SyncData()
		}
		times[0], times[1] = append(times[0], middle.Sub(begin)), append(times[1], time.Since(middle))
	}
	if m != nil {
		err = errors.Join(err, m.Close())
	}
	for i := range times {
		slices.Sort(times[i])
		median[i] = times[i][len(times[i])/2]
	}
	return median, err
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
