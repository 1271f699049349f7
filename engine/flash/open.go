package flash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Open opens the store in dir, or in Options.Paths, and makes it if these are empty or not
// there. A path that is a block device has the files on itself.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	o, err := o.complete(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	e := newEngine(o)
	e.mount()
	name := strings.Join(o.Paths, ", ")
	if err := e.open(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, errors.Join(err, e.letGoAll()))
	}
	e.start()
	return e, nil
}

// newEngine returns an engine that has nothing open.
func newEngine(o Options) *Engine {
	e := &Engine{
		options: o, fs: o.FS, segments: map[uint32]*segment{}, index: newTree(),
		families: map[string]engine.FamilyID{}, known: map[engine.FamilyID]bool{}, nextFamily: 1, loads: map[uint64]*load{},
	}
	e.changed = sync.NewCond(&e.mu)
	for i, d := range o.Paths {
		e.paths = append(e.paths, newPath(i, d, o.IODepth))
	}
	return e
}

// mount finds the files of paths that are devices. With several paths each call has a
// deadline then.
func (e *Engine) mount() {
	o := &e.options
	if len(o.Paths) == 1 || o.Inline {
		e.fs, e.devices = onDevices(o.FS, o.FS.Stat, o.Paths)
		return
	}
	bounded := func(fsys vfs.FS) *vfs.DeadlineFS { return vfs.NewDeadlineFS(fsys, o.patience(), o.Paths...) }
	e.fs, e.devices = onDevices(o.FS, bounded(o.FS).Stat, o.Paths)
	e.deadline = bounded(e.fs)
	e.fs = e.deadline
}

// open finds the store, or makes it.
func (e *Engine) open(ctx context.Context) error {
	there, err := e.look()
	if err != nil {
		return err
	}
	if err := e.openRing(); err != nil {
		return err
	}
	if there {
		err = e.recover(ctx)
	} else {
		err = e.begin(ctx)
	}
	if err != nil {
		return err
	}
	e.cache, err = newCache(e.options.CacheBytes) // only now: a replay has nothing to forget
	return err
}

// look takes the paths that are there, and reports whether there is a store in one of
// them.
func (e *Engine) look() (there bool, err error) {
	var unknown error // a path of which nobody can tell whether it has the store
	for _, p := range e.paths {
		switch _, err := e.fs.Stat(filepath.Join(p.dir, indexName)); {
		case err == nil:
			there = true
		case !errors.Is(err, fs.ErrNotExist):
			unknown = errors.Join(unknown, err)
		}
	}
	if !there && unknown != nil {
		return false, unknown
	}
	for _, p := range e.paths {
		if !there || len(e.paths) == 1 {
			// Where there is a store elsewhere, a directory that is missing may be of a
			// device that is not mounted.
			err := checkDevice(e.fs, p.dir)
			if err == nil {
				err = vfs.MakeDir(e.fs, p.dir)
			}
			if err != nil {
				return there, err
			}
		}
		err := p.acquire(e.fs)
		if err == nil {
			err = e.tryDirect(p)
		}
		switch {
		case err == nil:
		case errors.Is(err, engine.ErrLocked), errors.Is(err, engine.ErrUnsupported), errors.Is(err, engine.ErrInvalid), !there, len(e.paths) == 1:
			return there, err
		default:
			p.leave(err)
		}
	}
	return there, nil
}

