package errors_test

import (
	"context"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/torture/errors"
	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, d tiny.Defect) target.Result {
	t.Helper()
	result, err := errors.Mode(context.Background(), target.Run{Engine: tiny.Target(d), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	return result
}

// TestSound: an engine that keeps its promises passes, and each fault that was
// injected fired.
func TestSound(t *testing.T) {
	result := run(t, tiny.None)
	for _, f := range result.Failures {
		t.Errorf("%s\n%s\n%s\n%s", f.What, f.Workload, f.Command, f.Trace)
	}
	for _, c := range result.Counts {
		if (c.N == 0) != (c.Name == "did not fire") {
			t.Errorf("%d %s", c.N, c.Name)
		}
	}
	// Each effect was met at every site that can have it, once and for good.
	if len(result.Tables) != 1 || len(result.Tables[0].Rows) != 4 {
		t.Fatalf("%+v", result.Tables)
	}
	for _, row := range result.Tables[0].Rows {
		if row[1] == "0" || row[3] != row[1] || row[5] != row[1] {
			t.Errorf("%v: of %q", row, result.Tables[0].Columns)
		}
	}
	if fired, injected := result.Get("faults fired"), result.Get("faults injected"); fired != injected {
		t.Errorf("%d of %d faults fired", fired, injected)
	}
}

// TestDefects: each planted defect is found, as what it is, and its replay string
// gives it again.
func TestDefects(t *testing.T) {
	for _, c := range []struct {
		defect tiny.Defect
		fault  workload.Fault
	}{
		{tiny.IgnoreWriteError, workload.Lost},
		{tiny.IgnoreFlushError, workload.Lost},
		{tiny.RetryFlush, workload.Lost},
		{tiny.HalfBatch, workload.HalfApplied},
		{tiny.StuckFull, workload.NotResumed},
	} {
		t.Run(string(c.defect), func(t *testing.T) {
			result := run(t, c.defect)
			for _, f := range result.Failures {
				t.Logf("%s\n%s%s", f.What, f.Workload, f.Command)
				if !strings.Contains(f.What, string(c.fault)) {
					continue
				}
				_, replay, _ := strings.Cut(f.Command, "--replay ")
				again, err := errors.Replay(context.Background(), tiny.Target(c.defect), replay)
				if err != nil || again.What != f.What || again.Trace != f.Trace || f.Trace == "" {
					t.Errorf("replayed: %v, %q", err, again.What)
				}
				return
			}
			t.Errorf("%s: no failure is %q", c.defect, c.fault)
		})
	}
}
