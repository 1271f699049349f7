package lsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
)

// latest is the version at which a reader sees the newest commit.
const latest = maxVersion + 1

// Get implements engine.Reader.
func (e *Engine) Get(key, dst []byte) ([]byte, error) { return e.getIn(0, key, dst, latest) }

// getIn appends the value of a key of a family, as a reader at a version sees it.
func (e *Engine) getIn(f engine.FamilyID, key, dst []byte, at uint64) ([]byte, error) {
	var buf [shortKey + maxPrefix]byte
	full := append(appendPrefix(buf[:0], f), key...)
	token := e.domain.Enter()
	if e.closed.Load() && at == latest {
		e.domain.Exit(token)
		return dst, engine.ErrClosed
	}
	v := view{state: e.state.Load()}
	if v.state == nil { // closed since
		e.domain.Exit(token)
		return dst, engine.ErrClosed
	}
	e.lookAt(&v, at)
	out, err := e.lookUp(&v, full, dst)
	e.domain.Exit(token)
	if err != nil && err != engine.ErrNotFound {
		return dst, engine.KeyError("get", key, err)
	}
	return out, err
}

// view is what a reader sees: a state up to a version. The tombstones of its memtable may
// lose what is needed at that version, so those that were found then are here.
type view struct {
	*state
	at     uint64
	ranges *rangeSets
}

// lookAt makes a view of the state in it, which the caller holds, or is in the domain for as
// long as it is used. A version that is not latest must be that of a snapshot.
func (e *Engine) lookAt(v *view, at uint64) {
	for {
		if v.at = at; at == latest {
			v.at = e.visible.Load()
		}
		v.ranges = v.mem.ranges.Load()
		if v.ranges == nil || at != latest || v.ranges.pruned <= v.at {
			return
		}
	}
}

// lookUp is getIn for a key with the number of its family.
func (e *Engine) lookUp(v *view, key, dst []byte) ([]byte, error) {
	hash := hashOf(key)
	st, at := v.state, v.at
	for i := -1; i < len(st.queue); i++ {
		m, ranges := st.mem, v.ranges
		if i >= 0 {
			if st.queue[i].run != nil {
				if t := st.queue[i].run.find(key); t != nil {
					if out, done, err := e.lookInTable(st, t, key, hash, at, dst); done {
						return out, err
					}
				}
				continue
			}
			m = st.queue[i].mem
			ranges = m.ranges.Load()
		}
		cover := ranges.cover(key, at)
		r := m.find(key, hash, at)
		if r == 0 {
			if cover > 0 {
				return dst, engine.ErrNotFound
			}
			continue
		}
		version, kind := m.trie.version(r)
		if kind == kindDelete || version < cover {
			return dst, engine.ErrNotFound
		}
		return append(dst, m.trie.recordValue(r)...), nil
	}
	// All filters are asked for before the first is looked at.
	var near [16]*table
	tables := near[:0]
	for _, r := range st.levels.runs {
		if t := r.find(key); t != nil {
			if reader := t.shared.reader.Load(); reader != nil && reader.blocked != nil {
				reader.blocked.prefetch(hash)
			}
			tables = append(tables, t)
		}
	}
	for _, t := range tables {
		if out, done, err := e.lookInTable(st, t, key, hash, at, dst); done {
			return out, err
		}
	}
	return dst, engine.ErrNotFound
}

// lookInTable looks for a key, which is within the bounds of a table, there; done says that
// what it found settles the matter.
func (e *Engine) lookInTable(st *state, t *table, key []byte, hash, at uint64, dst []byte) (out []byte, done bool, err error) {
	var cover uint64
	if t.ranges > 0 {
		reader, err := t.open()
		if err != nil {
			return dst, true, err
		}
		cover = reader.ranges.coverVersion(key, at)
	}
	found, buf, err := t.get(key, hash, at)
	if err != nil {
		return dst, true, err
	}
	switch {
	case found.kind == 0 && cover == 0:
		giveBack(buf)
		return dst, false, nil
	case found.kind == 0 || found.kind == kindDelete || found.version < cover:
		giveBack(buf)
		return dst, true, engine.ErrNotFound
	case found.kind == kindApart:
		out, err = st.levels.value(found.value, dst)
	default:
		out = append(dst, found.value...)
	}
	giveBack(buf)
	return out, true, err
}

// inquiry is the question whether something that was read has changed.
type inquiry struct {
	e *Engine
	// since is the version above which a change counts.
	since uint64
	// memory says that tables are not to be read: where one would have to be, the answer
	// is errTables.
	memory bool
}

// errTables says that the answer is in tables.
var errTables = errors.New("lsm: the answer is in tables")

