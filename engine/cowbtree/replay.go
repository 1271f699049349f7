package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/replay"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// replay opens the log, and does again what is in it behind the checkpoint.
func (e *Engine) replay(ctx context.Context) error {
	logs := filepath.Join(e.dir, logName)
	if e.meta.sequence > e.meta.begun {
		names, err := e.fs.List(logs)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".wal") }) {
			return fmt.Errorf("%w: %s has no log, which commits may be missing with; restore it from a backup", engine.ErrCorrupt, logs)
		}
	}
	if err := vfs.MakeDir(e.fs, logs); err != nil {
		return err
	}
	group := replay.Group{Near: e.near, Add: func(b *engine.Batch, sequence uint64) error { return e.replayBatch(ctx, b, sequence) }}
	last := e.meta.sequence
	log, err := wal.Open(ctx, e.options.logOptions(logs), last, func(r wal.Record) error {
		if r.Sequence != last+1 {
			return fmt.Errorf("log: %w: record %d follows %d", engine.ErrCorrupt, r.Sequence, last)
		}
		last = r.Sequence
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(r.Payload) > 0 && r.Payload[0] == recordNoBatch {
			if err := group.Flush(); err != nil {
				return err
			}
			return e.replayOther(ctx, r)
		}
		return group.Take(r.Sequence, r.Payload)
	})
	if err != nil {
		return err
	}
	e.log = log
	return group.Flush()
}

// roomForReplay writes a checkpoint where much of the cache has to be written.
func (e *Engine) roomForReplay(ctx context.Context) error {
	if e.cache.unwritten.Load() < e.options.CacheBytes/2 {
		return nil
	}
	// The log keeps what this writes; it will be told when it is open.
	return e.checkpoint(ctx)
}

// replayOther does again what a record of the log says that is no batch.
func (e *Engine) replayOther(ctx context.Context, r wal.Record) error {
	if err := e.roomForReplay(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p, name := r.Payload, ""
	if len(p) > 2 {
		name = string(p[2:])
	}
	e.seq.Store(r.Sequence)
	switch {
	case len(p) > 2 && (p[1] == recordName || p[1] == recordAutoName) && e.names[name] == nil:
		e.nameSnapshot(name, r.Sequence, p[1] == recordAutoName)
	case len(p) > 2 && p[1] == recordUnname && e.names[name] != nil:
		e.unname(name, r.Sequence)
	case len(p) == 2 && p[1] == recordIngest:
		e.ingestAt = r.Sequence
	case len(p) == 2 && p[1] == recordIngested:
		if e.ingestAt > 0 {
			return fmt.Errorf("record %d of the log: %w: the bulk load of record %d is in no meta page that is whole; restore the store from a backup", r.Sequence, engine.ErrCorrupt, e.ingestAt)
		}
	default:
		return fmt.Errorf("record %d of the log: %w: it is neither a batch nor of a snapshot", r.Sequence, engine.ErrCorrupt)
	}
	return nil
}

// near brings the pages near that keys are in or will be. What stands in the way of that
// is met again by who puts them.
func (e *Engine) near(ops []engine.Op) {
	m := lookupsPool.Get().(*lookups)
	defer lookupsPool.Put(m)
	var all [16][]byte
	keys := all[:0]
	for _, op := range ops {
		keys = append(keys, op.Key)
	}
	_ = e.tryMultiGet(keys, m)
}

// replayBatch does a batch again.
func (e *Engine) replayBatch(ctx context.Context, b *engine.Batch, sequence uint64) error {
	if err := e.roomForReplay(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if raceEnabled {
		defer e.alone()()
	}
	if _, err := e.change(b, func() (uint64, error) { return sequence, nil }); err != nil {
		return err
	}
	e.seq.Store(sequence)
	e.logged += int64(b.Size())
	return nil
}
