package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := ctx.Err(); err != nil {
		return driver.Revision{}, err
	}
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	w := driver.Write{Key: key, Value: value, TTL: o.TTL, Fence: o.Fence}
	revision, err := s.one(ctx, w, o.IfAbsent, o.IfRevision)
	if err != nil {
		return driver.Revision{}, driver.KeyError("put", key, err)
	}
	return driver.NumberRevision(revision), nil
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	_, err := s.one(ctx, driver.Write{Key: key, Delete: true, Fence: o.Fence}, false, o.IfRevision)
	return driver.KeyError("delete", key, err)
}

// one makes one write under a condition.
func (s *Store) one(ctx context.Context, w driver.Write, absent bool, at driver.Revision) (revision uint64, err error) {
	k := s.work.Get().(*work)
	defer s.release(k)
	hash := s.locks.hash(w.Key)
	k.one[0], k.writes = w, append(k.writes[:0], hash)
	for {
		if err := s.locks.lock(ctx, of(hash)); err != nil {
			return 0, err
		}
		revision, err = s.oneLocked(ctx, k, absent, at)
		s.locks.unlock(of(hash))
		if !errors.Is(err, errFull) {
			return revision, err
		}
		if err := s.occupied.makeRoom(ctx, s, err); err != nil {
			return 0, err
		}
	}
}

func (s *Store) oneLocked(ctx context.Context, k *work, absent bool, at driver.Revision) (uint64, error) {
	if absent || !at.IsZero() {
		now, err := s.revisionOf(k.one[0].Key, k.writes[0])
		switch {
		case err != nil:
			return 0, err
		case absent && now != 0:
			return 0, fmt.Errorf("%w: the key is there, at revision %d", driver.ErrConflict, now)
		case !at.IsZero() && (now == 0 || driver.NumberRevision(now) != at):
			return 0, fmt.Errorf("%w: the key is at revision %d, not %s", driver.ErrConflict, now, at)
		}
	}
	return s.write(ctx, k, k.one[:])
}

// write commits writes whose keys are locked, all under one revision. k has the hashes
// of their keys.
func (s *Store) write(ctx context.Context, k *work, writes []driver.Write) (uint64, error) {
	revision, err := s.nextRevision(ctx)
	if err != nil {
		return 0, err
	}
	k.batch.Reset()
	var change delta
	for i := range writes {
		if err := s.add(k, &writes[i], revision, &change); err != nil {
			return 0, err
		}
	}
	if s.occupied != nil {
		if err := s.occupied.take(change); err != nil {
			return 0, err
		}
	}
	for _, hash := range k.writes {
		s.known.forget(hash)
	}
	err = s.engine.Apply(ctx, &k.batch, s.options.Durability)
	for i, hash := range k.writes {
		w := &writes[i]
		if err != nil || w.TTL != 0 {
			s.known.forget(hash)
			continue
		}
		r := row{revision: revision}
		if w.Delete {
			r.revision = 0
		}
		s.known.written(hash, r)
	}
	if err != nil {
		if s.occupied != nil {
			s.occupied.giveBack(change)
		}
		return 0, outcome(err)
	}
	return revision, nil
}

// outcome marks the error of the commit whose flush failed: it may be found after
// the next opening.
func outcome(err error) error {
	if errors.Is(err, engine.ErrReadOnly) {
		return fmt.Errorf("%w: %w", driver.ErrOutcomeUnknown, err)
	}
	return err
}

