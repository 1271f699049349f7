package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// victim is a closed store, to be damaged.
type victim struct {
	t     *testing.T
	o     Options
	files map[string][]byte
	model map[string]string
	// bounds are the keys of each table, values those whose value is in each value file.
	bounds map[string][2]string
	values map[string][]string
}

// newVictim makes a store of some tables, in several levels, with values apart, deleted
// ranges, and nothing in its log.
func newVictim(t *testing.T) *victim {
	t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	v := &victim{t: t, o: tiny(d), files: map[string][]byte{}, model: map[string]string{}, bounds: map[string][2]string{}, values: map[string][]string{}}
	v.o.Inline, v.o.CompactionThreshold = true, 3
	e := mustOpen(t, "/store", v.o)
	r := rand.New(rand.NewPCG(5, 5))
	for n := range 1500 {
		apply(t, e, engine.Memory, func(b *engine.Batch) {
			k := fmt.Sprintf("key%04d", r.IntN(400))
			if n%100 == 10 {
				upper := k + "9"
				b.DeleteRange([]byte(k), []byte(upper))
				maps.DeleteFunc(v.model, func(x, _ string) bool { return x >= k && x < upper })
				return
			}
			size := 50 + r.IntN(200)
			if n%10 == 0 {
				size = 300 + r.IntN(300)
			}
			v.model[k] = string(optionValue(n, size))
			b.Put([]byte(k), []byte(v.model[k]))
		})
	}
	if err := e.flushAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	eachTable(t, e, func(_ int, x *table, _ *tableReader) {
		v.bounds[fileName("", x.number, tableSuffix)] = [2]string{string(x.lower[1:]), string(x.upper[1:])}
		c := newTableCursor(x)
		for ok := c.seekGE(x.lower); ok; ok = c.next() {
			if c.e.kind == kindApart {
				ref, err := decodeValueRef(c.e.value)
				if err != nil {
					t.Fatal(err)
				}
				name := fileName("", ref.file, valueSuffix)
				v.values[name] = append(v.values[name], string(c.e.key[1:]))
			}
		}
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", manifestName, logName} {
		names, err := d.List(filepath.Join("/store", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			full := filepath.Join("/store", dir, n)
			if info, err := d.Stat(full); err == nil && info.Kind == vfs.RegularFile && n != vfs.LockName {
				v.files[filepath.Join(dir, n)] = fileContent(t, d, full)
			}
		}
	}
	if len(v.bounds) < 4 || len(v.values) < 3 {
		t.Fatalf("%d tables, %d value files", len(v.bounds), len(v.values))
	}
	return v
}

// disk returns a disk with the files of the store; of those in changed, with that content,
// or not at all, if that is nil.
func (v *victim) disk(changed map[string][]byte) *simdisk.Disk {
	v.t.Helper()
	d := simdisk.New(simdisk.Options{Seed: 1})
	for _, dir := range []string{"/store/" + manifestName, "/store/" + logName} {
		if err := d.MkdirAll(dir); err != nil {
			v.t.Fatal(err)
		}
	}
	files := maps.Clone(v.files)
	maps.Copy(files, changed)
	for name, content := range files {
		if content != nil {
			putFile(v.t, d, filepath.Join("/store", name), content)
		}
	}
	return d
}

// judge opens a damaged store and reads all of it, by gets and by a walk that seeks on
// behind what cannot be read. It returns the keys of which ErrCorrupt was said, and what
// Open said; what is silently wrong, or another error, fails the test.
func (v *victim) judge(what string, changed map[string][]byte) (corrupt map[string]error, opened error) {
	t := v.t
	t.Helper()
	o := v.o
	o.FS = v.disk(changed)
	e, err := Open(context.Background(), "/store", o)
	if err != nil {
		return nil, err
	}
	corrupt = map[string]error{}
	for k, want := range v.model {
		got, err := e.Get([]byte(k), nil)
		switch {
		case errors.Is(err, engine.ErrCorrupt):
			corrupt[k] = err
		case err != nil || string(got) != want:
			t.Fatalf("%s: key %q is %d bytes, want %d (%v)", what, k, len(got), len(want), err)
		}
	}
	for i := range 400 {
		k := fmt.Sprintf("key%04d", i)
		if _, there := v.model[k]; there {
			continue
		}
		if got, err := e.Get([]byte(k), nil); err != engine.ErrNotFound && !errors.Is(err, engine.ErrCorrupt) {
			t.Fatalf("%s: key %q, which is not there, is %d bytes (%v)", what, k, len(got), err)
		}
	}
	it, err := e.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if want, there := v.model[string(it.Key())]; !there || err != nil && !errors.Is(err, engine.ErrCorrupt) || err == nil && string(value) != want {
			t.Fatalf("%s: a walk comes to key %q, with %d bytes (%v)", what, it.Key(), len(value), err)
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, engine.ErrCorrupt) || err == nil && len(corrupt) > 0 && !strings.Contains(what, "value") {
		t.Fatalf("%s: a walk ends with %v", what, err)
	}
	if err := it.Close(); err != nil && !errors.Is(err, engine.ErrCorrupt) {
		t.Fatal(err)
	}
	// Writing goes on: what is damaged is in nobody's way.
	apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put([]byte("z"), []byte("new")) })
	if got, err := e.Get([]byte("z"), nil); err != nil || string(got) != "new" {
		t.Fatalf("%s: %q, %v", what, got, err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("%s: close: %v", what, err)
	}
	return corrupt, nil
}

func flip(b []byte, at int, mask byte) []byte {
	out := bytes.Clone(b)
	out[at] ^= mask
	return out
}

// within fails the test for keys beside the bounds of a table that were said to be
// corrupt, and for errors that do not name the file.
func (v *victim) within(what, name string, corrupt map[string]error) {
	v.t.Helper()
	b := v.bounds[name]
	for k, err := range corrupt {
		if k < b[0] || k >= b[1] {
			v.t.Fatalf("%s: key %q, which is not from %q to %q: %v", what, k, b[0], b[1], err)
		}
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "restore") {
			v.t.Fatalf("%s: the error does not name the file, or what to do: %v", what, err)
		}
	}
}

