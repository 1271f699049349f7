package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// inspected returns what Inspect prints of a sound store.
func inspected(t *testing.T, fsys vfs.FS, dir string) string {
	t.Helper()
	var out strings.Builder
	if err := Inspect(context.Background(), fsys, dir, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.HasSuffix(out.String(), "\nsound\n") {
		t.Fatalf("no word of whether it is sound:\n%s", out.String())
	}
	return out.String()
}

// life is random operations on a store.
type life struct {
	*rand.Rand
	t         *testing.T
	dir       string
	o         Options
	e         *Engine
	snapshots []engine.Snapshot
	families  []string
	copies    int
}

func newLife(t *testing.T, seed uint64, dir string, o Options) *life {
	l := &life{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, dir: dir, o: o}
	l.open()
	return l
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) open() {
	l.t.Helper()
	var err error
	l.e, err = Open(context.Background(), l.dir, l.o)
	l.must(err)
}

func (l *life) close() {
	l.t.Helper()
	for _, s := range l.snapshots {
		l.must(s.Close())
	}
	l.snapshots = nil
	l.must(l.e.Close())
}

func (l *life) key() []byte {
	switch n := l.IntN(200); {
	case n == 0:
		return nil
	case n == 1:
		return bytes.Repeat([]byte{byte('a' + l.IntN(26))}, 1+l.IntN(engine.MaxKeyBytes))
	case n < 30:
		return fmt.Appendf(nil, "a prefix that many keys have, which is not short/%04d", l.IntN(400))
	}
	return fmt.Appendf(nil, "%c%03d", 'a'+l.IntN(4), l.IntN(300))
}

func (l *life) value() []byte {
	n := l.IntN(60)
	if k := l.IntN(100); k == 0 {
		n = l.IntN(50_000)
	} else if k < 20 {
		n = l.IntN(1000)
	}
	v := bytes.Repeat([]byte{byte(l.Uint32())}, n)
	for i := 0; i < len(v); i += 1 + l.IntN(20) {
		v[i] = byte(l.Uint32())
	}
	return v
}

// step carries out an operation.
func (l *life) step() {
	l.t.Helper()
	ctx := context.Background()
	switch n := l.IntN(400); {
	case n < 4:
		entries := map[string][]byte{}
		for range l.IntN(200) {
			entries[string(l.key())] = l.value()
		}
		l.must(l.e.Ingest(ctx, func(yield func(k, v []byte) bool) {
			for _, k := range slices.Sorted(maps.Keys(entries)) {
				if !yield([]byte(k), entries[k]) {
					return
				}
			}
		}))
	case n < 10:
		s, err := l.e.Snapshot()
		l.must(err)
		l.snapshots = append(l.snapshots, s)
	case n < 15 && len(l.snapshots) > 0:
		i := l.IntN(len(l.snapshots))
		l.must(l.snapshots[i].Close())
		l.snapshots = slices.Delete(l.snapshots, i, i+1)
	case n < 17:
		name := fmt.Sprintf("family %d", l.IntN(5))
		_, err := l.e.CreateFamily(ctx, name)
		l.must(err)
		if !slices.Contains(l.families, name) {
			l.families = append(l.families, name)
		}
	case n == 17 && len(l.families) > 0:
		i := l.IntN(len(l.families))
		l.must(l.e.DropFamily(ctx, l.families[i]))
		l.families = slices.Delete(l.families, i, i+1)
	case n == 18:
		l.must(l.e.Compact(ctx, nil, nil))
	case n == 19:
		l.must(l.e.Compact(ctx, l.key(), nil))
	case n == 20:
		dir := fmt.Sprintf("%s copy %d", l.dir, l.copies)
		l.copies++
		l.must(l.e.Checkpoint(ctx, dir))
		inspected(l.t, l.e.fs, dir)
	default:
		l.batch()
	}
}

func (l *life) batch() {
	l.t.Helper()
	var b engine.Batch
	n := 1
	if l.IntN(4) == 0 {
		n += l.IntN(40)
	}
	known, err := l.e.Families()
	l.must(err)
	for range n {
		var f engine.FamilyID
		if len(l.families) > 0 && l.IntN(4) == 0 {
			f = known[l.families[l.IntN(len(l.families))]]
		}
		switch l.IntN(20) {
		case 0, 1, 2, 3:
			b.DeleteIn(f, l.key())
		case 4:
			b.DeleteRangeIn(f, l.key(), l.key())
		default:
			b.PutIn(f, l.key(), l.value())
		}
	}
	l.must(l.e.Apply(context.Background(), &b, engine.Durability(l.IntN(3))))
}

// few makes a store flush and merge often.
var few = Options{MemtableBytes: 16 << 10, SegmentBytes: 64 << 10, TableBytes: 8 << 10, Multiplier: 3, Levels: 5, ValuesApart: 200, ValueFileBytes: 16 << 10, CacheBytes: MinCacheBytes}

// TestInspectFindsNothing: after all kinds of lives a closed store is sound, and so is
// each copy of it.
func TestInspectFindsNothing(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"inline":     func(o *Options) { o.Inline = true },
		"background": func(*Options) {},
		"none":       func(o *Options) { o.Inline, o.Compression, o.Filter = true, NoCompression, NoFilter },
		"zstd":       func(o *Options) { o.Compression, o.Filter = Zstd, ClassicBloom },
		"two levels": func(o *Options) { o.Inline, o.Levels, o.ValuesApart = true, 2, -1 },
		"all apart":  func(o *Options) { o.Inline, o.ValuesApart, o.CompactionThreshold = true, 1, 2 },
		"defaults":   func(o *Options) { *o = Options{CacheBytes: MinCacheBytes} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, dir := few, filepath.Join(t.TempDir(), "store")
			change(&o)
			if o.Inline {
				o.FS, dir = simdisk.New(simdisk.Options{Seed: 1}), "/store"
			}
			l := newLife(t, 1, dir, o)
			fsys, steps := l.e.fs, 600
			if raceEnabled {
				steps = 200
			}
			var last string
			for range 4 {
				for range steps {
					l.step()
				}
				l.close()
				last = inspected(t, fsys, dir)
				l.open()
			}
			l.close()
			for _, want := range []string{"level ", "range tombstones", "value file "} {
				if want == "value file " && o.ValuesApart < 0 || want == "level " && name == "defaults" {
					continue
				}
				if !strings.Contains(last, want) {
					t.Errorf("a life without %q:\n%s", want, last)
				}
			}
		})
	}
}

