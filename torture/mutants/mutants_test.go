package mutants

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestMutantsAreWellFormed: names are unique, every field says something, and the
// pieces of source are where the mutants look for them.
func TestMutantsAreWellFormed(t *testing.T) {
	all := All()
	seen := map[string]bool{}
	classes := map[Class]int{}
	for _, m := range all {
		if seen[m.Name] {
			t.Errorf("two mutants are named %s", m.Name)
		}
		seen[m.Name] = true
		classes[m.Class]++
		if m.Breaks == "" || len(m.Modes) == 0 || m.Old == m.New || (m.Class == Harness) != (m.With != "") {
			t.Errorf("%s lacks something: %+v", m.Name, m)
		}
		if m.With != "" && !seen[m.With] {
			t.Errorf("%s is judged by %s, which is none, or comes later", m.Name, m.With)
		}
	}
	for _, c := range []Class{Durability, Ordering, Replay, Errors, Isolation, Device, Harness, Equivalent, Canary} {
		if classes[c] == 0 {
			t.Errorf("no mutant of class %s", c)
		}
	}
	if _, err := mutated(root(t), append(all, siteMutants...)); err != nil {
		t.Error(err)
	}
	t.Logf("%d mutants: %v", len(all), classes)
}

// TestSeed: a piece that is not there, or twice, is stale; line numbers stay.
func TestSeed(t *testing.T) {
	const source = "a\nb\na c\n"
	got, err := seed(source, []Mutant{{Name: "x", Old: "b\n", New: "if MUTANT PICK(1, 2)\n"}})
	if want := "a\nif mutantOn(\"x\") mutantPick(\"x\", 1, 2)\na c\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	for what, of := range map[string][]Mutant{
		"stands there 2 times":         {{Name: "x", Old: "a", New: "MUTANT"}},
		"stands there 0 times":         {{Name: "x", Old: "d", New: "MUTANT"}},
		"number of lines":              {{Name: "x", Old: "b", New: "MUTANT\n"}},
		"does not ask":                 {{Name: "x", Old: "b", New: "c"}},
		"changes what another changes": {{Name: "x", Old: "b\na", New: "MUTANT\n"}, {Name: "y", Old: "a c", New: "MUTANT"}},
	} {
		if _, err := seed(source, of); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "one ", ""), what) {
			t.Errorf("want an error with %q, got %v", what, err)
		}
	}
}

// TestNormalBuildHoldsNoMutant: the program that is shipped has no trace of them.
func TestNormalBuildHoldsNoMutant(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{range .GoFiles}}{{$.Dir}}/{{.}}\n{{end}}", "./cmd/orbit-cli")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 100 {
		t.Fatalf("orbit-cli is made of %d files", len(files))
	}
	for _, file := range files {
		if !strings.HasPrefix(file, root(t)) || strings.Contains(file, "/torture/mutants/") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"mutantOn", "mutantPick", "mutantSite", "ORBIT_MUTANT"} {
			if strings.Contains(string(text), trace) {
				t.Errorf("%s holds %s", file, trace)
			}
		}
	}
}

// TestEndToEnd builds the program and judges the mutants that watch over the
// harness, and a few more.
func TestEndToEnd(t *testing.T) {
	dir := t.TempDir()
	program, err := Build(t.Context(), root(t), dir, All())
	if err != nil {
		t.Fatal(err)
	}
	some := []string{"canary", "equivalent", "example/checkpoint-not-synced", "harness/nothing-is-lost"}
	all := slices.DeleteFunc(All(), func(m Mutant) bool { return !slices.Contains(some, m.Name) })
	r := &runner{program: program, dir: dir, seed: 1, quick: true}
	var verdicts []Verdict
	for _, m := range all {
		m.Modes = []string{"crash"}
		var v Verdict
		if m.Class == Harness {
			with, _ := found(verdicts, m.With)
			v, err = r.harness(t.Context(), m, with)
		} else {
			v, err = r.mutant(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		if v.Wrong != "" {
			t.Errorf("%s: %s (%v)", v.Name, v.Wrong, v.Found)
		}
		verdicts = append(verdicts, v)
	}
	sites, err := r.sites(t.Context(), []string{"crash"})
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for _, site := range sites {
		if strings.Contains(site, "example.writeData") {
			judged++
			if v, err := r.site(t.Context(), site, []string{"crash"}); err != nil || v.Wrong != "" {
				t.Errorf("%s: %+v, %v", site, v, err)
			}
		}
	}
	if len(verdicts) != len(some) || judged != 1 {
		t.Errorf("%d mutants were judged, and %d of the sites %q", len(verdicts), judged, sites)
	}
}

// TestRunnerCanFail: a program in which nothing is wrong lets every mutant
// survive, and in which all is wrong finds the equivalent one.
func TestRunnerCanFail(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string) *runner {
		program := filepath.Join(dir, name)
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return &runner{program: program, dir: dir}
	}
	sound, wrong, broken := script("sound", "exit 0\n"), script("wrong", "echo 'panic: boo' >&2; exit 2\n"), script("broken", "echo no such flag >&2; exit 2\n")
	judge := func(r *runner, c Class) (Verdict, error) {
		return r.mutant(context.Background(), Mutant{Name: "m", Class: c, Modes: []string{"a", "b"}})
	}
	for _, c := range []Class{Durability, Canary} {
		if v, err := judge(sound, c); err != nil || v.Wrong == "" || len(v.Found) > 0 || v.Runs != 4 {
			t.Errorf("%s survives: %+v, %v", c, v, err)
		}
		if v, err := judge(wrong, c); err != nil || v.Wrong != "" || v.How != "the process ended: panic: boo" {
			t.Errorf("%s is found: %+v, %v", c, v, err)
		}
	}
	hides := func(r *runner) (Verdict, error) {
		return r.harness(context.Background(), Mutant{Name: "h", Class: Harness, With: "m"}, Verdict{Name: "m", Mode: "a"})
	}
	for what, judge := range map[string]func(*runner) (Verdict, error){
		"the equivalent one": func(r *runner) (Verdict, error) { return judge(r, Equivalent) },
		"one of the harness": hides,
	} {
		if v, err := judge(sound); err != nil || v.Wrong != "" {
			t.Errorf("%s survives: %+v, %v", what, v, err)
		}
		if v, err := judge(wrong); err != nil || v.Wrong == "" {
			t.Errorf("%s is found: %+v, %v", what, v, err)
		}
	}
	if err := sound.baseline(context.Background(), []string{"a"}); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
	if err := wrong.baseline(context.Background(), []string{"a"}); err == nil {
		t.Error("mutants are judged by a mode that fails without one")
	}
	if v, err := judge(broken, Durability); err == nil {
		t.Errorf("a program that cannot run is a verdict: %+v", v)
	}
}
