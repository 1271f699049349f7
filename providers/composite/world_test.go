package composite_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests let go on.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) Advance(d time.Duration) { c.nanos.Add(int64(d)) }

// Sleep lets the time pass at once.
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.Advance(d)
	return ctx.Err()
}

// fault is what a wire does to a call.
type fault int32

const (
	sound fault = iota
	dead        // nobody is there
	reset       // the call is done, and its answer is lost
	lost        // the call is lost, and who made it does not know
	late        // a write arrives when the test lets it, and who made it does not know
	slow        // no answer comes in time, as far as the caller has time
	hangs       // no answer comes until the caller gives up
	deaf        // pings are answered, and nothing else
)

// wire leads one process to one store.
type wire struct {
	base  driver.Store
	how   atomic.Int32
	calls atomic.Int64
	// refuse is how many of the next calls are refused.
	refuse atomic.Int64
	last   atomic.Int64 // the call at which it is dead from then on, if not 0

	// before and after are called once around the next call that is not refused.
	before, after func()

	mu   sync.Mutex // guards what follows
	held []func()
}

func (w *wire) set(f fault) { w.how.Store(int32(f)) }

// dieAfter lets it be dead after n more calls.
func (w *wire) dieAfter(n int64) { w.last.Store(w.calls.Load() + n + 1) }

// arrive lets what was late arrive.
func (w *wire) arrive() {
	w.mu.Lock()
	held := w.held
	w.held = nil
	w.mu.Unlock()
	for _, f := range held {
		f()
	}
}

func (w *wire) call(ctx context.Context, write bool, f func(ctx context.Context) error) error {
	n := w.calls.Add(1)
	if l, ok := ctx.Value(limit{}).(limit); ok && l.wire == w && n > l.n || w.last.Load() > 0 && n >= w.last.Load() {
		w.set(dead)
	}
	unknown := driver.ErrUnavailable
	if write {
		unknown = driver.ErrOutcomeUnknown
	}
	if w.refuse.Load() > 0 {
		w.refuse.Add(-1)
		return fmt.Errorf("%w: refused", driver.ErrUnavailable)
	}
	switch fault(w.how.Load()) {
	case deaf:
		if ctx.Value(pinging{}) == nil {
			return fmt.Errorf("%w: no request is served", driver.ErrUnavailable)
		}
	case dead:
		return fmt.Errorf("%w: nobody is there", driver.ErrUnavailable)
	case reset:
		_ = f(ctx) // nobody learns how it ended
		return fmt.Errorf("%w: reset", unknown)
	case lost:
		return fmt.Errorf("%w: lost", unknown)
	case slow:
		if write {
			return fmt.Errorf("%w: %v", driver.ErrOutcomeUnknown, context.DeadlineExceeded)
		}
		return context.DeadlineExceeded
	case hangs:
		<-ctx.Done()
		if write {
			return fmt.Errorf("%w: %v", driver.ErrOutcomeUnknown, ctx.Err())
		}
		return ctx.Err()
	case late:
		if write {
			w.mu.Lock()
			w.held = append(w.held, func() { _ = f(context.Background()) })
			w.mu.Unlock()
			return fmt.Errorf("%w: no answer", driver.ErrOutcomeUnknown)
		}
	}
	if w.before != nil {
		w.before()
	}
	err := f(ctx)
	if w.after != nil {
		w.after()
	}
	return err
}

// end is a wire as the store that a process sees. It has commits, a clock and expiries
// if the store has.
type end struct {
	*wire
	driver.Store
}

func (e end) Get(ctx context.Context, key []byte) (r driver.Entry, err error) {
	err = e.call(ctx, false, func(ctx context.Context) error { r, err = e.Store.Get(ctx, key); return err })
	return r, err
}
func (e end) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		var all []driver.Entry
		err := e.call(ctx, false, func(ctx context.Context) error {
			for r, err := range e.Store.List(ctx, o) {
				if err != nil {
					return err
				}
				all = append(all, r)
			}
			return nil
		})
		if err != nil {
			yield(driver.Entry{}, err)
			return
		}
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}
func (e end) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	key, value = slices.Clone(key), slices.Clone(value)
	err = e.call(ctx, true, func(ctx context.Context) error { rev, err := e.Store.Put(ctx, key, value, o); r = rev; return err })
	return r, err
}
func (e end) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	key = slices.Clone(key)
	return e.call(ctx, true, func(ctx context.Context) error { return e.Store.Delete(ctx, key, o) })
}
func (e end) Ping(ctx context.Context) error {
	return e.call(context.WithValue(ctx, pinging{}, true), false, func(ctx context.Context) error { return e.Store.Ping(ctx) })
}

// pinging marks the context of a ping.
type pinging struct{}

func (e end) Close() error { return nil } // the store outlives the process

// rich is an end with what a memory store has beyond Store.
type rich struct{ end }

