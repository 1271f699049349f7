// Package mutants seeds defects into the code under torture, one at a time, and
// runs the modes of torture until one fails. A harness that has never failed has
// shown nothing; one that finds every seeded defect has shown what it can find.
//
// # How a defect is seeded
//
// A Mutant replaces a piece of a source file, which must be there exactly once,
// by one that asks whether the mutant is on. `go build -overlay` builds one
// program with all of them, in which the environment variable ORBIT_MUTANT turns
// some on, by name, separated by commas. The source is not changed, and the
// program that is shipped holds nothing of it.
//
// In the same program every place that flushes on a simulated disk, and every
// place that verifies a checksum by package checksum, can be switched off, as
// "flush FUNCTION FILE:LINE" and "checksum FUNCTION FILE:LINE". The places are
// found by running the modes.
//
// # What is expected
//
// Each defect is found. Four kinds of mutants watch over the harness itself: the
// Equivalent one changes nothing and must survive; the Canary must be found by
// every mode; a mutant of the harness itself must make a defect survive that is
// found without it, which is how it is noticed; and faults that never fire must
// fail the run.
package mutants
