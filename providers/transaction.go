package providers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Isolation is how far a transaction is kept from others. Every provider gives
// Serializable, which is no weaker than any that can be asked for.
type Isolation uint8

const (
	// Serializable is as if transactions ran one after the other, in real time's
	// order. It is the zero value, and what all of the others are served with.
	Serializable Isolation = iota
	// RepeatableRead may be asked for.
	RepeatableRead
	// ReadCommitted may be asked for.
	ReadCommitted
	// ReadUncommitted may be asked for.
	ReadUncommitted
)

// TxOptions set up a transaction. The zero value takes every default.
type TxOptions struct {
	// Isolation is the least that the transaction needs.
	Isolation Isolation
	// Timeout is how long it may last; 0 is that of Config. When it has passed the
	// transaction is rolled back, and its calls are context.DeadlineExceeded.
	Timeout time.Duration
	// ReadOnly transactions write nothing. Where the backend has snapshots they
	// remember nothing of what they read, so that they may read any amount, and list
	// also where the backend cannot tell whether a range has changed.
	ReadOnly bool
}

// Tx is a transaction: what it writes is seen by itself alone until Commit, and by
// nobody after Rollback. It belongs to one goroutine at a time. It must be ended, by
// Commit or Rollback; if it is not, it holds what it has read until its timeout, and
// no other client ever.
type Tx struct {
	p       *Provider
	s       *state
	ctx     context.Context // ends with the timeout
	cancel  context.CancelFunc
	unwatch func() bool // keeps ctx from giving the snapshot back; nil without one
	timeout time.Duration
	// readOnly says that there are no writes, fixed that, besides, all is read at one
	// moment, so that there is nothing to validate.
	readOnly, fixed bool

	mu       sync.Mutex      // guards snapshot and ended, which the timeout ends too
	snapshot driver.Snapshot // nil where the store has none
	ended    bool

	read   map[string]Entry // what was read, absent keys with a zero revision
	ranges []driver.RangeRead
	writes map[string]*driver.Write
}

// Begin begins a transaction. ctx bounds all of it.
func (p *Provider) Begin(ctx context.Context, o TxOptions) (*Tx, error) {
	s, err := p.use()
	if err != nil {
		return nil, err
	}
	if o.Isolation > ReadUncommitted {
		return nil, fmt.Errorf("begin: %w: isolation %d", ErrInvalid, o.Isolation)
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("begin: %w: a timeout of %s", ErrInvalid, o.Timeout)
	}
	set(&o.Timeout, p.config.TransactionTimeout)
	t := &Tx{p: p, s: s, timeout: o.Timeout, readOnly: o.ReadOnly, fixed: o.ReadOnly && s.snapshotter != nil, read: map[string]Entry{}, writes: map[string]*driver.Write{}}
	t.ctx, t.cancel = context.WithTimeout(ctx, o.Timeout)
	if s.snapshotter != nil {
		if t.snapshot, err = s.snapshotter.Snapshot(t.ctx); err != nil {
			t.cancel()
			return nil, fmt.Errorf("begin: %w", err)
		}
		t.unwatch = context.AfterFunc(t.ctx, t.release)
	}
	return t, nil
}

// release gives the snapshot back.
func (t *Tx) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snapshot != nil {
		_ = t.snapshot.Close() // nothing was written through it
		t.snapshot = nil
	}
}

// end ends the transaction, once.
func (t *Tx) end() error {
	t.mu.Lock()
	ended := t.ended
	t.ended = true
	t.mu.Unlock()
	if ended {
		return fmt.Errorf("transaction: %w: it has ended", ErrClosed)
	}
	if t.unwatch != nil {
		t.unwatch() // or else each transaction would end in a goroutine that finds nothing to do
	}
	t.release()
	return nil
}

// use returns why the transaction cannot be used, nil if it can.
func (t *Tx) use(ctx context.Context) error {
	t.mu.Lock()
	ended := t.ended
	t.mu.Unlock()
	if ended {
		return fmt.Errorf("transaction: %w: it has ended", ErrClosed)
	}
	if err := t.ctx.Err(); err != nil {
		return fmt.Errorf("transaction of %s: %w", t.timeout, err)
	}
	return ctx.Err()
}

// Get returns the entry of key as the transaction sees it; ErrNotFound bare.
func (t *Tx) Get(ctx context.Context, key []byte) (Entry, error) {
	if err := t.use(ctx); err != nil {
		return Entry{}, err
	}
	if w := t.writes[string(key)]; w != nil {
		if w.Delete {
			return Entry{}, ErrNotFound
		}
		return Entry{Key: key, Value: slices.Clone(w.Value)}, nil
	}
	return t.stored(ctx, key)
}

