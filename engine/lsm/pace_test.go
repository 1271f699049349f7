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
func (e *Engine) at(queue, top int) float64 {
	l := emptyLevels(e.options.Levels)
	for range top {
		l.top = append(l.top, newRun(1, nil))
	}
	e.state.Store(&state{queue: make([]*queued, queue), levels: l})
	e.setPace()
	return e.pace.rate
}

// TestPaceOfFlushes: while there are few memtables in the queue nobody is slowed; then to
// about what flushes do, and the more there are the less, but never to a standstill; with
// the queue full, to less than flushes do, so that it empties.
func TestPaceOfFlushes(t *testing.T) {
	for _, most := range []int{2, 3, 4, 10} {
		e := paced(t, Options{MaxMemtables: most})
		for n := range most + 20 {
			if r := e.at(n, 0); r != 0 {
				t.Fatalf("of %d memtables %d wait, and without a rate known the rate is %v", most, n, r)
			}
		}
		e.pace.flushRate = 1000
		last := math.Inf(1)
		for n := range most + 20 {
			r := e.at(n, 0)
			if r == 0 {
				r = math.Inf(1)
			}
			full := n >= most-1
			if r > last || r < 100 || most > 2 && full && r >= 1000 || n < most-2 && !math.IsInf(r, 1) {
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
	if r := e.at(0, 1000); r != 0 {
		t.Fatalf("without a rate known the rate is %v", r)
	}
	e.pace.mergeRate = 1000
	last := math.Inf(1)
	for n := range e.hardRuns() + 20 {
		r := e.at(0, n)
		switch {
		case n <= e.softRuns() && r != 0, n > e.softRuns() && (r <= 0 || r > 2000 || r > last), n >= e.hardRuns() && r != 500:
			t.Errorf("%d runs: %v, and %v with one less", n, r, last)
		}
		if r > 0 {
			last = r
		}
	}
	// The lower of the two counts.
	e.pace.flushRate = 100
	if r := e.at(e.options.MaxMemtables-1, e.hardRuns()); r >= 100 || r <= 0 {
		t.Errorf("rate %v", r)
	}
	e.pace.due = time.Now().Add(time.Hour)
	if e.at(0, 0); e.pace.rate != 0 || !e.pace.due.IsZero() {
		t.Error("what was owed is still owed when there is nothing to wait for")
	}
}

// TestMeasured: rates come near to what is measured, and one measurement does not decide.
func TestMeasured(t *testing.T) {
	var rate float64
	measured(&rate, 1000, time.Second)
	if rate != 1000 {
		t.Fatal(rate)
	}
	measured(&rate, 9000, time.Second)
	if rate < 2000 || rate > 4000 {
		t.Fatal(rate)
	}
	for range 50 {
		measured(&rate, 250, time.Second/4)
	}
	if math.Abs(rate-1000) > 1 {
		t.Fatal(rate)
	}
	measured(&rate, 0, time.Second)
	measured(&rate, 100, 0)
	if math.Abs(rate-1000) > 1 {
		t.Fatal(rate)
	}
}

// TestSlow: a commit waits for what it owes if that is much, never for longer than a bound,
// and not at all without a rate or inline; a context that has ended ends it. No time is
// measured: what is owed is.
func TestSlow(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	waits := func(e *Engine, bytes int64) bool {
		t.Helper()
		err := e.slow(ended, bytes)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return err != nil
	}
	e := paced(t, Options{})
	if waits(e, 1<<40) {
		t.Error("without a rate a commit waits")
	}
	e.pace.set(1) // a byte in a second
	before := time.Now()
	if !waits(e, 1000) {
		t.Error("what it owes is not waited for")
	}
	if got := time.Duration(e.counters.stallTime.Load()); got != mostDelay || e.counters.stalls.Load() != 1 {
		t.Errorf("it waits for %v, %d times", got, e.counters.stalls.Load())
	}
	if late := e.pace.due.Sub(before); late > mostDelay+time.Since(before) {
		t.Errorf("what is owed was not forgiven: %v", late)
	}
	e = paced(t, Options{})
	e.pace.set(1e15)
	for range 1000 {
		if waits(e, 100) {
			t.Fatal("a commit that owes nothing to speak of waits")
		}
	}
	e = paced(t, Options{})
	e.pace.set(1e6)
	e.pace.due = time.Now().Add(10 * time.Second) // of commits before
	if !waits(e, 1) {
		t.Error("what others owe is not waited for")
	}
	e.options.Inline = true
	if waits(e, 1<<40) {
		t.Error("inline, a commit waits")
	}
}

// TestNoStops: a writer that is much faster than flushes, in a time that is reckoned, is
// slowed by the pace so that it never comes to a stop after the first flushes were measured:
// the queue is never full when a memtable is.
func TestNoStops(t *testing.T) {
	for _, speed := range []float64{1.05, 1.5, 3, 10, 100} { // times that of flushes
		for _, most := range []int{3, 4, 8} {
			e := paced(t, Options{MaxMemtables: most})
			const memtable = 1.0
			// Time in which a flush writes one memtable; the pace is in bytes.
			const scale = 1e6
			queue, filled, flushed := 0, 0.0, 0.0
			stopped, longest, wrote := 0.0, 0.0, 0.0
			e.at(0, 0)
			const step = 0.001
			for at := 0.0; at < 60; at += step {
				rate := speed
				if p := e.pace.rate / scale; p > 0 {
					rate = min(rate, p)
				}
				if filled >= memtable {
					if queue >= most-1 {
						rate = 0
						stopped += step
						if at > 5 {
							longest = max(longest, stopped)
						}
					} else {
						queue, filled, stopped = queue+1, 0, 0
						e.at(queue, 0) // as rotate does
					}
				}
				filled += rate * step
				wrote += rate * step
				if queue > 0 {
					if flushed += step; flushed >= memtable {
						queue, flushed = queue-1, 0
						measured(&e.pace.flushRate, scale, time.Second)
						e.at(queue, 0)
					}
				}
			}
			if longest > 3*step {
				t.Errorf("a writer %v times as fast as flushes, %d memtables: it stops for %.3f of a flush", speed, most, longest)
			}
			if wrote < 60*0.75 {
				t.Errorf("a writer %v times as fast as flushes, %d memtables: it wrote %.1f of 60", speed, most, wrote)
			}
		}
	}
}

// TestRotateSetsPace: the pace is set when the queue grows, not only when it has shrunk.
func TestRotateSetsPace(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", Options{FS: d, Inline: true, CacheBytes: MinCacheBytes, MemtableBytes: 1 << 20})
	e.mu.Lock()
	e.pace.flushRate = 1000
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
