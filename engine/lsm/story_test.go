package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
)

// operations is how many operations the longer tests make: n, or what the environment
// asks for; less where it takes longer.
func operations(t testing.TB, n int) int {
	t.Helper()
	if text := os.Getenv("ORBIT_TEST_OPERATIONS"); text != "" {
		v, err := strconv.Atoi(text)
		if err != nil || v < 1 {
			t.Fatalf("ORBIT_TEST_OPERATIONS is %q; a number from 1 up", text)
		}
		return v
	}
	if raceEnabled {
		n /= 4
	}
	return n
}

// shown is what a store shows: the entries of each family.
type shown map[engine.FamilyID]map[string]string

func (s shown) clone() shown {
	out := shown{}
	for id, m := range s {
		out[id] = maps.Clone(m)
	}
	return out
}

// pinned is a snapshot that is held, and what it shows.
type pinned struct {
	engine.Snapshot
	shown shown
	// changed are the keys of the default family that commits changed since.
	changed map[string]bool
}

// walk is an iterator that is held, what it shows, and where it stands; -1 if on none.
type walk struct {
	engine.Iterator
	keys   []string
	values map[string]string
	at     int
	of     *pinned
}

// story is random operations on a store, and what must be in it.
type story struct {
	*rand.Rand
	t       *testing.T
	o       Options
	dir     string
	e       *Engine
	now     shown
	names   map[string]engine.FamilyID
	pins    []*pinned
	walks   []*walk
	copies  int
	counted map[string]int // how often each operation was made
	reopens map[string]float64
}

// tiny makes a few entries fill blocks, tables and levels.
func tiny(fsys vfs.FS) Options {
	return Options{
		FS: fsys, CacheBytes: MinCacheBytes, MemtableBytes: 8 << 10, SegmentBytes: 32 << 10, TableBytes: 4 << 10, Levels: 5, Multiplier: 2,
		CompactionThreshold: 2, ValuesApart: 300, ValueFileBytes: 8 << 10,
	}
}

func newStory(t *testing.T, seed uint64, dir string, o Options) *story {
	s := &story{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, o: o, dir: dir, now: shown{0: {}}, names: map[string]engine.FamilyID{}, counted: map[string]int{}, reopens: map[string]float64{}}
	s.open()
	return s
}

func (s *story) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) open() {
	s.t.Helper()
	e, err := Open(context.Background(), s.dir, s.o)
	s.must(err)
	s.e = e
}

// key is of few, so that all that happens to keys happens to some.
func (s *story) key() string {
	switch n := s.IntN(40); {
	case n == 0:
		return ""
	case n == 1:
		return strings.Repeat("long", 200+s.IntN(3)) + strconv.Itoa(s.IntN(4))
	case n < 10:
		return fmt.Sprintf("a prefix that many keys have, which is not short/%03d", s.IntN(100))
	}
	return fmt.Sprintf("%c%03d", 'a'+s.IntN(3), s.IntN(120))
}

func (s *story) value() string {
	n := s.IntN(80)
	switch s.IntN(20) {
	case 0:
		n = 300 + s.IntN(1200) // apart
	case 1:
		n = 200 + s.IntN(100)
	case 2:
		n = 5000 * s.IntN(2)
	}
	v := bytes.Repeat([]byte{byte('a' + s.IntN(26))}, n)
	for i := range v {
		if s.IntN(3) > 0 {
			v[i] = byte(s.Uint32())
		}
	}
	return string(v)
}

func (s *story) family() engine.FamilyID {
	if s.IntN(4) > 0 || len(s.names) == 0 {
		return 0
	}
	names := slices.Sorted(maps.Keys(s.names))
	return s.names[names[s.IntN(len(names))]]
}

func (s *story) note(k string) {
	for _, p := range s.pins {
		p.changed[k] = true
	}
}

// batch makes a batch, and applies it to the model.
func (s *story) batch() *engine.Batch {
	var b engine.Batch
	n := 1
	if s.IntN(3) == 0 {
		n += s.IntN(20)
	}
	for range n {
		f := s.family()
		m := s.now[f]
		key := s.key()
		switch s.IntN(20) {
		case 0, 1, 2, 3:
			b.DeleteIn(f, []byte(key))
			delete(m, key)
			if f == 0 {
				s.note(key)
			}
		case 4:
			upper := s.key()
			if s.IntN(3) == 0 {
				upper = key + "\x00"
			}
			b.DeleteRangeIn(f, []byte(key), []byte(upper))
			for k := range m {
				if k >= key && k < upper {
					delete(m, k)
				}
			}
			if f == 0 && key < upper {
				for _, p := range s.pins {
					p.changed["range"] = true
				}
			}
		default:
			v := s.value()
			b.PutIn(f, []byte(key), []byte(v))
			m[key] = v
			if f == 0 {
				s.note(key)
			}
		}
	}
	return &b
}

