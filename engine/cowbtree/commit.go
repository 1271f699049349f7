package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.commit(ctx, b, d, nil)
}

// commit applies b if check, which is called when no other commit can come
// between, returns nil; a nil check is none.
func (e *Engine) commit(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) error {
	if err := engine.CheckDurability(traits.Durability, d); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if b.UsesFamilies() {
		return fmt.Errorf("apply: %w: families", engine.ErrUnsupported)
	}
	if err := traits.Limits.Check(b); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	sequence, flush, err := e.order(ctx, b, d, check)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	// Outside the lock, so that one flush serves all who wait for it.
	if flush {
		if err := e.log.Flush(sequence); err != nil {
			return fmt.Errorf("apply: commit %d: %w", sequence, err)
		}
	}
	return nil
}

// lockCommits takes mu. It is held for less than a goroutine takes to park and be
// woken, so it is worth a few tries; and a mutex with a queue hands itself over to
// the sleeping, which costs several times as much.
func (e *Engine) lockCommits() {
	if e.mu.TryLock() {
		return
	}
	e.waiting.Add(1)
	e.lockWaiting()
	e.waiting.Add(-1)
	e.passed++
	e.pass.Broadcast()
}

func (e *Engine) lockWaiting() {
	for range 16 {
		runtime.Gosched()
		if e.mu.TryLock() {
			return
		}
	}
	e.mu.Lock()
}

// giveWay lets as many commits have mu first as are waiting for it. To unlock and lock it
// would not do: they must be woken, and would come too late. Under mu, which is released
// meanwhile.
func (e *Engine) giveWay() {
	n := uint64(e.waiting.Load())
	if n == 0 {
		e.mu.Unlock()
		e.mu.Lock()
		return
	}
	for last := e.passed + n; e.passed < last; {
		e.pass.Wait()
	}
}

// order gives b its place in the commit order, in the log and in the tree. flush
// says that the caller has to flush the log up to it.
func (e *Engine) order(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) (sequence uint64, flush bool, err error) {
	e.lockCommits()
	defer e.mu.Unlock()
	if err := e.ready(ctx, b.Count() > 0, int64(b.Size())); err != nil {
		return 0, false, err
	}
	if check != nil {
		if err := check(); err != nil {
			return 0, false, err
		}
	}
	flush = d == engine.Flushed
	if b.Count() == 0 {
		return e.seq.Load(), flush, nil
	}
	if raceEnabled {
		defer e.alone()()
	}
	sequence, err = e.change(b, func() (uint64, error) { return e.log.Append(ctx, b.Encoded(), d) })
	if err != nil {
		return 0, false, err
	}
	e.seq.Store(sequence)
	b.SetSequence(sequence)
	e.logged += int64(b.Size())
	e.counters.applied.Add(uint64(b.Size()))
	if most := e.options.LogBufferBytes; most > 0 && !flush {
		if e.unflushed += int64(b.Size()); e.unflushed >= most {
			if e.background.wake == nil {
				e.unflushed, flush = 0, true
			}
			e.wake()
		}
	}
	if e.due() {
		e.wake()
	}
	return sequence, flush, nil
}

// ready returns when a commit of a batch of that size may begin: it waits for the end
// of a bulk load, and for room among the pages in memory. Under mu, which is released
// meanwhile.
func (e *Engine) ready(ctx context.Context, writes bool, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !writes {
		return e.failed
	}
	for {
		for e.hidden != nil {
			if e.await(ctx); ctx.Err() != nil {
				return ctx.Err()
			}
			if e.closed.Load() {
				return engine.ErrClosed
			}
		}
		// A bulk load may begin while this waits.
		if err := e.makeRoom(ctx, size); err != nil || e.hidden == nil {
			return err
		}
	}
}

