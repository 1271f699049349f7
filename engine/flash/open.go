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
// there.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	o, err := o.complete(dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	e := newEngine(o)
	name := strings.Join(o.Paths, ", ")
	if err := e.open(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", name, errors.Join(err, e.letGo()))
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

// lock makes the directory of a path, and keeps others out of it.
func (e *Engine) lock(p *path) error {
	if err := vfs.MakeDir(e.fs, p.dir); err != nil {
		return err
	}
	l, err := e.fs.Lock(p.dir)
	if err == nil {
		e.locks = append(e.locks, l)
	}
	return err
}

func (e *Engine) open(ctx context.Context) error {
	for _, p := range e.paths {
		if err := e.lock(p); err != nil {
			return err
		}
	}
	var err error
	if e.cache, err = newCache(e.options.CacheBytes); err != nil {
		return err
	}
	if err := e.findDirect(); err != nil {
		return err
	}
	return e.recover(ctx)
}

// findDirect finds out whether there is direct I/O.
func (e *Engine) findDirect() error {
	for _, p := range e.paths {
		name := filepath.Join(p.dir, indexTemp)
		f, err := e.fs.Open(name, vfs.Create|vfs.Direct)
		if errors.Is(err, engine.ErrUnsupported) {
			if !e.options.PageCache {
				return fmt.Errorf("%w; choose another file system for %s, or set PageCache to go without", err, p.dir)
			}
			e.buffered = true
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
		if err != nil {
			return err
		}
	}
	return nil
}

// recover reads the last checkpoint of the index, and replays the log behind it.
func (e *Engine) recover(ctx context.Context) error {
	p := e.paths[0]
	h, s, t, size, err := readIndex(ctx, e.fs, p.dir, e.options.Inline)
	if errors.Is(err, fs.ErrNotExist) {
		if err := e.create(ctx, p); err != nil {
			return err
		}
		h, s, t, size, err = readIndex(ctx, e.fs, p.dir, e.options.Inline)
	}
	if err != nil {
		return err
	}
	if int(h.paths) != len(e.paths) {
		return fmt.Errorf("%w: the store has %d paths, and %d are named", engine.ErrInvalid, h.paths, len(e.paths))
	}
	e.take(h, s, t, size)
	if e.log, err = wal.Open(ctx, e.logOptions(), h.sequence, e.replay); err != nil {
		return err
	}
	return e.settle()
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
		FS: e.fs, SegmentBytes: e.options.SegmentBytes, SinkTimeout: e.options.Timeout, Inline: e.options.Inline, SpareSlots: 2 * slackSegments,
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

// create makes an empty store: it is there once it has an index.
func (e *Engine) create(ctx context.Context, p *path) error {
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
	h := header{store: e.newID(p.dir), paths: uint32(len(e.paths))}
	_, err = e.writeIndex(ctx, p, h, &summary{nextFamily: 1}, &root{})
	return err
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
