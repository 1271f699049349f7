package torture

import (
	"strings"
	"testing"
)

// TestOwnEngines: the engines of our own go through each mode of the simulated disk, with
// its first amount of work: a promise that is broken at once is not left to longer runs.
func TestOwnEngines(t *testing.T) {
	c := Command{
		Engines: []string{"example", "cowbtree", "lsm", "flash"}, Modes: []string{"crash", "errors", "rot", "paths", "linear"},
		Seed: 1, Work: 1, Dir: t.TempDir(),
	}
	var out, errs strings.Builder
	if err := c.run(t.Context(), Standard(), modesWith(""), &out, &progress{w: &errs}); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
	}
	wantText(t, out.String(), "In all: 18 of 18 passed")
	t.Log(out.String())
}
