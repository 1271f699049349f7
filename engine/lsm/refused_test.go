package lsm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// trial is batches that are flushed, on a disk that refuses something, and what must be
// there of them.
type trial struct {
	*rand.Rand
	t     *testing.T
	disk  *simdisk.Disk
	o     Options
	e     *Engine
	model map[string]string
	// maybe is what there is if a batch that failed came about.
	maybe map[string]string
}

func newTrial(t *testing.T, seed uint64, o Options) *trial {
	t.Helper()
	l := &trial{Rand: rand.New(rand.NewPCG(seed, 3)), t: t, disk: simdisk.New(simdisk.Options{Seed: seed}), o: o, model: map[string]string{}}
	l.o.FS = l.disk
	l.open()
	return l
}

func (l *trial) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *trial) open() {
	l.t.Helper()
	e, err := Open(context.Background(), "/store", l.o)
	l.must(err)
	l.e = e
}

// step applies a batch; if that is refused, nothing of it may be there.
func (l *trial) step() error {
	var b engine.Batch
	next := maps.Clone(l.model)
	for range 1 + l.IntN(6) {
		key := fmt.Sprintf("key%03d", l.IntN(150))
		switch k := l.IntN(20); {
		case k < 3:
			b.Delete([]byte(key))
			delete(next, key)
		case k == 3:
			upper := fmt.Sprintf("key%03d", l.IntN(150))
			b.DeleteRange([]byte(key), []byte(upper))
			maps.DeleteFunc(next, func(k, _ string) bool { return k >= key && k < upper })
		default:
			size := l.IntN(200)
			if k == 4 {
				size = 300 + l.IntN(1000)
			}
			value := strings.Repeat(string(rune('a'+l.IntN(26))), size)
			b.Put([]byte(key), []byte(value))
			next[key] = value
		}
	}
	err := l.e.Apply(context.Background(), &b, engine.Flushed)
	if err == nil {
		l.model = next
	} else if l.maybe == nil {
		l.maybe = next
	}
	return err
}

func (l *trial) steps(n int) {
	l.t.Helper()
	for range n {
		l.must(l.step())
	}
}

// smallest makes a few steps flush and merge.
func smallest(inline bool) Options {
	o := tiny(nil)
	o.MemtableBytes, o.Inline = 4<<10, inline
	return o
}

// places are the files, and the directory, that a disk refuses something of.
var places = []string{"*.table", "*.values", "/store/manifest/*", "/store/log/*", "/store", "CURRENT*"}

// TestFullDisk: each call on a kind of file in turn meets a full disk, once, and then for
// some operations. Reads go on meanwhile. What is refused is absent; what was acknowledged
// is there; when there is room writes go on; no file is left that nothing knows of.
func TestFullDisk(t *testing.T) {
	calls := 8
	if raceEnabled {
		calls = 2
	}
	const ops = simdisk.OpWrite | simdisk.OpPreallocate | simdisk.OpTruncate | simdisk.OpRename
	for _, place := range places {
		fired := 0
		for nth := 1; nth <= calls; nth++ {
			for _, sticky := range []bool{false, true} {
				l := newTrial(t, uint64(nth), smallest(true))
				l.steps(30)
				at := ops
				switch {
				case place == "/store":
					at = simdisk.OpSyncDir
				case strings.HasPrefix(place, "/store/"):
					at = simdisk.OpOpen | simdisk.OpPreallocate // room in a segment is taken before
				}
				if strings.HasPrefix(place, "*.") {
					at |= simdisk.OpFlush // of a file that nothing needs yet
				}
				fault := l.disk.Inject(simdisk.Fault{Op: at, Path: place, Nth: nth, Sticky: sticky, Effect: simdisk.NoSpace})
				refused := 0
				for i := 0; i < 150 && (fault.Fired() == 0 || i < 40); i++ {
					err := l.step()
					if err != nil && (fault.Fired() == 0 || !errors.Is(err, engine.ErrNoSpace)) {
						t.Fatalf("%s, call %d: %v", place, nth, err)
					}
					if err != nil {
						refused++
						refusal := err
						if err := same(l.e, l.model); err != nil {
							t.Fatalf("%s, call %d: after one that was refused, %v: %v", place, nth, refusal, err)
						}
					}
				}
				what := fmt.Sprintf("%s, call %d (sticky: %v, fired %d, refused %d)", place, nth, sticky, fault.Fired(), refused)
				fired += fault.Fired()
				fault.Remove()
				if err := l.step(); err != nil {
					t.Fatalf("%s: there is room again, and: %v", what, err)
				}
				l.steps(30)
				if err := errors.Join(same(l.e, l.model), l.e.invariants(true)); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if err := l.e.Close(); err != nil {
					t.Fatalf("%s: close: %v", what, err)
				}
				l.open()
				if err := errors.Join(same(l.e, l.model), l.e.invariants(true), l.e.Close()); err != nil {
					t.Fatalf("%s: after the next opening: %v", what, err)
				}
			}
		}
		// A manifest has room in its segment for longer than this goes on.
		if fired == 0 && !slices.Contains([]string{"CURRENT*", "/store/manifest/*"}, place) {
			t.Errorf("%s: no call was refused", place)
		}
	}
}

