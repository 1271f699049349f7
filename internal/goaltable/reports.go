package main

var reports = map[string]*report{
	"operations": {title: "Tables, migration and backup", command: "make bench-operations", goals: []goal{
		{what: "table: insert, lsm_tree, memory class, batches of 100 rows of 5 columns with one index", benchmark: "table Insert/provider=lsm_tree", unit: "rows/s", least: 100_000, shown: "rows/s"},
		{what: "table: select of one row by its key, of 1,000,000, p50", benchmark: "table Select/by=key/provider=lsm_tree", unit: "p50-ns", most: 6_000, scale: 1e-3, shown: "µs"},
		{what: "table: select of ten rows by an index, of 1,000,000, p50", benchmark: "table Select/by=index/provider=lsm_tree", unit: "p50-ns", most: 100_000, scale: 1e-3, shown: "µs"},
		{what: "migrate memory to lsm_tree, flushed, 1,000,000 entries, validated", benchmark: "migrate Migrate/validated=true", unit: "entries/s", least: 200_000, shown: "entries/s"},
		{what: "export of Debian's Contents index from lsm_tree", benchmark: "migrate Contents/export", unit: "entries/s", least: 150_000, shown: "entries/s"},
		{what: "import of it into lsm_tree, flushed, validated", benchmark: "migrate Contents/import", unit: "entries/s", least: 150_000, shown: "entries/s"},
		{what: "the same, the largest heap; the bound is our own", benchmark: "migrate Contents/import", unit: "heap-MiB", most: 256, shown: "MiB"},
		{what: "puts that are left while a base is taken of a store under load", benchmark: "backup Backup", unit: "puts-left", least: 0.8, shown: "×"},
		{what: "restore, beside the device's sequential bandwidth", benchmark: "backup Backup", unit: "restore/sequential", least: 0.5, shown: "×"},
	}},
	"flash": {title: "The flash engine", command: "make bench-flash", goals: []goal{
		{what: "uncached gets by 32 clients, beside the device's reads of 4 KiB by 32", benchmark: "flash Goals/reads", unit: "gets/device", least: 0.9, shown: "×"},
		{what: "uncached get by one client, p50, beside the device's read of 4 KiB", benchmark: "flash Goals/reads", unit: "latency/device", most: 1.15, shown: "×"},
		{what: "reads of the device for an uncached get", benchmark: "flash Goals/reads", unit: "reads/get", most: 1.02},
		{what: "gets by 32 clients beside RocksDB with direct reads, each with a cache of a twentieth", benchmark: "flash Goals/reads", unit: "gets/rocksdb", shown: "×"},
		{what: "get by one client, p50, beside the same", benchmark: "flash Goals/reads", unit: "latency/rocksdb", shown: "×"},
		{what: "cached get, p50, beside LMDB's", benchmark: "flash Goals/cached", unit: "get/lmdb", most: 0.45, shown: "×"},
		{what: "ingest of incompressible values of 16 KiB, buffered, beside sequential writes of the device", benchmark: "flash Goals/ingest", unit: "ingest/device", least: 0.7, shown: "×"},
		{what: "ingest of records of 430 B in batches of 100, in random order, buffered", benchmark: "flash Goals/ingest", unit: "records/s", least: 600_000, shown: "records/s"},
		{what: "flushed puts by 1 client, in the device's durable writes by one (R)", benchmark: "flash Goals/flushed", unit: "R-at-1", least: 0.9, shown: "R"},
		{what: "the same by 16 clients", benchmark: "flash Goals/flushed", unit: "R-at-16", least: 12, shown: "R"},
		{what: "the same by 64 clients", benchmark: "flash Goals/flushed", unit: "R-at-64", least: 40, shown: "R"},
		{what: "RAM for a key of 16 B, beside the key", benchmark: "flash Goals/memory", unit: "B/key", most: 32, shown: "B"},
		{what: "bytes to the device for each byte put, uniform overwrites, about 70 % full", benchmark: "flash Goals/amplification", unit: "device-B/B", most: 2.2, shown: "×"},
		{what: "of them those of the store: log, cleaning and index", benchmark: "flash Goals/amplification", unit: "store-B/B", shown: "×"},
		{what: "live bytes as a share of the segments meanwhile", benchmark: "flash Goals/amplification", unit: "fill"},
		{what: "the same of all files", benchmark: "flash Goals/amplification", unit: "of-disk"},
		{what: "recovery behind a kill, 10,000,000 records, a hundredth behind the checkpoint", benchmark: "flash Goals/recovery", unit: "s", most: 1, shown: "s"},
		{what: "two paths mirrored: flushed put by 1 client, beside the slower path alone", benchmark: "flash Goals/mirrored", unit: "commit/slower-at-1", most: 1.3, shown: "×"},
		{what: "the same by 16 clients", benchmark: "flash Goals/mirrored", unit: "commit/slower-at-16", most: 1.3, shown: "×"},
		{what: "a path hangs under load: the longest call, in deadlines of an I/O", benchmark: "flash Goals/lost", unit: "pause/deadline", most: 1},
		{what: "a path is back that missed 1 % of the writes: what is copied, as a share of the data, 1.8 GB in segments of 1 MiB", benchmark: "flash Goals/resync", unit: "copied/data", most: 0.015},
	}, notes: `Both paths of a mirror are on one device here, which does each write twice: where a figure
needs two devices it shows that mirroring works, and not how fast it is. The path that hangs
is one of a simulated disk. Pebble has no direct reads. How each is measured stands in
[goals_linux_test.go](../engine/flash/goals_linux_test.go).
`},
}
