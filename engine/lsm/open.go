package lsm

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Open opens the store in dir, and makes it if the directory is empty or not there.
func Open(ctx context.Context, dir string, o Options) (*Engine, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	e := &Engine{
		families: map[string]engine.FamilyID{}, known: map[engine.FamilyID]bool{}, clearing: map[engine.FamilyID]bool{}, nextFamily: 1,
	}
	e.options, e.fs, e.dir = o, o.FS, dir
	e.files.bound, e.mostBlock = o.OpenFiles, maxStored
	e.changed = sync.NewCond(&e.mu)
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

// recover reads the manifest, and replays the log behind what is in tables.
func (e *Engine) recover(ctx context.Context) error {
	c, err := readCurrent(e.fs, e.dir)
	if missing(err) {
		if err = e.create(); err == nil {
			c, err = readCurrent(e.fs, e.dir)
		}
	}
	if err != nil {
		return err
	}
	if int(c.levels) != e.options.Levels {
		return fmt.Errorf("%w: the store has %d levels, and Levels is %d; open it with as many as it was made with", engine.ErrInvalid, c.levels, e.options.Levels)
	}
	e.id, e.manifest.current = c.store, c
	if e.cache, err = newCache(e.options.CacheBytes, &e.domain); err != nil {
		return err
	}
	l, err := e.readManifest(ctx, c)
	if err != nil {
		return err
	}
	m, err := e.newMemtable(0)
	if err != nil {
		return err
	}
	e.install(newState(m, nil, l))
	e.visible.Store(e.manifestVersion)
	names, err := e.fs.List(e.dir)
	if err != nil {
		return err
	}
	// What replay writes must not meet the files that a crash has left.
	for _, name := range names {
		if n, ok := fileNumber(name); ok && n > e.lastFile.Load() {
			e.lastFile.Store(n)
		}
	}
	logs := filepath.Join(e.dir, logName)
	if e.logBegun {
		if err := checkLog(e.fs, logs); err != nil {
			return err
		}
	}
	take, rest := e.replayLog()
	if e.log, err = wal.Open(ctx, e.options.logOptions(logs), e.manifestSequence, take); err != nil {
		return restore(err)
	}
	if err := rest(); err != nil {
		return err
	}
	if err := e.removeObsolete(names); err != nil {
		return err
	}
	if err := e.beginLog(); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(e.clearing)) {
		if prefix := appendPrefix(nil, id); !e.state.Load().has(prefix, successor(prefix)) {
			continue
		}
		// Nobody flushes yet whom a commit could wait for.
		if err := e.makeRoom(trieNeed(1, 2*maxPrefix)); err != nil {
			return err
		}
		if err := e.clear(id); err != nil {
			return err
		}
	}
	e.startBackground()
	return nil
}

// create makes an empty store. It is there once CURRENT is.
func (e *Engine) create() error {
	names, err := e.fs.List(e.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch {
		case name == vfs.LockName || name == logName || name == manifestName || name == currentTemp || name == "lost+found":
		case strings.HasSuffix(name, tableSuffix) || strings.HasSuffix(name, valueSuffix):
			return fmt.Errorf("%w: %s has tables, but no %s; restore that from a backup", engine.ErrCorrupt, e.dir, currentName)
		default:
			return fmt.Errorf("%w: %s has no %s, and %s, which is not of a store; choose an empty directory", engine.ErrInvalid, e.dir, currentName, name)
		}
	}
	logs := filepath.Join(e.dir, logName)
	for _, dir := range []string{logs, filepath.Join(e.dir, manifestName)} {
		if err := vfs.MakeDir(e.fs, dir); err != nil {
			return err
		}
	}
	switch names, err := e.fs.List(logs); {
	case err != nil:
		return err
	case len(names) > 0:
		return fmt.Errorf("%w: %s has a log, but no %s; restore that from a backup", engine.ErrCorrupt, e.dir, currentName)
	}
	// The manifest has a whole edit from the beginning, so that one that was lost is not
	// taken for that of a new store.
	if err := writeManifest(e.options, e.dir, &edit{reset: true, nextFamily: 1}); err != nil {
		return err
	}
	c := current{store: storeID(e.dir, e.options.Inline), levels: uint32(e.options.Levels)}
	return writeCurrent(e.fs, e.dir, c)
}

