package cowbtree_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/cowbtree"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

const (
	sector   = 512
	metaSlot = 4096
)

// victim is a closed store on a disk, to be damaged.
type victim struct {
	disk    *simdisk.Disk
	options cowbtree.Options
	model   map[string]string
	named   map[string]map[string]string
	// data are the bytes of the data file.
	data []byte
}

// newVictim makes a store that is small, and has some levels, values apart, and a
// snapshot.
func newVictim(t *testing.T, o cowbtree.Options) *victim {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	o.FS, o.Inline, o.SegmentBytes, o.CacheBytes = d, true, 16<<10, 4<<20
	s := newStory(t, 7, "/store", o)
	s.large, s.keys = false, 40
	s.steps(t, 60)
	if err := s.e.CreateSnapshot(context.Background(), "kept"); err != nil {
		t.Fatal(err)
	}
	s.named["kept"] = maps.Clone(s.model)
	for range 3 {
		s.large = true
		s.model["a value apart"] = strings.Repeat("apart ", 500+s.IntN(200))
		if err := s.e.Ingest(context.Background(), entriesOf(map[string]string{"a value apart": s.model["a value apart"]})); err != nil {
			t.Fatal(err)
		}
		s.large = false
		s.steps(t, 40)
	}
	s.check(t)
	s.close(t)
	v := &victim{disk: d, options: o, model: s.model, named: s.named}
	v.data = contentOf(t, d, "/store/data")
	return v
}

func contentOf(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// copies returns a function that makes copies of the disk, each to be damaged.
func (v *victim) copies() func() *simdisk.Disk {
	w := v.disk.Walk()
	for w.Next() {
	}
	all := make([]simdisk.Fate, len(w.Pending()))
	for i := range all {
		all[i] = simdisk.Kept
	}
	return func() *simdisk.Disk { return w.Crash(all, 1) }
}

// replaced returns a copy of the disk with another data file.
func (v *victim) replaced(t *testing.T, image *simdisk.Disk, data []byte) *simdisk.Disk {
	t.Helper()
	f, err := image.Open("/store/data", vfs.Truncate)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data, 0, vfs.Plain)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return image
}

// verdict is what came of damage.
type verdict struct {
	// inspected and opened are what Inspect and Open said.
	inspected, opened error
	// right and refused count the keys, of the newest tree and of snapshots, that
	// were read as they are, and that ErrCorrupt was said of.
	right, refused int
}

// judge inspects and opens a damaged store, and reads everything in it. What is
// silently wrong, or another error than ErrCorrupt with the file, fails the test.
func (v *victim) judge(t *testing.T, what string, image *simdisk.Disk) (r verdict) {
	t.Helper()
	ctx := context.Background()
	r.inspected = cowbtree.Inspect(ctx, image, "/store", io.Discard)
	v.mustBeCorrupt(t, what+": inspect", r.inspected)
	o := v.options
	o.FS = image
	e, err := cowbtree.Open(ctx, "/store", o)
	if r.opened = err; err != nil {
		v.mustBeCorrupt(t, what+": open", err)
		return r
	}
	v.read(t, what, e, v.model, &r)
	names, err := e.ListSnapshots()
	if err != nil || !slices.Equal(names, slices.Sorted(maps.Keys(v.named))) {
		t.Errorf("%s: the snapshots are %q (%v)", what, names, err)
	}
	for _, name := range names {
		s, err := e.OpenSnapshot(name)
		if err != nil {
			t.Errorf("%s: open snapshot %q: %v", what, name, err)
			continue
		}
		v.read(t, what+": snapshot", s, v.named[name], &r)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	v.mustBeCorrupt(t, what+": close", e.Close())
	if r.refused > 0 && r.inspected == nil {
		t.Errorf("%s: %d keys cannot be read, and Inspect finds the store sound", what, r.refused)
	}
	return r
}

func (v *victim) mustBeCorrupt(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && (!errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), "/store")) {
		t.Errorf("%s: %v, want ErrCorrupt with the file", what, err)
	}
}

