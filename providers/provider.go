package providers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/intent"
)

// Provider is one open backend. All of its methods may be called from many
// goroutines at once. Arguments stay the caller's, results are the caller's.
type Provider struct {
	config Config
	meter  meter
	state  atomic.Pointer[state] // nil until it is open

	choreFailure atomic.Pointer[string] // of the last sweep, nil if it was well

	opening sync.Mutex // held by Open and Close
	closed  bool       // guarded by opening
}

// state is what an open provider has.
type state struct {
	closed atomic.Bool

	base  driver.Store // as the driver gave it
	store driver.Store // what calls go to: base, or the transactions above it
	caps  driver.Capabilities
	// circuit guards every call of the base. guard is the same where calls go to
	// the base, and nil where they go to what calls the base itself.
	circuit, guard *guard

	committer   driver.Committer
	snapshotter driver.Snapshotter // nil if the store is none; so are the others
	getter      driver.BatchGetter
	bulk        driver.BulkPutter
	clock       driver.Clock
	reporter    driver.Reporter

	life  context.Context // ends with Close
	end   context.CancelFunc
	ended chan struct{} // closed when the sweeper has ended
}

// New returns a provider that is not open yet.
func New(c Config) *Provider {
	set(&c.Name, c.Backend)
	set(&c.TransactionTimeout, 30*time.Second)
	set(&c.ExpireInterval, 60*time.Second)
	return &Provider{config: c}
}

// Open opens the backend. Of an open provider it does nothing; after Close it is
// ErrClosed.
func (p *Provider) Open(ctx context.Context) error {
	p.opening.Lock()
	defer p.opening.Unlock()
	if p.closed {
		return fmt.Errorf("open %s: %w", p.config.Name, ErrClosed)
	}
	if p.state.Load() != nil {
		return nil
	}
	store, err := driver.Open(ctx, p.config.Backend, p.config.Options)
	if err != nil {
		return err
	}
	p.begin(store)
	return nil
}

// begin makes the provider open over base. The caller holds opening.
func (p *Provider) begin(base driver.Store) {
	s := &state{base: base, store: base, ended: make(chan struct{})}
	s.life, s.end = context.WithCancel(context.Background())
	if base.Capabilities().Remote {
		s.circuit = newGuard(p.config.Name, p.config.Retry, p.config.Breaker)
	}
	s.guard = s.circuit
	if !base.Capabilities().Commit {
		below := base
		if s.guard != nil {
			below, s.guard = guardStore(base, s.guard), nil
		}
		s.store = intent.Wrap(below, intent.Options{Timeout: p.config.TransactionTimeout})
	}
	s.caps = s.store.Capabilities()
	s.committer, _ = s.store.(driver.Committer)
	s.snapshotter, _ = s.store.(driver.Snapshotter)
	s.getter, _ = s.store.(driver.BatchGetter)
	s.bulk, _ = s.store.(driver.BulkPutter)
	s.clock, _ = s.store.(driver.Clock)
	s.reporter, _ = base.(driver.Reporter)
	if chore := chore(s.store); chore != nil && p.config.ExpireInterval > 0 {
		go p.sweep(s, chore)
	} else {
		close(s.ended)
	}
	p.state.Store(s)
}

// expireAtOnce bounds one call of Expire.
const expireAtOnce = 10_000

// chore returns what must be done to a store now and then, nil if nothing: entries
// that have expired are removed, or transactions of clients that have died.
func chore(store driver.Store) func(ctx context.Context) error {
	switch x := store.(type) {
	case driver.Expirer:
		return func(ctx context.Context) error {
			for {
				if n, err := x.Expire(ctx, expireAtOnce); err != nil || n < expireAtOnce {
					return err
				}
			}
		}
	case interface {
		Sweep(ctx context.Context) (int, error)
	}:
		return func(ctx context.Context) error { _, err := x.Sweep(ctx); return err }
	}
	return nil
}

// sweep does the chore until the provider is closed.
func (p *Provider) sweep(s *state, chore func(ctx context.Context) error) {
	defer close(s.ended)
	ctx := s.life
	tick := time.NewTicker(p.config.ExpireInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := chore(ctx); err != nil && ctx.Err() == nil {
			text := err.Error()
			p.choreFailure.Store(&text)
		} else {
			p.choreFailure.Store(nil)
		}
	}
}

