package torture

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// The test program is the child too.
func init() {
	if text := os.Getenv(childEnv); text != "" {
		if err := serveChild(context.Background(), text, engines(), childModes()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// childModes are modes of which one ends the process with every other seed.
func childModes() []mode {
	works := func(_ context.Context, r target.Run) (x target.Result, err error) {
		if r.Budget != childTime && r.Work == 0 {
			return x, errors.New("it has another budget")
		}
		x.Add("images", 2)
		x.Observed = []string{"lost: batch 7", "panic: at 3"}
		x.LeftOut = []string{"a sample"}
		return x, nil
	}
	dies := func(ctx context.Context, r target.Run) (target.Result, error) {
		if r.Seed%2 == 1 {
			panic("boo")
		}
		return works(ctx, r)
	}
	fails := func(context.Context, target.Run) (target.Result, error) {
		return target.Result{}, errors.New("no luck")
	}
	return []mode{{name: "works", run: works}, {name: "dies", run: dies}, {name: "fails", run: fails}}
}

// TestChildren: what children find is added up, and one that ends with its process
// is told of, and does not end this one.
func TestChildren(t *testing.T) {
	run := func(mode string, r target.Run) target.Result {
		t.Helper()
		x, err := inChildren(t.Context(), mode, r)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	foreign, own := target.Engine{Name: "two", Foreign: true}, target.Engine{Name: "one"}
	x := run("works", target.Run{Engine: foreign, Seed: 1})
	if x.Get("images") != 2*childCount || x.Get("ends of the process") != 0 || len(x.Observed) != 2 || len(x.LeftOut) != 1 {
		t.Errorf("%+v", x)
	}
	x = run("dies", target.Run{Engine: foreign, Seed: 1})
	if x.Get("images") != childCount || x.Get("ends of the process") != childCount/2 || len(x.Observed) != 3 || len(x.Failures) > 0 {
		t.Errorf("%+v", x)
	}
	wantText(t, strings.Join(x.Observed, "\n"), "the process ended: in a child with seed 1: panic: boo")
	if x = run("dies", target.Run{Engine: own, Seed: 1, Budget: time.Nanosecond}); len(x.Failures) != 1 || len(x.Observed) > 0 {
		t.Errorf("the process of an engine that may not end it: %+v", x)
	}
	if x = run("works", target.Run{Engine: own, Seed: 1, Work: 5}); x.Get("images") != 2 {
		t.Errorf("an amount of work is for one child: %+v", x)
	}
	for mode, says := range map[string]string{"fails": "no luck", "absent": `no mode "absent"`} {
		if x, err := inChildren(t.Context(), mode, target.Run{Engine: own}); err == nil || !strings.Contains(err.Error(), says) || len(x.Counts) > 0 {
			t.Errorf("%s: %+v, %v", mode, x, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inChildren(ctx, "works", target.Run{Engine: own}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

func TestNeedsChildren(t *testing.T) {
	for _, m := range modes {
		want := m.name == "crash" || m.name == "errors" || m.name == "rot"
		if got := (task{m, target.Engine{MayExit: true}}).needsChildren(); got != want {
			t.Errorf("%s of an engine that may end the process: %v", m.name, got)
		}
		if (task{m, target.Engine{}}).needsChildren() {
			t.Errorf("%s of one that may not", m.name)
		}
	}
}