// tryDirect finds out whether there is direct I/O in a path.
func (e *Engine) tryDirect(p *path) error {
	name := filepath.Join(p.dir, indexTemp)
	f, err := e.fs.Open(name, vfs.Create|vfs.Direct)
	if errors.Is(err, engine.ErrUnsupported) {
		if !e.options.PageCache {
			return fmt.Errorf("%w; choose another file system for %s, or set PageCache to go without", err, p.dir)
		}
		e.buffered.Store(true)
		err = nil
	} else if err == nil {
		if a := f.Alignment(); a.Offset > e.options.BlockBytes || a.Memory > memoryAlign {
			err = fmt.Errorf("%w: direct I/O in %s is of %d bytes, at multiples of %d in memory, and BlockBytes is %d", engine.ErrInvalid, p.dir, a.Offset, a.Memory, e.options.BlockBytes)
		}
		err = errors.Join(err, f.Close())
	}
	if gone := e.fs.Remove(name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// begin makes an empty store in all paths, and opens it. It is there once one has an
// index.
func (e *Engine) begin(ctx context.Context) error {
	id := e.newID(e.paths[0].dir)
	for _, p := range e.paths {
		if err := e.checkEmpty(p); err != nil {
			return err
		}
	}
	for _, p := range e.paths {
		h := header{store: id, paths: uint32(len(e.paths))}
		if _, err := e.writeIndex(ctx, p, h, &summary{nextFamily: 1}, &root{}); err != nil {
			return err
		}
	}
	return e.recover(ctx)
}

// checkEmpty is an error if there is something in a path that is not of a new store.
func (e *Engine) checkEmpty(p *path) error {
	names, err := e.fs.List(p.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case name == vfs.LockName || name == indexTemp || name == "lost+found":
		case strings.HasSuffix(name, ".wal"):
			return fmt.Errorf("%w: %s has a log, but no %s; restore that from a backup", engine.ErrCorrupt, p.dir, indexName)
		default:
			return fmt.Errorf("%w: %s has no %s, and %s, which is not of a store; choose an empty directory", engine.ErrInvalid, p.dir, indexName, name)
		}
	}
	return nil
}

// checkpointOf is the checkpoint that was read from a path.
type checkpointOf struct {
	header
	summary summary
	tree    *tree
	size    int64
}

// recover reads the newest checkpoint of the index in a path that is up to date, and
// replays the log behind it. Other paths are brought level later.
func (e *Engine) recover(ctx context.Context) error {
	o := e.logOptions()
	states, err := wal.Survey(ctx, o)
	if err != nil {
		return err
	}
	begun := false
	for _, s := range states {
		begun = begun || s.Current
	}
	var best *checkpointOf
	var unread []error
	var stale bool // a path that counts has not the checkpoint that is taken
	for i, p := range e.paths {
		if p.away.Load() || begun && !states[i].Current {
			continue
		}
		c := &checkpointOf{}
		c.header, c.summary, c.tree, c.size, err = readIndex(ctx, e.fs, p.dir, e.options.Inline)
		switch {
		case errors.Is(err, engine.ErrUnsupported) || ctx.Err() != nil:
			return err
		case err != nil:
			unread = append(unread, err)
			continue
		case int(c.paths) != len(e.paths):
			return fmt.Errorf("%w: the store has %d paths, and %d are named", engine.ErrInvalid, c.paths, len(e.paths))
		case int(c.path) != i:
			return fmt.Errorf("%w: %s is path %d of the store, and is named as path %d", engine.ErrInvalid, p.dir, c.path+1, i+1)
		case best != nil && best.store != c.store:
			return fmt.Errorf("%w: %s is of store %016x, and not of %016x", engine.ErrInvalid, p.dir, c.store, best.store)
		}
		stale = stale || best != nil && best.sequence != c.sequence
		if best == nil || c.sequence > best.sequence {
			best = c
		}
	}
	if best == nil {
		return errors.Join(append(unread, e.missing(states))...)
	}
	e.take(best.header, best.summary, best.tree, best.size)
	if e.log, err = wal.Open(ctx, o, best.sequence, e.replay); err != nil {
		return err
	}
	lost := e.log.Stats().Lost
	for _, p := range e.paths {
		if cause := lost[p.dir]; cause != nil {
			p.leave(cause)
		} else if p.away.Load() {
			e.log.Lose(p.index, p.cause) // the log has not noticed what the store has
		}
	}
	e.keepSpare()
	if err := e.settle(); err != nil {
		return err
	}
	if e.options.Inline {
		if err := e.resync(ctx); err != nil && ctx.Err() != nil {
			return err
		}
	}
	if stale || len(unread) > 0 {
		return e.checkpoint(ctx)
	}
	return nil
}

// errSpare is why a path does not count that is kept for the loss of another one.
var errSpare = errors.New("the path is a spare")

// keepSpare lets go of the paths beyond Replicas.
func (e *Engine) keepSpare() {
	for i := len(e.paths) - 1; i >= 0 && len(e.present()) > e.options.Replicas; i-- {
		if p := e.paths[i]; !p.away.Load() {
			e.log.Lose(p.index, errSpare)
			p.spare.Store(true)
		}
	}
}

// missing says which path would have to be there.
func (e *Engine) missing(states []wal.SinkState) error {
	for i, p := range e.paths {
		if p.away.Load() && states[i].Counted {
			return fmt.Errorf("%s is missing: %w", p.dir, p.cause)
		}
	}
	return nil
}

// take begins with what a checkpoint has.
func (e *Engine) take(h header, s summary, t *tree, size int64) {
	e.id, e.index = h.store, t
	e.applied, e.checkpointed, e.checkpointSize, e.checkpointKeys = h.sequence, h.sequence, size, int64(h.entries)
	e.visible.Store(h.commit)
	e.nextFamily = max(s.nextFamily, 1)
	for name, id := range s.families {
		e.families[name], e.known[id] = id, true
	}
	for _, g := range s.segments {
		seg := &segment{id: uint32(g.number), number: g.number, slot: int(g.slot), born: g.born, live: g.live}
		e.segments[seg.id] = seg
		e.live += g.live
	}
}

func (e *Engine) logOptions() wal.Options {
	o := wal.Options{
		FS: e.fs, AllowMissing: e.options.Force, Rejoin: len(e.paths) > 1, OnLost: e.lost,
		SegmentBytes: e.options.SegmentBytes, SinkTimeout: e.options.patience(), Inline: e.options.Inline, SpareSlots: 2 * slackSegments,
		Retain: func(number uint64) bool {
			s := e.segments[uint32(number)]
			return s != nil && s.number == number
		},
	}
	for _, p := range e.paths {
		o.Sinks = append(o.Sinks, p.dir)
	}
	return o
}

// settle holds what the index says against the segments that the log has.
func (e *Engine) settle() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range e.loads {
		e.abandon(l)
	}
	there := map[uint64]wal.Segment{}
	for _, s := range e.log.Segments() {
		there[s.Number] = s
	}
	e.dead, e.total, e.current = nil, 0, nil
	for id, s := range e.segments {
		f, ok := there[s.number]
		switch {
		case s.live < 0:
			return fmt.Errorf("%w: more of segment %d is of no use than it has", engine.ErrCorrupt, s.number)
		case ok && f.Slot != s.slot:
			return fmt.Errorf("%w: segment %d is in %s, and was in %s", engine.ErrCorrupt, s.number, wal.SlotName(f.Slot), wal.SlotName(s.slot))
		case !ok && s.live > 0:
			return fmt.Errorf("%w: segment %d is missing, which has values; restore %s, or the store from a backup", engine.ErrCorrupt, s.number, wal.SlotName(s.slot))
		case !ok:
			delete(e.segments, id)
			continue
		}
		s.bytes, s.died = f.Bytes, 0
		e.total += s.bytes
	}
	for _, f := range e.log.Segments() {
		if s := e.segments[uint32(f.Number)]; s != nil {
			e.bury(s)
		}
	}
	return nil
}

