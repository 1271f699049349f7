package lsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// frugally calls decode, and fails the test if that takes much more memory than there is
// to be decoded, or returns another error than ErrCorrupt.
func frugally(t *testing.T, data []byte, decode func() error) error {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := decode()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20+200*uint64(len(data)) {
		t.Fatalf("%d bytes were taken to decode %d", took, len(data))
	}
	if err != nil && !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
	return err
}

// FuzzBlock: whatever checkBlock lets pass can be looked at without reaching out of it.
func FuzzBlock(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 3, 30} {
		f.Add([]byte(buildBlock(drawEntries(r, n, 3, 50))), adversary(r), false)
		f.Add([]byte(buildBlock(drawEntries(r, n, 1, 5000))), adversary(r), true)
	}
	f.Add([]byte{}, []byte{}, false)
	f.Fuzz(func(t *testing.T, data, key []byte, fix bool) {
		data = bytes.Clone(data)
		if fix && len(data) >= blockHead { // to get behind the first comparison
			binary.LittleEndian.PutUint32(data[16:], uint32(len(data)))
			data[15] = 0
		}
		if frugally(t, data, func() error { return checkBlock(data) }) != nil {
			return
		}
		frame := make([]byte, max(len(data), frameBytes))
		copy(frame, data)
		for _, b := range []block{data, frame} {
			n := b.count()
			for i := range n {
				b.record(b.slot(n, i))
			}
			for _, k := range [][]byte{key, nil, bytes.Repeat([]byte{0xff}, 20), b.prefix(n)} {
				if i := b.seek(k); i < 0 || i > n {
					t.Fatalf("place %d of %d", i, n)
				}
				b.get(k, hashOf(k), latest, 0)
				if n > 0 {
					// The first fingerprint matches.
					b.get(k, uint64(b[blockHead])<<56, latest, 0)
				}
			}
		}
	})
}

// indexOf makes an index, and returns where its blocks end.
func indexOf(r *rand.Rand, n int) ([]byte, int64) {
	_, keys := separatorsOf(func() (out [][]byte) {
		for range n {
			out = append(out, adversary(r))
		}
		return out
	}())
	var x indexBuilder
	end := int64(0)
	for i := range keys {
		if i > 0 {
			x.open(keys[i-1], keys[i])
		}
		size := int64(6 + r.IntN(5000))
		x.close(size)
		end += size
	}
	return bytes.Clone(x.encode()), end
}

// FuzzIndex: what is taken for an index finds blocks that it has.
func FuzzIndex(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 2, 100} {
		p, end := indexOf(r, n)
		f.Add(p, end, []byte("key"))
	}
	f.Fuzz(func(t *testing.T, data []byte, end int64, key []byte) {
		if end < 0 || end > 1<<32-1 {
			return
		}
		var x tableReader
		if frugally(t, data, func() error { return x.decodeIndex(data, end) }) != nil {
			return
		}
		n := x.blocks()
		if i := x.index.find(key); i >= n || i < 0 && n > 0 && len(x.index.key(0)) == 0 {
			t.Fatalf("block %d of %d", i, n)
		}
		for i := range n {
			if x.offsets[i] >= x.offsets[i+1] || i > 0 && bytes.Compare(x.index.key(i-1), x.index.key(i)) >= 0 {
				t.Fatalf("block %d of %d", i, n)
			}
		}
	})
}

// FuzzFilter: what is taken for a filter can be asked.
func FuzzFilter(f *testing.F) {
	b := newBlocked(10, 10)
	b.add(7)
	f.Add(b.encode(), uint64(7))
	c := classic{bloom.New(1000, 7)}
	c.add(7)
	p, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p, uint64(7))
	f.Add([]byte{byte(ClassicBloom)}, uint64(1))
	f.Fuzz(func(t *testing.T, data []byte, hash uint64) {
		_ = frugally(t, data, func() error {
			x, err := decodeFilter(data)
			if err == nil && x != nil {
				x.mayContain(hash)
			}
			return err
		})
	})
}

// FuzzRanges: what is taken for tombstones is in order, and is written again as it was
// read.
func FuzzRanges(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{0, 1, 20} {
		f.Add(encodeRanges(fragmentAll(drawTombstones(r, n), []uint64{3, 9})), []byte("05"))
	}
	f.Fuzz(func(t *testing.T, data, key []byte) {
		var x fragments
		if frugally(t, data, func() (err error) { x, err = decodeRanges(data); return err }) != nil {
			return
		}
		if err := checkFragments(x); err != nil {
			t.Fatal(err)
		}
		if s := x.cover(key, latest); !s.contains(key) {
			t.Fatal("a span without its key")
		}
		again, err := decodeRanges(encodeRanges(x))
		if err != nil || len(again) != len(x) {
			t.Fatalf("%d fragments are %d (%v)", len(x), len(again), err)
		}
	})
}

