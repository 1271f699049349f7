package cowbtree

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// errAgain says that a page changed while it was read.
var errAgain = errors.New("a page changed while it was read")

// mostTries is after how many tries, which take seconds, a page that does not stand
// still is one that is not there.
const mostTries = 1 << 25

// mostLate is after how many tries an error counts though there were commits each
// time: nobody is as late as that.
const mostLate = 8

// again lets others run before another try. Its error says that there have been too
// many.
func again(tries int) error {
	if tries >= mostTries {
		return fmt.Errorf("%w: a page that is in memory alone cannot be found there; this is a defect of the engine: report it, and open the store again, which replays the log", engine.ErrCorrupt)
	}
	runtime.Gosched()
	return nil
}

// tree is a root that readers find by, and what puts another one in its place that
// is the same tree.
type tree = atomic.Pointer[root]

// Get implements engine.Reader. It allocates nothing if dst has room and the pages
// are in memory.
func (e *Engine) Get(key, dst []byte) ([]byte, error) {
	if e.closed.Load() {
		return dst, engine.ErrClosed
	}
	return e.get(&e.root, key, dst, "get")
}

func (e *Engine) get(t *tree, key, dst []byte, op string) ([]byte, error) {
	if raceEnabled {
		defer e.alone()()
	}
	fp := fingerprint(key)
	for tries := 0; ; tries++ {
		rt, sequence := t.Load(), e.seq.Load()
		out, err := e.tryGet(t, key, dst, fp)
		if err == nil || err == engine.ErrNotFound {
			return out, err
		}
		// What is not in the tree any more may be something else in the file. That a
		// frame has not changed does not say that it is: the page may be in another
		// frame too, which was the one that its end was told to.
		if err != errAgain && (t.Load() == rt && e.seq.Load() == sequence || tries >= mostLate) {
			return dst, engine.KeyError(op, key, err)
		}
		if tries > 8 {
			if e.closed.Load() && e.gone() {
				return dst, engine.ErrClosed
			}
			if err := again(tries); err != nil {
				return dst, engine.KeyError(op, key, err)
			}
		}
	}
}

// gone reports whether the pages are not in memory any more.
func (e *Engine) gone() bool {
	iterators, snapshots := e.life.Open()
	return iterators+snapshots <= 0
}

// tryGet looks for a key once.
func (e *Engine) tryGet(t *tree, key, dst []byte, fp byte) ([]byte, error) {
	f, v, err := e.leafFor(t, key, leafLines)
	if err != nil {
		return dst, err
	}
	value, extent, found, ok := findInLeaf(f.page(), key, fp)
	switch {
	case !ok:
		return dst, errAgain
	case !found:
		if f.version.Load() != v {
			return dst, errAgain
		}
		return dst, engine.ErrNotFound
	case extent:
		return e.getExtent(f, v, value, dst)
	}
	n := len(dst)
	dst = append(dst, value...)
	if f.version.Load() != v {
		return dst[:n], errAgain
	}
	return dst, nil
}

// leafFor returns the frame of the leaf that a key belongs to, the first lines of
// which it brings near, and the version with which it was that. Each step is one look
// at a page, and good if the version of the page is afterwards what it was before.
func (e *Engine) leafFor(t *tree, key []byte, lines int) (*frame, uint64, error) {
	rt := t.Load()
	id, hint := rt.ref.id, rt.ref.hint
	var parent *frame
	var before uint64
	i := 0
	for level := rt.level; ; level-- {
		f := e.cache.frame(hint)
		var v uint64
		if f != nil {
			switch level { // those above are near
			case 0:
				prefetch.Lines(unsafe.Pointer(f), lines)
			case 1:
				prefetch.Lines(unsafe.Pointer(f), innerLines)
			}
			v = f.version.Load()
		}
		// Good references are those of a page that has not changed; and then the page
		// that one names was not given to anyone else.
		if hit := f != nil && v&1 == 0 && f.is(id); parent != nil && parent.version.Load() != before {
			return nil, 0, errAgain
		} else if f != nil && v&1 == 1 {
			return nil, 0, errAgain // it may hold the page, which may be nowhere else
		} else if !hit {
			var err error
			if f, err = e.fault(t, rt, parent, before, i, id); err != nil {
				return nil, 0, err
			}
			if v = f.version.Load(); v&1 == 1 || !f.is(id) {
				return nil, 0, errAgain
			}
		}
		if level == 0 {
			f.use(leafChances)
			return f, v, nil
		}
		f.use(innerChances)
		b := f.page()
		n, at, ok := childRefFor(b, key)
		if !ok {
			return nil, 0, errAgain
		}
		i = n
		id, hint = u64(b, at), hintAt(b, at)
		parent, before = f, v
	}
}

// hintAt reads the hint of the reference at offset at, which readers change.
func hintAt(b []byte, at int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[at+atHint])))
}

