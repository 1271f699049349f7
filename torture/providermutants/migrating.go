package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// migrating are the mutants of migrations, exports and imports.
func migrating() []mutants.Mutant {
	const (
		migration = "providers/migrate/migration.go"
		pass      = "providers/migrate/pass.go"
		source    = "providers/migrate/source.go"
		record    = "providers/migrate/record.go"
		aSwitch   = "providers/migrate/switch.go"
		export    = "providers/migrate/export.go"
		imports   = "providers/migrate/import.go"
	)
	tests := []string{"providers/migrate"}
	return []mutants.Mutant{
		{
			Name: "migrate/no-pass-after-going-on", Class: mutants.Replay, File: migration, Modes: tests,
			Breaks: "a migration that goes on does not look at what was there before",
			Old:    "	if !w.validation && !w.result.Resumed {\n",
			New:    "	if !w.validation && (MUTANT || !w.result.Resumed) {\n",
		},
		{
			Name: "migrate/differences-are-valid", Class: mutants.Errors, File: migration, Modes: tests,
			Breaks: "the validation ends with a pass that found differences",
			Old:    "	if o.changed > 0 {\n		return !w.validation, nil\n",
			New:    "	if o.changed > 0 {\n		return MUTANT || !w.validation, nil\n",
		},
		{
			Name: "migrate/half-a-store-as-source", Class: mutants.Errors, File: migration, Modes: tests,
			Breaks: "a target that is half filled is taken for a source",
			Old:    "	return Unfinished(ctx, m.from)\n",
			New:    "	if MUTANT { return nil }; return Unfinished(ctx, m.from)\n",
		},
		{
			Name: "migrate/cut-over-before-the-rest", Class: mutants.Ordering, File: migration, Modes: tests,
			Breaks: "what was written before the barrier came is not copied",
			Old:    "	if _, lost, err := w.drain(ctx, w.validation); err != nil {\n",
			New:    "	if MUTANT { return nil }; if _, lost, err := w.drain(ctx, w.validation); err != nil {\n",
		},
		{
			Name: "migrate/chunk-read-over", Class: mutants.Ordering, File: source, Modes: tests,
			Breaks: "a stretch of a list is filled again while it is being passed",
			Old:    "		case c.used <- c.entries[:0]:\n",
			New:    "		case c.used <- PICK(next.entries, c.entries)[:0]:\n",
		},
		{
			Name: "migrate/batch-written-over", Class: mutants.Ordering, File: pass, Modes: tests,
			Breaks: "a batch is filled again while it is on its way",
			Old:    "	p.flying = append(p.flying, f)\n",
			New:    "	p.flying = append(p.flying, f); if MUTANT { p.spare = append(p.spare, f.writes) }\n",
		},
		{
			Name: "migrate/not-deleted", Class: mutants.Replay, File: pass, Modes: tests,
			Breaks: "what was deleted in the source stays in the target",
			Old:    "	if p.look {\n		return nil\n",
			New:    "	if p.look || MUTANT && s == nil {\n		return nil\n",
		},
		{
			Name: "migrate/expires-never", Class: mutants.Replay, File: pass, Modes: tests,
			Breaks: "the copy of an entry lives for ever",
			Old:    "if w.TTL = s.ExpiresAt.Sub(p.from.now()); w.TTL <= 0 {",
			New:    "if w.TTL = PICK(0, s.ExpiresAt.Sub(p.from.now())); !MUTANT && w.TTL <= 0 {",
		},
		{
			Name: "migrate/failed-batch", Class: mutants.Errors, File: pass, Modes: tests,
			Breaks: "a batch that was refused counts as written",
			Old:    "		if err := <-f.done; err != nil {\n",
			New:    "		if err := <-f.done; err != nil && !MUTANT {\n",
		},
		{
			Name: "migrate/over-what-is-there", Class: mutants.Errors, File: record, Modes: tests,
			Breaks: "a target with entries is overwritten without a word",
			Old:    "	if r == nil && !replace {\n",
			New:    "	if r == nil && !replace && !MUTANT {\n",
		},
		{
			Name: "migrate/another-source", Class: mutants.Errors, File: record, Modes: tests,
			Breaks: "what was filled in part from one source is filled up from another",
			Old:    "	case r != nil && r.From != from && !replace:\n",
			New:    "	case r != nil && MUTANT: return r, true, nil; case r != nil && r.From != from && !replace:\n",
		},
		{
			Name: "migrate/never-finished", Class: mutants.Ordering, File: record, Modes: tests,
			Breaks: "the record stays when all is copied",
			Old:    "	if err := p.Delete(ctx, recordKey, providers.DeleteOptions{}); err != nil {\n",
			New:    "	if MUTANT { return nil }; if err := p.Delete(ctx, recordKey, providers.DeleteOptions{}); err != nil {\n",
		},
		{
			Name: "migrate/barrier-holds-nobody", Class: mutants.Isolation, File: aSwitch, Modes: tests,
			Breaks: "the barrier does not wait for writes under way, nor keep others out",
			Old:    "	if err := s.gate.Acquire(ctx, math.MaxInt64); err != nil {\n		return nil, err\n	}\n	return func() { s.gate.Release(math.MaxInt64) }, nil\n",
			New:    "	if MUTANT { return func() {}, nil }; if err := s.gate.Acquire(ctx, math.MaxInt64); err != nil {\n		return nil, err\n	}\n	return func() { s.gate.Release(math.MaxInt64) }, nil\n",
		},
		{
			Name: "migrate/slow-writes-forgotten", Class: mutants.Isolation, File: aSwitch, Modes: tests,
			Breaks: "a write that ends after its key was copied is not copied again",
			Old:    "	defer s.changes.remember(keys)\n",
			New:    "	if !MUTANT { defer s.changes.remember(keys) }\n",
		},
		{
			Name: "migrate/revisions-of-before", Class: mutants.Isolation, File: aSwitch, Modes: tests,
			Breaks: "a revision that was read in the source is taken for one of the target",
			Old:    "	if !ok {\n		return r, errBefore\n",
			New:    "	if !ok {\n		if MUTANT { return driver.Revision{}, nil }; return r, errBefore\n",
		},
		{
			Name: "migrate/export-in-place", Class: mutants.Ordering, File: export, Modes: tests,
			Breaks: "half an export stands under the name of the file",
			Old:    "	f, err := os.OpenFile(name+partial,",
			New:    "	f, err := os.OpenFile(name+PICK(\"\", partial),",
		},
		{
			Name: "migrate/half-a-file", Class: mutants.Errors, File: imports, Modes: tests,
			Breaks: "a file without its last line is imported",
			Old:    "		case errors.Is(err, io.EOF):\n			return info,",
			New:    "		case errors.Is(err, io.EOF) && MUTANT: return ExportInfo{ID: h.ID, Tally: tally}, nil; case errors.Is(err, io.EOF):\n			return info,",
		},
		{
			Name: "migrate/checksum-not-checked", Class: mutants.Errors, File: imports, Modes: tests,
			Breaks: "a file that was changed is imported",
			Old:    "	case sum != last.SHA256:\n",
			New:    "	case sum != last.SHA256 && !MUTANT:\n",
		},
	}
}
