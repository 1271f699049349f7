package lsm

import (
	"bytes"
	"fmt"
)

// checkRun returns what is wrong with the order of a run.
func checkRun(r *run) error {
	for i, t := range r.tables {
		if bytes.Compare(t.lower, t.upper) >= 0 {
			return fmt.Errorf("table %d is of [%q, %q)", t.number, t.lower, t.upper)
		}
		if i > 0 && bytes.Compare(r.tables[i-1].upper, t.lower) > 0 {
			return fmt.Errorf("tables %d and %d overlap", r.tables[i-1].number, t.number)
		}
		if r.find(t.lower) != t {
			return fmt.Errorf("table %d is not found by its lower bound", t.number)
		}
	}
	return nil
}
