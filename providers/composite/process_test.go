package composite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/composite"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// TestOneProcess: a second one is refused while the first is alive, takes over when it
// has been silent for its TTL, and what the first one writes then is refused on both
// sides, also where the second has written nothing.
func TestOneProcess(t *testing.T) {
	for name, change := range map[string]func(*composite.Config){
		"synchronous": nil, "single": single, "periodic": func(c *composite.Config) { c.Mode = composite.Periodic },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.open(change)
			first.mustPut("k", "1")
			if _, err := w.try(w.wires(), func(c *composite.Config) {
				if change != nil {
					change(c)
				}
				sleep := c.Sleep
				c.Sleep = func(ctx context.Context, d time.Duration) error { // the first lives
					err := sleep(ctx, d)
					composite.Tick(ctx, first.Store)
					return err
				}
			}); !errors.Is(err, driver.ErrLocked) || !strings.Contains(err.Error(), "alive") {
				t.Fatalf("a second process: %v", err)
			}
			before := w.clock.Now()
			second := w.open(change)
			if waited := w.clock.Now().Sub(before); waited < time.Minute {
				t.Errorf("taken over after %s; the TTL is a minute", waited)
			}
			for i := range 3 {
				if err := first.put(fmt.Sprint("new", i), "x"); !errors.Is(err, driver.ErrFenced) {
					t.Errorf("a write of who was silent: %v", err)
				}
			}
			if _, err := first.get("k"); !errors.Is(err, driver.ErrFenced) {
				t.Errorf("a read of who was silent: %v", err)
			}
			second.has("k", "1")
			for i := range 3 {
				second.has(fmt.Sprint("new", i), "-")
			}
			second.mustPut("k", "2")
			// It comes back when the other has gone.
			if err := second.Close(); err != nil {
				t.Fatal(err)
			}
			first.tick()
			first.has("k", "2")
			first.mustPut("k", "3")
		})
	}
}

// TestDeathInTheMiddle of a write: the next process makes both sides the same, and has
// all that was acknowledged, at whichever call the first one dies.
func TestDeathInTheMiddle(t *testing.T) {
	for _, name := range []string{"both", "alone"} {
		for side := range 2 {
			for n := range int64(4) {
				w := newWorld(t)
				p := w.open(single)
				p.mustPut("a", "1")
				if name == "alone" {
					p.wires[1-side].set(dead)
					p.fails(func() error { return p.put("a", "2") })
					p.mustPut("a", "3")
				}
				was, _ := p.get("a")
				p.wires[side].dieAfter(n)
				err := p.put("b", "1")
				composite.Die(p.Store)
				next := w.open(single)
				next.serves("primary", false)
				next.has("a", was)
				got, _ := next.get("b")
				if err == nil && got != "1" {
					t.Fatalf("%s, side %d, call %d: an acknowledged write is lost", name, side, n)
				}
				if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) {
					t.Fatalf("%s, side %d, call %d: the sides differ", name, side, n)
				}
			}
		}
	}
}

// TestPartition of two processes that both want to write, again and again: one reaches
// nothing but the primary, the other nothing but the backup. Nobody writes without both
// sides, and nothing acknowledged is lost.
func TestPartition(t *testing.T) {
	w := newWorld(t)
	acked := ""
	a := w.open(nil)
	for round := range 10 {
		value := fmt.Sprint("a", round)
		a.mustPut("k", value)
		acked = value
		// The wires are cut: a keeps the primary, b has nothing but the backup.
		a.wires[1].set(dead)
		wires := w.wires()
		wires[0].set(dead)
		for range 3 {
			a.tick()
		}
		b, err := w.try(wires, nil) // it waits for the TTL, and serves reads
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []*process{a, b} {
			for range 5 {
				if err := p.put("k", "one side"); err == nil {
					t.Fatalf("round %d: written to one side alone", round)
				}
			}
			if got, err := p.get("k"); err == nil && got != acked {
				t.Fatalf("round %d: %q; %q was acknowledged", round, got, acked)
			}
		}
		// The wires are whole again: exactly one of them goes on.
		a.wires[1].set(sound)
		wires[0].set(sound)
		b.tick()
		a.tick()
		errA, errB := a.put("k", "both"), b.put("k", "both")
		if (errA == nil) == (errB == nil) {
			t.Fatalf("round %d: %v, %v", round, errA, errB)
		}
		winner, loser := a, b
		if errA != nil {
			winner, loser = b, a
		}
		winner.has("k", "both")
		if _, err := loser.get("k"); err == nil {
			t.Fatalf("round %d: who has lost the lease goes on reading", round)
		}
		if err := winner.Close(); err != nil {
			t.Fatal(err)
		}
		loser.tick()
		loser.has("k", "both")
		a = loser
	}
}