// TestInspectAfterPowerCuts: what a loss of power leaves is sound before the next
// opening, and after it.
func TestInspectAfterPowerCuts(t *testing.T) {
	seeds := uint64(3)
	if raceEnabled {
		seeds = 1
	}
	for seed := range seeds {
		d := simdisk.New(simdisk.Options{Seed: seed})
		o := few
		o.FS, o.Inline, o.MemtableBytes, o.SegmentBytes = d, true, 4<<10, 16<<10
		l := newLife(t, seed, "/store", o)
		for range 150 {
			l.step()
		}
		l.close()
		random := rand.New(rand.NewPCG(seed, 3))
		cuts, strays, replayed := 0, 0, 0
		for w := d.Walk(); w.Next(); {
			if random.IntN(20) > 0 {
				continue
			}
			fates := make([]simdisk.Fate, len(w.Pending()))
			for i := range fates {
				fates[i] = simdisk.Fate(random.IntN(2)) // Lost or Kept
			}
			image := w.Crash(fates, 1)
			var out strings.Builder
			err := Inspect(context.Background(), image, "/store", &out)
			if errors.Is(err, engine.ErrNotFound) {
				continue // CURRENT is not there yet
			}
			if err != nil {
				t.Fatalf("seed %d, cut %d: %v\n%s", seed, cuts, err, out.String())
			}
			strays += strings.Count(out.String(), "nothing tells of it")
			if !strings.Contains(out.String(), "log       0 records") {
				replayed++
			}
			o.FS = image
			e, err := Open(context.Background(), "/store", o)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if out := inspected(t, image, "/store"); strings.Contains(out, "nothing tells of it") || !strings.Contains(out, "log       0 records") {
				t.Fatalf("seed %d, cut %d: after recovery\n%s", seed, cuts, out)
			}
			cuts++
		}
		if cuts < 20 || strays == 0 || replayed == 0 {
			t.Errorf("seed %d: %d cuts, %d files that nothing tells of, %d logs with records", seed, cuts, strays, replayed)
		}
	}
}

// exhibit is a small store on a disk of its own: two runs and a level, values apart, a
// family, tombstones of ranges, and a bulk load and a batch that are in the log alone. It
// was not closed.
type exhibit struct {
	*testing.T
	disk *simdisk.Disk
}

func newExhibit(t *testing.T) exhibit {
	t.Helper()
	ctx := context.Background()
	d := simdisk.New(simdisk.Options{Seed: 1})
	o := Options{FS: d, Inline: true, Compression: NoCompression, Levels: 3, MaxMemtables: 100, CompactionThreshold: 100, SegmentBytes: 64 << 10, CacheBytes: MinCacheBytes}
	e, err := Open(ctx, "/store", o)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(f engine.FamilyID, from, to, size int) {
		t.Helper()
		var b engine.Batch
		for i := from; i < to; i++ {
			b.PutIn(f, fmt.Appendf(nil, "key %03d", i), bytes.Repeat([]byte{byte(i)}, size))
		}
		must(e.Apply(ctx, &b, engine.Flushed))
	}
	f, err := e.CreateFamily(ctx, "things")
	must(err)
	put(0, 0, 100, 100)
	put(0, 20, 23, 2000)
	put(f, 0, 3, 10)
	must(e.Compact(ctx, nil, nil))
	put(0, 20, 21, 3000)
	must(e.Compact(ctx, []byte("key 020"), []byte("key 021"))) // pieces are left
	s, err := e.Snapshot()
	must(err)
	put(0, 10, 50, 50)
	s2, err := e.Snapshot()
	must(err)
	put(0, 10, 12, 60)
	var b engine.Batch
	b.Delete([]byte("key 090"))
	b.DeleteRange([]byte("key 060"), []byte("key 070"))
	must(e.Apply(ctx, &b, engine.Flushed))
	must(e.flushAll(ctx))
	must(errors.Join(s.Close(), s2.Close()))
	put(0, 5, 15, 40)
	must(e.flushAll(ctx))
	put(0, 0, 1, 10)
	// Ingest, without what follows it.
	j := &job{e: e, options: e.table(true), bottom: true}
	tables, _, err := j.load(ctx, func(yield func(k, v []byte) bool) {
		_ = yield([]byte("key 001"), []byte("loaded")) && yield([]byte("key 002"), []byte("loaded"))
	})
	must(err)
	q, _, err := e.admit(ctx, tables)
	must(err)
	must(e.flushLog(q.sequence))
	w := d.Walk()
	for w.Next() {
	}
	fates := make([]simdisk.Fate, len(w.Pending()))
	for i := range fates {
		fates[i] = simdisk.Kept
	}
	x := exhibit{t, w.Crash(fates, 1)}
	must(e.Close())
	return x
}

func (x exhibit) read(name string) []byte {
	x.Helper()
	f, err := x.disk.Open("/store/"+name, vfs.ReadOnly)
	if err != nil {
		x.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		x.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); err != nil && (err != io.EOF || n < len(b)) {
		x.Fatal(err)
	}
	return b
}

func (x exhibit) write(name string, b []byte) {
	x.Helper()
	f, err := x.disk.Open("/store/"+name, vfs.Create|vfs.Truncate)
	if err != nil {
		x.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0, vfs.Plain); err != nil {
		x.Fatal(err)
	}
}

// inspect returns what Inspect prints, and its error.
func (x exhibit) inspect() (string, error) {
	var out strings.Builder
	err := Inspect(context.Background(), x.disk, "/store", &out)
	return out.String(), err
}

