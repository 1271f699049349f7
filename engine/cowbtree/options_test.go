package cowbtree_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestInvalidOptions are refused, before anything is made.
func TestInvalidOptions(t *testing.T) {
	for what, o := range map[string]cowbtree.Options{
		"CacheBytes is -1":                      {CacheBytes: -1},
		"CacheBytes is 1048575":                 {CacheBytes: cowbtree.MinCacheBytes - 1},
		"CheckpointBytes is -1":                 {CheckpointBytes: -1},
		"SegmentBytes is -1":                    {SegmentBytes: -1},
		"Compression is Compression(3)":         {Compression: cowbtree.Zstd + 1},
		"MaxKeysPerNode is 3":                   {MaxKeysPerNode: 3},
		"MaxKeysPerNode is -4":                  {MaxKeysPerNode: -4},
		"MaxKeysPerNode is 65536":               {MaxKeysPerNode: 1 << 16},
		"LogBufferBytes is -1":                  {LogBufferBytes: -1},
		"LogSyncInterval is -1":                 {LogSyncInterval: -1},
		"MaxAutomaticSnapshots is -1":           {MaxAutomaticSnapshots: -1},
		"SnapshotInterval without snapshots is": {NoSnapshots: true, SnapshotInterval: 1},
	} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o.FS, o.Inline = d, true
		_, err := cowbtree.Open(context.Background(), "/store", o)
		if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "/store") {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := d.Stat("/store"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory was made (%v)", what, err)
		}
	}
}

