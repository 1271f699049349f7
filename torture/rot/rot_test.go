package rot_test

import (
	"context"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/rot"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, e target.Engine) target.Result {
	t.Helper()
	result, err := rot.Mode(context.Background(), target.Run{Engine: e, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	return result
}

// TestSound: an engine that keeps its promises passes.
func TestSound(t *testing.T) {
	result := run(t, tiny.Target(tiny.None))
	for _, f := range result.Failures {
		t.Errorf("%s\n%s\n%s", f.What, f.Workload, f.Command)
	}
	for _, name := range []string{"detected", "harmless"} {
		if result.Get(name) == 0 {
			t.Errorf("nothing was %s", name)
		}
	}
}

// TestDefects: each planted defect is found, as what it is, and its replay string
// gives it again.
func TestDefects(t *testing.T) {
	for _, c := range []struct {
		defect tiny.Defect
		fault  workload.Fault
	}{
		{tiny.NoChecksum, workload.Wrong},
		{tiny.NoDataChecksum, workload.Wrong},
		{tiny.CorruptIsAbsent, workload.Wrong},
		{tiny.Panics, workload.Panicked},
	} {
		t.Run(string(c.defect), func(t *testing.T) {
			result := run(t, tiny.Target(c.defect))
			for _, f := range result.Failures {
				t.Logf("%s\n%s%s", f.What, f.Workload, f.Command)
				if !strings.Contains(f.What, string(c.fault)) {
					continue
				}
				_, replay, _ := strings.Cut(f.Command, "--replay ")
				again, err := rot.Replay(context.Background(), tiny.Target(c.defect), replay)
				if err != nil || again.What != f.What {
					t.Errorf("replayed: %v, %q", err, again.What)
				}
				return
			}
			t.Errorf("%s: no failure is %q", c.defect, c.fault)
		})
	}
}

// TestForeign: what an engine that is not ours does is observed.
func TestForeign(t *testing.T) {
	e := tiny.Target(tiny.NoDataChecksum)
	e.Foreign = true
	if result := run(t, e); len(result.Failures) > 0 || len(result.Observed) == 0 || result.Get("undetected") == 0 {
		t.Errorf("%d failures, observed %q", len(result.Failures), result.Observed)
	}
}
