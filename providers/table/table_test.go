package table_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	enginememory "github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/local"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
	"github.com/orbit-persistence/orbit/providers/table"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener opens a store at a place, an empty directory or one that it has used.
type opener func(ctx context.Context, dir string) (driver.Store, error)

// stores are those that the tests run over: what engines give, and what object stores do,
// on which lists in transactions want guards.
var stores = map[string]opener{
	"memory": openMemory,
	"cas": func(ctx context.Context, dir string) (driver.Store, error) {
		s, err := openMemory(ctx, dir)
		return drivertest.CASOnly(s), err
	},
	"cow_btree": func(ctx context.Context, dir string) (driver.Store, error) {
		e, err := cowbtree.Open(ctx, dir, cowbtree.Options{})
		if err != nil {
			return nil, err
		}
		return local.Own(ctx, e, dir, local.Options{Durability: engine.Buffered})
	},
	"lsm_tree": openLSM,
}

func openMemory(ctx context.Context, _ string) (driver.Store, error) {
	return local.New(ctx, enginememory.Open(), local.Options{Durability: engine.Memory})
}

func openLSM(ctx context.Context, dir string) (driver.Store, error) {
	c := lsmtree.Defaults()
	c.DataDir, c.Durability = dir, engine.Memory
	return lsmtree.Open(ctx, c)
}

func open(t testing.TB, from opener) *table.Storage {
	t.Helper()
	store, err := from(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{ExpireInterval: -1})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return table.New(p)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
