package simdisk_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// durable is a second, naive idea of what is durable at the least: what files
// held at their last Sync, under the names that directories had at their last
// SyncDir. It holds as long as flushes tell the truth.
type durable struct {
	content map[int]string            // by file
	names   map[string]map[string]int // by directory
	current map[string]map[string]int
	files   int
}

// TestModel makes random changes, and compares every few of them what a power cut
// leaves: of all kept, what the running system sees; of none kept, what was
// flushed last.
func TestModel(t *testing.T) {
	for seed := range uint64(25) {
		d := simdisk.New(simdisk.Options{Seed: seed})
		random(t, d, seed, 120, true)
	}
}

// random makes random changes of d, checking them if asked to.
func random(t testing.TB, d *simdisk.Disk, seed uint64, steps int, check bool) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	dirs := []string{"/p", "/q"}
	m := durable{content: map[int]string{}, names: map[string]map[string]int{}, current: map[string]map[string]int{}}
	for _, dir := range dirs {
		must(t, d.MkdirAll(dir))
		m.names[dir], m.current[dir] = map[string]int{}, map[string]int{}
	}
	must(t, d.SyncDir("/"))
	for step := range steps {
		dir := dirs[r.IntN(2)]
		name := string(rune('a' + r.IntN(3)))
		path := dir + "/" + name
		id := m.current[dir][name]
		op := r.IntN(12)
		if id == 0 && op < 8 {
			must(t, open(t, d, path).Close())
			m.files++
			m.current[dir][name] = m.files
			m.content[m.files] = ""
			id = m.files
		}
		off, n := int64(r.IntN(9000)), r.IntN(3000)+1
		p := bytes.Repeat([]byte{byte('a' + r.IntN(26))}, n)
		switch {
		case op < 8:
			f := open(t, d, path)
			switch op {
			case 0, 1:
				_, err := f.WriteAt(p, off, vfs.Plain)
				must(t, err)
			case 2:
				must(t, f.Truncate(off))
			case 3:
				must(t, f.Punch(off, int64(n)))
			case 4:
				must(t, f.Preallocate(off, int64(n)))
			case 5:
				size, err := f.Size()
				must(t, err)
				if size > 0 {
					v, err := f.Map(0, int(size))
					must(t, err)
					at := int(off % size)
					must(t, v.Write(p[:min(n, int(size)-at)], at))
					must(t, v.Close())
				}
			case 6:
				must(t, f.Sync())
				m.content[id] = whole(t, f)
			case 7:
				must(t, f.SyncData())
				m.content[id] = whole(t, f)
			}
			must(t, f.Close())
		case op == 8:
			must(t, d.SyncDir(dir))
			m.names[dir] = map[string]int{}
			for name, id := range m.current[dir] {
				m.names[dir][name] = id
			}
		case id == 0:
		case op == 9:
			must(t, d.Remove(path))
			delete(m.current[dir], name)
		case op == 10:
			to := string(rune('a' + r.IntN(3)))
			dir2 := dirs[r.IntN(2)]
			must(t, d.Rename(path, dir2+"/"+to))
			delete(m.current[dir], name)
			m.current[dir2][to] = id
		default:
			to := dirs[r.IntN(2)] + "/l"
			if d.Link(path, to) == nil {
				m.current[to[:2]]["l"] = id
			}
		}
		if !check || step%6 != 0 {
			continue
		}
		w := end(d)
		kept := w.Crash(all(w, simdisk.Kept), 0)
		if got, want := content(t, kept), content(t, d); got != want {
			t.Fatalf("seed %d, step %d, all kept:\n%s\nthe running system saw\n%s", seed, step, got, want)
		}
		if kept.Hash() != d.Hash() {
			t.Fatalf("seed %d, step %d: equal images have different hashes", seed, step)
		}
		none := w.Crash(nil, 0)
		if got, want := content(t, none), m.show(dirs); got != want {
			t.Fatalf("seed %d, step %d, none kept:\n%s\nflushed was\n%s", seed, step, got, want)
		}
		if content(t, none) != content(t, kept) && none.Hash() == kept.Hash() {
			t.Fatalf("seed %d, step %d: different images have equal hashes", seed, step)
		}
	}
}

func whole(t testing.TB, f vfs.File) string {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return string(b)
}

