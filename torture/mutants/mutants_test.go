package mutants

import (
	"bytes"
	"context"
	"encoding/binary"
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
		if m.Breaks == "" || (len(m.Modes) == 0) != (m.Class == Canary) || m.Old == m.New || m.With != "" && m.Class != Harness {
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
	if classes[Equivalent] != 1 || classes[Canary] != 1 {
		t.Errorf("%d equivalent mutants and %d canaries, want one of each", classes[Equivalent], classes[Canary])
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
	program := filepath.Join(t.TempDir(), "orbit-cli")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/orbit-cli")
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	built, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(built, []byte("defects seeded into the code")) {
		t.Fatal("the mode of the mutants is not in orbit-cli: this looks for nothing")
	}
	traces := []string{"mutantOn", "mutantPick", "mutantSite", "ORBIT_MUTANT", "ORBIT_SITES", "torture/mutants."}
	for _, m := range append(All(), siteMutants...) {
		traces = append(traces, m.New)
		if m.Breaks != "" {
			traces = append(traces, m.Breaks)
		}
		if strings.Contains(m.Name, "/") {
			traces = append(traces, m.Name)
		}
	}
	if len(traces) < 100 {
		t.Fatalf("only %d traces are looked for", len(traces))
	}
	for _, trace := range tracesIn(t, built, traces) {
		t.Errorf("orbit-cli holds %q", trace)
	}
	if here := tracesIn(t, []byte("...mutantOn..ORBIT_SITES"), []string{"ORBIT_SITES", "mutantPick", "mutantOn"}); len(here) != 2 {
		t.Errorf("of two traces it finds %q", here)
	}
}

// tracesIn returns the texts that are somewhere in data, which it goes through once, by what
// they begin with.
func tracesIn(t *testing.T, data []byte, traces []string) (in []string) {
	const head = 8
	heads := map[uint64][]string{}
	var few [1 << 16]bool // low bits of a head, to be quick where there is none
	for _, trace := range traces {
		if len(trace) < head {
			t.Fatalf("%q is too short to be looked for", trace)
		}
		h := binary.LittleEndian.Uint64([]byte(trace))
		heads[h] = append(heads[h], trace)
		few[uint16(h^h>>16^h>>32)] = true
	}
	found := map[string]bool{}
	for i := 0; i+head <= len(data); i++ {
		h := binary.LittleEndian.Uint64(data[i:])
		if !few[uint16(h^h>>16^h>>32)] {
			continue
		}
		for _, trace := range heads[h] {
			if !found[trace] && bytes.HasPrefix(data[i:], []byte(trace)) {
				found[trace] = true
				in = append(in, trace)
			}
		}
	}
	return in
}

// TestEndToEnd builds the program and judges the mutants that watch over the
// harness, and a few more.
func TestEndToEnd(t *testing.T) {
	dir := t.TempDir()
	program, err := Build(t.Context(), root(t), dir, All())
	if err != nil {
		t.Fatal(err)
	}
	some := []string{"canary", "equivalent", "example/checkpoint-not-synced", "harness/nothing-is-lost", "harness/no-power-cut"}
	all := slices.DeleteFunc(All(), func(m Mutant) bool { return !slices.Contains(some, m.Name) })
	r := &runner{program: program, dir: dir, seed: 1, quick: true}
	var verdicts []Verdict
	for _, m := range all {
		m.Modes = []string{"crash"}
		var v Verdict
		if m.With != "" {
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
	// A program that passes without a report has done nothing, and judges nothing.
	works := script("works", `while [ "$1" != --json ]; do shift; done; echo '{"results": [{"counts": [{"name": "images", "n": 1}]}]}' > "$2"`+"\n")
	unfit := script("unfit", "echo 'nothing to run: a of example: it has no paths' >&2; exit 2\n")
	for what, c := range map[string]struct {
		r                   *runner
		sound, failed, idle int
	}{"works": {works, 1, 0, 0}, "fails": {wrong, 0, 1, 0}, "does nothing": {sound, 0, 0, 1}, "does not fit": {unfit, 0, 0, 1}} {
		fit, failed, idle, err := c.r.baseline(context.Background(), []string{"a"})
		if err != nil || len(fit) != c.sound || len(failed) != c.failed || len(idle) != c.idle {
			t.Errorf("a mode that %s: sound %q, failed %q, idle %q, %v", what, fit, failed, idle, err)
		}
	}
	if v, err := judge(broken, Durability); err == nil {
		t.Errorf("a program that cannot run is a verdict: %+v", v)
	}
}

// TestArguments: a site that survives may do so only by an argument, which is
// void if the site is found, or is none.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	program := func(name, text string) *runner {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return &runner{program: file, dir: dir}
	}
	survives, found := program("survives", "exit 0\n"), program("found", "echo 'panic: boo' >&2; exit 2\n")
	defer func(real map[string]string) { argued = real }(argued)
	argued = map[string]string{"flush p.f a.go": "because"}
	for _, c := range []struct {
		r             *runner
		site          string
		wrong, argued bool
	}{
		{survives, "flush p.f a.go:1", false, true},
		{survives, "flush p.g a.go:1", true, false},
		{found, "flush p.f a.go:1", true, false},
		{found, "flush p.g a.go:1", false, false},
	} {
		v, err := c.r.site(t.Context(), c.site, []string{"a"})
		if err != nil || (v.Wrong != "") != c.wrong || (v.Argued != "") != c.argued {
			t.Errorf("%s: %+v, %v", c.site, v, err)
		}
	}
	if failed := void([]string{"flush p.f a.go:7", "flush p.g a.go:1"}); len(failed) != 0 {
		t.Errorf("void: %q", failed)
	}
	if failed := void([]string{"flush p.g a.go:1"}); len(failed) != 1 {
		t.Errorf("an argument about nothing is not void: %q", failed)
	}
}
