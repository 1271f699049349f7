package providermutants_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/torture/mutants"
	"github.com/orbit-persistence/orbit/torture/providermutants"
)

// TestMutantsAreFound builds the tests of the provider layer with every mutant, sees
// them pass without one, and fail with each, of those that ORBIT_TEST_MUTANTS selects:
// "all", as `make test-mutants` has it, or "protocol,table/numbers-used-again". Many of
// those tests start servers, and each mutant takes a run.
func TestMutantsAreFound(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range providermutants.All() {
		if seen[m.Name] || m.Breaks == "" || len(m.Modes) == 0 {
			t.Errorf("%s is there twice, or lacks something", m.Name)
		}
		seen[m.Name] = true
	}
	list := os.Getenv("ORBIT_TEST_MUTANTS")
	if list == "" {
		if _, err := mutants.Overlay(root, t.TempDir(), providermutants.All()); err != nil {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, NOT VERIFIED HERE: whether the mutants are found; only whether they are stale was looked at. `make test-mutants` judges them")
	}
	selected, err := providermutants.Select(list)
	if err != nil {
		t.Fatal(err)
	}
	j, err := providermutants.Build(t.Context(), root, t.TempDir(), selected)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range j.Packages() {
		if how, err := j.Run(t.Context(), pkg, ""); how != "" || err != nil {
			t.Fatalf("%s fails without a mutant: %s, %v", pkg, how, err)
		}
	}
	for _, m := range selected {
		t.Run(m.Name, func(t *testing.T) {
			how, err := j.Find(t.Context(), m)
			switch {
			case err != nil:
				t.Fatal(err)
			case how == "":
				t.Errorf("it survives: %s", m.Breaks)
			default:
				t.Log(how)
			}
		})
	}
}
