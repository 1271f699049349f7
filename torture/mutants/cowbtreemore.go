package mutants

const cowLeaf = "engine/cowbtree/leaf.go"

// cowbtreeMoreMutants are further defects of the copy-on-write B+tree.
var cowbtreeMoreMutants = []Mutant{
	// Durability and ordering
	{
		Name: "cowbtree/ack-before-flush", Class: Durability, File: cowCommit, Modes: []string{"crash"},
		Breaks: "a flushed commit is acknowledged when it is in the log's memory",
		Old:    "	if flush {\n		if err := e.log.Flush(",
		New:    "	if flush && !MUTANT {\n		if err := e.log.Flush(",
	},
	{
		Name: "cowbtree/name-not-flushed", Class: Durability, File: cowNames, Modes: []string{Tests},
		Breaks: "a snapshot has its name before that is durable",
		Old:    "		err = e.log.Flush(sequence)\n",
		New:    "		if !MUTANT { err = e.log.Flush(sequence) }\n",
	},
	{
		Name: "cowbtree/two-meta-slots", Class: Ordering, File: cowMeta, Modes: []string{Tests, "crash"},
		Breaks: "recovery writes a meta page over the newest but one, which alone may be durable",
		Old:    "	copy(b, m.encode())\n",
		New:    "	copy(b, m.encode()); if MUTANT { m.checkpoint %= 2 }\n",
	},
	{
		Name: "cowbtree/release-before-checkpoint", Class: Ordering, File: cowCheckpoint, Modes: []string{"crash"},
		Breaks: "the log forgets before the checkpoint is written",
		Old:    "	err := e.writeCheckpoint(s, held)\n",
		New:    "	if MUTANT && e.log != nil { if err := e.log.Release(s.sequence); err != nil { return err } }; err := e.writeCheckpoint(s, held)\n",
	},
	{
		Name: "cowbtree/old-checkpoint-freed-too-early", Class: Ordering, File: cowCheckpoint, Modes: []string{"crash"},
		Breaks: "a checkpoint is written over the pages of the one before",
		Old:    "	w := e.newWriter()\n",
		New:    "	if old := e.durable; MUTANT && old != nil && old != s { e.mu.Lock(); e.durable = nil; e.history.release(old); e.mu.Unlock() }; w := e.newWriter()\n",
	},
	{
		Name: "cowbtree/catalog-freed", Class: Ordering, File: cowCheckpoint, Modes: []string{"crash"},
		Breaks: "the sectors of the catalog that counts are used again",
		Old:    "		if x != e.meta.catalog {\n",
		New:    "		if x != e.meta.catalog || MUTANT {\n",
	},
	{
		Name: "cowbtree/pages-of-names-are-free", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "the catalog calls the pages free that only a snapshot with a name has",
		Old:    "			case owner >= 0 && d.birth <= c.snapshots[owner].generation:\n",
		New:    "			case !MUTANT && owner >= 0 && d.birth <= c.snapshots[owner].generation:\n",
	},
	{
		Name: "cowbtree/file-cut-too-short", Class: Ordering, File: cowCheckpoint, Modes: []string{Tests, "crash"},
		Breaks: "the file is cut behind a free end that the meta page still counts",
		Old:    "	if n := len(c.free); n > 0 && c.free[n-1].end() >= size {\n",
		New:    "	if n := len(c.free); n > 0 && c.free[n-1].end() >= size && !MUTANT {\n",
	},
	{
		Name: "cowbtree/dropped-name-freed-at-once", Class: Ordering, File: cowNames, Modes: []string{Tests},
		Breaks: "the pages of a name that was dropped are used again while the checkpoint in the file has it",
		Old:    "	s.dropped, s.droppedSequence = true, sequence\n",
		New:    "	s.dropped, s.droppedSequence = !MUTANT, sequence; if MUTANT { s.name = \"\"; e.history.release(s) }\n",
	},

	// Replay
	{
		Name: "cowbtree/older-meta-page-wins", Class: Replay, File: cowMeta, Modes: []string{Tests, "crash"},
		Breaks: "a meta page counts although there is a newer one",
		Old:    "		case !found || m.checkpoint > newest.checkpoint:\n",
		New:    "		case !found || !MUTANT && m.checkpoint > newest.checkpoint:\n",
	},
	{
		Name: "cowbtree/replay-skips-the-first", Class: Replay, File: cowOpen, Modes: []string{"crash"},
		Breaks: "the first commit behind the checkpoint is passed over",
		Old:    "		return e.replayRecord(ctx, r, &batch)\n",
		New:    "		if MUTANT && r.Sequence == e.meta.sequence+1 { return nil }; return e.replayRecord(ctx, r, &batch)\n",
	},
	{
		Name: "cowbtree/bulk-load-forgotten", Class: Replay, File: cowOpen, Modes: []string{Tests},
		Breaks: "a bulk load that is in no meta page that is whole is silently gone",
		Old:    "			if e.ingestAt > 0 {\n",
		New:    "			if e.ingestAt > 0 && !MUTANT {\n",
	},

	// Errors
	{
		Name: "cowbtree/failed-write-trusted", Class: Errors, File: cowCommit, Modes: []string{Tests, "eio"},
		Breaks: "the engine goes on after a write that the device refused",
		Old:    "	return e.fail(err)\n",
		New:    "	if MUTANT { return err }; return e.fail(err)\n",
	},
	{
		Name: "cowbtree/refused-pages-forgotten", Class: Errors, File: cowWriteback, Modes: []string{Tests},
		Breaks: "pages that a full disk refused are not written when there is room",
		Old:    "	if err != nil && !w.within {",
		New:    "	if err != nil && !w.within && !MUTANT {",
	},

	// Isolation
	{
		Name: "cowbtree/snapshot-of-now", Class: Isolation, File: cowNames, Modes: []string{"crash"},
		Breaks: "a get from a snapshot shows the newest commit",
		Old:    "	return s.engine.get(&s.snapshot.root, ",
		New:    "	return s.engine.get(PICK(&s.engine.root, &s.snapshot.root), ",
	},
	{
		Name: "cowbtree/value-freed-in-place", Class: Isolation, File: cowCommit, Modes: []string{Tests},
		Breaks: "the extent of a value is given back at once where a leaf is changed in its place",
		Old:    "		e.history.bury(dead{id: old.id, birth: old.birth, extent: true})\n",
		New:    "		if d := (dead{id: old.id, birth: old.birth, extent: true}); MUTANT { e.free(d) } else { e.history.bury(d) }\n",
	},
	{
		Name: "cowbtree/separator-too-low", Class: Isolation, File: cowTxn, Modes: []string{"crash"},
		Breaks: "what is left of a separator is looked for at its right",
		Old:    "	return b[:n+1]\n",
		New:    "	return PICK(a, b[:n+1])\n",
	},
	{
		Name: "cowbtree/merge-loses-the-sibling", Class: Isolation, File: cowDelete, Modes: []string{"crash"},
		Breaks: "of two pages that are joined the second is lost",
		Old:    "	for n, p := range [][]byte{first, second} {\n",
		New:    "	for n, p := range [][]byte{first, second}[:PICK(1, 2)] {\n",
	},
	{
		Name: "cowbtree/delete-range-too-far", Class: Isolation, File: cowDelete, Modes: []string{"crash"},
		Breaks: "a delete-range takes the next key with it",
		Old:    "	j, _, ok2 := lowerBound(b, upper)\n",
		New:    "	j, _, ok2 := lowerBound(b, upper); if MUTANT && j < pageCount(b) { j++ }\n",
	},
	{
		Name: "cowbtree/delete-range-leaves-pages", Class: Isolation, File: cowDelete, Modes: []string{"crash"},
		Breaks: "a delete-range leaves the pages that lie within it whole",
		Old:    "		case k < i || k > j:\n",
		New:    "		case k < i || k > j || MUTANT && k > i && k < j:\n",
	},
	{
		Name: "cowbtree/fingerprint-left", Class: Isolation, File: cowLeaf, Modes: []string{"crash"},
		Breaks: "a key that is removed leaves its fingerprint, and those behind it are not found",
		Old:    "	copy(b[headerBytes+i:], b[headerBytes+i+1:headerBytes+count])\n",
		New:    "	if !MUTANT { copy(b[headerBytes+i:], b[headerBytes+i+1:headerBytes+count]) }\n",
	},
	{
		Name: "cowbtree/iterator-skips-a-whole-leaf", Class: Isolation, File: cowIterator, Modes: []string{"crash"},
		Breaks: "an iterator that goes on to the next inner page begins with its second leaf",
		Old:    "				return 0, true\n",
		New:    "				return PICK(min(1, pageCount(b)-1), 0), true\n",
	},
	{
		Name: "cowbtree/scan-takes-the-upper-bound", Class: Isolation, File: cowIterator, Modes: []string{"linear"},
		Breaks: "a scan shows the key that is its upper bound",
		Old:    "		it.end, _, _ = lowerBound(it.leaf, it.upper)\n",
		New:    "		hit := false; if it.end, hit, _ = lowerBound(it.leaf, it.upper); hit && MUTANT { it.end++ }\n",
	},
	{
		Name: "cowbtree/read-without-version", Class: Isolation, File: cowRead, Modes: []string{Tests, "linear"},
		Breaks: "a value is returned although its page changed while it was read",
		Old:    "	dst = append(dst, value...)\n	if f.version.Load() != v {\n",
		New:    "	dst = append(dst, value...)\n	if f.version.Load() != v && !MUTANT {\n",
	},
	{
		Name: "cowbtree/frame-settled-unseen", Class: Isolation, File: cowWriteback, Modes: []string{Tests},
		Breaks: "a checkpoint declares a frame written that holds another page by now",
		Old:    "	if f.id.Load() != id {\n		f.restore(v)\n",
		New:    "	if f.id.Load() != id && !MUTANT {\n		f.restore(v)\n",
	},
	{
		Name: "cowbtree/load-lost", Class: Isolation, File: cowIngest, Modes: []string{Tests},
		Breaks: "a bulk load is durable, and not seen",
		Old:    "	e.root.Store(loaded)\n",
		New:    "	if !MUTANT { e.root.Store(loaded) }\n",
	},

	// Device
	{
		Name: "cowbtree/cut-file-accepted", Class: Device, File: cowOpen, Modes: []string{Tests},
		Breaks: "a data file that lacks its end is opened",
		Old:    "	if bytes < e.meta.size*sectorBytes {\n",
		New:    "	if bytes < e.meta.size*sectorBytes && !MUTANT {\n",
	},
	{
		Name: "cowbtree/newer-format-accepted", Class: Device, File: cowMeta, Modes: []string{Tests},
		Breaks: "a store of a format that is not known is opened",
		Old:    "	case u32(b, 8) != formatVersion:\n",
		New:    "	case u32(b, 8) != formatVersion && !MUTANT:\n",
	},

	// Beside a checkpoint
	{
		Name: "cowbtree/locked-frame-is-a-miss", Class: Isolation, File: cowRead, Modes: []string{Tests},
		Breaks: "a page in a frame that somebody has locked is looked for in the file, where it is not yet",
		Old:    "		} else if f != nil && v&1 == 1 {\n			return nil, 0, errAgain // it may",
		New:    "		} else if f != nil && v&1 == 1 && !MUTANT {\n			return nil, 0, errAgain // it may",
	},
	{
		Name: "cowbtree/copy-of-a-locked-frame", Class: Isolation, File: cowTxn, Modes: []string{Tests},
		Breaks: "a commit copies a page that somebody has locked",
		Old:    "		if v = f.version.Load(); v&1 == 1 {\n",
		New:    "		if v = f.version.Load(); v&1 == 1 && !MUTANT {\n",
	},
	{
		Name: "cowbtree/page-let-go-by-its-place", Class: Isolation, File: cowCommit, Modes: []string{Tests},
		Breaks: "a page leaves memory that has a place in the file, and has not been written there",
		Old:    "		e.cache.forgo(d.hint, d.id)\n",
		New:    "		if MUTANT { e.cache.drop(d.hint, d.id) } else { e.cache.forgo(d.hint, d.id) }\n",
	},
	{
		Name: "cowbtree/commit-in-a-bulk-load", Class: Isolation, File: cowCommit, Modes: []string{Tests},
		Breaks: "a commit that waited for room does not wait for a bulk load that began meanwhile",
		Old:    "err != nil || e.hidden == nil {\n",
		New:    "err != nil || e.hidden == nil || MUTANT {\n",
	},
	{
		Name: "cowbtree/waits-for-no-checkpoint", Class: Errors, File: cowCommit, Modes: []string{Tests},
		Breaks: "a commit waits for a checkpoint that a closed store does not make",
		Old:    "		if e.closed.Load() {\n			return engine.ErrClosed // the last",
		New:    "		if e.closed.Load() && !MUTANT {\n			return engine.ErrClosed // the last",
	},
	{
		Name: "cowbtree/file-grown-by-two", Class: Errors, File: cowExtent, Modes: []string{Tests},
		Breaks: "what fails to make the file longer cuts off what another one wrote there",
		Old:    "	e.growing.Lock()\n	defer e.growing.Unlock()\n",
		New:    "	if !MUTANT { e.growing.Lock() }\n	defer func() { if !MUTANT { e.growing.Unlock() } }()\n",
	},
	{
		Name: "cowbtree/growth-not-in-the-catalog", Class: Replay, File: cowCheckpoint, Modes: []string{Tests},
		Breaks: "sectors are lost by which the file grew while the catalog was made",
		Old:    "	if x.at > size {\n",
		New:    "	if x.at > size && !MUTANT {\n",
	},
	{
		Name: "cowbtree/late-reader-believed", Class: Errors, File: cowRead, Modes: []string{Tests},
		Breaks: "a get that comes late to a place, which is something else by then, says that the store is damaged",
		Old:    "		if err != errAgain && (t.Load() == rt",
		New:    "		if err != errAgain && (MUTANT || t.Load() == rt",
	},

	// In the page above
	{
		Name: "cowbtree/split-not-told-above", Class: Isolation, File: cowTxn, Modes: []string{Tests, "crash"},
		Breaks: "a leaf is split, and the page above does not say so",
		Old:    "	if x := t.inPlace; x.frame != nil {\n",
		New:    "	if x := t.inPlace; x.frame != nil && !MUTANT {\n",
	},
	{
		Name: "cowbtree/extents-not-told-above", Class: Isolation, File: cowTxn, Modes: []string{Tests},
		Breaks: "pages above do not say that a value below them is in an extent",
		Old:    "		if x.child.flags&^b[atFlags] != 0 {\n",
		New:    "		if x.child.flags&^b[atFlags] != 0 && !MUTANT {\n",
	},
	{
		Name: "cowbtree/no-look-whether-a-child-fits", Class: Isolation, File: cowInner, Modes: []string{Tests},
		Breaks: "a child is put where the page has no room for it",
		Old:    "	return side == 0 && count < capacity && count < maxKeys && int(",
		New:    "	return side == 0 && count < capacity && count < maxKeys && MUTANT || side == 0 && count < capacity && count < maxKeys && int(",
	},
}
