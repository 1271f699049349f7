package lsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
)

// flushOldest takes the oldest of the queue to the levels; false if there is none.
func (e *Engine) flushOldest(ctx context.Context) (done bool, err error) {
	e.flushing.Lock()
	defer e.flushing.Unlock()
	e.mu.Lock()
	failed := e.failed
	e.mu.Unlock()
	if failed != nil { // a table that no edit can tell of would stay, each time
		return false, failed
	}
	st := e.hold()
	defer e.releaseState(st)
	if len(st.queue) == 0 {
		return false, nil
	}
	q := st.queue[len(st.queue)-1]
	start := time.Now()
	if q.mem != nil {
		e.mu.Lock()
		e.pace.flushes.begin(q.mem.data, start)
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			now := time.Now()
			e.pace.flushes.end(done, now)
			e.setPace(now)
			e.mu.Unlock()
		}()
	}
	ed := q.edit
	var j *job // a bulk load has told the log of its tables: they stay
	if q.mem != nil {
		var err error
		if ed, j, err = e.writeMemtable(ctx, st, q); err != nil {
			return false, err
		}
	} else if e.log != nil {
		// If its record cannot be made durable, the load fails, and must be nowhere.
		if err := e.flushLog(q.sequence); err != nil {
			return false, err
		}
	}
	if err := e.installEdit(ed, q, j); err != nil {
		return false, err
	}
	since(start, &e.counters.flushTime)
	e.counters.flushes.Add(1)
	e.wake(e.background.compact)
	if e.log == nil { // it is being replayed
		return true, nil
	}
	return true, e.logFailed(e.log.Release(q.sequence))
}

// writeMemtable writes a memtable to tables, and returns the edit that makes them a run.
func (e *Engine) writeMemtable(ctx context.Context, st *state, q *queued) (*edit, *job, error) {
	e.mu.Lock()
	snapshots := e.snapshotVersions()
	e.mu.Unlock()
	j := &job{e: e, streams: []stream{newMemStream(q.mem, &e.pace.flushes.done)}, ranges: q.mem.ranges.Load().fragments(snapshots), snapshots: snapshots, options: e.table(false), levels: st.levels, older: st.levels.runs}
	tables, values, err := j.run(ctx)
	if err != nil {
		return nil, nil, err
	}
	e.counters.flushed.Add(uint64(bytesOf(tables, values)))
	ed := &edit{version: q.version, logSequence: q.sequence, values: values}
	if len(tables) > 0 {
		for _, m := range tables {
			ed.added = append(ed.added, addition{level: 0, run: q.version, meta: m})
		}
	}
	return ed, j, nil
}

// installEdit makes an edit of the levels durable, and then seen. done leaves the queue, and
// if the edit is refused what by wrote is removed, unless they are nil.
func (e *Engine) installEdit(ed *edit, done *queued, by *job) error {
	e.installing.Lock()
	defer e.installing.Unlock()
	recorded := false
	defer func() {
		if by != nil && !recorded {
			by.abandon()
		}
	}()
	before := e.state.Load().levels
	after, err := before.apply(&e.store, ed)
	if err != nil {
		return err
	}
	uses := after.uses()
	ed.noValues = nil // an edit that was refused comes again
	for _, n := range slices.Sorted(maps.Keys(after.values)) {
		if _, used := uses[n]; !used {
			ed.noValues = append(ed.noValues, n)
			delete(after.values, n)
		}
	}
	// The names of files are durable before the manifest has them.
	if len(ed.added)+len(ed.values) > 0 {
		if err := e.fs.SyncDir(e.dir); err != nil {
			return err
		}
	}
	err = e.record(ed)
	// What the manifest may have after all must stay.
	recorded = err == nil || !harmless(err)
	if err != nil {
		return err
	}
	for n, f := range before.files {
		if after.files[n] == nil {
			f.obsolete.Store(true)
		}
	}
	for n, v := range before.values {
		if after.values[n] == nil {
			v.obsolete.Store(true)
		}
	}
	// Values that no table needs are files that were written for nothing. What cannot be
	// removed now is when the store is opened again.
	for _, v := range ed.values {
		if after.values[v.number] == nil {
			_ = e.fs.Remove(fileName(e.dir, v.number, valueSuffix))
		}
	}
	e.mu.Lock()
	st := e.state.Load()
	queue := st.queue
	if done != nil {
		queue = queue[: len(queue)-1 : len(queue)-1]
	}
	e.state.Store(newState(st.mem, queue, after))
	e.flushTrouble.err = nil
	e.setPace(time.Now())
	e.changed.Broadcast()
	var whole *edit
	if e.manifest.due() {
		whole = e.whole(after)
	}
	e.mu.Unlock()
	// Commits go on while files are removed, and the manifest is written anew.
	e.releaseState(st)
	if whole == nil {
		return nil
	}
	return e.rollManifest(whole)
}