// TestInspectPrints pins what a store looks like.
func TestInspectPrints(t *testing.T) {
	ctx := context.Background()
	x := newExhibit(t)
	x.write("999999.table", []byte("of no use"))
	x.write("notes", []byte("of somebody"))
	x.write(currentTemp, nil)
	before := changes(x.disk)
	got := inspected(t, x.disk, "/store")
	const want = `LSM-tree 75102053e7cf9eaf in /store: 3 levels, the manifest counts from record 1 on
manifest  9 edits, of which 1 are whole; of version 9, record 8 of the log; files up to 8
family 1  "things"
log       2 records behind that: 1 batches, 1 bulk loads, 0 cleared ranges; up to version 11
run 11 of the log: 1 tables, 218 bytes
  table 9  218 bytes, 2 entries, 0 deletes, 0 range tombstones, versions 11 to 11, "\x00key 001" to "\x00key 002\x00"
run 9: 1 tables, 672 bytes
  table 8  672 bytes, 10 entries, 0 deletes, 0 range tombstones, versions 9 to 9, "\x00key 005" to "\x00key 014\x00"
run 8: 1 tables, 2678 bytes
  table 7  2678 bytes, 43 entries, 1 deletes, 1 range tombstones, versions 5 to 8, "\x00key 010" to "\x00key 090\x00"
level 2: 3 tables, 9680 bytes
  table 3  11134 bytes, 103 entries, 0 deletes, 0 range tombstones, versions 0 to 0, "\x00key 000" to "\x00key 020"; one of 2 pieces, about 2038 bytes
  table 6  206 bytes, 1 entries, 0 deletes, 0 range tombstones, versions 0 to 0, "\x00key 020" to "\x00key 020\x00"
  table 3  11134 bytes, 103 entries, 0 deletes, 0 range tombstones, versions 0 to 0, "\x00key 021" to "\x01key 002\x00"; one of 2 pieces, about 7436 bytes
value file 2  6015 bytes, of which 66.7 % are of use
value file 4  3005 bytes, of which 100.0 % are of use
999999.table: nothing tells of it; the next opening removes it
CURRENT.new: left by a crash, and of no use
notes: not of a store
sound
`
	if got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
	if n := changes(x.disk); n == 0 || n != before {
		t.Errorf("the disk was changed %d times before it, and %d times after it", before, n)
	}
	for _, dir := range []string{"/", "/store/log", "/nowhere"} {
		if err := Inspect(ctx, x.disk, dir, io.Discard); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("%s, without a store: %v", dir, err)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := Inspect(cancelled, x.disk, "/store", io.Discard); !errors.Is(err, context.Canceled) || errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("cancelled: %v", err)
	}
	if err := x.disk.MkdirAll("/leveldb"); err != nil {
		t.Fatal(err)
	}
	x.write("../leveldb/CURRENT", []byte("MANIFEST-000001\n"))
	if err := Inspect(ctx, x.disk, "/leveldb", io.Discard); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a store of LevelDB: %v", err)
	}
	full := errors.New("full")
	if err := Inspect(ctx, x.disk, "/store", failing{full}); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
}

// changes counts the changes of a disk.
func changes(d *simdisk.Disk) (n int) {
	for w := d.Walk(); w.Next(); n++ {
	}
	return n
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// TestInspectFindsEveryFlip flips each byte of the small files of a store, and some of
// the others: blocks, tombstones, filters, indexes, footers, values, CURRENT.
func TestInspectFindsEveryFlip(t *testing.T) {
	x := newExhibit(t)
	names, err := x.disk.List("/store")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, name := range names {
		if _, ours := fileNumber(name); !ours && name != currentName {
			continue
		}
		files++
		b := x.read(name)
		stride := 1
		if len(b) > 300 {
			stride = 23
		}
		for i := 0; i < len(b); i += stride {
			b[i] ^= 1 << (i % 8)
			x.write(name, b)
			out, err := x.inspect()
			if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "/store/"+name) || !strings.Contains(out, "damage in ") {
				t.Errorf("byte %d of %s: %v", i, name, err)
			}
			b[i] ^= 1 << (i % 8)
		}
		x.write(name, b)
	}
	if files != 8 {
		t.Errorf("%d files", files)
	}
	inspected(t, x.disk, "/store")
}

// TestInspectNamesWhatIsMissing removes, cuts and mixes up files.
func TestInspectNamesWhatIsMissing(t *testing.T) {
	flip := func(name, record string) func(exhibit) {
		return func(x exhibit) {
			b := x.read(name)
			i := bytes.Index(b, []byte(record))
			if i < 0 {
				x.Fatalf("there is no %q in %s", record, name)
			}
			b[i] ^= 1
			x.write(name, b)
		}
	}
	remove := func(names ...string) func(exhibit) {
		return func(x exhibit) {
			for _, name := range names {
				if err := x.disk.Remove("/store/" + name); err != nil {
					x.Fatal(err)
				}
			}
		}
	}
	for want, change := range map[string]func(exhibit){
		"000001.table is there, but no CURRENT": func(x exhibit) {
			x.write("000001.table", nil)
			remove(currentName)(x)
		},
		"/store/CURRENT at 0: corrupt: the file does not match":          func(x exhibit) { x.write(currentName, x.read(currentName)[:63]) },
		"table of keys from \"\\x00key 010\"":                            remove("000007.table"),
		"open /store/000003.table":                                       remove("000003.table"), // once, for both pieces
		"open /store/000009.table":                                       remove("000009.table"), // of the log
		"open /store/000004.values":                                      remove("000004.values"),
		"/store/000008.table at 670: corrupt: the file has 670 bytes":    func(x exhibit) { x.write("000008.table", x.read("000008.table")[:670]) },
		"/store/000004.values at 3005: corrupt: the file has 3006 bytes": func(x exhibit) { x.write("000004.values", append(x.read("000004.values"), 0)) },
		"/store/000004.values at 3004: corrupt: the file has 3004 bytes": func(x exhibit) { x.write("000004.values", x.read("000004.values")[:3004]) },
		"/store/manifest/000002.wal at ":                                 flip("manifest/000002.wal", "things"),
		"/store/log/000001.wal at ":                                      flip("log/000001.wal", "key 030"),
		"list /store/manifest":                                           remove("manifest/000001.wal", "manifest/000002.wal", "manifest"),
		"/store/log has no log, which":                                   remove("log/000001.wal", "log"),
		"/store/log has no log, ":                                        remove("log/000001.wal"),
		"it is table 6 of store 75102053e7cf9eaf, and should be 9":       func(x exhibit) { x.write("000009.table", append(make([]byte, 12), x.read("000006.table")...)) },
	} {
		t.Run("", func(t *testing.T) {
			x := newExhibit(t)
			change(x)
			out, err := x.inspect()
			if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), want) {
				t.Errorf("it says %v, want %q\n%s", err, want, out)
			}
			if err != nil && strings.Count(err.Error(), want) != 1 {
				t.Errorf("%q is told several times: %v", want, err)
			}
		})
	}
}

