package migrate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
)

// Export writes all that a provider holds to w, in the format of the package's comment,
// and returns what that is. Where the backend has snapshots it is of one moment; else
// what is written meanwhile may be there or not. What has reached w when it fails has no
// last line, and is refused by Import.
func Export(ctx context.Context, p *providers.Provider, w io.Writer, report func(Progress)) (Tally, error) {
	t, err := export(ctx, p, w, report)
	if err != nil {
		return t, fmt.Errorf("export %s: %w", p.Name(), err)
	}
	return t, nil
}

func export(ctx context.Context, p *providers.Provider, w io.Writer, report func(Progress)) (Tally, error) {
	if err := Unfinished(ctx, p); err != nil {
		return Tally{}, err
	}
	from, release, err := frozen(ctx, p)
	if err != nil {
		return Tally{}, err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Tally{}, err
	}
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<20)
	if err := writeLine(out, header{formatVersion, hex.EncodeToString(id[:]), p.Capabilities().Backend, time.Now().UTC()}); err != nil {
		return Tally{}, err
	}
	c := read(ctx, from, nil)
	defer func() {
		cancel()
		for range c.ahead { // until its goroutine has ended
		}
	}()
	progress := Progress{Phase: "export"}
	var line []byte
	for {
		e, err := c.head(ctx)
		if err != nil {
			return Tally{}, err
		}
		if e == nil {
			break
		}
		line = appendEntry(line[:0], e)
		if _, err := out.Write(line); err != nil {
			return Tally{}, err
		}
		c.next()
		progress.Entries++
		progress.Bytes += int64(len(e.Key) + len(e.Value))
		if progress.Entries&(chunkEntries-1) == 0 && report != nil {
			progress.Key = e.Key
			report(progress)
		}
	}
	if err := out.Flush(); err != nil {
		return Tally{}, err
	}
	if report != nil {
		report(progress)
	}
	end := bufio.NewWriter(w)
	if err := writeLine(end, trailer{formatVersion, c.tally, hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return Tally{}, err
	}
	return c.tally, end.Flush()
}

// frozen returns a provider as it is now, if it can be held there.
func frozen(ctx context.Context, p *providers.Provider) (source, func(), error) {
	from, err := of(ctx, p)
	if err != nil {
		return source{}, nil, err
	}
	store, ok := p.Driver().(driver.Snapshotter)
	if !ok || !p.Driver().Capabilities().Commit { // beneath transactions lies something else
		return from, func() {}, nil
	}
	snap, err := store.Snapshot(ctx)
	if err != nil {
		return source{}, nil, err
	}
	from.list = func(ctx context.Context, after []byte) entries {
		return snap.List(ctx, providers.ListOptions{After: after})
	}
	return from, func() { _ = snap.Close() }, nil // nothing was written through it
}

func writeLine(w *bufio.Writer, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// partial ends the name of a file that is being written.
const partial = ".partial"

// ExportFile is Export into a file, packed if its name ends in .gz or .zst. The file
// appears under its name, durable, when all of it is written; one that is there is
// ErrConflict, unless it is to be replaced.
func ExportFile(ctx context.Context, p *providers.Provider, name string, replace bool, report func(Progress)) (Tally, error) {
	if _, err := os.Lstat(name); !replace && !errors.Is(err, os.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%w: it is there already; choose another name, or replace it", driver.ErrConflict)
		}
		return Tally{}, fmt.Errorf("export %s to %s: %w", p.Name(), name, err)
	}
	t, err := exportFile(ctx, p, name, report)
	if err != nil {
		return t, fmt.Errorf("export %s to %s: %w", p.Name(), name, err)
	}
	return t, nil
}

