package real

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/torture/example"
	"github.com/orbit-persistence/orbit/torture/target"
)

func TestMain(m *testing.M) {
	RunChild(subjects)
	goleak.VerifyTestMain(m)
}

// subjects are the example engine, and liars over it.
var subjects = []target.Engine{
	{Name: "example", Open: open},
	{Name: "flushed-is-buffered", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return weaker{e}, err
	}},
	{Name: "acknowledges-from-memory", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return &late{Engine: e}, err
	}},
	{Name: "splits-batches", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return halves{e}, err
	}},
	{Name: "forgets-one-writer", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return &late{Engine: e, only: "w0/"}, err
	}},
	{Name: "does-not-open-twice", Open: func(dir string) (engine.Engine, error) {
		if names, err := os.ReadDir(dir); err == nil && len(names) > 0 {
			return nil, engine.ErrCorrupt
		}
		return open(dir)
	}},
	{Name: "swallows-errors", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return swallows{e}, err
	}},
	{Name: "stays-full", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return &sticky{Engine: e, stays: engine.ErrNoSpace}, err
	}},
	{Name: "is-not-read-only", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return &sticky{Engine: e, stays: engine.ErrReadOnly, becomes: syscall.EIO}, err
	}},
	{Name: "opens-empty", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		if err != nil {
			return memory.Open(), nil
		}
		return e, nil
	}},
	{Name: "exits", Open: func(dir string) (engine.Engine, error) {
		e, err := open(dir)
		return exits{e}, err
	}},
}

func subject(t *testing.T, name string) target.Engine {
	t.Helper()
	for _, e := range subjects {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no subject %s", name)
	return target.Engine{}
}

func open(dir string) (engine.Engine, error) {
	return example.Open(context.Background(), dir, example.Options{CheckpointBytes: 1 << 20})
}

// weaker says that a batch is flushed when it is buffered.
type weaker struct{ engine.Engine }

func (e weaker) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	return e.Engine.Apply(ctx, b, max(d, engine.Buffered))
}

// late keeps batches that are not to be flushed in memory, and applies them when
// some have come together.
type late struct {
	engine.Engine
	// only batches whose first key begins so are kept, and all are of class memory.
	only string

	mu      sync.Mutex
	waiting []*engine.Batch
}

func (e *late) Traits() engine.Traits {
	t := e.Engine.Traits()
	if e.only != "" {
		t.Durability = engine.DurabilityOf(engine.Memory)
	}
	return t
}

func (e *late) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	keep := d != engine.Flushed
	if keep && e.only != "" {
		for op := range b.Ops() {
			keep = strings.HasPrefix(string(op.Key), e.only)
			break
		}
	}
	if keep {
		copied, err := engine.DecodeBatch(append([]byte(nil), b.Encoded()...))
		if err != nil {
			return err
		}
		e.waiting = append(e.waiting, copied)
		if len(e.waiting) < 20 {
			return nil
		}
	}
	if keep || e.only == "" {
		if err := e.drain(ctx); err != nil || keep {
			return err
		}
	}
	return e.Engine.Apply(ctx, b, d)
}

func (e *late) Sync(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.drain(ctx); err != nil {
		return err
	}
	return e.Engine.Sync(ctx)
}

func (e *late) drain(ctx context.Context) error {
	for _, b := range e.waiting {
		if err := e.Engine.Apply(ctx, b, engine.Buffered); err != nil {
			return err
		}
	}
	e.waiting = nil
	return nil
}

// halves applies the first change of a batch apart from the others.
type halves struct{ engine.Engine }

func (e halves) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	for i := range 2 {
		var half engine.Batch
		at := 0
		for op := range b.Ops() {
			if (at == 0) == (i == 0) {
				switch op.Kind {
				case engine.OpPut:
					half.Put(op.Key, op.Value)
				case engine.OpDelete:
					half.Delete(op.Key)
				case engine.OpDeleteRange:
					half.DeleteRange(op.Key, op.Value)
				}
			}
			at++
		}
		if err := e.Engine.Apply(ctx, &half, d); err != nil {
			return err
		}
	}
	return nil
}

// swallows calls every write a success.
type swallows struct{ engine.Engine }

func (e swallows) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	_ = e.Engine.Apply(ctx, b, d)
	return nil
}

// sticky stays with the first error of a kind, or calls it another.
type sticky struct {
	engine.Engine
	stays, becomes error
	first          atomic.Pointer[error]
}

func (e *sticky) Apply(ctx context.Context, b *engine.Batch, d engine.Durability) error {
	if first := e.first.Load(); first != nil {
		return *first
	}
	err := e.Engine.Apply(ctx, b, d)
	if errors.Is(err, e.stays) {
		if e.becomes != nil {
			return e.becomes
		}
		e.first.CompareAndSwap(nil, &err)
	}
	return err
}

// exits ends the process at the first Sync.
type exits struct{ engine.Engine }

func (e exits) Sync(context.Context) error {
	println("an invariant is broken")
	os.Exit(3)
	return nil
}

