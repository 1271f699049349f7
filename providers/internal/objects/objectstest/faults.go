package objectstest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/internal/servers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
)

// fault makes a wire fail. told is whether a write that meets it must be told to have
// an unknown outcome, because it was sent; else it may be, where it took the connection
// for whole that an earlier one has left. applied is whether it is applied all the same.
type fault struct {
	name          string
	strike        func(w *servers.Wire)
	told, applied bool
}

var faults = []fault{
	{"nobody listens", func(w *servers.Wire) { w.Cut() }, false, false},
	{"reset within the request", func(w *servers.Wire) { w.Fail(servers.ToServer, "limit_data", map[string]int{"bytes": 100}) }, true, false},
	{"cut within the answer", func(w *servers.Wire) { w.Fail(servers.FromServer, "limit_data", map[string]int{"bytes": 12}) }, true, true},
	{"reset", func(w *servers.Wire) { w.Fail(servers.FromServer, "reset_peer", map[string]int{"timeout": 0}) }, true, false},
	{"hangs before the request arrives", func(w *servers.Wire) { w.Fail(servers.ToServer, "timeout", map[string]int{"timeout": 0}) }, true, false},
	{"hangs before the answer arrives", func(w *servers.Wire) { w.Fail(servers.FromServer, "timeout", map[string]int{"timeout": 0}) }, true, true},
	{"slow", func(w *servers.Wire) { w.Fail(servers.FromServer, "latency", map[string]int{"latency": 60_000}) }, true, true},
}

// patience is how long a caller waits for what hangs, and histories one of many.
const (
	patience  = 250 * time.Millisecond
	histories = 150 * time.Millisecond
)

// MidOperation strikes each operation with each fault of the wire, and looks whether
// the error says what has become of it. The store goes on when the wire is mended.
func MidOperation(t *testing.T, of Service) {
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			wire := servers.NewWire(t, of.Address)
			s, err := of.Open(t.Context(), wire.Address, place(t.TempDir()))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			k := []byte("k")
			for _, op := range []struct {
				name   string
				writes bool
				do     func(ctx context.Context, at driver.Revision) error
				after  string // what is there once it was applied
			}{
				{"get", false, func(ctx context.Context, _ driver.Revision) error { _, err := s.Get(ctx, k); return err }, ""},
				{"list", false, func(ctx context.Context, _ driver.Revision) error {
					for _, err := range s.List(ctx, driver.ListOptions{}) {
						return err
					}
					return errors.New("the list is empty")
				}, ""},
				{"ping", false, func(ctx context.Context, _ driver.Revision) error { return s.Ping(ctx) }, ""},
				{"put", true, func(ctx context.Context, _ driver.Revision) error {
					_, err := s.Put(ctx, k, []byte("new"), driver.PutOptions{})
					return err
				}, "new"},
				{"put if unchanged", true, func(ctx context.Context, at driver.Revision) error {
					_, err := s.Put(ctx, k, []byte("new"), driver.PutOptions{IfRevision: at})
					return err
				}, "new"},
				{"delete", true, func(ctx context.Context, at driver.Revision) error {
					return s.Delete(ctx, k, driver.DeleteOptions{IfRevision: at})
				}, ""},
			} {
				at, err := s.Put(t.Context(), k, []byte("old"), driver.PutOptions{})
				if err != nil {
					t.Fatalf("%s: put before: %v", op.name, err)
				}
				f.strike(wire)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				err = op.do(ctx, at)
				cancel()
				switch {
				case err == nil:
					t.Errorf("%s: the fault has not struck", op.name)
				case !op.writes:
					if !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrOutcomeUnknown) {
						t.Errorf("%s: %v", op.name, err)
					}
				case !errors.Is(err, driver.ErrOutcomeUnknown) && (f.told || !errors.Is(err, driver.ErrUnavailable)):
					t.Errorf("%s: %v", op.name, err)
				}
				if errors.Is(err, driver.ErrOutcomeUnknown) && errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("%s: it is said to be unknown, and known: %v", op.name, err)
				}
				wire.Mend()
				if op.writes && f.applied {
					settles(t, s, k, op.after)
				} else if op.writes && !f.told {
					has(t, s, k, "old")
				}
			}
		})
	}
}

