package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Open opens the store in dir, and makes it if the directory is empty or not there.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	e := newEngine(dir, o)
	if err := vfs.MakeDir(e.fs, dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if e.lock, err = e.fs.Lock(dir); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	if err := e.recover(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, errors.Join(err, e.letGo()))
	}
	return e, nil
}

func newEngine(dir string, o Options) *Engine {
	e := &Engine{
		options: o, fs: o.FS, dir: dir, pageBytes: o.pageBytes(), maxKeys: o.maxKeys(),
		names: map[string]*snapshot{}, young: map[int64]int64{},
	}
	e.inline = e.pageBytes / 4
	e.settled, e.pass = sync.NewCond(&e.mu), sync.NewCond(&e.mu)
	e.history.free, e.history.evict = e.free, e.evict
	return e
}

// recover reads the newest checkpoint, and replays the log behind it.
func (e *Engine) recover(ctx context.Context) error {
	data := filepath.Join(e.dir, dataName)
	switch _, err := e.fs.Stat(data); {
	case errors.Is(err, fs.ErrNotExist):
		if err := e.create(); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := e.openData(data); err != nil {
		return err
	}
	c, err := e.readCatalog()
	if err != nil {
		return err
	}
	if e.cache, err = newCache(e.options.CacheBytes, e.options.Inline); err != nil {
		return err
	}
	if err := e.restore(c); err != nil {
		return err
	}
	// The meta page may be in the page cache alone: of a process that died before its
	// flush, or after one that failed, for which the page counts as clean. What it
	// calls free must not be written to before it is durable, so it is written again,
	// into a slot that neither it nor the one before it is in.
	e.meta.checkpoint++
	if err := writeMeta(e.data, e.meta); err != nil {
		return err
	}
	if err := e.data.SyncData(); err != nil {
		return err
	}
	if err := e.replay(ctx); err != nil {
		return err
	}
	e.start()
	return nil
}

// openData opens the data file, and reads its newest meta page.
func (e *Engine) openData(name string) error {
	flags := vfs.OpenFlags(0)
	if e.options.Direct {
		flags |= vfs.Direct
	}
	f, err := e.fs.Open(name, flags)
	if err != nil {
		return err
	}
	e.data, e.align = f, f.Alignment()
	e.meta, err = readMeta(f)
	e.oldCatalog = e.meta.catalog
	return err
}

// create makes an empty store. It is there once the data file has its name.
func (e *Engine) create() error {
	names, err := e.fs.List(e.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != vfs.LockName && name != tempName && name != logName && name != "lost+found" {
			return fmt.Errorf("%w: %s has no %s, and %s, which is not of a store; choose an empty directory", engine.ErrInvalid, e.dir, dataName, name)
		}
	}
	logs := filepath.Join(e.dir, logName)
	if err := vfs.MakeDir(e.fs, logs); err != nil {
		return err
	}
	switch names, err := e.fs.List(logs); {
	case err != nil:
		return err
	case slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".wal") }):
		return fmt.Errorf("%w: %s has a log, but no %s; restore that from a backup", engine.ErrCorrupt, e.dir, dataName)
	}
	return buildStore(e.dir, e.options, 0, nil)
}

// storeID makes the identity of a store.
func storeID(dir string, inline bool) uint64 {
	if !inline {
		return rand.Uint64()
	}
	h := fnv.New64a()
	h.Write([]byte(dir))
	return h.Sum64()
}

// readCatalog reads the catalog of the newest checkpoint.
func (e *Engine) readCatalog() (catalog, error) {
	x := e.meta.catalog
	var buf []byte
	b, err := e.readAt(x.at*sectorBytes, int(e.meta.catalogBytes), &buf)
	if err == nil && !checksum.Matches(e.meta.catalogSum, checksum.Of(b)) {
		err = vfs.NewError("read catalog", e.data.Name(), x.at*sectorBytes, fmt.Errorf("%w: the checksum of %d bytes does not match; restore the store from a backup", engine.ErrCorrupt, len(b)))
	}
	if err != nil {
		return catalog{}, err
	}
	c, err := decodeCatalog(b)
	if err != nil {
		return catalog{}, vfs.NewError("read catalog", e.data.Name(), x.at*sectorBytes, err)
	}
	return c, nil
}

