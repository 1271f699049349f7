package lsm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
)

// stress is a store at which everything happens at once.
type stress struct {
	*Engine
	t      *testing.T
	ctx    context.Context
	models []map[string]string // of the writers, each of keys of its own
	added  atomic.Int64        // to the counter
	loads  atomic.Int64        // bulk loads that are in
	done   atomic.Int64        // what others than writers have done
	stop   atomic.Bool
}

func (s *stress) fail(format string, args ...any) {
	s.t.Errorf(format, args...)
	s.stop.Store(true)
}

const (
	stressWriters = 3
	stressGroups  = 150
	// stressGroup is how many keys are always written together, with one value.
	stressGroup = 4
	stressLoad  = 60
)

func stressKey(w, n, i int) []byte {
	return fmt.Appendf(nil, "group/%04x/%d/%03d/%d", n*40503&0xffff>>4, w, n, i)
}

func stressValue(r *rand.Rand, stamp int) string {
	n := r.IntN(150)
	if r.IntN(10) == 0 {
		n = 300 + r.IntN(2000)
	}
	return fmt.Sprintf("%010d/", stamp) + strings.Repeat(string(rune('a'+stamp%26)), n)
}

// write commits to keys that are the writer's own.
func (s *stress) write(w, ops int) {
	r := rand.New(rand.NewPCG(uint64(w), 11))
	m := s.models[w]
	var b engine.Batch
	for stamp := range ops {
		if s.stop.Load() {
			return
		}
		b.Reset()
		n := r.IntN(stressGroups)
		v := stressValue(r, stamp)
		kind := r.IntN(20)
		for i := range stressGroup {
			k := stressKey(w, n, i)
			switch {
			case kind == 0:
				b.Delete(k)
				delete(m, string(k))
			case kind == 1 && i == 0:
				b.DeleteRange(stressKey(w, n, 0), stressKey(w, n, stressGroup))
			case kind == 1:
				delete(m, string(stressKey(w, n, 0)))
				delete(m, string(k))
			default:
				b.Put(k, []byte(v))
				m[string(k)] = v
			}
		}
		switch r.IntN(10) {
		case 0:
			lower, upper := fmt.Appendf(nil, "range/%d/%03d", w, r.IntN(100)), fmt.Appendf(nil, "range/%d/%03d", w, r.IntN(100))
			b.DeleteRange(lower, upper)
			maps.DeleteFunc(m, func(k, _ string) bool { return k >= string(lower) && k < string(upper) })
		case 1, 2:
			k := fmt.Sprintf("range/%d/%03d", w, r.IntN(100))
			b.Put([]byte(k), []byte(v))
			m[k] = v
		}
		d := engine.Memory
		if r.IntN(30) == 0 {
			d = engine.Durability(r.IntN(2))
		}
		if err := s.Apply(s.ctx, &b, d); err != nil {
			s.fail("writer %d: %v", w, err)
			return
		}
		if stamp%16 == 0 {
			n := r.IntN(stressGroups)
			k := stressKey(w, n, r.IntN(stressGroup))
			want, there := m[string(k)]
			if got, err := s.Get(k, nil); string(got) != want || there != (err == nil) {
				s.fail("writer %d reads %q of its own key %q, want %q (%v)", w, cut(got), k, cut([]byte(want)), err)
			}
		}
	}
}

func cut(b []byte) []byte { return b[:min(len(b), 20)] }