func (m *durable) show(dirs []string) string {
	var b strings.Builder
	for _, dir := range dirs {
		fmt.Fprintf(&b, "%s/ ", dir)
		var names []string
		for name := range m.names[dir] {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintf(&b, "%s/%s=%s ", dir, name, runs([]byte(m.content[m.names[dir][name]])))
		}
	}
	return strings.TrimSpace(b.String())
}

// TestDeterministic compares two runs of the same calls, faults among them.
func TestDeterministic(t *testing.T) {
	run := func() (string, [16]byte, [16]byte) {
		d := simdisk.New(simdisk.Options{Seed: 7})
		d.Inject(simdisk.Fault{Path: "*", Effect: simdisk.BitRot, Nth: 3})
		d.Inject(simdisk.Fault{Path: "*", Effect: simdisk.Misdirect, Nth: 5})
		d.Mark("begin")
		random(t, d, 3, 200, false)
		content(t, d)
		var b bytes.Buffer
		must(t, d.WriteTrace(&b))
		w := end(d)
		return b.String(), d.Hash(), w.Crash(all(w, simdisk.Garbage), 9).Hash()
	}
	trace, now, crashed := run()
	again, now2, crashed2 := run()
	if trace != again || now != now2 || crashed != crashed2 {
		t.Error("two runs of the same calls differ")
	}
	for _, want := range []string{"0 mark \"begin\"\n", "fault /", "bit rot at read", "misdirected", "sync-dir /p", " write /p/a ["} {
		if !strings.Contains(trace, want) {
			t.Errorf("the trace has no %q:\n%.2000s", want, trace)
		}
	}
	if lines := strings.Count(trace, "\n"); lines < 150 {
		t.Errorf("the trace has %d lines", lines)
	}
}

// TestWalkEachEvent crashes at every event, and checks that the walk tells each,
// and ends at what is durable at the end.
func TestWalkEachEvent(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	random(t, d, 5, 150, false)
	w := d.Walk()
	n, most := 0, 0
	for ; w.Next(); n++ {
		if w.Event().Index != n {
			t.Fatalf("event %d is at %d", w.Event().Index, n)
		}
		most = max(most, len(w.Pending()))
		for i, u := range w.Pending() {
			if u.Event > n || i > 0 && u.Event < w.Pending()[i-1].Event {
				t.Fatalf("at event %d, unit %d is of event %d", n, i, u.Event)
			}
		}
		w.Crash(all(w, simdisk.Kept), 0)
	}
	if n != d.Events() || most < 4 {
		t.Fatalf("went over %d of %d events, with at most %d units", n, d.Events(), most)
	}
	if w.Crash(nil, 0).Hash() != end(d).Crash(nil, 0).Hash() {
		t.Error("making disks changed the walk")
	}
}

// TestParallel uses images in other goroutines while the walk and the running disk
// go on. It is for the race detector, but checks the content too.
func TestParallel(t *testing.T) {
	d := simdisk.New(simdisk.Options{})
	random(t, d, 11, 100, false)
	var group sync.WaitGroup
	defer group.Wait()
	w := d.Walk()
	group.Go(func() {
		f, err := d.Open("/running", vfs.Create)
		for i := 0; i < 500 && err == nil; i++ {
			_, err = f.WriteAt(bytes.Repeat([]byte("r"), 3000), int64(i*1000), vfs.DSync)
		}
		if err != nil {
			t.Error(err)
		}
	})
	for w.Next() {
		if w.Event().Index%3 != 0 {
			continue
		}
		image, again := w.Crash(all(w, simdisk.Kept), 1), w.Crash(all(w, simdisk.Kept), 1)
		group.Go(func() {
			image.Hash()
			before := again.Hash()
			for _, name := range []string{"/p/a", "/p/b"} {
				f, err := image.Open(name, 0)
				if err != nil {
					continue
				}
				if _, err := f.WriteAt(bytes.Repeat([]byte("!"), 5000), 100, vfs.DSync); err != nil {
					t.Error(err)
				}
				f.Close()
			}
			v := image.Walk()
			for v.Next() {
			}
			v.Crash(nil, 0).Hash()
			if again.Hash() != before {
				t.Error("an image changed with another")
			}
		})
	}
}

