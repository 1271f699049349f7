package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"go.uber.org/goleak"
)

// The tests' engines; the test binary is its own child.
func testEngines() []Engine {
	open := func(wrap func(engine.Engine) engine.Engine) func(string, Config) (engine.Engine, error) {
		return func(string, Config) (engine.Engine, error) { return wrap(memory.Open()), nil }
	}
	return []Engine{
		{Name: "good", Open: open(func(e engine.Engine) engine.Engine { return e }), Settings: func(Config) string { return "none" }},
		{Name: "crashing", Open: open(func(e engine.Engine) engine.Engine { return &crashing{Engine: e} })},
		{Name: "forgetful", Open: open(func(e engine.Engine) engine.Engine { return forgetful{e} })},
		{Name: "closed", Open: func(string, Config) (engine.Engine, error) {
			return nil, fmt.Errorf("disk on fire: %w", engine.ErrCorrupt)
		}},
		{Name: "absent", Missing: "it was never written"},
	}
}

// crashing ends its process in the middle of the overwrites.
type crashing struct {
	engine.Engine
	applied int
}

func (c *crashing) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if c.applied++; c.applied > 2000 {
		fmt.Fprintln(os.Stderr, "assertion failed: the sky is up")
		os.Exit(134)
	}
	return c.Engine.Apply(ctx, b, d)
}

// forgetful loses every record; it must not be given figures.
type forgetful struct{ engine.Engine }

func (forgetful) Apply(context.Context, *engine.Batch, engine.Durability) error { return nil }

func TestMain(m *testing.M) {
	RunChild(testEngines())
	goleak.VerifyTestMain(m)
}

func small(t *testing.T, engines ...string) *Command {
	return &Command{
		Profile: "quick", Engines: engines, Workloads: []string{"load", "get-uniform", "multi-get-16", "overwrite", "recovery"}, Records: 1000,
		Durability: []string{"memory", "buffered", "flushed"}, Clients: []int{1}, Data: []string{"uniform"}, Seconds: 0.05, Rounds: 2,
		Dir: t.TempDir(), Seed: 1, JSON: filepath.Join(t.TempDir(), "results", "bench.json"),
	}
}

func runAndRead(t *testing.T, ctx context.Context, c *Command) (*result.Result, error) {
	t.Helper()
	runErr := c.Run(ctx, testEngines())
	r, err := result.Read(c.JSON)
	if err != nil {
		t.Fatalf("after a run that ended with %v: %v", runErr, err)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("the run left %v in its directory (%v)", left, err)
	}
	return r, runErr
}

