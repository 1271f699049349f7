package enginebench

import "fmt"

// The names of figures that goals refer to. Those over sizes or clients are made
// by the functions below.
const (
	figureMiss        = "one dependent miss in memory"
	figureGetUniform  = "get-uniform, p50"
	figureGetZipf     = "get-zipf, p50"
	figureGetAbsent   = "get-absent, p50"
	figureMultiGet    = "multi-get of 16, per key, p50"
	figureContents    = "get-uniform of Contents paths, p50"
	figureContents16  = "multi-get of 16 Contents paths, per key, p50"
	figureScan        = "scan of 100, per entry, p50"
	figureOpen        = ", from the intended start"
	figureLoopGet     = "get in a bare loop, mean"
	figureLoopC       = "get in a loop in C, mean"
	figureGetAllocs   = "allocations per get"
	figurePutAllocs   = "allocations per put"
	figureDiskBatches = "disk after random load in batches of 100, data"
	figureDiskSingly  = "disk after random load one by one, data"
	figureRSSAnon     = "anonymous memory beyond 1.1 × cache"
	figureLeafReads   = "pages read per get, beyond inner nodes"
	figurePagedGet    = "get past the cache, p50"
	figureDeviceRead  = "random read of 4 KiB at depth 1, p50"
	figureHeldGrowth  = "growth under a held snapshot ÷ without"
	figureNamed       = "named snapshot made, p50"
	figureNamedFlush  = "flushed put beside it, p50"
	figureRecovery    = "records replayed after a kill"
)

func figurePutRate(class string) string { return fmt.Sprintf("put %s, 1 client, closed loop", class) }
func figurePutP50(class string) string  { return fmt.Sprintf("put %s, 1 client, p50", class) }
func figureFlushed(clients int) string {
	if clients == 1 {
		return "put flushed, 1 client, in R"
	}
	return fmt.Sprintf("put flushed, %d clients, in R", clients)
}
func figureGrowth(what string, records int) string {
	return fmt.Sprintf("%s at %s records", what, thousands(records))
}

// What is measured over sizes.
const (
	growthGet      = "get-uniform, p50"
	growthPut      = "put buffered, p50"
	growthSnapshot = "snapshot opened and closed, p50"
	growthReopen   = "reopen after a clean close"
)

const (
	mib = 1 << 20

	sectionReads    = "Reads in memory"
	sectionWrites   = "Puts"
	sectionSpace    = "Disk"
	sectionPaged    = "Ten times the cache"
	sectionSnapshot = "Snapshots"
	sectionRecovery = "Recovery"
	sectionGrowth   = "Cost as it grows"
)

