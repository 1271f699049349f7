package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	r, err := s.put(ctx, key, value, o, clientv3.NoLease)
	return r, driver.KeyError("put", key, err)
}

// put puts a key and binds it to a lease, unless that is 0.
func (s *Store) put(ctx context.Context, key, value []byte, o driver.PutOptions, lease clientv3.LeaseID) (driver.Revision, error) {
	if !o.IfAbsent && o.IfRevision.IsZero() && o.TTL == 0 && o.Fence == 0 {
		r := newRequest(ctx)
		response, err := s.client.Put(r, s.dataKey(key), string(value), clientv3.WithLease(lease))
		if err != nil {
			return driver.Revision{}, r.write(err)
		}
		return revision(response.Header.Revision), nil
	}
	t := transaction{s: s, lease: lease, writes: []driver.Write{{Key: key, Value: value, TTL: o.TTL, Fence: o.Fence}}}
	if o.IfAbsent || !o.IfRevision.IsZero() {
		t.reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	at, err := t.commit(ctx)
	return at, err
}

func revision(n int64) driver.Revision { return driver.NumberRevision(uint64(n)) }

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckDelete(key, o); err != nil {
		return err
	}
	if o == (driver.DeleteOptions{}) {
		r := newRequest(ctx)
		_, err := s.client.Delete(r, s.dataKey(key))
		return driver.KeyError("delete", key, r.write(err))
	}
	t := transaction{s: s, writes: []driver.Write{{Key: key, Delete: true, Fence: o.Fence}}}
	if !o.IfRevision.IsZero() {
		t.reads = []driver.Read{{Key: key, Revision: o.IfRevision}}
	}
	_, err := t.commit(ctx)
	return driver.KeyError("delete", key, err)
}

// Commit implements driver.Committer.
func (s *Store) Commit(ctx context.Context, m *driver.Commit) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	if err := s.caps.CheckCommit(m); err != nil {
		return err
	}
	if len(m.Reads)+len(m.Ranges)+len(m.Writes) == 0 {
		return nil
	}
	t := transaction{s: s, reads: m.Reads, ranges: m.Ranges, writes: m.Writes}
	if _, err := t.commit(ctx); err != nil {
		return fmt.Errorf("commit of %d writes: %w", len(m.Writes), err)
	}
	return nil
}

// BulkPut implements driver.BulkPutter: by transactions without conditions, as large as
// the server takes them, and fenced writes one by one.
func (s *Store) BulkPut(ctx context.Context, writes []driver.Write) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for i := range writes {
		w := &writes[i]
		if err := s.caps.CheckPut(w.Key, w.Value, driver.PutOptions{TTL: w.TTL, Fence: w.Fence}); err != nil {
			return fmt.Errorf("bulk put: %w", err)
		}
	}
	for done := 0; done < len(writes); {
		n := together(writes[done:])
		t := transaction{s: s, writes: writes[done : done+n]}
		if _, err := t.commit(ctx); err != nil {
			if done > 0 && !errors.Is(err, driver.ErrOutcomeUnknown) && (errors.Is(err, driver.ErrUnavailable) || ctx.Err() != nil) {
				// That nothing was applied is not true of what went before.
				err = fmt.Errorf("%w: %v", driver.ErrOutcomeUnknown, err) //nolint // so it must not be in the chain
			}
			return fmt.Errorf("bulk put, after %d of %d writes: %w", done, len(writes), err)
		}
		done += n
	}
	return nil
}

// together returns how many of the first writes fit into one transaction.
func together(writes []driver.Write) int {
	if writes[0].Fence != 0 {
		return 1
	}
	seen, size := map[string]bool{}, 0
	for i := range writes {
		w := &writes[i]
		size += len(w.Key) + len(w.Value)
		if i > 0 && (w.Fence != 0 || seen[string(w.Key)] || i == maxOps || size > maxCommitBytes) {
			return i
		}
		seen[string(w.Key)] = true
	}
	return len(writes)
}

// grant makes a lease for a TTL, rounded up to seconds. What fails has put nothing.
func (s *Store) grant(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	r := newRequest(ctx)
	response, err := s.client.Grant(r, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		return 0, fmt.Errorf("make a lease: %w", r.read(err))
	}
	return response.ID, nil
}
