package intent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Options set up a wrapped store. The zero value takes every default.
type Options struct {
	// Timeout is that of commits that ask for none; 0 is 30 s.
	Timeout time.Duration
	// Now is a monotonic clock; nil is the system's. It judges how long an intent
	// was there, and orders transactions by age.
	Now func() time.Time
	// Sleep waits for d, or until ctx ends, whose error it returns; nil is the
	// system's. Tests let time pass in it.
	Sleep func(ctx context.Context, d time.Duration) error
	// Parallel bounds the calls of one operation that run at once; 0 is 16.
	Parallel int
}

// Store is a driver.Store with transactions over one that has none.
type Store struct {
	base driver.Store
	o    Options
	caps driver.Capabilities

	recent recent

	mu     sync.Mutex // guards what follows
	closed bool
	// met is when each transaction that was pending was met first.
	met map[id]time.Time
	// calls are those under way, and what commits have left to do.
	calls sync.WaitGroup
}

// maxCommitWrites bounds the record and the intents of one transaction.
const maxCommitWrites = 1000

// Wrap returns a store with transactions over base, which is its from now on and is
// no Committer.
func Wrap(base driver.Store, o Options) driver.Store {
	s := wrap(base, o)
	clock, hasClock := base.(driver.Clock)
	reporter, reports := base.(driver.Reporter)
	switch {
	case hasClock && reports:
		return struct {
			*Store
			driver.Clock
			driver.Reporter
		}{s, clock, reporter}
	case hasClock:
		return struct {
			*Store
			driver.Clock
		}{s, clock}
	case reports:
		return struct {
			*Store
			driver.Reporter
		}{s, reporter}
	}
	return s
}

