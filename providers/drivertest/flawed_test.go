package drivertest_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that the suite lets go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// subject is a sound store whose every method is a variable, so that a flaw is the
// replacement of one.
type subject struct {
	base  *memory.Store
	place string

	get      func(context.Context, []byte) (driver.Entry, error)
	list     func(context.Context, driver.ListOptions) iter.Seq2[driver.Entry, error]
	put      func(context.Context, []byte, []byte, driver.PutOptions) (driver.Revision, error)
	delete   func(context.Context, []byte, driver.DeleteOptions) error
	ping     func(context.Context) error
	caps     func() driver.Capabilities
	close    func() error
	commit   func(context.Context, *driver.Commit) error
	getMany  func(context.Context, [][]byte) ([]driver.Entry, error)
	bulkPut  func(context.Context, []driver.Write) error
	snapshot func(context.Context) (driver.Snapshot, error)
	now      func(context.Context) (time.Time, error)
	expire   func(context.Context, int) (int, error)
	report   func() driver.Report
	watch    func(context.Context, []byte) iter.Seq2[driver.Event, error]
	copied   func(ctx context.Context, dir string) error
	named    *named
}

// named are the named snapshots of a place, as copies of all entries.
type named struct {
	mu     sync.Mutex // guards what follows
	copies map[string][]driver.Entry

	store  *subject
	create func(name string) error
}

var namedOf sync.Map // of place: *named

func (s *subject) CreateSnapshot(_ context.Context, name string) error { return s.named.create(name) }
func (s *subject) ListSnapshots(context.Context) ([]string, error) {
	s.named.mu.Lock()
	defer s.named.mu.Unlock()
	return slices.Sorted(maps.Keys(s.named.copies)), nil
}
func (s *subject) OpenSnapshot(_ context.Context, name string) (driver.Snapshot, error) {
	s.named.mu.Lock()
	defer s.named.mu.Unlock()
	entries, ok := s.named.copies[name]
	if !ok {
		return nil, driver.ErrNotFound
	}
	return copied(entries), nil
}
func (s *subject) DropSnapshot(_ context.Context, name string) error {
	s.named.mu.Lock()
	defer s.named.mu.Unlock()
	if _, ok := s.named.copies[name]; !ok {
		return driver.ErrNotFound
	}
	delete(s.named.copies, name)
	return nil
}

func (n *named) take(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.copies[name]; taken {
		return driver.ErrConflict
	}
	if name == "" {
		return driver.ErrInvalid
	}
	n.copies[name] = nil
	for e, err := range n.store.base.List(context.Background(), driver.ListOptions{}) {
		if err != nil {
			return err
		}
		n.copies[name] = append(n.copies[name], e)
	}
	return nil
}

// copied is a snapshot of what was copied.
type copied []driver.Entry

func (c copied) Get(_ context.Context, key []byte) (driver.Entry, error) {
	for _, e := range c {
		if bytes.Equal(e.Key, key) {
			return e, nil
		}
	}
	return driver.Entry{}, driver.ErrNotFound
}
func (c copied) List(context.Context, driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		for _, e := range c {
			if !yield(e, nil) {
				return
			}
		}
	}
}
func (copied) Close() error { return nil }