// TestFullDiskInBackground: flushes and merges in the background meet a full disk. Commits
// wait for no time that does not end: they are refused, and go on when there is room.
func TestFullDiskInBackground(t *testing.T) {
	// A full disk takes what is written over; a log asks it for more with a slot.
	places := []string{"*.table", "*.values", "/store/manifest/*.tmp"}
	if raceEnabled {
		places = places[:1]
	}
	for _, place := range places {
		l := newTrial(t, 1, smallest(false))
		l.steps(50)
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpWrite | simdisk.OpPreallocate, Path: place, Sticky: true, Effect: simdisk.NoSpace})
		for i := 0; ; i++ {
			if err := l.step(); err != nil {
				if !errors.Is(err, engine.ErrNoSpace) || fault.Fired() == 0 {
					t.Fatalf("%s: %v", place, err)
				}
				break
			}
			if i > 100_000 {
				t.Fatalf("%s: no write is refused (%d calls were)", place, fault.Fired())
			}
		}
		if err := same(l.e, l.model); err != nil {
			t.Fatalf("%s: while the disk is full: %v", place, err)
		}
		fault.Remove()
		// No commit gets the error of a flush that was tried before it.
		for range 50 {
			if err := l.step(); err != nil {
				t.Fatalf("%s: there is room again, and: %v", place, err)
			}
		}
		if err := errors.Join(l.e.flushAll(context.Background()), same(l.e, l.model), l.e.invariants(true), l.e.Close()); err != nil {
			t.Fatalf("%s: %v", place, err)
		}
	}
}

// TestFullDiskWhileLoading: a bulk load and a checkpoint that meet a full disk leave nothing
// behind.
func TestFullDiskWhileLoading(t *testing.T) {
	ctx := context.Background()
	fired := 0
	for nth := 1; nth <= 12; nth++ {
		l := newTrial(t, 1, smallest(true))
		l.steps(60)
		load := map[string]string{}
		for i := range 100 {
			load[fmt.Sprintf("loaded%03d", i)] = strings.Repeat("x", l.IntN(200))
		}
		// The load meets no flush of what was there before.
		l.must(l.e.flushAll(ctx))
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpOpen | simdisk.OpWrite, Path: "*.table", Nth: nth, Effect: simdisk.NoSpace})
		switch err := l.e.Ingest(ctx, entriesOf(load)); {
		case err == nil:
			maps.Copy(l.model, load)
		case !errors.Is(err, engine.ErrNoSpace):
			t.Fatal(err)
		}
		fired += fault.Fired()
		fault.Remove()
		if err := errors.Join(same(l.e, l.model), l.e.invariants(true)); err != nil {
			t.Fatalf("load, call %d: %v", nth, err)
		}
		fault = l.disk.Inject(simdisk.Fault{Op: simdisk.OpOpen | simdisk.OpWrite | simdisk.OpLink | simdisk.OpMkdirAll | simdisk.OpRename, Path: "/copy/*", Nth: nth, Effect: simdisk.NoSpace})
		err := l.e.Checkpoint(ctx, "/copy")
		if (err != nil) != (fault.Fired() > 0) || err != nil && !errors.Is(err, engine.ErrNoSpace) {
			t.Fatalf("checkpoint, call %d, fired %d: %v", nth, fault.Fired(), err)
		}
		fired += fault.Fired()
		fault.Remove()
		if err != nil {
			if names, err := l.disk.List("/copy"); err != nil || len(names) > 0 {
				t.Fatalf("checkpoint, call %d: it left %q (%v)", nth, names, err)
			}
			l.must(l.e.Checkpoint(ctx, "/copy"))
		}
		c, err := Open(ctx, "/copy", l.o)
		l.must(err)
		l.must(errors.Join(same(c, l.model), c.Close(), l.e.Close()))
	}
	if fired < 12 {
		t.Errorf("%d calls were refused", fired)
	}
}

