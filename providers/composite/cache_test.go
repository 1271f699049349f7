package composite_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
)

// cached opens a cache whose chores are done by Look.
func (w *world) cached(change func(*composite.Config)) *process {
	w.t.Helper()
	wires := w.wires()
	c := w.config(wires)
	c.Mode, c.SyncInterval, c.RequestTimeout = composite.Cache, time.Minute, 10*time.Second
	c.Sleep = func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }
	if change != nil {
		change(&c)
	}
	s, err := composite.Open(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			w.t.Error(err)
		}
	})
	return &process{s, w, wires}
}

// TestCacheReadsThrough: what is there is not asked for again, and what was written by
// any process is.
func TestCacheReadsThrough(t *testing.T) {
	w := newWorld(t)
	a, b := w.cached(nil), w.cached(nil)
	r := a.mustPut("k", "1")
	b.has("k", "1")
	asked := b.wires[1].calls.Load()
	for range 10 {
		e, err := b.Get(t.Context(), []byte("k"))
		if err != nil || string(e.Value) != "1" || e.Revision != r || string(e.Key) != "k" {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if n := b.wires[1].calls.Load() - asked; n != 0 {
		t.Errorf("the backup was asked %d times for what is cached", n)
	}
	if report := b.Store.(driver.Reporter).Report(); report.CacheHits != 10 || report.CacheMisses != 1 {
		t.Errorf("%+v", report)
	}
	a.mustPut("k", "2")
	b.has("k", "2")
	b.has("k", "2")
	if err := b.Delete(t.Context(), []byte("k"), driver.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.has("k", "-")
	m := &driver.Commit{Writes: []driver.Write{{Key: []byte("k"), Value: []byte("3")}, {Key: []byte("l"), Value: []byte("3")}}}
	b.has("l", "-")
	if err := a.Store.(driver.Committer).Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.has("k", "3")
	b.has("l", "3")
	if err := a.Store.(driver.BulkPutter).BulkPut(t.Context(), []driver.Write{{Key: []byte("k"), Value: []byte("4")}}); err != nil {
		t.Fatal(err)
	}
	b.has("k", "4")
	if c := a.Capabilities(); c.Staleness != time.Minute || !strings.Contains(c.Version, "behind memory") {
		t.Errorf("%+v", c)
	}
}

// TestCacheFills: a copy that a slow reader brings does not take the place of what was
// written meanwhile.
func TestCacheFills(t *testing.T) {
	w := newWorld(t)
	slow, other := w.cached(nil), w.cached(nil)
	other.mustPut("k", "1")
	// The answer of the backup to the slow reader is held while the other writes.
	slow.wires[1].after = func() { slow.wires[1].after = nil; other.mustPut("k", "2") }
	slow.has("k", "1")
	slow.has("k", "2")
	other.has("k", "2")
}

// TestCacheWritersMeet: the mark of a writer that has not ended stays, so that no copy is
// made of what it is about to replace.
func TestCacheWritersMeet(t *testing.T) {
	w := newWorld(t)
	slow, fast, reader := w.cached(nil), w.cached(nil), w.cached(nil)
	fast.mustPut("k", "0")
	// While the slow one is at the backup the fast one writes, and a reader reads before
	// and after the slow one's write has come there.
	slow.wires[1].before = func() {
		slow.wires[1].before = nil
		fast.mustPut("k", "fast")
		reader.has("k", "fast")
	}
	slow.wires[1].after = func() {
		slow.wires[1].after = nil
		reader.has("k", "slow")
	}
	slow.mustPut("k", "slow")
	reader.has("k", "slow")
	fast.has("k", "slow")
}

// TestCacheIsBounded: where the cache could not be told of a write, the writer sees it,
// and the others when SyncInterval has passed.
func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t)
	writer, reader := w.cached(nil), w.cached(nil)
	writer.mustPut("k", "1")
	reader.has("k", "1")
	for _, how := range []fault{dead, reset, lost} {
		value := fmt.Sprint("v", how)
		writer.wires[0].set(how)
		writer.mustPut("k", value)
		writer.wires[0].set(sound)
		writer.has("k", value)
		w.clock.Advance(time.Minute + 10*time.Second)
		reader.has("k", value)
		writer.has("k", value)
	}
	// The writer believes the cache again.
	before := writer.wires[1].calls.Load()
	writer.has("k", "v3")
	writer.has("k", "v3")
	if n := writer.wires[1].calls.Load() - before; n > 1 {
		t.Errorf("the backup was asked %d times", n)
	}
	// A copy of a slow reader does not live longer for that.
	reader.mustPut("slow", "1")
	reader.wires[1].after = func() { reader.wires[1].after = nil; w.clock.Advance(3 * time.Second) }
	reader.has("slow", "1")
	e, err := w.stores[0].Get(t.Context(), []byte("slow"))
	if err != nil || e.ExpiresAt.Sub(w.clock.Now()) > 57*time.Second {
		t.Errorf("a copy ends %s after it was put, %v", e.ExpiresAt.Sub(w.clock.Now()), err)
	}
}

// TestCacheConflicts: what is refused for an old copy is not refused again.
func TestCacheConflicts(t *testing.T) {
	w := newWorld(t)
	p, other := w.cached(nil), w.cached(nil)
	p.mustPut("k", "1")
	p.has("k", "1")
	other.wires[0].set(dead)
	other.mustPut("k", "2") // the cache does not learn of it
	p.has("k", "1")
	for attempt := 1; ; attempt++ {
		e, err := p.Get(t.Context(), []byte("k"))
		if err != nil {
			t.Fatal(err)
		}
		m := &driver.Commit{Reads: []driver.Read{{Key: []byte("k"), Revision: e.Revision}}, Writes: []driver.Write{{Key: []byte("l"), Value: []byte("v")}}}
		err = p.Store.(driver.Committer).Commit(t.Context(), m)
		if err == nil && attempt == 2 {
			break
		}
		if !errors.Is(err, driver.ErrConflict) || attempt == 2 {
			t.Fatalf("attempt %d: %v", attempt, err)
		}
	}
}

// TestCacheOut: the backup serves when the cache does not, which is not asked any more
// after failover_threshold failures, until it is there again.
func TestCacheOut(t *testing.T) {
	w := newWorld(t)
	p := w.cached(func(c *composite.Config) { c.FailoverThreshold = 2 })
	p.mustPut("k", "1")
	p.wires[0].set(dead)
	for range 5 {
		p.has("k", "1")
	}
	if n := p.wires[0].calls.Load(); n > 6 {
		t.Errorf("a cache that is out was asked %d times", n)
	}
	p.mustPut("k", "2")
	p.has("k", "2")
	if r := p.Store.(driver.Reporter).Report(); !strings.Contains(r.Degraded, "backup serves alone") {
		t.Errorf("%q", r.Degraded)
	}
	p.wires[0].set(sound)
	composite.Look(t.Context(), p.Store)
	p.has("k", "2")
	w.clock.Advance(2 * time.Minute)
	p.has("k", "2")
	p.has("k", "2")
	if r := p.Store.(driver.Reporter).Report(); r.Degraded != "" || r.CacheHits == 0 {
		t.Errorf("%+v", r)
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	p.wires[1].set(dead)
	p.has("k", "2") // it is cached
	if err := p.put("k", "3"); !errors.Is(err, driver.ErrUnavailable) {
		t.Error(err)
	}
	if err := p.Ping(t.Context()); !errors.Is(err, driver.ErrUnavailable) {
		t.Error(err)
	}
}

// TestCacheLinearizable: three processes share a cache and what is behind it.
func TestCacheLinearizable(t *testing.T) {
	w := newWorld(t)
	var h check.History
	var mu sync.Mutex
	start := time.Now()
	now := func() int64 { return time.Since(start).Nanoseconds() }
	var group sync.WaitGroup
	for client := range 3 {
		p := w.cached(nil)
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 5))
			for n := range 500 {
				key, value := string("ab"[random.IntN(2)]), fmt.Sprint(client, "-", n)
				op := check.Operation{Client: client, Call: now()}
				var err error
				if random.IntN(3) == 0 {
					err = p.put(key, value)
					op.Changes = []check.Change{{Kind: check.Put, Key: key, Value: value}}
				} else {
					var got string
					if got, err = p.get(key); got == "-" {
						op.Reads = []check.Read{check.Missed(key)}
					} else {
						op.Reads = []check.Read{check.Got(key, got)}
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				op.Return = now()
				mu.Lock()
				h.Operations = append(h.Operations, op)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if _, err := (check.Referee{Timeout: 10 * time.Second}).Keys(&h); err != nil {
		t.Fatal(err)
	}
}

// TestCacheOfAKeyInDemand: a writer whose mark is never put in time, since others always
// change the cache first, does not leave an old copy there.
func TestCacheOfAKeyInDemand(t *testing.T) {
	w := newWorld(t)
	a, b := w.cached(nil), w.cached(nil)
	a.mustPut("k", "old")
	b.has("k", "old")
	b.has("k", "old")
	front := w.stores[0]
	a.wires[0].before = func() { // another reader has just put the same copy there
		e, err := front.Get(t.Context(), []byte("k"))
		if err == nil && len(e.Value) > 2 {
			_, err = front.Put(t.Context(), []byte("k"), e.Value, driver.PutOptions{TTL: time.Minute})
		}
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			t.Error(err)
		}
	}
	a.mustPut("k", "new")
	b.has("k", "new")
	b.has("k", "new")
}

// TestCacheNeedsTimesToLive: a store without them is refused.
func TestCacheNeedsTimesToLive(t *testing.T) {
	w := newWorld(t)
	c := w.config(w.wires())
	c.Mode = composite.Cache
	c.Primary = composite.Side{Open: func(context.Context) (driver.Store, error) {
		return drivertest.CASOnly(unclosed{w.stores[0]}), nil
	}}
	if _, err := composite.Open(t.Context(), c); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "times to live") {
		t.Error(err)
	}
}
