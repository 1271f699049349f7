package cowbtree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// tampered is the data file of a closed store, to be changed so that all checksums
// are right.
type tampered struct {
	*testing.T
	data    []byte
	meta    meta
	catalog catalog
}

func (d *tampered) at(r ref) []byte {
	x := extentOf(r.id)
	return d.data[offsetOf(x) : offsetOf(x)+x.n*sectorBytes]
}

// page changes the page at the end of a path from the root, and makes the
// checksums of those above it right.
func (d *tampered) page(path []int, change func(b []byte)) {
	d.meta.root.sum = d.below(d.meta.root, path, change)
}

func (d *tampered) below(r ref, path []int, change func(b []byte)) uint32 {
	b := d.at(r)
	if len(path) == 0 {
		change(b[:u32(b, atSize)])
	} else {
		child := childAt(b, path[0])
		child.sum = d.below(child, path[1:], change)
		putChild(b, path[0], child)
	}
	return checksum.Of(b)
}

// putChild puts another reference in the place of child i, and nothing else.
func putChild(b []byte, i int, r ref) {
	flags := b[atFlags]
	setChild(b, i, r)
	b[atFlags] = flags
}

// seal writes catalog and meta page.
func (d *tampered) seal(slot int) {
	b := d.catalog.encode()
	if len(b) > int(d.meta.catalog.n*sectorBytes) {
		d.Fatal("the catalog does not fit in its place")
	}
	copy(d.data[offsetOf(d.meta.catalog):], b)
	d.meta.catalogBytes, d.meta.catalogSum = uint32(len(b)), checksum.Of(b)
	copy(d.data[slot*slotBytes:], d.meta.encode())
}

// swap exchanges n bytes.
func swap(b []byte, x, y, n int) {
	held := bytes.Clone(b[x : x+n])
	copy(b[x:], b[y:y+n])
	copy(b[y:], held)
}