func entriesOf(m map[string]string) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield([]byte(k), []byte(m[k])) {
				return
			}
		}
	}
}

// step does one operation.
func (s *story) step() {
	s.t.Helper()
	ctx := context.Background()
	did := func(what string) { s.counted[what]++ }
	switch n := s.IntN(100); {
	case n < 62:
		did("batch")
		s.must(s.e.Apply(ctx, s.batch(), engine.Durability(s.IntN(3))))
	case n < 64:
		did("ingest")
		m := map[string]string{}
		for range s.IntN(40) {
			m[s.key()] = s.value()
		}
		s.must(s.e.Ingest(ctx, entriesOf(m)))
		maps.Copy(s.now[0], m)
		for k := range m {
			s.note(k)
		}
	case n < 67 && len(s.pins) < 6:
		did("snapshot")
		x, err := s.e.Snapshot()
		s.must(err)
		s.pins = append(s.pins, &pinned{x, s.now.clone(), map[string]bool{}})
	case n < 70 && len(s.pins) > 2:
		did("close snapshot")
		s.unpin(s.IntN(len(s.pins)))
	case n < 73 && len(s.walks) < 6:
		did("iterator")
		s.iterate()
	case n < 84 && len(s.walks) > 0:
		w := s.walks[s.IntN(len(s.walks))]
		for range 1 + s.IntN(30) {
			s.move(w)
		}
	case n < 85 && len(s.walks) > 3:
		did("close iterator")
		i := s.IntN(len(s.walks))
		s.must(s.walks[i].Close())
		s.walks = slices.Delete(s.walks, i, i+1)
	case n < 87:
		did("compact a range")
		s.must(s.e.Compact(ctx, []byte(s.key()), []byte(s.key())))
	case n == 87:
		if s.IntN(3) == 0 {
			did("compact")
			s.must(s.e.Compact(ctx, nil, nil))
			if len(s.pins)+len(s.walks) == 0 && len(s.names) == 0 {
				did("settled")
				s.must(s.e.settled(len(s.now[0])))
			}
		}
	case n == 88:
		did("flush")
		if s.IntN(2) == 0 {
			did("roll")
			s.e.installing.Lock()
			s.e.manifest.logged = 1 << 40 // the next edit writes the manifest anew
			s.e.installing.Unlock()
		}
		s.must(s.e.flushAll(ctx))
	case n == 89:
		did("checkpoint")
		s.checkpoint()
	case n == 90:
		did("reopen")
		s.reopen()
	case n < 93:
		did("family")
		s.families()
	case n < 96 && len(s.pins) > 0:
		did("apply if")
		s.applyIf()
	case n == 97:
		s.check()
	}
}

func (s *story) unpin(i int) {
	p := s.pins[i]
	s.walks = slices.DeleteFunc(s.walks, func(w *walk) bool {
		if w.of == p {
			s.must(w.Close())
		}
		return w.of == p
	})
	s.must(p.Close())
	s.pins = slices.Delete(s.pins, i, i+1)
}

// reader returns a reader of a family of the newest state, or a snapshot, and what it
// shows.
func (s *story) reader(f engine.FamilyID, of *pinned) (engine.Reader, map[string]string) {
	s.t.Helper()
	from, m := engine.FamilyReader(s.e), s.now[f]
	if of != nil {
		from, m = of.Snapshot.(engine.FamilyReader), of.shown[f]
	}
	r, err := from.In(f)
	s.must(err)
	return r, m
}

