package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/redis/go-redis/v9"
)

// silence is after how long a subscription that says nothing is asked whether it lives.
const silence = 10 * time.Second

// Watch implements driver.Watcher, by one connection to each master. It begins with the
// first step. Redis tells of a change once and keeps nothing, so that a watch ends with
// ErrUnavailable where a connection ends or a slot moves. What has expired is told by
// Expire.
func (s *store) Watch(ctx context.Context, prefix []byte) iter.Seq2[driver.Event, error] {
	prefix = append([]byte(nil), prefix...)
	return func(yield func(driver.Event, error) bool) {
		subscriptions, err := s.subscribe(ctx)
		if err != nil {
			yield(driver.Event{}, err)
			return
		}
		ctx, stop := context.WithCancelCause(ctx)
		told := make(chan driver.Event)
		var listeners sync.WaitGroup
		defer func() {
			stop(nil)
			for _, sub := range subscriptions {
				_ = sub.Close() // nothing is sent on it
			}
			listeners.Wait()
		}()
		defer context.AfterFunc(s.life, func() { stop(driver.ErrClosed) })()
		for _, sub := range subscriptions {
			listeners.Go(func() { stop(listen(ctx, sub, string(prefix), told)) })
		}
		for {
			select {
			case e := <-told:
				if !yield(e, nil) {
					return
				}
			case <-ctx.Done():
				err := context.Cause(ctx)
				if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
					err = fmt.Errorf("watch: %w", err)
				}
				yield(driver.Event{}, err)
				return
			}
		}
	}
}

// subscribe subscribes to the channels of all partitions, at the masters that have them,
// and returns when they are subscribed to.
func (s *store) subscribe(ctx context.Context) ([]*redis.PubSub, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	channels := map[*redis.Client][]string{}
	for i := range s.partitions {
		channel := s.partitions[i].channel
		node, single := s.client.(*redis.Client)
		if !single {
			var err error
			if node, err = s.client.(*redis.ClusterClient).MasterForKey(ctx, channel); err != nil {
				return nil, fmt.Errorf("watch: %w", readError(ctx, err))
			}
		}
		channels[node] = append(channels[node], channel)
	}
	var all []*redis.PubSub
	for node, some := range channels {
		// Channels of different slots take commands of their own.
		sub := node.SSubscribe(ctx, some[0])
		all = append(all, sub)
		var err error
		for _, channel := range some[1:] {
			err = errors.Join(err, sub.SSubscribe(ctx, channel))
		}
		for range some {
			if err == nil {
				_, err = sub.ReceiveTimeout(ctx, answer)
			}
		}
		if err != nil {
			for _, sub := range all {
				_ = sub.Close() // nothing is sent on it
			}
			return nil, fmt.Errorf("watch: %w", readError(ctx, err))
		}
	}
	return all, nil
}

// listen tells of changes until the subscription or ctx ends, and returns why.
func listen(ctx context.Context, sub *redis.PubSub, prefix string, told chan<- driver.Event) error {
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // it waits for nothing else
	asked := false
	for {
		message, err := sub.ReceiveTimeout(ctx, silence)
		var late net.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !asked && errors.As(err, &late) && late.Timeout():
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("%w: %w; changes may have been missed", driver.ErrUnavailable, err)
			}
			asked = true
			continue
		case err != nil:
			return fmt.Errorf("%w: %w; changes may have been missed", driver.ErrUnavailable, err)
		}
		asked = false
		switch m := message.(type) {
		case *redis.Message:
			e, err := event(m.Payload)
			if err != nil {
				return err
			}
			if !strings.HasPrefix(string(e.Entry.Key), prefix) {
				continue
			}
			select {
			case told <- e:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case *redis.Subscription:
			return fmt.Errorf("%w: %s of %s: its slot has moved; changes may have been missed", driver.ErrUnavailable, m.Kind, m.Channel)
		}
	}
}

// event takes apart what the scripts publish: the length of the key, the key, and what is
// stored, nothing if it was removed.
func event(text string) (driver.Event, error) {
	p := []byte(text)
	if len(p) < 4 || int(binary.BigEndian.Uint32(p)) > len(p)-4 {
		return driver.Event{}, fmt.Errorf("%w: a message of %d bytes", driver.ErrCorrupt, len(p))
	}
	n := int(binary.BigEndian.Uint32(p))
	key, stored := p[4:4+n:4+n], p[4+n:]
	if len(stored) == 0 {
		return driver.Event{Entry: driver.Entry{Key: key}, Deleted: true}, nil
	}
	e, err := entry(key, stored)
	return driver.Event{Entry: e}, err
}
