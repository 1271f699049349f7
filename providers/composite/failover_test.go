package composite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/check"
	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// TestFailovers: 200 in a row, each after another kind of failure of the side that
// serves or of the other, in the middle of writes. At most three requests fail each
// time, nothing acknowledged is lost, and the primary is level before it serves again.
func TestFailovers(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	random := rand.New(rand.NewPCG(1, 2))
	acked := map[string]string{}
	unsure := map[string]bool{}
	n, worst := 0, 0
	write := func() error {
		n++
		key, value := fmt.Sprint("k", random.IntN(50)), fmt.Sprint(n)
		err := p.put(key, value)
		switch {
		case err == nil:
			acked[key] = value
			delete(unsure, key)
		case errors.Is(err, driver.ErrOutcomeUnknown):
			unsure[key] = true
		}
		return err
	}
	check := func(when string) {
		t.Helper()
		for key, value := range acked {
			if got, err := p.get(key); err != nil || got != value && !unsure[key] {
				t.Fatalf("%s: %s is %q, %v; %q was acknowledged", when, key, got, err, value)
			} else if unsure[key] {
				acked[key] = got // it is what it is from now on
				delete(unsure, key)
			}
		}
	}
	for i := range 200 {
		for range random.IntN(5) {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		side := random.IntN(4) / 3 // mostly the primary
		how := []fault{dead, reset, lost, late, slow}[i%5]
		p.wires[side].set(how)
		failed := 0
		if i%7 == 6 { // nobody asks anything; the health checks find out
			p.wires[side].set(dead)
			for range 3 {
				p.tick()
			}
		} else if failed = p.fails(write); failed > 3 {
			t.Fatalf("failover %d: %d requests have failed", i, failed)
		}
		worst = max(worst, failed)
		p.serves([]string{"backup", "primary"}[side], true)
		check("alone")
		if random.IntN(2) == 0 {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		p.wires[side].arrive() // what was late arrives now
		check("after what was late")
		p.wires[side].set(sound)
		p.tick()
		p.serves("primary", false)
		check("level again")
		if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
			t.Fatalf("failover %d: the sides differ:\n%q\n%q", i, a, b)
		}
	}
	t.Logf("%d requests, at most %d failed in a failover", n, worst)
	if s := p.status(); s.Failovers < 200 {
		t.Errorf("%d failovers", s.Failovers)
	}
}

// TestFailedRequestsAtOnce: many clients in the middle of requests when the side that
// serves goes: those that can be repeated are.
func TestFailedRequestsAtOnce(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	for round := range 20 {
		p.wires[0].set([]fault{dead, reset, slow}[round%3])
		var group sync.WaitGroup
		var failed [8]int
		for client := range failed {
			group.Go(func() {
				for n := range 5 {
					if p.put(fmt.Sprint(client), fmt.Sprint(round, n)) != nil {
						failed[client]++
					}
				}
			})
		}
		group.Wait()
		sum := 0
		for _, n := range failed {
			sum += n
		}
		if sum > 3 {
			t.Fatalf("round %d: %d requests have failed", round, sum)
		}
		p.wires[0].set(sound)
		p.tick()
		p.serves("primary", false)
	}
}

// TestLinearizable: clients write and read while the sides come and go.
func TestLinearizable(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*composite.Config)
		sides  []int
	}{
		"single": {single, []int{0, 1}}, "both needed": {nil, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.open(c.change)
			var h check.History
			var mu sync.Mutex
			start := time.Now()
			now := func() int64 { return time.Since(start).Nanoseconds() }
			var clients, chaos sync.WaitGroup
			stop := make(chan struct{})
			chaos.Go(func() {
				random := rand.New(rand.NewPCG(3, 4))
				for {
					select {
					case <-stop:
						return
					default:
					}
					side := c.sides[random.IntN(len(c.sides))]
					p.wires[side].set([]fault{dead, reset, lost, late}[random.IntN(4)])
					for range random.IntN(5) {
						p.tick()
					}
					p.wires[side].arrive()
					p.wires[side].set(sound)
					p.wires[side].arrive()
					for range 2 + random.IntN(2) {
						p.tick()
					}
				}
			})
			for client := range 4 {
				clients.Go(func() {
					random := rand.New(rand.NewPCG(uint64(client), 9))
					for n := range 400 {
						key, value := string("ab"[random.IntN(2)]), fmt.Sprint(client, "-", n)
						op := check.Operation{Client: client, Call: now()}
						var err error
						write := random.IntN(2) == 0
						if write {
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
						op.Return = now()
						switch {
						case err == nil:
						case write && errors.Is(err, driver.ErrOutcomeUnknown):
							op.Return = check.Never
						case errors.Is(err, driver.ErrUnavailable):
							continue
						default:
							t.Errorf("client %d: %v", client, err)
							return
						}
						mu.Lock()
						h.Operations = append(h.Operations, op)
						mu.Unlock()
					}
				})
			}
			clients.Wait()
			close(stop)
			chaos.Wait()
			if len(h.Operations) < 100 || p.status().Failovers == 0 && c.change != nil {
				t.Fatalf("%d operations, %+v", len(h.Operations), p.status())
			}
			verdict, err := check.Referee{Timeout: 10 * time.Second}.Keys(&h)
			if err != nil {
				t.Fatal(err)
			}
			if verdict.Unknown > 0 {
				t.Logf("NOT DECIDED: %d of %d keys", verdict.Unknown, verdict.Parts)
			}
		})
	}
}

