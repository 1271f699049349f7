package enginebench

import (
	"context"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
)

// ycsbLetters are the workloads of YCSB.
var ycsbLetters = []string{"a", "b", "c", "d", "e", "f"}

// ycsbPeers stand beside the engine here, with the peers of the suite.
var ycsbPeers = []string{"badger", "lmdb", "bbolt"}

// ycsbPressure is how many times the cache the data is, in the second part.
const ycsbPressure = 8

// ycsb runs the bench's cells of YCSB, first with everything in memory, then with data
// of several times the cache and all the memory that a process gets.
func (r *run) ycsb(ctx context.Context) error {
	if err := r.ycsbPart(ctx, r.mixed, memoryConfig(r.mixed).CacheBytes, 0, ""); err != nil {
		return err
	}
	cache := max(int64(r.records)*bench.UniformRecordBytes/ycsbPressure, mib)
	var memory int64
	if cache > beyondCache {
		memory = cache + beyondCache
	} else {
		r.note("%s%s: too little data to bound the page cache too.", sectionYCSB, figurePressed)
	}
	return r.ycsbPart(ctx, r.records, cache, memory, figurePressed)
}

// beyondCache is the memory that a process gets beside its cache: the program, what it
// has in buffers, and page cache.
const beyondCache = 128 * mib

func (r *run) ycsbPart(ctx context.Context, records int, cache, memory int64, suffix string) error {
	r.progress.clear() // the bench has a progress of its own
	command := &bench.Command{
		Profile: "quick", Records: records, Clients: []int{1}, Durability: []string{"memory", "buffered"}, Data: []string{"uniform"},
		Cache: bench.Bytes(cache), Memory: bench.Bytes(memory), Dir: r.dir, Seed: r.seed, Rounds: 1, Seconds: r.loop.Seconds(),
		Engines: append(append([]string{r.own.name}, r.Result.Peers...), ycsbPeers...),
	}
	for _, letter := range ycsbLetters {
		command.Workloads = append(command.Workloads, "ycsb-"+letter)
	}
	for _, s := range r.all() {
		if s.name == rocksdbRelease {
			command.RocksDBRelease = s.executable
		}
	}
	found, err := command.Measure(ctx, bench.Standard())
	if err != nil {
		return fmt.Errorf("the bench's cells of YCSB: %w", err)
	}
	for _, letter := range ycsbLetters {
		for _, class := range []string{"-", engine.Memory.String(), engine.Buffered.String()} {
			for _, name := range command.Engines {
				m := found.Find(name, "ycsb-"+letter, "uniform", class, 1)
				switch {
				case m == nil:
				case m.Error != "":
					r.leaveOut("YCSB %s%s, %s: %s", letter, suffix, name, m.Error)
				default:
					r.add(sectionYCSB, figureYCSB(letter, class)+suffix, name, "/s", m.OpsPerS)
				}
			}
		}
	}
	for _, name := range ycsbPeers {
		if v := found.Run.Versions[name]; v != "" && !slices.Contains(r.Result.Peers, name) {
			r.Versions[name] = v
			r.Result.Peers = append(r.Result.Peers, name)
		}
	}
	return nil
}
