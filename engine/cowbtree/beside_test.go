package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// What may happen beside a checkpoint, one step behind the other: a hook stands for
// the goroutine that comes between.

// hooked calls a hook before each operation on the data file, which is not carried
// out if that returns an error.
type hooked struct {
	vfs.FS
	hook atomic.Pointer[func(op string, off int64) error]
}

type hookedFile struct {
	vfs.File
	fs *hooked
}

func (h *hooked) set(hook func(op string, off int64) error) {
	if hook == nil {
		h.hook.Store(nil)
		return
	}
	h.hook.Store(&hook)
}

func (h *hooked) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := h.FS.Open(name, flags)
	if err != nil || filepath.Base(name) != dataName {
		return f, err
	}
	return &hookedFile{f, h}, nil
}

func (f *hookedFile) call(op string, off int64) error {
	if hook := f.fs.hook.Load(); hook != nil {
		return (*hook)(op, off)
	}
	return nil
}

func (f *hookedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.call("read", off); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *hookedFile) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	if err := f.call("write", off); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off, flags)
}

func (f *hookedFile) Preallocate(off, n int64) error {
	if err := f.call("preallocate", off); err != nil {
		return err
	}
	return f.File.Preallocate(off, n)
}

// beside is a store of some hundred leaves, in which nothing happens by itself.
type beside struct {
	*Engine
	t    *testing.T
	fs   *hooked
	disk *simdisk.Disk
	o    Options
}

const besideKeys = 4000

func besideKey(i int) []byte { return fmt.Appendf(nil, "key %06d", i) }

func newBeside(t *testing.T) *beside {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	b := &beside{t: t, disk: d, fs: &hooked{FS: d}}
	b.o = Options{FS: b.fs, Inline: true, CacheBytes: 8 << 20, CheckpointBytes: 1 << 30}
	b.open()
	return b
}

func (b *beside) open() {
	b.t.Helper()
	var err error
	if b.Engine, err = Open(context.Background(), "/store", b.o); err != nil {
		b.t.Fatal(err)
	}
}

func (b *beside) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *beside) put(key []byte, value []byte) {
	b.t.Helper()
	var batch engine.Batch
	batch.Put(key, value)
	if err := b.Apply(context.Background(), &batch, engine.Buffered); err != nil {
		b.t.Errorf("put %s: %v", key, err)
	}
}

func (b *beside) fill(value byte) {
	b.t.Helper()
	for i := range besideKeys {
		b.put(besideKey(i), slices.Repeat([]byte{value}, 100))
	}
}

func (b *beside) holds(r engine.Reader, i int, value byte) {
	b.t.Helper()
	got, err := r.Get(besideKey(i), nil)
	if err != nil || len(got) == 0 || got[0] != value {
		b.t.Fatalf("%s is %.10q (%v), and should be %q", besideKey(i), got, err, value)
	}
}

// before calls do before the next operation of that kind on the data file, which is not
// carried out if do returns an error; called fails the test if there was none.
func (b *beside) before(op string, do func(off int64) error) (called func()) {
	var met atomic.Bool
	b.fs.set(func(is string, off int64) error {
		if is != op || met.Swap(true) {
			return nil
		}
		return do(off)
	})
	return func() {
		b.t.Helper()
		b.fs.set(nil)
		if !met.Load() {
			b.t.Errorf("no %s", op)
		}
	}
}

// beginCheckpoint begins a checkpoint, and returns how it goes on.
func (b *beside) beginCheckpoint() (s *snapshot, held []*snapshot, end func()) {
	b.checkpointing.Lock()
	b.mu.Lock()
	s = b.freeze(b.Engine.root.Load())
	held = slices.Clone(b.attempt.held)
	logged := b.logged
	b.mu.Unlock()
	return s, held, func() {
		b.t.Helper()
		b.must(b.writeCheckpoint(s, held))
		b.mu.Lock()
		b.adopt(s, held, logged)
		b.mu.Unlock()
		b.checkpointing.Unlock()
	}
}

// end closes the store, and inspects it.
func (b *beside) end() {
	b.t.Helper()
	if err := b.Close(); err != nil {
		b.t.Error(err)
	}
	if err := Inspect(context.Background(), b.disk, "/store", io.Discard); err != nil {
		b.t.Error(err)
	}
}

