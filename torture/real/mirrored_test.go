package real

import (
	"context"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/torture/target"
)

// mirroredFlash is the flash engine as the mode opens it.
var mirroredFlash = target.Engine{Name: "flash", OpenMirrored: func(dirs []string, force bool) (target.Mirrored, error) {
	return openFlash(dirs, flash.Options{Force: force, Timeout: time.Second})
}}

func openFlash(dirs []string, o flash.Options) (target.Mirrored, error) {
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

// TestPathsOnRealDisks takes each scenario once through each file system.
func TestPathsOnRealDisks(t *testing.T) {
	needsDisks(t)
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			all := scenarios
			defer func() { scenarios = all }()
			scenarios = all[i : i+1]
			x, err := Paths(t.Context(), target.Run{Engine: mirroredFlash, Seed: 1, Work: 2, Directory: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range x.Failures {
				t.Error(f.What)
			}
			for _, why := range x.LeftOut {
				t.Logf("NOT VERIFIED HERE: %s", why)
			}
			if len(x.Failures) == 0 && (x.Get(s.name) != 2 || x.Get("changes acknowledged") == 0 || x.Get("reads") == 0) {
				t.Errorf("%+v", x)
			}
			t.Logf("%v", x.Counts)
		})
	}
}