func (s *subject) Get(ctx context.Context, key []byte) (driver.Entry, error) { return s.get(ctx, key) }
func (s *subject) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return s.list(ctx, o)
}
func (s *subject) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	return s.put(ctx, key, value, o)
}
func (s *subject) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	return s.delete(ctx, key, o)
}
func (s *subject) Ping(ctx context.Context) error                      { return s.ping(ctx) }
func (s *subject) Capabilities() driver.Capabilities                   { return s.caps() }
func (s *subject) Close() error                                        { return s.close() }
func (s *subject) Commit(ctx context.Context, m *driver.Commit) error  { return s.commit(ctx, m) }
func (s *subject) BulkPut(ctx context.Context, w []driver.Write) error { return s.bulkPut(ctx, w) }
func (s *subject) Now(ctx context.Context) (time.Time, error)          { return s.now(ctx) }
func (s *subject) Expire(ctx context.Context, limit int) (int, error)  { return s.expire(ctx, limit) }
func (s *subject) Report() driver.Report                               { return s.report() }
func (s *subject) Checkpoint(ctx context.Context, dir string) error    { return s.copied(ctx, dir) }
func (s *subject) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	return s.getMany(ctx, keys)
}
func (s *subject) Snapshot(ctx context.Context) (driver.Snapshot, error) { return s.snapshot(ctx) }
func (s *subject) Watch(ctx context.Context, prefix []byte) iter.Seq2[driver.Event, error] {
	return s.watch(ctx, prefix)
}

// sound opens a sound subject: memory with a backup, which serves as a checkpoint, and
// with a watch of its writes.
func sound(ctx context.Context, place string, now func() time.Time) (*subject, error) {
	m, err := memory.Open(ctx, memory.Config{Now: now, DiskBackup: &memory.DiskBackup{Path: filepath.Join(place, "backup")}})
	if err != nil {
		return nil, err
	}
	s := &subject{
		base: m, place: place, get: m.Get, list: m.List, ping: m.Ping, caps: m.Capabilities, close: m.Close, commit: m.Commit,
		getMany: m.GetMany, bulkPut: m.BulkPut, snapshot: m.Snapshot, now: m.Now, expire: m.Expire, report: m.Report,
	}
	s.caps = func() driver.Capabilities {
		c := m.Capabilities()
		c.Watch, c.Checkpoint, c.Named = true, true, true
		return c
	}
	names, _ := namedOf.LoadOrStore(place, &named{copies: map[string][]driver.Entry{}})
	s.named = names.(*named)
	s.named.store, s.named.create = s, s.named.take
	var mu sync.Mutex
	watchers := map[chan driver.Event]struct{}{}
	tell := func(e driver.Event) {
		for w := range watchers {
			w <- e
		}
	}
	s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
		mu.Lock()
		defer mu.Unlock()
		r, err := m.Put(ctx, key, value, o)
		if err == nil {
			tell(driver.Event{Entry: driver.Entry{Key: bytes.Clone(key), Value: bytes.Clone(value), Revision: r}})
		}
		return r, err
	}
	s.delete = func(ctx context.Context, key []byte, o driver.DeleteOptions) error {
		mu.Lock()
		defer mu.Unlock()
		err := m.Delete(ctx, key, o)
		if err == nil {
			tell(driver.Event{Entry: driver.Entry{Key: bytes.Clone(key)}, Deleted: true})
		}
		return err
	}
	s.watch = func(ctx context.Context, prefix []byte) iter.Seq2[driver.Event, error] {
		events := make(chan driver.Event, 10_000)
		mu.Lock()
		watchers[events] = struct{}{}
		mu.Unlock()
		return func(yield func(driver.Event, error) bool) {
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				delete(watchers, events)
			}()
			for {
				select {
				case <-ctx.Done():
					yield(driver.Event{}, ctx.Err())
					return
				case e := <-events:
					if bytes.HasPrefix(e.Entry.Key, prefix) && !yield(e, nil) {
						return
					}
				}
			}
		}
	}
	s.copied = func(ctx context.Context, dir string) error {
		other, err := memory.Open(ctx, memory.Config{DiskBackup: &memory.DiskBackup{Path: filepath.Join(dir, "backup")}})
		if err != nil {
			return err
		}
		for e, err := range m.List(ctx, driver.ListOptions{}) {
			if err == nil {
				_, err = other.Put(ctx, e.Key, e.Value, driver.PutOptions{})
			}
			if err != nil {
				return errors.Join(err, other.Close())
			}
		}
		return other.Close()
	}
	return s, nil
}