// makeRoom is ready, but for bulk loads.
func (e *Engine) makeRoom(ctx context.Context, size int64) error {
	if n := e.options.SnapshotInterval; n > 0 && e.seq.Load()-e.automaticSequence >= n {
		if err := e.automatic(ctx); err != nil {
			return err
		}
	}
	if size > e.options.CacheBytes/16 && e.cache.unwritten.Load() > 0 && e.failed == nil {
		// So much may change more pages than fit into memory, and only its own can be
		// written in between.
		e.mu.Unlock()
		err := e.checkpoint(ctx)
		e.mu.Lock()
		if err != nil {
			return err
		}
	}
	if !e.full() {
		return e.failed
	}
	began := time.Now()
	defer func() {
		e.counters.stalls.Add(1)
		e.counters.stallTime.Add(int64(time.Since(began)))
	}()
	for e.failed == nil && e.full() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.background.wake == nil {
			e.mu.Unlock()
			err := e.checkpoint(ctx)
			e.mu.Lock()
			if err != nil {
				return err
			}
			continue
		}
		if err := e.troubled; err != nil {
			// This commit tries again, the next one too.
			e.troubled = nil
			e.wake()
			return err
		}
		if e.closed.Load() {
			return engine.ErrClosed // the last checkpoint may have ended already
		}
		e.wake()
		e.await(ctx)
		if e.closed.Load() {
			return engine.ErrClosed
		}
	}
	return e.failed
}

// await waits until a checkpoint has ended, or ctx has. Under mu, which is released
// meanwhile.
func (e *Engine) await(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.settled.Broadcast()
	})
	defer stop()
	e.settled.Wait()
}

// due reports whether it is time for a checkpoint, full whether commits must wait
// for one. Under mu.
func (e *Engine) due() bool {
	return e.logged >= e.interval() || e.cache.unwritten.Load() >= e.options.CacheBytes*5/8
}

// interval is how much is logged between checkpoints: unless the options say so, as
// much as there are changed pages, which makes them cost no more than the log.
func (e *Engine) interval() int64 {
	if e.options.CheckpointBytes > 0 {
		return e.options.CheckpointBytes
	}
	return max(defaultCheckpoint, e.cache.unwritten.Load())
}

func (e *Engine) full() bool {
	if e.background.wake == nil {
		return e.due() && e.log != nil // there is nobody else who makes it
	}
	return e.logged >= 4*e.interval() || e.cache.unwritten.Load() >= e.options.CacheBytes*7/8
}

// change makes the next tree, gives the batch its place in the log by place, and
// publishes the tree. All that can fail comes before the log, but for what is said
// of values in place. Under mu.
func (e *Engine) change(b *engine.Batch, place func() (uint64, error)) (uint64, error) {
	if b.Count() == 1 {
		for op := range b.Ops() {
			if op.Kind == engine.OpDeleteRange || len(op.Value) > e.inline {
				break
			}
			if sequence, done, err := e.changeInPlace(op, place); done || err != nil {
				return sequence, err
			}
		}
	}
	t := e.begin()
	t.single = b.Count() == 1
	for op := range b.Ops() {
		err := t.operate(op)
		if err == nil {
			err = t.spillIfFull()
		}
		if err != nil {
			t.abort()
			return 0, engine.KeyError(op.Kind.String(), op.Key, err)
		}
	}
	sequence, err := place()
	if err != nil {
		t.abort()
		return 0, err
	}
	t.publish()
	return sequence, nil
}

// operate carries out an operation of a batch.
func (t *txn) operate(op engine.Op) error {
	switch op.Kind {
	case engine.OpDeleteRange:
		return t.deleteRange(op.Key, op.Value)
	case engine.OpDelete:
		return t.apply(&change{key: op.Key, remove: true})
	}
	if len(op.Value) <= t.inline {
		return t.apply(&change{key: op.Key, value: op.Value})
	}
	x, err := t.writeExtent(op.Value)
	if err != nil {
		return err
	}
	t.taken = append(t.taken, x)
	t.scratch.value = x.appendTo(t.scratch.value[:0])
	return t.apply(&change{key: op.Key, value: t.scratch.value, extent: true})
}

