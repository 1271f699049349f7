package migrate

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"golang.org/x/sync/semaphore"
)

// Switch is a store that serves one provider until a migration has cut over to another,
// and then that one, without its users noticing more than a write that waits:
//
//	sw := migrate.NewSwitch(old, new)
//	p := providers.OpenStore(sw.Store(), providers.Config{Name: "records"})
//	// The program uses p, and nothing else writes to old or new.
//	result, err := migrate.New().Live(sw).Execute(ctx)
//
// It declares what both can do. A revision that was read before cutting over is that of
// no write afterwards: what is put under its condition conflicts.
type Switch struct {
	from, to *providers.Provider
	caps     driver.Capabilities
	// gate is held by each write, in part, and as a whole by the barrier.
	gate   *semaphore.Weighted
	over   atomic.Bool // it serves to
	closed atomic.Bool

	changes changes
}

// NewSwitch returns a store that serves from, and can cut over to to. Both stay the
// caller's, and must be open as long as the store is.
func NewSwitch(from, to *providers.Provider) *Switch {
	a, b := from.Capabilities(), to.Capabilities()
	return &Switch{from: from, to: to, gate: semaphore.NewWeighted(math.MaxInt64), caps: driver.Capabilities{
		Backend: a.Backend + "→" + b.Backend, Version: a.Version + " → " + b.Version,
		Durability: min(a.Durability, b.Durability), Persistent: a.Persistent && b.Persistent,
		TTL: a.TTL && b.TTL, Fence: a.Fence && b.Fence, RangeReads: a.RangeReads && b.RangeReads, Staleness: max(a.Staleness, b.Staleness),
		Limits: driver.Limits{
			MaxKeyBytes: min(a.Limits.MaxKeyBytes, b.Limits.MaxKeyBytes), MaxValueBytes: min(a.Limits.MaxValueBytes, b.Limits.MaxValueBytes),
			MaxCommitWrites: min(a.Limits.MaxCommitWrites, b.Limits.MaxCommitWrites), MaxCommitBytes: min(a.Limits.MaxCommitBytes, b.Limits.MaxCommitBytes),
		},
		Commit: true, BatchGet: true, BulkPut: true, Clock: a.Clock && b.Clock,
	}}
}

// Store returns the Switch as a driver.Store that has no more than it declares.
func (s *Switch) Store() driver.Store {
	if s.caps.Clock {
		return struct {
			*Switch
			switchClock
		}{s, switchClock{s}}
	}
	return s
}

type switchClock struct{ of *Switch }

// Now implements driver.Clock.
func (c switchClock) Now(ctx context.Context) (time.Time, error) {
	if err := c.of.usable(); err != nil {
		return time.Time{}, err
	}
	return c.of.serving().Now(ctx)
}

// Over reports whether it has cut over.
func (s *Switch) Over() bool { return s.over.Load() }

func (s *Switch) serving() *providers.Provider {
	if s.over.Load() {
		return s.to
	}
	return s.from
}

func (s *Switch) usable() error {
	if s.closed.Load() {
		return driver.ErrClosed
	}
	return nil
}

// newEra begins the tag of each revision that is given after cutting over.
const newEra = "\x00→"

func (s *Switch) outward(r driver.Revision) driver.Revision {
	if r.IsZero() || !s.over.Load() {
		return r
	}
	return driver.TagRevision(newEra + r.String())
}

// errBefore is what a revision of before conflicts with.
var errBefore = fmt.Errorf("%w: it was read before the migration cut over", driver.ErrConflict)

// inward returns the revision as who serves now knows it. Under the gate.
func (s *Switch) inward(r driver.Revision) (driver.Revision, error) {
	if r.IsZero() || !s.over.Load() {
		return r, nil
	}
	text, ok := strings.CutPrefix(r.Tag(), newEra)
	if !ok {
		return r, errBefore
	}
	return driver.ParseRevision(text)
}

// entry translates an entry that was read when the Switch had cut over or not.
func (s *Switch) entry(e driver.Entry, over bool) driver.Entry {
	if over && !e.Revision.IsZero() {
		e.Revision = driver.TagRevision(newEra + e.Revision.String())
	}
	return e
}

// write makes a write while no barrier stands, and remembers its keys: before, so that
// no pass meets a change that it was not told of, and afterwards, so that none is copied
// too early and forgotten.
func (s *Switch) write(ctx context.Context, keys iter.Seq[[]byte], write func(p *providers.Provider) error) error {
	if err := s.gate.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.gate.Release(1)
	if err := s.usable(); err != nil {
		return err
	}
	s.changes.remember(keys)
	defer s.changes.remember(keys)
	return write(s.serving())
}