// changed reports whether a key, or some key in [lower, upper) if key is nil, has a version
// that counts. Both have the numbers of their families. What commits add to the memtable
// meanwhile may be seen.
func (q *inquiry) changed(st *state, key, lower, upper []byte) (bool, error) {
	if key != nil {
		lower, upper = key, append(append([]byte{}, key...), 0)
	}
	inMem := func(m *memtable) bool {
		for _, f := range m.ranges.Load().fragments(nil).within(lower, upper) {
			if f.versions[0] > q.since {
				return true
			}
		}
		c := trieCursor{t: m.trie}
		for c.seekGE(lower); c.record != 0; c.next() {
			if upper != nil && bytes.Compare(m.trie.recordKey(c.record), upper) >= 0 {
				return false
			}
			if version, _ := m.trie.version(c.record); version > q.since {
				return true
			}
		}
		return false
	}
	inRun := func(r *run) (bool, error) {
		for _, t := range r.overlap(lower, upper) {
			if t.newest() <= q.since {
				continue
			}
			if q.memory {
				return false, errTables
			}
			if changed, err := t.changedSince(key, lower, upper, q.since); changed || err != nil {
				return changed, err
			}
		}
		return false, nil
	}
	if q.e.visible.Load() > q.since && inMem(st.mem) {
		return true, nil
	}
	for _, w := range st.queue {
		if w.mem != nil {
			if w.version > q.since && inMem(w.mem) {
				return true, nil
			}
		} else if changed, err := inRun(w.run); changed || err != nil {
			return changed, err
		}
	}
	for _, r := range st.levels.runs {
		if changed, err := inRun(r); changed || err != nil {
			return changed, err
		}
	}
	return false, nil
}

// changedSince is the engine's, for one table.
func (t *table) changedSince(key, lower, upper []byte, at uint64) (bool, error) {
	r, err := t.open()
	if err != nil {
		return false, err
	}
	for _, f := range r.ranges.within(lower, upper) {
		if f.versions[0] > at {
			return true, nil
		}
	}
	if key != nil && r.filter != nil && !r.filter.mayContain(hashOf(key)) {
		return false, nil
	}
	c := newTableCursor(t)
	for ok := c.seekGE(lower); ok; ok = c.next() {
		if upper != nil && bytes.Compare(c.e.key, upper) >= 0 {
			break
		}
		if c.e.version > at {
			return true, nil
		}
	}
	return false, c.err
}

// ApplyIf implements engine.Conditional. It compares versions: a key that was written
// again with the value that it had counts as changed.
func (e *Engine) ApplyIf(ctx context.Context, at engine.Snapshot, reads engine.ReadSet, b *engine.Batch, d engine.Durability) error {
	s, ok := at.(*snapshot)
	if !ok || s.e != e {
		return fmt.Errorf("apply if unchanged: %w: the snapshot is of another store", engine.ErrInvalid)
	}
	if s.closed.Load() {
		return engine.ErrClosed
	}
	// Tables are read before commits have to wait for it. Behind that only what came since
	// is looked for, in memory; unless that is in tables by now, and then again.
	q := inquiry{e: e, since: s.version}
	for range mostInquiries {
		if err := e.enter(); err != nil {
			return err
		}
		upTo, err := q.ahead(reads)
		e.life.Exit()
		if err != nil {
			return err
		}
		next := inquiry{e: e, since: max(s.version, upTo), memory: true}
		err = e.apply(ctx, b, d, func() error { return next.unchanged(s, e.state.Load(), reads) })
		if !errors.Is(err, errTables) {
			return err
		}
		q.since = next.since
	}
	return e.apply(ctx, b, d, func() error { return q.unchanged(s, e.state.Load(), reads) })
}

// mostInquiries is how often what came meanwhile is read while commits go on.
const mostInquiries = 4

// ahead returns ErrConflict if what was read has changed, and else the version up to which
// it has not.
func (q *inquiry) ahead(reads engine.ReadSet) (upTo uint64, err error) {
	// In this order: the state has all up to there.
	upTo = q.e.visible.Load()
	st := q.e.hold()
	defer q.e.releaseState(st)
	return upTo, q.unchanged(nil, st, reads)
}

// unchanged returns ErrConflict if what was read has changed, and ErrClosed if s, the
// snapshot that keeps merges from leaving the changes out, is closed by now.
func (q *inquiry) unchanged(s *snapshot, st *state, reads engine.ReadSet) error {
	if s != nil && s.closed.Load() {
		return engine.ErrClosed
	}
	for _, k := range reads.Keys {
		changed, err := q.changed(st, append(appendPrefix(nil, 0), k...), nil, nil)
		if err != nil {
			return engine.KeyError("apply if unchanged", k, err)
		}
		if changed {
			return engine.KeyError("apply if unchanged", k, engine.ErrConflict)
		}
	}
	for _, r := range reads.Ranges {
		lower, upper := familyBounds(0, r.Lower, r.Upper)
		if bytes.Compare(lower, upper) >= 0 {
			continue
		}
		changed, err := q.changed(st, nil, lower, upper)
		if err != nil {
			return engine.KeyError("apply if unchanged", r.Lower, err)
		}
		if changed {
			return engine.KeyError("apply if unchanged, range from", r.Lower, engine.ErrConflict)
		}
	}
	return nil
}

// familyBounds puts the number of a family before bounds; open ones become those of the
// family.
func familyBounds(f engine.FamilyID, lower, upper []byte) ([]byte, []byte) {
	prefix := appendPrefix(nil, f)
	lo := append(append([]byte{}, prefix...), lower...)
	if upper == nil {
		return lo, successor(prefix)
	}
	return lo, append(prefix, upper...)
}