// TestWritesAreRefusedAlone: without allow_single writes need both sides, reads do not,
// and all goes on when both are back.
func TestWritesAreRefusedAlone(t *testing.T) {
	for side, name := range []string{"primary", "backup"} {
		w := newWorld(t)
		p := w.open(nil)
		p.mustPut("k", "1")
		p.wires[side].set(dead)
		for range 5 {
			if err := p.put("k", "2"); err == nil {
				t.Fatalf("%s: written to one side alone", name)
			}
		}
		err := p.put("k", "3")
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "allow_single") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s out: %v", name, err)
		}
		if got, err := p.get("k"); err != nil || got != "1" && got != "2" {
			t.Errorf("%s out: %q, %v", name, got, err)
		}
		p.wires[side].set(sound)
		p.tick()
		p.serves("primary", false)
		p.mustPut("k", "4")
		if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || p.status().Refusing != "" {
			t.Errorf("%s back: %q, %q, %+v", name, a, b, p.status())
		}
	}
}

// TestThreshold: pings and requests that fail count together, and one that succeeds
// begins its own count anew.
func TestThreshold(t *testing.T) {
	w := newWorld(t)
	p := w.open(func(c *composite.Config) { c.AllowSingle, c.FailoverThreshold = true, 4 })
	get := func() { _, _ = p.get("k") }
	p.wires[0].set(dead)
	p.tick()
	get()
	p.tick()
	p.serves("primary", false)
	p.wires[0].set(sound)
	get()
	p.tick()
	p.wires[0].set(dead)
	get()
	get()
	p.tick()
	p.serves("primary", false)
	get()
	p.serves("backup", true)
	// What answers pings alone is out, too.
	p = newWorld(t).open(func(c *composite.Config) { c.AllowSingle, c.FailoverThreshold = true, 4 })
	p.wires[0].set(deaf)
	for range 4 {
		p.serves("primary", false)
		get()
		p.tick()
	}
	p.serves("backup", true)
}

