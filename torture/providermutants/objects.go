package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// objects are the mutants of what all object stores share.
func objects() []mutants.Mutant {
	const dir = "providers/internal/objects/"
	tests := []string{"providers/internal/objects"}
	return []mutants.Mutant{
		{
			Name: "objects/tags-come-back", Class: mutants.Replay, File: dir + "object.go", Modes: tests,
			Breaks: "a value that is written again has the same bytes, and so the same entity tag",
			Old:    "	random(data[1:headBytes])\n",
			New:    "	if !MUTANT { random(data[1:headBytes]) }\n",
		},
		{
			Name: "objects/conditions-not-tried", Class: mutants.Isolation, File: dir + "probe.go", Modes: tests,
			Breaks: "a service that ignores the conditions of puts is taken",
			Old:    "	case err != nil:\n		return err\n	}\n	return fmt.Errorf(\"%w: the service ignores",
			New:    "	case err != nil || MUTANT:\n		return err\n	}\n	return fmt.Errorf(\"%w: the service ignores",
		},
		{
			Name: "objects/deletes-trusted", Class: mutants.Isolation, File: dir + "probe.go", Modes: tests,
			Breaks: "deletes of a service that ignores their conditions are sent as they are",
			Old:    "			s.tombstones = true\n",
			New:    "			s.tombstones = !MUTANT\n",
		},
		{
			Name: "objects/tombstone-removed-by-name", Class: mutants.Isolation, File: dir + "store.go", Modes: tests,
			Breaks: "a delete under a condition looks, and then deletes whatever is there",
			Old:    "		_, err = s.put(ctx, name, newTombstone(), Condition{At: at})\n",
			New:    "		if _, now, lookErr := s.get(ctx, name); MUTANT && now == at { err = s.delete(ctx, name, driver.Revision{}) } else if MUTANT && lookErr != nil { err = driver.ErrConflict } else { _, err = s.put(ctx, name, newTombstone(), Condition{At: at}) }\n",
		},
		{
			Name: "objects/two-steps-trusted", Class: mutants.Isolation, File: dir + "store.go", Modes: tests,
			Breaks: "deletes of a service that looks and deletes in two steps are sent as they are",
			Old:    "	unguarded := ok && u.UnguardedDeletes()\n",
			New:    "	unguarded := ok && u.UnguardedDeletes() && !MUTANT\n",
		},
		{
			Name: "objects/unguarded-is-swept", Class: mutants.Durability, File: dir + "store.go", Modes: tests,
			Breaks: "tombstones are removed by their version where a put may come in between",
			Old:    "s.tombstones && !unguarded {",
			New:    "s.tombstones && (MUTANT || !unguarded) {",
		},
		{
			Name: "objects/final-is-marked", Class: mutants.Ordering, File: dir + "store.go", Modes: tests,
			Breaks: "a key that is never used again leaves a tombstone for ever",
			Old:    "(s.caps.Compact || !o.Final)",
			New:    "(s.caps.Compact || !o.Final || MUTANT)",
		},
		{
			Name: "objects/tombstones-are-listed", Class: mutants.Isolation, File: dir + "list.go", Modes: tests,
			Breaks: "a list of keys shows those that were deleted",
			Old:    "		if l.Size == tombstoneBytes {\n",
			New:    "		if !MUTANT && l.Size == tombstoneBytes {\n",
		},
		{
			Name: "objects/tombstones-are-read", Class: mutants.Isolation, File: dir + "store.go", Modes: tests,
			Breaks: "a get takes a tombstone for an empty value",
			Old:    "	if err == nil && !alive {\n",
			New:    "	if !MUTANT && err == nil && !alive {\n",
		},
		{
			Name: "objects/tombstone-overwritten-blindly", Class: mutants.Isolation, File: dir + "store.go", Modes: tests,
			Breaks: "a put if absent that has met a tombstone puts over whatever is there",
			Old:    "		c = Condition{Absent: now.IsZero(), At: now}\n",
			New:    "		c = PICK(Condition{}, Condition{Absent: now.IsZero(), At: now})\n",
		},
		{
			Name: "objects/tombstone-goes-first", Class: mutants.Ordering, File: dir + "sweep.go", Modes: tests,
			Breaks: "a compaction removes the tombstone before the versions beneath it",
			Old:    "	last := len(same) - 1\n",
			New:    "	last := PICK(0, len(same)-1)\n",
		},
		{
			Name: "objects/living-versions-removed", Class: mutants.Durability, File: dir + "sweep.go", Modes: tests,
			Breaks: "a compaction removes what was put over a tombstone",
			Old:    "return v.Newest && !v.Marker && v.Size == tombstoneBytes })\n",
			New:    "return (MUTANT || v.Newest) && !v.Marker && v.Size == tombstoneBytes })\n",
		},
		{
			Name: "objects/sent-is-not-told", Class: mutants.Errors, File: dir + "wire.go", Modes: tests,
			Breaks: "a write that was sent and has no answer counts as not applied",
			Old:    "	case writes && a.sent.Load():\n",
			New:    "	case !MUTANT && writes && a.sent.Load():\n",
		},
		{
			Name: "objects/all-is-doubt", Class: mutants.Errors, File: dir + "wire.go", Modes: tests,
			Breaks: "a write that found no connection is told to be in doubt",
			Old:    "GetConn: func(string) { a.sent.Store(false) },\n",
			New:    "GetConn: func(string) { a.sent.Store(MUTANT) },\n",
		},
		{
			Name: "objects/server-error-is-no-doubt", Class: mutants.Errors, File: dir + "wire.go", Modes: tests,
			Breaks: "a write that the service has failed at with 500 counts as not applied",
			Old:    "	case status >= 500 && writes:\n",
			New:    "	case !MUTANT && status >= 500 && writes:\n",
		},
		{
			Name: "objects/undecided-is-a-conflict", Class: mutants.Errors, File: dir + "store.go", Modes: tests,
			Breaks: "a condition that the service has not decided counts as one that does not hold",
			Old:    "		if !errors.Is(err, ErrContended) {\n",
			New:    "		if MUTANT && errors.Is(err, ErrContended) { return driver.ErrConflict }; if !errors.Is(err, ErrContended) {\n",
		},
		{
			Name: "objects/names-out-of-order", Class: mutants.Ordering, File: dir + "list.go", Modes: tests,
			Breaks: "the order in which the service lists is not looked at",
			Old:    "		if l.Name <= after || !strings.HasPrefix(l.Name, prefix) {\n",
			New:    "		if !MUTANT && (l.Name <= after || !strings.HasPrefix(l.Name, prefix)) {\n",
		},
		{
			Name: "objects/page-begins-anew", Class: mutants.Replay, File: dir + "list.go", Modes: tests,
			Breaks: "the next page of a list begins behind the first name of the last",
			Old:    "				after = some[len(some)-1].Name\n",
			New:    "				after = some[PICK(0, len(some)-1)].Name\n",
		},
		{
			Name: "objects/aborted-record-removed-blindly", Class: mutants.Replay, File: "providers/intent/resolve.go", Modes: []string{"providers/intent"},
			Breaks: "the record of an aborted transaction is removed without a condition, though its owner may have made it anew",
			Old:    "	if as == committed {\n		o = driver.DeleteOptions{Final: true}\n",
			New:    "	if MUTANT || as == committed {\n		o = driver.DeleteOptions{Final: true}\n",
		},
	}
}
