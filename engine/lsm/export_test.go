package lsm

import "sync"

// prepare makes of an engine one that can be used without Open.
func prepare(e *Engine, o Options) {
	e.options, e.fs, e.dir = o, o.FS, "/store"
	e.changed = sync.NewCond(&e.mu)
}
