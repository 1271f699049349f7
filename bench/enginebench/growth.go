package enginebench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// severalRounds is the size up to which every round is measured; above it, one.
const severalRounds = 10_000_000

// growth measures the same few things at one size after the other. One process
// runs at a time, so that each engine has the memory to itself.
func (r *run) growth(ctx context.Context) error {
	var last time.Duration
	for i, records := range r.curve {
		what := fmt.Sprintf("%s at %s records", sectionGrowth, thousands(records))
		about := time.Duration(0)
		if i > 0 {
			about = time.Duration(float64(last) * float64(records) / float64(r.curve[i-1]))
			if records > severalRounds {
				about /= time.Duration(max(1, r.Rounds))
			}
		}
		if !r.fits(what, about) || !r.hasRoom(what, records) {
			continue
		}
		start := time.Now()
		if err := r.growthAt(ctx, records); err != nil {
			return err
		}
		last = time.Since(start)
	}
	return nil
}

// hasRoom reports whether the device has room for the stores, each of which may
// hold its records three times over for a while; if not, the size is left out.
func (r *run) hasRoom(what string, records int) bool {
	need := 3 * uint64(records) * bench.UniformRecordBytes * uint64(len(r.all()))
	usage, err := vfs.OS().DiskUsage(r.dir)
	if err != nil {
		r.leaveOut("%s: %v", what, err)
		return false
	}
	if usage.Available < need {
		r.leaveOut("%s: %d MiB are free, it may need %d MiB", what, usage.Available/mib, need/mib)
		return false
	}
	return true
}

func (r *run) growthAt(ctx context.Context, records int) (err error) {
	c := memoryConfig(records)
	if records > severalRounds {
		c.CacheBytes = min(c.CacheBytes, int64(records)*180)
		r.note("%s: one round at %s records, with a cache of %d MiB.", sectionGrowth, thousands(records), c.CacheBytes/mib)
	}
	all, done, err := r.stores(r.all(), records, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	rounds := r.Rounds
	if records > severalRounds {
		rounds = 1
	}
	for round := range rounds {
		err := r.turns(ctx, sectionGrowth, thousands(records)+" records", all, func(s *store) error {
			return r.growthRound(ctx, s, c, round)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) growthRound(ctx context.Context, s *store, c config, round int) error {
	if _, err := s.open(ctx, c); err != nil {
		return err
	}
	step := func(name string) {
		r.progress.tell("%s: %s records, %s, %s", sectionGrowth, thousands(s.records), s.name, name)
	}
	if round == 0 || !s.traits.Persistent {
		step("load")
		if err := s.load(ctx); err != nil {
			return err
		}
	} else {
		step("warm")
		if _, err := s.call(ctx, request{Count: &struct{}{}}); err != nil {
			return err
		}
	}
	add := func(what, unit string, value float64) {
		r.add(sectionGrowth, figureGrowth(what, s.records), s.name, unit, value)
	}
	step("get")
	got, err := s.call(ctx, request{Get: &getRequest{Gets: r.gets / 5, Seed: r.seed + uint64(round), Each: true}})
	if err != nil {
		return err
	}
	add(growthGet, "ns", got["ns"])
	step("snapshot")
	if got, err = s.call(ctx, request{Snapshot: &snapshotRequest{Snapshots: r.snapshots, Class: s.cheapest(), Seed: r.seed}}); err != nil {
		return err
	}
	add(growthSnapshot, "µs", got["p50_ns"]/1e3)
	if s.traits.Durability.Has(engine.Buffered) {
		step("put")
		// Few enough that the store stays of its size.
		puts := min(r.sizes.puts/4, max(s.records/10, 100))
		if got, err = s.put(ctx, putRequest{Class: engine.Buffered, Clients: 1, Puts: puts}); err != nil {
			return err
		}
		add(growthPut, "ns", got["p50_ns"])
	}
	if !s.traits.Persistent {
		return s.close(ctx)
	}
	step("reopen")
	if err := s.close(ctx); err != nil {
		return err
	}
	took, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	add(growthReopen, "ms", took*1e3)
	return s.close(ctx)
}

// growthNames are what is measured over sizes, in the order of the picture.
var growthNames = []string{growthGet, growthPut, growthSnapshot, growthReopen}

// curves arranges the figures over sizes as curves.
func (r *run) curves() []Curve {
	var all []Curve
	for _, name := range growthNames {
		for _, s := range r.all() {
			c := Curve{Name: name, Engine: s.name, Bound: r.bounds[name]}
			for _, records := range r.curve {
				if f := r.find(figureGrowth(name, records), s.name); f != nil {
					c.Unit = f.Unit
					c.Points = append(c.Points, [2]float64{float64(records), f.Median})
				}
			}
			if len(c.Points) > 0 {
				all = append(all, c)
			}
		}
	}
	return slices.Clip(all)
}
