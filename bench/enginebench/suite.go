package enginebench

// suite is what an engine is measured by: the sections, and the goals that are held
// against their figures.
type suite struct {
	// name is that of the files, title the heading of the table.
	name, title string
	// engine is the one that the goals were made for, peers those beside it.
	engine   string
	peers    []string
	sections []section
	// contents is whether the reads are also of Debian's Contents index.
	contents bool
	goals    func(s sizes, rocksdb string) []Goal
	// bounds are those of what is measured over sizes, for the picture.
	bounds map[string]float64
	// full are the sizes of the goals, quick those that show that everything runs.
	full, quick sizes
}

func (s suite) keys() []string {
	var keys []string
	for _, section := range s.sections {
		keys = append(keys, section.key)
	}
	return keys
}

var treeSuite = suite{
	name: "tree", title: "The copy-on-write B+tree",
	engine: "cowbtree", peers: []string{"lmdb", "bbolt", "pebble", "rocksdb"},
	sections: []section{
		{"reads", sectionReads, (*run).reads},
		{"writes", sectionWrites, (*run).writes},
		{"named", sectionSnapshot, (*run).named},
		{"recovery", sectionRecovery, (*run).recovery},
		{"disk", sectionSpace, (*run).disk},
		{"held", sectionSpace, (*run).held},
		{"paged", sectionPaged, (*run).paged},
		{"growth", sectionGrowth, (*run).growth},
	},
	contents: true,
	goals:    treeGoals, full: treeFull, quick: treeQuick,
	bounds: map[string]float64{growthSnapshot: 5, growthReopen: 20},
}

var lsmSuite = suite{
	name: "lsm", title: "The LSM-tree",
	engine: "lsm", peers: []string{"pebble", "rocksdb"},
	sections: []section{
		{"reads", sectionReads, (*run).lsmReads},
		{"writes", sectionWrites, (*run).writes},
		{"overwrite", sectionOverwrite, (*run).overwriting},
		{"beside", sectionBeside, (*run).beside},
		{"queue", sectionQueue, (*run).queues},
		{"values", sectionValues, (*run).valueSizes},
		{"ycsb", sectionYCSB, (*run).ycsb},
		{"recovery", sectionRecovery, (*run).logRecovery},
		{"growth", sectionGrowth, (*run).growth},
	},
	goals: lsmGoals, full: lsmFull, quick: lsmQuick,
	bounds: map[string]float64{growthReopen: 50},
}
