package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// Ingest implements engine.Ingester. The entries become tables, while commits go on;
// these come into sight, and have their place in the order of commits, by a record of the
// log that tells of them.
func (e *Engine) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := e.ingest(ctx, entries); err != nil {
		return fmt.Errorf("ingest: %w", e.judge(err))
	}
	return nil
}

func (e *Engine) ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{e: e, options: e.table(true), bottom: true}
	tables, size, err := j.load(ctx, entries)
	if err != nil || len(tables) == 0 {
		return err
	}
	q, refused, err := e.admit(ctx, tables)
	if refused {
		j.abandon()
	}
	if err != nil {
		// The record may be found when the store is opened again: its tables stay.
		return err
	}
	// Commits go on meanwhile, and find the load where it belongs.
	if err := e.flushLog(q.sequence); err != nil {
		e.withdraw(q)
		return err
	}
	e.counters.applied.Add(size)
	e.counters.flushed.Add(uint64(bytesOf(tables, nil)))
	if e.options.Inline {
		e.inlineWork()
	}
	return nil
}

// withdraw takes a bulk load out of sight whose record may not be durable. The engine is
// read-only by then, and flushes nothing.
func (e *Engine) withdraw(q *queued) {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := e.state.Load()
	queue := slices.DeleteFunc(slices.Clone(st.queue), func(other *queued) bool { return other == q })
	e.install(newState(st.mem, queue, st.levels))
}

// load writes entries to tables. Values are not set apart: that is left to merges.
func (j *job) load(ctx context.Context, entries iter.Seq2[[]byte, []byte]) (tables []*tableMeta, size uint64, err error) {
	defer func() {
		if err != nil {
			j.abandon()
			j.out = nil
		}
	}()
	n := 0
	var full, last []byte
	for key, value := range entries {
		if n&1023 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, 0, err
			}
		}
		full = append(appendPrefix(full[:0], 0), key...)
		switch {
		case len(key) > engine.MaxKeyBytes || len(value) > engine.MaxValueBytes:
			return nil, 0, engine.KeyError("put", key, engine.ErrTooLarge)
		case n > 0 && bytes.Compare(last, full) >= 0:
			return nil, 0, engine.KeyError("put", key, fmt.Errorf("%w: keys must ascend; the one before is %s", engine.ErrInvalid, engine.QuoteKey(last[1:])))
		}
		last = append(last[:0], full...)
		if err := j.write(&entry{key: full, value: value, kind: kindPut}); err != nil {
			return nil, 0, err
		}
		size += uint64(len(key) + len(value))
		n++
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	if err := j.cut(nil); err != nil {
		return nil, 0, err
	}
	if len(j.out) > 0 {
		if err := j.e.fs.SyncDir(j.e.dir); err != nil {
			return nil, 0, err
		}
	}
	return j.out, size, nil
}

// admit gives tables their place in the order of commits. refused says that the log has
// no record of them, for certain.
func (e *Engine) admit(ctx context.Context, tables []*tableMeta) (q *queued, refused bool, err error) {
	e.lockCommits()
	defer e.mu.Unlock()
	for {
		if e.failed != nil {
			return nil, true, e.failed
		}
		if len(e.state.Load().queue) < e.options.MaxMemtables-1 || e.options.Inline {
			break
		}
		if err := e.stall(ctx); err != nil {
			return nil, true, err
		}
	}
	version := e.visible.Load() + 1
	ed := &edit{}
	for _, m := range tables {
		m.add = version
		ed.added = append(ed.added, addition{level: 0, run: version, meta: m})
	}
	record := binary.AppendUvarint([]byte{recordNoBatch, recordIngest}, version)
	sequence, err := e.log.Append(ctx, append(record, ed.encode()...), engine.Flushed)
	if err != nil {
		if errors.Is(err, engine.ErrReadOnly) {
			return nil, false, e.fail(err)
		}
		return nil, true, err
	}
	q = &queued{edit: ed, version: version, sequence: sequence}
	return q, false, e.enqueue(q)
}

// enqueue puts the tables of a bulk load into the queue, behind the memtable. Under mu.
func (e *Engine) enqueue(q *queued) error {
	if err := e.rotate(0); err != nil {
		return e.fail(err)
	}
	ed, version := q.edit, q.version
	var tables []*table
	for i := range ed.added {
		a := &ed.added[i]
		a.shared = &tableFile{number: a.meta.number, store: &e.store}
		tables = append(tables, &table{tableMeta: *a.meta, store: &e.store, shared: a.shared})
	}
	q.run = newRun(version, tables)
	ed.version, ed.logSequence = version, q.sequence
	st := e.state.Load()
	mem := st.mem
	e.install(newState(mem, append([]*queued{q}, st.queue...), st.levels))
	e.visible.Store(version)
	e.wake(e.background.flush)
	return nil
}

// replayIngest takes a bulk load of the log.
func (e *Engine) replayIngest(p []byte, sequence uint64) error {
	version, w := binary.Uvarint(p)
	if w <= 0 || version != e.visible.Load()+1 {
		return fmt.Errorf("%w: a bulk load as version %d behind %d", engine.ErrCorrupt, version, e.visible.Load())
	}
	ed, err := decodeEdit(p[w:], 0)
	if err != nil {
		return err
	}
	if len(ed.added) == 0 {
		return fmt.Errorf("%w: a bulk load without tables", engine.ErrCorrupt)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.enqueue(&queued{edit: ed, version: version, sequence: sequence})
}
