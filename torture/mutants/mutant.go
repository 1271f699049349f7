package mutants

// Class is a class of defects.
type Class string

// The classes, after the record of how stores fail: OSDI 2014 (ALICE), ATC 2020
// (fsync failures), OSDI 2018 (CrashMonkey), and the change logs of SQLite, etcd,
// RocksDB and redb.
const (
	Durability Class = "durability"
	Ordering   Class = "ordering"
	Replay     Class = "replay"
	Errors     Class = "errors"
	Isolation  Class = "isolation"
	Device     Class = "device"
	Harness    Class = "harness"
	Equivalent Class = "equivalent"
	Canary     Class = "canary"
)

// Mutant is a seeded defect.
type Mutant struct {
	// Name is unique: "example/no-dir-sync".
	Name  string
	Class Class
	// Breaks says what goes wrong.
	Breaks string
	// File is the path from the module's root. Old stands in it exactly once, and
	// New in its place; MUTANT in New is whether the mutant is on, and
	// PICK(a, b) is a if it is, else b. Both have the same number of lines.
	File, Old, New string
	// Modes are those of torture that should find it, the cheapest first. A Canary
	// has none: all must find it.
	Modes []string
	// With, for one of class Harness, names the mutant that is on too and must
	// survive then; "" for one that a mode must find by itself.
	With string
}

// All returns every mutant.
func All() []Mutant {
	var all []Mutant
	for _, of := range [][]Mutant{exampleMutants, walMutants, cowbtreeMutants, cowbtreeMoreMutants, lsmMutants, flashMutants, blockfsMutants, vfsMutants, harnessMutants} {
		all = append(all, of...)
	}
	return all
}