func needsDisks(t *testing.T) {
	t.Helper()
	m := newRun(NamePowerCut, target.Run{})
	kinds, err := m.usable()
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range m.result.LeftOut {
		t.Logf("NOT VERIFIED HERE: %s", why)
	}
	if len(kinds) == 0 {
		t.Skip("SKIPPED, NOT VERIFIED HERE: no file system whose power can be cut; see above")
	}
}

func tortured(t *testing.T, mode target.Mode, engine string, work int64) target.Result {
	t.Helper()
	x, err := mode(t.Context(), target.Run{Engine: subject(t, engine), Seed: 1, Work: work, Directory: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestExample: the example engine survives.
func TestExample(t *testing.T) {
	table := NewTable("", "")
	x := tortured(t, table.Kill, "example", 20)
	if len(x.Failures) > 0 || x.Get("kills") < 20 || x.Get("batches acknowledged") == 0 {
		t.Errorf("%+v", x)
	}
	needsDisks(t)
	x = tortured(t, table.PowerCut, "example", 40)
	if len(x.Failures) > 0 || x.Get("power cuts") < 40 || x.Get("batches acknowledged") == 0 {
		t.Errorf("%+v", x)
	}
	if x.Get("lost, memory")+x.Get("lost, buffered") == 0 {
		t.Error("40 power cuts have lost nothing: they cut nothing off")
	}
}

// TestExampleOnFailingDevices: the example engine bears them.
func TestExampleOnFailingDevices(t *testing.T) {
	needsDisks(t)
	x := tortured(t, NoSpace, "example", 0)
	if len(x.Failures) > 0 || x.Get("full disks") == 0 || x.Get("batches refused") == 0 {
		t.Errorf("%+v", x)
	}
	x = tortured(t, IOErrors, "example", 0)
	if len(x.Failures) > 0 || x.Get("writers refused") == 0 || x.Get("stores not opened")+x.Get("reads refused") == 0 {
		t.Errorf("%+v", x)
	}
}

// TestLiars: each lie is found by the mode that can see it.
func TestLiars(t *testing.T) {
	table := NewTable("", "")
	for _, c := range []struct {
		engine, mode, want string // want is a regular expression
		run                target.Mode
		work               int64
	}{
		{"acknowledges-from-memory", "kill", "acknowledged as buffered are gone", table.Kill, 200},
		{"forgets-one-writer", "kill", "commit order broken", table.Kill, 200},
		{"splits-batches", "kill", "state of no commit", table.Kill, 2000},
		{"does-not-open-twice", "kill", "store does not open", table.Kill, 20},
		{"exits", "kill", "an invariant is broken", table.Kill, 200},
		// Whether smaller batches still have room behind the first that was swallowed, so
		// that it leaves a hole, or none has, so that all are missing, is the device's.
		{"swallows-errors", "nospace", "state of no commit|acknowledged batches lost", NoSpace, 2},
		{"stays-full", "nospace", "no write although there is room again", NoSpace, 2},
		{"exits", "nospace", "an invariant is broken", NoSpace, 2},
		{"swallows-errors", "eio", "acknowledged batches lost", IOErrors, 2},
		{"is-not-read-only", "eio", "write taken after a failed flush", IOErrors, 2},
		{"opens-empty", "eio", "state of no commit", IOErrors, 8},
		{"flushed-is-buffered", "powercut", "acknowledged as flushed are gone", table.PowerCut, 400},
	} {
		t.Run(c.mode+"/"+c.engine, func(t *testing.T) {
			if c.mode != NameKill {
				needsDisks(t)
			}
			x := tortured(t, c.run, c.engine, c.work)
			if len(x.Failures) == 0 {
				t.Fatalf("not found: %+v", x)
			}
			f := x.Failures[0]
			if !regexp.MustCompile(c.want).MatchString(f.What) {
				t.Errorf("want %q in\n%s", c.want, f.What)
			}
			if !strings.Contains(f.Command, "orbit-cli torture --modes "+c.mode+" --engines "+c.engine+" --seed 1") {
				t.Errorf("the command is %q", f.Command)
			}
			if kept := c.mode == NameKill || c.mode == NamePowerCut; kept {
				_, path, _ := strings.Cut(f.What, "what is left of it: ")
				if _, err := os.Stat(path); err != nil {
					t.Errorf("nothing is kept: %v", err)
				}
			}
			// A foreign engine is reported, not judged, and goes on.
			e := subject(t, c.engine)
			e.Foreign = true
			x, err := c.run(t.Context(), target.Run{Engine: e, Seed: 1, Work: max(1, c.work/10), Directory: t.TempDir()})
			if err != nil || len(x.Failures) > 0 {
				t.Errorf("foreign: %+v, %v", x, err)
			}
		})
	}
}

// TestWithoutDisks: what cannot be run here is said, and is no success.
func TestWithoutDisks(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	x, err := NewTable("", "").PowerCut(t.Context(), target.Run{Engine: subject(t, "example"), Directory: t.TempDir()})
	if err != nil || len(x.LeftOut) != 3 || x.Get("power cuts") != 0 {
		t.Errorf("%+v, %v", x, err)
	}
}
