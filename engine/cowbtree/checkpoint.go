package cowbtree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// checkpoint writes the newest tree, and all snapshots, to the data file, and lets
// the log forget what is in it. Commits go on meanwhile, on copies of the pages.
//
// The order of the steps is what crash safety rests on: pages and catalog are
// written to sectors that no older checkpoint needs, and flushed, before a meta page
// says where they are; that is flushed before the log forgets, and before the
// sectors of the checkpoint before are written to.
func (e *Engine) checkpoint(ctx context.Context) error {
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	return e.checkpointAlone(ctx)
}

// checkpointAlone is checkpoint, under checkpointing.
func (e *Engine) checkpointAlone(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	e.mu.Lock()
	if e.failed != nil {
		e.mu.Unlock()
		return e.failed
	}
	s := e.freeze(e.root.Load())
	if s == nil {
		e.settled.Broadcast()
		e.mu.Unlock()
		return nil
	}
	held := slices.Clone(e.attempt.held)
	logged := e.logged
	e.mu.Unlock()

	err := e.writeCheckpoint(s, held)

	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.settled.Broadcast()
	if err != nil {
		e.troubled = fmt.Errorf("checkpoint: %w", e.refused(err))
		return e.troubled
	}
	e.troubled = nil
	e.adopt(s, held, logged)
	err = e.trim()
	e.counters.checkpoints.Add(1)
	e.counters.checkpointTime.Add(int64(time.Since(began)))
	return err
}

const (
	// patchSlice is how many frames, or dead pages, a checkpoint looks at while commits
	// wait, and freeSlice how many dead pages are freed.
	patchSlice = 64
	freeSlice  = 32
)

// freeDeferred frees the dead pages that nobody needs any more. Under mu, which is released in
// between.
func (e *Engine) freeDeferred() {
	for e.history.freeDeferred(freeSlice) {
		e.giveWay()
	}
}

// freeze takes the snapshot of a tree that is to be written, and holds all whose
// pages must be; nil if there is nothing to write. Under mu.
func (e *Engine) freeze(r *root) *snapshot {
	s := e.history.take(r, e.seq.Load())
	if s == e.durable && !e.namesChanged && len(e.attempt.held) == 0 {
		e.history.release(s)
		return nil
	}
	e.attempt.held = append(e.attempt.held, s)
	for x := e.history.first; x != nil; x = x.next {
		if !x.written && !slices.Contains(e.attempt.held, x) {
			x.holds++
			e.attempt.held = append(e.attempt.held, x)
		}
	}
	slices.SortFunc(e.attempt.held, func(a, b *snapshot) int { return cmp.Compare(a.generation, b.generation) })
	e.namesChanged = false
	clear(e.young)
	return s
}

// writeCheckpoint writes everything up to and with the meta page.
func (e *Engine) writeCheckpoint(s *snapshot, held []*snapshot) error {
	for len(e.attempt.runs) > 0 {
		r := e.attempt.runs[0]
		if _, err := e.data.WriteAt(r.bytes, r.at*sectorBytes, vfs.Plain); err != nil {
			return err
		}
		e.attempt.runs = e.attempt.runs[1:]
	}
	w := e.newWriter()
	var err error
	for _, x := range held {
		r := x.root.Load()
		if _, err = w.tree(r.ref, r.level); err != nil {
			break
		}
	}
	if e := w.finish(); err == nil {
		err = e
	}
	e.attempt.written = append(e.attempt.written, w.written...)
	e.counters.pagesWritten.Add(w.pages)
	e.counters.flushed.Add(w.bytes)
	if err != nil {
		return err
	}
	e.patch()
	m, err := e.writeCatalog(s)
	if err != nil {
		return err
	}
	if err := e.flushData(); err != nil {
		return err
	}
	if err := writeMeta(e.data, m); err != nil {
		return err
	}
	if err := e.flushData(); err != nil {
		return err
	}
	e.meta = m
	return nil
}

// flushData makes durable what was written to the data file. A flush that failed is
// not repeated: what it should have made durable may be gone.
func (e *Engine) flushData() error {
	err := e.data.SyncData()
	if err != nil {
		e.mu.Lock()
		err = e.fail(err)
		e.mu.Unlock()
	}
	return err
}

// patch puts right what refers to pages that have been written as to such that have
// not, and lets those pages be evicted. Under checkpointing.
func (e *Engine) patch() {
	if len(e.attempt.written) == 0 {
		return
	}
	e.mu.Lock()
	e.patching = true // pages that come from here on are right from the start
	for class := range classes {
		for from, more := uint32(1), true; more; from += patchSlice {
			e.giveWay()
			e.cache.mu.Lock()
			next := e.cache.arrays[class].next
			e.cache.mu.Unlock()
			more = from+patchSlice < next
			for i := from; i < min(from+patchSlice, next); i++ {
				f := e.cache.frame(uint32(class)<<indexBits | i)
				if f.id.Load()&unwritten != 0 && f.level > 0 {
					stop := e.alone()
					e.patchPage(f)
					stop()
				}
			}
		}
	}
	e.patchRoot(&e.root)
	if e.loading.Load() != nil {
		e.patchRoot(&e.loading)
	}
	for x := e.history.first; x != nil; x = x.next {
		e.patchRoot(&x.root)
	}
	e.patching = false
	e.patchDead()
	e.mu.Unlock()
	for _, r := range e.attempt.written {
		e.cache.settle(e.cache.frame(r.hint), r.id)
	}
	e.attempt.written = nil
}

