package migrate

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// source is one side of a pass.
type source struct {
	name string
	list func(ctx context.Context, after []byte) iter.Seq2[providers.Entry, error]
	// now is the clock by which its entries expire.
	now func() time.Time
	// lasting: entries that expire are passed over.
	lasting bool
}

// of returns a provider as a side of a pass.
func of(ctx context.Context, p *providers.Provider) (source, error) {
	now, err := clock(ctx, p)
	return source{name: p.Name(), now: now, list: func(ctx context.Context, after []byte) iter.Seq2[providers.Entry, error] {
		return p.List(ctx, providers.ListOptions{After: after})
	}}, err
}

// clock returns the time by which the entries of a provider expire: the backend's, asked
// once, or one's own.
func clock(ctx context.Context, p *providers.Provider) (func() time.Time, error) {
	if !p.Capabilities().Clock {
		return time.Now, nil
	}
	start := time.Now()
	now, err := p.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s for the time: %w", p.Name(), err)
	}
	return func() time.Time { return now.Add(time.Since(start)) }, nil
}

// A side is read ahead by so much.
const (
	chunkEntries = 1024
	chunkBytes   = 1 << 20
	chunksAhead  = 4
)

// chunk is a stretch of a list.
type chunk struct {
	entries []providers.Entry
	err     error
}

// cursor walks along a side that a goroutine of its own reads and counts.
type cursor struct {
	ahead   chan chunk
	used    chan []providers.Entry // whose entries were all passed, to be filled again
	entries []providers.Entry
	at      int   // of the next one in entries
	tally   Tally // whole once the cursor is at the end
}

// read begins to read a side behind a key. The goroutine ends when the list does, or ctx.
func read(ctx context.Context, s source, after []byte) *cursor {
	c := &cursor{ahead: make(chan chunk, chunksAhead), used: make(chan []providers.Entry, chunksAhead)}
	go c.fill(ctx, s, after)
	return c
}

func (c *cursor) fill(ctx context.Context, s source, after []byte) {
	defer close(c.ahead)
	var next chunk
	size := 0
	send := func() bool {
		select {
		case c.ahead <- next:
		case <-ctx.Done():
			return false
		}
		next, size = chunk{}, 0
		select {
		case next.entries = <-c.used:
		default: // append takes memory
		}
		return true
	}
	last := after
	for e, err := range s.list(ctx, after) {
		if err == nil && last != nil && bytes.Compare(e.Key, last) <= 0 {
			err = driver.KeyError("list", e.Key, fmt.Errorf("%w: %s lists it behind %q", driver.ErrCorrupt, s.name, last))
		}
		if err != nil {
			next.err = fmt.Errorf("read %s: %w", s.name, err)
			break
		}
		last = e.Key
		if bytes.Equal(e.Key, recordKey) || s.lasting && !e.ExpiresAt.IsZero() {
			continue
		}
		c.tally.count(&e, 1)
		next.entries = append(next.entries, e)
		if size += len(e.Key) + len(e.Value); len(next.entries) == chunkEntries || size >= chunkBytes {
			if !send() {
				return
			}
		}
	}
	if next.err != nil || len(next.entries) > 0 {
		send()
	}
}

// head returns the entry at which the cursor stands, nil at the end. It is valid until
// next; its key and value stay.
func (c *cursor) head(ctx context.Context) (*providers.Entry, error) {
	for c.at == len(c.entries) {
		next, more := <-c.ahead // it is closed when ctx ends
		switch {
		case !more:
			return nil, ctx.Err()
		case len(next.entries) == 0 && next.err != nil:
			return nil, next.err
		}
		select {
		case c.used <- c.entries[:0]:
		default:
		}
		c.entries, c.at = next.entries, 0
		if next.err != nil {
			c.ahead = failing(next.err)
		}
	}
	return &c.entries[c.at], nil
}

// failing is what is ahead of a cursor whose list broke off.
func failing(err error) chan chunk {
	ahead := make(chan chunk, 1)
	ahead <- chunk{err: err}
	close(ahead)
	return ahead
}

func (c *cursor) next() { c.at++ }
