package mutants

// harnessMutants are defects of the harness. Each blinds it to a defect that it
// finds without.
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
}
