package memory

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/local"
	"github.com/pierrec/lz4/v4"
)

// A backup is
//
//	file   = "orbitmem", u8 version 1, u8 compression, packed body
//	body   = { 1, uvarint length, key, uvarint length, row } 0, u64 count, u32 CRC
//
// with the rows of package local in the order of their keys. Numbers are
// big-endian. The CRC is CRC32C over the head and the body before it. Compression
// is 0 none, 1 gzip, 2 an LZ4 frame, 3 a Zstandard frame. Nothing follows the body.
const (
	magic         = "orbitmem"
	backupVersion = 1
)

// Compression names how a backup is packed: "None" or "", "Gzip", "Lz4", "Zstd".
type Compression string

// The compressions, as configurations spell them.
const (
	None Compression = "None"
	Gzip Compression = "Gzip"
	LZ4  Compression = "Lz4"
	Zstd Compression = "Zstd"
)

func (c Compression) code() (byte, error) {
	switch c {
	case "", None:
		return 0, nil
	case Gzip:
		return 1, nil
	case LZ4:
		return 2, nil
	case Zstd:
		return 3, nil
	}
	return 0, fmt.Errorf("%w: unknown compression %q; choose None, Gzip, Lz4 or Zstd", driver.ErrInvalid, string(c))
}

func pack(code byte, w io.Writer) (io.WriteCloser, error) {
	switch code {
	case 1:
		return gzip.NewWriter(w), nil
	case 2:
		return lz4.NewWriter(w), nil
	case 3:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return nopCloser{w}, nil
}

func unpack(code byte, r io.Reader) (io.Reader, func(), error) {
	switch code {
	case 0:
		return r, func() {}, nil
	case 1:
		g, err := gzip.NewReader(r)
		return g, func() {}, err
	case 2:
		return lz4.NewReader(r), func() {}, nil
	case 3:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("%w: compression %d is not known", driver.ErrCorrupt, code)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// openBackup locks the backup and restores it, if it is there, into e.
func openBackup(ctx context.Context, c Config, e *memory.Engine) (b *backup, err error) {
	b = &backup{fs: c.FS, path: c.DiskBackup.Path, interval: c.DiskBackup.SyncInterval, engine: e}
	if b.fs == nil {
		b.fs = vfs.OS()
	}
	if b.interval == 0 {
		b.interval = DefaultSyncInterval
	}
	if b.code, err = c.DiskBackup.Compression.code(); err != nil {
		return nil, err
	}
	lock := b.path + ".lock"
	if err := local.MakeDir(b.fs, lock); err != nil {
		return nil, fmt.Errorf("backup %s: %w", b.path, err)
	}
	if b.lock, err = b.fs.Lock(lock); err != nil {
		return nil, fmt.Errorf("backup %s: %w", b.path, err)
	}
	if err := b.restore(ctx); err != nil {
		b.lock.Close()
		return nil, fmt.Errorf("restore backup %s: %w", b.path, err)
	}
	b.written = e.LastSequence()
	return b, nil
}

// sum is a writer or reader that keeps the CRC of what goes through.
type sum struct {
	hash hash.Hash32
	w    io.Writer
}

func newSum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

func (s *sum) Write(p []byte) (int, error) {
	s.hash.Write(p)
	return s.w.Write(p)
}

// appender writes to the end of a file.
type appender struct {
	file vfs.File
	at   int64
}

func (a *appender) Write(p []byte) (int, error) {
	n, err := a.file.WriteAt(p, a.at, 0)
	a.at += int64(n)
	return n, err
}

// write writes the backup, unless nothing has changed since the last one.
func (b *backup) write(ctx context.Context) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	err := b.writeLocked(ctx)
	if err != nil {
		err = fmt.Errorf("backup %s: %w", b.path, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = err
	return err
}

func (b *backup) writeLocked(ctx context.Context) (err error) {
	snap, err := b.engine.Snapshot()
	if err != nil {
		return err
	}
	defer snap.Close()
	sequence := snap.(engine.SequencedSnapshot).Sequence()
	if sequence == b.written {
		return nil
	}
	temporary := b.path + ".tmp"
	file, err := b.fs.Open(temporary, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	if err := b.copy(ctx, snap, file); err != nil {
		return errors.Join(err, file.Close(), b.fs.Remove(temporary))
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := b.fs.Rename(temporary, b.path); err != nil {
		return err
	}
	if err := b.fs.SyncDir(filepath.Dir(b.path)); err != nil {
		return err
	}
	b.written = sequence
	return nil
}

// copy writes the whole file.
func (b *backup) copy(ctx context.Context, from engine.Reader, file vfs.File) (err error) {
	out := bufio.NewWriterSize(&appender{file: file}, 1<<20)
	head := append([]byte(magic), backupVersion, b.code)
	if _, err := out.Write(head); err != nil {
		return err
	}
	packed, err := pack(b.code, out)
	if err != nil {
		return err
	}
	body := &sum{newSum(), packed}
	body.hash.Write(head)
	it, err := from.NewIterator(engine.IterOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var count uint64
	var buffer []byte
	for ok := it.First(); ok; ok = it.Next() {
		if count++; count%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		value, err := it.Value()
		if err != nil {
			return err
		}
		buffer = append(buffer[:0], 1)
		buffer = binary.AppendUvarint(buffer, uint64(len(it.Key())))
		buffer = append(buffer, it.Key()...)
		buffer = binary.AppendUvarint(buffer, uint64(len(value)))
		buffer = append(buffer, value...)
		if _, err := body.Write(buffer); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if _, err := body.Write(binary.BigEndian.AppendUint64([]byte{0}, count)); err != nil {
		return err
	}
	if _, err := packed.Write(binary.BigEndian.AppendUint32(nil, body.hash.Sum32())); err != nil {
		return err
	}
	if err := packed.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// restore reads the backup into the empty engine; nothing if there is none.
func (b *backup) restore(ctx context.Context) error {
	file, err := b.fs.Open(b.path, vfs.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return err
	}
	return decode(ctx, io.NewSectionReader(file, 0, size), b.engine)
}

// decode reads a backup into an empty engine, which is left with nothing if the
// backup is damaged.
func decode(ctx context.Context, file io.Reader, into *memory.Engine) error {
	in := bufio.NewReaderSize(file, 1<<20)
	head := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(in, head); err != nil {
		return damaged("its head", err)
	}
	switch {
	case string(head[:len(magic)]) != magic:
		return fmt.Errorf("%w: it is not a backup of this provider", driver.ErrCorrupt)
	case head[len(magic)] != backupVersion:
		return fmt.Errorf("%w: version %d; this program knows version %d", driver.ErrCorrupt, head[len(magic)], backupVersion)
	}
	body, done, err := unpack(head[len(magic)+1], in)
	if err != nil {
		return damaged("its compression", err)
	}
	defer done()
	r := &records{in: bufio.NewReader(body), hash: newSum()}
	r.hash.Write(head)
	ingestErr := into.Ingest(ctx, func(yield func(key, value []byte) bool) {
		for r.next() {
			if !yield(r.key, r.value) {
				return
			}
		}
		if r.err != nil {
			// Out of order, so that the engine takes nothing.
			if yield([]byte{0}, nil) {
				yield([]byte{0}, nil)
			}
		}
	})
	if r.err != nil {
		return r.err
	}
	if ingestErr != nil {
		if errors.Is(ingestErr, engine.ErrInvalid) || errors.Is(ingestErr, engine.ErrTooLarge) {
			return fmt.Errorf("%w: %w", driver.ErrCorrupt, ingestErr)
		}
		return ingestErr
	}
	return nil
}

func damaged(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", driver.ErrCorrupt, what, err)
}

// records reads a body.
type records struct {
	in         *bufio.Reader
	hash       hash.Hash32
	key, value []byte
	count      uint64
	err        error
}

// next reads a record; false at the end, which it checks, and after an error.
func (r *records) next() bool {
	kind, err := r.in.ReadByte()
	if err != nil {
		return r.fail("record", err)
	}
	r.hash.Write([]byte{kind})
	switch kind {
	case 1:
		if r.key, err = r.bytes(r.key, engine.MaxKeyBytes); err != nil {
			return r.fail("key", err)
		}
		if r.value, err = r.bytes(r.value, engine.MaxValueBytes); err != nil {
			return r.fail("row", err)
		}
		r.count++
		return true
	case 0:
		end := make([]byte, 12)
		if _, err := io.ReadFull(r.in, end); err != nil {
			return r.fail("end", err)
		}
		r.hash.Write(end[:8])
		switch {
		case binary.BigEndian.Uint64(end) != r.count:
			return r.fail("end", fmt.Errorf("%d records, and it tells of %d", r.count, binary.BigEndian.Uint64(end)))
		case binary.BigEndian.Uint32(end[8:]) != r.hash.Sum32():
			return r.fail("end", errors.New("the checksum is another"))
		}
		if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
			return r.fail("end", errors.New("something follows"))
		}
		return false
	}
	return r.fail("record", fmt.Errorf("of kind %d", kind))
}

func (r *records) fail(what string, err error) bool {
	r.err = damaged(fmt.Sprintf("%s %d", what, r.count), err)
	return false
}

// bytes reads a length and as many bytes, into memory that grows with what is
// there, whatever the length says.
func (r *records) bytes(dst []byte, most int) ([]byte, error) {
	n, err := binary.ReadUvarint(r.in)
	if err != nil {
		return dst, err
	}
	r.hash.Write(binary.AppendUvarint(nil, n))
	if n > uint64(most) {
		return dst, fmt.Errorf("%d bytes; the limit is %d", n, most)
	}
	const step = 1 << 20
	dst = dst[:0]
	for left := int(n); left > 0; {
		take := min(left, step)
		at := len(dst)
		if cap(dst)-at < take {
			grown := make([]byte, at, 2*cap(dst)+take)
			copy(grown, dst)
			dst = grown
		}
		dst = dst[:at+take]
		if _, err := io.ReadFull(r.in, dst[at:]); err != nil {
			return dst, err
		}
		left -= take
	}
	r.hash.Write(dst)
	return dst, nil
}
