package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/backup"
	"github.com/orbit-persistence/orbit/providers/cowbtree"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/lsmtree"
	"github.com/orbit-persistence/orbit/providers/memory"
	"github.com/orbit-persistence/orbit/providers/pebble"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m)
}

// open opens a store of a backend in a directory.
func open(ctx context.Context, backend, dir string) (*providers.Provider, error) {
	c := providers.Config{Backend: backend, Name: backend, ExpireInterval: -1}
	switch backend {
	case cowbtree.Backend:
		o := cowbtree.Defaults()
		o.DataDir, o.Durability, o.CacheBytes = dir, engine.Buffered, 4<<20
		c.Options = o
	case lsmtree.Backend:
		o := lsmtree.Defaults()
		o.DataDir, o.Durability, o.MemtableBytes, o.CacheBytes = dir, engine.Buffered, 1<<20, 16<<20
		c.Options = o
	case pebble.Backend:
		o := pebble.Defaults()
		o.DataDir = dir
		c.Options = o
	}
	return providers.Open(ctx, c)
}

func mustOpen(t testing.TB, backend, dir string) *providers.Provider {
	t.Helper()
	p, err := open(t.Context(), backend, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func targetOf(backend, dir string) backup.Target {
	return backup.Target{Backend: backend, Dir: dir, Open: func(ctx context.Context, dir string) (*providers.Provider, error) { return open(ctx, backend, dir) }}
}

// opener opens a copy of a store of a backend.
func opener(backend string) func(ctx context.Context, dir string) (*providers.Provider, error) {
	return func(ctx context.Context, dir string) (*providers.Provider, error) { return open(ctx, backend, dir) }
}

// history is the oracle: what batch n does is known, and each batch also writes its
// number, so that a state says which prefix of the batches it should be.
type history struct{ seed uint64 }

const numberKey = "number"

// batch returns what batch n writes.
func (h history) batch(n uint64) (writes []driver.Write) {
	random := rand.New(rand.NewPCG(h.seed, n))
	seen := map[string]bool{}
	for range 1 + random.IntN(5) {
		key := fmt.Sprintf("key/%03d", random.IntN(300))
		if seen[key] {
			continue
		}
		seen[key] = true
		w := driver.Write{Key: []byte(key), Delete: random.IntN(4) == 0}
		if !w.Delete {
			w.Value = bytes.Repeat(fmt.Appendf(nil, "%d ", n), 1+random.IntN(200))
		}
		writes = append(writes, w)
	}
	return append(writes, driver.Write{Key: []byte(numberKey), Value: fmt.Append(nil, n)})
}

func (h history) commit(ctx context.Context, p *providers.Provider, n uint64) error {
	return p.Commit(ctx, &driver.Commit{Writes: h.batch(n)})
}

// judge returns which prefix of the batches a provider holds, and an error if it holds
// none.
func (h history) judge(ctx context.Context, p *providers.Provider) (n uint64, err error) {
	got := map[string]string{}
	for e, err := range p.List(ctx, providers.ListOptions{}) {
		if err != nil {
			return 0, err
		}
		got[string(e.Key)] = string(e.Value)
	}
	if text, ok := got[numberKey]; ok {
		if _, err := fmt.Sscan(text, &n); err != nil {
			return 0, err
		}
	}
	want := map[string]string{}
	for i := range n {
		for _, w := range h.batch(i + 1) {
			if w.Delete {
				delete(want, string(w.Key))
			} else {
				want[string(w.Key)] = string(w.Value)
			}
		}
	}
	for key, value := range want {
		if got[key] != value {
			return n, fmt.Errorf("it says that it holds %d batches, and %s is %.40q, not %.40q", n, key, got[key], value)
		}
	}
	if len(got) != len(want) {
		return n, fmt.Errorf("it says that it holds %d batches, and has %d keys, not %d", n, len(got), len(want))
	}
	return n, nil
}

var loggedBackends = []string{cowbtree.Backend, lsmtree.Backend}

// places are the kinds of places: a directory, and a provider.
var places = map[string]func(t testing.TB) backup.Place{
	"directory": func(t testing.TB) backup.Place { return backup.Dir(filepath.Join(t.TempDir(), "place")) },
	"provider": func(t testing.TB) backup.Place {
		p, err := providers.Open(t.Context(), providers.Config{Backend: memory.Backend, Name: "place", ExpireInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return backup.In(p)
	},
}

func newBackup(t testing.TB, p *providers.Provider, place backup.Place, o backup.Options) *backup.Backup {
	t.Helper()
	b, err := backup.New(p, place, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return b
}

// TestEveryPoint restores each point that was noted: by sequence, by time, and the newest.
func TestEveryPoint(t *testing.T) {
	for _, backend := range loggedBackends {
		for where, place := range places {
			t.Run(backend+" to a "+where, func(t *testing.T) {
				place, p, h := place(t), mustOpen(t, backend, t.TempDir()), history{1}
				now := time.Unix(1_000_000, 0)
				b := newBackup(t, p, place, backup.Options{Scratch: filepath.Join(t.TempDir(), "scratch"), Now: func() time.Time { return now }})
				type noted struct {
					point backup.Point
					batch uint64
				}
				var points []noted
				n := uint64(0)
				commit := func(count int) {
					for range count {
						n++
						if err := h.commit(t.Context(), p, n); err != nil {
							t.Fatal(err)
						}
					}
					if err := flush(p); err != nil {
						t.Fatal(err)
					}
				}
				note := func() {
					now = now.Add(time.Minute)
					at, err := b.Archive(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					points = append(points, noted{at, n})
				}
				commit(50)
				for range 2 {
					m, err := b.Base(t.Context())
					if err != nil || m.Kind != backup.Checkpoint || m.UpTo < m.After || len(m.Files) == 0 {
						t.Fatalf("%+v, %v", m, err)
					}
					points = append(points, noted{backup.Point{Sequence: m.UpTo, Time: now}, n})
					for range 2 {
						commit(40)
						note()
					}
				}
				if v, err := backup.Verify(t.Context(), place, nil); err != nil || v.Bases != 2 || v.Pieces != 4 {
					t.Fatalf("%+v, %v", v, err)
				}
				restored := func(at backup.Point, want uint64) {
					t.Helper()
					dir := filepath.Join(t.TempDir(), "restored")
					r, err := backup.Restore(t.Context(), place, targetOf(backend, dir), at)
					if err != nil {
						t.Fatalf("%s: %v", at, err)
					}
					q := mustOpen(t, backend, dir)
					if got, err := h.judge(t.Context(), q); err != nil || got != want {
						t.Errorf("%s: %d batches, %v; want %d; %+v", at, got, err, want, r)
					}
					// Revisions go on above all of before.
					old, err := p.Get(t.Context(), []byte(numberKey))
					if err != nil {
						t.Fatal(err)
					}
					revision, err := q.Put(t.Context(), []byte("new"), nil, providers.PutOptions{})
					if err != nil || revision.Number() <= old.Revision.Number()+1<<20 {
						t.Errorf("the next revision is %s, and was %s, %v", revision, old.Revision, err)
					}
					if err := q.Close(); err != nil {
						t.Error(err)
					}
				}
				for i, x := range points {
					if where == "provider" && i > 0 {
						break
					}
					restored(backup.Point{Sequence: x.point.Sequence}, x.batch)
					if i%2 == 1 {
						restored(backup.Point{Time: x.point.Time}, x.batch)
					} else {
						restored(backup.Point{Time: x.point.Time.Add(time.Second)}, x.batch)
					}
				}
				restored(backup.Point{}, n)
				// In the middle of a piece.
				restored(backup.Point{Sequence: points[2].point.Sequence - 7}, points[2].batch-7)

				target := targetOf(backend, filepath.Join(t.TempDir(), "x"))
				for _, at := range []backup.Point{{Sequence: 1}, {Sequence: points[len(points)-1].point.Sequence + 1}, {Time: time.Unix(1, 0)}} {
					if _, err := backup.Restore(t.Context(), place, target, at); !errors.Is(err, driver.ErrNotFound) {
						t.Errorf("%s: %v", at, err)
					}
				}
				if _, err := os.Stat(target.Dir + ".restoring"); !errors.Is(err, os.ErrNotExist) {
					t.Error(err)
				}
				full := t.TempDir()
				if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if _, err := backup.Restore(t.Context(), place, targetOf(backend, full), backup.Point{}); !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), full) {
					t.Error(err)
				}
				if _, err := backup.Restore(t.Context(), place, targetOf("pebble", target.Dir), backup.Point{}); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "migrate") {
					t.Error(err)
				}
			})
		}
	}
}

// flush makes all that was committed durable, so that it can be archived.
func flush(p *providers.Provider) error {
	return p.Driver().(interface{ Engine() engine.Engine }).Engine().Sync(context.Background())
}

// TestWhileItIsWritten: bases and the archive beside writers; each restored state is a
// prefix of the commits, no shorter than what was there when the call began.
func TestWhileItIsWritten(t *testing.T) {
	for _, backend := range loggedBackends {
		t.Run(backend, func(t *testing.T) {
			place, p, h := places["directory"](t), mustOpen(t, backend, t.TempDir()), history{2}
			b := newBackup(t, p, place, backup.Options{})
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			defer func() { stop(); wg.Wait() }()
			var mu sync.Mutex
			written := uint64(0)
			wg.Go(func() {
				for n := uint64(1); ctx.Err() == nil && n <= 5000; n++ {
					if err := h.commit(t.Context(), p, n); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					written = n
					mu.Unlock()
				}
			})
			for round := range 3 {
				if err := flush(p); err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				least := written
				mu.Unlock()
				if err := flush(p); err != nil {
					t.Fatal(err)
				}
				if round%2 == 0 {
					if _, err := b.Base(t.Context()); err != nil {
						t.Fatal(err)
					}
				} else if _, err := b.Archive(t.Context()); err != nil {
					t.Fatal(err)
				}
				dir := filepath.Join(t.TempDir(), "restored")
				r, err := backup.Restore(t.Context(), place, targetOf(backend, dir), backup.Point{})
				if err != nil {
					t.Fatal(err)
				}
				q := mustOpen(t, backend, dir)
				if got, err := h.judge(t.Context(), q); err != nil || got < least {
					t.Errorf("%d batches, and %d had been written, %v; %+v", got, least, err, r)
				}
				if err := q.Close(); err != nil {
					t.Error(err)
				}
			}
			stop()
			wg.Wait()
			if _, err := backup.Verify(t.Context(), place, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestGoesOn: after a restart the archive goes on where it was; after a gap there is a new
// base, and points in the gap are refused.
func TestGoesOn(t *testing.T) {
	for _, backend := range loggedBackends {
		t.Run(backend, func(t *testing.T) {
			place, dir, h := places["directory"](t), t.TempDir(), history{3}
			n := uint64(0)
			session := func(commits int, o backup.Options, do func(p *providers.Provider, b *backup.Backup)) {
				t.Helper()
				p := mustOpen(t, backend, dir)
				b := newBackup(t, p, place, o)
				if _, err := b.Archive(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range commits {
					n++
					if err := h.commit(t.Context(), p, n); err != nil {
						t.Fatal(err)
					}
				}
				if err := flush(p); err != nil {
					t.Fatal(err)
				}
				do(p, b)
				if err := errors.Join(b.Close(), p.Close()); err != nil {
					t.Fatal(err)
				}
			}
			newest := func(want uint64) backup.Restored {
				t.Helper()
				to := filepath.Join(t.TempDir(), "restored")
				r, err := backup.Restore(t.Context(), place, targetOf(backend, to), backup.Point{})
				if err != nil {
					t.Fatal(err)
				}
				q := mustOpen(t, backend, to)
				if got, err := h.judge(t.Context(), q); err != nil || got != want {
					t.Fatalf("%d batches, want %d, %v; %+v", got, want, err, r)
				}
				return r
			}
			var at backup.Point
			session(100, backup.Options{}, func(_ *providers.Provider, b *backup.Backup) {
				if _, err := b.Base(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			session(100, backup.Options{}, func(_ *providers.Provider, b *backup.Backup) {
				var err error
				if at, err = b.Archive(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			newest(200)
			// A log of which nothing may be kept: what is written meanwhile is lost to the
			// archive, and the next base closes the gap.
			gaps := 0
			session(0, backup.Options{MaxLogBytes: 1, Report: func(e backup.Event) {
				if e.What == "gap" {
					gaps++
				}
			}}, func(p *providers.Provider, b *backup.Backup) {
				value := make([]byte, 200<<10)
				for range 400 {
					n++
					writes := append(h.batch(n), driver.Write{Key: []byte("ballast"), Value: value})
					if err := p.Commit(t.Context(), &driver.Commit{Writes: writes}); err != nil {
						t.Fatal(err)
					}
				}
				if err := p.Delete(t.Context(), []byte("ballast"), driver.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				e := p.Driver().(interface{ Engine() engine.Engine }).Engine()
				if err := errors.Join(e.Sync(t.Context()), e.Compact(t.Context(), nil, nil), e.Checkpoint(t.Context(), filepath.Join(t.TempDir(), "x"))); err != nil {
					t.Fatal(err)
				}
				if _, err := b.Archive(t.Context()); err != nil {
					t.Fatal(err)
				}
				if b.NeedsBase() != (gaps > 0) {
					t.Errorf("with %d gaps, a base is needed: %v", gaps, b.NeedsBase())
				}
				if _, err := b.Base(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			if backend == lsmtree.Backend && gaps == 0 {
				t.Error("there is no gap")
			}
			newest(n)
			if gaps > 0 {
				target := targetOf(backend, filepath.Join(t.TempDir(), "x"))
				if _, err := backup.Restore(t.Context(), place, target, backup.Point{Sequence: at.Sequence + 5}); !errors.Is(err, driver.ErrNotFound) {
					t.Errorf("a point in the gap: %v", err)
				}
			}
			if _, err := backup.Verify(t.Context(), place, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// watched is a place that tells of each object before it is made.
type watched struct {
	backup.Place
	before func(name string)
}

func (w watched) Create(ctx context.Context, name string) (backup.Object, error) {
	w.before(name)
	return w.Place.Create(ctx, name)
}

// TestArchiveBesideBase: the log is archived while a base is made, which can take so long
// that the store could not keep all of it.
func TestArchiveBesideBase(t *testing.T) {
	for _, backend := range []string{cowbtree.Backend, lsmtree.Backend} {
		t.Run(backend, func(t *testing.T) {
			p, h := mustOpen(t, backend, t.TempDir()), history{4}
			commit := func(n uint64) {
				t.Helper()
				if err := errors.Join(h.commit(t.Context(), p, n), flush(p)); err != nil {
					t.Fatal(err)
				}
			}
			commit(1)
			var names []string
			place := watched{places["directory"](t), func(name string) {
				if len(names) == 0 && strings.HasPrefix(name, "base/") {
					commit(2)
				}
				if len(names) > 0 || strings.HasPrefix(name, "base/") {
					names = append(names, name)
				}
			}}
			if _, err := newBackup(t, p, place, backup.Options{ArchiveInterval: 1}).Base(t.Context()); err != nil {
				t.Fatal(err)
			}
			piece := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "log/") })
			if piece < 0 || piece > slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, "/manifest.json") }) {
				t.Errorf("the log was not archived before the base had its manifest: %q", names)
			}
		})
	}
}

// TestShareOfTheTime: what is no part of the time is refused.
func TestShareOfTheTime(t *testing.T) {
	p := mustOpen(t, cowbtree.Backend, t.TempDir())
	for _, share := range []float64{-0.1, 1.1} {
		if _, err := backup.New(p, places["directory"](t), backup.Options{Share: share}); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("a share of %v: %v", share, err)
		}
	}
}

// TestRun: the schedule makes the first base, archives, prunes, and tries again.
func TestRun(t *testing.T) {
	place := &failing{Place: places["directory"](t)}
	p, h := mustOpen(t, cowbtree.Backend, t.TempDir()), history{4}
	var mu sync.Mutex
	now := time.Unix(1_000_000, 0)
	events := make(chan backup.Event, 1000)
	b := newBackup(t, p, place, backup.Options{
		ArchiveInterval: time.Millisecond, BaseInterval: time.Hour, KeepLast: 2, Open: opener(cowbtree.Backend),
		Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }, Report: func(e backup.Event) { events <- e },
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	wait := func(what string, failed bool) backup.Event {
		t.Helper()
		for e := range events {
			if e.What == what && (e.Err != nil) == failed {
				return e
			}
		}
		return backup.Event{}
	}
	wait("base", false)
	var last backup.Manifest
	for i := range uint64(4) {
		if err := errors.Join(h.commit(t.Context(), p, i+1), flush(p)); err != nil {
			t.Fatal(err)
		}
		wait("archive", false)
		if i == 2 {
			place.fail(errBroken)
			if err := errors.Join(h.commit(t.Context(), p, 100), flush(p)); err != nil {
				t.Fatal(err)
			}
			if e := wait("archive", true); !errors.Is(e.Err, errBroken) {
				t.Fatal(e.Err)
			}
			if err := b.Failed(); !errors.Is(err, errBroken) {
				t.Error(err)
			}
			place.fail(nil)
			wait("archive", false)
		}
		mu.Lock()
		now = now.Add(time.Hour)
		mu.Unlock()
		last = *wait("base", false).Base
		wait("prune", false)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	bases, err := backup.Bases(t.Context(), place)
	if err != nil || len(bases) != 2 || bases[1].ID != last.ID {
		t.Fatalf("%d bases, %v", len(bases), err)
	}
	if _, err := backup.Verify(t.Context(), place, nil); err != nil {
		t.Error(err)
	}
	names, err := place.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "base/") && !strings.HasPrefix(name, "base/"+bases[0].ID) && !strings.HasPrefix(name, "base/"+bases[1].ID) {
			t.Errorf("%s is left", name)
		}
	}
}

var errBroken = errors.New("broken")

// failing is a place that fails while it is told to.
type failing struct {
	backup.Place
	mu  sync.Mutex
	err error
}

func (f *failing) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *failing) Create(ctx context.Context, name string) (backup.Object, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	return f.Place.Create(ctx, name)
}

// TestPruneKeepsWhatIsNeeded: after pruning every point from the oldest kept base on can be
// restored, and none before it.
func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	place, p, h := places["directory"](t), mustOpen(t, cowbtree.Backend, t.TempDir()), history{9}
	b := newBackup(t, p, place, backup.Options{KeepLast: 2, Open: opener(cowbtree.Backend)})
	n := uint64(0)
	var points []backup.Point
	for range 3 {
		if _, err := b.Base(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			n++
			if err := h.commit(t.Context(), p, n); err != nil {
				t.Fatal(err)
			}
		}
		if err := flush(p); err != nil {
			t.Fatal(err)
		}
		at, err := b.Archive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, at)
	}
	if removed, err := b.Prune(t.Context()); err != nil || removed < 3 {
		t.Fatalf("%d were removed, %v", removed, err)
	}
	if bases, err := backup.Bases(t.Context(), place); err != nil || len(bases) != 2 {
		t.Fatal(bases, err)
	}
	for i, at := range points {
		dir := filepath.Join(t.TempDir(), "restored")
		_, err := backup.Restore(t.Context(), place, targetOf(cowbtree.Backend, dir), backup.Point{Sequence: at.Sequence - 3})
		if i == 0 {
			if !errors.Is(err, driver.ErrNotFound) {
				t.Errorf("a point that was pruned: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := h.judge(t.Context(), mustOpen(t, cowbtree.Backend, dir)); err != nil || got != uint64(20*(i+1)-3) {
			t.Errorf("%d batches, %v", got, err)
		}
	}
}

// TestDamagedStoreIsNoBase: what is damaged in a store is not taken for a base, and the
// last sound one stays.
func TestDamagedStoreIsNoBase(t *testing.T) {
	place, dir, h := places["directory"](t), t.TempDir(), history{4}
	p := mustOpen(t, lsmtree.Backend, dir)
	b := newBackup(t, p, place, backup.Options{KeepLast: 1, Open: opener(lsmtree.Backend)})
	for n := range uint64(2000) {
		if err := h.commit(t.Context(), p, n+1); err != nil {
			t.Fatal(err)
		}
	}
	sound, err := b.Base(t.Context()) // which writes tables
	if err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "*.table"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, table := range tables {
		data, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(table, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteAt([]byte{^data[len(data)/3]}, int64(len(data)/3)) // in place, as a disk does it
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if m, err := b.Base(t.Context()); !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), "older bases stay") {
		t.Errorf("a damaged store has a base: %+v, %v", m, err)
	}
	if !errors.Is(b.Failed(), driver.ErrCorrupt) {
		t.Errorf("it has failed with %v", b.Failed())
	}
	if _, err := b.Prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if bases, err := backup.Bases(t.Context(), place); err != nil || len(bases) != 1 || bases[0].ID != sound.ID {
		t.Errorf("there are %+v, %v", bases, err)
	}
	if _, err := backup.New(p, place, backup.Options{KeepLast: 1}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("bases that are not read are pruned for: %v", err)
	}
}

// TestBackendsWithoutLog: a checkpoint alone, or an export.
func TestBackendsWithoutLog(t *testing.T) {
	place, p, h := places["directory"](t), mustOpen(t, pebble.Backend, t.TempDir()), history{5}
	for n := range uint64(50) {
		if err := h.commit(t.Context(), p, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := newBackup(t, p, place, backup.Options{}).Base(t.Context()); err != nil || m.Kind != backup.Checkpoint || m.Log != "" {
		t.Fatalf("%+v, %v", m, err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := backup.Restore(t.Context(), place, targetOf(pebble.Backend, dir), backup.Point{}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.judge(t.Context(), mustOpen(t, pebble.Backend, dir)); err != nil || got != 50 {
		t.Errorf("%d batches, %v", got, err)
	}
	if _, err := backup.Restore(t.Context(), place, targetOf(pebble.Backend, dir+"2"), backup.Point{Sequence: 10}); !errors.Is(err, driver.ErrNotFound) {
		t.Error(err)
	}

	place = places["provider"](t)
	m := mustOpen(t, memory.Backend, "")
	for n := range uint64(50) {
		if err := h.commit(t.Context(), m, n+1); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := newBackup(t, m, place, backup.Options{}).Base(t.Context()); err != nil || m.Kind != backup.Export {
		t.Fatalf("%+v, %v", m, err)
	}
	for _, backend := range []string{cowbtree.Backend, pebble.Backend} { // an export goes anywhere
		dir := filepath.Join(t.TempDir(), "restored")
		if _, err := backup.Restore(t.Context(), place, targetOf(backend, dir), backup.Point{}); err != nil {
			t.Fatal(err)
		}
		if got, err := h.judge(t.Context(), mustOpen(t, backend, dir)); err != nil || got != 50 {
			t.Errorf("%d batches, %v", got, err)
		}
	}
	other := mustOpen(t, memory.Backend, "")
	if _, err := backup.Restore(t.Context(), place, backup.Target{Backend: memory.Backend, Open: func(context.Context, string) (*providers.Provider, error) {
		return providers.OpenStore(unclosed{other.Driver().(*memory.Store)}, providers.Config{ExpireInterval: -1}), nil
	}}, backup.Point{}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.judge(t.Context(), other); err != nil || got != 50 {
		t.Errorf("%d batches, %v", got, err)
	}
}

type unclosed struct{ *memory.Store }

func (unclosed) Close() error { return nil }

// TestDamagedBackups: whatever byte is changed, and whatever object is missing, is found,
// by Verify, and by a restore that needs it.
func TestDamagedBackups(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "place")
	place, p, h := backup.Dir(dir), mustOpen(t, cowbtree.Backend, t.TempDir()), history{6}
	b := newBackup(t, p, place, backup.Options{})
	n := uint64(0)
	for range 3 {
		for range 20 {
			n++
			if err := h.commit(t.Context(), p, n); err != nil {
				t.Fatal(err)
			}
		}
		if err := flush(p); err != nil {
			t.Fatal(err)
		}
		if n == 20 {
			if _, err := b.Base(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else if _, err := b.Archive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := backup.Verify(t.Context(), place, nil); err != nil {
		t.Fatal(err)
	}
	names, err := place.List(t.Context(), "")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	damaged := func(what, name string) {
		t.Helper()
		if _, err := backup.Verify(t.Context(), place, nil); !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("%s %s: verify says %v", what, name, err)
		}
		to := filepath.Join(t.TempDir(), "restored")
		_, err := backup.Restore(t.Context(), place, targetOf(cowbtree.Backend, to), backup.Point{})
		if err == nil {
			t.Errorf("%s %s: it is restored", what, name)
		}
		if left, err := filepath.Glob(to + "*"); err != nil || len(left) > 0 {
			t.Errorf("%s %s: %q is left", what, name, left)
		}
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, len(whole) - 1, random.IntN(len(whole))} {
			if strings.HasSuffix(name, "manifest.json") && (whole[at] == ' ' || whole[at] == '\n' || at > 4 && at < len(whole)/2) {
				continue // it may say the same with it
			}
			changed := bytes.Clone(whole)
			changed[at] ^= 0x15
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			damaged(fmt.Sprintf("changed at %d:", at), name)
		}
		if err := os.WriteFile(path, whole[:len(whole)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		damaged("cut:", name)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if strings.Contains(name, "/f/") {
			path := filepath.Join(dir, name)
			if err := os.Rename(path, path+".aside"); err != nil {
				t.Fatal(err)
			}
			damaged("missing:", name)
			if err := os.Rename(path+".aside", path); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A piece that says by its name that it has more than it has.
	last := names[len(names)-1]
	parts := strings.Split(last, "-")
	n, err = strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = fmt.Sprintf("%020d", n+1)
	longer := strings.Join(parts, "-")
	if err := os.Rename(filepath.Join(dir, last), filepath.Join(dir, longer)); err != nil {
		t.Fatal(err)
	}
	damaged("renamed:", longer)
	if err := os.Rename(filepath.Join(dir, longer), filepath.Join(dir, last)); err != nil {
		t.Fatal(err)
	}
	// A piece in the middle is missing.
	for i, name := range names {
		if strings.HasPrefix(name, "log/") && i+1 < len(names) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Verify(t.Context(), place, nil); !errors.Is(err, driver.ErrCorrupt) && i+2 < len(names) {
				t.Errorf("without %s verify says %v", name, err)
			}
			to := filepath.Join(t.TempDir(), "restored")
			r, err := backup.Restore(t.Context(), place, targetOf(cowbtree.Backend, to), backup.Point{})
			if err != nil || r.Gap == "" {
				t.Errorf("%+v, %v", r, err)
			}
			break
		}
	}
}

func TestParsePoint(t *testing.T) {
	for text, want := range map[string]string{"": "the newest", "17": "17", "2026-11-26T04:30:00Z": "2026-11-26T04:30:00Z", "2026-11-26T05:30:00.5+01:00": "2026-11-26T05:30:00.5+01:00"} {
		if p, err := backup.ParsePoint(text); err != nil || p.String() != want {
			t.Errorf("%q is %s, %v", text, p, err)
		}
	}
	for _, text := range []string{"0", "-1", "yesterday", "17x", "2026-11-26"} {
		if _, err := backup.ParsePoint(text); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestPlaces: an object is there when it is committed, whole, and replaced as a whole.
func TestPlaces(t *testing.T) {
	for what, place := range places {
		t.Run(what, func(t *testing.T) {
			place := place(t)
			read := func(name string) (string, error) {
				in, err := place.Open(t.Context(), name)
				if err != nil {
					return "", err
				}
				data, err := io.ReadAll(in)
				return string(data), errors.Join(err, in.Close())
			}
			large := strings.Repeat("0123456789abcdef", 100_000)
			for _, text := range []string{"", "small", large} {
				o, err := place.Create(t.Context(), "a/b/c")
				if err != nil {
					t.Fatal(err)
				}
				for rest := []byte(text); len(rest) > 0; {
					k := min(len(rest), 70_001)
					if _, err := o.Write(rest[:k]); err != nil {
						t.Fatal(err)
					}
					rest = rest[k:]
				}
				if err := o.Commit(); err != nil {
					t.Fatal(err)
				}
				o.Abort()
				if got, err := read("a/b/c"); err != nil || got != text {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
			}
			o, err := place.Create(t.Context(), "a/b/c")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Write([]byte(large)); err != nil {
				t.Fatal(err)
			}
			if got, err := read("a/b/c"); err != nil || got != large {
				t.Errorf("%d bytes while another is written, %v", len(got), err)
			}
			o.Abort()
			if _, err := place.Create(t.Context(), "a/never ended"); err != nil {
				t.Fatal(err)
			}
			if o, err = place.Create(t.Context(), "a/b/c"); err != nil {
				t.Fatal(err)
			}
			if _, err := o.Write([]byte(large)); err != nil {
				t.Fatal(err)
			}
			if n, err := place.Sweep(t.Context()); err != nil || n < 1 {
				t.Errorf("%d writings were swept, %v", n, err)
			}
			if got, err := read("a/b/c"); err != nil || got != large {
				t.Errorf("%d bytes after the sweep, %v", len(got), err)
			}
			if names, err := place.List(t.Context(), "a/"); err != nil || len(names) != 1 || names[0] != "a/b/c" {
				t.Error(names, err)
			}
			for range 2 {
				if err := place.Remove(t.Context(), "a/b/c"); err != nil {
					t.Error(err)
				}
			}
			if _, err := read("a/b/c"); !errors.Is(err, driver.ErrNotFound) {
				t.Error(err)
			}
			if names, err := place.List(t.Context(), ""); err != nil || len(names) > 0 {
				t.Error(names, err)
			}
		})
	}
}
