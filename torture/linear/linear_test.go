package linear_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/memory"
	"github.com/orbit-persistence/orbit/engine/pebbledb"
	"github.com/orbit-persistence/orbit/engine/peers/badger"
	"github.com/orbit-persistence/orbit/engine/peers/bbolt"
	"github.com/orbit-persistence/orbit/torture/linear"
	"github.com/orbit-persistence/orbit/torture/target"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openMemory(string) (engine.Engine, error) { return memory.Open(), nil }

func openPebble(dir string) (engine.Engine, error) {
	return pebbledb.Open(dir, pebbledb.Options{CacheBytes: 1 << 20, MemTableBytes: 256 << 10})
}

// TestSoundEngines: none is accused, and all that applies was looked at.
func TestSoundEngines(t *testing.T) {
	for _, c := range []struct {
		engine target.Engine
		work   int64
	}{
		{target.Engine{Name: "memory", Open: openMemory}, 3},
		{target.Engine{Name: "pebble", Open: openPebble}, 2},
		{target.Engine{Name: "bbolt", Open: func(dir string) (engine.Engine, error) {
			return bbolt.Open(dir, bbolt.Options{NoSync: true, MaxBytes: 1 << 30})
		}}, 1},
		{target.Engine{Name: "badger", Open: func(dir string) (engine.Engine, error) {
			return badger.Open(dir, badger.Options{NoSync: true, CacheBytes: 8 << 20, MemTableBytes: 4 << 20})
		}}, 1},
	} {
		t.Run(c.engine.Name, func(t *testing.T) {
			var reports int64
			r, err := linear.Mode(t.Context(), target.Run{
				Engine: c.engine, Seed: 1, Work: c.work, Directory: t.TempDir(),
				Progress: func(done, of int64, _ string) {
					if done != reports || of != c.work {
						t.Errorf("progress %d of %d", done, of)
					}
					reports++
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Failures {
				t.Errorf("%s\n%s\n%s", f.What, f.Workload, f.Trace)
			}
			t.Logf("%+v in %v", r.Counts, r.Elapsed)
			e, err := c.engine.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			traits := e.Traits()
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			for name, least := range map[string]int64{
				"histories": 2 * c.work, "operations": 400 * c.work, "keys judged": 10 * c.work, "windows": 30 * c.work,
			} {
				if r.Get(name) < least {
					t.Errorf("%d %s, want %d at least", r.Get(name), name, least)
				}
			}
			if traits.Persistent && c.work > 1 && r.Get("restarts") == 0 {
				t.Error("no restarts")
			}
			if traits.Conditional && (r.Get("transactions") == 0 || r.Get("conflicts") == 0) {
				t.Error("no transactions, or none that conflicted")
			}
			if reports != c.work {
				t.Errorf("%d reports of progress for %d rounds", reports, c.work)
			}
		})
	}
}

// TestMissingEngine: what is not there is left out, and said so.
func TestMissingEngine(t *testing.T) {
	r, err := linear.Mode(t.Context(), target.Run{Engine: target.Engine{Name: "rocksdb", Missing: "built without the tag rocksdb"}, Directory: t.TempDir()})
	if err != nil || len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0], "built without") || r.Get("histories") != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestContext: a cancelled run ends with the context's error, and accuses nobody.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := linear.Mode(ctx, target.Run{Engine: target.Engine{Name: "memory", Open: openMemory}, Directory: t.TempDir()})
	if !errors.Is(err, context.Canceled) || len(r.Failures) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBudget: a budget that is over after the first round leaves one.
func TestBudget(t *testing.T) {
	r, err := linear.Mode(t.Context(), target.Run{Engine: target.Engine{Name: "memory", Open: openMemory}, Budget: time.Nanosecond, Directory: t.TempDir()})
	if err != nil || r.Get("histories") != 3 || len(r.Failures) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNothingIsLeftBehind: a sound run leaves its directory empty.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	if _, err := linear.Mode(t.Context(), target.Run{Engine: target.Engine{Name: "pebble", Open: openPebble}, Work: 1, Directory: dir}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
