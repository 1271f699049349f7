package flash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/drivertest"
	"github.com/orbit-persistence/orbit/providers/flash"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, d := range map[string]engine.Durability{"flushed": engine.Flushed, "buffered": engine.Buffered} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, drivertest.Target{Name: "flash", Open: func(ctx context.Context, place string) (driver.Store, error) {
				c := flash.Defaults()
				c.DataDir, c.Durability = place, d
				return driver.Open(ctx, flash.Backend, c)
			}})
		})
	}
}

// TestConformanceOnTwoPaths: a checkpoint of such a store has one path.
func TestConformanceOnTwoPaths(t *testing.T) {
	drivertest.Run(t, drivertest.Target{Name: "flash on two paths", Open: func(ctx context.Context, place string) (driver.Store, error) {
		c := flash.Defaults()
		c.DataDir = place
		if _, err := os.Stat(filepath.Join(place, "index")); err != nil {
			c.Paths = []string{filepath.Join(place, "one"), filepath.Join(place, "two")}
			c.PathTimeout = time.Minute // a busy machine is no failing path
		}
		return driver.Open(ctx, flash.Backend, c)
	}})
}

// devices returns a disk with a device under each path, and what opens a store on them.
func devices(paths ...string) (*simdisk.Disk, flash.Config) {
	o := simdisk.Options{Seed: 1}
	c := flash.Defaults()
	c.PathTimeout = time.Minute // a busy machine is no failing path
	for _, p := range paths {
		o.Devices = append(o.Devices, simdisk.Device{Path: p, Capacity: 1 << 30})
		c.Paths = append(c.Paths, filepath.Join(p, "data"))
	}
	d := simdisk.New(o)
	c.FS = d
	return d, c
}

