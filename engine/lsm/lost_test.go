package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestLostLog: a store whose log was lost does not pass for one without commits behind its
// tables, be nothing in tables yet; and nothing is written then. A copy, which has had no
// log yet, opens; once it was opened its log is missed too.
func TestLostLog(t *testing.T) {
	ctx := context.Background()
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := smallest(true)
	o.FS = disk
	e := mustOpen(t, "/store", o)
	apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put([]byte("key"), []byte("value")) })
	killed := imageOf(disk) // with the commit in the log alone
	if err := errors.Join(e.Checkpoint(ctx, "/copy"), e.Close()); err != nil {
		t.Fatal(err)
	}
	lose := func(d vfs.FS, dir string, all bool) {
		t.Helper()
		logs := filepath.Join(dir, logName)
		names, err := d.List(logs)
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			if err := d.Remove(filepath.Join(logs, name)); err != nil {
				t.Fatal(err)
			}
		}
		if all {
			if err := d.Remove(logs); err != nil {
				t.Fatal(err)
			}
		}
	}
	opens := func(d vfs.FS, dir string) {
		t.Helper()
		o := o
		o.FS = d
		e := mustOpen(t, dir, o)
		if v, err := e.Get([]byte("key"), nil); err != nil || string(v) != "value" {
			t.Errorf("%q, %v", v, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(d vfs.FS, dir string) {
		t.Helper()
		o := o
		o.FS = d
		for range 2 { // nothing that the first does lets the second succeed
			e, err := Open(ctx, dir, o)
			if err == nil {
				e.Close()
			}
			if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), filepath.Join(dir, logName)) {
				t.Fatalf("opened without a log: %v", err)
			}
		}
	}
	for _, all := range []bool{false, true} {
		d := imageOf(killed)
		opens(d, "/store")
		d = imageOf(killed)
		lose(d, "/store", all)
		refused(d, "/store")
		d = imageOf(disk) // closed
		lose(d, "/store", all)
		refused(d, "/store")
		d = imageOf(disk)
		opens(d, "/copy")
		lose(d, "/copy", all)
		refused(d, "/copy")
	}
	// A manifest that was written anew says it too.
	d := imageOf(killed)
	o.FS = d
	e = mustOpen(t, "/store", o)
	e.installing.Lock()
	e.manifest.logged = 1 << 40
	e.installing.Unlock()
	if err := errors.Join(e.flushAll(ctx), e.Close()); err != nil {
		t.Fatal(err)
	}
	if c, err := readCurrent(d, "/store"); err != nil || c.after == 0 {
		t.Fatal(c, err)
	}
	lose(d, "/store", true)
	refused(d, "/store")
}

// imageOf returns a disk as another process finds it when this one has ended now.
func imageOf(d *simdisk.Disk) *simdisk.Disk {
	w := d.Walk()
	for w.Next() {
	}
	fates := make([]simdisk.Fate, len(w.Pending()))
	for i := range fates {
		fates[i] = simdisk.Kept
	}
	return w.Crash(fates, 1)
}

// TestReadOnlyWritesNoTables: an engine that is read-only leaves no tables behind that no
// edit can tell of, however often a flush is tried.
func TestReadOnlyWritesNoTables(t *testing.T) {
	for _, inline := range []bool{true, false} {
		l := newTrial(t, 1, smallest(inline))
		l.steps(20)
		l.must(l.e.flushAll(context.Background()))
		fault := l.disk.Inject(simdisk.Fault{Op: simdisk.OpFlush, Path: "/store/manifest/*", Effect: simdisk.FailedFlush})
		for i := 0; fault.Fired() == 0; i++ {
			if err := l.step(); err != nil && fault.Fired() == 0 {
				t.Fatal(err)
			}
		}
		for l.step() == nil { // the background has not told yet
			runtime.Gosched()
		}
		e := l.e
		var before map[string]bool
		l.must(e.still(func(*state) (err error) { // whatever is under way has ended
			before, err = dataFiles(l.disk.List, "/store")
			return err
		}))
		for range 5 {
			if more, err := e.flushOldest(context.Background()); more || !errors.Is(err, engine.ErrReadOnly) {
				t.Fatalf("a flush of an engine that is read-only: %v, %v", more, err)
			}
		}
		after, err := dataFiles(l.disk.List, "/store")
		l.must(err)
		if len(after) != len(before) {
			t.Errorf("inline %v: %d files, and then %d", inline, len(before), len(after))
		}
		if err := l.e.Close(); !errors.Is(err, engine.ErrReadOnly) {
			t.Fatal(err)
		}
	}
}

