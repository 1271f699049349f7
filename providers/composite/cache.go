package composite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// cache is a composite in mode Cache: the primary holds copies of what the backup holds
// for good. Several processes may have the same two open; there is no lease.
//
// A reader that finds nothing in the cache puts a mark there, reads the backup, and
// replaces its mark by what it has read, if the mark still stands: by compare-and-swap
// of the cache's revision. A writer puts a mark of its own over whatever is there,
// writes the backup, and removes its mark, if it still stands. Whoever meets a mark reads
// the backup, and leaves the cache alone. So while the cache works, a read shows what
// was acknowledged before it began. A writer that meets the mark of another one leaves
// its own, as it cannot know who ends last; marks end by themselves.
//
// Where the cache fails a writer, what is there may be old until it ends by itself,
// which is SyncInterval after it was read from the backup at the latest: that is
// Capabilities.Staleness. The process itself does without the cache for that long, so
// that it sees its own writes.
//
// Lists, and many gets at once, are the backup's. A commit is decided by the backup,
// with the revisions there; where it says that something has changed, the copies of what
// was read are dropped.
type cache struct {
	c       Config
	front   *side // the primary
	record  *side // the backup
	caps    driver.Capabilities
	markTTL time.Duration
	locks   *locks
	begun   time.Time

	// blind is until when the cache is not believed, since begun.
	blind        atomic.Int64
	hits, misses atomic.Uint64

	calls  sync.RWMutex // held for reading by calls; guards closed
	closed bool
	life   context.Context
	end    context.CancelFunc
	ended  chan struct{}
}

// What stands in the cache under a key.
const (
	cacheVersion = 1

	copied  = 'v' // a copy: u16 length, revision; value
	filling = 'f' // a reader is about to put one
	writing = 'w' // a writer is at work

	copyHeader = 2 + 2
)

func openCache(ctx context.Context, c Config) (driver.Store, error) {
	s := &cache{
		c: c, front: newSide(sideNames[primary], c.Primary, &c), record: newSide(sideNames[backup], c.Backup, &c),
		markTTL: max(4*c.RequestTimeout, time.Second), locks: newLocks(), begun: c.Now(), ended: make(chan struct{}),
	}
	store, err := s.record.reach(ctx)
	if err != nil {
		return nil, fmt.Errorf("the backup: %w", err)
	}
	if err := s.reachFront(ctx); err != nil {
		if ctx.Err() != nil || !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, errors.Join(fmt.Errorf("the primary: %w", err), s.front.close(), s.record.close())
		}
		s.front.mu.Lock()
		s.front.last, s.front.pings = err, c.FailoverThreshold
		s.front.mu.Unlock()
	}
	r := store.Capabilities()
	version := r.Backend + " " + r.Version
	if f := s.front.opened(); f != nil {
		version += " behind " + f.Capabilities().Backend
	}
	s.caps = driver.Capabilities{
		Backend: Backend, Version: version, Durability: r.Durability, Remote: r.Remote, Shared: r.Shared, Persistent: r.Persistent,
		TTL: r.TTL, Fence: r.Fence, RangeReads: r.RangeReads, Staleness: c.SyncInterval, Limits: r.Limits,
		Commit: true, BatchGet: true, BulkPut: true, Report: true, Clock: r.Clock, Expire: r.Expire,
	}
	s.life, s.end = context.WithCancel(context.Background())
	go s.chores()
	return s.declared(store), nil
}

// reachFront opens the cache, and refuses one that cannot let copies end.
func (s *cache) reachFront(ctx context.Context) error {
	if s.front.opened() != nil {
		return nil
	}
	opened, err := s.front.open(ctx)
	if err != nil {
		return err
	}
	if c := opened.Capabilities(); !c.TTL || c.Staleness != 0 {
		return errors.Join(fmt.Errorf("%w: %s cannot be a cache: that takes times to live, and reads that are not stale", driver.ErrUnsupported, c.Backend), opened.Close())
	}
	s.front.mu.Lock()
	defer s.front.mu.Unlock()
	s.front.store = onlyStore{opened}
	return nil
}

// onlyStore is a store of which no commits are asked.
type onlyStore struct{ driver.Store }