// check looks whether what a reader shows can be one commit: all keys of a group have one
// value, and all that is loaded together is of one load. It returns a digest.
func (s *stress) check(r engine.Reader, backward bool) string {
	it, err := r.NewIterator(engine.IterOptions{})
	if err != nil {
		s.fail("iterator: %v", err)
		return ""
	}
	defer func() {
		if err := it.Close(); err != nil {
			s.fail("iterator: %v", err)
		}
	}()
	type group struct {
		value string
		n     int
	}
	groups := map[string]*group{}
	loads := map[string]int{}
	n, sum := 0, uint64(0)
	ok, move := it.First(), it.Next
	order := -1
	if backward {
		ok, move, order = it.Last(), it.Prev, 1
	}
	var last []byte
	for ; ok; ok = move() {
		k := it.Key()
		v, err := it.Value()
		if err != nil {
			s.fail("value of %q: %v", k, err)
			return ""
		}
		if last != nil && bytes.Compare(last, k) != order {
			s.fail("%q behind %q", k, last)
		}
		last = append(last[:0], k...)
		n++
		sum += hashOf(k) ^ hashOf(v)*31
		switch name := string(k); {
		case strings.HasPrefix(name, "group/"):
			name = name[:strings.LastIndexByte(name, '/')]
			if g := groups[name]; g == nil {
				groups[name] = &group{string(v), 1}
			} else if g.n++; g.value != string(v) {
				s.fail("%q is %q, others of its group are %q", k, cut(v), cut([]byte(g.value)))
			}
		case strings.HasPrefix(name, "load/"):
			loads[string(v[:10])]++
		}
	}
	if err := it.Err(); err != nil {
		s.fail("iterator: %v", err)
	}
	for name, g := range groups {
		if g.n != stressGroup {
			s.fail("%d keys of group %q", g.n, name)
		}
	}
	for v, n := range loads {
		if n != stressLoad {
			s.fail("%d keys of load %q", n, v)
		}
	}
	if len(loads) > 1 {
		s.fail("keys of %d loads", len(loads))
	}
	return fmt.Sprintf("%d entries, %x", n, sum)
}

// count adds one to a counter, by commits that are conditional.
func (s *stress) count() {
	key := []byte("counter")
	for !s.stop.Load() {
		err := func() error {
			x, err := s.Snapshot()
			if err != nil {
				return err
			}
			defer x.Close()
			v, err := x.Get(key, nil)
			if err != nil && err != engine.ErrNotFound {
				return err
			}
			n := uint64(0)
			if err == nil {
				n = binary.BigEndian.Uint64(v)
			}
			var b engine.Batch
			b.Put(key, binary.BigEndian.AppendUint64(nil, n+1))
			err = s.ApplyIf(s.ctx, x, engine.ReadSet{Keys: [][]byte{key}}, &b, engine.Memory)
			if err == nil {
				s.added.Add(1)
			}
			return err
		}()
		if err != nil && !errors.Is(err, engine.ErrConflict) {
			s.fail("counter: %v", err)
		}
	}
}

// look reads, in all ways.
func (s *stress) look(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 12))
	for !s.stop.Load() {
		switch r.IntN(8) {
		case 0:
			s.check(s.Engine, r.IntN(2) == 0)
		case 1: // a snapshot is the same later
			x, err := s.Snapshot()
			if err != nil {
				s.fail("snapshot: %v", err)
				return
			}
			first := s.check(x, false)
			for range 1 + r.IntN(3) {
				if again := s.check(x, r.IntN(2) == 0); again != first {
					s.fail("a snapshot is %s, and was %s", again, first)
				}
			}
			if err := x.Close(); err != nil {
				s.fail("snapshot: %v", err)
			}
		case 2: // an iterator, held while much happens
			it, err := s.NewIterator(engine.IterOptions{Lower: []byte("group/")})
			if err != nil {
				s.fail("iterator: %v", err)
				return
			}
			met := map[string]string{}
			for ok := it.First(); ok; ok = it.Next() {
				v, err := it.Value()
				if err != nil {
					s.fail("value: %v", err)
				}
				met[string(it.Key())] = string(v[:10])
			}
			for range 50 {
				k := stressKey(r.IntN(stressWriters), r.IntN(stressGroups), r.IntN(stressGroup))
				ok := it.SeekGE(k) && bytes.Equal(it.Key(), k)
				want, there := met[string(k)]
				if ok != there {
					s.fail("an iterator has key %q: %v, and had: %v", k, ok, there)
				} else if ok {
					if v, err := it.Value(); err != nil || string(v[:10]) != want {
						s.fail("an iterator shows %q at %q, and did %q (%v)", cut(v), k, want, err)
					}
				}
			}
			if err := errors.Join(it.Err(), it.Close()); err != nil {
				s.fail("iterator: %v", err)
			}
		case 3:
			w, n := r.IntN(stressWriters), r.IntN(stressGroups)
			var keys [][]byte
			for i := range stressGroup {
				keys = append(keys, stressKey(w, n, i))
			}
			var got []string
			if err := s.MultiGet(keys, func(_ int, v []byte, present bool) { got = append(got, fmt.Sprint(present, string(v))) }); err != nil {
				s.fail("multi-get: %v", err)
			}
			if len(slices.Compact(got)) != 1 {
				s.fail("group %d of writer %d in parts", n, w)
			}
		default: // what a get has seen, a later one does not see older
			w, n, i := r.IntN(stressWriters), r.IntN(stressGroups), r.IntN(stressGroup)
			stamp := -1
			for range 20 {
				v, err := s.Get(stressKey(w, n, i), nil)
				if err == engine.ErrNotFound {
					continue
				}
				if err != nil {
					s.fail("get: %v", err)
					return
				}
				got, err := strconv.Atoi(string(v[:10]))
				if err != nil || got < stamp {
					s.fail("a get sees commit %d, behind %d (%v)", got, stamp, err)
				}
				stamp = got
			}
		}
		s.done.Add(1)
	}
}

