package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Bind puts a key that lives as long as this store is open: it goes with Close, or
// Config.LeaseTTL after the process has died or lost the cluster. Whoever puts the key
// anew by other means takes it over. The options are as in Put, without a TTL.
//
// It is no lock: another client may put the key, and a holder that was paused learns
// late that it is gone. See package lease for that.
func (s *Store) Bind(ctx context.Context, key, value []byte, o driver.PutOptions) (driver.Revision, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return driver.Revision{}, err
	}
	defer s.calls.Done()
	if o.TTL != 0 {
		return driver.Revision{}, driver.KeyError("bind", key, fmt.Errorf("%w: a TTL beside the life of the client", driver.ErrInvalid))
	}
	if err := s.caps.CheckPut(key, value, o); err != nil {
		return driver.Revision{}, err
	}
	lease, err := s.own(ctx)
	if err != nil {
		return driver.Revision{}, driver.KeyError("bind", key, err)
	}
	r, err := s.put(ctx, key, value, o, lease)
	return r, driver.KeyError("bind", key, err)
}

// own returns the lease of this client, which it keeps alive. One that was lost is
// replaced.
func (s *Store) own(ctx context.Context) (clientv3.LeaseID, error) {
	s.session.Lock()
	defer s.session.Unlock()
	if s.bound != nil {
		select {
		case <-s.bound.Done():
		default:
			return s.bound.Lease(), nil
		}
	}
	lease, err := s.grant(ctx, s.ttl)
	if err != nil {
		return 0, err
	}
	session, err := concurrency.NewSession(s.client, concurrency.WithLease(lease), concurrency.WithTTL(int(s.ttl/time.Second)))
	if err != nil {
		return 0, fmt.Errorf("%w: keep the lease of this client: %w", driver.ErrUnavailable, err)
	}
	s.bound = session
	return lease, nil
}

// leases remembers when leases end, so that an entry with a TTL costs a second request
// only once.
type leases struct {
	mu   sync.Mutex // guards ends
	ends map[clientv3.LeaseID]time.Time
}

const (
	maxLeases     = 1 << 14
	leasesAtATime = 16
)

// expire fills in when entries expire, those of kvs that are not nil. One whose lease is
// gone by now ends now; a later read shows whether it was put again.
func (s *Store) expire(ctx context.Context, entries []driver.Entry, kvs []*mvccpb.KeyValue) error {
	var asked map[clientv3.LeaseID]time.Time
	for _, kv := range kvs {
		if kv == nil || kv.Lease == 0 {
			continue
		}
		if asked == nil {
			asked = map[clientv3.LeaseID]time.Time{}
		}
		asked[clientv3.LeaseID(kv.Lease)] = time.Time{}
	}
	if asked == nil {
		return nil
	}
	if err := s.ask(ctx, asked); err != nil {
		return err
	}
	for i, kv := range kvs {
		if kv != nil && kv.Lease != 0 {
			entries[i].ExpiresAt = asked[clientv3.LeaseID(kv.Lease)].Round(0)
		}
	}
	return nil
}

// ask fills in when leases end.
func (s *Store) ask(ctx context.Context, ends map[clientv3.LeaseID]time.Time) error {
	now := time.Now()
	var unknown []clientv3.LeaseID
	s.leases.mu.Lock()
	for lease := range ends {
		// A lease whose end is past, and whose key is there, was prolonged.
		if end, ok := s.leases.ends[lease]; ok && end.After(now) {
			ends[lease] = end
		} else {
			unknown = append(unknown, lease)
		}
	}
	s.leases.mu.Unlock()
	if len(unknown) == 0 {
		return nil
	}
	var group sync.WaitGroup
	var mu sync.Mutex // guards first and ends
	var first error
	places := make(chan struct{}, leasesAtATime)
	for _, lease := range unknown {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			r := newRequest(ctx)
			response, err := s.client.TimeToLive(r, lease)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				first = fmt.Errorf("ask how long a lease has left: %w", r.read(err))
				return
			}
			ends[lease] = time.Now().Add(max(0, time.Duration(response.TTL)*time.Second))
		})
	}
	group.Wait()
	if first != nil {
		return first
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	if s.leases.ends == nil || len(s.leases.ends) > maxLeases {
		s.leases.ends = map[clientv3.LeaseID]time.Time{}
	}
	for _, lease := range unknown {
		s.leases.ends[lease] = ends[lease]
	}
	return nil
}
