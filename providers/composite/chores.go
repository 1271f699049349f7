package composite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// chores are when what is done now and then was done last. Only the goroutine of the
// chores uses it.
type chores struct {
	renewed, pinged, synchronised time.Time
}

// start begins the chores.
func (p *pair) start() {
	pause := min(p.c.HealthCheckInterval, p.c.LeaseTTL/3, p.c.SyncInterval)
	go func() {
		defer close(p.ended)
		for p.c.Sleep(p.life, pause) == nil {
			p.tick(p.life)
		}
	}()
}

// tick does the chores whose time has come.
func (p *pair) tick(ctx context.Context) {
	now := p.c.Now()
	check := now.Sub(p.due.pinged) >= p.c.HealthCheckInterval
	if check {
		p.due.pinged = now
		st := p.state.Load()
		for i, s := range p.sides {
			if s.ping(ctx, time.Minute) == nil && !st.uses(i) {
				s.forgive() // no request will say that it is back
			}
		}
	}
	st := p.state.Load()
	if !st.held {
		if err := p.acquire(ctx); err != nil {
			p.trouble(err)
			return
		}
		check = true
		st = p.state.Load()
	}
	if now.Sub(p.due.renewed) >= p.c.LeaseTTL/3 {
		p.due.renewed = now
		p.tend(ctx)
	}
	if p.doubt.Load() {
		if err := p.settle(ctx); errors.Is(err, errLost) {
			p.verify(ctx)
		}
	}
	p.failover(ctx, p.state.Load())
	st = p.state.Load()
	var err error
	if fallen := st.alone && (p.c.Mode == Synchronous || st.serving == backup); check && fallen {
		err = p.restore(ctx)
		p.trouble(err)
	}
	if now.Sub(p.due.synchronised) >= p.c.SyncInterval {
		p.due.synchronised = now
		if p.c.Mode == Periodic {
			p.trouble(p.synchronise(ctx))
		} else if st := p.state.Load(); !st.alone && st.held {
			p.trouble(p.mend(ctx))
		}
	}
}

// tend renews the lease of every side that is used.
func (p *pair) tend(ctx context.Context) {
	if p.enter(ctx) != nil {
		return
	}
	st := p.state.Load()
	err := p.renewAll(ctx, st)
	if p.c.Mode == Periodic && st.serving == primary && !st.fence[backup].IsZero() {
		_ = p.renew(ctx, backup, st.fence[backup]) // a failure is counted, a loss shows when it is synchronised
	}
	p.exit()
	if errors.Is(err, errLost) {
		p.verify(ctx)
	}
}

// mend makes both sides the same where a failed write has left them different.
func (p *pair) mend(ctx context.Context) error {
	p.mu.Lock()
	n := len(p.behind)
	p.mu.Unlock()
	if n == 0 {
		return nil
	}
	if err := p.turn.Acquire(ctx, whole); err != nil {
		return err
	}
	defer p.turn.Release(whole)
	if st := p.state.Load(); !st.alone && st.held {
		return p.copyBehind(ctx, st)
	}
	return nil
}

// Close ends the chores, waits for calls under way, brings the backup level in mode
// Periodic, gives the lease up and closes both sides.
func (p *pair) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return driver.ErrClosed
	}
	p.end()
	<-p.ended
	ctx := context.Background()
	var err error
	if p.c.Mode == Periodic {
		if err = p.synchronise(ctx); err != nil {
			err = fmt.Errorf("close: the backup lacks the newest writes: %w", err)
		}
	}
	_ = p.turn.Acquire(ctx, whole) // it has no end to wait for
	defer p.turn.Release(whole)
	p.release(ctx)
	return errors.Join(err, p.sides[0].close(), p.sides[1].close())
}

// release gives the lease up. Where a side does not take that, the next process waits
// for the lease to run out, and compares the sides.
func (p *pair) release(ctx context.Context) {
	_ = p.settleWhole(ctx) // if it fails, the release is not clean
	st := p.state.Load()
	if !st.held {
		return
	}
	p.mu.Lock()
	clean := len(p.behind) == 0 && !p.all && (!st.alone || p.c.Mode == Periodic && st.serving == primary) && !p.doubt.Load()
	p.mu.Unlock()
	for _, i := range [2]int{st.other(), st.serving} {
		if st.fence[i].IsZero() || p.out(i) {
			continue
		}
		c := control{Epoch: st.epoch, Serving: sideNames[st.serving], Level: isLevel, Released: true, Clean: clean}
		switch {
		case clean:
		case st.alone && !st.level && i == st.serving:
			c.Level = isAhead
		case st.alone && !st.level:
			c.Level = isBehind
		}
		if _, err := p.advance(ctx, i, st.fence[i], c); err != nil {
			clean = false
		}
	}
}

