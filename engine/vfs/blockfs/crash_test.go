package blockfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/blockfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// shown is what a table says of a file of the model.
type shown struct {
	id   int
	size int
}

// modelFile is what a file has held. Each write has a byte of its own, so that bytes of other
// files are told from these.
type modelFile struct {
	versions [][]byte
	// floor is by byte the oldest version whose byte there a power cut may leave.
	floor []int
	// change is the state of the last change of its name or size.
	change int
}

func (f *modelFile) content() []byte { return f.versions[len(f.versions)-1] }

// mark is what holds from an event on: the table is of a state from durable to now.
type mark struct{ event, durable, now int }

// crashModel drives files on a device, and knows what a power cut may leave.
type crashModel struct {
	t      *testing.T
	disk   *simdisk.Disk
	fsys   *blockfs.FS
	random *rand.Rand
	ids    []*modelFile
	states []map[string]shown
	marks  []mark
	floors []map[int][]int // by mark: of the files whose floor had changed
	stamp  byte
}

func newModel(t *testing.T, seed uint64) *crashModel {
	m := &crashModel{t: t, disk: newDisk(seed), random: rand.New(rand.NewPCG(seed, 0)), states: []map[string]shown{{}}}
	m.fsys = blockfs.New(m.disk, device)
	m.note(0)
	return m
}

func (m *crashModel) now() int { return len(m.states) - 1 }

// note says from which state on the names may be, from here on.
func (m *crashModel) note(durable int) {
	if n := len(m.marks); n > 0 {
		durable = max(durable, m.marks[n-1].durable)
	}
	m.marks = append(m.marks, mark{m.disk.Events(), durable, m.now()})
	floors := map[int][]int{}
	for id, f := range m.ids {
		floors[id] = slices.Clone(f.floor)
	}
	m.floors = append(m.floors, floors)
}

// next begins a new state, which the operation under way leads to.
func (m *crashModel) next(change func(state map[string]shown)) {
	state := maps.Clone(m.states[m.now()])
	change(state)
	m.states = append(m.states, state)
	m.note(0)
}

func (m *crashModel) name() string { return string(rune('a' + m.random.IntN(4))) }

// step does one random operation.
func (m *crashModel) step() {
	name := m.name()
	s, there := m.states[m.now()][name]
	switch op := m.random.IntN(16); {
	case !there && op < 10:
		m.ids = append(m.ids, &modelFile{versions: [][]byte{nil}, change: m.now() + 1})
		m.next(func(state map[string]shown) { state[name] = shown{id: len(m.ids) - 1} })
		f, err := m.fsys.Open(device+"/"+name, vfs.Create|vfs.Exclusive)
		must(m.t, err)
		must(m.t, f.Close())
	case op == 10:
		must(m.t, m.fsys.SyncDir(device))
		m.note(m.now())
	case op == 11: // another process
		must(m.t, m.fsys.SyncDir(device))
		m.note(m.now())
		must(m.t, m.fsys.Close())
		m.fsys = blockfs.New(m.disk, device)
	case !there:
	case op == 12:
		m.next(func(state map[string]shown) { delete(state, name) })
		must(m.t, m.fsys.Remove(device+"/"+name))
	case op == 13:
		to := m.name()
		m.ids[s.id].change = m.now() + 1
		m.next(func(state map[string]shown) {
			delete(state, name)
			state[to] = s
		})
		must(m.t, m.fsys.Rename(device+"/"+name, device+"/"+to))
	default:
		m.content(op, name, s)
	}
}

