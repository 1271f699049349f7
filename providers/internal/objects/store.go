package objects

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Options set up a store.
type Options struct {
	// Backend and Version are what Capabilities tell.
	Backend, Version string
	// Prefix begins the name of every object, followed by "/"; "" is none.
	Prefix string
	// ReadTimeout and WriteTimeout bound each request; 0 leaves them to the caller.
	ReadTimeout, WriteTimeout time.Duration
	// MaxNameBytes is the longest name that the service takes; 0 is 1024.
	MaxNameBytes int
}

const (
	// MaxValueBytes is the longest value: 16 MiB. Services put larger objects in parts,
	// which this store does not.
	MaxValueBytes = 16 << 20
	// MaxObjectBytes is what a Bucket has to take and to give.
	MaxObjectBytes = headBytes + MaxValueBytes
	// leastKeyBytes is what the services above need.
	leastKeyBytes = 64
)

// Store is a driver.Store over a bucket.
type Store struct {
	bucket Bucket
	o      Options
	names  naming
	caps   driver.Capabilities
	// tombstones: a delete under a condition puts a tombstone. kept: so does every
	// other one, as the service would not let a name that it has removed be created, or
	// does not keep a delete apart from a put at the same time.
	tombstones, kept bool
	// tagged: revisions are tags; else they are numbers.
	tagged bool

	mu     sync.Mutex // guards closed, and the growth of calls
	closed bool
	calls  sync.WaitGroup // those under way

	stranger atomic.Pointer[string] // what a list has met last that no store has put there
}

// Open returns the store over a bucket, which is its from now on, also if it fails. It
// tries out on an object of its own what the service does with conditions: one that
// ignores them on a put is ErrUnsupported.
func Open(ctx context.Context, b Bucket, o Options) (driver.Store, error) {
	if o.MaxNameBytes == 0 {
		o.MaxNameBytes = 1024
	}
	s := &Store{bucket: b, o: o, names: newNaming(o.Prefix)}
	s.caps = driver.Capabilities{
		Backend: o.Backend, Version: o.Version, Durability: driver.InService, Remote: true, Shared: true, Persistent: true, Report: true,
		Limits: driver.Limits{MaxKeyBytes: s.names.maxKey(o.MaxNameBytes), MaxValueBytes: MaxValueBytes},
	}
	if s.caps.Limits.MaxKeyBytes < leastKeyBytes {
		b.Close()
		return nil, fmt.Errorf("%w: a prefix of %d bytes leaves too little of a name for keys; shorten it", driver.ErrInvalid, len(o.Prefix))
	}
	if err := s.probe(ctx); err != nil {
		b.Close()
		return nil, err
	}
	u, ok := b.(Unguarded)
	unguarded := ok && u.UnguardedDeletes()
	if unguarded {
		s.tombstones, s.kept = true, true
	}
	if v, ok := b.(Versions); ok && v.Versioned() {
		s.caps.Version += ", versions kept"
		if s.tombstones && !unguarded { // what removes a version may take a put with it, too
			s.caps.Compact = true
			return &sweeping{s, v}, nil
		}
	}
	return s, nil
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

// Close implements driver.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return driver.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.calls.Wait()
	s.bucket.Close()
	return nil
}

// Ping implements driver.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	return call(ctx, s.o.ReadTimeout, false, s.bucket.Ping)
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.calls.Done()
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	value, at, err := s.get(ctx, s.names.of(key))
	switch {
	case errors.Is(err, driver.ErrNotFound):
		return driver.Entry{}, driver.ErrNotFound
	case err != nil:
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	return driver.Entry{Key: append([]byte(nil), key...), Value: value, Revision: at}, nil
}

// get returns the value of an object; ErrNotFound for a tombstone, with its revision.
func (s *Store) get(ctx context.Context, name string) (value []byte, at driver.Revision, err error) {
	var data []byte
	err = call(ctx, s.o.ReadTimeout, false, func(ctx context.Context) (err error) {
		data, at, err = s.bucket.Get(ctx, name)
		return err
	})
	if err != nil {
		return nil, driver.Revision{}, err
	}
	value, alive, err := decode(data)
	if err == nil && !alive {
		err = driver.ErrNotFound
	}
	return value, at, err
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	if err := s.checkRevision(o.IfRevision); err != nil {
		return driver.Revision{}, driver.KeyError("put", key, err)
	}
	at, err := s.putValue(ctx, s.names.of(key), value, Condition{Absent: o.IfAbsent, At: o.IfRevision})
	return at, driver.KeyError("put", key, err)
}

// checkRevision refuses a revision that this store cannot have given: sent to the
// service it would be no condition at all.
func (s *Store) checkRevision(at driver.Revision) error {
	if !at.IsZero() && (at.Tag() != "") != s.tagged {
		return fmt.Errorf("%w: revision %s is not of this store", driver.ErrConflict, at)
	}
	return nil
}

