package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/lease"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/node"
	"github.com/orbit-persistence/orbit/providers/pebble"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests let go on.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(1e18)
	return c
}
func (c *clock) Now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) Advance(d time.Duration) { c.nanos.Add(int64(d)) }

func memoryStore(t testing.TB, now func() time.Time) driver.Store {
	s, err := memory.Open(context.Background(), memory.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func provider(t testing.TB, s driver.Store) *providers.Provider {
	p := providers.OpenStore(s, providers.Config{})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// both runs a test over a store with a clock and commits, and over one with
// compare-and-swap alone and no clock.
func both(t *testing.T, run func(t *testing.T, p *providers.Provider, d *lease.Directory, c *clock)) {
	for _, name := range []string{"native", "cas"} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s := memoryStore(t, c.Now)
			if name == "cas" {
				s = drivertest.CASOnly(s)
			}
			p := provider(t, s)
			run(t, p, lease.New(p, lease.Options{Now: c.Now}), c)
		})
	}
}

var (
	one, two = node.ID{Namespace: "n", Key: "1"}, node.ID{Namespace: "n", Key: "2"}
	player   = lease.Reference{Type: "Player", Key: lease.StringKey("42")}
)

func collect(t testing.TB, seq iter.Seq2[lease.Lease, error]) []lease.Lease {
	t.Helper()
	var all []lease.Lease
	for l, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestDirectory(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider, d *lease.Directory, c *clock) {
		ctx := t.Context()
		_, err := d.Get(ctx, player)
		wants(t, "get of nothing", err, driver.ErrNotFound)
		l := lease.Lease{Reference: player, Node: one, ExpiresAt: c.Now().Add(time.Minute).UTC(), RenewAt: c.Now().Add(time.Second).UTC()}
		wants(t, "update of nothing", d.Update(ctx, l), driver.ErrNotFound)
		ok(t, d.Store(ctx, l))
		if got, err := d.Get(ctx, player); err != nil || got != l {
			t.Errorf("got %+v, %v, want %+v", got, err, l)
		}
		// Keys that show alike are not alike.
		for i, k := range []lease.Key{lease.Int32Key(42), lease.Int64Key(42), lease.NoKey(), lease.StringKey("")} {
			_, err := d.Get(ctx, lease.Reference{Type: "Player", Key: k})
			wants(t, fmt.Sprint("key ", i), err, driver.ErrNotFound)
		}
		number := lease.Lease{Reference: lease.Reference{Type: "N", Key: lease.Int64Key(42)}, Node: one}
		ok(t, d.Store(ctx, number))
		_, err = d.Get(ctx, lease.Reference{Type: "N", Key: lease.Int32Key(42)})
		wants(t, "a number of another size", err, driver.ErrNotFound)
		if was, err := d.Remove(ctx, number.Reference); !was || err != nil {
			t.Errorf("remove: %t, %v", was, err)
		}
		_, err = d.Get(ctx, lease.Reference{Type: "Playe", Key: lease.StringKey("r42")})
		wants(t, "another type", err, driver.ErrNotFound)
		// It moves to another node, and the lists with it.
		if got := collect(t, d.ListNode(ctx, one)); len(got) != 1 || got[0] != l {
			t.Errorf("node 1 has %+v", got)
		}
		l.Node = two
		ok(t, d.Update(ctx, l))
		if a, b := collect(t, d.ListNode(ctx, one)), collect(t, d.ListNode(ctx, two)); len(a) != 0 || len(b) != 1 || b[0] != l {
			t.Errorf("node 1 has %+v, node 2 %+v", a, b)
		}
		// It expires.
		never := lease.Lease{Reference: lease.Reference{Type: "Ever"}, Node: two}
		ok(t, d.Store(ctx, never))
		c.Advance(time.Minute)
		_, err = d.Get(ctx, player)
		wants(t, "get of what has expired", err, driver.ErrNotFound)
		wants(t, "update of what has expired", d.Update(ctx, l), driver.ErrNotFound)
		if got := collect(t, d.List(ctx)); len(got) != 1 || got[0] != never {
			t.Errorf("all: %+v", got)
		}
		if got := collect(t, d.ListNode(ctx, two)); len(got) != 1 || got[0] != never {
			t.Errorf("of node 2: %+v", got)
		}
		all := lease.New(p, lease.Options{Now: c.Now, IncludeExpired: true})
		if got, err := all.Get(ctx, player); err != nil || got != l || len(collect(t, all.List(ctx))) != 2 {
			t.Errorf("expired ones included: %+v, %v", got, err)
		}
		if n, err := d.CleanupExpired(ctx); n != 1 || err != nil {
			t.Errorf("cleanup removes %d, %v", n, err)
		}
		if n, err := d.CleanupExpired(ctx); n != 0 || err != nil {
			t.Errorf("cleanup again removes %d, %v", n, err)
		}
		_, err = all.Get(ctx, player)
		wants(t, "get of what was cleaned up", err, driver.ErrNotFound)
		for want := range 2 {
			was, err := d.Remove(ctx, never.Reference)
			if was != (want == 0) || err != nil {
				t.Errorf("remove: %t, %v", was, err)
			}
		}
		// Nothing is left behind.
		for e, err := range p.List(ctx, providers.ListOptions{}) {
			t.Errorf("%q is left, %v", e.Key, err)
		}
		for what, l := range map[string]lease.Lease{"no type": {Node: one}, "no node": {Reference: player}} {
			wants(t, what, d.Store(ctx, l), driver.ErrInvalid)
			wants(t, what, d.StoreBulk(ctx, []lease.Lease{l}), driver.ErrInvalid)
		}
	})
}

