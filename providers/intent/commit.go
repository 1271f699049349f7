package intent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// tx is one commit at work.
type tx struct {
	s       *Store
	id      id
	timeout time.Duration
	commit  *driver.Commit
	// read is the revision at which each key was read, by key.
	read map[string]driver.Revision
	// at is where the base has each intent, once it stands; placed tells whether.
	at     []driver.Revision
	placed []bool
	record record
}

// Commit implements driver.Committer; see the package comment.
func (s *Store) Commit(ctx context.Context, m *driver.Commit) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	t := &tx{s: s, timeout: m.Timeout, commit: m, read: make(map[string]driver.Revision, len(m.Reads))}
	if t.timeout <= 0 {
		t.timeout = s.o.Timeout
	}
	for i := range m.Reads {
		key := string(m.Reads[i].Key)
		if r, twice := t.read[key]; twice && r != m.Reads[i].Revision {
			return driver.KeyError("commit", m.Reads[i].Key, fmt.Errorf("%w: it was read at two revisions", driver.ErrConflict))
		}
		t.read[key] = m.Reads[i].Revision
	}
	t.id = newID(s.o.Now())
	if err := t.run(ctx); err != nil {
		return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
	}
	return nil
}

func (t *tx) run(ctx context.Context) error {
	if len(t.commit.Writes) == 0 {
		return t.validate(ctx)
	}
	if base, ok := t.s.base.(Together); ok && t.together(base) {
		if err := t.atOnce(ctx, base); !errors.Is(err, driver.ErrTooLarge) {
			return err
		}
	}
	t.at, t.placed = make([]driver.Revision, len(t.commit.Writes)), make([]bool, len(t.commit.Writes))
	t.record = record{status: pendingStatus, timeout: t.timeout}
	for i := range t.commit.Writes {
		// The intents are settled after Commit has returned, when the caller's keys are
		// the caller's again.
		t.record.keys = append(t.record.keys, bytes.Clone(t.commit.Writes[i].Key))
	}
	err := t.prepare(ctx)
	if err == nil {
		err = t.validate(ctx)
	}
	if err != nil {
		t.abort(ctx)
		// Whatever a call above had for an outcome, the commit point was not reached.
		return notCommitted(err)
	}
	if err := t.point(ctx); err != nil {
		return err
	}
	t.later(ctx, func(ctx context.Context) { t.finish(ctx) })
	return nil
}

// notCommitted takes the doubt out of an error from before the commit point: nothing
// is committed, and what is left is undone by whoever meets it.
func notCommitted(err error) error {
	if errors.Is(err, driver.ErrOutcomeUnknown) {
		return fmt.Errorf("%w: nothing was committed: %v", driver.ErrUnavailable, err) //nolint // the doubt must not be in the chain
	}
	return err
}

// prepare creates the record and, at the same time, the intents.
func (t *tx) prepare(ctx context.Context) error {
	return t.s.each(ctx, 1+len(t.commit.Writes), func(ctx context.Context, i int) error {
		if i == 0 {
			at, err := t.s.base.Put(ctx, t.id.key(), encodeRecord(&t.record), driver.PutOptions{IfAbsent: true})
			if err != nil {
				return fmt.Errorf("create the transaction's record: %w", err)
			}
			t.record.at = at
			return nil
		}
		return t.place(ctx, i-1)
	})
}

// place puts one intent.
func (t *tx) place(ctx context.Context, i int) error {
	w := &t.commit.Writes[i]
	want, wasRead := t.read[string(w.Key)]
	now, guessed := t.s.guess(w.Key, want)
	if !guessed && (!wasRead || want.IsZero()) {
		now, guessed = object{}, true // that there is none
	}
	for ; ; guessed = false {
		var err error
		if !guessed {
			if now, err = t.s.settled(ctx, w.Key, t.id); err != nil {
				return driver.KeyError("prepare", w.Key, err)
			}
		}
		if wasRead && !shows(now, want) {
			if guessed {
				continue
			}
			return driver.KeyError("prepare", w.Key, errNotAsRead)
		}
		after, err := next(now.plain, w)
		if err != nil {
			if guessed {
				continue
			}
			return driver.KeyError("prepare", w.Key, err)
		}
		in := &pending{tx: t.id, timeout: t.timeout, before: now.plain, after: after}
		if !after.needed() {
			in.after = nil
		}
		o := driver.PutOptions{IfRevision: now.at, IfAbsent: now.at.IsZero()}
		at, err := t.s.base.Put(ctx, objectKey(w.Key), encodeIntent(in), o)
		if errors.Is(err, driver.ErrConflict) {
			continue
		}
		if err != nil {
			return driver.KeyError("prepare", w.Key, err)
		}
		t.at[i], t.placed[i] = at, true
		return nil
	}
}

