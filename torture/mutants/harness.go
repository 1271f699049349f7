package mutants

// harnessMutants are defects of the harness. Each blinds it to a defect that it
// finds without, or lets a mode test nothing, which the mode itself must say.
var harnessMutants = []Mutant{
	{
		Name: "harness/oracle-accepts-everything", Class: Harness, With: "example/tombstone-dropped",
		File: "torture/workload/check.go", Modes: []string{"crash"},
		Breaks: "what a store shows is compared with nothing",
		Old:    "	it, err := iterate(r, len(want)%2 == 0)\n",
		New:    "	if MUTANT { return nil }; it, err := iterate(r, len(want)%2 == 0)\n",
	},
	{
		Name: "harness/oracle-forgets-what-was-synced", Class: Harness, With: "example/sync-does-nothing",
		File: "torture/workload/session.go", Modes: []string{"crash"},
		Breaks: "what was there at a Sync may be lost",
		Old:    "			return violation(Failed, err, \"sync\")\n		}\n		b.Flushed, b.Buffered = b.Begun, b.Begun\n",
		New:    "			return violation(Failed, err, \"sync\")\n		}\n		if !MUTANT { b.Flushed, b.Buffered = b.Begun, b.Begun }\n",
	},
	{
		Name: "harness/nothing-is-lost", Class: Harness, With: "example/checkpoint-not-synced",
		File: "torture/crash/cut.go", Modes: []string{"crash"},
		Breaks: "power cuts keep all that was written",
		Old:    "		more := func(fates []simdisk.Fate) bool {",
		New:    "		more := func(fates []simdisk.Fate) bool { for i := range fates { fates[i] = PICK(simdisk.Kept, fates[i]) };",
	},
	{
		Name: "harness/names-are-durable-at-once", Class: Harness, With: "example/no-dir-sync-after-rename",
		File: "torture/crash/cut.go", Modes: []string{"crash"},
		Breaks: "directory entries survive without a sync of the directory",
		Old:    "		units := w.Pending()\n",
		New:    "		units := w.Pending(); if MUTANT && slices.ContainsFunc(units, func(u simdisk.Unit) bool { return u.Kind == simdisk.Name }) { continue }\n",
	},
	{
		Name: "harness/second-opener-not-tried", Class: Harness, With: "example/lock-omitted",
		File: "torture/workload/recover.go", Modes: []string{"crash"},
		Breaks: "no store is opened twice",
		Old:    "	if r.Second {\n",
		New:    "	if r.Second && !MUTANT {\n",
	},
	{
		Name: "harness/reads-are-not-judged", Class: Harness, With: "example/batch-split",
		File: "torture/linear/linear.go", Modes: []string{"linear"},
		Breaks: "no checker is asked about a history",
		Old:    "	sequenced := true\n",
		New:    "	if MUTANT { return nil, nil }; sequenced := true\n",
	},
	{
		Name: "harness/damage-is-not-read", Class: Harness, With: "example/checkpoint-without-checksum",
		File: "torture/rot/mode.go", Modes: []string{"rot"},
		Breaks: "what is read of a damaged store is compared with nothing",
		Old:    "	failed, err := workload.Readable(e, want.Entries, corrupt)\n",
		New:    "	if MUTANT { return harmless, nil }; failed, err := workload.Readable(e, want.Entries, corrupt)\n",
	},
	{
		Name: "harness/no-power-cut-after-a-fault", Class: Harness, With: "example/dir-sync-error-ignored",
		File: "torture/errors/fault.go", Modes: []string{"errors"},
		Breaks: "no power is cut after a call that failed",
		Old:    "	w := a.disk.Walk()\n",
		New:    "	if MUTANT { return nil }; w := a.disk.Walk()\n",
	},
	{
		Name: "harness/failed-flush-not-held-against-it", Class: Harness, With: "example/failed-flush-forgotten",
		File: "torture/errors/fault.go", Modes: []string{"errors"},
		Breaks: "after a failed flush writes may succeed",
		Old:    "			a.poisoned = true\n",
		New:    "			a.poisoned = !MUTANT\n",
	},
	{
		Name: "harness/faults-never-fire", Class: Harness, File: "torture/errors/fault.go", Modes: []string{"errors"},
		Breaks: "each fault waits for a call that does not come",
		Old:    "	a.fault = d.Inject(simdisk.Fault{Op: a.op, Nth: a.nth, ",
		New:    "	a.fault = d.Inject(simdisk.Fault{Op: a.op, Nth: PICK(1<<30, a.nth), ",
	},
	{
		Name: "harness/one-fault-in-ten-never-fires", Class: Harness, File: "torture/errors/fault.go", Modes: []string{"errors"},
		Breaks: "of the faults planned, some wait for a call that does not come",
		Old:    "Sticky: a.sticky, Effect: a.effect})",
		New:    "Sticky: a.sticky, Effect: a.effect}); if MUTANT && a.nth%10 == 0 { a.fault.Remove() }",
	},
	{
		Name: "harness/no-power-cut", Class: Harness, File: "torture/crash/cut.go", Modes: []string{"crash"},
		Breaks: "no power cut is made",
		Old:    "	for at := 0; w.Next(); at++ {\n",
		New:    "	for at := 0; !MUTANT && w.Next(); at++ {\n",
	},
	{
		Name: "harness/nothing-is-damaged", Class: Harness, File: "torture/rot/mode.go", Modes: []string{"rot"},
		Breaks: "no sector is damaged",
		Old:    "	all := make([]damage, 0, ",
		New:    "	if MUTANT { return nil }; all := make([]damage, 0, ",
	},
	{
		Name: "harness/empty-histories", Class: Harness, File: "torture/linear/linear.go", Modes: []string{"linear"},
		Breaks: "no operation comes into a history",
		Old:    "		h.Operations = append(h.Operations, c.ops...)\n",
		New:    "		if !MUTANT { h.Operations = append(h.Operations, c.ops...) }\n",
	},
	{
		Name: "harness/no-path-is-lost", Class: Harness, File: "torture/paths/round.go", Modes: []string{"paths"},
		Breaks: "no device goes",
		Old:    "	gone := r.random.IntN(len(r.w) + 1)\n",
		New:    "	gone := PICK(-1, r.random.IntN(len(r.w) + 1))\n",
	},
	{
		Name: "harness/lost-with-the-path-is-no-loss", Class: Harness, With: "wal/lost-sink-not-recorded",
		File: "torture/paths/round.go", Modes: []string{"paths"},
		Breaks: "what was flushed may be gone after the loss of a path",
		Old:    "	recovery := workload.Recovery{\n",
		New:    "	if MUTANT { accept.Least = 0 }; recovery := workload.Recovery{\n",
	},
}
