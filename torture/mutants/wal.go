package mutants

const (
	walFormat  = "engine/wal/format.go"
	walLog     = "engine/wal/log.go"
	walRecover = "engine/wal/recover.go"
)

// walMutants are the defects of the log.
var walMutants = []Mutant{
	// Durability
	{
		Name: "wal/commit-without-flush", Class: Durability, File: walLog, Modes: []string{"crash", "powercut"},
		Breaks: "a flushed commit does not wait for a flush",
		Old:    "	if d != engine.Flushed {\n",
		New:    "	if d != engine.Flushed || MUTANT {\n",
	},
	{
		Name: "wal/late-joiner-acknowledged", Class: Durability, File: walLog, Modes: []string{"crash"},
		Breaks: "records that came after the flush count as flushed by it",
		Old:    "	l.durable = max(l.durable, last)\n",
		New:    "	l.durable = max(l.durable, last+PICK(uint64(1), 0))\n",
	},
	{
		Name: "wal/close-without-flush", Class: Durability, File: walLog, Modes: []string{"crash"},
		Breaks: "Close does not flush",
		Old:    "	err := l.failed\n	if err == nil {\n",
		New:    "	err := l.failed\n	if err == nil && !MUTANT {\n",
	},
	{
		Name: "wal/rotation-without-flush", Class: Durability, File: walLog, Modes: []string{"crash"},
		Breaks: "a full segment is left unflushed, and counts as flushed",
		Old:    "	if err := l.file.SyncData(); err != nil {\n		return l.fail(err)\n	}\n	l.durable = l.last\n",
		New:    "	if MUTANT {} else if err := l.file.SyncData(); err != nil {\n		return l.fail(err)\n	}\n	l.durable = l.last\n",
	},
	{
		Name: "wal/no-dir-sync-after-rotation", Class: Durability, File: walLog, Modes: []string{"crash"},
		Breaks: "records go into a segment whose name is not durable",
		Old:    "	if err := l.fs.SyncDir(l.dir); err != nil {\n		return errors.Join(l.fail(err)",
		New:    "	if MUTANT {} else if err := l.fs.SyncDir(l.dir); err != nil {\n		return errors.Join(l.fail(err)",
	},
	{
		Name: "wal/recovery-without-flush", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "recovery cuts the torn tail, and does not make that durable",
		Old:    "	if err := f.Sync(); err != nil {\n",
		New:    "	if MUTANT {} else if err := f.Sync(); err != nil {\n",
	},

	// Ordering
	{
		Name: "wal/header-not-synced", Class: Ordering, File: walLog, Modes: []string{"crash"},
		Breaks: "a segment has its name before its header is durable",
		Old:    "	if err := f.Sync(); err != nil {\n",
		New:    "	if MUTANT {} else if err := f.Sync(); err != nil {\n",
	},
	{
		Name: "wal/release-one-too-far", Class: Ordering, File: walLog, Modes: []string{"crash"},
		Breaks: "a segment goes although its last record is still needed",
		Old:    "	for len(l.segments) > 1 && l.segments[1] <= sequence+1 {\n		if err := l.fs.Remove(filepath.Join(l.dir, segmentName(l.segments[0]))); err != nil {\n			return fmt.Errorf(",
		New:    "	for len(l.segments) > 1 && l.segments[1] <= sequence+1+PICK(uint64(1), 0) {\n		if err := l.fs.Remove(filepath.Join(l.dir, segmentName(l.segments[0]))); err != nil {\n			return fmt.Errorf(",
	},

	// Replay
	{
		Name: "wal/no-record-checksum", Class: Replay, File: walFormat, Modes: []string{"crash", "rot"},
		Breaks: "a record that is whole by its length is replayed",
		Old:    "	if !checksum.Matches(binary.LittleEndian.Uint32(data), checksum.Of(data[4:end])) {\n",
		New:    "	if !MUTANT && !checksum.Matches(binary.LittleEndian.Uint32(data), checksum.Of(data[4:end])) {\n",
	},
	{
		Name: "wal/sequence-not-looked-at", Class: Replay, File: walFormat, Modes: []string{"crash", "rot"},
		Breaks: "a record from another place of the log is replayed",
		Old:    "|| binary.LittleEndian.Uint64(data[8:]) != sequence {",
		New:    "|| binary.LittleEndian.Uint64(data[8:]) != sequence && !MUTANT {",
	},
	{
		Name: "wal/torn-tail-stays", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "what stands behind the last good record is not cut off, and is replayed when records before it fit again",
		Old:    "	if at < len(data) {\n		if err := f.Truncate",
		New:    "	if at < len(data) && !MUTANT {\n		if err := f.Truncate",
	},
	{
		Name: "wal/append-overwrites-the-last", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "after recovery the log goes on at its start",
		Old:    "	l.file, l.end = f, int64(at)\n",
		New:    "	l.file, l.end = f, int64(PICK(headerBytes, at))\n",
	},
	{
		Name: "wal/replays-what-is-durable-elsewhere", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "records that the caller has are replayed again",
		Old:    "		if next > after {\n",
		New:    "		if next > after || MUTANT {\n",
	},
	{
		Name: "wal/last-record-dropped", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "replay stops before a record that ends the file",
		Old:    "		if !ok {\n			break\n",
		New:    "		if !ok || MUTANT && at+recordOverhead+len(payload) == len(data) {\n			break\n",
	},
	{
		Name: "wal/sequence-goes-back", Class: Replay, File: walRecover, Modes: []string{"crash"},
		Breaks: "after recovery a sequence is given a second time",
		Old:    "	if l.last = next - 1; l.last >= after {\n",
		New:    "	if l.last = next - PICK(min(next, 2), 1); l.last >= after || MUTANT {\n",
	},

	// Errors
	{
		Name: "wal/flush-error-ignored", Class: Errors, File: walLog, Modes: []string{"errors"},
		Breaks: "a commit whose flush failed is acknowledged",
		Old:    "	case err != nil:\n		return l.fail(err)\n",
		New:    "	case err != nil && !MUTANT:\n		return l.fail(err)\n",
	},
	{
		Name: "wal/flush-retried", Class: Errors, File: walLog, Modes: []string{"errors"},
		Breaks: "a flush that failed is done again, and its success trusted",
		Old:    "	err = file.SyncData()\n",
		New:    "	if err = file.SyncData(); MUTANT && err != nil { err = file.SyncData() }\n",
	},
	{
		Name: "wal/not-poisoned", Class: Errors, File: walLog, Modes: []string{"errors"},
		Breaks: "the log goes on after a failed flush",
		Old:    "	if l.failed == nil {\n",
		New:    "	if MUTANT { return fmt.Errorf(\"%w: %w\", engine.ErrReadOnly, cause) }; if l.failed == nil {\n",
	},
	{
		Name: "wal/half-a-record-stays", Class: Errors, File: walLog, Modes: []string{"errors"},
		Breaks: "a record that found no space is counted as written",
		Old:    "		return 0, fmt.Errorf(\"append to log: %w\", err)\n	}\n	l.end += ",
		New:    "		if !MUTANT { return 0, fmt.Errorf(\"append to log: %w\", err) }\n	}\n	l.end += ",
	},
	{
		Name: "wal/read-error-ends-replay", Class: Errors, File: walRecover, Modes: []string{"errors"},
		Breaks: "a segment that cannot be read passes for an empty one",
		Old:    "	_, err = f.ReadAt(data, 0)\n	return data, err\n",
		New:    "	_, err = f.ReadAt(data, 0)\n	if MUTANT && err != nil { return data[:headerBytes], nil }; return data, err\n",
	},

	// Device
	{
		Name: "wal/damage-in-the-middle-ends-replay", Class: Device, File: walRecover, Modes: []string{"rot"},
		Breaks: "damage in an older segment passes for its end",
		Old:    "		if at < len(data) {\n			return 0, vfs.NewError(",
		New:    "		if at < len(data) && !MUTANT {\n			return 0, vfs.NewError(",
	},
}
