package all_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/providers"
	"github.com/orbit-persistence/orbit/providers/all"
	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/driver"
	"github.com/orbit-persistence/orbit/providers/flash"
)

// patient is for paths on a machine that is busy, where none of them fails.
const patient = "path_timeout = \"1h\"\n"

// flashOn opens what a configuration says on a simulated disk, for what only a device
// that fails can show.
func flashOn(t *testing.T, fsys vfs.FS, options string) (*providers.Provider, error) {
	t.Helper()
	c, err := config.Parse("test.toml", []byte("type = \"Flash\"\n"+options+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	name, b, err := c.Provider("flash")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := all.Config(name, b)
	if err != nil {
		t.Fatal(err)
	}
	own := pc.Options.(flash.Config)
	own.FS = fsys
	pc.Options, pc.ExpireInterval = own, -1
	p, err := providers.Open(t.Context(), pc)
	if err == nil {
		t.Cleanup(func() {
			if err := p.Close(); err != nil && !errors.Is(err, providers.ErrClosed) {
				t.Error(err)
			}
		})
	}
	return p, err
}

func twoDevices() *simdisk.Disk {
	return simdisk.New(simdisk.Options{Seed: 1, Devices: []simdisk.Device{{Path: "/one"}, {Path: "/two"}, {Path: "/three"}}})
}

const twoPaths = "paths = [\"/one/data\", \"/two/data\"]\nenable_multipathing = true\n"

// withoutDirect is a file system without direct I/O.
type withoutDirect struct{ vfs.FS }

func (f withoutDirect) Open(name string, flags vfs.OpenFlags) (vfs.File, error) {
	if flags&vfs.Direct != 0 {
		return nil, vfs.NewError("open", name, -1, engine.ErrUnsupported)
	}
	return f.FS.Open(name, flags)
}

// holds returns whether the segments in a path have some bytes.
func holds(t *testing.T, path, value string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), value) {
			return true
		}
	}
	return false
}

// copies returns how many of three paths have a value that was put and flushed.
func copies(t *testing.T, options string) (n int) {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"one", "two", "three"} {
		paths = append(paths, filepath.Join(dir, name))
	}
	p, _ := opened(t, "Flash", patient+fmt.Sprintf("paths = [%q, %q, %q]\nenable_multipathing = true\ncompression = \"none\"\n", paths[0], paths[1], paths[2])+options)
	put(t, p, "key", []byte("the value that is looked for"))
	if r := p.Metrics().Report; r.Degraded != "" {
		t.Errorf("it is degraded: %s", r.Degraded)
	}
	closed(t, p)
	for _, path := range paths {
		if holds(t, path, "the value that is looked for") {
			n++
		}
	}
	return n
}