// unflushed commits a value that fills a memtable, in which nobody flushes what waits.
func (e *Engine) unflushed(t *testing.T, key []byte, size int) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	b := putBatch(key, string(make([]byte, size)))
	st := e.state.Load()
	m, err := e.newMemtable(batchNeed(b))
	e.must(t, err)
	queue := st.queue
	if st.mem.empty() {
		e.install(newState(m, queue, st.levels))
	} else {
		q := &queued{mem: st.mem, version: st.mem.last, sequence: st.mem.sequence}
		e.install(newState(m, append([]*queued{q}, queue...), st.levels))
	}
	sequence, err := e.log.Append(context.Background(), b.Encoded(), engine.Buffered)
	e.must(t, err)
	e.visible.Store(e.addBatch(m, b, sequence))
}

// TestLogIsKept: while the oldest memtable is flushed, the log keeps what is in the others.
func TestLogIsKept(t *testing.T) {
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := tiny(disk)
	o.Inline = true
	e := mustOpen(t, "/store", o)
	const n, size = 12, 20 << 10 // each in a segment of its own, or nearly
	for i := range n {
		e.unflushed(t, optionKey(i), size)
		if i == n/2 {
			if more, err := e.flushOldest(context.Background()); !more || err != nil {
				t.Fatal(more, err)
			}
		}
	}
	o.FS = imageOf(disk)
	again := mustOpen(t, "/store", o)
	for i := range n {
		if v, err := again.Get(optionKey(i), nil); err != nil || len(v) != size {
			t.Errorf("key %d: %d bytes, %v", i, len(v), err)
		}
	}
	if err := errors.Join(again.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLoadAfterPowerCut: when the record of a bulk load is durable, so are its tables, by
// name and content, and they stay when the store is opened again.
func TestLoadAfterPowerCut(t *testing.T) {
	ctx := context.Background()
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := smallest(true)
	o.FS = disk
	e := mustOpen(t, "/store", o)
	load := map[string]string{}
	for i := range 100 {
		load[string(optionKey(i))] = string(optionValue(i, 100))
	}
	// Ingest, without what follows it.
	j := &job{e: e, options: e.table(true), bottom: true}
	tables, _, err := j.load(ctx, entriesOf(load))
	e.must(t, err)
	q, _, err := e.admit(ctx, tables)
	e.must(t, err)
	e.must(t, e.flushLog(q.sequence))
	w := disk.Walk()
	for w.Next() {
	}
	fates := make([]simdisk.Fate, len(w.Pending()))
	for i := range fates {
		fates[i] = simdisk.Lost
	}
	o.FS = w.Crash(fates, 1)
	for range 2 {
		again := mustOpen(t, "/store", o)
		if err := errors.Join(same(again, load), again.invariants(true)); err != nil {
			t.Fatal(err)
		}
		e.must(t, again.Close())
	}
	e.must(t, e.Close())
}

// TestLoadWithoutItsRecord: a bulk load whose record cannot be made durable does not come to
// the levels by a flush either.
func TestLoadWithoutItsRecord(t *testing.T) {
	ctx := context.Background()
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := smallest(true)
	o.FS = disk
	e := mustOpen(t, "/store", o)
	j := &job{e: e, options: e.table(true), bottom: true}
	tables, _, err := j.load(ctx, entriesOf(map[string]string{"key": "value"}))
	e.must(t, err)
	_, _, err = e.admit(ctx, tables)
	e.must(t, err)
	disk.Inject(simdisk.Fault{Op: simdisk.OpFlush, Path: "/store/log/*", Sticky: true, Effect: simdisk.EIO})
	if more, err := e.flushOldest(ctx); more || !errors.Is(err, engine.ErrReadOnly) {
		t.Errorf("flush: %v, %v", more, err)
	}
	if n := len(e.state.Load().levels.top); n != 0 {
		t.Errorf("%d runs", n)
	}
	if err := e.Close(); !errors.Is(err, engine.ErrReadOnly) {
		t.Fatal(err)
	}
}

// TestLeftoversAreNotMet: files that a crash has left are not in the way of those that the
// replay of the log makes, and are gone afterwards.
func TestLeftoversAreNotMet(t *testing.T) {
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := tiny(disk)
	o.Inline = true
	e := mustOpen(t, "/store", o)
	for i := range 12 {
		e.unflushed(t, optionKey(i), 20<<10)
	}
	image := imageOf(disk)
	for n := range uint64(5) {
		putFile(t, image, fileName("/store", n+1, []string{tableSuffix, valueSuffix}[n%2]), []byte("half made"))
	}
	o.FS = image
	again := mustOpen(t, "/store", o)
	for i := range 12 {
		if v, err := again.Get(optionKey(i), nil); err != nil || len(v) != 20<<10 {
			t.Errorf("key %d: %d bytes, %v", i, len(v), err)
		}
	}
	if again.Metrics().Other["flushes"] == 0 {
		t.Error("replay made no file")
	}
	if err := errors.Join(again.invariants(true), again.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestTwoSnapshotsOfOneVersion: the one is kept when the other is closed.
func TestTwoSnapshotsOfOneVersion(t *testing.T) {
	o := smallest(true)
	o.FS = simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", o)
	apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put([]byte("key"), []byte("old")) })
	x, err := e.Snapshot()
	e.must(t, err)
	y, err := e.Snapshot()
	e.must(t, errors.Join(err, x.Close()))
	apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put([]byte("key"), []byte("new")) })
	e.must(t, e.Compact(context.Background(), nil, nil))
	if v, err := y.Get([]byte("key"), nil); err != nil || string(v) != "old" {
		t.Errorf("%q, %v", v, err)
	}
	e.must(t, errors.Join(y.Close(), e.invariants(true), e.Close()))
}

