package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"golang.org/x/sync/errgroup"
)

// Point is a moment in the life of a store. The zero value is the newest.
type Point struct {
	// Sequence, unless 0, is that of the last record of the log.
	Sequence uint64 `json:"sequence,omitempty"`
	// Time, unless zero, is that up to which the log had been read.
	Time time.Time `json:"time,omitzero"`
}

// String returns the sequence, the time, or "the newest".
func (p Point) String() string {
	switch {
	case p.Sequence != 0:
		return fmt.Sprint(p.Sequence)
	case !p.Time.IsZero():
		return p.Time.Format(time.RFC3339Nano)
	}
	return "the newest"
}

// ParsePoint reads a sequence or a time as RFC 3339 has it; "" is the newest.
func ParsePoint(text string) (p Point, err error) {
	if text == "" {
		return p, nil
	}
	if _, err := fmt.Sscanf(text, "%d", &p.Sequence); err == nil && fmt.Sprint(p.Sequence) == text && p.Sequence > 0 {
		return p, nil
	}
	p.Sequence = 0
	if p.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return Point{}, fmt.Errorf("%w: %q is neither a sequence, from 1, nor a time such as 2026-11-26T04:30:00Z", driver.ErrInvalid, text)
	}
	return p, nil
}

// Target is where a backup is restored to.
type Target struct {
	// Backend is that of the store; a checkpoint fits the same backend only.
	Backend string
	// Dir is where a local store is to be. It must not be there, or be empty. "" is a
	// backend without a directory, which takes exports only.
	Dir string
	// Open opens the store in a directory, or wherever it is if Dir is "". Nothing else may
	// write to it, so its Config.ExpireInterval is to be below 0.
	Open func(ctx context.Context, dir string) (*providers.Provider, error)
	// Report is told how far it has come; nil is nobody.
	Report func(migrate.Progress)
}

// Restored is what a restore has done.
type Restored struct {
	Base string `json:"base"`
	Kind Kind   `json:"kind"`
	// Point is what was reached: the last record that was applied, or that the base has,
	// and a time by which all that is restored had been written.
	Point Point `json:"point"`
	// Records of the log were applied.
	Records uint64 `json:"records"`
	// Gap says what is missing in the archive behind the point, "" if nothing is.
	Gap   string `json:"gap,omitempty"`
	Bytes int64  `json:"bytes"`
	// Took is how long it took.
	Took time.Duration `json:"took_ns"`
}

// restoring ends the name of a directory in which a store is being restored.
const restoring = ".restoring"

// Restore makes a store of what a place has, as it was at a point. The directory is there
// when all of it is: until then it is called Dir.restoring, and one that a process left
// behind that was killed is removed. A directory with anything in it is ErrConflict. A
// point that the place does not have is ErrNotFound, and the message says which it has.
func Restore(ctx context.Context, place Place, t Target, at Point) (Restored, error) {
	start := time.Now()
	r, err := restore(ctx, place, t, at)
	r.Took = time.Since(start)
	if err != nil {
		return r, fmt.Errorf("restore %s from %s: %w", at, place, err)
	}
	return r, nil
}