// add adds one write to the batch.
func (s *Store) add(k *work, w *driver.Write, revision uint64, change *delta) error {
	if w.Fence != 0 {
		if err := s.fence(k, w); err != nil {
			return err
		}
	}
	key := rowKey(w.Key)
	if s.occupied != nil {
		old, err := s.engine.Get(key, nil)
		switch {
		case err == nil:
			change.remove(w.Key, len(old))
		case !errors.Is(err, engine.ErrNotFound):
			return err
		}
	}
	if w.Delete {
		k.batch.Delete(key)
		return nil
	}
	r := row{revision: revision, value: w.Value}
	if w.TTL > 0 {
		r.expires = s.now().Add(w.TTL).UnixNano()
		if r.expires <= 0 {
			return fmt.Errorf("%w: a TTL of %s ends beyond the year 2262", driver.ErrInvalid, w.TTL)
		}
		k.batch.Put(expiryKey(r.expires, w.Key), nil)
	}
	k.row = appendRow(k.row[:0], r)
	k.batch.Put(key, k.row)
	change.add(w.Key, len(k.row))
	return nil
}

// fence checks the token of a write against the largest that was seen.
func (s *Store) fence(k *work, w *driver.Write) error {
	key, seen := fenceKey(w.Key), uint64(0)
	data, err := s.engine.Get(key, nil)
	switch {
	case err == nil:
		if seen, err = decodeNumber("fence", fenceVersion, data); err != nil {
			return err
		}
	case !errors.Is(err, engine.ErrNotFound):
		return err
	}
	if w.Fence < seen {
		return fmt.Errorf("%w: token %d; a writer with token %d was here", driver.ErrFenced, w.Fence, seen)
	}
	if w.Fence > seen {
		k.batch.Put(key, encodeNumber(fenceVersion, w.Fence))
	}
	return nil
}

// Commit implements driver.Committer.
func (s *Store) Commit(ctx context.Context, m *driver.Commit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	k := s.work.Get().(*work)
	defer s.release(k)
	k.reads, k.writes = k.reads[:0], k.writes[:0]
	var locked set
	for i := range m.Reads {
		hash := s.locks.hash(m.Reads[i].Key)
		k.reads = append(k.reads, hash)
		locked.add(of(hash))
	}
	for i := range m.Writes {
		hash := s.locks.hash(m.Writes[i].Key)
		k.writes = append(k.writes, hash)
		locked.add(of(hash))
	}
	if len(m.Ranges) > 0 {
		for i := range stripes {
			locked.add(i)
		}
	}
	for {
		if err := s.locks.lockSet(ctx, &locked); err != nil {
			return err
		}
		err := s.commitLocked(ctx, k, m)
		s.locks.unlockSet(&locked)
		if !errors.Is(err, errFull) {
			if err != nil {
				return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
			}
			return nil
		}
		if err := s.occupied.makeRoom(ctx, s, err); err != nil {
			return err
		}
	}
}

func (s *Store) commitLocked(ctx context.Context, k *work, m *driver.Commit) error {
	for i := range m.Reads {
		r := &m.Reads[i]
		now, err := s.revisionOf(r.Key, k.reads[i])
		if err != nil {
			return driver.KeyError("validate", r.Key, err)
		}
		if now != r.Revision.Number() || r.Revision.Tag() != "" {
			return driver.KeyError("validate", r.Key, fmt.Errorf("%w: it was read at revision %q and is at %d", driver.ErrConflict, r.Revision, now))
		}
	}
	for i := range m.Ranges {
		if err := s.validateRange(ctx, &m.Ranges[i]); err != nil {
			return err
		}
	}
	if len(m.Writes) == 0 {
		return nil
	}
	_, err := s.write(ctx, k, m.Writes)
	return err
}

func (s *Store) validateRange(ctx context.Context, r *driver.RangeRead) error {
	n := 0
	for e, err := range s.List(ctx, r.Options) {
		if err != nil {
			return err
		}
		if n >= len(r.Seen) || !bytes.Equal(r.Seen[n].Key, e.Key) || r.Seen[n].Revision != e.Revision {
			return driver.KeyError("validate list", e.Key, fmt.Errorf("%w: it is not what was listed", driver.ErrConflict))
		}
		n++
	}
	if n < len(r.Seen) {
		return driver.KeyError("validate list", r.Seen[n].Key, fmt.Errorf("%w: it is gone", driver.ErrConflict))
	}
	return nil
}