// TestInspectFindsWhatChecksumsDoNot changes the structures of a store so that all
// checksums match.
func TestInspectFindsWhatChecksumsDoNot(t *testing.T) {
	ctx := context.Background()
	disk := simdisk.New(simdisk.Options{Seed: 1})
	e, err := Open(ctx, "/store", Options{FS: disk, Inline: true})
	if err != nil {
		t.Fatal(err)
	}
	put := func(from, to, size int) {
		t.Helper()
		for i := from; i < to; i++ {
			var b engine.Batch
			b.Put(fmt.Appendf(nil, "key %05d", i), make([]byte, size))
			if err := e.Apply(ctx, &b, engine.Buffered); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 1200, 60)
	put(5, 6, 5000)
	for _, name := range []string{"first", "second"} {
		if err := e.CreateSnapshot(ctx, name); err != nil {
			t.Fatal(err)
		}
		put(100, 101, 70)
		put(800, 802, 70)
		put(700, 701, 4000)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := disk.Open("/store/data", 0)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	whole := make([]byte, size)
	if _, err := f.ReadAt(whole, 0); err != nil {
		t.Fatal(err)
	}
	m, err := readMeta(f)
	if err != nil || m.level != 1 {
		t.Fatal(m.level, err)
	}
	c, err := decodeCatalog(whole[offsetOf(m.catalog):][:m.catalogBytes])
	if err != nil || len(c.snapshots) != 2 || len(c.free) < 2 {
		t.Fatal(c, err)
	}
	leafSlots := func(b []byte) (slots, heads int) {
		slots = slotOfLeaf(b, u16(b, atCap))
		return slots, slots + 2*u16(b, atCap)
	}
	newest := int(m.checkpoint % metaSlots)
	for _, x := range []struct {
		want   string
		change func(d *tampered)
	}{
		{"", func(*tampered) {}},
		{"key 4, \"key ", func(d *tampered) {
			d.page([]int{3}, func(b []byte) {
				slots, heads := leafSlots(b)
				swap(b, headerBytes+3, headerBytes+4, 1)
				swap(b, slots+6, slots+8, 2)
				swap(b, heads+12, heads+16, 4)
			})
		}},
		{"fingerprint 2 is not that of key", func(d *tampered) { d.page([]int{0}, func(b []byte) { b[headerBytes+2]++ }) }},
		{"head 1 is not that of its key", func(d *tampered) {
			d.page([]int{0}, func(b []byte) { _, heads := leafSlots(b); b[heads+4]++ })
		}},
		{"where one of level 0 should be", func(d *tampered) {
			d.page(nil, func(b []byte) { putChild(b, 1, d.catalog.snapshots[0].root) })
		}},
		{"lack 0x1", func(d *tampered) { d.page([]int{0}, func(b []byte) { b[atFlags] = 0 }) }},
		{"lacks 0x1", func(d *tampered) {
			d.page(nil, func(b []byte) { r := childAt(b, 0); r.flags = 0; putChild(b, 0, r) })
		}},
		{"records, prefix and garbage take", func(d *tampered) { d.page([]int{2}, func(b []byte) { putU32(b, atGarbage, 3) }) }},
		{"is below its separator", func(d *tampered) {
			d.page(nil, func(b []byte) {
				// The last byte of a separator is not in its head, if it is long.
				i := 2
				s, _, _, _ := record(b, slotAt(b, innerDirOf(u16(b, atCap)).slots, i))
				s[len(s)-1]++
				d := innerDirOf(u16(b, atCap))
				putU32(b, d.heads+4*i, head(s))
				indexHeads(b)
			})
		}},
		{"is not below the separator of the next page", func(d *tampered) {
			d.page(nil, func(b []byte) {
				dir := innerDirOf(u16(b, atCap))
				s, _, _, _ := record(b, slotAt(b, dir.slots, 5))
				s[len(s)-1]--
				putU32(b, dir.heads+4*5, head(s))
				indexHeads(b)
			})
		}},
		{"index does not have head 16", func(d *tampered) { d.page(nil, func(b []byte) { b[headerBytes+4]++ }) }},
		{"is born in generation", func(d *tampered) {
			d.page(nil, func(b []byte) { r := childAt(b, 4); r.birth = 1000; putChild(b, 4, r) })
		}},
		{"which is not within the file", func(d *tampered) {
			d.page(nil, func(b []byte) {
				r := childAt(b, 4)
				r.id = extent{1 << 30, 4}.id()
				putChild(b, 4, r)
			})
		}},
		{"which cannot be", func(d *tampered) {
			d.page(nil, func(b []byte) { r := childAt(b, 4); r.id |= unwritten; putChild(b, 4, r) })
		}},
		{"which cannot be", func(d *tampered) {
			d.page(nil, func(b []byte) { r := childAt(b, 4); r.flags = 0x80; putChild(b, 4, r) })
		}},
		{"is in one tree twice", func(d *tampered) {
			d.page(nil, func(b []byte) { putChild(b, 4, childAt(b, 3)) })
		}},
		{"is referred to elsewhere as another one", func(d *tampered) {
			s := &d.catalog.snapshots[0]
			b := d.at(s.root)
			r := childAt(b, 4)
			r.birth--
			putChild(b, 4, r)
			s.root.sum = checksum.Of(b)
		}},
		{"is referred to elsewhere as another one", func(d *tampered) {
			s := &d.catalog.snapshots[0]
			b := d.at(s.root)
			r := childAt(b, 4)
			r.sum++
			putChild(b, 4, r)
			s.root.sum = checksum.Of(b)
		}},
		{"is not within the separators", func(d *tampered) {
			// The page is shared, and read with the newest tree; here its bounds are others.
			s := &d.catalog.snapshots[0]
			b := d.at(s.root)
			p, _, _, _ := record(b, slotAt(b, innerDirOf(u16(b, atCap)).slots, 2))
			p[len(p)-1]++
			putU32(b, innerDirOf(u16(b, atCap)).heads+8, head(p))
			indexHeads(b)
			s.root.sum = checksum.Of(b)
		}},
		{"the checksum of a value of 5000 bytes does not match", func(d *tampered) {
			d.value(func(x *extentRef) { x.sum++ })
		}},
		{"a value at", func(d *tampered) { d.value(func(x *extentRef) { x.bytes = 1 << 30 }) }},
		{"a value at", func(d *tampered) { d.value(func(x *extentRef) { x.birth = 1 << 30 }) }},
		{"overlaps with something else", func(d *tampered) { d.value(func(x *extentRef) { x.id = extent{8, 16}.id() }) }},
		{"are neither free nor anyone's", func(d *tampered) { d.catalog.free = d.catalog.free[1:] }},
		{"free space, of ", func(d *tampered) { d.catalog.free[0].at-- }},
		{"is out of order", func(d *tampered) { d.catalog.snapshots[1].sequence = 1 << 30 }},
		{"is out of order", func(d *tampered) { d.catalog.snapshots[0].generation = d.catalog.snapshots[1].generation }},
		{"another one's too", func(d *tampered) { d.catalog.snapshots[1].name = "first" }},
		{"is said to hold what is at", func(d *tampered) {
			s := &d.catalog.snapshots[0]
			s.dead = append(s.dead, dead{id: d.meta.root.id, birth: d.meta.root.birth})
		}},
		{"is said to hold what is at", func(d *tampered) { d.catalog.snapshots[0].dead[0].birth++ }},
		{"is said twice to hold", func(d *tampered) { s := &d.catalog.snapshots[1]; s.dead = append(s.dead, s.dead[0]) }},
		{"would never be free again", func(d *tampered) { s := &d.catalog.snapshots[1]; s.dead = s.dead[1:] }},
		{"the catalog would be at", func(d *tampered) { d.meta.catalog.n = 1 << 20 }},
		{"the checksum of the catalog", func(d *tampered) { d.meta.catalogSum++ }},
		{"the file ends here, and should have", func(d *tampered) { d.meta.size = 1 << 30 }},
		{"which belongs into slot", func(d *tampered) {
			other := (newest + 2) % metaSlots
			m := d.meta
			m.checkpoint = 3 + uint64(newest)
			copy(d.data[other*slotBytes:], m.encode())
		}},
		{"is of store", func(d *tampered) {
			m := d.meta
			m.id, m.checkpoint = 1, m.checkpoint-1
			copy(d.data[int(m.checkpoint%metaSlots)*slotBytes:], m.encode())
		}},
	} {
		d := &tampered{T: t, data: bytes.Clone(whole), meta: m}
		if d.catalog, err = decodeCatalog(whole[offsetOf(m.catalog):][:m.catalogBytes]); err != nil {
			t.Fatal(err)
		}
		x.change(d)
		if changed := d.meta.catalog != m.catalog || d.meta.catalogSum != m.catalogSum; changed {
			copy(d.data[newest*slotBytes:], d.meta.encode())
		} else {
			d.seal(newest)
		}
		if _, err := f.WriteAt(d.data, 0, vfs.Plain); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := Inspect(ctx, disk, "/store", &out)
		switch {
		case x.want == "" && err != nil:
			t.Errorf("nothing was changed, and it is %v\n%s", err, out.String())
		case x.want == "":
		case !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "/store/data at "):
			t.Errorf("%v, want %q\n%s", err, x.want, out.String())
		case !strings.Contains(out.String(), x.want):
			t.Errorf("%q is not printed, but\n%s", x.want, out.String())
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// value changes where the first leaf says that a value is.
func (d *tampered) value(change func(x *extentRef)) {
	d.page([]int{0}, func(b []byte) {
		for i := range pageCount(b) {
			if _, place, extent, _ := record(b, slotAt(b, slotOfLeaf(b, u16(b, atCap)), i)); extent {
				x := readExtentRef(place)
				change(&x)
				copy(place, x.appendTo(nil))
				return
			}
		}
		d.Fatal("no value apart")
	})
}

// TestInspectIsBounded: damage everywhere is not told of everywhere.
func TestInspectIsBounded(t *testing.T) {
	var d damage
	for i := range 3 * inspection.MaxListed {
		d.at(int64(i), "here")
	}
	if err := d.Err(); !errors.Is(err, engine.ErrCorrupt) || strings.Count(err.Error(), "\n") != inspection.MaxListed || !strings.Contains(err.Error(), fmt.Sprintf("in %d more places", 2*inspection.MaxListed)) {
		t.Errorf("%v", err)
	}
}

// TestInspectEnds: when its context does, or its writer fails.
func TestInspectEnds(t *testing.T) {
	disk := simdisk.New(simdisk.Options{Seed: 1})
	e, err := Open(context.Background(), "/store", Options{FS: disk, Inline: true})
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Inspect(ctx, disk, "/store", io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
	if err := Inspect(context.Background(), disk, "/store", full{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a writer that fails: %v", err)
	}
	disk.Inject(simdisk.Fault{Op: simdisk.OpRead, Path: "data", Nth: 4, Effect: simdisk.EIO})
	if err := Inspect(context.Background(), disk, "/store", io.Discard); err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("a read that fails: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestCover compares the bitmap of sectors with a plain one.
func TestCover(t *testing.T) {
	for _, size := range []int64{0, 1, 63, 64, 65, 130, 700} {
		for seed := range int64(40) {
			c, plain := newCover(size), make([]bool, size)
			for i := range size / 10 {
				at := (seed*7919 + i*i*104729) % size
				n := min(1+(seed*31+i*17)%(1+seed*5), size-at)
				first := int64(-1)
				for s := at; s < at+n; s++ {
					if plain[s] && first < 0 {
						first = s
					}
					plain[s] = true
				}
				if where, ok := c.take(extent{at, n}); ok != (first < 0) || !ok && where != first {
					t.Fatalf("take %d, %d: %d, %v, want %d", at, n, where, ok, first)
				}
			}
			var gaps, want []extent
			c.gaps(func(x extent) { gaps = append(gaps, x) })
			for s := int64(0); s < size; s++ {
				if plain[s] {
					continue
				}
				if n := len(want); n > 0 && want[n-1].end() == s {
					want[n-1].n++
				} else {
					want = append(want, extent{s, 1})
				}
			}
			if fmt.Sprint(gaps) != fmt.Sprint(want) {
				t.Fatalf("size %d, seed %d: %v, want %v", size, seed, gaps, want)
			}
		}
	}
}