func restore(ctx context.Context, place Place, t Target, at Point) (r Restored, err error) {
	if at.Sequence != 0 && !at.Time.IsZero() {
		return r, fmt.Errorf("%w: a point is a sequence or a time", driver.ErrInvalid)
	}
	m, err := chooseBase(ctx, place, at)
	if err != nil {
		return r, err
	}
	r.Base, r.Kind, r.Bytes, r.Point = m.ID, m.Kind, m.Bytes, Point{Time: m.Ended}
	if m.Kind == Checkpoint && (m.Backend != t.Backend || t.Dir == "") {
		return r, fmt.Errorf("%w: base %s is a checkpoint of %s, and the target is %s; restore it to a directory of %s, and migrate that", driver.ErrInvalid, m.ID, m.Backend, t.Backend, m.Backend)
	}
	if t.Dir == "" {
		p, err := t.Open(ctx, "")
		if err != nil {
			return r, err
		}
		return r, errors.Join(importBase(ctx, place, &m, p, t.Report), p.Close())
	}
	if names, err := os.ReadDir(t.Dir); err == nil && len(names) > 0 {
		return r, fmt.Errorf("%w: %s is not empty; choose a directory that is not there", driver.ErrConflict, t.Dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	work := t.Dir + restoring
	if err := os.RemoveAll(work); err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	if m.Kind == Checkpoint {
		if err := copyBase(ctx, place, &m, work, t.Report); err != nil {
			return r, err
		}
	}
	p, err := t.Open(ctx, work)
	if err != nil {
		return r, err
	}
	if m.Kind == Checkpoint {
		err = rollForward(ctx, place, &m, p, at, &r, t.Report)
	} else {
		err = importBase(ctx, place, &m, p, t.Report)
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return r, err
	}
	if err := os.Remove(t.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // it is empty
		return r, err
	}
	if err := os.Rename(work, t.Dir); err != nil {
		return r, err
	}
	return r, vfs.OS().SyncDir(filepath.Dir(t.Dir))
}

// chooseBase returns the newest base that is not behind a point.
func chooseBase(ctx context.Context, place Place, at Point) (m Manifest, err error) {
	bases, err := Bases(ctx, place)
	if err != nil {
		return m, err
	}
	if len(bases) == 0 {
		return m, fmt.Errorf("%w: there is no finished base", driver.ErrNotFound)
	}
	for i := len(bases) - 1; i >= 0; i-- {
		b := bases[i]
		if at.Sequence != 0 && (b.Log == "" || b.UpTo > at.Sequence) || !at.Time.IsZero() && b.Ended.After(at.Time) {
			continue
		}
		return b, nil
	}
	first := bases[0]
	return m, fmt.Errorf("%w: the oldest base is of %s, up to record %d", driver.ErrNotFound, first.Ended.Format(time.RFC3339Nano), first.UpTo)
}

// copyBase copies the files of a checkpoint, and verifies them.
func copyBase(ctx context.Context, place Place, m *Manifest, dir string, report func(migrate.Progress)) error {
	progress := migrate.Progress{Phase: "restore"}
	local := func(name string) (string, error) {
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return "", fmt.Errorf("%w: base %s has a file %q", driver.ErrCorrupt, m.ID, name)
		}
		return filepath.Join(dir, filepath.FromSlash(name)), nil
	}
	dirs := []string{dir}
	for _, name := range m.Directories {
		sub, err := local(name)
		if err != nil {
			return err
		}
		dirs = append(dirs, sub)
	}
	for _, sub := range dirs {
		if err := vfs.OS().MkdirAll(sub); err != nil {
			return err
		}
	}
	var mu sync.Mutex // guards progress
	// While one file is flushed, others are read and written.
	copies, ctx := errgroup.WithContext(ctx)
	copies.SetLimit(copiesAtOnce)
	for _, f := range m.Files {
		path, err := local(f.Name)
		if err != nil {
			return errors.Join(err, copies.Wait())
		}
		copies.Go(func() error {
			return copyOut(ctx, place, m, &f, path, func(n int) {
				mu.Lock()
				defer mu.Unlock()
				if progress.Bytes += int64(n); report != nil {
					report(progress)
				}
			})
		})
	}
	if err := copies.Wait(); err != nil {
		return err
	}
	for _, sub := range dirs {
		if err := vfs.OS().SyncDir(sub); err != nil {
			return err
		}
	}
	return nil
}

// copiesAtOnce is how many files are restored at a time.
const copiesAtOnce = 4

// copyOut restores one file.
func copyOut(ctx context.Context, place Place, m *Manifest, f *File, path string, wrote func(n int)) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return vfs.NewError("create", path, -1, err)
	}
	err = readFile(ctx, place, m, f, writeFunc(func(p []byte) (int, error) {
		n, err := out.Write(p)
		wrote(n)
		return n, vfs.NewError("write", path, -1, err)
	}))
	if err == nil {
		err = vfs.NewError("flush", path, -1, out.Sync())
	}
	return errors.Join(err, out.Close())
}

type writeFunc func(p []byte) (int, error)

func (f writeFunc) Write(p []byte) (int, error) { return f(p) }

// readFile copies one file of a base, and verifies it.
func readFile(ctx context.Context, place Place, m *Manifest, f *File, w io.Writer) (err error) {
	name := basePrefix(m.ID) + "f/" + f.Name
	in, err := place.Open(ctx, name)
	if errors.Is(err, driver.ErrNotFound) {
		return fmt.Errorf("%s in %s: %w: it is missing", name, place, driver.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(onlyWriter{w}, sum), onlyReader{newPace(0, 1).reader(ctx, in)}, make([]byte, copyBuffer))
	if err != nil {
		return err
	}
	if n != f.Bytes || hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s in %s: %w: it has %d bytes of SHA-256 %x, and should have %d of %s", name, place, driver.ErrCorrupt, n, sum.Sum(nil), f.Bytes, f.SHA256)
	}
	return nil
}

type onlyWriter struct{ io.Writer }

// importBase reads an export into a provider.
func importBase(ctx context.Context, place Place, m *Manifest, p *providers.Provider, report func(migrate.Progress)) (err error) {
	if len(m.Files) != 1 || m.Files[0].Name != exportName {
		return fmt.Errorf("%w: base %s is an export of %d files", driver.ErrCorrupt, m.ID, len(m.Files))
	}
	dir, err := os.MkdirTemp("", "orbit-restore-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, exportName)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(readFile(ctx, place, m, &m.Files[0], f), f.Close()); err != nil {
		return err
	}
	_, err = migrate.ImportFile(ctx, path, p, migrate.ImportOptions{Progress: report})
	return err
}

// rollForward applies the archived log behind a base.
func rollForward(ctx context.Context, place Place, m *Manifest, p *providers.Provider, at Point, r *Restored, report func(migrate.Progress)) error {
	store, ok := p.Driver().(interface {
		engined
		RaiseRevisions(ctx context.Context, least uint64) error
	})
	if !ok {
		return fmt.Errorf("%w: %s does not give its engine", driver.ErrUnsupported, p.Name())
	}
	log, err := m.log()
	if err != nil {
		return err
	}
	if log != nil {
		if err := apply(ctx, place, m, *log, store.Engine(), at, r, report); err != nil {
			return err
		}
	}
	// No revision of the time between the point and now comes again.
	if err := store.RaiseRevisions(ctx, uint64(time.Now().UnixNano())); err != nil {
		return err
	}
	return store.Engine().Sync(ctx)
}

