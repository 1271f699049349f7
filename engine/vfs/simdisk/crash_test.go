package simdisk_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a file, made if it is not there.
func open(t testing.TB, d vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := d.Open(name, vfs.Create)
	must(t, err)
	return f
}

func write(t testing.TB, f vfs.File, p string, off int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(p), off, vfs.Plain)
	must(t, err)
}

// content shows all files of a disk, by name: "/a=text /b=". Runs of a byte are
// written "x*512".
func content(t testing.TB, d vfs.FS) string {
	t.Helper()
	var b strings.Builder
	show(t, d, "/", &b)
	return strings.TrimSpace(b.String())
}

func show(t testing.TB, d vfs.FS, dir string, b *strings.Builder) {
	t.Helper()
	names, err := d.List(dir)
	must(t, err)
	for _, name := range names {
		path := strings.TrimSuffix(dir, "/") + "/" + name
		info, err := d.Stat(path)
		must(t, err)
		if info.Kind == vfs.Directory {
			fmt.Fprintf(b, "%s/ ", path)
			show(t, d, path, b)
			continue
		}
		f, err := d.Open(path, vfs.ReadOnly)
		must(t, err)
		p := make([]byte, info.Size)
		_, err = f.ReadAt(p, 0)
		must(t, err)
		must(t, f.Close())
		fmt.Fprintf(b, "%s=%s ", path, runs(p))
	}
}

func runs(p []byte) string {
	var b strings.Builder
	for len(p) > 0 {
		n := 1
		for n < len(p) && p[n] == p[0] {
			n++
		}
		c := string(p[:1])
		if p[0] == 0 {
			c = "0"
		}
		if n > 2 {
			fmt.Fprintf(&b, "%s*%d", c, n)
		} else {
			b.WriteString(strings.Repeat(c, n))
		}
		p = p[n:]
	}
	return b.String()
}

// end returns a walk at the end of the log.
func end(d *simdisk.Disk) *simdisk.Walk {
	w := d.Walk()
	for w.Next() {
	}
	return w
}

// all returns that fate for every pending unit.
func all(w *simdisk.Walk, f simdisk.Fate) []simdisk.Fate {
	return slices.Repeat([]simdisk.Fate{f}, len(w.Pending()))
}