// TestRetries: a request that has not been applied is made again before it counts.
func TestRetries(t *testing.T) {
	w := newWorld(t)
	p := w.open(func(c *composite.Config) { c.AllowSingle, c.Primary.Retries = true, 2 })
	for _, failing := range []int{1, 2, 3} {
		p.wires[0].refuse.Store(int64(failing))
		before := p.wires[0].calls.Load()
		err := p.put("k", "v") // a commit of the backup, and then of the primary
		if n := p.wires[0].calls.Load() - before; (err != nil) != (failing == 3) || n != int64(min(failing+1, 3)) {
			t.Errorf("%d failures: %d calls, %v", failing, n, err)
		}
		p.wires[0].refuse.Store(0)
	}
}

// TestRestoredBeforeItServes: while the primary is brought level, the backup serves, and
// what is written meanwhile is on both; if the primary fails again, nothing is lost.
func TestRestoredBeforeItServes(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	for i := range 600 {
		p.mustPut(fmt.Sprint("k", i), "1")
	}
	p.wires[0].set(dead)
	p.fails(func() error { return p.put("k", "2") })
	for i := range 600 {
		p.mustPut(fmt.Sprint("k", i), "3")
	}
	// Each of the first calls to the primary is the last one, in turn.
	for n := int64(1); ; n++ {
		p.wires[0].set(sound)
		p.wires[0].calls.Store(0)
		limited := context.WithValue(t.Context(), limit{}, limit{p.wires[0], n})
		w.clock.Advance(time.Second)
		composite.Tick(limited, p.Store)
		if s := p.status(); s.Serving == "primary" {
			break
		}
		p.has("k599", "3")
		p.has("k", "2")
		if n > 50 {
			t.Fatalf("the primary does not come back: %+v", p.status())
		}
	}
	p.serves("primary", false)
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || len(a) != 601 {
		t.Errorf("%d rows and %d", len(a), len(b))
	}
}

// limit lets a wire be sound for so many calls.
type limit struct { // also its own key in a context
	wire *wire
	n    int64
}