func apply(ctx context.Context, place Place, m *Manifest, log uint64, e engine.Engine, at Point, r *Restored, report func(migrate.Progress)) error {
	logged, ok := e.(engine.Logged)
	if !ok {
		return fmt.Errorf("%w: %s has no log", driver.ErrUnsupported, e.Traits().Name)
	}
	_, done := logged.LogPosition()
	if done < m.After || done > m.UpTo {
		return fmt.Errorf("%w: base %s is at record %d, and should be from %d to %d", driver.ErrCorrupt, m.ID, done, m.After, m.UpTo)
	}
	upTo := uint64(math.MaxUint64)
	if at.Sequence != 0 {
		upTo = at.Sequence
	}
	all, err := pieces(ctx, place, &log)
	if err != nil {
		return err
	}
	weakest := engine.Flushed
	for _, d := range engine.Durabilities {
		if e.Traits().Durability.Has(d) {
			weakest = d
			break
		}
	}
	progress := migrate.Progress{Phase: "roll forward"}
	r.Point.Sequence = done
	for i := range all {
		p := &all[i]
		if p.last <= done {
			continue
		}
		if !at.Time.IsZero() && p.read.After(at.Time) || done >= upTo {
			break
		}
		if p.first > done+1 {
			r.Gap = fmt.Sprintf("records %d to %d are not in the archive; what is behind them is not restored", done+1, p.first-1)
			break
		}
		err := readPiece(ctx, place, p, func(record engine.LogRecord) error {
			switch {
			case record.Sequence <= done:
				return nil
			case record.Sequence > upTo:
				return errStop
			case record.Opaque:
				return fmt.Errorf("%w: record %d of the log changed the store and does not say how; restore a point before it, or one behind the next base", driver.ErrNotFound, record.Sequence)
			}
			if record.Batch != nil {
				b, err := engine.DecodeBatch(record.Batch)
				if err != nil {
					return err
				}
				if err := e.Apply(ctx, b, weakest); err != nil {
					return err
				}
			}
			done = record.Sequence
			r.Records++
			if progress.Entries++; progress.Entries%1024 == 0 && report != nil {
				report(progress)
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.Point = Point{Sequence: done, Time: p.read}
	}
	if at.Sequence != 0 && done < at.Sequence {
		return missing(done, at.Sequence)
	}
	return nil
}

func missing(done, wanted uint64) error {
	return fmt.Errorf("%w: the archive ends at record %d, and %d is not there", driver.ErrNotFound, done, wanted)
}

// Verified is what Verify has found to be whole.
type Verified struct {
	Bases  int   `json:"bases"`
	Files  int   `json:"files"`
	Bytes  int64 `json:"bytes"`
	Pieces int   `json:"pieces"`
	// Records of the log are in the pieces.
	Records uint64 `json:"records"`
}

// Verify reads everything in a place, and is ErrCorrupt if a file or a piece is not what
// was written, or a piece that a base needs is missing.
func Verify(ctx context.Context, place Place, report func(migrate.Progress)) (v Verified, err error) {
	if v, err = verify(ctx, place, report); err != nil {
		return v, fmt.Errorf("verify %s: %w", place, err)
	}
	return v, nil
}

func verify(ctx context.Context, place Place, report func(migrate.Progress)) (v Verified, err error) {
	bases, err := Bases(ctx, place)
	if err != nil {
		return v, err
	}
	progress := migrate.Progress{Phase: "verify"}
	tell := writeFunc(func(p []byte) (int, error) {
		if progress.Bytes += int64(len(p)); report != nil {
			report(progress)
		}
		return len(p), nil
	})
	for _, m := range bases {
		for _, f := range m.Files {
			if err := readFile(ctx, place, &m, &f, tell); err != nil {
				return v, err
			}
			v.Files++
			v.Bytes += f.Bytes
		}
		v.Bases++
	}
	all, err := pieces(ctx, place, nil)
	if err != nil {
		return v, err
	}
	for i := range all {
		p := &all[i]
		if err := readPiece(ctx, place, p, func(engine.LogRecord) error { v.Records++; return nil }); err != nil {
			return v, err
		}
		v.Pieces++
		if i == 0 || all[i-1].log != p.log || p.first <= all[i-1].last+1 {
			continue
		}
		// A gap: it must be such that a base was made behind it.
		covered := false
		for _, m := range bases {
			covered = covered || m.Log == strings.TrimSuffix(strings.TrimPrefix(logPrefix(p.log), "log/"), "/") && m.After >= all[i-1].last && m.After < p.first
		}
		if !covered {
			return v, fmt.Errorf("%w: records %d to %d of log %016x are missing, and no base is behind them", driver.ErrCorrupt, all[i-1].last+1, p.first-1, p.log)
		}
	}
	return v, nil
}
