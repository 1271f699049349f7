package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/migrate"

	"github.com/klauspost/compress/zstd"
)

// Options say how a provider is backed up.
type Options struct {
	// Scratch is a directory that is not there, where checkpoints are made, and removed
	// again; best on the file system of the store, so that files are linked. "" is a
	// directory of the operating system's for temporary files.
	Scratch string
	// BaseInterval is how often Run makes a base; 0 is 24 h, below 0 is only when it
	// must.
	BaseInterval time.Duration
	// ArchiveInterval is how often Run archives the log; 0 is 10 s.
	ArchiveInterval time.Duration
	// KeepLast is how many bases Prune keeps at least, KeepFor for how long it keeps
	// each. If both are 0, all are kept; else one is, always.
	KeepLast int
	KeepFor  time.Duration
	// Open opens a copy of the store in a directory, to read all of it before a base counts:
	// a checkpoint takes along what is damaged. Without it a base may be of a damaged store,
	// so that nothing is removed in its favour: KeepLast and KeepFor ask for it. An export
	// has read all anyway.
	Open func(ctx context.Context, dir string) (*providers.Provider, error)
	// Share is the part of the time, up to 1, in which a checkpoint is copied and read; it
	// rests in between, so that the store goes on with most of its speed. 0 is 0.2. An
	// export is made without a rest.
	Share float64
	// BytesPerSecond bounds how fast a checkpoint is copied, besides; 0 is no bound.
	BytesPerSecond int64
	// MaxLogBytes is how much of the log may be kept for the archive, beyond what the
	// store keeps itself; 0 is 1 GiB.
	MaxLogBytes int64
	// Report is told what was done, from one goroutine at a time; nil is nobody.
	Report func(Event)
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Event is what a backup has done, or failed to do.
type Event struct {
	// What is "base", "archive", "prune" or "gap".
	What string
	// Base is the one that was made.
	Base *Manifest
	// Point is up to where the log is archived.
	Point Point
	// Removed are objects that were pruned.
	Removed int
	// Err is why it failed; Run tries again.
	Err error
}

// pieceBytes bounds a piece of the log, before it is packed.
const pieceBytes = 32 << 20

// Backup backs up one provider to one place. Its methods may be called from many
// goroutines at once, and wait for each other. Only one Backup at a time may write to a
// place for a provider.
type Backup struct {
	p     *providers.Provider
	place Place
	o     Options

	mu     sync.Mutex // held while it works; guards what follows
	logged engine.Logged
	reader engine.LogReader // nil before the first use, and after a gap
	log    uint64
	// archived is the last record that is in the archive, or from which on it is.
	archived uint64
	gap      string // why there must be a base; "" if there need not
	failed   error
	closed   bool
}

// engined is implemented by the stores of package local.
type engined interface{ Engine() engine.Engine }

// New returns a backup of a provider, which stays the caller's, in a place. It must be
// closed, before the provider.
func New(p *providers.Provider, place Place, o Options) (*Backup, error) {
	if o.KeepLast < 0 || o.KeepFor < 0 || o.BytesPerSecond < 0 || o.MaxLogBytes < 0 || o.Share < 0 {
		return nil, fmt.Errorf("backup: %w: an option is below 0", driver.ErrInvalid)
	}
	if o.Share > 1 {
		return nil, fmt.Errorf("backup: %w: a share of %v; it is part of the time, 1 at most", driver.ErrInvalid, o.Share)
	}
	if p.Driver() == nil {
		return nil, fmt.Errorf("backup of %s: %w: it is not open", p.Name(), driver.ErrClosed)
	}
	if (o.KeepLast > 0 || o.KeepFor > 0) && o.Open == nil && p.Capabilities().Checkpoint {
		return nil, fmt.Errorf("backup of %s: %w: bases are not read before older ones are removed; set Open, or keep all", p.Name(), driver.ErrInvalid)
	}
	defaults := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaults(&o.BaseInterval, 24*time.Hour)
	defaults(&o.ArchiveInterval, 10*time.Second)
	if o.MaxLogBytes == 0 {
		o.MaxLogBytes = 1 << 30
	}
	if o.Share == 0 {
		o.Share = 0.2
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Backup{p: p, place: place, o: o}
	if e, ok := p.Driver().(engined); ok {
		b.logged, _ = e.Engine().(engine.Logged)
	}
	return b, nil
}

func (b *Backup) report(e Event) {
	if b.o.Report != nil {
		b.o.Report(e)
	}
}

// Failed returns why the newest attempt failed, nil if it did not: for health checks.
func (b *Backup) Failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed
}

// NeedsBase reports whether the next base is to be made at once: there is none yet, or
// the archive has a gap since the newest. It is known once Archive has been called.
func (b *Backup) NeedsBase() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gap != ""
}