// getExtent appends a value that lies in an extent of its own.
func (e *Engine) getExtent(f *frame, v uint64, place, dst []byte) ([]byte, error) {
	x := readExtentRef(place)
	if f.version.Load() != v {
		return dst, errAgain
	}
	n := len(dst)
	out, err := e.readExtent(x, dst)
	if f.version.Load() != v {
		return dst[:n], errAgain // whose extent may be somebody else's by now
	}
	if err != nil {
		return dst[:n], err
	}
	return out, nil
}

// What a search looks at first: the frame's head and the page's, and of a leaf the
// fingerprints and slots, for a change the heads too, or the heads of an inner page.
const (
	leafLines  = 4
	dirLines   = 7
	innerLines = 10
)

// fault reads the page of a reference, which is number i in parent, or the root's. It
// is errAgain if the reference is an old one.
func (e *Engine) fault(t *tree, rt *root, parent *frame, before uint64, i int, id uint64) (*frame, error) {
	if id&unwritten != 0 || id == 0 {
		return nil, errAgain
	}
	r, at := rt.ref, 0
	if parent != nil {
		b := parent.page()
		if capacity := u16(b, atCap); i >= capacity || innerDirOf(capacity).end > len(b) {
			return nil, errAgain
		}
		r, at = readRef(b, i), refAt(b, i)
		if parent.version.Load() != before {
			return nil, errAgain
		}
	}
	f, err := e.load(r)
	if err != nil {
		if parent != nil && parent.version.Load() != before {
			return nil, errAgain
		}
		if parent == nil && t.Load() != rt {
			return nil, errAgain
		}
		return nil, err
	}
	if parent == nil {
		next := &root{ref: rt.ref, level: rt.level}
		next.ref.hint = f.handle
		if !t.CompareAndSwap(rt, next) {
			e.cache.forgo(f.handle, r.id)
			return nil, errAgain
		}
		return f, nil
	}
	v := parent.lock()
	if v != before {
		parent.restore(v)
		e.cache.forgo(f.handle, r.id)
		return nil, errAgain
	}
	if other := e.cache.frame(hintAt(parent.page(), at)); other != nil && other != f && other.is(r.id) {
		// Another reader was faster.
		parent.restore(v)
		e.cache.forgo(f.handle, r.id)
		return other, nil
	}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&parent.page()[at+atHint])), f.handle)
	parent.restore(v)
	return f, nil
}

// load reads a page from the file into a frame.
func (e *Engine) load(r ref) (*frame, error) {
	s := storedPool.Get().(*stored)
	defer storedPool.Put(s)
	image, err := e.readPage(r, s)
	if err != nil {
		return nil, err
	}
	e.counters.pageReads.Add(1)
	if image[atLevel] > 0 {
		e.counters.innerReads.Add(1)
	}
	return e.cache.resident(image, r)
}

// stored is memory for what is read from the file.
type stored struct{ raw, unpacked []byte }

var storedPool = sync.Pool{New: func() any { return new(stored) }}

// readPage returns the image of a page, valid as long as s.
func (e *Engine) readPage(r ref, s *stored) ([]byte, error) {
	x := extentOf(r.id)
	raw, err := e.readAt(x.at*sectorBytes, int(x.n*sectorBytes), &s.raw)
	if err != nil {
		return nil, err
	}
	if !checksum.Matches(r.sum, checksum.Of(raw)) {
		return nil, vfs.NewError("read page", e.data.Name(), x.at*sectorBytes, fmt.Errorf("%w: the checksum of %d bytes does not match; restore the store from a backup, or delete what is damaged", engine.ErrCorrupt, len(raw)))
	}
	image, err := unpack(raw, &s.unpacked)
	if err == nil {
		err = checkPage(image)
	}
	if err != nil {
		return nil, vfs.NewError("read page", e.data.Name(), x.at*sectorBytes, err)
	}
	return image, nil
}

// readAt returns n bytes from offset off, read into *buf, which is made larger if
// need be.
func (e *Engine) readAt(off int64, n int, buf *[]byte) ([]byte, error) {
	if err := e.life.Enter(); err != nil && e.gone() {
		return nil, err
	} else if err == nil {
		defer e.life.Exit()
	}
	a := int64(max(e.align.Offset, 1))
	from := off &^ (a - 1)
	to := (off + int64(n) + a - 1) &^ (a - 1)
	size := int(to - from)
	if cap(*buf) < size {
		*buf = vfs.AlignedBuffer(size+size/2, minPageBytes) // which suits every store
	}
	b := (*buf)[:size]
	if _, err := e.data.ReadAt(b, from); err != nil {
		if errors.Is(err, io.EOF) {
			err = vfs.NewError("read", e.data.Name(), off, fmt.Errorf("%w: the file ends before %d bytes from here; restore the store from a backup", engine.ErrCorrupt, n))
		}
		return nil, err
	}
	return b[off-from : off-from+int64(n)], nil
}
