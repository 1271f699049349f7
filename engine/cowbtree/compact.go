package cowbtree

import (
	"bytes"
	"context"
	"fmt"
	"slices"
)

const (
	// compactSlice is how many leaves a step of Compact looks at while commits wait.
	compactSlice = 64
	// punchSectors is the least free extent that is worth giving back.
	punchSectors = 64 << 10 / sectorBytes
)

// Compact implements engine.Engine: it joins leaves that are not full, moves what
// lies at the end of the data file into free space before it, and gives that back
// to the file system. Commits go on meanwhile, between steps.
func (e *Engine) Compact(ctx context.Context, lower, upper []byte) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.life.Exit()
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	if err := e.compact(ctx, lower, upper); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

func (e *Engine) compact(ctx context.Context, lower, upper []byte) error {
	if err := e.checkpointAlone(ctx); err != nil {
		return err
	}
	if err := e.sweep(ctx, lower, upper, func(t *txn, from []byte) ([]byte, error) { return t.joinLeaves(from, upper) }); err != nil {
		return err
	}
	if err := e.checkpointAlone(ctx); err != nil {
		return err
	}
	// What is moved goes into the free space before; twice, since the first time the
	// places that it comes from are not free yet.
	for range 3 {
		cut, worth := e.cut()
		if !worth {
			break
		}
		err := e.sweep(ctx, nil, nil, func(t *txn, from []byte) ([]byte, error) { return t.moveLeaves(from, cut) })
		if err != nil {
			return err
		}
		if err := e.checkpointAlone(ctx); err != nil {
			return err
		}
	}
	return e.punch(ctx)
}

// cut returns the sector behind which nothing would have to lie if the file had no
// free space, and whether there is enough of that to be worth the work.
func (e *Engine) cut() (int64, bool) {
	e.space.mu.Lock()
	defer e.space.mu.Unlock()
	used := e.space.size - e.space.total
	return used + used/16 + blockSectors, e.space.total > used/8+2*leastGrowth
}

// sweep calls step for one part of the keys after the other, in a transaction of
// its own; it returns where the next part begins, nil for the end.
func (e *Engine) sweep(ctx context.Context, from, upper []byte, step func(t *txn, from []byte) ([]byte, error)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.cache.unwritten.Load() >= e.options.CacheBytes/2 {
			if err := e.checkpointAlone(ctx); err != nil {
				return err
			}
		}
		next, err := e.sweepStep(from, step)
		if err != nil || next == nil || upper != nil && bytes.Compare(next, upper) >= 0 {
			return err
		}
		from = next
	}
}

func (e *Engine) sweepStep(from []byte, step func(t *txn, from []byte) ([]byte, error)) ([]byte, error) {
	e.lockCommits()
	defer e.mu.Unlock()
	if e.failed != nil {
		return nil, e.failed
	}
	if raceEnabled {
		defer e.alone()()
	}
	t := e.begin()
	next, err := step(t, from)
	if err != nil {
		t.abort()
		return nil, err
	}
	t.publish()
	return next, nil
}

// joinLeaves builds some leaves anew that are not full, so that they are fewer. It
// returns the key from which to go on.
func (t *txn) joinLeaves(from, upper []byte) ([]byte, error) {
	return t.eachParent(from, func(b []byte, at int) ([]entry, int, error) {
		end := min(at+compactSlice, pageCount(b))
		live := 0
		var pages [][]byte
		for i := at; i < end; i++ {
			p, err := t.copyOf(readRef(b, i), make([]byte, t.pageBytes), via{})
			if err != nil {
				return nil, 0, err
			}
			if len(p) > t.pageBytes || u16(p, atCount) == 0 {
				end = i
				break
			}
			pages = append(pages, p)
			live += liveBytes(p) - headerBytes
		}
		size := max(t.pageBytes, minPageBytes)
		if need := live/(size*15/16-headerBytes) + 1; len(pages) < 2 || need >= len(pages)-len(pages)/8 {
			return nil, max(end, at+1), nil
		}
		var list, out []entry
		var keys []byte
		used := headerBytes
		flush := func() error {
			made, err := t.makePages(nil, kindLeaf, 0, list, 0, false)
			if err == nil {
				if len(out) > 0 {
					made[0].key = separator(out[len(out)-1].value, list[0].key)
				}
				keepKeys(made)
				// The last key, for the next separator.
				made[len(made)-1].value = bytes.Clone(list[len(list)-1].key)
				out = append(out, made...)
			}
			list, keys, used = list[:0], nil, headerBytes
			return err
		}
		for _, p := range pages {
			for i := range pageCount(p) {
				var x entry
				x, keys = entryAt(p, i, keys)
				n := recordBytes(len(x.key), len(x.value), x.extent) + leafEntryBytes
				if used+n > size*15/16 && len(list) > 0 || len(list) >= t.maxKeys {
					if err := flush(); err != nil {
						return nil, 0, err
					}
					x, keys = entryAt(p, i, nil)
				}
				list = append(list, x)
				used += n
			}
		}
		if err := flush(); err != nil {
			return nil, 0, err
		}
		for i := range out {
			out[i].value = nil
		}
		return out, end, nil
	})
}

