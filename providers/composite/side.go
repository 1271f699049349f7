package composite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/intent"
)

// committing is what a side is: a store with commits, native or by package intent.
type committing interface {
	driver.Store
	driver.Committer
}

// side is one of the two stores, with what is known of its health.
type side struct {
	name    string
	open    func(ctx context.Context) (driver.Store, error)
	timeout time.Duration
	intents intent.Options // where the store has no commits of its own
	retries int
	sleep   func(ctx context.Context, d time.Duration) error

	mu    sync.Mutex // guards what follows
	store committing // nil until it could be opened
	// requests and pings are failures in a row. A ping that succeeds does not forget
	// requests that failed: a store that cannot write may well answer pings.
	requests, pings int
	last            error // of the newest failure
}

func newSide(name string, s Side, c *Config) *side {
	open := s.Open
	if s.Backend != "" {
		open = func(ctx context.Context) (driver.Store, error) { return driver.Open(ctx, s.Backend, s.Options) }
	}
	return &side{
		name: name, open: open, timeout: c.RequestTimeout, retries: s.Retries, sleep: c.Sleep,
		intents: intent.Options{Timeout: c.RequestTimeout, Now: c.Now, Sleep: c.Sleep},
	}
}

// reach returns the store, and opens it first if that could not be done so far.
func (s *side) reach(ctx context.Context) (committing, error) {
	s.mu.Lock()
	store := s.store
	s.mu.Unlock()
	if store != nil {
		return store, nil
	}
	opened, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	store, native := opened.(committing)
	if !native {
		store = intent.Wrap(opened, s.intents).(committing)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store = store
	return store, nil
}

func (s *side) opened() committing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store
}

// failedCall is the error of a side that does not do its work, as against one that
// answers no.
type failedCall struct {
	side string
	err  error
	// doubt: it was a write, and may have been applied, now or later.
	doubt bool
}

// Error implements error.
func (f *failedCall) Error() string { return "the " + f.side + " fails: " + f.err.Error() }

// Is makes it ErrOutcomeUnknown or ErrUnavailable, never both, and what else the side's
// error is; but for the end of a context, which was not the caller's.
func (f *failedCall) Is(kind error) bool {
	switch kind {
	case driver.ErrOutcomeUnknown:
		return f.doubt
	case driver.ErrUnavailable:
		return !f.doubt
	case context.Canceled, context.DeadlineExceeded, driver.ErrClosed:
		return false
	}
	return !f.doubt && errors.Is(f.err, kind)
}

// answers are errors by which a store does its work.
var answers = []error{
	driver.ErrNotFound, driver.ErrConflict, driver.ErrFenced, driver.ErrTooLarge, driver.ErrInvalid, driver.ErrUnsupported, driver.ErrCorrupt,
}

// nothing are errors that say that nothing was applied, beside the answers.
var nothing = []error{
	driver.ErrUnavailable, driver.ErrDenied, driver.ErrNoSpace, driver.ErrClosed, driver.ErrReadOnly, driver.ErrLocked, context.Canceled, context.DeadlineExceeded,
}

func isAny(err error, kinds []error) bool {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// firstPause is the pause before a request is made again; each is twice the one before.
const firstPause = 20 * time.Millisecond

// call makes one request of the side and counts how it ends. The error is an answer, the
// end of the caller's ctx, or a failedCall.
func (s *side) call(ctx context.Context, write bool, f func(ctx context.Context, store committing) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	store := s.opened()
	if store == nil {
		s.mu.Lock()
		last := s.last
		s.mu.Unlock()
		return &failedCall{side: s.name, err: fmt.Errorf("it could not be opened: %w", last)}
	}
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := f(bounded, store)
	for again := range s.retries {
		if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrOutcomeUnknown) || s.sleep(bounded, firstPause<<min(again, 6)) != nil {
			break
		}
		err = f(bounded, store)
	}
	doubt := errors.Is(err, driver.ErrOutcomeUnknown)
	switch {
	case err == nil, !doubt && isAny(err, answers):
		s.mu.Lock()
		s.requests = 0
		s.mu.Unlock()
		return err
	case !doubt && ctx.Err() != nil:
		return ctx.Err()
	}
	failed := &failedCall{side: s.name, err: err, doubt: write && (doubt || !isAny(err, nothing))}
	if ctx.Err() == nil { // who gives up says nothing of the side
		s.mu.Lock()
		s.requests++
		s.last = err
		s.mu.Unlock()
	}
	return failed
}

// ping asks the side whether it is there, and counts the answer.
func (s *side) ping(ctx context.Context, openWithin time.Duration) error {
	err := func() error {
		if s.opened() == nil {
			c, cancel := context.WithTimeout(ctx, openWithin)
			defer cancel()
			if _, err := s.reach(c); err != nil {
				return err
			}
		}
		c, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		return s.opened().Ping(c)
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.pings = 0
		return nil
	}
	s.pings++
	s.last = err
	return &failedCall{side: s.name, err: err}
}

// failures returns how many there were in a row, and the newest.
func (s *side) failures() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests + s.pings, s.last
}

// forgive begins the count anew.
func (s *side) forgive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.pings = 0, 0
}

func (s *side) get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	err = s.call(ctx, false, func(ctx context.Context, store committing) (err error) { e, err = store.Get(ctx, key); return err })
	return e, err
}

// getMany returns an entry for each key; where it is not there, its Revision is zero.
func (s *side) getMany(ctx context.Context, keys [][]byte) (entries []driver.Entry, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	err = s.call(ctx, false, func(ctx context.Context, store committing) (err error) {
		if many, ok := store.(driver.BatchGetter); ok && len(keys) > 1 {
			entries, err = many.GetMany(ctx, keys)
			return err
		}
		entries = make([]driver.Entry, len(keys))
		for i, key := range keys {
			if entries[i], err = store.Get(ctx, key); err != nil && !errors.Is(err, driver.ErrNotFound) {
				return err
			}
			entries[i].Key = key
		}
		return nil
	})
	return entries, err
}

// list returns one page.
func (s *side) list(ctx context.Context, o driver.ListOptions) (entries []driver.Entry, err error) {
	err = s.call(ctx, false, func(ctx context.Context, store committing) error {
		entries = entries[:0]
		for e, err := range store.List(ctx, o) {
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return nil
	})
	return entries, err
}

func (s *side) commit(ctx context.Context, m *driver.Commit) error {
	m.Timeout = s.timeout
	return s.call(ctx, true, func(ctx context.Context, store committing) error { return store.Commit(ctx, m) })
}

func (s *side) close() error {
	if store := s.opened(); store != nil {
		if err := store.Close(); err != nil {
			return fmt.Errorf("close the %s: %w", s.name, err)
		}
	}
	return nil
}