// keep does what the keeper of a store does.
func (s *stress) keep(dir string, o Options) {
	r := rand.New(rand.NewPCG(1, 13))
	for n := 0; !s.stop.Load(); n++ {
		var err error
		switch n % 6 {
		case 0:
			err = s.Compact(s.ctx, stressKey(0, r.IntN(stressGroups), 0), nil)
		case 1:
			m := map[string]string{}
			for i := range stressLoad {
				m[fmt.Sprintf("load/%03d", i)] = stressValue(r, n)
			}
			if err = s.Ingest(s.ctx, entriesOf(m)); err == nil {
				s.loads.Add(1)
			}
		case 2:
			name := "family " + strconv.Itoa(n%3)
			var f engine.FamilyID
			if f, err = s.CreateFamily(s.ctx, name); err == nil {
				var b engine.Batch
				for i := range 50 {
					b.PutIn(f, fmt.Appendf(nil, "%d", i), []byte("value"))
				}
				err = s.Apply(s.ctx, &b, engine.Memory)
			}
			if err == nil && r.IntN(2) == 0 {
				err = s.DropFamily(s.ctx, name)
			}
		case 3:
			s.installing.Lock()
			s.manifest.logged = 1 << 40 // the manifest is written anew
			s.installing.Unlock()
			if m := s.Metrics(); len(m.Levels) != o.Levels {
				s.fail("%d levels", len(m.Levels))
			}
		case 4:
			copied := filepath.Join(dir, strconv.Itoa(n))
			if err = s.Checkpoint(s.ctx, copied); err != nil {
				break
			}
			var c *Engine
			if c, err = Open(s.ctx, copied, o); err != nil {
				break
			}
			s.check(c, false)
			err = c.Close()
		default:
			err = s.Compact(s.ctx, nil, nil)
		}
		if err != nil {
			s.fail("operation %d of the keeper: %v", n%6, err)
		}
		s.done.Add(1)
	}
}

