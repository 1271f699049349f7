package enginebench

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/bench"
)

// disk measures what a store occupies that was filled in random order. One round
// is enough: blocks are counted, not timed.
func (r *run) disk(ctx context.Context) error {
	for _, way := range []struct {
		batch int
		name  string
	}{{100, figureDiskBatches}, {1, figureDiskSingly}} {
		if err := r.diskWay(ctx, way.batch, way.name); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) diskWay(ctx context.Context, batch int, name string) (err error) {
	var persistent []subject
	for _, s := range r.all() {
		if !s.inMemory {
			persistent = append(persistent, s)
		}
	}
	c := memoryConfig(r.records)
	all, done, err := r.stores(persistent, r.records, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return r.turns(ctx, sectionSpace, fmt.Sprintf("random load in batches of %d", batch), all, func(s *store) error {
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		if _, err := s.call(ctx, request{Load: &loadRequest{Random: batch, Class: s.cheapest(), Seed: r.seed}}); err != nil {
			return err
		}
		if err := s.close(ctx); err != nil {
			return err
		}
		data, log, err := s.size(s.dir)
		if err != nil {
			return err
		}
		logical := float64(r.records * bench.UniformRecordBytes)
		r.add(sectionSpace, name, s.name, "× keys and values", data/logical)
		if s.log != "" {
			r.add(sectionSpace, name[:len(name)-len("data")]+"log", s.name, "× keys and values", log/logical)
		}
		return s.remove()
	})
}

// heldBatch is the size of the batches that overwrite everything.
const heldBatch = 1000

// held measures how a store grows while all records are overwritten again and
// again, under a snapshot that is held and without one.
func (r *run) held(ctx context.Context) error {
	if r.sizes.held != r.heldPeers {
		r.note("Held snapshot: %s records in %s, %s in the peers, which take longer.", thousands(r.sizes.held), r.own.name, thousands(r.heldPeers))
	}
	for i, which := range r.all() {
		records := r.heldPeers
		if i == 0 {
			records = r.sizes.held
		}
		if !which.tree {
			r.note("Held snapshot: %s is left out; only the files of a B+tree keep a snapshot's pages in place.", which.name)
			continue
		}
		if err := r.heldBy(ctx, which, records); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) heldBy(ctx context.Context, which subject, records int) (err error) {
	c := memoryConfig(records)
	// About once for each overwrite of everything, as the default of 128 MiB is for
	// a million records: at any size it is the data file that is measured, not the
	// log.
	c.CheckpointBytes = max(int64(records)*bench.UniformRecordBytes, 1*mib)
	all, done, err := r.stores([]subject{which}, records, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return r.turns(ctx, sectionSpace, "held snapshot", all, func(s *store) error {
		without, before, err := r.overwritten(ctx, s, c, false)
		if err != nil {
			return err
		}
		logical := float64(records * bench.UniformRecordBytes)
		r.add(sectionSpace, "data after the load, before overwrites", s.name, "× keys and values", before/logical)
		r.add(sectionSpace, "data after overwrites without a snapshot", s.name, "× keys and values", (before+without)/logical)
		with, before, err := r.overwritten(ctx, s, c, true)
		if err != nil {
			return err
		}
		if with <= 0 {
			return fmt.Errorf("the data did not grow under a held snapshot: the overwrites did not reach it")
		}
		r.add(sectionSpace, "data after overwrites under a held snapshot", s.name, "× keys and values", (before+with)/logical)
		// A store that does not grow without a snapshot is counted as one page.
		r.add(sectionSpace, figureHeldGrowth, s.name, "×", with/max(without, 4096))
		return nil
	})
}

// overwritten loads a new store and overwrites everything, and returns by how many
// bytes the data grew, and what it had before.
func (r *run) overwritten(ctx context.Context, s *store, c config, hold bool) (growth, before float64, err error) {
	if err := s.clear(); err != nil {
		return 0, 0, err
	}
	if _, err := s.open(ctx, c); err != nil {
		return 0, 0, err
	}
	if err := s.load(ctx); err != nil {
		return 0, 0, err
	}
	size, err := s.call(ctx, request{Size: &struct{}{}})
	if err != nil {
		return 0, 0, err
	}
	before = size["data_bytes"]
	if hold {
		if _, err := s.call(ctx, request{Hold: &struct{}{}}); err != nil {
			return 0, 0, err
		}
	}
	for n := range r.overwrites {
		r.progress.tell("%s: overwrite %d of %d, %s", sectionSpace, n+1, r.overwrites, s.name)
		if _, err := s.call(ctx, request{Overwrite: &overwriteRequest{Version: n + 1, Batch: heldBatch, Class: s.cheapest(), Seed: r.seed}}); err != nil {
			return 0, 0, err
		}
	}
	// What the background still has to write belongs to it.
	if _, err = s.call(ctx, request{Drain: &drainRequest{Quiet: 0.25}}); err != nil {
		return 0, 0, err
	}
	if size, err = s.call(ctx, request{Size: &struct{}{}}); err != nil {
		return 0, 0, err
	}
	return size["data_bytes"] - before, before, s.close(ctx)
}
