package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/node"
)

// Held is a lease that was acquired.
type Held struct {
	Lease
	// TTL is for how long each renewal holds.
	TTL time.Duration
	// ValidUntil is when the holder must stop, on its own monotonic clock: the TTL
	// after it began to ask.
	ValidUntil time.Time
}

// sighting is a record that another holds, and since when this client has seen it so.
type sighting struct {
	revision driver.Revision
	since    time.Time
}

// Acquire acquires a lease for a node and a time, if nobody else holds it; else it is
// ErrConflict. The token of the lease is greater than that of any acquisition before.
//
// No two nodes hold a lease at one time in the store's order: each acquisition and
// each renewal is a compare-and-swap of the one before. What a holder does elsewhere
// while it does not know yet that it has lost the lease is kept out by the token:
// pass it as PutOptions.Fence with each write that the lease protects.
//
// Where the backend has a clock, a lease ends by that. Elsewhere no clock of another
// is believed: a lease can be taken over when this Directory has seen it unchanged for
// its full TTL on the monotonic clock of its own, so call again, with the same
// Directory. A node may acquire what it holds itself; it gets a new token, and its old
// Held is void.
func (d *Directory) Acquire(ctx context.Context, r Reference, n node.ID, ttl time.Duration) (Held, error) {
	l := Lease{Reference: r, Node: n}
	if err := l.check(); err != nil {
		return Held{}, err
	}
	if ttl <= 0 {
		return Held{}, fmt.Errorf("acquire lease of %s: %w: a TTL of %s", r, driver.ErrInvalid, ttl)
	}
	for {
		h, err := d.acquire(ctx, l, ttl)
		if err == nil {
			return h, nil
		}
		if !errors.Is(err, errRaced) || ctx.Err() != nil {
			return Held{}, fmt.Errorf("acquire lease of %s: %w", r, err)
		}
	}
}

// errRaced says that the record has changed while it was looked at.
var errRaced = fmt.Errorf("%w: another client was faster", driver.ErrConflict)

func (d *Directory) acquire(ctx context.Context, l Lease, ttl time.Duration) (Held, error) {
	begun := d.o.Now()
	from, err := d.loadToSwap(ctx, l.Reference)
	if err != nil {
		return Held{}, err
	}
	now, err := d.now(ctx)
	if err != nil {
		return Held{}, err
	}
	if from.held() && from.node != l.Node {
		if err := d.free(l.Reference, &from, now); err != nil {
			return Held{}, err
		}
	}
	return d.take(ctx, l, &from, from.token+1, ttl, begun, now)
}

// free returns the ErrConflict of a lease that another holds, nil if it may be taken
// over.
func (d *Directory) free(r Reference, from *stored, now time.Time) error {
	held := fmt.Errorf("%w: node %s holds it", driver.ErrConflict, from.node)
	if d.p.Capabilities().Clock {
		if from.live(now) {
			return held
		}
		return nil
	}
	ttl := from.ttl
	if ttl == 0 { // it was stored, not acquired
		ttl = DefaultTTL
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	seen, ok := d.seen[r]
	if mono := d.o.Now(); !ok || seen.revision != from.revision {
		d.seen[r] = sighting{from.revision, mono}
		return held
	} else if mono.Sub(seen.since) < ttl {
		return held
	}
	return nil
}

// take makes the record that of a holder, by compare-and-swap.
func (d *Directory) take(ctx context.Context, l Lease, from *stored, token uint64, ttl time.Duration, begun, now time.Time) (Held, error) {
	to := &record{token: token, expires: now.Add(ttl), renew: now.Add(ttl / 2), ttl: ttl, node: l.Node}
	err := d.swap(ctx, l.Reference, from, to)
	if errors.Is(err, driver.ErrConflict) && !errors.Is(err, driver.ErrOutcomeUnknown) {
		return Held{}, errRaced
	}
	if err != nil {
		return Held{}, err
	}
	d.mu.Lock()
	delete(d.seen, l.Reference)
	d.mu.Unlock()
	return Held{Lease: to.lease(l.Reference), TTL: ttl, ValidUntil: begun.Add(ttl)}, nil
}

// Renew prolongs a lease by its TTL. ErrConflict if another has it now, or it has
// expired: stop, and acquire it anew.
func (d *Directory) Renew(ctx context.Context, h Held) (Held, error) {
	for {
		begun := d.o.Now()
		from, now, err := d.holding(ctx, &h)
		if err != nil {
			return Held{}, fmt.Errorf("renew lease of %s: %w", h.Reference, err)
		}
		renewed, err := d.take(ctx, h.Lease, &from, h.Token, h.TTL, begun, now)
		if err == nil {
			return renewed, nil
		}
		if !errors.Is(err, errRaced) || ctx.Err() != nil {
			return Held{}, fmt.Errorf("renew lease of %s: %w", h.Reference, err)
		}
	}
}

// holding returns the record of a lease that is still held, ErrConflict if it is not.
func (d *Directory) holding(ctx context.Context, h *Held) (stored, time.Time, error) {
	from, err := d.loadToSwap(ctx, h.Reference)
	if err != nil {
		return stored{}, time.Time{}, err
	}
	now, err := d.now(ctx)
	if err != nil {
		return stored{}, time.Time{}, err
	}
	switch {
	case !from.held() || from.token != h.Token || from.node != h.Node:
		return stored{}, now, fmt.Errorf("%w: it is not held any more: token %d, the newest is %d", driver.ErrConflict, h.Token, from.token)
	case d.p.Capabilities().Clock && !from.live(now):
		return stored{}, now, fmt.Errorf("%w: it has expired", driver.ErrConflict)
	case !d.p.Capabilities().Clock && !d.o.Now().Before(h.ValidUntil):
		return stored{}, now, fmt.Errorf("%w: it has expired", driver.ErrConflict)
	}
	return from, now, nil
}

// Release gives a lease up, so that others need not wait. One that is not held any
// more is left alone, and no error.
func (d *Directory) Release(ctx context.Context, h Held) error {
	return d.change(ctx, "release", h.Reference, func(from *stored) (*record, bool, error) {
		if !from.held() || from.token != h.Token || from.node != h.Node {
			return nil, false, nil
		}
		return gone(from), true, nil
	})
}
