package real

import (
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/torture/target"
)

// mirroredFlash is the flash engine as the mode opens it.
var mirroredFlash = target.Engine{Name: "flash", OpenMirrored: func(dirs []string, force bool) (target.Mirrored, error) {
	// More than the path that answers takes beside other tests.
	return OpenFlash(dirs, flash.Options{Force: force, Timeout: 4 * time.Second})
}}

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
