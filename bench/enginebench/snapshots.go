package enginebench

import (
	"context"
	"errors"
)

// named measures named snapshots, where the engine has them. Those in process are
// measured as the store grows.
func (r *run) named(ctx context.Context) (err error) {
	all, done, err := r.loaded(ctx, sectionSnapshot, r.all()[:1], r.records)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for range r.Rounds {
		err := r.turns(ctx, sectionSnapshot, "named", all, func(s *store) error {
			if !s.traits.NamedSnapshots {
				r.leaveOut("named snapshots: %s has none", s.name)
				return nil
			}
			got, err := s.call(ctx, request{Snapshot: &snapshotRequest{Snapshots: r.sizes.named, Class: s.cheapest(), Named: true, Seed: r.seed}})
			if err == nil {
				r.add(sectionSnapshot, figureNamed, s.name, "ns", got["p50_ns"])
				r.add(sectionSnapshot, figureNamedFlush, s.name, "ns", got["flushed_ns"])
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
