package lsm

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// checkRun returns what is wrong with the order of a run.
func checkRun(r *run) error {
	for i, t := range r.tables {
		if bytes.Compare(t.lower, t.upper) >= 0 {
			return fmt.Errorf("table %d is of [%q, %q)", t.number, t.lower, t.upper)
		}
		if i > 0 && bytes.Compare(r.tables[i-1].upper, t.lower) > 0 {
			return fmt.Errorf("tables %d and %d overlap", r.tables[i-1].number, t.number)
		}
		if r.find(t.lower) != t {
			return fmt.Errorf("table %d is not found by its lower bound", t.number)
		}
	}
	return nil
}

// still stops what changes the engine, calls f, and lets it go on.
func (e *Engine) still(f func(st *state) error) error {
	for _, mu := range []interface{ Lock() }{&e.flushing, &e.compacting, &e.installing, &e.mu} {
		mu.Lock()
	}
	defer e.flushing.Unlock()
	defer e.compacting.Unlock()
	defer e.installing.Unlock()
	defer e.mu.Unlock()
	e.domain.Wait()
	return f(e.state.Load())
}

// invariants returns what is wrong with a store in which nothing is under way: with the
// order of levels and of versions, with what is counted, held, and on disk. alone says that
// no iterator is open.
func (e *Engine) invariants(alone bool) error {
	return e.still(func(st *state) error {
		return errors.Join(e.checkLevels(st), e.checkHolds(st, alone), e.checkFiles(st, alone), e.checkCache())
	})
}

// content is what was met in newer runs, while runs are looked at from the newest on.
type content struct {
	// lowest is the lowest version of each key, stones the tombstones.
	lowest map[string]uint64
	stones []tombstone
}

// add takes a run, or a memtable, whose entries and tombstones must be older than what is
// there. Each entry is checked, if check is not nil.
func (c *content) add(what string, list []entry, stones []tombstone) error {
	for _, e := range list {
		if v, ok := c.lowest[string(e.key)]; ok && e.version >= v {
			return fmt.Errorf("%s: key %.60q has version %d, above it there is %d", what, e.key, e.version, v)
		}
		for _, s := range c.stones {
			if bytes.Compare(s.lower, e.key) <= 0 && bytes.Compare(e.key, s.upper) < 0 && e.version >= s.version {
				return fmt.Errorf("%s: key %.60q has version %d, above it there is a tombstone at %d", what, e.key, e.version, s.version)
			}
		}
	}
	for _, s := range stones {
		for k, v := range c.lowest {
			if string(s.lower) <= k && k < string(s.upper) && v < s.version {
				return fmt.Errorf("%s: a tombstone of [%.60q, %.60q) at %d, above it there is key %.60q at %d", what, s.lower, s.upper, s.version, k, v)
			}
		}
	}
	for _, e := range list {
		if v, ok := c.lowest[string(e.key)]; !ok || e.version < v {
			c.lowest[string(e.key)] = e.version
		}
	}
	c.stones = append(c.stones, stones...)
	return nil
}

