//go:build lmdb

package lmdb

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, o := range map[string]Options{
		"defaults": {},
		"no-sync":  {NoSync: true, NoReadAhead: true},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, enginetest.Target{
				Name:       "lmdb",
				Open:       func(dir string) (engine.Engine, error) { return Open(dir, o) },
				Operations: 20_000,
			})
		})
	}
}

func openTest(t testing.TB, dir string, o Options) *store {
	t.Helper()
	e, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*store)
}

func closeTest(t testing.TB, closer interface{ Close() error }) {
	t.Helper()
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, s *store, key, value string) {
	t.Helper()
	var b engine.Batch
	b.Put([]byte(key), []byte(value))
	if err := s.Apply(t.Context(), &b, engine.Flushed); err != nil {
		t.Fatal(err)
	}
}

// A full map is ErrNoSpace with nothing applied, and the store goes on in a
// larger one.
func TestFullMap(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, Options{MapBytes: 1 << 20, NoSync: true})
	var err error
	n := 0
	for ; err == nil; n++ {
		var b engine.Batch
		b.Put(fmt.Appendf(nil, "%06d", n), bytes.Repeat([]byte{'v'}, 1000))
		b.Put([]byte("last"), fmt.Appendf(nil, "%06d", n))
		err = s.Apply(t.Context(), &b, engine.Buffered)
	}
	n--
	if !errors.Is(err, engine.ErrNoSpace) {
		t.Fatalf("commit %d: %v", n, err)
	}
	if last, err := s.Get([]byte("last"), nil); err != nil || string(last) != fmt.Sprintf("%06d", n-1) {
		t.Fatalf("after commit %d failed, the last one is %q, %v", n, last, err)
	}
	closeTest(t, s)
	s = openTest(t, dir, Options{MapBytes: 2 << 20})
	put(t, s, "more", strings.Repeat("v", 1000))
	if _, err := s.Get(fmt.Appendf(nil, "%06d", n-1), nil); err != nil {
		t.Fatal(err)
	}
	closeTest(t, s)
}

func TestDamagedFileIsRefused(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"cut short":  func(path string) error { return os.Truncate(path, 3*4096) },
		"other data": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("not lmdb"), 1024), 0o644) },
	} {
		dir := t.TempDir()
		s := openTest(t, dir, Options{})
		for i := range 10 {
			put(t, s, fmt.Sprint(i), strings.Repeat("v", 3000))
		}
		closeTest(t, s)
		if err := damage(filepath.Join(dir, dataFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.Is(err, engine.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// More readers than are kept, on many goroutines, each at the commit at which it
// was made.
func TestManyReaders(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{NoSync: true})
	defer closeTest(t, s)
	const n = 300
	snaps := make([]engine.Snapshot, n)
	for i := range snaps {
		var b engine.Batch
		b.Put([]byte("number"), fmt.Append(nil, i))
		if err := s.Apply(t.Context(), &b, engine.Buffered); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		snaps[i] = snap
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 4 { // each snapshot by two goroutines
				got, err := snaps[i].Get([]byte("number"), nil)
				if err != nil || string(got) != fmt.Sprint(i) {
					t.Errorf("snapshot %d shows %q, %v", i, got, err)
				}
				if got, err = s.Get([]byte("number"), got[:0]); err != nil || string(got) != fmt.Sprint(n-1) {
					t.Errorf("the store shows %q, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
	for _, snap := range snaps {
		closeTest(t, snap)
	}
}

// A snapshot whose iterator is open goes with the iterator.
func TestSnapshotClosedUnderItsIterator(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	put(t, s, "a", "old")
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	it, err := snap.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "new")
	if err := snap.Close(); !errors.Is(err, engine.ErrInUse) {
		t.Fatalf("close with an open iterator: %v", err)
	}
	put(t, s, "b", "new")
	if !it.First() || it.Next() {
		t.Fatalf("the iterator shows another state: %v", it.Err())
	}
	closeTest(t, it)
	closeTest(t, s)
}

// What benches call gets what Get gets, and says what it cannot.
func TestBenchGets(t *testing.T) {
	s := openTest(t, t.TempDir(), Options{})
	defer closeTest(t, s)
	put(t, s, "k1", "one")
	put(t, s, "k2", "three")
	dst := make([]byte, 0, 16)
	took, n, err := BenchGets(s, []byte("k2k1k1"), 2, dst)
	if err != nil || n != 11 || took <= 0 || string(dst[:3]) != "one" {
		t.Errorf("%d bytes in %v, %q at last (%v)", n, took, dst[:3], err)
	}
	if _, _, err := BenchGets(s, []byte("k1k3"), 2, dst); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a key that is not there: %v", err)
	}
	if _, _, err := BenchGets(s, []byte("k1k"), 2, dst); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("half a key: %v", err)
	}
	if _, _, err := BenchGets(nil, []byte("k1"), 2, dst); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("no LMDB: %v", err)
	}
}