// content changes, or flushes, the content of a file.
func (m *crashModel) content(op int, name string, s shown) {
	file := m.ids[s.id]
	flags := vfs.OpenFlags(0)
	direct := m.random.IntN(2) == 0
	if direct {
		flags = vfs.Direct
	}
	f, err := m.fsys.Open(device+"/"+name, flags)
	must(m.t, err)
	defer func() { must(m.t, f.Close()) }()
	off, n := m.random.IntN(100_000), 1+m.random.IntN(40_000)
	if m.random.IntN(3) == 0 {
		off = s.size
	}
	if direct {
		off, n = off&^511, (n+511)&^511
	}
	is := func(content []byte) {
		file.versions = append(file.versions, content)
		file.floor = append(file.floor, make([]int, max(0, len(content)-len(file.floor)))...)
		if len(content) != s.size {
			file.change = m.now() + 1
		}
		m.next(func(state map[string]shown) { state[name] = shown{s.id, len(content)} })
	}
	grown := func(n int) []byte { return append(slices.Clone(file.content()), make([]byte, max(0, n-s.size))...) }
	switch {
	case op < 3:
		must(m.t, f.Sync())
		for i := range file.floor {
			file.floor[i] = len(file.versions) - 1
		}
		m.note(file.change)
	case op == 3:
		is(grown(off)[:off])
		must(m.t, f.Truncate(int64(off)))
	case op == 4:
		is(grown(off + n))
		must(m.t, f.Preallocate(int64(off), int64(n)))
	default:
		m.stamp++
		p := vfs.AlignedBuffer(n, 512)
		for i := range p {
			p[i] = m.stamp
		}
		content := grown(off + n)
		copy(content[off:], p)
		is(content)
		how := vfs.WriteFlags(m.random.IntN(2))
		_, err := f.WriteAt(p, int64(off), how)
		must(m.t, err)
		if how == vfs.DSync {
			for i := off; i < off+n; i++ {
				file.floor[i] = len(file.versions) - 1
			}
			m.note(file.change)
		}
	}
}