// Close waits for calls under way, and closes the backend. Every later call is
// ErrClosed, a second Close too.
func (p *Provider) Close() error {
	p.opening.Lock()
	defer p.opening.Unlock()
	s := p.state.Load()
	if p.closed {
		return fmt.Errorf("close %s: %w", p.config.Name, ErrClosed)
	}
	p.closed = true
	if s == nil {
		return nil
	}
	s.closed.Store(true)
	s.end()
	<-s.ended
	return s.store.Close()
}

// use returns the state of an open provider.
func (p *Provider) use() (*state, error) {
	s := p.state.Load()
	if s == nil {
		return nil, fmt.Errorf("%s: %w: it was not opened", p.config.Name, ErrClosed)
	}
	if s.closed.Load() {
		return nil, fmt.Errorf("%s: %w", p.config.Name, ErrClosed)
	}
	return s, nil
}

// Name returns the name of the provider.
func (p *Provider) Name() string { return p.config.Name }

// Capabilities tells what the provider can do: what the backend can, transactions
// and fences included where they are made above it. Before Open it is the zero value.
func (p *Provider) Capabilities() Capabilities {
	if s := p.state.Load(); s != nil {
		return s.caps
	}
	return Capabilities{}
}

// Driver returns the store beneath, for what only some backends can do, such as
// driver.Checkpointer. It is nil before Open. Writing through it goes past
// transactions.
func (p *Provider) Driver() driver.Store {
	if s := p.state.Load(); s != nil {
		return s.base
	}
	return nil
}

// Get returns the entry of key, or ErrNotFound bare.
func (p *Provider) Get(ctx context.Context, key []byte) (Entry, error) {
	s, err := p.use()
	if err != nil {
		return Entry{}, err
	}
	if p.config.Tracer == nil && p.config.Audit == nil && s.guard == nil {
		start := time.Now()
		e, err := s.store.Get(ctx, key)
		p.meter.latency[read].observe(time.Since(start))
		if err != nil {
			p.countError(err)
		}
		return e, err
	}
	var e Entry
	err = p.do(ctx, s, read, "get", key, func(ctx context.Context) (err error) { e, err = s.store.Get(ctx, key); return err })
	return e, err
}

