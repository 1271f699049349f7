package cowbtree

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
)

// FuzzPage: whatever checkPage lets pass, the functions of pages can look at and
// change without reaching out of it.
func FuzzPage(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"short", "prefix", "zeros", "bytes"} {
		for _, kind := range []byte{kindLeaf, kindInner} {
			// Few entries: fuzzing is faster with what is small.
			b, _ := fill(r, kind, minPageBytes, 20, func() []byte { return pageKeys[name](r) })
			f.Add(pack(nil, b), []byte("key"), false)
			f.Add(pack(nil, b), pageKeys[name](r), true)
			f.Add(b[:headerBytes], []byte("all"), true)
		}
	}
	f.Fuzz(func(t *testing.T, data, key []byte, seal bool) {
		if len(data) > 2*minPageBytes || len(key) > minPageBytes {
			return
		}
		image := bytes.Clone(data)
		if seal && len(image) >= headerBytes {
			// So that fuzzing gets behind the first comparisons.
			putU32(image, atSize, uint32(len(image)))
			image[atKind] = kindLeaf + image[atKind]&1
			image[atLevel] = image[atKind] - kindLeaf
			image[atShift] &= 1
			image[atFlags] &= flagExtents
			putU32(image, atHeap, u32(image, atHeap)%uint32(len(image)+1))
			putU32(image, atGarbage, 0)
		}
		if err := checkPage(image); err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if _, err := checkContent(image, nil, key); err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
		frame := make([]byte, minPageBytes<<frameClass(len(image)))
		copy(frame, image)
		for _, b := range [][]byte{image, frame} {
			usePage(t, b, key)
		}
	})
}

// usePage calls everything that is called with pages that others may change, and
// with such that are stable.
func usePage(t *testing.T, b, key []byte) {
	count, inner := pageCount(b), b[atKind] == kindInner
	for _, k := range [][]byte{key, nil, bytes.Repeat([]byte{0xff}, 20)} {
		if inner {
			if i, ok := childFor(b, k); !ok || i < 0 || i >= count {
				t.Fatalf("child %d of %d, %v", i, count, ok)
			}
			continue
		}
		if i, _, ok := lowerBound(b, k); !ok || i < 0 || i > count {
			t.Fatalf("place %d of %d, %v", i, count, ok)
		}
		if _, _, _, ok := findInLeaf(b, k, fingerprint(k)); !ok {
			t.Fatal("an unstable page")
		}
	}
	var scratch []byte
	for i := range count {
		var e entry
		e, scratch = entryAt(b, i, scratch[:0])
		if e.extent {
			readExtentRef(e.value)
		}
	}
	liveBytes(b)
	if u32(b, atGarbage) == 0 {
		if image := pack(nil, b); checkPage(image) != nil || pageCount(image) != count {
			t.Fatalf("packed: %v", checkPage(image))
		}
	}
	dst := make([]byte, 2*max(len(b), minPageBytes))
	if copyPage(dst, b) && checkPage(dst) != nil {
		t.Fatalf("copied: %v", checkPage(dst))
	}
	if inner {
		if hasRoomForChild(dst, key, 1<<16-1) {
			insertChild(dst, count, key, ref{id: 1})
		}
		return
	}
	if copyPage(dst, b) {
		if i, exact, ok := lowerBound(dst, key); ok && hasRoom(dst, i, exact, key, 10, false, 1<<16-1) {
			putInLeaf(dst, i, exact, key, make([]byte, 10), false)
			if err := checkPage(dst); err != nil {
				t.Fatalf("put: %v", err)
			}
		}
		if pageCount(dst) > 0 {
			removeFromLeaf(dst, pageCount(dst)/2)
		}
	}
}

// FuzzMeta: a meta page is refused or as it was written.
func FuzzMeta(f *testing.F) {
	for _, m := range []meta{
		{id: 1, checkpoint: 1, generation: 1, root: ref{id: extent{24, 1}.id(), birth: 1}, catalog: extent{32, 8}, catalogBytes: 4, size: 40},
		{id: math.MaxUint64, checkpoint: math.MaxUint64, sequence: math.MaxUint64, begun: math.MaxUint64, generation: math.MaxUint64,
			root: ref{id: math.MaxUint64 >> 1, birth: math.MaxUint64 >> 8, flags: 255, sum: math.MaxUint32}, level: 31,
			catalog: extentOf(math.MaxUint64), catalogBytes: 1 << 29, catalogSum: math.MaxUint32, size: math.MaxInt64},
		{level: 32}, {size: -1, root: ref{id: 1}},
	} {
		f.Add(m.encode(), false)
		f.Add(m.encode()[:metaBytes-1], true)
	}
	f.Add(make([]byte, metaBytes), false)
	f.Add([]byte(magic), true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		b := bytes.Clone(data)
		if seal && len(b) >= metaBytes {
			copy(b, magic)
			putU32(b, 8, formatVersion)
			putU32(b, 12, checksum.Of(b[:12], b[16:metaBytes]))
		}
		m, err := decodeMeta(b)
		if err != nil {
			if err != errNoMeta && !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := decodeMeta(m.encode()); err != nil || again != m {
			t.Fatalf("%+v is read again as %+v, %v", m, again, err)
		}
	})
}