// TestIndexIsExact: whatever is done to leases, each node's list is what a look at all
// leases gives, and so after bulks of the same ones.
func TestIndexIsExact(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider, d *lease.Directory, c *clock) {
		random := rand.New(rand.NewPCG(1, 1))
		model := map[lease.Reference]lease.Lease{}
		// Two clients take turns, so that what one remembers is old.
		clients := []*lease.Directory{d, lease.New(p, lease.Options{Now: c.Now})}
		ref := func() lease.Reference {
			return lease.Reference{Type: "T", Key: lease.Int64Key(int64(random.IntN(40)) - 20)}
		}
		some := func() lease.Lease {
			return lease.Lease{Reference: ref(), Node: node.ID{Key: strconv.Itoa(1 + random.IntN(3))}}
		}
		for range 300 {
			d := clients[random.IntN(2)]
			switch random.IntN(5) {
			case 0, 1:
				l := some()
				ok(t, d.Store(t.Context(), l))
				model[l.Reference] = l
			case 2:
				r := ref()
				_, there := model[r]
				was, err := d.Remove(t.Context(), r)
				if err != nil || was != there {
					t.Fatalf("remove %s: %t, %v, want %t", r, was, err, there)
				}
				delete(model, r)
			case 3:
				var bulk []lease.Lease
				for range random.IntN(12) {
					l := some()
					bulk = append(bulk, l)
					model[l.Reference] = l
				}
				ok(t, d.StoreBulk(t.Context(), bulk))
			case 4:
				var refs []lease.Reference
				want := 0
				for range random.IntN(6) {
					r := ref()
					if _, there := model[r]; there {
						want++
					}
					delete(model, r)
					refs = append(refs, r)
				}
				if n, err := d.RemoveBulk(t.Context(), refs); n != want || err != nil {
					t.Fatalf("bulk removes %d, %v, want %d", n, err, want)
				}
			}
			all := 0
			for n := 1; n <= 3; n++ {
				id := node.ID{Key: strconv.Itoa(n)}
				for _, l := range collect(t, d.ListNode(t.Context(), id)) {
					if l != model[l.Reference] || l.Node != id {
						t.Fatalf("node %s lists %+v, want %+v", id, l, model[l.Reference])
					}
					all++
				}
			}
			if listed := collect(t, d.List(t.Context())); all != len(model) || len(listed) != len(model) {
				t.Fatalf("%d leases by node, %d in all, want %d", all, len(listed), len(model))
			}
		}
		index := 0
		for _, err := range p.List(t.Context(), providers.ListOptions{Prefix: []byte("lease-by-node/")}) {
			ok(t, err)
			index++
		}
		if index != len(model) {
			t.Errorf("the index has %d entries of %d", index, len(model))
		}
	})
}

