package bench

import (
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
)

// Standard returns the project's engines and peers.
func Standard() []Engine {
	return []Engine{
		{
			Name:     "memory",
			Open:     func(string, Config) (engine.Engine, error) { return memory.Open(), nil },
			Settings: func(Config) string { return "no settings" },
		},
		{
			Name: "pebble",
			Open: func(dir string, c Config) (engine.Engine, error) {
				return pebbledb.Open(dir, pebbledb.Options{CacheBytes: int64(c.CacheBytes)})
			},
			Settings: func(c Config) string { return fmt.Sprintf("cache %d MiB", c.CacheBytes/mib) },
		},
	}
}
