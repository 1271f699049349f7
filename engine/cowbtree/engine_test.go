package cowbtree_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes every test write checkpoints, and evict pages.
var small = cowbtree.Options{CacheBytes: 1 << 20, SegmentBytes: 64 << 10, CheckpointBytes: 256 << 10}

func open(t testing.TB, dir string, o cowbtree.Options) *cowbtree.Engine {
	t.Helper()
	// Twice a cache, and more, is cleared as a store opens; see RaceEnabled.
	if cowbtree.RaceEnabled && o.CacheBytes == 0 {
		o.CacheBytes = 16 << 20
	}
	e, err := cowbtree.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Target{
		Name:       "cowbtree",
		Operations: 20_000,
		Open: func(dir string) (engine.Engine, error) {
			return cowbtree.Open(context.Background(), dir, small)
		},
	})
}