// TestListNodeCostsItsAnswer: it reads what it shows, whatever else is stored.
func TestListNodeCostsItsAnswer(t *testing.T) {
	m := memoryStore(t, nil)
	var seen atomic.Int64
	p := provider(t, counting{m, m.(driver.Committer), m.(driver.Clock), m.(driver.BatchGetter), &seen})
	d := lease.New(p, lease.Options{})
	leases := make([]lease.Lease, 20_000)
	for i := range leases {
		leases[i] = lease.Lease{Reference: lease.Reference{Type: "T", Key: lease.Int64Key(int64(i))}, Node: one}
		if i%1000 == 0 {
			leases[i].Node = two
		}
	}
	ok(t, d.StoreBulk(t.Context(), leases))
	seen.Store(0)
	if got := collect(t, d.ListNode(t.Context(), two)); len(got) != 20 {
		t.Errorf("%d leases of 20", len(got))
	}
	if n := seen.Load(); n > 50 {
		t.Errorf("a list of 20 leases has read %d entries", n)
	}
}

// counting counts the entries that are read.
type counting struct {
	driver.Store
	driver.Committer
	driver.Clock
	getter driver.BatchGetter
	seen   *atomic.Int64
}

func (c counting) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	c.seen.Add(1)
	return c.Store.Get(ctx, key)
}
func (c counting) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	c.seen.Add(int64(len(keys)))
	return c.getter.GetMany(ctx, keys)
}
func (c counting) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		for e, err := range c.Store.List(ctx, o) {
			c.seen.Add(1)
			if !yield(e, err) {
				return
			}
		}
	}
}

// over is a store that says that a wire leads to it, and keeps the size of its largest commit.
type over struct {
	counting
	largest *int
}

func (o over) Capabilities() driver.Capabilities {
	c := o.counting.Capabilities()
	c.Remote = true
	return c
}

func (o over) Commit(ctx context.Context, m *driver.Commit) error {
	*o.largest = max(*o.largest, len(m.Writes))
	return o.counting.Commit(ctx, m)
}

// TestBulkOverAWire: a bulk goes in commits that end in time where each write is several
// requests, though the store would take larger ones.
func TestBulkOverAWire(t *testing.T) {
	m := memoryStore(t, nil)
	var largest int
	d := lease.New(provider(t, over{counting{m, m.(driver.Committer), m.(driver.Clock), m.(driver.BatchGetter), new(atomic.Int64)}, &largest}), lease.Options{})
	leases := make([]lease.Lease, 1000)
	refs := make([]lease.Reference, len(leases))
	for i := range leases {
		refs[i] = lease.Reference{Type: "T", Key: lease.Int64Key(int64(i))}
		leases[i] = lease.Lease{Reference: refs[i], Node: one}
	}
	ok(t, d.StoreBulk(t.Context(), leases))
	if n, err := d.RemoveBulk(t.Context(), refs); n != len(refs) || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	if largest < 2 || largest > 96 {
		t.Errorf("the largest commit had %d writes", largest)
	}
}