func (onlyStore) Commit(context.Context, *driver.Commit) error { return driver.ErrUnsupported }

// declared hides what the record cannot do.
func (s *cache) declared(record committing) driver.Store {
	clock, hasClock := record.(driver.Clock)
	expirer, hasExpirer := record.(driver.Expirer)
	switch {
	case hasClock && hasExpirer:
		return struct {
			*cache
			driver.Clock
			driver.Expirer
		}{s, clock, expirer}
	case hasClock:
		return struct {
			*cache
			driver.Clock
		}{s, clock}
	case hasExpirer:
		return struct {
			*cache
			driver.Expirer
		}{s, expirer}
	}
	return s
}

// chores looks after the cache that was put out.
func (s *cache) chores() {
	defer close(s.ended)
	for s.c.Sleep(s.life, s.c.HealthCheckInterval) == nil {
		s.look(s.life)
	}
}

func (s *cache) look(ctx context.Context) {
	if s.front.opened() == nil {
		opening, cancel := context.WithTimeout(ctx, time.Minute)
		err := s.reachFront(opening)
		cancel()
		if err != nil {
			s.front.mu.Lock()
			s.front.last = err
			s.front.mu.Unlock()
			return
		}
	}
	if s.front.ping(ctx, time.Minute) == nil && s.out() {
		s.front.forgive()
	}
}

func (s *cache) out() bool {
	n, _ := s.front.failures()
	return n >= s.c.FailoverThreshold
}

// believed reports whether the cache may be read.
func (s *cache) believed() bool {
	return !s.out() && int64(s.c.Now().Sub(s.begun)) >= s.blind.Load()
}

// doWithout lets this process not believe the cache until all that is there now has
// ended.
func (s *cache) doWithout() {
	s.blind.Store(int64(s.c.Now().Sub(s.begun) + s.c.SyncInterval + s.c.RequestTimeout))
}

func (s *cache) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls.RLock()
	if s.closed {
		s.calls.RUnlock()
		return driver.ErrClosed
	}
	return nil
}

func (s *cache) exit() { s.calls.RUnlock() }

// Capabilities implements driver.Store.
func (s *cache) Capabilities() driver.Capabilities { return s.caps }

// Ping implements driver.Store: the backup is there.
func (s *cache) Ping(ctx context.Context) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.exit()
	return s.record.call(ctx, false, func(ctx context.Context, store committing) error { return store.Ping(ctx) })
}

// Close implements driver.Store.
func (s *cache) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.closed {
		return driver.ErrClosed
	}
	s.closed = true
	s.end()
	<-s.ended
	return errors.Join(s.front.close(), s.record.close())
}

// Report implements driver.Reporter: the backup's, with the hits and misses of this
// process.
func (s *cache) Report() (r driver.Report) {
	if reporter, ok := s.record.opened().(driver.Reporter); ok {
		r = reporter.Report()
	}
	r.CacheHits, r.CacheMisses = s.hits.Load(), s.misses.Load()
	if s.out() {
		_, err := s.front.failures()
		r.Degraded = join(r.Degraded, fmt.Sprintf("the backup serves alone; the cache, the primary, is out: %v", err))
	} else if !s.believed() {
		r.Degraded = join(r.Degraded, "the backup serves alone, until what the cache may have missed has ended there")
	}
	return r
}

// Get implements driver.Store.
func (s *cache) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.enter(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.exit()
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	var mark driver.Revision
	begun := s.c.Now()
	if s.believed() {
		e, err := s.front.get(ctx, key)
		switch {
		case err == nil:
			if found, ok := decodeCopy(e); ok {
				s.hits.Add(1)
				return found, nil
			}
		case errors.Is(err, driver.ErrNotFound):
			mark = s.mark(ctx, key, filling, driver.PutOptions{IfAbsent: true})
		case ctx.Err() != nil:
			return driver.Entry{}, ctx.Err()
		}
	}
	s.misses.Add(1)
	e, err := s.record.get(ctx, key)
	if mark.IsZero() {
		return e, err
	}
	ttl := s.c.SyncInterval - s.c.Now().Sub(begun)
	value := encodeCopy(e)
	if !e.ExpiresAt.IsZero() {
		ttl = 0 // it would need the backup's clock to end in time
	}
	if err != nil || ttl <= 0 || len(value) > s.front.opened().Capabilities().Limits.MaxValueBytes {
		s.unmark(context.WithoutCancel(ctx), key, mark)
		return e, err
	}
	_ = s.front.call(ctx, true, func(ctx context.Context, store committing) error { // without the copy it is as right
		_, err := store.Put(ctx, key, value, driver.PutOptions{IfRevision: mark, TTL: ttl})
		return err
	})
	return e, nil
}

