package pebbledb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/orbit-persistence/orbit/engine"
)

// ingestTableBytes is the size of the tables that Ingest makes.
const ingestTableBytes = 64 << 20

// ingestDir holds tables until they are all complete; Open empties it.
func (e *Engine) ingestDir() string { return e.fence.PathJoin(e.dir, "ingest") }

// Ingest writes the entries as tables and links them into the store at one
// commit.
func (e *Engine) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) (err error) {
	if err := e.life.Enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := e.writable(); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	dir := e.fence.PathJoin(e.ingestDir(), fmt.Sprint(e.ingests.Add(1)))
	if err := e.fence.MkdirAll(dir, 0o755); err != nil {
		return wrap("ingest", err)
	}
	defer func() {
		if cleanErr := removeAll(e.fence.FS, dir); err == nil {
			err = wrap("ingest", cleanErr)
		}
	}()
	paths, err := e.writeTables(ctx, dir, entries)
	if err != nil {
		return wrap("ingest", err)
	}
	if err := ctx.Err(); err != nil || len(paths) == 0 {
		return err
	}
	// From here on it has a place in the commit order: no turning back.
	if err := e.db.Ingest(context.WithoutCancel(ctx), paths); err != nil {
		return wrap("ingest", err)
	}
	if cause := e.fence.cause(); cause != nil {
		return fmt.Errorf("ingest: %w: %w", engine.ErrReadOnly, cause)
	}
	return nil
}

// writeTables writes the entries as synced tables in dir, and returns their
// paths in order.
func (e *Engine) writeTables(ctx context.Context, dir string, entries iter.Seq2[[]byte, []byte]) (paths []string, err error) {
	var w *sstable.Writer
	defer func() {
		if w != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	var last []byte
	n := 0
	for key, value := range entries {
		if n&0xff == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		if n > 0 && bytes.Compare(key, last) <= 0 {
			return nil, engine.KeyError("entry", key, fmt.Errorf("%w: it comes after %s", engine.ErrInvalid, engine.QuoteKey(last)))
		}
		if len(key) > limits.MaxKeyBytes || len(value) > limits.MaxValueBytes {
			return nil, engine.KeyError("entry", key, fmt.Errorf("%w: key of %d bytes, value of %d; the limits are %d and %d",
				engine.ErrTooLarge, len(key), len(value), limits.MaxKeyBytes, limits.MaxValueBytes))
		}
		if w != nil && w.Raw().EstimatedSize() >= ingestTableBytes {
			done := w
			w = nil
			if err := done.Close(); err != nil {
				return nil, err
			}
		}
		if w == nil {
			path := e.fence.PathJoin(dir, fmt.Sprintf("%06d.sst", len(paths)))
			file, err := e.fence.FS.Create(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				return nil, err
			}
			// Level 6 is where most of them will lie; closing the writer syncs.
			w = sstable.NewWriter(objstorageprovider.NewFileWritable(file), e.opts.MakeWriterOptions(6, e.db.TableFormat()))
			paths = append(paths, path)
		}
		if err := w.Set(key, value); err != nil {
			return nil, engine.KeyError("entry", key, err)
		}
		last = append(last[:0], key...)
		n++
	}
	return paths, nil
}