var errNotAsRead = fmt.Errorf("%w: it is not as it was read", driver.ErrConflict)

// shows reports whether an object shows what was read.
func shows(now object, want driver.Revision) bool {
	if !now.plain.alive() {
		return want.IsZero()
	}
	return now.plain.revision() == want
}

// validate looks at all that was read and is not written, and at all intents. It
// begins when all intents stand and the record is there.
func (t *tx) validate(ctx context.Context) error {
	written := make(map[string]bool, len(t.commit.Writes))
	for i := range t.commit.Writes {
		written[string(t.commit.Writes[i].Key)] = true
	}
	n := len(t.commit.Writes)
	return t.s.each(ctx, n+len(t.commit.Reads), func(ctx context.Context, i int) error {
		if i < n {
			return t.stands(ctx, i)
		}
		r := &t.commit.Reads[i-n]
		if written[string(r.Key)] {
			return nil // its intent stands in the place of what was read
		}
		now, err := t.s.settled(ctx, r.Key, t.id)
		if err != nil {
			return driver.KeyError("validate", r.Key, err)
		}
		if !shows(now, r.Revision) {
			return driver.KeyError("validate", r.Key, errNotAsRead)
		}
		return nil
	})
}

// stands looks whether an intent is still there, now that the record is: one that was
// met before its record was may have been taken away.
func (t *tx) stands(ctx context.Context, i int) error {
	key := t.commit.Writes[i].Key
	o, err := t.s.load(ctx, key)
	if err != nil {
		return driver.KeyError("validate", key, err)
	}
	if o.intent == nil || o.intent.tx != t.id || o.at != t.at[i] {
		return driver.KeyError("validate", key, fmt.Errorf("%w: another client has aborted the transaction", driver.ErrConflict))
	}
	return nil
}

// point is the commit point.
func (t *tx) point(ctx context.Context) error {
	done := t.record
	done.status = committed
	_, err := t.s.base.Put(ctx, t.id.key(), encodeRecord(&done), driver.PutOptions{IfRevision: t.record.at})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrConflict):
		t.later(ctx, func(ctx context.Context) { t.undo(ctx) })
		return fmt.Errorf("%w: another client has aborted the transaction", driver.ErrConflict)
	case !errors.Is(err, driver.ErrOutcomeUnknown):
		t.abort(ctx)
		return err
	}
	// It may be committed. Making it aborted, at the same revision, decides: one of
	// the two swaps has won.
	settle, cancel := t.detached(ctx)
	defer cancel()
	status, settleErr := t.s.makeAborted(settle, t.id, t.timeout)
	switch {
	case settleErr != nil:
		return fmt.Errorf("%w; and asking did not help: %v", err, settleErr) //nolint // it is in doubt, whatever the asking met
	case status == committed:
		t.later(ctx, func(ctx context.Context) { t.finish(ctx) })
		return nil
	}
	t.later(ctx, func(ctx context.Context) { t.undo(ctx) })
	return fmt.Errorf("%w: nothing was committed: %v", driver.ErrUnavailable, err) //nolint // the doubt must not be in the chain
}

// cleanup bounds what is done after the outcome is known, or after the caller's
// context has ended.
const cleanup = 10 * time.Second

// detached is a context of the store's own, for what must be done though the caller's
// may have ended.
func (t *tx) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanup)
}

// abort makes the transaction aborted, and leaves the rest for later. Where that
// fails others will find the record pending, or missing, until its timeout.
func (t *tx) abort(ctx context.Context) {
	t.later(ctx, func(ctx context.Context) {
		if status, err := t.s.makeAborted(ctx, t.id, t.timeout); err == nil && status == aborted {
			t.undo(ctx)
		}
	})
}

// later runs what nobody waits for but Close. Its errors are dropped: whatever is not
// done is done by whoever meets the intents, and by Sweep.
func (t *tx) later(ctx context.Context, do func(ctx context.Context)) {
	ctx, cancel := t.detached(ctx)
	t.s.calls.Add(1) // the caller is counted, so the store is not closed yet
	go func() {
		defer t.s.calls.Done()
		defer cancel()
		do(ctx)
	}()
}

// finish replaces the intents of a committed transaction, and removes its record.
func (t *tx) finish(ctx context.Context) { t.s.settleAll(ctx, t.id, t.record.keys, committed) }

// undo puts back what was there before an aborted transaction.
func (t *tx) undo(ctx context.Context) { t.s.settleAll(ctx, t.id, t.record.keys, aborted) }