// forged is a table that is not made as others are.
type forged struct {
	level  int
	run    uint64
	number uint64 // 0 for the next one
	ranges fragments
	// entries are added in this order.
	entries []entry
	// before is called before each of them, and at the end.
	before func(i int, w *tableWriter)
	meta   func(m *tableMeta)
}

// forge makes a store of tables, in which all checksums are right.
func forge(t *testing.T, tables []forged, change func(e *edit)) exhibit {
	t.Helper()
	x := exhibit{t, simdisk.New(simdisk.Options{Seed: 1})}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"log", "manifest"} {
		must(x.disk.MkdirAll("/store/" + dir))
	}
	ed := &edit{version: 100, nextFile: 100}
	for i, f := range tables {
		number := f.number
		if number == 0 {
			number = uint64(i + 1)
		}
		w, err := newTableWriter(x.disk, fileName("/store", number, tableSuffix), number, tableOptions{store: 7, bitsPerKey: 10, mostBlock: maxStored, mostTable: 1<<32 - 1})
		must(err)
		for i := 0; i <= len(f.entries); i++ {
			if f.before != nil {
				f.before(i, w)
			}
			if i < len(f.entries) {
				must(w.add(&f.entries[i], hashOf(f.entries[i].key)))
			}
		}
		m, err := w.finish(f.ranges)
		must(err)
		if f.meta != nil {
			f.meta(m)
		}
		ed.added = append(ed.added, addition{level: f.level, run: f.run, meta: m})
	}
	// Two values of 10 bytes in a file.
	v := valueWriter{store: &store{fs: x.disk, dir: "/store", id: 7}}
	v.store.options.ValueFileBytes = 1 << 20
	v.store.lastFile.Store(49)
	for _, value := range []string{"0123456789", "abcdefghij"} {
		_, err := v.put([]byte(value))
		must(err)
	}
	must(v.end())
	ed.values = v.done
	if change != nil {
		change(ed)
	}
	x.append("manifest", ed.encode())
	must(writeCurrent(x.disk, "/store", current{store: 7, levels: 3}))
	return x
}

// append appends a record to the log or the manifest.
func (x exhibit) append(sub string, payload []byte) {
	x.Helper()
	l, err := wal.Open(context.Background(), wal.Options{FS: x.disk, Sinks: []string{"/store/" + sub}, Inline: true, SegmentBytes: 1 << 20}, 0, func(wal.Record) error { return nil })
	if err != nil {
		x.Fatal(err)
	}
	if _, err := l.Append(context.Background(), payload, engine.Flushed); err != nil {
		x.Fatal(err)
	}
	if err := l.Close(); err != nil {
		x.Fatal(err)
	}
}

