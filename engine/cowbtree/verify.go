package cowbtree

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// verifier reads all that a checkpoint in a data file has, and finds out whether it
// is whole: first the newest tree, then those of the named snapshots, the newest
// first. What two trees share is read once, with the first of them, whose it counts
// as: then what is a snapshot's is what its list of dead pages must have.
type verifier struct {
	ctx     context.Context
	file    vfs.File
	meta    meta
	catalog catalog
	damage  damage
	cover   *cover
	// seen are the pages and values that were read, by where they are; nil if there
	// is but one tree, which has each once.
	seen map[int64]sight
	// blind says that some references could not be read, so that what is nobody's may
	// be somebody's.
	blind bool
	pages [32]stored
	trees []treeShape // the newest, then those of the catalog, in its order
}

// sight is a page or value as it was first met.
type sight struct {
	id, birth uint64
	sum       uint32
	// bounds stands for the keys that the page may have had there.
	bounds uint64
	// tree is the first of the verifier's trees that has it, last the last one.
	tree, last int
	extent     bool
	// listed says that the snapshot's list of dead pages has it.
	listed bool
}

// treeShape is what a tree has that those before it had not.
type treeShape struct {
	generation uint64
	levels     []levelShape
	values     int
	valueBytes uint64 // as they are
	valueRoom  int64  // sectors that they take
	// alone are the pages and values of a snapshot that no other tree has, and the
	// sectors that they take.
	alonePages, aloneValues int
	aloneRoom               int64
}

// levelShape is what a tree has at one level.
type levelShape struct {
	pages, entries int
	sectors        int64
	bytes, memory  uint64 // of images, and of the frames that they take
}

// damage is what was found to be wrong.
type damage struct {
	inspection.Damage
	name string
}

// at adds what is wrong at an offset.
func (d *damage) at(off int64, format string, args ...any) {
	d.Add(vfs.NewError("inspect", d.name, off, fmt.Errorf("%w: "+format, append([]any{engine.ErrCorrupt}, args...)...)))
}

// offsetOf is the offset of the first byte of an extent.
func offsetOf(x extent) int64 { return x.at * sectorBytes }

// run verifies everything. What it returns is ctx's error; all else is damage.
func (v *verifier) run() error {
	v.claim(extent{0, metaSectors}, 0, "the meta slots")
	v.claim(v.meta.catalog, 0, "the catalog")
	list := v.catalog.snapshots
	v.trees = make([]treeShape, 1+len(list))
	if len(list) > 0 {
		v.seen = map[int64]sight{}
	}
	v.trees[0].generation = v.meta.generation
	if err := v.page(0, 0, v.meta.root, v.meta.level, nil, nil, v.meta.generation); err != nil {
		return err
	}
	v.checkSnapshots()
	for i := len(list) - 1; i >= 0; i-- {
		s := list[i]
		v.trees[1+i].generation = s.generation
		if err := v.page(1+i, offsetOf(v.meta.catalog), s.root, s.level, nil, nil, s.generation); err != nil {
			return err
		}
	}
	v.checkDead()
	v.checkFree()
	return v.ctx.Err()
}

// claim takes the sectors of x, which the structure at offset from speaks of. It is
// false if they are not there, or somebody else's.
func (v *verifier) claim(x extent, from int64, format string, args ...any) bool {
	what := fmt.Sprintf(format, args...)
	if x.n <= 0 || x.at < 0 || x.end() > v.cover.size {
		v.damage.at(from, "%s would be at %d, %d bytes, which is not within the file; restore the store from a backup", what, offsetOf(x), x.n*sectorBytes)
		return false
	}
	if at, ok := v.cover.take(x); !ok {
		v.damage.at(offsetOf(x), "%s, of %d bytes, overlaps with something else at %d; restore the store from a backup", what, x.n*sectorBytes, at*sectorBytes)
		return false
	}
	return true
}