// patchDead puts right the lists of dead pages of the snapshots that are not in the
// file, a part at a time, from the newest to the oldest: if one goes meanwhile, what it
// leaves is right already, or comes to one whose turn is still to be. What is to be freed
// was not written: those whose pages were are held. Under mu, which is released in between.
func (e *Engine) patchDead() {
	x := e.history.last
	if x != nil {
		x.holds++
	}
	for x != nil {
		for i := 0; i < len(x.dead) && (e.durable == nil || x.generation > e.durable.generation); i++ {
			if i%patchSlice == patchSlice-1 {
				e.giveWay()
			}
			d := &x.dead[i]
			if d.id&unwritten == 0 || d.extent {
				continue
			}
			if f := e.cache.frame(d.hint); f != nil && f.id.Load() == d.id && f.place.Load() != 0 {
				d.id = f.place.Load()
			}
		}
		before := x.prev
		if before != nil {
			before.holds++
		}
		e.history.release(x)
		x = before
	}
}

// patchPage puts the references of an inner page right. Under mu.
func (e *Engine) patchPage(f *frame) {
	b := f.page()
	for i := range pageCount(b) {
		r := readRef(b, i)
		if now, ok := e.writtenRef(r); ok {
			setRef(f, b, i, now)
		}
	}
}

// writtenRef returns the reference to a page by where it is in the file, if r does
// not say so and it is there.
func (e *Engine) writtenRef(r ref) (ref, bool) {
	if !r.isUnwritten() {
		return r, false
	}
	f := e.cache.frame(r.hint)
	if f == nil || f.id.Load() != r.id || f.place.Load() == 0 {
		return r, false
	}
	r.id, r.sum = f.place.Load(), f.sum
	return r, true
}

func (e *Engine) patchRoot(t *tree) {
	old := t.Load()
	if now, ok := e.writtenRef(old.ref); ok {
		t.CompareAndSwap(old, &root{ref: now, level: old.level})
	}
}

// writeCatalog writes what the checkpoint knows beside the tree, and returns the
// meta page that says where everything is.
func (e *Engine) writeCatalog(s *snapshot) (meta, error) {
	e.mu.Lock()
	c, size := e.catalogOf(s)
	e.mu.Unlock()
	n := sectors(len(c.encode()) + 32) // which the extent itself may add
	x, err := e.room(n, n)
	if err != nil {
		return meta{}, err
	}
	e.mu.Lock()
	e.attempt.extents = append(e.attempt.extents, x)
	e.mu.Unlock()
	size = c.without(x, size)
	b := c.encode()
	buf := vfs.AlignedBuffer(int(x.n)*sectorBytes, max(e.align.Memory, 1))
	copy(buf, b)
	if _, err := e.data.WriteAt(buf, x.at*sectorBytes, vfs.Plain); err != nil {
		return meta{}, err
	}
	e.counters.flushed.Add(uint64(len(buf)))
	r := s.root.Load()
	return meta{
		id: e.meta.id, checkpoint: e.meta.checkpoint + 1, sequence: s.sequence, begun: e.meta.begun, generation: s.generation,
		root: r.ref, level: r.level, catalog: x, catalogBytes: uint32(len(b)), catalogSum: checksum.Of(b), size: size,
	}, nil
}

// without takes the catalog's own extent from what is free in a file of that size, and
// returns which size the meta page is to tell.
func (c *catalog) without(x extent, size int64) int64 {
	c.free = less(c.free, x)
	if x.at > size {
		// The file has grown meanwhile, for what replay will write again.
		c.free = append(c.free, extent{size, x.at - size})
	}
	// The free end of the file may be cut off, and is not part of it.
	size = max(size, x.end())
	if n := len(c.free); n > 0 && c.free[n-1].end() >= size {
		size = c.free[n-1].at
		c.free = c.free[:n-1]
	}
	return size
}

// less returns the extents less what x has of them.
func less(list []extent, x extent) []extent {
	var out []extent
	for _, f := range list {
		if f.end() <= x.at || x.end() <= f.at {
			out = append(out, f)
			continue
		}
		if f.at < x.at {
			out = append(out, extent{f.at, x.at - f.at})
		}
		if x.end() < f.end() {
			out = append(out, extent{x.end(), f.end() - x.end()})
		}
	}
	return out
}