// GetMany returns an entry for each key, in their order; where a key is not there,
// its Revision is zero. The entries need not be of one moment: that takes a
// transaction.
func (p *Provider) GetMany(ctx context.Context, keys [][]byte) (entries []Entry, err error) {
	s, err := p.use()
	if err != nil {
		return nil, err
	}
	err = p.do(ctx, s, read, "get many", nil, func(ctx context.Context) (err error) {
		if s.getter != nil {
			entries, err = s.getter.GetMany(ctx, keys)
			return err
		}
		entries = make([]Entry, len(keys))
		for i, key := range keys {
			entries[i], err = s.store.Get(ctx, key)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			entries[i].Key = key
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// List yields entries in the order of their keys, and ends after the first error.
func (p *Provider) List(ctx context.Context, o ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s, err := p.use()
		if err != nil {
			yield(Entry{}, err)
			return
		}
		var stopped bool
		err = p.observe(ctx, read, "list", o.Prefix, func(ctx context.Context) error {
			for e, err := range resumed(ctx, s.guard, s.store.List, o) {
				if err != nil {
					return err
				}
				if !yield(e, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			yield(Entry{}, err)
		}
	}
}

// Put sets key to value and returns the new revision; see PutOptions.
func (p *Provider) Put(ctx context.Context, key, value []byte, o PutOptions) (r Revision, err error) {
	s, err := p.use()
	if err != nil {
		return Revision{}, err
	}
	err = p.do(ctx, s, write, "put", key, func(ctx context.Context) (err error) { r, err = s.store.Put(ctx, key, value, o); return err })
	return r, err
}

// Delete removes key; see DeleteOptions.
func (p *Provider) Delete(ctx context.Context, key []byte, o DeleteOptions) error {
	s, err := p.use()
	if err != nil {
		return err
	}
	return p.do(ctx, s, remove, "delete", key, func(ctx context.Context) error { return s.store.Delete(ctx, key, o) })
}

// BulkPut applies the writes, each by itself, in no order. After an error some may
// have been applied.
func (p *Provider) BulkPut(ctx context.Context, writes []Write) error {
	s, err := p.use()
	if err != nil {
		return err
	}
	return p.do(ctx, s, write, "bulk put", nil, func(ctx context.Context) error {
		if s.bulk != nil {
			return s.bulk.BulkPut(ctx, writes)
		}
		for i := range writes {
			w, err := &writes[i], error(nil)
			if w.Delete {
				err = s.store.Delete(ctx, w.Key, DeleteOptions{Fence: w.Fence})
			} else {
				_, err = s.store.Put(ctx, w.Key, w.Value, PutOptions{TTL: w.TTL, Fence: w.Fence})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Commit applies all writes at one moment, if what was read is then unchanged; see
// driver.Committer. Update is what most callers want.
func (p *Provider) Commit(ctx context.Context, m *driver.Commit) error {
	s, err := p.use()
	if err != nil {
		return err
	}
	return p.do(ctx, s, write, "commit", nil, func(ctx context.Context) error { return s.committer.Commit(ctx, m) })
}

// Now returns the backend's time; ErrUnsupported where it has no clock.
func (p *Provider) Now(ctx context.Context) (t time.Time, err error) {
	s, err := p.use()
	if err != nil {
		return t, err
	}
	if s.clock == nil {
		return t, fmt.Errorf("now: %w: %s has no clock", ErrUnsupported, p.config.Backend)
	}
	if s.guard == nil {
		return s.clock.Now(ctx)
	}
	return s.guardedNow(ctx)
}

func (s *state) guardedNow(ctx context.Context) (t time.Time, err error) {
	err = s.guard.run(ctx, func(ctx context.Context) (err error) { t, err = s.clock.Now(ctx); return err })
	return t, err
}

// do makes one call behind the guard, and observes it.
func (p *Provider) do(ctx context.Context, s *state, k kind, op string, key []byte, call func(ctx context.Context) error) error {
	if s.guard == nil {
		return p.observe(ctx, k, op, key, call)
	}
	return p.observe(ctx, k, op, key, func(ctx context.Context) error { return s.guard.run(ctx, call) })
}

// observe counts, traces and logs one call.
func (p *Provider) observe(ctx context.Context, k kind, op string, key []byte, call func(ctx context.Context) error) error {
	if p.config.Tracer != nil {
		traced, end := p.config.Tracer.Start(ctx, p.config.Name, op, key)
		var err error
		defer func() { end(err) }()
		ctx = traced
		err = p.measured(ctx, k, op, key, call)
		return err
	}
	return p.measured(ctx, k, op, key, call)
}

func (p *Provider) measured(ctx context.Context, k kind, op string, key []byte, call func(ctx context.Context) error) error {
	start := time.Now()
	err := call(ctx)
	took := time.Since(start)
	p.meter.latency[k].observe(took)
	if err != nil {
		p.countError(err)
	}
	if p.config.Audit != nil {
		p.audit(ctx, k, op, key, took, err)
	}
	return err
}

// countError counts what is no answer.
func (p *Provider) countError(err error) {
	if !answer(err) {
		p.meter.errors.Add(1)
	}
}

func answer(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) }

func (p *Provider) audit(ctx context.Context, k kind, op string, key []byte, took time.Duration, err error) {
	level := slog.LevelDebug
	switch {
	case err != nil && !answer(err):
		level = slog.LevelWarn
	case k != read:
		level = slog.LevelInfo
	}
	if !p.config.Audit.Enabled(ctx, level) {
		return
	}
	attributes := []slog.Attr{slog.String("provider", p.config.Name), slog.String("operation", op), slog.Duration("took", took)}
	if key != nil {
		attributes = append(attributes, slog.String("key", quoted(key)))
	}
	if err != nil {
		attributes = append(attributes, slog.String("error", err.Error()))
	}
	p.config.Audit.LogAttrs(ctx, level, "audit", attributes...)
}
