package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestInvalidOptions are refused, before anything is made.
func TestInvalidOptions(t *testing.T) {
	for what, o := range map[string]Options{
		"CacheBytes is -1":             {CacheBytes: -1},
		"CacheBytes is 65535":          {CacheBytes: MinCacheBytes - 1},
		"MemtableBytes is 1023":        {MemtableBytes: MinMemtableBytes - 1},
		"MemtableBytes is 8589934593":  {MemtableBytes: 8<<30 + 1},
		"MaxMemtables is 1":            {MaxMemtables: 1},
		"SegmentBytes is -1":           {SegmentBytes: -1},
		"Levels is 1":                  {Levels: 1},
		"Levels is 17":                 {Levels: 17},
		"Multiplier is 1":              {Multiplier: 1},
		"CompactionThreshold is -1":    {CompactionThreshold: -1},
		"TableBytes is 4095":           {TableBytes: 4095},
		"TableBytes is 1073741825":     {TableBytes: 1<<30 + 1},
		"ValueFileBytes is 4095":       {ValueFileBytes: 4095},
		"Compression is":               {Compression: LZ4ThenZstd + 1},
		"Filter is":                    {Filter: NoFilter + 1},
		"FilterBitsPerKey is -1":       {FilterBitsPerKey: -1},
		"FilterBitsPerKey is 64.5":     {FilterBitsPerKey: 64.5},
		"FilterBitsPerKey is NaN, and": {FilterBitsPerKey: math.NaN()},
	} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o.FS, o.Inline = d, true
		_, err := Open(context.Background(), "/store", o)
		if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "/store") {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := d.Stat("/store"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the directory was made (%v)", what, err)
		}
	}
}

// loadedWith makes a store with options that are filled in where they are not given, and
// puts n keys of 20 bytes in an order of chance, with values that can be packed to a half.
func loadedWith(t testing.TB, o Options, n, size int) *Engine {
	t.Helper()
	o.FS, o.Inline = simdisk.New(simdisk.Options{Seed: 1}), true
	if o.MemtableBytes == 0 {
		o.MemtableBytes = 16 << 10
	}
	if o.TableBytes == 0 {
		o.TableBytes = 16 << 10
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 1 << 20
	}
	e := mustOpen(t, "/store", o)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	r := rand.New(rand.NewPCG(1, 1))
	for _, i := range r.Perm(n) {
		apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, size)) })
	}
	return e
}

func optionKey(i int) []byte { return fmt.Appendf(nil, "a key of 20 b %06d", i) }

func optionValue(i, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	v := make([]byte, size)
	for j := range v[:size/2] {
		v[j] = byte(r.Uint32())
	}
	return v
}

func readAll(t testing.TB, e *Engine, n, size int) {
	t.Helper()
	for i := range n {
		if v, err := e.Get(optionKey(i), nil); err != nil || !bytes.Equal(v, optionValue(i, size)) {
			t.Fatalf("key %d is %d bytes (%v)", i, len(v), err)
		}
	}
}

// eachTable calls f for every table.
func eachTable(t testing.TB, e *Engine, f func(level int, x *table, r *tableReader)) {
	t.Helper()
	st := e.hold()
	defer e.releaseState(st)
	n := 0
	for level, x := range st.levels.all {
		r, err := x.open()
		if err != nil {
			t.Fatal(err)
		}
		f(level, x, r)
		n++
	}
	if n == 0 {
		t.Fatal("no tables")
	}
}

// TestCacheBytes bounds what blocks take, and a larger cache is missed less.
func TestCacheBytes(t *testing.T) {
	misses := map[int64]uint64{}
	for _, most := range []int64{MinCacheBytes, 1 << 20} {
		e := loadedWith(t, Options{CacheBytes: most}, 2000, 100)
		readAll(t, e, 2000, 100)
		before := e.Metrics().CacheMisses
		readAll(t, e, 2000, 100)
		m := e.Metrics()
		misses[most] = m.CacheMisses - before
		if used := m.Other["block_cache_bytes"]; used > float64(most) || used < float64(min(most, 200<<10))/2 {
			t.Errorf("of %d bytes %v are used", most, used)
		}
	}
	if misses[1<<20] != 0 || misses[MinCacheBytes] == 0 {
		t.Errorf("the second time, the small cache is missed %d times, the large one %d", misses[MinCacheBytes], misses[1<<20])
	}
}