// stored returns the entry of key as it is without what the transaction has written.
func (t *Tx) stored(ctx context.Context, key []byte) (Entry, error) {
	if e, ok := t.read[string(key)]; ok {
		if e.Revision.IsZero() {
			return Entry{}, ErrNotFound
		}
		e.Value = slices.Clone(e.Value)
		return e, nil
	}
	var e Entry
	err := t.p.do(ctx, t.s, read, "transaction get", key, func(ctx context.Context) (err error) {
		if t.s.snapshotter == nil {
			e, err = t.s.store.Get(ctx, key)
			return err
		}
		return t.atSnapshot(func(snap driver.Snapshot) (err error) { e, err = snap.Get(ctx, key); return err })
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Entry{}, err
	}
	if t.fixed {
		return e, err
	}
	if err != nil {
		t.read[string(key)] = Entry{}
		return Entry{}, ErrNotFound
	}
	t.read[string(key)] = e
	e.Value = slices.Clone(e.Value)
	return e, nil
}

// Prefetch reads keys at once, so that each Get of one of them that follows costs no
// round trip of its own. It does nothing where reads come from a snapshot.
func (t *Tx) Prefetch(ctx context.Context, keys [][]byte) error {
	if err := t.use(ctx); err != nil {
		return err
	}
	if t.s.snapshotter != nil {
		return nil
	}
	var missing [][]byte
	for _, key := range keys {
		if _, known := t.read[string(key)]; !known && t.writes[string(key)] == nil {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	entries, err := t.p.GetMany(ctx, missing)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if e.Revision.IsZero() {
			e = Entry{}
		}
		t.read[string(missing[i])] = e
	}
	return nil
}

// atSnapshot reads from the snapshot, unless the timeout has taken it.
func (t *Tx) atSnapshot(read func(driver.Snapshot) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snapshot == nil {
		return fmt.Errorf("transaction of %s: %w", t.timeout, context.DeadlineExceeded)
	}
	return read(t.snapshot)
}

var errReadOnlyTx = fmt.Errorf("%w: the transaction was begun as read-only", ErrInvalid)

// Put sets key to value when the transaction commits.
func (t *Tx) Put(ctx context.Context, key, value []byte, o PutOptions) error {
	if err := t.use(ctx); err != nil {
		return err
	}
	if t.readOnly {
		return driver.KeyError("put", key, errReadOnlyTx)
	}
	if err := t.s.caps.CheckPut(key, value, o); err != nil {
		return err
	}
	if o.IfAbsent || !o.IfRevision.IsZero() {
		e, err := t.Get(ctx, key)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return err
		case o.IfAbsent && err == nil, !o.IfRevision.IsZero() && e.Revision != o.IfRevision:
			return driver.KeyError("put", key, fmt.Errorf("%w: the condition does not hold in the transaction", ErrConflict))
		}
	}
	memory := append(append(make([]byte, 0, len(key)+len(value)), key...), value...) // of both
	t.writes[string(key)] = &driver.Write{Key: memory[:len(key):len(key)], Value: memory[len(key):], TTL: o.TTL, Fence: o.Fence}
	return nil
}

// Delete removes key when the transaction commits.
func (t *Tx) Delete(ctx context.Context, key []byte, o DeleteOptions) error {
	if err := t.use(ctx); err != nil {
		return err
	}
	if t.readOnly {
		return driver.KeyError("delete", key, errReadOnlyTx)
	}
	if err := t.s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	if !o.IfRevision.IsZero() {
		if e, err := t.Get(ctx, key); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		} else if e.Revision != o.IfRevision {
			return driver.KeyError("delete", key, fmt.Errorf("%w: the condition does not hold in the transaction", ErrConflict))
		}
	}
	t.writes[string(key)] = &driver.Write{Key: slices.Clone(key), Delete: true, Fence: o.Fence}
	return nil
}

// List returns the entries as the transaction sees them, in the order of their keys.
// Where the backend cannot tell whether a range has changed it is ErrUnsupported: see
// ListGuarded.
func (t *Tx) List(ctx context.Context, o ListOptions) iter.Seq2[Entry, error] {
	if !t.s.caps.RangeReads && !t.fixed {
		return func(yield func(Entry, error) bool) {
			yield(Entry{}, fmt.Errorf("transaction list: %w: %s cannot tell whether a range has changed; list with a guard key", ErrUnsupported, t.s.caps.Backend))
		}
	}
	return t.list(ctx, o, true)
}