// TestRun: every cell of a sound engine has figures; a crash, an engine that
// does not open, and one that loses what it is given fail their own cells only.
func TestRun(t *testing.T) {
	r, err := runAndRead(t, t.Context(), small(t, "good", "crashing", "forgetful", "closed"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Run.Partial {
		t.Error("the run is marked as partial")
	}
	for _, want := range []struct{ engine, workload, class, err string }{
		{"good", "load", "memory", ""},
		{"good", "get-uniform", "-", ""},
		{"good", "multi-get-16", "-", ""},
		{"good", "overwrite", "memory", ""},
		{"crashing", "get-uniform", "-", ""},
		{"crashing", "overwrite", "memory", "assertion failed: the sky is up"},
		{"forgetful", "load", "-", "verify"},
		{"closed", "load", "-", "disk on fire"},
		{"closed", "get-uniform", "-", "disk on fire"},
	} {
		m := r.Find(want.engine, want.workload, "uniform", want.class, 1)
		switch {
		case m == nil:
			t.Errorf("no cell %v", want)
		case want.err == "" && (m.Error != "" || m.OpsPerS <= 0 || m.Ops <= 0 || m.Records != 1000 || m.CPUNsPerOp < 0):
			t.Errorf("cell %v: %+v", want, m)
		case !strings.Contains(m.Error, want.err):
			t.Errorf("cell %v: error %q", want, m.Error)
		case m.Error != "" && (m.Ops != 0 || m.P50Ns != 0):
			t.Errorf("cell %v has an error and figures: %+v", want, m)
		}
	}
	get := r.Find("good", "get-uniform", "uniform", "-", 1)
	if get.P50Ns <= 0 || get.P99Ns < get.P50Ns || get.P999Ns < get.P99Ns || len(get.RoundOpsPerS) != 2 || !slices.IsSortedFunc(get.Curve, func(a, b [2]float64) int {
		if a[1] < b[1] {
			return -1
		}
		return 0
	}) {
		t.Errorf("get: %+v", get)
	}
	if r.Find("good", "recovery", "uniform", "-", 1) != nil {
		t.Error("an engine in memory has a recovery time")
	}
	if l := r.Run.LimitsBefore; l == nil || l.FlushNs <= 0 || len(l.MissNs) != 1 || r.Run.LimitsAfter == nil {
		t.Errorf("limits before: %+v, after: %+v", l, r.Run.LimitsAfter)
	}
	if r.Run.HarnessNs <= 0 || r.Run.Versions["good"] == "" || r.Run.Settings["good"] != "none" || len(r.Run.Data) != 1 || r.Run.FileSystem == "" || r.Run.MemoryLimit.How == "" {
		t.Errorf("header: %+v", r.Run)
	}
}

func TestInterruptedRunLeavesAValidPartialResult(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := small(t, "good")
	c.Seconds = 0.5
	c.Rounds = 100
	cell := make(chan struct{})
	go func() {
		defer close(cell)
		// The stores' directory shows that the limits are measured and cells run.
		for ctx.Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(c.Dir, "*", "uniform-good")); len(found) > 0 {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	r, err := runAndRead(t, ctx, c)
	cancel()
	<-cell
	if err == nil || !strings.Contains(err.Error(), "interrupted") || IsUsage(err) {
		t.Errorf("error: %v", err)
	}
	if !r.Run.Partial || r.Run.LimitsBefore == nil {
		t.Errorf("header: %+v", r.Run)
	}
}

// TestBadCallsAreUsageErrors: one line, before anything is measured.
func TestBadCallsAreUsageErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]func(*Command){
		`unknown engine "goood"`:         func(c *Command) { c.Engines = []string{"goood"} },
		"it was never written":           func(c *Command) { c.Engines = []string{"absent"} },
		`unknown workload "get"`:         func(c *Command) { c.Workloads = []string{"get"} },
		`unknown data set "leases"`:      func(c *Command) { c.Data = []string{"leases"} },
		`unknown durability "fsync"`:     func(c *Command) { c.Durability = []string{"fsync"} },
		"--clients 0":                    func(c *Command) { c.Clients = []int{0} },
		"--records -5":                   func(c *Command) { c.Records = -5 },
		"--records 10":                   func(c *Command) { c.Records = 10 },
		"--dir":                          func(c *Command) { c.Dir = filepath.Join(c.Dir, "not", "there") },
		"not a directory":                func(c *Command) { c.Dir = file },
		"MiB are free":                   func(c *Command) { c.Records = 1 << 40 },
		"cannot write":                   func(c *Command) { c.JSON = filepath.Join(file, "bench.json") },
		"run `make deps-bench`":          func(c *Command) { c.Data = []string{"contents"}; t.Setenv("ORBIT_CACHE", t.TempDir()) },
		"--rocksdb-release":              func(c *Command) { c.RocksDBRelease = filepath.Join(c.Dir, "none") },
		"--seconds and --rounds must be": func(c *Command) { c.Seconds = -1 },
	} {
		cmd := small(t, "good")
		c(cmd)
		err := cmd.Run(t.Context(), testEngines())
		if !IsUsage(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("want a usage error with %q, got %v", what, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
		if left, _ := os.ReadDir(filepath.Dir(cmd.JSON)); len(left) > 0 {
			t.Errorf("%s: something was written", what)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "1024": 1024, "1KiB": 1024, "256MiB": 256 << 20, "1.5 GiB": 3 << 29, "2GB": 2e9, "8mib": 8 << 20} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q is %d (%v), want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "12 apples", "1XB", "1e300"} {
		var b Bytes
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}

// TestNothingOfAnInterruptedChildStays: a parent that gives up leaves no process.
func TestNothingOfAnInterruptedChildStays(t *testing.T) {
	p, _, err := startProcess(testEngines()[0], gib)
	if err != nil {
		t.Fatal(err)
	}
	o := openCommand{Dir: t.TempDir(), Data: dataSpec{Label: "uniform", Kind: "uniform", Records: 1000}}
	for _, c := range []command{{Open: &o}, {Load: true}} {
		if _, err := p.call(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = p.call(ctx, command{Cell: &cellCommand{Workload: "actor-lease", Clients: 1, Durability: engine.Memory, Seconds: 3600}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the call ended with %v", err)
	}
	if err := syscall.Kill(p.Pid(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process was not waited for: %v", err)
	}
	if _, err := p.call(t.Context(), command{Load: true}); err == nil {
		t.Error("a dead process answered")
	}
}