// mark puts a mark into the cache under a condition; the zero revision is of none.
func (s *cache) mark(ctx context.Context, key []byte, kind byte, o driver.PutOptions) (mark driver.Revision) {
	o.TTL = s.markTTL
	if len(key) > s.front.opened().Capabilities().Limits.MaxKeyBytes {
		return mark
	}
	_ = s.front.call(ctx, true, func(ctx context.Context, store committing) (err error) { // the caller looks at mark
		mark, err = store.Put(ctx, key, []byte{cacheVersion, kind}, o)
		return err
	})
	return mark
}

// unmark removes a mark, if it still stands; one that stays ends by itself.
func (s *cache) unmark(ctx context.Context, key []byte, mark driver.Revision) {
	_ = s.front.call(ctx, true, func(ctx context.Context, store committing) error {
		return store.Delete(ctx, key, driver.DeleteOptions{IfRevision: mark})
	})
}

// takeTries is how often a writer tries to put its mark over what it has seen in the cache,
// before it puts it over whatever is there.
const takeTries = 16

// take puts a writer's mark over whatever is in the cache. alone is false if another
// writer is, or may be, at work. The zero mark says that the cache could not be told.
func (s *cache) take(ctx context.Context, key []byte) (mark driver.Revision, alone bool) {
	if len(key) > s.front.opened().Capabilities().Limits.MaxKeyBytes {
		return mark, true
	}
	put := func(o driver.PutOptions) error {
		o.TTL = s.markTTL
		return s.front.call(ctx, true, func(ctx context.Context, store committing) (err error) {
			mark, err = store.Put(ctx, key, []byte{cacheVersion, writing}, o)
			return err
		})
	}
	for range takeTries { // each time somebody else was faster
		e, err := s.front.get(ctx, key)
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			return mark, false
		}
		alone = !(len(e.Value) > 1 && e.Value[1] == writing)
		err = put(driver.PutOptions{IfRevision: e.Revision, IfAbsent: e.Revision.IsZero()})
		if err == nil {
			return mark, alone
		}
		if !errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrOutcomeUnknown) {
			return driver.Revision{}, false
		}
	}
	// The key is in demand. What a copy shows must not outlive the write, so it goes; nobody
	// knows what else went with it.
	if put(driver.PutOptions{}) != nil {
		return driver.Revision{}, false
	}
	return mark, false
}

// write makes a write of the backup under marks in the cache.
func (s *cache) write(ctx context.Context, reads []driver.Read, keys [][]byte, call func(ctx context.Context, record committing) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.exit()
	var held set
	for _, key := range keys {
		if len(key) > 0 {
			s.locks.add(&held, key)
		}
	}
	if err := s.locks.lock(ctx, &held); err != nil {
		return err
	}
	defer s.locks.unlock(&held)
	marks := make([]driver.Revision, len(keys))
	for i, key := range keys {
		if len(key) == 0 || s.front.opened() == nil {
			continue // the backup refuses it, or nothing is cached by this process
		}
		mark, alone := s.take(ctx, key)
		if mark.IsZero() && len(key) <= s.front.opened().Capabilities().Limits.MaxKeyBytes {
			s.doWithout()
		}
		if alone {
			marks[i] = mark
		}
	}
	if s.front.opened() == nil {
		s.doWithout()
	}
	err := s.record.call(ctx, true, call)
	after := context.WithoutCancel(ctx)
	for i, mark := range marks {
		// What may still be written keeps its mark.
		if !mark.IsZero() && !errors.Is(err, driver.ErrOutcomeUnknown) {
			s.unmark(after, keys[i], mark)
		}
	}
	if errors.Is(err, driver.ErrConflict) && s.front.opened() != nil {
		for i := range reads {
			s.drop(after, reads[i].Key)
		}
	}
	return err
}

