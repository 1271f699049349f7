package flash

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Options configure a store. The zero value takes every default.
type Options struct {
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
	// Paths are the directories or block devices that each hold all of the store, the
	// directories best on devices of their own; nil is the one that is given to Open. Any
	// of them may be lost and come back. A store keeps the number and the order of its
	// paths; one may be replaced by an empty directory, or by a device whose first MiB is
	// zeros. A device belongs to the store alone, and has nothing else on it: no file
	// system, and no partition table.
	Paths []string
	// Replicas is how many paths hold each value; 0 for all. Those beyond are spare: one
	// of them is brought level when a path is lost. With several paths it is at least 2,
	// since values are not spread over paths.
	Replicas int
	// Force opens the store although a path is missing, or empty, that may be newer than
	// those that are there. What only that path has is lost then.
	Force bool
	// IODepth is the most reads in flight on each path; 0 for 32.
	IODepth int
	// BlockBytes is the unit of reads, a power of two; 0 for 4 KiB.
	BlockBytes int
	// CacheBytes is the memory for values with their keys; 0 for 256 MiB, negative for no
	// cache. It is taken as values come to be cached.
	CacheBytes int64
	// Compression packs values, each by itself. Of a store whose values do not pack, only some
	// commits are tried, and of a large commit only some values, so that a few that would pack
	// may not be.
	Compression Compression
	// PageCache goes through the page cache where there is no direct I/O, which is
	// ErrUnsupported otherwise. Metrics tell of it.
	PageCache bool
	// SegmentBytes is the size of a segment; 0 for 16 MiB.
	SegmentBytes int64
	// CheckpointBytes is how much is logged between two checkpoints of the index; 0 for
	// 256 MiB, or three times the last checkpoint if that is more. What is logged behind it is
	// replayed at opening.
	CheckpointBytes int64
	// Fill is the share of the segments below which cleaning begins that is still of
	// use; 0 for 0.7; up to 0.95. The lower it is, the less is written again, and the
	// more space is taken.
	Fill float64
	// Timeout is how long a read or a commit may be held up by a path that does not answer,
	// where there is another one; 0 for 2 s. The path has seven eighths of it for one call,
	// and as long again for every 4 MiB; the rest is to go on without it. Where a commit
	// waits for a new segment's file the path has five times that.
	Timeout time.Duration
	// ResyncRate bounds what is copied to a path that is brought level, and what a scrub
	// reads, in bytes a second; 0 for 64 MiB, negative for no bound.
	ResyncRate int64
	// Inline makes the same calls do the same I/O, as a simulated disk needs: there are
	// no goroutines, and checkpoints, cleaning and resyncing are part of the call that
	// they come due in.
	Inline bool
}

// complete fills in the defaults, and returns ErrInvalid for what cannot be.
func (o Options) complete(dir string) (Options, error) {
	bad := ""
	check := func(name string, v, least, most, standard int64, to func(int64)) {
		switch {
		case v == 0:
			to(standard)
		case v < least || v > most:
			bad = fmt.Sprintf("%s is %d, and must be from %d to %d", name, v, least, most)
		}
	}
	const huge = 1 << 44
	if o.CacheBytes < 0 {
		o.CacheBytes = -1
	} else {
		check("CacheBytes", o.CacheBytes, 1, huge, 256<<20, func(v int64) { o.CacheBytes = v })
	}
	check("IODepth", int64(o.IODepth), 1, vfs.MaxDepth, 32, func(v int64) { o.IODepth = int(v) })
	check("BlockBytes", int64(o.BlockBytes), 512, 1<<20, 4096, func(v int64) { o.BlockBytes = int(v) })
	check("SegmentBytes", o.SegmentBytes, 8<<10, 1<<30, 16<<20, func(v int64) { o.SegmentBytes = v })
	check("CheckpointBytes", o.CheckpointBytes, 1, huge, 0, func(int64) {})
	check("ResyncRate", max(o.ResyncRate, 0), 0, huge, 64<<20, func(v int64) {
		if o.ResyncRate == 0 {
			o.ResyncRate = v
		}
	})
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if len(o.Paths) == 0 {
		o.Paths = []string{dir}
	}
	seen := map[string]bool{}
	for _, p := range o.Paths {
		if p = filepath.Clean(p); seen[p] {
			bad = fmt.Sprintf("path %s is named twice", p)
		}
		seen[p] = true
	}
	switch {
	case bad != "":
	case o.Compression >= numCompressions:
		bad = fmt.Sprintf("Compression is %d", o.Compression)
	case o.BlockBytes&(o.BlockBytes-1) != 0:
		bad = fmt.Sprintf("BlockBytes is %d, and must be a power of two", o.BlockBytes)
	case len(o.Paths) > wal.MaxSinks:
		bad = fmt.Sprintf("there are %d paths, and may be %d", len(o.Paths), wal.MaxSinks)
	case o.Replicas < 0 || o.Replicas > len(o.Paths):
		bad = fmt.Sprintf("Replicas is %d, and there are %d paths", o.Replicas, len(o.Paths))
	case o.Replicas == 1 && len(o.Paths) > 1:
		return o, fmt.Errorf("%w: one replica on %d paths: values are not spread over paths; name one path, or set Replicas to 2 or more", engine.ErrUnsupported, len(o.Paths))
	case o.Fill != 0 && !(o.Fill >= 0.1 && o.Fill <= 0.95):
		bad = fmt.Sprintf("Fill is %v, and must be from 0.1 to 0.95", o.Fill)
	}
	if bad != "" {
		return o, fmt.Errorf("%w: %s", engine.ErrInvalid, bad)
	}
	if o.Replicas == 0 {
		o.Replicas = len(o.Paths)
	}
	if o.Fill == 0 {
		o.Fill = 0.7
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	return o, nil
}

// patience is how long a path may take for a read or flush that is not large.
func (o Options) patience() time.Duration { return o.Timeout - o.Timeout/8 }
