//go:build rocksdb

package rocks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/linxGnu/grocksdb"
	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"defaults": {},
		// Everything is small, so that flushes and compactions happen, and there is
		// the class Memory too.
		"small": {
			CacheBytes: 256 << 10, WriteBufferBytes: 64 << 10, BlockBytes: 1 << 10,
			Compression: None, BloomBitsPerKey: -1, ManualLogFlush: true, Statistics: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Target{
				Name:       "rocksdb",
				Open:       func(dir string) (engine.Engine, error) { return Open(dir, o) },
				Operations: 20_000,
			})
		})
	}
}

func openTest(t *testing.T, dir string, o Options) *store {
	t.Helper()
	e, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*store)
}

func closeTest(t *testing.T, closer interface{ Close() error }) {
	t.Helper()
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
}

// The encoding of a batch is that of RocksDB's own WriteBatch.
func TestWriteBatchEncoding(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{Families: []string{"f"}})
	defer closeTest(t, s)
	f := s.familyNamed("f")
	long := bytes.Repeat([]byte("long"), 100)

	var b engine.Batch
	b.Put([]byte("a"), long)
	b.PutIn(f.id, long, nil)
	b.Delete(nil)
	b.DeleteIn(f.id, []byte("b"))
	b.DeleteRange([]byte("x"), []byte("x")) // left out
	b.DeleteRange([]byte("c"), []byte("d"))
	b.DeleteRangeIn(f.id, nil, long)
	got, count := appendWriteBatch(nil, &b)

	w := grocksdb.NewWriteBatch()
	defer w.Destroy()
	w.Put([]byte("a"), long)
	w.PutCF(f.handle, long, nil)
	w.Delete(nil)
	w.DeleteCF(f.handle, []byte("b"))
	w.DeleteRange([]byte("c"), []byte("d"))
	w.DeleteRangeCF(f.handle, nil, long)
	if want := w.Data(); !bytes.Equal(got, want) || count != w.Count() {
		t.Fatalf("%d records\n% x\nwant %d\n% x", count, got, w.Count(), want)
	}
}

func TestStatusError(t *testing.T) {
	for text, want := range map[string]struct {
		kind   error
		errno  syscall.Errno
		damage bool
	}{
		"IO error: lock hold by current process, acquire time 1 acquiring thread 2: /d/LOCK: No locks available":           {engine.ErrLocked, syscall.ENOLCK, false},
		"IO error: While lock file: /d/LOCK: Resource temporarily unavailable":                                             {engine.ErrLocked, syscall.EAGAIN, false},
		"Corruption: block checksum mismatch: stored = 1, computed = 2, type = 4  in /d/000008.sst offset 0 size 100":      {engine.ErrCorrupt, 0, true},
		"IO error: No space left on device: While appending to file: /d/000009.sst: No space left on device":               {engine.ErrNoSpace, syscall.ENOSPC, false},
		"IO error: No space left on device: While appending to file: /d/000008.log: No space left on device":               {engine.ErrNoSpace, syscall.ENOSPC, true},
		"IO error: No space left on device: While fdatasync: /d/000009.sst: No space left on device":                       {engine.ErrNoSpace, syscall.ENOSPC, true},
		"IO error: While fdatasync: /d/000008.log: Input/output error":                                                     {nil, syscall.EIO, true},
		"IO error: No such file or directory: While open a file for random read: /d/000008.sst: No such file or directory": {nil, syscall.ENOENT, true},
		"Invalid argument: Column family already exists":                                                                   {engine.ErrInvalid, 0, false},
		"Not implemented: Snapshots are not supported":                                                                     {engine.ErrUnsupported, 0, false},
		"Result incomplete: Write stall": {nil, 0, false},
	} {
		e := statusError(text)
		if e.kind != want.kind || e.errno != want.errno || e.damage != want.damage {
			t.Errorf("%s\nis kind %v, errno %v, damage %v; want %v, %v, %v", text, e.kind, e.errno, e.damage, want.kind, want.errno, want.damage)
		}
		wrapped := fmt.Errorf("apply: %w", e)
		if want.kind != nil && !errors.Is(wrapped, want.kind) || want.errno != 0 && !errors.Is(wrapped, want.errno) || damaging(wrapped) != want.damage {
			t.Errorf("%s: wrapped, it is another", text)
		}
	}
}

