package enginebench

import (
	"context"
	"errors"

	"github.com/orbit-persistence/orbit/bench/logbench"
	"github.com/orbit-persistence/orbit/engine"
)

// flushedClients are how many put at once in the flushed class.
var flushedClients = []int{1, 16, 64}

// writes measures puts of fresh keys in random order, class by class; each store
// is opened anew for a class.
func (r *run) writes(ctx context.Context) (err error) {
	all, done, err := r.loaded(ctx, sectionWrites, r.all(), r.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for range r.Rounds {
		for _, class := range engine.Durabilities {
			err := r.turns(ctx, sectionWrites, "put "+class.String(), all, func(s *store) error {
				c := s.config
				c.Class = class
				if _, err := s.open(ctx, c); err != nil || !s.traits.Durability.Has(class) {
					return err
				}
				if class == engine.Flushed {
					return r.flushedPuts(ctx, s)
				}
				return r.puts(ctx, s, class)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) puts(ctx context.Context, s *store, class engine.Durability) error {
	if _, err := s.put(ctx, putRequest{Class: class, Clients: 1, Puts: r.sizes.puts / 10}); err != nil {
		return err
	}
	got, err := s.put(ctx, putRequest{Class: class, Clients: 1, Puts: r.sizes.puts})
	if err != nil {
		return err
	}
	r.add(sectionWrites, figurePutRate(class.String()), s.name, "/s", got["per_second"])
	r.add(sectionWrites, figurePutP50(class.String()), s.name, "ns", got["p50_ns"])
	if class == s.cheapest() {
		r.add(sectionWrites, figurePutAllocs, s.name, "", got["allocs"])
	}
	return nil
}

// flushedPuts measures R right before and right after each number of clients.
func (r *run) flushedPuts(ctx context.Context, s *store) error {
	for _, clients := range flushedClients {
		if _, err := s.put(ctx, putRequest{Class: engine.Flushed, Clients: clients, Seconds: r.window.Seconds() / 5}); err != nil {
			return err
		}
		before, err := logbench.FlushRate(r.dir)
		if err != nil {
			return err
		}
		got, err := s.put(ctx, putRequest{Class: engine.Flushed, Clients: clients, Seconds: r.window.Seconds()})
		if err != nil {
			return err
		}
		after, err := logbench.FlushRate(r.dir)
		if err != nil {
			return err
		}
		rate := (before + after) / 2
		r.add(sectionWrites, "R, durable overwrites of 4 KiB", Machine, "/s", rate)
		r.add(sectionWrites, figureFlushed(clients), s.name, "R", got["per_second"]/rate)
		if clients == 1 {
			r.add(sectionWrites, figurePutP50("flushed"), s.name, "ns", got["p50_ns"])
		}
	}
	return nil
}
