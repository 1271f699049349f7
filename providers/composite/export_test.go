package composite

import (
	"context"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// OpenStill is Open without the goroutine of the chores: Tick does them.
func OpenStill(ctx context.Context, c Config) (driver.Store, error) {
	c, err := c.normalised()
	if err != nil {
		return nil, err
	}
	p, err := openPair(ctx, c)
	if err != nil {
		return nil, err
	}
	close(p.ended)
	return p.declared(), nil
}

// Tick does the chores whose time has come.
func Tick(ctx context.Context, s driver.Store) { of(s).tick(ctx) }

// Die ends a process without a word: its sides are closed, and nothing is released.
func Die(s driver.Store) {
	p := of(s)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.sides[0].close()
	p.sides[1].close()
}

// Look does what a composite in mode Cache does every HealthCheckInterval.
func Look(ctx context.Context, s driver.Store) {
	switch c := s.(type) {
	case *cache:
		c.look(ctx)
	case interface{ look(context.Context) }:
		c.look(ctx)
	}
}

func of(s driver.Store) *pair {
	if timed, ok := s.(*timedPair); ok {
		return timed.pair
	}
	return s.(*pair)
}