// TestInspectFindsWhatChecksumsDoNot: structures that no engine writes, in which all
// checksums are right.
func TestInspectFindsWhatChecksumsDoNot(t *testing.T) {
	put := func(key string, version uint64) entry {
		return entry{key: []byte("\x00" + key), value: []byte("value of " + key), version: version, kind: kindPut}
	}
	apart := func(key string, r valueRef) entry {
		return entry{key: []byte("\x00" + key), value: r.append(nil), version: 9, kind: kindApart}
	}
	one := func(e ...entry) []forged { return []forged{{level: 1, entries: e}} }
	meta := func(f func(m *tableMeta)) []forged {
		return []forged{{level: 1, entries: []entry{put("a", 9), put("b", 8)}, meta: f}}
	}
	last := func(f func(w *tableWriter)) func(i int, w *tableWriter) {
		return func(i int, w *tableWriter) {
			if i == 2 {
				f(w)
			}
		}
	}
	hook := func(f func(i int, w *tableWriter)) []forged {
		return []forged{{level: 1, entries: []entry{put("b", 9), put("d", 8)}, before: f}}
	}
	stone := func(lower, upper string, versions ...uint64) fragments {
		return fragments{{[]byte("\x00" + lower), []byte("\x00" + upper), versions}}
	}
	first, second := valueRef{50, 0, 15, 10}, valueRef{50, 15, 15, 10}
	piece := func(level int, run uint64, lower, upper string) func(e *edit) {
		return func(e *edit) {
			m := *e.added[0].meta
			m.lower, m.upper, m.live = []byte("\x00"+lower), []byte("\x00"+upper), 1
			e.added[0].meta.live, e.added[0].meta.upper = 1, m.lower
			e.added = append(e.added, addition{level: level, run: run, meta: &m})
		}
	}
	for name, c := range map[string]struct {
		want   string // "" if it is sound
		tables []forged
		edit   func(e *edit)
		after  func(x exhibit)
	}{
		"sound": {tables: []forged{
			{run: 60, entries: []entry{put("a", 60), put("a", 55), put("c", 51)}, ranges: stone("b", "d", 50, 49)},
			{run: 48, ranges: stone("b", "d", 48)},
			{level: 1, entries: []entry{put("b", 40), {key: []byte("\x00c"), version: 47, kind: kindDelete}, apart("d", first), apart("e", second)}},
			{level: 2, entries: []entry{put("b", 0), put("c", 0)}},
		}},
		"sound pieces": {tables: one(put("a", 9), put("b", 9), put("c", 9)), edit: piece(0, 9, "b", "b\x00")},
		"order":        {`key "\x00c", and then "\x00b"`, one(put("a", 9), put("c", 9), put("b", 9), put("d", 9)), nil, nil},
		"versions":     {`key "\x00a" has version 8, and then 9`, one(put("a", 8), put("a", 9)), nil, nil},
		"one version":  {`key "\x00a" has version 9, and then 9`, one(put("a", 9), put("a", 9)), nil, nil},
		"two blocks": {`some versions of key "\x00a" are in the block before`, []forged{{level: 1, entries: []entry{put("a", 9), put("a", 8)}, before: func(i int, w *tableWriter) {
			if i == 1 {
				_ = w.flush([]byte("\x00a"))
			}
		}}}, nil, nil},
		"separator above": {`key "\x00d" is below "\x00e", which the index has for the block`, hook(func(i int, w *tableWriter) {
			if i == 1 {
				_ = w.flush([]byte("\x00e"))
			}
		}), nil, nil},
		"separator below": {`key "\x00b" is not below "\x00a", which the index has for the block behind it`, hook(func(i int, w *tableWriter) {
			if i == 1 {
				_ = w.flush([]byte("\x00a"))
			}
		}), nil, nil},
		"fingerprint": {`fingerprint 1 is not that of key "\x00d"`, hook(last(func(w *tableWriter) { w.block.entries[1].fingerprint++ })), nil, nil},
		"filter":      {`the filter does not know key "\x00d"`, hook(last(func(w *tableWriter) { w.hashes = w.hashes[:1] })), nil, nil},
		"lowest":      {"it says that its lowest version is 3, and that is 8", hook(last(func(w *tableWriter) { w.block.lowest = 3 })), nil, nil},
		"several":     {"it says true of whether some key has several versions, and that is false", hook(last(func(w *tableWriter) { w.block.several = true })), nil, nil},
		"footer":      {"the footer says that it has 3 entries, and it has 2", hook(last(func(w *tableWriter) { w.meta.entries++ })), nil, nil},
		"delete":      {`key "\x00a" is deleted, and has a value of 1 bytes`, one(entry{key: []byte("\x00a"), value: []byte("x"), version: 9, kind: kindDelete}), nil, nil},
		"no family":   {`does not begin with the number of a family`, one(entry{key: []byte{0x80}, version: 9, kind: kindPut}), nil, nil},
		"family":      {`is of family 3, of which nothing tells`, one(entry{key: []byte("\x03a"), version: 9, kind: kindPut}), nil, nil},
		"sound family": {"", one(entry{key: []byte("\x03a"), version: 9, kind: kindPut}, entry{key: []byte("\x04a"), version: 9, kind: kindPut}), func(e *edit) {
			e.families, e.noFamilies, e.nextFamily = []family{{3, "three"}}, []engine.FamilyID{4}, 5
		}, nil},

		"entries":        {"the manifest says that it has 3 entries, and it has 2", meta(func(m *tableMeta) { m.entries++ }), nil, nil},
		"deletes":        {"the manifest says that it has 1 deletes, and it has 0", meta(func(m *tableMeta) { m.deletes++ }), nil, nil},
		"ranges":         {"the manifest says that it has 1 range tombstones, and it has 0", meta(func(m *tableMeta) { m.ranges++ }), nil, nil},
		"raw":            {"the manifest says that it has 25 bytes of keys and values, and it has 24", meta(func(m *tableMeta) { m.rawBytes++ }), nil, nil},
		"lower version":  {"the manifest says that it has versions 7 to 9, and they are 8 to 9", meta(func(m *tableMeta) { m.lowest-- }), nil, nil},
		"higher version": {"the manifest says that it has versions 8 to 10, and they are 8 to 9", meta(func(m *tableMeta) { m.highest++ }), nil, nil},
		"lower":          {`key "\x00a" is not within "\x00aa" to "\x00b\x00"`, meta(func(m *tableMeta) { m.lower = []byte("\x00aa") }), nil, nil},
		"upper":          {`key "\x00b" is not within "\x00a" to "\x00b"`, meta(func(m *tableMeta) { m.upper = []byte("\x00b") }), nil, nil},
		"wide":           {`the manifest has it from "\x00a" to "\x00c", and it goes from "\x00a" to "\x00b\x00"`, meta(func(m *tableMeta) { m.upper = []byte("\x00c") }), nil, nil},
		"refs":           {"the manifest says that it refers to values by [{50 15}], and it does by []", meta(func(m *tableMeta) { m.refs = []valueUse{{50, 15}} }), nil, nil},
		"added too much": {`key "\x00a" has version 9, and is 72057594037927935 higher`, meta(func(m *tableMeta) { m.add = maxVersion }), nil, nil},
		"number":         {"/store/manifest has table 1, and says that files go up to 0", one(put("a", 9)), func(e *edit) { e.nextFile = 0 }, nil},
		"too new":        {"level 1 has it with versions up to 101, and there are none above 100", one(put("a", 101)), nil, nil},
		"newer than run": {"run 8 has it with versions up to 9, and there are none above 8", []forged{{run: 8, entries: []entry{put("a", 9)}}}, nil, nil},
		"piece apart":    {"the manifest says one thing of the piece from", one(put("a", 9), put("b", 9)), func(e *edit) { piece(1, 0, "b", "c")(e); e.added[1].meta.entries++ }, nil},
		"piece twice":    {`key "\x00b": version 9 is in level 1, which lies below version 9 in run 9`, one(put("a", 9), put("b", 9)), func(e *edit) { piece(0, 9, "b", "c")(e); e.added[0].meta.upper = []byte("\x00c") }, nil},
		"overlap":        {"tables 1 and 2 of one run overlap", []forged{{level: 1, entries: []entry{put("a", 9), put("c", 9)}}, {level: 1, entries: []entry{put("b", 9)}}}, nil, nil},
		"level":          {"a table is in level 3 of 2", []forged{{level: 3, entries: []entry{put("a", 9)}}}, nil, nil},

		"upside down":         {`key "\x00a": version 9 is in level 1, which lies below version 8 in run 10`, []forged{{run: 10, entries: []entry{put("a", 10), put("a", 8)}}, {level: 1, entries: []entry{put("a", 9)}}}, nil, nil},
		"stone below":         {`key "\x00b": version 9 is in level 1, which lies below version 8 in run 10`, []forged{{run: 10, ranges: stone("a", "c", 8)}, {level: 1, entries: []entry{put("b", 9)}}}, nil, nil},
		"stone above":         {`key "\x00b": version 9 is in level 1, which lies below version 8 in run 10`, []forged{{run: 10, entries: []entry{put("b", 8)}}, {level: 1, ranges: stone("a", "c", 9, 2)}}, nil, nil},
		"behind another":      {`key "\x00c": version 9 is in level 2, which lies below version 5 in level 1`, []forged{{level: 1, entries: []entry{put("a", 5)}}, {level: 1, entries: []entry{put("c", 5)}}, {level: 2, entries: []entry{put("b", 0), put("c", 9)}}}, nil, nil},
		"sound, stones apart": {"", []forged{{run: 10, ranges: stone("a", "c", 8)}, {level: 1, entries: []entry{put("0", 9), put("c", 9)}}}, nil, nil},

		"reference":     {"a reference to a value", one(entry{key: []byte("\x00a"), value: valueRef{50, 0, 15, 10}.append(nil), version: 9, kind: kindApart}), nil, func(x exhibit) { x.retouch(1, 0, func(b block) { b[len(b)-1] = 0x80 }) }},
		"no value file": {`the value of key "\x00a" is in value file 51, of which the manifest does not tell`, one(apart("a", valueRef{51, 0, 15, 10})), nil, nil},
		"value":         {`value of key "\x00a": inspect /store/000050.values at 1: corrupt: the checksum of 15 bytes does not match`, one(apart("a", valueRef{50, 1, 15, 10})), nil, nil},
		"value beyond":  {`value of key "\x00a": inspect /store/000050.values at 30: corrupt: the file ends here`, one(apart("a", valueRef{50, 16, 15, 10})), nil, nil},
		"length":        {`the value of key "\x00a" has 10 bytes, and should have 11`, one(apart("a", valueRef{50, 0, 15, 11})), nil, nil},
		"shared values": {"/store/000050.values: corrupt: entries refer to 45 bytes of it, and it has 30", one(apart("a", first), apart("b", first), apart("c", second)), nil, nil},

		"no edit":        {"record 2 of the manifest: corrupt: an edit of 1 bytes", one(put("a", 9)), nil, func(x exhibit) { x.append("manifest", []byte{99}) }},
		"removes none":   {"an edit removes 1 tables that are not there", one(put("a", 9)), nil, func(x exhibit) { x.append("manifest", (&edit{removed: []removal{{1, []byte("b")}}}).encode()) }},
		"not whole":      {"CURRENT says that it is whole, and it is not", one(put("a", 9)), nil, func(x exhibit) { x.append("manifest", (&edit{nextFile: 101}).encode()); x.current(1) }},
		"sound whole":    {"", one(put("a", 9)), nil, func(x exhibit) { x.append("manifest", (&edit{reset: true}).encode()); x.current(1) }},
		"manifest short": {"the manifest ends before record 2, from which on it counts", one(put("a", 9)), nil, func(x exhibit) { x.current(1) }},
		"no batch":       {"record 1 of the log: decode batch of 2 bytes: corrupt", one(put("a", 9)), nil, func(x exhibit) { x.append("log", []byte{1, 9}) }},
		"no record":      {"it is of no kind that this program knows", one(put("a", 9)), nil, func(x exhibit) { x.append("log", []byte{recordNoBatch, 9}) }},
		"no range":       {"a range of 3 bytes", one(put("a", 9)), nil, func(x exhibit) { x.append("log", []byte{recordNoBatch, recordClear, 1, 'a'}) }},
		"load behind others": {"open /store/000099.table", one(put("a", 9)), nil, func(x exhibit) {
			x.append("log", appendBytes(appendBytes([]byte{recordNoBatch, recordClear}, []byte{1}), []byte{2}))
			var b engine.Batch
			b.DeleteRange([]byte("a"), []byte("b")) // the first of a batch, or of nothing, has no version of its own
			b.DeleteRange([]byte("b"), []byte("a"))
			b.Put([]byte("a"), nil)
			b.DeleteRange([]byte("c"), []byte("b"))
			b.DeleteRange([]byte("a"), []byte("b"))
			b.DeleteRange([]byte("b"), []byte("c"))
			x.append("log", b.Encoded())
			x.load(104)
		}},
		"unused values": {"stat /store/000050.values", one(put("a", 9)), nil, func(x exhibit) {
			if err := x.disk.Remove("/store/000050.values"); err != nil {
				x.Fatal(err)
			}
		}},
		"load version": {"a bulk load as version 102 behind 100", one(put("a", 9)), nil, func(x exhibit) { x.load(102) }},
		"load":         {"open /store/000099.table", one(put("a", 9)), nil, func(x exhibit) { x.load(101) }},
		"empty load":   {"a bulk load without tables", one(put("a", 9)), nil, func(x exhibit) { x.append("log", []byte{recordNoBatch, recordIngest, 101}) }},
	} {
		t.Run(name, func(t *testing.T) {
			x := forge(t, c.tables, c.edit)
			if c.after != nil {
				c.after(x)
			}
			out, err := x.inspect()
			if c.want == "" {
				if err != nil {
					t.Errorf("it is sound, and Inspect says %v\n%s", err, out)
				}
				return
			}
			if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(out, c.want) {
				t.Errorf("it says %v, want %q\n%s", err, c.want, out)
			}
		})
	}
}

