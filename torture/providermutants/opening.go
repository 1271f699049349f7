package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

const (
	allOpen        = "providers/all/all.go"
	allLSM         = "providers/all/lsmtree.go"
	allPebble      = "providers/all/pebble.go"
	allMemory      = "providers/all/memory.go"
	lsmProvider    = "providers/lsmtree/lsmtree.go"
	cowProvider    = "providers/cowbtree/cowbtree.go"
	pebbleProvider = "providers/pebble/pebble.go"
	localDirectory = "providers/local/directory.go"
)

var allTests = []string{"providers/all"}

// opening are the mutants of the way from a configuration to open local providers.
func opening() []mutants.Mutant {
	return []mutants.Mutant{
		{
			Name: "all/others-left-open", Class: mutants.Errors, File: allOpen, Modes: allTests,
			Breaks: "where one provider cannot be opened, those before it stay open, and locked",
			Old:    "			return nil, errors.Join(err, registry.Close())\n",
			New:    "			if MUTANT { return nil, err }; return nil, errors.Join(err, registry.Close())\n",
		},
		{
			Name: "all/not-validated", Class: mutants.Errors, File: allOpen, Modes: allTests,
			Breaks: "a configuration that a program made is opened as it is",
			Old:    "	if err := b.Validate(); err != nil {\n",
			New:    "	if err := b.Validate(); !MUTANT && err != nil {\n",
		},
		{
			Name: "all/roles-mixed-up", Class: mutants.Errors, File: allOpen, Modes: allTests,
			Breaks: "the provider for the cluster is the default for everything",
			Old:    "		providers.General:     c.Server.PersistenceBackend,\n",
			New:    "		providers.General:     PICK(c.Defaults.Cluster, c.Server.PersistenceBackend),\n",
		},
		{
			Name: "all/durability-dropped", Class: mutants.Durability, File: allLSM, Modes: allTests,
			Breaks: "an LSM-tree that is to be in memory is flushed",
			Old:    "			DataDir: b.DataDir, Durability: d, MemtableBytes",
			New:    "			DataDir: b.DataDir, Durability: PICK(0, d), MemtableBytes",
		},
		{
			Name: "all/cache-dropped", Class: mutants.Errors, File: allLSM, Modes: allTests,
			Breaks: "block_cache_mb does nothing",
			Old:    "CacheBytes: int64(b.BlockCache),",
			New:    "CacheBytes: PICK(0, int64(b.BlockCache)),",
		},
		{
			Name: "all/filters-always", Class: mutants.Errors, File: allPebble, Modes: allTests,
			Breaks: "enable_bloom_filters = false does nothing",
			Old:    "		if !b.EnableBloomFilters {\n",
			New:    "		if !MUTANT && !b.EnableBloomFilters {\n",
		},
		{
			Name: "all/refuses-for-ever", Class: mutants.Errors, File: allMemory, Modes: allTests,
			Breaks: "when_full does nothing",
			Old:    "Evict: b.WhenFull == config.Evict}",
			New:    "Evict: !MUTANT && b.WhenFull == config.Evict}",
		},
		{
			Name: "all/lsmtree-levels-dropped", Class: mutants.Errors, File: lsmProvider, Modes: allTests,
			Breaks: "max_levels does nothing",
			Old:    "Levels: c.MaxLevels,",
			New:    "Levels: PICK(0, c.MaxLevels),",
		},
		{
			Name: "all/lsmtree-compression-mixed-up", Class: mutants.Errors, File: lsmProvider, Modes: allTests,
			Breaks: "zstd is LZ4",
			Old:    "		o.Compression = lsm.Zstd\n",
			New:    "		o.Compression = PICK(lsm.LZ4, lsm.Zstd)\n",
		},
		{
			Name: "all/cowbtree-names-not-hidden", Class: mutants.Errors, File: cowProvider, Modes: allTests,
			Breaks: "named snapshots are declared where they are switched off",
			Old:    "NoNamedSnapshots: !c.EnableSnapshots})",
			New:    "NoNamedSnapshots: !MUTANT && !c.EnableSnapshots})",
		},
		{
			Name: "all/pebble-compression-mixed-up", Class: mutants.Errors, File: pebbleProvider, Modes: allTests,
			Breaks: "none is Snappy",
			Old:    "		o.Compression = pebbledb.NoCompression\n",
			New:    "		o.Compression = PICK(pebbledb.Snappy, pebbledb.NoCompression)\n",
		},
		{
			Name: "local/parents-not-durable", Class: mutants.Durability, File: localDirectory, Modes: localTests,
			Breaks: "the directories above a new store are gone after a power cut, and it with them",
			Old:    "	for _, parent := range parents {\n",
			New:    "	for _, parent := range PICK(nil, parents) {\n",
		},
		{
			Name: "local/snapshot-of-now", Class: mutants.Isolation, File: localStore, Modes: allTests,
			Breaks: "a named snapshot shows what is there now",
			Old:    "	snap, err := n.names.OpenSnapshot(name)\n",
			New:    "	snap, err := n.names.OpenSnapshot(name); if MUTANT && err == nil { snap.Close(); snap, err = n.of.engine.Snapshot() }\n",
		},
	}
}
