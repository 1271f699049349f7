package flash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// copyBatch is about the size of the commits of which a copy is made.
const copyBatch = 1 << 20

// Checkpoint implements engine.Engine: a state is written to a store of one path.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := vfs.MakeDir(e.fs, dir); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	switch names, err := e.fs.List(dir); {
	case err != nil:
		return fmt.Errorf("checkpoint: %w", err)
	case len(names) > 0:
		return fmt.Errorf("checkpoint: %w: %s is not empty", engine.ErrInvalid, dir)
	}
	if err := e.copyTo(ctx, dir); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, errors.Join(err, e.removeCopy(dir)))
	}
	return nil
}

// copyTo makes a store of what is in sight now. The checkpoint of the index comes last,
// and there is no store without it.
func (e *Engine) copyTo(ctx context.Context, dir string) (err error) {
	o := e.options
	o.Paths, o.Replicas, o.CacheBytes, o.CheckpointBytes = nil, 0, -1, 1<<44
	if o, err = o.complete(dir); err != nil {
		return err
	}
	to := newEngine(o)
	to.id = e.id
	to.buffered.Store(e.buffered.Load())
	e.lockCommits()
	state, at := e.hold()
	to.visible.Store(e.visible.Load())
	to.applied, to.nextFamily = at, e.nextFamily
	for name, id := range e.families {
		to.families[name], to.known[id] = id, true
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.unhold(at)
		e.mu.Unlock()
	}()
	defer func() { err = errors.Join(err, to.letGoAll()) }()
	if err := to.paths[0].acquire(e.fs); err != nil {
		return err
	}
	// Its numbers of commits go on from those here.
	if to.log, err = wal.Open(ctx, to.logOptions(), at, nil); err != nil {
		return err
	}
	if err := e.copyState(ctx, state, to); err != nil {
		return err
	}
	return to.checkpoint(ctx)
}

// copyState writes a state to another store.
func (e *Engine) copyState(ctx context.Context, state *root, to *Engine) error {
	c := cursor{root: state}
	payload := []byte{recordOther, recordPacked}
	var list []wanted
	var keys [][]byte
	var value, memory []byte
	size := 0
	write := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		memory = e.readMany(list, memory[:0])
		for i, w := range list {
			if w.err != nil {
				return engine.KeyError("copy", keys[i], w.err)
			}
			f, n := binary.Uvarint(keys[i])
			op := engine.Op{Kind: engine.OpPut, Family: engine.FamilyID(f), Key: keys[i][n:], Value: w.value}
			var err error
			if payload, value, _, err = appendOperation(payload, value, op, to.options.Compression); err != nil {
				return err
			}
		}
		to.mu.Lock()
		defer to.mu.Unlock()
		sequence, at, err := to.log.AppendAt(ctx, payload, engine.Buffered)
		if err == nil {
			err = to.addBatch(payload, true, false, at, sequence)
		}
		list, keys, payload, size = list[:0], keys[:0], payload[:2], 0
		return err
	}
	for ok := c.first(); ok; ok = c.next() {
		at := c.location()
		keys = append(keys, c.appendKey(nil))
		list = append(list, want(keys[len(keys)-1], at))
		if size += len(keys[len(keys)-1]) + at.bytes(); size >= copyBatch {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	return write()
}

// removeCopy removes what a checkpoint that failed has left.
func (e *Engine) removeCopy(dir string) error {
	names, err := e.fs.List(dir)
	if err != nil {
		return nil // it was not made
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, e.fs.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}