// read reads all keys, by gets and by an iterator.
func (v *victim) read(t *testing.T, what string, from engine.Reader, model map[string]string, r *verdict) {
	t.Helper()
	for key, want := range model {
		switch got, err := from.Get([]byte(key), nil); {
		case err != nil:
			r.refused++
			v.mustBeCorrupt(t, fmt.Sprintf("%s: get %q", what, key), err)
		case string(got) != want:
			t.Errorf("%s: key %q is silently another value, of %d bytes", what, key, len(got))
		default:
			r.right++
		}
	}
	if _, err := from.Get([]byte("zz not there"), nil); err != engine.ErrNotFound {
		v.mustBeCorrupt(t, what+": get of no key", err)
	}
	it, err := from.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	keys := slices.Sorted(maps.Keys(model))
	n, failed := 0, false
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		failed = failed || err != nil
		if n >= len(keys) || string(it.Key()) != keys[n] || err == nil && string(value) != model[keys[n]] {
			t.Errorf("%s: key %d is %q, with a value of %d bytes", what, n, it.Key(), len(value))
			break
		}
		v.mustBeCorrupt(t, what+": value", err)
		n++
	}
	if err := it.Err(); err != nil {
		v.mustBeCorrupt(t, what+": iterate", err)
	} else if n != len(keys) {
		t.Errorf("%s: %d keys, want %d, and no error", what, n, len(keys))
	}
	_ = it.Close() // Err again
}

// TestEveryFlippedBitIsSeen flips a bit in each byte of the meta slots, and in some
// of each other sector.
func TestEveryFlippedBitIsSeen(t *testing.T) {
	for _, c := range []cowbtree.Compression{cowbtree.NoCompression, cowbtree.LZ4, cowbtree.Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			v := newVictim(t, cowbtree.Options{MaxKeysPerNode: 12, Compression: c, CheckpointBytes: 16 << 10})
			var places []int64
			for slot := range int64(3) {
				for at := range int64(128) {
					places = append(places, slot*metaSlot+at)
				}
				places = append(places, slot*metaSlot+128, slot*metaSlot+metaSlot-1)
			}
			random := rand.New(rand.NewPCG(1, 2))
			for at := int64(3 * metaSlot); at < int64(len(v.data)); at += sector {
				places = append(places, at+int64(random.IntN(8)), at+int64(random.IntN(sector)))
			}
			copies := v.copies()
			var seen, refused, partly int
			for _, at := range places {
				image := copies()
				if err := image.Rot("/store/data", at, 1<<random.IntN(8)); err != nil {
					t.Fatal(err)
				}
				r := v.judge(t, fmt.Sprintf("byte %d", at), image)
				if r.inspected != nil {
					seen++
				}
				if r.opened != nil {
					refused++
				}
				if r.refused > 0 && r.right > r.refused {
					partly++
				}
				if meta := at < 3*metaSlot; meta && at%metaSlot < 128 && r.inspected == nil {
					t.Errorf("byte %d of a meta slot: Inspect finds nothing", at%metaSlot)
				}
			}
			t.Logf("of %d flips Inspect saw %d; %d openings were refused; in %d most keys could be read", len(places), seen, refused, partly)
			if seen < len(places)/4 || refused == 0 || partly < 10 {
				t.Errorf("of %d flips %d were seen, %d refused and %d in parts of the data", len(places), seen, refused, partly)
			}
		})
	}
}

// TestTruncated cuts the data file.
func TestTruncated(t *testing.T) {
	v := newVictim(t, cowbtree.Options{MaxKeysPerNode: 12, CheckpointBytes: 16 << 10})
	copies := v.copies()
	lengths := []int{0, 1, 100, 127, 128, 129, metaSlot - 1, metaSlot, metaSlot + 1, 2 * metaSlot, 3*metaSlot - 1, 3 * metaSlot}
	for n := 3*metaSlot + 100; n < len(v.data); n += 1500 {
		lengths = append(lengths, n)
	}
	refused := 0
	for _, n := range lengths {
		r := v.judge(t, fmt.Sprintf("%d bytes", n), v.replaced(t, copies(), v.data[:n]))
		if (r.opened != nil) != (r.inspected != nil) {
			t.Errorf("%d bytes: inspect: %v; open: %v", n, r.inspected, r.opened)
		}
		if r.opened != nil {
			refused++
		}
	}
	if refused < len(lengths)/3 {
		t.Errorf("%d of %d lengths were refused", refused, len(lengths))
	}
	// What is behind the end is nobody's.
	if r := v.judge(t, "longer", v.replaced(t, copies(), append(bytes.Clone(v.data), "what the file has grown by"...))); r.opened != nil || r.inspected != nil || r.refused > 0 {
		t.Errorf("a longer file: %+v", r)
	}
}