func (s *Store) putValue(ctx context.Context, name string, value []byte, c Condition) (driver.Revision, error) {
	absent := c.Absent
	for {
		at, err := s.put(ctx, name, encodeValue(value), c)
		if !absent || !errors.Is(err, driver.ErrConflict) {
			return at, err
		}
		// What is there may be a tombstone, also where deletes need none: the service
		// may have learned to look at their conditions since.
		_, now, lookErr := s.get(ctx, name)
		switch {
		case lookErr == nil:
			return driver.Revision{}, fmt.Errorf("%w: the key is there", driver.ErrConflict)
		case !errors.Is(lookErr, driver.ErrNotFound):
			return driver.Revision{}, fmt.Errorf("look at what is there: %w", lookErr)
		}
		c = Condition{Absent: now.IsZero(), At: now}
	}
}

// put puts an object, and asks again while the service has not decided.
func (s *Store) put(ctx context.Context, name string, data []byte, c Condition) (at driver.Revision, err error) {
	err = patiently(ctx, func() error {
		return call(ctx, s.o.WriteTimeout, true, func(ctx context.Context) (err error) {
			at, err = s.bucket.Put(ctx, name, data, c)
			return err
		})
	})
	if err == nil && at.IsZero() {
		err = fmt.Errorf("%w: the service has put an object and not said at which revision", driver.ErrUnsupported)
	}
	return at, err
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
	if err := s.checkRevision(o.IfRevision); err != nil {
		return driver.KeyError("delete", key, err)
	}
	name := s.names.of(key)
	var err error
	switch at := o.IfRevision; {
	case s.tombstones && !at.IsZero():
		_, err = s.put(ctx, name, newTombstone(), Condition{At: at})
	case s.kept && (s.caps.Compact || !o.Final):
		err = s.bury(ctx, name)
	default:
		err = s.delete(ctx, name, at)
	}
	return driver.KeyError("delete", key, err)
}

// delete removes an object.
func (s *Store) delete(ctx context.Context, name string, at driver.Revision) error {
	return patiently(ctx, func() error {
		return call(ctx, s.o.WriteTimeout, true, func(ctx context.Context) error { return s.bucket.Delete(ctx, name, at) })
	})
}

// bury puts a tombstone in the place of whatever is there.
func (s *Store) bury(ctx context.Context, name string) error {
	for {
		_, at, err := s.get(ctx, name)
		if errors.Is(err, driver.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err = s.put(ctx, name, newTombstone(), Condition{At: at}); !errors.Is(err, driver.ErrConflict) {
			return err
		}
	}
}

// patience is how often the service is asked again that has not decided; the pauses
// grow from a few milliseconds to a second, so that it is some seconds in all.
const patience = 10

// patiently calls again while the service says that another request is under way.
func patiently(ctx context.Context, do func() error) error {
	pause := 4 * time.Millisecond
	for n := 0; ; n++ {
		err := do()
		if !errors.Is(err, ErrContended) {
			return err
		}
		if n == patience {
			return fmt.Errorf("%w: asked %d times: %v", driver.ErrUnavailable, n, err) //nolint // it is of this kind now
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, time.Second)
	}
}

// Report implements driver.Reporter. It knows only whether others write under the
// prefix: their objects are not shown, and one of them might once have a key's name.
func (s *Store) Report() driver.Report {
	if what := s.stranger.Load(); what != nil {
		return driver.Report{Degraded: *what}
	}
	return driver.Report{}
}

// note remembers what is wrong with a name.
func (s *Store) note(err error) {
	what := err.Error()
	s.stranger.Store(&what)
}

// Describe returns what the service tells of a key's object; ErrNotFound if there is
// none, which a tombstone is too.
func (s *Store) Describe(ctx context.Context, key []byte) (m Metadata, err error) {
	if err := s.begin(ctx); err != nil {
		return m, err
	}
	defer s.calls.Done()
	if err := s.caps.Limits.CheckKey("describe", key); err != nil {
		return m, err
	}
	err = call(ctx, s.o.ReadTimeout, false, func(ctx context.Context) (err error) {
		m, err = s.bucket.Describe(ctx, s.names.of(key))
		return err
	})
	if err == nil && m.Size == tombstoneBytes {
		err = driver.ErrNotFound
	}
	if err != nil {
		return Metadata{}, driver.KeyError("describe", key, err)
	}
	return m, nil
}

// Describe is Store.Describe of a store that Open has returned; any other is
// ErrUnsupported.
func Describe(ctx context.Context, store driver.Store, key []byte) (Metadata, error) {
	d, ok := store.(interface {
		Describe(ctx context.Context, key []byte) (Metadata, error)
	})
	if !ok {
		return Metadata{}, fmt.Errorf("describe: %w: %s has no objects", driver.ErrUnsupported, store.Capabilities().Backend)
	}
	return d.Describe(ctx, key)
}
