package flash_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/flash"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small makes every test write checkpoints, clean, and evict values.
var small = flash.Options{CacheBytes: 256 << 10, SegmentBytes: 64 << 10, CheckpointBytes: 256 << 10}

func open(t testing.TB, dir string, o flash.Options) *flash.Engine {
	t.Helper()
	e, err := flash.Open(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	operations := 20_000
	if flash.RaceEnabled {
		operations /= 4
	}
	enginetest.Run(t, enginetest.Target{
		Name:       "flash",
		Operations: operations,
		Open: func(dir string) (engine.Engine, error) {
			return flash.Open(context.Background(), dir, small)
		},
	})
}