// TestSegmentOfTheOtherLog: a head of the log that has gone to a segment of the manifest, or
// the other way round, is damage, and not a mistake of who opens the store.
func TestSegmentOfTheOtherLog(t *testing.T) {
	ctx := context.Background()
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o := smallest(true)
	o.FS = disk
	e := mustOpen(t, "/store", o)
	apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put([]byte("key"), nil) })
	e.must(t, errors.Join(e.flushAll(ctx), e.Close()))
	heads := func(d vfs.FS, sub string) (names []string, contents [][]byte) {
		all, err := d.List("/store/" + sub)
		e.must(t, err)
		for _, name := range all {
			name = filepath.Join("/store", sub, name)
			names = append(names, name)
			contents = append(contents, fileContent(t, d, name))
		}
		return names, contents
	}
	refused := 0
	for _, to := range []string{logName, manifestName} {
		from := map[string]string{logName: manifestName, manifestName: logName}[to]
		d := imageOf(disk)
		names, contents := heads(d, to)
		_, others := heads(d, from)
		for i, name := range names {
			for _, other := range others {
				d := imageOf(d)
				content := bytes.Clone(contents[i])
				copy(content[:4096], other[:4096])
				putFile(t, d, name, content)
				o.FS = d
				again, err := Open(ctx, "/store", o)
				if err == nil {
					e.must(t, again.Close()) // what was there is in no slot of that number
					continue
				}
				refused++
				if !errors.Is(err, engine.ErrCorrupt) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("no store was refused")
	}
}

// TestFrameOfAReader: a frame is not used again while somebody may be reading it.
func TestFrameOfAReader(t *testing.T) {
	o := smallest(true)
	o.FS = simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", o)
	frames := make([]atomic.Uint32, 8)
	for i := range frames {
		e.cache.put(frames, i, make(block, frameBytes))
	}
	token := e.domain.Enter()
	e.cache.drop(frames)
	e.domain.Poll()
	if n := len(e.cache.free); n != 0 {
		t.Errorf("%d frames are free under a reader", n)
	}
	e.domain.Exit(token)
	e.domain.Wait()
	if n := len(e.cache.free); n != len(frames) {
		t.Errorf("%d frames are free", n)
	}
	e.must(t, e.Close())
}

// TestOpenWithAFullQueue: an opening that has to clear a dropped family waits for no flush
// that nobody makes, though the log has filled all memtables.
func TestOpenWithAFullQueue(t *testing.T) {
	ctx := context.Background()
	o := smallest(true)
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o.FS, o.MaxMemtables = disk, 2
	e := mustOpen(t, "/store", o)
	id, err := e.CreateFamily(ctx, "family")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, e, engine.Memory, func(b *engine.Batch) { b.PutIn(id, []byte("key"), []byte("value")) })
	if err := errors.Join(e.flushAll(ctx), e.DropFamily(ctx, "family")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e.unflushed(t, optionKey(0), int(o.MemtableBytes))
	}
	o.FS, o.Inline = imageOf(disk), false
	again := mustOpen(t, "/store", o)
	if v, err := again.Get(optionKey(0), nil); err != nil || int64(len(v)) != o.MemtableBytes {
		t.Error(len(v), err)
	}
	if err := errors.Join(again.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRangeDeletesFillMemtables: a store in which nothing but ranges is deleted does not
// keep all of them, and their log, for ever.
func TestRangeDeletesFillMemtables(t *testing.T) {
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline = true
	e := mustOpen(t, "/store", o)
	for i := range 1000 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.DeleteRange(optionKey(2*i), optionKey(2*i+1)) })
	}
	if n := e.Metrics().Other["flushes"]; n < 10 {
		t.Errorf("1,000 ranges of about 170 bytes in memory fill %v memtables of 8 KiB", n)
	}
	if err := errors.Join(e.invariants(true), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLoadThatTheLogRefuses: the tables of a bulk load stay when nobody knows whether the log
// has its record, and go when it has not. The load is not seen in either case, nor after the
// next opening unless it is seen whole.
func TestLoadThatTheLogRefuses(t *testing.T) {
	ctx := context.Background()
	load := map[string]string{}
	for i := range 100 {
		load[string(optionKey(i))] = string(optionValue(i, 100))
	}
	fired := 0
	for _, op := range []simdisk.Op{simdisk.OpMapWrite, simdisk.OpWrite, simdisk.OpFlush, simdisk.OpOpen} {
		for _, effect := range []simdisk.Effect{simdisk.EIO, simdisk.NoSpace} {
			for nth := 1; nth <= 4; nth++ {
				what := fmt.Sprintf("%v, %v, %d", op, effect, nth)
				l := newTrial(t, uint64(nth), smallest(true))
				l.steps(10 * nth)
				apply(t, l.e, engine.Buffered, func(b *engine.Batch) { b.Put([]byte("buffered"), nil) })
				l.model["buffered"] = ""
				l.must(l.e.flushAll(ctx))
				before, err := dataFiles(l.disk.List, "/store")
				l.must(err)
				fault := l.disk.Inject(simdisk.Fault{Op: op, Path: "/store/log/*", Nth: nth, Effect: effect})
				err = l.e.Ingest(ctx, entriesOf(load))
				fault.Remove()
				if err == nil {
					for k, v := range load {
						l.model[k] = v
					}
				} else {
					fired++
					after, err2 := dataFiles(l.disk.List, "/store")
					l.must(err2)
					if stay := len(after) > len(before); stay != errors.Is(err, engine.ErrReadOnly) {
						t.Errorf("%s: %d files, and then %d: %v", what, len(before), len(after), err)
					}
				}
				if err := same(l.e, l.model); err != nil {
					t.Errorf("%s: %v", what, err)
				}
				closed := l.e.Close()
				l.open()
				if err2 := same(l.e, l.model); err2 != nil {
					for k, v := range load {
						l.model[k] = v
					}
					if !errors.Is(err, engine.ErrReadOnly) || same(l.e, l.model) != nil {
						t.Errorf("%s, closed with %v: after the next opening: %v", what, closed, err2)
					}
				}
				l.must(errors.Join(l.e.invariants(true), l.e.Close()))
			}
		}
	}
	if fired < 4 {
		t.Errorf("%d loads failed", fired)
	}
}

// TestDamagedValueIsLeft: merges go on over a value that cannot be read, though most of its
// file is of no use; who reads the value is told; the others go, and are read.
func TestDamagedValueIsLeft(t *testing.T) {
	ctx := context.Background()
	o := tiny(nil)
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o.FS, o.Inline, o.ValueFileBytes = disk, true, 1<<20
	e := mustOpen(t, "/store", o)
	put := func(i, size int) {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, size)) })
	}
	for i := range 20 {
		put(i, 300)
	}
	e.must(t, e.Compact(ctx, nil, nil))
	st := e.hold()
	if len(st.levels.values) == 0 {
		t.Fatal("no values are apart")
	}
	for n := range st.levels.values {
		name := fileName("/store", n, valueSuffix)
		content := fileContent(t, disk, name)
		content[10] ^= 1 // of the first value
		putFile(t, disk, name, content)
	}
	e.releaseState(st)
	_, err := e.Get(optionKey(0), nil)
	if !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
	lost := map[int]bool{}
	for i := range 20 {
		if _, err := e.Get(optionKey(i), nil); err != nil {
			lost[i] = true
		}
	}
	for i := range 20 {
		if i%4 != 0 {
			put(i, 10)
			delete(lost, i)
		}
	}
	if len(lost) == 0 || len(lost) == 5 {
		t.Fatalf("%v are lost", lost)
	}
	e.must(t, e.Compact(ctx, nil, nil))
	for i := range 300 {
		put(1000+i, 100)
	}
	e.must(t, e.flushAll(ctx))
	if e.mergeTrouble.err != nil {
		t.Errorf("merges: %v", e.mergeTrouble.err)
	}
	for i := range 20 {
		size := 10
		if i%4 == 0 {
			size = 300
		}
		v, err := e.Get(optionKey(i), nil)
		if lost[i] != errors.Is(err, engine.ErrCorrupt) || !lost[i] && !bytes.Equal(v, optionValue(i, size)) {
			t.Errorf("key %d, lost %v: %d bytes, %v", i, lost[i], len(v), err)
		}
	}
	if n := e.Metrics().Other["damaged_value_files"]; n == 0 {
		t.Error("metrics tell of no damage")
	}
	e.must(t, e.Close())
}

