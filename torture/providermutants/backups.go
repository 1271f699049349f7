package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// backups are the mutants of backups and restores.
func backups() []mutants.Mutant {
	const (
		build   = "providers/backup/backup.go"
		restore = "providers/backup/restore.go"
		pieces  = "providers/backup/piece.go"
		place   = "providers/backup/place.go"
		objects = "providers/backup/objects.go"
		tail    = "engine/wal/tail.go"
	)
	tests := []string{"providers/backup"}
	return []mutants.Mutant{
		{
			Name: "backup/kept-too-short", Class: mutants.Ordering, File: build, Modes: tests,
			Breaks: "the archive goes on one record behind what it has read",
			Old:    "	b.archived = last\n	b.reader.Keep(last)\n",
			New:    "	b.archived = last + PICK(uint64(1), uint64(0))\n	b.reader.Keep(last)\n",
		},
		{
			Name: "backup/log-waits-for-the-base", Class: mutants.Ordering, File: build, Modes: tests,
			Breaks: "while a base is made the log is not archived, and grows beyond what may be kept",
			Old:    "		_, err := b.archive(ctx)\n		return err\n",
			New:    "		if MUTANT { return nil }; _, err := b.archive(ctx)\n		return err\n",
		},
		{
			Name: "backup/base-not-read", Class: mutants.Errors, File: build, Modes: tests,
			Breaks: "the checkpoint of a damaged store counts as a base",
			Old:    "	if err != nil || b.o.Open == nil {\n",
			New:    "	if err != nil || b.o.Open == nil || MUTANT {\n",
		},
		{
			Name: "backup/gap-not-noticed", Class: mutants.Errors, File: build, Modes: tests,
			Breaks: "what was lost to the archive is taken for archived",
			Old:    "			b.gap = err.Error()\n",
			New:    "			if !MUTANT { b.gap = err.Error() }\n",
		},
		{
			Name: "backup/base-of-later", Class: mutants.Replay, File: build, Modes: tests,
			Breaks: "a base says that it needs less of the log than it does",
			Old:    "		_, m.UpTo = b.logged.LogPosition()\n",
			New:    "		_, m.UpTo = b.logged.LogPosition(); if MUTANT { m.UpTo = m.After - 1 }\n",
		},
		{
			Name: "backup/prunes-what-is-needed", Class: mutants.Ordering, File: build, Modes: tests,
			Breaks: "the log behind the kept bases is pruned",
			Old:    "p.last > m.After\n",
			New:    "p.last > m.After && !MUTANT\n",
		},
		{
			Name: "backup/manifest-first", Class: mutants.Ordering, File: build, Modes: tests,
			Breaks: "the manifest is there before the files are",
			Old:    "	gap := b.gap\n	if store,",
			New:    "	gap := b.gap; if MUTANT { if err := writeManifest(ctx, b.place, &m); err != nil { return m, err } }\n	if store,",
		},
		{
			Name: "backup/files-not-verified", Class: mutants.Errors, File: restore, Modes: tests,
			Breaks: "a file of a base that is not what was written is restored",
			Old:    "	if n != f.Bytes || hex.",
			New:    "	if !MUTANT && n != f.Bytes || !MUTANT && hex.",
		},
		{
			Name: "backup/point-overrun", Class: mutants.Replay, File: restore, Modes: tests,
			Breaks: "a restore to a sequence applies the piece to its end",
			Old:    "			case record.Sequence > upTo:\n",
			New:    "			case record.Sequence > upTo && !MUTANT:\n",
		},
		{
			Name: "backup/applied-twice", Class: mutants.Replay, File: restore, Modes: tests,
			Breaks: "records that the base has are counted again, and gaps do not matter",
			Old:    "		if p.first > done+1 {\n",
			New:    "		if p.first > done+1 && !MUTANT {\n",
		},
		{
			Name: "backup/revisions-come-again", Class: mutants.Replay, File: restore, Modes: tests,
			Breaks: "a restored store gives revisions that were given before",
			Old:    "	if err := store.RaiseRevisions(ctx, uint64(time.Now().UnixNano())); err != nil {\n",
			New:    "	if err := store.RaiseRevisions(ctx, PICK(uint64(1), uint64(time.Now().UnixNano()))); err != nil {\n",
		},
		{
			Name: "backup/over-a-store", Class: mutants.Errors, File: restore, Modes: tests,
			Breaks: "a restore goes over a directory that is in use",
			Old:    "	if names, err := os.ReadDir(t.Dir); err == nil && len(names) > 0 {\n",
			New:    "	if names, err := os.ReadDir(t.Dir); err == nil && len(names) > 0 && !MUTANT {\n",
		},
		{
			Name: "backup/piece-not-verified", Class: mutants.Errors, File: pieces, Modes: tests,
			Breaks: "a piece of the log that is not what was written is applied",
			Old:    "			if string(got) != string(want) ||",
			New:    "			if MUTANT { return nil }; if string(got) != string(want) ||",
		},
		{
			Name: "backup/in-place", Class: mutants.Ordering, File: place, Modes: tests,
			Breaks: "a file has its name before it is whole",
			Old:    "	f, err := os.OpenFile(path+partial,",
			New:    "	f, err := os.OpenFile(path+PICK(\"\", partial),",
		},
		{
			Name: "backup/head-first", Class: mutants.Ordering, File: objects, Modes: tests,
			Breaks: "the chunks of the object before stay when it is replaced, and those of the new one go",
			Old:    "	return o.place.removeChunks(o.ctx, o.name, old)\n",
			New:    "	return o.place.removeChunks(o.ctx, o.name, PICK(o.head, old))\n",
		},
		{
			Name: "backup/log-not-kept", Class: mutants.Ordering, File: tail, Modes: []string{"engine/wal"},
			Breaks: "segments are used again before their reader has read them",
			Old:    "		up = t.kept\n",
			New:    "		up = PICK(up, t.kept)\n",
		},
		{
			Name: "backup/log-not-flushed", Class: mutants.Durability, File: tail, Modes: []string{"engine/wal"},
			Breaks: "records are read that are not flushed yet",
			Old:    "end: s.slot.bytes, upTo: l.durable}",
			New:    "end: s.slot.bytes, upTo: PICK(l.last, l.durable)}",
		},
	}
}