func (s *story) iterate() {
	var of *pinned
	if len(s.pins) > 0 && s.IntN(2) == 0 {
		of = s.pins[s.IntN(len(s.pins))]
	}
	f := s.family()
	r, m := s.reader(f, of)
	var o engine.IterOptions
	if s.IntN(2) == 0 {
		o.Lower = []byte(s.key())
	}
	if s.IntN(2) == 0 {
		o.Upper = []byte(s.key())
	}
	it, err := r.NewIterator(o)
	s.must(err)
	w := &walk{Iterator: it, values: map[string]string{}, at: -1, of: of}
	for k, v := range m {
		if k >= string(o.Lower) && (o.Upper == nil || k < string(o.Upper)) {
			w.keys = append(w.keys, k)
			w.values[k] = v
		}
	}
	slices.Sort(w.keys)
	s.walks = append(s.walks, w)
}

// move moves an iterator, and looks where it stands then.
func (s *story) move(w *walk) {
	s.t.Helper()
	var ok bool
	n := len(w.keys)
	was, what := w.at, ""
	switch k := s.IntN(20); {
	case k == 0:
		what, ok, w.at = "First", w.First(), 0
	case k == 1:
		what, ok, w.at = "Last", w.Last(), n-1
	case k < 4:
		key := s.key()
		at, _ := slices.BinarySearch(w.keys, key)
		what, ok, w.at = "SeekGE "+key, w.SeekGE([]byte(key)), at
	case k < 6:
		key := s.key()
		at, _ := slices.BinarySearch(w.keys, key)
		what, ok, w.at = "SeekLT "+key, w.SeekLT([]byte(key)), at-1
	case k < 14:
		what, ok = "Next", w.Next()
		if w.at >= 0 {
			w.at++
		}
	default:
		what, ok = "Prev", w.Prev()
		if w.at >= 0 {
			w.at--
		}
	}
	if w.at >= n {
		w.at = -1
	}
	if err := w.Err(); err != nil || ok != (w.at >= 0) {
		s.t.Fatalf("%.50s from %d of %d: %v, and should stand at %d (%v)", what, was, n, ok, w.at, err)
	}
	if !ok {
		if w.Key() != nil {
			s.t.Fatal("a key where it stands nowhere")
		}
		return
	}
	v, err := w.Value()
	if want := w.keys[w.at]; err != nil || string(w.Key()) != want || string(v) != w.values[want] {
		s.t.Fatalf("%.50s from %d of %d: at %.60q with %d bytes, and should be at %d, %.60q with %d (%v)", what, was, n, w.Key(), len(v), w.at, want, len(w.values[want]), err)
	}
}

func (s *story) families() {
	ctx := context.Background()
	name := fmt.Sprintf("family %d", s.IntN(3))
	id, there := s.names[name]
	if !there {
		id, err := s.e.CreateFamily(ctx, name)
		s.must(err)
		if s.now[id] != nil {
			s.t.Fatalf("family %d is given out again", id)
		}
		s.names[name], s.now[id] = id, map[string]string{}
		return
	}
	if s.IntN(2) > 0 {
		return
	}
	for len(s.pins) > 0 {
		s.unpin(0) // so that nothing that shows the family is left
	}
	for _, w := range s.walks {
		s.must(w.Close())
	}
	s.walks = nil
	s.must(s.e.DropFamily(ctx, name))
	delete(s.names, name)
	delete(s.now, id)
	if _, err := s.e.In(id); !errors.Is(err, engine.ErrNotFound) {
		s.t.Fatalf("family %d is dropped, and there (%v)", id, err)
	}
}

// applyIf commits if what was read at a snapshot is as it was.
func (s *story) applyIf() {
	p := s.pins[s.IntN(len(s.pins))]
	var reads engine.ReadSet
	differs, touched := false, p.changed["range"]
	for range s.IntN(3) {
		k := s.key()
		reads.Keys = append(reads.Keys, []byte(k))
		was, there := p.shown[0][k]
		is, still := s.now[0][k]
		differs = differs || there != still || was != is
		touched = touched || p.changed[k]
	}
	if s.IntN(2) == 0 {
		r := engine.Range{Lower: []byte(s.key()), Upper: []byte(s.key())}
		reads.Ranges = append(reads.Ranges, r)
		in := func(k string) bool { return k >= string(r.Lower) && k < string(r.Upper) }
		for _, both := range []map[string]string{p.shown[0], s.now[0]} {
			for k := range both {
				was, there := p.shown[0][k]
				is, still := s.now[0][k]
				differs = differs || in(k) && (there != still || was != is)
			}
		}
		for k := range p.changed {
			touched = touched || in(k)
		}
	}
	before := s.now.clone()
	b := s.batch()
	err := s.e.ApplyIf(context.Background(), p.Snapshot, reads, b, engine.Buffered)
	switch {
	case err == nil && !differs:
		s.counted["unchanged"]++
	case errors.Is(err, engine.ErrConflict) && touched:
		s.counted["conflict"]++
		s.now = before
	default:
		s.t.Fatalf("what was read differs: %v, was touched: %v; %v", differs, touched, err)
	}
}

