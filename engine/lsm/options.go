package lsm

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Options configure a store. The zero value takes every default.
type Options struct {
	// FS holds the files; nil is the operating system's.
	FS vfs.FS
	// CacheBytes is the memory for blocks of tables; 0 for 256 MiB, at least
	// MinCacheBytes. Indexes and filters of open tables come on top, about 1 % of the
	// data. Memory is taken as blocks come to be read.
	CacheBytes int64
	// MemtableBytes is the size at which a memtable is written to a table; 0 for 64 MiB,
	// at least MinMemtableBytes. While that is done there are up to MaxMemtables, 0 for
	// 4, at least 2; then writes wait.
	MemtableBytes int64
	MaxMemtables  int
	// SegmentBytes is the size of a segment of the log, and bounds that of the manifest's; 0
	// is the log's default.
	SegmentBytes int64
	// Levels is how many levels there are, the top included; 0 for 7; 2 to 16. A store
	// keeps the number that it was made with: another one is ErrInvalid.
	Levels int
	// Multiplier is how many times the bytes of a level the one below may have; 0 for
	// 10, at least 2.
	Multiplier int
	// CompactionThreshold is how many runs there are at the top when they are merged
	// with what is below; 0 for 4.
	CompactionThreshold int
	// TableBytes is about the size of a table; 0 for 16 MiB.
	TableBytes int64
	// Compression packs blocks of tables, and values that lie apart.
	Compression Compression
	// Filter tells tables without a key from others; FilterBitsPerKey is its size, 0 for
	// 10.
	Filter           FilterKind
	FilterBitsPerKey float64
	// ValuesApart is the length from which on values lie in files of their own, so that
	// merges do not write them again; 0 for 1 KiB, negative for never.
	// ValueFileBytes is about the size of such a file; 0 for 64 MiB.
	ValuesApart    int
	ValueFileBytes int64
	// OpenFiles is how many tables and value files are open at a time; 0 for 1,000, at
	// least MinOpenFiles. What was not read for long is closed, and opened again when it
	// is: index and filter of a table are read then. Readers that are in the midst of a
	// file keep it open for as long as that takes.
	OpenFiles int
	// Inline makes the same calls do the same I/O, as a simulated disk needs: there are
	// no goroutines, and flushes and merges are part of the commit that comes due.
	Inline bool
}

const (
	// MinCacheBytes is the smallest cache of blocks.
	MinCacheBytes = 64 << 10
	// MinOpenFiles is the smallest number of files that are open.
	MinOpenFiles = 4
	// MinMemtableBytes is the smallest memtable.
	MinMemtableBytes = 1 << 10

	maxLevels = 16
)

// complete fills in the defaults, and returns ErrInvalid for what cannot be.
func (o Options) complete() (Options, error) {
	bad := ""
	check := func(name string, v, least, most, standard int64, to func(int64)) {
		switch {
		case v == 0:
			to(standard)
		case v < least || v > most:
			bad = fmt.Sprintf("%s is %d, and must be from %d to %d", name, v, least, most)
		}
	}
	const huge = 1 << 40
	check("CacheBytes", o.CacheBytes, MinCacheBytes, huge, 256<<20, func(v int64) { o.CacheBytes = v })
	check("MemtableBytes", o.MemtableBytes, MinMemtableBytes, 8<<30, 64<<20, func(v int64) { o.MemtableBytes = v })
	check("MaxMemtables", int64(o.MaxMemtables), 2, 1000, 4, func(v int64) { o.MaxMemtables = int(v) })
	check("SegmentBytes", o.SegmentBytes, 1, huge, 0, func(int64) {})
	check("Levels", int64(o.Levels), 2, maxLevels, 7, func(v int64) { o.Levels = int(v) })
	check("Multiplier", int64(o.Multiplier), 2, 1000, 10, func(v int64) { o.Multiplier = int(v) })
	check("CompactionThreshold", int64(o.CompactionThreshold), 1, 1000, 4, func(v int64) { o.CompactionThreshold = int(v) })
	check("OpenFiles", int64(o.OpenFiles), MinOpenFiles, 1<<20, 1000, func(v int64) { o.OpenFiles = int(v) })
	check("TableBytes", o.TableBytes, 4<<10, 1<<30, 16<<20, func(v int64) { o.TableBytes = v })
	check("ValueFileBytes", o.ValueFileBytes, 4<<10, 1<<30, 64<<20, func(v int64) { o.ValueFileBytes = v })
	switch {
	case bad != "":
	case o.Compression >= numCompressions:
		bad = fmt.Sprintf("Compression is %d", o.Compression)
	case o.Filter > NoFilter:
		bad = fmt.Sprintf("Filter is %d", o.Filter)
	case !(o.FilterBitsPerKey >= 0 && o.FilterBitsPerKey <= 64):
		bad = fmt.Sprintf("FilterBitsPerKey is %v, and must be from 0 to 64", o.FilterBitsPerKey)
	}
	if bad != "" {
		return o, fmt.Errorf("%w: %s", engine.ErrInvalid, bad)
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.FilterBitsPerKey == 0 {
		o.FilterBitsPerKey = 10
	}
	if o.ValuesApart == 0 {
		o.ValuesApart = 1 << 10
	}
	return o, nil
}

func (o Options) logOptions(dir string) wal.Options {
	return wal.Options{FS: o.FS, Sinks: []string{dir}, SegmentBytes: o.SegmentBytes, Inline: o.Inline}
}

// table returns how tables of a level are made.
func (s *store) table(last bool) tableOptions {
	return tableOptions{store: s.id, codec: s.options.Compression.of(last), filter: s.options.Filter, bitsPerKey: s.options.FilterBitsPerKey, mostBlock: s.mostBlock, mostTable: 1<<32 - 1}
}

// apart reports whether a value lies in a value file.
func (s *store) apart(n int) bool { return s.options.ValuesApart > 0 && n >= s.options.ValuesApart }