// ListGuarded is List on every backend: guard is a key that whoever puts or deletes a
// key of the range writes in the same transaction. A change of it is a conflict.
func (t *Tx) ListGuarded(ctx context.Context, o ListOptions, guard []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := t.use(ctx); err != nil {
			yield(Entry{}, err)
			return
		}
		// The stored one counts, also where the transaction has written the guard itself.
		if _, err := t.stored(ctx, guard); err != nil && !errors.Is(err, ErrNotFound) {
			yield(Entry{}, err)
			return
		}
		for e, err := range t.list(ctx, o, false) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// list reads the whole list at once, and puts what the transaction has written in.
func (t *Tx) list(ctx context.Context, o ListOptions, validated bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		entries, err := t.listed(ctx, o, validated)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (t *Tx) listed(ctx context.Context, o ListOptions, validated bool) ([]Entry, error) {
	if err := t.use(ctx); err != nil {
		return nil, err
	}
	// What the transaction has written changes which entries a limit lets through, by
	// at most as many as it has written.
	below := o
	below.Prefix, below.After, below.KeysOnly = slices.Clone(o.Prefix), slices.Clone(o.After), t.fixed && o.KeysOnly
	if o.Limit > 0 {
		below.Limit += len(t.writes)
	}
	var entries []Entry
	err := t.p.do(ctx, t.s, read, "transaction list", o.Prefix, func(ctx context.Context) error {
		entries = entries[:0]
		collect := func(seq iter.Seq2[Entry, error]) error {
			for e, err := range seq {
				if err != nil {
					return err
				}
				entries = append(entries, e)
			}
			return nil
		}
		if t.s.snapshotter == nil {
			return collect(t.s.store.List(ctx, below))
		}
		return t.atSnapshot(func(snap driver.Snapshot) error { return collect(snap.List(ctx, below)) })
	})
	if err != nil {
		return nil, err
	}
	if t.fixed {
		return entries, nil
	}
	if validated {
		seen := driver.RangeRead{Options: below}
		for _, e := range entries {
			seen.Seen = append(seen.Seen, driver.Read{Key: slices.Clone(e.Key), Revision: e.Revision})
		}
		t.ranges = append(t.ranges, seen)
	}
	return t.merge(entries, o), nil
}

// merge puts what the transaction has written into a list.
func (t *Tx) merge(entries []Entry, o ListOptions) []Entry {
	var out []Entry
	for _, e := range entries {
		if t.writes[string(e.Key)] == nil {
			out = append(out, e)
		}
	}
	for key, w := range t.writes {
		if !w.Delete && strings.HasPrefix(key, string(o.Prefix)) && (o.After == nil || key > string(o.After)) {
			out = append(out, Entry{Key: slices.Clone(w.Key), Value: slices.Clone(w.Value)})
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return bytes.Compare(a.Key, b.Key) })
	if o.Limit > 0 && len(out) > o.Limit {
		out = out[:o.Limit]
	}
	if o.KeysOnly {
		for i := range out {
			out[i].Value = nil
		}
	}
	return out
}

// Commit makes what the transaction has written seen, all at one moment, if what it
// has read is then unchanged; else it is ErrConflict, and nothing was written. The
// transaction has ended then, whatever is returned.
func (t *Tx) Commit(ctx context.Context) error {
	if err := t.use(ctx); err != nil {
		t.Rollback()
		return err
	}
	defer t.cancel()
	if err := t.end(); err != nil {
		return err
	}
	if len(t.writes) == 0 && t.s.snapshotter != nil {
		return nil // all of it was read at one moment
	}
	m := &driver.Commit{Ranges: t.ranges, Timeout: t.timeout}
	for key, e := range t.read {
		m.Reads = append(m.Reads, driver.Read{Key: []byte(key), Revision: e.Revision})
	}
	for _, w := range t.writes {
		m.Writes = append(m.Writes, *w)
	}
	slices.SortFunc(m.Writes, func(a, b driver.Write) int { return bytes.Compare(a.Key, b.Key) })
	// What the caller cancels is cancelled, and what has lasted too long too.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(t.ctx, func() { cancel(t.ctx.Err()) })()
	return t.p.Commit(ctx, m)
}

// Rollback ends the transaction without a trace. After Commit or Rollback it does
// nothing, so that it can be deferred.
func (t *Tx) Rollback() {
	_ = t.end() // that it has ended before is as well
	t.cancel()
}

// updateAttempts bounds how often Update runs its function.
const updateAttempts = 100

// Update runs f in a transaction, commits, and runs it again where that is
// ErrConflict, with growing pauses, until ctx ends. f must have no effects but through
// its transaction; an error of f rolls back, and is returned, unless it is
// ErrConflict.
func (p *Provider) Update(ctx context.Context, f func(tx *Tx) error) error {
	return p.UpdateWith(ctx, TxOptions{}, f)
}

// UpdateWith is Update with options for each transaction.
func (p *Provider) UpdateWith(ctx context.Context, o TxOptions, f func(tx *Tx) error) error {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier, pauses.RandomizationFactor = time.Millisecond, time.Second, 2, 0.9
	pauses.Reset()
	for attempt := 1; ; attempt++ {
		err := p.attempt(ctx, o, f)
		if err == nil || !errors.Is(err, ErrConflict) || errors.Is(err, ErrOutcomeUnknown) || attempt == updateAttempts {
			return err
		}
		pause := time.NewTimer(pauses.NextBackOff())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w; given up: %w", err, ctx.Err())
		}
	}
}

func (p *Provider) attempt(ctx context.Context, o TxOptions, f func(tx *Tx) error) error {
	tx, err := p.Begin(ctx, o)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}