// TestMemtableBytes is how much is in memory before it is flushed.
func TestMemtableBytes(t *testing.T) {
	flushes := map[int64]float64{}
	for _, size := range []int64{4 << 10, 32 << 10} {
		e := loadedWith(t, Options{MemtableBytes: size}, 2000, 100)
		flushes[size] = e.Metrics().Other["flushes"]
		if got, want := flushes[size], float64(2000*120/size); got < want/2 || got > 3*want {
			t.Errorf("memtables of %d bytes: %v flushes", size, got)
		}
	}
	if flushes[4<<10] < 4*flushes[32<<10] {
		t.Errorf("flushes: %v", flushes)
	}
}

// TestMaxMemtables is how many there are before a commit waits: while no flush comes to an
// end, so many fill up, and no more.
func TestMaxMemtables(t *testing.T) {
	for _, most := range []int{2, 5} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		hang := d.Inject(simdisk.Fault{Op: simdisk.OpWrite, Path: "*.table", Effect: simdisk.Hang})
		e := mustOpen(t, "/store", Options{FS: d, MemtableBytes: 4 << 10, MaxMemtables: most, CacheBytes: MinCacheBytes})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			for i := 0; ; i++ {
				var b engine.Batch
				b.Put(optionKey(i), make([]byte, 500))
				if err := e.Apply(ctx, &b, engine.Memory); err != nil {
					done <- err
					return
				}
			}
		}()
		for e.counters.stalls.Load() == 0 {
			runtime.Gosched()
		}
		if n := e.Metrics().Other["memtables"]; n != float64(most) {
			t.Errorf("a commit waits with %v memtables of %d", n, most)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		hang.Release()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSegmentBytes is the size of the files of the log.
func TestSegmentBytes(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", Options{FS: d, Inline: true, SegmentBytes: 16 << 10, MemtableBytes: 1 << 20, CacheBytes: MinCacheBytes})
	for i := range 200 {
		apply(t, e, engine.Buffered, func(b *engine.Batch) { b.Put(optionKey(i), make([]byte, 500)) })
	}
	names, err := d.List("/store/log")
	if err != nil || len(names) < 6 || len(names) > 12 {
		t.Errorf("100 KiB are in %q (%v)", names, err)
	}
	for _, n := range names {
		if info, err := d.Stat(filepath.Join("/store/log", n)); err != nil || info.Size > 17<<10 {
			t.Errorf("%s has %d bytes (%v)", n, info.Size, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLevels is how many there are. A store keeps the number.
func TestLevels(t *testing.T) {
	for _, n := range []int{2, 4, 16} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := Options{FS: d, Inline: true, Levels: n, Multiplier: 2, MemtableBytes: 2 << 10, TableBytes: 4 << 10, CacheBytes: MinCacheBytes, CompactionThreshold: 1}
		e := mustOpen(t, "/store", o)
		for i := range 600 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100)) })
		}
		m := e.Metrics()
		if len(m.Levels) != n || m.Levels[n-1].Files == 0 {
			t.Errorf("%d levels: %+v", n, m.Levels)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, other := range []int{2, 3, 15} {
			if other == n {
				continue
			}
			o.Levels = other
			if _, err := Open(context.Background(), "/store", o); !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprintf("%d levels", n)) {
				t.Errorf("a store of %d levels, opened with %d: %v", n, other, err)
			}
		}
	}
}

// TestMultiplier bounds how many times the bytes of a level the one below has, so that a
// smaller one needs more levels.
func TestMultiplier(t *testing.T) {
	levels := map[int]int{}
	for _, multiplier := range []int{2, 100} {
		e := loadedWith(t, Options{Multiplier: multiplier, MemtableBytes: 2 << 10, TableBytes: 4 << 10, CompactionThreshold: 1}, 1200, 100)
		for _, l := range e.Metrics().Levels[1:] {
			levels[multiplier] += int(min(l.Files, 1))
		}
		st := e.hold()
		base, target := e.targets(st.levels)
		e.releaseState(st)
		for level := base; level < len(target)-2; level++ {
			if target[level] > 0 && target[level+1]/target[level] > 1.1*float64(multiplier) {
				t.Errorf("multiplier %d: targets %v", multiplier, target)
			}
		}
	}
	if levels[100] > 2 || levels[2] < levels[100]+2 {
		t.Errorf("levels that are used: %v", levels)
	}
}

