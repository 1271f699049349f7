package lsm

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// run is tables, or pieces of them, in the order of keys, that do not overlap. It does
// not change.
type run struct {
	// id tells the runs of the top apart: the newest version in it when it was made. Those
	// below have 0.
	id     uint64
	tables []*table
	index  separators // of the lower bounds
	ranged bool       // some table has tombstones of ranges
}

func newRun(id uint64, tables []*table) *run {
	r := &run{id: id, tables: tables}
	var keys []byte
	ends := make([]uint32, len(tables))
	for i, t := range tables {
		keys = append(keys, t.lower...)
		ends[i] = uint32(len(keys))
		r.ranged = r.ranged || t.ranges > 0
	}
	r.index = newSeparators(keys, ends)
	return r
}

// find returns the table that has a key in its bounds; nil if there is none.
func (r *run) find(key []byte) *table {
	i := r.index.find(key)
	if i < 0 || bytes.Compare(key, r.tables[i].upper) >= 0 {
		return nil
	}
	return r.tables[i]
}

// overlap returns the tables with keys in [lower, upper); nil bounds are open.
func (r *run) overlap(lower, upper []byte) []*table {
	from, to := 0, len(r.tables)
	if lower != nil {
		from, _ = slices.BinarySearchFunc(r.tables, lower, func(t *table, k []byte) int {
			if bytes.Compare(t.upper, k) <= 0 {
				return -1
			}
			return 1
		})
	}
	if upper != nil {
		to, _ = slices.BinarySearchFunc(r.tables, upper, func(t *table, k []byte) int {
			if bytes.Compare(t.lower, k) < 0 {
				return -1
			}
			return 1
		})
	}
	if from >= to {
		return nil
	}
	return r.tables[from:to]
}

func (r *run) bytes() int64 {
	var n int64
	for _, t := range r.tables {
		n += t.live
	}
	return n
}

// levels are the tables of a state of the store. They do not change.
type levels struct {
	// top are the runs that flushes and bulk loads make, newest first; below are the
	// levels, each of one run, each older than the one before.
	top   []*run
	below []*run
	// runs are both, newest first, without those that are empty.
	runs []*run
	// files are those of all tables, values the value files.
	files  map[uint64]*tableFile
	values map[uint64]*valueFile
	holds  atomic.Int64
}

// edit is a change of the levels, and of what else the manifest says.
type edit struct {
	// reset says that nothing of before holds.
	reset   bool
	added   []addition
	removed []removal
	// values and noValues are value files that come and go.
	values   []valueMeta
	noValues []uint64
	// version and logSequence say that all up to there is in tables; 0 for no change.
	version, logSequence uint64
	nextFile             uint64
	families             []family
	noFamilies           []engine.FamilyID // dropped; what they hold may still be there
	cleared              []engine.FamilyID // nothing of them is there any more
	nextFamily           engine.FamilyID
	logBegun             bool // there is a log
}

// addition is a table, or a piece of one, that comes to a level; 0 is the top.
type addition struct {
	level int
	run   uint64
	meta  *tableMeta
	// shared is its file, if that is known; else nil.
	shared *tableFile
}

// removal is one that goes.
type removal struct {
	number uint64
	lower  []byte
}

