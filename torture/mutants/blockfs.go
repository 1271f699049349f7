package mutants

const (
	blockfsMount = "engine/vfs/blockfs/mount.go"
	blockfsFile  = "engine/vfs/blockfs/file.go"
	blockfsFS    = "engine/vfs/blockfs/fs.go"
)

// blockfsMutants are the defects of files on block devices.
var blockfsMutants = []Mutant{
	{
		Name: "blockfs/units-reused-early", Class: Ordering, File: blockfsMount, Modes: []string{Tests},
		Breaks: "the units of a removed file are another's before its removal is durable",
		Old:    "		m.space.hold(run{e.unit, e.count}, change)\n",
		New:    "		m.space.hold(run{e.unit, e.count}, PICK(0, change))\n",
	},
	{
		Name: "blockfs/table-before-data", Class: Ordering, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a table speaks of bytes that are not flushed",
		Old:    "	if err := m.flush(); err != nil {\n		return err\n	}\n	d := &m.disk\n",
		New:    "	if MUTANT {} else if err := m.flush(); err != nil {\n		return err\n	}\n	d := &m.disk\n",
	},
	{
		Name: "blockfs/one-place", Class: Ordering, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a table is written over the last one",
		Old:    "	place := (d.place + 1) % places\n",
		New:    "	place := PICK(d.place, (d.place + 1) % places)\n",
	},
	{
		Name: "blockfs/found-table-trusted", Class: Durability, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a table that is in the page cache alone passes for durable",
		Old:    "	if d.found == nil {\n		return nil\n",
		New:    "	if d.found == nil || MUTANT {\n		d.found = nil; m.settle(firstChange); return nil\n",
	},
	{
		Name: "blockfs/older-tables-forgotten", Class: Ordering, File: blockfsMount, Modes: []string{Tests},
		Breaks: "the units of a table that may count again are used before a newer one is durable",
		Old:    "	for _, files := range x.older {\n",
		New:    "	for _, files := range PICK(nil, x.older) {\n",
	},
	{
		Name: "blockfs/one-copy", Class: Device, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a table has one copy, and rot takes it for torn",
		Old:    "		if _, err := m.cached.WriteAt(table, copyOffset(place, n), vfs.Plain); err != nil {\n",
		New:    "		if MUTANT && n > 0 {} else if _, err := m.cached.WriteAt(table, copyOffset(place, n), vfs.Plain); err != nil {\n",
	},
	{
		Name: "blockfs/failed-flush-forgotten", Class: Errors, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a flush succeeds behind one that has lost data",
		Old:    "	if m.failed == nil {\n",
		New:    "	if m.failed == nil && !MUTANT {\n",
	},
	{
		Name: "blockfs/foreign-taken", Class: Errors, File: blockfsMount, Modes: []string{Tests},
		Breaks: "a device with another's data is taken for one of Orbit's",
		Old:    "	if !allZeros(whole) {\n",
		New:    "	if !MUTANT && !allZeros(whole) {\n",
	},
	{
		Name: "blockfs/stale-bytes", Class: Isolation, File: blockfsFile, Modes: []string{Tests},
		Breaks: "bytes that a file has not written are those that another file had there",
		Old:    "				if _, err := m.cached.WriteAt(p, dataStart",
		New:    "				if MUTANT {} else if _, err := m.cached.WriteAt(p, dataStart",
	},
	{
		Name: "blockfs/length-not-durable", Class: Durability, File: blockfsFile, Modes: []string{Tests},
		Breaks: "a flush of a file that has grown leaves its length out",
		Old:    "	if change <= durable {\n",
		New:    "	if MUTANT || change <= durable {\n",
	},
	{
		Name: "blockfs/rename-not-durable", Class: Durability, File: blockfsFS, Modes: []string{Tests},
		Breaks: "a sync of the names does not notice a rename",
		Old:    "	n.name = to\n	m.weigh(n)\n	m.touch(n)\n",
		New:    "	n.name = to\n	m.weigh(n)\n	if !MUTANT { m.touch(n) }\n",
	},
}