// retouch changes a block of a table, which is not packed.
func (x exhibit) retouch(number uint64, i int, change func(b block)) {
	x.Helper()
	name := fileName("", number, tableSuffix)
	file := x.read(name)
	r, err := openTable(x.disk, "/store/"+name, place{store: 7, file: number}, int64(len(file)))
	if err != nil {
		x.Fatal(err)
	}
	defer r.file.Close()
	var raw, buf []byte
	b, err := r.readBlock(i, &raw, &buf)
	if err != nil {
		x.Fatal(err)
	}
	change(b)
	stored, err := new(packer).store(nil, b, codecNone, r.at.to(int64(r.offsets[i])))
	if err != nil {
		x.Fatal(err)
	}
	x.write(name, append(append(file[:r.offsets[i]:r.offsets[i]], stored...), file[r.offsets[i+1]:]...))
}

// current makes the manifest count from behind a record.
func (x exhibit) current(after uint64) {
	x.Helper()
	if err := writeCurrent(x.disk, "/store", current{store: 7, levels: 3, after: after}); err != nil {
		x.Fatal(err)
	}
}

// load appends a bulk load of a table that is not there.
func (x exhibit) load(version uint64) {
	x.Helper()
	m := &tableMeta{number: 99, bytes: 200, live: 200, lower: []byte("\x00a"), upper: []byte("\x00b"), add: version}
	ed := &edit{added: []addition{{run: version, meta: m}}}
	x.append("log", append([]byte{recordNoBatch, recordIngest, byte(version)}, ed.encode()...))
}