// TestCompactionThreshold is how many runs there are at the top when they are merged.
func TestCompactionThreshold(t *testing.T) {
	for _, threshold := range []int{1, 3, 9} {
		e := loadedWith(t, Options{CompactionThreshold: threshold, MemtableBytes: 4 << 10}, 1, 100)
		most := 0
		for i := range 1000 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i*7919%1000), optionValue(i, 100)) })
			most = max(most, int(e.Metrics().Other["top_runs"]))
		}
		// Inline, what is due is merged before a commit returns.
		if most != threshold-1 {
			t.Errorf("threshold %d: %d runs", threshold, most)
		}
	}
}

// TestTableBytes is about how large a table gets.
func TestTableBytes(t *testing.T) {
	for _, size := range []int64{4 << 10, 64 << 10} {
		e := loadedWith(t, Options{TableBytes: size, Compression: NoCompression}, 3000, 100)
		if err := e.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		n, all := 0, int64(0)
		eachTable(t, e, func(_ int, x *table, _ *tableReader) {
			n++
			if x.bytes > size*5/4+2*blockTarget {
				t.Errorf("tables of %d bytes: one of %d", size, x.bytes)
			}
			all += x.bytes
		})
		if all/int64(n) < size/2 {
			t.Errorf("tables of %d bytes: %d have %d", size, n, all)
		}
	}
}

// codecsOf counts how blocks of each level are packed.
func codecsOf(t *testing.T, e *Engine) map[int]map[codec]int {
	t.Helper()
	out := map[int]map[codec]int{}
	eachTable(t, e, func(level int, _ *table, r *tableReader) {
		if out[level] == nil {
			out[level] = map[codec]int{}
		}
		for i := range r.blocks() {
			var b [1]byte
			if _, err := r.file.ReadAt(b[:], int64(r.offsets[i+1])-storedTail); err != nil {
				t.Fatal(err)
			}
			out[level][codec(b[0])]++
		}
	})
	return out
}

// TestCompression is how blocks and values are packed, and what they take.
func TestCompression(t *testing.T) {
	size := map[Compression]float64{}
	values := map[Compression]float64{}
	for c := range numCompressions {
		e := loadedWith(t, Options{Compression: c, Levels: 4, ValuesApart: 2000}, 2000, 100)
		for i := range 10 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(fmt.Appendf(nil, "apart %d", i), optionValue(i, 4000)) })
		}
		if err := e.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		for i := 2000; i < 2100; i++ { // some above the last level
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100)) })
		}
		if err := e.flushAll(context.Background()); err != nil {
			t.Fatal(err)
		}
		got := codecsOf(t, e)
		for level, n := range got {
			want := c.of(level == 3)
			if n[want] == 0 || len(n) != 1 {
				t.Errorf("%v: level %d has blocks by codec: %v", c, level, n)
			}
		}
		if len(got[0]) == 0 || len(got[3]) == 0 {
			t.Errorf("%v: %v", c, got)
		}
		m := e.Metrics().Other
		size[c], values[c] = m["table_bytes"], m["value_bytes"]
		readAll(t, e, 2100, 100)
	}
	if size[NoCompression] < 1.2*size[LZ4] || size[LZ4] < size[Zstd] || size[LZ4ThenZstd] > size[LZ4] {
		t.Errorf("bytes: %v", size)
	}
	if values[NoCompression] < 1.2*values[LZ4] || values[NoCompression] < 1.2*values[Zstd] {
		t.Errorf("bytes of values: %v", values)
	}
	// A store may be opened with another.
	d := simdisk.New(simdisk.Options{Seed: 1})
	for c := range numCompressions {
		e := mustOpen(t, "/store", Options{FS: d, Inline: true, Compression: c, CacheBytes: MinCacheBytes, MemtableBytes: 4 << 10})
		for i := range 500 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(int(c)*500+i), optionValue(int(c)*500+i, 100)) })
		}
		readAll(t, e, (int(c)+1)*500, 100)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilter is which filter tables have, and FilterBitsPerKey its size; it keeps gets of
