package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/local"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"github.com/orbit-persistence/orbit/providers/node"
	"github.com/orbit-persistence/orbit/providers/pebble"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

// backends open an empty store each.
var backends = map[string]func(t testing.TB) driver.Store{
	"memory": func(t testing.TB) driver.Store { return opened(t)(memory.Open(t.Context(), memory.Config{})) },
	"cow_btree": func(t testing.TB) driver.Store {
		c := cowbtree.Defaults()
		c.DataDir, c.Durability, c.CacheBytes = t.TempDir(), engine.Buffered, 4<<20
		return opened(t)(cowbtree.Open(t.Context(), c))
	},
	"pebble": func(t testing.TB) driver.Store {
		c := pebble.Defaults()
		c.DataDir, c.Durability = t.TempDir(), engine.Memory
		return opened(t)(pebble.Open(t.Context(), c))
	},
	"lsm_tree": func(t testing.TB) driver.Store { return openLSM(t, t.TempDir()) },
	// A backend with nothing but compare-and-swap; transactions are made above it.
	"object": func(t testing.TB) driver.Store {
		return drivertest.CASOnly(opened(t)(memory.Open(t.Context(), memory.Config{})))
	},
}

func openLSM(t testing.TB, dir string) driver.Store {
	e, err := lsm.Open(t.Context(), dir, lsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return opened(t)(local.Own(t.Context(), e, dir, local.Options{Backend: "lsm_tree", Durability: engine.Buffered}))
}

func opened(t testing.TB) func(driver.Store, error) driver.Store {
	return func(s driver.Store, err error) driver.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func provide(t testing.TB, s driver.Store, name string) *providers.Provider {
	p := providers.OpenStore(s, providers.Config{Name: name, ExpireInterval: -1})
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func open(t testing.TB, backend, name string) *providers.Provider {
	return provide(t, backends[backend](t), name)
}

// content is what a provider holds: values, with a note whether they expire.
type content map[string]string

func contentOf(t testing.TB, p *providers.Provider) content {
	t.Helper()
	c := content{}
	for e, err := range p.List(context.Background(), providers.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		c[string(e.Key)] = fmt.Sprintf("%q %v", e.Value, !e.ExpiresAt.IsZero())
	}
	return c
}

func same(t testing.TB, got, want content) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	wrong := 0
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			if wrong++; wrong > 5 {
				break
			}
			t.Errorf("%q is %s, want %s", key, got[key], want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			if wrong++; wrong > 10 {
				break
			}
			t.Errorf("%q is there, %s", key, got[key])
		}
	}
	t.FailNow()
}

// fill gives a provider leases, nodes, text, bytes, and what expires if the seed is odd.
func fill(t testing.TB, p *providers.Provider, n int, seed uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	var writes []driver.Write
	for i := range n {
		w := driver.Write{Key: fmt.Appendf(nil, "record/%06d", i), Value: fmt.Appendf(nil, "value of %d", random.Uint64())}
		switch i % 8 {
		case 0:
			w.Key = append(fmt.Appendf(nil, "%06d", i), byte(random.Uint32()), 0xff, 0)
			w.Value = []byte{0xff, '"', '\\', 0, byte(i)}
		case 1:
			w.Key, w.Value = append([]byte{0}, fmt.Appendf(nil, "%06d \"quoted\"\n\u00fc", i)...), nil
		case 2:
			if seed%2 == 1 && p.Capabilities().TTL {
				w.TTL = time.Hour
			}
		}
		writes = append(writes, w)
	}
	if err := p.BulkPut(t.Context(), writes); err != nil {
		t.Fatal(err)
	}
	leases, nodes := lease.New(p, lease.Options{}), node.New(p, node.Options{})
	for i := range 5 {
		id := node.ID{Key: fmt.Sprint(i), Namespace: "test"}
		if err := nodes.Store(t.Context(), node.Info{ID: id, URL: "http://localhost", Port: 1000 + i, Status: node.Active}); err != nil {
			t.Fatal(err)
		}
		for j := range 4 {
			l := lease.Lease{Reference: lease.Reference{Type: "player", Key: lease.Int64Key(int64(10*i + j))}, Node: id, ExpiresAt: time.Now().Add(time.Hour)}
			if err := leases.Store(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAnyProviderToAnyOther(t *testing.T) {
	for from := range backends {
		for to := range backends {
			t.Run(from+" to "+to, func(t *testing.T) {
				a, b := open(t, from, "a"), open(t, to, "b")
				fill(t, a, 500, 1)
				var last migrate.Progress
				lasting := to == "object"
				r, err := migrate.New().FromProvider(a).ToProvider(b).WithBatchSize(50).WithValidation(true).WithoutExpiring(lasting).
					WithProgress(func(p migrate.Progress) { last = p }).Execute(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				want := contentOf(t, a)
				expiring := int64(0)
				for key, value := range want {
					if strings.HasSuffix(value, "true") && lasting {
						delete(want, key)
					} else if strings.HasSuffix(value, "true") {
						expiring++
					}
				}
				if from != "object" && to != "object" && expiring != 63 {
					t.Fatalf("%d entries expire", expiring)
				}
				same(t, contentOf(t, b), want)
				if r.LeasesMigrated != 20 || r.NodesMigrated != 5 || r.Entries != int64(len(want)) || !r.Validated || r.Passes != 2 || r.Changed != 0 || r.Expiring != expiring {
					t.Errorf("%+v", r)
				}
				if last.Phase != "compare" || last.Pass != 2 || last.Entries != r.Entries || last.Bytes != r.Bytes {
					t.Errorf("the last progress is %+v", last)
				}
				if l, err := lease.New(b, lease.Options{}).Get(t.Context(), lease.Reference{Type: "player", Key: lease.Int64Key(23)}); err != nil || l.Node.Key != "2" {
					t.Errorf("%+v, %v", l, err)
				}
				if got, err := migrate.Compare(t.Context(), a, b, nil); (err != nil) != (lasting && from != "object") || got.Digest != r.Digest || got.Entries != r.Entries {
					t.Errorf("%+v, %v", got, err)
				}
				if e, err := b.Get(t.Context(), []byte("record/000010")); expiring > 0 && (err != nil || time.Until(e.ExpiresAt) > time.Hour || time.Until(e.ExpiresAt) < 50*time.Minute) {
					t.Errorf("%+v, %v", e, err)
				}
			})
		}
	}
}

// change makes puts and deletes that the copy does not know of.
func change(t testing.TB, p *providers.Provider, round int) {
	t.Helper()
	for i := range 10 {
		if _, err := p.Put(t.Context(), fmt.Appendf(nil, "record/%06d", 8*(10*round+i)%400+3), fmt.Appendf(nil, "changed in round %d", round), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := p.Delete(t.Context(), fmt.Appendf(nil, "record/%06d", 8*(10*round+i)%400+4), providers.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Put(t.Context(), fmt.Appendf(nil, "new/%d", round), []byte("new"), providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAtEveryCall: a migration whose client of the target dies at its n-th call,
// before or after the call is done, and that goes on while the source has changed, and
// dies again, ends with a copy, whatever the steps at which it died.
func TestKilledAtEveryCall(t *testing.T) {
	for _, after := range []bool{false, true} {
		steps := 0
		for n := int64(1); ; n++ {
			a := open(t, "memory", "a")
			fill(t, a, 400, 2)
			store := opened(t)(memory.Open(t.Context(), memory.Config{}))
			done := false
			for round := 0; !done; round++ {
				at := n
				if round > 0 {
					at = n/int64(round) + 1 // the resumed ones die earlier, and come further
				}
				if round > 8 {
					at = 1 << 40
				}
				killed := drivertest.Kill(unclosed{store}, at, after)
				b := provide(t, sole{killed}, "b")
				r, err := migrate.New().FromProvider(a).ToProvider(b).WithBatchSize(40).Execute(t.Context())
				switch {
				case err == nil:
					done = true
					if round > 0 && !r.Resumed && n > 3 {
						t.Fatalf("killed at call %d, it does not know that it goes on: %+v", n, r)
					}
				case !errors.Is(err, drivertest.ErrKilled):
					t.Fatal(err)
				default:
					steps++
					change(t, a, round)
				}
			}
			b := provide(t, sole{&drivertest.Faulty{Store: store}}, "b")
			same(t, contentOf(t, b), contentOf(t, a))
			if err := migrate.Unfinished(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if steps > 0 && n > 40 {
				break
			}
		}
		if steps < 40 {
			t.Errorf("it died %d times in all", steps)
		}
	}
}

// unclosed keeps a store open when a client of it is closed.
type unclosed struct{ driver.Store }

func (unclosed) Close() error { return nil }

// sole is a client that declares what drivertest.Faulty has: single keys.
type sole struct{ *drivertest.Faulty }

func (s sole) Capabilities() driver.Capabilities {
	c := s.Faulty.Capabilities()
	return driver.Capabilities{Backend: c.Backend, TTL: true, Limits: driver.Limits{MaxKeyBytes: c.Limits.MaxKeyBytes, MaxValueBytes: c.Limits.MaxValueBytes}}
}

func TestResumeGoesOnBehindWhatIsThere(t *testing.T) {
	a := open(t, "memory", "a")
	fill(t, a, 4000, 3)
	faulty := &drivertest.Faulty{Store: unclosed{opened(t)(memory.Open(t.Context(), memory.Config{}))}}
	puts := map[string]int{}
	var mu sync.Mutex
	var broken atomic.Bool
	faulty.Before = func(_ context.Context, c drivertest.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if broken.Load() && c.Op == "put" {
			return driver.ErrNoSpace
		}
		if c.Op == "put" {
			puts[string(c.Key)]++
			broken.Store(len(puts) > 2000)
		}
		return nil
	}
	b := providers.OpenStore(committing{sole{faulty}}, providers.Config{Name: "b", ExpireInterval: -1})
	defer b.Close()
	_, err := migrate.New().FromProvider(a).ToProvider(b).WithBatchSize(100).Execute(t.Context())
	if !errors.Is(err, driver.ErrNoSpace) || !strings.Contains(err.Error(), "migrate from a to b") {
		t.Fatal(err)
	}
	broken.Store(false)
	faulty.Before = func(_ context.Context, c drivertest.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Op == "put" {
			puts[string(c.Key)]++
		}
		return nil
	}
	r, err := migrate.New().FromProvider(a).ToProvider(b).WithBatchSize(100).WithValidation(false).Execute(t.Context())
	if err != nil || !r.Resumed || r.Passes != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	same(t, contentOf(t, b), contentOf(t, a))
	twice := 0
	for key, n := range puts {
		if n > 1 && key != migrate.RecordKey {
			twice++
		}
	}
	if twice > 400 {
		t.Errorf("%d of %d entries were written twice", twice, len(puts))
	}
}

// committing is a store with single keys that says that it can commit, so that nothing is
// put above it. Nobody commits.
type committing struct{ driver.Store }

func (s committing) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	c.Commit = true
	return c
}

func (committing) Commit(context.Context, *driver.Commit) error { return driver.ErrUnsupported }

func TestRefusals(t *testing.T) {
	a := open(t, "memory", "a")
	fill(t, a, 100, 41)
	full := open(t, "memory", "full")
	if _, err := full.Put(t.Context(), []byte("mine"), nil, providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	refused := func(m *migrate.DataMigration, kind error, text string) {
		t.Helper()
		if _, err := m.Execute(t.Context()); !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
			t.Errorf("%v; want %v, with %q", err, kind, text)
		}
	}
	refused(migrate.New().FromProvider(a), driver.ErrInvalid, "a source and a target")
	refused(migrate.New().FromProvider(a).ToProvider(a), driver.ErrInvalid, "one provider")
	refused(migrate.New().FromProvider(a).ToProvider(full).WithBatchSize(0), driver.ErrInvalid, "batches of 0")
	refused(migrate.New().FromProvider(a).ToProvider(full), driver.ErrConflict, "full is not empty")
	same(t, contentOf(t, full), content{"mine": `"" false`})

	timeless := provide(t, timeless{backends["memory"](t)}, "timeless")
	refused(migrate.New().FromProvider(a).ToProvider(timeless), driver.ErrUnsupported, "record/000002")
	// It is marked now: nobody takes it for a whole one, or fills it with something else.
	refused(migrate.New().FromProvider(timeless).ToProvider(open(t, "memory", "c")), driver.ErrConflict, "half filled from a")
	refused(migrate.New().FromProvider(full).ToProvider(timeless), driver.ErrConflict, "half filled from a, and this is full")
	if _, err := migrate.Validate(t.Context(), timeless, nil); !errors.Is(err, driver.ErrConflict) {
		t.Error(err)
	}

	small := provide(t, opened(t)(memory.Open(t.Context(), memory.Config{MaxEntries: 50})), "small")
	refused(migrate.New().FromProvider(a).ToProvider(small).WithBatchSize(10), driver.ErrNoSpace, "write to small")

	if r, err := migrate.New().FromProvider(a).ToProvider(full).WithReplace(true).Execute(t.Context()); err != nil || !r.Validated {
		t.Fatal(r, err)
	}
	same(t, contentOf(t, full), contentOf(t, a))

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := migrate.New().FromProvider(a).ToProvider(open(t, "memory", "d")).Execute(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// timeless is a store that takes no TTL.
type timeless struct{ driver.Store }

func (s timeless) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	return driver.Capabilities{Backend: "timeless", Commit: true, Limits: c.Limits}
}

func (s timeless) Commit(ctx context.Context, m *driver.Commit) error {
	return s.Store.(driver.Committer).Commit(ctx, m)
}

// TestValidationFinds: a target that does not keep what it acknowledged is told of.
func TestValidationFinds(t *testing.T) {
	for what, lose := range map[string]func(w *driver.Write) bool{
		"a lost put": func(w *driver.Write) bool { return string(w.Key) != "record/000011" },
		"a changed value": func(w *driver.Write) bool {
			w.Value = bytes.ReplaceAll(w.Value, []byte("of"), []byte("fo"))
			return true
		},
		"a lost TTL":     func(w *driver.Write) bool { w.TTL = 0; return true },
		"a long TTL":     func(w *driver.Write) bool { w.TTL *= 2; return true },
		"a key too many": nil,
	} {
		t.Run(what, func(t *testing.T) {
			a := open(t, "memory", "a")
			fill(t, a, 100, 5)
			b := provide(t, lossy{backends["memory"](t).(*memory.Store), lose}, "b")
			_, err := migrate.New().FromProvider(a).ToProvider(b).Execute(t.Context())
			if !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), "still changing") {
				t.Error(err)
			}
			if err := migrate.Unfinished(t.Context(), b); err == nil {
				t.Error("it counts as finished")
			}
			if _, err := migrate.Compare(t.Context(), a, b, nil); !errors.Is(err, migrate.ErrDifferent) {
				t.Error(err)
			}
		})
	}
}

type lossy struct {
	*memory.Store
	lose func(w *driver.Write) bool
}

func (s lossy) BulkPut(ctx context.Context, writes []driver.Write) error {
	kept := []driver.Write{}
	for _, w := range writes {
		if s.lose == nil && string(w.Key) == "record/000011" {
			kept = append(kept, driver.Write{Key: []byte("record/0000115"), Value: []byte("x")})
		}
		if s.lose == nil && w.Delete {
			continue
		}
		if string(w.Key) == migrate.RecordKey || s.lose == nil || s.lose(&w) {
			kept = append(kept, w)
		}
	}
	return s.Store.BulkPut(ctx, kept)
}

// TestLive: clients count in transactions and put their own keys while a Switch is
// migrated. No acknowledged write is lost, none is made twice, on neither side of
// cutting over, and those who read before do not overwrite what came after.
func TestLive(t *testing.T) {
	for _, backend := range []string{"memory", "lsm_tree", "object"} {
		for _, validated := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, validated %v", backend, validated), func(t *testing.T) { live(t, backend, validated) })
		}
	}
}

func live(t *testing.T, backend string, validated bool) {
	a, b := open(t, "memory", "a"), open(t, backend, "b")
	fill(t, a, 3000, 6)
	sw := migrate.NewSwitch(a, b)
	p := provide(t, sw.Store(), "switch")
	const clients, counters = 4, 3
	var counted [counters]atomic.Int64
	own := make([]map[string]string, clients)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	var early, late atomic.Int64
	count := func(ctx context.Context, i int) error {
		return p.Update(ctx, func(tx *providers.Tx) error {
			key := fmt.Appendf(nil, "counter/%d", i)
			n := 0
			switch e, err := tx.Get(ctx, key); {
			case err == nil:
				if _, err := fmt.Sscan(string(e.Value), &n); err != nil {
					return err
				}
			case !errors.Is(err, driver.ErrNotFound):
				return err
			}
			return tx.Put(ctx, key, fmt.Append(nil, n+1), providers.PutOptions{})
		})
	}
	for c := range clients {
		own[c] = map[string]string{}
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 7))
			for n := 0; ctx.Err() == nil; n++ {
				i := random.IntN(counters)
				if err := count(t.Context(), i); err != nil {
					t.Error(err)
					return
				}
				counted[i].Add(1)
				key := fmt.Sprintf("own/%d/%d", c, random.IntN(200))
				if random.IntN(4) == 0 {
					if err := p.Delete(t.Context(), []byte(key), providers.DeleteOptions{}); err != nil {
						t.Error(err)
						return
					}
					delete(own[c], key)
				} else {
					value := fmt.Sprint(n)
					if _, err := p.Put(t.Context(), []byte(key), []byte(value), providers.PutOptions{}); err != nil {
						t.Error(err)
						return
					}
					own[c][key] = value
				}
				if sw.Over() {
					late.Add(1)
				} else {
					early.Add(1)
				}
			}
		})
	}
	if err := count(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	counted[0].Add(1)
	before, err := p.Get(t.Context(), []byte("counter/0"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := migrate.New().Live(sw).WithBatchSize(64).WithValidation(validated).Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for begun := late.Load(); late.Load() < begun+100 && !t.Failed(); { // the clients go on in the target
		runtime.Gosched()
	}
	stop()
	wg.Wait()
	if early.Load() == 0 || late.Load() == 0 || !sw.Over() || r.Validated != validated {
		t.Errorf("%d writes before, %d after, %+v", early.Load(), late.Load(), r)
	}
	if _, err := p.Put(t.Context(), []byte("counter/0"), []byte("0"), providers.PutOptions{IfRevision: before.Revision}); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("what was read before cutting over is overwritten after it: %v", err)
	}
	for i := range counters {
		if e, err := b.Get(t.Context(), fmt.Appendf(nil, "counter/%d", i)); err != nil || string(e.Value) != fmt.Sprint(counted[i].Load()) {
			t.Errorf("counter %d is %s, %v, and %d were counted", i, e.Value, err, counted[i].Load())
		}
	}
	want := contentOf(t, a)
	for key := range want {
		if strings.HasPrefix(key, "own/") || strings.HasPrefix(key, "counter/") {
			delete(want, key)
		}
	}
	for c := range own {
		for key, value := range own[c] {
			want[key] = fmt.Sprintf("%q false", value)
		}
	}
	for i := range counters {
		want[fmt.Sprintf("counter/%d", i)] = fmt.Sprintf("%q false", fmt.Sprint(counted[i].Load()))
	}
	same(t, contentOf(t, b), want)
}

// TestSwitchForgets: more keys are written meanwhile than are remembered.
func TestSwitchForgets(t *testing.T) {
	a, b := open(t, "memory", "a"), open(t, "memory", "b")
	fill(t, a, 100, 8)
	sw := migrate.NewSwitch(a, b)
	p := provide(t, sw.Store(), "switch")
	once := sync.OnceFunc(func() {
		var writes []driver.Write
		for i := range 1<<16 + 10 {
			writes = append(writes, driver.Write{Key: fmt.Appendf(nil, "flood/%d", i), Value: []byte("x")})
		}
		if err := p.BulkPut(t.Context(), writes); err != nil {
			t.Error(err)
		}
	})
	r, err := migrate.New().Live(sw).WithValidation(false).WithProgress(func(migrate.Progress) { once() }).Execute(t.Context())
	if err != nil || r.Passes < 2 {
		t.Errorf("%+v, %v", r, err)
	}
	same(t, contentOf(t, b), contentOf(t, a))
}

// TestSwitchConforms runs the suite over a Switch before it has cut over and after.
func TestSwitchConforms(t *testing.T) {
	for _, over := range []bool{false, true} {
		t.Run(fmt.Sprintf("over %v", over), func(t *testing.T) {
			var passed atomic.Int64 // ns by which the clock is ahead
			start := time.Now()
			now := func() time.Time { return start.Add(time.Since(start) + time.Duration(passed.Load())) }
			drivertest.Run(t, drivertest.Target{
				Name: "switch", Operations: 100, Advance: func(d time.Duration) { passed.Add(int64(d)) },
				Open: func(ctx context.Context, _ string) (driver.Store, error) {
					var sides [2]*providers.Provider
					for i := range sides {
						store, err := memory.Open(ctx, memory.Config{Now: now})
						if err != nil {
							return nil, err
						}
						sides[i] = providers.OpenStore(store, providers.Config{ExpireInterval: -1})
					}
					sw := migrate.NewSwitch(sides[0], sides[1])
					if over {
						if _, err := migrate.New().Live(sw).Execute(ctx); err != nil {
							return nil, err
						}
					}
					if sw.Over() != over {
						return nil, errors.New("it has cut over, or not")
					}
					return owning{sw.Store().(clocked), sides[0], sides[1]}, nil
				},
			})
		})
	}
}

// TestSwitchWaitsForSlowWrites: a write that was begun before its key was copied, and
// ends after that, is copied again.
func TestSwitchWaitsForSlowWrites(t *testing.T) {
	store := backends["memory"](t).(*memory.Store)
	begun, goOn := make(chan struct{}), make(chan struct{})
	a, b := provide(t, slow{store, begun, goOn}, "a"), open(t, "memory", "b")
	if _, err := a.Put(t.Context(), []byte("first"), nil, providers.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	sw := migrate.NewSwitch(a, b)
	p := provide(t, sw.Store(), "switch")
	put := make(chan error, 1)
	started := sync.OnceFunc(func() {
		go func() {
			_, err := p.Put(context.Background(), []byte("slow"), []byte("value"), providers.PutOptions{})
			put <- err
		}()
		<-begun
	})
	release := sync.OnceFunc(func() { close(goOn) })
	_, err := migrate.New().Live(sw).WithProgress(func(g migrate.Progress) {
		if started(); g.Phase == "catch up" {
			release()
			if err := <-put; err != nil {
				t.Error(err)
			}
			put <- nil
		}
	}).Execute(t.Context())
	release()
	if err := errors.Join(err, <-put); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Get(t.Context(), []byte("slow")); err != nil || string(e.Value) != "value" {
		t.Errorf("%q, %v", e.Value, err)
	}
}

// slow is a store in which puts of one key take their time.
type slow struct {
	*memory.Store
	begun, goOn chan struct{}
}

func (s slow) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if string(key) == "slow" {
		close(s.begun)
		<-s.goOn
	}
	return s.Store.Put(ctx, key, value, o)
}

type clocked interface {
	driver.Store
	driver.Committer
	driver.BatchGetter
	driver.BulkPutter
	driver.Clock
}

// owning is a Switch with whom its providers are closed.
type owning struct {
	clocked
	a, b *providers.Provider
}

func (s owning) Close() error {
	if err := s.clocked.Close(); err != nil {
		return err
	}
	return errors.Join(s.a.Close(), s.b.Close())
}

// TestUnderBarrier: where no Switch is, the barrier stops the writers.
func TestUnderBarrier(t *testing.T) {
	for _, watched := range []bool{false, true} {
		t.Run(fmt.Sprintf("watched %v", watched), func(t *testing.T) {
			var store driver.Store = backends["memory"](t)
			if watched {
				store = &telling{Store: store.(*memory.Store)}
			}
			a, b := provide(t, store, "a"), open(t, "memory", "b")
			fill(t, a, 2000, 9)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var wg sync.WaitGroup
			for c := range 2 {
				wg.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						if _, err := a.Put(t.Context(), fmt.Appendf(nil, "own/%d/%d", c, n%500), fmt.Append(nil, n), providers.PutOptions{}); err != nil {
							t.Error(err)
							return
						}
						if err := a.Delete(t.Context(), fmt.Appendf(nil, "own/%d/%d", c, (n+250)%500), providers.DeleteOptions{}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			released := false
			r, err := migrate.New().FromProvider(a).ToProvider(b).WithBatchSize(64).WithBarrier(func(context.Context) (func(), error) {
				stop()
				wg.Wait()
				return func() { released = true }, nil
			}).Execute(t.Context())
			if err != nil || !released || !r.Validated || r.Barrier == 0 {
				t.Fatalf("released %v, %+v, %v", released, r, err)
			}
			same(t, contentOf(t, b), contentOf(t, a))
		})
	}
	a, b := open(t, "memory", "a"), open(t, "memory", "b")
	fill(t, a, 10, 9)
	refuses := errors.New("they do not stop")
	if _, err := migrate.New().FromProvider(a).ToProvider(b).WithBarrier(func(context.Context) (func(), error) { return nil, refuses }).Execute(t.Context()); !errors.Is(err, refuses) {
		t.Error(err)
	}
}

// telling is a store that tells of writes, late, as watchers do.
type telling struct {
	*memory.Store
	mu       sync.Mutex
	told     []driver.Event
	watching bool
}

func (s *telling) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	c.Watch = true
	return c
}

func (s *telling) tell(e driver.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watching {
		s.told = append(s.told, e)
	}
}

func (s *telling) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	r, err := s.Store.Put(ctx, key, value, o)
	s.tell(driver.Event{Entry: driver.Entry{Key: bytes.Clone(key)}})
	return r, err
}

func (s *telling) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	err := s.Store.Delete(ctx, key, o)
	s.tell(driver.Event{Entry: driver.Entry{Key: bytes.Clone(key)}, Deleted: true})
	return err
}

// Watch implements driver.Watcher.
func (s *telling) Watch(ctx context.Context, _ []byte) iter.Seq2[driver.Event, error] {
	s.mu.Lock()
	s.watching = true
	s.mu.Unlock()
	return func(yield func(driver.Event, error) bool) {
		for ctx.Err() == nil {
			s.mu.Lock()
			told := s.told
			s.told = nil
			s.mu.Unlock()
			for _, e := range told {
				if !yield(e, nil) {
					return
				}
			}
			runtime.Gosched()
		}
		yield(driver.Event{}, ctx.Err())
	}
}

// TestConstantMemory: what is held while 200 MiB go by is a small part of them.
func TestConstantMemory(t *testing.T) {
	const entries, valueBytes = 200_000, 1 << 10
	a := provide(t, endless{backends["memory"](t).(*memory.Store), entries, valueBytes}, "a")
	b := provide(t, swallowing{backends["memory"](t).(*memory.Store)}, "b")
	var base, stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&base)
	var most, checks uint64
	r, err := migrate.New().FromProvider(a).ToProvider(b).WithValidation(false).WithProgress(func(p migrate.Progress) {
		if p.Entries%(16*1024) == 0 {
			runtime.GC()
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc-min(stats.HeapAlloc, base.HeapAlloc))
			checks++
		}
	}).Execute(t.Context())
	if err != nil || r.Entries != entries {
		t.Fatalf("%+v, %v", r, err)
	}
	if checks < 10 || most > 48<<20 {
		t.Errorf("%d MiB are held, of %d; looked %d times", most>>20, r.Bytes>>20, checks)
	}
}

// endless lists more than it holds.
type endless struct {
	*memory.Store
	entries, valueBytes int
}

func (s endless) Capabilities() driver.Capabilities {
	c := s.Store.Capabilities()
	c.Snapshot = false
	return c
}

func (s endless) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		for i := range s.entries {
			e := driver.Entry{Key: fmt.Appendf(nil, "%09d", i), Value: make([]byte, s.valueBytes), Revision: driver.NumberRevision(1)}
			if bytes.Compare(e.Key, o.After) > 0 && !yield(e, nil) {
				return
			}
		}
	}
}

// swallowing keeps nothing but the record.
type swallowing struct{ *memory.Store }

func (s swallowing) BulkPut(context.Context, []driver.Write) error { return nil }
