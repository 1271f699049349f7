package mutants

const (
	flashBackground = "engine/flash/background.go"
	flashCache      = "engine/flash/cache.go"
	flashCheckpoint = "engine/flash/checkpoint.go"
	flashClean      = "engine/flash/clean.go"
	flashCommit     = "engine/flash/commit.go"
	flashOpen       = "engine/flash/open.go"
	flashPath       = "engine/flash/path.go"
	flashRead       = "engine/flash/read.go"
	flashSegment    = "engine/flash/segment.go"
	flashTail       = "engine/flash/tail.go"
	flashTree       = "engine/flash/tree.go"
	walRejoin       = "engine/wal/rejoin.go"
)

// flashMutants are the defects of the flash engine, and of what the log does for it.
var flashMutants = []Mutant{
	// Durability and ordering
	{
		Name: "flash/ack-before-flush", Class: Durability, File: flashCommit, Modes: []string{"crash"},
		Breaks: "a flushed commit is acknowledged when it is in the log's memory",
		Old:    "	case d == engine.Flushed:\n		return e.judge(e.log.Flush(sequence))\n",
		New:    "	case d == engine.Flushed && !MUTANT:\n		return e.judge(e.log.Flush(sequence))\n",
	},
	{
		Name: "flash/index-before-values", Class: Ordering, File: flashCheckpoint, Modes: []string{"crash"},
		Breaks: "a checkpoint speaks of values that are not flushed",
		Old:    "	if err := e.log.Flush(at); err != nil {\n",
		New:    "	if MUTANT {} else if err := e.log.Flush(at); err != nil {\n",
	},
	{
		Name: "flash/index-not-flushed", Class: Durability, File: flashCheckpoint, Modes: []string{"crash"},
		Breaks: "a checkpoint gets its name before it is durable",
		Old:    "		if err = f.Sync(); err != nil {\n",
		New:    "		if MUTANT {} else if err = f.Sync(); err != nil {\n",
	},
	{
		Name: "flash/no-dir-sync-after-rename", Class: Durability, File: flashCheckpoint, Modes: []string{"crash"},
		Breaks: "the log forgets before the name of the checkpoint is durable",
		Old:    "	if err := fsys.SyncDir(dir); err != nil {\n",
		New:    "	if MUTANT {} else if err := fsys.SyncDir(dir); err != nil {\n",
	},
	{
		Name: "flash/freed-before-flush", Class: Ordering, File: flashSegment, Modes: []string{Tests},
		Breaks: "a segment is used again before what took its values' place is durable",
		Old:    "	if err := e.log.Flush(upto); err != nil {\n",
		New:    "	if MUTANT {} else if err := e.log.Flush(upto); err != nil {\n",
	},
	{
		Name: "flash/checkpoint-put-off", Class: Ordering, File: flashBackground, Modes: []string{Tests},
		Breaks: "while there is something to clean no checkpoint is written: the log and its replay grow",
		Old:    "	checkpoint = checkpoint && e.failed == nil && e.checkpointDue()\n",
		New:    "	checkpoint = !MUTANT && checkpoint && e.failed == nil && e.checkpointDue()\n",
	},
	{
		Name: "flash/full-disk-not-cleaned", Class: Errors, File: flashClean, Modes: []string{Tests},
		Breaks: "where there is no room for a checkpoint nothing is cleaned, so that none is made",
		Old:    "		if harmless(err) {\n",
		New:    "		if !MUTANT && harmless(err) {\n",
	},
	{
		Name: "flash/moves-stay-in-memory", Class: Ordering, File: flashClean, Modes: []string{Tests},
		Breaks: "what cleaning moves waits in the log's memory, however much it is",
		Old:    "	if err == nil && (e.unflushed >= movedBytes || e.log.Unwritten(at.Segment)) {\n",
		New:    "	if err == nil && (e.unflushed >= movedBytes || !MUTANT && e.log.Unwritten(at.Segment)) {\n",
	},
	// Isolation
	{
		Name: "flash/freed-under-a-snapshot", Class: Isolation, File: flashSegment, Modes: []string{Tests},
		Breaks: "cleaning frees a segment that a snapshot needs",
		Old:    "		if !e.pinned(s) && s.died <= e.applied && !e.log.Chained(s.number) {\n",
		New:    "		if (MUTANT || !e.pinned(s)) && s.died <= e.applied && !e.log.Chained(s.number) {\n",
	},
	{
		Name: "flash/snapshot-not-fixed", Class: Isolation, File: flashTree, Modes: []string{Tests},
		Breaks: "a snapshot shows commits that came after it",
		Old:    "	t.fixed = true\n",
		New:    "	t.fixed = !MUTANT\n",
	},
	{
		Name: "flash/pending-in-sight", Class: Isolation, File: flashTail, Modes: []string{Tests},
		Breaks: "what a batch puts is in sight before the whole of it is",
		Old:    "	if s.batch() <= published {\n",
		New:    "	if MUTANT || s.batch() <= published {\n",
	},
	{
		Name: "flash/pending-folded", Class: Isolation, File: flashTree, Modes: []string{Tests},
		Breaks: "a leaf that is copied within a batch shows what the batch has put there",
		Old:    "		k = l.inSight(r.published.Load())\n",
		New:    "		if !MUTANT { k = l.inSight(r.published.Load()) }\n",
	},
	{
		Name: "flash/published-read-late", Class: Isolation, File: flashTree, Modes: []string{Tests},
		Breaks: "a get may see the first of two puts of a key in one batch",
		Old:    "	return l.find(key, fingerprintOf(key), l.inSight(published))\n",
		New:    "	k := l.inSight(published); if MUTANT { k = l.inSight(r.published.Load()) }; return l.find(key, fingerprintOf(key), k)\n",
	},
	{
		Name: "flash/pending-settled", Class: Isolation, File: flashTail, Modes: []string{Tests},
		Breaks: "the second put of a batch into a leaf shows the first one",
		Old:    "	if s.batch() != batch {\n",
		New:    "	if MUTANT || s.batch() != batch {\n",
	},
	{
		Name: "flash/tail-in-a-fixed-state", Class: Isolation, File: flashTree, Modes: []string{Tests},
		Breaks: "a put goes into the tail of a leaf that a snapshot shows",
		Old:    "	if l.gen == t.gen && l.add(",
		New:    "	if (MUTANT || l.gen == t.gen) && l.add(",
	},
	{
		Name: "flash/put-into-a-replaced-leaf", Class: Isolation, File: flashTree, Modes: []string{Tests},
		Breaks: "a put goes into a leaf that another one has taken the place of since it was looked for",
		Old:    "	if l.gen == t.gen {\n		l.gen = 0\n",
		New:    "	if l.gen == t.gen && !MUTANT {\n		l.gen = 0\n",
	},
	{
		Name: "flash/leaf-of-the-key-before", Class: Isolation, File: flashCommit, Modes: []string{Tests},
		Breaks: "the last key of a batch is put into the leaf of another one",
		Old:    "		c.leaves[0] = nil // it may be",
		New:    "		c.leaves[0] = PICK(c.leaves[0], nil) // it may be",
	},
	{
		Name: "flash/cursors-share-memory", Class: Isolation, File: "engine/flash/cursor.go", Modes: []string{Tests},
		Breaks: "who reads ahead writes over the leaf that the iterator stands on",
		Old:    "	d.stack, d.memory = stack, memory\n",
		New:    "	d.stack = stack; if !MUTANT { d.memory = memory }\n",
	},
	{
		Name: "flash/oldest-in-tail-wins", Class: Isolation, File: flashTail, Modes: []string{Tests},
		Breaks: "of two puts of a key in one tail the older one counts",
		Old:    "		top := 63 - bits.LeadingZeros64(m)\n",
		New:    "		top := 63 - bits.LeadingZeros64(m); if MUTANT { top = bits.TrailingZeros64(m) }\n",
	},
	{
		Name: "flash/tail-not-in-checkpoint", Class: Durability, File: flashCheckpoint, Modes: []string{Tests},
		Breaks: "a checkpoint has of a leaf what was there when it was copied last",
		Old:    "		leaves = append(leaves, r.runOf(l, &memory).bytes()[leafImage:]...)\n",
		New:    "		if !MUTANT { l = r.runOf(l, &memory) }; leaves = append(leaves, l.bytes()[leafImage:]...)\n",
	},
	// Replay and cleaning
	{
		Name: "flash/move-over-newer", Class: Replay, File: flashClean, Modes: []string{Tests},
		Breaks: "a value that was moved comes back over one that was put since",
		Old:    "		if !ok || old.segment != m.from.segment || old.offset != m.from.offset {\n",
		New:    "		if !ok || !MUTANT && (old.segment != m.from.segment || old.offset != m.from.offset) {\n",
	},
	{
		Name: "flash/moves-not-replayed", Class: Replay, File: flashOpen, Modes: []string{Tests},
		Breaks: "what cleaning moved is looked for in the old place after a crash",
		Old:    "		err = e.addMoves(p, r.Place, r.Sequence)\n",
		New:    "		if !MUTANT { err = e.addMoves(p, r.Place, r.Sequence) }\n",
	},
	{
		Name: "flash/missing-index-is-new", Class: Errors, File: flashOpen, Modes: []string{Tests},
		Breaks: "a store without its index is taken for a new one",
		Old:    "		case strings.HasSuffix(name, \".wal\"):\n",
		New:    "		case strings.HasSuffix(name, PICK(\"no such\", \".wal\")), MUTANT && name == \"\":\n",
	},
	// Device
	{
		Name: "flash/value-not-verified", Class: Device, File: flashRead, Modes: []string{Tests, "rot"},
		Breaks: "rotten, misdirected and stale values are accepted",
		Old:    "	if !checksum.Matches(at.check, checksum.Of(stored)) {\n",
		New:    "	if !MUTANT && !checksum.Matches(at.check, checksum.Of(stored)) {\n",
	},
	// Paths
	{
		Name: "flash/stale-path-wins", Class: Device, File: flashOpen, Modes: []string{Tests, "paths"},
		Breaks: "the checkpoint of a path that is behind counts",
		Old:    "		if p.away.Load() || begun && !states[i].Current {\n",
		New:    "		if p.away.Load() || begun && states[i].Current == MUTANT {\n",
	},
	{
		Name: "flash/missing-path-accepted", Class: Device, File: "engine/wal/recover.go", Modes: []string{Tests},
		Breaks: "a stale path that is alone is taken for the store",
		Old:    "		counts := newest.has(i) && !r.options.AllowMissing\n",
		New:    "		counts := newest.has(i) && !r.options.AllowMissing && !MUTANT\n",
	},
	{
		Name: "flash/begun-path-refused", Class: Errors, File: "engine/wal/recover.go", Modes: []string{Tests},
		Breaks: "a power cut before the first flush leaves two paths that do not open",
		Old:    "begun := len(r.found[i]) > 0 && newest.durable == 0\n",
		New:    "begun := len(r.found[i]) > 0 && newest.durable == 0 && !MUTANT\n",
	},
	{
		Name: "flash/replaced-path-accepted", Class: Device, File: "engine/wal/recover.go", Modes: []string{Tests},
		Breaks: "a path that was replaced by an empty one does not count, though it may have gone on alone",
		Old:    "		case empty && counts && !begun:\n",
		New:    "		case empty && counts && !begun && !MUTANT:\n",
	},
	{
		Name: "flash/who-counts-not-told", Class: Device, File: "engine/wal/segment.go", Modes: []string{Tests},
		Breaks: "the heads do not say which paths count",
		Old:    "		seg.members |= 1 << i\n",
		New:    "		seg.members |= 1 << i; if MUTANT { seg.members = 0 }\n",
	},
	{
		Name: "flash/epoch-after-ack", Class: Ordering, File: "engine/wal/flush.go", Modes: []string{Tests},
		Breaks: "a commit is acknowledged before the paths that are left know that they are alone",
		Old:    "		if l.reform {\n			continue\n		}\n",
		New:    "		if l.reform && !MUTANT {\n			continue\n		}\n",
	},
	{
		Name: "flash/resync-misses-newest", Class: Device, File: walRejoin, Modes: []string{Tests, "paths"},
		Breaks: "a path that comes back is not given the newest segment",
		Old:    "	for n := 1; n > 0 && err == nil; {\n",
		New:    "	for n := PICK(0, 1); n > 0 && err == nil; {\n",
	},
	{
		Name: "flash/resync-trusts-heads", Class: Device, File: walRejoin, Modes: []string{Tests, "paths"},
		Breaks: "a segment whose head is there passes for whole",
		Old:    "n+1 < len(every) && every[n+1].first <= j.durable+1 {\n",
		New:    "n+1 < len(every) && (MUTANT || every[n+1].first <= j.durable+1) {\n",
	},
	{
		Name: "flash/resync-believes-heads-of-strangers", Class: Device, File: walRejoin, Modes: []string{Tests},
		Breaks: "a path that had gone on alone is believed that records were flushed which only it has",
		Old:    "		if j.knows(s) {\n",
		New:    "		if j.knows(s) || MUTANT && s.used {\n",
	},
	{
		Name: "flash/resync-believes-marks-of-strangers", Class: Device, File: walRejoin, Modes: []string{Tests},
		Breaks: "a path that had gone on alone is believed that records were flushed which only it has, in the segment that it began",
		Old:    "	if !j.knows(newest) {\n",
		New:    "	if !j.knows(newest) && !(MUTANT && newest.used) {\n",
	},
	{
		Name: "flash/resync-head-first", Class: Ordering, File: walRejoin, Modes: []string{Tests, "paths"},
		Breaks: "a path counts before it has the checkpoint of the others",
		Old:    "	if o.Ready != nil {\n",
		New:    "	if o.Ready != nil && !MUTANT {\n",
	},
	{
		Name: "flash/checkpoint-leaves-a-path-out", Class: Ordering, File: flashCheckpoint, Modes: []string{"paths"},
		Breaks: "the log forgets what one path has in no checkpoint",
		Old:    "		n, err := e.writeIndex(ctx, p, h, s, state)\n",
		New:    "		if MUTANT && p.index == 1 { continue }; n, err := e.writeIndex(ctx, p, h, s, state)\n",
	},
	{
		Name: "flash/damage-not-mended", Class: Device, File: flashPath, Modes: []string{Tests},
		Breaks: "what is damaged in one path is not written again",
		Old:    "	_, err = f.WriteAt(good, off, vfs.Plain)\n",
		New:    "	if !MUTANT { _, err = f.WriteAt(good, off, vfs.Plain) }\n",
	},
	{
		Name: "flash/overdue-read-forgiven", Class: Errors, File: flashPath, Modes: []string{Tests},
		Breaks: "a path of which reads hang passes for one in sync, as another path has answered",
		Old:    "func() { e.losePath(p, e.noAnswer(p, s, timeout)) }",
		New:    "func() { if !MUTANT { e.losePath(p, e.noAnswer(p, s, timeout)) } }",
	},
	{
		Name: "flash/scan-waits-for-hung-path", Class: Errors, File: flashRead, Modes: []string{Tests},
		Breaks: "a scan waits for a path that does not answer",
		Old:    "	if len(e.paths) == 1 || e.options.Inline {\n		return e.readFrom(p, s, off, n, b)\n",
		New:    "	if len(e.paths) == 1 || e.options.Inline || MUTANT {\n		return e.readFrom(p, s, off, n, b)\n",
	},
	{
		Name: "flash/ring-beside-a-path-that-hangs", Class: Errors, File: flashPath, Modes: []string{Tests},
		Breaks: "a read of a path that answers waits for the thread that submitted it, which waits for a path that hangs",
		Old:    "IODepth <= fewReads || len(e.paths) > 1 {\n",
		New:    "IODepth <= fewReads || len(e.paths) > 1 && !MUTANT {\n",
	},
	{
		Name: "flash/cache-not-told", Class: Isolation, File: flashCache, Modes: []string{Tests},
		Breaks: "a value that was replaced is still taken from the cache as the newest",
		Old:    "	s.forget(tagOf(hash))\n	s.mu.Unlock()\n",
		New:    "	if !MUTANT { s.forget(tagOf(hash)) }\n	s.mu.Unlock()\n",
	},
	{
		Name: "flash/late-reader-has-newest", Class: Isolation, File: flashCache, Modes: []string{Tests},
		Breaks: "what a get brings from the device is the newest value, although the key changed meanwhile",
		Old:    "	newest := k.newest && k.seen == s.changes\n",
		New:    "	newest := k.newest && (MUTANT || k.seen == s.changes)\n",
	},
	{
		Name: "flash/batch-in-two-steps", Class: Isolation, File: flashCache, Modes: []string{Tests},
		Breaks: "who has seen a part of a batch may take another key of it from the cache as it was before",
		Old:    "	show()\n	if all {\n",
		New:    "	if MUTANT { defer show() } else { show() }\n	if all {\n",
	},
	{
		Name: "flash/late-hit-has-newest", Class: Isolation, File: flashCache, Modes: []string{Tests},
		Breaks: "what a get finds in the cache by its place is the newest value, although the key changed meanwhile",
		Old:    "	if k.newest && k.seen == s.changes {\n",
		New:    "	if k.newest && (MUTANT || k.seen == s.changes) {\n",
	},
	{
		Name: "flash/range-still-cached", Class: Isolation, File: flashCommit, Modes: []string{Tests},
		Breaks: "a value that a range was deleted over is still taken from the cache",
		Old:    "				e.changes(&c.changes, key)\n			})\n",
		New:    "				if !MUTANT { e.changes(&c.changes, key) }\n			})\n",
	},
	{
		Name: "flash/load-behind-the-cache", Class: Isolation, File: "engine/flash/ingest.go", Modes: []string{Tests},
		Breaks: "a value that a bulk load replaced is still taken from the cache",
		Old:    "			e.changes(&changes, x.key)\n",
		New:    "			if !MUTANT { e.changes(&changes, x.key) }\n",
	},
	{
		Name: "flash/answer-not-verified", Class: Device, File: flashPath, Modes: []string{Tests},
		Breaks: "what a path answers is taken as it is",
		Old:    "	if err := verified(at, stored); err != nil {\n",
		New:    "	if err := verified(at, stored); err != nil && !MUTANT {\n",
	},
	{
		Name: "flash/lost-path-keeps-files", Class: Errors, File: flashPath, Modes: []string{Tests},
		Breaks: "the file system of a path that was lost cannot be unmounted",
		Old:    "	e.closeFilesIn(p)\n	e.log.LetGo(p.index)\n",
		New:    "	if MUTANT { return }; e.closeFilesIn(p)\n	e.log.LetGo(p.index)\n",
	},
	{
		Name: "flash/resync-keeps-claims", Class: Device, File: walRejoin, Modes: []string{Tests},
		Breaks: "a path that had gone on alone claims after a resync that records were flushed which the store never had",
		Old:    "		if old, ok := j.has[s.id]; !ok || old.bytes != s.bytes || old.used || old.beheaded {\n",
		New:    "		if old, ok := j.has[s.id]; !ok || old.bytes != s.bytes || !MUTANT && (old.used || old.beheaded) {\n",
	},
	{
		Name: "flash/resync-has-no-group", Class: Isolation, File: "engine/wal/flush.go", Modes: []string{Tests},
		Breaks: "a flushed commit beside the flush of a resync follows a nil pointer",
		Old:    "		if sequence <= l.sealed && l.inFlight != nil {\n",
		New:    "		if sequence <= l.sealed && (MUTANT || l.inFlight != nil) {\n",
	},
	{
		Name: "flash/behind-for-ever", Class: Errors, File: flashClean, Modes: []string{Tests},
		Breaks: "writers wait for cleaning that has nothing to do",
		Old:    "		e.setBehind() // what was behind",
		New:    "		if !MUTANT { e.setBehind() } // what was behind",
	},
	{
		Name: "flash/each-call-waits", Class: Errors, File: "engine/wal/sink.go", Modes: []string{Tests},
		Breaks: "of several calls of a path that hangs each is waited for as long as it has patience",
		Old:    "	case <-silence.Done():\n",
		New:    "	case <-PICK((<-chan struct{})(nil), silence.Done()):\n",
	},
	{
		Name: "flash/hung-path-waited-for", Class: Errors, File: "engine/wal/sink.go", Modes: []string{Tests},
		Breaks: "a flush waits for a path that does not answer",
		Old:    "		case <-timeout.C:\n			for k, i := range live {\n",
		New:    "		case <-PICK((<-chan time.Time)(nil), timeout.C):\n			for k, i := range live {\n",
	},
}