// keys that are not there from reading blocks.
func TestFilter(t *testing.T) {
	const n, probes = 4000, 4000
	rate := func(o Options) (wrong float64, bytes int) {
		e := loadedWith(t, o, n, 10)
		if err := e.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		filters := 0
		may, asked := 0, 0
		eachTable(t, e, func(_ int, x *table, r *tableReader) {
			switch f := r.filter.(type) {
			case *blocked:
				bytes += len(f.words) * 8
				if o.Filter != BlockedBloom {
					t.Errorf("%v: a blocked filter", o.Filter)
				}
			case classic:
				bytes += int(f.Cap()) / 8
				if o.Filter != ClassicBloom {
					t.Errorf("%v: a classic filter", o.Filter)
				}
			case nil:
				if o.Filter != NoFilter {
					t.Errorf("%v: no filter", o.Filter)
				}
				return
			}
			filters++
			for i := range probes {
				asked++
				if r.filter.mayContain(hashOf(binary.BigEndian.AppendUint64(nil, uint64(i)))) {
					may++
				}
			}
		})
		readAll(t, e, n, 10)
		if filters == 0 {
			return 1, 0
		}
		return float64(may) / float64(asked), bytes
	}
	for _, kind := range []FilterKind{BlockedBloom, ClassicBloom} {
		few, fewBytes := rate(Options{Filter: kind, FilterBitsPerKey: 4})
		ten, tenBytes := rate(Options{Filter: kind})
		many, manyBytes := rate(Options{Filter: kind, FilterBitsPerKey: 20})
		if few < 0.05 || few > 0.3 || ten > 0.025 || ten < 0.002 || many > 0.002 {
			t.Errorf("%v: %.4f, %.4f and %.4f are wrong", kind, few, ten, many)
		}
		if tenBytes < n*10/8 || tenBytes > n*10/8*3/2 || fewBytes*2 > tenBytes || manyBytes < tenBytes*3/2 {
			t.Errorf("%v: %d, %d and %d bytes", kind, fewBytes, tenBytes, manyBytes)
		}
	}
	if wrong, _ := rate(Options{Filter: NoFilter}); wrong != 1 {
		t.Error("a filter")
	}
	// What a get of a key that is not there reads.
	misses := map[FilterKind]uint64{}
	for _, kind := range []FilterKind{BlockedBloom, NoFilter} {
		e := loadedWith(t, Options{Filter: kind, CacheBytes: MinCacheBytes}, n, 100)
		before := e.Metrics().CacheMisses
		for i := range 1000 {
			if _, err := e.Get(append(optionKey(i*7919%n), 'x'), nil); err != engine.ErrNotFound {
				t.Fatal(err)
			}
		}
		misses[kind] = e.Metrics().CacheMisses - before
	}
	if misses[NoFilter] < 20*misses[BlockedBloom] || misses[NoFilter] == 0 {
		t.Errorf("blocks read in vain: %v", misses)
	}
}

// TestValuesApart is the length from which on values lie apart, and ValueFileBytes about
// the size of a file of them.
func TestValuesApart(t *testing.T) {
	for _, o := range []Options{{}, {ValuesApart: 100}, {ValuesApart: 5000}, {ValuesApart: -1}, {ValuesApart: 100, ValueFileBytes: 16 << 10}} {
		limit := o.ValuesApart
		if limit == 0 {
			limit = 1 << 10
		}
		sizes := []int{0, 99, 100, 1023, 1024, 4999, 5000, 9000}
		size := func(i int) int { return sizes[i%len(sizes)] }
		o.Compression = NoCompression
		e := loadedWith(t, o, 1, 10)
		for i := range 200 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, size(i))) })
		}
		if err := e.Compact(context.Background(), nil, nil); err != nil {
			t.Fatal(err)
		}
		apart := 0
		eachTable(t, e, func(_ int, x *table, _ *tableReader) {
			c := newTableCursor(x)
			for ok := c.seekGE(x.lower); ok; ok = c.next() {
				n := len(c.e.value)
				if c.e.kind == kindApart {
					ref, err := decodeValueRef(c.e.value)
					if err != nil {
						t.Fatal(err)
					}
					n = int(ref.length)
					apart++
				}
				if want := limit > 0 && n >= limit; (c.e.kind == kindApart) != want {
					t.Errorf("limit %d: a value of %d bytes is apart: %v", o.ValuesApart, n, !want)
				}
			}
		})
		if (apart == 0) != (limit < 0) {
			t.Errorf("limit %d: %d values are apart", o.ValuesApart, apart)
		}
		st := e.hold()
		for _, v := range st.levels.values {
			if o.ValueFileBytes > 0 && v.bytes > o.ValueFileBytes+9000+storedTail {
				t.Errorf("a value file of %d bytes", v.bytes)
			}
		}
		if n := len(st.levels.values); o.ValueFileBytes > 0 && n < 10 {
			t.Errorf("%d value files", n)
		}
		e.releaseState(st)
		for i := range 200 {
			if v, err := e.Get(optionKey(i), nil); err != nil || !bytes.Equal(v, optionValue(i, size(i))) {
				t.Fatal(i, len(v), err)
			}
		}
	}
}