// load puts keys from 0 on, of 20 bytes, with values that can be packed.
func load(t *testing.T, e engine.Engine, n, size int) map[string]string {
	t.Helper()
	model := map[string]string{}
	for i := 0; i < n; {
		var b engine.Batch
		for ; i < n && b.Count() < 50; i++ {
			key, value := fmt.Sprintf("a key of 20 b %06d", i), strings.Repeat(strconv.Itoa(i)+" ", size)[:size]
			b.Put([]byte(key), []byte(value))
			model[key] = value
		}
		if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	return model
}

// level is what Inspect says of a level.
type level struct{ pages, entries, bytes int }

func levelsOf(t *testing.T, fsys vfs.FS, dir string) []level {
	t.Helper()
	var all []level
	for _, m := range regexp.MustCompile(`level (\d+): (\d+) pages, (\d+) entries, (\d+) bytes in the file`).FindAllStringSubmatch(inspect(t, fsys, dir), -1) {
		var n [4]int
		for i := range n {
			n[i], _ = strconv.Atoi(m[i+1]) // digits
		}
		all = slices.Insert(all, 0, level{n[1], n[2], n[3]})
	}
	if len(all) == 0 {
		t.Fatal("no levels")
	}
	return all
}

// TestMaxKeysPerNode bounds the entries of a page, and makes pages larger where it
// asks for more than one of 4 KiB has.
func TestMaxKeysPerNode(t *testing.T) {
	const n = 3000
	depth := map[int]int{}
	for _, most := range []int{4, 5, 64, 200, 1000, 65535} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := cowbtree.Options{FS: d, Inline: true, MaxKeysPerNode: most}
		e := open(t, "/store", o)
		model := load(t, e, n, 20)
		if err := errors.Join(same(e, model), e.Close()); err != nil {
			t.Fatal(err)
		}
		levels := levelsOf(t, d, "/store")
		depth[most] = len(levels)
		for i, l := range levels {
			if l.entries > most*l.pages {
				t.Errorf("at most %d keys: level %d has %d entries in %d pages", most, i, l.entries, l.pages)
			}
		}
		// Keys ascend, so that leaves are full.
		if each := levels[0].entries / levels[0].pages; each < min(most, n)*3/4 && each < 1200 {
			t.Errorf("at most %d keys: leaves have %d", most, each)
		}
		// The bound may be another one at the next opening.
		o.MaxKeysPerNode = 7
		e = open(t, "/store", o)
		for i := range n {
			model[fmt.Sprintf("a key of 20 b %06d and a half", i)] = "half"
		}
		if err := e.Ingest(context.Background(), entriesOf(model)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(same(e, model), e.Close()); err != nil {
			t.Fatal(err)
		}
		if l := levelsOf(t, d, "/store")[0]; l.entries > 7*l.pages {
			t.Errorf("bound %d after %d: %d entries in %d leaves", 7, most, l.entries, l.pages)
		}
	}
	if depth[4] < 5 || depth[64] != 2 || depth[1000] != 2 || depth[65535] != 2 {
		t.Errorf("the depths of trees are %v", depth)
	}
}

// TestCompression makes the file smaller, and may change from one opening to the
// next.
func TestCompression(t *testing.T) {
	size := map[cowbtree.Compression]int{}
	all := []cowbtree.Compression{cowbtree.NoCompression, cowbtree.LZ4, cowbtree.Zstd}
	for i, c := range all {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := cowbtree.Options{FS: d, Inline: true, Compression: c, CheckpointBytes: 200 << 10}
		e := open(t, "/store", o)
		model := load(t, e, 4000, 100)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, l := range levelsOf(t, d, "/store") {
			size[c] += l.bytes
		}
		// Some pages are packed one way then, and some the other.
		o.Compression = all[(i+1)%len(all)]
		e = open(t, "/store", o)
		for i := 0; i < 4000; i += 400 {
			key := fmt.Sprintf("a key of 20 b %06d", i)
			model[key] = "changed"
			var b engine.Batch
			b.Put([]byte(key), []byte("changed"))
			if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		inspect(t, d, "/store")
		o.Compression = all[(i+2)%len(all)]
		e = open(t, "/store", o)
		if err := errors.Join(same(e, model), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	none := size[cowbtree.NoCompression]
	t.Logf("bytes of pages: %v", size)
	if size[cowbtree.LZ4] > none/2 || size[cowbtree.Zstd] > none/2 {
		t.Errorf("pages take %v bytes", size)
	}
}

// opener notes how files are opened, and can refuse direct I/O.
type opener struct {
	vfs.FS
	refuse bool
	mu     sync.Mutex
	direct map[string]bool
}

func (o *opener) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	if o.refuse && flags&vfs.Direct != 0 {
		return nil, vfs.NewError("open", name, -1, fmt.Errorf("%w: no direct I/O", engine.ErrUnsupported))
	}
	o.mu.Lock()
	o.direct[filepath.Base(name)] = flags&vfs.Direct != 0
	o.mu.Unlock()
	return o.FS.Open(name, flags)
}

// TestDirect opens the data file past the page cache, and only when it is asked to.
func TestDirect(t *testing.T) {
	for _, direct := range []bool{false, true} {
		fsys := &opener{FS: simdisk.New(simdisk.Options{Seed: 1}), direct: map[string]bool{}}
		o := cowbtree.Options{FS: fsys, Inline: true, Direct: direct, CheckpointBytes: 100 << 10, CacheBytes: 1 << 20}
		var model map[string]string
		for range 2 {
			e := open(t, "/store", o)
			model = load(t, e, 3000, 200)
			model["a large value"] = strings.Repeat("large ", 3000)
			if err := e.Ingest(context.Background(), entriesOf(map[string]string{"a large value": model["a large value"]})); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(same(e, model), e.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if got, temp := fsys.direct["data"], fsys.direct["data.tmp"]; got != direct || temp != direct {
			t.Errorf("direct is %v: the data file is opened so: %v, when it is made: %v", direct, got, temp)
		}
		inspect(t, fsys.FS, "/store")
	}
	fsys := &opener{FS: simdisk.New(simdisk.Options{Seed: 1}), refuse: true, direct: map[string]bool{}}
	_, err := cowbtree.Open(context.Background(), "/store", cowbtree.Options{FS: fsys, Inline: true, Direct: true})
	if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "/store") {
		t.Errorf("a file system that cannot: %v", err)
	}
}

// atPowerCut opens the store as it would be after a loss of power now, and reads a
// key; it is "" if that is not there.
func atPowerCut(t *testing.T, d *simdisk.Disk, key string) string {
	t.Helper()
	w := d.Walk()
	for w.Next() {
	}
	e := open(t, "/store", cowbtree.Options{FS: w.Crash(make([]simdisk.Fate, len(w.Pending())), 1), Inline: true})
	v, err := e.Get([]byte(key), nil)
	if err != nil && err != engine.ErrNotFound {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// until waits for something that happens in the background.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for range 12000 {
		if happened() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%s: not within a minute", what)
}

// flushesItself applies buffered commits, and waits until they would survive a loss
// of power, if that is to be.
func flushesItself(t *testing.T, o cowbtree.Options, want bool) {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	o.FS = d
	e := open(t, "/store", o)
	for range 3 {
		for i := range 20 {
			var b engine.Batch
			b.Put(fmt.Appendf(nil, "key %d", i), make([]byte, 1000))
			b.Put([]byte("last"), fmt.Appendf(nil, "%d", i))
			if err := e.Apply(context.Background(), &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
		if want {
			until(t, "the flush of the log", func() bool { return atPowerCut(t, d, "last") == "19" })
			var b engine.Batch
			b.Delete([]byte("last"))
			if err := e.Apply(context.Background(), &b, engine.Flushed); err != nil {
				t.Fatal(err)
			}
		} else if got := atPowerCut(t, d, "last"); got != "" {
			t.Errorf("nobody asked for a flush, and there is %q after a power cut", got)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogSyncInterval flushes buffered commits in the background; without it, and
// without LogBufferBytes, nobody does.
func TestLogSyncInterval(t *testing.T) {
	flushesItself(t, cowbtree.Options{}, false)
	flushesItself(t, cowbtree.Options{LogSyncInterval: 5 * time.Millisecond}, true)
}

// TestNoSnapshots refuses named snapshots, and no others.
func TestNoSnapshots(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	ctx := context.Background()
	e := open(t, "/store", cowbtree.Options{FS: d, Inline: true, NoSnapshots: true})
	model := load(t, e, 10, 10)
	for _, err := range []error{e.CreateSnapshot(ctx, "name"), e.DropSnapshot(ctx, "name")} {
		if !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), `"name"`) {
			t.Errorf("%v", err)
		}
	}
	s, err := e.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	load(t, e, 10, 20)
	if err := errors.Join(same(s, model), s.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotInterval makes a snapshot after so many commits, keeps so many of
// them, and goes on where it was after a restart. Those that users name stay.
func TestSnapshotInterval(t *testing.T) {
	const every, most = 10, 3
	d := simdisk.New(simdisk.Options{Seed: 1})
	ctx := context.Background()
	o := cowbtree.Options{FS: d, Inline: true, SnapshotInterval: every, MaxAutomaticSnapshots: most, CheckpointBytes: 10 << 10}
	e := open(t, "/store", o)
	if err := e.CreateSnapshot(ctx, "a user's"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	commits := 0
	for range 4 {
		for range 60 {
			var b engine.Batch
			b.Put([]byte("commits"), fmt.Appendf(nil, "%d", commits))
			b.Put(fmt.Appendf(nil, "key %d", commits), make([]byte, 100))
			if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
			commits++
			names, err := e.ListSnapshots()
			if err != nil {
				t.Fatal(err)
			}
			automatic := 0
			for _, name := range names {
				if !cowbtree.IsAutomatic(name) {
					continue
				}
				automatic++
				if seen[name] {
					continue
				}
				seen[name] = true
				s, err := e.OpenSnapshot(name)
				if err != nil {
					t.Fatal(err)
				}
				// It was made before this commit.
				if v, err := s.Get([]byte("commits"), nil); err != nil || string(v) != strconv.Itoa(commits-2) {
					t.Errorf("%s, seen first after commit %d, has %q (%v)", name, commits-1, v, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if automatic > most || len(names) != automatic+1 {
				t.Fatalf("after %d commits the snapshots are %q", commits, names)
			}
		}
		before, err := e.ListSnapshots()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		inspect(t, d, "/store")
		e = open(t, "/store", o)
		if after, err := e.ListSnapshots(); err != nil || !slices.Equal(after, before) {
			t.Errorf("%q after a restart, %q before (%v)", after, before, err)
		}
	}
	// The commits in which snapshots are named and dropped count too.
	if n := len(seen); n < commits/(every+3) || n > commits/every+4 {
		t.Errorf("%d snapshots in %d commits, one after %d", n, commits, every)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointBytes bounds the log, and what is replayed.
func TestCheckpointBytes(t *testing.T) {
	const n = 3000
	made, logs := map[int64]float64{}, map[int64]float64{}
	for _, bytes := range []int64{20 << 10, 100 << 10, 0} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		e := open(t, "/store", cowbtree.Options{FS: d, Inline: true, CheckpointBytes: bytes, SegmentBytes: 16 << 10})
		load(t, e, n, 100)
		m := e.Metrics()
		made[bytes], logs[bytes] = m.Other["checkpoints"], m.Other["log_bytes"]
		if bytes > 0 && m.CompactionDebtBytes > uint64(bytes)+16<<10 {
			t.Errorf("a checkpoint each %d bytes: %d bytes are logged and not in the file", bytes, m.CompactionDebtBytes)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if made[0] != 0 || made[100<<10] < 3 || made[20<<10] < 3*made[100<<10] || logs[20<<10] > logs[0]/3 {
		t.Errorf("checkpoints made: %v; bytes of the log: %v", made, logs)
	}
}

// TestCacheBytes: the memory for pages is bounded, and data may be several times as
// much.
func TestCacheBytes(t *testing.T) {
	const n = 20_000
	for _, cache := range []int64{cowbtree.MinCacheBytes, 64 << 20} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		e := open(t, "/store", cowbtree.Options{FS: d, Inline: true, CacheBytes: cache})
		model := load(t, e, n, 300)
		if err := same(e, model); err != nil {
			t.Fatal(err)
		}
		m := e.Metrics()
		if m.MemoryBytes > uint64(cache)*5/4 {
			t.Errorf("a cache of %d bytes takes %d", cache, m.MemoryBytes)
		}
		if reads := m.Other["page_reads"]; (reads > n/100) != (cache < n*300) {
			t.Errorf("a cache of %d bytes: %v pages were read for %d bytes", cache, reads, n*300)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSegmentBytes is the size of the files of the log.
func TestSegmentBytes(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := open(t, "/store", cowbtree.Options{FS: d, Inline: true, SegmentBytes: 32 << 10})
	load(t, e, 1000, 100)
	names, err := d.List("/store/log")
	if err != nil || len(names) < 4 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		if info, err := d.Stat(filepath.Join("/store/log", name)); err != nil || info.Size > 48<<10 {
			t.Errorf("%s: %d bytes (%v)", name, info.Size, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