// units describes what is pending.
func units(w *simdisk.Walk) string {
	var b strings.Builder
	for _, u := range w.Pending() {
		fmt.Fprintf(&b, "%v %s", u.Kind, u.Path)
		if u.Kind == simdisk.Write {
			fmt.Fprintf(&b, "[%d,%d)", u.Offset, u.Offset+u.Length)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// TestUnits checks, for each rule, what is pending at the end and what every
// subset of it leaves: the images of masks 0, 1, 2..., where bit i keeps unit i.
func TestUnits(t *testing.T) {
	x := func(c string, n int) string { return strings.Repeat(c, n) }
	for _, c := range []struct {
		rule    string
		run     func(t *testing.T, d *simdisk.Disk)
		pending string
		images  []string
	}{
		{
			"a new file is a name, bytes and a length",
			func(t *testing.T, d *simdisk.Disk) { write(t, open(t, d, "/a"), "ab", 0) },
			"name /a; write /a[0,2); length /a",
			[]string{"", "/a=", "", "/a=", "", "/a=00", "", "/a=ab"},
		},
		{
			"Sync makes bytes and length durable, not the name",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "ab", 0)
				must(t, f.Sync())
			},
			"name /a",
			[]string{"", "/a=ab"},
		},
		{
			"SyncDir makes the name durable, not the bytes",
			func(t *testing.T, d *simdisk.Disk) {
				write(t, open(t, d, "/a"), "ab", 0)
				must(t, d.SyncDir("/"))
			},
			"write /a[0,2); length /a",
			[]string{"/a=", "/a=", "/a=00", "/a=ab"},
		},
		{
			"SyncData covers other handles of its file, and no other file",
			func(t *testing.T, d *simdisk.Disk) {
				write(t, open(t, d, "/a"), "a", 0)
				write(t, open(t, d, "/b"), "b", 0)
				must(t, d.SyncDir("/"))
				must(t, open(t, d, "/a").SyncData())
			},
			"write /b[0,1); length /b",
			[]string{"/a=a /b=", "/a=a /b=", "/a=a /b=0", "/a=a /b=b"},
		},
		{
			"direct I/O is not durable",
			func(t *testing.T, d *simdisk.Disk) {
				f, err := d.Open("/a", vfs.Create|vfs.Direct)
				must(t, err)
				b := vfs.AlignedBuffer(512, 512)
				b[0] = 'a'
				_, err = f.WriteAt(b, 0, vfs.Plain)
				must(t, err)
				must(t, d.SyncDir("/"))
			},
			"write /a[0,512); length /a",
			[]string{"/a=", "/a=", "/a=0*512", "/a=a0*511"},
		},
		{
			"a mapping is not durable before a Sync of the file",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "....", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				m, err := f.Map(0, 4)
				must(t, err)
				must(t, m.Write([]byte("m"), 1))
				must(t, f.Sync())
				must(t, m.Write([]byte("n"), 2))
				must(t, m.Close())
			},
			"write /a[2,3)",
			[]string{"/a=.m..", "/a=.mn."},
		},
		{
			"DSync makes its sectors and the length durable, and what was pending in them",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, x("o", 1024), 0)
				must(t, d.SyncDir("/"))
				_, err := f.WriteAt([]byte("D"), 600, vfs.DSync)
				must(t, err)
			},
			"write /a[0,1024)",
			[]string{"/a=0*512o*88Do*423", "/a=o*600Do*423"},
		},
		{
			"units land in order",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "----", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				write(t, f, "aa", 0)
				write(t, f, "bb", 1)
			},
			"write /a[0,2); write /a[1,3)",
			[]string{"/a=-*4", "/a=aa--", "/a=-bb-", "/a=abb-"},
		},
		{
			"bytes beyond a lost length are zeros when the file grows again",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				must(t, d.SyncDir("/"))
				write(t, f, "abc", 0)
				must(t, f.Truncate(0))
				must(t, f.Truncate(2))
			},
			"write /a[0,3); length /a; length /a; length /a",
			[]string{
				"/a=", "/a=", "/a=0*3", "/a=abc", "/a=", "/a=", "/a=", "/a=",
				"/a=00", "/a=ab", "/a=00", "/a=ab", "/a=00", "/a=00", "/a=00", "/a=00",
			},
		},
		{
			"a durable cut ends older bytes beyond it",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "abcdef", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				write(t, f, "XYZ", 2)
				must(t, f.Truncate(3))
				must(t, f.Truncate(600))
				_, err := f.WriteAt([]byte("D"), 599, vfs.DSync)
				must(t, err)
			},
			"write /a[2,5)",
			[]string{"/a=abc0*596D", "/a=abX0*596D"},
		},
		{
			"a hole is a write of zeros",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "abcd", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				must(t, f.Punch(1, 2))
			},
			"write /a[1,3)",
			[]string{"/a=abcd", "/a=a00d"},
		},
		{
			"reserved space is a length",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				must(t, d.SyncDir("/"))
				must(t, f.Preallocate(0, 3))
			},
			"length /a",
			[]string{"/a=", "/a=0*3"},
		},
		{
			"a rename within a directory is one unit",
			func(t *testing.T, d *simdisk.Disk) {
				for _, name := range []string{"/a", "/b"} {
					f := open(t, d, name)
					write(t, f, name[1:], 0)
					must(t, f.Sync())
				}
				must(t, d.SyncDir("/"))
				must(t, d.Rename("/a", "/b"))
			},
			"name /a",
			[]string{"/a=a /b=b", "/b=a"},
		},
		{
			"a rename between directories is two",
			func(t *testing.T, d *simdisk.Disk) {
				must(t, d.MkdirAll("/d"))
				f := open(t, d, "/a")
				write(t, f, "a", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				must(t, d.Rename("/a", "/d/a"))
			},
			"name /a; name /a",
			[]string{"/a=a /d/", "/a=a /d/ /d/a=a", "/d/", "/d/ /d/a=a"},
		},
		{
			"a rename between directories with one synced",
			func(t *testing.T, d *simdisk.Disk) {
				must(t, d.MkdirAll("/d"))
				must(t, d.MkdirAll("/e"))
				must(t, d.SyncDir("/"))
				open(t, d, "/d/a")
				must(t, d.SyncDir("/d"))
				must(t, d.Rename("/d/a", "/e/a"))
				must(t, d.SyncDir("/e"))
			},
			"name /d/a",
			[]string{"/d/ /d/a= /e/ /e/a=", "/d/ /e/ /e/a="},
		},
		{
			"a directory has one name",
			func(t *testing.T, d *simdisk.Disk) {
				must(t, d.MkdirAll("/d/x"))
				must(t, d.MkdirAll("/e"))
				open(t, d, "/d/x/f")
				for _, dir := range []string{"/", "/d", "/d/x"} {
					must(t, d.SyncDir(dir))
				}
				must(t, d.Rename("/d/x", "/e/y"))
			},
			"name /d/x; name /d/x",
			[]string{"/d/ /d/x/ /d/x/f= /e/", "/d/ /d/x/ /d/x/f= /e/", "/d/ /e/", "/d/ /e/ /e/y/ /e/y/f="},
		},
		{
			"a removal",
			func(t *testing.T, d *simdisk.Disk) {
				open(t, d, "/a")
				must(t, d.SyncDir("/"))
				must(t, d.Remove("/a"))
			},
			"name /a",
			[]string{"/a=", ""},
		},
		{
			"a link",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "a", 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				must(t, d.Link("/a", "/b"))
				must(t, d.Remove("/a"))
			},
			"name /a; name /a",
			[]string{"/a=a", "/a=a /b=a", "", "/b=a"},
		},
		{
			"each level of directories",
			func(t *testing.T, d *simdisk.Disk) { must(t, d.MkdirAll("/d/e")) },
			"name /d; name /d/e",
			[]string{"", "/d/", "", "/d/ /d/e/"},
		},
		{
			"SyncDir of a directory does not make its own name durable",
			func(t *testing.T, d *simdisk.Disk) {
				must(t, d.MkdirAll("/d"))
				open(t, d, "/d/a")
				must(t, d.SyncDir("/d"))
			},
			"name /d",
			[]string{"", "/d/ /d/a="},
		},
		{
			"a clone is durable after a Sync of it",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "a", 0)
				must(t, f.Sync())
				must(t, d.Clone("/a", "/b"))
				must(t, d.SyncDir("/"))
			},
			"length /b; write /b[0,1)",
			[]string{"/a=a /b=", "/a=a /b=0", "/a=a /b=", "/a=a /b=a"},
		},
		{
			"what is removed for good is not pending",
			func(t *testing.T, d *simdisk.Disk) {
				must(t, d.MkdirAll("/d"))
				write(t, open(t, d, "/d/a"), "a", 0)
				held := open(t, d, "/b")
				must(t, d.Remove("/d/a"))
				must(t, d.Remove("/d"))
				must(t, d.Remove("/b"))
				must(t, d.SyncDir("/"))
				write(t, held, "b", 0)
			},
			"",
			[]string{""},
		},
		{
			"after a failed flush nothing is flushed but what is newer",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, x("-", 1024), 0)
				must(t, f.Sync())
				must(t, d.SyncDir("/"))
				write(t, f, x("l", 1024), 0)
				i := d.Inject(simdisk.Fault{Op: simdisk.OpSync, Effect: simdisk.FailedFlush})
				if f.Sync() == nil || i.Fired() != 1 {
					t.Error("the flush did not fail")
				}
				must(t, f.Sync())
				write(t, f, "n", 600)
				must(t, f.Sync())
			},
			"write /a[0,1024)",
			[]string{"/a=-*512l*88nl*423", "/a=l*600nl*423"},
		},
		{
			"a failed flush of names",
			func(t *testing.T, d *simdisk.Disk) {
				open(t, d, "/a")
				open(t, d, "/b")
				d.Inject(simdisk.Fault{Op: simdisk.OpSyncDir, Effect: simdisk.FailedFlush})
				if d.SyncDir("/") == nil {
					t.Error("the flush did not fail")
				}
				must(t, d.Remove("/a"))
				must(t, d.SyncDir("/"))
			},
			"name /b",
			[]string{"", "/b="},
		},
		{
			"a flush that fails with EIO alone can be repeated",
			func(t *testing.T, d *simdisk.Disk) {
				f := open(t, d, "/a")
				write(t, f, "a", 0)
				must(t, d.SyncDir("/"))
				d.Inject(simdisk.Fault{Op: simdisk.OpFlush})
				if f.Sync() == nil {
					t.Error("the flush did not fail")
				}
				must(t, f.SyncData())
			},
			"",
			[]string{"/a=a"},
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			d := simdisk.New(simdisk.Options{})
			c.run(t, d)
			w := end(d)
			if got := units(w); got != c.pending {
				t.Fatalf("pending: %s\nwant:    %s", got, c.pending)
			}
			n := len(w.Pending())
			if len(c.images) != 1<<n {
				t.Fatalf("%d images are given for %d units", len(c.images), n)
			}
			for mask, want := range c.images {
				fates := make([]simdisk.Fate, n)
				for i := range fates {
					fates[i] = simdisk.Fate(mask >> i & 1)
				}
				if got := content(t, w.Crash(fates, 0)); got != want {
					t.Errorf("of units %0*b: %s\nwant %s", n, mask, got, want)
				}
			}
			if got, want := content(t, w.Crash(all(w, simdisk.Kept), 0)), content(t, d); got != want {
				t.Errorf("with all kept: %s\nthe running system saw %s", got, want)
			}
		})
	}
}