// checkLevels looks at every entry of every table.
func (e *Engine) checkLevels(st *state) error {
	l := st.levels
	seen := content{lowest: map[string]uint64{}}
	addMem := func(m *memtable) error {
		var list []entry
		for s := newMemStream(m, nil); s.next(); {
			list = append(list, *s.entry())
		}
		return seen.add("a memtable", list, m.ranges.Load().fragments(nil).tombstones(nil))
	}
	if err := addMem(st.mem); err != nil {
		return err
	}
	files := map[uint64]*tableFile{}
	uses := map[uint64]int64{}
	addRun := func(what string, r *run, inLevels bool) error {
		if err := checkRun(r); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		var list []entry
		var stones []tombstone
		ranged := false
		for _, t := range r.tables {
			if inLevels {
				if other := files[t.number]; other != nil && other != t.shared {
					return fmt.Errorf("%s: table %d has two files", what, t.number)
				}
				files[t.number] = t.shared
			}
			ranged = ranged || t.ranges > 0
			part, cut, err := e.checkTable(st, t, uses, inLevels)
			if err != nil {
				return fmt.Errorf("%s: table %d: %w", what, t.number, err)
			}
			list = append(list, part...)
			stones = append(stones, cut...)
		}
		if r.ranged != ranged {
			return fmt.Errorf("%s: ranged is %v", what, r.ranged)
		}
		return seen.add(what, list, stones)
	}
	for i, q := range st.queue {
		var err error
		if q.mem != nil {
			err = addMem(q.mem)
		} else {
			err = addRun(fmt.Sprintf("bulk load %d of the queue", i), q.run, false)
		}
		if err != nil {
			return err
		}
	}
	for i, r := range l.top {
		if i > 0 && l.top[i-1].id <= r.id || len(r.tables) == 0 {
			return fmt.Errorf("run %d of the top has %d tables, and number %d", i, len(r.tables), r.id)
		}
		if err := addRun(fmt.Sprintf("run %d of the top", i), r, true); err != nil {
			return err
		}
	}
	for i, r := range l.below {
		if err := addRun(fmt.Sprintf("level %d", i+1), r, true); err != nil {
			return err
		}
	}
	if !maps.Equal(files, l.files) {
		return fmt.Errorf("the tables have %d files, and the levels %d", len(files), len(l.files))
	}
	counted := l.uses()
	pieces := false
	for _, t := range l.all {
		pieces = pieces || !t.whole()
	}
	for n, v := range l.values {
		// Of pieces it is about so much.
		if about, ok := counted[n]; !ok || about < 0 || !pieces && about != uses[n] || uses[n] > v.bytes {
			return fmt.Errorf("value file %d of %d bytes: %d are of use, %d are counted", n, v.bytes, uses[n], about)
		}
	}
	tableMemory := int64(0)
	for _, f := range files {
		if rd := f.reader.Load(); rd != nil {
			tableMemory += rd.memory
		}
	}
	if alone := e.tableMemory.Load(); alone < tableMemory {
		return fmt.Errorf("open tables take %d bytes, and %d are counted", tableMemory, alone)
	}
	return nil
}

