package cowbtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// Ingest implements engine.Ingester. Commits wait for it; readers see nothing of it
// before it is durable. It goes past the log, but for a record that has its place
// in the commit order.
func (e *Engine) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	if err := e.ingest(ctx, entries); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

// ingest is Ingest, under checkpointing.
func (e *Engine) ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	// What is in memory alone cannot be written by a transaction that needs room.
	if err := e.checkpointAlone(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	if err := e.failed; err != nil {
		e.mu.Unlock()
		return err
	}
	// Readers go on to see the state before, which this holds.
	before := e.take()
	t, size, err := e.loadEntries(ctx, entries)
	if err != nil || t == nil {
		e.readDone(before)
		e.mu.Unlock()
		return err
	}
	buried := len(before.dead)
	for _, d := range t.dead {
		e.history.bury(d)
	}
	e.hidden = before
	e.history.changed = true
	next := t.root
	e.loading.Store(&next)
	s := e.freeze(&next)
	held := slices.Clone(e.attempt.held)
	logged := e.logged
	e.mu.Unlock()

	err = e.writeCheckpoint(s, held)

	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.settled.Broadcast()
	loaded := e.loading.Swap(nil)
	e.hidden = nil
	if err != nil {
		// It has never been: what it had killed lives, and its own pages die.
		before.dead = before.dead[:buried]
		e.history.changed = true
		err = errors.Join(err, e.buryTree(loaded.ref, loaded.level, before.generation))
		e.readDone(before)
		return err
	}
	e.root.Store(loaded)
	e.counters.applied.Add(size)
	e.adopt(s, held, logged)
	e.readDone(before)
	e.told()
	return e.trim()
}

// told writes to the log that a bulk load is durable. That it cannot be written
// takes nothing from the load, which is in the file: the log is read-only then, or
// full, and a damaged meta page is found out by less. Under mu.
func (e *Engine) told() {
	sequence, err := e.log.Append(context.Background(), noBatch(recordIngested, ""), engine.Flushed)
	if err == nil {
		e.seq.Store(sequence)
		err = e.log.Flush(sequence)
	}
	if err != nil && !errors.Is(err, engine.ErrNoSpace) {
		e.fail(err)
	}
}

// loadEntries makes a transaction of the entries, and gives it its place in the log; nil
// if there are none. Under mu.
func (e *Engine) loadEntries(ctx context.Context, entries iter.Seq2[[]byte, []byte]) (*txn, uint64, error) {
	if raceEnabled {
		defer e.alone()()
	}
	t := e.begin()
	n := 0
	var size uint64
	var last []byte
	var err error
	for key, value := range entries {
		switch {
		case len(key) > engine.MaxKeyBytes || len(value) > engine.MaxValueBytes:
			err = engine.KeyError("put", key, engine.ErrTooLarge)
		case n > 0 && bytes.Compare(last, key) >= 0:
			err = engine.KeyError("put", key, fmt.Errorf("%w: keys must ascend; the one before is %s", engine.ErrInvalid, engine.QuoteKey(last)))
		default:
			err = t.put(ctx, n, key, value)
		}
		if err != nil {
			break
		}
		last = append(last[:0], key...)
		size += uint64(len(key) + len(value))
		n++
	}
	if err == nil {
		err = ctx.Err()
	}
	var sequence uint64
	if err == nil && n > 0 {
		sequence, err = e.log.Append(ctx, noBatch(recordIngest, ""), engine.Flushed)
	}
	if err != nil || n == 0 {
		t.abort()
		return nil, 0, err
	}
	e.seq.Store(sequence)
	e.lastKey = t.last
	return t, size, nil
}

// buryTree buries the pages of a tree, and their values, that were born after a
// generation. Under mu.
func (e *Engine) buryTree(r ref, level int, after uint64) error {
	if r.birth <= after {
		return nil
	}
	if level > 0 || r.flags&flagExtents != 0 {
		b, err := e.copyOf(r, make([]byte, maxPageBytes), via{})
		if err != nil {
			return err
		}
		for i := range pageCount(b) {
			if level > 0 {
				if err := e.buryTree(readRef(b, i), level-1, after); err != nil {
					return err
				}
			} else if _, value, extent, _ := record(b, slotAt(b, slotOfLeaf(b, u16(b, atCap)), i)); extent {
				if x := readExtentRef(value); x.birth > after {
					e.history.bury(dead{id: x.id, birth: x.birth, extent: true})
				}
			}
		}
	}
	e.history.bury(dead{id: r.id, birth: r.birth, hint: r.hint})
	return nil
}
