package composite

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// chunk is how many rows are compared or copied at once.
const chunk = 256

// fill makes the side that does not serve the same as the one that does, while writes
// go to both.
func (p *pair) fill(ctx context.Context, st *state) error {
	p.mu.Lock()
	all := p.all
	p.mu.Unlock()
	if all {
		if err := p.compare(ctx, st); err != nil {
			return err
		}
		p.mu.Lock()
		p.all = false
		p.mu.Unlock()
	}
	for {
		keys := p.takeBehind(chunk)
		if len(keys) == 0 {
			p.caughtUp()
			return nil
		}
		if err := p.copyLocked(ctx, st, keys); err != nil {
			p.giveBehind(keys)
			return err
		}
	}
}

// takeBehind takes up to n rows out of those that are behind; 0 is all.
func (p *pair) takeBehind(n int) (keys [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.behind {
		keys = append(keys, []byte(key))
		delete(p.behind, key)
		if len(keys) == n {
			break
		}
	}
	return keys
}

// caughtUp begins the age of what is behind anew, if nothing is.
func (p *pair) caughtUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.behind) == 0 && !p.all {
		p.since = time.Time{}
	}
}

func (p *pair) giveBehind(keys [][]byte) {
	rows := make([]driver.Write, len(keys))
	for i, key := range keys {
		rows[i].Key = key
	}
	p.fall(rows)
}

// copyBehind copies what is behind. Nobody writes meanwhile.
func (p *pair) copyBehind(ctx context.Context, st *state) error {
	for {
		keys := p.takeBehind(chunk)
		if len(keys) == 0 {
			p.caughtUp()
			return nil
		}
		if err := p.copy(ctx, st, keys); err != nil {
			p.giveBehind(keys)
			return err
		}
	}
}

// copyLocked copies rows while others are written.
func (p *pair) copyLocked(ctx context.Context, st *state, keys [][]byte) error {
	var held set
	for _, key := range keys {
		p.locks.add(&held, lockedBy(key))
	}
	if err := p.locks.lock(ctx, &held); err != nil {
		return err
	}
	defer p.locks.unlock(&held)
	return p.copy(ctx, st, keys)
}

// copy makes rows of the side that does not serve those of the one that does.
func (p *pair) copy(ctx context.Context, st *state, keys [][]byte) error {
	rows, err := p.rows(ctx, st, keys)
	if err != nil {
		return err
	}
	return p.bring(ctx, st, rows)
}

// rows returns the writes that make another side's rows those of the one that serves.
func (p *pair) rows(ctx context.Context, st *state, keys [][]byte) ([]driver.Write, error) {
	from := p.sides[st.serving]
	entries, err := from.getMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	var now time.Time
	if p.caps.TTL {
		err := from.call(ctx, false, func(ctx context.Context, store committing) (err error) {
			now, err = store.(driver.Clock).Now(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	rows := make([]driver.Write, len(keys))
	for i, e := range entries {
		rows[i] = driver.Write{Key: keys[i], Value: e.Value, Delete: e.Revision.IsZero()}
		if !e.ExpiresAt.IsZero() {
			if rows[i].TTL = e.ExpiresAt.Sub(now); rows[i].TTL <= 0 {
				rows[i] = driver.Write{Key: keys[i], Delete: true}
			}
		}
	}
	return rows, nil
}

// bring commits rows to the side that does not serve, in as few commits as can be.
func (p *pair) bring(ctx context.Context, st *state, rows []driver.Write) error {
	limits := p.caps.Limits
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < limits.MaxCommitWrites {
			if size += len(rows[n].Key) + len(rows[n].Value); n > 0 && size > limits.MaxCommitBytes {
				break
			}
			n++
		}
		if err := p.commitTo(ctx, st.other(), st.fence[st.other()], rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// compare walks through both sides and copies what is not the same. It holds two pages
// in memory.
func (p *pair) compare(ctx context.Context, st *state) error {
	var after []byte
	for {
		var pages [2][]driver.Entry
		for i, s := range p.sides {
			var err error
			if pages[i], err = s.list(ctx, driver.ListOptions{After: after, Limit: chunk}); err != nil {
				return err
			}
		}
		// What is beyond the end of a full page is looked at with the next.
		var bound []byte
		for _, page := range pages {
			if len(page) == chunk && (bound == nil || bytes.Compare(page[chunk-1].Key, bound) < 0) {
				bound = page[chunk-1].Key
			}
		}
		if keys := differing(pages, bound); len(keys) > 0 {
			if err := p.copyLocked(ctx, st, keys); err != nil {
				return err
			}
		}
		if bound == nil {
			return nil
		}
		after = bound
	}
}

// differing returns the rows of two sorted pages, up to bound, that are not in both of
// them with the same bytes.
func differing(pages [2][]driver.Entry, bound []byte) (keys [][]byte) {
	a, b := pages[0], pages[1]
	for len(a) > 0 || len(b) > 0 {
		var key []byte
		same := false
		switch order := first(a, b); {
		case order < 0:
			key, a = a[0].Key, a[1:]
		case order > 0:
			key, b = b[0].Key, b[1:]
		default:
			key, same = a[0].Key, bytes.Equal(a[0].Value, b[0].Value) && a[0].ExpiresAt.IsZero() == b[0].ExpiresAt.IsZero()
			a, b = a[1:], b[1:]
		}
		if bound != nil && bytes.Compare(key, bound) > 0 {
			break
		}
		if !same && !ownKey(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func first(a, b []driver.Entry) int {
	switch {
	case len(b) == 0:
		return -1
	case len(a) == 0:
		return 1
	}
	return bytes.Compare(a[0].Key, b[0].Key)
}

// synchronise brings the backup level in mode Periodic. What it copies is one moment of
// the primary.
func (p *pair) synchronise(ctx context.Context) (err error) {
	st := p.state.Load()
	defer func() {
		if errors.Is(err, errLost) { // the next time finds out who has it
			_, _ = p.change(ctx, st, func(next *state) error { next.fence[backup] = driver.Revision{}; return nil })
		}
	}()
	if !st.held || st.serving != primary || st.why != nil {
		return nil
	}
	if st.fence[backup].IsZero() || p.out(backup) {
		fence, err := p.claim(ctx, st, backup)
		if err != nil {
			return err
		}
		if st, err = p.change(ctx, st, func(next *state) error { next.fence[backup] = fence; return nil }); err != nil {
			return err
		}
	}
	p.mu.Lock()
	all := p.all
	if all {
		p.all = false // what is written from now on is marked
	}
	p.mu.Unlock()
	if all {
		if err := p.compare(ctx, st); err != nil {
			p.mu.Lock()
			p.fallAll()
			p.mu.Unlock()
			return err
		}
	}
	if err := p.turn.Acquire(ctx, whole); err != nil {
		return err
	}
	keys := p.takeBehind(0)
	rows, err := p.rows(ctx, st, keys)
	p.turn.Release(whole)
	if err == nil {
		err = p.bring(ctx, st, rows)
	}
	if err != nil {
		p.giveBehind(keys)
		return err
	}
	p.sides[backup].forgive()
	p.caughtUp()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Synchronised = p.c.Now()
	return nil
}
