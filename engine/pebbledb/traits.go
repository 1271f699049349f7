package pebbledb

import (
	"bytes"

	"github.com/orbit-persistence/orbit/engine"
)

var (
	durability = engine.DurabilityOf(engine.Memory, engine.Flushed)
	limits     = engine.DefaultLimits()

	// pastEveryKey sorts after every key within the limits.
	pastEveryKey = bytes.Repeat([]byte{0xff}, engine.MaxKeyBytes+1)
)

// Traits tells what the engine can do.
func (e *Engine) Traits() engine.Traits {
	return engine.Traits{
		Name:       "pebble",
		Version:    version,
		Durability: durability,
		Persistent: true,
		Checkpoint: true,
		Compact:    true,
		Limits:     limits,
		Ingest:     true,
	}
}