// boundsOf stands for two bounds.
func boundsOf(lower, upper []byte) uint64 {
	h := fnv.New64a()
	var n [9]byte
	for _, b := range [][]byte{lower, upper} {
		n[0] = 0
		if b != nil {
			n[0] = 1
		}
		putU64(n[1:], 0, uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	return h.Sum64()
}

// meet notes a page or value, of which now is all but the trees, that the structure
// at offset from refers to. It is false if there is nothing more to do: it was met
// before, or cannot be.
func (v *verifier) meet(tree int, from int64, now sight, what string) (old sight, first bool) {
	x := extentOf(now.id)
	if old, ok := v.seen[x.at]; ok {
		switch {
		case old.id != now.id || old.extent != now.extent || old.sum != now.sum || old.birth != now.birth:
			v.damage.at(from, "%s at %d, of %d bytes, born in %d, is referred to elsewhere as another one; restore the store from a backup", what, offsetOf(x), x.n*sectorBytes, now.birth)
			return sight{}, false
		case old.last == tree:
			v.damage.at(from, "%s at %d is in one tree twice; restore the store from a backup", what, offsetOf(x))
			return sight{}, false
		}
		before := old
		old.last = tree
		v.seen[x.at] = old
		return before, false
	}
	if !v.claim(x, from, "%s", what) {
		v.blind = true
		return sight{}, false
	}
	if v.seen != nil {
		now.tree, now.last = tree, tree
		v.seen[x.at] = now
	}
	return sight{}, true
}

// page verifies a page, that the structure at offset from refers to, and all below
// it. It must not have been born after a generation.
func (v *verifier) page(tree int, from int64, r ref, level int, lower, upper []byte, generation uint64) error {
	if err := v.ctx.Err(); err != nil {
		return err
	}
	x := extentOf(r.id)
	if r.isUnwritten() || x.n > sectors(maxPageBytes) || r.flags > flagExtents {
		v.damage.at(from, "what refers to a page says %#x, flags %#x, which cannot be; restore the store from a backup", r.id, r.flags)
		v.blind = true
		return nil
	}
	if r.birth > generation {
		v.damage.at(from, "the page at %d is born in generation %d, after what refers to it, in %d; restore the store from a backup", offsetOf(x), r.birth, generation)
	}
	now := sight{id: r.id, birth: r.birth, sum: r.sum}
	if v.seen != nil {
		now.bounds = boundsOf(lower, upper)
	}
	old, first := v.meet(tree, from, now, "a page")
	if !first {
		if old.id == r.id && old.bounds != now.bounds {
			v.checkEnds(from, r, level, lower, upper)
		}
		return nil
	}
	b, err := v.read(r, level)
	if err != nil {
		v.damage.Add(err)
		v.blind = v.blind || level > 0 || r.flags&flagExtents != 0
		return nil
	}
	has, err := checkContent(b, lower, upper)
	if err != nil {
		v.damage.Add(vfs.NewError("inspect", v.damage.name, offsetOf(x), fmt.Errorf("%w; restore the store from a backup", err)))
	} else if has&^r.flags != 0 {
		v.damage.at(from, "what refers to the page at %d has flags %#x, and lacks %#x; restore the store from a backup", offsetOf(x), r.flags, has)
	}
	t := &v.trees[tree]
	for len(t.levels) <= level {
		t.levels = append(t.levels, levelShape{})
	}
	count := pageCount(b)
	l := &t.levels[level]
	l.pages++
	l.entries += count
	l.sectors += x.n
	l.bytes += uint64(len(b))
	l.memory += minPageBytes << frameClass(len(b))
	if level == 0 {
		return v.values(tree, b, offsetOf(x), r.birth)
	}
	for i := range count {
		next := upper
		if i+1 < count {
			e, _ := entryAt(b, i+1, nil)
			next = append([]byte{}, e.key...) // not nil, which would be open
		}
		if err := v.page(tree, offsetOf(x), childAt(b, i), level-1, lower, next, r.birth); err != nil {
			return err
		}
		lower = next
	}
	return nil
}

// read returns the image of a page, valid until the next one of its level is read.
func (v *verifier) read(r ref, level int) ([]byte, error) {
	x, s := extentOf(r.id), &v.pages[level]
	s.raw = grow(s.raw, int(x.n)*sectorBytes)
	raw := s.raw
	if err := v.readAt(raw, offsetOf(x)); err != nil {
		return nil, err
	}
	if !checksum.Matches(r.sum, checksum.Of(raw)) {
		return nil, vfs.NewError("inspect", v.damage.name, offsetOf(x), fmt.Errorf("%w: the checksum of a page of %d bytes, at level %d, does not match; restore the store from a backup, or delete what is damaged", engine.ErrCorrupt, len(raw), level))
	}
	image, err := unpack(raw, &s.unpacked)
	if err == nil {
		err = checkPage(image)
	}
	if err == nil && pageLevel(image) != level {
		err = fmt.Errorf("%w: a page of level %d, where one of level %d should be", engine.ErrCorrupt, pageLevel(image), level)
	}
	return image, vfs.NewError("inspect", v.damage.name, offsetOf(x), err)
}

// readAt fills b from an offset. The file ending there is ErrCorrupt.
func (v *verifier) readAt(b []byte, off int64) error {
	_, err := v.file.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		err = vfs.NewError("inspect", v.damage.name, off, fmt.Errorf("%w: the file ends before %d bytes from here; restore the store from a backup", engine.ErrCorrupt, len(b)))
	}
	return err
}

// values verifies the values of a leaf, which lies at an offset, that are in extents.
func (v *verifier) values(tree int, b []byte, from int64, generation uint64) error {
	if b[atFlags]&flagExtents == 0 {
		return nil
	}
	slots := slotOfLeaf(b, u16(b, atCap))
	for i := range pageCount(b) {
		_, place, extent, _ := record(b, slotAt(b, slots, i))
		if !extent {
			continue
		}
		if err := v.value(tree, readExtentRef(place), from, generation); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) value(tree int, x extentRef, from int64, generation uint64) error {
	where := extentOf(x.id)
	if int64(x.bytes) > where.n*sectorBytes {
		v.damage.at(from, "a value at %d has %d bytes, in %d; restore the store from a backup", offsetOf(where), x.bytes, where.n*sectorBytes)
		return nil
	}
	if x.birth > generation {
		v.damage.at(from, "a value at %d is born in generation %d, after its page, in %d; restore the store from a backup", offsetOf(where), x.birth, generation)
	}
	if _, first := v.meet(tree, from, sight{id: x.id, birth: x.birth, sum: x.sum, extent: true}, "a value"); !first {
		return nil
	}
	t := &v.trees[tree]
	t.values++
	t.valueBytes += uint64(x.bytes)
	t.valueRoom += where.n
	var sum uint32
	buf := make([]byte, min(int(x.bytes), 1<<20))
	for off, left := offsetOf(where), int(x.bytes); left > 0; {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(left, len(buf))]
		if err := v.readAt(part, off); err != nil {
			v.damage.Add(err)
			return nil
		}
		sum = checksum.Update(sum, part)
		off, left = off+int64(len(part)), left-len(part)
	}
	if !checksum.Matches(x.sum, sum) {
		v.damage.at(offsetOf(where), "the checksum of a value of %d bytes does not match; restore the store from a backup, or delete its key", x.bytes)
	}
	return nil
}

// checkEnds verifies that the keys of a page that was read already, with all below
// it, are within the bounds that another tree gives it.
func (v *verifier) checkEnds(from int64, r ref, level int, lower, upper []byte) {
	for _, last := range []bool{false, true} {
		at := r
		for l := level; ; l-- {
			b, err := v.readAgain(at, l)
			if err != nil || pageCount(b) == 0 {
				break // that is known already
			}
			i := 0
			if last {
				i = pageCount(b) - 1
			}
			if l > 0 {
				at = childAt(b, i)
				continue
			}
			e, _ := entryAt(b, i, nil)
			if compareBounds(e.key, lower, upper) != 0 {
				v.damage.at(from, "key %s of the page at %d is not within the separators %s and %s; restore the store from a backup", engine.QuoteKey(e.key), offsetOf(extentOf(r.id)), engine.QuoteKey(lower), engine.QuoteKey(upper))
			}
			break
		}
	}
}

// readAgain reads a page into memory of its own.
func (v *verifier) readAgain(r ref, level int) ([]byte, error) {
	held := v.pages[level]
	v.pages[level] = stored{}
	defer func() { v.pages[level] = held }()
	if extentOf(r.id).n > sectors(maxPageBytes) || r.isUnwritten() {
		return nil, engine.ErrCorrupt
	}
	return v.read(r, level)
}

// compareBounds is -1 or 1 if the key is below lower, or not below upper.
func compareBounds(key, lower, upper []byte) int {
	switch {
	case lower != nil && string(key) < string(lower):
		return -1
	case upper != nil && string(key) >= string(upper):
		return 1
	}
	return 0
}

// checkSnapshots verifies what the catalog says of the named snapshots.
func (v *verifier) checkSnapshots() {
	at := offsetOf(v.meta.catalog)
	names := map[string]bool{}
	var before uint64
	for _, s := range v.catalog.snapshots {
		name := engine.QuoteKey([]byte(s.name))
		switch {
		case s.name == "" || names[s.name]:
			v.damage.at(at, "a snapshot's name, %s, is empty, or another one's too; restore the store from a backup", name)
		case s.generation <= before || s.generation > v.meta.generation || s.sequence > v.meta.sequence:
			v.damage.at(at, "snapshot %s of commit %d, generation %d, is out of order; restore the store from a backup", name, s.sequence, s.generation)
		}
		names[s.name], before = true, s.generation
	}
}

// checkDead verifies that the list of each snapshot has what is in no later tree,
// and counts what is in no other one.
func (v *verifier) checkDead() {
	at := offsetOf(v.meta.catalog)
	for i, s := range v.catalog.snapshots {
		for _, d := range s.dead {
			x := extentOf(d.id)
			seen, ok := v.seen[x.at]
			switch {
			case !ok && v.blind:
			case !ok || seen.id != d.id || seen.tree != 1+i || seen.birth != d.birth || seen.extent != d.extent:
				v.damage.at(at, "snapshot %s is said to hold what is at %d, born in %d, and does not; restore the store from a backup", engine.QuoteKey([]byte(s.name)), offsetOf(x), d.birth)
			case seen.listed:
				v.damage.at(at, "snapshot %s is said twice to hold what is at %d; restore the store from a backup", engine.QuoteKey([]byte(s.name)), offsetOf(x))
			default:
				seen.listed = true
				v.seen[x.at] = seen
			}
		}
	}
	lost, unlisted := extent{}, 0
	for _, seen := range v.seen {
		if seen.tree == 0 {
			continue
		}
		x := extentOf(seen.id)
		if !seen.listed {
			if unlisted == 0 || x.at < lost.at {
				lost = x
			}
			unlisted++
		}
		before := uint64(0)
		if seen.tree > 1 {
			before = v.catalog.snapshots[seen.tree-2].generation
		}
		if t := &v.trees[seen.tree]; seen.birth > before {
			if seen.extent {
				t.aloneValues++
			} else {
				t.alonePages++
			}
			t.aloneRoom += x.n
		}
	}
	if unlisted > 0 {
		v.damage.at(offsetOf(lost), "%d pages and values of snapshots, the first of which is here, are not in the list of what dies with them; they would never be free again", unlisted)
	}
}

// checkFree verifies that what is free is nobody's, and that there is nothing else.
func (v *verifier) checkFree() {
	for _, x := range v.catalog.free {
		v.claim(x, offsetOf(v.meta.catalog), "free space")
	}
	if v.blind {
		return
	}
	var first extent
	var sum int64
	count := 0
	v.cover.gaps(func(x extent) {
		if count == 0 {
			first = x
		}
		count++
		sum += x.n
	})
	if count > 0 {
		v.damage.at(offsetOf(first), "%d bytes in %d places, the first of which is here, are neither free nor anyone's; a copy of the store, made by a checkpoint, is without them", sum*sectorBytes, count)
	}
}