// checkTable returns all entries and tombstones of a table, or a piece of one.
func (e *Engine) checkTable(st *state, t *table, uses map[uint64]int64, inLevels bool) (list []entry, stones []tombstone, err error) {
	r, err := t.open()
	if err != nil {
		return nil, nil, err
	}
	whole := true
	refs := map[uint64]int64{}
	check := func(c *tableCursor) error {
		n := len(list)
		en := c.e
		en.key, en.value = bytes.Clone(en.key), bytes.Clone(en.value)
		if bytes.Compare(en.key, t.lower) < 0 || bytes.Compare(en.key, t.upper) >= 0 {
			return fmt.Errorf("key %.60q is beside its bounds", en.key)
		}
		if en.version > e.visible.Load() {
			return fmt.Errorf("key %.60q has version %d, and the newest is %d", en.key, en.version, e.visible.Load())
		}
		if r.filter != nil && !r.filter.mayContain(hashOf(en.key)) {
			return fmt.Errorf("the filter does not know key %.60q", en.key)
		}
		if n > 0 {
			switch order := bytes.Compare(list[n-1].key, en.key); {
			case order > 0:
				return fmt.Errorf("key %.60q is out of order", en.key)
			case order == 0 && list[n-1].version <= en.version:
				return fmt.Errorf("key %.60q: version %d behind %d", en.key, en.version, list[n-1].version)
			case order == 0 && c.i == 0:
				return fmt.Errorf("the versions of key %.60q are in two blocks", en.key)
			}
		}
		if en.kind == kindApart {
			ref, err := decodeValueRef(en.value)
			if err != nil {
				return err
			}
			refs[ref.file] += int64(ref.stored)
			if inLevels {
				v, err := st.levels.value(en.value, nil)
				if err != nil || uint64(len(v)) != ref.length {
					return fmt.Errorf("key %.60q: a value of %d bytes, %w", en.key, len(v), err)
				}
			}
		}
		list = append(list, en)
		return nil
	}
	for _, ahead := range []int{0, 10_000} {
		list, refs = nil, map[uint64]int64{}
		c := tableCursor{ahead: ahead}
		c.reset(t)
		for ok := c.seekGE(t.lower); ok; ok = c.next() {
			if err := check(&c); err != nil {
				return nil, nil, err
			}
		}
		if c.err != nil {
			return nil, nil, c.err
		}
	}
	forward := list
	c := newTableCursor(t)
	i := len(forward) - 1
	for ok := c.seekLT(t.upper); ok; ok, i = c.prev(), i-1 {
		if i < 0 || !bytes.Equal(forward[i].key, c.e.key) || forward[i].version != c.e.version {
			return nil, nil, fmt.Errorf("backward, key %.60q at %d", c.e.key, c.e.version)
		}
	}
	if i != -1 || c.err != nil {
		return nil, nil, fmt.Errorf("backward, %d entries are not met: %w", i+1, c.err)
	}
	if uint64(len(list)) < t.entries {
		whole = false
	}
	for n, used := range refs {
		uses[n] += used
	}
	f := r.ranges.within(t.lower, t.upper)
	if err := checkFragments(r.ranges); err != nil {
		return nil, nil, err
	}
	stones = f.tombstones(nil)
	if uint64(len(list)) > t.entries || uint64(len(r.ranges)) != t.ranges || t.entries != r.entries || t.live > t.bytes || t.live < 0 {
		return nil, nil, fmt.Errorf("%d entries and %d tombstones; the manifest has %d, %d; %d of %d bytes live", len(list), len(r.ranges), t.entries, t.ranges, t.live, t.bytes)
	}
	if whole {
		deletes, raw := uint64(0), uint64(0)
		low, high := uint64(math.MaxUint64), uint64(0)
		for _, en := range list {
			raw += uint64(len(en.key) + len(en.value))
			low, high = min(low, en.version-t.add), max(high, en.version-t.add)
			if en.kind == kindDelete {
				deletes++
			}
		}
		for _, s := range stones {
			low, high = min(low, s.version), max(high, s.version)
		}
		got := map[uint64]int64{}
		for _, u := range t.refs {
			got[u.file] += u.bytes
		}
		if len(f) == len(r.ranges) && (deletes != t.deletes || raw != t.rawBytes || !maps.Equal(got, refs) || low < t.lowest || high > t.highest) {
			return nil, nil, fmt.Errorf("%d of %d tombstones, %d of %d bytes, refs %v of %v, versions %d to %d of %d to %d", deletes, t.deletes, raw, t.rawBytes, refs, got, low, high, t.lowest, t.highest)
		}
	}
	return list, stones, nil
}

// checkHolds: the newest state alone is held, once, and holds all that it has.
func (e *Engine) checkHolds(st *state, alone bool) error {
	if !alone {
		return nil
	}
	bad := func(what string, n int64) error { return fmt.Errorf("%s is held %d times", what, n) }
	if n := st.holds.Load(); n != 1 {
		return bad("the state", n)
	}
	if n := st.levels.holds.Load(); n != 1 {
		return bad("levels", n)
	}
	if n := st.mem.holds.Load(); n != 1 {
		return bad("the memtable", n)
	}
	for _, q := range st.queue {
		if q.mem != nil && q.mem.holds.Load() != 1 {
			return bad("a memtable of the queue", q.mem.holds.Load())
		}
	}
	for n, f := range st.levels.files {
		if h := f.holds.Load(); h != 1 || f.obsolete.Load() {
			return bad(fmt.Sprintf("table %d (obsolete: %v)", n, f.obsolete.Load()), h)
		}
	}
	for n, v := range st.levels.values {
		if h := v.holds.Load(); h != 1 || v.obsolete.Load() {
			return bad(fmt.Sprintf("value file %d (obsolete: %v)", n, v.obsolete.Load()), h)
		}
	}
	var memory int64
	seen := map[*tableFile]bool{}
	add := func(f *tableFile) {
		if r := f.reader.Load(); r != nil && !seen[f] {
			memory += r.memory
		}
		seen[f] = true
	}
	for _, f := range st.levels.files {
		add(f)
	}
	for _, q := range st.queue {
		if q.run != nil {
			for _, t := range q.run.tables {
				add(t.shared)
			}
		}
	}
	if n := e.tableMemory.Load(); n != memory {
		return fmt.Errorf("%d bytes of table memory, %d are counted", memory, n)
	}
	return nil
}