// TestBulk stores 100,000 leases.
func TestBulk(t *testing.T) {
	p := provider(t, memoryStore(t, nil))
	d := lease.New(p, lease.Options{})
	leases := make([]lease.Lease, 100_000)
	refs := make([]lease.Reference, len(leases))
	for i := range leases {
		refs[i] = lease.Reference{Type: fmt.Sprint("T", i%20), Key: lease.StringKey(fmt.Sprint("actor-", i))}
		leases[i] = lease.Lease{Reference: refs[i], Node: node.ID{Key: fmt.Sprint(i % 5)}, ExpiresAt: time.Now().Add(time.Hour).Round(0).UTC()}
	}
	ok(t, d.StoreBulk(t.Context(), leases))
	if got, err := d.Get(t.Context(), refs[77_777]); err != nil || got != leases[77_777] {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := len(collect(t, d.ListNode(t.Context(), node.ID{Key: "3"}))); got != 20_000 {
		t.Errorf("node 3 has %d", got)
	}
	if n, err := d.RemoveBulk(t.Context(), refs); n != len(refs) || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	for e, err := range p.List(t.Context(), providers.ListOptions{}) {
		t.Fatalf("%q is left, %v", e.Key, err)
	}
}

func TestAcquire(t *testing.T) {
	both(t, func(t *testing.T, p *providers.Provider, d *lease.Directory, c *clock) {
		ctx := t.Context()
		// The other contender has a clock of its own, an hour off, where the backend has
		// none.
		off := newClock()
		off.nanos.Store(c.nanos.Load() + int64(time.Hour))
		other := lease.New(p, lease.Options{Now: off.Now})
		pass := func(d time.Duration) { c.Advance(d); off.Advance(d) }

		h, err := d.Acquire(ctx, player, one, time.Minute)
		ok(t, err)
		if h.Token == 0 || h.Node != one {
			t.Errorf("%+v", h)
		}
		for range 3 { // a contender looks in on it, for less than the TTL
			_, err = other.Acquire(ctx, player, two, time.Minute)
			wants(t, "acquire what is held", err, driver.ErrConflict)
			pass(15 * time.Second)
		}
		h, err = d.Renew(ctx, h)
		ok(t, err)
		pass(45 * time.Second)
		_, err = other.Acquire(ctx, player, two, time.Minute)
		wants(t, "acquire what was renewed", err, driver.ErrConflict)
		pass(15 * time.Second) // by the backend's clock it is over
		if !p.Capabilities().Clock {
			_, err = other.Acquire(ctx, player, two, time.Minute)
			wants(t, "acquire what was seen for 15 s of 60", err, driver.ErrConflict)
			pass(45 * time.Second)
		}
		h2, err := other.Acquire(ctx, player, two, time.Minute)
		ok(t, err)
		if h2.Token <= h.Token {
			t.Errorf("token %d after %d", h2.Token, h.Token)
		}
		_, err = d.Renew(ctx, h)
		wants(t, "renew what another has", err, driver.ErrConflict)
		ok(t, d.Release(ctx, h)) // which is not its any more
		_, err = d.Acquire(ctx, player, one, time.Minute)
		wants(t, "acquire what another has", err, driver.ErrConflict)
		if got := collect(t, d.ListNode(ctx, two)); len(got) != 1 || got[0].Token != h2.Token {
			t.Errorf("node 2 has %+v", got)
		}
		// The old holder is fenced out.
		key := []byte("state of the player")
		_, err = p.Put(ctx, key, []byte("2"), providers.PutOptions{Fence: h2.Token})
		ok(t, err)
		_, err = p.Put(ctx, key, []byte("1"), providers.PutOptions{Fence: h.Token})
		wants(t, "a write of the old holder", err, driver.ErrFenced)
		// Released, it can be had at once; removed, its tokens go on.
		ok(t, other.Release(ctx, h2))
		_, err = d.Get(ctx, player)
		wants(t, "get of what was released", err, driver.ErrNotFound)
		h3, err := d.Acquire(ctx, player, one, time.Minute)
		ok(t, err)
		if was, err := d.Remove(ctx, player); !was || err != nil {
			t.Errorf("remove: %t, %v", was, err)
		}
		_, err = d.Renew(ctx, h3)
		wants(t, "renew what was removed", err, driver.ErrConflict)
		h4, err := other.Acquire(ctx, player, two, time.Minute)
		ok(t, err)
		ok(t, d.Store(ctx, lease.Lease{Reference: player, Node: one, ExpiresAt: c.Now().Add(time.Second)}))
		pass(time.Hour)
		if n, err := d.CleanupExpired(ctx); n != 1 || err != nil {
			t.Errorf("cleanup: %d, %v", n, err)
		}
		h5, err := d.Acquire(ctx, player, one, time.Minute)
		ok(t, err)
		tokens := []uint64{h.Token, h2.Token, h3.Token, h4.Token, h5.Token}
		if !slices.IsSorted(tokens) || len(slices.Compact(tokens)) != 5 {
			t.Errorf("tokens are %d", tokens)
		}
		// A holder that is late stops, even if nobody has come.
		pass(time.Minute)
		_, err = d.Renew(ctx, h5)
		wants(t, "renew what has expired", err, driver.ErrConflict)
		// A node acquires what it holds itself; its older self is out.
		h6, err := d.Acquire(ctx, player, one, time.Minute)
		ok(t, err)
		h7, err := d.Acquire(ctx, player, one, time.Minute)
		ok(t, err)
		_, err = d.Renew(ctx, h6)
		wants(t, "renew by an older self", err, driver.ErrConflict)
		_, err = d.Renew(ctx, h7)
		ok(t, err)
		_, err = d.Acquire(ctx, player, one, 0)
		wants(t, "a TTL of 0", err, driver.ErrInvalid)
	})
}

// TestOneHolder: contenders with clocks an hour off, over a wire that fails, never hold
// a lease at one time in the store's order, and what is fenced never goes back.
func TestOneHolder(t *testing.T) {
	for _, native := range []bool{true, false} {
		t.Run(fmt.Sprint("native=", native), func(t *testing.T) {
			c := newClock()
			base := memoryStore(t, c.Now)
			if !native {
				base = drivertest.CASOnly(base)
			}
			defer base.Close()
			type event struct{ token, holder uint64 }
			var mu sync.Mutex
			var wins []event
			var group sync.WaitGroup
			for i := range uint64(4) {
				random := rand.New(rand.NewPCG(i, 3))
				var rmu sync.Mutex
				chance := func(n int) bool { rmu.Lock(); defer rmu.Unlock(); return random.IntN(n) == 0 }
				f := &drivertest.Faulty{Store: base,
					Before: func(context.Context, drivertest.Call) error {
						if chance(25) {
							return driver.ErrUnavailable
						}
						return nil
					},
					After: func(_ context.Context, call drivertest.Call) error {
						if call.Op != "get" && call.Op != "list" && chance(25) {
							return driver.ErrOutcomeUnknown
						}
						return nil
					}}
				p := client(f, base)
				skew := time.Duration(int64(i)-2) * time.Hour
				d := lease.New(p, lease.Options{Now: func() time.Time { return c.Now().Add(skew) }})
				id := node.ID{Key: fmt.Sprint(i)}
				group.Go(func() {
					defer p.Close()
					for n, won := 0, 0; n < 150 || won < 3 && n < 100_000; n++ {
						runtime.Gosched()
						c.Advance(time.Second)
						h, err := d.Acquire(context.Background(), player, id, 5*time.Second)
						if err != nil {
							continue
						}
						mu.Lock()
						wins = append(wins, event{h.Token, i})
						won++
						mu.Unlock()
						for range 2 {
							data := strconv.AppendUint(nil, h.Token, 10)
							_, err = p.Put(context.Background(), []byte("protected"), data, providers.PutOptions{Fence: h.Token})
							if err != nil && !errors.Is(err, driver.ErrFenced) && !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, driver.ErrOutcomeUnknown) {
								t.Error(err)
								return
							}
							if h, err = d.Renew(context.Background(), h); err != nil {
								break
							}
						}
						if err == nil && chance(3) {
							d.Release(context.Background(), h)
						}
					}
				})
			}
			last, stop, watched := uint64(0), make(chan struct{}), make(chan struct{})
			reader := client(base, base)
			defer reader.Close()
			go func() {
				defer close(watched)
				for stopped, more := false, true; more; more = !stopped {
					select {
					case <-stop:
						stopped = true // and look once more
					default:
					}
					e, err := reader.Get(context.Background(), []byte("protected"))
					if err != nil {
						continue
					}
					n, err := strconv.ParseUint(string(e.Value), 10, 64)
					if err != nil || n < last {
						t.Errorf("the protected entry goes from token %d to %d, %v", last, n, err)
						return
					}
					last = n
				}
			}()
			group.Wait()
			close(stop)
			<-watched
			seen := map[uint64]bool{}
			holders := map[uint64]bool{}
			for _, w := range wins {
				if seen[w.token] {
					t.Errorf("token %d is given twice", w.token)
				}
				seen[w.token], holders[w.holder] = true, true
			}
			if len(wins) < 10 || len(holders) < 2 || last == 0 {
				t.Errorf("only %d acquisitions by %d holders, the last write with token %d", len(wins), len(holders), last)
			}
		})
	}
}

