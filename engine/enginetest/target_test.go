package enginetest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

// TestCaseTellsWhatFailed: an engine that does not open fails every case, and
// the error names target and case and keeps the engine's own.
func TestCaseTellsWhatFailed(t *testing.T) {
	broken := errors.New("no such device")
	target := enginetest.Target{Name: "canary", Open: func(string) (engine.Engine, error) { return nil, broken }}
	names := map[string]bool{}
	for _, c := range enginetest.Cases() {
		err := c.Run(t.Context(), target, t.TempDir())
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "canary: "+c.Name+": open: ") {
			t.Errorf("%s: %v", c.Name, err)
		}
		if names[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
	}
}

// TestFailedCaseClosesTheStore: what a failing case leaves open is closed, and
// an engine that cannot close fails a case that else passes.
func TestFailedCaseClosesTheStore(t *testing.T) {
	dir := t.TempDir()
	first := enginetest.Cases()[0]
	err := first.Run(t.Context(), enginetest.Target{Name: "forgetful", Open: persistent(func(s *familySubject) {
		s.edit(func([]engine.Op) []engine.Op { return nil })
	})}, dir)
	if err == nil {
		t.Fatalf("%s passes without a put", first.Name)
	}
	if _, err := os.Stat(lockPath(filepath.Join(dir, "store"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the store is still locked (%v)", err)
	}
	stuck := errors.New("stuck")
	err = first.Run(t.Context(), enginetest.Target{Name: "stuck", Open: volatile(func(s *subject) {
		inner := s.close
		s.close = func() error { return errors.Join(inner(), stuck) }
	})}, t.TempDir())
	if !errors.Is(err, stuck) {
		t.Errorf("a close that fails is not told: %v", err)
	}
}