// TestInline: the same calls do the same I/O, and there are no goroutines.
func TestInline(t *testing.T) {
	var traces [2]bytes.Buffer
	for i := range traces {
		d := simdisk.New(simdisk.Options{Seed: 1})
		o := tiny(d)
		o.Inline = true
		e := mustOpen(t, "/store", o)
		if e.background.stop != nil {
			t.Error("there is a background")
		}
		ctx := context.Background()
		for i := range 600 {
			apply(t, e, engine.Durability(i%3), func(b *engine.Batch) { b.Put(optionKey(i*7919%300), optionValue(i, i%700)) })
			if i%40 == 0 {
				name := fmt.Sprintf("family %d", i%280)
				f, err := e.CreateFamily(ctx, name)
				if err == nil {
					apply(t, e, engine.Memory, func(b *engine.Batch) { b.PutIn(f, []byte("key"), nil) })
				}
				if i%120 == 0 {
					err = errors.Join(err, e.DropFamily(ctx, name))
				}
				if err != nil {
					t.Fatal(err)
				}
				e.manifest.logged = 1 << 40
			}
			if i == 300 {
				if err := e.Checkpoint(ctx, "/copy"); err != nil {
					t.Fatal(err)
				}
			}
			if i == 400 {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				e = mustOpen(t, "/store", o)
			}
		}
		if m := e.Metrics().Other; m["flushes"] == 0 || m["compactions"] == 0 {
			t.Error("nothing was flushed, or merged")
		}
		if err := errors.Join(e.Close(), d.WriteTrace(&traces[i])); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(traces[0].Bytes(), traces[1].Bytes()) {
		a, b := strings.Split(traces[0].String(), "\n"), strings.Split(traces[1].String(), "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("the same calls have done different things: event %d is %q, and %q", i, a[i], b[min(i, len(b)-1)])
			}
		}
	}
}

// TestLimits: the longest key, a value of some megabytes and a batch of many memtables go
// all the way down, and come back.
func TestLimits(t *testing.T) {
	ctx := context.Background()
	o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
	o.Inline = true
	e := mustOpen(t, "/store", o)
	f, err := e.CreateFamily(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	long := func(c byte) []byte { return bytes.Repeat([]byte{c}, engine.MaxKeyBytes) }
	value := optionValue(1, 5<<20)
	apply(t, e, engine.Flushed, func(b *engine.Batch) {
		b.Put(nil, nil)
		b.Put(long(0xff), value)
		b.PutIn(f, long(0xff), []byte("in a family"))
		b.Put(long(0), []byte("first"))
		for i := range 1000 {
			b.Put(optionKey(i), optionValue(i, 100))
		}
		b.DeleteRange(long('b'), long('c'))
	})
	check := func() {
		t.Helper()
		readAll(t, e, 1000, 100)
		for k, want := range map[string][]byte{"": nil, string(long(0xff)): value, string(long(0)): []byte("first")} {
			if v, err := e.Get([]byte(k), nil); err != nil || !bytes.Equal(v, want) {
				t.Fatalf("key of %d bytes: %d bytes, %v", len(k), len(v), err)
			}
		}
		in, err := e.In(f)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := in.Get(long(0xff), nil); err != nil || string(v) != "in a family" {
			t.Fatal(string(v), err)
		}
		if err := e.invariants(true); err != nil {
			t.Fatal(err)
		}
	}
	check()
	for range 2 {
		if err := e.Compact(ctx, nil, nil); err != nil {
			t.Fatal(err)
		}
		check()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, "/store", o)
		check()
	}
	too := append(long('x'), 'x')
	for _, fill := range []func(b *engine.Batch){
		func(b *engine.Batch) { b.Put(too, nil) },
		func(b *engine.Batch) { b.DeleteIn(f, too) },
		func(b *engine.Batch) { b.DeleteRange([]byte("a"), too) },
	} {
		var b engine.Batch
		b.Put([]byte("before"), nil)
		fill(&b)
		if err := e.Apply(ctx, &b, engine.Memory); !errors.Is(err, engine.ErrTooLarge) {
			t.Errorf("a key that is too long: %v", err)
		}
	}
	if err := e.Ingest(ctx, entriesOf(map[string]string{string(too): ""})); !errors.Is(err, engine.ErrTooLarge) {
		t.Errorf("a bulk load with a key that is too long: %v", err)
	}
	if _, err := e.Get([]byte("before"), nil); err != engine.ErrNotFound {
		t.Error(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
