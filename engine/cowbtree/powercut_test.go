package cowbtree_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// shown is all that a store may show: its entries, and the snapshots with names.
type shown struct {
	entries map[string]string
	named   map[string]map[string]string
}

func (s shown) clone() shown { return shown{maps.Clone(s.entries), maps.Clone(s.named)} }

// compare returns how what a store shows differs.
func (s shown) compare(e *cowbtree.Engine) error {
	if err := same(e, s.entries); err != nil {
		return err
	}
	names, err := e.ListSnapshots()
	if err != nil {
		return err
	}
	if want := slices.Sorted(maps.Keys(s.named)); !slices.Equal(names, want) {
		return fmt.Errorf("snapshots are %q, want %q", names, want)
	}
	for name, entries := range s.named {
		x, err := e.OpenSnapshot(name)
		if err != nil {
			return err
		}
		if err := errors.Join(same(x, entries), x.Close()); err != nil {
			return fmt.Errorf("snapshot %q: %w", name, err)
		}
	}
	return nil
}

// life is what is done to a store on a simulated disk, in operations that are each
// flushed. A mark follows each in the disk's log, which is its number in states.
type life struct {
	*rand.Rand
	disk   *simdisk.Disk
	e      *cowbtree.Engine
	states []shown
}

// smallest makes a few operations write checkpoints, and split pages.
func smallest(fsys vfs.FS) cowbtree.Options {
	return cowbtree.Options{FS: fsys, Inline: true, CacheBytes: cowbtree.MinCacheBytes, SegmentBytes: 16 << 10, CheckpointBytes: 2 << 10, MaxKeysPerNode: 4}
}

func newLife(t *testing.T, seed uint64) *life {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: seed})
	l := &life{Rand: rand.New(rand.NewPCG(seed, 7)), disk: d, e: open(t, "/store", smallest(d))}
	l.states = append(l.states, shown{map[string]string{}, map[string]map[string]string{}})
	l.mark()
	return l
}

func (l *life) mark() { l.disk.Mark(strconv.Itoa(len(l.states) - 1)) }

// last is the newest of states; undo takes it away, for an operation that was refused.
func (l *life) last() shown { return l.states[len(l.states)-1] }
func (l *life) undo()       { l.states = l.states[:len(l.states)-1] }

// step does one operation; what it makes of the store is the last of states, even if
// it fails, since it may have come about then.
func (l *life) step() error {
	ctx := context.Background()
	now := l.last().clone()
	var do func() error
	name := fmt.Sprintf("name %d", l.IntN(3))
	switch n := l.IntN(20); {
	case n == 0 && now.named[name] == nil:
		now.named[name] = maps.Clone(now.entries)
		do = func() error { return l.e.CreateSnapshot(ctx, name) }
	case n <= 1 && now.named[name] != nil:
		delete(now.named, name)
		do = func() error { return l.e.DropSnapshot(ctx, name) }
	default:
		b := l.batch(now.entries)
		do = func() error { return l.e.Apply(ctx, b, engine.Flushed) }
	}
	l.states = append(l.states, now)
	err := do()
	if err == nil {
		l.mark()
	}
	return err
}

// batch makes a batch, and applies it to entries.
func (l *life) batch(entries map[string]string) *engine.Batch {
	var b engine.Batch
	for range 1 + l.IntN(2)*l.IntN(6) {
		key := fmt.Sprintf("key%02d", l.IntN(40))
		switch k := l.IntN(20); {
		case k < 4:
			b.Delete([]byte(key))
			delete(entries, key)
		case k == 4:
			upper := fmt.Sprintf("key%02d", l.IntN(40))
			b.DeleteRange([]byte(key), []byte(upper))
			maps.DeleteFunc(entries, func(k, _ string) bool { return k >= key && k < upper })
		default:
			size := l.IntN(200)
			if k == 5 {
				size = 2000 + l.IntN(8000)
			}
			value := strings.Repeat(string(rune('a'+l.IntN(26))), size)
			b.Put([]byte(key), []byte(value))
			entries[key] = value
		}
	}
	return &b
}

