package composite

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Capabilities implements driver.Store.
func (p *pair) Capabilities() driver.Capabilities { return p.caps }

// Ping implements driver.Store: this process has the lease, and the side that serves is
// there.
func (p *pair) Ping(ctx context.Context) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.exit()
	st := p.state.Load()
	if !st.held {
		return fmt.Errorf("composite: %w", st.why)
	}
	return p.sides[st.serving].call(ctx, false, func(ctx context.Context, store committing) error { return store.Ping(ctx) })
}

// Get implements driver.Store.
func (p *pair) Get(ctx context.Context, key []byte) (e driver.Entry, err error) {
	if err := p.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	err = p.do(ctx, false, func(ctx context.Context, st *state) (err error) {
		if e, err = p.sides[st.serving].get(ctx, rowKey(key)); err == nil {
			e, err = decodeEntry(e)
		}
		return err
	})
	if err != nil {
		if errors.Is(err, driver.ErrNotFound) {
			return driver.Entry{}, driver.ErrNotFound
		}
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	return e, nil
}

// GetMany implements driver.BatchGetter.
func (p *pair) GetMany(ctx context.Context, keys [][]byte) (entries []driver.Entry, err error) {
	rows := make([][]byte, len(keys))
	for i, key := range keys {
		if err := p.caps.Limits.CheckKey("get", key); err != nil {
			return nil, err
		}
		rows[i] = rowKey(key)
	}
	err = p.do(ctx, false, func(ctx context.Context, st *state) (err error) {
		if entries, err = p.sides[st.serving].getMany(ctx, rows); err != nil {
			return err
		}
		for i := range entries {
			if entries[i].Revision.IsZero() {
				entries[i] = driver.Entry{Key: keys[i]}
			} else if entries[i], err = decodeEntry(entries[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get many: %w", err)
	}
	return entries, nil
}

// page is how many entries a list asks for at once.
const page = 1000

// List implements driver.Store. Each page of it comes from the side that serves then.
func (p *pair) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	return func(yield func(driver.Entry, error) bool) {
		if o.Limit < 0 {
			return
		}
		o, left := o, o.Limit
		for first := true; ; first = false {
			want := page
			if first {
				want = 64 // most lists are short
			}
			if o.Limit > 0 {
				want = min(want, left)
			}
			now := o
			now.Limit = want
			var entries []driver.Entry
			err := p.do(ctx, false, func(ctx context.Context, st *state) (err error) {
				entries, err = p.listSide(ctx, st, now)
				return err
			})
			if err != nil {
				yield(driver.Entry{}, fmt.Errorf("list: %w", err))
				return
			}
			for _, e := range entries {
				o.After = e.Key
				if !yield(e, nil) {
					return
				}
			}
			if left -= len(entries); len(entries) < want || o.Limit > 0 && left == 0 {
				return
			}
		}
	}
}

func (p *pair) listSide(ctx context.Context, st *state, o driver.ListOptions) ([]driver.Entry, error) {
	below := driver.ListOptions{Prefix: rowKey(o.Prefix), After: belowRows, Limit: o.Limit}
	if o.After != nil && len(o.After) > 0 {
		below.After = rowKey(o.After)
	}
	entries, err := p.sides[st.serving].list(ctx, below)
	if err != nil {
		return nil, err
	}
	for i := range entries {
		if entries[i], err = decodeEntry(entries[i]); err != nil {
			return nil, err
		}
		if o.KeysOnly {
			entries[i].Value = nil
		}
	}
	return entries, nil
}

// Put implements driver.Store.
func (p *pair) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := p.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	m := &driver.Commit{Writes: []driver.Write{{Key: key, Value: value, TTL: o.TTL, Fence: o.Fence}}}
	if o.IfAbsent || !o.IfRevision.IsZero() {
		m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	revision, err := p.write(ctx, m)
	if err != nil {
		return driver.Revision{}, driver.KeyError("put", key, err)
	}
	return revision, nil
}

// Delete implements driver.Store.
func (p *pair) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := p.caps.CheckDelete(key, o); err != nil {
		return err
	}
	m := &driver.Commit{Writes: []driver.Write{{Key: key, Delete: true, Fence: o.Fence}}}
	if !o.IfRevision.IsZero() {
		m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	_, err := p.write(ctx, m)
	return driver.KeyError("delete", key, err)
}

// Commit implements driver.Committer.
func (p *pair) Commit(ctx context.Context, m *driver.Commit) error {
	if err := p.caps.CheckCommit(m); err != nil {
		return err
	}
	if _, err := p.write(ctx, m); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// BulkPut implements driver.BulkPutter: in as few commits as can be.
func (p *pair) BulkPut(ctx context.Context, writes []driver.Write) error {
	for i := range writes {
		w := &writes[i]
		if err := p.caps.CheckPut(w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence}); err != nil {
			return err
		}
	}
	limits := p.caps.Limits
	for done := false; len(writes) > 0; done = true {
		n, size, seen := 0, 0, map[string]bool{}
		for n < len(writes) && n < limits.MaxCommitWrites && !seen[string(writes[n].Key)] {
			if size += len(writes[n].Key) + len(writes[n].Value); n > 0 && size > limits.MaxCommitBytes {
				break
			}
			seen[string(writes[n].Key)] = true
			n++
		}
		if _, err := p.write(ctx, &driver.Commit{Writes: writes[:n]}); err != nil {
			if done && errors.Is(err, driver.ErrUnavailable) {
				// Some have been applied, so that nobody may believe that none was.
				return fmt.Errorf("bulk put: %w: some are applied, and then: %v", driver.ErrOutcomeUnknown, err)
			}
			return fmt.Errorf("bulk put: %w", err)
		}
		writes = writes[n:]
	}
	return nil
}

// write makes a commit, whose revision is that of all that it writes.
func (p *pair) write(ctx context.Context, m *driver.Commit) (revision driver.Revision, err error) {
	var held set
	if len(m.Ranges) > 0 {
		held.all()
	}
	for i := range m.Reads {
		p.locks.add(&held, m.Reads[i].Key)
	}
	for i := range m.Writes {
		p.locks.add(&held, m.Writes[i].Key)
	}
	err = p.do(ctx, true, func(ctx context.Context, st *state) error {
		if err := p.locks.lock(ctx, &held); err != nil {
			return err
		}
		defer p.locks.unlock(&held)
		count := p.count.Add(1)
		if count >= 1<<countBits {
			return fmt.Errorf("%w: all revisions of epoch %d are used up; open the composite anew", driver.ErrReadOnly, st.epoch)
		}
		number := st.epoch<<countBits | count
		revision = driver.NumberRevision(number)
		rows, err := p.prepare(ctx, st, m, number)
		if err != nil || len(rows) == 0 {
			return err
		}
		return p.apply(ctx, st, rows)
	})
	return revision, err
}

// prepare checks what a commit asks, and returns the rows that it writes. Their locks
// are held.
func (p *pair) prepare(ctx context.Context, st *state, m *driver.Commit, number uint64) ([]driver.Write, error) {
	var keys [][]byte
	for i := range m.Reads {
		keys = append(keys, rowKey(m.Reads[i].Key))
	}
	for i := range m.Writes {
		if m.Writes[i].Fence != 0 {
			keys = append(keys, fenceKey(m.Writes[i].Key))
		}
	}
	entries, err := p.sides[st.serving].getMany(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i := range m.Reads {
		if err := unchanged(&m.Reads[i], entries[i]); err != nil {
			return nil, err
		}
	}
	for i := range m.Ranges {
		if err := p.sameRange(ctx, st, &m.Ranges[i]); err != nil {
			return nil, err
		}
	}
	fences := entries[len(m.Reads):]
	rows := make([]driver.Write, 0, len(m.Writes)+len(fences))
	for i := range m.Writes {
		w := &m.Writes[i]
		if w.Fence != 0 {
			seen := uint64(0)
			if !fences[0].Revision.IsZero() {
				if seen, _, err = decodeRow(fences[0].Value); err != nil {
					return nil, driver.KeyError("fence", w.Key, err)
				}
			}
			fences = fences[1:]
			if w.Fence < seen {
				return nil, fmt.Errorf("%w: token %d; a writer with token %d was here", driver.ErrFenced, w.Fence, seen)
			}
			if w.Fence > seen {
				rows = append(rows, driver.Write{Key: fenceKey(w.Key), Value: encodeFence(w.Fence)})
			}
		}
		row := driver.Write{Key: rowKey(w.Key), Delete: w.Delete}
		if !w.Delete {
			row.Value, row.TTL = encodeRow(number, w.Value), w.TTL
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// unchanged returns ErrConflict unless a key is as it was read.
func unchanged(r *driver.Read, e driver.Entry) error {
	if e.Revision.IsZero() {
		if r.Revision.IsZero() {
			return nil
		}
		return fmt.Errorf("%w: the key %q is not there; it was asked for at revision %s", driver.ErrConflict, r.Key, r.Revision)
	}
	now, err := decodeEntry(e)
	switch {
	case err != nil:
		return err
	case r.Revision.IsZero():
		return fmt.Errorf("%w: the key %q is there, at revision %s", driver.ErrConflict, r.Key, now.Revision)
	case now.Revision != r.Revision:
		return fmt.Errorf("%w: the key %q is at revision %s, not %s", driver.ErrConflict, r.Key, now.Revision, r.Revision)
	}
	return nil
}

// sameRange returns ErrConflict unless a list shows what it showed.
func (p *pair) sameRange(ctx context.Context, st *state, r *driver.RangeRead) error {
	seen, o := r.Seen, r.Options
	left := o.Limit
	for {
		now := o
		if now.Limit = page; o.Limit > 0 {
			now.Limit = min(page, left)
		}
		entries, err := p.listSide(ctx, st, now)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if len(seen) == 0 || string(seen[0].Key) != string(e.Key) || seen[0].Revision != e.Revision {
				return fmt.Errorf("%w: the range with prefix %q has changed at %q", driver.ErrConflict, o.Prefix, e.Key)
			}
			seen, o.After = seen[1:], e.Key
		}
		if left -= len(entries); len(entries) < now.Limit || o.Limit > 0 && left == 0 {
			break
		}
	}
	if len(seen) > 0 {
		return fmt.Errorf("%w: the range with prefix %q has lost %q", driver.ErrConflict, o.Prefix, seen[0].Key)
	}
	return nil
}

// apply writes rows to the sides that are used: to the one that serves last, so that no
// read shows what the other has not. Their locks are held.
func (p *pair) apply(ctx context.Context, st *state, rows []driver.Write) error {
	has := -1
	if !st.alone || st.filling {
		other := st.other()
		err := p.commitTo(ctx, other, st.fence[other], rows)
		switch {
		case err == nil:
			has = other
			// What has been begun is brought to its end.
			ctx = context.WithoutCancel(ctx)
		case st.filling && ctx.Err() == nil:
			p.fall(rows)
			p.spoil.Store(true)
		case errors.Is(err, driver.ErrOutcomeUnknown):
			p.fall(rows)
			p.doubt.Store(true)
			return &halfway{err: err, has: -1, none: st.serving}
		default:
			return err
		}
	} else {
		p.fall(rows)
	}
	err := p.commitTo(ctx, st.serving, st.fence[st.serving], rows)
	if err == nil {
		return nil
	}
	if errors.Is(err, driver.ErrOutcomeUnknown) {
		p.doubt.Store(true)
	}
	if has >= 0 {
		p.fall(rows)
		p.doubt.Store(true) // so that the other side is set right before the next write
		return &halfway{err: err, has: has, none: -1}
	}
	return err
}

// timedPair is a pair over sides that both have clocks and times to live.
type timedPair struct{ *pair }

// Now implements driver.Clock: the time of the side that serves.
func (p *timedPair) Now(ctx context.Context) (now time.Time, err error) {
	err = p.do(ctx, false, func(ctx context.Context, st *state) error {
		return p.sides[st.serving].call(ctx, false, func(ctx context.Context, store committing) (err error) {
			now, err = store.(driver.Clock).Now(ctx)
			return err
		})
	})
	return now, err
}

// Expire implements driver.Expirer: it tells the sides that must be told. What a side
// does not show any more it may remove at any time.
func (p *timedPair) Expire(ctx context.Context, limit int) (removed int, err error) {
	err = p.do(ctx, false, func(ctx context.Context, st *state) error {
		for i, side := range p.sides {
			if !st.uses(i) && p.c.Mode != Periodic {
				continue
			}
			err := side.call(ctx, false, func(ctx context.Context, store committing) error {
				if x, ok := store.(driver.Expirer); ok {
					n, err := x.Expire(ctx, limit)
					removed = max(removed, n)
					return err
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return removed, err
}