// TestStaleRestore: a side that comes back otherwise than it was left is compared as a
// whole.
func TestStaleRestore(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	for i := range 1000 {
		p.mustPut(fmt.Sprint("k", i), "1")
	}
	p.wires[0].set(dead)
	p.fails(func() error { return p.put("k0", "2") })
	p.mustPut("k7", "2")
	if err := p.Delete(t.Context(), []byte("k8"), driver.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// The primary loses all, as a cache does that was restarted.
	for e, err := range w.stores[0].List(t.Context(), driver.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.stores[0].Delete(t.Context(), e.Key, driver.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	p.wires[0].set(sound)
	p.tick()
	p.serves("primary", false)
	p.has("k7", "2")
	p.has("k8", "-")
	p.has("k999", "1")
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
		t.Errorf("%d rows and %d", len(a), len(b))
	}
}

// TestWhatHoldsAcross a failover: revisions, conditions, fencing tokens, commits, times
// to live.
func TestWhatHoldsAcross(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	ctx := t.Context()
	r := p.mustPut("k", "1")
	if _, err := p.Put(ctx, []byte("fenced"), []byte("v"), driver.PutOptions{Fence: 7}); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(ctx, []byte("fenced"), driver.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Put(ctx, []byte("short"), []byte("v"), driver.PutOptions{TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(30 * time.Second)
	p.tick()
	commit := func(value string, r driver.Revision) error {
		m := &driver.Commit{Reads: []driver.Read{{Key: []byte("k"), Revision: r}}}
		for _, key := range []string{"k", "x", "y"} {
			m.Writes = append(m.Writes, driver.Write{Key: []byte(key), Value: []byte(value)})
		}
		return p.Store.(driver.Committer).Commit(ctx, m)
	}
	for i, serving := range []string{"backup", "primary"} {
		p.wires[i].set(dead)
		_ = p.fails(func() error { _, err := p.get("k"); return err })
		if i == 1 { // the primary serves, so that it is a write that finds out
			p.fails(func() error { return p.put("other", "v") })
		}
		p.serves(serving, true)
		e, err := p.Get(ctx, []byte("k"))
		if err != nil || e.Revision != r {
			t.Fatalf("%s: revision %s, %v; it was %s", serving, e.Revision, err, r)
		}
		if _, err := p.Put(ctx, []byte("fenced"), nil, driver.PutOptions{Fence: 6}); !errors.Is(err, driver.ErrFenced) {
			t.Errorf("%s: an old token: %v", serving, err)
		}
		if e, err := p.Get(ctx, []byte("short")); err != nil || e.ExpiresAt.Sub(w.clock.Now()) > 30*time.Second {
			t.Errorf("%s: %v, %v", serving, e.ExpiresAt, err)
		}
		if err := commit("c", driver.NumberRevision(r.Number()+1)); !errors.Is(err, driver.ErrConflict) {
			t.Errorf("%s: a commit at another revision: %v", serving, err)
		}
		if err := commit(serving, r); err != nil {
			t.Fatal(err)
		}
		if e, err = p.Get(ctx, []byte("k")); err != nil || e.Revision.Number() <= r.Number() {
			t.Fatalf("%s: %s after %s, %v", serving, e.Revision, r, err)
		}
		r = e.Revision
		p.wires[i].set(sound)
		p.tick()
		p.serves("primary", false)
		for _, key := range []string{"k", "x", "y"} {
			p.has(key, serving)
		}
	}
	w.clock.Advance(time.Minute)
	p.has("short", "-")
}

// TestCommitsAreWhole: a commit whose client fails between the sides is on both, or on
// none, when the sides are level again.
func TestCommitsAreWhole(t *testing.T) {
	w := newWorld(t)
	p := w.open(nil)
	for i, how := range []fault{dead, reset, lost, late} {
		for side := range 2 {
			value := fmt.Sprint(i, side)
			m := &driver.Commit{}
			for _, key := range []string{"x", "y", "z"} {
				m.Writes = append(m.Writes, driver.Write{Key: []byte(key), Value: []byte(value)})
			}
			p.wires[side].set(how)
			if err := p.Store.(driver.Committer).Commit(t.Context(), m); err == nil {
				t.Fatal("a commit with one side alone")
			}
			p.wires[side].set(sound)
			p.mustPut("k", value) // which sets right what is not
			p.wires[side].arrive()
			x, _ := p.get("x")
			p.has("y", x)
			p.has("z", x)
			if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
				t.Fatalf("%d, %d: the sides differ: %q, %q", how, side, a, b)
			}
		}
	}
}

// TestLateWritesDoNotArrive: a write of unknown outcome that is still under way cannot
// take the place of a later one.
func TestLateWritesDoNotArrive(t *testing.T) {
	for side := range 2 {
		w := newWorld(t)
		p := w.open(single)
		p.mustPut("k", "1")
		p.wires[side].set(late)
		if err := p.put("k", "late"); !errors.Is(err, driver.ErrOutcomeUnknown) {
			t.Fatal(err)
		}
		p.wires[side].set(sound)
		p.mustPut("k", "2")
		p.wires[side].arrive()
		p.has("k", "2")
		if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
			t.Errorf("the sides differ: %q, %q", a, b)
		}
	}
}

// TestSyncIntervalMends: in mode Synchronous what a failed write has left different is
// set right without another write.
func TestSyncIntervalMends(t *testing.T) {
	w := newWorld(t)
	p := w.open(func(c *composite.Config) { c.SyncInterval = 10 * time.Second })
	p.mustPut("k", "1")
	p.wires[0].set(dead)
	if err := p.put("k", "2"); !errors.Is(err, driver.ErrOutcomeUnknown) {
		t.Fatal(err)
	}
	p.wires[0].set(sound)
	if s := p.status(); s.Behind != 1 {
		t.Errorf("%+v", s)
	}
	w.clock.Advance(10 * time.Second)
	p.tick()
	if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || p.status().Behind != 0 {
		t.Errorf("%q, %q, %+v", a, b, p.status())
	}
	p.has("k", "1")
}