var flashEffects = map[string]func(t *testing.T){
	"data_dir": hasDataDir("Flash"),
	"paths": func(t *testing.T) {
		// With paths, nothing lies in data_dir.
		dir, path := filepath.Join(t.TempDir(), "dir"), filepath.Join(t.TempDir(), "a path")
		p := openedIn(t, dir, "Flash", fmt.Sprintf("data_dir = %q\npaths = [%q]", dir, path))
		put(t, p, "key", []byte("value"))
		closed(t, p)
		if files, err := os.ReadDir(path); err != nil || len(files) == 0 {
			t.Errorf("%s has %d files, %v", path, len(files), err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there, too: %v", dir, err)
		}
		_, err := config.Parse("test.toml", fmt.Appendf(nil, "type = \"Flash\"\npaths = [%q, %q]\n", dir, path), nil)
		if !errors.Is(err, providers.ErrUnsupported) || !strings.Contains(err.Error(), "enable_multipathing") {
			t.Errorf("two paths without copies are read with %v", err)
		}
	},
	"enable_multipathing": func(t *testing.T) {
		if n := copies(t, ""); n != 2 {
			t.Errorf("%d of three paths have a value", n)
		}
	},
	"replicas": func(t *testing.T) {
		if n := copies(t, "replicas = 3"); n != 3 {
			t.Errorf("with three replicas %d of three paths have a value", n)
		}
	},
	"io_depth": func(t *testing.T) {
		// A multi-get asks for as many values at a time as it may.
		deepest := func(options string) float64 {
			p, _ := opened(t, "Flash", fast+"cache_size = 0\n"+options)
			fill(t, p, 2000, 20_000, true)
			compacted(t, p, "")
			var keys [][]byte
			for i := range 200 {
				keys = append(keys, fmt.Appendf(nil, "key %08d", i*7))
			}
			if _, err := p.GetMany(t.Context(), keys); err != nil {
				t.Fatal(err)
			}
			return detail(t, p, "deepest_queue")
		}
		if n := deepest("io_depth = 1"); n != 1 {
			t.Errorf("there were %.0f reads at a time of 1", n)
		}
		awaits(t, "reads beside each other", func() bool { n := deepest("io_depth = 32"); return n > 1 && n <= 32 })
	},
	"block_size": func(t *testing.T) {
		small, large := figure(t, "Flash", [2]string{fast + "cache_size = 0", fast + "cache_size = 0\nblock_size = \"64KiB\""}, func(p *providers.Provider, _ string) float64 {
			fill(t, p, 4000, 10_000, true) // more than a segment, of which some are on the device alone
			compacted(t, p, "")
			bytes, reads := detail(t, p, "read_bytes"), detail(t, p, "reads")
			for i := range 100 { // far from each other
				if _, err := p.Get(t.Context(), fmt.Appendf(nil, "key %08d", i*10)); err != nil {
					t.Fatal(err)
				}
			}
			return (detail(t, p, "read_bytes") - bytes) / (detail(t, p, "reads") - reads)
		})
		less(t, "bytes of a read in blocks of 4 KiB, and the least of 64 KiB", small, 64<<10)
		less(t, "the most of 4 KiB, and bytes of a read in blocks of 64 KiB", 20<<10, large)
	},
	"cache_size": func(t *testing.T) {
		again := func(options string) (reads float64) {
			p, _ := opened(t, "Flash", fast+options)
			fill(t, p, 4000, 10_000, true)
			compacted(t, p, "")
			readAll(t, p, 1000)
			before := detail(t, p, "reads")
			readAll(t, p, 1000)
			return detail(t, p, "reads") - before
		}
		none, small, large := again("cache_size = 0"), again("cache_size = \"1MiB\""), again("cache_size = \"64MiB\"")
		if large != 0 || none < 900 || small < 100 {
			t.Errorf("of 1000 values of 10 KB that were read before, %.0f are read again without a cache, %.0f with 1 MiB, and %.0f with 64", none, small, large)
		}
	},
	"compression": func(t *testing.T) {
		sizes := map[string]float64{}
		for _, compression := range []string{"none", "lz4", "zstd"} {
			p, _ := opened(t, "Flash", fast+"compression = \""+compression+"\"")
			for i := range 1000 {
				var b strings.Builder
				for j := range 100 {
					fmt.Fprintf(&b, "words that come again %x ", (i*100+j)*7919)
				}
				put(t, p, fmt.Sprint(i), []byte(b.String()))
			}
			sizes[compression] = detail(t, p, "live_bytes")
		}
		less(t, "with lz4 and without", sizes["lz4"], sizes["none"])
		less(t, "with zstd and with lz4", sizes["zstd"], sizes["lz4"])
	},
	"page_cache": func(t *testing.T) {
		d := withoutDirect{twoDevices()}
		one := "data_dir = \"/one/data\"\n"
		if p, err := flashOn(t, d, one); !errors.Is(err, providers.ErrUnsupported) {
			t.Errorf("without direct I/O it opens: %v, %v", p, err)
		}
		p, err := flashOn(t, d, one+"page_cache = true")
		if err != nil {
			t.Fatal(err)
		}
		put(t, p, "key", nil)
		if detail(t, p, "direct_io") != 0 {
			t.Error("there is no direct I/O, and the figures tell of it")
		}
	},
	// The time is that of a bubble, which passes only where all wait: a busy machine is not a
	// path that hangs.
	"path_timeout": func(t *testing.T) {
		for _, timeout := range []time.Duration{10 * time.Millisecond, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				d := twoDevices()
				p, err := flashOn(t, d, twoPaths+"path_timeout = \""+timeout.String()+"\"")
				if err != nil {
					t.Fatal(err)
				}
				hang := d.Inject(simdisk.Fault{Path: "/two/data/*", Effect: simdisk.Hang, Sticky: true})
				begin := time.Now()
				put(t, p, "key", nil)
				if took := time.Since(begin); took < timeout*3/4 || took >= timeout {
					t.Errorf("a put over a path that hangs took %s, with a timeout of %s", took, timeout)
				}
				if degraded := p.Metrics().Report.Degraded; !strings.Contains(degraded, "/two/data is out") {
					t.Errorf("after a timeout of %s the path is not out: %q", timeout, degraded)
				}
				hang.Release()
				closed(t, p)
			})
		}
	},
	"rebuild_rate": func(t *testing.T) {
		d := twoDevices()
		options := twoPaths + patient + "compression = \"none\"\nrebuild_rate = "
		p, err := flashOn(t, d, options+"\"1B\"")
		if err != nil {
			t.Fatal(err)
		}
		put(t, p, "key", nil)
		if err := d.Vanish("/two"); err != nil {
			t.Fatal(err)
		}
		fill(t, p, 100, 500_000, true)
		if _, err := d.Return("/two"); err != nil {
			t.Fatal(err)
		}
		// At a byte a second there is time to see it.
		awaits(t, "a path that is brought level", func() bool {
			return strings.Contains(p.Metrics().Report.Degraded, "/two/data is brought level")
		})
		closed(t, p)
		if p, err = flashOn(t, d, options+"0"); err != nil {
			t.Fatal(err)
		}
		awaits(t, "a path that is level", func() bool { return detail(t, p, "paths_in_sync") == 2 })
	},
	"durability": durabilities("Flash", map[string]driver.Durability{
		"flushed": driver.SurvivesPower, "buffered": driver.SurvivesProcess, "memory": driver.InMemory,
	}),
}
