package enginebench

import (
	"fmt"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
)

const (
	sectionOverwrite = "Random overwrite, again and again"
	sectionBeside    = "Gets beside writes"
	sectionQueue     = "A queue"
	sectionValues    = "Overwrites of larger values"
	sectionYCSB      = "YCSB"

	figureStreamP999    = "overwrite, last third, p99.9"
	figureStreamLongest = "longest overwrite"
	figureDrain         = "until settled"
	figureWriteAmp      = "written to tables"
	figureSettled       = "disk when settled, log apart"
	figureLogRecovery   = "opened after a kill, all in the log"
	// figurePressed is added to the names of figures.
	figurePressed = ", data of 8 × the cache"
)

// figureStream names a figure of a part of the stream.
func figureStream(what string, part int) string {
	return fmt.Sprintf("overwrite, %s, %s", [...]string{"first third", "second third", "last third"}[part-1], what)
}

// figureYCSB names the rate of a workload, in a class where it writes.
func figureYCSB(letter, class string) string {
	name := "YCSB " + strings.ToUpper(letter)
	if class != "-" {
		name += ", " + class
	}
	return name
}

// lsmGoals are those of the LSM-tree at given sizes, beside a build of RocksDB by its
// name.
func lsmGoals(s sizes, rocksdb string) []Goal {
	own := func(name string) Ref { return Ref{Name: name} }
	of := func(name, engine string) Ref { return Ref{name, engine} }
	best := func(name string) Ref { return Ref{name, BestPeer} }
	last := figureStream("rate", parts)
	goals := []Goal{
		{sectionReads, "get-uniform p50 ÷ Pebble", own(figureGetUniform), of(figureGetUniform, "pebble"), 0.3, 0, "×"},
		{sectionReads, "get-uniform p50 ÷ RocksDB", own(figureGetUniform), of(figureGetUniform, rocksdb), 0.3, 0, "×"},
		{sectionReads, "get-zipf p50 ÷ Pebble", own(figureGetZipf), of(figureGetZipf, "pebble"), 0.25, 0, "×"},
		{sectionReads, "get-zipf p50 ÷ RocksDB", own(figureGetZipf), of(figureGetZipf, rocksdb), 0.25, 0, "×"},
		{sectionReads, "get-absent p50 ÷ Pebble", own(figureGetAbsent), of(figureGetAbsent, "pebble"), 0.25, 0, "×"},
		{sectionReads, "get-absent p50 ÷ RocksDB", own(figureGetAbsent), of(figureGetAbsent, rocksdb), 0.25, 0, "×"},
		{sectionReads, "scan-100 per entry ÷ Pebble", own(figureScan), of(figureScan, "pebble"), 0.45, 0, "×"},
		{sectionReads, "allocations per get", own(figureGetAllocs), Ref{}, 0.005, 0, "/get"},

		{sectionWrites, "put memory, 1 client ÷ Pebble NoSync", own(figurePutRate("memory")), of(figurePutRate("memory"), "pebble"), 0, 2, "×"},
		{sectionWrites, "put buffered, 1 client ÷ RocksDB", own(figurePutRate("buffered")), of(figurePutRate("buffered"), rocksdb), 0, 3, "×"},
		{sectionWrites, "put flushed, 1 client", own(figureFlushed(1)), Ref{}, 0, 0.9, "R"},
		{sectionWrites, "put flushed, 16 clients", own(figureFlushed(16)), Ref{}, 0, 12, "R"},
		{sectionWrites, "put flushed, 64 clients", own(figureFlushed(64)), Ref{}, 0, 40, "R"},
		{sectionWrites, "allocations per put", own(figurePutAllocs), Ref{}, 1, 0, "/put"},

		{sectionOverwrite, "overwrites a second, last third ÷ the best peer", own(last), best(last), 0, 1.3, "×"},
		{sectionOverwrite, "p99.9 there ÷ the best peer", own(figureStreamP999), best(figureStreamP999), 0.5, 0, "×"},
		{sectionOverwrite, "longest stop", own(figureStreamLongest), Ref{}, 100, 0, "ms"},
		{sectionOverwrite, "written to tables ÷ the lowest peer", own(figureWriteAmp), best(figureWriteAmp), 0.75, 0, "×"},
		{sectionOverwrite, "disk when settled ÷ the smallest peer", own(figureSettled), best(figureSettled), 1.15, 0, "×"},
	}
	for _, pressed := range []string{"", figurePressed} {
		for _, letter := range ycsbLetters {
			for _, peer := range []struct {
				name  string
				class engine.Durability
				// always is whether the goal holds also where all is in memory.
				always bool
			}{
				{"pebble", engine.Memory, true},
				{rocksdb, engine.Buffered, true},
				{"badger", engine.Buffered, true},
				{"lmdb", engine.Buffered, letter == "a" || letter == "f"},
				{"bbolt", engine.Buffered, letter == "a" || letter == "f"},
			} {
				if !peer.always && pressed == "" {
					continue
				}
				class := peer.class.String()
				if letter == "c" {
					class = "-"
				}
				name := figureYCSB(letter, class) + pressed
				goals = append(goals, Goal{sectionYCSB, name + " ÷ " + peer.name, own(name), of(name, peer.name), 0, 1, "×"})
			}
		}
	}
	goals = append(goals, Goal{sectionRecovery, fmt.Sprintf("open after a kill, %d MiB in the log", s.logBytes/mib), own(figureLogRecovery), Ref{}, 0.5, 0, "s"})
	for _, n := range s.curve {
		goals = append(goals, Goal{sectionRecovery, fmt.Sprintf("reopen after a clean close at %s records", thousands(n)), own(figureGrowth(growthReopen, n)), Ref{}, 50, 0, "ms"})
	}
	return goals
}
