package memory_test

import (
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
	"github.com/orbit-persistence/orbit/engine/memory"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Target{
		Name: "memory",
		Open: func(string) (engine.Engine, error) { return memory.Open(), nil },
	})
}
