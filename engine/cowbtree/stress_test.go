package cowbtree

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// checkMemory returns what is wrong with the frames of a quiet engine: each is free, or
// holds a page; each page that is in memory alone is one that a tree refers to, and is
// where its references say.
func (e *Engine) checkMemory() error {
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.cache
	c.background.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	bad := func(format string, args ...any) {
		if len(errs) < 20 {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	free := map[uint32]bool{}
	numbers := map[uint64]uint32{}
	sum := int64(0)
	for class := range classes {
		a := &c.arrays[class]
		for h := a.free; h != 0; h = c.frame(h).next {
			f := c.frame(h)
			if free[h] {
				bad("frame %#x is in the list of the free twice", h)
				break
			}
			free[h] = true
			if f.id.Load() != 0 || f.place.Load() != 0 {
				bad("free frame %#x holds %#x, at %#x", h, f.id.Load(), f.place.Load())
			}
			if classOf(h) != class {
				bad("frame %#x is in the list of class %d", h, class)
			}
		}
		for i := uint32(1); i < a.next; i++ {
			h := uint32(class)<<indexBits | i
			f := c.frame(h)
			id := f.id.Load()
			if v := f.version.Load(); v&1 == 1 {
				bad("frame %#x is locked", h)
			}
			if id == 0 && !free[h] {
				bad("frame %#x is lost", h)
			}
			if id&unwritten != 0 {
				if f.place.Load() != 0 && len(e.attempt.written) == 0 {
					bad("frame %#x has a page %#x with a place", h, id)
				}
				if other, ok := numbers[id]; ok {
					bad("page %#x is in frames %#x and %#x", id, h, other)
				}
				numbers[id] = h
				sum += minPageBytes << class
			}
		}
	}
	if got := c.unwritten.Load(); got != sum {
		bad("%d bytes are unwritten, and count as %d", sum, got)
	}
	seen := map[uint64]bool{}
	var walk func(r ref, level int)
	walk = func(r ref, level int) {
		if seen[r.id] {
			return
		}
		seen[r.id] = true
		f := c.frame(r.hint)
		if f == nil || f.id.Load() != r.id {
			if r.isUnwritten() {
				bad("page %#x of level %d is not in frame %#x", r.id, level, r.hint)
			}
			return
		}
		b := f.page()
		if int(b[atLevel]) != level {
			bad("page %#x has level %d, not %d", r.id, b[atLevel], level)
			return
		}
		if r.isUnwritten() && f.birth != r.birth {
			bad("page %#x is born in %d, not %d", r.id, f.birth, r.birth)
		}
		if level == 0 {
			return
		}
		for i := range pageCount(b) {
			child := readRef(b, i)
			if child.isUnwritten() && !r.isUnwritten() {
				bad("page %#x, which is written, refers to %#x, which is not", r.id, child.id)
			}
			walk(child, level-1)
		}
	}
	walk(e.root.Load().ref, e.root.Load().level)
	for s := e.history.first; s != nil; s = s.next {
		walk(s.root.Load().ref, s.root.Load().level)
	}
	for _, list := range e.history.deferred {
		for _, d := range list {
			seen[d.id] = true
		}
	}
	for id, h := range numbers {
		if !seen[id] {
			bad("page %#x, in frame %#x, is in no tree", id, h)
		}
	}
	// Sectors: what is free twice or dead twice.
	all := e.space.list()
	dead := slices.Concat(e.history.deferred...)
	for s := e.history.first; s != nil; s = s.next {
		dead = append(dead, s.dead...)
	}
	for _, d := range dead {
		if d.id&unwritten == 0 {
			all = append(all, extentOf(d.id))
		}
	}
	slices.SortFunc(all, func(a, b extent) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(all); i++ {
		if all[i-1].end() > all[i].at {
			bad("%v and %v, which are free or dead, overlap", all[i-1], all[i])
		}
	}
	return errors.Join(errs...)
}

// env is a number above 0 of the environment, or n.
func env(t *testing.T, name string, n int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return n
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 {
		t.Fatalf("%s is %q; a number from 1 up", name, text)
	}
	return v
}

// stress is a store, and what it should hold.
type stress struct {
	*Engine
	t      *testing.T
	ctx    context.Context
	gate   sync.RWMutex // locked where all models must stand still
	models []map[string]string
	seed   uint64 // of the writers
	failed atomic.Bool
	stop   atomic.Bool
}

// fail tells what was met first, and ends everything.
func (s *stress) fail(format string, args ...any) {
	if !s.failed.Swap(true) {
		s.t.Errorf(format, args...)
	}
	s.stop.Store(true)
}

// stressGroup is how many keys are always written together, with one value.
const stressGroup = 4

// stressValue has the stamp, and a length that depends on it.
func stressValue(r *rand.Rand, stamp int) string {
	n := r.IntN(200)
	switch r.IntN(40) {
	case 0:
		n = 1200 + r.IntN(3000)
	case 1:
		n = 4000 + r.IntN(20000)
	}
	v := fmt.Sprintf("%010d/", stamp)
	return v + string(bytes.Repeat([]byte{byte('a' + stamp%26)}, n))
}

// stressKey is key i of group n of a writer.
func stressKey(w, n, i int) string { return fmt.Sprintf("%04x/%d/%05d/%d", n*40503&0xffff>>4, w, n, i) }

// write makes commits of all kinds to keys that are the writer's own.
func (s *stress) write(w, ops, groups int) {
	r := rand.New(rand.NewPCG(uint64(w), s.seed))
	m := s.models[w]
	var b engine.Batch
	for stamp := range ops {
		if s.stop.Load() {
			return
		}
		b.Reset()
		next := map[string]*string{}
		put := func(k, v string) { b.Put([]byte(k), []byte(v)); next[k] = &v }
		del := func(k string) { b.Delete([]byte(k)); next[k] = nil }
		switch kind := r.IntN(100); {
		case kind < 55: // one key, in its place
			put(fmt.Sprintf("%04x/%d/one/%d", r.IntN(4096), w, r.IntN(3)), stressValue(r, stamp))
		case kind < 60:
			del(fmt.Sprintf("%04x/%d/one/%d", r.IntN(4096), w, r.IntN(3)))
		case kind < 96:
			n := r.IntN(groups)
			v := stressValue(r, stamp)
			for i := range stressGroup {
				if kind < 94 {
					put(stressKey(w, n, i), v)
				} else {
					del(stressKey(w, n, i))
				}
			}
		case kind < 98: // a range of its own
			lower := fmt.Sprintf("r/%d/%03d", w, r.IntN(100))
			upper := fmt.Sprintf("r/%d/%03d", w, r.IntN(100))
			if lower > upper {
				lower, upper = upper, lower
			}
			b.DeleteRange([]byte(lower), []byte(upper))
			for k := range m {
				if k >= lower && k < upper {
					next[k] = nil
				}
			}
		case kind < 99:
			for range 100 {
				put(fmt.Sprintf("r/%d/%03d/%d", w, r.IntN(100), r.IntN(20)), stressValue(r, stamp))
			}
		default: // much
			if r.IntN(4) > 0 {
				continue
			}
			for n := range groups / 2 {
				v := fmt.Sprintf("%010d/%d", stamp, n)
				for i := range stressGroup {
					put(stressKey(w, n*2, i), v)
				}
			}
		}
		s.gate.RLock()
		err := s.Apply(s.ctx, &b, engine.Buffered)
		if err == nil {
			for k, v := range next {
				if v == nil {
					delete(m, k)
				} else {
					m[k] = *v
				}
			}
		}
		s.gate.RUnlock()
		if err != nil {
			s.fail("writer %d: %v", w, err)
			return
		}
		for k, v := range next {
			got, err := s.Get([]byte(k), nil)
			if v == nil && err != engine.ErrNotFound || v != nil && (err != nil || string(got) != *v) {
				s.fail("writer %d: %s is %.20q (%v) at %d", w, k, got, err, stamp)
				return
			}
			if r.IntN(4) == 0 {
				break
			}
		}
	}
}

// read reads groups, which must be whole.
func (s *stress) read(seed, groups int) {
	r := rand.New(rand.NewPCG(uint64(seed), 99))
	var value []byte
	for !s.stop.Load() {
		w, n := r.IntN(len(s.models)), r.IntN(groups)
		var keys [][]byte
		for i := range stressGroup {
			keys = append(keys, []byte(stressKey(w, n, i)))
		}
		got := make([]string, stressGroup)
		switch r.IntN(6) {
		case 0, 1:
			err := s.MultiGet(keys, func(i int, v []byte, present bool) { got[i] = string(v) })
			if err != nil {
				s.fail("multiget: %v", err)
			}
		case 2, 3:
			for range 20 {
				k := []byte(fmt.Sprintf("%04x/%d/one/%d", r.IntN(4096), w, r.IntN(3)))
				if r.IntN(2) == 0 {
					k = []byte(stressKey(w, r.IntN(groups), 0))
				}
				var err error
				value, err = s.Get(k, value[:0])
				if err != nil && err != engine.ErrNotFound {
					s.fail("get: %v", err)
				}
			}
		case 4:
			sn, err := s.Snapshot()
			if err != nil {
				s.fail("snapshot: %v", err)
				return
			}
			for i := range keys {
				v, err := sn.Get(keys[i], nil)
				if err != nil && err != engine.ErrNotFound {
					s.fail("get from snapshot: %v", err)
				}
				got[i] = string(v)
			}
			if err := sn.Close(); err != nil {
				s.fail("%v", err)
			}
		case 5:
			it, err := s.NewIterator(engine.IterOptions{Lower: keys[0][:3]})
			if err != nil {
				s.fail("%v", err)
				return
			}
			last := ""
			run, of := 0, ""
			i := 0
			for ok := it.First(); ok && i < 600; ok = it.Next() {
				k := string(it.Key())
				if k <= last {
					s.fail("iterator: %s after %s", k, last)
				}
				last = k
				v, err := it.Value()
				if err != nil {
					s.fail("iterator: %v", err)
				}
				if len(k) > 14 && k[0] != 'r' && k[0] != 'i' && len(k) == len(keys[0]) {
					if k[len(k)-1] == '0' {
						run, of = 0, string(v)
					} else if of != string(v) {
						s.fail("iterator: a group is torn at %s", k)
					}
					run++
				}
				i++
			}
			if err := it.Close(); err != nil {
				s.fail("iterator: %v", err)
			}
		}
		for i := range got {
			if got[i] != got[0] {
				s.fail("a group is torn: %.30q %.30q", got[0], got[i])
			}
		}
	}
}

// hold takes snapshots of all kinds, compares them later, and lets them go.
func (s *stress) hold() {
	r := rand.New(rand.NewPCG(7, 7))
	type held struct {
		name  string
		model map[string]string
		snap  engine.Snapshot
	}
	var list []held
	compare := func(sn engine.Snapshot, m map[string]string, all bool) {
		n := 0
		for k, v := range m {
			got, err := sn.Get([]byte(k), nil)
			if err != nil || string(got) != v {
				s.fail("held snapshot: %s is %.20q (%v), should be %.20q", k, got, err, v)
				return
			}
			if n++; n > 100 && !all {
				return
			}
		}
	}
	drop := func(i int) {
		h := list[i]
		list = slices.Delete(list, i, i+1)
		if h.snap != nil {
			compare(h.snap, h.model, r.IntN(4) == 0)
			if err := h.snap.Close(); err != nil {
				s.fail("%v", err)
			}
			return
		}
		sn, err := s.OpenSnapshot(h.name)
		if err != nil {
			s.fail("%v", err)
			return
		}
		compare(sn, h.model, r.IntN(4) == 0)
		if err := errors.Join(sn.Close(), s.DropSnapshot(s.ctx, h.name)); err != nil {
			s.fail("%v", err)
		}
	}
	for n := 0; !s.stop.Load(); n++ {
		h := held{}
		s.gate.Lock()
		var err error
		if r.IntN(3) == 0 {
			h.snap, err = s.Snapshot()
		} else {
			h.name = fmt.Sprint("name", n)
			err = s.CreateSnapshot(s.ctx, h.name)
		}
		h.model = map[string]string{}
		for _, m := range s.models {
			maps.Copy(h.model, m)
		}
		s.gate.Unlock()
		if err != nil {
			s.fail("%v", err)
			return
		}
		list = append(list, h)
		for len(list) > r.IntN(8) {
			drop(r.IntN(len(list)))
		}
	}
	for len(list) > 0 && !s.failed.Load() {
		if len(list) == 1 && list[0].snap == nil {
			break // one name stays
		}
		drop(0)
	}
}

// maintain compacts, copies, and loads.
func (s *stress) maintain(model map[string]string) {
	r := rand.New(rand.NewPCG(8, 8))
	for n := 0; !s.stop.Load(); n++ {
		switch r.IntN(5) {
		case 0:
			if err := s.Compact(s.ctx, nil, nil); err != nil {
				s.fail("%v", err)
			}
		case 1:
			dir := filepath.Join(s.t.TempDir(), "copy")
			if err := s.Checkpoint(s.ctx, dir); err != nil {
				s.fail("%v", err)
				return
			}
			if err := Inspect(s.ctx, vfs.OS(), dir, io.Discard); err != nil {
				s.fail("copy: %v", err)
			}
			_ = os.RemoveAll(dir)
		default:
			next := map[string]string{}
			for range 1 + r.IntN(300) {
				next[fmt.Sprintf("%04x/i/%d", r.IntN(4096), r.IntN(2))] = stressValue(r, n)
			}
			keys := slices.Sorted(maps.Keys(next))
			if err := s.Ingest(s.ctx, func(yield func(k, v []byte) bool) {
				for _, k := range keys {
					if !yield([]byte(k), []byte(next[k])) {
						return
					}
				}
			}); err != nil {
				s.fail("%v", err)
				return
			}
			maps.Copy(model, next)
			for _, k := range keys {
				if got, err := s.Get([]byte(k), nil); err != nil || string(got) != next[k] {
					s.fail("loaded %s is %.20q (%v)", k, got, err)
				}
			}
		}
	}
}

// compare compares everything with the models.
func (s *stress) compare(all map[string]string) {
	n := 0
	it, err := s.NewIterator(engine.IterOptions{})
	if err != nil {
		s.t.Error(err)
		return
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.Value()
		if want, ok := all[string(it.Key())]; err != nil || !ok || want != string(v) {
			s.t.Errorf("%s is %.20q (%v), and should be %.20q", it.Key(), v, err, want)
			break
		}
		n++
	}
	if err := it.Close(); err != nil || n != len(all) && !s.t.Failed() {
		s.t.Errorf("%d keys (%v), want %d", n, err, len(all))
	}
}

// TestStress: everything beside everything, with checkpoints all the time.
// ORBIT_TEST_OPERATIONS says how many commits there are in all, ORBIT_TEST_SEED makes
// it another one.
func TestStress(t *testing.T) {
	const writers = 4
	operations := 3600
	if raceEnabled || testing.Short() {
		operations = 720
	}
	operations = env(t, "ORBIT_TEST_OPERATIONS", operations)
	seed := uint64(env(t, "ORBIT_TEST_SEED", 1))
	stores := []struct {
		cache, checkpoint int64
		groups            int
		compression       Compression
	}{
		{MinCacheBytes, 128 << 10, 1500, NoCompression},
		{4 << 20, 256 << 10, 4000, LZ4},
		{32 << 20, 512 << 10, 4000, NoCompression},
	}
	each := max(operations/writers/len(stores), 1)
	for _, c := range stores {
		t.Run(fmt.Sprint(c.cache>>20), func(t *testing.T) {
			dir := t.TempDir()
			o := Options{CacheBytes: c.cache, CheckpointBytes: c.checkpoint, Compression: c.compression, SegmentBytes: 1 << 20}
			e, err := Open(context.Background(), dir, o)
			if err != nil {
				t.Fatal(err)
			}
			s := &stress{Engine: e, t: t, ctx: context.Background(), seed: seed}
			for range writers {
				s.models = append(s.models, map[string]string{})
			}
			loaded := map[string]string{}
			var writing, others sync.WaitGroup
			for w := range writers {
				writing.Go(func() { s.write(w, each, c.groups) })
			}
			for r := range 3 {
				others.Go(func() { s.read(r, c.groups) })
			}
			others.Go(s.hold)
			others.Go(func() { s.maintain(loaded) })
			writing.Wait()
			s.stop.Store(true)
			others.Wait()
			if err := e.checkMemory(); err != nil {
				t.Error(err)
			}
			all := loaded
			for _, m := range s.models {
				maps.Copy(all, m)
			}
			if !t.Failed() {
				s.compare(all)
			}
			t.Logf("%v checkpoints, %v reads, %v spilled or written, stalls %d", e.counters.checkpoints.Load(), e.counters.pageReads.Load(), e.counters.pagesWritten.Load(), e.counters.stalls.Load())
			if err := e.checkMemory(); err != nil {
				t.Error(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if err := Inspect(s.ctx, vfs.OS(), dir, io.Discard); err != nil {
				t.Error(err)
			}
			if s.Engine, err = Open(s.ctx, dir, o); err != nil {
				t.Fatal(err)
			}
			if !t.Failed() {
				s.compare(all)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