// moveLeaves makes new pages of some that lie behind a sector of the file, and new
// extents of values that do, so that the next checkpoint writes them before it.
func (t *txn) moveLeaves(from []byte, cut int64) ([]byte, error) {
	return t.eachParent(from, func(b []byte, at int) ([]entry, int, error) {
		var out []entry
		changed := false
		t.cut = cut
		end := min(at+compactSlice, pageCount(b))
		for i := at; i < end; i++ {
			x, _ := entryAt(b, i, nil)
			moved, err := t.moveLeaf(x.child, cut)
			if err != nil {
				return nil, 0, err
			}
			changed = changed || moved.id != x.child.id
			x.child = moved
			out = append(out, x)
		}
		if !changed {
			return nil, end, nil
		}
		return out, end, nil
	})
}

// behind reports whether a page that is in the file lies behind a sector.
func behind(r ref, cut int64) bool { return !r.isUnwritten() && extentOf(r.id).end() > cut }

// moveLeaf returns the reference to take in the place of one to a leaf.
func (t *txn) moveLeaf(r ref, cut int64) (ref, error) {
	if !behind(r, cut) && r.flags&flagExtents == 0 {
		return r, nil
	}
	b, err := t.copyOf(r, make([]byte, maxPageBytes), via{})
	if err != nil {
		return r, err
	}
	var keys []byte
	var list []entry
	moved := behind(r, cut)
	for i := range pageCount(b) {
		var x entry
		x, keys = entryAt(b, i, keys)
		if x.extent {
			if old := readExtentRef(x.value); extentOf(old.id).end() > cut {
				value, err := t.readExtent(old, nil)
				if err != nil {
					return r, err
				}
				y, err := t.writeExtent(value)
				if err != nil {
					return r, err
				}
				t.taken = append(t.taken, y)
				t.forget(x.value)
				x.value = y.appendTo(nil)
				moved = true
			}
		}
		list = append(list, x)
	}
	if !moved {
		return r, nil
	}
	return t.make(kindLeaf, 0, list)
}

// eachParent goes down to the inner page above the leaf of a key, calls change for
// its children from that one on, and puts what change returns in the place of those
// up to the number that it returns; nil changes nothing. It returns the separator
// of the child after those, nil at the end of the tree.
func (t *txn) eachParent(from []byte, change func(b []byte, at int) ([]entry, int, error)) ([]byte, error) {
	if t.root.level == 0 {
		return nil, nil // one page alone
	}
	var next []byte
	var visit func(r ref, level int) ([]entry, bool, error)
	visit = func(r ref, level int) ([]entry, bool, error) {
		p, err := t.page(r, level)
		if err != nil {
			return nil, false, err
		}
		b := bytes.Clone(p)
		i, ok := childFor(b, from)
		if !ok {
			return nil, false, t.damaged(r)
		}
		var out []entry
		end := i + 1
		if level > 1 {
			var same bool
			t.via[level-1] = via{r, refAt(b, i)}
			if out, same, err = visit(readRef(b, i), level-1); err != nil {
				return nil, false, err
			}
			if same {
				out = nil
			}
		} else if out, end, err = change(b, i); err != nil {
			return nil, false, err
		}
		if next == nil && end < pageCount(b) {
			x, _ := entryAt(b, end, nil)
			next = x.key
		}
		if out == nil && t.cut > 0 && behind(r, t.cut) {
			for k := i; k < end; k++ {
				x, _ := entryAt(b, k, nil)
				out = append(out, x)
			}
		}
		if out == nil {
			return nil, true, nil
		}
		if level == 1 {
			for k := i; k < end; k++ {
				if old := readRef(b, k); !slices.ContainsFunc(out, func(x entry) bool { return x.child.id == old.id }) {
					t.supersede(old)
				}
			}
		}
		var keys []byte
		var list []entry
		for k := range pageCount(b) {
			var x entry
			x, keys = entryAt(b, k, keys)
			if k == i {
				out[0].key = x.key
				list = append(list, out...)
			}
			if k < i || k >= end {
				list = append(list, x)
			}
		}
		t.supersede(r)
		made, err := t.makePages(nil, kindInner, level, list, 0, false)
		keepKeys(made)
		return made, false, err
	}
	out, same, err := visit(t.root.ref, t.root.level)
	if err != nil || same {
		return next, err
	}
	return next, t.replaceRoot(out)
}

// punch gives the free space within the file back, where the file system can.
func (e *Engine) punch(ctx context.Context) error {
	for _, x := range e.space.list() {
		x.n = x.end()&^(blockSectors-1) - (x.at+blockSectors-1)&^(blockSectors-1)
		x.at = (x.at + blockSectors - 1) &^ (blockSectors - 1)
		if x.n < punchSectors || !e.space.remove(x) {
			continue
		}
		err := e.data.Punch(x.at*sectorBytes, x.n*sectorBytes)
		e.space.give(x)
		if isUnsupported(err) {
			return nil // the space is used again, but not given back
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