// TestStress: commits, conditional ones, gets, iterators, snapshots, bulk loads, checkpoints,
// flushes, merges and families, all at once; and Close with handles open beside gets. What
// is read is always one commit, nothing is held or left over at the end, and what the next
// opening shows is what the writers wrote.
func TestStress(t *testing.T) {
	dir := t.TempDir()
	o := Options{
		CacheBytes: MinCacheBytes, MemtableBytes: 32 << 10, SegmentBytes: 256 << 10, TableBytes: 16 << 10, Levels: 4, Multiplier: 3,
		CompactionThreshold: 2, ValuesApart: 400, ValueFileBytes: 32 << 10,
	}
	s := &stress{Engine: mustOpen(t, filepath.Join(dir, "store"), o), t: t, ctx: context.Background(), models: make([]map[string]string, stressWriters)}
	var writers, others sync.WaitGroup
	for w := range stressWriters {
		s.models[w] = map[string]string{}
		writers.Go(func() { s.write(w, operations(t, 3_000)) })
	}
	for i := range 2 {
		others.Go(s.count)
		others.Go(func() { s.look(uint64(i)) })
	}
	others.Go(func() { s.keep(dir, o) })
	writers.Wait()
	s.stop.Store(true)
	others.Wait()
	if s.done.Load() == 0 || s.added.Load() == 0 || s.loads.Load() == 0 {
		t.Errorf("%d looks, %d added, %d loads", s.done.Load(), s.added.Load(), s.loads.Load())
	}
	model := map[string]string{}
	for _, m := range s.models {
		maps.Copy(model, m)
	}
	model["counter"] = string(binary.BigEndian.AppendUint64(nil, uint64(s.added.Load())))
	compare := func(r engine.Reader) error {
		it, err := r.NewIterator(engine.IterOptions{Lower: []byte("load/"), Upper: []byte("load0")})
		if err != nil {
			return err
		}
		all := maps.Clone(model)
		for ok := it.First(); ok; ok = it.Next() {
			v, err := it.Value()
			if err != nil {
				return err
			}
			all[string(it.Key())] = string(v)
		}
		return errors.Join(it.Err(), it.Close(), same(r, all))
	}
	if err := errors.Join(compare(s.Engine), s.invariants(true)); err != nil {
		t.Fatal(err)
	}
	m := s.Metrics().Other
	if m["flushes"] == 0 || m["compactions"] == 0 || m["values_moved_bytes"] == 0 {
		t.Errorf("%v", m)
	}

	// Close, with handles open, and gets beside it.
	x, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	it, err := s.NewIterator(engine.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var gets sync.WaitGroup
	var got atomic.Int64
	for i := range 3 {
		gets.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 14))
			for {
				k := stressKey(r.IntN(stressWriters), r.IntN(stressGroups), 0)
				v, err := s.Get(k, nil)
				if errors.Is(err, engine.ErrClosed) {
					return
				}
				if want, there := model[string(k)]; there != (err == nil) || string(v) != want {
					t.Errorf("beside Close, %q is %q (%v)", k, cut(v), err)
					return
				}
				got.Add(1)
			}
		})
	}
	for got.Load() < 1000 {
		runtime.Gosched()
	}
	if err := s.Close(); !errors.Is(err, engine.ErrInUse) {
		t.Errorf("close with handles open: %v", err)
	}
	gets.Wait()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Err(); err != nil || n < len(model) {
		t.Errorf("an iterator of a closed store shows %d entries (%v)", n, err)
	}
	if err := it.Close(); err != nil {
		t.Error(err)
	}
	if err := compare(x); err != nil {
		t.Errorf("a snapshot of a closed store: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	e := mustOpen(t, filepath.Join(dir, "store"), o)
	if err := errors.Join(compare(e), e.invariants(true), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCloseBesideGets: stores are closed under gets, again and again.
func TestCloseBesideGets(t *testing.T) {
	dir := t.TempDir()
	o := Options{CacheBytes: MinCacheBytes, MemtableBytes: 8 << 10}
	times := 60
	if raceEnabled {
		times = 15
	}
	for range times {
		e := mustOpen(t, dir, o)
		for i := range 20 {
			apply(t, e, engine.Memory, func(b *engine.Batch) { b.Put(optionKey(i), make([]byte, 1000)) })
		}
		var wg sync.WaitGroup
		var got atomic.Int64
		for range 3 {
			wg.Go(func() {
				for {
					v, err := e.Get(optionKey(7), nil)
					if errors.Is(err, engine.ErrClosed) {
						return
					}
					if err != nil || len(v) != 1000 {
						t.Error(len(v), err)
						return
					}
					got.Add(1)
				}
			})
		}
		for got.Load() < 10 {
			runtime.Gosched()
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
}
