package intent

import (
	"context"
	"errors"

	"github.com/orbit-persistence/orbit/providers/driver"
)

// Together is implemented by stores that change some keys at one moment, those that lie
// together, and not others: in a Redis cluster, the keys of one hash slot. A transaction
// whose keys all lie together then takes one call, and no record and no intents.
type Together interface {
	// Together reports whether two keys lie together. That never changes.
	Together(a, b []byte) bool
	// CommitTogether is driver.Committer's Commit, without ranges, for keys of which each
	// lies together with each. What is ErrTooLarge goes by intents.
	CommitTogether(ctx context.Context, m *driver.Commit) error
}

// together reports whether all keys of the transaction lie together.
func (t *tx) together(base Together) bool {
	first := objectKey(t.commit.Writes[0].Key)
	for i := range t.commit.Writes {
		if !base.Together(first, objectKey(t.commit.Writes[i].Key)) {
			return false
		}
	}
	for i := range t.commit.Reads {
		if !base.Together(first, objectKey(t.commit.Reads[i].Key)) {
			return false
		}
	}
	return true
}

// atOnce commits by one call of the base: whatever was read or is written must be without
// an intent, and as it was when this looked at it.
func (t *tx) atOnce(ctx context.Context, base Together) error {
	for {
		m, err := t.below(ctx)
		if err != nil {
			return err
		}
		err = base.CommitTogether(ctx, m)
		if !errors.Is(err, driver.ErrConflict) || errors.Is(err, driver.ErrOutcomeUnknown) {
			return err
		}
		// Somebody was faster; what was read may still be as it was.
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// below returns the commit of objects that is the transaction; ErrConflict if what it has
// read is not as it was.
func (t *tx) below(ctx context.Context) (*driver.Commit, error) {
	writes, reads := t.commit.Writes, t.commit.Reads
	m := &driver.Commit{Reads: make([]driver.Read, len(writes), len(writes)+len(reads)), Writes: make([]driver.Write, 0, len(writes))}
	after := make([]*value, len(writes))
	err := t.s.each(ctx, len(writes), func(ctx context.Context, i int) error {
		w := &writes[i]
		now, err := t.s.settled(ctx, w.Key, t.id)
		if err == nil {
			if want, wasRead := t.read[string(w.Key)]; wasRead && !shows(now, want) {
				err = errNotAsRead
			}
		}
		if err == nil {
			after[i], err = next(now.plain, w)
		}
		m.Reads[i] = driver.Read{Key: objectKey(w.Key), Revision: now.at}
		return driver.KeyError("prepare", w.Key, err)
	})
	if err != nil {
		return nil, err
	}
	for i := range writes {
		w := driver.Write{Key: m.Reads[i].Key, Delete: !after[i].needed()}
		if !w.Delete {
			w.Value = encodePlain(after[i])
		}
		m.Writes = append(m.Writes, w)
	}
	seen := make([]driver.Read, len(reads))
	err = t.s.each(ctx, len(reads), func(ctx context.Context, i int) error {
		r := &reads[i]
		now, err := t.s.settled(ctx, r.Key, t.id)
		if err == nil && !shows(now, r.Revision) {
			err = errNotAsRead
		}
		seen[i] = driver.Read{Key: objectKey(r.Key), Revision: now.at}
		return driver.KeyError("validate", r.Key, err)
	})
	m.Reads = append(m.Reads, seen...)
	return m, err
}