// hold waits for the writes under way, and keeps others waiting until release is called.
func (s *Switch) hold(ctx context.Context) (release func(), err error) {
	if err := s.gate.Acquire(ctx, math.MaxInt64); err != nil {
		return nil, err
	}
	return func() { s.gate.Release(math.MaxInt64) }, nil
}

// Get implements driver.Store.
func (s *Switch) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.usable(); err != nil {
		return driver.Entry{}, err
	}
	over := s.over.Load()
	e, err := s.at(over).Get(ctx, key)
	return s.entry(e, over), err
}

// at returns who serves once it has cut over, or before.
func (s *Switch) at(over bool) *providers.Provider {
	if over {
		return s.to
	}
	return s.from
}

// GetMany implements driver.BatchGetter.
func (s *Switch) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	over := s.over.Load()
	entries, err := s.at(over).GetMany(ctx, keys)
	for i := range entries {
		entries[i] = s.entry(entries[i], over)
	}
	return entries, err
}

// List implements driver.Store. A list that is under way when the Switch cuts over goes
// on in the source, which has all that was there when it began.
func (s *Switch) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		if err := s.usable(); err != nil {
			yield(driver.Entry{}, err)
			return
		}
		over := s.over.Load()
		for e, err := range s.at(over).List(ctx, o) {
			if !yield(s.entry(e, over), err) {
				return
			}
		}
	}
}

func one(key []byte) iter.Seq[[]byte] { return func(yield func([]byte) bool) { yield(key) } }

func keysOf(writes []driver.Write) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range writes {
			if !yield(writes[i].Key) {
				return
			}
		}
	}
}

// Put implements driver.Store.
func (s *Switch) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return r, err
	}
	err = s.write(ctx, one(key), func(p *providers.Provider) (err error) {
		if o.IfRevision, err = s.inward(o.IfRevision); err != nil {
			return driver.KeyError("put", key, err)
		}
		r, err = p.Put(ctx, key, value, o)
		r = s.outward(r)
		return err
	})
	return r, err
}

// Delete implements driver.Store.
func (s *Switch) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	return s.write(ctx, one(key), func(p *providers.Provider) (err error) {
		if o.IfRevision, err = s.inward(o.IfRevision); err != nil {
			return driver.KeyError("delete", key, err)
		}
		return p.Delete(ctx, key, o)
	})
}

// BulkPut implements driver.BulkPutter.
func (s *Switch) BulkPut(ctx context.Context, writes []driver.Write) error {
	return s.write(ctx, keysOf(writes), func(p *providers.Provider) error { return p.BulkPut(ctx, writes) })
}

// Commit implements driver.Committer.
func (s *Switch) Commit(ctx context.Context, m *driver.Commit) error {
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	return s.write(ctx, keysOf(m.Writes), func(p *providers.Provider) error {
		inner := *m
		var err error
		if inner.Reads, err = s.reads(m.Reads); err != nil {
			return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
		}
		inner.Ranges = make([]driver.RangeRead, len(m.Ranges))
		for i, r := range m.Ranges {
			inner.Ranges[i].Options = r.Options
			if inner.Ranges[i].Seen, err = s.reads(r.Seen); err != nil {
				return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
			}
		}
		return p.Commit(ctx, &inner)
	})
}

func (s *Switch) reads(reads []driver.Read) ([]driver.Read, error) {
	if !s.over.Load() {
		return reads, nil
	}
	inner := make([]driver.Read, len(reads))
	for i, r := range reads {
		at, err := s.inward(r.Revision)
		if err != nil {
			return nil, driver.KeyError("validate", r.Key, err)
		}
		inner[i] = driver.Read{Key: r.Key, Revision: at}
	}
	return inner, nil
}

// Ping implements driver.Store.
func (s *Switch) Ping(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.serving().Driver().Ping(ctx)
}

// Capabilities implements driver.Store.
func (s *Switch) Capabilities() driver.Capabilities { return s.caps }

// Close implements driver.Store. It waits for writes under way; the two providers stay
// open.
func (s *Switch) Close() error {
	release, err := s.hold(context.Background())
	if err != nil {
		return err
	}
	defer release()
	if s.closed.Swap(true) {
		return driver.ErrClosed
	}
	return nil
}