// enter takes the lock, unless it is closed.
func (b *Backup) enter() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return fmt.Errorf("backup of %s: %w", b.p.Name(), driver.ErrClosed)
	}
	return nil
}

// Close ends it: the log is not kept for it any more.
func (b *Backup) Close() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.mu.Unlock()
	b.closed = true
	if b.reader == nil {
		return nil
	}
	return b.reader.Close()
}

// attach makes the reader go on where the archive ends, or, where that cannot be, begin
// at the newest record, with a gap before it. Under mu.
func (b *Backup) attach(ctx context.Context) error {
	if b.logged == nil || b.reader != nil {
		return nil
	}
	log, newest := b.logged.LogPosition()
	at, err := b.archivedUpTo(ctx, log)
	if err != nil {
		return err
	}
	b.log = log
	if at > 0 && at <= newest {
		b.reader, err = b.logged.NewLogReader(at, b.o.MaxLogBytes)
		if err == nil {
			b.archived = at
			return nil
		}
		if !errors.Is(err, driver.ErrNotFound) {
			return err
		}
	}
	switch {
	case at == 0:
		b.gap = "it is the first of this store"
	case at > newest:
		b.gap = fmt.Sprintf("record %d is archived, and the log of the store ends at %d: it has gone back", at, newest)
	default:
		b.gap = fmt.Sprintf("the archive ends at record %d, and what follows it is not in the log any more", at)
	}
	if b.reader, err = b.logged.NewLogReader(newest, b.o.MaxLogBytes); err != nil {
		return err
	}
	b.archived = newest
	return nil
}

// archivedUpTo returns where the archive of a log ends, 0 if there is none.
func (b *Backup) archivedUpTo(ctx context.Context, log uint64) (uint64, error) {
	all, err := pieces(ctx, b.place, &log)
	if err != nil {
		return 0, err
	}
	bases, err := Bases(ctx, b.place)
	if err != nil {
		return 0, err
	}
	var at uint64
	for _, m := range bases {
		if m.Log == fmt.Sprintf("%016x", log) {
			at = max(at, m.After)
		}
	}
	if len(all) > 0 {
		at = max(at, all[len(all)-1].last)
	}
	return at, nil
}

// Archive takes what has become durable since the last call into the archive, and returns
// how far that goes. It does nothing for a backend that is not Logged. A gap is no error;
// Run, or the next Base, closes it.
func (b *Backup) Archive(ctx context.Context) (Point, error) {
	if err := b.enter(); err != nil {
		return Point{}, err
	}
	defer b.mu.Unlock()
	at, err := b.archive(ctx)
	b.failed = err
	return at, err
}

// errFull ends the reading of the log where a piece is full.
var errFull = errors.New("the piece is full")

// archive is Archive, under mu.
func (b *Backup) archive(ctx context.Context) (Point, error) {
	if b.logged == nil {
		return Point{}, nil
	}
	if err := b.attach(ctx); err != nil {
		return Point{}, fmt.Errorf("archive the log of %s in %s: %w", b.p.Name(), b.place, err)
	}
	for {
		more, err := b.archivePiece(ctx)
		if errors.Is(err, driver.ErrNotFound) && b.reader != nil {
			b.gap = err.Error()
			err = errors.Join(b.reader.Close(), b.skip())
			b.report(Event{What: "gap", Err: errors.New(b.gap)})
		}
		if err != nil {
			return Point{}, fmt.Errorf("archive the log of %s in %s: %w", b.p.Name(), b.place, err)
		}
		if !more {
			return Point{Sequence: b.archived, Time: b.o.Now()}, nil
		}
	}
}

