package torture

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/torture/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func inMemory(string) (engine.Engine, error) { return memory.Open(), nil }

// engines of which one is missing from this build.
func engines() []target.Engine {
	return []target.Engine{
		{Name: "one", Open: inMemory, OpenOn: func(vfs.FS, string) (engine.Engine, error) { return memory.Open(), nil }},
		{Name: "two", Open: inMemory, Foreign: true},
		{Name: "absent", Missing: "built without it"},
	}
}

// counting is a mode that counts what it is given.
func counting(ctx context.Context, r target.Run) (target.Result, error) {
	var x target.Result
	r.Report(1, 2, "things")
	x.Add("crash images", 1_234_567)
	x.Add("seed", int64(r.Seed))
	if names, err := os.ReadDir(r.Directory); err != nil || len(names) > 0 {
		return x, errors.New("its directory is not empty")
	}
	return x, ctx.Err()
}

func failing(context.Context, target.Run) (target.Result, error) {
	return target.Result{Failures: []target.Failure{{
		What: "commit 7 is lost", Seed: 42, Workload: "put a\nsync", Command: "orbit-cli torture --replay failing:1", Trace: "1 write /db/log",
	}}}, nil
}

// replaying fails unless the string says that the defect is mended.
func replaying(_ context.Context, e target.Engine, text string) (target.Failure, error) {
	if text == "failing.mended" {
		return target.Failure{}, nil
	}
	return target.Failure{What: "again with " + e.Name + ": " + text}, nil
}

func unable(context.Context, target.Run) (target.Result, error) {
	return target.Result{LeftOut: []string{"SKIPPED: no loop device"}}, errors.New("cannot work")
}

func testModes() []mode {
	return []mode{
		{name: "counting", about: "counts", run: counting, unfit: anyEngine},
		{name: "disk", about: "needs a disk", run: counting, unfit: onSimulatedDisk},
		{name: "failing", about: "fails", run: failing, replay: replaying, unfit: func(e target.Engine, _ engine.Traits) string {
			if e.Foreign {
				return "it is foreign"
			}
			return ""
		}},
		{name: "unable", about: "cannot work", run: unable, alone: true},
	}
}

func runCommand(t *testing.T, c Command) (stdout, stderr string, err error) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	var out, errs strings.Builder
	err = c.run(t.Context(), engines(), testModes(), &out, &progress{w: &errs})
	if names, e := os.ReadDir(c.Dir); e == nil && len(names) > 0 {
		t.Errorf("left in %s: %v", c.Dir, names)
	}
	return out.String(), errs.String(), err
}

func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in\n%s", p, text)
		}
	}
}

func TestSummary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	stdout, stderr, err := runCommand(t, Command{Modes: []string{"counting", "disk"}, Seed: 9, Budget: time.Second, JSON: file})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, stdout, "seed 9, a budget of 1s", "counting: counts\n  engine  verdict  time  crash images  seed\n  one     ok         0s     1,234,567     9\n",
		"In all: 2 of 2 passed", "2,469,134  crash images\n", "NOT VERIFIED HERE, 3 left out",
		"absent: built without it", "disk of one: it keeps nothing")
	wantText(t, stderr, "counting  one", "counting  two", "ok")
	var r report
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 2 || r.Seed != 9 || r.Results[1].Get("crash images") != 1_234_567 || r.Results[1].Engine != "two" {
		t.Errorf("the file has %s", data)
	}
}

// TestFailuresFail: a broken promise, and a harness that cannot work, are never a
// success, and the rest is run all the same.
func TestFailuresFail(t *testing.T) {
	stdout, stderr, err := runCommand(t, Command{Modes: []string{"failing", "counting"}})
	if !errors.Is(err, errFound) || IsUsage(err) {
		t.Errorf("a failure gives %v", err)
	}
	wantText(t, stdout, "FAILED: failing of one, seed 42\n    commit 7 is lost\n", "put a\n    sync", "1 write /db/log",
		"replay: orbit-cli torture --replay failing:1", "one     1 FAILED", "one     ok ", "1,234,567", "In all: 2 of 3 passed, 1 failed", "failing of two: it is foreign")
	wantText(t, stderr, "1 FAILED")
	stdout, stderr, err = runCommand(t, Command{Modes: []string{"unable", "counting"}})
	if !errors.Is(err, errFound) {
		t.Errorf("a harness that cannot work gives %v", err)
	}
	wantText(t, stdout, "THE HARNESS COULD NOT WORK: unable of -: cannot work", "SKIPPED: no loop device", "1,234,567")
	wantText(t, stderr, "NOT RUN: cannot work")
}

