package lsm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Checkpoint implements engine.Engine: what is in memory is written to tables, and all
// files are linked into the directory; where that cannot be, they are copied.
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
	if err := e.flushAll(ctx); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	// What is in tables now is one commit: the newest that was flushed.
	e.installing.Lock()
	st := e.hold()
	e.mu.Lock()
	whole := e.whole(st.levels)
	whole.logBegun = false // that of the copy begins when it is opened
	e.mu.Unlock()
	e.installing.Unlock()
	defer e.releaseState(st)
	if err := e.copyTo(ctx, dir, st.levels, whole); err != nil {
		return fmt.Errorf("checkpoint to %s: %w", dir, errors.Join(err, e.removeCopy(dir)))
	}
	return nil
}

// copyTo makes a store of levels; it is there once it has its CURRENT.
func (e *Engine) copyTo(ctx context.Context, dir string, l *levels, whole *edit) error {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(l.files)) {
		names = append(names, fileName("", n, tableSuffix))
	}
	for _, n := range slices.Sorted(maps.Keys(l.values)) {
		names = append(names, fileName("", n, valueSuffix))
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.copyFile(ctx, filepath.Join(e.dir, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, sub := range []string{logName, manifestName} {
		if err := vfs.MakeDir(e.fs, filepath.Join(dir, sub)); err != nil {
			return err
		}
	}
	if err := writeManifest(e.options, dir, whole); err != nil {
		return err
	}
	return writeCurrent(e.fs, dir, current{store: e.id, levels: uint32(e.options.Levels)})
}

// writeManifest makes a manifest of one edit in a directory. One that is there, of a
// crash before its CURRENT was, gets the edit too.
func writeManifest(o Options, dir string, whole *edit) error {
	log, err := wal.Open(context.Background(), o.manifestOptions(dir), 0, func(wal.Record) error { return nil })
	if err != nil {
		return err
	}
	m := manifest{log: log}
	_, err = m.append(whole)
	return errors.Join(err, log.Close())
}

// copyFile gives a file, which does not change, a second name, or copies it.
func (e *Engine) copyFile(ctx context.Context, from, to string) error {
	err := e.fs.Link(from, to)
	if err == nil || errors.Is(err, engine.ErrNoSpace) {
		return err
	}
	in, err := e.fs.Open(from, vfs.ReadOnly)
	if err != nil {
		return err
	}
	out, err := e.fs.Open(to, vfs.Create|vfs.Exclusive)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	buf := make([]byte, 1<<20)
	for at := int64(0); err == nil; {
		if err = ctx.Err(); err != nil {
			break
		}
		n, readErr := in.ReadAt(buf, at)
		if n > 0 {
			_, err = out.WriteAt(buf[:n], at, vfs.Plain)
			at += int64(n)
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		err = errors.Join(err, readErr)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close(), in.Close())
}

// removeCopy removes what a checkpoint that failed has left.
func (e *Engine) removeCopy(dir string) error {
	var errs []error
	for _, sub := range []string{"", logName, manifestName} {
		names, err := e.fs.List(filepath.Join(dir, sub))
		if err != nil {
			continue
		}
		for _, name := range names {
			if info, err := e.fs.Stat(filepath.Join(dir, sub, name)); err == nil && info.Kind == vfs.RegularFile {
				errs = append(errs, e.fs.Remove(filepath.Join(dir, sub, name)))
			}
		}
		if sub != "" {
			errs = append(errs, e.fs.Remove(filepath.Join(dir, sub)))
		}
	}
	return errors.Join(errs...)
}