// client opens a provider over s, which commits as base does, and leaves it open.
func client(s, base driver.Store) *providers.Provider {
	c := providers.Config{TransactionTimeout: 20 * time.Millisecond}
	if m, ok := base.(*memory.Store); ok {
		return providers.OpenStore(keptNative{s, m, m}, c)
	}
	return providers.OpenStore(kept{s}, c)
}

// kept is a store that Close leaves open, with no more than a Store.
type kept struct{ driver.Store }

func (kept) Close() error { return nil }

// keptNative is one that commits, and has a clock.
type keptNative struct {
	driver.Store
	driver.Committer
	driver.Clock
}

func (keptNative) Close() error { return nil }

func TestReferenceText(t *testing.T) {
	for _, k := range []lease.Key{lease.StringKey("42"), lease.Int32Key(42), lease.Int64Key(42), lease.NoKey(), lease.StringKey(""), lease.Int64Key(math.MinInt64), lease.Int32Key(-1)} {
		data, err := json.Marshal(lease.Reference{Type: "T", Key: k})
		ok(t, err)
		var back lease.Reference
		if err := json.Unmarshal(data, &back); err != nil || back.Key != k {
			t.Errorf("%s becomes %v, %v", data, back, err)
		}
	}
	if player.String() != "Player:42" {
		t.Errorf("shown as %s", player)
	}
	for _, bad := range []string{`42`, `{}`, `{"int32":1,"int64":1}`, `{"int32":2147483648}`, `[]`} {
		var k lease.Key
		wants(t, bad, json.Unmarshal([]byte(bad), &k), driver.ErrInvalid)
	}
}

