package lsm

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// paced is an engine of which there is only what decides about the pace.
func paced(t *testing.T, o Options) *Engine {
	t.Helper()
	o, err := o.complete()
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{}
	prepare(e, o)
	return e
}

// at sets the pace for so many in the queue and runs at the top, and returns the rate.
func (e *Engine) at(queue, top int, now time.Time) float64 {
	l := emptyLevels(e.options.Levels)
	for range top {
		l.top = append(l.top, newRun(1, nil))
	}
	e.state.Store(&state{queue: make([]*queued, queue), levels: l})
	e.setPace(now)
	return e.pace.rate
}

// TestPaceOfFlushes: while there are few memtables in the queue nobody is slowed; then to
// about what flushes do, and the more there are the less, but never to a standstill; with
// the queue full, to less than flushes do, so that it empties.
func TestPaceOfFlushes(t *testing.T) {
	now := time.Now()
	for _, most := range []int{2, 3, 4, 10} {
		e := paced(t, Options{MaxMemtables: most})
		for n := range most + 20 {
			if r := e.at(n, 0, now); r != 0 {
				t.Fatalf("of %d memtables %d wait, and without a rate known the rate is %v", most, n, r)
			}
		}
		e.pace.flushes.rate = 1000
		last := math.Inf(1)
		for n := range most + 20 {
			r := e.at(n, 0, now)
			if r == 0 {
				r = math.Inf(1)
			}
			full := n >= most-1
			if r > last || r < 100 || full && r >= 1000 || n < most-2 && !math.IsInf(r, 1) || n == 0 && !math.IsInf(r, 1) {
				t.Errorf("of %d memtables %d wait: %v, and %v with one less", most, n, r, last)
			}
			last = r
		}
	}
}

// TestPaceOfMerges: up to the soft bound of runs nobody is slowed; from there on down to half
// of what merges do at the hard bound, and no further.
func TestPaceOfMerges(t *testing.T) {
	e := paced(t, Options{})
	now := time.Now()
	if r := e.at(0, 1000, now); r != 0 {
		t.Fatalf("without a rate known the rate is %v", r)
	}
	e.pace.merges.rate = 1000
	last := math.Inf(1)
	for n := range e.hardRuns() + 20 {
		r := e.at(0, n, now)
		switch {
		case n <= e.softRuns() && r != 0, n > e.softRuns() && (r <= 0 || r > 2000 || r > last), n >= e.hardRuns() && r != 500:
			t.Errorf("%d runs: %v, and %v with one less", n, r, last)
		}
		if r > 0 {
			last = r
		}
	}
	// The lower of the two counts.
	e.pace.flushes.rate = 100
	if r := e.at(e.options.MaxMemtables-1, e.hardRuns(), now); r >= 100 || r <= 0 {
		t.Errorf("rate %v", r)
	}
	e.pace.due = now.Add(time.Hour)
	if e.at(0, 0, now); e.pace.rate != 0 || !e.pace.due.IsZero() {
		t.Error("what was owed is still owed when there is nothing to wait for")
	}
}

// TestEstimate: rates come near to what is measured, and one measurement does not decide.
// Before there is one, and where work takes longer than it did, what is under way counts.
func TestEstimate(t *testing.T) {
	var w work
	now := time.Now()
	took := func(bytes int64, d time.Duration) {
		w.begin(bytes, now)
		now = now.Add(d)
		w.end(true, now)
	}
	expect := func(what string, least, most float64) {
		t.Helper()
		if r := w.estimate(now); r < least || r > most {
			t.Fatalf("%s: %v", what, r)
		}
	}
	expect("nothing is known", 0, 0)
	w.begin(1000, now)
	expect("it has just begun", 0, 0)
	now = now.Add(100 * time.Millisecond)
	expect("it has not ended after 0.1 s", 9999, 10001)
	w.done.Store(100)
	expect("a tenth of it is done after 0.1 s", 999, 1001)
	now = now.Add(100 * time.Millisecond)
	expect("nothing more is done after 0.2 s", 499, 501)
	w.end(false, now)
	expect("it has failed", 0, 0)
	took(1000, time.Second)
	expect("one", 1000, 1000)
	took(9000, time.Second)
	expect("two", 2000, 4000)
	for range 50 {
		took(250, time.Second/4)
	}
	expect("many", 999, 1001)
	took(0, time.Second)
	took(100, 0)
	expect("nothing to be learnt", 999, 1001)
	w.begin(1000, now)
	now = now.Add(500 * time.Millisecond)
	expect("no slower than it was", 999, 1001)
	now = now.Add(3500 * time.Millisecond)
	expect("four times as slow", 249, 251)
}