func (e *Engine) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestManyVersionsOfAHugeValue: all versions of a key are in one block. Those that are too
// many for it are refused by name, and written when fewer are needed; no block is made that
// nobody can read. Tables stay below what they may have.
func TestManyVersionsOfAHugeValue(t *testing.T) {
	ctx := context.Background()
	o := smallest(true)
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o.FS, o.ValuesApart, o.Compression = disk, -1, NoCompression
	o.MemtableBytes = 1 << 20
	e := mustOpen(t, "/store", o)
	e.mostBlock = 64 << 10 // as if it were 1 GiB
	const size = 20 << 10
	var pins []engine.Snapshot
	for i := range 4 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put([]byte("huge"), optionValue(i, size)) })
		x, err := e.Snapshot()
		e.must(t, err)
		pins = append(pins, x)
	}
	err := e.flushAll(ctx)
	if !errors.Is(err, engine.ErrTooLarge) || !strings.Contains(err.Error(), `"huge"`) || !strings.Contains(err.Error(), "snapshots") {
		t.Fatalf("4 versions of %d bytes in a block of %d: %v", size, e.mostBlock, err)
	}
	if left, err := dataFiles(disk.List, "/store"); err != nil || len(left) > 0 {
		t.Errorf("%v are left (%v)", left, err)
	}
	check := func() {
		t.Helper()
		for i, x := range pins {
			if v, err := x.Get([]byte("huge"), nil); err != nil || !bytes.Equal(v, optionValue(i, size)) {
				t.Errorf("snapshot %d: %d bytes, %v", i, len(v), err)
			}
		}
	}
	check()
	e.must(t, pins[1].Close())
	pins[1] = pins[0]
	if err := e.flushAll(ctx); err != nil {
		t.Fatalf("with 3 versions: %v", err)
	}
	pins = pins[:1]
	check()
	e.must(t, errors.Join(pins[0].Close(), e.invariants(false)))
	// One table takes no more than its share, however large the next entry is.
	for i := range 10 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 3*size)) })
	}
	e.must(t, e.Compact(ctx, nil, nil))
	eachTable(t, e, func(_ int, x *table, _ *tableReader) {
		if x.bytes > o.TableBytes+4*size {
			t.Errorf("a table of %d bytes", x.bytes)
		}
	})
}