// TestTorn checks the fates that leave a part of a write.
func TestTorn(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	f := open(t, d, "/a")
	write(t, f, strings.Repeat("-", 4096), 0)
	must(t, f.Sync())
	must(t, d.SyncDir("/"))
	write(t, f, strings.Repeat("W", 2000), 100) // sectors 0 to 4
	w := end(d)
	read := func(fate simdisk.Fate, seed uint64) []byte {
		c := w.Crash([]simdisk.Fate{fate}, seed)
		b := make([]byte, 4096)
		_, err := open(t, c, "/a").ReadAt(b, 0)
		must(t, err)
		if !bytes.Equal(b[:100], bytes.Repeat([]byte("-"), 100)) || !bytes.Equal(b[2100:], bytes.Repeat([]byte("-"), 1996)) {
			t.Fatalf("%v hurt bytes that were not written", fate)
		}
		if c.Hash() != w.Crash([]simdisk.Fate{fate}, seed).Hash() {
			t.Fatalf("%v differs from itself by the same seed", fate)
		}
		return b
	}
	cuts := make(map[simdisk.Fate]map[int]bool)
	spoilt := make(map[int]bool)
	for seed := range uint64(200) {
		for _, fate := range []simdisk.Fate{simdisk.Left, simdisk.Right} {
			b := read(fate, seed)
			there, gone := byte('W'), byte('-')
			if fate == simdisk.Right {
				there, gone = gone, there
			}
			cut := bytes.IndexByte(b[100:2100], gone) + 100
			if cut%512 != 0 || cut < 512 || cut > 2048 ||
				bytes.Count(b[100:cut], []byte{there}) != cut-100 || bytes.Count(b[cut:2100], []byte{gone}) != 2100-cut {
				t.Fatalf("%v left %s", fate, runs(b))
			}
			if cuts[fate] == nil {
				cuts[fate] = make(map[int]bool)
			}
			cuts[fate][cut] = true
		}
		b := read(simdisk.Garbage, seed)
		hurt := 0
		for at := 100; at < 2100; {
			next := min(2100, (at/512+1)*512)
			if bytes.Count(b[at:next], []byte("W")) != next-at {
				hurt++
				spoilt[at/512] = true
				if bytes.Count(b[at:next], []byte("W")) > (next-at)/8 {
					t.Fatalf("a spoilt sector still holds what was written")
				}
			}
			at = next
		}
		if hurt == 0 {
			t.Fatalf("garbage by seed %d hurt nothing", seed)
		}
	}
	if len(cuts[simdisk.Left]) != 4 || len(cuts[simdisk.Right]) != 4 || len(spoilt) != 5 {
		t.Errorf("cuts %v and spoilt sectors %v are not all there are", cuts, spoilt)
	}

	// One sector is kept by Left, lost by Right, and can be garbage.
	d = simdisk.New(simdisk.Options{})
	f = open(t, d, "/a")
	write(t, f, "----", 0)
	must(t, f.Sync())
	must(t, d.SyncDir("/"))
	write(t, f, "WW", 1)
	w = end(d)
	for fate, want := range map[simdisk.Fate]string{simdisk.Left: "/a=-WW-", simdisk.Right: "/a=-*4"} {
		if got := content(t, w.Crash([]simdisk.Fate{fate}, 1)); got != want {
			t.Errorf("%v of a small write: %s", fate, got)
		}
	}
	if got := content(t, w.Crash([]simdisk.Fate{simdisk.Garbage}, 1)); got == "/a=-WW-" || len(got) != len("/a=-WW-") {
		t.Errorf("garbage of a small write: %q", got)
	}
}

// TestCrashTwice crashes the recovery from a crash.
func TestCrashTwice(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	f := open(t, d, "/a")
	write(t, f, "first", 0)
	must(t, f.Sync())
	must(t, d.SyncDir("/"))
	write(t, f, "F", 0)
	w := end(d)
	r := w.Crash(all(w, simdisk.Kept), 0)
	if r.Events() != 0 || len(end(r).Pending()) != 0 {
		t.Fatal("a disk after a crash has a past")
	}
	write(t, open(t, r, "/a"), "I", 1)
	v := end(r)
	if got := content(t, v.Crash(nil, 0)); got != "/a=First" {
		t.Errorf("none kept: %s", got)
	}
	if got := content(t, v.Crash(all(v, simdisk.Kept), 0)); got != "/a=FIrst" {
		t.Errorf("all kept: %s", got)
	}
	if got := content(t, d); got != "/a=First" {
		t.Errorf("the first disk now holds %s", got)
	}
	if got := content(t, w.Crash(nil, 0)); got != "/a=first" {
		t.Errorf("the walk now makes %s", got)
	}
}
