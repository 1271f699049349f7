package lsm

import (
	"context"
	"sync/atomic"
	"time"
)

// pace holds writers back, a little each, before they would have to stop: who writes
// faster than memtables are flushed, or runs merged, is slowed to what these do, and the
// more so the more is behind. The engine's mu guards it.
type pace struct {
	// flushes and merges are what takes away what was committed, memtables and the top.
	flushes, merges work
	// rate is what writers may commit in a second; 0 for no bound. bounded says that there
	// is one, to those who do not have mu.
	rate    float64
	bounded atomic.Bool
	// set is when the rate was reckoned last.
	set time.Time
	// due is when what was committed so far is paid for.
	due time.Time
}

// work is how fast one kind of work is done.
type work struct {
	// rate are the bytes of commits that it took away in a second, as a moving average; 0
	// for not known.
	rate float64
	// begun is when the work under way began, of so many bytes; zero for none. done is how
	// many of them are done, if whoever does it says so.
	begun time.Time
	bytes int64
	done  atomic.Int64
}

const (
	// A writer sleeps when it owes so much, and for no longer than mostDelay, unless its own
	// batch owes more, and then up to mostOwn: what is left of the debt is for those behind
	// it. Sleeps are rare rather than short: of small writes, fewer than one in a thousand
	// meets one while writers are held to no less than half their speed, and the runtime's
	// timers may round up to a millisecond.
	leastDelay = 2 * time.Millisecond
	mostDelay  = 90 * time.Millisecond
	mostOwn    = time.Second
	// tooSoon is for how long work under way says nothing of its rate, and setEvery how
	// often the rate is reckoned while writers are held to it.
	tooSoon  = 2 * time.Millisecond
	setEvery = 5 * time.Millisecond
)

// begin says that work of so many bytes is under way.
func (w *work) begin(bytes int64, now time.Time) {
	w.begun, w.bytes = now, bytes
	w.done.Store(0)
}

// end adds what the work took to the moving average, unless it failed.
func (w *work) end(ok bool, now time.Time) {
	took := now.Sub(w.begun)
	w.begun = time.Time{}
	if !ok || w.bytes <= 0 || took <= 0 {
		return
	}
	rate := float64(w.bytes) / took.Seconds()
	if w.rate == 0 {
		w.rate = rate
		return
	}
	w.rate += (rate - w.rate) / 4
}

// estimate returns how fast the work is done, by what was measured and by what is under
// way; 0 for not known. What is slower than it used to be counts at once: a device may
// be busy with something else.
func (w *work) estimate(now time.Time) float64 {
	took := now.Sub(w.begun)
	if w.begun.IsZero() || took < tooSoon {
		return w.rate
	}
	done := w.done.Load()
	if done == 0 || w.rate != 0 {
		done = w.bytes // it is not faster than if it ended now
	}
	rate := float64(done) / took.Seconds()
	if w.rate == 0 || rate < w.rate {
		return rate
	}
	return w.rate
}

// setPace sets the rate by what there is to do. Under mu.
func (e *Engine) setPace(now time.Time) {
	st := e.state.Load()
	if st == nil {
		return
	}
	p := &e.pace
	rate := 0.0
	bound := func(r float64) {
		if r > 0 && (rate == 0 || r < rate) {
			rate = r
		}
	}
	// The last memtables of the queue are for bursts: by then writers are no faster than
	// flushes. Bulk loads may make it longer than memtables do.
	if n, most := len(st.queue), e.options.MaxMemtables-1; n >= max(most-1, 1) {
		bound(p.flushes.estimate(now) * max(1.1-0.3*float64(n-most+1), 0.2))
	}
	soft, hard := e.softRuns(), e.hardRuns()
	if n := len(st.levels.top); n > soft {
		// From twice what merges do, at the soft bound, to half of it at the hard one.
		behind := min(float64(n-soft)/float64(hard-soft), 1)
		bound(p.merges.estimate(now) * (2 - 1.5*behind))
	}
	if rate == 0 { // nothing is owed
		p.due = time.Time{}
	}
	p.rate, p.set = rate, now
	// One that cannot be reckoned yet is asked for by commits until it can.
	p.bounded.Store(rate != 0 || len(st.queue) >= max(e.options.MaxMemtables-2, 1) || len(st.levels.top) > soft)
}

// softRuns is how many runs at the top slow nobody down, hardRuns how many there should
// never be.
func (e *Engine) softRuns() int { return 2*e.options.CompactionThreshold + 2 }
func (e *Engine) hardRuns() int { return 5*e.options.CompactionThreshold + 5 }

// slow sleeps for as long as a commit of so many bytes is to be held back.
func (e *Engine) slow(ctx context.Context, bytes int64) error {
	if e.options.Inline || !e.pace.bounded.Load() {
		return nil
	}
	e.mu.Lock()
	now := time.Now()
	if now.Sub(e.pace.set) >= setEvery {
		e.setPace(now)
	}
	wait := e.pace.owe(bytes, now)
	if wait > 0 {
		e.counters.stalls.Add(1)
		e.counters.stallTime.Add(int64(wait))
	}
	e.mu.Unlock()
	if wait == 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// owe adds a commit of so many bytes to what is owed, and returns for how long it is to
// wait.
func (p *pace) owe(bytes int64, now time.Time) time.Duration {
	if p.rate == 0 {
		return 0
	}
	// Who slept for longer than was owed is in credit, for as much as one sleep.
	credit := now.Add(-leastDelay)
	switch {
	case p.due.IsZero():
		p.due = now
	case p.due.Before(credit):
		p.due = credit
	}
	own := time.Duration(float64(bytes) / p.rate * float64(time.Second))
	p.due = p.due.Add(own)
	wait := p.due.Sub(now)
	if wait < leastDelay {
		return 0
	}
	return min(wait, max(mostDelay, min(own, mostOwn)))
}