// record makes an edit durable in the manifest. Under installing.
func (e *Engine) record(ed *edit) error {
	ed.nextFile = e.lastFile.Load()
	if _, err := e.manifest.append(ed); err != nil {
		return err
	}
	// Not before: a whole edit must not say of a memtable that it is in tables when that
	// was refused.
	if ed.version != 0 {
		e.manifestVersion, e.manifestSequence = ed.version, ed.logSequence
	}
	return nil
}

// rollManifest writes the manifest anew. Under installing.
func (e *Engine) rollManifest(whole *edit) error {
	err := e.manifest.roll(e.fs, e.dir, whole)
	if errors.Is(err, engine.ErrNoSpace) {
		return nil // the old one goes on
	}
	return err
}

// whole returns the edit that makes all that the manifest tells of nothing. Under
// installing and mu.
func (e *Engine) whole(l *levels) *edit {
	whole := l.whole()
	whole.version, whole.logSequence, whole.nextFile, whole.nextFamily = e.manifestVersion, e.manifestSequence, e.lastFile.Load(), e.nextFamily
	for _, name := range slices.Sorted(maps.Keys(e.families)) {
		whole.families = append(whole.families, family{e.families[name], name})
	}
	whole.noFamilies = slices.Sorted(maps.Keys(e.clearing))
	whole.logBegun = e.logBegun
	return whole
}

// flushAtClose takes all that is in memory to tables.
func (e *Engine) flushAtClose() error {
	e.mu.Lock()
	err := e.failed
	if err == nil {
		err = e.rotate(0)
	}
	e.mu.Unlock()
	for more := true; more && err == nil; {
		more, err = e.flushOldest(context.Background())
	}
	if err != nil {
		return fmt.Errorf("close: what was committed is in the log: %w", err)
	}
	return nil
}

// flushAll takes what was committed before the call to tables.
func (e *Engine) flushAll(ctx context.Context) error {
	e.lockCommits()
	err := e.failed
	if err == nil {
		err = e.rotate(0)
	}
	st := e.state.Load()
	var last *queued
	if len(st.queue) > 0 {
		last = st.queue[0]
	}
	e.mu.Unlock()
	if err != nil || last == nil {
		return err
	}
	for {
		st := e.hold()
		waiting := false
		for _, q := range st.queue {
			waiting = waiting || q == last
		}
		e.releaseState(st)
		if !waiting {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := e.flushOldest(ctx); err != nil {
			return e.judge(err)
		}
	}
}

// judge makes the engine read-only for an error of writing files after which nothing
// can be trusted, and returns it.
func (e *Engine) judge(err error) error {
	if harmless(err) {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fail(err)
}

// harmless reports whether all is as before after an error of writing files.
func harmless(err error) bool {
	if err == nil {
		return true
	}
	if errors.Is(err, engine.ErrReadOnly) { // whatever was the cause
		return false
	}
	for _, kind := range []error{engine.ErrNoSpace, engine.ErrCorrupt, engine.ErrInvalid, engine.ErrTooLarge, engine.ErrClosed, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
