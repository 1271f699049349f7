package enginebench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
	"github.com/orbit-persistence/orbit/engine/peers/lmdb"
	"github.com/orbit-persistence/orbit/engine/rocks"
	"go.uber.org/goleak"
)

// forgetful loses every record; it must not be given figures.
type forgetful struct{ engine.Engine }

func (forgetful) Apply(context.Context, *engine.Batch, engine.Durability) error { return nil }

func (f forgetful) Traits() engine.Traits {
	t := f.Engine.Traits()
	t.Ingest = false
	return t
}

// The test binary is its own child; it has engines that are broken.
func TestMain(m *testing.M) {
	subjects = append(subjects,
		subject{name: "forgetful", open: func(dir string, _ config) (engine.Engine, error) {
			e, err := bbolt.Open(dir, bbolt.Options{NoSync: true})
			return forgetful{e}, err
		}},
		subject{name: "closed", open: func(string, config) (engine.Engine, error) {
			return nil, fmt.Errorf("disk on fire: %w", engine.ErrCorrupt)
		}},
		subject{name: "crashing", open: func(string, config) (engine.Engine, error) {
			fmt.Fprintln(os.Stderr, "assertion failed: the sky is up")
			os.Exit(134)
			return memory.Open(), nil
		}},
	)
	RunChild()
	bench.RunChild(bench.Standard())
	goleak.VerifyTestMain(m)
}

var tinySizes = sizes{
	records: 1000, paged: 20_000, curve: []int{500, 1000, 3000},
	held: 10_000, heldPeers: 500, overwrites: 3, replayed: 2000,
	gets: 1000, puts: 500, snapshots: 20, named: 3,
	window: 20 * time.Millisecond, loop: 10 * time.Millisecond,
}

var tinyLSM = sizes{
	records: 3000, curve: []int{500, 1000},
	gets: 1000, puts: 500, snapshots: 20,
	streamed: 3, memtable: 64 << 10, queued: 200, turned: 1000, logBytes: 100 << 10, mixed: 1000, quiet: 50 * time.Millisecond,
	window: 20 * time.Millisecond, loop: 10 * time.Millisecond,
}

// runTiny runs sections of the tree's suite at tiny sizes, and runTinySuite those of
// any; both check that nothing is left behind.
func runTiny(t *testing.T, ctx context.Context, c Command) (*Result, error) {
	t.Helper()
	return runTinySuite(t, ctx, treeSuite, tinySizes, c)
}

func runTinySuite(t *testing.T, ctx context.Context, of suite, tiny sizes, c Command) (*Result, error) {
	t.Helper()
	t.Setenv("ORBIT_CACHE", t.TempDir()) // without Contents, which takes long to read
	c.Rounds, c.Dir = max(c.Rounds, 1), t.TempDir()
	r, chosen, err := c.plan(of)
	if err != nil {
		t.Fatal(err)
	}
	r.sizes = tiny.cut(0)
	err = r.measure(ctx, c.Dir, chosen)
	if left, readErr := os.ReadDir(c.Dir); readErr != nil || len(left) > 0 {
		t.Errorf("the run left %v in its directory (%v)", left, readErr)
	}
	return &r.Result, err
}

