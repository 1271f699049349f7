package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// composites are the mutants of two providers as one.
func composites() []mutants.Mutant {
	const dir = "providers/composite/"
	tests := []string{"providers/composite"}
	return []mutants.Mutant{
		{
			Name: "composite/one-side-written", Class: mutants.Durability, File: dir + "ops.go", Modes: tests,
			Breaks: "a write goes to the side that serves alone, and is acknowledged",
			Old:    "	if !st.alone || st.filling {\n		other := st.other()\n",
			New:    "	if !MUTANT && (!st.alone || st.filling) {\n		other := st.other()\n",
		},
		{
			Name: "composite/fence-not-checked", Class: mutants.Isolation, File: dir + "control.go", Modes: tests,
			Breaks: "a side takes writes of a process whose epoch has passed there",
			Old:    "&driver.Commit{Reads: []driver.Read{{Key: controlKey, Revision: fence}}, Writes: writes})\n",
			New:    "&driver.Commit{Reads: PICK(nil, []driver.Read{{Key: controlKey, Revision: fence}}), Writes: writes})\n",
		},
		{
			Name: "composite/late-writes", Class: mutants.Ordering, File: dir + "pair.go", Modes: tests,
			Breaks: "after a write of unknown outcome others go on in the same epoch, so that it can arrive later",
			Old:    "		if write && p.doubt.Load() {\n",
			New:    "		if !MUTANT && write && p.doubt.Load() {\n",
		},
		{
			Name: "composite/alone-without-leave", Class: mutants.Durability, File: dir + "pair.go", Modes: tests,
			Breaks: "one side takes writes alone though allow_single is not set",
			Old:    "	case write && st.frozen:\n",
			New:    "	case !MUTANT && write && st.frozen:\n",
		},
		{
			Name: "composite/primary-not-level", Class: mutants.Durability, File: dir + "level.go", Modes: tests,
			Breaks: "the primary serves again without what was written in the meantime",
			Old:    "		if err := p.copyLocked(ctx, st, keys); err != nil {\n			p.giveBehind(keys)\n",
			New:    "		if MUTANT { continue }; if err := p.copyLocked(ctx, st, keys); err != nil {\n			p.giveBehind(keys)\n",
		},
		{
			Name: "composite/stale-side-trusted", Class: mutants.Durability, File: dir + "acquire.go", Modes: tests,
			Breaks: "a side that comes back otherwise than it was left is not compared",
			Old:    "	case v.revision != st.fence[target]:\n",
			New:    "	case !MUTANT && v.revision != st.fence[target]:\n",
		},
		{
			Name: "composite/lease-not-waited-for", Class: mutants.Device, File: dir + "acquire.go", Modes: tests,
			Breaks: "a process takes over from one whose lease may last",
			Old:    "	case now.Sub(seen.since) < v.TTL:\n",
			New:    "	case !MUTANT && now.Sub(seen.since) < v.TTL:\n",
		},
		{
			Name: "composite/reads-without-the-lease", Class: mutants.Device, File: dir + "pair.go", Modes: tests,
			Breaks: "a process reads when its lease has run out",
			Old:    "		if st.uses(i) && now >= p.valid[i].Load() {\n",
			New:    "		if !MUTANT && st.uses(i) && now >= p.valid[i].Load() {\n",
		},
		{
			Name: "composite/divergence-overwritten", Class: mutants.Durability, File: dir + "acquire.go", Modes: tests,
			Breaks: "of two sides that were both written alone one is overwritten at the next opening",
			Old:    "	case p.c.Mode == Synchronous && a.Level == isAhead && b.Level == isAhead && a.Epoch != b.Epoch:\n",
			New:    "	case !MUTANT && p.c.Mode == Synchronous && a.Level == isAhead && b.Level == isAhead && a.Epoch != b.Epoch:\n",
		},
		{
			Name: "composite/back-to-what-lacks", Class: mutants.Isolation, File: dir + "pair.go", Modes: tests,
			Breaks: "reads go back to a side that lacks a write of unknown outcome that the other has shown",
			Old:    "		next.level = !behind\n",
			New:    "		next.level = MUTANT || !behind\n",
		},
		{
			Name: "composite/pings-not-counted", Class: mutants.Errors, File: dir + "side.go", Modes: tests,
			Breaks: "health checks that fail do not count",
			Old:    "	return s.requests + s.pings, s.last\n",
			New:    "	return s.requests + PICK(0, s.pings), s.last\n",
		},
		{
			Name: "composite/pings-forget-requests", Class: mutants.Errors, File: dir + "side.go", Modes: tests,
			Breaks: "a side that answers pings and nothing else is never out",
			Old:    "		s.pings = 0\n		return nil\n",
			New:    "		s.pings = 0; if MUTANT { s.requests = 0 }\n		return nil\n",
		},
		{
			Name: "composite/tokens-not-kept", Class: mutants.Isolation, File: dir + "ops.go", Modes: tests,
			Breaks: "the largest fencing token is not remembered",
			Old:    "			if w.Fence > seen {\n",
			New:    "			if !MUTANT && w.Fence > seen {\n",
		},
		{
			Name: "composite/parts-of-a-commit", Class: mutants.Isolation, File: dir + "level.go", Modes: tests,
			Breaks: "a synchronisation copies a part of what has changed at a moment",
			Old:    "	keys := p.takeBehind(0)\n",
			New:    "	keys := p.takeBehind(PICK(3, 0))\n",
		},
		{
			Name: "composite/cache-not-told", Class: mutants.Isolation, File: dir + "cache.go", Modes: tests,
			Breaks: "a write leaves the old copy in the cache",
			Old:    "		mark, alone := s.take(ctx, key)\n",
			New:    "		if MUTANT { continue }; mark, alone := s.take(ctx, key)\n",
		},
		{
			Name: "composite/slow-copies", Class: mutants.Ordering, File: dir + "cache.go", Modes: tests,
			Breaks: "a slow reader puts its copy over whatever is in the cache",
			Old:    "driver.PutOptions{IfRevision: mark, TTL: ttl})\n",
			New:    "PICK(driver.PutOptions{TTL: ttl}, driver.PutOptions{IfRevision: mark, TTL: ttl}))\n",
		},
		{
			Name: "composite/mark-taken-from-another", Class: mutants.Ordering, File: dir + "cache.go", Modes: tests,
			Breaks: "a writer that ends removes the mark though another one is at work",
			Old:    "		if alone {\n			marks[i] = mark\n",
			New:    "		if alone || MUTANT {\n			marks[i] = mark\n",
		},
		{
			Name: "composite/own-writes-not-seen", Class: mutants.Isolation, File: dir + "cache.go", Modes: tests,
			Breaks: "a process believes a cache that it could not tell of its write",
			Old:    "		if mark.IsZero() && len(key) <=",
			New:    "		if !MUTANT && mark.IsZero() && len(key) <=",
		},
		{
			Name: "composite/copies-live-longer", Class: mutants.Device, File: dir + "cache.go", Modes: tests,
			Breaks: "the life of a copy begins when it is put, and not when it was read",
			Old:    "	ttl := s.c.SyncInterval - s.c.Now().Sub(begun)\n",
			New:    "	ttl := s.c.SyncInterval - PICK(0, s.c.Now().Sub(begun))\n",
		},
		{
			Name: "composite/gives-way-to-readers", Class: mutants.Isolation, File: dir + "cache.go", Modes: tests,
			Breaks: "a writer that loses against readers again and again leaves their copies",
			Old:    "	if put(driver.PutOptions{}) != nil {\n",
			New:    "	if MUTANT || put(driver.PutOptions{}) != nil {\n",
		},
	}
}