// TestPageDiesWhileReferencesArePatched: a page is in a named snapshot, which still
// refers to it by its number in memory, and dies by a reference that was patched.
func TestPageDiesWhileReferencesArePatched(t *testing.T) {
	b := newBeside(t)
	b.fill('a')
	_, held, end := b.beginCheckpoint()
	b.put(besideKey(0), []byte("b")) // the pages above are copied
	b.must(b.CreateSnapshot(context.Background(), "name"))
	w := b.newWriter()
	for _, x := range held {
		_, err := w.tree(x.root.Load().ref, x.root.Load().level)
		b.must(err)
	}
	b.must(w.finish())
	b.attempt.written = append(b.attempt.written, w.written...)
	b.mu.Lock()
	b.patching = true // as patch does, which then lets go of mu
	b.mu.Unlock()
	b.put(besideKey(0), []byte("c"))
	b.put(besideKey(besideKeys/2), []byte("c"))
	end()
	b.must(b.checkpoint(context.Background()))
	s, err := b.OpenSnapshot("name")
	b.must(err)
	b.holds(s, 0, 'b')
	b.holds(s, besideKeys/2, 'a')
	b.must(s.Close())
	b.end()
}

// TestPageDiesBeforeItIsInTheFile: a page dies that has its place, but has not been
// written there, and a named snapshot reads it.
func TestPageDiesBeforeItIsInTheFile(t *testing.T) {
	b := newBeside(t)
	b.fill('a')
	b.must(b.CreateSnapshot(context.Background(), "name"))
	called := b.before("write", func(int64) error {
		for i := range besideKeys {
			b.put(besideKey(i), []byte("b"))
		}
		s, err := b.OpenSnapshot("name")
		b.must(err)
		for i := range besideKeys {
			b.holds(s, i, 'a')
		}
		b.must(s.Close())
		return nil
	})
	b.must(b.checkpoint(context.Background()))
	called()
	b.end()
}

// TestLockedWhileBeingWritten: a page has its place, but has not been written there,
// and somebody has its frame locked when another one comes, who must not look for it
// in the file.
func TestLockedWhileBeingWritten(t *testing.T) {
	const at = 1 // of the first leaf, to which its reference is right already
	key := besideKey(at)
	for name, look := range map[string]func(*beside, ref) error{
		"get": func(b *beside, _ ref) error {
			_, _, err := b.leafFor(&b.Engine.root, key, leafLines)
			return err
		},
		"multiget": func(b *beside, _ ref) error { return b.tryMultiGet([][]byte{key}, new(lookups)) },
		"iterate": func(b *beside, _ ref) error {
			it := b.iterate(&b.Engine.root, engine.IterOptions{})
			defer it.stop()
			return it.descend(key, false)
		},
		"commit": func(b *beside, leaf ref) error {
			_, err := b.copyOfFrame(leaf, nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBeside(t)
			b.fill('a')
			called := b.before("write", func(int64) error {
				f, _, err := b.leafFor(&b.Engine.root, key, dirLines)
				b.must(err)
				place := f.place.Load()
				if place == 0 {
					t.Fatal("the leaf has no place yet")
				}
				v := f.lock()
				if err := look(b, ref{id: place, hint: f.handle}); err != errAgain {
					t.Errorf("a look at a locked frame: %v", err)
				}
				f.restore(v)
				return nil
			})
			b.must(b.checkpoint(context.Background()))
			called()
			b.end()
		})
	}
}

