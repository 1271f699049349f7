package paths_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"path/filepath"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/target"
)

// mirror is the memory engine with the same log on each path: records of length,
// CRC and batch. The longest log wins when it is opened, and the others are made
// like it.
type mirror struct {
	*memory.Engine
	mu    sync.Mutex
	files []vfs.File
	end   int64
	flaw  flaw
	lost  bool
}

// flaw is a defect of mirror.
type flaw string

const (
	sound          flaw = ""
	firstWins      flaw = "the first path wins, stale or not"
	notLevelled    flaw = "a stale path is not brought level"
	failsWithOne   flaw = "the loss of a path fails the write"
	forgetsToFlush flaw = "with one path left nothing is flushed"
	needsAll       flaw = "a path that is missing keeps the store closed"
)

func mirrored(f flaw) target.Engine {
	return target.Engine{Name: "mirror", OpenOnPaths: func(fsys vfs.FS, dirs []string) (engine.Engine, error) {
		m := &mirror{Engine: memory.Open(), flaw: f}
		if err := m.open(fsys, dirs); err != nil {
			return nil, errors.Join(err, m.Engine.Close())
		}
		return m, nil
	}}
}

func (m *mirror) open(fsys vfs.FS, dirs []string) error {
	var best []byte
	for i, dir := range dirs {
		file, data, err := openLog(fsys, dir)
		if err != nil {
			if m.flaw == needsAll {
				return err
			}
			m.lost = true
			continue
		}
		m.files = append(m.files, file)
		if data = whole(data); len(data) > len(best) && (m.flaw != firstWins || i == 0 || len(m.files) == 1) {
			best = data
		}
	}
	if len(m.files) == 0 {
		return errors.New("no path is there")
	}
	for rest := best; len(rest) > 0; {
		n := binary.LittleEndian.Uint32(rest)
		b, err := engine.DecodeBatch(rest[8 : 8+n])
		if err != nil {
			return err
		}
		if err := m.Engine.Apply(context.Background(), b, engine.Memory); err != nil {
			return err
		}
		rest = rest[8+n:]
	}
	m.end = int64(len(best))
	if m.flaw == notLevelled {
		return nil
	}
	return m.each(func(f vfs.File) error {
		if _, err := f.WriteAt(best, 0, vfs.Plain); err != nil {
			return err
		}
		if err := f.Truncate(m.end); err != nil {
			return err
		}
		return f.Sync()
	})
}

func openLog(fsys vfs.FS, dir string) (vfs.File, []byte, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, nil, err
	}
	file, err := fsys.Open(filepath.Join(dir, "log"), vfs.Create)
	if err != nil {
		return nil, nil, err
	}
	size, err := file.Size()
	data := make([]byte, size)
	if err == nil {
		_, err = file.ReadAt(data, 0)
	}
	if err != nil && err != io.EOF {
		return nil, nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(fsys.SyncDir(dir), fsys.SyncDir(filepath.Dir(dir))); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, data, nil
}

// whole returns the records up to the first that is not.
func whole(data []byte) []byte {
	at := 0
	for len(data)-at >= 8 {
		n := int(binary.LittleEndian.Uint32(data[at:]))
		if n == 0 || n > len(data)-at-8 || crc32.ChecksumIEEE(data[at+8:at+8+n]) != binary.LittleEndian.Uint32(data[at+4:]) {
			break
		}
		at += 8 + n
	}
	return data[:at]
}

func (m *mirror) Traits() engine.Traits {
	t := m.Engine.Traits()
	t.Persistent, t.Durability = true, engine.DurabilityOf(engine.Memory, engine.Flushed)
	return t
}

// each does something to each file, and goes on without those where it fails.
func (m *mirror) each(f func(vfs.File) error) error {
	var left []vfs.File
	var errs []error
	for _, file := range m.files {
		if err := f(file); err != nil {
			errs = append(errs, err, file.Close())
			m.lost = true
			continue
		}
		left = append(left, file)
	}
	m.files = left
	if len(left) == 0 || m.flaw == failsWithOne {
		return errors.Join(errs...)
	}
	return nil
}

func (m *mirror) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.Engine.Apply(ctx, b, engine.Memory); err != nil {
		return err
	}
	record := binary.LittleEndian.AppendUint32(nil, uint32(b.Size()))
	record = binary.LittleEndian.AppendUint32(record, crc32.ChecksumIEEE(b.Encoded()))
	record = append(record, b.Encoded()...)
	if err := m.each(func(f vfs.File) error { _, err := f.WriteAt(record, m.end, vfs.Plain); return err }); err != nil {
		return err
	}
	m.end += int64(len(record))
	if d == engine.Flushed {
		return m.flush()
	}
	return nil
}

func (m *mirror) flush() error {
	if m.lost && m.flaw == forgetsToFlush {
		return nil
	}
	return m.each(vfs.File.Sync)
}

func (m *mirror) Sync(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.flush()
}

func (m *mirror) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.flush()
	for _, f := range m.files {
		err = errors.Join(err, f.Close())
	}
	return errors.Join(err, m.Engine.Close())
}
