// Package mutants seeds defects into the code under torture, one at a time, and
// runs the modes of torture until one fails. A harness that has never failed has
// shown nothing; one that finds every seeded defect has shown what it can find.
//
// # How a defect is seeded
//
// A Mutant replaces a piece of a source file, which must be there exactly once,
// by one that asks whether the mutant is on. `go build -overlay` builds one
// program with all of them, in which the environment variable ORBIT_MUTANT turns
// some on, by name, separated by commas. The source is not changed. The program
// that is shipped holds nothing of this package either: the mode of the mutants
// builds the command judge from the source, and runs it.
//
// In the same program every place that flushes on a simulated disk, and every
// place that verifies a checksum by package checksum, can be switched off, as
// "flush FUNCTION FILE:LINE" and "checksum FUNCTION FILE:LINE". The places are
// found by running the modes.
//
// # What is expected
//
// Each defect is found. Three kinds of mutants watch over the harness itself: the
// one Equivalent changes nothing and must survive; the one Canary must be found by
// every mode; and one of the harness is noticed because a defect survives with it
// that is found without, or because a mode that tests nothing says so.
//
// A site that survives is a failure, unless argued.go says why it may. An argument
// that is about no site, or about one that is found, is void, and a failure too.
//
// A mode that fails without a mutant judges none, and fails the run; one that does
// nothing here is left out.
package mutants