// TestDamagedTable: a table that is missing, truncated, longer, another's, or flipped
// anywhere is told of with file and keys; keys of other tables, and of other blocks if one
// block is damaged, stay readable.
func TestDamagedTable(t *testing.T) {
	v := newVictim(t)
	names := slices.Sorted(maps.Keys(v.bounds))
	if raceEnabled {
		names = names[:2]
	}
	r := rand.New(rand.NewPCG(1, 1))
	partly := 0
	for i, name := range names {
		content := v.files[name]
		other := v.files[names[(i+1)%len(names)]]
		for what, c := range map[string][]byte{
			"missing": nil, "truncated": content[:len(content)-1], "half": content[:len(content)/2], "empty": {},
			"longer": append(bytes.Clone(content), 0), "another's": other, "other bytes": bytes.Repeat([]byte{7}, len(content)),
		} {
			what = name + " is " + what
			corrupt, opened := v.judge(what, map[string][]byte{name: c})
			if opened != nil {
				t.Fatalf("%s: %v", what, opened)
			}
			if len(corrupt) == 0 {
				t.Errorf("%s: nothing is told", what)
			}
			v.within(what, name, corrupt)
			for _, err := range corrupt {
				if !strings.Contains(err.Error(), "keys from \"key") {
					t.Fatalf("%s: no range of keys: %v", what, err)
				}
			}
		}
		foot := content[len(content)-footerBytes:]
		le := binary.LittleEndian
		blocks := len(content) - footerBytes - int(le.Uint32(foot[40:])) - int(le.Uint32(foot[44:])) - int(le.Uint32(foot[48:]))
		for range 15 {
			at := r.IntN(len(content))
			what := fmt.Sprintf("%s is flipped at %d of %d", name, at, len(content))
			corrupt, opened := v.judge(what, map[string][]byte{name: flip(content, at, 1<<r.IntN(8))})
			if opened != nil {
				t.Fatalf("%s: %v", what, opened)
			}
			v.within(what, name, corrupt)
			if at >= blocks {
				if len(corrupt) == 0 {
					t.Errorf("%s, behind the blocks, and nothing is told", what)
				}
				continue
			}
			in := 0
			for k := range v.model {
				if k >= v.bounds[name][0] && k < v.bounds[name][1] {
					in++
				}
			}
			for _, err := range corrupt {
				if !strings.Contains(err.Error(), "block ") || !strings.Contains(err.Error(), "with keys from ") {
					t.Fatalf("%s: no block, or no range: %v", what, err)
				}
			}
			if 0 < len(corrupt) && len(corrupt) < in {
				partly++
			}
		}
	}
	if partly == 0 {
		t.Error("no flip has left other blocks of its table readable")
	}
	// A format of later.
	name := names[0]
	c := bytes.Clone(v.files[name])
	foot := c[len(c)-footerBytes:]
	binary.LittleEndian.PutUint32(foot[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(foot[52:], checksum.Of(foot[:52]))
	corrupt, _ := v.judge(name+" is of a later format", map[string][]byte{name: c})
	for _, err := range corrupt {
		if !strings.Contains(err.Error(), "format 2") {
			t.Fatal(err)
		}
	}
	if len(corrupt) == 0 {
		t.Error("a later format is read")
	}
}

// TestDamagedValues: a value file that is missing, short, or flipped takes the values in
// it, and nothing else.
func TestDamagedValues(t *testing.T) {
	v := newVictim(t)
	r := rand.New(rand.NewPCG(1, 1))
	told := 0
	names := slices.Sorted(maps.Keys(v.values))
	if raceEnabled {
		names = names[len(names)-4:]
	}
	for _, name := range names {
		keys, content := v.values[name], v.files[name]
		cases := map[string][]byte{"missing": nil, "empty": {}, "half": content[:len(content)/2]}
		for range 4 {
			at := r.IntN(len(content))
			cases[fmt.Sprintf("flipped at %d of %d", at, len(content))] = flip(content, at, 1<<r.IntN(8))
		}
		for what, c := range cases {
			what = "value file " + name + " is " + what
			corrupt, opened := v.judge(what, map[string][]byte{name: c})
			if opened != nil {
				t.Fatalf("%s: %v", what, opened)
			}
			for k, err := range corrupt {
				if !slices.Contains(keys, k) || !strings.Contains(err.Error(), name) {
					t.Fatalf("%s: key %q: %v", what, k, err)
				}
			}
			told += len(corrupt) // what newer versions hide is not missed
		}
	}
	if told == 0 {
		t.Error("no damage was told")
	}
}

// TestDamagedManifest: a manifest, or a CURRENT, that is flipped, torn or missing is
// ErrCorrupt with the file, or does not matter; nothing is lost in silence. The end of a
// manifest, where a crash may have torn an edit that was never acknowledged, is the log's
// to judge: it shows what was before, or refuses.
func TestDamagedManifest(t *testing.T) {
	v := newVictim(t)
	var name string
	for n := range v.files {
		if strings.HasPrefix(n, manifestName+"/") && (name == "" || n > name) {
			name = n
		}
	}
	content := v.files[name]
	used := len(bytes.TrimRight(content, "\x00"))
	r := rand.New(rand.NewPCG(1, 1))
	refused := 0
	flips := 150
	if raceEnabled {
		flips = 20
	}
	for range flips {
		at := r.IntN(used)
		for content[at] == 0 { // between records nothing counts
			at = r.IntN(used)
		}
		what := fmt.Sprintf("%s is flipped at %d of %d", name, at, used)
		corrupt, opened := v.judge(what, map[string][]byte{name: flip(content, at, 1<<r.IntN(8))})
		if opened != nil {
			refused++
			if !errors.Is(opened, engine.ErrCorrupt) || !strings.Contains(opened.Error(), "/store/manifest") {
				t.Fatalf("%s: %v", what, opened)
			}
		} else if len(corrupt) > 0 {
			t.Fatalf("%s: it opens, and %d keys cannot be read", what, len(corrupt))
		}
	}
	if refused < flips/2 {
		t.Errorf("%d of %d flips of the manifest are refused", refused, flips)
	}
	for what, c := range map[string]map[string][]byte{
		"the manifest is missing":      {name: nil},
		"the manifest is empty":        {name: {}},
		"CURRENT is empty":             {currentName: {}},
		"CURRENT is short":             {currentName: v.files[currentName][:currentBytes-1]},
		"CURRENT is long":              {currentName: append(bytes.Clone(v.files[currentName]), 0)},
		"CURRENT is missing":           {currentName: nil},
		"CURRENT is of another store":  {currentName: current{store: 12345, levels: 5}.encode()},
		"CURRENT has no levels":        {currentName: current{store: 1, levels: 0}.encode()},
		"CURRENT is behind":            {currentName: func() []byte { c := v.current(); c.after += 1000; return c.encode() }()},
		"CURRENT is of a later format": {currentName: later(v.files[currentName])},
	} {
		corrupt, opened := v.judge(what, c)
		if what == "CURRENT is of another store" {
			if opened == nil && len(corrupt) != len(v.model) {
				t.Errorf("%s: %d of %d keys are told to be corrupt", what, len(corrupt), len(v.model))
			}
			continue
		}
		if !errors.Is(opened, engine.ErrCorrupt) {
			t.Errorf("%s: %v", what, opened)
		}
		if what == "CURRENT is of a later format" && !strings.Contains(fmt.Sprint(opened), "format 2") {
			t.Error(opened)
		}
	}
	for at := range currentBytes {
		_, opened := v.judge("CURRENT is flipped", map[string][]byte{currentName: flip(v.files[currentName], at, 0x10)})
		if !errors.Is(opened, engine.ErrCorrupt) || !strings.Contains(opened.Error(), currentName) {
			t.Fatalf("CURRENT is flipped at %d: %v", at, opened)
		}
	}
	// What a crash may leave beside them does not matter.
	if corrupt, opened := v.judge("a CURRENT.new is left", map[string][]byte{currentTemp: []byte("half")}); opened != nil || len(corrupt) > 0 {
		t.Error(opened, corrupt)
	}
}

func (v *victim) current() current {
	c, err := decodeCurrent(v.files[currentName])
	if err != nil {
		v.t.Fatal(err)
	}
	return c
}

func later(b []byte) []byte {
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[8:], formatVersion+1)
	binary.LittleEndian.PutUint32(b[60:], checksum.Of(b[:60]))
	return b
}

// TestDirectoryOfAnother: what is not a store, and not empty, is not made one.
func TestDirectoryOfAnother(t *testing.T) {
	for what, files := range map[string][]string{
		"notes":     {"notes.txt"},
		"tables":    {"000001.table"},
		"values":    {"000001.values"},
		"a log":     {"log/000001.wal"},
		"a subject": {"subject/file"},
	} {
		d := simdisk.New(simdisk.Options{Seed: 1})
		for _, f := range files {
			if err := d.MkdirAll(filepath.Dir(filepath.Join("/store", f))); err != nil {
				t.Fatal(err)
			}
			putFile(t, d, filepath.Join("/store", f), []byte("content"))
		}
		_, err := Open(context.Background(), "/store", tiny(d))
		if !errors.Is(err, engine.ErrCorrupt) && !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
		for _, f := range files {
			if string(fileContent(t, d, filepath.Join("/store", f))) != "content" {
				t.Errorf("%s: it was changed", what)
			}
		}
	}
}

// TestDamageInTheWay: merges that come to a damaged table fail, and tell; flushes, and
// writing, go on; when the file is there again, so do merges.
func TestDamageInTheWay(t *testing.T) {
	v := newVictim(t)
	name := slices.Sorted(maps.Keys(v.bounds))[0]
	o := v.o
	d := v.disk(map[string][]byte{name: nil})
	o.FS = d
	e := mustOpen(t, "/store", o)
	err := e.Compact(context.Background(), nil, nil)
	if !errors.Is(err, engine.ErrCorrupt) || !strings.Contains(err.Error(), name) {
		t.Fatal(err)
	}
	for i := range 300 {
		apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put(optionKey(i), optionValue(i, 100)) })
		v.model[string(optionKey(i))] = string(optionValue(i, 100))
	}
	if err := e.flushAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	readAll(t, e, 300, 100)
	putFile(t, d, "/store/"+name, v.files[name])
	if err := errors.Join(e.Compact(context.Background(), nil, nil), same(e, v.model), e.invariants(true), e.settled(len(v.model)), e.Close()); err != nil {
		t.Fatal(err)
	}
}