// settles waits until a key has a value, "" for none: what was sent is applied some time.
func settles(t *testing.T, s driver.Store, key []byte, want string) {
	t.Helper()
	for t.Context().Err() == nil {
		e, err := s.Get(t.Context(), key)
		if err == nil && string(e.Value) == want || errors.Is(err, driver.ErrNotFound) && want == "" {
			return
		}
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func has(t *testing.T, s driver.Store, key []byte, want string) {
	t.Helper()
	if e, err := s.Get(t.Context(), key); err != nil || string(e.Value) != want {
		t.Errorf("%s is %q, %v; want %q", key, e.Value, err, want)
	}
}

// Histories runs the suite's histories, of single keys and of transactions, while the
// wire fails at random: they stay linearizable and serializable.
func Histories(t *testing.T, of Service) {
	ran := 0
	for _, c := range drivertest.Cases() {
		if c.Name != "concurrent/linearizable" && c.Name != "concurrent/serializable" {
			continue
		}
		ran++
		t.Run(strings.ReplaceAll(c.Name, "/", "-"), func(t *testing.T) {
			wire := servers.NewWire(t, of.Address)
			chaos := &chaos{wire: wire, random: rand.New(rand.NewPCG(1, uint64(ran)))}
			chaos.start()
			defer chaos.stop()
			var struck atomic.Int64
			target := drivertest.Target{Name: "wire", Operations: 80, Open: func(ctx context.Context, dir string) (driver.Store, error) {
				resume := chaos.pause()
				defer resume()
				s, err := of.Open(ctx, wire.Address, place(dir))
				if err != nil {
					return nil, err
				}
				timed := impatient{s, &struck}
				return tolerant{intent.Wrap(timed, intent.Options{Timeout: 500 * time.Millisecond})}, nil
			}}
			for struck.Load() < 30 { // a quick server is done before there is a fault
				if err := c.Run(t.Context(), target, t.TempDir()); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d calls have met a fault", struck.Load())
		})
	}
	if ran != 2 {
		t.Fatalf("the suite has %d of these cases", ran)
	}
}

// chaos makes a wire fail again and again, at random.
type chaos struct {
	wire   *servers.Wire
	random *rand.Rand

	turn  sync.Mutex // held while the wire fails, and by who wants it whole
	end   chan struct{}
	ended chan struct{}
}

func (c *chaos) start() {
	c.end, c.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(c.ended)
		for {
			c.turn.Lock()
			faults[c.random.IntN(len(faults))].strike(c.wire)
			ended := c.wait(time.Duration(1+c.random.IntN(10)) * time.Millisecond)
			c.wire.Mend()
			c.turn.Unlock()
			if ended || c.wait(time.Duration(20+c.random.IntN(60))*time.Millisecond) {
				return
			}
		}
	}()
}

func (c *chaos) wait(d time.Duration) (ended bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-c.end:
		return true
	}
}

func (c *chaos) stop() { close(c.end); <-c.ended }

func (c *chaos) pause() (resume func()) {
	c.turn.Lock()
	return c.turn.Unlock
}

// impatient is a store whose calls wait for a while only. It counts those that fail.
type impatient struct {
	driver.Store
	struck *atomic.Int64
}

func (s impatient) note(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, driver.ErrNotFound) || errors.Is(err, driver.ErrConflict) {
		return err
	}
	s.struck.Add(1)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, driver.ErrOutcomeUnknown) {
		return fmt.Errorf("%w: %v", driver.ErrUnavailable, err) //nolint // the time was this store's
	}
	return err
}

func (s impatient) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	own, cancel := context.WithTimeout(ctx, histories)
	defer cancel()
	e, err := s.Store.Get(own, key)
	return e, s.note(ctx, err)
}

func (s impatient) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	own, cancel := context.WithTimeout(ctx, histories)
	defer cancel()
	r, err := s.Store.Put(own, key, value, o)
	return r, s.note(ctx, err)
}

func (s impatient) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	own, cancel := context.WithTimeout(ctx, histories)
	defer cancel()
	return s.note(ctx, s.Store.Delete(own, key, o))
}

func (s impatient) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return s.Store.List(ctx, o)
}

// tolerant repeats gets, as a provider does.
type tolerant struct{ driver.Store }

func (s tolerant) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	for {
		if e, err = s.Store.Get(ctx, key); !errors.Is(err, driver.ErrUnavailable) {
			return e, err
		}
	}
}

// Commit implements driver.Committer.
func (s tolerant) Commit(ctx context.Context, m *driver.Commit) error {
	return s.Store.(driver.Committer).Commit(ctx, m)
}