// TestReadsOfWhatIsGone: a get is on its way to the file, and a commit that read the
// same pages, and checkpoints, put something else in that place.
func TestReadsOfWhatIsGone(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED, NOT VERIFIED HERE: under the race detector readers and commits exclude each other, and cannot meet")
	}
	const at = besideKeys / 2
	large := func(c byte) []byte { return slices.Repeat([]byte{c}, 5000) }
	get := func(b *beside) error { _, err := b.Get(besideKey(at), nil); return err }
	multi := func(b *beside) error {
		return b.MultiGet([][]byte{besideKey(at)}, func(_ int, _ []byte, present bool) {
			if !present {
				b.t.Error("nothing is found")
			}
		})
	}
	for _, c := range []struct {
		name  string
		large bool
		get   func(*beside) error
		// gone is the number of the read that comes too late: of the leaf, or of the value.
		gone int
	}{
		{"leaf", false, get, 3},
		{"value", true, get, 4},
		{"leaf, of several", false, multi, 3},
		{"value, of several", true, multi, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBeside(t)
			b.fill('a')
			if c.large {
				b.put(besideKey(at), large('a'))
			}
			b.must(b.Close())
			b.open() // nothing is in memory
			commit, late := make(chan bool), make(chan bool)
			var met sync.WaitGroup
			met.Add(1)
			reads := 0
			var mu sync.Mutex
			b.fs.set(func(op string, _ int64) error {
				if op != "read" {
					return nil
				}
				mu.Lock()
				reads++
				n := reads
				mu.Unlock()
				switch n {
				case 2: // the commit's, of the leaf
					met.Done()
					<-commit
				case c.gone:
					met.Done()
					<-late
				}
				return nil
			})
			var done sync.WaitGroup
			done.Go(func() {
				value := []byte("b")
				if c.large {
					value = large('b')
				}
				var batch engine.Batch
				batch.Delete(besideKey(at)) // two operations are a transaction
				batch.Put(besideKey(at), value)
				b.must(b.Apply(context.Background(), &batch, engine.Buffered))
			})
			met.Wait()
			met.Add(1)
			done.Go(func() {
				if err := c.get(b); err != nil {
					t.Error(err)
				}
			})
			met.Wait()
			close(commit)
			for n := range 3 {
				b.fill('c' + byte(n))
				b.put(besideKey(at), large('c'+byte(n)))
				b.must(b.checkpoint(context.Background()))
			}
			close(late)
			done.Wait()
			b.end()
		})
	}
}

// TestRunIsNotForgotten: the disk is full for a checkpoint and for a transaction that
// writes pages of its own at the same time.
func TestRunIsNotForgotten(t *testing.T) {
	b := newBeside(t)
	b.fill('a')
	s, held, end := b.beginCheckpoint()
	full := vfs.NewError("write", dataName, 0, engine.ErrNoSpace)
	calls := 0
	b.mu.Lock()
	tx := b.begin()
	for i := range besideKeys {
		b.must(tx.operate(engine.Op{Kind: engine.OpPut, Key: besideKey(i), Value: []byte("b")}))
	}
	b.fs.set(func(op string, _ int64) error {
		if op != "write" {
			return nil
		}
		if calls++; calls == 1 {
			if err := b.writeCheckpoint(s, held); !errors.Is(err, engine.ErrNoSpace) {
				t.Errorf("the checkpoint: %v", err)
			}
		}
		return full
	})
	if err := tx.spill(); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("the transaction: %v", err)
	}
	tx.abort()
	b.mu.Unlock()
	b.fs.set(nil)
	end()
	for i := range besideKeys {
		b.holds(b, i, 'a')
	}
	b.end()
}

// TestGrowthOfOthersStays: the file cannot become so much longer, but it can become a
// little longer, and somebody writes there.
func TestGrowthOfOthersStays(t *testing.T) {
	b := newBeside(t)
	var other sync.WaitGroup
	var x extent
	grow := func(off int64) {
		b.must(b.growFile(8))
		x = extent{off / sectorBytes, 8}
		_, err := b.data.WriteAt(slices.Repeat([]byte{'x'}, 8*sectorBytes), x.at*sectorBytes, vfs.Plain)
		b.must(err)
	}
	called := b.before("preallocate", func(off int64) error {
		if b.growing.TryLock() {
			b.growing.Unlock()
			grow(off) // nothing keeps it from that
		} else {
			other.Go(func() { grow(off) })
		}
		return vfs.NewError("preallocate", dataName, off, engine.ErrNoSpace)
	})
	if err := b.growFile(1 << 20); !errors.Is(err, engine.ErrNoSpace) {
		t.Errorf("grown: %v", err)
	}
	other.Wait()
	got := make([]byte, x.n*sectorBytes)
	if _, err := b.data.ReadAt(got, x.at*sectorBytes); err != nil || got[0] != 'x' {
		t.Errorf("what was written reads as %q (%v)", got[:1], err)
	}
	called()
	b.end()
}

