package lsm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// TestRefusedEditDoesNotCount: an edit that could not be written says nothing about what is
// in tables. A whole edit that said so would make the log forget what is in none.
func TestRefusedEditDoesNotCount(t *testing.T) {
	o := smallest(true)
	o.FS = simdisk.New(simdisk.Options{Seed: 1})
	e := mustOpen(t, "/store", o)
	apply(t, e, engine.Flushed, func(b *engine.Batch) { b.Put([]byte("key"), []byte("value")) })
	version, sequence := e.manifestVersion, e.manifestSequence
	if e.visible.Load() <= version {
		t.Fatal("nothing is in memory")
	}
	if err := e.manifest.log.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.flushAll(context.Background()); !errors.Is(err, engine.ErrClosed) {
		t.Fatalf("flush without a manifest: %v", err)
	}
	whole := e.whole(e.state.Load().levels)
	if whole.version != version || whole.logSequence != sequence {
		t.Errorf("version %d, record %d are in tables, and before it was refused %d, %d", whole.version, whole.logSequence, version, sequence)
	}
	if err := e.Close(); err == nil {
		t.Error("closed as if all were in tables")
	}
}

// TestMergesThatFail: where merges cannot be made, because a table is damaged, commits go
// on until so many runs wait that no more may come, and get that error then; reads beside
// the damage go on. When the table is mended, so do commits.
func TestMergesThatFail(t *testing.T) {
	o := smallest(true)
	disk := simdisk.New(simdisk.Options{Seed: 1})
	o.FS, o.CompactionThreshold = disk, 1
	e := mustOpen(t, "/store", o)
	n := 0
	put := func() error {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "key%02d", n%100), make([]byte, 100))
		n++
		return e.Apply(context.Background(), &b, engine.Buffered)
	}
	for range 500 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Compact(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	sound := map[string][]byte{}
	for _, tab := range e.state.Load().levels.all {
		name := filepath.Join("/store", fileName("", tab.number, tableSuffix))
		content := fileContent(t, disk, name)
		sound[name] = append([]byte{}, content...)
		content[10] ^= 1
		putFile(t, disk, name, content)
	}
	if len(sound) == 0 {
		t.Fatal("no table")
	}
	var err error
	for range 20_000 {
		if err = put(); err != nil {
			break
		}
		if runs := len(e.state.Load().levels.top); runs > e.hardRuns() {
			t.Fatalf("%d runs at the top, and no more than %d may be", runs, e.hardRuns())
		}
	}
	if !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("commits over a damaged table: %v", err)
	}
	if v, err := e.Get(fmt.Appendf(nil, "key%02d", (n-2)%100), nil); err != nil || len(v) != 100 {
		t.Fatalf("get of what was written last: %d bytes, %v", len(v), err)
	}
	for name, content := range sound {
		putFile(t, disk, name, content)
	}
	if err := put(); err != nil {
		t.Fatalf("with the table mended: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFilterProbes: each probe beyond the seventh sets bits of its own, as the first ones
// do.
func TestFilterProbes(t *testing.T) {
	bits := func(probes int, hash uint64) [filterLineWords]uint64 {
		b := newBlocked(1, 1)
		b.probes = probes
		b.add(hash)
		return [filterLineWords]uint64(b.words)
	}
	const keys = 200
	patterns := map[[filterLineWords]uint64]bool{}
	for i := range uint64(keys) {
		hash := hashOf(fmt.Append(nil, i))
		seven, all := bits(7, hash), bits(14, hash)
		for w := range all {
			all[w] &^= seven[w]
		}
		patterns[all] = true
	}
	if len(patterns) < keys-2 {
		t.Errorf("%d keys set %d patterns", keys, len(patterns))
	}
}