// TestFailedFlush: after the device fails to make something durable nothing is taken any
// more, for good; reads go on; the next opening shows all that was acknowledged.
func TestFailedFlush(t *testing.T) {
	for _, place := range []string{"*.table", "*.values", "/store/manifest/*", "/store/log/*", "/store"} {
		for _, effect := range []simdisk.Effect{simdisk.FailedFlush, simdisk.EIO, simdisk.NoSpace} {
			if effect == simdisk.NoSpace && !strings.HasPrefix(place, "/store/") {
				continue // of a file that nothing needs yet: see TestFullDisk
			}
			for nth := 1; nth <= 4; nth++ {
				what := fmt.Sprintf("%s, flush %d, %v", place, nth, effect)
				l := newTrial(t, uint64(nth), smallest(true))
				l.steps(30)
				fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpFlush, Path: place, Nth: nth, Effect: effect})
				for i := 0; fault.Fired() == 0; i++ {
					if err := l.step(); err != nil && fault.Fired() == 0 || i > 2000 {
						t.Fatalf("%s: %v", what, err)
					}
				}
				for range 3 {
					if err := l.step(); !errors.Is(err, engine.ErrReadOnly) {
						t.Fatalf("%s: a write behind it: %v", what, err)
					}
				}
				for name, err := range map[string]error{
					"ingest":  l.e.Ingest(context.Background(), entriesOf(map[string]string{"a": "b"})),
					"compact": l.e.Compact(context.Background(), nil, nil),
					"sync":    l.e.Sync(context.Background()),
				} {
					if !errors.Is(err, engine.ErrReadOnly) {
						t.Fatalf("%s: %s behind it: %v", what, name, err)
					}
				}
				// The batch whose flush failed may have come about.
				if err, other := same(l.e, l.model), same(l.e, l.maybe); err != nil && (other != nil || place != "/store/log/*") {
					t.Fatalf("%s: reads behind it: %v; %v", what, err, other)
				}
				if err := l.e.Close(); !errors.Is(err, engine.ErrReadOnly) {
					t.Fatalf("%s: close: %v", what, err)
				}
				l.open()
				if err := l.e.invariants(true); err != nil {
					t.Fatalf("%s: after the next opening: %v", what, err)
				}
				if err, other := same(l.e, l.model), same(l.e, l.maybe); err != nil && (other != nil || place != "/store/log/*") {
					t.Fatalf("%s: after the next opening: %v; %v", what, err, other)
				}
				l.must(l.e.Close())
			}
		}
	}
}

// TestRefusedCreation: each call of the first opening in turn is refused; the next opening
// makes the store, and no content is lost by it.
func TestRefusedCreation(t *testing.T) {
	ctx := context.Background()
	refused := 0
	for nth := 1; ; nth++ {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := smallest(true)
		o.FS = d
		fault := d.Inject(simdisk.Fault{Nth: nth, Effect: simdisk.EIO})
		e, err := Open(ctx, "/store", o)
		fired := fault.Fired()
		fault.Remove()
		if err == nil {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		} else {
			refused++
		}
		if e, err = Open(ctx, "/store", o); err != nil {
			t.Fatalf("call %d: the next opening: %v", nth, err)
		}
		apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put([]byte("key"), []byte("value")) })
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if e, err = Open(ctx, "/store", o); err != nil {
			t.Fatalf("call %d: the opening behind that: %v", nth, err)
		}
		if v, err := e.Get([]byte("key"), nil); err != nil || string(v) != "value" {
			t.Fatalf("call %d: %q, %v", nth, v, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if fired == 0 {
			break
		}
	}
	if refused < 20 {
		t.Errorf("%d calls were refused", refused)
	}
}

// TestRefusedRead: a read that the device refuses is told, and is good again when the
// device is.
func TestRefusedRead(t *testing.T) {
	l := newTrial(t, 1, smallest(true))
	l.steps(100)
	l.must(l.e.Close())
	for nth := 1; nth <= 10; nth++ {
		l.open()
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpRead, Path: "*.table", Nth: nth, Effect: simdisk.EIO})
		failed := 0
		for k, want := range l.model {
			v, err := l.e.Get([]byte(k), nil)
			if err != nil {
				failed++
				if errors.Is(err, engine.ErrCorrupt) || errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), ".table") {
					t.Fatal(err)
				}
			} else if string(v) != want {
				t.Fatalf("key %q is %d bytes, want %d", k, len(v), len(want))
			}
		}
		if failed != fault.Fired() || failed != 1 {
			t.Fatalf("%d gets failed, and %d reads", failed, fault.Fired())
		}
		l.must(errors.Join(same(l.e, l.model), l.e.Close()))
		l.open()
		fault = l.disk.Inject(simdisk.Fault{Op: simdisk.OpRead, Path: "*.table", Sticky: true, Effect: simdisk.EIO})
		it, err := l.e.NewIterator(engine.IterOptions{})
		l.must(err)
		for ok := it.First(); ok; ok = it.Next() {
		}
		if fault.Fired() > 0 == (it.Err() == nil) {
			t.Fatalf("%d reads failed: %v", fault.Fired(), it.Err())
		}
		if it.First() || it.Last() {
			t.Fatal("an iterator that met an error goes on")
		}
		if err := it.Close(); fault.Fired() > 0 == (err == nil) {
			t.Fatal(err)
		}
		fault.Remove()
		l.must(errors.Join(same(l.e, l.model), l.e.Close()))
	}
}
