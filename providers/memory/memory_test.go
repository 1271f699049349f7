package memory_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that a test lets go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1e9, 0)} }
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestConformance(t *testing.T) {
	time := newClock()
	drivertest.Run(t, drivertest.Target{Name: "memory", Advance: time.Advance, Open: func(ctx context.Context, _ string) (driver.Store, error) {
		return driver.Open(ctx, memory.Backend, memory.Config{Now: time.Now})
	}})
}

func TestConformanceWithBackupAndLimits(t *testing.T) {
	for _, c := range []memory.Compression{memory.None, memory.Gzip, memory.LZ4, memory.Zstd} {
		t.Run(string(c), func(t *testing.T) {
			time := newClock()
			drivertest.Run(t, drivertest.Target{Name: "memory", Advance: time.Advance, Operations: 100, Open: func(ctx context.Context, place string) (driver.Store, error) {
				return memory.Open(ctx, memory.Config{Now: time.Now, MaxEntries: 100000, MaxBytes: 1 << 30, DiskBackup: &memory.DiskBackup{Path: filepath.Join(place, "backup"), Compression: c}})
			}})
		})
	}
}

func open(t *testing.T, c memory.Config) *memory.Store {
	t.Helper()
	s, err := memory.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, driver.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s driver.Store, key, value string) {
	t.Helper()
	if _, err := s.Put(t.Context(), []byte(key), []byte(value), driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestLimits: at a limit a new entry is refused, with words; what is there can be
// written and deleted; near it the store is degraded.
func TestLimits(t *testing.T) {
	s := open(t, memory.Config{MaxEntries: 10})
	for i := range 8 {
		put(t, s, fmt.Sprint(i), "v")
	}
	if r := s.Report(); r.Degraded != "" || r.Entries != 8 || r.EntryLimit != 10 {
		t.Errorf("8 of 10: %+v", r)
	}
	put(t, s, "8", "v")
	if r := s.Report(); !strings.Contains(r.Degraded, "9 entries of 10") {
		t.Errorf("9 of 10: %+v", r)
	}
	put(t, s, "9", "v")
	_, err := s.Put(t.Context(), []byte("x"), nil, driver.PutOptions{})
	if !errors.Is(err, driver.ErrNoSpace) || !strings.Contains(err.Error(), "max_entries") {
		t.Errorf("the eleventh: %v", err)
	}
	put(t, s, "9", "w")
	err = s.Commit(t.Context(), &driver.Commit{Writes: []driver.Write{{Key: []byte("9"), Delete: true}, {Key: []byte("x")}}})
	if err != nil {
		t.Errorf("one out, one in: %v", err)
	}
	err = s.BulkPut(t.Context(), []driver.Write{{Key: []byte("y")}})
	if !errors.Is(err, driver.ErrNoSpace) {
		t.Errorf("bulk: %v", err)
	}
	if err := s.Delete(t.Context(), []byte("x"), driver.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	put(t, s, "y", "v")

	b := open(t, memory.Config{MaxBytes: 1000})
	put(t, b, "a", strings.Repeat("v", 900))
	_, err = b.Put(t.Context(), []byte("b"), make([]byte, 200), driver.PutOptions{})
	if !errors.Is(err, driver.ErrNoSpace) || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("beyond the bytes: %v", err)
	}
	if r := b.Report(); !strings.Contains(r.Degraded, "of 1000") {
		t.Errorf("near the bytes: %+v", r)
	}
	_, err = b.Put(t.Context(), []byte("b"), make([]byte, 1000), driver.PutOptions{})
	if !errors.Is(err, driver.ErrTooLarge) {
		t.Errorf("what never fits: %v", err)
	}
}

// TestExpiredMakesRoom: at a limit what has expired goes first.
func TestExpiredMakesRoom(t *testing.T) {
	time := newClock()
	s := open(t, memory.Config{MaxEntries: 1, Now: time.Now})
	if _, err := s.Put(t.Context(), []byte("a"), nil, driver.PutOptions{TTL: 1}); err != nil {
		t.Fatal(err)
	}
	time.Advance(2)
	put(t, s, "b", "v")
	if r := s.Report(); r.Entries != 1 || r.Evictions != 0 {
		t.Errorf("%+v", r)
	}
}

// TestEviction: with eviction there is always room, and the old goes first.
func TestEviction(t *testing.T) {
	s := open(t, memory.Config{MaxEntries: 100, MaxBytes: 1 << 20, Evict: true})
	for i := range 1000 {
		put(t, s, fmt.Sprintf("k%04d", i), "v")
	}
	r := s.Report()
	if r.Entries != 100 || r.Evictions != 900 {
		t.Fatalf("%+v", r)
	}
	n, sum := 0, 0
	for e, err := range s.List(t.Context(), driver.ListOptions{KeysOnly: true}) {
		if err != nil {
			t.Fatal(err)
		}
		var i int
		fmt.Sscanf(string(e.Key), "k%d", &i)
		n++
		sum += i
	}
	if n != 100 || sum/n < 500 {
		t.Errorf("%d entries are left, on the average the %d-th", n, sum/n)
	}
	put(t, s, "large", strings.Repeat("v", 1<<20-100))
	if r := s.Report(); r.Entries > 20 {
		t.Errorf("after a large one: %+v", r)
	}
}

// TestDamagedBackup: a backup with any byte changed, or cut at any place, is
// refused by name.
func TestDamagedBackup(t *testing.T) {
	for _, c := range []memory.Compression{memory.None, memory.Gzip, memory.LZ4, memory.Zstd} {
		t.Run(string(c), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "orbit-backup")
			config := memory.Config{DiskBackup: &memory.DiskBackup{Path: path, Compression: c}}
			s := open(t, config)
			for i := range 20 {
				put(t, s, fmt.Sprint("key", i), strings.Repeat(fmt.Sprint("value", i), 5))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			refused, read := 0, 0
			try := func(what string, data []byte) {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := memory.Open(t.Context(), config)
				if err == nil {
					// Some bytes of a packed frame mean nothing: what is read must be all.
					read++
					n := 0
					for range s.List(t.Context(), driver.ListOptions{}) {
						n++
					}
					if n != 20 {
						t.Errorf("%s: opens with %d entries", what, n)
					}
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					return
				}
				refused++
				if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for i := range sound {
				changed := append([]byte(nil), sound...)
				changed[i] ^= 0x41
				try(fmt.Sprint("byte ", i), changed)
				if i%3 == 0 {
					try(fmt.Sprint("cut at ", i), sound[:i])
				}
			}
			if read > len(sound)/10 || refused == 0 {
				t.Errorf("%d damaged backups are read, %d refused", read, refused)
			}
		})
	}
}

func TestBackupIsLockedAndPeriodic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backup")
	config := memory.Config{DiskBackup: &memory.DiskBackup{Path: path, SyncInterval: time.Millisecond}}
	s := open(t, config)
	if _, err := memory.Open(t.Context(), config); !errors.Is(err, driver.ErrLocked) {
		t.Errorf("a second store with the backup: %v", err)
	}
	put(t, s, "k", "v")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > 50 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no backup is written")
		}
	}
}

// TestFailedBackupIsDegraded: it is shown, and Close returns it.
func TestFailedBackupIsDegraded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "there")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, memory.Config{DiskBackup: &memory.DiskBackup{Path: filepath.Join(dir, "backup")}})
	put(t, s, "k", "v")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context()); err == nil {
		t.Error("a backup into no directory succeeds")
	}
	if r := s.Report(); !strings.Contains(r.Degraded, "backup failed") {
		t.Errorf("%+v", r)
	}
	if err := s.Close(); err == nil || errors.Is(err, driver.ErrClosed) {
		t.Errorf("close: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for what, c := range map[string]memory.Config{
		"path": {DiskBackup: &memory.DiskBackup{}}, "compression": {DiskBackup: &memory.DiskBackup{Path: "x", Compression: "Rar"}},
		"sync_interval": {DiskBackup: &memory.DiskBackup{Path: "x", SyncInterval: -1}}, "evict": {Evict: true},
	} {
		if _, err := memory.Open(t.Context(), c); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