// apply returns the levels after an edit.
func (l *levels) apply(s *store, e *edit) (*levels, error) {
	type piece struct {
		number uint64
		lower  string
	}
	gone := map[piece]bool{}
	for _, r := range e.removed {
		gone[piece{r.number, string(r.lower)}] = true
	}
	keep := func(r *run) []*table {
		var out []*table
		for _, t := range r.tables {
			if p := (piece{t.number, string(t.lower)}); gone[p] {
				delete(gone, p)
			} else {
				out = append(out, t)
			}
		}
		return out
	}
	top := map[uint64][]*table{}
	below := make([][]*table, len(l.below))
	if !e.reset {
		for _, r := range l.top {
			top[r.id] = keep(r)
		}
		for i, r := range l.below {
			below[i] = keep(r)
		}
	}
	if len(gone) > 0 {
		return nil, fmt.Errorf("%w: an edit removes %d tables that are not there", engine.ErrCorrupt, len(gone))
	}
	files := map[uint64]*tableFile{}
	for _, a := range e.added {
		t := &table{tableMeta: *a.meta, store: s, shared: a.shared}
		if t.shared == nil {
			t.shared = l.files[a.meta.number]
		}
		if t.shared == nil {
			t.shared = files[a.meta.number]
		}
		if t.shared == nil {
			t.shared = &tableFile{number: a.meta.number, store: s}
		}
		files[a.meta.number] = t.shared
		if a.level == 0 {
			top[a.run] = append(top[a.run], t)
		} else {
			below[a.level-1] = append(below[a.level-1], t)
		}
	}
	out := &levels{below: make([]*run, len(below)), files: map[uint64]*tableFile{}, values: map[uint64]*valueFile{}}
	sorted := func(id uint64, tables []*table) (*run, error) {
		slices.SortFunc(tables, func(a, b *table) int { return bytes.Compare(a.lower, b.lower) })
		for i, t := range tables {
			if i > 0 && bytes.Compare(tables[i-1].upper, t.lower) > 0 {
				return nil, fmt.Errorf("%w: tables %d and %d of one run overlap", engine.ErrCorrupt, tables[i-1].number, t.number)
			}
			out.files[t.number] = t.shared
		}
		return newRun(id, tables), nil
	}
	for id, tables := range top {
		if len(tables) == 0 {
			continue
		}
		r, err := sorted(id, tables)
		if err != nil {
			return nil, err
		}
		out.top = append(out.top, r)
	}
	slices.SortFunc(out.top, func(a, b *run) int {
		if a.id > b.id {
			return -1
		}
		return 1
	})
	for i, tables := range below {
		r, err := sorted(0, tables)
		if err != nil {
			return nil, err
		}
		out.below[i] = r
	}
	out.runs = append(out.runs, out.top...)
	for _, r := range out.below {
		if len(r.tables) > 0 {
			out.runs = append(out.runs, r)
		}
	}
	if !e.reset {
		for n, v := range l.values {
			out.values[n] = v
		}
	}
	for _, v := range e.values {
		out.values[v.number] = &valueFile{valueMeta: v, store: s}
	}
	for _, n := range e.noValues {
		delete(out.values, n)
	}
	return out, nil
}

// all yields the tables from the newest run to the last level.
func (l *levels) all(yield func(level int, t *table) bool) {
	for _, r := range l.top {
		for _, t := range r.tables {
			if !yield(0, t) {
				return
			}
		}
	}
	for i, r := range l.below {
		for _, t := range r.tables {
			if !yield(i+1, t) {
				return
			}
		}
	}
}

// whole returns the edit that makes these levels of nothing.
func (l *levels) whole() *edit {
	e := &edit{reset: true}
	for _, r := range l.top {
		for _, t := range r.tables {
			e.added = append(e.added, addition{0, r.id, &t.tableMeta, t.shared})
		}
	}
	for i, r := range l.below {
		for _, t := range r.tables {
			e.added = append(e.added, addition{i + 1, 0, &t.tableMeta, t.shared})
		}
	}
	for _, v := range l.values {
		e.values = append(e.values, v.valueMeta)
	}
	slices.SortFunc(e.values, func(a, b valueMeta) int { return int(int64(a.number) - int64(b.number)) })
	return e
}

// hold counts a state that has these levels; releaseState gives it up. Files that no
// levels have any more go with the last.
func (l *levels) hold() {
	if l.holds.Add(1) > 1 {
		return
	}
	for _, f := range l.files {
		f.holds.Add(1)
	}
	for _, v := range l.values {
		v.holds.Add(1)
	}
}
