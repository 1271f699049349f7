package lsm

import (
	"maps"
	"slices"
	"sync/atomic"
)

// state is the store as readers find it. It does not change, but for the memtable's
// content.
type state struct {
	mem *memtable
	// queue is what waits for its way to the levels, newest first.
	queue  []*queued
	levels *levels
	// holds counts who has the state: that it is the newest one, iterators, merges.
	holds atomic.Int64
}

// queued is a memtable that is full, or a run of a bulk load.
type queued struct {
	mem *memtable
	run *run
	// edit is how a bulk load comes to the levels.
	edit *edit
	// version and sequence are the newest of the commits in it, and in all before it.
	version, sequence uint64
}

// newState makes a state, held once.
func newState(mem *memtable, queue []*queued, l *levels) *state {
	st := &state{mem: mem, queue: queue, levels: l}
	st.holds.Store(1)
	mem.holds.Add(1)
	for _, q := range queue {
		if q.mem != nil {
			q.mem.holds.Add(1)
		} else {
			for _, t := range q.run.tables {
				t.shared.holds.Add(1)
			}
		}
	}
	l.hold()
	return st
}

// hold returns the newest state, to be given up by releaseState.
func (e *Engine) hold() *state {
	token := e.domain.Enter()
	defer e.domain.Exit(token)
	for {
		st := e.state.Load()
		for n := st.holds.Load(); n > 0; n = st.holds.Load() {
			if st.holds.CompareAndSwap(n, n+1) {
				return st
			}
		}
	}
}

// install makes a state the newest one. Under mu.
func (e *Engine) install(st *state) {
	if old := e.state.Swap(st); old != nil {
		e.releaseState(old)
	}
}

// releaseState gives up a hold. What nobody has any more goes, when those have left who
// read without a hold.
func (e *Engine) releaseState(st *state) {
	if st.holds.Add(-1) > 0 {
		return
	}
	e.domain.Retire(func() {
		e.releaseMemtable(st.mem)
		for _, q := range st.queue {
			if q.mem != nil {
				e.releaseMemtable(q.mem)
			} else {
				for _, t := range q.run.tables {
					e.releaseFile(t.shared)
				}
			}
		}
		if st.levels.holds.Add(-1) > 0 {
			return
		}
		// In order, so that the same calls do the same I/O.
		for _, n := range slices.Sorted(maps.Keys(st.levels.files)) {
			e.releaseFile(st.levels.files[n])
		}
		for _, n := range slices.Sorted(maps.Keys(st.levels.values)) {
			e.releaseValues(st.levels.values[n])
		}
	})
}

// releaseFile gives up a hold of the file of a table. It is called when nobody reads
// any more that gave up a hold before.
func (e *Engine) releaseFile(f *tableFile) {
	if f.holds.Add(-1) > 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e.files.forget(f)
	f.shut()
	if f.obsolete.Load() {
		// What cannot be removed now is when the store is opened again.
		_ = e.fs.Remove(fileName(e.dir, f.number, tableSuffix))
	}
}

func (e *Engine) releaseValues(v *valueFile) {
	if v.holds.Add(-1) > 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	e.files.forget(v)
	v.shut()
	if v.obsolete.Load() {
		_ = e.fs.Remove(fileName(e.dir, v.number, valueSuffix))
	}
}
