package providers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/sony/gobreaker/v2"
)

// Retry says how calls over a wire are repeated: after ErrUnavailable alone, which
// says that nothing was applied. The zero value is the default.
type Retry struct {
	// Count is how often a call is repeated; 0 is 3, below 0 is never.
	Count int
	// FirstPause is the first pause, with a jitter of a half; each is twice the one
	// before. 0 is 50 ms.
	FirstPause time.Duration
	// MaxPause bounds a pause; 0 is 5 s.
	MaxPause time.Duration
	// Timeout bounds a call with all of its repetitions; 0 is 30 s. A context that
	// ends earlier goes before.
	Timeout time.Duration
}

// Breaker says when calls over a wire are refused at once, as the backend has failed
// again and again. The zero value is the default.
type Breaker struct {
	// Failures in a row open it; 0 is 3, below 0 is never.
	Failures int
	// OpenFor is how long it refuses calls with ErrUnavailable; 0 is 30 s.
	OpenFor time.Duration
	// Successes in a row close it again; 0 is 2.
	Successes int
}

// guard stands before a store that is reached over a wire.
type guard struct {
	retry   Retry
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}] // nil if it never opens
	// ended is the deadline, in nanoseconds since 1970, that the last failure of a
	// deadline was counted for.
	ended atomic.Int64
}

func newGuard(name string, r Retry, b Breaker) *guard {
	set(&r.Count, 3)
	set(&r.FirstPause, 50*time.Millisecond)
	set(&r.MaxPause, 5*time.Second)
	set(&r.Timeout, 30*time.Second)
	set(&b.Failures, 3)
	set(&b.OpenFor, 30*time.Second)
	set(&b.Successes, 2)
	g := &guard{retry: r}
	if b.Failures > 0 {
		g.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
			Name: name, MaxRequests: uint32(b.Successes), Timeout: b.OpenFor,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= b.Failures },
			IsSuccessful: func(err error) bool { return !failure(err) },
			IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) || errors.Is(err, errCounted) },
		})
	}
	return g
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// failure reports whether err speaks of the backend, and not of the call.
func failure(err error) bool {
	return errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrOutcomeUnknown) || errors.Is(err, context.DeadlineExceeded)
}

// run makes one call, and repeats it where that is safe. Without a guard it is the
// call alone.
func (g *guard) run(ctx context.Context, call func(ctx context.Context) error) error {
	if g == nil {
		return call(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, g.retry.Timeout)
	defer cancel()
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier, pauses.RandomizationFactor = g.retry.FirstPause, g.retry.MaxPause, 2, 0.5
	pauses.Reset()
	for attempt := 0; ; attempt++ {
		err := g.once(ctx, call)
		if err == nil || !repeatable(err) || attempt >= g.retry.Count {
			return err
		}
		pause := time.NewTimer(pauses.NextBackOff())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w; given up: %w", err, ctx.Err())
		}
	}
}

// repeatable reports whether a call that ended with err can be made again without
// being made twice.
func repeatable(err error) bool {
	return errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) && !errors.Is(err, errOpenCircuit)
}

var errOpenCircuit = fmt.Errorf("%w: the circuit is open after failures in a row", driver.ErrUnavailable)

func (g *guard) once(ctx context.Context, call func(ctx context.Context) error) error {
	if g.breaker == nil {
		return call(ctx)
	}
	done, err := g.breaker.Allow()
	if err != nil {
		return errOpenCircuit
	}
	// A call that panics counts as failed, and does not keep its place in the circuit.
	err = fmt.Errorf("%w: the call has panicked", driver.ErrUnavailable)
	counts := err
	defer func() { done(counts) }()
	err = call(ctx)
	if counts = err; g.sameDeadline(ctx, err) {
		counts = errCounted
	}
	return err
}

var errCounted = errors.New("its deadline was counted")

// sameDeadline reports whether a call was ended by a deadline that has ended another one
// before. The requests of a large commit have one deadline: when it runs out that is one
// failure, and not as many in a row as there were requests under way.
func (g *guard) sameDeadline(ctx context.Context, err error) bool {
	at, ok := ctx.Deadline()
	return failure(err) && ok && ctx.Err() != nil && g.ended.Swap(at.UnixNano()) == at.UnixNano()
}

// state returns what the circuit breaker says of the backend, "" if nothing.
func (g *guard) state() (open bool, reason string) {
	if g == nil || g.breaker == nil {
		return false, ""
	}
	switch g.breaker.State() {
	case gobreaker.StateOpen:
		return true, "the circuit is open: calls have failed in a row, and are refused"
	case gobreaker.StateHalfOpen:
		return false, "the circuit is half open: calls are let through one by one"
	}
	return false, ""
}

// guardStore puts a guard before a store that is to be wrapped by intents.
func guardStore(store driver.Store, g *guard) driver.Store {
	if together, ok := store.(intent.Together); ok {
		return guardedTogether{guarded{store, g}, together}
	}
	return guarded{store, g}
}

// guardedTogether is guarded, and commits what lies together.
type guardedTogether struct {
	guarded
	together intent.Together
}

func (s guardedTogether) Together(a, b []byte) bool { return s.together.Together(a, b) }

func (s guardedTogether) CommitTogether(ctx context.Context, m *driver.Commit) error {
	return s.guard.run(ctx, func(ctx context.Context) error { return s.together.CommitTogether(ctx, m) })
}

// guarded is a store behind a guard, without the optional interfaces.
type guarded struct {
	driver.Store
	guard *guard
}

func (s guarded) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	err = s.guard.run(ctx, func(ctx context.Context) error { e, err = s.Store.Get(ctx, key); return err })
	return e, err
}

func (s guarded) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	err = s.guard.run(ctx, func(ctx context.Context) error { r, err = s.Store.Put(ctx, key, value, o); return err })
	return r, err
}

func (s guarded) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	return s.guard.run(ctx, func(ctx context.Context) error { return s.Store.Delete(ctx, key, o) })
}

func (s guarded) Ping(ctx context.Context) error {
	return s.guard.run(ctx, s.Store.Ping)
}

// List goes on behind the last key that came, where the list broke off.
func (s guarded) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return resumed(ctx, s.guard, s.Store.List, o)
}

// resumed is a list that goes on behind the last key that came.
func resumed(ctx context.Context, g *guard, list func(context.Context, driver.ListOptions) iter.Seq2[driver.Entry, error], o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	if g == nil {
		return list(ctx, o)
	}
	const page = 1000
	return func(yield func(driver.Entry, error) bool) {
		for left := o; ; {
			if left.Limit = page; o.Limit > 0 {
				left.Limit = min(page, o.Limit)
			}
			var entries []driver.Entry
			err := g.run(ctx, func(ctx context.Context) error {
				entries = entries[:0]
				for e, err := range list(ctx, left) {
					if err != nil {
						return err
					}
					entries = append(entries, e)
				}
				return nil
			})
			if err != nil {
				yield(driver.Entry{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if len(entries) < left.Limit {
				return
			}
			if o.Limit > 0 {
				if o.Limit -= len(entries); o.Limit == 0 {
					return
				}
			}
			left.After = entries[len(entries)-1].Key
		}
	}
}