func target(flaw func(*subject)) drivertest.Target {
	c := &clock{now: time.Unix(1e9, 0)}
	return drivertest.Target{Name: "subject", Advance: c.Advance, Operations: 400, Open: func(ctx context.Context, place string) (driver.Store, error) {
		s, err := sound(ctx, place, c.Now)
		if err == nil {
			flaw(s)
		}
		return s, err
	}}
}

// TestSound: without a flaw every case passes.
func TestSound(t *testing.T) { drivertest.Run(t, target(func(*subject) {})) }

// TestSoundCASOnly: a store with nothing but compare-and-swap passes, too.
func TestSoundCASOnly(t *testing.T) {
	drivertest.Run(t, drivertest.Target{Name: "cas", Operations: 400, Open: openBare(nil)})
}

// openBare opens a store without the optional interfaces, with a flaw in its puts.
func openBare(put func(driver.Store) func(context.Context, []byte, []byte, driver.PutOptions) (driver.Revision, error)) func(context.Context, string) (driver.Store, error) {
	return func(ctx context.Context, _ string) (driver.Store, error) {
		m, err := memory.Open(ctx, memory.Config{})
		if err != nil {
			return nil, err
		}
		s := bare{drivertest.CASOnly(m), nil}
		if put != nil {
			s.put = put(m)
		}
		return s, nil
	}
}

type bare struct {
	driver.Store
	put func(context.Context, []byte, []byte, driver.PutOptions) (driver.Revision, error)
}

func (s bare) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	c.Shared = false
	return c
}

func (s bare) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if s.put != nil {
		return s.put(ctx, key, value, o)
	}
	return s.Store.Put(ctx, key, value, o)
}

// flaw is a defect, with the case that must notice it.
type flaw struct {
	notices, defect string
	seed            func(*subject)
}

