package drivertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// CASOnly returns a store that shows of another what an object store has: single keys
// with compare-and-swap, in several processes, over a wire that never fails.
func CASOnly(of driver.Store) driver.Store { return casOnly{of} }

type casOnly struct{ driver.Store }

func (s casOnly) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	return driver.Capabilities{
		Backend: c.Backend, Version: c.Version, Durability: c.Durability, Persistent: c.Persistent, Shared: true,
		Limits: driver.Limits{MaxKeyBytes: 1024, MaxValueBytes: 1 << 20},
	}
}

func (s casOnly) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.Capabilities().Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s casOnly) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	c := s.Capabilities()
	if err := c.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	return s.Store.Put(ctx, key, value, o)
}

func (s casOnly) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	c := s.Capabilities()
	if err := c.CheckDelete(key, o); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, o)
}

// Call is a call that reaches a Faulty store.
type Call struct {
	// Op is "get", "list", "put", "delete" or "ping".
	Op  string
	Key []byte
	// Number counts the calls of the store, from 1.
	Number int64
}

// Faulty is a store whose calls fail as a wire does. It has none of the optional
// interfaces. Its hooks are called by many goroutines at once.
type Faulty struct {
	driver.Store
	// Before may fail a call that then does not reach the store, or hold it until
	// ctx ends; nil fails none.
	Before func(ctx context.Context, c Call) error
	// After may fail a call that the store has done, whose error err is nil then; nil
	// fails none. What it returns of a write should be ErrOutcomeUnknown.
	After func(ctx context.Context, c Call) error

	calls atomic.Int64
}

// Calls returns how many calls were made.
func (f *Faulty) Calls() int64 { return f.calls.Load() }

func (f *Faulty) call(ctx context.Context, op string, key []byte, call func() error) error {
	c := Call{op, key, f.calls.Add(1)}
	if f.Before != nil {
		if err := f.Before(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	if err := call(); err != nil {
		return err
	}
	if f.After != nil {
		if err := f.After(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return nil
}

// Get implements driver.Store.
func (f *Faulty) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	err = f.call(ctx, "get", key, func() error { e, err = f.Store.Get(ctx, key); return err })
	return e, err
}

// Put implements driver.Store.
func (f *Faulty) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	err = f.call(ctx, "put", key, func() error { r, err = f.Store.Put(ctx, key, value, o); return err })
	return r, err
}

// Delete implements driver.Store.
func (f *Faulty) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	return f.call(ctx, "delete", key, func() error { return f.Store.Delete(ctx, key, o) })
}

// Ping implements driver.Store.
func (f *Faulty) Ping(ctx context.Context) error {
	return f.call(ctx, "ping", nil, func() error { return f.Store.Ping(ctx) })
}

// List implements driver.Store. It fails at its beginning, and After at its end.
func (f *Faulty) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		err := f.call(ctx, "list", o.Prefix, func() error {
			for e, err := range f.Store.List(ctx, o) {
				if err != nil {
					return err
				}
				if !yield(e, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(driver.Entry{}, err)
		}
	}
}

var errStopped = errors.New("the caller has stopped")

// ErrKilled is what a client gets from its store once Kill has struck.
var ErrKilled = errors.New("the client is dead")

// Kill returns a client of a store that dies at its n-th call: before the call
// reaches the store, or after the store has done it. Every later call fails before it
// reaches the store.
func Kill(store driver.Store, n int64, after bool) *Faulty {
	f := &Faulty{Store: store}
	f.Before = func(_ context.Context, c Call) error {
		if c.Number > n || c.Number == n && !after {
			return ErrKilled
		}
		return nil
	}
	f.After = func(_ context.Context, c Call) error {
		if c.Number >= n {
			return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, ErrKilled)
		}
		return nil
	}
	return f
}