// skip begins to read at the newest record.
func (b *Backup) skip() (err error) {
	_, newest := b.logged.LogPosition()
	b.reader, err = b.logged.NewLogReader(newest, b.o.MaxLogBytes)
	b.archived = newest
	return err
}

// archivePiece writes one piece; more tells that it was full. It is made in memory: its
// name has its last record.
func (b *Backup) archivePiece(ctx context.Context) (more bool, err error) {
	p := piece{log: b.log, first: b.archived + 1}
	var packed bytes.Buffer
	w, err := newPieceWriter(&packed, p.log, p.first)
	if err != nil {
		return false, err
	}
	gap := false
	last, err := b.reader.Read(ctx, func(r engine.LogRecord) error {
		if w.bytes >= pieceBytes {
			return errFull
		}
		gap = gap || r.Opaque
		return w.add(&r)
	})
	if more = errors.Is(err, errFull); err != nil && !more {
		return false, b.again(err)
	}
	if last <= b.archived {
		return false, nil
	}
	p.last, p.read = last, b.o.Now()
	if err = w.end(last); err == nil {
		p.setName()
		err = b.put(ctx, p.name, packed.Bytes())
	}
	if err != nil {
		return false, b.again(err)
	}
	b.archived = last
	b.reader.Keep(last)
	if gap {
		b.gap = "the store was changed past the log"
	}
	b.report(Event{What: "archive", Point: Point{Sequence: p.last, Time: p.read}})
	return more, nil
}

// again lets the reader begin anew behind what is archived, after it was read and not
// written.
func (b *Backup) again(err error) error {
	if errors.Is(err, driver.ErrNotFound) {
		return err // it has lost records: see archive
	}
	reader, openErr := b.logged.NewLogReader(b.archived, b.o.MaxLogBytes)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	err = errors.Join(err, b.reader.Close())
	b.reader = reader
	return err
}

func (b *Backup) put(ctx context.Context, name string, data []byte) error {
	o, err := b.place.Create(ctx, name)
	if err != nil {
		return err
	}
	defer o.Abort()
	if _, err := o.Write(data); err != nil {
		return err
	}
	return o.Commit()
}

// Base makes a base, and archives the log before and after it.
func (b *Backup) Base(ctx context.Context) (Manifest, error) {
	if err := b.enter(); err != nil {
		return Manifest{}, err
	}
	defer b.mu.Unlock()
	m, err := b.base(ctx)
	if b.failed = err; err != nil {
		return m, fmt.Errorf("back %s up to %s: %w", b.p.Name(), b.place, err)
	}
	b.report(Event{What: "base", Base: &m})
	return m, nil
}

// idLayout is how the time of its beginning makes the ID of a base.
const idLayout = "20060102T150405.000Z"

// base is Base, under mu.
func (b *Backup) base(ctx context.Context) (m Manifest, err error) {
	if err := migrate.Unfinished(ctx, b.p); err != nil {
		return m, err
	}
	if _, err := b.archive(ctx); err != nil {
		return m, err
	}
	now := b.o.Now().UTC()
	m = Manifest{Version: manifestVersion, ID: now.Format(idLayout), Backend: b.p.Capabilities().Backend, Begun: now}
	if b.logged != nil {
		m.Log, m.After = fmt.Sprintf("%016x", b.log), b.archived
	}
	if taken, err := b.place.List(ctx, basePrefix(m.ID)); err != nil || len(taken) > 0 {
		return m, errors.Join(err, fmt.Errorf("%w: there is a base %s already; does somebody else back up to there?", driver.ErrConflict, m.ID))
	}
	gap := b.gap
	if store, ok := b.p.Driver().(driver.Checkpointer); ok && b.p.Capabilities().Checkpoint {
		m.Kind = Checkpoint
		err = b.checkpoint(ctx, store, &m)
	} else {
		m.Kind = Export
		err = b.export(ctx, &m)
	}
	if err != nil {
		return m, errors.Join(err, b.discard(ctx, m.ID))
	}
	for _, f := range m.Files {
		m.Bytes += f.Bytes
	}
	if err := writeManifest(ctx, b.place, &m); err != nil {
		return m, errors.Join(err, b.discard(ctx, m.ID))
	}
	if b.gap == gap {
		b.gap = ""
	}
	_, err = b.archive(ctx)
	return m, err
}