// TestEveryGoalIsMeasured runs everything: each goal has its figures, but for
// those on data or beside engines that are not here.
func TestEveryGoalIsMeasured(t *testing.T) {
	c := Command{Engine: "cowbtree", Peers: []string{"lmdb", "pebble", "rocksdb"}}
	r, err := runTiny(t, t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Goals {
		absent := strings.Contains(o.Text, "Contents")
		for _, left := range r.LeftOut {
			name, why, _ := strings.Cut(left, ": ")
			absent = absent || strings.Contains(why, "built without") && strings.Contains(o.Why, name)
		}
		if o.Measured == nil && !absent {
			t.Errorf("%s: %s", o.Text, o.Why)
		}
		if o.Measured == nil && o.Met {
			t.Errorf("%s is met, and was not measured", o.Text)
		}
	}
	for _, left := range r.LeftOut {
		if !strings.HasPrefix(left, "Contents paths") && !strings.Contains(left, "built without") {
			t.Errorf("left out: %s", left)
		}
	}
	for _, name := range growthNames {
		i := slices.IndexFunc(r.Growth, func(c Curve) bool { return c.Name == name && c.Engine == "cowbtree" })
		if i < 0 || len(r.Growth[i].Points) != len(tinySizes.curve) {
			t.Errorf("%s: no curve over all sizes", name)
		}
	}
	for _, f := range r.Figures {
		if len(f.Rounds) == 0 || f.Median < 0 && f.Name != figureRSSAnon && f.Name != figureHeldGrowth {
			t.Errorf("%+v", f)
		}
	}
	if lmdb.Available && r.find(figureLoopC, "lmdb") == nil {
		t.Error("LMDB has no figure without cgo")
	}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Result
	if err := json.Unmarshal(data, &again); err != nil || len(again.Goals) != len(r.Goals) || len(again.Figures) != len(r.Figures) {
		t.Errorf("read again: %d goals, %d figures (%v)", len(again.Goals), len(again.Figures), err)
	}
	pictures := r.Pictures()
	for _, name := range []string{"tree-goals.svg", "tree-growth.svg"} {
		if !strings.HasPrefix(string(pictures[name]), "<svg") {
			t.Errorf("%s is no picture", name)
		}
	}
}

// TestEveryLSMGoalIsMeasured is TestEveryGoalIsMeasured for the other suite.
func TestEveryLSMGoalIsMeasured(t *testing.T) {
	r, err := runTinySuite(t, t.Context(), lsmSuite, tinyLSM, Command{Engine: "lsm", Peers: []string{"pebble", "rocksdb"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Goals {
		absent := strings.Contains(o.Why, "rocksdb") && !rocks.Available || strings.Contains(o.Why, "lmdb") && !lmdb.Available
		if o.Measured == nil && !absent {
			t.Errorf("%s: %s", o.Text, o.Why)
		}
	}
	for _, left := range r.LeftOut {
		if !strings.Contains(left, "built without") {
			t.Errorf("left out: %s", left)
		}
	}
	for _, s := range lsmSuite.sections {
		if !slices.ContainsFunc(r.Figures, func(f *Figure) bool { return f.Section == s.name }) {
			t.Errorf("%s: no figure", s.name)
		}
	}
	for _, f := range r.Figures {
		if len(f.Rounds) == 0 || f.Median < 0 {
			t.Errorf("%+v", f)
		}
	}
	// A stream that is not written to tables measures no amplification.
	if f := r.find(figureWriteAmp, "lsm"); f == nil || f.Median < 1 {
		t.Errorf("%s: %+v", figureWriteAmp, f)
	}
}

// TestMissedGoal: bbolt, which allocates dozens of times for a put and does not
// group commits, misses what it is held against, and lacks what it has not.
func TestMissedGoal(t *testing.T) {
	r, err := runTiny(t, t.Context(), Command{Engine: "bbolt", Only: []string{"writes"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, measured := range map[string]bool{"allocations per put": true, "put flushed, 64 clients": true, "put memory, 1 client ÷ Pebble NoSync": false, "records replayed a second after a kill": false} {
		i := slices.IndexFunc(r.Goals, func(o Outcome) bool { return o.Text == text })
		if i < 0 {
			t.Fatalf("no goal %q", text)
		}
		if o := r.Goals[i]; o.Met || (o.Measured != nil) != measured {
			t.Errorf("%s: %s, %s", text, o.measured(), o.verdict())
		}
	}
}

// TestBrokenEnginesAreLeftOut: an engine that does not open, dies, or loses what
// it is given has no figures, is named, and does not end the run.
func TestBrokenEnginesAreLeftOut(t *testing.T) {
	r, err := runTiny(t, t.Context(), Command{Engine: "bbolt", Peers: []string{"forgetful", "closed", "crashing"}, Only: []string{"disk"}})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.find(figureDiskSingly, "bbolt"); f == nil || f.Median < 1 {
		t.Errorf("bbolt: %+v", f)
	}
	for name, why := range map[string]string{"forgetful": "finds 0 of 1000", "closed": "disk on fire", "crashing": "the sky is up"} {
		if f := r.find(figureDiskSingly, name); f != nil {
			t.Errorf("%s has a figure: %+v", name, f)
		}
		if !slices.ContainsFunc(r.LeftOut, func(left string) bool { return strings.Contains(left, name) && strings.Contains(left, why) }) {
			t.Errorf("that %s was left out is not said: %q", name, r.LeftOut)
		}
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	r, err := runTiny(t, t.Context(), Command{Engine: "bbolt", Budget: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Figures) > 0 || len(r.LeftOut) < len(treeSuite.sections) || !strings.Contains(r.LeftOut[0], "--budget") {
		t.Errorf("%d figures; left out: %q", len(r.Figures), r.LeftOut)
	}
	for _, o := range r.Goals {
		if o.Met {
			t.Errorf("%s is met", o.Text)
		}
	}
}

// TestCutShort: a run that is interrupted, or longer than it may be, has what it
// measured until then, says what it has not, and leaves nothing behind.
func TestCutShort(t *testing.T) {
	for why, cause := range map[string]error{"interrupted": context.Canceled, "--budget": errBudget} {
		ctx, cut := context.WithCancelCause(t.Context())
		first := section{"first", "First", func(r *run, ctx context.Context) error {
			if _, ends := ctx.Deadline(); !ends {
				t.Errorf("%s: a run with a budget has no end", why)
			}
			r.add("First", "lap", "bbolt", "ns", 1)
			cut(cause)
			<-ctx.Done()
			return ctx.Err()
		}}
		after := section{"after", "After", func(r *run, _ context.Context) error {
			r.add("After", "lap", "bbolt", "ns", 1)
			return nil
		}}
		c := Command{Engine: "bbolt", Rounds: 1, Dir: t.TempDir(), Budget: 24 * time.Hour}
		r, _, err := c.plan(treeSuite)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.measure(ctx, c.Dir, []section{first, after}); err != nil {
			t.Fatal(err)
		}
		if r.Interrupted != (cause != errBudget) || len(r.Figures) != 1 {
			t.Errorf("%s: interrupted %v, %d figures", why, r.Interrupted, len(r.Figures))
		}
		for i, begin := range []string{"First (first), in part: ", "After (after): "} {
			if left := r.LeftOut[i]; !strings.HasPrefix(left, begin) || !strings.Contains(left, why) {
				t.Errorf("%s: left out: %q", why, r.LeftOut)
			}
		}
		if left, err := os.ReadDir(c.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: the run left %v in its directory (%v)", why, left, err)
		}
	}
}

func TestBadCalls(t *testing.T) {
	for what, c := range map[string]Command{
		`unknown engine "oak"`:       {Engine: "oak", Rounds: 1},
		`unknown engine "elm"`:       {Engine: "bbolt", Peers: []string{"elm"}, Rounds: 1},
		`unknown section "shade"`:    {Engine: "bbolt", Only: []string{"shade"}, Rounds: 1},
		"--rounds 0: 1 at least":     {Engine: "bbolt"},
		"--largest 10: 1,000 at lea": {Engine: "bbolt", Rounds: 1, Largest: 10},
	} {
		_, err := c.measure(t.Context(), treeSuite)
		if !bench.IsUsage(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("want a usage error with %q, got %v", what, err)
		}
	}
}

// TestSize: the log is told apart from the data.
func TestSize(t *testing.T) {
	dir := t.TempDir()
	for name, bytes := range map[string]int{"data": 1 << 16, "log/1.wal": 1 << 18, "LOCK": 0} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", bytes)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][2]float64{"log/*": {1 << 16, 1 << 18}, "": {1<<16 + 1<<18, 0}} {
		data, log, err := subject{log: name}.size(dir)
		if err != nil || data < want[0] || data > want[0]+8192 || log < want[1] || log > want[1]+8192 {
			t.Errorf("log %q: %v and %v bytes (%v)", name, data, log, err)
		}
	}
}