// TestSlow: a commit waits for what it owes if that is much, never for longer than a bound,
// unless it owes more itself, and not at all without a rate or inline; a context that has
// ended ends it. What is left is owed by those behind it. No time is measured: what is owed
// is.
func TestSlow(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	waits := func(e *Engine, bytes int64) time.Duration {
		t.Helper()
		before := e.counters.stallTime.Load()
		err := e.slow(ended, bytes)
		took := time.Duration(e.counters.stallTime.Load() - before)
		if err != nil && !errors.Is(err, context.Canceled) || (err != nil) != (took > 0) {
			t.Fatal(took, err)
		}
		return took
	}
	at := func(rate float64) *Engine {
		e := paced(t, Options{})
		e.pace.rate, e.pace.set = rate, time.Now().Add(time.Hour) // nobody reckons it anew
		e.pace.bounded.Store(true)
		return e
	}
	if e := paced(t, Options{}); waits(e, 1<<40) != 0 {
		t.Error("without a rate a commit waits")
	}
	e := at(1000) // bytes in a second
	if d := waits(e, 50); d != 50*time.Millisecond {
		t.Errorf("50 of 1,000 bytes in a second wait for %v", d)
	}
	e = at(1000)
	if d := waits(e, 500); d != 500*time.Millisecond {
		t.Errorf("a large batch waits for %v", d)
	}
	// It did not wait, as the test has none: what it owes is owed still, and is paid by
	// parts that nobody finds long.
	if d := waits(e, 1); d != mostDelay {
		t.Errorf("behind it a small one waits for %v", d)
	}
	if left := time.Until(e.pace.due); left < 300*time.Millisecond {
		t.Errorf("what was owed is forgiven: %v", left)
	}
	e = at(1)
	if d := waits(e, 1000); d != mostOwn {
		t.Errorf("a batch of 1,000 s waits for %v", d)
	}
	if left := time.Until(e.pace.due); left < 900*time.Second {
		t.Errorf("what was owed is forgiven: %v", left)
	}
	e = at(1e15)
	for range 1000 {
		if waits(e, 100) != 0 {
			t.Fatal("a commit that owes nothing to speak of waits")
		}
	}
	e = at(1e6)
	e.pace.due = time.Now().Add(10 * time.Second) // of commits before
	if waits(e, 1) == 0 {
		t.Error("what others owe is not waited for")
	}
	e.options.Inline = true
	if waits(e, 1<<40) != 0 {
		t.Error("inline, a commit waits")
	}
}

// TestNoStops: writers that are much faster than flushes, in a time that is reckoned, are
// slowed by the pace so that none ever comes to a stop of over 100 ms, from the first flush
// on, be there but two memtables; and no more than flushes need.
func TestNoStops(t *testing.T) {
	for _, speed := range []float64{1.05, 1.5, 3, 10} { // times that of flushes
		for _, most := range []int{2, 3, 4, 8} {
			e := paced(t, Options{MaxMemtables: most})
			// In time and bytes that are reckoned, flushes write 100 MB in a second.
			const rate, memtable, batch, writers = 100e6, 32e6, 4096, 4
			const seconds = 20
			start := time.Now()
			clock := start
			queue, filled, flushed, wrote := 0, 0.0, 0.0, 0.0
			longest := time.Duration(0)
			e.at(0, 0, clock)
			// pass lets time pass, in which flushes go on.
			pass := func(d time.Duration) {
				for end := clock.Add(d); clock.Before(end); {
					step := min(time.Millisecond, end.Sub(clock))
					clock = clock.Add(step)
					if queue == 0 {
						continue
					}
					flushed += rate * step.Seconds()
					e.pace.flushes.done.Store(int64(flushed))
					if flushed >= memtable {
						queue, flushed = queue-1, 0
						e.pace.flushes.end(true, clock)
						if queue > 0 {
							e.pace.flushes.begin(memtable, clock)
						}
						e.at(queue, 0, clock)
					}
				}
			}
			for clock.Sub(start) < seconds*time.Second {
				if e.pace.bounded.Load() && clock.Sub(e.pace.set) >= setEvery {
					e.setPace(clock)
				}
				// All writers owe; the one that waits for longest lets the others go on.
				wait := time.Duration(0)
				for range writers {
					wait = max(wait, e.pace.owe(batch, clock))
				}
				stopped := wait
				pass(wait)
				if filled >= memtable {
					for queue >= most-1 { // a stall
						pass(time.Millisecond)
						stopped += time.Millisecond
					}
					queue, filled = queue+1, 0
					if queue == 1 {
						e.pace.flushes.begin(memtable, clock)
					}
					e.at(queue, 0, clock) // as rotate does
				}
				filled += batch * writers
				wrote += batch * writers
				pass(time.Duration(batch * writers / (rate * speed) * float64(time.Second)))
				longest = max(longest, stopped)
			}
			if longest > 100*time.Millisecond {
				t.Errorf("writers %v times as fast as flushes, %d memtables: a stop of %v", speed, most, longest)
			}
			if wrote < seconds*rate*0.7 {
				t.Errorf("writers %v times as fast as flushes, %d memtables: they wrote %.0f of %.0f MB", speed, most, wrote/1e6, seconds*rate/1e6)
			}
		}
	}
}

// TestRotateSetsPace: the pace is set when the queue grows, not only when it has shrunk.
func TestRotateSetsPace(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", Options{FS: d, Inline: true, CacheBytes: MinCacheBytes, MemtableBytes: 1 << 20})
	e.mu.Lock()
	e.pace.flushes.rate = 1000
	for i := range e.options.MaxMemtables - 1 {
		var b engine.Batch
		b.Put(optionKey(i), nil)
		e.visible.Store(e.addBatch(e.state.Load().mem, &b, 0))
		if err := e.rotate(0); err != nil {
			t.Fatal(err)
		}
	}
	rate := e.pace.rate
	e.mu.Unlock()
	if rate == 0 || rate >= 1000 {
		t.Errorf("with the queue full the rate is %v", rate)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
