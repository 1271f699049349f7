package cowbtree

import (
	"bytes"
	"slices"
)

// deleteRange removes the keys in [lower, upper). Pages that lie within it are not
// read, except inner ones, and leaves with values elsewhere.
func (t *txn) deleteRange(lower, upper []byte) error {
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	out, same, err := t.cutRange(t.root.ref, t.root.level, lower, upper)
	if err != nil || same {
		return err
	}
	return t.replaceRoot(out)
}

// cutRange removes a range below a page, and returns what comes in its place; same says
// that it stays.
func (t *txn) cutRange(r ref, level int, lower, upper []byte) (out []entry, same bool, err error) {
	p, err := t.page(r, level)
	if err != nil {
		return nil, false, err
	}
	// The levels below take the scratch of entries too.
	b := bytes.Clone(p)
	if level == 0 {
		return t.cutLeaf(r, b, lower, upper)
	}
	i, ok := childFor(b, lower)
	j, ok2 := childFor(b, upper)
	if !ok || !ok2 {
		return nil, false, t.damaged(r)
	}
	var list []entry
	same = true
	var keys []byte
	for k := range pageCount(b) {
		var x entry
		x, keys = entryAt(b, k, keys)
		switch {
		case k < i || k > j:
			list = append(list, x)
		case k > i && k < j:
			same = false
			t.via[level-1] = via{r, refAt(b, k)}
			if err := t.discard(x.child, level-1); err != nil {
				return nil, false, err
			}
		default:
			t.via[level-1] = via{r, refAt(b, k)}
			below, unchanged, err := t.cutRange(x.child, level-1, lower, upper)
			if err != nil {
				return nil, false, err
			}
			if unchanged {
				list = append(list, x)
				continue
			}
			same = false
			if len(below) > 0 {
				below[0].key = x.key
			}
			list = append(list, below...)
		}
	}
	if same {
		return nil, true, nil
	}
	if list, err = t.joinSmall(list, level); err != nil {
		return nil, false, err
	}
	t.supersede(r)
	out, err = t.makePages(nil, kindInner, level, list, 0, false)
	keepKeys(out)
	return out, false, err
}

func (t *txn) cutLeaf(r ref, b, lower, upper []byte) (out []entry, same bool, err error) {
	i, _, ok := lowerBound(b, lower)
	j, _, ok2 := lowerBound(b, upper)
	if !ok || !ok2 {
		return nil, false, t.damaged(r)
	}
	if i == j {
		return nil, true, nil
	}
	list := t.entries(b)
	for _, x := range list[i:j] {
		if x.extent {
			t.forget(x.value)
		}
	}
	list = slices.Delete(list, i, j)
	t.supersede(r)
	out, err = t.makePages(nil, kindLeaf, 0, list, 0, false)
	keepKeys(out)
	return out, false, err
}

// joinSmall joins the first two neighbours of a list of children that both are the
// transaction's own and fit into one page: what is left at the two ends of a range.
func (t *txn) joinSmall(list []entry, level int) ([]entry, error) {
	size := max(t.pageBytes, minPageBytes)
	for i := 0; i+1 < len(list); i++ {
		if !t.owns(list[i].child) || !t.owns(list[i+1].child) {
			continue
		}
		first := t.cache.frame(list[i].child.hint).page()
		second := t.cache.frame(list[i+1].child.hint).page()
		if liveBytes(first)+liveBytes(second) > size*3/4 || pageCount(first)+pageCount(second) > t.maxKeys {
			continue
		}
		joined := t.join(first, second, list[i+1].key)
		if builtBytes(first[atKind], joined, shiftFor(size)) > size {
			continue
		}
		made, err := t.make(first[atKind], level-1, joined)
		if err != nil {
			return nil, err
		}
		t.supersede(list[i].child)
		t.supersede(list[i+1].child)
		list[i].child = made
		return slices.Delete(list, i+1, i+2), nil
	}
	return list, nil
}

// join returns the entries of two neighbours, the second of which has that
// separator.
func (t *txn) join(first, second, sep []byte) []entry {
	var keys []byte
	var list []entry
	for n, p := range [][]byte{first, second} {
		for k := range pageCount(p) {
			var x entry
			x, keys = entryAt(p, k, keys)
			if n == 1 && k == 0 && p[atKind] == kindInner {
				x.key = sep
			}
			list = append(list, x)
		}
	}
	return list
}

// discard gives up a whole tree.
func (t *txn) discard(r ref, level int) error {
	if level > 0 || r.flags&flagExtents != 0 {
		p, err := t.page(r, level)
		if err != nil {
			return err
		}
		b := p
		if level > 0 {
			b = bytes.Clone(p)
		}
		for i := range pageCount(b) {
			if level > 0 {
				t.via[level-1] = via{r, refAt(b, i)}
				if err := t.discard(readRef(b, i), level-1); err != nil {
					return err
				}
			} else if _, value, extent, _ := record(b, slotAt(b, slotOfLeaf(b, u16(b, atCap)), i)); extent {
				t.forget(value)
			}
		}
	}
	t.supersede(r)
	return nil
}