// treeGoals are those of the copy-on-write B+tree at given sizes, beside a build of
// RocksDB by its name.
func treeGoals(s sizes, rocksdb string) []Goal {
	own := func(name string) Ref { return Ref{Name: name} }
	of := func(name, engine string) Ref { return Ref{name, engine} }
	goals := []Goal{
		{sectionReads, "get-uniform p50 ÷ LMDB", own(figureGetUniform), of(figureGetUniform, "lmdb"), 0.45, 0, "×"},
		{sectionReads, "get-uniform p50 ÷ dependent miss", own(figureGetUniform), of(figureMiss, Machine), 3.2, 0, "×"},
		{sectionReads, "get-zipf p50 ÷ LMDB", own(figureGetZipf), of(figureGetZipf, "lmdb"), 0.3, 0, "×"},
		{sectionReads, "multi-get of 16, per key ÷ LMDB's get", own(figureMultiGet), of(figureGetUniform, "lmdb"), 0.12, 0, "×"},
		{sectionReads, "multi-get of 16 Contents paths, per key ÷ LMDB's get there", own(figureContents16), of(figureContents, "lmdb"), 0.6, 0, "×"},
		{sectionReads, "get in a loop ÷ LMDB without cgo (loop in C)", own(figureLoopGet), of(figureLoopC, "lmdb"), 1, 0, "×"},
		{sectionReads, "scan-100 per entry ÷ LMDB", own(figureScan), of(figureScan, "lmdb"), 0.5, 0, "×"},
		{sectionReads, "scan-100 per entry ÷ best peer", own(figureScan), of(figureScan, BestPeer), 1, 0, "×"},
		// Half an allocation in a hundred gets is of the process around them.
		{sectionReads, "allocations per get", own(figureGetAllocs), Ref{}, 0.005, 0, "/get"},

		{sectionWrites, "put memory, 1 client ÷ Pebble NoSync", own(figurePutRate("memory")), of(figurePutRate("memory"), "pebble"), 0, 1.5, "×"},
		{sectionWrites, "put memory ÷ put buffered, rates", own(figurePutRate("memory")), own(figurePutRate("buffered")), 1.15, 0, "×"},
		{sectionWrites, "put buffered p50 ÷ LMDB (MDB_NOSYNC)", own(figurePutP50("buffered")), of(figurePutP50("buffered"), "lmdb"), 0.25, 0, "×"},
		{sectionWrites, "put buffered p50 ÷ RocksDB", own(figurePutP50("buffered")), of(figurePutP50("buffered"), rocksdb), 0.4, 0, "×"},
		{sectionWrites, "put flushed, 1 client", own(figureFlushed(1)), Ref{}, 0, 0.9, "R"},
		{sectionWrites, "put flushed, 16 clients", own(figureFlushed(16)), Ref{}, 0, 12, "R"},
		{sectionWrites, "put flushed, 64 clients", own(figureFlushed(64)), Ref{}, 0, 40, "R"},
		{sectionWrites, "allocations per put", own(figurePutAllocs), Ref{}, 1, 0, "/put"},

		{sectionSpace, "data file after random load in batches of 100 ÷ keys and values", own(figureDiskBatches), Ref{}, 1.3, 0, "×"},
		{sectionSpace, "data file after random load one by one ÷ keys and values", own(figureDiskSingly), Ref{}, 1.3, 0, "×"},
		{sectionSpace, fmt.Sprintf("growth of the data file, snapshot held through %d × overwrite ÷ not", s.overwrites), own(figureHeldGrowth), Ref{}, 2, 0, "×"},

		{sectionPaged, "anonymous memory beyond 1.1 × cache", own(figureRSSAnon), Ref{}, 48, 0, "MiB"},
		{sectionPaged, "pages read per uniform get, beyond inner nodes", own(figureLeafReads), Ref{}, 1.1, 0, "pages"},
		{sectionPaged, "uncached get p50 ÷ the device's random read", own(figurePagedGet), of(figureDeviceRead, Machine), 1.2, 0, "×"},

		{sectionSnapshot, "named snapshot ÷ flushed put beside it", own(figureNamed), own(figureNamedFlush), 1.25, 0, "×"},
	}
	if few, many := s.few, s.many; many > 0 {
		goals = append(goals,
			Goal{sectionSnapshot, fmt.Sprintf("snapshot at %s ÷ at %s records", thousands(many), thousands(few)), own(figureGrowth(growthSnapshot, many)), own(figureGrowth(growthSnapshot, few)), 2, 0, "×"},
			Goal{sectionSnapshot, fmt.Sprintf("snapshot at %s records", thousands(few)), own(figureGrowth(growthSnapshot, few)), Ref{}, 5, 0, "µs"},
			Goal{sectionSnapshot, fmt.Sprintf("snapshot at %s records", thousands(many)), own(figureGrowth(growthSnapshot, many)), Ref{}, 5, 0, "µs"},
		)
	}
	goals = append(goals, Goal{sectionRecovery, "records replayed a second after a kill", own(figureRecovery), Ref{}, 0, 1, "million/s"})
	for _, n := range s.curve {
		goals = append(goals, Goal{sectionRecovery, fmt.Sprintf("reopen after a clean close at %s records", thousands(n)), own(figureGrowth(growthReopen, n)), Ref{}, 20, 0, "ms"})
	}
	return goals
}
