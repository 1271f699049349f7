package bench

import (
	"slices"

	"github.com/orbit-persistence/orbit/engine"
)

// section is a part of the run on one data set: each engine in it has one store,
// and the workloads run on it one after the other.
type section struct {
	data dataSpec
	// cache is given to each engine, memory bounds its process.
	cache, memory uint64
	// loops is the duration of each loop in seconds, rounds how often each cell
	// is measured; the engines take turns within a round.
	loops  float64
	rounds int
	cells  []cellPlan
	// onDisk leaves out engines that hold all data in memory.
	onDisk bool
	// load and recovery are measured too.
	load, recovery bool
}

// cellPlan is one row of a section, measured on each engine that has the class.
type cellPlan struct {
	workload   workload
	durability engine.Durability
	// writes is false where durability says nothing.
	writes  bool
	clients int
}

func (c cellPlan) class() string {
	if !c.writes {
		return "-"
	}
	return c.durability.String()
}

// planCells lists the cells of a section. Pure reads have no class; clients
// beyond one are for gets, and for puts in the flushed class, where commits
// share a flush.
func planCells(names []string, classes []engine.Durability, clients []int) []cellPlan {
	var plan []cellPlan
	for _, w := range workloads {
		if !slices.Contains(names, w.name) {
			continue
		}
		if !w.writes() {
			for _, n := range clients {
				if n == 1 || w.name == "get-uniform" {
					plan = append(plan, cellPlan{w, engine.Memory, false, n})
				}
			}
			continue
		}
		for _, d := range classes {
			for _, n := range clients {
				if n == 1 || w.name == "put" && d == engine.Flushed {
					plan = append(plan, cellPlan{w, d, true, n})
				}
			}
		}
	}
	return plan
}

const (
	mib = 1 << 20
	gib = 1 << 30
)

// leaseWorkloads are the seed's three, which run on the lease data alone.
var leaseWorkloads = []string{"actor-lease", "high-throughput", "query-heavy"}

// defaultCells are the cells of a data set where the user names no workloads.
// Mixed workloads run in the classes that do not wait for the device; that wait
// is measured by put and overwrite.
func defaultCells(kind string, quick bool, classes []engine.Durability, clients []int) []cellPlan {
	var unflushed []engine.Durability
	for _, d := range classes {
		if d != engine.Flushed {
			unflushed = append(unflushed, d)
		}
	}
	var plan []cellPlan
	if kind == "lease" {
		plan = planCells(append([]string{"get-uniform", "put"}, leaseWorkloads...), classes, clients[:1])
		if !quick {
			plan = append(plan, planCells([]string{"get-zipf", "scan-100", "overwrite", "mixed-50"}, classes, clients[:1])...)
		}
	} else {
		plan = planCells([]string{"get-uniform", "get-zipf", "get-absent", "multi-get-16", "scan-100", "snapshot", "ycsb-c", "put", "overwrite"}, classes, clients)
		plan = append(plan, planCells([]string{"mixed-50", "ycsb-a", "ycsb-b", "ycsb-d", "ycsb-e", "ycsb-f"}, unflushed, clients[:1])...)
	}
	sortCells(plan)
	return plan
}

// sortCells brings cells into the order of workloads: what adds records last.
func sortCells(plan []cellPlan) {
	place := map[string]int{}
	for i, w := range workloads {
		place[w.name] = i
	}
	slices.SortStableFunc(plan, func(a, b cellPlan) int { return place[a.workload.name] - place[b.workload.name] })
}
