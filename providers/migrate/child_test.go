package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/migrate"
)

// asChild makes the test binary copy one store to another, or to or from a file, and kill
// itself at a step: what, a directory, the step, and in which part of it.
const asChild = "ORBIT_TEST_MIGRATE"

func runChild() {
	if os.Getenv(asChild) == "" {
		return
	}
	if err := child(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const childEntries = 400

func child(what, dir, step, part string) error {
	at, err := strconv.ParseInt(step, 10, 64)
	if err != nil {
		return err
	}
	ctx := context.Background()
	target, err := openChild(ctx, filepath.Join(dir, "target"))
	if err != nil {
		return err
	}
	to := providers.OpenStore(&dying{localStore: target.(localStore), at: at, part: part}, providers.Config{Name: "target", ExpireInterval: -1})
	file := filepath.Join(dir, "export.json")
	if what == "import" {
		_, err = migrate.ImportFile(ctx, file, to, migrate.ImportOptions{BatchSize: 40})
		return errors.Join(err, to.Close())
	}
	source, err := openChild(ctx, filepath.Join(dir, "source"))
	if err != nil {
		return err
	}
	from := providers.OpenStore(source, providers.Config{Name: "source", ExpireInterval: -1})
	if what == "export" {
		steps := int64(0)
		_, err = migrate.ExportFile(ctx, from, file, true, func(migrate.Progress) {
			if steps++; steps == at {
				die()
			}
		})
	} else {
		_, err = migrate.New().FromProvider(from).ToProvider(to).WithBatchSize(40).Execute(ctx)
	}
	return errors.Join(err, from.Close(), to.Close())
}

func openChild(ctx context.Context, dir string) (driver.Store, error) {
	c := cowbtree.Defaults()
	c.DataDir, c.Durability, c.CacheBytes = dir, engine.Buffered, 4<<20
	return cowbtree.Open(ctx, c)
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type localStore interface {
	driver.Store
	driver.Committer
	driver.BatchGetter
	driver.BulkPutter
	driver.Snapshotter
	driver.Clock
}

// dying kills its process at a write: before it, in its middle, or after it.
type dying struct {
	localStore
	at    int64
	part  string
	calls atomic.Int64
}

func (s *dying) Capabilities() driver.Capabilities {
	c := s.localStore.Capabilities()
	c.Expire, c.Checkpoint, c.Compact, c.Report = false, false, false, false
	return c
}

func (s *dying) step(write func() error, half func() error) error {
	now := s.calls.Add(1) == s.at
	if now && s.part == "middle" {
		_ = half()
	}
	if now && s.part != "after" {
		die()
	}
	err := write()
	if now {
		die()
	}
	return err
}

func (s *dying) Put(ctx context.Context, key, value []byte, o driver.PutOptions) (r driver.Revision, err error) {
	err = s.step(func() error { r, err = s.localStore.Put(ctx, key, value, o); return err }, func() error { return nil })
	return r, err
}

func (s *dying) Delete(ctx context.Context, key []byte, o driver.DeleteOptions) error {
	return s.step(func() error { return s.localStore.Delete(ctx, key, o) }, func() error { return nil })
}

func (s *dying) BulkPut(ctx context.Context, writes []driver.Write) error {
	return s.step(func() error { return s.localStore.BulkPut(ctx, writes) }, func() error {
		var half []driver.Write
		for i, w := range writes {
			if i%2 == 0 || i == len(writes)-1 {
				half = append(half, w)
			}
		}
		return s.localStore.BulkPut(ctx, half)
	})
}

// TestKilledProcesses: a process that is killed in a migration, an import or an export,
// with SIGKILL, at every of its steps, and the processes that go on, at others; between
// them the source of a migration changes.
func TestKilledProcesses(t *testing.T) {
	parts := []string{"before", "middle", "after"}
	for _, what := range []string{"migrate", "import", "export"} {
		t.Run(what, func(t *testing.T) {
			killed := 0
			const most = 6
			for step := int64(0); step < most; step++ {
				n := 1 + 2*step
				dir := t.TempDir()
				source := func() *providers.Provider {
					s, err := openChild(t.Context(), filepath.Join(dir, "source"))
					if err != nil {
						t.Fatal(err)
					}
					return provide(t, s, "source")
				}
				a := source()
				fill(t, a, childEntries, 2)
				if what == "export" {
					for i := range 4 { // so that there are steps
						fill(t, a, 8*childEntries, uint64(2*i))
					}
				}
				file := filepath.Join(dir, "export.json")
				if what == "import" {
					if _, err := migrate.ExportFile(t.Context(), a, file, false, nil); err != nil {
						t.Fatal(err)
					}
				}
				if err := a.Close(); err != nil {
					t.Fatal(err)
				}
				for round := int64(0); ; round++ {
					at := n/(round+1) + round%2
					if round > 3 {
						at = 1 << 40
					}
					cmd := exec.Command(os.Args[0], what, dir, fmt.Sprint(at), parts[(n+round)%3])
					cmd.Env = append(os.Environ(), asChild+"=1")
					var out bytes.Buffer
					cmd.Stderr = &out
					if err := cmd.Run(); err == nil {
						break
					} else if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
						t.Fatalf("%v: %s", err, out.String())
					}
					killed++
					if what == "export" {
						if _, err := migrate.CheckFile(t.Context(), file+".partial", nil); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), file) {
							t.Fatalf("half an export: %v", err)
						}
						if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
							t.Fatal(err)
						}
						continue
					}
					if what == "migrate" && !finished(t, dir) {
						a := source()
						change(t, a, int(round))
						if err := a.Close(); err != nil {
							t.Fatal(err)
						}
					}
				}
				a = source()
				want := contentOf(t, a)
				if what == "export" {
					b := open(t, "memory", "b")
					if _, err := migrate.ImportFile(t.Context(), file, b, migrate.ImportOptions{}); err != nil {
						t.Fatal(err)
					}
					same(t, contentOf(t, b), want)
					continue
				}
				store, err := openChild(t.Context(), filepath.Join(dir, "target"))
				if err != nil {
					t.Fatal(err)
				}
				b := provide(t, store, "target")
				same(t, contentOf(t, b), want)
				if err := migrate.Unfinished(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			if killed < most {
				t.Errorf("%d were killed", killed)
			}
			t.Logf("%d were killed", killed)
		})
	}
}

// finished reports whether the target is whole, though its process was killed.
func finished(t *testing.T, dir string) bool {
	store, err := openChild(t.Context(), filepath.Join(dir, "target"))
	if err != nil {
		t.Fatal(err)
	}
	p := providers.OpenStore(store, providers.Config{Name: "target", ExpireInterval: -1})
	whole := migrate.Unfinished(t.Context(), p) == nil && len(contentOf(t, p)) > 0
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return whole
}