// cuts cuts the power at events behind one, at one in so many, some times each, and
// verifies what each cut leaves.
func (l *life) cuts(t *testing.T, from, one, times int) (n int) {
	t.Helper()
	done := -1
	at := 0
	for w := l.disk.Walk(); w.Next(); at++ {
		if v := w.Event(); v.Kind == simdisk.EventMark {
			i, err := strconv.Atoi(v.Label)
			if err != nil {
				t.Fatal(err)
			}
			done = i
		}
		if done < 0 || at < from || l.IntN(one) > 0 {
			continue
		}
		for range times {
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = simdisk.Fate(l.IntN(2)) // Lost or Kept
			}
			if err := l.verify(w.Crash(fates, 1), done); err != nil {
				t.Fatalf("power cut at event %d, after operation %d: %v", at, done, err)
			}
			n++
		}
	}
	return n
}

// verify opens what a power cut left: all operations up to one must be there, and the
// one after it may be. Nothing is used twice, and no space is lost.
func (l *life) verify(image *simdisk.Disk, done int) error {
	ctx := context.Background()
	// What the checkpoint in the file has is whole, though replay may drop it.
	if err := cowbtree.Inspect(ctx, image, "/store", io.Discard); err != nil {
		return err
	}
	e, err := cowbtree.Open(ctx, "/store", smallest(image))
	if err != nil {
		return err
	}
	err = l.states[done].compare(e)
	if err != nil && done+1 < len(l.states) && l.states[done+1].compare(e) == nil {
		err = nil
	}
	var b engine.Batch
	b.Put([]byte("after"), make([]byte, 3000))
	err = errors.Join(err, e.Apply(ctx, &b, engine.Flushed), e.Close())
	return errors.Join(err, cowbtree.Inspect(ctx, image, "/store", io.Discard))
}

// TestPowerCuts: snapshots with names outlive power cuts as commits do, and what they
// hold is free when they have gone, and not before.
func TestPowerCuts(t *testing.T) {
	seeds := uint64(6)
	if cowbtree.RaceEnabled {
		seeds = 1
	}
	for seed := range seeds {
		l := newLife(t, seed)
		for range 150 {
			if err := l.step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.e.Close(); err != nil {
			t.Fatal(err)
		}
		if n := l.cuts(t, 0, 8, 1); n < 20 {
			t.Errorf("seed %d: %d cuts", seed, n)
		}
	}
}

// TestKilledAndCut: the process dies behind a flush of the data file that failed, at
// each of the first ones; the next one goes on from what the kernel shows it, which
// may be in the page cache alone, until the power is cut.
func TestKilledAndCut(t *testing.T) {
	flushes := 24
	if cowbtree.RaceEnabled {
		flushes = 4
	}
	for nth := 1; nth <= flushes; nth++ {
		l := newLife(t, uint64(nth))
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpSyncData, Path: "/store/data", Nth: nth, Effect: simdisk.FailedFlush})
		for fault.Fired() == 0 {
			err := l.step()
			if err != nil && fault.Fired() == 0 || len(l.states) > 1000 {
				t.Fatal(err)
			}
		}
		l.disk = l.disk.Kill()
		_ = l.e.Close() // of the process that is gone
		from := l.disk.Events()
		l.e = open(t, "/store", smallest(l.disk))
		if err := l.last().compare(l.e); err != nil {
			l.undo()
			if older := l.last().compare(l.e); older != nil {
				t.Fatalf("flush %d: after the kill: %v; and %v", nth, err, older)
			}
		}
		l.mark() // what recovery shows is durable
		for range 12 {
			if err := l.step(); err != nil {
				t.Fatal(err)
			}
		}
		if n := l.cuts(t, from, 1, 2); n < 20 {
			t.Errorf("flush %d: %d cuts", nth, n)
		}
		if err := l.e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