// checkpoint makes a copy, and compares it. Copies go on to be stores of their own.
func (s *story) checkpoint() {
	s.copies++
	dir := fmt.Sprintf("%s-copy-%d", s.dir, s.copies)
	s.must(s.e.Checkpoint(context.Background(), dir))
	e, err := Open(context.Background(), dir, s.o)
	s.must(err)
	s.must(s.now.compare(e))
	s.must(e.invariants(true))
	var b engine.Batch
	b.Put([]byte("of the copy alone"), []byte("value"))
	s.must(e.Apply(context.Background(), &b, engine.Flushed))
	s.must(e.Close())
}

// close closes the store, when all that was opened on it is closed.
func (s *story) close() {
	s.t.Helper()
	for _, w := range s.walks {
		s.must(w.Close())
	}
	s.walks = nil
	for _, p := range s.pins {
		s.must(p.Close())
	}
	s.pins = nil
	s.must(s.e.invariants(true))
	for k, v := range s.e.Metrics().Other {
		s.reopens[k] += v
	}
	s.must(s.e.Close())
}

// reopen closes the store and opens it again: what is on disk then is what it knows of, and
// nothing is in memory.
func (s *story) reopen() {
	s.t.Helper()
	version := s.e.LastSequence()
	s.e.mu.Lock()
	dropped := uint64(len(s.e.clearing))
	s.e.mu.Unlock()
	s.close()
	before, err := dataFiles(s.e.fs.List, s.dir)
	s.must(err)
	s.open()
	if again := s.e.LastSequence(); again < version || again > version+dropped { // one for each that is cleared again
		s.t.Fatalf("the newest version is %d, and was %d", again, version)
	}
	s.must(s.e.still(func(st *state) error {
		// In the background a merge may have been made since.
		if known := st.known(); s.o.Inline && len(s.e.clearing) == 0 && !maps.Equal(known, before) {
			return fmt.Errorf("%d files are on disk, and %d are known", len(before), len(known))
		}
		return nil
	}))
	names, err := s.e.Families()
	s.must(err)
	want := maps.Clone(s.names)
	want[defaultFamily] = 0
	if !maps.Equal(names, want) {
		s.t.Fatalf("families %v, and should be %v", names, want)
	}
	s.must(s.now.compare(s.e))
}

// check compares all that there is.
func (s *story) check() {
	s.t.Helper()
	s.must(s.now.compare(s.e))
	for _, p := range s.pins {
		shown := p.shown.clone()
		for id := range shown {
			if s.now[id] == nil {
				delete(shown, id)
			}
		}
		if err := shown.compare(p.Snapshot.(engine.FamilyReader)); err != nil {
			s.t.Fatalf("a snapshot: %v", err)
		}
	}
	s.must(s.e.invariants(len(s.walks) == 0))
	s.must(s.e.still(func(st *state) error {
		levels := 0
		for _, r := range st.levels.below {
			levels += min(len(r.tables), 1)
		}
		if levels > 1 {
			s.counted["several levels"]++
		}
		if len(st.levels.top) > 1 {
			s.counted["several runs"]++
		}
		seen := map[uint64]bool{}
		for level, x := range st.levels.all {
			if seen[x.number] {
				s.counted["pieces of one table"]++
			}
			seen[x.number] = true
			if r := x.shared.reader.Load(); r != nil && r.blocks() > 1 {
				s.counted["several blocks"]++
			}
			if level > 0 && x.ranges > 0 {
				s.counted["tombstones in levels"]++
			}
		}
		return nil
	}))
}

// compare returns how what a store shows differs.
func (s shown) compare(r engine.FamilyReader) error {
	for id, m := range s {
		x, err := r.In(id)
		if err == nil {
			err = same(x, m)
		}
		if err != nil {
			return fmt.Errorf("family %d: %w", id, err)
		}
	}
	if e, ok := r.(*Engine); ok {
		return manyAsOne(e, s[0])
	}
	return nil
}