// restore makes the state that the newest checkpoint tells of.
func (e *Engine) restore(c catalog) error {
	bytes, err := e.data.Size()
	if err != nil {
		return err
	}
	if bytes < e.meta.size*sectorBytes {
		return vfs.NewError("open", e.data.Name(), bytes, fmt.Errorf("%w: the file ends here, and should have %d bytes; restore the store from a backup", engine.ErrCorrupt, e.meta.size*sectorBytes))
	}
	e.space = newSpace(e.meta.size)
	for _, x := range c.free {
		if x.at < metaSectors || x.end() > e.meta.size {
			return vfs.NewError("read catalog", e.data.Name(), e.meta.catalog.at*sectorBytes, fmt.Errorf("%w: free sectors outside of the file", engine.ErrCorrupt))
		}
	}
	e.space.load(c.free)
	// What the file has grown by since is nobody's.
	e.space.grown(bytes / sectorBytes)
	for _, s := range c.snapshots {
		x := &snapshot{generation: s.generation, sequence: s.sequence, holds: 1, dead: s.dead, written: true, name: s.name, automatic: s.automatic}
		x.root.Store(&root{ref: s.root, level: s.level})
		e.history.append(x)
		e.names[s.name] = x
		if s.automatic {
			e.automaticSequence = max(e.automaticSequence, s.sequence)
		}
	}
	r := &root{ref: e.meta.root, level: e.meta.level}
	if last := e.history.last; last != nil && last.generation == e.meta.generation {
		last.holds++
		e.durable = last
	} else {
		e.durable = &snapshot{generation: e.meta.generation, sequence: e.meta.sequence, holds: 1, written: true}
		e.durable.root.Store(r)
		e.history.append(e.durable)
	}
	e.history.generation = e.meta.generation + 1
	e.root.Store(r)
	e.seq.Store(e.meta.sequence)
	return nil
}

// replay opens the log, and does again what is in it behind the checkpoint.
func (e *Engine) replay(ctx context.Context) error {
	logs := filepath.Join(e.dir, logName)
	if e.meta.sequence > e.meta.begun {
		names, err := e.fs.List(logs)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".wal") }) {
			return fmt.Errorf("%w: %s has no log, which commits may be missing with; restore it from a backup", engine.ErrCorrupt, logs)
		}
	}
	if err := vfs.MakeDir(e.fs, logs); err != nil {
		return err
	}
	last := e.meta.sequence
	var batch engine.Batch
	log, err := wal.Open(ctx, e.options.logOptions(logs), last, func(r wal.Record) error {
		if r.Sequence != last+1 {
			return fmt.Errorf("log of %s: %w: record %d follows %d", e.dir, engine.ErrCorrupt, r.Sequence, last)
		}
		last = r.Sequence
		if err := ctx.Err(); err != nil {
			return err
		}
		return e.replayRecord(ctx, r, &batch)
	})
	if err != nil {
		return err
	}
	e.log = log
	return nil
}

// replayRecord does again what a record of the log says. A batch is decoded into b.
func (e *Engine) replayRecord(ctx context.Context, r wal.Record, b *engine.Batch) error {
	if e.cache.unwritten.Load() >= e.options.CacheBytes/2 {
		// The log keeps what this writes; it will be told when it is open.
		if err := e.checkpoint(ctx); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := r.Payload; len(p) > 0 && p[0] == recordNoBatch {
		name := ""
		if len(p) > 2 {
			name = string(p[2:])
		}
		e.seq.Store(r.Sequence)
		switch {
		case len(p) > 2 && (p[1] == recordName || p[1] == recordAutoName) && e.names[name] == nil:
			e.nameSnapshot(name, r.Sequence, p[1] == recordAutoName)
		case len(p) > 2 && p[1] == recordUnname && e.names[name] != nil:
			e.unname(name, r.Sequence)
		case len(p) == 2 && p[1] == recordIngest:
			e.ingestAt = r.Sequence
		case len(p) == 2 && p[1] == recordIngested:
			if e.ingestAt > 0 {
				return fmt.Errorf("log of %s, record %d: %w: the bulk load of record %d is in no meta page that is whole; restore the store from a backup", e.dir, r.Sequence, engine.ErrCorrupt, e.ingestAt)
			}
		default:
			return fmt.Errorf("log of %s, record %d: %w: it is neither a batch nor of a snapshot", e.dir, r.Sequence, engine.ErrCorrupt)
		}
		return nil
	}
	if err := b.Decode(r.Payload); err != nil {
		return fmt.Errorf("log of %s, record %d: %w", e.dir, r.Sequence, err)
	}
	if raceEnabled {
		defer e.alone()()
	}
	if _, err := e.change(b, func() (uint64, error) { return r.Sequence, nil }); err != nil {
		return fmt.Errorf("log of %s, record %d: %w", e.dir, r.Sequence, err)
	}
	e.seq.Store(r.Sequence)
	e.logged += int64(b.Size())
	return nil
}

// Close implements engine.Engine. It writes a checkpoint, so that the next opening
// has nothing to replay. Open iterators and snapshots keep the files, and the
// directory locked, until they are closed.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return engine.ErrClosed
	}
	if e.background.stop != nil {
		close(e.background.stop)
		e.background.done.Wait()
	}
	e.mu.Lock()
	failed := e.failed
	e.settled.Broadcast()
	e.mu.Unlock()
	var errs []error
	if failed == nil {
		// Calls under way may still commit: what they do is in the log.
		if err := e.checkpoint(context.Background()); err != nil {
			errs = append(errs, err)
		}
	} else {
		errs = append(errs, failed)
	}
	errs = append(errs, e.life.Close(e.letGo))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", e.dir, err)
	}
	return nil
}

// letGo closes the files, and unlocks the directory.
func (e *Engine) letGo() error {
	var errs []error
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	if e.data != nil {
		errs = append(errs, e.data.Close())
	}
	if e.cache != nil {
		e.cache.empty(e.options.Inline)
	}
	errs = append(errs, e.lock.Close())
	return errors.Join(errs...)
}
