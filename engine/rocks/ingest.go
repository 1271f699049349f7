//go:build rocksdb

package rocks

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
)

// ingestFileBytes is the size at which an ingestion begins another table, that
// of RocksDB's own tables in the last levels.
const ingestFileBytes = 64 << 20

func (s *store) ingestDir() string { return filepath.Join(s.dir, "ingest") }

// Ingest writes tables beside the database and adds them to the default family,
// past the log.
func (s *store) Ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := s.life.Enter(); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	// While the entries are read, the caller's code runs, and the store is not
	// touched.
	s.life.Exit()
	if err := s.ingest(ctx, entries); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

func (s *store) ingest(ctx context.Context, entries iter.Seq2[[]byte, []byte]) error {
	if err := os.Mkdir(s.ingestDir(), 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	dir, err := os.MkdirTemp(s.ingestDir(), "")
	if err != nil {
		return err
	}
	// Tables that were added have a link in the database's directory.
	defer os.RemoveAll(dir)
	files, size, err := writeTables(ctx, dir, s.options, s.traits.Limits, entries)
	if err != nil || len(files) == 0 {
		return err
	}
	if err := s.life.Enter(); err != nil {
		return err
	}
	defer s.life.Exit()
	return s.addTables(ctx, files, size)
}

func (s *store) addTables(ctx context.Context, files []string, size uint64) error {
	options := grocksdb.NewDefaultIngestExternalFileOptions()
	defer options.Destroy()
	options.SetMoveFiles(true)
	s.order.Lock()
	defer s.order.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		return err
	}
	// The tables are durable at once: so must be every commit before them.
	if err := s.native.flushLog(true); err != nil {
		return s.failed(err, true)
	}
	if err := s.db.IngestExternalFile(files, options); err != nil {
		return s.failed(translate(err), false)
	}
	s.applied.Add(size)
	return nil
}

// writeTables writes entries into tables in dir, and returns their paths and the
// size of the keys and values.
func writeTables(ctx context.Context, dir string, o Options, limits engine.Limits, entries iter.Seq2[[]byte, []byte]) (files []string, size uint64, err error) {
	settings := newSettings(o)
	defer settings.destroy()
	env := grocksdb.NewDefaultEnvOptions()
	defer env.Destroy()
	w := grocksdb.NewSSTFileWriter(env, settings.options)
	defer w.Destroy()

	var last []byte
	written := false // the table has an entry
	for key, value := range entries {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		if err := checkEntry(limits, key, value); err != nil {
			return nil, 0, engine.KeyError("put", key, err)
		}
		if len(files) > 0 && bytes.Compare(key, last) <= 0 {
			return nil, 0, engine.KeyError("put", key, fmt.Errorf("%w: the key does not follow %s", engine.ErrInvalid, engine.QuoteKey(last)))
		}
		if written && w.FileSize() >= ingestFileBytes {
			if err := w.Finish(); err != nil {
				return nil, 0, translate(err)
			}
			written = false
		}
		if !written {
			path := filepath.Join(dir, fmt.Sprintf("%06d.sst", len(files)))
			if err := w.Open(path); err != nil {
				return nil, 0, translate(err)
			}
			files = append(files, path)
			written = true
		}
		if err := w.Put(key, value); err != nil {
			return nil, 0, engine.KeyError("put", key, translate(err))
		}
		last = append(last[:0], key...)
		size += uint64(len(key) + len(value))
	}
	if written {
		if err := w.Finish(); err != nil {
			return nil, 0, translate(err)
		}
	}
	return files, size, nil
}

func checkEntry(limits engine.Limits, key, value []byte) error {
	if len(key) > limits.MaxKeyBytes {
		return fmt.Errorf("%w: key of %d bytes; the limit is %d", engine.ErrTooLarge, len(key), limits.MaxKeyBytes)
	}
	if len(value) > limits.MaxValueBytes {
		return fmt.Errorf("%w: value of %d bytes; the limit is %d", engine.ErrTooLarge, len(value), limits.MaxValueBytes)
	}
	return nil
}