// drawEdit makes an edit of everything that there may be.
func drawEdit(r *rand.Rand) *edit {
	e := &edit{reset: r.IntN(4) == 0}
	meta := func() *tableMeta {
		m := &tableMeta{
			number: r.Uint64() >> 1, bytes: r.Int64N(1 << 40), live: r.Int64N(1 << 40), entries: r.Uint64(), deletes: r.Uint64(), ranges: r.Uint64(), rawBytes: r.Uint64(),
			lower: adversary(r), lowest: r.Uint64() & maxVersion, highest: r.Uint64() & maxVersion, add: r.Uint64() & maxVersion,
		}
		m.upper = append(bytes.Clone(m.lower), 0)
		if m.lower == nil {
			m.lower = []byte{}
		}
		for range r.IntN(3) {
			m.refs = append(m.refs, valueUse{r.Uint64(), r.Int64N(1 << 40)})
		}
		return m
	}
	for range r.IntN(3) {
		a := addition{level: r.IntN(6), meta: meta()}
		if a.level == 0 {
			a.run = 1 + r.Uint64N(maxVersion)
		}
		e.added = append(e.added, a)
	}
	for range r.IntN(3) {
		e.removed = append(e.removed, removal{r.Uint64(), append([]byte{}, adversary(r)...)})
	}
	for range r.IntN(3) {
		e.values = append(e.values, valueMeta{r.Uint64(), r.Int64N(1 << 40)})
		e.noValues = append(e.noValues, r.Uint64())
	}
	if r.IntN(2) == 0 {
		e.version, e.logSequence, e.nextFile = 1+r.Uint64N(maxVersion), r.Uint64(), 1+r.Uint64N(1000)
		e.families = []family{{1 + engine.FamilyID(r.Uint32N(1000)), string(adversary(r))}}
		e.noFamilies, e.cleared, e.nextFamily = []engine.FamilyID{2}, []engine.FamilyID{1<<32 - 1}, 5
		e.logBegun = r.IntN(2) == 0
	}
	return e
}

// TestEdit: an edit is read as it was written.
func TestEdit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		e := drawEdit(r)
		got, err := decodeEdit(e.encode(), 6)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v is read as %+v", e, got)
		}
	}
}