func (e rich) Commit(ctx context.Context, m *driver.Commit) error {
	kept := *m
	kept.Writes = slices.Clone(m.Writes)
	for i := range kept.Writes {
		w := &kept.Writes[i]
		w.Key, w.Value = slices.Clone(w.Key), slices.Clone(w.Value)
	}
	return e.call(ctx, true, func(ctx context.Context) error { return e.base.(driver.Committer).Commit(ctx, &kept) })
}
func (e rich) GetMany(ctx context.Context, keys [][]byte) (r []driver.Entry, err error) {
	err = e.call(ctx, false, func(ctx context.Context) error { r, err = e.base.(driver.BatchGetter).GetMany(ctx, keys); return err })
	return r, err
}
func (e rich) Now(ctx context.Context) (t time.Time, err error) {
	err = e.call(ctx, false, func(ctx context.Context) error { t, err = e.base.(driver.Clock).Now(ctx); return err })
	return t, err
}
func (e rich) Expire(ctx context.Context, limit int) (n int, err error) {
	err = e.call(ctx, false, func(ctx context.Context) error { n, err = e.base.(driver.Expirer).Expire(ctx, limit); return err })
	return n, err
}

// world is two stores, and the processes that reach them.
type world struct {
	t      testing.TB
	clock  *clock
	stores [2]driver.Store
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, clock: newClock()}
	for i := range w.stores {
		s, err := memory.Open(t.Context(), memory.Config{Now: w.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		w.stores[i] = s
		t.Cleanup(func() { s.Close() })
	}
	return w
}

// process is one opening of a composite, with wires of its own.
type process struct {
	driver.Store
	w     *world
	wires [2]*wire
}

// config returns that of a process over its wires.
func (w *world) config(wires [2]*wire) composite.Config {
	open := func(i int) composite.Side {
		return composite.Side{Open: func(ctx context.Context) (driver.Store, error) {
			e := end{wires[i], wires[i].base}
			if err := e.Ping(ctx); err != nil {
				return nil, err
			}
			if _, ok := wires[i].base.(driver.Committer); ok {
				return rich{e}, nil
			}
			return e, nil
		}}
	}
	return composite.Config{
		Primary: open(0), Backup: open(1), Now: w.clock.Now, Sleep: w.clock.Sleep,
		HealthCheckInterval: time.Second, LeaseTTL: time.Minute, RequestTimeout: time.Minute,
	}
}

func (w *world) wires() [2]*wire {
	return [2]*wire{{base: w.stores[0]}, {base: w.stores[1]}}
}

func (w *world) try(wires [2]*wire, change func(*composite.Config)) (*process, error) {
	c := w.config(wires)
	if change != nil {
		change(&c)
	}
	s, err := composite.OpenStill(w.t.Context(), c)
	if err != nil {
		return nil, err
	}
	p := &process{s, w, wires}
	w.t.Cleanup(func() {
		wires[0].set(sound)
		wires[1].set(sound)
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			w.t.Error(err)
		}
	})
	return p, nil
}

func (w *world) open(change func(*composite.Config)) *process {
	w.t.Helper()
	p, err := w.try(w.wires(), change)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func single(c *composite.Config) { c.AllowSingle = true }

// tick lets the time for a health check pass, and does the chores.
func (p *process) tick() {
	p.w.clock.Advance(time.Second)
	composite.Tick(p.w.t.Context(), p.Store)
}

func (p *process) put(key, value string) error {
	_, err := p.Put(p.w.t.Context(), []byte(key), []byte(value), driver.PutOptions{})
	return err
}

func (p *process) mustPut(key, value string) driver.Revision {
	p.w.t.Helper()
	r, err := p.Put(p.w.t.Context(), []byte(key), []byte(value), driver.PutOptions{})
	if err != nil {
		p.w.t.Fatal(err)
	}
	return r
}

// get returns the value of key, "-" if it is not there.
func (p *process) get(key string) (string, error) {
	e, err := p.Get(p.w.t.Context(), []byte(key))
	if errors.Is(err, driver.ErrNotFound) {
		return "-", nil
	}
	return string(e.Value), err
}

func (p *process) has(key, want string) {
	p.w.t.Helper()
	if got, err := p.get(key); err != nil || got != want {
		p.w.t.Fatalf("%s is %q, %v; want %q", key, got, err, want)
	}
}

func (p *process) status() composite.Status {
	s, _ := composite.StatusOf(p.Store)
	return s
}

func (p *process) serves(side string, alone bool) {
	p.w.t.Helper()
	if s := p.status(); !s.Held || s.Serving != side || s.Alone != alone {
		p.w.t.Fatalf("%+v; want %s, alone: %t", s, side, alone)
	}
}

// fails makes requests until one succeeds, and returns how many did not.
func (p *process) fails(request func() error) int {
	p.w.t.Helper()
	for n := range 20 {
		err := request()
		if err == nil {
			return n
		}
		if !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) {
			p.w.t.Fatalf("request %d: %v", n+1, err)
		}
	}
	p.w.t.Fatal("20 requests have failed in a row")
	return 0
}

// rows returns what a side holds, without what is its own.
func (w *world) rows(side int) map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	for e, err := range w.stores[side].List(w.t.Context(), driver.ListOptions{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if k := string(e.Key); k != "\x00\x00c" && k != "\x00\x00l" {
			rows[k] = string(e.Value)
		}
	}
	return rows
}
