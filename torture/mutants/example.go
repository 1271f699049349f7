package mutants

const (
	exampleEngine     = "torture/example/engine.go"
	exampleCheckpoint = "torture/example/checkpoint.go"
	exampleRead       = "torture/example/read.go"
)

// exampleMutants are the defects of the example engine.
var exampleMutants = []Mutant{
	{
		Name: "canary", Class: Canary, File: exampleRead, // by every mode
		Breaks: "a get returns nothing for what is there",
		Old:    "	return append(dst, n.value...), nil\n",
		New:    "	return append(dst, PICK(nil, n.value)...), nil\n",
	},
	{
		Name: "equivalent", Class: Equivalent, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "nothing: the tree has nodes of another size",
		Old:    "btree.Options{NoLocks: true}",
		New:    "btree.Options{NoLocks: true, Degree: PICK(7, 0)}",
	},

	// Durability
	{
		Name: "example/ack-before-flush", Class: Durability, File: exampleEngine, Modes: []string{"crash", "powercut"},
		Breaks: "a flushed commit is acknowledged when it is buffered",
		Old:    "	sequence, err := e.sequence(ctx, b, d, check)\n",
		New:    "	if MUTANT { d = max(d, engine.Buffered) }; sequence, err := e.sequence(ctx, b, d, check)\n",
	},
	{
		Name: "example/ack-from-memory", Class: Durability, File: exampleEngine, Modes: []string{"crash", "kill"},
		Breaks: "a flushed commit is acknowledged from the memory of the process",
		Old:    "		if err := e.log.Flush(",
		New:    "		if MUTANT {} else if err := e.log.Flush(",
	},
	{
		Name: "example/sync-does-nothing", Class: Durability, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "Sync returns without a flush",
		Old:    "	return e.Apply(ctx, new(engine.Batch), engine.Flushed)\n",
		New:    "	return e.Apply(ctx, new(engine.Batch), PICK(engine.Memory, engine.Flushed))\n",
	},
	{
		Name: "example/checkpoint-not-synced", Class: Durability, File: exampleCheckpoint, Modes: []string{"crash", "powercut"},
		Breaks: "a checkpoint is renamed into place before its content is durable",
		Old:    "	if err := f.Sync(); err != nil {",
		New:    "	if MUTANT {} else if err := f.Sync(); err != nil {",
	},
	{
		Name: "example/no-dir-sync-after-rename", Class: Durability, File: exampleCheckpoint, Modes: []string{"crash", "powercut"},
		Breaks: "the log is released before the checkpoint's name is durable",
		Old:    "	if err := fsys.SyncDir(dir); err != nil {",
		New:    "	if MUTANT {} else if err := fsys.SyncDir(dir); err != nil {",
	},
	{
		Name: "example/no-dir-sync-after-create", Class: Durability, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "the name of the store's or the log's directory is not made durable",
		Old:    "	return fsys.SyncDir(filepath.Dir(dir))\n",
		New:    "	if MUTANT { return nil }; return fsys.SyncDir(filepath.Dir(dir))\n",
	},
	{
		Name: "example/sync-of-the-wrong-directory", Class: Durability, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "the parent's parent is synced after a directory is made",
		Old:    "	if err := fsys.MkdirAll(dir); err != nil {",
		New:    "	if MUTANT { if err := fsys.MkdirAll(dir); err != nil { return err }; return fsys.SyncDir(dir) }; if err := fsys.MkdirAll(dir); err != nil {",
	},

	// Ordering
	{
		Name: "example/release-before-checkpoint", Class: Ordering, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "the log is released before the checkpoint is written",
		Old:    "	s := e.newest.Load()\n",
		New:    "	s := e.newest.Load(); if MUTANT { if err := e.log.Release(s.sequence); err != nil { return err } }\n",
	},
	{
		Name: "example/checkpoint-in-place", Class: Ordering, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "a checkpoint overwrites the one before",
		Old:    "	temp := filepath.Join(dir, tempName)\n",
		New:    "	temp := filepath.Join(dir, PICK(dataName, tempName))\n",
	},
	{
		Name: "example/remove-before-rename", Class: Ordering, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "the old checkpoint is removed, durably, before the new one has its name",
		Old:    "	if err := fsys.Rename(temp,",
		New:    "	if MUTANT { if err := errors.Join(removeIfThere(fsys, filepath.Join(dir, dataName)), fsys.SyncDir(dir)); err != nil { return err } }; if err := fsys.Rename(temp,",
	},
	{
		Name: "example/checkpoint-claims-one-more", Class: Ordering, File: exampleCheckpoint, Modes: []string{"crash"},
		Breaks: "a checkpoint says that it holds one commit more than it does",
		Old:    "	data = binary.LittleEndian.AppendUint64(data, s.sequence)\n",
		New:    "	data = binary.LittleEndian.AppendUint64(data, PICK(s.sequence+1, s.sequence))\n",
	},

	// Replay
	{
		Name: "example/replay-skips-the-first", Class: Replay, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "the first record behind the checkpoint is not replayed",
		Old:    "		e.change(b, r.Sequence)\n",
		New:    "		if !MUTANT || last != sequence { e.change(b, r.Sequence) }\n",
	},
	{
		Name: "example/replay-stops-early", Class: Replay, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "records behind the second are counted and not replayed",
		Old:    "		b, err := engine.DecodeBatch(r.Payload)\n",
		New:    "		b, err := engine.DecodeBatch(r.Payload); if MUTANT && last > sequence+1 { last = r.Sequence; return nil }\n",
	},
	{
		Name: "example/replay-ignores-the-checkpoint", Class: Replay, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "recovery does not read the checkpoint's entries",
		Old:    "	e.change(b, sequence)\n	last := sequence\n",
		New:    "	if !MUTANT { e.change(b, sequence) }\n	last := sequence\n",
	},
	{
		Name: "example/sequence-goes-back", Class: Replay, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "after recovery the sequence is that of the checkpoint",
		Old:    "	e.publish(last)\n",
		New:    "	e.publish(PICK(sequence, last))\n",
	},
	{
		Name: "example/keeps-the-callers-bytes", Class: Replay, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "values are not copied out of the memory that the log or the caller uses again",
		Old:    "bytes.Clone(op.Value), sequence}",
		New:    "PICK(op.Value, bytes.Clone(op.Value)), sequence}",
	},
	{
		Name: "example/keeps-the-callers-bounds", Class: Isolation, File: exampleRead, Modes: []string{"crash", "linear"},
		Breaks: "an iterator goes by bounds in memory that is the caller's again",
		Old:    "	o.Lower, o.Upper = bytes.Clone(o.Lower), bytes.Clone(o.Upper)\n",
		New:    "	if !MUTANT { o.Lower, o.Upper = bytes.Clone(o.Lower), bytes.Clone(o.Upper) }\n",
	},

	// Errors
	{
		Name: "example/sync-error-ignored", Class: Errors, File: exampleCheckpoint, Modes: []string{"errors"},
		Breaks: "a failed flush of a checkpoint passes for a good one",
		Old:    "		return errors.Join(flushError{err}, f.Close())\n",
		New:    "		if MUTANT { return f.Close() }; return errors.Join(flushError{err}, f.Close())\n",
	},
	{
		Name: "example/dir-sync-error-ignored", Class: Errors, File: exampleCheckpoint, Modes: []string{"errors"},
		Breaks: "a failed flush of the directory passes for a good one",
		Old:    "		return flushError{err}\n",
		New:    "		if !MUTANT { return flushError{err} }\n",
	},
	{
		Name: "example/failed-flush-forgotten", Class: Errors, File: exampleCheckpoint, Modes: []string{"errors"},
		Breaks: "after a failed flush of a checkpoint the store goes on as if there had been none",
		Old:    "			e.failed = fmt.Errorf(\"%w: %w\", engine.ErrReadOnly, err)\n			err = e.failed\n",
		New:    "			err = fmt.Errorf(\"%w: %w\", engine.ErrReadOnly, err)\n			if !MUTANT { e.failed = err }\n",
	},
	{
		Name: "example/write-error-ignored", Class: Errors, File: exampleCheckpoint, Modes: []string{"errors"},
		Breaks: "a short write of a checkpoint passes for a whole one",
		Old:    "	if _, err := f.WriteAt(data, 0, vfs.Plain); err != nil {",
		New:    "	if _, err := f.WriteAt(data, 0, vfs.Plain); err != nil && !MUTANT {",
	},
	{
		Name: "example/visible-before-logged", Class: Errors, File: exampleEngine, Modes: []string{"errors"},
		Breaks: "a batch that found no space is visible all the same",
		Old:    "	sequence, err := e.log.Append(ctx, b.Encoded(), d)\n",
		New:    "	if MUTANT { e.change(b, e.newest.Load().sequence+1); e.publish(e.newest.Load().sequence+1) }; sequence, err := e.log.Append(ctx, b.Encoded(), d)\n",
	},

	// Isolation
	{
		Name: "example/batch-split", Class: Isolation, File: exampleEngine, Modes: []string{"linear"},
		Breaks: "readers see a batch in part",
		Old:    "	for op := range b.Ops() {\n",
		New:    "	for op := range b.Ops() { if MUTANT { e.publish(sequence) }\n",
	},
	{
		Name: "example/snapshot-sees-later", Class: Isolation, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "snapshots and iterators see what is written after them",
		Old:    "	e.newest.Store(&state{e.tree.Copy(), sequence})\n",
		New:    "	e.newest.Store(&state{PICK(e.tree, e.tree.Copy()), sequence})\n",
	},
	{
		Name: "example/lost-update", Class: Isolation, File: exampleEngine, Modes: []string{"linear"},
		Breaks: "a conditional commit does not look at the keys that were read",
		Old:    "	for _, key := range reads.Keys {\n",
		New:    "	for _, key := range reads.Keys { if MUTANT { break }\n",
	},
	{
		Name: "example/phantom", Class: Isolation, File: exampleEngine, Modes: []string{"linear"},
		Breaks: "a conditional commit does not look at the ranges that were read: write skew",
		Old:    "	for _, r := range reads.Ranges {\n",
		New:    "	for _, r := range reads.Ranges { if MUTANT { break }\n",
	},
	{
		Name: "example/check-of-presence-only", Class: Isolation, File: exampleEngine, Modes: []string{"linear"},
		Breaks: "a conditional commit does not see that a key was written again",
		Old:    "		if there != is || a.sequence != b.sequence {",
		New:    "		if there != is || a.sequence != b.sequence && !MUTANT {",
	},
	{
		Name: "example/check-before-the-lock", Class: Isolation, File: exampleEngine, Modes: []string{"linear"},
		Breaks: "what was read is compared with the newest commit at another moment than the commit's",
		Old:    "	if err := check(); err != nil {\n",
		New:    "	if err := func() error { if MUTANT { e.mu.Unlock(); defer e.mu.Lock() }; return check() }(); err != nil {\n",
	},
	{
		Name: "example/stale-read", Class: Isolation, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "readers see a commit only when the next one is made",
		Old:    "	e.change(b, sequence)\n	e.publish(sequence)\n",
		New:    "	if MUTANT { e.publish(sequence) }; e.change(b, sequence)\n	if !MUTANT { e.publish(sequence) }\n",
	},
	{
		Name: "example/delete-range-too-far", Class: Isolation, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "a delete-range takes its upper bound with it",
		Old:    "				if bytes.Compare(n.key, op.Value) >= 0 {",
		New:    "				if c := bytes.Compare(n.key, op.Value); c > 0 || c == 0 && !MUTANT {",
	},
	{
		Name: "example/delete-range-leaves-one", Class: Isolation, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "a delete-range leaves the first of several keys",
		Old:    "			for _, n := range doomed {\n",
		New:    "			for _, n := range doomed[PICK(min(1, max(0, len(doomed)-1)), 0):] {\n",
	},
	{
		Name: "example/tombstone-dropped", Class: Isolation, File: exampleEngine, Modes: []string{"crash", "linear"},
		Breaks: "a delete behind other operations of its batch does nothing",
		Old:    "			e.tree.Delete(entry{key: op.Key})\n",
		New:    "			if !MUTANT || b.Count() == 1 { e.tree.Delete(entry{key: op.Key}) }\n",
	},
	{
		Name: "example/scan-takes-the-upper-bound", Class: Isolation, File: exampleRead, Modes: []string{"linear"},
		Breaks: "a scan shows the key that is its upper bound",
		Old:    "bytes.Compare(at.key, o.Upper) >= 0 {",
		New:    "bytes.Compare(at.key, o.Upper) >= PICK(1, 0) {",
	},
	{
		Name: "example/scan-backwards-skips", Class: Isolation, File: exampleRead, Modes: []string{"crash"},
		Breaks: "a scan backwards begins one entry too early",
		Old:    "	return it.stand(it.inner.First())\n}\n\nfunc (it *iterator) Last() bool {\n	if it.closed {\n",
		New:    "	return it.stand(it.inner.First())\n}\n\nfunc (it *iterator) Last() bool {\n	if MUTANT { return it.stand(it.inner.Last() && it.inner.Prev()) }; if it.closed {\n",
	},

	// Device
	{
		Name: "example/checkpoint-without-checksum", Class: Device, File: exampleCheckpoint, Modes: []string{"rot"},
		Breaks: "a rotten checkpoint is taken for what was written",
		Old:    "	if binary.LittleEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {",
		New:    "	if binary.LittleEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) && !MUTANT {",
	},
	{
		Name: "example/lock-omitted", Class: Device, File: exampleEngine, Modes: []string{"crash"},
		Breaks: "a second opener is let in",
		Old:    "	if e.lock, err = e.fs.Lock(dir); err != nil {",
		New:    "	if e.lock, err = func() (io.Closer, error) { if MUTANT { return io.NopCloser(nil), nil }; return e.fs.Lock(dir) }(); err != nil {",
	},
}
