package wal

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Options open a log.
type Options struct {
	// FS holds the log; nil is vfs.OS().
	FS vfs.FS
	// Sinks are the directories of the log, which must be there. Each holds a whole
	// copy, best on a device of its own; a flush is acknowledged when all have it
	// that are in sync. At most MaxSinks.
	Sinks []string
	// AllowMissing opens the log although a sink cannot be read. If that sink went
	// on without the others at the end, its last records are lost; so nothing does
	// this by itself. A sink that is left out is brought level at the next open
	// that can read it.
	AllowMissing bool
	// Rejoin leaves sinks that are behind to Log.Rejoin. The log then opens also if a
	// sink is missing of which the others know that it is behind.
	Rejoin bool
	// OnLost, unless nil, is called when the log goes on without a sink. It must not call
	// the log, nor wait.
	OnLost func(sink int, cause error)
	// SinkTimeout is how long a sink may take for one flush, where there is more than
	// one, before the log goes on without it; 0 for 10 s. It has as long again for every
	// 4 MiB, and five times that to make a segment's file; but once one call has taken too
	// long, nobody waits for another. The closing of files is not covered.
	SinkTimeout time.Duration
	// SegmentBytes is the largest size of a segment; 0 for 64 MiB. The first ones
	// of a log are smaller. A record that is larger has a segment for itself.
	SegmentBytes int64
	// Flush is how flushed commits reach the device; Probe, the zero value, finds
	// out what is fastest here.
	Flush FlushMethod
	// Retain, unless nil, makes the log keep each segment for what is in it until Free
	// gives it back. Open asks it, of each segment that replay does not need, whether it
	// is kept, by number.
	Retain func(number uint64) bool
	// SpareSlots is how many free slots are kept; 0 for 2.
	SpareSlots int
	// Inline makes the same calls do the same I/O, as a simulated disk needs: the
	// log has no goroutines, does not probe (Probe is then Direct where that can be
	// had), and takes its identity from the name of its directory.
	Inline bool
}

// MaxSinks is the largest number of sinks of one log.
const MaxSinks = 16

const (
	defaultSpareSlots = 2

	defaultSegment  = 64 << 20
	firstSegment    = 1 << 20
	defaultDeadline = 10 * time.Second
)

// FlushMethod is how a flushed commit reaches the device.
type FlushMethod uint8

const (
	// Probe measures the others when a log is made, keeps the faster, and looks
	// again now and then.
	Probe FlushMethod = iota
	// Direct writes past the page cache, durable when the write returns.
	Direct
	// SyncData writes through the page cache and flushes the file's data.
	SyncData
)

// String returns "probe", "direct" or "syncdata".
func (m FlushMethod) String() string {
	switch m {
	case Probe:
		return "probe"
	case Direct:
		return "direct"
	case SyncData:
		return "syncdata"
	}
	return fmt.Sprintf("FlushMethod(%d)", uint8(m))
}

// complete fills in the defaults, and returns ErrInvalid for what cannot be.
func (o Options) complete() (Options, error) {
	if len(o.Sinks) == 0 || len(o.Sinks) > MaxSinks {
		return o, fmt.Errorf("%w: %d sinks; a log has 1 to %d", engine.ErrInvalid, len(o.Sinks), MaxSinks)
	}
	seen := make(map[string]bool)
	for _, dir := range o.Sinks {
		dir = filepath.Clean(dir)
		if seen[dir] {
			return o, fmt.Errorf("%w: sink %s is named twice", engine.ErrInvalid, dir)
		}
		seen[dir] = true
	}
	if o.Flush > SyncData {
		return o, fmt.Errorf("%w: %v", engine.ErrInvalid, o.Flush)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.SinkTimeout <= 0 {
		o.SinkTimeout = defaultDeadline
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = defaultSegment
	}
	if o.SpareSlots <= 0 {
		o.SpareSlots = defaultSpareSlots
	}
	o.SegmentBytes = max(roundUp(o.SegmentBytes, headBytes), 2*headBytes)
	return o, nil
}
