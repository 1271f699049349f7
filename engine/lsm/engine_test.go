package lsm_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/lsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes every test flush, merge, and evict blocks.
var small = lsm.Options{
	CacheBytes: 256 << 10, MemtableBytes: 64 << 10, SegmentBytes: 64 << 10, TableBytes: 32 << 10, Multiplier: 3, Levels: 5, ValuesApart: 200, ValueFileBytes: 64 << 10,
}

func open(t testing.TB, dir string, o lsm.Options) *lsm.Engine {
	t.Helper()
	e, err := lsm.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	operations := 20_000
	if lsm.RaceEnabled {
		operations /= 4
	}
	enginetest.Run(t, enginetest.Target{
		Name:       "lsm",
		Operations: operations,
		Open: func(dir string) (engine.Engine, error) {
			return lsm.Open(context.Background(), dir, small)
		},
	})
}
