// Package objectstest is what the tests of every object store have in common: the
// conformance suite over the real server, faults on the wire in the middle of each
// operation, histories with faults at random, and several processes at once.
package objectstest