// changed makes a list that shows each entry as change leaves it; false drops it.
func changed(s *subject, change func(o driver.ListOptions, i int, e *driver.Entry) bool) {
	list := s.list
	s.list = func(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
		return func(yield func(driver.Entry, error) bool) {
			i := 0
			for e, err := range list(ctx, o) {
				if err == nil && !change(o, i, &e) {
					i++
					continue
				}
				i++
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

var flaws = []flaw{
	{"point/put-get-delete", "a delete of what is absent is an error", func(s *subject) {
		s.delete = func(ctx context.Context, key []byte, o driver.DeleteOptions) error {
			if _, err := s.base.Get(ctx, key); err != nil {
				return err
			}
			return s.base.Delete(ctx, key, o)
		}
	}},
	{"point/put-get-delete", "a miss is wrapped", func(s *subject) {
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := s.base.Get(ctx, key)
			if errors.Is(err, driver.ErrNotFound) {
				err = errors.Join(err)
			}
			return e, err
		}
	}},
	{"point/put-get-delete", "an empty value is none", func(s *subject) {
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := s.base.Get(ctx, key)
			if err == nil && len(e.Value) == 0 {
				return driver.Entry{}, driver.ErrNotFound
			}
			return e, err
		}
	}},
	{"point/ownership", "the value of a get is the cache's", func(s *subject) {
		cache := map[string]driver.Entry{}
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			if e, ok := cache[string(key)]; ok {
				return e, nil
			}
			e, err := s.base.Get(ctx, key)
			if err == nil {
				cache[string(key)] = e
			}
			return e, err
		}
	}},
	{"point/binary-keys", "slashes are cleaned", func(s *subject) {
		get, put := s.get, s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			return put(ctx, bytes.ReplaceAll(key, []byte("//"), []byte("/")), value, o)
		}
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := get(ctx, bytes.ReplaceAll(key, []byte("//"), []byte("/")))
			e.Key = key
			return e, err
		}
	}},
	{"revision/never-again", "the revision is a checksum of the value", func(s *subject) {
		sum := func(e *driver.Entry) { e.Revision = driver.TagRevision("sum of " + string(e.Value)) }
		get, put := s.get, s.put
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := get(ctx, key)
			sum(&e)
			return e, err
		}
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			_, err := put(ctx, key, value, o)
			return driver.TagRevision("sum of " + string(value)), err
		}
		changed(s, func(_ driver.ListOptions, _ int, e *driver.Entry) bool { sum(e); return true })
	}},
	{"condition/if-absent", "IfAbsent is not looked at", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			o.IfAbsent = o.IfAbsent && !o.IfRevision.IsZero()
			return put(ctx, key, value, o)
		}
	}},
	{"condition/if-revision", "a put at a revision creates what is gone", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if _, err := s.base.Get(ctx, key); errors.Is(err, driver.ErrNotFound) && !o.IfAbsent {
				o.IfRevision = driver.Revision{}
			}
			return put(ctx, key, value, o)
		}
	}},
	{"condition/if-revision-of-a-lease", "a put at a revision creates a lease that is gone", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if _, err := s.base.Get(ctx, key); errors.Is(err, driver.ErrNotFound) && !o.IfAbsent && bytes.HasPrefix(key, []byte("lease/")) {
				o.IfRevision = driver.Revision{}
			}
			return put(ctx, key, value, o)
		}
	}},
	{"condition/if-revision", "the condition of a delete is ignored", func(s *subject) {
		del := s.delete
		s.delete = func(ctx context.Context, key []byte, o driver.DeleteOptions) error {
			o.IfRevision = driver.Revision{}
			return del(ctx, key, o)
		}
	}},
	{"context/cancelled", "a put does not look at its context", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			return put(context.WithoutCancel(ctx), key, value, o)
		}
	}},
	{"context/cancelled", "a cancelled put is of unknown outcome", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			r, err := put(ctx, key, value, o)
			if ctx.Err() != nil {
				err = errors.Join(err, driver.ErrOutcomeUnknown)
			}
			return r, err
		}
	}},
	{"lifetime/closed", "a second close succeeds", func(s *subject) {
		s.close = func() error { _ = s.base.Close(); return nil }
	}},
	{"lifetime/closed", "a ping succeeds after close", func(s *subject) {
		s.ping = func(ctx context.Context) error { return ctx.Err() }
	}},
	{"lifetime/reopen", "the last write is not in the backup", func(s *subject) {
		s.close = func() error {
			_ = s.base.Delete(context.Background(), []byte("last"), driver.DeleteOptions{})
			return s.base.Close()
		}
	}},
	{"lifetime/two-at-once", "the lock is given up", func(s *subject) {
		if err := os.RemoveAll(filepath.Join(s.place, "backup.lock")); err != nil {
			panic(err)
		}
	}},
	{"lifetime/close-under-load", "calls after close are not found", func(s *subject) {
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := s.base.Get(ctx, key)
			if errors.Is(err, driver.ErrClosed) {
				err = driver.ErrNotFound
			}
			return e, err
		}
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			r, err := put(ctx, key, value, o)
			if errors.Is(err, driver.ErrClosed) {
				err = driver.ErrUnavailable
			}
			return r, err
		}
	}},
	{"list/order-and-prefix", "a prefix takes the next key along", func(s *subject) {
		changed(s, func(_ driver.ListOptions, i int, e *driver.Entry) bool {
			if i == 1 && string(e.Key) == "a/2" {
				e.Key = []byte("ab")
			}
			return true
		})
	}},
	{"list/pages", "After is shown again", func(s *subject) {
		list := s.list
		s.list = func(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
			if n := len(o.After); n > 0 && o.After[n-1] > 0 {
				o.After = append(bytes.Clone(o.After[:n-1]), o.After[n-1]-1, 0xff)
			}
			return list(ctx, o)
		}
	}},
	{"list/pages", "Limit is not looked at", func(s *subject) {
		list := s.list
		s.list = func(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
			o.Limit = 0
			return list(ctx, o)
		}
	}},
	{"list/keys-only", "a list of keys ends early", func(s *subject) {
		changed(s, func(o driver.ListOptions, i int, _ *driver.Entry) bool { return !o.KeysOnly || i == 0 })
	}},
	{"list/stop-and-again", "a list goes on where it was left", func(s *subject) {
		list := s.list
		s.list = func(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
			next, stop := iter.Pull2(list(ctx, o))
			_ = stop
			return func(yield func(driver.Entry, error) bool) {
				for {
					e, err, ok := next()
					if !ok || !yield(e, err) {
						stop()
						return
					}
				}
			}
		}
	}},
	{"list/while-written", "a list leaves out what is written meanwhile", func(s *subject) {
		begun := map[string]driver.Revision{}
		var mu sync.Mutex
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			r, err := put(ctx, key, value, o)
			mu.Lock()
			begun[string(key)] = r
			mu.Unlock()
			return r, err
		}
		changed(s, func(_ driver.ListOptions, i int, e *driver.Entry) bool {
			mu.Lock()
			defer mu.Unlock()
			return string(e.Value) != "w"
		})
	}},
	{"limits/keys", "the empty key is a key", func(s *subject) {
		get := s.get
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			if len(key) == 0 {
				return driver.Entry{}, driver.ErrNotFound
			}
			return get(ctx, key)
		}
	}},
	{"limits/keys", "the limit is one byte less than declared", func(s *subject) {
		caps := s.caps
		s.caps = func() driver.Capabilities { c := caps(); c.Limits.MaxKeyBytes++; return c }
	}},
	{"limits/values", "values are cut", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			return put(ctx, key, value[:min(len(value), 1000)], o)
		}
	}},
	{"capabilities/interfaces", "a watch is there and not declared", func(s *subject) {
		caps := s.caps
		s.caps = func() driver.Capabilities { c := caps(); c.Watch = false; return c }
	}},
	{"capabilities/interfaces", "compaction is declared and not there", func(s *subject) {
		caps := s.caps
		s.caps = func() driver.Capabilities { c := caps(); c.Compact = true; return c }
	}},
	{"capabilities/ping-and-report", "a sound store is degraded", func(s *subject) {
		s.report = func() driver.Report { return driver.Report{Degraded: "always"} }
	}},
	{"capabilities/ttl", "an entry that is prolonged ends at its first time", func(s *subject) {
		put := s.put
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if o.TTL == 24*time.Hour {
				o.TTL = 2 * time.Second
			}
			return put(ctx, key, value, o)
		}
	}},
	{"capabilities/ttl", "Expire counts what it has not removed", func(s *subject) {
		s.expire = func(ctx context.Context, n int) (int, error) { n, err := s.base.Expire(ctx, n); return n + 1, err }
	}},
	{"capabilities/ttl", "a list shows what has expired", func(s *subject) {
		short := driver.Entry{}
		get := s.get
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			e, err := get(ctx, key)
			if string(key) == "short" && err == nil {
				short = e
			}
			return e, err
		}
		list := s.list
		s.list = func(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
			return func(yield func(driver.Entry, error) bool) {
				for e, err := range list(ctx, o) {
					if !yield(e, err) {
						return
					}
				}
				if short.Key != nil {
					yield(short, nil)
				}
			}
		}
	}},
	{"capabilities/fence", "a fence is forgotten with its key", func(s *subject) {
		put, caps := s.put, s.caps
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if _, err := s.base.Get(ctx, key); errors.Is(err, driver.ErrNotFound) {
				o.Fence = 0
			}
			return put(ctx, key, value, o)
		}
		s.caps = caps
	}},
	{"capabilities/fence", "a commit checks no fences", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			for i := range m.Writes {
				m.Writes[i].Fence = 0
			}
			return s.base.Commit(ctx, m)
		}
	}},
	{"capabilities/get-many", "what is absent is left out", func(s *subject) {
		s.getMany = func(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
			entries, err := s.base.GetMany(ctx, keys)
			return slices.DeleteFunc(entries, func(e driver.Entry) bool { return e.Revision.IsZero() }), err
		}
	}},
	{"capabilities/bulk-put", "deletes are left out", func(s *subject) {
		s.bulkPut = func(ctx context.Context, w []driver.Write) error {
			return s.base.BulkPut(ctx, slices.DeleteFunc(slices.Clone(w), func(w driver.Write) bool { return w.Delete }))
		}
	}},
	{"capabilities/snapshot", "a snapshot sees later writes", func(s *subject) {
		s.snapshot = func(ctx context.Context) (driver.Snapshot, error) {
			snap, err := s.base.Snapshot(ctx)
			return live{snap, s.base}, err
		}
	}},
	{"capabilities/named-snapshots", "a name that is taken is given again", func(s *subject) {
		s.named.create = func(name string) error {
			if err := s.named.take(name); !errors.Is(err, driver.ErrConflict) {
				return err
			}
			return nil
		}
	}},
	{"capabilities/named-snapshots", "names are gone after a reopening", func(s *subject) { s.named.copies = map[string][]driver.Entry{} }},
	{"capabilities/named-snapshots", "a snapshot is of the moment of a later one", func(s *subject) {
		s.named.create = func(name string) error {
			err := s.named.take(name)
			if err == nil {
				for other := range s.named.copies {
					s.named.copies[other] = s.named.copies[name]
				}
			}
			return err
		}
	}},
	{"capabilities/clock", "the clock stands", func(s *subject) {
		s.now = func(ctx context.Context) (time.Time, error) { return time.Unix(1e9, 0), ctx.Err() }
	}},
	{"capabilities/watch", "deletes are not told", func(s *subject) {
		del := s.base.Delete
		s.delete = del
	}},
	{"capabilities/checkpoint-and-compact", "a checkpoint is empty", func(s *subject) {
		s.copied = func(ctx context.Context, dir string) error { return ctx.Err() }
	}},
	{"commit/atomic", "a commit does not remove", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			n := *m
			n.Writes = slices.DeleteFunc(slices.Clone(m.Writes), func(w driver.Write) bool { return w.Delete })
			return s.base.Commit(ctx, &n)
		}
	}},
	{"commit/validates-reads", "reads of what is not written are not validated", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			n := *m
			n.Reads = slices.DeleteFunc(slices.Clone(m.Reads), func(r driver.Read) bool {
				return !slices.ContainsFunc(m.Writes, func(w driver.Write) bool { return bytes.Equal(w.Key, r.Key) })
			})
			return s.base.Commit(ctx, &n)
		}
	}},
	{"commit/refuses", "what is before a bad write is applied", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			for _, w := range m.Writes {
				if _, err := s.base.Put(ctx, w.Key, w.Value, driver.PutOptions{}); err != nil {
					return err
				}
			}
			return nil
		}
	}},
	{"commit/ranges", "phantoms are not seen", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			n := *m
			for _, r := range m.Ranges {
				n.Reads = append(n.Reads, r.Seen...)
			}
			n.Ranges = nil
			return s.base.Commit(ctx, &n)
		}
	}},
	{"concurrent/linearizable", "a get may be one write behind", func(s *subject) {
		var mu sync.Mutex
		before := map[string]driver.Entry{}
		put, n := s.put, 0
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			old, err := s.base.Get(ctx, key)
			if err == nil {
				mu.Lock()
				before[string(key)] = old
				mu.Unlock()
			}
			return put(ctx, key, value, o)
		}
		s.get = func(ctx context.Context, key []byte) (driver.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			if old, ok := before[string(key)]; ok {
				if n++; n%10 == 0 {
					return old, nil
				}
			}
			return s.base.Get(ctx, key)
		}
	}},
	{"concurrent/counter", "the condition is looked at before the lock", func(s *subject) {
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if !o.IfRevision.IsZero() {
				if e, err := s.base.Get(ctx, key); err != nil || e.Revision != o.IfRevision {
					return driver.Revision{}, errors.Join(err, driver.ErrConflict)
				}
				time.Sleep(100 * time.Microsecond)
			}
			return s.base.Put(ctx, key, value, driver.PutOptions{})
		}
	}},
	{"concurrent/one-creator", "the absence is looked at before the lock", func(s *subject) {
		s.put = func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			if _, err := s.base.Get(ctx, key); err == nil && o.IfAbsent {
				return driver.Revision{}, driver.ErrConflict
			}
			time.Sleep(100 * time.Microsecond)
			return s.base.Put(ctx, key, value, driver.PutOptions{})
		}
	}},
	{"concurrent/phantoms", "a range is looked at before the lock", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			if err := s.base.Commit(ctx, &driver.Commit{Ranges: m.Ranges}); err != nil {
				return err
			}
			time.Sleep(100 * time.Microsecond)
			n := *m
			n.Ranges = nil
			return s.base.Commit(ctx, &n)
		}
	}},
	{"concurrent/serializable", "write skew is let in", func(s *subject) {
		s.commit = func(ctx context.Context, m *driver.Commit) error {
			n := *m
			n.Reads = slices.DeleteFunc(slices.Clone(m.Reads), func(r driver.Read) bool {
				return !slices.ContainsFunc(m.Writes, func(w driver.Write) bool { return bytes.Equal(w.Key, r.Key) })
			})
			time.Sleep(50 * time.Microsecond)
			return s.base.Commit(ctx, &n)
		}
	}},
}

