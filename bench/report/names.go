package report

import (
	"cmp"
	"slices"

	"github.com/orbit-persistence/orbit/bench/result"
)

// engine is one engine of the result: a column of the tables and a colour of
// the plots.
type engine struct {
	Name  string // as in the result
	Title string // as it is shown
	// Index is the place in the palette, the same in every table and plot.
	Index   int
	Version string
	// Passed and Failed count the engine's cells in this run.
	Passed, Failed int
}

// knownEngines are those of this module, in the order in which they are shown.
// Engines of other modules come after them, by name.
var knownEngines = []struct{ name, title string }{
	{"memory", "Memory"},
	{"cowbtree", "COW B+ tree"},
	{"lsm", "LSM-tree"},
	{"flash", "Flash"},
	{"rocksdb", "RocksDB"},
	{"pebble", "Pebble"},
	{"bbolt", "bbolt"},
	{"badger", "Badger"},
	{"lmdb", "LMDB"},
}

// ink is a colour on a light and on a dark ground.
type ink struct{ light, dark string }

// palette gives each engine its colour: those of knownEngines first, which were
// searched for so that any two are at least 18 apart in CIE L*a*b*, also to the
// eyes that see no red, no green or no blue. Plots tell the engines apart by a
// mark and a label too.
var palette = []ink{
	{"#57535f", "#d4dfda"},
	{"#0e5ad3", "#6e8bff"},
	{"#a30b05", "#f46055"},
	{"#0c7445", "#79bf8f"},
	{"#e03193", "#cd76a0"},
	{"#2a9db8", "#66dbfa"},
	{"#c28210", "#febc20"},
	{"#812e93", "#9d88d0"},
	{"#799a50", "#e6d969"},
	{"#8c5a2b", "#c9a36a"},
	{"#3f7f8f", "#7fc4d4"},
	{"#9a6a9a", "#d3b0d3"},
	{"#6b6b1f", "#b9b95a"},
	{"#8c2d19", "#e0816b"},
}

// knownWorkloads is the order in which workloads are shown; others follow by
// name.
var knownWorkloads = []string{
	"put", "overwrite", "get-uniform", "get-zipf", "get-absent", "multi-get-16", "scan-100",
	"mixed-50", "ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f",
	"actor-lease", "high-throughput", "query-heavy", "load", "recovery", "snapshot",
}

// classes are the durability classes in the order in which they are shown;
// reads, which have none, come last.
var classes = []string{"memory", "buffered", "flushed", "-"}

// classTitles say what a class means, classHeads name it in a heading.
var (
	classTitles = map[string]string{
		"memory":   "acknowledged in the process's memory; lost when the process dies",
		"buffered": "acknowledged in the page cache; survives the process, not the machine",
		"flushed":  "acknowledged on the device; survives the loss of power",
		"-":        "nothing is written",
	}
	classHeads = map[string]string{"-": "reads"}
)

func classHead(class string) string {
	if h, ok := classHeads[class]; ok {
		return h
	}
	return class
}

// rank orders names by a list, unknown ones after it.
func rank(list []string, name string) int {
	if i := slices.Index(list, name); i >= 0 {
		return i
	}
	return len(list)
}

// byRank sorts names by a list, unknown ones after it by name, each name once.
func byRank(list, names []string) []string {
	out := slices.Clone(names)
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(list, a), rank(list, b)), cmp.Compare(a, b))
	})
	return slices.Compact(out)
}

// enginesOf lists the engines that have a cell in r, in the order shown.
func enginesOf(r *result.Result) []engine {
	var names []string
	for i := range r.Measurements {
		names = append(names, r.Measurements[i].Engine)
	}
	out := enginesNamed(names)
	for n := range out {
		e := &out[n]
		e.Version = r.Run.Versions[e.Name]
		for i := range r.Measurements {
			if m := &r.Measurements[i]; m.Engine != e.Name {
				continue
			} else if m.Error != "" {
				e.Failed++
			} else {
				e.Passed++
			}
		}
	}
	return out
}

// enginesNamed are engines by name, in the order shown.
func enginesNamed(names []string) []engine {
	known := make([]string, len(knownEngines))
	for i, k := range knownEngines {
		known[i] = k.name
	}
	var out []engine
	foreign := len(known)
	for _, name := range byRank(known, names) {
		e := engine{Name: name, Title: name, Index: rank(known, name)}
		if e.Index < len(known) {
			e.Title = knownEngines[e.Index].title
		} else {
			e.Index = foreign
			foreign++
		}
		out = append(out, e)
	}
	return out
}
