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
	// flushRate and mergeRate are the bytes of commits that flushes and merges of the top
	// took away in a second, as a moving average; 0 for not known.
	flushRate, mergeRate float64
	// rate is what writers may commit in a second; 0 for no bound. bounded says that there
	// is one, to those who do not have mu.
	rate    float64
	bounded atomic.Bool
	// due is when what was committed so far is paid for.
	due time.Time
}

const (
	// A writer sleeps when it owes so much, and never longer than mostDelay.
	leastDelay = 500 * time.Microsecond
	mostDelay  = 20 * time.Millisecond
)

// measured adds a measurement to a moving average.
func measured(average *float64, bytes int64, took time.Duration) {
	if bytes <= 0 || took <= 0 {
		return
	}
	rate := float64(bytes) / took.Seconds()
	if *average == 0 {
		*average = rate
		return
	}
	*average += (rate - *average) / 4
}

// setPace sets the rate by what there is to do. Under mu.
func (e *Engine) setPace() {
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
	if n, most := len(st.queue), e.options.MaxMemtables-1; n >= most-1 && most > 1 {
		bound(p.flushRate * max(1.1-0.3*float64(n-most+1), 0.2))
	}
	soft, hard := e.softRuns(), e.hardRuns()
	if n := len(st.levels.top); n > soft {
		// From twice what merges do, at the soft bound, to half of it at the hard one.
		behind := min(float64(n-soft)/float64(hard-soft), 1)
		bound(p.mergeRate * (2 - 1.5*behind))
	}
	p.set(rate)
}

// set sets the rate; with no bound nothing is owed.
func (p *pace) set(rate float64) {
	if rate == 0 {
		p.due = time.Time{}
	}
	p.rate = rate
	p.bounded.Store(rate != 0)
}

// softRuns is how many runs at the top slow nobody down, hardRuns how many there should
// never be.
func (e *Engine) softRuns() int { return 2*e.options.CompactionThreshold + 2 }
func (e *Engine) hardRuns() int { return 5*e.options.CompactionThreshold + 5 }

// slow sleeps for as long as a commit of so many bytes is to be held back.
func (e *Engine) slow(ctx context.Context, bytes int64) error {
	p := &e.pace
	if e.options.Inline || !p.bounded.Load() {
		return nil
	}
	e.mu.Lock()
	if p.rate == 0 {
		e.mu.Unlock()
		return nil
	}
	now := time.Now()
	if p.due.Before(now) {
		p.due = now
	}
	p.due = p.due.Add(time.Duration(float64(bytes) / p.rate * float64(time.Second)))
	wait := p.due.Sub(now)
	if wait < leastDelay {
		e.mu.Unlock()
		return nil
	}
	if wait > mostDelay {
		wait = mostDelay
		p.due = now.Add(mostDelay)
	}
	e.counters.stalls.Add(1)
	e.counters.stallTime.Add(int64(wait))
	e.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