// TestForeignFile puts other files in the place of the data file.
func TestForeignFile(t *testing.T) {
	v := newVictim(t, cowbtree.Options{})
	copies := v.copies()
	random := make([]byte, 64<<10)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(random) // which does not fail
	for what, data := range map[string][]byte{
		"empty": nil, "text": []byte(strings.Repeat("a text\n", 5000)), "zeros": make([]byte, 64<<10), "random": random,
	} {
		r := v.judge(t, what, v.replaced(t, copies(), data))
		if r.opened == nil || r.inspected == nil {
			t.Errorf("%s: inspect: %v; open: %v", what, r.inspected, r.opened)
		}
	}
	r := v.judge(t, "text", v.replaced(t, copies(), []byte(strings.Repeat("a text\n", 5000))))
	if !strings.Contains(r.opened.Error(), "no file of a copy-on-write B+tree") {
		t.Errorf("a text is refused with %v", r.opened)
	}
}

// TestNewerVersion: a format that this build does not know is refused.
func TestNewerVersion(t *testing.T) {
	v := newVictim(t, cowbtree.Options{})
	data := bytes.Clone(v.data)
	for slot := range 3 {
		b := data[slot*metaSlot:][:128]
		binary.LittleEndian.PutUint32(b[8:], 9)
		binary.LittleEndian.PutUint32(b[12:], checksum.Of(b[:12], b[16:]))
	}
	r := v.judge(t, "version 9", v.replaced(t, v.copies()(), data))
	for _, err := range []error{r.opened, r.inspected} {
		if err == nil || !strings.Contains(err.Error(), "format version 9") {
			t.Errorf("%v", err)
		}
	}
}

// TestOtherDirectories: what is no store is not made one, and what is half of one
// is refused.
func TestOtherDirectories(t *testing.T) {
	v := newVictim(t, cowbtree.Options{})
	copies := v.copies()
	refusedAs := func(what string, image *simdisk.Disk, kind error, text string) {
		t.Helper()
		o := v.options
		o.FS = image
		e, err := cowbtree.Open(context.Background(), "/store", o)
		if err == nil {
			err = errors.Join(errors.New("it opens"), e.Close())
		}
		if !errors.Is(err, kind) || !strings.Contains(err.Error(), "/store") || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	foreign := simdisk.New(simdisk.Options{Seed: 1})
	must(foreign.MkdirAll("/store"))
	f, err := foreign.Open("/store/thesis.tex", vfs.Create)
	must(err)
	must(f.Close())
	refusedAs("foreign files", foreign, engine.ErrInvalid, "thesis.tex")
	if err := cowbtree.Inspect(context.Background(), foreign, "/store", io.Discard); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("foreign files: inspect: %v", err)
	}

	image := copies()
	logs, err := image.List("/store/log")
	must(err)
	for _, name := range logs {
		must(image.Remove(filepath.Join("/store/log", name)))
	}
	refusedAs("an empty log", image, engine.ErrCorrupt, "no log")
	must(image.Remove("/store/log"))
	refusedAs("without its log", image, engine.ErrCorrupt, "no log")

	image = copies()
	must(image.Remove("/store/data"))
	refusedAs("without its data file", image, engine.ErrCorrupt, "no data")

	image = copies()
	must(image.Remove("/store/data"))
	must(image.MkdirAll("/store/data"))
	o := v.options
	o.FS = image
	if _, err := cowbtree.Open(context.Background(), "/store", o); err == nil {
		t.Error("a directory in the place of the data file is opened")
	}
}
