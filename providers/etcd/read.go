package etcd

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/orbit-persistence/orbit/providers/driver"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func (s *Store) dataKey(key []byte) string  { return s.data + string(key) }
func (s *Store) fenceKey(key []byte) string { return s.fence + string(key) }

// Get implements driver.Store. It is answered by a majority.
func (s *Store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.calls.Done()
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	r := newRequest(ctx)
	response, err := s.client.Get(r, s.dataKey(key))
	if err != nil {
		return driver.Entry{}, driver.KeyError("get", key, r.read(err))
	}
	if len(response.Kvs) == 0 {
		return driver.Entry{}, driver.ErrNotFound
	}
	e := [1]driver.Entry{s.entry(response.Kvs[0])}
	if err := s.expire(ctx, e[:], response.Kvs); err != nil {
		return driver.Entry{}, driver.KeyError("get", key, err)
	}
	return e[0], nil
}

// entry returns what etcd shows, but for when it expires.
func (s *Store) entry(kv *mvccpb.KeyValue) driver.Entry {
	return driver.Entry{Key: kv.Key[len(s.data):len(kv.Key):len(kv.Key)], Value: kv.Value, Revision: driver.NumberRevision(uint64(kv.ModRevision))}
}

// GetMany implements driver.BatchGetter. Up to 128 keys are of one moment.
func (s *Store) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	for _, key := range keys {
		if err := s.caps.Limits.CheckKey("get many", key); err != nil {
			return nil, err
		}
	}
	entries := make([]driver.Entry, len(keys))
	for from := 0; from < len(keys); from += maxOps {
		some := keys[from:min(from+maxOps, len(keys))]
		ops := make([]clientv3.Op, len(some))
		for i, key := range some {
			ops[i] = clientv3.OpGet(s.dataKey(key))
		}
		r := newRequest(ctx)
		response, err := s.client.Txn(r).Then(ops...).Commit()
		if err != nil {
			return nil, fmt.Errorf("get many: %w", r.read(err))
		}
		found := make([]*mvccpb.KeyValue, len(some))
		for i, one := range response.Responses {
			if kvs := one.GetResponseRange().Kvs; len(kvs) > 0 {
				entries[from+i], found[i] = s.entry(kvs[0]), kvs[0]
			} else {
				entries[from+i].Key = some[i]
			}
		}
		if err := s.expire(ctx, entries[from:from+len(some)], found); err != nil {
			return nil, fmt.Errorf("get many: %w", err)
		}
	}
	return entries, nil
}

// span is the keys of a list: from a key, to before another.
type span struct{ from, to string }

func (s *Store) span(o *driver.ListOptions) span {
	p := span{from: s.dataKey(o.Prefix), to: clientv3.GetPrefixRangeEnd(s.dataKey(o.Prefix))}
	if o.After != nil {
		p.from = max(p.from, after(s.dataKey(o.After)))
	}
	return p
}

// after returns the least key after another.
func after(key string) string { return key + "\x00" }

func (p span) empty() bool { return strings.Compare(p.from, p.to) >= 0 }

// A page of a list is to be of about so many bytes, within so many entries.
const (
	pageBytes             = 1 << 20
	leastPage, firstPage  = 16, 128
	mostPage              = 4096
	estimatedBytesOfEntry = 64
)

// List implements driver.Store. It shows one moment, unless that is compacted on the way,
// which ends it with ErrUnavailable.
func (s *Store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	whole := s.span(&o)
	return func(yield func(driver.Entry, error) bool) {
		if o.Limit < 0 {
			return
		}
		left, revision, page, n := whole, int64(0), firstPage, 0
		for {
			if o.Limit > 0 {
				page = min(page, o.Limit-n)
			}
			entries, at, more, err := s.page(ctx, left, revision, page, o.KeysOnly)
			if err != nil {
				yield(driver.Entry{}, fmt.Errorf("list: %w", err))
				return
			}
			size := 0
			for i := range entries {
				size += len(entries[i].Key) + len(entries[i].Value) + estimatedBytesOfEntry
				left.from = after(s.dataKey(entries[i].Key))
				if !yield(entries[i], nil) {
					return
				}
			}
			if n += len(entries); !more || n == o.Limit {
				return
			}
			revision = at
			page = min(max(pageBytes/(size/len(entries)), leastPage), mostPage)
		}
	}
}

// page reads some entries at a revision, 0 is the newest, and returns the revision at
// which it did, and whether there are more.
func (s *Store) page(ctx context.Context, p span, revision int64, limit int, keysOnly bool) ([]driver.Entry, int64, bool, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return nil, 0, false, err
	}
	defer s.calls.Done()
	if p.empty() {
		return nil, 0, false, nil
	}
	options := []clientv3.OpOption{clientv3.WithRange(p.to), clientv3.WithLimit(int64(limit)), clientv3.WithRev(revision)}
	if keysOnly {
		options = append(options, clientv3.WithKeysOnly())
	}
	r := newRequest(ctx)
	response, err := s.client.Get(r, p.from, options...)
	if err != nil {
		return nil, 0, false, r.read(err)
	}
	entries := make([]driver.Entry, len(response.Kvs))
	for i, kv := range response.Kvs {
		entries[i] = s.entry(kv)
	}
	if keysOnly {
		return entries, response.Header.Revision, response.More, nil
	}
	return entries, response.Header.Revision, response.More, s.expire(ctx, entries, response.Kvs)
}
