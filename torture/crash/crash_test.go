package crash_test

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/crash"
	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
	"go.uber.org/goleak"
)

// The explorer makes much garbage and keeps little.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	goleak.VerifyTestMain(m)
}

func run(t *testing.T, d tiny.Defect, work int64) target.Result {
	t.Helper()
	result, err := crash.Mode(context.Background(), target.Run{Engine: tiny.Target(d), Seed: 1, Work: work})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	return result
}

// TestSound: an engine that keeps its promises passes.
func TestSound(t *testing.T) {
	result := run(t, tiny.None, 120)
	for _, f := range result.Failures {
		t.Errorf("%s\n%s\n%s\n%s", f.What, f.Workload, f.Command, f.Trace)
	}
	for _, c := range result.Counts {
		if c.N == 0 {
			t.Errorf("no %s", c.Name)
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
		{tiny.AckBeforeSync, workload.Lost},
		{tiny.BufferedInMemory, workload.Lost},
		{tiny.NoDirectorySync, workload.Lost},
		{tiny.NoChecksum, workload.Wrong},
		{tiny.PastTorn, workload.Wrong},
		{tiny.EarlyTruncate, workload.NotOpened},
		{tiny.SplitBatch, workload.Wrong},
		{tiny.UnsafeRecovery, workload.Lost},
		{tiny.NoTailSync, workload.Wrong},
		{tiny.NoLock, workload.NotLocked},
		{tiny.Panics, workload.Panicked},
		{tiny.Unopenable, workload.NotOpened},
		{tiny.BackwardsShort, workload.Disagrees},
		{tiny.SequenceReset, workload.SequenceBack},
		{tiny.SharedSnapshot, workload.BadSnapshot},
		{tiny.UnsyncedCopy, workload.BadCopy},
		{tiny.KeepsBatch, workload.Wrong},
		{tiny.KeepsBounds, workload.Wrong},
	} {
		t.Run(string(c.defect), func(t *testing.T) {
			result := run(t, c.defect, 3000)
			if len(result.Failures) != 1 {
				t.Fatalf("%d failures", len(result.Failures))
			}
			f := result.Failures[0]
			t.Logf("%s\n%s%s", f.What, f.Workload, f.Command)
			if !strings.Contains(f.What, string(c.fault)) {
				t.Errorf("found as %q, not as %q", f.What, c.fault)
			}
			if f.Trace == "" {
				t.Error("no trace")
			}
			if c.fault == workload.Wrong && c.defect != tiny.NoTailSync {
				if second := run(t, c.defect, 3000); len(second.Failures) != 1 || second.Failures[0].Command != f.Command {
					t.Errorf("the same run again: %v", second.Failures)
				}
			}
			_, replay, _ := strings.Cut(f.Command, "--replay ")
			again, err := crash.Replay(context.Background(), tiny.Target(c.defect), replay)
			if err != nil || again.What != f.What || again.Trace != f.Trace && c.fault != workload.Panicked {
				t.Errorf("replayed: %v, %q", err, again.What)
			}
		})
	}
}

// TestPebble: an engine of another make, with goroutines of its own, on the same
// disk.
func TestPebble(t *testing.T) {
	e := target.Engine{Name: "pebble", Foreign: true, OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
		return pebbledb.Open(dir, pebbledb.Options{FS: pebbledb.OnFS(fsys), CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
	}}
	result, err := crash.Mode(context.Background(), target.Run{Engine: e, Seed: 1, Work: 14})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	if len(result.Failures)+len(result.Observed) > 0 || result.Get("distinct images") == 0 {
		t.Errorf("%v, %q", result.Failures, result.Observed)
	}
}

// TestReplayRefuses: what is not a replay string, or does not fit the engine, is
// an error.
func TestReplayRefuses(t *testing.T) {
	for _, bad := range []string{"", "crash", "crash.1.1-K", "crash.x..AA", "crash.1.1-Q.AA", "crash.1.x-K.AA", "crash.1.9999-K.KigtUUjLKS3OSE1RSFSw4AIEAAD__w", "rot.1..AA"} {
		if f, err := crash.Replay(context.Background(), tiny.Target(tiny.None), bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, f, err)
		}
	}
	none := target.Engine{Name: "none"}
	if _, err := crash.Replay(context.Background(), none, "crash.1..KigtUUjLKS3OSE1RSFSw4AIEAAD__w"); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("an engine without a simulated disk: %v", err)
	}
	if result, err := crash.Mode(context.Background(), target.Run{Engine: none}); err != nil || len(result.LeftOut) != 1 {
		t.Errorf("%v, %v", result, err)
	}
}
