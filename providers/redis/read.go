package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/redis/go-redis/v9"
)

// split takes a stored value apart.
func split(stored []byte) (r driver.Revision, expires time.Time, value []byte, err error) {
	if len(stored) < headBytes {
		return r, expires, nil, fmt.Errorf("%w: %d bytes; it was written by something else", driver.ErrCorrupt, len(stored))
	}
	if ms := binary.BigEndian.Uint64(stored[revisionBytes:]); ms != 0 {
		expires = time.UnixMilli(int64(ms))
	}
	return revisionOf(string(stored[:revisionBytes])), expires, stored[headBytes:len(stored):len(stored)], nil
}

// Get implements driver.Store.
func (s *store) Get(ctx context.Context, key []byte) (driver.Entry, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return driver.Entry{}, err
	}
	defer s.calls.Done()
	if err := s.caps.Limits.CheckKey("get", key); err != nil {
		return driver.Entry{}, err
	}
	stored, err := s.client.Get(ctx, s.of(key).value(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return driver.Entry{}, driver.ErrNotFound
	}
	if err != nil {
		return driver.Entry{}, driver.KeyError("get", key, readError(ctx, err))
	}
	e, err := entry(append([]byte(nil), key...), stored)
	return e, driver.KeyError("get", key, err)
}

// GetMany implements driver.BatchGetter, by one command for each partition.
func (s *store) GetMany(ctx context.Context, keys [][]byte) ([]driver.Entry, error) {
	if err := s.calls.Begin(ctx); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	places := map[*partition][]int{}
	for i, key := range keys {
		if err := s.caps.Limits.CheckKey("get many", key); err != nil {
			return nil, err
		}
		p := s.of(key)
		places[p] = append(places[p], i)
	}
	entries := make([]driver.Entry, len(keys))
	if len(keys) == 0 {
		return entries, nil
	}
	commands := map[*partition]*redis.SliceCmd{}
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for p, places := range places {
			names := make([]string, len(places))
			for i, place := range places {
				names[i] = p.value(keys[place])
			}
			commands[p] = pipe.MGet(ctx, names...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("get many: %w", readError(ctx, err))
	}
	for p, places := range places {
		for i, stored := range commands[p].Val() {
			place := places[i]
			entries[place].Key = append([]byte(nil), keys[place]...)
			if text, ok := stored.(string); ok {
				if entries[place], err = entry(entries[place].Key, []byte(text)); err != nil {
					return nil, driver.KeyError("get many", keys[place], err)
				}
			}
		}
	}
	return entries, nil
}

// interval is a part of the order of keys, as Redis writes it.
type interval struct{ min, max string }

func intervalOf(o *driver.ListOptions) interval {
	v := interval{"-", "+"}
	if len(o.Prefix) > 0 {
		v.min = "[" + string(o.Prefix)
		if end := next(o.Prefix); end != nil {
			v.max = "(" + string(end)
		}
	}
	if o.After != nil && (len(o.Prefix) == 0 || string(o.After) >= string(o.Prefix)) {
		v.min = "(" + string(o.After)
	}
	return v
}

// next returns the least key beyond all with a prefix, nil if there is none.
func next(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// A page of a partition has at most so many entries, and ends once it has so many bytes.
const (
	pageEntries = 512
	pageBytes   = 1 << 20
)

// source is what a list has read of one partition.
type source struct {
	p        *partition
	interval interval
	entries  []driver.Entry
	more     bool
}

// List implements driver.Store: it merges the partitions, each of which is in order.
func (s *store) List(ctx context.Context, o driver.ListOptions) iter.Seq2[driver.Entry, error] {
	interval := intervalOf(&o)
	return func(yield func(driver.Entry, error) bool) {
		if o.Limit < 0 {
			return
		}
		sources := make([]source, len(s.partitions))
		all := make([]*source, len(s.partitions))
		for i := range sources {
			sources[i] = source{p: &s.partitions[i], interval: interval, more: true}
			all[i] = &sources[i]
		}
		page := pageEntries
		if o.Limit > 0 {
			page = min(page, o.Limit)
		}
		if err := s.fill(ctx, all, page, o.KeysOnly); err != nil {
			yield(driver.Entry{}, fmt.Errorf("list: %w", err))
			return
		}
		for n := 0; o.Limit == 0 || n < o.Limit; n++ {
			var least *source
			for i := range sources {
				c := &sources[i]
				if len(c.entries) > 0 && (least == nil || string(c.entries[0].Key) < string(least.entries[0].Key)) {
					least = c
				}
			}
			if least == nil {
				return
			}
			e := least.entries[0]
			least.entries = least.entries[1:]
			if !yield(e, nil) {
				return
			}
			if len(least.entries) == 0 && least.more && (o.Limit == 0 || n+1 < o.Limit) {
				if err := s.fill(ctx, []*source{least}, page, o.KeysOnly); err != nil {
					yield(driver.Entry{}, fmt.Errorf("list: %w", err))
					return
				}
			}
		}
	}
}

// fill reads the next page of some partitions, all at once.
func (s *store) fill(ctx context.Context, sources []*source, page int, keysOnly bool) error {
	if err := s.calls.Begin(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	short := "0"
	if keysOnly {
		short = "1"
	}
	for len(sources) > 0 {
		replies, err := s.pages(ctx, sources, page, short)
		if err != nil {
			return err
		}
		var again []*source
		for i, c := range sources {
			if err := c.take(replies[i], keysOnly); err != nil {
				return err
			}
			if c.more && len(c.entries) == 0 {
				again = append(again, c)
			}
		}
		sources = again
	}
	return nil
}

// pages runs the script of each partition.
func (s *store) pages(ctx context.Context, sources []*source, page int, short string) ([]any, error) {
	replies := make([]any, len(sources))
	args := func(c *source) []any {
		return []any{c.p.values, c.interval.min, c.interval.max, page, pageBytes, short}
	}
	if len(sources) == 1 {
		reply, err := s.look(ctx, pageScript, []string{sources[0].p.index}, args(sources[0])...)
		replies[0] = reply
		return replies, err
	}
	run := func(call func(pipe redis.Pipeliner, c *source) *redis.Cmd) error {
		commands := make([]*redis.Cmd, len(sources))
		_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, c := range sources {
				commands[i] = call(pipe, c)
			}
			return nil
		})
		for i, cmd := range commands {
			replies[i] = cmd.Val()
		}
		return err
	}
	err := run(func(pipe redis.Pipeliner, c *source) *redis.Cmd {
		return pageScript.EvalSha(ctx, pipe, []string{c.p.index}, args(c)...)
	})
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = run(func(pipe redis.Pipeliner, c *source) *redis.Cmd { return pageScript.Eval(ctx, pipe, []string{c.p.index}, args(c)...) })
	}
	return replies, readError(ctx, err)
}

// take puts what the script has returned behind what there is.
func (c *source) take(reply any, keysOnly bool) error {
	words, ok := reply.([]any)
	if !ok || len(words)%2 != 1 {
		return fmt.Errorf("%w: a page of type %T", driver.ErrCorrupt, reply)
	}
	last, _ := words[0].(string)
	if c.more = last != ""; c.more {
		c.interval.min = "(" + last
	}
	for i := 1; i < len(words); i += 2 {
		key, _ := words[i].(string)
		stored, _ := words[i+1].(string)
		e, err := entry([]byte(key), []byte(stored))
		if err != nil {
			return driver.KeyError("list", []byte(key), err)
		}
		if keysOnly {
			e.Value = nil
		}
		c.entries = append(c.entries, e)
	}
	return nil
}
