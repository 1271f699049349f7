package enginebench

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// recovery measures what a killed process leaves to be replayed: records put one
// by one, all of them still in the log alone.
func (r *run) recovery(ctx context.Context) error {
	var logging []subject
	for _, s := range r.all() {
		if s.logs {
			logging = append(logging, s)
		} else {
			r.note("Recovery: %s has no log to replay.", s.name)
		}
	}
	c := memoryConfig(r.replayed)
	c.KeepLog = true
	for range r.Rounds {
		if err := r.recoveryRound(ctx, logging, c); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) recoveryRound(ctx context.Context, logging []subject, c config) (err error) {
	all, done, err := r.stores(logging, r.replayed, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return r.turns(ctx, sectionRecovery, fmt.Sprintf("%d records", r.replayed), all, func(s *store) error {
		if _, err := s.open(ctx, c); err != nil {
			return err
		}
		class := engine.Buffered
		if !s.traits.Durability.Has(class) {
			class = engine.Memory // and flushed below, before the kill
		}
		if _, err := s.put(ctx, putRequest{Class: class, Clients: 1, Puts: r.replayed}); err != nil {
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
		if err == nil && found["records"] != float64(r.replayed) {
			err = fmt.Errorf("%.0f of %d records are there after the kill", found["records"], r.replayed)
		}
		if err != nil {
			return err
		}
		r.add(sectionRecovery, figureRecovery, s.name, "million/s", float64(r.replayed)/took/1e6)
		return s.remove()
	})
}