// TestPieces: of a table that was merged in part, what is left counts by its share, in bytes
// and in the values that it refers to; a value file of which only what was merged is gone
// is cleaned, without a merge of the pieces.
func TestPieces(t *testing.T) {
	ctx := context.Background()
	o := smallest(true)
	o.FS, o.TableBytes, o.MemtableBytes, o.CompactionThreshold = simdisk.New(simdisk.Options{Seed: 1}), 1<<20, 1<<20, 100
	o.ValuesApart, o.ValueFileBytes = 100, 1<<20
	for _, n := range []int{400, 10} { // of some blocks, and of one
		o.FS = simdisk.New(simdisk.Options{Seed: 1})
		e := mustOpen(t, "/store", o)
		for i := range n {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 200)) })
		}
		e.must(t, e.flushAll(ctx))
		st := e.hold()
		whole := st.levels.top[0].tables[0]
		var file uint64
		for f := range st.levels.values {
			file = f
		}
		all := st.levels.uses()[file]
		e.releaseState(st)
		blocks := 0
		eachTable(t, e, func(_ int, _ *table, r *tableReader) { blocks = r.blocks() })
		if (blocks > 1) != (n > 100) || all < int64(n)*100 {
			t.Fatalf("%d blocks, %d bytes of values", blocks, all)
		}
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.DeleteRange(optionKey(n/10), optionKey(n)) })
		e.must(t, e.Compact(ctx, optionKey(n/10), optionKey(n)))
		st = e.hold()
		var live int64
		for _, x := range st.levels.all {
			if x.number != whole.number {
				t.Fatalf("table %d", x.number)
			}
			live += x.live
			if x.live <= 0 || x.live >= whole.bytes || x.whole() {
				t.Errorf("a piece of %d bytes, of %d", x.live, whole.bytes)
			}
		}
		if n > 100 && (live > whole.bytes/5 || live < whole.bytes/20) {
			t.Errorf("a tenth is left: %d bytes, of %d", live, whole.bytes)
		}
		if u, ok := st.levels.uses()[file]; !ok || n > 100 && u > all/5 {
			t.Errorf("a tenth of the values is left: %d bytes, of %d", u, all)
		}
		e.releaseState(st)
		// What is left is written anew, and the file is gone.
		e.inlineWork()
		e.domain.Wait()
		files, err := dataFiles(o.FS.List, "/store")
		e.must(t, err)
		if gone := !files[fileName("", file, valueSuffix)]; n > 100 && !gone {
			t.Errorf("the value file is still there: %v", files)
		}
		for i := range n {
			v, err := e.Get(optionKey(i), nil)
			if i < n/10 && !bytes.Equal(v, optionValue(i, 200)) || i >= n/10 && err != engine.ErrNotFound {
				t.Errorf("key %d: %d bytes, %v", i, len(v), err)
			}
		}
		e.must(t, errors.Join(e.invariants(true), e.Close()))
	}
}

