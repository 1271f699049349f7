package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Checkpoint implements engine.Engine: the copy is built anew from a snapshot, dense
// and in order, without named snapshots. Commits go on meanwhile.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	return e.withDir("checkpoint", dir, ctx, func() error {
		e.lockCommits()
		s := e.take()
		e.mu.Unlock()
		defer func() {
			e.lockCommits()
			e.readDone(s)
			e.mu.Unlock()
		}()
		o := e.options
		o.CacheBytes = min(o.CacheBytes, 16<<20)
		return buildStore(dir, o, s.sequence, func(t *txn) error { return e.copyInto(ctx, t, s) })
	})
}

// withDir calls build for a directory that is not there or is empty, and leaves
// nothing in it that opens if that fails.
func (e *Engine) withDir(op, dir string, ctx context.Context, build func() error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := vfs.MakeDir(e.fs, dir); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	names, err := e.fs.List(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if len(names) > 0 {
		return fmt.Errorf("%s: %w: %s is not empty", op, engine.ErrInvalid, dir)
	}
	if err := build(); err != nil {
		return fmt.Errorf("%s to %s: %w", op, dir, errors.Join(err, removeIfThere(e.fs, filepath.Join(dir, dataName))))
	}
	return nil
}

// copyInto puts what a snapshot shows into the transaction of an empty store.
func (e *Engine) copyInto(ctx context.Context, t *txn, s *snapshot) error {
	it := e.iterate(&s.root, engine.IterOptions{})
	defer it.stop()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			return err
		}
		if err := t.put(ctx, n, it.key, value); err != nil {
			return err
		}
		n++
	}
	return it.err
}

// put puts the entry of number n, of such as come in order.
func (t *txn) put(ctx context.Context, n int, key, value []byte) error {
	if n&1023 == 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if err := t.operate(engine.Op{Kind: engine.OpPut, Key: key, Value: value}); err != nil {
		return err
	}
	return t.spillIfFull()
}