// discard removes what there is of a base that failed.
func (b *Backup) discard(ctx context.Context, id string) error {
	_, err := removeAll(context.WithoutCancel(ctx), b.place, basePrefix(id))
	return err
}

func removeAll(ctx context.Context, place Place, prefix string) (n int, err error) {
	names, err := place.List(ctx, prefix)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := place.Remove(ctx, name); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// checkpoint copies a checkpoint of the store.
func (b *Backup) checkpoint(ctx context.Context, store driver.Checkpointer, m *Manifest) (err error) {
	scratch := b.o.Scratch
	if scratch == "" {
		if scratch, err = os.MkdirTemp("", "orbit-backup-"); err != nil {
			return err
		}
		scratch = filepath.Join(scratch, "checkpoint")
		defer func() { err = errors.Join(err, os.RemoveAll(filepath.Dir(scratch))) }()
	} else if _, statErr := os.Lstat(filepath.Join(scratch, scratchMark)); statErr == nil {
		if err := os.RemoveAll(scratch); err != nil { // of a process that was killed
			return err
		}
	}
	dir := filepath.Join(scratch, "store")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if entries, err := os.ReadDir(scratch); err != nil || len(entries) > 0 {
		return errors.Join(err, fmt.Errorf("%w: the scratch directory %s is not empty", driver.ErrInvalid, scratch))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if err := os.WriteFile(filepath.Join(scratch, scratchMark), nil, 0o600); err != nil {
		return err
	}
	if err := store.Checkpoint(ctx, dir); err != nil {
		return err
	}
	if b.logged != nil {
		_, m.UpTo = b.logged.LogPosition()
	}
	m.Ended = b.o.Now().UTC()
	pace := newPace(b.o.BytesPerSecond, b.o.Share)
	// It may take so long that the log would be too much for MaxLogBytes by then.
	pace.every, pace.between = b.o.ArchiveInterval, func(ctx context.Context) error {
		_, err := b.archive(ctx)
		return err
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			if rel != "." {
				m.Directories = append(m.Directories, filepath.ToSlash(rel))
			}
			return nil
		}
		f, err := b.copyFile(ctx, path, basePrefix(m.ID)+"f/"+filepath.ToSlash(rel), pace)
		f.Name = filepath.ToSlash(rel)
		m.Files = append(m.Files, f)
		return err
	})
	if err != nil || b.o.Open == nil {
		return err
	}
	return b.readWhole(ctx, dir, pace)
}