// live is a snapshot that is none.
type live struct {
	driver.Snapshot
	of driver.Store
}

func (l live) Get(ctx context.Context, key []byte) (driver.Entry, error) { return l.of.Get(ctx, key) }

// TestFlaws shows that the suite can fail: for each flaw the case that is there to
// notice it does, and every case notices some flaw.
func TestFlaws(t *testing.T) {
	cases := map[string]drivertest.Case{}
	for _, c := range drivertest.Cases() {
		cases[c.Name] = c
		if !slices.ContainsFunc(flaws, func(f flaw) bool { return f.notices == c.Name }) {
			t.Errorf("%s has no flaw to notice", c.Name)
		}
	}
	for _, f := range flaws {
		t.Run(f.notices+"/"+strings.ReplaceAll(f.defect, "/", "-"), func(t *testing.T) {
			c, known := cases[f.notices]
			if !known {
				t.Fatalf("there is no case %s", f.notices)
			}
			// Whether a run meets a defect of concurrency is up to the scheduler.
			runs := 1
			if strings.HasPrefix(f.notices, "concurrent/") || strings.Contains(f.notices, "while") || strings.Contains(f.notices, "load") {
				runs = 20
			}
			for range runs {
				if err := c.Run(t.Context(), target(f.seed), t.TempDir()); err != nil {
					t.Log(err)
					return
				}
			}
			t.Error("it is not noticed")
		})
	}
}

// TestFlawsOfWhatIsAbsent: an option that is not declared must be refused.
func TestFlawsOfWhatIsAbsent(t *testing.T) {
	ignoring := func(s driver.Store) func(context.Context, []byte, []byte, driver.PutOptions) (driver.Revision, error) {
		return func(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
			o.TTL, o.Fence = 0, 0
			return s.Put(ctx, key, value, o)
		}
	}
	for _, c := range drivertest.Cases() {
		if c.Name != "capabilities/ttl" && c.Name != "capabilities/fence" {
			continue
		}
		if err := c.Run(t.Context(), drivertest.Target{Name: "bare", Open: openBare(ignoring)}, t.TempDir()); !errors.Is(err, engine.ErrUnsupported) && (err == nil || !strings.Contains(err.Error(), "unsupported")) {
			t.Errorf("%s: an option that is ignored: %v", c.Name, err)
		}
	}
}
