package errors

import (
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/internal/tiny"
	"github.com/orbit-persistence/orbit/torture/target"
)

// TestForeign: what an engine that is not ours does is observed, under a sample
// of the faults.
func TestForeign(t *testing.T) {
	e := tiny.Target(tiny.IgnoreFlushError)
	e.Foreign = true
	result, err := Mode(t.Context(), target.Run{Engine: e, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Failures) > 0 || len(result.Observed) == 0 || result.Get("faults injected") != foreignFaults || len(result.LeftOut) != 1 {
		t.Errorf("%v, observed %q, left out %q, failures %v", result.Counts, result.Observed, result.LeftOut, result.Failures)
	}
}

// TestPatience: an engine that waits until the disk is mended gets it mended.
func TestPatience(t *testing.T) {
	before := patience
	patience = 20 * time.Millisecond
	defer func() { patience = before }()
	e := target.Engine{Name: "patient", Foreign: true, OpenOn: func(fsys vfs.FS, dir string) (engine.Engine, error) {
		for {
			if e, err := tiny.Open(fsys, dir, tiny.None); err == nil {
				return e, nil
			}
			time.Sleep(time.Millisecond)
		}
	}}
	result, err := Mode(t.Context(), target.Run{Engine: e, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if result.Get("hung until mended") == 0 || !strings.Contains(strings.Join(result.Observed, "\n"), "hang: ") {
		t.Errorf("%v, observed %q", result.Counts, result.Observed)
	}
}