// FuzzCatalog: a catalog is refused or as it was written, and takes no more memory
// than its bytes can ask for.
func FuzzCatalog(f *testing.F) {
	for _, c := range []catalog{
		{},
		{free: []extent{{24, 8}, {40, 1}}},
		{free: []extent{{24, 1 << 40}}, snapshots: []catalogSnapshot{
			{name: "a", sequence: 5, generation: 2, root: ref{id: extent{64, 2}.id(), birth: 2, flags: 1, sum: 7}, level: 3},
			{name: "auto-1", sequence: math.MaxUint64, generation: math.MaxUint64, automatic: true, root: ref{id: 1, birth: math.MaxUint64}, level: 31,
				dead: []dead{{id: extent{80, 3}.id(), birth: 1}, {id: extent{88, 8}.id(), birth: 2, extent: true}}},
		}},
	} {
		f.Add(c.encode())
		f.Add(append(c.encode(), 0))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0, 1, 1, 'x', 1, 1, 0, 0, 1, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCatalog(data)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		n := len(c.free) + len(c.snapshots)
		for _, s := range c.snapshots {
			n += len(s.dead) + len(s.name)
		}
		if n > len(data) {
			t.Fatalf("%d things in %d bytes", n, len(data))
		}
		if again, err := decodeCatalog(c.encode()); err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v is read again as %+v, %v", c, again, err)
		}
	})
}

// FuzzUnpack: what is no packed page is refused, and takes no more memory than a
// page has; what was packed is unpacked.
func FuzzUnpack(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{2, 10, 200} {
		b, _ := fill(r, kindLeaf, minPageBytes, n, func() []byte { return pageKeys["prefix"](r) })
		image := pack(nil, b)
		f.Add(image)
		for _, c := range []Compression{LZ4, Zstd} {
			packed, err := c.compress(nil, image)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed)
			for range 8 {
				damaged := bytes.Clone(packed)
				damaged[r.IntN(min(len(damaged), 200))] ^= 1 << r.IntN(8)
				f.Add(damaged)
			}
		}
	}
	f.Add(append([]byte{kindZstd, 0, 0, 0, 0, 0, 4, 0, 100, 0, 0, 0}, make([]byte, 100)...))
	f.Add(append([]byte{kindLZ4, 0, 0, 0, 0, 0, 4, 0, 100, 0, 0, 0}, make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out []byte
		image, err := unpack(data, &out)
		if err != nil && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatal(err)
		}
		if n := max(len(image), cap(out)); err == nil && n > max(len(data), 2*maxPageBytes) || cap(out) > 4*maxPageBytes {
			t.Fatalf("%d bytes of %d (%v)", n, len(data), err)
		}
		if len(data) < headerBytes || len(data) > maxPageBytes {
			return
		}
		whole := bytes.Clone(data)
		whole[0] = kindLeaf
		putU32(whole, atSize, uint32(len(whole)))
		for _, c := range []Compression{NoCompression, LZ4, Zstd} {
			packed, err := c.compress(nil, whole)
			if err != nil {
				t.Fatal(err)
			}
			stored := append(bytes.Clone(packed), make([]byte, int(sectors(len(packed)))*sectorBytes-len(packed))...)
			if got, err := unpack(stored, &out); err != nil || !bytes.Equal(got, whole) {
				t.Fatalf("%v: %d bytes are unpacked to %d, %v", c, len(whole), len(got), err)
			}
		}
	})
}

// TestCompressionIsWorthIt: a page is packed only where that saves a sector.
func TestCompressionIsWorthIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []Compression{LZ4, Zstd} {
		for _, n := range []int{headerBytes, 200, 511, 512, 513, 4096, maxPageBytes} {
			random, zeros := randomBytes(r, n, 256), make([]byte, n)
			for what, image := range map[string][]byte{"random": random, "zeros": zeros} {
				image[0] = kindLeaf
				putU32(image, atSize, uint32(n))
				packed, err := c.compress(nil, image)
				if err != nil {
					t.Fatal(err)
				}
				if saves := sectors(len(packed)) < sectors(n); saves != (what == "zeros" && n > sectorBytes) || !saves && !bytes.Equal(packed, image) {
					t.Errorf("%v: %d bytes, %s, are packed to %d", c, n, what, len(packed))
				}
			}
		}
	}
	if got := fmt.Sprint(NoCompression, LZ4, Zstd, Compression(9)); got != "none lz4 zstd Compression(9)" {
		t.Error(got)
	}
}
