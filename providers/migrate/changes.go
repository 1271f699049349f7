package migrate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// changes remembers the keys that are written while a source is copied.
type changes struct {
	mu sync.Mutex // guards what follows
	// written are the keys; nil when nobody asks.
	written map[string]struct{}
	// lost: there were more than are remembered.
	lost bool
}

// maxWritten bounds the keys that are remembered: beyond that they are forgotten, and
// found by another pass.
const maxWritten = 1 << 16

func (c *changes) remember(keys iter.Seq[[]byte]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.written == nil {
		return
	}
	for key := range keys {
		if len(c.written) >= maxWritten {
			c.lost = true
			clear(c.written)
			return
		}
		c.written[string(key)] = struct{}{}
	}
}

// begin begins to remember keys.
func (c *changes) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written, c.lost = map[string]struct{}{}, false
}

// end ends that.
func (c *changes) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written = nil
}

// has reports whether a key is remembered, or may have been.
func (c *changes) has(key []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.written[string(key)]
	return ok || c.lost
}

// take returns the keys that were remembered, and forgets them. lost tells that there
// were others.
func (c *changes) take() (keys [][]byte, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.written {
		keys = append(keys, []byte(key))
	}
	clear(c.written)
	lost, c.lost = c.lost, false
	return keys, lost
}

// lostSome reports whether keys were forgotten since they were taken.
func (c *changes) lostSome() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// watch begins to remember what a driver.Watcher tells of, until ctx ends; ended is
// closed then. It is nil if the provider is none. What it was not told yet it does not
// know of.
func watch(ctx context.Context, p *providers.Provider) (c *changes, ended chan struct{}) {
	w, ok := p.Driver().(driver.Watcher)
	if !ok || !p.Driver().Capabilities().Commit { // what intents keep beneath is not what users see
		return nil, nil
	}
	c, ended = new(changes), make(chan struct{})
	c.begin()
	go func() {
		defer close(ended)
		for e, err := range w.Watch(ctx, nil) {
			if err != nil {
				break
			}
			c.remember(one(e.Entry.Key))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost = true
	}()
	return c, ended
}

// catchUp copies keys, and takes what it finds into the tally of the target. checked:
// what was written is read again. It returns how many differed.
func (w *work) catchUp(ctx context.Context, keys [][]byte, checked bool) (changed int64, err error) {
	for len(keys) > 0 {
		some := keys[:min(w.batch, len(keys))]
		keys = keys[len(some):]
		n, err := w.catchUpSome(ctx, some, checked)
		changed += n
		if err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func (w *work) catchUpSome(ctx context.Context, keys [][]byte, checked bool) (changed int64, err error) {
	from, err := of(ctx, w.from)
	if err != nil {
		return 0, err
	}
	p := pass{from: from, to: w.to, batch: len(keys) + 1, can: w.to.Capabilities()}
	if p.now, err = clock(ctx, w.to); err != nil {
		return 0, err
	}
	sources, err := w.from.GetMany(ctx, keys)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", w.from.Name(), err)
	}
	differing := func() (indexes []int, targets []driver.Entry, err error) {
		if targets, err = w.to.GetMany(ctx, keys); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", w.to.Name(), err)
		}
		for i := range keys {
			s, t := w.present(&sources[i]), w.present(&targets[i])
			if (s != nil || t != nil) && p.differ(s, t) != "" {
				indexes = append(indexes, i)
			}
		}
		return indexes, targets, nil
	}
	indexes, targets, err := differing()
	if err != nil {
		return 0, err
	}
	for _, i := range indexes {
		s, t := w.present(&sources[i]), w.present(&targets[i])
		if t != nil {
			w.result.count(t, -1)
		}
		if s != nil {
			w.result.count(s, 1)
		}
		if err := p.write(ctx, s, keys[i]); err != nil {
			return 0, err
		}
	}
	if err := errors.Join(p.depart(ctx), p.land(0)); err != nil {
		return 0, err
	}
	changed = int64(len(indexes))
	if !checked || changed == 0 {
		return changed, nil
	}
	switch again, _, err := differing(); {
	case err != nil:
		return changed, err
	case len(again) > 0:
		return changed, driver.KeyError("validate", keys[again[0]], fmt.Errorf("%w: %s does not have what was just written", driver.ErrCorrupt, w.to.Name()))
	}
	return changed, nil
}

// present returns an entry that is there and goes along, else nil.
func (w *work) present(e *driver.Entry) *driver.Entry {
	if e.Revision.IsZero() || w.lasting && !e.ExpiresAt.IsZero() {
		return nil
	}
	return e
}
