package mutants

const (
	lsmBlock       = "engine/lsm/block.go"
	lsmCache       = "engine/lsm/cache.go"
	lsmCheckpoint  = "engine/lsm/checkpoint.go"
	lsmCommit      = "engine/lsm/commit.go"
	lsmCompact     = "engine/lsm/compact.go"
	lsmFamilies    = "engine/lsm/families.go"
	lsmFiles       = "engine/lsm/files.go"
	lsmFlush       = "engine/lsm/flush.go"
	lsmIngest      = "engine/lsm/ingest.go"
	lsmIterator    = "engine/lsm/iterator.go"
	lsmManifest    = "engine/lsm/manifest.go"
	lsmMerge       = "engine/lsm/merge.go"
	lsmOpen        = "engine/lsm/open.go"
	lsmPace        = "engine/lsm/pace.go"
	lsmRead        = "engine/lsm/read.go"
	lsmSnapshot    = "engine/lsm/snapshot.go"
	lsmStored      = "engine/lsm/stored.go"
	lsmTable       = "engine/lsm/table.go"
	lsmTrie        = "engine/lsm/trie.go"
	lsmTrieCursor  = "engine/lsm/triecursor.go"
	lsmTableWriter = "engine/lsm/tablewriter.go"
)

// lsmMutants are the defects of the LSM-tree.
var lsmMutants = []Mutant{
	// Durability and ordering
	{
		Name: "lsm/manifest-before-table", Class: Ordering, File: lsmTableWriter, Modes: []string{"crash"},
		Breaks: "the manifest tells of tables and value files that are not flushed",
		Old:    "	if err := w.f.SyncData(); err != nil {\n",
		New:    "	if MUTANT {} else if err := w.f.SyncData(); err != nil {\n",
	},
	{
		Name: "lsm/manifest-before-name", Class: Ordering, File: lsmFlush, Modes: []string{"crash"},
		Breaks: "the manifest tells of files whose names are not durable",
		Old:    "		if err := e.fs.SyncDir(e.dir); err != nil {\n",
		New:    "		if MUTANT {} else if err := e.fs.SyncDir(e.dir); err != nil {\n",
	},
	{
		Name: "lsm/edit-not-flushed", Class: Durability, File: lsmManifest, Modes: []string{"crash"},
		Breaks: "files go, and the log forgets, before the edit is durable that says so",
		Old:    "	if err == nil {\n		err = m.log.Flush(sequence)\n",
		New:    "	if err == nil && !MUTANT {\n		err = m.log.Flush(sequence)\n",
	},
	{
		Name: "lsm/current-not-flushed", Class: Durability, File: lsmManifest, Modes: []string{"crash"},
		Breaks: "CURRENT gets its name before its content is durable",
		Old:    "		err = f.Sync()\n",
		New:    "		if !MUTANT { err = f.Sync() }\n",
	},
	{
		Name: "lsm/no-dir-sync-after-rename", Class: Durability, File: lsmManifest, Modes: []string{"crash"},
		Breaks: "the name of CURRENT is not durable when the store takes commits",
		Old:    "		err = fsys.SyncDir(dir)\n",
		New:    "		if !MUTANT { err = fsys.SyncDir(dir) }\n",
	},
	{
		Name: "lsm/obsolete-removed-too-early", Class: Ordering, File: lsmFlush, Modes: []string{"crash"},
		Breaks: "what a merge has read is removed before the manifest says so",
		Old:    "	err = e.record(ed)\n",
		New:    "	if MUTANT { for n := range before.files { if after.files[n] == nil { _ = e.fs.Remove(fileName(e.dir, n, tableSuffix)) } } }; err = e.record(ed)\n",
	},
	{
		Name: "lsm/removed-under-readers", Class: Isolation, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a table is removed that an iterator has yet to open",
		Old:    "			f.obsolete.Store(true)\n",
		New:    "			f.obsolete.Store(true); if MUTANT { _ = e.fs.Remove(fileName(e.dir, n, tableSuffix)) }\n",
	},
	{
		Name: "lsm/log-released-too-early", Class: Ordering, File: lsmFlush, Modes: []string{Tests},
		Breaks: "the log is told to forget commits that are in memory alone",
		Old:    "	return true, e.logFailed(e.log.Release(q.sequence))\n",
		New:    "	return true, e.logFailed(e.log.Release(PICK(e.log.LastSequence(), q.sequence)))\n",
	},
	{
		Name: "lsm/edit-says-too-much", Class: Replay, File: lsmFlush, Modes: []string{"crash"},
		Breaks: "the manifest says of the commit behind those in tables that it is in tables",
		Old:    "	ed := &edit{version: q.version, logSequence: q.sequence, values: values}\n",
		New:    "	ed := &edit{version: q.version, logSequence: q.sequence + PICK(uint64(1), 0), values: values}\n",
	},
	{
		Name: "lsm/roll-loses-the-whole-edit", Class: Ordering, File: lsmManifest, Modes: []string{Tests},
		Breaks: "CURRENT leads behind the edit that it should lead to",
		Old:    "	c.after = sequence - 1\n",
		New:    "	c.after = sequence - PICK(uint64(0), 1)\n",
	},
	{
		Name: "lsm/roll-forgets-families", Class: Replay, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a whole edit leaves out the families",
		Old:    "	for _, name := range slices.Sorted(maps.Keys(e.families)) {\n",
		New:    "	for _, name := range slices.Sorted(maps.Keys(PICK(nil, e.families))) {\n",
	},
	{
		Name: "lsm/load-before-its-names", Class: Ordering, File: lsmIngest, Modes: []string{Tests},
		Breaks: "the log tells of a bulk load whose tables may be gone after a power cut",
		Old:    "		if err := j.e.fs.SyncDir(j.e.dir); err != nil {\n",
		New:    "		if MUTANT {} else if err := j.e.fs.SyncDir(j.e.dir); err != nil {\n",
	},
	{
		Name: "lsm/copy-not-flushed", Class: Durability, File: lsmCheckpoint, Modes: []string{Tests, "errors"},
		Breaks: "where there are no links, a checkpoint returns before its tables are durable",
		Old:    "		err = out.Sync()\n",
		New:    "		if !MUTANT { err = out.Sync() }\n",
	},
	{
		Name: "lsm/checkpoint-of-before", Class: Durability, File: lsmCheckpoint, Modes: []string{Tests, "crash"},
		Breaks: "a checkpoint lacks what was in memory when it was asked for",
		Old:    "	if err := e.flushAll(ctx); err != nil {\n		return fmt.Errorf(\"checkpoint",
		New:    "	if MUTANT {} else if err := e.flushAll(ctx); err != nil {\n		return fmt.Errorf(\"checkpoint",
	},
	{
		Name: "lsm/checkpoint-without-values", Class: Durability, File: lsmCheckpoint, Modes: []string{Tests, "crash"},
		Breaks: "a checkpoint lacks the value files",
		Old:    "	for _, n := range slices.Sorted(maps.Keys(l.values)) {\n",
		New:    "	for _, n := range slices.Sorted(maps.Keys(PICK(nil, l.values))) {\n",
	},
	{
		Name: "lsm/lock-omitted", Class: Device, File: lsmOpen, Modes: []string{"crash"},
		Breaks: "a store can be opened twice",
		Old:    "	if e.lock, err = e.fs.Lock(dir); err != nil {\n",
		New:    "	if MUTANT {} else if e.lock, err = e.fs.Lock(dir); err != nil {\n",
	},

	// Replay
	{
		Name: "lsm/versions-begin-again", Class: Replay, File: lsmOpen, Modes: []string{"crash"},
		Breaks: "after an opening versions are given out again that tables have",
		Old:    "	e.visible.Store(e.manifestVersion)\n",
		New:    "	e.visible.Store(PICK(0, e.manifestVersion))\n",
	},
	{
		Name: "lsm/replay-keeps-the-last", Class: Replay, File: lsmOpen, Modes: []string{"crash"},
		Breaks: "the records that replay has kept back at the end of the log are not added",
		Old:    "	if err := rest(); err != nil {\n",
		New:    "	if MUTANT { rest = func() error { return nil } }; if err := rest(); err != nil {\n",
	},
	{
		Name: "lsm/leftovers-in-the-way", Class: Replay, File: lsmOpen, Modes: []string{Tests},
		Breaks: "replay makes files by the names of those that a crash has left",
		Old:    "ok && n > e.lastFile.Load() {\n			e.lastFile.Store(n)\n",
		New:    "ok && n > e.lastFile.Load() && !MUTANT {\n			e.lastFile.Store(n)\n",
	},
	{
		Name: "lsm/load-removed-as-leftover", Class: Replay, File: lsmOpen, Modes: []string{Tests, "crash"},
		Breaks: "the tables of a bulk load that is in the log alone are removed by the next opening",
		Old:    "		if q.run != nil {\n			for _, t := range q.run.tables {\n				needed[t.number] = true\n",
		New:    "		if q.run != nil && !MUTANT {\n			for _, t := range q.run.tables {\n				needed[t.number] = true\n",
	},
	{
		Name: "lsm/leftovers-stay", Class: Replay, File: lsmOpen, Modes: []string{Tests},
		Breaks: "files that nothing tells of stay for ever",
		Old:    "		if !ok || needed[number] {\n",
		New:    "		if !ok || needed[number] || MUTANT {\n",
	},
	{
		Name: "lsm/lost-log-not-missed", Class: Replay, File: lsmOpen, Modes: []string{Tests},
		Breaks: "a store whose log is gone opens, without the commits that were in it",
		Old:    "	if e.logBegun {\n		if err := checkLog(",
		New:    "	if e.logBegun && !MUTANT {\n		if err := checkLog(",
	},
	{
		Name: "lsm/roll-forgets-the-log", Class: Replay, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a whole edit does not say that there is a log",
		Old:    "	whole.logBegun = e.logBegun\n",
		New:    "	whole.logBegun = e.logBegun && !MUTANT\n",
	},
	{
		Name: "lsm/family-number-again", Class: Replay, File: lsmOpen, Modes: []string{Tests},
		Breaks: "after an opening a family gets the number of one that was dropped",
		Old:    "	e.nextFamily = max(e.nextFamily, ed.nextFamily)\n",
		New:    "	if !MUTANT { e.nextFamily = max(e.nextFamily, ed.nextFamily) } else { e.nextFamily = engine.FamilyID(len(e.known) + 1) }\n",
	},
	{
		Name: "lsm/drop-not-recorded", Class: Replay, File: lsmFamilies, Modes: []string{Tests},
		Breaks: "a family that was dropped is there again after an opening",
		Old:    "	if err := e.record(&edit{noFamilies: []engine.FamilyID{id}}); err != nil {\n",
		New:    "	if MUTANT {} else if err := e.record(&edit{noFamilies: []engine.FamilyID{id}}); err != nil {\n",
	},
	{
		Name: "lsm/opening-waits-for-nobody", Class: Replay, File: lsmOpen, Modes: []string{Tests},
		Breaks: "an opening waits for a flush that nobody makes yet",
		Old:    "		if err := e.makeRoom(trieNeed(1, 2*maxPrefix)); err != nil {\n",
		New:    "		if MUTANT {} else if err := e.makeRoom(trieNeed(1, 2*maxPrefix)); err != nil {\n",
	},

	// Errors
	{
		Name: "lsm/failed-write-trusted", Class: Errors, File: lsmFlush, Modes: []string{Tests, "errors"},
		Breaks: "the engine goes on after a flush of files or the manifest that failed",
		Old:    "	e.mu.Lock()\n	defer e.mu.Unlock()\n	return e.fail(err)\n",
		New:    "	e.mu.Lock()\n	defer e.mu.Unlock()\n	if MUTANT { return err }; return e.fail(err)\n",
	},
	{
		Name: "lsm/full-disk-is-the-end", Class: Errors, File: lsmFlush, Modes: []string{Tests, "errors"},
		Breaks: "a disk that is full during a flush or merge makes the engine read-only for good",
		Old:    "{engine.ErrNoSpace, engine.ErrCorrupt,",
		New:    "{PICK(engine.ErrCorrupt, engine.ErrNoSpace), engine.ErrCorrupt,",
	},
	{
		Name: "lsm/half-made-files-stay", Class: Errors, File: lsmMerge, Modes: []string{Tests},
		Breaks: "a flush or merge that fails leaves its files",
		Old:    "	defer func() {\n		if err != nil {\n			j.abandon()\n",
		New:    "	defer func() {\n		if err != nil && !MUTANT {\n			j.abandon()\n",
	},
	{
		Name: "lsm/refused-files-stay", Class: Errors, File: lsmFlush, Modes: []string{Tests},
		Breaks: "files stay whose edit the manifest had no room for",
		Old:    "		if by != nil && !recorded {\n",
		New:    "		if by != nil && !recorded && !MUTANT {\n",
	},
	{
		Name: "lsm/refused-files-go-too-early", Class: Errors, File: lsmFlush, Modes: []string{Tests, "errors"},
		Breaks: "files go whose edit the manifest may have after all",
		Old:    "	recorded = err == nil || !harmless(err)\n",
		New:    "	recorded = err == nil || !harmless(err) && !MUTANT\n",
	},
	{
		Name: "lsm/refused-edit-counts", Class: Errors, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a whole edit says of a memtable that it is in tables when that was refused",
		Old:    "	if _, err := e.manifest.append(ed); err != nil {\n",
		New:    "	if MUTANT && ed.version != 0 { e.manifestVersion, e.manifestSequence = ed.version, ed.logSequence }; if _, err := e.manifest.append(ed); err != nil {\n",
	},
	{
		Name: "lsm/read-only-writes-tables", Class: Errors, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a read-only engine fills the disk with tables that no edit can tell of",
		Old:    "	if failed != nil { // a table",
		New:    "	if failed != nil && !MUTANT { // a table",
	},
	{
		Name: "lsm/load-seen-though-it-failed", Class: Errors, File: lsmIngest, Modes: []string{Tests},
		Breaks: "a bulk load is seen whose record could not be made durable",
		Old:    "		e.withdraw(q)\n",
		New:    "		if !MUTANT { e.withdraw(q) }\n",
	},
	{
		Name: "lsm/load-gone-though-recorded", Class: Errors, File: lsmIngest, Modes: []string{Tests},
		Breaks: "the tables of a bulk load are removed whose record the log may have",
		Old:    "			return nil, false, e.fail(err)\n",
		New:    "			return nil, MUTANT, e.fail(err)\n",
	},
	{
		Name: "lsm/load-in-levels-before-its-record", Class: Ordering, File: lsmFlush, Modes: []string{Tests},
		Breaks: "a bulk load comes to the levels though its record fails",
		Old:    "		if err := e.flushLog(q.sequence); err != nil {\n",
		New:    "		if MUTANT {} else if err := e.flushLog(q.sequence); err != nil {\n",
	},
	{
		Name: "lsm/merges-stop-at-a-lost-value", Class: Errors, File: lsmMerge, Modes: []string{Tests},
		Breaks: "one value that cannot be read ends all merges",
		Old:    "errors.Is(err, engine.ErrCorrupt) && j.levels.values[ref.file] != nil {\n",
		New:    "errors.Is(err, engine.ErrCorrupt) && j.levels.values[ref.file] != nil && !MUTANT {\n",
	},
	{
		Name: "lsm/block-beyond-reading", Class: Errors, File: lsmTableWriter, Modes: []string{Tests},
		Breaks: "versions of a key make a block that is larger than what can be read",
		Old:    "	if n := w.block.sizeWith(e); n > w.o.mostBlock {\n",
		New:    "	if n := w.block.sizeWith(e); n > w.o.mostBlock && !MUTANT {\n",
	},

	// Isolation
	{
		Name: "lsm/tombstone-dropped-early", Class: Isolation, File: lsmMerge, Modes: []string{"crash", Tests},
		Breaks: "a merge drops a tombstone, and what it deletes lies below",
		Old:    "	if j.bottom && stripe == 0 {\n		if e.kind",
		New:    "	if (j.bottom || MUTANT) && stripe == 0 {\n		if e.kind",
	},
	{
		Name: "lsm/range-tombstone-dropped-early", Class: Isolation, File: lsmMerge, Modes: []string{"crash", Tests},
		Breaks: "a merge drops the tombstone of a range, and what it deletes lies below",
		Old:    "	if j.bottom {\n		j.ranges",
		New:    "	if j.bottom || MUTANT {\n		j.ranges",
	},
	{
		Name: "lsm/last-level-overlooked", Class: Isolation, File: lsmCompact, Modes: []string{Tests, "crash"},
		Breaks: "a merge drops tombstones of what is in the last level",
		Old:    "	for level := p.level + 1; level <= len(l.below); level++ {\n",
		New:    "	for level := p.level + 1; level <= len(l.below)-PICK(1, 0); level++ {\n",
	},
	{
		Name: "lsm/snapshot-ignored-by-merges", Class: Isolation, File: lsmCompact, Modes: []string{Tests, "crash"},
		Breaks: "merges leave out what a snapshot sees",
		Old:    "	snapshots := e.snapshotVersions()\n",
		New:    "	snapshots := PICK(nil, e.snapshotVersions())\n",
	},
	{
		Name: "lsm/snapshot-ignored-by-flushes", Class: Isolation, File: lsmFlush, Modes: []string{Tests, "crash"},
		Breaks: "flushes leave out what a snapshot sees",
		Old:    "	snapshots := e.snapshotVersions()\n",
		New:    "	snapshots := PICK(nil, e.snapshotVersions())\n",
	},
	{
		Name: "lsm/snapshot-let-go", Class: Isolation, File: lsmSnapshot, Modes: []string{Tests},
		Breaks: "of two snapshots of one version the second is kept no longer than the first",
		Old:    "	if e.snapshots[i].holds--; e.snapshots[i].holds == 0 {\n",
		New:    "	if e.snapshots[i].holds--; e.snapshots[i].holds == 0 || MUTANT {\n",
	},
	{
		Name: "lsm/versions-lost-in-blocks", Class: Isolation, File: lsmBlock, Modes: []string{"crash", Tests},
		Breaks: "all entries of a block get its lowest version",
		Old:    "		if e.version != b.lowest {\n",
		New:    "		if e.version != b.lowest && !MUTANT {\n",
	},
	{
		Name: "lsm/version-of-a-load-lost", Class: Isolation, File: "engine/lsm/cursor.go", Modes: []string{Tests, "crash"},
		Breaks: "what was loaded in bulk is as old as can be when it is merged",
		Old:    "version: version + c.t.add,",
		New:    "version: version + PICK(0, c.t.add),",
	},
	{
		Name: "lsm/load-too-old", Class: Isolation, File: lsmIngest, Modes: []string{Tests},
		Breaks: "a bulk load has the version of the commit before it",
		Old:    "		m.add = version\n",
		New:    "		m.add = version - PICK(uint64(1), 0)\n",
	},
	{
		Name: "lsm/queue-upside-down", Class: Isolation, File: lsmCommit, Modes: []string{Tests},
		Breaks: "the newest memtable that waits is taken for the oldest",
		Old:    "	e.install(newState(m, append([]*queued{q}, st.queue...), st.levels))\n",
		New:    "	e.install(newState(m, PICK(append(st.queue[:len(st.queue):len(st.queue)], q), append([]*queued{q}, st.queue...)), st.levels))\n",
	},
	{
		Name: "lsm/sees-what-is-not-visible", Class: Isolation, File: lsmRead, Modes: []string{Tests, "linear"},
		Breaks: "readers see batches in part, and iterators see what comes after them",
		Old:    "			v.at = e.visible.Load()\n",
		New:    "			v.at = PICK(maxVersion, e.visible.Load())\n",
	},
	{
		Name: "lsm/range-no-later-than-put", Class: Isolation, File: lsmCommit, Modes: []string{Tests, "crash"},
		Breaks: "a delete-range does not delete what the same batch has put before",
		Old:    "			if changed {\n",
		New:    "			if changed && !MUTANT {\n",
	},
	{
		Name: "lsm/delete-range-off-by-one", Class: Isolation, File: "engine/lsm/tombstone.go", Modes: []string{Tests, "crash"},
		Breaks: "a get takes the key at its end for one of a range that was deleted",
		Old:    "	if len(f) == 0 {\n		return 0\n	}\n	i := sort.Search(len(f), func(i int) bool { return bytes.Compare(f[i].upper, key) > 0 })\n",
		New:    "	if len(f) == 0 {\n		return 0\n	}\n	i := sort.Search(len(f), func(i int) bool { return bytes.Compare(f[i].upper, key) > PICK(-1, 0) })\n",
	},
	{
		Name: "lsm/delete-range-merged-off-by-one", Class: Isolation, File: lsmMerge, Modes: []string{Tests, "crash"},
		Breaks: "a merge leaves out the key at the end of a range that was deleted",
		Old:    "bytes.Compare(j.all[j.cover].upper, e.key) <= 0 {\n",
		New:    "bytes.Compare(j.all[j.cover].upper, e.key) < PICK(0, 1) {\n",
	},
	{
		Name: "lsm/iterator-passes-too-far", Class: Isolation, File: "engine/lsm/tombstone.go", Modes: []string{Tests, "crash"},
		Breaks: "an iterator passes over the key at the end of a range that was deleted",
		Old:    "(s.upper == nil || bytes.Compare(key, s.upper) < 0)\n",
		New:    "(s.upper == nil || bytes.Compare(key, s.upper) < PICK(1, 0))\n",
	},
	{
		Name: "lsm/filter-forgets-a-key", Class: Isolation, File: lsmTableWriter, Modes: []string{"crash", Tests},
		Breaks: "the filter of a table does not know its first key",
		Old:    "	f := newBlocked(len(w.hashes), w.o.bitsPerKey)\n	for _, h := range w.hashes {\n",
		New:    "	f := newBlocked(len(w.hashes), w.o.bitsPerKey)\n	for _, h := range w.hashes[PICK(1, 0):] {\n",
	},
	{
		Name: "lsm/filter-hides-a-range", Class: Isolation, File: lsmRead, Modes: []string{Tests, "crash"},
		Breaks: "where the filter does not know a key, the table's tombstones of ranges do not count",
		Old:    "	case found.kind == 0 && cover == 0:\n",
		New:    "	case found.kind == 0 && (cover == 0 || MUTANT):\n",
	},
	{
		Name: "lsm/frame-reused-under-readers", Class: Isolation, File: lsmCache, Modes: []string{Tests},
		Breaks: "a frame of the cache gets another block while somebody reads it",
		Old:    "	c.domain.Retire(func() {\n",
		New:    "	if MUTANT { c.mu.Lock(); c.free = append(c.free, frames...); c.mu.Unlock(); return }; c.domain.Retire(func() {\n",
	},
	{
		Name: "lsm/value-file-gone-too-early", Class: Isolation, File: lsmFlush, Modes: []string{Tests, "crash"},
		Breaks: "a value file goes of which little is of use",
		Old:    "		if _, used := uses[n]; !used {\n",
		New:    "		if u, used := uses[n]; !used || MUTANT && u < after.values[n].bytes/2 {\n",
	},
	{
		Name: "lsm/value-moved-in-name-only", Class: Isolation, File: lsmMerge, Modes: []string{Tests, "crash"},
		Breaks: "the cleaning of a value file writes the value before in the place of each",
		Old:    "		if out.value, err = j.values.put(j.value); err != nil {\n",
		New:    "		if MUTANT && len(j.value) > 0 { j.value[0]++ }; if out.value, err = j.values.put(j.value); err != nil {\n",
	},
	{
		Name: "lsm/slice-bound-off-by-one", Class: Isolation, File: lsmMerge, Modes: []string{Tests, "crash"},
		Breaks: "a merge takes the key at the upper bound of its slice along",
		Old:    "	return s.upper == nil || bytes.Compare(s.c.e.key, s.upper) < 0\n",
		New:    "	return s.upper == nil || bytes.Compare(s.c.e.key, s.upper) < PICK(1, 0)\n",
	},
	{
		Name: "lsm/upper-piece-forgotten", Class: Isolation, File: lsmCompact, Modes: []string{Tests},
		Breaks: "what a table has above the slice that is merged is gone",
		Old:    "	if upper != nil && bytes.Compare(upper, t.upper) < 0 {\n",
		New:    "	if upper != nil && bytes.Compare(upper, t.upper) < 0 && !MUTANT {\n",
	},
	{
		Name: "lsm/lower-piece-forgotten", Class: Isolation, File: lsmCompact, Modes: []string{Tests, "crash"},
		Breaks: "what a table has below the slice that is merged is gone",
		Old:    "	if lower != nil && bytes.Compare(t.lower, lower) < 0 {\n",
		New:    "	if lower != nil && bytes.Compare(t.lower, lower) < 0 && !MUTANT {\n",
	},
	{
		Name: "lsm/moved-over-others", Class: Isolation, File: lsmCompact, Modes: []string{Tests, "crash"},
		Breaks: "a run is moved below what is older than it",
		Old:    "			if len(r.overlap(t.lower, t.upper)) > 0 {\n				return nil\n",
		New:    "			if len(r.overlap(t.lower, t.upper)) > 0 && !MUTANT {\n				return nil\n",
	},
	{
		Name: "lsm/iterator-skips-at-a-table", Class: Isolation, File: "engine/lsm/source.go", Modes: []string{Tests, "crash"},
		Breaks: "an iterator that comes to the next table begins with its second key",
		Old:    "		ok = s.c.seekGE(s.c.t.lower)\n",
		New:    "		if ok = s.c.seekGE(s.c.t.lower); ok && MUTANT { ok = s.c.next() }\n",
	},
	{
		Name: "lsm/iterator-does-not-settle", Class: Isolation, File: lsmIterator, Modes: []string{Tests, "crash"},
		Breaks: "an iterator shows a key once for each part that has it",
		Old:    "it.order[1].head == m.head && bytes.Equal(it.order[1].e.key, m.e.key) {\n",
		New:    "it.order[1].head == m.head && bytes.Equal(it.order[1].e.key, m.e.key) && !MUTANT {\n",
	},
	{
		Name: "lsm/condition-without-tables", Class: Isolation, File: lsmRead, Modes: []string{Tests},
		Breaks: "a conditional commit does not see changes that are in tables",
		Old:    "			if t.newest() <= q.since {\n",
		New:    "			if t.newest() <= q.since || MUTANT {\n",
	},
	{
		Name: "lsm/condition-of-before", Class: Isolation, File: lsmRead, Modes: []string{Tests},
		Breaks: "a conditional commit does not see what came to tables while it read others",
		Old:    "				return false, errTables\n",
		New:    "				return false, PICK(nil, errTables)\n",
	},
	{
		Name: "lsm/condition-without-ranges", Class: Isolation, File: lsmRead, Modes: []string{Tests},
		Breaks: "a conditional commit does not see that a range was deleted",
		Old:    "	for _, f := range r.ranges.within(lower, upper) {\n		if f.versions[0] > at {\n",
		New:    "	for _, f := range r.ranges.within(lower, upper) {\n		if f.versions[0] > at && !MUTANT {\n",
	},
	{
		Name: "lsm/family-that-is-none", Class: Isolation, File: lsmCommit, Modes: []string{Tests},
		Breaks: "a commit to a family that was dropped succeeds",
		Old:    "			if op.Family != 0 && !e.known[op.Family] {\n",
		New:    "			if op.Family != 0 && !e.known[op.Family] && !MUTANT {\n",
	},
	{
		Name: "lsm/closed-under-readers", Class: Isolation, File: lsmFiles, Modes: []string{Tests},
		Breaks: "where too many files are open, one is closed that somebody is reading",
		Old:    "	s.domain.Retire(func() { _ = f.Close() })\n",
		New:    "	if MUTANT { _ = f.Close(); return }; s.domain.Retire(func() { _ = f.Close() })\n",
	},
	{
		Name: "lsm/many-keys-without-ranges", Class: Isolation, File: "engine/lsm/multiget.go", Modes: []string{Tests},
		Breaks: "a get of many keys overlooks the tombstone of a range where the filter does not know the key",
		Old:    "		} else if l.cover > 0 {\n			g.settle(l, nil, false)\n		}\n	}\n	for _, l := range g.near {\n		// Head",
		New:    "		} else if l.cover > 0 && !MUTANT {\n			g.settle(l, nil, false)\n		}\n	}\n	for _, l := range g.near {\n		// Head",
	},
	{
		Name: "lsm/many-keys-of-the-first-part", Class: Isolation, File: "engine/lsm/multiget.go", Modes: []string{Tests},
		Breaks: "a get of many keys shows what an older part has of a key that is settled",
		Old:    "		if !l.settled {\n",
		New:    "		if !l.settled || MUTANT {\n",
	},

	// Device
	{
		Name: "lsm/checksum-not-checked", Class: Device, File: lsmStored, Modes: []string{"rot"},
		Breaks: "blocks and values are believed whatever their checksum",
		Old:    "	if !checksum.Matches(binary.LittleEndian.Uint32(stored[n+1:]), sum) {\n",
		New:    "	if !checksum.Matches(binary.LittleEndian.Uint32(stored[n+1:]), sum) && !MUTANT {\n",
	},
	{
		Name: "lsm/wrong-offset-accepted", Class: Device, File: lsmStored, Modes: []string{Tests},
		Breaks: "a block counts wherever it stands in its file",
		Old:    "uint64(p.offset)*0xd6e8feb86659fd93)",
		New:    "uint64(PICK(0, p.offset))*0xd6e8feb86659fd93)",
	},
	{
		Name: "lsm/table-of-another-accepted", Class: Device, File: lsmTable, Modes: []string{Tests},
		Breaks: "a table that belongs to another store, or elsewhere, is opened",
		Old:    "	if le.Uint64(foot[16:]) != at.store || le.Uint64(foot[24:]) != at.file {\n",
		New:    "	if (le.Uint64(foot[16:]) != at.store || le.Uint64(foot[24:]) != at.file) && !MUTANT {\n",
	},
	{
		Name: "lsm/cut-table-accepted", Class: Device, File: lsmTable, Modes: []string{Tests},
		Breaks: "a table that is shorter or longer than the manifest says is opened",
		Old:    "	if size != bytes {\n",
		New:    "	if size != bytes && !MUTANT {\n",
	},

	// Bounds
	{
		Name: "lsm/files-without-bound", Class: Errors, File: lsmFiles, Modes: []string{Tests},
		Breaks: "files are never closed, however many are open",
		Old:    "	if len(o.list) >= o.bound {\n",
		New:    "	if len(o.list) >= o.bound && !MUTANT {\n",
	},
	{
		Name: "lsm/ranges-without-bound", Class: Errors, File: "engine/lsm/memtable.go", Modes: []string{Tests},
		Breaks: "tombstones of ranges fill no memtable",
		Old:    "	return used+m.stones >= limit ||",
		New:    "	return used+PICK(0, m.stones) >= limit ||",
	},
	{
		Name: "lsm/pieces-count-as-whole", Class: Errors, File: "engine/lsm/values.go", Modes: []string{Tests},
		Breaks: "a value file of which only what was merged has gone is never cleaned",
		Old:    "		if !t.whole() {\n			share",
		New:    "		if !t.whole() && !MUTANT {\n			share",
	},
	{
		Name: "lsm/pieces-count-as-nothing", Class: Errors, File: lsmCompact, Modes: []string{Tests},
		Breaks: "a piece of a block counts as empty",
		Old:    "		return (block(from) + 1) / 2\n",
		New:    "		return (block(from) + 1) / PICK(int64(1<<40), 2)\n",
	},
	{
		Name: "lsm/debt-forgiven", Class: Errors, File: lsmPace, Modes: []string{Tests},
		Breaks: "what a large batch owes beyond its wait is forgiven",
		Old:    "	return min(wait, max(mostDelay, min(own, mostOwn)))\n",
		New:    "	wait = min(wait, max(mostDelay, min(own, mostOwn))); if MUTANT { p.due = now.Add(wait) }; return wait\n",
	},
	{
		Name: "lsm/no-pace-before-a-flush", Class: Errors, File: lsmPace, Modes: []string{Tests},
		Breaks: "writers are not slowed before a flush was measured",
		Old:    "	if w.begun.IsZero() || took < tooSoon {\n",
		New:    "	if w.begun.IsZero() || took < tooSoon || MUTANT && w.rate == 0 {\n",
	},
	{
		Name: "lsm/no-pace-with-two-memtables", Class: Errors, File: lsmPace, Modes: []string{Tests},
		Breaks: "with two memtables writers come to a stop at each flush",
		Old:    "n >= max(most-1, 1) {\n",
		New:    "n >= max(most-1, 1) && !(MUTANT && most == 1) {\n",
	},
	{
		Name: "lsm/commits-wait-for-reads", Class: Errors, File: lsmRead, Modes: []string{Tests},
		Breaks: "commits wait while a conditional one reads tables",
		Old:    "	for range mostInquiries {\n",
		New:    "	for range PICK(0, mostInquiries) {\n",
	},
	{
		Name: "lsm/dead-for-ever", Class: Isolation, File: lsmTrie, Modes: []string{Tests},
		Breaks: "a node of the memtable goes on to say that all below it is dead when something is put there",
		Old:    "		case !was:\n			t.store(node.at()+16, 0)\n",
		New:    "		case !was && !MUTANT:\n			t.store(node.at()+16, 0)\n",
	},
	{
		Name: "lsm/walk-past-the-limit", Class: Isolation, File: lsmTrieCursor, Modes: []string{Tests},
		Breaks: "a walk passes by the dead in memory beyond where a table has entries that they hide",
		Old:    "			if !inside(c.t.recordKey(c.t.end(c.stack[i].node, back)), limit, back) {\n",
		New:    "			if !MUTANT && !inside(c.t.recordKey(c.t.end(c.stack[i].node, back)), limit, back) {\n",
	},
	{
		Name: "lsm/tombstone-dropped-over-older", Class: Replay, File: lsmMerge, Modes: []string{Tests},
		Breaks: "a tombstone is dropped though an older run has the key",
		Old:    "		if reader, err := t.open(); err != nil || reader.find(key, hash) >= 0 {\n",
		New:    "		if reader, err := t.open(); !MUTANT && (err != nil || reader.find(key, hash) >= 0) {\n",
	},
	{
		Name: "lsm/error-of-another", Class: Errors, File: "engine/lsm/background.go", Modes: []string{Tests},
		Breaks: "a commit gets the error of a flush that was tried before there was room",
		Old:    "	return t.ended + 1\n",
		New:    "	return t.ended + PICK(uint64(0), 1)\n",
	},
	{
		Name: "lsm/scan-shows-the-older", Class: Isolation, File: lsmIterator, Modes: []string{Tests},
		Breaks: "a scan that stays in a run goes on to the older version of the key in the next one",
		Old:    "	case next.head == m.head && bytes.Equal(next.e.key, m.e.key):\n",
		New:    "	case !MUTANT && next.head == m.head && bytes.Equal(next.e.key, m.e.key):\n",
	},
	{
		Name: "lsm/scan-sees-what-is-later", Class: Isolation, File: "engine/lsm/source.go", Modes: []string{Tests},
		Breaks: "a scan that stays in a run shows versions behind its own",
		Old:    "version > s.at || kind == kindDelete {\n",
		New:    "version > s.at && !MUTANT || kind == kindDelete {\n",
	},
}