// check compares what a power cut left with what it may leave.
func (m *crashModel) check(image *simdisk.Disk, at int) error {
	fsys := blockfs.New(image, device)
	defer func() { must(m.t, fsys.Close()) }()
	names, err := fsys.List(device)
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, name := range names {
		f, err := fsys.Open(device+"/"+name, vfs.ReadOnly)
		if err != nil {
			return err
		}
		size, err := f.Size()
		b := make([]byte, size)
		if err == nil && size > 0 {
			_, err = f.ReadAt(b, 0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		got[name] = string(b)
	}
	holds := m.marks[at]
	err = fmt.Errorf("the names %v are of no state", names)
	for i := holds.durable; i <= holds.now; i++ {
		state := m.states[i]
		if len(state) != len(got) {
			continue
		}
		fits := true
		for name, s := range state {
			b, there := got[name]
			fits = fits && there && len(b) == s.size
		}
		if !fits {
			continue
		}
		if err = m.checkContents(state, got, at); err == nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("states %d to %d: %w", holds.durable, holds.now, err)
	}
	// What is made on it is durable, whatever happens to what was found.
	put(m.t, fsys, "new", "content", true)
	w := image.Walk()
	for w.Next() {
	}
	again := blockfs.New(w.Crash(nil, 0), device)
	defer func() { must(m.t, again.Close()) }()
	if got := get(m.t, again, "new"); got != "content" {
		return fmt.Errorf("a new file has %q", got)
	}
	return nil
}

func (m *crashModel) checkContents(state map[string]shown, got map[string]string, at int) error {
	for name, s := range state {
		f := m.ids[s.id]
		floor := m.floors[at][s.id]
		newest := f.content()
		for i := range s.size {
			if i < len(newest) && newest[i] == got[name][i] {
				continue
			}
			least := 0
			if i < len(floor) {
				least = floor[i]
			}
			if !slices.ContainsFunc(f.versions[least:], func(v []byte) bool { return i < len(v) && v[i] == got[name][i] }) {
				return fmt.Errorf("byte %d of %s is %d, which it is in no version from %d on", i, name, got[name][i], least)
			}
		}
	}
	return nil
}

// fates draws what becomes of pending writes: all but the bytes of files may be garbage, of
// which nobody could tell whose they are.
func fates(units []simdisk.Unit, random *rand.Rand) []simdisk.Fate {
	out := make([]simdisk.Fate, len(units))
	for i, u := range units {
		most := int(simdisk.Right)
		if u.Offset < 17*mib {
			most = int(simdisk.Garbage)
		}
		out[i] = simdisk.Fate(random.IntN(most + 1))
	}
	return out
}

// TestPowerCuts cuts the power at every event of random work, and holds what is left against
// the model: what was flushed is there, names are those of one moment, and no file shows
// bytes that it has not written.
func TestPowerCuts(t *testing.T) {
	seeds, steps := uint64(4), 50
	if raceEnabled {
		seeds, steps = 2, 30
	}
	images := 0
	for seed := range seeds {
		m := newModel(t, seed)
		for range steps {
			m.step()
		}
		must(t, m.fsys.Close())
		random := rand.New(rand.NewPCG(seed, 1))
		w, at := m.disk.Walk(), 0
		for event := 1; w.Next(); event++ {
			for at+1 < len(m.marks) && m.marks[at+1].event <= event {
				at++
			}
			// An operation under way may have led to the next state.
			for n := range 3 {
				var f []simdisk.Fate
				if n > 0 {
					f = fates(w.Pending(), random)
				}
				images++
				if err := m.check(w.Crash(f, random.Uint64()), at); err != nil {
					t.Fatalf("seed %d, event %d, fates %v of %v: %v", seed, event, f, w.Pending(), err)
				}
			}
		}
	}
	t.Logf("%d images", images)
}

// TestTableInTheCacheAlone: a table whose flush failed is found by the next process, and the
// one after it. What was durable stays, whatever they write, when the power goes.
func TestTableInTheCacheAlone(t *testing.T) {
	d := newDisk(1)
	fsys := blockfs.New(d, device)
	put(t, fsys, "durable", "content", true)
	must(t, fsys.Close())
	for i := range 3 {
		fsys = blockfs.New(d, device)
		put(t, fsys, fmt.Sprint("cached", i), "content", false)
		d.Inject(simdisk.Fault{Path: device, Op: simdisk.OpSyncData, Effect: simdisk.FailedFlush, Nth: []int{3, 1, 1}[i]})
		if err := fsys.SyncDir(device); err == nil {
			t.Fatal("a failed flush succeeded")
		}
		d = d.Kill()
		if err := fsys.Close(); !errors.Is(err, simdisk.ErrKilled) {
			t.Fatal(err)
		}
	}
	fsys = on(t, d)
	if names, err := fsys.List(device); err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	must(t, fsys.Remove(device+"/cached0"))
	put(t, fsys, "last", "content", true)
	random := rand.New(rand.NewPCG(1, 2))
	w := d.Walk()
	for w.Next() {
		for n := range 4 {
			var f []simdisk.Fate
			if n > 0 {
				f = fates(w.Pending(), random)
			}
			image := on(t, w.Crash(f, random.Uint64()))
			names, err := image.List(device)
			if err != nil || len(names) > 0 && get(t, image, "durable") != "content" {
				t.Fatalf("behind %+v, with fates %v of %v: %v, %v", w.Event(), f, w.Pending(), names, err)
			}
		}
	}
	image := on(t, w.Crash(nil, 0))
	if names, err := image.List(device); err != nil || !slices.Equal(names, []string{"durable", "last"}) {
		t.Fatal(names, err)
	}
}

// TestStaleBytesAreZeros: units that were another file's read as zeros where they were not
// written, by whatever way a file came to them.
func TestStaleBytesAreZeros(t *testing.T) {
	fsys := on(t, newDisk(1))
	for round, grow := range []func(f vfs.File) error{
		func(f vfs.File) error { return f.Preallocate(0, 3*mib) },
		func(f vfs.File) error {
			_, err := f.WriteAt([]byte{'y'}, 3*mib-1, vfs.Plain)
			return errors.Join(err, f.Truncate(3*mib+5))
		},
		func(f vfs.File) error {
			if err := f.Truncate(3 * mib); err != nil {
				return err
			}
			_, err := f.WriteAt(bytes.Repeat([]byte{'y'}, 100), mib+10, vfs.Plain)
			return err
		},
		func(f vfs.File) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{'y'}, mib), 0, vfs.Plain)
			return errors.Join(err, f.Truncate(mib/2+1), f.Truncate(mib))
		},
	} {
		old := fmt.Sprint("old", round)
		put(t, fsys, old, string(bytes.Repeat([]byte{'x'}, 16*mib)), true)
		must(t, fsys.Remove(device+"/"+old))
		must(t, fsys.SyncDir(device))
		name := fmt.Sprint("new", round)
		f, err := fsys.Open(device+"/"+name, vfs.Create)
		must(t, err)
		must(t, grow(f))
		must(t, f.Close())
		got := []byte(get(t, fsys, name))
		if bytes.Count(got, []byte{'x'}) > 0 || bytes.Count(got, []byte{'y'})+bytes.Count(got, []byte{0}) != len(got) {
			t.Errorf("way %d: %d bytes of another file", round, bytes.Count(got, []byte{'x'}))
		}
	}
}