func TestReplay(t *testing.T) {
	stdout, _, err := runCommand(t, Command{Engines: []string{"one"}, Replay: "failing.abc"})
	if !errors.Is(err, errFound) {
		t.Errorf("a failure that is replayed gives %v", err)
	}
	wantText(t, stdout, "again with one: failing.abc")
	if stdout, _, err := runCommand(t, Command{Engines: []string{"one"}, Replay: "failing.mended"}); err != nil {
		t.Errorf("a failure that is mended gives %v\n%s", err, stdout)
	}
}

// TestVerdicts: what counted nothing has not passed, and what is observed is told.
func TestVerdicts(t *testing.T) {
	some := []target.Count{{Name: "images", N: 1}}
	var out strings.Builder
	r := newReport(&Command{})
	for i, c := range []struct {
		o    outcome
		want string
	}{
		{outcome{}, "LEFT OUT"},
		{outcome{Result: target.Result{Counts: []target.Count{{Name: "images"}}}}, "LEFT OUT"},
		{outcome{Result: target.Result{Counts: some}}, "ok"},
		{outcome{Result: target.Result{Counts: some, Observed: []string{"lost"}}}, "1 observed"},
		{outcome{Result: target.Result{Counts: some, Failures: make([]target.Failure, 2)}}, "2 FAILED"},
		{outcome{Error: "cannot"}, "NOT RUN"},
	} {
		if got := c.o.verdict(); got != c.want {
			t.Errorf("case %d is %q, want %q", i, got, c.want)
		}
		c.o.Mode, c.o.Engine = "m", "e"
		c.o.Tables = []target.Table{{Title: "by effect", Columns: []string{"effect", "once"}, Rows: [][]string{{"EIO", "12"}, {"short write", "3"}}}}
		r.Results = append(r.Results, c.o)
	}
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	wantText(t, out.String(), "In all: 2 of 6 passed, 1 failed, 1 could not be run, 2 left out as a whole", "OBSERVED, not judged: m of e\n    lost",
		"  e, by effect:\n    effect       once\n    EIO            12\n    short write     3\n")
}

// TestShare: the whole budget is given away, by weight, and what is left over
// goes on.
func TestShare(t *testing.T) {
	tasks := []task{
		{mode{name: "crash"}, target.Engine{}}, {mode{name: "rot"}, target.Engine{}},
		{mode{name: "rot"}, target.Engine{Foreign: true}}, {mode{name: "mutants"}, target.Engine{}},
	}
	left := 59 * time.Minute
	for i, want := range []time.Duration{8 * time.Minute, 2 * time.Minute, time.Minute, 48 * time.Minute} {
		got := share(left, tasks[i:])
		if (got - want).Abs() > time.Second {
			t.Errorf("task %d has %v, want %v", i, got, want)
		}
		left -= got
	}
	if got := share(10*time.Minute, tasks[3:]); got != 10*time.Minute {
		t.Errorf("the last has %v of ten minutes", got)
	}
	if got := share(-time.Minute, tasks); got != time.Second {
		t.Errorf("without time left it is %v", got)
	}
}

// TestBudgetIsDivided: each task is told its share, none of it nothing.
func TestBudgetIsDivided(t *testing.T) {
	var told []time.Duration
	tells := []mode{{name: "tells", unfit: anyEngine, run: func(_ context.Context, r target.Run) (target.Result, error) {
		told = append(told, r.Budget)
		return target.Result{}, nil
	}}}
	for _, budget := range []time.Duration{0, 90 * time.Hour} {
		told = nil
		var out strings.Builder
		c := Command{Dir: t.TempDir(), Budget: budget, Engines: []string{"one", "two"}}
		if err := c.run(t.Context(), engines(), tells, &out, &progress{w: &out}); err != nil {
			t.Fatal(err)
		}
		near := func(d, want time.Duration) bool { return (d - want).Abs() <= want/100 }
		if len(told) != 2 || !near(told[0], budget*2/3) || !near(told[1], budget) {
			t.Errorf("of %v, the tasks have %v", budget, told) // the first takes no time
		}
	}
}

