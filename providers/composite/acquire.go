package composite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// errWait says that another process has the lease, and that it is not known yet whether
// it lives.
var errWait = fmt.Errorf("%w: another process has the composite", driver.ErrLocked)

// errDiverged says that both sides have writes of their own.
var errDiverged = fmt.Errorf("%w: both sides have acknowledged writes alone, and neither may be overwritten: compare them, empty the one to be given up, and open anew", driver.ErrConflict)

// acquire takes the sides that it reaches, if no other process is alive on them. It is
// errWait while that must still be seen, and ErrLocked if one is.
func (p *pair) acquire(ctx context.Context) error {
	if err := p.turn.Acquire(ctx, whole); err != nil {
		return err
	}
	defer p.turn.Release(whole)
	var views [2]view
	var errs [2]error
	var group sync.WaitGroup
	for i := range p.sides {
		group.Go(func() { views[i], errs[i] = p.look(ctx, i) })
	}
	group.Wait()
	reached := [2]bool{errs[0] == nil, errs[1] == nil}
	for _, err := range errs {
		var failed *failedCall
		if err != nil && (!errors.As(err, &failed) || ctx.Err() != nil) {
			return err
		}
	}
	if !reached[0] && !reached[1] {
		return errors.Join(errs[0], errs[1])
	}
	for i := range views {
		if reached[i] {
			if err := p.vacant(i, &views[i]); err != nil {
				return err
			}
		}
	}
	next, clean, err := p.truth(views, reached)
	if err != nil {
		return err
	}
	old := p.state.Load()
	next.top = max(old.top, views[0].Epoch, views[1].Epoch)
	if next.epoch, err = nextEpoch(next.top, next.serving); err != nil {
		return err
	}
	// The side that serves comes last: until then the other says who served before.
	for _, i := range [2]int{next.other(), next.serving} {
		if !reached[i] {
			continue
		}
		c := control{Epoch: next.epoch, Serving: sideNames[next.serving], Level: isBehind}
		switch {
		case clean, p.c.Mode == Synchronous && next.frozen && !(reached[0] && reached[1]):
			c.Level = isLevel
		case i == next.serving:
			c.Level = isAhead
		}
		if next.fence[i], err = p.take(ctx, i, views[i], c); err != nil {
			if errors.Is(err, errLost) {
				return fmt.Errorf("%w, which was faster", driver.ErrLocked)
			}
			return err
		}
	}
	next.held, next.term = true, old.term+1
	p.doubt.Store(false)
	p.set(next)
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.behind)
	if p.all = false; !clean {
		p.fallAll()
	}
	return nil
}

// vacant returns nil if the process whose control stands on a side is gone.
func (p *pair) vacant(i int, v *view) error {
	if !v.exists() || v.Writer == p.me || v.Released {
		return nil
	}
	now, seen := p.c.Now(), &p.watch[i]
	switch {
	case seen.control != v.revision || seen.lease != v.lease:
		known := seen.control == v.revision
		*seen = sighting{v.revision, v.lease, now}
		if known { // it was renewed while this process was looking
			return fmt.Errorf("%w: process %s has the %s of the composite, and is alive", driver.ErrLocked, v.Writer, sideNames[i])
		}
		return errWait
	case now.Sub(seen.since) < v.TTL:
		return errWait
	}
	return nil
}

// truth returns the state in which this process begins: which side serves, and whether
// the other is level with it already.
func (p *pair) truth(v [2]view, reached [2]bool) (next state, clean bool, err error) {
	single := p.c.AllowSingle || p.c.Mode == Periodic
	next = state{alone: true, frozen: !single}
	if !reached[0] || !reached[1] {
		next.serving = primary
		if !reached[primary] {
			next.serving = backup
		}
		own := &v[next.serving]
		_, last := p.sides[next.other()].failures()
		switch {
		case !own.exists():
			return next, false, fmt.Errorf("%w: the %s is empty, and what the %s has is not known: %v", driver.ErrUnavailable, sideNames[next.serving], sideNames[next.other()], last)
		case p.c.Mode == Synchronous && own.Level == isBehind:
			return next, false, fmt.Errorf("%w: the %s lacks writes that the %s has, which is out: %v", driver.ErrUnavailable, sideNames[next.serving], sideNames[next.other()], last)
		}
		return next, false, nil
	}
	a, b := &v[primary], &v[backup]
	switch {
	case !b.exists():
		next.serving = primary
	case !a.exists():
		next.serving = backup
	case p.c.Mode == Synchronous && a.Level == isAhead && b.Level == isAhead && a.Epoch != b.Epoch:
		return next, false, errDiverged
	case p.c.Mode == Synchronous && a.Level == isAhead:
		next.serving = primary
	case p.c.Mode == Synchronous && b.Level == isAhead:
		next.serving = backup
	case a.Epoch >= b.Epoch && a.Serving == sideNames[backup], a.Epoch < b.Epoch && b.Serving == sideNames[backup]:
		next.serving = backup
	}
	if both := !a.exists() && !b.exists(); both || a.Clean && b.Clean && a.Epoch == b.Epoch {
		clean = true
		next.serving, next.level = primary, true
		if p.c.Mode == Synchronous {
			next.alone, next.frozen = false, false
		}
	}
	return next, clean, nil
}

