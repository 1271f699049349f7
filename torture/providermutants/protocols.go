package providermutants

import "github.com/orbit-persistence/orbit/torture/mutants"

// protocols are the mutants of the stores of the protocols. Their tests run over the
// LSM-tree here, as the judge builds without RocksDB.
func protocols() []mutants.Mutant {
	const (
		stores = "providers/protocol/protocol.go"
		store  = "providers/protocol/store.go"
		key    = "providers/protocol/key.go"
		redis  = "providers/protocol/redis.go"
		graph  = "providers/protocol/graph.go"
	)
	tests := []string{"providers/protocol"}
	return []mutants.Mutant{
		{
			Name: "protocol/in-memory", Class: mutants.Durability, File: store, Modes: tests,
			Breaks: "what is acknowledged is in memory alone, the first fault of the specification's history",
			Old:    "	err := b.s.engine.Apply(ctx, &b.b, b.s.o.Durability)\n",
			New:    "	err := b.s.engine.Apply(ctx, &b.b, PICK(engine.Memory, b.s.o.Durability))\n",
		},
		{
			Name: "protocol/another-directory", Class: mutants.Durability, File: stores, Modes: tests,
			Breaks: "the store of redis lies beside its directory, the fifth fault of the history",
			Old:    "func (p Protocol) Dir(dataDir string) string { return",
			New:    "func (p Protocol) Dir(dataDir string) string { if MUTANT && p == Redis { return filepath.Join(dataDir, \"redis\") }; return",
		},
		{
			Name: "protocol/another-family", Class: mutants.Isolation, File: stores, Modes: tests,
			Breaks: "what belongs into one family is put into another",
			Old:    "		s.families[name] = family{id, reader}\n",
			New:    "		if MUTANT && name == redisMetadataFamily { id, reader = s.families[redisDataFamily].id, s.families[redisDataFamily].reader }; s.families[name] = family{id, reader}\n",
		},
		{
			Name: "protocol/keys-collide", Class: mutants.Isolation, File: key, Modes: tests,
			Breaks: "a colon in a name makes the key of another thing",
			Old:    "		if i < len(names)-1 {\n",
			New:    "		if !MUTANT && i < len(names)-1 {\n",
		},
		{
			Name: "protocol/old-expiry-stays", Class: mutants.Replay, File: redis, Modes: tests,
			Breaks: "a key that is set again keeps the entry of its old time",
			Old:    "	if there && old != 0 && old != expires {\n",
			New:    "	if !MUTANT && there && old != 0 && old != expires {\n",
		},
		{
			Name: "protocol/sweep-takes-the-living", Class: mutants.Replay, File: redis, Modes: tests,
			Breaks: "the sweep believes an entry, and does not look at the value",
			Old:    "	if gone = there && expires == due; gone {\n",
			New:    "	if gone = there && (MUTANT || expires == due); gone {\n",
		},
		{
			Name: "protocol/expired-is-shown", Class: mutants.Isolation, File: redis, Modes: tests,
			Breaks: "a value is shown until the sweep comes",
			Old:    "	return expires, data, found && !s.expired(expires), err\n",
			New:    "	return expires, data, found && (MUTANT || !s.expired(expires)), err\n",
		},
		{
			Name: "protocol/rows-of-a-dropped-table", Class: mutants.Replay, File: store, Modes: tests,
			Breaks: "what a table or collection held is there again when it is made anew",
			Old:    "	b.b.DeleteRangeIn(b.s.families[of].id,",
			New:    "	if MUTANT { return }; b.b.DeleteRangeIn(b.s.families[of].id,",
		},
		{
			Name: "protocol/node-removed-under-a-relationship", Class: mutants.Isolation, File: graph, Modes: tests,
			Breaks: "a node goes while a relationship to it is put",
			Old:    "	release, err := s.locks.holdAll(ctx)\n",
			New:    "	lock := s.locks.holdAll; if MUTANT { lock = func(ctx context.Context) (func(), error) { return s.locks.hold(ctx) } }; release, err := lock(ctx)\n",
		},
		{
			Name: "protocol/relationship-at-its-old-node", Class: mutants.Ordering, File: graph, Modes: tests,
			Breaks: "a relationship that moves stays at its old node",
			Old:    "	b.remove(relationshipsFamily, from)\n",
			New:    "	if !MUTANT { b.remove(relationshipsFamily, from) }\n",
		},
	}
}
