package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// flash are the mutants of the provider over the store for flash devices.
func flash() []mutants.Mutant {
	const (
		file    = "providers/flash/flash.go"
		mapping = "providers/all/flash.go"
	)
	tests := []string{"providers/flash"}
	return []mutants.Mutant{
		{
			Name: "flash/degraded-not-told", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "a store with a path less is healthy",
			Old:    "	if len(out) == 0 {\n",
			New:    "	if len(out) == 0 || MUTANT {\n",
		},
		{
			Name: "flash/spare-is-out", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "a store with a spare path is degraded for ever",
			Old:    "		case !p.Spare:\n",
			New:    "		case MUTANT || !p.Spare:\n",
		},
		{
			Name: "flash/gone-counts-as-spare", Class: mutants.Errors, File: "engine/flash/path.go", Modes: tests,
			Breaks: "a path whose device is gone passes for a spare",
			Old:    "			if p.spare.Swap(false) {\n",
			New:    "			if MUTANT { continue }; if p.spare.Swap(false) {\n",
		},
		{
			Name: "flash/progress-mixed-up", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "a path that is brought level seems to be",
			Old:    "p.Dir, p.Copied, p.Total))\n",
			New:    "p.Dir, PICK(p.Total, p.Copied), p.Total))\n",
		},
		{
			Name: "flash/missing-path-is-made", Class: mutants.Durability, File: file, Modes: tests,
			Breaks: "a directory takes the place of a device that is not mounted",
			Old:    "!errors.Is(err, engine.ErrNotFound) {\n		return nil //",
			New:    "!MUTANT && !errors.Is(err, engine.ErrNotFound) {\n		return nil //",
		},
		{
			Name: "flash/one-path-of-all", Class: mutants.Durability, File: file, Modes: tests,
			Breaks: "everything lies in the first path alone",
			Old:    "	if len(o.Paths) == 0 {\n",
			New:    "	if MUTANT && len(o.Paths) > 1 { o.Paths, o.Replicas = o.Paths[:1], 0 }; if len(o.Paths) == 0 {\n",
		},
		{
			Name: "flash/replicas-dropped", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "there is no spare",
			Old:    "Replicas: c.Replicas,",
			New:    "Replicas: PICK(0, c.Replicas),",
		},
		{
			Name: "flash/impatient", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "path_timeout does nothing",
			Old:    "Timeout: c.PathTimeout,",
			New:    "Timeout: PICK(10*time.Millisecond, c.PathTimeout),",
		},
		{
			Name: "flash/rebuilt-at-any-rate", Class: mutants.Errors, File: file, Modes: tests,
			Breaks: "rebuild_rate does nothing",
			Old:    "ResyncRate: c.RebuildRate,",
			New:    "ResyncRate: PICK(0, c.RebuildRate),",
		},
		{
			Name: "flash/page-cache-unasked", Class: mutants.Durability, File: file, Modes: tests,
			Breaks: "without direct I/O a store goes through the page cache, and nobody has said so",
			Old:    "PageCache: c.PageCache,",
			New:    "PageCache: MUTANT || c.PageCache,",
		},
		{
			Name: "flash/emptiest-device", Class: mutants.Errors, File: "engine/flash/metrics.go", Modes: tests,
			Breaks: "disk_usage is that of the device with the most room",
			Old:    "u.device.UsedPercent() > fullest.UsedPercent()",
			New:    "(u.device.UsedPercent() > fullest.UsedPercent()) != MUTANT",
		},
		{
			Name: "flash/compression-mixed-up", Class: mutants.Errors, File: file, Modes: allTests,
			Breaks: "zstd is LZ4",
			Old:    "		o.Compression = flash.Zstd\n",
			New:    "		o.Compression = PICK(flash.LZ4, flash.Zstd)\n",
		},
		{
			Name: "all/flash-durability-dropped", Class: mutants.Durability, File: mapping, Modes: allTests,
			Breaks: "durability does nothing",
			Old:    "Durability: d, IODepth",
			New:    "Durability: PICK(0, d), IODepth",
		},
		{
			Name: "all/flash-cache-for-ever", Class: mutants.Errors, File: mapping, Modes: allTests,
			Breaks: "cache_size = 0 is the default",
			Old:    "		own.CacheBytes = -1\n",
			New:    "		own.CacheBytes = PICK(int64(0), -1)\n",
		},
		{
			Name: "all/flash-every-path", Class: mutants.Errors, File: mapping, Modes: allTests,
			Breaks: "with enable_multipathing alone all paths have a value",
			Old:    "		own.Replicas = b.Copies()\n",
			New:    "		own.Replicas = PICK(0, b.Copies())\n",
		},
	}
}