// TestDivergence: two processes that were both alone with one side find that out, and
// overwrite nothing.
func TestDivergence(t *testing.T) {
	w := newWorld(t)
	a := w.open(single)
	a.mustPut("k", "both")
	a.wires[1].set(dead)
	wires := w.wires()
	wires[0].set(dead)
	a.fails(func() error { return a.put("k", "a") })
	b, err := w.try(wires, single)
	if err != nil {
		t.Fatal(err)
	}
	b.mustPut("k", "b")
	a.mustPut("k", "a")
	a.wires[1].set(sound)
	wires[0].set(sound)
	a.tick()
	b.tick()
	for _, p := range []*process{a, b} {
		if err := p.put("k", "c"); err == nil || errors.Is(err, driver.ErrOutcomeUnknown) {
			t.Errorf("written after a divergence: %v", err)
		}
	}
	if s := a.status().Refusing + b.status().Refusing; !strings.Contains(s, "both sides") {
		t.Errorf("%q", s)
	}
	if x, y := w.rows(0)["k"], w.rows(1)["k"]; !strings.HasSuffix(x, "a") || !strings.HasSuffix(y, "b") {
		t.Errorf("the sides have %q and %q", x, y)
	}
	composite.Die(a.Store)
	composite.Die(b.Store)
	if _, err := w.try(w.wires(), single); !errors.Is(err, driver.ErrConflict) {
		t.Errorf("opened after a divergence: %v", err)
	}
	// The operator gives up the backup.
	for e, err := range w.stores[1].List(t.Context(), driver.ListOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.stores[1].Delete(t.Context(), e.Key, driver.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	w.open(single).has("k", "a")
}

// TestOpening: with one side out, with one that is new, and with one that is not ours.
func TestOpening(t *testing.T) {
	out := func(w *world, side int, change func(*composite.Config)) (*process, error) {
		wires := w.wires()
		wires[side].set(dead)
		return w.try(wires, change)
	}
	for side, other := range []string{"backup", "primary"} {
		w := newWorld(t)
		if _, err := out(w, side, single); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("the first opening with one side: %v", err)
		}
		p := w.open(single)
		p.mustPut("k", "1")
		caps := p.Capabilities()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		p, err := out(w, side, single)
		if err != nil {
			t.Fatal(err)
		}
		p.serves(other, true)
		if p.Capabilities() != caps {
			t.Errorf("%+v; with both sides %+v", p.Capabilities(), caps)
		}
		p.mustPut("k", "2")
		p.wires[side].set(sound)
		p.tick()
		p.serves("primary", false)
		p.has("k", "2")
		// Alone at the end, and then the wrong side alone.
		p.wires[side].set(dead)
		p.fails(func() error { return p.put("k", "3") })
		p.mustPut("k", "4")
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if p, err := out(w, side, nil); err != nil {
			t.Errorf("with the side that was right: %v", err)
		} else if p.has("k", "4"); p.put("k", "5") == nil {
			t.Error("written to one side alone")
		} else {
			composite.Die(p.Store)
		}
		p = w.open(nil)
		p.serves("primary", false)
		p.has("k", "4")
	}
	w := newWorld(t)
	if _, err := w.stores[1].Put(t.Context(), []byte("foreign"), nil, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.wires(), nil); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("a backup with something else: %v", err)
	}
	w = newWorld(t)
	if _, err := w.stores[0].Put(t.Context(), []byte("\x00\x00c"), []byte(`{"version":2}`), driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(w.wires(), nil); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("a control of another version: %v", err)
	}
}

// TestReplacedSide: a new, empty side is filled from the other, whichever it is.
func TestReplacedSide(t *testing.T) {
	for side := range 2 {
		w := newWorld(t)
		p := w.open(nil)
		for i := range 700 {
			p.mustPut(fmt.Sprint(i), "v")
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		w.stores[side] = newWorld(t).stores[side]
		p = w.open(nil)
		p.serves("primary", false)
		if a, b := w.rows(0), w.rows(1); !maps.Equal(a, b) || len(a) != 700 {
			t.Errorf("%d rows and %d", len(a), len(b))
		}
	}
}

// TestCleanClosingIsNotCompared: nothing but controls is read at the next opening.
func TestCleanClosingIsNotCompared(t *testing.T) {
	w := newWorld(t)
	p := w.open(nil)
	for i := range 1000 {
		p.mustPut(fmt.Sprint(i), "v")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = w.open(nil)
	p.serves("primary", false)
	if n := p.wires[0].calls.Load() + p.wires[1].calls.Load(); n > 10 {
		t.Errorf("%d calls for an opening", n)
	}
}

// TestReadsEndWithTheLease: who was silent for its TTL reads nothing before it knows
// that it still has the lease.
func TestReadsEndWithTheLease(t *testing.T) {
	w := newWorld(t)
	p := w.open(single)
	p.mustPut("k", "1")
	w.clock.Advance(time.Minute)
	p.has("k", "1") // it is renewed
	w.clock.Advance(time.Minute)
	p.wires[1].set(dead)
	if got, err := p.get("k"); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("%q, %v", got, err)
	}
}
