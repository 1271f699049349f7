package simdisk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

//go:noinline
func syncHere(f vfs.File) error { return f.Sync() }

//go:noinline
func syncThere(f vfs.File) error { return f.Sync() }

//go:noinline
func throughAdapter(f vfs.File) error { return adapter(f) }

//go:noinline
func adapter(f vfs.File) error { return f.Sync() }

const here = "github.com/orbit-persistence/orbit/engine/vfs/simdisk_test."

// site returns the one of a function.
func site(t *testing.T, d *simdisk.Disk, function string, op simdisk.Op) simdisk.Site {
	t.Helper()
	i := slices.IndexFunc(d.Sites(), func(s simdisk.Site) bool {
		return strings.HasPrefix(s.Name, here+function+" ") && s.Op == op
	})
	if i < 0 {
		t.Fatalf("no %v of %s in %+v", op, function, d.Sites())
	}
	return d.Sites()[i]
}

func TestSites(t *testing.T) {
	d := simdisk.New(simdisk.Options{Sites: true, Transparent: []string{here + "adapter"}})
	f := open(t, d, "/a")
	must(t, d.SyncDir("/"))
	write(t, f, "-", 0)
	must(t, syncHere(f))
	must(t, syncHere(f))
	must(t, throughAdapter(f))
	if got := site(t, d, "syncHere", simdisk.OpSync); got.Count != 2 || !strings.Contains(got.Name, " site_test.go:") || !slices.Equal(got.Calls, []int{1, 2}) {
		t.Errorf("%+v", got)
	}
	if got := site(t, d, "throughAdapter", simdisk.OpSync); !slices.Equal(got.Calls, []int{3}) {
		t.Errorf("%+v", got)
	}
	site(t, d, "open", simdisk.OpOpen)
	if got := site(t, d, "write", simdisk.OpWrite); got.Count != 1 {
		t.Errorf("%+v", got)
	}
	if !slices.IsSortedFunc(d.Sites(), func(a, b simdisk.Site) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the sites are not sorted")
	}
}

// TestIgnoreFlush has one site lie: what it flushes is lost at a power cut, while
// others flush as ever.
func TestIgnoreFlush(t *testing.T) {
	survives := func(lie bool, flush func(vfs.File) error) bool {
		d := simdisk.New(simdisk.Options{Sites: true})
		f := open(t, d, "/a")
		must(t, d.SyncDir("/"))
		must(t, syncHere(f))
		if lie {
			d.IgnoreFlush(site(t, d, "syncHere", simdisk.OpSync).Name)
		}
		write(t, f, "x", 0)
		must(t, flush(f))
		var trace strings.Builder
		must(t, d.WriteTrace(&trace))
		ok := content(t, end(d).Crash(nil, 0)) == "/a=x"
		if ok == strings.Contains(trace.String(), ": ignored\n") {
			t.Errorf("survived: %v, and the trace is\n%s", ok, trace.String())
		}
		return ok
	}
	if !survives(false, syncHere) || survives(true, syncHere) || !survives(true, syncThere) {
		t.Error("the wrong flushes lie")
	}
	// A write with DSync, and SyncDir.
	d := simdisk.New(simdisk.Options{Sites: true})
	run := func(name string) {
		f := open(t, d, name)
		_, err := f.WriteAt([]byte("x"), 0, vfs.DSync)
		must(t, err)
		must(t, d.SyncDir("/"))
	}
	run("/a")
	for _, s := range d.Sites() {
		if s.Op&simdisk.OpFlush != 0 {
			d.IgnoreFlush(s.Name)
		}
	}
	run("/b")
	w := end(d)
	if got := content(t, w.Crash(nil, 0)); got != "/a=x" || units(w) != "name /b; write /b[0,1); length /b" {
		t.Errorf("%s; pending: %s", got, units(w))
	}
}