// BenchmarkCrash makes images of a store of ten files with 4 to 64 KiB, each with
// 12 pending writes of which half are kept.
func BenchmarkCrash(b *testing.B) {
	d := simdisk.New(simdisk.Options{})
	for i := range 10 {
		f := open(b, d, fmt.Sprintf("/f%d", i))
		write(b, f, strings.Repeat("x", 4096*(1+i%4*5)), 0)
		must(b, f.Sync())
	}
	must(b, d.SyncDir("/"))
	for i := range 12 {
		write(b, open(b, d, fmt.Sprintf("/f%d", i%10)), strings.Repeat("y", 200), int64(300*i))
	}
	w := end(d)
	fates := all(w, simdisk.Lost)
	b.Run("image", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			for j := range fates {
				fates[j] = simdisk.Fate((i + j) & 1)
			}
			w.Crash(fates, uint64(i))
		}
	})
	b.Run("image+hash", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			for j := range fates {
				fates[j] = simdisk.Fate((i + j) & 1)
			}
			w.Crash(fates, uint64(i)).Hash()
		}
	})
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			end(d)
		}
		b.ReportMetric(float64(d.Events()), "events/op")
	})
}

// TestModelUnderFaults makes random changes while flushes fail, writes go astray,
// bits rot and a device comes and goes. Whatever happened, a power cut that keeps
// all leaves what the running system sees.
func TestModelUnderFaults(t *testing.T) {
	fired := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := simdisk.New(simdisk.Options{Seed: seed, Devices: []simdisk.Device{{Path: "/m", Capacity: 64 << 10}}})
		var injections []*simdisk.Injection
		for _, e := range []simdisk.Effect{simdisk.FailedFlush, simdisk.EIO, simdisk.ShortWrite, simdisk.Misdirect, simdisk.BitRot, simdisk.NoSpace} {
			injections = append(injections, d.Inject(simdisk.Fault{Effect: e, Nth: 1 + r.IntN(60)}), d.Inject(simdisk.Fault{Effect: e, Nth: 1 + r.IntN(60)}))
		}
		away := false
		var late *simdisk.Late
		for step := range 150 {
			path := []string{"/", "/m/"}[r.IntN(2)] + string(rune('a'+r.IntN(2)))
			off, p := int64(r.IntN(6000)), bytes.Repeat([]byte{byte('a' + step%26)}, 1+r.IntN(2000))
			// Errors are what this is about: a call that fails may do what it likes
			// as long as the log tells.
			switch op := r.IntN(16); op {
			case 0:
				d.Remove(path)
			case 1:
				d.Rename(path, path[:len(path)-1]+"b")
			case 2:
				d.SyncDir([]string{"/", "/m"}[r.IntN(2)])
			case 3:
				d.Rot(path, off/4, 1)
			case 4:
				d.Link(path, path+"l")
			case 5:
				if !away {
					must(t, d.Vanish("/m"))
				} else {
					var err error
					late, err = d.Return("/m")
					must(t, err)
				}
				away = !away
			case 6:
				if late != nil && len(late.Units()) > 0 && !away {
					late.Land(r.IntN(len(late.Units())))
				}
			default:
				f, err := d.Open(path, vfs.Create)
				if err != nil {
					break
				}
				switch op {
				case 7, 8:
					f.WriteAt(p, off, vfs.Plain)
				case 9:
					f.WriteAt(p, off, vfs.DSync)
				case 10:
					f.Truncate(off)
				case 11:
					f.Punch(off, int64(len(p)))
				case 12:
					f.ReadAt(p, off)
				case 13:
					f.Preallocate(off, int64(len(p)))
				default:
					f.Sync()
				}
				f.Close()
			}
			if step%5 != 0 || away {
				continue
			}
			w := end(d)
			kept := w.Crash(all(w, simdisk.Kept), 0)
			if kept.Hash() != d.Hash() {
				var trace strings.Builder
				must(t, d.WriteTrace(&trace))
				t.Fatalf("seed %d, step %d, all kept:\n%s\nthe running system sees\n%s\nafter\n%s",
					seed, step, content(t, kept), content(t, d), trace.String())
			}
		}
		for _, i := range injections {
			fired += i.Fired()
		}
	}
	if fired < 500 {
		t.Errorf("%d faults fired in all", fired)
	}
}