// newID makes the identity of a store.
func (e *Engine) newID(dir string) uint64 {
	if !e.options.Inline {
		return rand.Uint64()
	}
	h := fnv.New64a()
	h.Write([]byte(dir))
	return h.Sum64()
}

// replay brings a record of the log into the index.
func (e *Engine) replay(r wal.Record) error {
	bad := func(err error) error { return fmt.Errorf("record %d of the log: %w", r.Sequence, err) }
	p := r.Payload
	if len(p) > 0 && p[0] != recordOther {
		if err := e.addBatch(p, false, false, r.Place, r.Sequence); err != nil {
			return bad(err)
		}
		e.visible.Store(r.Sequence)
		return nil
	}
	if len(p) < 2 {
		return bad(fmt.Errorf("%w: it is empty", engine.ErrCorrupt))
	}
	var err error
	switch p[1] {
	case recordPacked:
		err = e.addBatch(p, true, false, r.Place, r.Sequence)
		e.visible.Store(r.Sequence)
	case recordMoves:
		err = e.addMoves(p, r.Place, r.Sequence)
	case recordFamily, recordNoFamily:
		err = e.addFamily(p, r.Place, r.Sequence)
	case recordPart:
		err = e.addPart(p, r.Place, r.Sequence)
	case recordLoad:
		err = e.addLoad(p, r.Place, r.Sequence)
	default:
		err = badRecord(1, fmt.Sprintf("kind %d", p[1]))
	}
	if err != nil {
		return bad(err)
	}
	return nil
}