// TestCatalogBehindGrowth: the file grows for a value between the look at what is
// free and the catalog's taking its place.
func TestCatalogBehindGrowth(t *testing.T) {
	for _, c := range []struct {
		x    extent
		size int64
		free []extent
	}{
		{extent{30, 8}, 100, []extent{{38, 2}, {60, 10}}},
		{extent{60, 8}, 100, []extent{{30, 10}, {68, 2}}},
		{extent{96, 8}, 104, []extent{{30, 10}, {60, 10}}},
		{extent{100, 8}, 108, []extent{{30, 10}, {60, 10}}},
		{extent{120, 8}, 128, []extent{{30, 10}, {60, 10}, {100, 20}}},
	} {
		got := catalog{free: []extent{{30, 10}, {60, 10}}}
		if size := got.without(c.x, 100); size != c.size || !slices.Equal(got.free, c.free) {
			t.Errorf("%v: %d sectors, of which %v are free; want %d, and %v", c.x, size, got.free, c.size, c.free)
		}
	}
}

// signalled tells when somebody begins to wait for it.
type signalled struct {
	context.Context
	waits chan bool
}

func (s *signalled) Done() <-chan struct{} {
	select {
	case s.waits <- true:
	default:
	}
	return s.Context.Done()
}

// TestCommitBesideBulkLoad: a commit that waited for room goes on while a bulk load
// is not durable yet.
func TestCommitBesideBulkLoad(t *testing.T) {
	b := newBeside(t)
	b.must(b.Close())
	b.o.Inline = false
	b.open()
	b.checkpointing.Lock()
	b.mu.Lock()
	b.logged = 1 << 40
	b.mu.Unlock()
	ctx := &signalled{context.Background(), make(chan bool, 1)}
	done := make(chan bool)
	go func() {
		defer close(done)
		var batch engine.Batch
		batch.Put([]byte("beside"), []byte("it"))
		if err := b.Apply(ctx, &batch, engine.Buffered); err != nil {
			t.Error(err)
		}
	}()
	<-ctx.waits
	called := b.before("write", func(int64) error {
		select {
		case <-done: // which is too early
		case <-ctx.waits:
		}
		return nil
	})
	b.must(b.ingest(context.Background(), func(yield func(k, v []byte) bool) {
		// A checkpoint has ended; this came first.
		b.logged = 0
		b.settled.Broadcast()
		yield([]byte("loaded"), nil)
	}))
	called()
	b.checkpointing.Unlock()
	<-done
	for _, key := range []string{"beside", "loaded"} {
		if _, err := b.Get([]byte(key), nil); err != nil {
			t.Error(err)
		}
	}
	b.end()
}

// TestCommitWaitsAtClose: a commit finds no room when no checkpoint will be made any
// more.
func TestCommitWaitsAtClose(t *testing.T) {
	b := newBeside(t)
	b.must(b.Close())
	b.o.Inline = false
	b.open()
	// What Close does, up to its checkpoint.
	b.closed.Store(true)
	close(b.background.stop)
	b.background.done.Wait()
	b.mu.Lock()
	b.logged = 1 << 40
	b.mu.Unlock()
	ctx := &signalled{context.Background(), make(chan bool, 1)}
	done := make(chan error, 1)
	go func() {
		var batch engine.Batch
		batch.Put([]byte("key"), nil)
		done <- b.Apply(ctx, &batch, engine.Buffered)
	}()
	select {
	case err := <-done:
		if !errors.Is(err, engine.ErrClosed) {
			t.Error(err)
		}
	case <-ctx.waits:
		t.Error("it waits")
	}
	b.must(b.checkpoint(context.Background()))
	b.must(b.life.Close(b.letGo))
}

// TestLateLoaderDropsNothing: a reader that read a page in vain lets go of it when
// that place, and the frame, are another page's.
func TestLateLoaderDropsNothing(t *testing.T) {
	c, err := newCache(MinCacheBytes, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.empty(true)
	image := make([]byte, minPageBytes)
	build(image, kindLeaf, 0, nil)
	place := extent{at: 64, n: 8}.id()
	f, err := c.resident(image, ref{id: place})
	if err != nil {
		t.Fatal(err)
	}
	f.clear(place)
	build(f.page(), kindLeaf, 0, nil)
	r := c.born(f, 1)
	f.place.Store(place)
	c.forgo(f.handle, place)
	if f.id.Load() != r.id || c.unwritten.Load() != minPageBytes {
		t.Errorf("the frame is %#x; %d bytes are not written", f.id.Load(), c.unwritten.Load())
	}
}
