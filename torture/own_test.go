package torture

import (
	"strings"
	"testing"
)

// TestOwnEngines: the engines of our own go through each mode of the simulated disk, with
// its first amount of work: a promise that is broken at once is not left to longer runs. To
// those errors of the LSM-tree are left, which take longer than all else here.
func TestOwnEngines(t *testing.T) {
	for _, c := range []struct {
		engines, modes, passed string
	}{
		{"example cowbtree lsm flash", "crash rot paths linear", "14 of 14 passed"},
		{"example cowbtree flash", "errors", "3 of 3 passed"},
	} {
		command := Command{Engines: strings.Fields(c.engines), Modes: strings.Fields(c.modes), Seed: 1, Work: 1, Dir: t.TempDir()}
		var out, errs strings.Builder
		if err := command.run(t.Context(), Standard(), modesWith(""), &out, &progress{w: &errs}); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out.String(), errs.String())
		}
		wantText(t, out.String(), c.passed)
		t.Log(out.String())
	}
}
