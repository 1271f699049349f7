package real

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine/flash"
	"github.com/orbit-persistence/orbit/torture/target"
)

// allHangs is the variable that `make test-hangs` sets. Without it one kind of hang is tried,
// with a deadline that the path which answers keeps beside all other tests.
const allHangs = "ORBIT_TEST_HANGS"

// hangTimeout is the deadline of a path: more than a read of the path that does answer takes.
func hangTimeout() time.Duration {
	if os.Getenv(allHangs) == "" {
		return 8 * time.Second
	}
	return 1500 * time.Millisecond
}

func needsAllHangs(t *testing.T) {
	t.Helper()
	if os.Getenv(allHangs) == "" {
		t.Skip("SKIPPED, NOT VERIFIED HERE: its deadlines are too short for a machine with other work; `make test-hangs` runs it")
	}
}

// hanging is a mirror whose first path is on a file system that can hang.
type hanging struct {
	*mirror
	gate *remoteGate
	o    flash.Options
}

func newHanging(t *testing.T, o flash.Options) *hanging {
	t.Helper()
	point, g := mountGated(t)
	x := &hanging{mirror: &mirror{run: newRun(NamePaths, target.Run{}), load: newLoad(2), random: rand.New(rand.NewPCG(2, 2))}, gate: g, o: o}
	x.dirs = []string{filepath.Join(point, dataDirectory), filepath.Join(t.TempDir(), dataDirectory)}
	x.Engine.OpenMirrored = func(dirs []string, force bool) (target.Mirrored, error) {
		o := x.o
		o.Force = force
		return OpenFlash(dirs, o)
	}
	if err := x.openStore(false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.open()
		if x.open {
			if err := x.store.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return x
}

// must ends the test, and the load, at an error.
func (x *hanging) must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		for i, p := range x.store.Paths() {
			t.Logf("path %d: in sync %v, %v", i, p.InSync, p.Cause)
		}
		x.gate.open()
		x.stopLoad(&err)
		t.Fatalf("%s: %v", what, err)
	}
}

// hangs closes the gate, and looks that requests wait there while the store goes on.
func (x *hanging) hangs(t *testing.T, what kindOfRequest) {
	t.Helper()
	x.gate.close(what)
	x.must(t, "the path hangs", x.await(t.Context(), "that a request waits at the gate", func() bool { return x.gate.waited() > 0 }))
	x.must(t, "the path hangs", x.loses(t.Context()))
}

// alone looks at each path without the other.
func (x *hanging) alone(t *testing.T) {
	t.Helper()
	x.must(t, "the load", x.load.halt())
	all := x.load.acked()
	x.must(t, "both paths", x.load.check(x.store, all))
	x.must(t, "close", x.closeStore())
	for i := range x.dirs {
		order := []string{x.dirs[0], filepath.Join(t.TempDir(), "missing")}
		if i == 1 {
			order = []string{filepath.Join(t.TempDir(), "missing"), x.dirs[1]}
		}
		s, err := x.Engine.OpenMirrored(order, true)
		x.must(t, "one path alone", err)
		x.must(t, "one path alone", x.load.check(s, all))
		x.must(t, "one path alone", s.Close())
	}
}

// TestHangingPath: while requests to a path wait, every operation ends, and the store goes
// on without it; when they have been answered it is brought level, and neither what lands
// late nor what is stale wins.
func TestHangingPath(t *testing.T) {
	for _, c := range []struct {
		name string
		what kindOfRequest
	}{{"everything", everything}, {"reads", reads}, {"writes", writes}, {"flushes", flushes}, {"names", names}} {
		t.Run(c.name, func(t *testing.T) {
			if c.what != everything {
				needsAllHangs(t)
			}
			x := newHanging(t, flash.Options{Timeout: hangTimeout()})
			x.load.start(x.store)
			x.must(t, "begin", x.goesOn(t.Context(), 200))
			x.hangs(t, c.what)
			x.gate.open()
			x.must(t, "the path is back", x.regains(t.Context()))
			x.alone(t)
		})
	}
}

// TestHangsDuringResync: a path hangs again while it is brought level.
func TestHangsDuringResync(t *testing.T) {
	needsAllHangs(t)
	x := newHanging(t, flash.Options{Timeout: hangTimeout(), ResyncRate: 1 << 20})
	x.load.start(x.store)
	x.must(t, "begin", x.goesOn(t.Context(), 300))
	for _, what := range []kindOfRequest{everything, writes} {
		x.hangs(t, everything)
		x.gate.open()
		x.must(t, "resync", x.await(t.Context(), "that the path is being brought level", func() bool { p := x.path(0); return p.InSync || p.Copied > 0 }))
		x.hangs(t, what)
		x.gate.open()
		x.must(t, "the path is back", x.await(t.Context(), "that the path is brought level", func() bool { return x.path(0).InSync }))
	}
	x.alone(t)
}

// TestCloseWhileAPathHangs: Close ends although a path does not answer, whether that has
// been noticed or not, and the store opens again without it.
func TestCloseWhileAPathHangs(t *testing.T) {
	needsAllHangs(t)
	for _, noticed := range []bool{false, true} {
		x := newHanging(t, flash.Options{Timeout: hangTimeout()})
		x.load.start(x.store)
		x.must(t, "begin", x.goesOn(t.Context(), 200))
		if noticed {
			x.hangs(t, everything)
			x.must(t, "halt", x.load.halt())
		} else {
			x.must(t, "halt", x.load.halt())
			x.gate.close(everything)
		}
		all := x.load.acked()
		x.must(t, "close", x.closeStore())
		if x.gate.waited() == 0 {
			t.Error("nothing waits at the gate: nothing was tested")
		}
		x.must(t, "open what is left", x.openStore(false))
		x.must(t, "what is left", x.load.check(x.store, all))
		x.load.start(x.store)
		x.must(t, "go on", x.goesOn(t.Context(), 50))
		x.gate.open()
		x.must(t, "the path is back", x.regains(t.Context()))
		x.alone(t)
	}
}
