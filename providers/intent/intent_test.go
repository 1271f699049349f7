package intent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/intent"
	"github.com/orbit-persistence/orbit/providers/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that passes when somebody sleeps.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1e9, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(1) // no two transactions are of one age
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
	time.Sleep(time.Microsecond)
	return ctx.Err()
}

// unclosed keeps a store open when one of its clients is closed.
type unclosed struct{ driver.Store }

func (unclosed) Close() error { return nil }

func base(t testing.TB) driver.Store {
	s, err := memory.Open(context.Background(), memory.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return unclosed{drivertest.CASOnly(s)}
}

type store interface {
	driver.Store
	driver.Committer
	Sweep(context.Context) (int, error)
}

func client(t testing.TB, base driver.Store, c *clock) store {
	s := intent.Wrap(base, intent.Options{Timeout: 10 * time.Second, Now: c.Now, Sleep: c.Sleep}).(store)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// TestConformance: two clients of one store at a time.
func TestConformance(t *testing.T) {
	places := map[string]*shared{}
	drivertest.Run(t, drivertest.Target{Name: "intent", Operations: 400, Open: func(ctx context.Context, place string) (driver.Store, error) {
		p := places[place]
		if p == nil {
			p = &shared{place: place, places: places}
			m, err := memory.Open(ctx, memory.Config{})
			if err != nil {
				return nil, err
			}
			p.Store = drivertest.CASOnly(m)
			places[place] = p
		}
		p.clients++
		return intent.Wrap(&handle{shared: p}, intent.Options{Timeout: time.Minute}), nil
	}})
}

// shared is a store that is closed with its last client.
type shared struct {
	driver.Store
	clients int
	place   string
	places  map[string]*shared
}

type handle struct {
	*shared
	mu     sync.Mutex
	closed bool
}

func (h *handle) Ping(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return driver.ErrClosed
	}
	return h.shared.Ping(ctx)
}

func (h *handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.clients--; h.clients > 0 {
		return nil
	}
	delete(h.places, h.place)
	return h.shared.Store.Close()
}

func get(t *testing.T, s driver.Store, key string) (string, driver.Revision) {
	t.Helper()
	e, err := s.Get(t.Context(), []byte(key))
	if errors.Is(err, driver.ErrNotFound) {
		return "-", driver.Revision{}
	}
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return string(e.Value), e.Revision
}

func put(t *testing.T, s driver.Store, key, value string) driver.Revision {
	t.Helper()
	r, err := s.Put(t.Context(), []byte(key), []byte(value), driver.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func records(t *testing.T, base driver.Store) int {
	t.Helper()
	n := 0
	for _, err := range base.List(t.Context(), driver.ListOptions{Prefix: []byte{0, 0}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// TestCrashAtEveryStep: a client dies at each call of a commit, before it or after it.
// Another one finds all of the transaction or nothing, whatever it does first, and all
// if the client was told so; nothing is left behind.
func TestCrashAtEveryStep(t *testing.T) {
	steps, outcomes := int64(0), map[string]int{}
	for _, first := range []string{"get", "list", "put", "delete", "commit", "sweep"} {
		for _, after := range []bool{false, true} {
			for n := int64(1); ; n++ {
				b, c := base(t), newClock()
				sound := client(t, b, c)
				a := put(t, sound, "a", "old")
				put(t, sound, "b", "old")
				r := put(t, sound, "read", "old")
				dying := drivertest.Kill(b, n, after)
				victim := client(t, dying, c)
				err := victim.Commit(t.Context(), &driver.Commit{
					Reads:  []driver.Read{{Key: []byte("a"), Revision: a}, {Key: []byte("read"), Revision: r}, {Key: []byte("c")}},
					Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}, {Key: []byte("b"), Delete: true}, {Key: []byte("c"), Value: []byte("new")}},
				})
				victim.Close() // ends what it had left to do, which fails
				lived := dying.Calls() < n
				listed := map[string]string{}
				name := fmt.Sprintf("killed at call %d, after=%t, first %s", n, after, first)
				switch first {
				case "list":
					for e, err := range sound.List(t.Context(), driver.ListOptions{}) {
						if err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						listed[string(e.Key)] = string(e.Value)
					}
				case "put":
					put(t, sound, "d", "x")
				case "delete":
					if err := sound.Delete(t.Context(), []byte("d"), driver.DeleteOptions{}); err != nil {
						t.Fatal(err)
					}
				case "commit":
					third := client(t, b, c)
					err := third.Commit(t.Context(), &driver.Commit{Writes: []driver.Write{{Key: []byte("a2")}, {Key: []byte("c2")}}, Reads: []driver.Read{{Key: []byte("b"), Revision: a}}})
					third.Close() // waits for what the commit had left to do
					if !errors.Is(err, driver.ErrConflict) {
						t.Fatalf("%s: commit of what has another revision: %v", name, err)
					}
				case "sweep": // twice, so that it finds the record overdue
					for range 2 {
						if _, err := sound.Sweep(t.Context()); err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						c.Sleep(t.Context(), time.Minute)
					}
				}
				av, _ := get(t, sound, "a")
				bv, _ := get(t, sound, "b")
				cv, _ := get(t, sound, "c")
				state := av + " " + bv + " " + cv
				for key, now := range map[string]string{"a": av, "b": bv, "c": cv} {
					if was, ok := listed[key]; len(listed) > 0 && (ok != (now != "-") || ok && was != now) {
						t.Fatalf("%s: a list shows %s as %q, and a get after it %q", name, key, was, now)
					}
				}
				if state != "old old -" && state != "new - new" {
					t.Fatalf("%s: half of it is there: %s", name, state)
				}
				if err == nil && state != "new - new" {
					t.Fatalf("%s: it was acknowledged, and is not there", name)
				}
				if err != nil && !errors.Is(err, driver.ErrOutcomeUnknown) && state != "old old -" {
					t.Fatalf("%s: it failed with %v, and is there", name, err)
				}
				if rv, rr := get(t, sound, "read"); rv != "old" || rr != r {
					t.Fatalf("%s: what was only read is %s", name, rv)
				}
				// Everything can be written again, and nothing stays.
				put(t, sound, "a", "again")
				put(t, sound, "b", "again")
				for range 2 {
					if _, err := sound.Sweep(t.Context()); err != nil {
						t.Fatalf("%s: sweep: %v", name, err)
					}
					c.Sleep(t.Context(), time.Minute)
				}
				if n := records(t, b); n != 0 {
					t.Fatalf("%s: %d records are left", name, n)
				}
				if av, _ := get(t, sound, "a"); av != "again" {
					t.Fatalf("%s: a write after it is gone: %s", name, av)
				}
				outcomes[state]++
				steps++
				if lived {
					break
				}
			}
		}
	}
	if steps < 150 || len(outcomes) != 2 {
		t.Errorf("only %d crashes, with outcomes %v", steps, outcomes)
	}
	t.Logf("%d crashes: %v", steps, outcomes)
}

// TestSerializableWithCrashes: clients append to lists in transactions, and die at any
// call. What all of them saw is serializable, in real time too.
func TestSerializableWithCrashes(t *testing.T) {
	for seed := range uint64(6) {
		b, c := base(t), newClock()
		var mu sync.Mutex
		var history []check.Transaction
		start := time.Now()
		now := func() int64 { return time.Since(start).Nanoseconds() }
		var group sync.WaitGroup
		deaths, commits := 0, 0
		for worker := range 4 {
			group.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(worker)))
				for life := range 12 {
					dying := drivertest.Kill(b, 5+random.Int64N(200), random.IntN(2) == 0)
					s := intent.Wrap(dying, intent.Options{Timeout: 2 * time.Second, Now: c.Now, Sleep: c.Sleep}).(store)
					for i := range 25 {
						tx := check.Transaction{Client: worker, Call: now()}
						err := appendSome(t.Context(), s, random, int64(worker)<<40|int64(life)<<20|int64(i)<<4, &tx)
						tx.Return = now()
						dead := errors.Is(err, drivertest.ErrKilled) || errors.Is(err, driver.ErrUnavailable)
						switch {
						case err == nil:
							tx.Outcome = check.Committed
						case errors.Is(err, driver.ErrOutcomeUnknown):
							tx.Outcome, tx.Return = check.Unknown, check.Never
						case errors.Is(err, driver.ErrConflict), dead:
							tx.Outcome = check.Aborted
						default:
							t.Errorf("seed %d: %v", seed, err)
							return
						}
						mu.Lock()
						history = append(history, tx)
						if err == nil {
							commits++
						} else if dead {
							deaths++
						}
						mu.Unlock()
						if dead {
							break
						}
					}
					s.Close()
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		// A last reader shows what came to be, also of those whose outcome is unknown.
		last := check.Transaction{Client: 9, Call: now()}
		s := client(t, b, c)
		for k := range lists {
			list, _, err := read(t.Context(), s, fmt.Sprint("list", k))
			if err != nil {
				t.Fatal(err)
			}
			last.Steps = append(last.Steps, check.Step{Key: fmt.Sprint("list", k), List: list})
		}
		last.Return = now()
		history = append(history, last)
		if anomalies := check.Cycles(history, true); len(anomalies) > 0 {
			t.Fatalf("seed %d: %d transactions: %v", seed, len(history), anomalies[0])
		}
		if commits < 50 || deaths < 10 {
			t.Errorf("seed %d: only %d commits and %d deaths", seed, commits, deaths)
		}
		if testing.Verbose() {
			t.Logf("seed %d: %d transactions, %d commits, %d deaths", seed, len(history), commits, deaths)
		}
	}
}

const lists = 4

func read(ctx context.Context, s driver.Store, key string) ([]int64, driver.Revision, error) {
	e, err := s.Get(ctx, []byte(key))
	if errors.Is(err, driver.ErrNotFound) {
		return nil, driver.Revision{}, nil
	}
	if err != nil {
		return nil, driver.Revision{}, err
	}
	var list []int64
	return list, e.Revision, json.Unmarshal(e.Value, &list)
}

// appendSome reads some lists and appends to some of them, in one transaction.
func appendSome(ctx context.Context, s store, random *rand.Rand, value int64, tx *check.Transaction) error {
	m := &driver.Commit{}
	for _, k := range random.Perm(lists)[:1+random.IntN(lists-1)] {
		key := fmt.Sprint("list", k)
		list, revision, err := read(ctx, s, key)
		if err != nil {
			return err
		}
		m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: revision})
		tx.Steps = append(tx.Steps, check.Step{Key: key, List: list})
		if random.IntN(3) > 0 {
			value++
			data, err := json.Marshal(append(slices.Clone(list), value))
			if err != nil {
				return err
			}
			m.Writes = append(m.Writes, driver.Write{Key: []byte(key), Value: data})
			tx.Steps = append(tx.Steps, check.Step{Key: key, Append: true, Value: value})
		}
	}
	return s.Commit(ctx, m)
}

// TestReaderWaits: a reader waits for a pending transaction, and reads the outcome; it
// never shows what came before a commit that it began after.
func TestReaderWaits(t *testing.T) {
	b, c := base(t), newClock()
	reader := client(t, b, c)
	put(t, reader, "a", "old")
	// The owner is held between its intents and its commit point.
	holding, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	held := &drivertest.Faulty{Store: b, Before: func(_ context.Context, call drivertest.Call) error {
		if call.Op == "get" && string(call.Key) == "only-read" {
			once.Do(func() { close(holding) })
			<-release
		}
		return nil
	}}
	owner := client(t, held, c)
	done := make(chan error)
	go func() {
		done <- owner.Commit(context.Background(), &driver.Commit{
			Reads: []driver.Read{{Key: []byte("only-read")}}, Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}}, Timeout: 1 << 50,
		})
	}()
	<-holding
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if e, err := reader.Get(ctx, []byte("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a reader at a pending intent: %q, %v", e.Value, err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v, _ := get(t, reader, "a"); v != "new" {
		t.Errorf("after the commit it is %s", v)
	}
}

// TestPausedOwnerIsAborted: an owner that was away for longer than its timeout finds
// its transaction aborted, even when every trace of that was collected.
func TestPausedOwnerIsAborted(t *testing.T) {
	for _, at := range []string{"record", "validate", "point"} {
		t.Run(at, func(t *testing.T) {
			b, c := base(t), newClock()
			other := client(t, b, c)
			put(t, other, "a", "old")
			holding, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			puts := 0
			var mu sync.Mutex
			placed := make(chan struct{})
			pause := func() {
				once.Do(func() { close(holding); <-release })
			}
			held := &drivertest.Faulty{Store: b,
				Before: func(_ context.Context, call drivertest.Call) error {
					isRecord := len(call.Key) > 1 && call.Key[0] == 0 && call.Key[1] == 0
					if call.Op == "put" && isRecord {
						mu.Lock()
						puts++
						n := puts
						mu.Unlock()
						if n == 1 && at == "record" {
							<-placed // the intent stands
							pause()
						}
						if n == 2 && at == "point" {
							pause()
						}
					}
					if at == "validate" && call.Op == "get" && string(call.Key) == "only-read" {
						pause()
					}
					return nil
				},
				After: func(_ context.Context, call drivertest.Call) error {
					if call.Op == "put" && string(call.Key) == "a" {
						close(placed)
					}
					return nil
				}}
			owner := client(t, held, c)
			done := make(chan error)
			go func() {
				done <- owner.Commit(context.Background(), &driver.Commit{
					Reads: []driver.Read{{Key: []byte("only-read")}}, Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}},
				})
			}()
			<-holding
			if v, _ := get(t, other, "a"); v != "old" {
				t.Errorf("past the timeout it is %s", v)
			}
			put(t, other, "a", "other")
			for range 3 {
				if _, err := other.Sweep(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.Sleep(t.Context(), time.Minute)
			}
			close(release)
			if err := <-done; !errors.Is(err, driver.ErrConflict) {
				t.Errorf("the owner is told %v", err)
			}
			if v, _ := get(t, other, "a"); v != "other" {
				t.Errorf("afterwards it is %s", v)
			}
		})
	}
}

// TestRoundTrips: a commit of ten keys takes three round trips, and what it leaves to
// do nobody waits for.
func TestRoundTrips(t *testing.T) {
	b := base(t)
	const trip = 20 * time.Millisecond
	var slowly atomic.Bool
	w := intent.Wrap(&drivertest.Faulty{Store: b, Before: func(context.Context, drivertest.Call) error {
		if slowly.Load() {
			time.Sleep(trip)
		}
		return nil
	}}, intent.Options{}).(store)
	m := &driver.Commit{}
	for i := range 10 {
		key := fmt.Sprint("k", i)
		put(t, w, key, "old")
		_, r := get(t, w, key)
		m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: r})
		m.Writes = append(m.Writes, driver.Write{Key: []byte(key), Value: []byte("new")})
	}
	slowly.Store(true)
	start := time.Now()
	if err := w.Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	t.Logf("a commit of 10 keys takes %.1f round trips", float64(time.Since(start))/float64(trip))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := records(t, b); n != 0 {
		t.Errorf("%d records are left after close", n)
	}
}

// TestWhatIsRememberedIsNobodyElses: what a caller does to the bytes of a get, or of a
// put, does not come back when an intent is undone.
func TestWhatIsRememberedIsNobodyElses(t *testing.T) {
	b, c := base(t), newClock()
	s := client(t, b, c)
	value := []byte("old")
	if _, err := s.Put(t.Context(), []byte("a"), value, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	copy(value, "xxx")
	abort := func() {
		err := s.Commit(t.Context(), &driver.Commit{Reads: []driver.Read{{Key: []byte("b"), Revision: driver.TagRevision("none")}}, Writes: []driver.Write{{Key: []byte("a"), Value: []byte("new")}}})
		if !errors.Is(err, driver.ErrConflict) {
			t.Fatal(err)
		}
		if v, _ := get(t, s, "a"); v != "old" {
			t.Fatalf("after an abort it is %s", v)
		}
	}
	abort()
	e, err := s.Get(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	copy(e.Value, "yyy")
	abort()
}