// after returns the disk after a power cut now, which loses the writes below and keeps those
// from 17 MiB on, where files are.
func after(d *simdisk.Disk, bytesKept bool) *simdisk.Disk {
	w := d.Walk()
	for w.Next() {
	}
	fates := make([]simdisk.Fate, len(w.Pending()))
	for i, u := range w.Pending() {
		if bytesKept && u.Offset >= 17*mib {
			fates[i] = simdisk.Kept
		}
	}
	return w.Crash(fates, 1)
}

// TestNamesAreDurable: each change of a name is behind SyncDir, though nothing else changed.
func TestNamesAreDurable(t *testing.T) {
	d := newDisk(1)
	fsys := on(t, d)
	for _, step := range []struct {
		do   func() error
		want []string
	}{
		{func() error { put(t, fsys, "a", "", false); return nil }, []string{"a"}},
		{func() error { return fsys.Rename(device+"/a", device+"/b") }, []string{"b"}},
		{func() error { put(t, fsys, "c", "", false); return nil }, []string{"b", "c"}},
		{func() error { return fsys.Rename(device+"/c", device+"/b") }, []string{"b"}},
		{func() error { return fsys.Remove(device + "/b") }, nil},
	} {
		must(t, step.do())
		must(t, fsys.SyncDir(device))
		if names, err := on(t, after(d, false)).List(device); err != nil || !slices.Equal(names, step.want) {
			t.Errorf("%q, %v; want %q", names, err, step.want)
		}
	}
}

// TestUnitsOfOlderTables: where the table that was found is lost with the power, the one
// before it counts; its files have not been written over meanwhile.
func TestUnitsOfOlderTables(t *testing.T) {
	d := newDisk(1)
	fsys := blockfs.New(d, device)
	content := string(bytes.Repeat([]byte{'a'}, mib))
	put(t, fsys, "a", content, true)
	must(t, fsys.Remove(device+"/a"))
	d.Inject(simdisk.Fault{Path: device, Op: simdisk.OpSyncData, Effect: simdisk.FailedFlush, Nth: 2})
	if err := fsys.SyncDir(device); err == nil {
		t.Fatal("a failed flush succeeded")
	}
	d = d.Kill()
	if err := fsys.Close(); !errors.Is(err, simdisk.ErrKilled) {
		t.Fatal(err)
	}
	fsys = on(t, d)
	put(t, fsys, "b", string(bytes.Repeat([]byte{'b'}, 2*mib)), false)
	if names, err := fsys.List(device); err != nil || !slices.Equal(names, []string{"b"}) {
		t.Fatal(names, err)
	}
	if got := get(t, on(t, after(d, true)), "a"); got != content {
		t.Errorf("%d bytes of another file", bytes.Count([]byte(got), []byte{'b'}))
	}
}