func wrap(base driver.Store, o Options) *Store {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Parallel <= 0 {
		o.Parallel = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	s := &Store{base: base, o: o, met: map[id]time.Time{}}
	c := base.Capabilities()
	_, c.Clock = base.(driver.Clock)
	_, c.Report = base.(driver.Reporter)
	s.caps = driver.Capabilities{
		Backend: c.Backend, Version: c.Version, Durability: c.Durability, Remote: c.Remote, Shared: c.Shared, Persistent: c.Persistent,
		Staleness: c.Staleness, Fence: true, Commit: true, BatchGet: true, BulkPut: true, Expire: false, Clock: c.Clock, Report: c.Report,
	}
	s.caps.Limits = driver.Limits{
		MaxKeyBytes: min(c.Limits.MaxKeyBytes-1, 1<<16),
		// An intent has two values.
		MaxValueBytes:   (c.Limits.MaxValueBytes - overheadBytes) / 2,
		MaxCommitWrites: min(maxCommitWrites, c.Limits.MaxValueBytes/(c.Limits.MaxKeyBytes+8)+1),
	}
	s.caps.Limits.MaxCommitWrites = max(s.caps.Limits.MaxCommitWrites, 10)
	s.caps.Limits.MaxCommitBytes = s.caps.Limits.MaxCommitWrites * (s.caps.Limits.MaxKeyBytes + s.caps.Limits.MaxValueBytes)
	return s
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin counts a call, unless the store is closed.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return driver.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Capabilities implements driver.Store.
func (s *Store) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store.
func (s *Store) Ping(ctx context.Context) error { return s.base.Ping(ctx) }

// Close waits for calls under way, and for what commits have left to do.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return driver.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	return s.base.Close()
}

// load reads the object of a user's key.
func (s *Store) load(ctx context.Context, key []byte) (object, error) {
	e, err := s.base.Get(ctx, objectKey(key))
	if errors.Is(err, driver.ErrNotFound) {
		return object{}, nil
	}
	if err != nil {
		return object{}, err
	}
	return parse(e)
}

func parse(e driver.Entry) (o object, err error) {
	o.at = e.Revision
	o.plain, o.intent, err = decodeObject(e.Value)
	return o, err
}

// settled returns the object of a key without an intent: it resolves those that it
// meets, and waits for those that are pending. mine is the transaction that asks, the
// zero id if there is none; an intent of its own is not resolved but returned.
func (s *Store) settled(ctx context.Context, key []byte, mine id) (object, error) {
	pause := firstPause
	for {
		o, err := s.load(ctx, key)
		if err != nil || o.intent == nil || o.intent.tx == mine && mine != (id{}) {
			if err == nil {
				s.recent.put(key, o)
			}
			return o, err
		}
		resolved, done, err := s.resolve(ctx, key, o, mine)
		if err != nil {
			return object{}, err
		}
		switch done {
		case settledNow:
			return resolved, nil
		case lookAgain:
			continue
		}
		if err := s.o.Sleep(ctx, pause); err != nil {
			return object{}, fmt.Errorf("waiting for another transaction: %w", err)
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 200 * time.Millisecond
)

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.calls.Done()
	return s.get(ctx, key)
}

func (s *Store) get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	o, err := s.settled(ctx, key, id{})
	if err != nil {
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	if !o.plain.alive() {
		return driver.Entry{}, driver.ErrNotFound
	}
	return driver.Entry{Key: key, Value: o.plain.data, Revision: o.plain.revision()}, nil
}

// List implements driver.Store. It reads values for a list of keys, too: whether a
// key is there stands in the object.
func (s *Store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		if err := s.begin(ctx); err != nil {
			yield(driver.Entry{}, err)
			return
		}
		s.calls.Done() // the base waits for its own; a caller's loop is nobody's to wait for
		if o.Limit < 0 {
			return
		}
		below := driver.ListOptions{Prefix: objectKey(o.Prefix)}
		if o.After != nil {
			below.After = objectKey(o.After)
		}
		n := 0
		for e, err := range s.base.List(ctx, below) {
			if err != nil {
				yield(driver.Entry{}, err)
				return
			}
			if bytes.HasPrefix(e.Key, []byte{0, 0}) {
				continue // a record
			}
			key := userKey(e.Key)
			var v *value
			in, err := parse(e)
			if err == nil {
				if v = in.plain; in.intent != nil {
					var now object
					now, err = s.settled(ctx, key, id{})
					v = now.plain
				}
			}
			if err != nil {
				yield(driver.Entry{}, driver.KeyError("list", key, err))
				return
			}
			if !v.alive() {
				continue
			}
			entry := driver.Entry{Key: key, Value: v.data, Revision: v.revision()}
			if o.KeysOnly {
				entry.Value = nil
			}
			if !yield(entry, nil) {
				return
			}
			if n++; n == o.Limit {
				return
			}
		}
	}
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key, data []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if err := s.caps.CheckPut(key, data, o); err != nil {
		return driver.Revision{}, err
	}
	return s.put(ctx, key, data, o)
}

func (s *Store) put(ctx context.Context, key, data []byte, o driver.PutOptions) (driver.Revision, error) {
	v, err := s.swap(ctx, &driver.Write{Key: key, Value: data, Fence: o.Fence}, o.IfAbsent, o.IfRevision)
	if err != nil {
		return driver.Revision{}, driver.KeyError("put", key, err)
	}
	return v.revision(), nil
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	_, err := s.swap(ctx, &driver.Write{Key: key, Delete: true, Fence: o.Fence}, false, o.IfRevision)
	return driver.KeyError("delete", key, err)
}

// swap makes one write of one key. Each is a compare-and-swap, so that it writes over
// no intent. It begins with a guess: that the object is as this client saw it last, or
// that a key it never saw is absent. That is one round trip where it is right.
func (s *Store) swap(ctx context.Context, w *driver.Write, absent bool, at driver.Revision) (*value, error) {
	now, guessed := object{}, false
	if !absent {
		now, guessed = s.guess(w.Key, at)
	}
	if !guessed && !w.Delete && at.IsZero() {
		guessed = true // that there is none
	}
	for {
		if !guessed {
			var err error
			if now, err = s.settled(ctx, w.Key, id{}); err != nil {
				return nil, err
			}
		}
		switch {
		case absent && now.plain.alive():
			return nil, fmt.Errorf("%w: the key is there, at revision %s", driver.ErrConflict, now.plain.revision())
		case !at.IsZero() && !now.plain.alive():
			return nil, fmt.Errorf("%w: the key is not there; it was asked for at revision %s", driver.ErrConflict, at)
		case !at.IsZero() && now.plain.revision() != at:
			return nil, fmt.Errorf("%w: the key is at revision %s, not %s", driver.ErrConflict, now.plain.revision(), at)
		}
		v, err := next(now.plain, w)
		if err != nil && !guessed {
			return nil, err
		}
		if err == nil && w.Delete && !now.plain.alive() && v.fence == fenceOf(now.plain) && !guessed {
			return v, nil // it is not there, and nothing is to be kept
		}
		if err == nil {
			to, err := s.replace(ctx, w.Key, now.at, v)
			if err == nil && v.needed() {
				s.recent.put(w.Key, object{plain: v, at: to})
			}
			if !errors.Is(err, driver.ErrConflict) {
				return v, err
			}
		}
		guessed = false
	}
}

func fenceOf(v *value) uint64 {
	if v == nil {
		return 0
	}
	return v.fence
}

// next returns what a write makes of a value; ErrFenced if its token is old.
func next(now *value, w *driver.Write) (*value, error) {
	seen := fenceOf(now)
	if w.Fence != 0 && w.Fence < seen {
		return nil, fmt.Errorf("%w: token %d; a writer with token %d was here", driver.ErrFenced, w.Fence, seen)
	}
	return newValue(w, seen), nil
}

// replace puts v in the place of the object at a revision, zero if there is none.
// Nothing is done where there is none and none is needed.
func (s *Store) replace(ctx context.Context, key []byte, at driver.Revision, v *value) (driver.Revision, error) {
	key = objectKey(key)
	switch {
	case v.needed() && at.IsZero():
		return s.base.Put(ctx, key, encodePlain(v), driver.PutOptions{IfAbsent: true})
	case v.needed():
		return s.base.Put(ctx, key, encodePlain(v), driver.PutOptions{IfRevision: at})
	case at.IsZero():
		return driver.Revision{}, nil
	}
	return driver.Revision{}, s.base.Delete(ctx, key, driver.DeleteOptions{IfRevision: at})
}

// GetMany implements driver.BatchGetter, by gets at once.
func (s *Store) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	entries := make([]driver.Entry, len(keys))
	err := s.each(ctx, len(keys), func(ctx context.Context, i int) error {
		e, err := s.get(ctx, keys[i])
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			return err
		}
		e.Key = keys[i]
		entries[i] = e
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// BulkPut implements driver.BulkPutter, by puts at once.
func (s *Store) BulkPut(ctx context.Context, writes []driver.Write) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for i := range writes {
		w := &writes[i]
		if err := s.caps.CheckPut(w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence}); err != nil {
			return fmt.Errorf("bulk put: %w", err)
		}
	}
	err := s.each(ctx, len(writes), func(ctx context.Context, i int) error {
		_, err := s.swap(ctx, &writes[i], false, driver.Revision{})
		return driver.KeyError("bulk put", writes[i].Key, err)
	})
	if errors.Is(err, driver.ErrUnavailable) {
		// Others may have been applied.
		return fmt.Errorf("%w: %v", driver.ErrOutcomeUnknown, err) //nolint // that nothing was applied must not be in the chain
	}
	return err
}

// each runs n calls, some of them at once, and returns the first error, after which
// no further call begins.
func (s *Store) each(ctx context.Context, n int, call func(ctx context.Context, i int) error) error {
	if n == 1 {
		return call(ctx, 0)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var first error
	places := make(chan struct{}, s.o.Parallel)
	for i := range n {
		places <- struct{}{}
		mu.Lock()
		failed := first != nil
		mu.Unlock()
		if failed {
			break
		}
		group.Go(func() {
			defer func() { <-places }()
			if err := call(ctx, i); err != nil {
				mu.Lock()
				if first == nil {
					first = err
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return first
}
