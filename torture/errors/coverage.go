package errors

import (
	"strconv"

	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
)

// call is the nth call of a method in a workload, from 1.
type call struct {
	op  simdisk.Op
	nth int
}

// callSites say from which site in the engine each call comes.
type callSites map[call]string

// place is a site and the method that it calls.
type place struct {
	site string
	op   simdisk.Op
}

// kind is a kind of fault.
type kind struct {
	effect simdisk.Effect
	sticky bool
}

// coverage counts what faults fired, and where.
type coverage struct {
	sites  map[place]bool // all that a workload met
	faults map[kind]int
	at     map[kind]map[place]bool
}

func newCoverage() coverage {
	return coverage{map[place]bool{}, map[kind]int{}, map[kind]map[place]bool{}}
}

// fired notes a fault at the site of its first call.
func (c *coverage) fired(f failing, sites callSites) {
	k := kind{f.effect, f.sticky}
	c.faults[k]++
	if c.at[k] == nil {
		c.at[k] = make(map[place]bool)
	}
	c.at[k][place{sites[call{f.op, f.nth}], f.op}] = true
}

// table has a row for each effect: the sites that can have it, and how many faults
// fired at how many of them.
func (c *coverage) table() target.Table {
	t := target.Table{
		Title:   "faults that fired, and the I/O sites where they did",
		Columns: []string{"effect", "sites that can have it", "once: faults", "at sites", "sticky: faults", "at sites"},
	}
	for _, e := range effects {
		possible := 0
		for p := range c.sites {
			if p.op&e.ops != 0 {
				possible++
			}
		}
		row := []string{e.effect.String(), strconv.Itoa(possible)}
		for _, sticky := range []bool{false, true} {
			k := kind{e.effect, sticky}
			row = append(row, strconv.Itoa(c.faults[k]), strconv.Itoa(len(c.at[k])))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
