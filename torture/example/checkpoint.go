package example

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	dataName = "data"
	tempName = "data.tmp"

	magic       = "orbitex1"
	headerBytes = len(magic) + 8
	sumBytes    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkpoint writes the map beside the log, which may then forget its records.
// Under mu. A failed flush is for good: what it should have made durable may be
// gone, and a second one would succeed without it.
func (e *Engine) checkpoint() error {
	if e.failed != nil {
		return e.failed
	}
	s := e.newest.Load()
	if err := writeCheckpoint(e.fs, e.dir, s); err != nil {
		var failed flushError
		if errors.As(err, &failed) {
			e.failed = fmt.Errorf("%w: %w", engine.ErrReadOnly, err)
			err = e.failed
		}
		return err
	}
	e.logged = 0
	return e.log.Release(s.sequence)
}

// flushError marks the failure of a flush.
type flushError struct{ error }

func (e flushError) Unwrap() error { return e.error }

// writeCheckpoint makes s the durable content of the store in dir.
func writeCheckpoint(fsys vfs.FS, dir string, s *state) error {
	temp := filepath.Join(dir, tempName)
	if err := writeData(fsys, temp, s); err != nil {
		return errors.Join(err, removeIfThere(fsys, temp)) // gives the space back
	}
	if err := fsys.Rename(temp, filepath.Join(dir, dataName)); err != nil {
		return errors.Join(err, removeIfThere(fsys, temp))
	}
	if err := fsys.SyncDir(dir); err != nil {
		return flushError{err}
	}
	return nil
}

// writeData writes s to a file and makes its content durable.
func writeData(fsys vfs.FS, name string, s *state) error {
	var b engine.Batch
	s.tree.Scan(func(n entry) bool {
		b.Put(n.key, n.value)
		return true
	})
	data := make([]byte, 0, headerBytes+b.Size()+sumBytes)
	data = append(data, magic...)
	data = binary.LittleEndian.AppendUint64(data, s.sequence)
	data = append(data, b.Encoded()...)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))

	f, err := fsys.Open(name, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0, vfs.Plain); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(flushError{err}, f.Close())
	}
	return f.Close()
}

// readCheckpoint returns the content of a checkpoint and its sequence; an empty
// batch and 0 if there is none.
func readCheckpoint(fsys vfs.FS, name string) (*engine.Batch, uint64, error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return new(engine.Batch), 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	data, err := readAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, 0, err
	}
	corrupt := func(what string) error { return fmt.Errorf("read %s: %w: %s", name, engine.ErrCorrupt, what) }
	if len(data) < headerBytes+sumBytes {
		return nil, 0, corrupt(fmt.Sprintf("%d bytes are less than the least", len(data)))
	}
	body, sum := data[:len(data)-sumBytes], data[len(data)-sumBytes:]
	if binary.LittleEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return nil, 0, corrupt("the checksum does not match")
	}
	if string(body[:len(magic)]) != magic {
		return nil, 0, corrupt(fmt.Sprintf("format %q; this build knows %q", body[:len(magic)], magic))
	}
	b, err := engine.DecodeBatch(body[headerBytes:])
	if err != nil {
		return nil, 0, fmt.Errorf("read %s, from offset %d: %w", name, headerBytes, err)
	}
	return b, binary.LittleEndian.Uint64(body[len(magic):]), nil
}

func readAll(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = f.ReadAt(data, 0)
	return data, err
}

// Compact implements engine.Engine: it writes a checkpoint, so that the log
// gives its space back. The bounds do not matter.
func (e *Engine) Compact(ctx context.Context, _, _ []byte) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkpoint(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// Checkpoint implements engine.Engine. Commits do not wait for it.
func (e *Engine) Checkpoint(ctx context.Context, dir string) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.RUnlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := makeDir(e.fs, dir); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	names, err := e.fs.List(dir)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if len(names) > 0 {
		return fmt.Errorf("checkpoint: %w: %s is not empty", engine.ErrInvalid, dir)
	}
	if err := writeCheckpoint(e.fs, dir, e.newest.Load()); err != nil {
		return fmt.Errorf("checkpoint: %w", errors.Join(err, removeIfThere(e.fs, filepath.Join(dir, dataName))))
	}
	return nil
}

// makeDir makes a directory, if it is not there, and its name durable.
func makeDir(fsys vfs.FS, dir string) error {
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(dir))
}

// removeIfThere removes a file that may not be there.
func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
