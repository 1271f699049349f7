package protocol

import (
	"context"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/lsm"
	"github.com/orbit-persistence/orbit/engine/rocks"
)

// OpenRaw opens a store's engine as the package does: RocksDB or, where the tests are built
// without it, the LSM-tree, which has families too.
func OpenRaw(ctx context.Context, dir string, families ...string) (engine.Engine, error) {
	if Available {
		return rocks.Open(dir, rocks.Options{Families: families})
	}
	e, err := lsm.Open(ctx, dir, lsm.Options{})
	if err != nil {
		return nil, err
	}
	for _, name := range families {
		if _, err := e.CreateFamily(ctx, name); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// WithoutRocksDB has the package open LSM-trees.
func WithoutRocksDB() {
	openEngine = func(ctx context.Context, dir string, families []string, _ Options) (engine.Engine, error) {
		return OpenRaw(ctx, dir, families...)
	}
}

// Before has before called with the class of each batch that the store is about to apply.
func (s *Store) Before(before func(engine.Durability)) { s.engine = watched{s.engine, before} }

type watched struct {
	engine.Engine
	before func(engine.Durability)
}

func (w watched) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	w.before(d)
	return w.Engine.Apply(ctx, b, d)
}