// Status is how a composite in mode Synchronous or Periodic stands.
type Status struct {
	// Held: this process has the lease.
	Held bool
	// Serving is the side that serves, "primary" or "backup"; Alone: writes go to it
	// alone.
	Serving string
	Alone   bool
	// Refusing says why writes are refused, "" if they are not.
	Refusing string
	// Epoch counts changes of who serves.
	Epoch uint64
	// Behind is how many rows the other side may lack; All: it may lack any. Since is
	// when the first of them was written.
	Behind int
	All    bool
	Since  time.Time
	// Synchronised is when the backup was brought level last, in mode Periodic.
	Synchronised time.Time
	// Failovers counts the times that this process has put a side out.
	Failovers uint64
	// Lost counts the rows that failovers in mode Periodic may have lost; LostAll: it is
	// not known which.
	Lost    uint64
	LostAll bool
	// Trouble is the error of the newest attempt to bring a side level.
	Trouble string
	// Failing are the newest errors of the sides that are out.
	Failing [2]string
}

// StatusOf returns how a composite stands; false if the store is none, or in mode
// Cache.
func StatusOf(s driver.Store) (Status, bool) {
	switch p := s.(type) {
	case *pair:
		return p.Status(), true
	case *timedPair:
		return p.Status(), true
	}
	return Status{}, false
}

// Status returns how it stands.
func (p *pair) Status() Status {
	st := p.state.Load()
	p.mu.Lock()
	s := p.status
	s.Behind, s.All, s.Since = len(p.behind), p.all, p.since
	p.mu.Unlock()
	s.Held, s.Serving, s.Alone, s.Epoch = st.held, sideNames[st.serving], st.alone, st.epoch
	switch {
	case st.why != nil:
		s.Refusing = st.why.Error()
	case st.frozen:
		s.Refusing = "one side is out, and allow_single is not set"
	}
	for i, side := range p.sides {
		if n, err := side.failures(); n > 0 && err != nil {
			s.Failing[i] = fmt.Sprintf("the %s has failed %d times: %v", side.name, n, err)
		}
	}
	return s
}

// Report implements driver.Reporter: it says which side serves, and how far behind the
// other is, where that is not as it should be.
func (p *pair) Report() driver.Report {
	var r driver.Report
	for _, side := range p.sides {
		if reporter, ok := side.opened().(driver.Reporter); ok {
			one := reporter.Report()
			r.MemoryBytes += one.MemoryBytes
			r.DiskBytes += one.DiskBytes
			r.Evictions += one.Evictions
			r.CacheHits += one.CacheHits
			r.CacheMisses += one.CacheMisses
			r.DiskUsedPercent = max(r.DiskUsedPercent, one.DiskUsedPercent)
			if one.Degraded != "" {
				r.Degraded = join(r.Degraded, side.name+": "+one.Degraded)
			}
		}
	}
	s := p.Status()
	late := p.c.Mode == Periodic && !s.Since.IsZero() && p.c.Now().Sub(s.Since) > 2*p.c.SyncInterval
	fallen := s.Alone && p.c.Mode == Synchronous || s.Serving == sideNames[backup]
	if !s.Held || fallen || late || s.Refusing != "" || s.Trouble != "" || s.LostAll || s.Lost > 0 {
		r.Degraded = join(r.Degraded, s.String(p.c.Now()))
	}
	for _, failing := range s.Failing {
		r.Degraded = join(r.Degraded, failing)
	}
	return r
}

// String says which side serves, and how far behind the other is at a time.
func (s Status) String(now time.Time) string {
	text := "the " + s.Serving + " serves"
	if !s.Held {
		text = "this process does not serve"
	}
	if s.Alone {
		text += " alone"
	}
	switch {
	case s.All:
		text += ", how far the other side is behind is not known"
	case s.Behind > 0:
		text += fmt.Sprintf(", the other side is behind by %d rows, the oldest %s old", s.Behind, now.Sub(s.Since).Round(time.Millisecond))
	default:
		text += ", the other side is not behind"
	}
	if s.LostAll {
		text += ", failovers have lost what was not synchronised"
	} else if s.Lost > 0 {
		text += fmt.Sprintf(", failovers have lost up to %d rows", s.Lost)
	}
	if s.Refusing != "" {
		text += "; writes are refused: " + s.Refusing
	}
	if s.Trouble != "" {
		text += "; " + s.Trouble
	}
	return text
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