// manyAsOne compares what gets of many keys at a time show with a model: of keys that are
// there, in order and not, and of others.
func manyAsOne(e engine.MultiGetter, model map[string]string) error {
	var keys [][]byte
	for _, k := range slices.Sorted(maps.Keys(model)) {
		keys = append(keys, []byte(k), []byte(k+"\x00"))
	}
	keys = append(keys, nil, []byte("key"), []byte("key"))
	for turn := range 2 {
		next := 0
		err := e.MultiGet(keys, func(i int, value []byte, present bool) {
			want, there := model[string(keys[i])]
			if i != next || present != there || string(value) != want || present != (value != nil) {
				next = -1 << 30
			}
			next++
		})
		if err != nil || next != len(keys) {
			return fmt.Errorf("turn %d: of %d keys at a time something else is shown, at %d (%w)", turn, len(keys), next, err)
		}
		rand.New(rand.NewPCG(1, uint64(len(keys)))).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	return nil
}

// same compares all that is in r with a model: by walks both ways, and by gets, of keys
// too that are not there.
func same(r engine.Reader, model map[string]string) error {
	it, err := r.NewIterator(engine.IterOptions{})
	if err != nil {
		return err
	}
	defer it.Close()
	keys := slices.Sorted(maps.Keys(model))
	i := 0
	for ok := it.First(); ok; ok, i = it.Next(), i+1 {
		v, err := it.Value()
		if i >= len(keys) || string(it.Key()) != keys[i] || err != nil || string(v) != model[keys[i]] {
			return fmt.Errorf("entry %d of %d is %.60q, of %d bytes (%w)", i, len(keys), it.Key(), len(v), err)
		}
	}
	if err := it.Err(); err != nil || i != len(keys) {
		return fmt.Errorf("%d entries, want %d (%w)", i, len(keys), err)
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		if i--; i < 0 || string(it.Key()) != keys[i] {
			return fmt.Errorf("backward, entry %d of %d is %.60q", i, len(keys), it.Key())
		}
	}
	if err := it.Err(); err != nil || i != 0 {
		return fmt.Errorf("backward, %d entries are not met (%w)", i, err)
	}
	for _, k := range keys {
		if v, err := r.Get([]byte(k), []byte("before")); err != nil || string(v) != "before"+model[k] {
			return fmt.Errorf("key %.60q is %d bytes, want %d (%w)", k, len(v)-6, len(model[k]), err)
		}
		other := k + "\x00"
		if _, there := model[other]; there {
			continue
		}
		if v, err := r.Get([]byte(other), nil); err != engine.ErrNotFound {
			return fmt.Errorf("key %.60q is there, with %d bytes (%w)", other, len(v), err)
		}
	}
	return nil
}

// TestStory: a store with blocks, tables and levels of a few entries each shows what a map
// does, at the newest commit, at snapshots and by iterators that are held for long, with
// bulk loads, deleted ranges, families, compaction, checkpoints and reopening in between;
// with work in the background, or as part of commits.
func TestStory(t *testing.T) {
	for _, inline := range []bool{true, false} {
		t.Run(fmt.Sprintf("inline=%v", inline), func(t *testing.T) {
			n := operations(t, 6_000)
			counted, metrics := map[string]int{}, map[string]float64{}
			for seed := range uint64(2) {
				o := tiny(simdisk.New(simdisk.Options{Seed: 1}))
				o.Inline = inline
				switch seed {
				case 1:
					o.MemtableBytes, o.CompactionThreshold, o.Compression, o.Filter = 2<<10, 3, LZ4ThenZstd, ClassicBloom
				}
				s := newStory(t, seed, "/store", o)
				s.counted, s.reopens = counted, metrics
				for range n / 2 {
					s.step()
				}
				s.close()
				s.open()
				s.check()
				s.close()
			}
			for _, what := range []string{
				"batch", "ingest", "snapshot", "close snapshot", "iterator", "compact a range", "compact", "checkpoint", "reopen", "family", "unchanged", "conflict",
				"several levels", "several runs", "pieces of one table", "several blocks", "tombstones in levels",
			} {
				// What the background does meanwhile depends on when it runs.
				if counted[what] == 0 && inline {
					t.Errorf("%q never happened", what)
				}
			}
			for _, what := range []string{"flushes", "compactions", "moves", "values_moved_bytes"} {
				if metrics[what] == 0 && inline {
					t.Errorf("no %s", what)
				}
			}
		})
	}
}