func exportFile(ctx context.Context, p *providers.Provider, name string, report func(Progress)) (t Tally, err error) {
	f, err := os.OpenFile(name+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return t, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(name+partial))
		}
	}()
	out, err := pack(name, written{f})
	if err == nil {
		t, err = export(ctx, p, out, report)
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}
	if err == nil {
		err = vfs.NewError("flush", f.Name(), -1, f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return t, err
	}
	if err := os.Rename(name+partial, name); err != nil {
		return t, err
	}
	return t, vfs.OS().SyncDir(filepath.Dir(name))
}

// written is a file whose errors are of the kinds that users test for.
type written struct{ file *os.File }

func (w written) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, vfs.NewError("write", w.file.Name(), -1, err)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// pack packs what is written to a file of that name, if the name says so.
func pack(name string, w io.Writer) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w)
	}
	return nopCloser{w}, nil
}

// unpack is the opposite of pack.
func unpack(name string, r io.Reader) (io.ReadCloser, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewReader(r)
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

// lines reads a file line by line, and sums up what comes before the last one.
type lines struct {
	name   string
	file   *os.File
	packed io.ReadCloser
	in     *bufio.Reader
	number int64
	sum    hash.Hash // nil if it is not wanted
	long   []byte
}

// maxLine bounds a line: the largest key and value that any backend takes, in base64.
const maxLine = 512 << 20

func openLines(name string, summed bool) (*lines, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	l := &lines{name: name, file: f}
	if l.packed, err = unpack(name, bufio.NewReaderSize(f, 1<<20)); err != nil {
		return nil, errors.Join(l.damaged(err), f.Close())
	}
	l.in = bufio.NewReaderSize(l.packed, 1<<20)
	if summed {
		l.sum = sha256.New()
	}
	return l, nil
}

// damaged tells what is no error of the operating system as ErrCorrupt.
func (l *lines) damaged(err error) error {
	var system *os.PathError
	if errors.As(err, &system) || errors.Is(err, driver.ErrCorrupt) {
		return err
	}
	return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
}

// next returns a line without its end, good until the next call; io.EOF after the last.
// A line that is cut off is ErrCorrupt.
func (l *lines) next() ([]byte, error) {
	l.number++
	l.long = l.long[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		if err == nil && len(l.long) == 0 {
			return l.whole(part)
		}
		l.long = append(l.long, part...)
		switch {
		case err == nil:
			return l.whole(l.long)
		case errors.Is(err, bufio.ErrBufferFull) && len(l.long) < maxLine:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, l.wrong("it is longer than %d bytes", maxLine)
		case errors.Is(err, io.EOF) && len(l.long) == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil, l.wrong("it is cut; the export did not come to its end, so make it anew")
		default:
			return nil, fmt.Errorf("line %d: %w", l.number, l.damaged(err))
		}
	}
}

func (l *lines) whole(line []byte) ([]byte, error) {
	if l.sum != nil && !bytes.HasPrefix(line, trailerStart) {
		l.sum.Write(line)
	}
	return line[:len(line)-1], nil
}

func (l *lines) wrong(format string, args ...any) error {
	return fmt.Errorf("line %d: %w: %s", l.number, driver.ErrCorrupt, fmt.Sprintf(format, args...))
}

func (l *lines) close() error { return errors.Join(l.packed.Close(), l.file.Close()) }

// head reads the first line.
func (l *lines) head() (h header, err error) {
	line, err := l.next()
	if errors.Is(err, io.EOF) {
		return h, fmt.Errorf("%w: it is empty", driver.ErrCorrupt)
	}
	if err != nil {
		return h, err
	}
	var version struct {
		Version *int `json:"orbit_export"`
	}
	if json.Unmarshal(line, &version) != nil || version.Version == nil {
		return h, l.wrong("it is no export: its first line is not that of one")
	}
	if *version.Version != formatVersion {
		return h, l.wrong("format version %d; this program knows version %d", *version.Version, formatVersion)
	}
	if err := strict(line, &h); err != nil {
		return h, fmt.Errorf("line %d: %w", l.number, err)
	}
	return h, nil
}
