package composite

import (
	"context"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Backend is the selector.
const Backend = "composite"

func init() {
	driver.Register(Backend, func(ctx context.Context, options any) (driver.Store, error) {
		c, err := driver.Options(options, Config{})
		if err != nil {
			return nil, err
		}
		return Open(ctx, c)
	})
}

// Mode is how the two sides go together.
type Mode string

// The modes.
const (
	// Synchronous acknowledges a write when both sides have it.
	Synchronous Mode = "synchronous"
	// Periodic brings the backup level now and then.
	Periodic Mode = "periodic"
	// Cache reads through the primary, as a cache, from the backup.
	Cache Mode = "cache"
)

// Side says which store is one of the two.
type Side struct {
	// Backend and Options are as in providers.Config; the backend must be linked.
	Backend string
	Options any
	// Open opens the store where Backend is ""; it is called again, after it has failed
	// as a wire does, until it succeeds.
	Open func(ctx context.Context) (driver.Store, error)
	// Retries is how often a request that has surely not been applied is made again before
	// it counts as failed, within RequestTimeout.
	Retries int
}

// Config sets up a composite. Primary and Backup must be given; zeros of the others are
// their defaults.
type Config struct {
	Primary, Backup Side
	// Mode is Synchronous unless it says otherwise.
	Mode Mode
	// AllowSingle lets one side acknowledge writes alone while the other is out; in
	// mode Synchronous only, as the others do in any case.
	AllowSingle bool
	// SyncInterval, 0 is 60 s: in mode Periodic the time from one synchronisation of the
	// backup to the next; in mode Synchronous from one look after keys that a failed
	// write has left different to the next; in mode Cache the longest life of what is
	// cached, which is Capabilities.Staleness.
	SyncInterval time.Duration
	// HealthCheckInterval, 0 is 30 s, is the time from one ping of the sides to the
	// next, and from one attempt to bring a side back to the next.
	HealthCheckInterval time.Duration
	// FailoverThreshold, 0 is 3, is the number of failures in a row, of requests and of
	// pings together, that puts a side out.
	FailoverThreshold int
	// LeaseTTL, 0 is 15 s, is how long this process may be silent before another one
	// takes over.
	LeaseTTL time.Duration
	// RequestTimeout, 0 is 5 s, bounds each call of a side; a call that takes longer has
	// failed.
	RequestTimeout time.Duration
	// Now is a monotonic clock; nil is the system's.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, whose error it then returns; nil is the
	// system's. Tests let time pass in it.
	Sleep func(ctx context.Context, d time.Duration) error
}

// normalised returns c with its defaults, or an ErrInvalid that names what no composite
// can be opened with.
func (c Config) normalised() (Config, error) {
	if c.Mode == "" {
		c.Mode = Synchronous
	}
	for _, d := range []struct {
		name string
		of   *time.Duration
		zero time.Duration
	}{
		{"sync_interval", &c.SyncInterval, time.Minute},
		{"health_check_interval", &c.HealthCheckInterval, 30 * time.Second},
		{"lease_ttl", &c.LeaseTTL, 15 * time.Second},
		{"request_timeout", &c.RequestTimeout, 5 * time.Second},
	} {
		if *d.of < 0 {
			return c, fmt.Errorf("%w: %s of %s", driver.ErrInvalid, d.name, *d.of)
		}
		if *d.of == 0 {
			*d.of = d.zero
		}
	}
	if c.FailoverThreshold == 0 {
		c.FailoverThreshold = 3
	}
	switch {
	case c.FailoverThreshold < 0:
		return c, fmt.Errorf("%w: failover_threshold of %d", driver.ErrInvalid, c.FailoverThreshold)
	case c.Mode != Synchronous && c.Mode != Periodic && c.Mode != Cache:
		return c, fmt.Errorf("%w: mode %q; choose one of %s, %s, %s", driver.ErrInvalid, c.Mode, Synchronous, Periodic, Cache)
	case c.AllowSingle && c.Mode != Synchronous:
		return c, fmt.Errorf("%w: allow_single in mode %s, which goes on with one side in any case", driver.ErrInvalid, c.Mode)
	}
	for name, s := range map[string]Side{"primary": c.Primary, "backup": c.Backup} {
		if s.Backend == "" && s.Open == nil {
			return c, fmt.Errorf("%w: no %s", driver.ErrInvalid, name)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = func(ctx context.Context, d time.Duration) error {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return c, nil
}

// Open opens both sides and the composite over them. In the modes Synchronous and
// Periodic it waits, until ctx ends, for the lease of a process that has died to run
// out, and is ErrLocked if another one is alive.
func Open(ctx context.Context, c Config) (driver.Store, error) {
	c, err := c.normalised()
	if err != nil {
		return nil, err
	}
	if c.Mode == Cache {
		return openCache(ctx, c)
	}
	p, err := openPair(ctx, c)
	if err != nil {
		return nil, err
	}
	p.start()
	return p.declared(), nil
}