// restore brings the side that does not serve level, and lets the primary serve.
func (p *pair) restore(ctx context.Context) error {
	st := p.state.Load()
	if !st.held || !st.alone || st.why != nil || p.c.Mode == Periodic && st.serving == primary {
		return nil
	}
	target := st.other()
	fence, err := p.claim(ctx, st, target)
	if err != nil {
		return err
	}
	p.spoil.Store(false)
	filling, err := p.change(ctx, st, func(next *state) error {
		next.filling, next.fence[target] = true, fence
		return nil
	})
	if err != nil {
		return err
	}
	if err = p.fill(ctx, filling); err == nil {
		err = p.promote(ctx, filling)
	}
	if err != nil {
		_, _ = p.change(context.WithoutCancel(ctx), filling, func(next *state) error { next.filling = false; return nil }) // another change is as good
		return err
	}
	p.sides[target].forgive()
	return nil
}

// errChanged says that the state is another one than was thought.
var errChanged = errors.New("the state has changed in the meantime")

// change replaces a state, if it is still that one.
func (p *pair) change(ctx context.Context, from *state, f func(next *state) error) (*state, error) {
	if err := p.turn.Acquire(ctx, whole); err != nil {
		return nil, err
	}
	defer p.turn.Release(whole)
	if p.state.Load() != from {
		return nil, errChanged
	}
	next := *from
	if err := f(&next); err != nil {
		return nil, err
	}
	p.set(next)
	return p.state.Load(), nil
}

// claim makes the control of a side that was out this process's, and finds out whether
// the side is as it was left.
func (p *pair) claim(ctx context.Context, st *state, target int) (driver.Revision, error) {
	v, err := p.look(ctx, target)
	if err != nil {
		return driver.Revision{}, err
	}
	switch {
	case v.Epoch > st.top && v.Writer != p.me:
		err := fmt.Errorf("%s: %w", sideNames[target], errLost)
		_, _ = p.change(ctx, st, func(next *state) error { next.held, next.why = false, err; return nil }) // if it has changed, the next look tells
		return driver.Revision{}, err
	case p.c.Mode == Synchronous && v.Level == isAhead && v.Writer != p.me:
		err := errDiverged
		_, _ = p.change(ctx, st, func(next *state) error { // as above
			if next.why = err; st.frozen { // nothing was written here, so that the other is right
				next.held = false
			}
			return nil
		})
		return driver.Revision{}, err
	case v.revision != st.fence[target]:
		p.mu.Lock()
		p.fallAll()
		p.mu.Unlock()
	}
	return p.take(ctx, target, v, control{Epoch: st.epoch, Serving: sideNames[st.serving], Level: isBehind})
}

// promote ends a filling: both sides are level, and the primary serves. Nothing is
// written meanwhile.
func (p *pair) promote(ctx context.Context, st *state) error {
	_, err := p.change(ctx, st, func(next *state) error {
		p.mu.Lock()
		left := len(p.behind) > 0 || p.all
		p.mu.Unlock()
		if p.spoil.Load() || left || p.doubt.Load() && !st.frozen {
			return errors.New("a write has not come to the side that is brought level; it is tried again")
		}
		epoch, err := nextEpoch(st.top, primary)
		if err != nil {
			return err
		}
		next.epoch, next.serving, next.term = epoch, primary, st.term+1
		next.filling, next.frozen, next.level = false, false, true
		next.alone = p.c.Mode == Periodic
		// The side that was filled comes first: until the other follows, that one is
		// ahead, and what counts.
		for _, i := range [2]int{st.other(), st.serving} {
			l := isLevel
			if p.c.Mode == Periodic && i == primary {
				l = isAhead
			}
			if next.fence[i], err = p.advance(ctx, i, st.fence[i], control{Epoch: epoch, Serving: sideNames[primary], Level: l}); err != nil {
				if i == st.serving { // which of both epochs counts is to be found out
					p.lose(err)
				}
				return err
			}
		}
		p.doubt.Store(false)
		return nil
	})
	return err
}
