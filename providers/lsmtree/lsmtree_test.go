package lsmtree_test

import (
	"context"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, d := range map[string]engine.Durability{"flushed": engine.Flushed, "buffered": engine.Buffered} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Target{Name: "lsmtree", Open: func(ctx context.Context, place string) (driver.Store, error) {
				c := lsmtree.Defaults()
				c.DataDir, c.Durability = place, d
				return driver.Open(ctx, lsmtree.Backend, c)
			}})
		})
	}
}
