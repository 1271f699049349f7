package enginebench

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
)

// lsmReads measures gets, of keys that are there and that are not, and scans.
func (r *run) lsmReads(ctx context.Context) error {
	if err := r.cells(ctx, "get-uniform", "get-zipf", "get-absent", "multi-get-16", "scan-100"); err != nil {
		return err
	}
	return r.loops(ctx)
}

// fastest is the class that waits for least, of those an engine has.
func (s *store) fastest() engine.Durability {
	if s.traits.Durability.Has(engine.Memory) {
		return engine.Memory
	}
	return s.cheapest()
}

// streamConfig is the config of a store that is written to; all caches have room.
func (r *run) streamConfig(records int) config {
	c := memoryConfig(records)
	c.Class, c.MemtableBytes = engine.Memory, r.memtable
	return c
}

// overwriting overwrites all records several times over, in random order, and then
// waits until the engine has settled.
func (r *run) overwriting(ctx context.Context) error {
	for range r.Rounds {
		err := r.streamed(ctx, sectionOverwrite, r.records, 0, func(s *store, got, settled map[string]float64, written float64) error {
			add := func(name, unit string, value float64) { r.add(sectionOverwrite, name, s.name, unit, value) }
			for part := 1; part <= parts; part++ {
				add(figureStream("rate", part), "/s", got[fmt.Sprintf("rate_%d", part)])
			}
			for part := 1; part <= parts; part++ {
				add(figureStream("debt of compaction", part), "MiB", got[fmt.Sprintf("debt_%d", part)]/mib)
			}
			add(figureStreamP999, "µs", got[fmt.Sprintf("p999_%d", parts)]/1e3)
			longest := 0.0
			for part := 1; part <= parts; part++ {
				longest = max(longest, got[fmt.Sprintf("most_%d", part)])
			}
			add(figureStreamLongest, "ms", longest/1e6)
			add(figureDrain, "s", settled["seconds"])
			add(figureWriteAmp, "× keys and values", (settled["flushed"]+settled["compacted"])/written)
			data, _, err := s.size(s.dir)
			if err != nil {
				return err
			}
			add(figureSettled, "× keys and values", data/float64(r.records*bench.UniformRecordBytes))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// streamed loads a store for each engine, streams overwrites into it, waits until it
// has settled, and passes what was found to take.
func (r *run) streamed(ctx context.Context, section string, records, valueBytes int, take func(s *store, got, settled map[string]float64, written float64) error) (err error) {
	c := r.streamConfig(records)
	all, done, err := r.stores(r.all(), records, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	record := bench.UniformRecordBytes
	if valueBytes > 0 {
		record = bench.UniformKeyBytes + valueBytes
	}
	return r.turns(ctx, section, fmt.Sprintf("%s records of %d bytes, overwritten %d times", thousands(records), record, r.sizes.streamed), all, func(s *store) error {
		s.valueBytes = valueBytes
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		if err := s.load(ctx); err != nil {
			return err
		}
		// A store that was opened anew counts from there on.
		if err := s.close(ctx); err != nil {
			return err
		}
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		before, err := s.call(ctx, request{Drain: &drainRequest{Quiet: r.quiet.Seconds()}})
		if err != nil {
			return err
		}
		writes := r.sizes.streamed * records / parts * parts
		got, err := s.call(ctx, request{Stream: &streamRequest{Class: s.fastest(), Writes: writes, Seed: r.seed}})
		if err != nil {
			return err
		}
		r.progress.tell("%s: settle, %s", section, s.name)
		settled, err := s.call(ctx, request{Drain: &drainRequest{Quiet: r.quiet.Seconds()}})
		if err != nil {
			return err
		}
		for _, name := range []string{"flushed", "compacted"} {
			settled[name] -= before[name]
		}
		if err := take(s, got, settled, float64(writes*record)); err != nil {
			return err
		}
		return s.remove()
	})
}

// valueSizes streams overwrites of values of other sizes, of as many bytes in all.
func (r *run) valueSizes(ctx context.Context) error {
	for _, size := range []int{430, 4096} {
		records := max(100, r.records/2*bench.UniformRecordBytes/(bench.UniformKeyBytes+size))
		err := r.streamed(ctx, sectionValues, records, size, func(s *store, got, settled map[string]float64, written float64) error {
			add := func(name, unit string, value float64) {
				r.add(sectionValues, fmt.Sprintf("%s, values of %d bytes", name, size), s.name, unit, value)
			}
			add(figureStream("rate", parts), "/s", got[fmt.Sprintf("rate_%d", parts)])
			add(figureStreamP999, "µs", got[fmt.Sprintf("p999_%d", parts)]/1e3)
			add(figureWriteAmp, "× keys and values", (settled["flushed"]+settled["compacted"])/written)
			data, _, err := s.size(s.dir)
			if err != nil {
				return err
			}
			add(figureSettled, "× keys and values", data/float64(records*(bench.UniformKeyBytes+size)))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// besideRates are the writes a second beside which reads are measured.
var besideRates = []float64{10_000, 50_000}

// beside measures gets while records are overwritten at a rate.
func (r *run) beside(ctx context.Context) (err error) {
	all, done, err := r.loaded(ctx, sectionBeside, r.all(), r.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for round := range r.Rounds {
		for _, rate := range besideRates {
			err := r.turns(ctx, sectionBeside, fmt.Sprintf("%s writes a second", thousands(int(rate))), all, func(s *store) error {
				got, err := s.call(ctx, request{Beside: &besideRequest{Class: s.cheapest(), Rate: rate, Seconds: 3 * r.window.Seconds(), Seed: r.seed + uint64(round)}})
				if err != nil {
					return err
				}
				beside := fmt.Sprintf(", beside %s writes a second", thousands(int(rate)))
				r.add(sectionBeside, "gets"+beside, s.name, "/s", got["gets_per_s"])
				r.add(sectionBeside, "get p50"+beside, s.name, "ns", got["p50_ns"])
				r.add(sectionBeside, "get p99.9"+beside, s.name, "µs", got["p999_ns"]/1e3)
				r.add(sectionBeside, "writes reached"+beside, s.name, "/s", got["writes_per_s"])
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// queues measures a queue in a store: entries come at its end and go at its head.
func (r *run) queues(ctx context.Context) error {
	for range r.Rounds {
		if err := r.queueRound(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) queueRound(ctx context.Context) (err error) {
	c := r.streamConfig(r.queued)
	all, done, err := r.stores(r.all(), r.queued, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return r.turns(ctx, sectionQueue, fmt.Sprintf("%s entries, of which %s come and go", thousands(r.queued), thousands(r.turned)), all, func(s *store) error {
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		got, err := s.call(ctx, request{Queue: &queueRequest{Class: s.fastest(), Length: r.queued, Turns: r.turned}})
		if err != nil {
			return err
		}
		r.add(sectionQueue, "entries through the queue", s.name, "/s", got["turns_per_s"])
		r.add(sectionQueue, "the first ten entries, p50", s.name, "µs", got["p50_ns"]/1e3)
		r.add(sectionQueue, "the first ten entries, p99", s.name, "µs", got["p99_ns"]/1e3)
		r.add(sectionQueue, "the first ten entries, longest", s.name, "ms", got["most_ns"]/1e6)
		return s.remove()
	})
}

// logRecovery measures the opening of a store whose log has not been written to tables.
func (r *run) logRecovery(ctx context.Context) error {
	records := r.logBytes / bench.UniformRecordBytes
	c := memoryConfig(records)
	c.KeepLog = true
	for range r.Rounds {
		if err := r.logRecoveryRound(ctx, records, c); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) logRecoveryRound(ctx context.Context, records int, c config) (err error) {
	all, done, err := r.stores(r.all(), records, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return r.turns(ctx, sectionRecovery, fmt.Sprintf("%d MiB of records in the log", r.logBytes/mib), all, func(s *store) error {
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		if _, err := s.put(ctx, putRequest{Class: s.cheapest(), Clients: 1, Puts: records}); err != nil {
			return err
		}
		if _, err := s.call(ctx, request{Sync: &struct{}{}}); err != nil {
			return err
		}
		s.kill()
		took, err := s.open(ctx, c)
		if err != nil {
			return err
		}
		found, err := s.call(ctx, request{Count: &struct{}{}})
		if err == nil && found["records"] != float64(records) {
			err = fmt.Errorf("%.0f of %d records are there after the kill", found["records"], records)
		}
		if err != nil {
			return err
		}
		r.add(sectionRecovery, figureLogRecovery, s.name, "s", took)
		return s.remove()
	})
}