func open(t *testing.T, c flash.Config) *providers.Provider {
	t.Helper()
	p, err := providers.Open(t.Context(), providers.Config{Backend: flash.Backend, Options: c, ExpireInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, providers.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func put(t *testing.T, p *providers.Provider, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := p.Put(t.Context(), fmt.Appendf(nil, "key %d", i), []byte(strings.Repeat(fmt.Sprint("value ", i, " "), 300)), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// awaits returns when something has come about. The test's own limit is the only one.
func awaits(t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-t.Context().Done():
			t.Fatalf("waited for %s: %v", what, context.Cause(t.Context()))
		case <-time.After(time.Millisecond):
		}
	}
}

// reason returns why a provider is degraded, "" if it is healthy.
func reason(t *testing.T, p *providers.Provider) string {
	t.Helper()
	h := p.Health(t.Context())
	if h.State == providers.Unhealthy || (h.State == providers.Degraded) != (len(h.Reasons) == 1) {
		t.Fatalf("%s: %q", h.State, h.Reasons)
	}
	return strings.Join(h.Reasons, "")
}

// TestHealthOfPaths: a path that is out is named, and then how far it is brought level;
// nothing that was acknowledged is lost, and once it counts the store is healthy.
func TestHealthOfPaths(t *testing.T) {
	d, c := devices("/one", "/two")
	c.RebuildRate = 1 // a byte a second: behind the first segment it does not go on by itself
	c.Compression = "none"
	p := open(t, c)
	put(t, p, 0, 100)
	if r := reason(t, p); r != "" {
		t.Fatalf("two paths of two are %q", r)
	}
	if err := d.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := p.Put(t.Context(), fmt.Appendf(nil, "key %d", 100+i), make([]byte, 500_000), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if r := reason(t, p); !strings.HasPrefix(r, "1 of 2 replicas are in sync: /two/data is out: ") || strings.HasSuffix(r, ": <nil>") {
		t.Fatalf("a path is gone: %q", r)
	}
	if _, err := d.Return("/two"); err != nil {
		t.Fatal(err)
	}
	put(t, p, 200, 201)
	var copied, total int64
	awaits(t, "a rebuild that is told", func() bool {
		r := reason(t, p)
		_, err := fmt.Sscanf(r, "1 of 2 replicas are in sync: /two/data is brought level, %d of %d bytes are copied", &copied, &total)
		return err == nil && copied > 0
	})
	if copied >= total {
		t.Errorf("%d of %d bytes are copied, and it is not level", copied, total)
	}
	time.Sleep(1500 * time.Millisecond) // in which the default rate would copy all
	if r := reason(t, p); !strings.Contains(r, "brought level") {
		t.Errorf("at a byte a second it has come to %q", r)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	c.RebuildRate = -1
	p = open(t, c)
	awaits(t, "a path that counts again", func() bool { return reason(t, p) == "" })
	if m := p.Metrics().Report.Details; m["paths_in_sync"] != 2 || m["resync_bytes"] == 0 {
		t.Errorf("the figures are %v", m)
	}
	// All of it is in the path that was away.
	if err := d.Vanish("/one"); err != nil {
		t.Fatal(err)
	}
	for i := range 201 {
		if _, err := p.Get(t.Context(), fmt.Appendf(nil, "key %d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSpareIsHealthy: with two replicas on three paths a store is degraded while there is
// no second one, and while a device is gone, and not because of a spare.
func TestSpareIsHealthy(t *testing.T) {
	d, c := devices("/one", "/two", "/three")
	c.Replicas, c.RebuildRate = 2, -1
	p := open(t, c)
	put(t, p, 0, 50)
	if r := reason(t, p); r != "" {
		t.Fatalf("two replicas and a spare are %q", r)
	}
	if n := p.Metrics().Report.Details["paths_in_sync"]; n != 2 {
		t.Fatalf("%v of three paths are replicas", n)
	}
	if err := d.Vanish("/one"); err != nil {
		t.Fatal(err)
	}
	put(t, p, 50, 51)
	awaits(t, "the spare in the place of the lost", func() bool {
		return strings.HasPrefix(reason(t, p), "2 of 2 replicas are in sync: /one/data is out: ")
	})
	if _, err := d.Return("/one"); err != nil {
		t.Fatal(err)
	}
	awaits(t, "the lost one as a spare", func() bool { return reason(t, p) == "" })
	if err := d.Vanish("/one"); err != nil {
		t.Fatal(err)
	}
	awaits(t, "word of a spare that is gone", func() bool {
		return strings.HasPrefix(reason(t, p), "2 of 2 replicas are in sync: /one/data is out: ")
	})
}

// TestPathTimeout: a path that does not answer is given up after the time that is
// configured, and not before.
func TestPathTimeout(t *testing.T) {
	// Three seconds are more than the path that answers takes on a busy machine.
	for timeout, lost := range map[time.Duration]bool{3 * time.Second: true, time.Hour: false} {
		d, c := devices("/one", "/two")
		c.PathTimeout = timeout
		p := open(t, c)
		put(t, p, 0, 10)
		hang := d.Inject(simdisk.Fault{Path: "/two/data/*", Effect: simdisk.Hang, Sticky: true})
		done := make(chan error, 1)
		go func() {
			_, err := p.Put(context.Background(), []byte("key"), nil, providers.PutOptions{})
			done <- err
		}()
		if !lost {
			awaits(t, "a write that hangs", func() bool { return hang.Fired() > 0 })
			select {
			case err := <-done:
				t.Errorf("a write is acknowledged that one of two paths has: %v", err)
			default:
			}
			if r := reason(t, p); !strings.Contains(r, "/two/data does not answer") {
				t.Errorf("while it hangs: %q", r)
			}
		} else if err := <-done; err != nil || !strings.Contains(reason(t, p), "/two/data is out: ") {
			t.Errorf("after %s: %v, %q", timeout, err, reason(t, p))
		}
		hang.Release()
		if !lost {
			if err := <-done; err != nil || reason(t, p) != "" {
				t.Errorf("once it answers: %v, %q", err, reason(t, p))
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// buffered is a file system without direct I/O.
type buffered struct{ vfs.FS }

func (f buffered) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	if flags&vfs.Direct != 0 {
		return nil, vfs.NewError("open", name, -1, engine.ErrUnsupported)
	}
	return f.FS.Open(name, flags)
}

// TestPageCache: without direct I/O a store is refused, unless that is allowed.
func TestPageCache(t *testing.T) {
	d, c := devices("/one")
	c.FS = buffered{d}
	if s, err := flash.Open(t.Context(), c); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "set PageCache") {
		t.Fatalf("%v, %v", s, err)
	}
	c.PageCache = true
	p := open(t, c)
	put(t, p, 0, 10)
	if p.Metrics().Report.Details["direct_io"] != 0 {
		t.Error("the figures tell of direct I/O, and there is none")
	}
}

// TestPathsThatAreNone are refused by name.
func TestPathsThatAreNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]flash.Config{
		"file is neither a directory nor a block device": {DataDir: file}, "a path is empty": {}, "packed": {DataDir: file + "d", Compression: "packed"},
		"power of two":                                        {DataDir: file + "d", BlockBytes: 5000},
		"values are not spread over paths":                    {Paths: []string{file + "a", file + "b"}, Replicas: 1},
		"/dev/null is neither a directory nor a block device": {Paths: []string{file + "a", "/dev/null"}},
		"is named twice":                                      {Paths: []string{file + "a", file + "a/"}},
		"Replicas is 3, and there are 2 paths":                {Paths: []string{file + "a", file + "b"}, Replicas: 3},
	} {
		s, err := flash.Open(t.Context(), c)
		if err == nil || !errors.Is(err, driver.ErrInvalid) && !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("want %q: %v, %v", name, s, err)
		}
	}
}

// TestMissingPathIsNotMade: of a store that is there, a directory that is missing may be
// of a device that is not mounted, and is not made in its place.
func TestMissingPathIsNotMade(t *testing.T) {
	dir := t.TempDir()
	c := flash.Defaults()
	c.Paths, c.PathTimeout = []string{filepath.Join(dir, "a", "one"), filepath.Join(dir, "b", "two")}, time.Minute
	p := open(t, c)
	put(t, p, 0, 10)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.Paths[1], c.Paths[1]+" elsewhere"); err != nil {
		t.Fatal(err)
	}
	if s, err := flash.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), c.Paths[1]) {
		t.Fatalf("a path that counted is missing: %v, %v", s, err)
	}
	if _, err := os.Stat(c.Paths[1]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the missing path was made: %v", err)
	}
}

// TestDiskUsage is that of the fullest device that counts.
func TestDiskUsage(t *testing.T) {
	d := simdisk.New(simdisk.Options{Seed: 1, Devices: []simdisk.Device{{Path: "/one", Capacity: 1 << 30}, {Path: "/two", Capacity: 256 << 20}}})
	c := flash.Defaults()
	c.FS, c.Paths, c.RebuildRate = d, []string{"/one/data", "/two/data"}, -1
	p := open(t, c)
	put(t, p, 0, 10)
	used := func(dir string) float64 {
		u, err := d.DiskUsage(dir)
		if err != nil {
			t.Fatal(err)
		}
		return u.UsedPercent()
	}
	// What the engine makes ready behind the calls, the next file of the log, may come
	// between two looks: a look counts that has the same before and after it.
	quiet := func(dir string) (of providers.Metrics, is float64) {
		for {
			before := used(dir)
			of = p.Metrics()
			if is = used(dir); is == before {
				return of, is
			}
		}
	}
	m, want := quiet("/two")
	if m.DiskUsagePercent != want || want <= used("/one") {
		t.Errorf("it is %v, and the devices are at %v and %v", m.DiskUsagePercent, used("/one"), want)
	}
	if m.Report.DiskBytes == 0 || m.Report.MemoryBytes == 0 {
		t.Errorf("%+v", m.Report)
	}
	if err := d.Vanish("/two"); err != nil {
		t.Fatal(err)
	}
	put(t, p, 10, 11)
	if m, want := quiet("/one"); m.DiskUsagePercent != want {
		t.Errorf("with one device it is %v, and that is at %v", m.DiskUsagePercent, want)
	}
}

// TestCompactionBacklog: what cleaning has before it is told, and that it is done.
func TestCompactionBacklog(t *testing.T) {
	_, c := devices("/one")
	c.Compression = "none"
	p := open(t, c)
	random := rand.New(rand.NewPCG(1, 2))
	for p.Metrics().CompactionBacklog == 0 { // how often it is there at a glance is up to the scheduler
		if _, err := p.Put(t.Context(), fmt.Append(nil, random.IntN(200)), make([]byte, 500_000), providers.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if unit := p.Metrics().Report.BacklogUnit; unit != "bytes" {
		t.Errorf("its unit is %q", unit)
	}
	awaits(t, "the end of cleaning", func() bool { return p.Metrics().CompactionBacklog == 0 })
}
