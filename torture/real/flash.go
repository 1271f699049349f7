package real

import (
	"context"

	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/torture/target"
)

// OpenFlash opens a flash store for target.Engine.OpenMirrored, with segments so small that
// many come and go.
func OpenFlash(dirs []string, o flash.Options) (target.Mirrored, error) {
	o.Paths, o.CacheBytes, o.SegmentBytes, o.CheckpointBytes = dirs, -1, 256<<10, 512<<10
	e, err := flash.Open(context.Background(), "", o)
	if err != nil {
		return target.Mirrored{}, err
	}
	return target.Mirrored{Engine: e, Paths: func() []target.PathState {
		var out []target.PathState
		for _, p := range e.Paths() {
			out = append(out, target.PathState{InSync: p.InSync, Cause: p.Cause, Copied: p.Copied})
		}
		return out
	}}, nil
}