// bulkWrites and bulkBytes bound one batch of a bulk.
const (
	bulkWrites = 4096
	bulkBytes  = 4 << 20
)

// BulkPut implements driver.BulkPutter.
func (s *Store) BulkPut(ctx context.Context, writes []driver.Write) error {
	applied := false
	for len(writes) > 0 {
		n, size := 0, 0
		for n < len(writes) && n < bulkWrites && size < bulkBytes {
			size += len(writes[n].Key) + len(writes[n].Value)
			n++
		}
		m := driver.Commit{Writes: writes[:n]}
		err := s.Commit(ctx, &m)
		if errors.Is(err, driver.ErrInvalid) && n > 1 { // a key twice: the last one wins, so one by one
			for i := range m.Writes {
				w := &m.Writes[i]
				if w.Delete {
					err = s.Delete(ctx, w.Key, driver.DeleteOptions{Fence: w.Fence})
				} else {
					_, err = s.Put(ctx, w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence})
				}
				if err != nil {
					break
				}
				applied = true
			}
		}
		if err != nil {
			if applied {
				return fmt.Errorf("bulk put, after some were applied: %w", err)
			}
			return fmt.Errorf("bulk put: %w", err)
		}
		applied = true
		writes = writes[n:]
	}
	return ctx.Err()
}

// Expire implements driver.Expirer. What it costs is in proportion to what has
// expired, and to the rows with a TTL that were written again since.
func (s *Store) Expire(ctx context.Context, limit int) (int, error) {
	removed := 0
	for removed < limit {
		now := s.now().UnixNano()
		due, err := s.due(ctx, now, min(limit-removed, chunkEntries))
		if err != nil || len(due) == 0 {
			return removed, err
		}
		for _, d := range due {
			gone, err := s.expire(ctx, d, now)
			if err != nil {
				return removed, fmt.Errorf("expire: %w", err)
			}
			if gone {
				removed++
			}
		}
	}
	return removed, nil
}

// due returns up to limit keys of expiries whose time has come.
func (s *Store) due(ctx context.Context, now int64, limit int) (keys [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.walks.RLock()
	defer s.walks.RUnlock()
	it, err := s.engine.NewIterator(engine.IterOptions{Lower: expiryPrefix, Upper: expiryKey(now+1, nil), KeysOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := it.Close(); err == nil {
			err = closeErr
		}
	}()
	for ok := it.First(); ok && len(keys) < limit; ok = it.Next() {
		if len(it.Key()) < overheadBytes {
			return nil, driver.KeyError("expire", it.Key(), driver.ErrCorrupt)
		}
		keys = append(keys, bytes.Clone(it.Key()))
	}
	return keys, nil
}

// expire drops one expiry, and the row if its time has come.
func (s *Store) expire(ctx context.Context, expiry []byte, now int64) (bool, error) {
	key := expiry[overheadBytes:]
	hash := s.locks.hash(key)
	if err := s.locks.lock(ctx, of(hash)); err != nil {
		return false, err
	}
	defer s.locks.unlock(of(hash))
	var b engine.Batch
	var change delta
	b.Delete(expiry)
	data, err := s.engine.Get(rowKey(key), nil)
	switch {
	case err == nil:
		r, err := decodeRow(data)
		if err != nil {
			return false, driver.KeyError("expire", key, err)
		}
		if r.expires != 0 && r.expires <= now {
			b.Delete(rowKey(key))
			change.remove(key, len(data))
		}
	case !errors.Is(err, engine.ErrNotFound):
		return false, err
	}
	s.known.forget(hash)
	err = s.engine.Apply(ctx, &b, s.options.Durability)
	s.known.forget(hash)
	if err != nil {
		return false, outcome(err)
	}
	if s.occupied != nil {
		s.occupied.giveBack(change.reversed())
	}
	return b.Count() == 2, nil
}
