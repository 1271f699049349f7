package paths_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/torture/paths"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, f flaw) target.Result {
	t.Helper()
	result, err := paths.Mode(t.Context(), target.Run{Engine: mirrored(f), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v in %v", result.Counts, result.Elapsed)
	return result
}

// TestSound: an engine that keeps its promises passes, and all was tried.
func TestSound(t *testing.T) {
	result := run(t, sound)
	for _, f := range result.Failures {
		t.Errorf("%s\n%s\n%s\n%s", f.What, f.Workload, f.Command, f.Trace)
	}
	for _, c := range result.Counts {
		if c.N < 20 {
			t.Errorf("only %d %s", c.N, c.Name)
		}
	}
}

// TestFlaws: each defect is found, as what it is, and its replay string gives it
// again.
func TestFlaws(t *testing.T) {
	for _, c := range []struct {
		flaw  flaw
		fault workload.Fault
	}{
		{firstWins, workload.Lost},
		{notLevelled, workload.Wrong},
		{failsWithOne, workload.Failed},
		{forgetsToFlush, workload.Lost},
		{needsAll, workload.NotOpened},
	} {
		t.Run(string(c.flaw), func(t *testing.T) {
			result := run(t, c.flaw)
			i := slices.IndexFunc(result.Failures, func(f target.Failure) bool { return strings.Contains(f.What, string(c.fault)) })
			if i < 0 {
				t.Fatalf("none of %d failures is %q", len(result.Failures), c.fault)
			}
			f := result.Failures[i]
			t.Logf("%d failures: %s\n%s%s", len(result.Failures), f.What, f.Workload, f.Command)
			_, replay, _ := strings.Cut(f.Command, "--replay ")
			again, err := paths.Replay(context.Background(), mirrored(c.flaw), replay)
			if err != nil || again.What != f.What || again.Trace != f.Trace || f.Trace == "" {
				t.Errorf("replayed: %v, %q", err, again.What)
			}
		})
	}
}

// TestRefuses: what is not a replay string, or does not fit the engine, is an
// error, and an engine without paths is left out.
func TestRefuses(t *testing.T) {
	for _, bad := range []string{"", "paths", "paths.1", "paths.x.AA", "paths.1.!", "rot.1.AA"} {
		if f, err := paths.Replay(context.Background(), mirrored(sound), bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, f, err)
		}
	}
	none := target.Engine{Name: "none"}
	if result, err := paths.Mode(context.Background(), target.Run{Engine: none}); err != nil || len(result.LeftOut) != 1 || len(result.Counts) > 0 {
		t.Errorf("%v, %v", result, err)
	}
	if _, err := paths.Replay(context.Background(), none, "paths.1."+workload.Workload{{Kind: workload.Sync}}.Pack()); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("an engine without paths: %v", err)
	}
}