// readWhole reads the checkpoint in a directory, so that every checksum in it is verified.
func (b *Backup) readWhole(ctx context.Context, dir string, pace *pace) (err error) {
	p, err := b.o.Open(ctx, dir)
	if err != nil {
		return fmt.Errorf("the copy cannot be opened, and is no base: %w", err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	n := 0
	for _, err := range p.List(ctx, providers.ListOptions{}) {
		if err != nil {
			return fmt.Errorf("the store is damaged, so that its copy is no base; older bases stay: %w", err)
		}
		if n++; n%1000 == 0 {
			if err := pace.rest(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// scratchMark is a file that says that a directory is ours to remove.
const scratchMark = "orbit-backup-scratch"

func (b *Backup) copyFile(ctx context.Context, path, name string, pace *pace) (f File, err error) {
	in, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	o, err := b.place.Create(ctx, name)
	if err != nil {
		return f, err
	}
	defer o.Abort()
	sum := sha256.New()
	if f.Bytes, err = io.CopyBuffer(io.MultiWriter(o, sum), onlyReader{pace.reader(ctx, in)}, make([]byte, copyBuffer)); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, o.Commit()
}

// copyBuffer is how much is copied at a time.
const copyBuffer = 1 << 20

// onlyReader hides what would make io.Copy go past the buffer.
type onlyReader struct{ io.Reader }

// export writes all entries as package migrate does.
func (b *Backup) export(ctx context.Context, m *Manifest) error {
	o, err := b.place.Create(ctx, basePrefix(m.ID)+"f/"+exportName)
	if err != nil {
		return err
	}
	defer o.Abort()
	sum := sha256.New()
	count := &counter{w: io.MultiWriter(o, sum)}
	z, err := zstd.NewWriter(count)
	if err != nil {
		return err
	}
	if _, err := migrate.Export(ctx, b.p, z, nil); err != nil {
		return errors.Join(err, z.Close())
	}
	if err := z.Close(); err != nil {
		return err
	}
	m.Ended = b.o.Now().UTC()
	m.Files = []File{{Name: exportName, Bytes: count.n, SHA256: hex.EncodeToString(sum.Sum(nil))}}
	return o.Commit()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Prune removes bases beyond what is to be kept, oldest first, and the archived log that
// no base needs any more; and what unfinished bases have left. It returns how many
// objects it has removed.
func (b *Backup) Prune(ctx context.Context) (removed int, err error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.mu.Unlock()
	removed, err = b.prune(ctx)
	if b.failed = err; err != nil {
		return removed, fmt.Errorf("prune %s: %w", b.place, err)
	}
	b.report(Event{What: "prune", Removed: removed})
	return removed, nil
}

func (b *Backup) prune(ctx context.Context) (removed int, err error) {
	if removed, err = b.place.Sweep(ctx); err != nil {
		return removed, err
	}
	bases, err := Bases(ctx, b.place)
	if err != nil {
		return removed, err
	}
	remove := func(names ...string) error {
		for _, name := range names {
			if err := b.place.Remove(ctx, name); err != nil {
				return err
			}
			removed++
		}
		return nil
	}
	kept := bases
	if b.o.KeepLast > 0 || b.o.KeepFor > 0 {
		old := 0
		for old+max(b.o.KeepLast, 1) < len(bases) && (b.o.KeepFor == 0 || b.o.Now().Sub(bases[old].Ended) > b.o.KeepFor) {
			old++
		}
		for _, m := range bases[:old] { // without its manifest it counts no more
			if err := remove(manifestName(m.ID)); err != nil {
				return removed, err
			}
		}
		kept = bases[old:]
	}
	// Files of no base that counts: of such that were removed, or not finished. Nobody
	// but this Backup makes any.
	names, err := b.place.List(ctx, "base/")
	if err != nil {
		return removed, err
	}
	for _, name := range names {
		id, _, _ := strings.Cut(strings.TrimPrefix(name, "base/"), "/")
		if !slices.ContainsFunc(kept, func(m Manifest) bool { return m.ID == id }) {
			if err := remove(name); err != nil {
				return removed, err
			}
		}
	}
	all, err := pieces(ctx, b.place, nil)
	if err != nil {
		return removed, err
	}
	for _, p := range all {
		needed := p.log == b.log && b.logged != nil && len(kept) == 0
		for _, m := range kept {
			needed = needed || m.Log == fmt.Sprintf("%016x", p.log) && p.last > m.After
		}
		if !needed {
			if err := remove(p.name); err != nil {
				return removed, err
			}
		}
	}
	return removed, nil
}

// Run archives and makes bases as the options say, until ctx ends; that is its only
// error. What fails is told to Report, shown by Failed, and tried again.
func (b *Backup) Run(ctx context.Context) error {
	tick := time.NewTicker(b.o.ArchiveInterval)
	defer tick.Stop()
	for {
		b.round(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// round does what is due.
func (b *Backup) round(ctx context.Context) {
	_, err := b.Archive(ctx)
	what := "archive"
	if err == nil {
		var due bool
		if due, err = b.due(ctx); due && err == nil {
			what = "base"
			if _, err = b.Base(ctx); err == nil {
				what = "prune"
				_, err = b.Prune(ctx)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		b.report(Event{What: what, Err: err})
	}
}

// due reports whether a base is.
func (b *Backup) due(ctx context.Context) (bool, error) {
	if b.NeedsBase() {
		return true, nil
	}
	bases, err := Bases(ctx, b.place)
	if err != nil || len(bases) == 0 {
		return err == nil, err
	}
	return b.o.BaseInterval > 0 && b.o.Now().Sub(bases[len(bases)-1].Begun) >= b.o.BaseInterval, nil
}
