package bench

import (
	"github.com/orbit-persistence/orbit/engine"
)

// Engine is a column of the table: something that opens a store in a directory.
type Engine struct {
	// Name is the column's, lower case, and what --engines takes.
	Name string
	// Open opens the store in dir, which exists, and creates it if dir is empty.
	Open func(dir string, c Config) (engine.Engine, error)
	// Settings says in one line how Open sets the engine up, for the report.
	Settings func(c Config) string
	// Classes are those that the engine can be opened for, where a store has only
	// the one that it was opened with (Config.Durability); else nothing, and
	// Traits.Durability counts.
	Classes engine.DurabilitySet
	// Missing says why the engine cannot be run in this build, and how to get
	// it; empty if it can.
	Missing string
	// Tuning is passed on to Open; see Config.
	Tuning string
	// Executable runs the engine's process from another build of the bench, which
	// knows the engine as ChildName; empty is this build and Name.
	Executable, ChildName string
}

// Config is what the bench asks of every engine alike.
type Config struct {
	// CacheBytes is the memory for a cache of data read. Engines that cache
	// through the page cache are bounded by the memory limit instead.
	CacheBytes uint64 `json:"cache_bytes"`
	// DataBytes is about how much will be stored, for engines that must know.
	DataBytes uint64 `json:"data_bytes"`
	// Durability is the class of the writes to come, for engines that fix it when
	// a store is opened.
	Durability engine.Durability `json:"durability"`
	// Tuning is a profile of the seed: "", "read-heavy", "write-heavy",
	// "memory-constrained" or "production".
	Tuning string `json:"tuning,omitempty"`
}