// An ID is not given again after its family is dropped, not even when the
// MANIFEST has been rewritten, as each open does.
func TestFamilyIDsAreNotGivenAgain(t *testing.T) {
	dir := t.TempDir()
	seen := map[engine.FamilyID]string{0: "default"}
	for round := range 5 {
		s := openTest(t, dir, Options{Families: []string{"kept"}})
		name := fmt.Sprintf("family %d", round)
		id, err := s.CreateFamily(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[id]; taken {
			t.Fatalf("%s has the ID %d of %s", name, id, other)
		}
		seen[id] = name
		if round == 0 {
			seen[s.familyNamed("kept").id] = "kept"
		}
		if err := s.DropFamily(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		closeTest(t, s)
		closeTest(t, openTest(t, dir, Options{}))
	}
}

// A dropped family ends for its readers, but not for a snapshot and an iterator
// that show it.
func TestDroppedFamily(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{Families: []string{"f"}})
	defer closeTest(t, s)
	f := s.familyNamed("f").id
	var b engine.Batch
	b.PutIn(f, []byte("k"), []byte("v"))
	if err := s.Apply(t.Context(), &b, engine.Buffered); err != nil {
		t.Fatal(err)
	}
	r, err := s.In(f)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	it, err := r.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DropFamily(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}

	if _, err := r.Get([]byte("k"), nil); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("get in a dropped family: %v", err)
	}
	if _, err := r.NewIterator(engine.IterOptions{}); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("iterator in a dropped family: %v", err)
	}
	if err := s.Apply(t.Context(), &b, engine.Buffered); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("put in a dropped family: %v", err)
	}
	old, err := snap.(engine.FamilyReader).In(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := old.Get([]byte("k"), nil); err != nil || string(got) != "v" {
		t.Errorf("the snapshot shows %q, %v", got, err)
	}
	if !it.First() || string(it.Key()) != "k" {
		t.Errorf("the iterator shows %q, %v", it.Key(), it.Err())
	}
	closeTest(t, it)
	closeTest(t, snap)
}

func TestMetricsFollowTheData(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{Statistics: true})
	defer closeTest(t, s)
	const n, size = 5000, 1000
	for i := range n {
		var b engine.Batch
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(i * j >> 3)
		}
		b.Put(fmt.Appendf(nil, "%06d", i*7919%n), value)
		if err := s.Apply(t.Context(), &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	if m := s.Metrics(); m.BytesLogged < n*size || m.BytesFlushed != 0 || m.MemoryBytes < n*size {
		t.Errorf("in the memtable: %+v", m)
	}
	if err := s.Compact(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := s.Get(fmt.Appendf(nil, "%06d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	m := s.Metrics()
	var files int64
	var stored uint64
	for _, level := range m.Levels {
		files += level.Files
		stored += level.Bytes
	}
	if m.BytesFlushed == 0 || m.BytesCompacted == 0 || files == 0 || stored == 0 || m.DiskBytes < stored || m.CacheHits == 0 || m.CacheMisses == 0 || len(m.Missing) != 0 {
		t.Errorf("compacted: %+v", m)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{Compression: "lzma"}, {MaxBackgroundJobs: -1}, {BlockBytes: -1}, {Families: []string{""}}} {
		if _, err := Open(t.TempDir(), o); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestTableOptions: what the options of memtables and tables say is what RocksDB is
// told, and their defaults are its own.
func TestTableOptions(t *testing.T) {
	for _, o := range []Options{{}, {MaxWriteBuffers: 5, TargetFileBytes: 3 << 20}} {
		want := o.WithDefaults()
		s := newSettings(want)
		if got := s.options.GetMaxWriteBufferNumber(); got != want.MaxWriteBuffers {
			t.Errorf("%+v: %d memtables", o, got)
		}
		if got := s.options.GetTargetFileSizeBase(); got != want.TargetFileBytes {
			t.Errorf("%+v: tables of %d bytes", o, got)
		}
		s.destroy()
	}
	plain := grocksdb.NewDefaultOptions()
	defer plain.Destroy()
	if d := (Options{}).WithDefaults(); d.MaxWriteBuffers != plain.GetMaxWriteBufferNumber() || d.TargetFileBytes != plain.GetTargetFileSizeBase() {
		t.Errorf("the defaults %+v are not RocksDB's", d)
	}
	for _, bad := range []Options{{MaxWriteBuffers: 1}, {MaxWriteBuffers: -1}} {
		if err := bad.Validate(); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