// BenchmarkGet gets leases of a million in memory: half of them in 1.5 µs is wanted.
func BenchmarkGet(b *testing.B) {
	p := provider(b, memoryStore(b, nil))
	d := lease.New(p, lease.Options{})
	const n = 1_000_000
	refs := fill(b, d, n)
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if _, err := d.Get(b.Context(), refs[i*7919%n]); err != nil {
			b.Fatal(err)
		}
		if len(took) < 1<<22 {
			took = append(took, time.Since(start))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
}

// BenchmarkStore stores leases over Pebble, acknowledged from memory, by one client:
// 150,000/s are wanted one by one, 400,000/s in bulk. Beside each stands what Pebble
// itself takes for the same rows, without a question of what was there before.
func BenchmarkStore(b *testing.B) {
	directory := func(b *testing.B) *lease.Directory {
		c := pebble.Defaults()
		c.DataDir, c.Durability = b.TempDir(), engine.Memory
		s, err := pebble.Open(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		return lease.New(provider(b, s), lease.Options{})
	}
	const n = 200_000
	leases := make([]lease.Lease, n)
	fresh := func(round int) { // others than in every round before
		for i := range leases {
			leases[i] = lease.Lease{
				Reference: lease.Reference{Type: fmt.Sprint("Type", i%20), Key: lease.StringKey(fmt.Sprintf("actor-%d-%08d", round, i))},
				Node:      node.ID{Namespace: "default", Key: fmt.Sprint("node-", i%5)}, ExpiresAt: time.Now().Add(time.Hour),
			}
		}
	}
	store := func(b *testing.B, d *lease.Directory, l lease.Lease) {
		if err := d.Store(b.Context(), l); err != nil {
			b.Fatal(err)
		}
	}
	bulk := func(b *testing.B, d *lease.Directory) {
		if err := d.StoreBulk(b.Context(), leases); err != nil {
			b.Fatal(err)
		}
	}
	// times runs one round of n for each iteration, which pass does not make longer.
	times := func(b *testing.B, prepare func(round int), pass func()) {
		var took time.Duration
		cpu := processTime(b)
		var worked int64
		for round := range b.N {
			b.StopTimer()
			prepare(round)
			b.StartTimer()
			start, before := time.Now(), cpu()
			pass()
			took += time.Since(start)
			worked += cpu() - before
		}
		b.ReportMetric(float64(n)*float64(b.N)/took.Seconds(), "leases/s")
		b.ReportMetric(float64(worked)/float64(n)/float64(b.N), "cpu-ns/lease")
	}
	b.Run("new", func(b *testing.B) {
		d := directory(b)
		times(b, fresh, func() {
			for _, l := range leases {
				store(b, d, l)
			}
		})
	})
	b.Run("renew", func(b *testing.B) {
		d := directory(b)
		fresh(0)
		bulk(b, d)
		for i := range 10_000 {
			store(b, d, leases[i])
		}
		times(b, func(int) {}, func() {
			for i := range leases {
				store(b, d, leases[i*7919%10_000])
			}
		})
	})
	b.Run("bulk", func(b *testing.B) {
		d := directory(b)
		times(b, fresh, func() { bulk(b, d) })
	})
	b.Run("bulk-again", func(b *testing.B) { // renewals of all
		d := directory(b)
		fresh(0)
		bulk(b, d)
		times(b, func(int) {}, func() { bulk(b, d) })
	})
	for name, rows := range map[string]int{"pebble-new": 1, "pebble-bulk": 1000} {
		b.Run(name, func(b *testing.B) {
			e, err := pebbledb.Open(b.TempDir(), pebbledb.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			index, records := make([][]byte, n), make([][]byte, n)
			value := make([]byte, 70)
			times(b, func(round int) {
				for i := range records {
					index[i] = fmt.Appendf(nil, "lease-by-node/default\x00node-%d\x00Type%d\x00\x04actor-%d-%08d", i/(n/5), i/(n/20)%4, round, i)
					records[i] = fmt.Appendf(nil, "lease/Type%d\x00\x04actor-%d-%08d", i/(n/20), round, i)
				}
			}, func() {
				var batch engine.Batch
				for i := 0; i < n; i += rows {
					batch.Reset()
					for j := i; j < i+rows; j++ {
						batch.Put(index[j], nil)
					}
					for j := i; j < i+rows; j++ {
						batch.Put(records[j], value)
					}
					if err := e.Apply(b.Context(), &batch, engine.Memory); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// processTime returns what tells the time that all processors have spent on the
// process: other processes take from the time of day, and not from that.
func processTime(b *testing.B) func() int64 {
	return func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
}

func fill(b *testing.B, d *lease.Directory, n int) []lease.Reference {
	refs := make([]lease.Reference, n)
	leases := make([]lease.Lease, n)
	for i := range refs {
		refs[i] = lease.Reference{Type: fmt.Sprint("Type", i%20), Key: lease.StringKey(fmt.Sprintf("actor-%08d", i))}
		leases[i] = lease.Lease{Reference: refs[i], Node: node.ID{Namespace: "default", Key: fmt.Sprint("node-", i%5)}, ExpiresAt: time.Now().Add(time.Hour)}
	}
	b.ResetTimer()
	if err := d.StoreBulk(b.Context(), leases); err != nil {
		b.Fatal(err)
	}
	return refs
}