// TestInspectIsBounded: of very much damage a part is listed, and the rest counted.
func TestInspectIsBounded(t *testing.T) {
	upper, lower := forged{run: 10}, forged{level: 1}
	for i := range inspection.MaxListed + 50 {
		key := fmt.Appendf(nil, "\x00%04d", i)
		upper.entries = append(upper.entries, entry{key: key, version: 8, kind: kindPut})
		lower.entries = append(lower.entries, entry{key: key, version: 9, kind: kindPut})
	}
	x := forge(t, []forged{upper, lower}, nil)
	out, err := x.inspect()
	if err == nil || strings.Count(err.Error(), "lies below") != inspection.MaxListed || !strings.Contains(err.Error(), "in 50 more places") || !strings.Contains(out, "damage in 150 places\n") {
		t.Errorf("it says %v\n%s", err, out)
	}
}

// TestInspectReadErrors: what cannot be read is told of, and is not taken for damage.
func TestInspectReadErrors(t *testing.T) {
	x := newExhibit(t)
	broken := errors.New("broken")
	for _, name := range []string{"/store/CURRENT", "/store/manifest/000001.wal", "/store/log/000001.wal", "/store/000003.table", "/store/000002.values"} {
		err := Inspect(context.Background(), unreadable{x.disk, name, broken}, "/store", io.Discard)
		if !errors.Is(err, broken) || errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unreadable is a file system with a file that cannot be read.
type unreadable struct {
	vfs.FS
	name string
	err  error
}

func (u unreadable) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	f, err := u.FS.Open(name, flags)
	if err == nil && name == u.name {
		f = unreadableFile{f, u.err}
	}
	return f, err
}

type unreadableFile struct {
	vfs.File
	err error
}

func (f unreadableFile) ReadAt([]byte, int64) (int, error) {
	return 0, vfs.NewError("read", f.Name(), 0, f.err)
}

// TestDescribe tells of all that a store logs beside batches.
func TestDescribe(t *testing.T) {
	m := &tableMeta{number: 9, entries: 5, lower: []byte("\x00a"), upper: []byte("\x00b")}
	whole := &edit{
		reset: true, added: []addition{{level: 0, run: 7, meta: m}, {level: 2, meta: m}}, values: []valueMeta{{3, 100}}, noValues: []uint64{4},
		families: []family{{1, "one"}}, noFamilies: []engine.FamilyID{2}, cleared: []engine.FamilyID{3}, version: 7, logSequence: 6, nextFile: 9, nextFamily: 4,
	}
	for want, got := range map[string]func() (string, bool){
		`whole; add table 9 to run 7, "\x00a" to "\x00b"; add table 9 to level 2, "\x00a" to "\x00b"; add value file 3 of 100 bytes; remove value file 4; ` +
			`family 1 is "one"; family 2 is dropped; family 3 is gone; version 7, record 6, is in tables`: func() (string, bool) { return DescribeEdit(whole.encode()) },
		"the log has begun": func() (string, bool) { return DescribeEdit((&edit{logBegun: true}).encode()) },
		`remove table 9 from "\x00a"`: func() (string, bool) {
			return DescribeEdit((&edit{removed: []removal{{9, []byte("\x00a")}}}).encode())
		},
		`clear "\x03" to "\x04"`: func() (string, bool) {
			return DescribeRecord(appendBytes(appendBytes([]byte{recordNoBatch, recordClear}, []byte{3}), []byte{4}))
		},
		`bulk load as version 8: 5 entries in 1 tables, "\x00a" to "\x00b"`: func() (string, bool) {
			return DescribeRecord(append([]byte{recordNoBatch, recordIngest, 8}, (&edit{added: []addition{{run: 8, meta: m}}}).encode()...))
		},
	} {
		if text, ok := got(); !ok || text != want {
			t.Errorf("%q, %t; want %q", text, ok, want)
		}
	}
	var many edit
	for i := range uint64(20) {
		many.noValues = append(many.noValues, i)
	}
	if text, ok := DescribeEdit(many.encode()); !ok || !strings.HasSuffix(text, "; remove value file 7; 20 changes in all") {
		t.Errorf("%q, %t", text, ok)
	}
	var b engine.Batch
	b.Put([]byte("a"), []byte("b"))
	for _, p := range [][]byte{nil, {0}, {0, 3}, {0, 1}, {0, 1, 5}, {0, 2, 1}, {0, 2, 1, 'a', 1, 'b', 0}, b.Encoded()} {
		if text, ok := DescribeRecord(p); ok {
			t.Errorf("record %x is %q", p, text)
		}
	}
	for _, p := range [][]byte{nil, {0}, {opAdd}, {99}} {
		if text, ok := DescribeEdit(p); ok {
			t.Errorf("edit %x is %q", p, text)
		}
	}
}

// le appends numbers as the formats write them: those of Go's sized types little-endian,
// bytes and strings as they are.
func le(parts ...any) []byte {
	var out []byte
	for _, p := range parts {
		switch v := p.(type) {
		case string:
			out = append(out, v...)
		case []byte:
			out = append(out, v...)
		case int: // so many zeros
			out = append(out, make([]byte, v)...)
		default:
			var err error
			if out, err = binary.Append(out, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	return out
}

// crc is that of doc.go.
func crc(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// storedAt is what doc.go says of how a payload is stored that is not packed.
func storedAt(payload []byte, store, file, offset uint64) []byte {
	const p1, p2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	fold := func(x uint64) uint64 { return x ^ x>>32 }
	p := append(bytes.Clone(payload), 0)
	return le(p, crc(p)+uint32(fold(fold(store^(file*p1+offset*p2))*p2)))
}

// TestFormats holds the code to doc.go, byte by byte: files and records are put together
// here from what stands there.
func TestFormats(t *testing.T) {
	same := func(what string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s is\n%x, and doc.go has\n%x", what, got, want)
		}
	}
	head := le("orbitlsm", uint32(1), uint32(3), uint64(7), uint64(5), 28)
	same("CURRENT", current{store: 7, levels: 3, after: 5}.encode(), le(head, crc(head)))

	m := &tableMeta{number: 9, bytes: 300, live: 200, entries: 6, deletes: 1, ranges: 2, rawBytes: 70, lowest: 3, highest: 8, add: 4, lower: []byte("a"), upper: []byte("bc"), refs: []valueUse{{50, 15}}}
	ed := &edit{
		reset: true, added: []addition{{level: 1, meta: m}}, removed: []removal{{2, []byte("x")}}, values: []valueMeta{{50, 300}}, noValues: []uint64{49},
		version: 8, logSequence: 6, nextFile: 60, families: []family{{1, "one"}}, noFamilies: []engine.FamilyID{2}, cleared: []engine.FamilyID{3}, nextFamily: 4, logBegun: true,
	}
	same("an edit", ed.encode(), le(
		"\x01", "\x03\x02\x01x",
		"\x02\x01\x00\x09\xac\x02\xc8\x01\x06\x01\x02\x46\x03\x08\x04\x01a\x02bc\x01\x32\x0f",
		"\x04\x32\xac\x02", "\x05\x31", "\x06\x08\x06", "\x07\x3c", "\x08\x01\x03one", "\x09\x02", "\x0a\x03", "\x0b\x04", "\x0c"))

	fingerprint := func(key string) byte { return byte(xxhash.Sum64String(key) >> 56) }
	x := forge(t, []forged{{
		entries: []entry{
			{key: []byte("\x00key a"), value: []byte("1"), version: 9, kind: kindPut},
			{key: []byte("\x00key a"), version: 8, kind: kindDelete},
			{key: []byte("\x00key b"), value: []byte{50, 0, 15, 10}, version: 300, kind: kindApart},
			{key: []byte("\x00kf"), value: []byte("2"), version: 9, kind: kindPut},
		},
		ranges: fragments{{[]byte("\x00b"), []byte("\x00c"), []uint64{300, 7}}},
		run:    300,
		before: func(i int, w *tableWriter) {
			if i == 3 {
				_ = w.flush([]byte("\x00kf"))
			}
		},
	}}, nil)
	first := le(
		uint32(3), uint32(5), uint64(8), uint32(24+8+6+5+6+4+10), "\x01", 3,
		fingerprint("\x00key a"), fingerprint("\x00key a"), fingerprint("\x00key b"), 5,
		uint16(43), uint16(49), uint16(53), "\x00key ",
		"\x81\x01\x01\x01a1", "\x02\x01\x00a", "\x83\x01\x04\xa4\x02b\x32\x00\x0f\x0a")
	second := le(uint32(1), uint32(3), uint64(9), uint32(24+8+2+3+4), 4, fingerprint("\x00kf"), 7, uint16(37), "\x00kf", "\x01\x00\x012")
	// One line: all probes of the three keys are in it.
	var line [8]uint64
	for _, key := range []string{"\x00key a", "\x00key b", "\x00kf"} {
		h := xxhash.Sum64String(key)
		y := (h ^ h>>32) * 0x9e3779b97f4a7c15
		for range 6 { // 0.6 for each of ten bits of a key
			line[y&511/64] |= 1 << (y & 63)
			y >>= 9
		}
	}
	var want []byte
	var lengths []uint32
	for _, part := range [][]byte{
		first, second,
		le("\x02\x00b", "\x02\x00c", "\x02\xac\x02\x07"),
		le("\x00\x06", 6, line),
		le(uint32(2), "\x00\x00", []byte{byte(len(first) + 5)}, "\x00\x03\x00kf", []byte{byte(len(second) + 5)}),
	} {
		stored := storedAt(part, 7, 1, uint64(len(want)))
		want = append(want, stored...)
		lengths = append(lengths, uint32(len(stored)))
	}
	foot := le("orbittbl", uint32(1), 4, uint64(7), uint64(1), uint64(4), lengths[2:])
	same("a table", x.read("000001.table"), le(want, foot, crc(foot)))
	same("a value file", x.read("000050.values"), le(storedAt([]byte("0123456789"), 7, 50, 0), storedAt([]byte("abcdefghij"), 7, 50, 15)))
}
