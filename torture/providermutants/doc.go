// Package providermutants holds the defects that the tests of the provider layer must
// find, and runs those tests with each of them. They are put in by the overlay of
// package mutants, so that the source has no trace of them.
package providermutants