// known are the names of the files that a state has.
func (st *state) known() map[string]bool {
	out := map[string]bool{}
	for n := range st.levels.files {
		out[fileName("", n, tableSuffix)] = true
	}
	for n := range st.levels.values {
		out[fileName("", n, valueSuffix)] = true
	}
	for _, q := range st.queue {
		if q.run != nil {
			for _, t := range q.run.tables {
				out[fileName("", t.number, tableSuffix)] = true
			}
		}
	}
	return out
}

// dataFiles are the files of tables and values in a directory.
func dataFiles(list func(string) ([]string, error), dir string) (map[string]bool, error) {
	names, err := list(dir)
	out := map[string]bool{}
	for _, n := range names {
		if strings.HasSuffix(n, tableSuffix) || strings.HasSuffix(n, valueSuffix) {
			out[n] = true
		}
	}
	return out, err
}

// checkFiles: every file that is known is there, and, if no iterator holds older states, no
// other is.
func (e *Engine) checkFiles(st *state, alone bool) error {
	there, err := dataFiles(e.fs.List, e.dir)
	if err != nil {
		return err
	}
	known := st.known()
	for n := range known {
		if !there[n] {
			return fmt.Errorf("file %s is not there", n)
		}
	}
	if alone && !maps.Equal(there, known) {
		for n := range known {
			delete(there, n)
		}
		return fmt.Errorf("nothing knows of the files %q", slices.Sorted(maps.Keys(there)))
	}
	return nil
}

// checkCache: each frame is free or some block's, which knows it.
func (e *Engine) checkCache() error {
	// What is retired by what was retired is not waited for.
	e.domain.Wait()
	e.domain.Wait()
	c := e.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	free := map[uint32]bool{}
	for _, f := range c.free {
		if free[f] || int(f) >= c.fresh {
			return fmt.Errorf("frame %d is free twice, or was never used", f)
		}
		free[f] = true
		if c.owners[f].frames != nil {
			return fmt.Errorf("free frame %d has an owner", f)
		}
	}
	for f := range c.fresh {
		o := c.owners[f]
		if o.frames == nil {
			if !free[uint32(f)] {
				return fmt.Errorf("frame %d of %d is lost", f, c.frames)
			}
			continue
		}
		if v := o.frames[o.block].Load() &^ frameUsed; v != uint32(f+1) {
			return fmt.Errorf("frame %d is of block %d, which has %d", f, o.block, v)
		}
	}
	return nil
}

// settled returns what is wrong with a store that was compacted with no snapshot open: all
// of the default family is in the last level, one version of each key, and no tombstone.
func (e *Engine) settled(keys int) error {
	return e.still(func(st *state) error {
		l := st.levels
		last := len(l.below)
		entries := 0
		for level, t := range l.all {
			if level != last || t.deletes+t.ranges != 0 || t.newest() != t.add || t.lowest != 0 {
				return fmt.Errorf("table %d in level %d of %d has %d tombstones, %d of ranges, versions %d to %d", t.number, level, last, t.deletes, t.ranges, t.lowest, t.newest())
			}
			entries += int(t.entries)
		}
		if entries != keys {
			return fmt.Errorf("%d entries for %d keys", entries, keys)
		}
		return nil
	})
}
