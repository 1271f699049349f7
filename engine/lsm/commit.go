package lsm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// A record of the log is a batch, or begins with recordNoBatch, which no batch does:
//
//	record = batch | 0x00 0x01 version uvarint, edit | 0x00 0x02 lower, upper
//
// The first is a bulk load, and tells of its tables as the manifest does; the second is
// a range that is deleted with the number of its family before its keys, each with a
// uvarint of its length.
const (
	recordNoBatch = 0x00
	recordIngest  = 0x01
	recordClear   = 0x02
)

// lockCommits locks mu: a mutex with a queue would hand itself to sleepers.
func (e *Engine) lockCommits() {
	for range 16 {
		if e.mu.TryLock() {
			return
		}
		runtime.Gosched()
	}
	e.mu.Lock()
}

// Apply implements engine.Engine.
func (e *Engine) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.apply(ctx, b, d, nil)
}

// apply is Apply, if check, which is called when nothing else commits, has nothing
// against it.
func (e *Engine) apply(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := engine.CheckDurability(traits.Durability, d); err != nil {
		return err
	}
	if err := traits.Limits.Check(b); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.Count() == 0 && check == nil {
		return e.applyNothing(d)
	}
	if err := e.slow(ctx, int64(b.Size())); err != nil {
		return err
	}
	sequence, err := e.commit(ctx, b, d, check)
	if err != nil {
		return err
	}
	if e.options.Inline {
		e.inlineWork()
	}
	switch {
	case sequence == 0:
		return e.applyNothing(d)
	case d == engine.Flushed:
		return e.flushLog(sequence)
	}
	return nil
}

// applyNothing makes what was committed as durable as d says.
func (e *Engine) applyNothing(d engine.Durability) error {
	e.mu.Lock()
	err := e.failed
	e.mu.Unlock()
	if err != nil || d != engine.Flushed {
		return err
	}
	return e.logFailed(e.log.Sync())
}

func (e *Engine) flushLog(sequence uint64) error { return e.logFailed(e.log.Flush(sequence)) }

// logFailed makes the engine read-only if the log is.
func (e *Engine) logFailed(err error) error {
	if errors.Is(err, engine.ErrReadOnly) {
		e.mu.Lock()
		err = e.fail(err)
		e.mu.Unlock()
	}
	return err
}

// commit gives a batch its place in the log, and adds it to the memtable.
func (e *Engine) commit(ctx context.Context, b *engine.Batch, d engine.Durability, check func() error) (sequence uint64, err error) {
	e.lockCommits()
	defer e.mu.Unlock()
	if err := e.writable(ctx, batchNeed(b)); err != nil {
		return 0, err
	}
	if check != nil {
		if err := check(); err != nil || b.Count() == 0 {
			return 0, err
		}
	}
	if b.UsesFamilies() {
		for op := range b.Ops() {
			if op.Family != 0 && !e.known[op.Family] {
				return 0, engine.KeyError(op.Kind.String(), op.Key, fmt.Errorf("%w: family %d", engine.ErrNotFound, op.Family))
			}
		}
	}
	m := e.state.Load().mem
	if b.Count() == 1 {
		m.prefetch(b)
	}
	if sequence, err = e.log.Append(ctx, b.Encoded(), d); err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return 0, err
	}
	version := e.addBatch(m, b, sequence)
	if m.nearEnd() {
		e.wake(e.background.memory)
	}
	b.SetSequence(version)
	e.visible.Store(version)
	e.counters.applied.Add(uint64(b.Size()))
	return sequence, nil
}

// commitRange deletes a range of keys, numbers of families included. Under mu.
func (e *Engine) commitRange(lower, upper []byte) error {
	ctx := context.Background()
	if err := e.writable(ctx, trieNeed(1, int64(len(lower)+len(upper)))); err != nil {
		return err
	}
	record := appendBytes(appendBytes([]byte{recordNoBatch, recordClear}, lower), upper)
	sequence, err := e.log.Append(ctx, record, engine.Buffered)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			err = e.fail(err)
		}
		return err
	}
	version := e.visible.Load() + 1
	m := e.state.Load().mem
	m.deleteRange(lower, upper, version, version-1, e.snapshotVersions())
	m.sequence = sequence
	e.visible.Store(version)
	return nil
}