// drop removes a copy that is not what the backup has, and leaves marks alone.
func (s *cache) drop(ctx context.Context, key []byte) {
	e, err := s.front.get(ctx, key)
	if err != nil {
		return
	}
	if _, ok := decodeCopy(e); ok {
		s.unmark(ctx, key, e.Revision)
	}
}

// Put implements driver.Store.
func (s *cache) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (revision driver.Revision, err error) {
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return revision, err
	}
	err = s.write(ctx, nil, [][]byte{key}, func(ctx context.Context, record committing) (err error) {
		revision, err = record.Put(ctx, key, value, o)
		return err
	})
	return revision, err
}

// Delete implements driver.Store.
func (s *cache) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	return s.write(ctx, nil, [][]byte{key}, func(ctx context.Context, record committing) error { return record.Delete(ctx, key, o) })
}

// Commit implements driver.Committer.
func (s *cache) Commit(ctx context.Context, m *driver.Commit) error {
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	return s.write(ctx, m.Reads, keysOf(m.Writes), func(ctx context.Context, record committing) error { return record.Commit(ctx, m) })
}

// BulkPut implements driver.BulkPutter.
func (s *cache) BulkPut(ctx context.Context, writes []driver.Write) error {
	return s.write(ctx, nil, keysOf(writes), func(ctx context.Context, record committing) error {
		if bulk, ok := record.(driver.BulkPutter); ok {
			return bulk.BulkPut(ctx, writes)
		}
		for i := range writes {
			w, err := &writes[i], error(nil)
			if w.Delete {
				err = record.Delete(ctx, w.Key, driver.DeleteOptions{Fence: w.Fence})
			} else {
				_, err = record.Put(ctx, w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence})
			}
			if err != nil && i > 0 && errors.Is(err, driver.ErrUnavailable) {
				return fmt.Errorf("bulk put: %w: %d are applied, and then: %v", driver.ErrOutcomeUnknown, i, err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func keysOf(writes []driver.Write) [][]byte {
	keys := make([][]byte, 0, len(writes))
	seen := make(map[string]bool, len(writes))
	for i := range writes {
		if !seen[string(writes[i].Key)] {
			seen[string(writes[i].Key)] = true
			keys = append(keys, writes[i].Key)
		}
	}
	return keys
}

// GetMany implements driver.BatchGetter, from the backup.
func (s *cache) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	for _, key := range keys {
		if err := s.caps.Limits.CheckKey("get", key); err != nil {
			return nil, err
		}
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.exit()
	return s.record.getMany(ctx, keys)
}

// List implements driver.Store, from the backup.
func (s *cache) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		if err := s.enter(ctx); err != nil {
			yield(driver.Entry{}, err)
			return
		}
		s.exit() // the backup waits for its own; a caller's loop is nobody's to wait for
		for e, err := range s.record.opened().List(ctx, o) {
			if !yield(e, err) {
				return
			}
		}
	}
}

func encodeCopy(e driver.Entry) []byte {
	revision := e.Revision.String()
	v := make([]byte, 0, copyHeader+len(revision)+len(e.Value))
	v = append(v, cacheVersion, copied)
	v = binary.BigEndian.AppendUint16(v, uint16(len(revision)))
	v = append(v, revision...)
	return append(v, e.Value...)
}

// decodeCopy returns the backup's entry of a copy; false for a mark, and for what this
// program has not written: it is as if it was not there.
func decodeCopy(e driver.Entry) (driver.Entry, bool) {
	v := e.Value
	if len(v) < 4 || v[0] != cacheVersion || v[1] != copied {
		return driver.Entry{}, false
	}
	n := int(binary.BigEndian.Uint16(v[2:]))
	if v = v[4:]; len(v) < n {
		return driver.Entry{}, false
	}
	revision, err := driver.ParseRevision(string(v[:n]))
	if err != nil || revision.IsZero() {
		return driver.Entry{}, false
	}
	return driver.Entry{Key: e.Key, Value: v[n:], Revision: revision}, true
}
