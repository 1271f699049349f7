package mutants

const (
	walFormat  = "engine/wal/format.go"
	walScan    = "engine/wal/scan.go"
	walGroup   = "engine/wal/group.go"
	walFlush   = "engine/wal/flush.go"
	walSink    = "engine/wal/sink.go"
	walSegment = "engine/wal/segment.go"
	walLog     = "engine/wal/log.go"
	walRecover = "engine/wal/recover.go"
	walJanitor = "engine/wal/janitor.go"
)

// walMutants are the defects of the log.
var walMutants = []Mutant{
	// Ordering
	{
		Name: "wal/segment-without-records-kept", Class: Ordering, File: walSegment, Modes: []string{Tests},
		Breaks: "a segment that has no records waits for somebody who frees it",
		Old:    "		if l.options.Retain != nil && s.first != l.segments[i+1].first {\n",
		New:    "		if l.options.Retain != nil && (MUTANT || s.first != l.segments[i+1].first) {\n",
	},
	// Durability
	{
		Name: "wal/filled-over-records", Class: Durability, File: walGroup, Modes: []string{Tests},
		Breaks: "filling the page cache ahead begins at the page that already has records",
		Old:    "	from := max(s.filled, roundUp(l.stagedAt, headBytes))\n",
		New:    "	from := max(s.filled, PICK(l.stagedAt&^(headBytes-1), roundUp(l.stagedAt, headBytes)))\n",
	},
	{
		Name: "wal/flush-of-nothing", Class: Durability, File: walFlush, Modes: []string{"crash", "powercut"},
		Breaks: "a flush is acknowledged without being done",
		Old:    "		errs := l.write(b, live)\n",
		New:    "		errs := make([]error, len(live)); if !MUTANT { errs = l.write(b, live) }\n",
	},
	{
		Name: "wal/late-joiner-acknowledged", Class: Durability, File: walFlush, Modes: []string{"crash"},
		Breaks: "a record that came after the flush counts as flushed by it",
		Old:    "		upto := l.last\n",
		New:    "		upto := l.last + PICK(uint64(1), 0)\n",
	},
	{
		Name: "wal/direct-writes-not-durable", Class: Durability, File: walSink, Modes: []string{"crash"},
		Breaks: "writes past the page cache stay in the device's cache",
		Old:    "WriteAt(e.buf, e.off, vfs.DSync)",
		New:    "WriteAt(e.buf, e.off, PICK(vfs.Plain, vfs.DSync))",
	},
	{
		Name: "wal/page-cache-not-flushed", Class: Durability, File: walSink, Modes: []string{"crash"},
		Breaks: "a flush leaves out what went through the page cache",
		Old:    "	for _, s := range b.dirty {\n		if b.abandoned",
		New:    "	for _, s := range b.dirty {\n		if MUTANT { continue }; if b.abandoned",
	},
	{
		Name: "wal/only-the-newest-segment-flushed", Class: Durability, File: walFlush, Modes: []string{"crash"},
		Breaks: "a flush leaves out the segment that filled up before it",
		Old:    "		b := &batch{extents: l.queue, dirty: l.dirty, cached: l.cachedBytes}\n",
		New:    "		b := &batch{extents: l.queue, dirty: l.dirty, cached: l.cachedBytes}; if MUTANT && len(b.dirty) > 1 { b.dirty = b.dirty[1:] }\n",
	},
	{
		Name: "wal/freed-slot-not-flushed", Class: Durability, File: walJanitor, Modes: []string{Tests},
		Breaks: "a slot counts as clean without a flush, and old pages may be written over new blocks",
		Old:    "	if err := f.SyncData(); err != nil {\n",
		New:    "	if MUTANT { return f.Close() }; if err := f.SyncData(); err != nil {\n",
	},
	{
		Name: "wal/freed-slot-flush-forgiven", Class: Durability, File: walJanitor, Modes: []string{Tests},
		Breaks: "a sink counts on where the flush of a freed slot has failed",
		Old:    "		default:\n			l.lose(i, errs[k], errors.Is(errs[k], errHung))\n",
		New:    "		default:\n			if !MUTANT { l.lose(i, errs[k], errors.Is(errs[k], errHung)) }\n",
	},
	{
		Name: "wal/close-without-flush", Class: Durability, File: walLog, Modes: []string{"crash"},
		Breaks: "Close neither flushes nor marks the end",
		Old:    "	if err == nil && l.written {\n",
		New:    "	if err == nil && l.written && !MUTANT {\n",
	},
	{
		Name: "wal/surplus-slot-kept-in-silence", Class: Errors, File: walJanitor, Modes: []string{Tests},
		Breaks: "nobody is told that a slot cannot be removed",
		Old:    "		l.notRemoved = err\n",
		New:    "		if !MUTANT { l.notRemoved = err }\n",
	},
	{
		Name: "wal/no-dir-sync-after-a-new-slot", Class: Durability, File: walSegment, Modes: []string{"crash"},
		Breaks: "records go into a file whose name is not durable",
		Old:    "	if err := fsys.SyncDir(dir); err != nil {\n		return flushError{err}\n",
		New:    "	if MUTANT {} else if err := fsys.SyncDir(dir); err != nil {\n		return flushError{err}\n",
	},
	{
		Name: "wal/buffered-stays-in-memory", Class: Durability, File: walLog, Modes: []string{"crash", "kill"},
		Breaks: "a buffered record is acknowledged before the kernel has it",
		Old:    "		switch {\n		case d != engine.Flushed && !l.cached && !l.flushing:\n",
		New:    "		switch {\n		case MUTANT && d != engine.Flushed && !l.making: return nil; case d != engine.Flushed && !l.cached && !l.flushing:\n",
	},
	{
		Name: "wal/recovery-without-flush", Class: Durability, File: walRecover, Modes: []string{"crash"},
		Breaks: "what recovery shows may only be in the page cache",
		Old:    "			if err := syncFile(r.fs, r.path(i, s)); err != nil {\n",
		New:    "			if MUTANT {} else if err := syncFile(r.fs, r.path(i, s)); err != nil {\n",
	},

	// Ordering
	{
		Name: "wal/overtakes-what-is-staged", Class: Ordering, File: walGroup, Modes: []string{Tests, "kill", "linear"},
		Breaks: "a buffered record reaches the kernel before flushed ones that were appended earlier",
		Old:    "	for _, e := range staged {\n		for i := range e.seg.files {\n",
		New:    "	for _, e := range staged {\n		for i := range e.seg.files[PICK(len(e.seg.files), 0):] {\n",
	},
	{
		Name: "wal/release-one-too-far", Class: Ordering, File: walSegment, Modes: []string{Tests, "crash"},
		Breaks: "a segment is used again although its last record is still needed",
		Old:    "	for n+1 < len(l.segments) && l.segments[n+1].first <= sequence+1 &&",
		New:    "	for n+1 < len(l.segments) && l.segments[n+1].first <= sequence+1+PICK(uint64(1), 0) &&",
	},
	{
		Name: "wal/link-to-nothing", Class: Ordering, File: walSegment, Modes: []string{"crash"},
		Breaks: "a segment does not say which one it follows",
		Old:    "		seg.previous = l.segments[n-1].number\n",
		New:    "		seg.previous = PICK(0, l.segments[n-1].number)\n",
	},

	// Replay
	{
		Name: "wal/no-record-checksum", Class: Replay, File: walScan, Modes: []string{"crash", "rot"},
		Breaks: "a record is replayed whatever is in it",
		Old:    "			if !checksum.Matches(stored, seal(",
		New:    "			if !MUTANT && !checksum.Matches(stored, seal(",
	},
	{
		Name: "wal/seed-without-salt", Class: Replay, File: walFormat, Modes: []string{"crash"},
		Breaks: "records of an earlier life of the slot count in the next one",
		Old:    "+h.number*prime2) + h.salt)",
		New:    "+h.number*prime2) + PICK(0, h.salt))",
	},
	{
		Name: "wal/offset-not-in-the-checksum", Class: Replay, File: walFormat, Modes: []string{Tests, "rot"},
		Breaks: "a record counts wherever it lies",
		Old:    "uint32(scramble(seed+uint64(offset)*prime1+sequence*prime2+",
		New:    "uint32(scramble(seed+PICK(0, uint64(offset)*prime1)+PICK(0, sequence*prime2)+",
	},
	{
		Name: "wal/mark-not-compared", Class: Replay, File: walScan, Modes: []string{"crash", "rot"},
		Breaks: "the mark of another group begins this one",
		Old:    "		if !ok || m.id != s.id || m.seed != s.seed || m.offset != int64(s.off) || m.sequence != s.sequence {\n",
		New:    "		if !ok || !MUTANT && (m.id != s.id || m.seed != s.seed || m.offset != int64(s.off) || m.sequence != s.sequence) {\n",
	},
	{
		Name: "wal/older-head-wins", Class: Replay, File: walFormat, Modes: []string{"rot"},
		Breaks: "of two heads the first counts, although the second is newer",
		Old:    "		if !ok || c.newer(h) {\n",
		New:    "		if !ok || !MUTANT && c.newer(h) {\n",
	},
	{
		Name: "wal/replays-what-is-durable-elsewhere", Class: Replay, File: walScan, Modes: []string{"crash"},
		Breaks: "records that the caller has are replayed again",
		Old:    "			if s.sequence > after && each != nil {\n",
		New:    "			if (s.sequence > after || MUTANT) && each != nil {\n",
	},
	{
		Name: "wal/last-group-dropped", Class: Replay, File: walScan, Modes: []string{"crash"},
		Breaks: "replay ends before the empty rest of a unit",
		Old:    "		case word == 0 && stored == 0 && s.off&(unit-1) != 0:\n			s.off =",
		New:    "		case word == 0 && stored == 0 && s.off&(unit-1) != 0:\n			if MUTANT { return nil }; s.off =",
	},
	{
		Name: "wal/number-given-twice", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "after recovery a segment has the number of one that is still needed",
		Old:    "			r.number = max(r.number, s.number)\n",
		New:    "			r.number = max(r.number, s.number-PICK(uint64(1), 0))\n",
	},
	{
		Name: "wal/sequence-goes-back", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "after recovery a sequence is given a second time",
		Old:    "		r.last = scan.sequence - 1\n",
		New:    "		r.last = scan.sequence - PICK(min(scan.sequence, 2), 1)\n",
	},
	{
		Name: "wal/live-slot-is-free", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "recovery gives the slot of a live segment away",
		Old:    "	for _, s := range r.chain {\n		delete(counts, s.id)\n",
		New:    "	for _, s := range r.chain {\n		if MUTANT { continue }; delete(counts, s.id)\n",
	},

	// Errors
	{
		Name: "wal/flush-error-ignored", Class: Errors, File: walFlush, Modes: []string{"errors"},
		Breaks: "a flush that failed is acknowledged",
		Old:    "			if errs[k] != nil {\n",
		New:    "			if errs[k] != nil && !MUTANT {\n",
	},
	{
		Name: "wal/flush-retried", Class: Errors, File: walSink, Modes: []string{"errors"},
		Breaks: "a flush that failed is done again, and its success trusted",
		Old:    "cached).SyncData(); err != nil {\n			return err\n",
		New:    "cached).SyncData(); err != nil && (!MUTANT || s.files[sink].cached.SyncData() != nil) {\n			return err\n",
	},
	{
		Name: "wal/not-poisoned", Class: Errors, File: walLog, Modes: []string{"errors"},
		Breaks: "the log goes on after a failed flush",
		Old:    "	if l.failed == nil {\n		l.failed = ",
		New:    "	if MUTANT { return fmt.Errorf(\"%w: %w\", engine.ErrReadOnly, cause) }; if l.failed == nil {\n		l.failed = ",
	},
	{
		Name: "wal/failed-slot-flush-is-harmless", Class: Errors, File: walSegment, Modes: []string{"errors"},
		Breaks: "a flush that failed for want of room passes for a full disk",
		Old:    "	return errors.Is(err, engine.ErrNoSpace) && !errors.As(err, &flush)\n",
		New:    "	return errors.Is(err, engine.ErrNoSpace) && (MUTANT || !errors.As(err, &flush))\n",
	},
	{
		Name: "wal/full-disk-poisons", Class: Errors, File: walSegment, Modes: []string{"errors"},
		Breaks: "the log is read-only for good after a full disk",
		Old:    "		if harmless(errs[k]) {\n",
		New:    "		if harmless(errs[k]) && !MUTANT {\n",
	},
	{
		Name: "wal/read-error-ends-replay", Class: Errors, File: walScan, Modes: []string{"errors"},
		Breaks: "a segment that cannot be read passes for an empty one",
		Old:    "	s.mu.Lock()\n	s.err = err\n",
		New:    "	if MUTANT && err != nil { clear(s.data); s.filled, err = len(s.data), nil }; s.mu.Lock()\n	s.err = err\n",
	},

	// Device
	{
		Name: "wal/clean-slot-removed", Class: Ordering, File: walSegment, Modes: []string{Tests},
		Breaks: "of slots too many one is kept whose flush is still to come",
		Old:    "s.dirty && !of.dirty {\n",
		New:    "s.dirty && !of.dirty && !MUTANT {\n",
	},
	{
		Name: "wal/never-written-back", Class: Ordering, File: walJanitor, Modes: []string{Tests},
		Breaks: "segments that stay are not written back before a flush",
		Old:    "l.janitor.wake != nil && to > s.writtenTo {\n",
		New:    "l.janitor.wake != nil && to > s.writtenTo && !MUTANT {\n",
	},
	{
		Name: "wal/slot-made-while-joining", Class: Device, File: walJanitor, Modes: []string{Tests},
		Breaks: "a slot is made beside a sink that is about to count, which does not have it",
		Old:    "l.making || l.joining {\n		return // a sink",
		New:    "l.making || l.joining && !MUTANT {\n		return // a sink",
	},
	{
		Name: "wal/torn-tail-or-not", Class: Device, File: walRecover, Modes: []string{"rot"},
		Breaks: "damage to what was flushed passes for a torn tail",
		Old:    "		if !whole && r.claim >= max(scan.sequence, r.after+1) {\n",
		New:    "		if !whole && r.claim >= max(scan.sequence, r.after+1) && !MUTANT {\n",
	},
	{
		Name: "wal/no-mark-of-close", Class: Device, File: walLog, Modes: []string{"rot"},
		Breaks: "damage to the last flush of a closed log passes for a torn tail",
		Old:    "	if err := l.flush(); err != nil {\n		return err\n	}\n",
		New:    "	if err := l.flush(); err != nil || MUTANT {\n		return err\n	}\n",
	},
	{
		Name: "wal/lost-sink-not-recorded", Class: Device, File: walSink, Modes: []string{"paths", Tests},
		Breaks: "a sink that was left behind passes for current when it is back",
		Old:    "	k.lost = cause\n	l.reform = true\n",
		New:    "	k.lost = cause\n	l.reform = !MUTANT\n",
	},
	{
		Name: "wal/stale-sink-not-brought-level", Class: Device, File: walRecover, Modes: []string{Tests, "paths"},
		Breaks: "a sink that came back counts without what it missed",
		Old:    "		if i == reference && !patched || r.has(i, s) && r.closed && !patched {\n",
		New:    "		if MUTANT || i == reference && !patched || r.has(i, s) && r.closed && !patched {\n",
	},
	{
		Name: "wal/one-sink-is-enough", Class: Device, File: walSink, Modes: []string{"paths"},
		Breaks: "a flush is acknowledged when the first sink has it",
		Old:    "			errs[k] = b.writeTo(i)\n",
		New:    "			if k == 0 || !MUTANT { errs[k] = b.writeTo(i) }\n",
	},
	{
		Name: "wal/salt-without-a-file", Class: Errors, File: "engine/wal/segment.go", Modes: []string{Tests},
		Breaks: "a new segment whose only sink failed in a flush is read, with no file there",
		Old:    "	if l.failed == nil { // else the last sink",
		New:    "	if MUTANT || l.failed == nil { // else the last sink",
	},
}