// TestPicturesStay: what a mode leaves in its directory is kept if it failed, and
// the report says where.
func TestPicturesStay(t *testing.T) {
	leaves := func(failures []target.Failure) []mode {
		return []mode{{name: "leaves", unfit: anyEngine, run: func(_ context.Context, r target.Run) (target.Result, error) {
			return target.Result{Failures: failures}, os.WriteFile(filepath.Join(r.Directory, "picture"), nil, 0o600)
		}}}
	}
	for _, failures := range [][]target.Failure{nil, {{What: "lost"}}} {
		var out strings.Builder
		c := Command{Dir: t.TempDir(), Engines: []string{"one"}}
		if err := c.run(t.Context(), engines(), leaves(failures), &out, &progress{w: &out}); (err == nil) != (failures == nil) {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(c.Dir, "*", "*", "picture"))
		if err != nil || len(left) != len(failures) || strings.Contains(out.String(), "What failures left") != (failures != nil) {
			t.Errorf("with %d failures, left are %v (%v):\n%s", len(failures), left, err, out.String())
		}
	}
}

// TestReportSurvives: a directory that is gone costs nobody the report.
func TestReportSurvives(t *testing.T) {
	removes := []mode{{name: "removes", unfit: anyEngine, run: func(_ context.Context, r target.Run) (target.Result, error) {
		return target.Result{Failures: []target.Failure{{What: "lost"}}}, os.Remove(r.Directory)
	}}}
	var out strings.Builder
	c := Command{Dir: t.TempDir(), Engines: []string{"one"}}
	if err := c.run(t.Context(), engines(), removes, &out, &progress{w: &out}); !errors.Is(err, errFound) {
		t.Errorf("want the failure, got %v", err)
	}
	wantText(t, out.String(), "FAILED: removes of one", "removes of one left something behind")
}

func TestBadCommands(t *testing.T) {
	for what, c := range map[string]Command{
		`unknown mode "crahs"; choose among counting, disk`: {Modes: []string{"crahs"}},
		`unknown engine "tow"; choose among one, two`:       {Engines: []string{"tow"}},
		"absent cannot run: built without it":               {Engines: []string{"absent"}},
		"nothing to run: disk of one: it keeps nothing":     {Engines: []string{"one"}, Modes: []string{"disk"}},
		"--budget":         {Budget: -1},
		`unknown mode "x"`: {Replay: "x.1", Engines: []string{"one"}},
		"--dir":            {Dir: "/not/there"},
	} {
		stdout, _, err := runCommand(t, c)
		if !IsUsage(err) || stdout != "" || !strings.Contains(err.Error(), what) {
			t.Errorf("want a usage error with %q, got %v; printed %q", what, err, stdout)
		}
	}
}

func TestList(t *testing.T) {
	stdout, _, err := runCommand(t, Command{List: true})
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, stdout, "one        ready, on the simulated disk too", "two        ready", "absent     cannot run: built without it", "failing    fails")
}

// TestInterrupted: what was run before is reported, and the end is no success.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stops := []mode{
		{name: "stops", run: func(context.Context, target.Run) (target.Result, error) { cancel(); return target.Result{}, nil }, unfit: anyEngine},
		testModes()[0],
	}
	var out, errs strings.Builder
	c := Command{Dir: t.TempDir(), Engines: []string{"one"}}
	err := c.run(ctx, engines(), stops, &out, &progress{w: &errs})
	if err == nil || IsUsage(err) {
		t.Errorf("interrupted: %v", err)
	}
	wantText(t, out.String(), "stops", "interrupted before counting of one")
}

// TestStandard: every engine of the list opens, or says why it is missing.
func TestStandard(t *testing.T) {
	var names []string
	for _, e := range Standard() {
		names = append(names, e.Name)
		if e.Missing != "" {
			t.Logf("SKIPPED, NOT VERIFIED HERE: %s: %s", e.Name, e.Missing)
			continue
		}
		traits, err := traitsOf(e, filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Errorf("%s: %v", e.Name, err)
		}
		if want, _, _ := strings.Cut(e.Name, "-"); traits.Name != want {
			t.Errorf("%s calls itself %s", e.Name, traits.Name)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "badger bbolt cowbtree example flash flash-mirrored lmdb lsm memory pebble rocksdb" {
		t.Errorf("the engines are %s", got)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
