package engine

import (
	"fmt"
	"strings"
)

// Durability is what an acknowledged commit survives. The classes differ by
// orders of magnitude in cost, so they are never mixed in one figure.
type Durability uint8

const (
	// Flushed commits survive loss of power: the device has confirmed a flush.
	// It is the zero value, so that forgetting to choose loses nothing.
	Flushed Durability = iota
	// Buffered commits survive the death of the process: the kernel has them.
	Buffered
	// Memory commits are acknowledged from the memory of the process; its death
	// may lose the newest of them.
	Memory

	numDurabilities
)

// Durabilities lists the classes from the weakest to the strongest.
var Durabilities = []Durability{Memory, Buffered, Flushed}

var durabilityNames = [numDurabilities]string{"flushed", "buffered", "memory"}

// String returns "flushed", "buffered" or "memory".
func (d Durability) String() string {
	if d < numDurabilities {
		return durabilityNames[d]
	}
	return fmt.Sprintf("durability(%d)", uint8(d))
}

// ParseDurability reads what String writes.
func ParseDurability(s string) (Durability, error) {
	for d, name := range durabilityNames {
		if name == s {
			return Durability(d), nil
		}
	}
	return 0, fmt.Errorf("%w: unknown durability %q; choose memory, buffered or flushed", ErrInvalid, s)
}

// DurabilitySet is a set of classes.
type DurabilitySet uint8

// DurabilityOf makes a set.
func DurabilityOf(ds ...Durability) DurabilitySet {
	var s DurabilitySet
	for _, d := range ds {
		s |= 1 << d
	}
	return s
}

// Has reports whether d is in the set.
func (s DurabilitySet) Has(d Durability) bool { return d < numDurabilities && s&(1<<d) != 0 }

// Strongest returns the strongest class of the set; an empty set has none.
func (s DurabilitySet) Strongest() (Durability, bool) {
	for _, d := range []Durability{Flushed, Buffered, Memory} {
		if s.Has(d) {
			return d, true
		}
	}
	return 0, false
}

// String lists the classes from the weakest to the strongest: "memory,flushed".
func (s DurabilitySet) String() string {
	var names []string
	for _, d := range Durabilities {
		if s.Has(d) {
			names = append(names, d.String())
		}
	}
	return strings.Join(names, ",")
}

// CheckDurability returns the ErrUnsupported of an engine that does not have d.
func CheckDurability(have DurabilitySet, d Durability) error {
	if have.Has(d) {
		return nil
	}
	return fmt.Errorf("%w: durability %s; this engine has %s", ErrUnsupported, d, have)
}
