package intent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// outcome of an attempt to resolve an intent.
type outcome uint8

const (
	waiting    outcome = iota // it is pending: wait
	lookAgain                 // the object may be another by now
	settledNow                // the object is settled
)

// resolve deals with an intent that was met at a key.
func (s *Store) resolve(ctx context.Context, key []byte, o object, mine id) (object, outcome, error) {
	r, err := s.recordOf(ctx, o.intent.tx)
	if err != nil {
		return object{}, waiting, err
	}
	status := r.status
	if status == pendingStatus || status == missing {
		overdue := s.overdue(o.intent.tx, o.intent.timeout)
		wound := mine != (id{}) && mine.older(o.intent.tx)
		if !overdue && !wound {
			return object{}, waiting, nil
		}
		if status, err = s.abortRecord(ctx, o.intent.tx, r, o.intent.timeout); err != nil {
			return object{}, waiting, err
		}
	}
	s.forget(o.intent.tx)
	switch status {
	case committed:
		return s.settle(ctx, key, o, o.intent.after, true)
	case aborted:
		return s.settle(ctx, key, o, o.intent.before, false)
	}
	return object{}, lookAgain, nil
}

// settle puts a value in the place of its intent. What a committed transaction has
// written is known even if the swap fails; what an aborted one has not written only
// once the swap shows that the intent stood until then.
func (s *Store) settle(ctx context.Context, key []byte, o object, v *value, known bool) (object, outcome, error) {
	at, err := s.replace(ctx, key, o.at, v)
	switch {
	case err == nil:
		if !v.needed() {
			return object{}, settledNow, nil
		}
		return object{plain: v, at: at}, settledNow, nil
	case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrOutcomeUnknown):
		return object{}, lookAgain, nil
	case known && ctx.Err() == nil:
		return object{plain: v, at: o.at}, settledNow, nil
	}
	return object{}, waiting, err
}

// recordOf reads a record; its status is missing if there is none.
func (s *Store) recordOf(ctx context.Context, t id) (record, error) {
	e, err := s.base.Get(ctx, t.key())
	if errors.Is(err, driver.ErrNotFound) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("read a transaction's record: %w", err)
	}
	r, err := decodeRecord(e.Value)
	if err != nil {
		return record{}, err
	}
	r.at = e.Revision
	return *r, nil
}

// overdue notes when a transaction was met first, and reports whether its timeout has
// passed since, on the clock of this client.
func (s *Store) overdue(t id, timeout time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	first, known := s.met[t]
	if !known {
		s.met[t] = now
		s.dropOld(now)
		return false
	}
	return now.Sub(first) >= timeout
}

// Transactions that others have settled stay in met until there are so many; what was
// met so long ago is then dropped.
const (
	maxMet = 4096
	oldMet = time.Hour
)

// dropOld bounds met. The caller holds mu.
func (s *Store) dropOld(now time.Time) {
	if len(s.met) <= maxMet {
		return
	}
	for t, first := range s.met {
		if now.Sub(first) > oldMet {
			delete(s.met, t)
		}
	}
}

func (s *Store) forget(t id) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.met, t)
}

// abortRecord makes a record that was read as pending, or as missing, aborted. The
// status is missing if it was another by then.
func (s *Store) abortRecord(ctx context.Context, t id, r record, timeout time.Duration) (status, error) {
	to := record{status: aborted, timeout: timeout, keys: r.keys}
	o := driver.PutOptions{IfRevision: r.at, IfAbsent: r.at.IsZero()}
	_, err := s.base.Put(ctx, t.key(), encodeRecord(&to), o)
	switch {
	case err == nil:
		return aborted, nil
	case errors.Is(err, driver.ErrConflict), errors.Is(err, driver.ErrOutcomeUnknown):
		return missing, nil
	}
	return missing, fmt.Errorf("abort a transaction: %w", err)
}

// makeAborted makes a transaction of one's own aborted, unless it is committed, and
// returns which of the two it is.
func (s *Store) makeAborted(ctx context.Context, t id, timeout time.Duration) (status, error) {
	for {
		r, err := s.recordOf(ctx, t)
		if err != nil {
			return missing, err
		}
		if r.status == committed || r.status == aborted {
			return r.status, nil
		}
		if status, err := s.abortRecord(ctx, t, r, timeout); err != nil || status == aborted {
			return status, err
		}
		if err := ctx.Err(); err != nil {
			return missing, err
		}
	}
}

// settleAll settles the intents of a transaction whose outcome is known, and then,
// when none is left, removes its record.
func (s *Store) settleAll(ctx context.Context, t id, keys [][]byte, as status) error {
	err := s.each(ctx, len(keys), func(ctx context.Context, i int) error {
		for {
			o, err := s.load(ctx, keys[i])
			if err != nil {
				return err
			}
			if o.intent == nil || o.intent.tx != t {
				return nil
			}
			v := o.intent.before
			if as == committed {
				v = o.intent.after
			}
			if _, err = s.replace(ctx, keys[i], o.at, v); err != nil && !errors.Is(err, driver.ErrConflict) {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	r, err := s.recordOf(ctx, t)
	if err != nil || r.status != as {
		return err
	}
	// A record that says committed is never changed, nor made a second time, so that it
	// can go without a condition, which costs some stores a tombstone. One that says
	// aborted its slow owner may make anew as pending, and commit, once others have
	// removed it.
	o := driver.DeleteOptions{IfRevision: r.at}
	if as == committed {
		o = driver.DeleteOptions{Final: true}
	}
	err = s.base.Delete(ctx, t.key(), o)
	if errors.Is(err, driver.ErrConflict) {
		return nil
	}
	return err
}

// Sweep settles transactions that nobody meets, and removes their records: those that
// are committed or aborted, and those that have been pending for their timeout since
// Sweep, or a read, met them first. It returns how many records it has removed.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	removed := 0
	for e, err := range s.base.List(ctx, driver.ListOptions{Prefix: recordPrefix}) {
		if err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		var t id
		if copy(t[:], e.Key[len(recordPrefix):]) != len(t) {
			return removed, driver.KeyError("sweep", e.Key, driver.ErrCorrupt)
		}
		r, err := decodeRecord(e.Value)
		if err != nil {
			return removed, driver.KeyError("sweep", e.Key, err)
		}
		// A client may still be about to settle, or to create this record: it goes
		// when its timeout has passed, whatever it says.
		if !s.overdue(t, r.timeout) {
			continue
		}
		r.at = e.Revision
		as := r.status
		if as == pendingStatus {
			if as, err = s.abortRecord(ctx, t, *r, r.timeout); err != nil {
				return removed, fmt.Errorf("sweep: %w", err)
			}
			if as != aborted {
				continue
			}
		}
		if err := s.settleAll(ctx, t, r.keys, as); err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		s.forget(t)
		removed++
	}
	return removed, nil
}
