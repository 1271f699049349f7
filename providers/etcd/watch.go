package etcd

import (
	"context"
	"fmt"
	"iter"

	"github.com/orbit-persistence/orbit/providers/driver"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Watch implements driver.Watcher. It begins with the first step, and goes on at another
// member where a connection breaks. It ends with ErrUnavailable where the cluster has no
// leader, or what is to come has been compacted.
func (s *Store) Watch(ctx context.Context, prefix []byte) iter.Seq2[driver.Event, error] {
	from := s.dataKey(prefix)
	return func(yield func(driver.Event, error) bool) {
		if err := s.calls.Begin(ctx); err != nil {
			yield(driver.Event{}, err)
			return
		}
		watching, stop := context.WithCancel(clientv3.WithRequireLeader(ctx))
		defer stop()
		changes := s.client.Watch(watching, from, clientv3.WithPrefix())
		s.calls.Done() // it lasts as long as the caller likes; Close ends it
		for response := range changes {
			err := response.Err()
			if err == nil {
				err = s.tell(ctx, response.Events, yield)
			} else if ctx.Err() == nil {
				err = fmt.Errorf("watch: %w", newRequest(ctx).read(err))
			} else {
				err = ctx.Err()
			}
			if err != nil {
				if err != errStopped {
					yield(driver.Event{}, err)
				}
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(driver.Event{}, err)
			return
		}
		yield(driver.Event{}, fmt.Errorf("watch: %w", driver.ErrClosed))
	}
}

var errStopped = fmt.Errorf("the caller has stopped")

// tell yields events.
func (s *Store) tell(ctx context.Context, events []*clientv3.Event, yield func(driver.Event, error) bool) error {
	for _, change := range events {
		e := driver.Event{Deleted: change.Type == clientv3.EventTypeDelete}
		if e.Entry = s.entry(change.Kv); e.Deleted {
			e.Entry = driver.Entry{Key: e.Entry.Key}
		} else {
			one := [1]driver.Entry{e.Entry}
			if err := s.expire(ctx, one[:], []*mvccpb.KeyValue{change.Kv}); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			e.Entry = one[0]
		}
		if !yield(e, nil) {
			return errStopped
		}
	}
	return nil
}
