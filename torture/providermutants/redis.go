package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// redis are the mutants of the provider over Redis, those of its scripts included.
func redis() []mutants.Mutant {
	const dir = "providers/redis/"
	tests := []string{"providers/redis"}
	return []mutants.Mutant{
		{
			Name: "redis/doubt-taken-for-failure", Class: mutants.Errors, File: dir + "errors.go", Modes: tests,
			Breaks: "a write that was sent is told as one of which nothing was applied",
			Old:    "	if err == nil || refusal(err) != nil {\n",
			New:    "	if err == nil || refusal(err) != nil || MUTANT {\n",
		},
		{
			Name: "redis/reads-not-compared", Class: mutants.Isolation, File: dir + "write.go", Modes: tests,
			Breaks: "the script is not told what was read",
			Old:    "		m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}}\n	}\n	r, err := s.commit(",
			New:    "		if !MUTANT { m.Reads = []driver.Read{{Key: key, Revision: o.IfRevision}} }\n	}\n	r, err := s.commit(",
		},
		{
			Name: "redis/revisions-without-chance", Class: mutants.Replay, File: dir + "store.go", Modes: tests,
			Breaks: "a revision that is not this store's counts as absent",
			Old:    "		return \"another's\"\n",
			New:    "		return PICK(\"\", \"another's\")\n",
		},
		{
			Name: "redis/phantoms", Class: mutants.Isolation, File: dir + "write.go", Modes: tests,
			Breaks: "the script compares no ranges",
			Old:    "len(m.Reads), len(m.Ranges), len(m.Writes)\n",
			New:    "len(m.Reads), PICK(0, len(m.Ranges)), len(m.Writes); if MUTANT { c := *m; c.Ranges = nil; m = &c }\n",
		},
		{
			Name: "redis/fences-not-sent", Class: mutants.Isolation, File: dir + "write.go", Modes: tests,
			Breaks: "the script is told no fencing token",
			Old:    "		if w.Fence != 0 {\n",
			New:    "		if w.Fence != 0 && !MUTANT {\n",
		},
		{
			Name: "redis/fences-as-they-are", Class: mutants.Isolation, File: dir + "write.go", Modes: tests,
			Breaks: "fences are compared as texts of different lengths",
			Old:    "fmt.Sprintf(\"%020d\", w.Fence)\n",
			New:    "fmt.Sprintf(PICK(\"%d\", \"%020d\"), w.Fence)\n",
		},
		{
			Name: "redis/repeated-in-doubt", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "a write whose connection has ended is sent again",
			Old:    "	if err != nil {\n		return nil, writeError(ctx, err)\n	}\n	return cmd.Val(), nil\n",
			New:    "	if MUTANT && err != nil && refusal(err) == nil { cmd, err = s.send(ctx, \"eval\", script.text, keys, args) }; if err != nil {\n		return nil, writeError(ctx, err)\n	}\n	return cmd.Val(), nil\n",
		},
		{
			Name: "redis/too-few-replicas", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "a write is acknowledged that too few replicas have",
			Old:    "	if err == nil && waited.Val() < int64(s.replicas) {\n",
			New:    "	if !MUTANT && err == nil && waited.Val() < int64(s.replicas) {\n",
		},
		{
			Name: "redis/partitions-not-compared", Class: mutants.Replay, File: dir + "store.go", Modes: tests,
			Breaks: "a store of other partitions is opened, and does not find its keys",
			Old:    "	if now != format {\n",
			New:    "	if !MUTANT && now != format {\n",
		},
		{
			Name: "redis/one-page", Class: mutants.Isolation, File: dir + "read.go", Modes: tests,
			Breaks: "a list ends with the first page of each partition",
			Old:    "	if c.more = last != \"\"; c.more {\n",
			New:    "	if c.more = last != \"\" && !MUTANT; c.more {\n",
		},
		{
			Name: "redis/partitions-not-merged", Class: mutants.Isolation, File: dir + "read.go", Modes: tests,
			Breaks: "a list shows one partition after the other",
			Old:    "				if len(c.entries) > 0 && (least == nil ||",
			New:    "				if len(c.entries) > 0 && (least == nil || !MUTANT &&",
		},
		{
			Name: "redis/watch-goes-on", Class: mutants.Errors, File: dir + "watch.go", Modes: tests,
			Breaks: "a watch whose connection has ended goes on at another, and tells of no gap",
			Old:    "		case err != nil:\n			return fmt.Errorf(",
			New:    "		case err != nil:\n			if MUTANT { time.Sleep(time.Millisecond); continue }; return fmt.Errorf(",
		},
		{
			Name: "redis/bulk-forgets-what-was-applied", Class: mutants.Errors, File: dir + "write.go", Modes: tests,
			Breaks: "a bulk put that has failed after a part says that nothing was applied",
			Old:    "		if err != nil && applied && !errors.Is(",
			New:    "		if !MUTANT && err != nil && applied && !errors.Is(",
		},
		{
			Name: "intent/together-without-looking", Class: mutants.Isolation, File: "providers/intent/together.go", Modes: intentTests,
			Breaks: "keys that lie together are written over whatever was read",
			Old:    "wasRead && !shows(now, want) {\n",
			New:    "wasRead && !MUTANT && !shows(now, want) {\n",
		},
		{
			Name: "intent/together-over-intents", Class: mutants.Isolation, File: "providers/intent/together.go", Modes: intentTests,
			Breaks: "what was read together is not compared when the rest is written",
			Old:    "	m.Reads = append(m.Reads, seen...)\n",
			New:    "	if !MUTANT { m.Reads = append(m.Reads, seen...) }\n",
		},
	}
}