// catalogOf returns what is so once the checkpoint of s is the newest: all sectors
// are free that are neither its tree's nor those of a named snapshot. Under mu.
func (e *Engine) catalogOf(s *snapshot) (catalog, int64) {
	var c catalog
	free := e.space.list()
	e.space.mu.Lock()
	size := e.space.size
	e.space.mu.Unlock()
	for at, n := range e.young {
		// Values that came later: replay will write them again.
		free = append(free, extent{at, n})
	}
	// What the checkpoints before wrote for themselves, and failed ones left.
	free = append(free, e.attempt.extents...)
	if e.meta.catalog.n > 0 {
		free = append(free, e.meta.catalog)
	}
	for _, list := range e.history.deferred {
		for _, d := range list {
			if d.id&unwritten == 0 {
				free = append(free, extentOf(d.id))
			}
		}
	}
	owner := -1 // the newest named snapshot so far, in c
	for x := e.history.first; x != nil && x.generation <= s.generation; x = x.next {
		if x.name != "" && (!x.dropped || x.droppedSequence > s.sequence) && x.sequence <= s.sequence {
			r := x.root.Load()
			c.snapshots = append(c.snapshots, catalogSnapshot{
				name: x.name, sequence: x.sequence, generation: x.generation, automatic: x.automatic, root: r.ref, level: r.level,
			})
			owner = len(c.snapshots) - 1
		}
		if x.generation == s.generation {
			break // what died later is still in its tree
		}
		for _, d := range x.dead {
			switch {
			case owner >= 0 && d.birth <= c.snapshots[owner].generation:
				c.snapshots[owner].dead = append(c.snapshots[owner].dead, dead{id: d.id, birth: d.birth, extent: d.extent})
			case d.id&unwritten == 0:
				free = append(free, extentOf(d.id))
			}
		}
	}
	slices.SortFunc(free, func(a, b extent) int { return cmp.Compare(a.at, b.at) })
	for _, x := range free {
		if n := len(c.free); n > 0 && c.free[n-1].end() >= x.at {
			c.free[n-1].n = max(c.free[n-1].end(), x.end()) - c.free[n-1].at
		} else {
			c.free = append(c.free, x)
		}
	}
	return c, size
}

// adopt makes the checkpoint of s the newest, and gives up what only the one before
// needed. Under mu.
func (e *Engine) adopt(s *snapshot, held []*snapshot, logged int64) {
	// The catalog of the one before, and of attempts that failed, are free; that of
	// this one is the last.
	for _, x := range e.attempt.extents {
		if x != e.meta.catalog {
			e.space.give(x)
		}
	}
	if e.oldCatalog.n > 0 {
		e.space.give(e.oldCatalog)
	}
	e.oldCatalog = e.meta.catalog
	e.attempt.extents = nil
	old := e.durable
	e.durable = s
	s.holds++
	e.attempt.held = nil
	for _, x := range held {
		x.written = true
		e.history.release(x)
	}
	if old != nil {
		e.history.release(old)
	}
	for x := e.history.first; x != nil; {
		next := x.next
		if x.dropped && x.droppedSequence <= s.sequence {
			x.name, x.dropped = "", false
			e.history.release(x)
		}
		x = next
	}
	e.logged -= logged
	if e.log != nil {
		if err := e.log.Release(s.sequence); err != nil {
			e.troubled = err
		}
	}
}

// trim frees what nobody needs any more, and gives the end of the file back, if it is
// free, all but some of it. Under checkpointing and mu, which is released in between.
func (e *Engine) trim() error {
	e.freeDeferred()
	e.space.mu.Lock()
	keep := min(max(e.space.size/8, leastGrowth), mostGrowth)
	e.space.mu.Unlock()
	n := e.space.tail(2 * keep)
	if n == 0 {
		return nil
	}
	e.space.mu.Lock()
	size := e.space.size
	e.space.mu.Unlock()
	if err := e.data.Truncate(size * sectorBytes); err != nil {
		e.space.grown(size + n)
		return fmt.Errorf("checkpoint: give space back: %w", err)
	}
	return nil
}

// start begins the goroutine that makes checkpoints and flushes the log.
func (e *Engine) start() {
	if e.options.Inline {
		return
	}
	e.background.wake = make(chan struct{}, 1)
	e.background.stop = make(chan struct{})
	e.background.done.Go(e.work)
}

// wake tells the goroutine that there may be something to do.
func (e *Engine) wake() {
	if e.background.wake == nil {
		return
	}
	select {
	case e.background.wake <- struct{}{}:
	default:
	}
}

func (e *Engine) work() {
	var tick <-chan time.Time
	if d := e.options.LogSyncInterval; d > 0 {
		t := time.NewTicker(d)
		defer t.Stop()
		tick = t.C
	}
	for {
		flush := false
		select {
		case <-e.background.stop:
			return
		case <-e.background.wake:
		case <-tick:
			flush = true
		}
		e.mu.Lock()
		e.freeDeferred()
		due := e.due()
		if !due {
			e.settled.Broadcast() // a snapshot that went may have made the room that a commit waits for
		}
		flush = flush || e.options.LogBufferBytes > 0 && e.unflushed >= e.options.LogBufferBytes
		if flush {
			e.unflushed = 0
		}
		e.mu.Unlock()
		if flush {
			if err := e.log.Sync(); err != nil && !errors.Is(err, engine.ErrClosed) {
				e.mu.Lock()
				e.fail(err)
				e.mu.Unlock()
			}
		}
		if due {
			// What it met is told to the commit that has to wait for it, or at Close.
			_ = e.checkpoint(context.Background())
		}
	}
}
