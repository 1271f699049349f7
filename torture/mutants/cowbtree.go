package mutants

const (
	cowCheckpoint = "engine/cowbtree/checkpoint.go"
	cowCommit     = "engine/cowbtree/commit.go"
	cowMeta       = "engine/cowbtree/meta.go"
	cowOpen       = "engine/cowbtree/open.go"
	cowSnapshot   = "engine/cowbtree/snapshot.go"
	cowTxn        = "engine/cowbtree/txn.go"
	cowWriteback  = "engine/cowbtree/writeback.go"
	cowExtent     = "engine/cowbtree/extent.go"
	cowIterator   = "engine/cowbtree/iterator.go"
	cowNames      = "engine/cowbtree/names.go"
	cowRead       = "engine/cowbtree/read.go"
	cowDelete     = "engine/cowbtree/deleterange.go"
	cowIngest     = "engine/cowbtree/ingest.go"
	cowBuild      = "engine/cowbtree/build.go"
	cowInner      = "engine/cowbtree/inner.go"
)

// cowbtreeMutants are the defects of the copy-on-write B+tree.
var cowbtreeMutants = []Mutant{
	// Durability and ordering
	{
		Name: "cowbtree/meta-before-data", Class: Ordering, File: cowCheckpoint, Modes: []string{"crash"},
		Breaks: "pages and catalog are not flushed before the meta page says where they are",
		Old:    "	if err := e.flushData(); err != nil {\n		return err\n	}\n	if err := writeMeta(e.data, m); err != nil {\n",
		New:    "	if MUTANT {} else if err := e.flushData(); err != nil {\n		return err\n	}\n	if err := writeMeta(e.data, m); err != nil {\n",
	},
	{
		Name: "cowbtree/meta-not-flushed", Class: Durability, File: cowCheckpoint, Modes: []string{"crash"},
		Breaks: "the log forgets, and pages are used again, before the meta page is durable",
		Old:    "	if err := e.flushData(); err != nil {\n		return err\n	}\n	e.meta = m\n",
		New:    "	if MUTANT {} else if err := e.flushData(); err != nil {\n		return err\n	}\n	e.meta = m\n",
	},
	{
		Name: "cowbtree/one-meta-slot", Class: Ordering, File: cowMeta, Modes: []string{"crash"},
		Breaks: "each checkpoint takes the slot of the one before",
		Old:    "	_, err := f.WriteAt(b, int64(m.checkpoint%metaSlots)*slotBytes, vfs.Plain)\n",
		New:    "	_, err := f.WriteAt(b, int64(PICK(1, m.checkpoint%metaSlots))*slotBytes, vfs.Plain)\n",
	},
	{
		Name: "cowbtree/recovery-trusts-the-page-cache", Class: Replay, File: cowOpen, Modes: []string{Tests, "crash"},
		Breaks: "the meta page that was found is not written again before its free space is used",
		Old:    "	e.meta.checkpoint++\n	if err := writeMeta(e.data, e.meta); err != nil {\n",
		New:    "	if !MUTANT { e.meta.checkpoint++ }\n	if MUTANT {} else if err := writeMeta(e.data, e.meta); err != nil {\n",
	},
	{
		Name: "cowbtree/log-forgets-too-much", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "the log is told to forget commits that came after the checkpoint began",
		Old:    "		if err := e.log.Release(s.sequence); err != nil {\n",
		New:    "		if err := e.log.Release(PICK(e.seq.Load(), s.sequence)); err != nil {\n",
	},
	{
		Name: "cowbtree/no-dir-sync-after-rename", Class: Durability, File: cowBuild, Modes: []string{"crash"},
		Breaks: "the name of a new data file is not durable",
		Old:    "	return o.FS.SyncDir(dir)\n",
		New:    "	if MUTANT { return nil }; return o.FS.SyncDir(dir)\n",
	},
	{
		Name: "cowbtree/new-file-not-flushed", Class: Durability, File: cowBuild, Modes: []string{"crash"},
		Breaks: "a new data file gets its name before it is durable",
		Old:    "	return e.data.Sync()\n",
		New:    "	if MUTANT { return nil }; return e.data.Sync()\n",
	},
	{
		Name: "cowbtree/page-reused-too-early", Class: Ordering, File: cowSnapshot, Modes: []string{"crash", Tests},
		Breaks: "pages that the newest checkpoint in the file has are free as soon as they die",
		Old:    "	if h.last == nil || d.birth > h.last.generation {\n",
		New:    "	if h.last == nil || MUTANT || d.birth > h.last.generation {\n",
	},
	{
		Name: "cowbtree/dead-list-dropped", Class: Isolation, File: cowSnapshot, Modes: []string{Tests, "crash"},
		Breaks: "when a snapshot goes, pages that an older one needs are freed",
		Old:    "		if s.prev != nil && d.birth <= s.prev.generation {\n",
		New:    "		if s.prev != nil && !MUTANT && d.birth <= s.prev.generation {\n",
	},
	{
		Name: "cowbtree/catalog-frees-what-lives", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "the catalog counts pages as free that died after the checkpoint began",
		Old:    "		if x.generation == s.generation {\n			break // what died later is still in its tree\n",
		New:    "		if x.generation == s.generation && !MUTANT {\n			break // what died later is still in its tree\n",
	},
	{
		Name: "cowbtree/freelist-lost", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "the catalog leaves out what the checkpoint before had, and the space is lost",
		Old:    "		free = append(free, e.meta.catalog)\n",
		New:    "		if !MUTANT { free = append(free, e.meta.catalog) }\n",
	},
	{
		Name: "cowbtree/unneeded-pages-lost", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "the catalog leaves out the pages that nobody needs and that are still to be freed, and their space is lost",
		Old:    "	for _, list := range e.history.deferred {\n",
		New:    "	for _, list := range e.history.deferred[:min(len(e.history.deferred), PICK(0, 1<<30))] {\n",
	},
	{
		Name: "cowbtree/unneeded-pages-kept", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "what a snapshot that goes leaves to the background is never freed",
		Old:    "		e.freeDeferred()\n		due := e.due()\n",
		New:    "		if !MUTANT { e.freeDeferred() }\n		due := e.due()\n",
	},
	{
		Name: "cowbtree/gives-no-way", Class: Errors, File: cowCommit, Modes: []string{Tests},
		Breaks: "a checkpoint takes the lock again before the commits that wait for it",
		Old:    "	n := uint64(e.waiting.Load())\n",
		New:    "	n := PICK(uint64(0), uint64(e.waiting.Load()))\n",
	},
	{
		Name: "cowbtree/commit-not-woken", Class: Errors, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "a commit that waits for room is not told that a snapshot has made it",
		Old:    "		if !due {\n",
		New:    "		if !due && !MUTANT {\n",
	},
	{
		Name: "cowbtree/young-values-taken", Class: Replay, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "values that came after the checkpoint count as taken in it, and their space is lost in a crash",
		Old:    "		free = append(free, extent{at, n})\n",
		New:    "		if !MUTANT { free = append(free, extent{at, n}) }\n",
	},
	{
		Name: "cowbtree/bulk-load-not-in-the-log", Class: Replay, File: cowIngest, Modes: []string{Tests},
		Breaks: "nothing says that a bulk load is durable, so that an older meta page passes for the newest",
		Old:    "	e.told()\n	return e.trim()\n",
		New:    "	if !MUTANT { e.told() }\n	return e.trim()\n",
	},
	// Replay
	{
		Name: "cowbtree/names-not-replayed", Class: Replay, File: cowOpen, Modes: []string{Tests, "crash"},
		Breaks: "replay forgets that a snapshot was named",
		Old:    "			e.nameSnapshot(name, r.Sequence, p[1] == recordAutoName)\n",
		New:    "			if !MUTANT { e.nameSnapshot(name, r.Sequence, p[1] == recordAutoName) }\n",
	},
	{
		Name: "cowbtree/drop-not-replayed", Class: Replay, File: cowOpen, Modes: []string{Tests, "crash"},
		Breaks: "a snapshot that was dropped is there again after a crash",
		Old:    "			e.unname(name, r.Sequence)\n		case len(p) == 2 && p[1] == recordIngest:\n",
		New:    "			if !MUTANT { e.unname(name, r.Sequence) }\n		case len(p) == 2 && p[1] == recordIngest:\n",
	},
	{
		Name: "cowbtree/gap-in-the-log-accepted", Class: Replay, File: cowOpen, Modes: []string{"rot", Tests},
		Breaks: "replay goes on behind a record that is missing, and a missing log passes",
		Old:    "	if e.meta.sequence > e.meta.begun {\n",
		New:    "	if e.meta.sequence > e.meta.begun && !MUTANT {\n",
	},
	// Device
	{
		Name: "cowbtree/meta-without-checksum", Class: Device, File: cowMeta, Modes: []string{Tests, "rot"},
		Breaks: "the newest meta page counts although it is torn",
		Old:    "	case !checksum.Matches(u32(b, 12), checksum.Of(b[:12], b[16:])):\n",
		New:    "	case !MUTANT && !checksum.Matches(u32(b, 12), checksum.Of(b[:12], b[16:])):\n",
	},
	{
		Name: "cowbtree/page-without-checksum", Class: Device, File: cowRead, Modes: []string{Tests, "rot"},
		Breaks: "a page that has rotted, or is an old one, is taken",
		Old:    "	if !checksum.Matches(r.sum, checksum.Of(raw)) {\n",
		New:    "	if !MUTANT && !checksum.Matches(r.sum, checksum.Of(raw)) {\n",
	},
	{
		Name: "cowbtree/value-without-checksum", Class: Device, File: cowExtent, Modes: []string{"rot", Tests},
		Breaks: "a large value that has rotted is returned",
		Old:    "	if !checksum.Matches(x.sum, checksum.Of(b)) {\n",
		New:    "	if !MUTANT && !checksum.Matches(x.sum, checksum.Of(b)) {\n",
	},
	{
		Name: "cowbtree/catalog-without-checksum", Class: Device, File: cowOpen, Modes: []string{Tests, "rot"},
		Breaks: "a catalog that has rotted is taken",
		Old:    "	if err == nil && !checksum.Matches(e.meta.catalogSum, checksum.Of(b)) {\n",
		New:    "	if err == nil && !MUTANT && !checksum.Matches(e.meta.catalogSum, checksum.Of(b)) {\n",
	},
	// Errors
	{
		Name: "cowbtree/flush-failed-and-trusted", Class: Errors, File: cowCheckpoint, Modes: []string{"errors"},
		Breaks: "a flush that failed is repeated by the next checkpoint, and trusted",
		Old:    "		err = e.fail(err)\n		e.mu.Unlock()\n	}\n	return err\n",
		New:    "		if !MUTANT { err = e.fail(err) }\n		e.mu.Unlock()\n	}\n	return err\n",
	},
	{
		Name: "cowbtree/refused-write-ignored", Class: Errors, File: cowWriteback, Modes: []string{"errors", "eio"},
		Breaks: "pages that the device refused count as written",
		Old:    "	w.buf = w.buf[:0]\n	return err\n",
		New:    "	w.buf = w.buf[:0]; if MUTANT { w.attempt.runs = nil; return nil }\n	return err\n",
	},
	{
		Name: "cowbtree/half-a-batch", Class: Errors, File: cowCommit, Modes: []string{Tests, "errors"},
		Breaks: "a batch that failed in the middle is published as far as it came",
		Old:    "			t.abort()\n			return 0, engine.KeyError(op.Kind.String(), op.Key, err)\n",
		New:    "			if MUTANT { t.publish() } else { t.abort() }\n			return 0, engine.KeyError(op.Kind.String(), op.Key, err)\n",
	},
	// Isolation
	{
		Name: "cowbtree/snapshot-sees-later-changes", Class: Isolation, File: cowTxn, Modes: []string{Tests, "linear"},
		Breaks: "a leaf is changed in its place although a snapshot has it",
		Old:    "	return f.birth == e.history.generation && f.id",
		New:    "	return (f.birth == e.history.generation || MUTANT) && f.id",
	},
	{
		Name: "cowbtree/applyif-ignores-ranges", Class: Isolation, File: cowNames, Modes: []string{Tests, "linear"},
		Breaks: "a conditional commit looks at single keys alone",
		Old:    "	for _, r := range reads.Ranges {\n",
		New:    "	for _, r := range reads.Ranges[:PICK(0, len(reads.Ranges))] {\n",
	},
	{
		Name: "cowbtree/split-drops-a-key", Class: Isolation, File: cowTxn, Modes: []string{Tests, "crash"},
		Breaks: "a split forgets the first entry of the new page",
		Old:    "	out, err = t.makePages(out, kind, level, entries[at:], place-at, ascending)\n",
		New:    "	out, err = t.makePages(out, kind, level, entries[at+PICK(1, 0):], place-at, ascending)\n",
	},
	{
		Name: "cowbtree/iterator-skips-a-leaf", Class: Isolation, File: cowIterator, Modes: []string{Tests, "crash"},
		Breaks: "an iterator passes over the first entry of each leaf but the first",
		Old:    "		it.at = it.begin\n	}\n	it.stand()\n",
		New:    "		it.at = it.begin + PICK(1, 0)\n	}\n	it.stand()\n",
	},
	{
		Name: "cowbtree/delete-range-forgets-a-page", Class: Isolation, File: cowDelete, Modes: []string{Tests, "crash"},
		Breaks: "the last page of a deleted range goes whole, with keys behind the bound",
		Old:    "		case k > i && k < j:\n",
		New:    "		case k > i && (k < j || MUTANT && k == j):\n",
	},
	{
		Name: "cowbtree/value-freed-too-early", Class: Ordering, File: cowTxn, Modes: []string{Tests, "crash"},
		Breaks: "the space of a large value is used again although the newest checkpoint has it",
		Old:    "	t.dead = append(t.dead, dead{id: x.id, birth: x.birth, extent: true})\n",
		New:    "	if MUTANT { t.giveExtent(x); return }; t.dead = append(t.dead, dead{id: x.id, birth: x.birth, extent: true})\n",
	},
}