// beginLog tells the manifest that there is a log, once the first file of it is durable:
// from then on one that is gone is missed. Until then there is no commit.
func (e *Engine) beginLog() error {
	e.installing.Lock()
	defer e.installing.Unlock()
	if e.logBegun {
		return nil
	}
	if err := e.record(&edit{logBegun: true}); err != nil {
		return err
	}
	e.logBegun = true
	return nil
}

// checkLog returns ErrCorrupt if a log, which always has a file once it has begun, has
// none.
func checkLog(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if err != nil && !missing(err) {
		return err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".wal") }) {
		return fmt.Errorf("%w: %s has no log, which commits may be missing with; restore it, or the store from a backup", engine.ErrCorrupt, dir)
	}
	return nil
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

// readManifest returns the levels that the manifest tells of.
func (e *Engine) readManifest(ctx context.Context, c current) (*levels, error) {
	l := emptyLevels(e.options.Levels)
	whole := false
	log, err := wal.Open(ctx, e.options.manifestOptions(e.dir), c.after, func(r wal.Record) error {
		ed, err := decodeEdit(r.Payload, len(l.below))
		if err == nil && !whole && !ed.reset {
			err = fmt.Errorf("%w: it should be a whole one; restore the manifest, or the store from a backup", engine.ErrCorrupt)
		}
		if err == nil {
			whole = true
			l, err = e.applyRecovered(l, ed)
		}
		if err != nil {
			return fmt.Errorf("record %d of the manifest: %w", r.Sequence, err)
		}
		e.manifest.logged += int64(len(r.Payload))
		return nil
	})
	e.manifest.log = log
	if err != nil {
		return l, restore(err)
	}
	if !whole {
		err = fmt.Errorf("%w: the manifest in %s is empty; restore it, or the store from a backup", engine.ErrCorrupt, filepath.Join(e.dir, manifestName))
	}
	return l, err
}

func emptyLevels(n int) *levels {
	l := &levels{below: make([]*run, n-1), files: map[uint64]*tableFile{}, values: map[uint64]*valueFile{}}
	for i := range l.below {
		l.below[i] = newRun(0, nil)
	}
	return l
}

// applyRecovered takes an edit of the manifest.
func (e *Engine) applyRecovered(l *levels, ed *edit) (*levels, error) {
	if ed.reset {
		clear(e.families)
		clear(e.known)
		clear(e.clearing)
	}
	if ed.version != 0 {
		e.manifestVersion, e.manifestSequence = ed.version, ed.logSequence
	}
	if ed.nextFile > e.lastFile.Load() {
		e.lastFile.Store(ed.nextFile)
	}
	e.nextFamily = max(e.nextFamily, ed.nextFamily)
	e.logBegun = ed.logBegun || e.logBegun && !ed.reset
	for _, f := range ed.families {
		e.families[f.name], e.known[f.id] = f.id, true
	}
	for _, id := range ed.noFamilies {
		for name, known := range e.families {
			if known == id {
				delete(e.families, name)
			}
		}
		delete(e.known, id)
		e.clearing[id] = true
	}
	for _, id := range ed.cleared {
		delete(e.clearing, id)
	}
	return l.apply(&e.store, ed)
}

// removeObsolete removes the files that nothing tells of: of flushes and merges that did
// not come to their end, or whose files could not be removed.
func (e *Engine) removeObsolete(names []string) error {
	st := e.state.Load()
	needed := map[uint64]bool{}
	for n := range st.levels.files {
		needed[n] = true
	}
	for n := range st.levels.values {
		needed[n] = true
	}
	for _, q := range st.queue {
		if q.run != nil {
			for _, t := range q.run.tables {
				needed[t.number] = true
			}
		}
	}
	for _, name := range names {
		number, ok := fileNumber(name)
		if !ok || needed[number] {
			continue
		}
		if err := e.fs.Remove(filepath.Join(e.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// fileNumber returns the number in the name of a table or value file; other names may end
// like one.
func fileNumber(name string) (uint64, bool) {
	suffix := filepath.Ext(name)
	if suffix != tableSuffix && suffix != valueSuffix {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(name, suffix), 10, 64)
	return n, err == nil && fileName("", n, suffix) == name
}