// TestNobodyWaitsForTheDevice: commits have not to wait while a conditional commit reads
// tables, or a bulk load is made durable.
func TestNobodyWaitsForTheDevice(t *testing.T) {
	ctx := context.Background()
	h := &hooked{FS: simdisk.New(simdisk.Options{Seed: 1})}
	o := smallest(true)
	o.FS = &flushes{h, nil}
	e := mustOpen(t, "/store", o)
	x, err := e.Snapshot()
	e.must(t, err)
	for i := range 200 {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 50)) })
	}
	e.must(t, errors.Join(e.flushAll(ctx), e.Compact(ctx, nil, nil)))
	calls := 0
	idle := func() {
		calls++
		if !e.mu.TryLock() {
			t.Error("a commit would have to wait")
			return
		}
		e.mu.Unlock()
	}
	h.hook = idle
	// It is there, and has not changed, so that all that may have a change is read.
	reads := engine.ReadSet{Keys: [][]byte{[]byte("a key of 20 b 0000055")}, Ranges: []engine.Range{{Lower: []byte("a key of 20 b 0001000"), Upper: []byte("a key of 20 b 0001001")}}}
	e.must(t, e.ApplyIf(ctx, x, reads, putBatch([]byte("z"), "v"), engine.Memory))
	if calls == 0 || t.Failed() {
		t.Fatalf("tables were read %d times", calls)
	}
	// A change in a table is found, and one that came to a table meanwhile.
	conflict := func(err error) {
		t.Helper()
		if !errors.Is(err, engine.ErrConflict) {
			t.Fatal(err)
		}
	}
	conflict(e.ApplyIf(ctx, x, engine.ReadSet{Keys: [][]byte{optionKey(5)}}, putBatch([]byte("z"), "v"), engine.Memory))
	y, err := e.Snapshot()
	e.must(t, err)
	apply(t, e, engine.Memory, func(b *engine.Batch) {
		b.Put(optionKey(297), nil)
		b.Put(optionKey(301), nil)
	})
	e.must(t, e.flushAll(ctx))
	h.hook = func() {
		h.hook = nil
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(299), nil) })
		e.must(t, e.flushAll(ctx))
	}
	conflict(e.ApplyIf(ctx, y, engine.ReadSet{Ranges: []engine.Range{{Lower: optionKey(298), Upper: optionKey(300)}}}, putBatch([]byte("z"), "v"), engine.Memory))
	if h.hook != nil {
		t.Fatal("no table was read")
	}
	e.must(t, errors.Join(x.Close(), y.Close()))
	if err := e.ApplyIf(ctx, y, engine.ReadSet{}, putBatch([]byte("z"), "v"), engine.Memory); !errors.Is(err, engine.ErrClosed) {
		t.Fatal(err)
	}
	calls = 0
	o.FS.(*flushes).hook = idle
	e.must(t, e.Ingest(ctx, entriesOf(map[string]string{"a": "b"})))
	if calls == 0 {
		t.Fatal("the log was not flushed")
	}
	o.FS.(*flushes).hook = nil
	e.must(t, e.Close())
}

// flushes calls a hook before each flush of the log.
type flushes struct {
	vfs.FS
	hook func()
}

type flushed struct {
	vfs.File
	fs *flushes
}

func (h *flushes) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := h.FS.Open(name, flags)
	if err != nil || !strings.HasPrefix(name, "/store/log/") {
		return f, err
	}
	return &flushed{f, h}, nil
}

func (f *flushed) call() {
	if f.fs.hook != nil {
		f.fs.hook()
	}
}

func (f *flushed) WriteAt(p []byte, off int64, flags vfs.WriteFlags) (int, error) {
	if flags&vfs.DSync != 0 {
		f.call()
	}
	return f.File.WriteAt(p, off, flags)
}

func (f *flushed) SyncData() error {
	f.call()
	return f.File.SyncData()
}