// addBatch adds a batch to a memtable with room for it, as the versions behind the
// newest, and returns its last one.
func (e *Engine) addBatch(m *memtable, b *engine.Batch, sequence uint64) uint64 {
	visible := e.visible.Load()
	version := visible + 1
	var buf [shortKey + maxPrefix]byte
	changed := false // a key of this version
	for op := range b.Ops() {
		key := append(appendPrefix(buf[:0], op.Family), op.Key...)
		switch op.Kind {
		case engine.OpPut:
			m.put(key, op.Value, version, kindPut)
			changed = true
		case engine.OpDelete:
			m.put(key, nil, version, kindDelete)
			changed = true
		case engine.OpDeleteRange:
			if string(op.Key) >= string(op.Value) {
				continue
			}
			// A tombstone covers what is of lower versions than its own.
			if changed {
				version++
				changed = false
			}
			m.deleteRange(key, append(appendPrefix(nil, op.Family), op.Value...), version, visible, e.snapshotVersions())
		}
	}
	m.note(version)
	m.sequence = sequence
	return version
}

// writable returns when the memtable has so much room, or why nothing can be written.
// Under mu.
func (e *Engine) writable(ctx context.Context, need int64) error {
	for {
		if e.failed != nil {
			return e.failed
		}
		st := e.state.Load()
		m := st.mem
		if !m.full(e.options.MemtableBytes, need) {
			return nil
		}
		if err := e.mergesBehind(ctx); err != nil {
			return err
		}
		st = e.state.Load()
		if m.empty() { // the batch is larger than a memtable
			return e.replaceMemtable(st, need)
		}
		if len(st.queue) < e.options.MaxMemtables-1 {
			if err := e.rotate(need); err != nil {
				return err
			}
			continue
		}
		if e.options.Inline {
			e.mu.Unlock()
			e.inlineWork()
			e.mu.Lock()
			if e.flushTrouble.err != nil {
				return e.flushTrouble.err
			}
			continue
		}
		if err := e.stall(ctx); err != nil {
			return err
		}
	}
}

// mergesBehind returns why merges cannot be made, if so many runs wait for them that
// no more may come. Under mu, which it gives up for a while.
func (e *Engine) mergesBehind(ctx context.Context) error {
	behind := func() bool { return len(e.state.Load().levels.top) >= e.hardRuns() && e.mergeTrouble.err != nil }
	if !behind() {
		return nil
	}
	if e.options.Inline {
		e.mu.Unlock()
		e.inlineWork()
		e.mu.Lock()
		if !behind() {
			return nil
		}
		return fmt.Errorf("%d runs wait to be merged: %w", len(e.state.Load().levels.top), e.mergeTrouble.err)
	}
	if err := e.await(ctx, &e.mergeTrouble, e.background.compact, behind); err != nil {
		return fmt.Errorf("%d runs wait to be merged: %w", len(e.state.Load().levels.top), err)
	}
	return nil
}

// stall waits until there is less in the queue. Under mu, which it gives up meanwhile.
func (e *Engine) stall(ctx context.Context) error {
	start := time.Now()
	e.counters.stalls.Add(1)
	defer func() {
		took := int64(time.Since(start))
		e.counters.stallTime.Add(took)
		e.counters.longestStall.Store(max(e.counters.longestStall.Load(), took))
	}()
	return e.await(ctx, &e.flushTrouble, e.background.flush, func() bool {
		return len(e.state.Load().queue) >= e.options.MaxMemtables-1
	})
}

// await waits for the background to do what keeps a commit waiting, or for an attempt at
// it to fail that began after the call: what made an earlier one fail may be over. Under
// mu, which it gives up meanwhile.
func (e *Engine) await(ctx context.Context, t *trouble, wake chan struct{}, waits func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		e.changed.Broadcast()
		e.mu.Unlock()
	})
	defer stop()
	next := t.next()
	for waits() {
		e.wake(wake)
		switch {
		case e.failed != nil:
			return e.failed
		case t.err != nil && t.ended >= next:
			return t.err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		e.changed.Wait()
	}
	return nil
}

// replaceMemtable puts another empty memtable, with more room, in the place of one.
// Under mu.
func (e *Engine) replaceMemtable(st *state, need int64) error {
	m, err := e.newMemtable(need)
	if err != nil {
		return err
	}
	e.install(newState(m, st.queue, st.levels))
	return nil
}

// rotate puts the memtable into the queue, and a new one in its place. Under mu.
func (e *Engine) rotate(need int64) error {
	st := e.state.Load()
	if st.mem.empty() {
		return nil
	}
	m, err := e.newMemtable(need)
	if err != nil {
		return err
	}
	q := &queued{mem: st.mem, version: st.mem.last, sequence: st.mem.sequence}
	e.install(newState(m, append([]*queued{q}, st.queue...), st.levels))
	e.setPace(time.Now())
	e.wake(e.background.flush)
	return nil
}

// wake tells a goroutine of the background that there is work.
func (e *Engine) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Sync implements engine.Engine.
func (e *Engine) Sync(ctx context.Context) error {
	return e.Apply(ctx, new(engine.Batch), engine.Flushed)
}

func appendBytes(out, b []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}
