package intent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
)

// TestCancelledAtEveryStep: a caller's context ends at each call of a commit, before it
// or after it is done. The transaction is there whole or not at all, as the caller is
// told, and the same client goes on.
func TestCancelledAtEveryStep(t *testing.T) {
	cancelled := 0
	for _, after := range []bool{false, true} {
		for n := int64(1); ; n++ {
			b, c := base(t), newClock()
			ctx, cancel := context.WithCancel(t.Context())
			begun := false
			var mu sync.Mutex
			calls := int64(0)
			strike := func(ctx context.Context) bool {
				mu.Lock()
				defer mu.Unlock()
				if !begun {
					return false
				}
				calls++
				if calls == n {
					cancel()
				}
				return ctx.Err() != nil
			}
			f := &drivertest.Faulty{Store: b}
			if after {
				f.After = func(ctx context.Context, call drivertest.Call) error {
					if strike(ctx) && call.Op != "get" {
						return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, ctx.Err())
					}
					return ctx.Err()
				}
			} else {
				f.Before = func(ctx context.Context, _ drivertest.Call) error {
					strike(ctx)
					return ctx.Err()
				}
			}
			s := client(t, f, c)
			put(t, s, "a", "old")
			put(t, s, "read", "old")
			_, r := get(t, s, "read")
			mu.Lock()
			begun = true
			mu.Unlock()
			err := s.Commit(ctx, &driver.Commit{
				Reads:  []driver.Read{{Key: []byte("read"), Revision: r}},
				Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}, {Key: []byte("b"), Value: []byte("new")}},
			})
			mu.Lock()
			begun = false
			lived := calls < n
			mu.Unlock()
			cancel()
			name := fmt.Sprintf("cancelled at call %d, after=%t: %v", n, after, err)
			av, _ := get(t, s, "a")
			bv, _ := get(t, s, "b")
			state := av + " " + bv
			switch {
			case state != "old -" && state != "new new":
				t.Fatalf("%s: half of it is there: %s", name, state)
			case err == nil && state != "new new", err != nil && !errors.Is(err, driver.ErrOutcomeUnknown) && state != "old -":
				t.Fatalf("%s: it is %s", name, state)
			}
			put(t, s, "a", "again")
			if err := s.Close(); err != nil {
				t.Fatalf("%s: close: %v", name, err)
			}
			if lived {
				break
			}
			cancelled++
		}
	}
	if cancelled < 12 {
		t.Errorf("only %d cancellations", cancelled)
	}
}

// TestFaultsOnTheWire: calls fail before they arrive, or after they are done, at
// random; what clients see stays linearizable for each key, and serializable.
func TestFaultsOnTheWire(t *testing.T) {
	for _, c := range drivertest.Cases() {
		if c.Name != "concurrent/linearizable" && c.Name != "concurrent/serializable" {
			continue
		}
		for seed := range uint64(5) {
			b := base(t)
			clock := newClock()
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(seed, 5))
			struck := 0
			chance := func() bool {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(30) == 0 {
					struck++
					return true
				}
				return false
			}
			err := c.Run(t.Context(), drivertest.Target{Name: "faulty", Operations: 400, Open: func(context.Context, string) (driver.Store, error) {
				f := &drivertest.Faulty{Store: b}
				f.Before = func(context.Context, drivertest.Call) error {
					if chance() {
						return driver.ErrUnavailable
					}
					return nil
				}
				f.After = func(_ context.Context, call drivertest.Call) error {
					if call.Op != "get" && call.Op != "list" && chance() {
						return fmt.Errorf("%w: the connection was reset", driver.ErrOutcomeUnknown)
					}
					return nil
				}
				return tolerant{intent.Wrap(f, intent.Options{Timeout: 1 << 30, Now: clock.Now, Sleep: clock.Sleep}).(store)}, nil
			}}, t.TempDir())
			if err != nil && !strings.Contains(err.Error(), "close after the case") {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if struck < 10 {
				t.Errorf("seed %d: only %d faults", seed, struck)
			}
		}
	}
}

// tolerant repeats gets, as a provider does.
type tolerant struct{ store }

func (s tolerant) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	for {
		if e, err = s.store.Get(ctx, key); !errors.Is(err, driver.ErrUnavailable) {
			return e, err
		}
	}
}

// TestDoubtIsToldAsDoubtAlone: the commit point is done, its answer is lost, and so is
// every answer to the question what became of it. Whatever kind of error that question
// meets, the caller is told of a doubt, and of nothing that says that nothing was
// applied: whoever believes that commits a second time.
func TestDoubtIsToldAsDoubtAlone(t *testing.T) {
	certain := []error{driver.ErrUnavailable, driver.ErrConflict, driver.ErrFenced, driver.ErrDenied, driver.ErrNoSpace, driver.ErrReadOnly, driver.ErrTooLarge}
	for _, met := range certain {
		b, c := base(t), newClock()
		var records atomic.Int64
		lost := func() bool { return records.Load() >= 2 }
		f := &drivertest.Faulty{Store: b,
			Before: func(context.Context, drivertest.Call) error {
				if lost() {
					return met
				}
				return nil
			},
			After: func(_ context.Context, call drivertest.Call) error {
				isRecord := len(call.Key) > 1 && call.Key[0] == 0 && call.Key[1] == 0
				if call.Op == "put" && isRecord && records.Add(1) == 2 {
					return driver.ErrOutcomeUnknown
				}
				return nil
			}}
		err := client(t, f, c).Commit(t.Context(), &driver.Commit{Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}}})
		if !errors.Is(err, driver.ErrOutcomeUnknown) || !strings.Contains(err.Error(), met.Error()) {
			t.Errorf("asking met %q, and the caller is told %v", met, err)
		}
		for _, kind := range certain {
			if errors.Is(err, kind) {
				t.Errorf("asking met %q, and the caller is told that it is %q: %v", met, kind, err)
			}
		}
		if v, _ := get(t, client(t, b, c), "a"); v != "new" {
			t.Errorf("it was committed, and another client sees %s", v)
		}
	}
}

// TestKeysAreTheCallersAgain: the caller writes over its keys as soon as Commit has
// returned, and before the intents are settled. Those of the transaction are settled
// all the same: were its record to go before them, they would count as aborted.
func TestKeysAreTheCallersAgain(t *testing.T) {
	b, c := base(t), newClock()
	var records atomic.Int64
	returned := make(chan struct{})
	f := &drivertest.Faulty{Store: b, Before: func(_ context.Context, call drivertest.Call) error {
		isRecord := len(call.Key) > 1 && call.Key[0] == 0 && call.Key[1] == 0
		if call.Op == "put" && isRecord && records.Add(1) <= 2 || records.Load() < 2 {
			return nil // up to the commit point
		}
		<-returned
		return nil
	}}
	s := client(t, f, c)
	keys := [][]byte{[]byte("a"), []byte("b")}
	err := s.Commit(t.Context(), &driver.Commit{Writes: []driver.Write{{Key: keys[0], Value: []byte("new")}, {Key: keys[1], Value: []byte("new")}}})
	if err != nil {
		t.Fatal(err)
	}
	keys[0][0], keys[1][0] = 'x', 'y'
	close(returned)
	if err := s.Close(); err != nil { // waits for what is settled
		t.Fatal(err)
	}
	other := client(t, b, c)
	for _, key := range []string{"a", "b"} {
		if v, _ := get(t, other, key); v != "new" {
			t.Errorf("%s was committed, and is %s", key, v)
		}
	}
}