// FuzzEdit: what is taken for an edit is written again as it means.
func FuzzEdit(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		f.Add(drawEdit(r).encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var x *edit
		if frugally(t, data, func() (err error) { x, err = decodeEdit(data, 6); return err }) != nil {
			return
		}
		again, err := decodeEdit(x.encode(), 6)
		if err != nil || len(again.added) != len(x.added) || len(again.removed) != len(x.removed) {
			t.Fatalf("%+v is %+v (%v)", x, again, err)
		}
		// Levels that it makes are in order, or it is refused.
		l, err := emptyLevels(7).apply(nil, x)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		for _, run := range append(l.top, l.below...) {
			if err := checkRun(run); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzCurrent: what is taken for a CURRENT is written again as it was read.
func FuzzCurrent(f *testing.F) {
	f.Add(current{store: 7, after: 9, levels: 7}.encode(), true)
	f.Add([]byte(currentMagic), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		data = bytes.Clone(data)
		if seal && len(data) == currentBytes {
			copy(data, currentMagic)
			binary.LittleEndian.PutUint32(data[60:], checksum.Of(data[:60]))
		}
		var c current
		if frugally(t, data, func() (err error) { c, err = decodeCurrent(data); return err }) != nil {
			return
		}
		if again, err := decodeCurrent(c.encode()); err != nil || again != c {
			t.Fatalf("%+v is %+v (%v)", c, again, err)
		}
	})
}

// FuzzValueRef: likewise of where a value lies.
func FuzzValueRef(f *testing.F) {
	f.Add(valueRef{1, 2, 300, 4000}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var x valueRef
		if frugally(t, data, func() (err error) { x, err = decodeValueRef(data); return err }) != nil {
			return
		}
		if again, err := decodeValueRef(x.append(nil)); err != nil || again != x {
			t.Fatalf("%+v is %+v (%v)", x, again, err)
		}
		if x.stored > engine.MaxValueBytes+storedTail || x.length > engine.MaxValueBytes {
			t.Fatalf("%+v", x)
		}
	})
}

// TestStored: what is stored at a place is read there, by each codec, and nowhere else.
func TestStored(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var p packer
	var buf []byte
	packed := map[codec]int{}
	for _, n := range []int{0, 1, 63, 64, 100, 4096, 70_000, 1 << 20} {
		random := make([]byte, n)
		for i := range random {
			random[i] = byte(r.Uint32())
		}
		for _, payload := range [][]byte{random, bytes.Repeat([]byte("abcd"), n/4+1)[:n]} {
			for _, c := range []codec{codecNone, codecLZ4, codecZstd} {
				at := place{r.Uint64(), r.Uint64(), r.Int64N(1 << 30)}
				out, err := p.store([]byte("before"), payload, c, at)
				if err != nil {
					t.Fatal(err)
				}
				stored := out[len("before"):]
				if got := codec(stored[len(stored)-storedTail]); got != codecNone {
					packed[got]++
				}
				got, err := unstore(stored, at, &buf)
				if err != nil || !bytes.Equal(got, payload) {
					t.Fatalf("%d bytes by codec %d: %d bytes, %v", n, c, len(got), err)
				}
				for _, other := range []place{{at.store + 1, at.file, at.offset}, {at.store, at.file + 1, at.offset}, {at.store, at.file, at.offset + 1}} {
					if _, err := unstore(stored, other, &buf); !errors.Is(err, engine.ErrCorrupt) {
						t.Fatalf("%d bytes are taken at another place (%v)", n, err)
					}
				}
				flipped := bytes.Clone(stored)
				flipped[r.IntN(len(flipped))] ^= 1 << r.IntN(8)
				if _, err := unstore(flipped, at, &buf); !errors.Is(err, engine.ErrCorrupt) {
					t.Fatalf("%d bytes with a flipped bit are taken (%v)", n, err)
				}
			}
		}
	}
	if packed[codecLZ4] == 0 || packed[codecZstd] == 0 {
		t.Errorf("packed: %v", packed)
	}
}

// FuzzStored: what is stored unpacks, or is ErrCorrupt, with the checksum made right.
func FuzzStored(f *testing.F) {
	var p packer
	at := place{1, 2, 3}
	for _, c := range []codec{codecNone, codecLZ4, codecZstd} {
		out, err := p.store(nil, bytes.Repeat([]byte("abcd"), 300), c, at)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out, true)
		f.Add(out, false)
	}
	f.Add([]byte("\x00000000000000000000\x010000"), true) // nothing, packed
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		data = bytes.Clone(data)
		if n := len(data) - storedTail; seal && n >= 0 {
			binary.LittleEndian.PutUint32(data[n+1:], checksum.Of(data[:n+1])+at.scramble())
		}
		var buf, out []byte
		if _, err := zstdReader(); err != nil { // which is made once
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := unstore(data, at, &buf)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
		// A codec may pack very much into few bytes.
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20+2<<16*uint64(len(data)) {
			t.Fatalf("%d bytes were taken for %d, which unpack to %d", took, len(data), len(out))
		}
	})
}

// FuzzLogRecord: what is in a log, with its checksums right, is replayed or is ErrCorrupt;
// and if it was replayed the store can be closed and opened again.
func FuzzLogRecord(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	var b engine.Batch
	b.Put([]byte("key"), []byte("value"))
	b.DeleteRange([]byte("a"), []byte("b"))
	f.Add(b.Encoded())
	f.Add(appendBytes(appendBytes([]byte{recordNoBatch, recordClear}, []byte("a")), []byte("b")))
	f.Add([]byte{recordNoBatch})
	f.Add([]byte{recordNoBatch, 7})
	f.Add(append([]byte{recordNoBatch, recordIngest, 1}, drawEdit(r).encode()...))
	f.Add([]byte("\x00\x01\x0120000000000000000000")) // a table in a level
	f.Add(appendBytes(appendBytes([]byte{recordNoBatch, recordClear}, []byte("b")), []byte("a")))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &Engine{families: map[string]engine.FamilyID{}, known: map[engine.FamilyID]bool{}, clearing: map[engine.FamilyID]bool{}, nextFamily: 1}
		o, err := Options{MemtableBytes: MinMemtableBytes, MaxMemtables: 1000, CacheBytes: MinCacheBytes, Inline: true, FS: simdisk.New(simdisk.Options{Seed: 1})}.complete()
		if err != nil {
			t.Fatal(err)
		}
		prepare(e, o)
		m, err := e.newMemtable(0)
		if err != nil {
			t.Fatal(err)
		}
		e.install(newState(m, nil, emptyLevels(o.Levels)))
		defer func() {
			if err := e.letGo(); err != nil {
				t.Error(err)
			}
		}()
		take, rest := e.replayLog()
		err = take(wal.Record{Sequence: 1, Payload: data})
		if err == nil {
			err = rest()
		}
		if err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