// changeInPlace carries out one operation in the leaf where its key belongs, if
// nobody but the newest tree has that leaf, and there is room. Under mu.
func (e *Engine) changeInPlace(op engine.Op, place func() (uint64, error)) (sequence uint64, done bool, err error) {
	var f *frame
	for tries := 0; ; tries++ {
		if f, _, err = e.leafFor(&e.root, op.Key, dirLines); err != errAgain {
			break
		}
		if err = again(tries); err != nil {
			err = e.fail(err)
			break
		}
	}
	if err != nil {
		return 0, false, engine.KeyError(op.Kind.String(), op.Key, err)
	}
	if !e.ofNewest(f) {
		return 0, false, nil
	}
	b := f.page()
	i, value, extent, exact, ok := placeInLeaf(b, op.Key, fingerprint(op.Key))
	if ok && !exact {
		i, _, ok = lowerBound(b, op.Key)
	}
	remove := op.Kind == engine.OpDelete
	switch {
	case !ok:
		return 0, false, nil
	case remove && !exact:
		// The log has it all the same: what is not there may be in a copy of the store.
	case remove:
		if e.root.Load().level > 0 && liveBytes(b)-recordBytesAt(b, slotAt(b, slotOfLeaf(b, u16(b, atCap)), i)) < e.pageBytes/4+64 {
			return 0, false, nil
		}
	case !hasRoom(b, i, exact, op.Key, len(op.Value), false, e.maxKeys):
		return 0, false, nil
	}
	var old extentRef
	if extent {
		old = readExtentRef(value)
	}
	if sequence, err = place(); err != nil {
		return 0, false, err
	}
	if remove && !exact {
		return sequence, true, nil
	}
	v := f.lock()
	if remove {
		removeFromLeaf(b, i)
	} else {
		putInLeaf(b, i, exact, op.Key, op.Value, false)
	}
	f.unlock(v)
	e.history.changed = true
	e.counters.inPlace.Add(1)
	if old.id != 0 {
		e.history.bury(dead{id: old.id, birth: old.birth, extent: true})
	}
	if !remove && !exact {
		e.lastKey = append(e.lastKey[:0], op.Key...)
	}
	return sequence, true, nil
}

// free gives back what a dead page or value has. It is the history's free.
func (e *Engine) free(d dead) {
	if d.extent {
		where := extentOf(d.id)
		delete(e.young, where.at)
		e.space.give(where)
		return
	}
	place := d.id
	if f := e.cache.frame(d.hint); f != nil && f.is(d.id) {
		if place&unwritten != 0 {
			place = f.place.Load()
		}
		e.cache.drop(d.hint, d.id)
	}
	if place&unwritten == 0 && place != 0 {
		x := extentOf(place)
		delete(e.young, x.at)
		e.space.give(x)
	}
}

// evict lets go of the memory of a dead page that is in the file. It is the
// history's evict.
func (e *Engine) evict(d dead) {
	if !d.extent && d.id&unwritten == 0 {
		e.cache.forgo(d.hint, d.id)
	}
}

// fail makes the engine read-only for good. Under mu.
func (e *Engine) fail(cause error) error {
	if e.failed == nil {
		e.failed = fmt.Errorf("%w: reopen after the device is mended: %w", engine.ErrReadOnly, cause)
	}
	e.settled.Broadcast()
	return e.failed
}

// refused returns what a write to the data file that failed means: nobody knows what
// a device that refuses one has of it, but for a full one. Under mu.
func (e *Engine) refused(err error) error {
	if errors.Is(err, engine.ErrNoSpace) {
		return err
	}
	return e.fail(err)
}

func isUnsupported(err error) bool { return errors.Is(err, engine.ErrUnsupported) }

// Sync implements engine.Engine.
func (e *Engine) Sync(ctx context.Context) error {
	return e.Apply(ctx, new(engine.Batch), engine.Flushed)
}
