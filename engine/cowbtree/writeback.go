package cowbtree

import (
	"fmt"
	"runtime"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// attempt is what checkpoints that failed leave to the next one. Until that is
// done, nothing that it rests on is given up.
type attempt struct {
	// held are the snapshots whose pages were being written.
	held []*snapshot
	// written are the pages that were, but whose references do not say so.
	written []ref
	// runs are bytes that did not reach the file, though pages rely on it.
	// checkpointing guards them, and written; mu the others.
	runs []run
	// extents were taken for what is void now.
	extents []extent
}

// run is bytes for a place in the file.
type run struct {
	at    int64
	bytes []byte
}

const (
	// runSectors is how much is written at a time, where there is room.
	runSectors = 1 << 20 / sectorBytes
)

// writer writes pages to the file, one behind the other in runs of free sectors.
type writer struct {
	*Engine
	where extent // the run that is being filled
	next  int64  // its first sector that is not taken
	buf   []byte // what goes there

	// within says that a transaction does it, which has the pages for itself.
	within bool

	image, packed []byte
	written       []ref
	pages, bytes  uint64
}

func (e *Engine) newWriter() *writer {
	e.space.rewind()
	return &writer{Engine: e}
}

// put writes the bytes of a page, and returns where they are.
func (w *writer) put(b []byte) (extent, error) {
	n := sectors(len(b))
	if w.next+n > w.where.end() {
		if err := w.finish(); err != nil {
			return extent{}, err
		}
		where, err := w.room(n, max(n, runSectors))
		if err != nil {
			return extent{}, err
		}
		w.where, w.next = where, where.at
		if size := int(where.n) * sectorBytes; cap(w.buf) < size {
			w.buf = vfs.AlignedBuffer(size, max(w.align.Memory, 1))[:0]
		}
	}
	x := extent{w.next, n}
	w.next += n
	w.buf = append(w.buf, b...)
	for len(w.buf)%sectorBytes != 0 {
		w.buf = append(w.buf, 0)
	}
	w.bytes += uint64(n * sectorBytes)
	return x, nil
}

// finish writes the run, up to the end of a block, and gives back what is left of
// it. What could not be written is left to the next attempt.
func (w *writer) finish() error {
	if w.where.n == 0 {
		return nil
	}
	for len(w.buf)%(blockSectors*sectorBytes) != 0 {
		w.buf = append(w.buf, 0)
	}
	where := w.where
	w.where = extent{}
	w.space.give(extent{w.next, where.end() - w.next})
	_, err := w.data.WriteAt(w.buf, where.at*sectorBytes, vfs.Plain)
	if err != nil && !w.within { // a transaction will be aborted
		w.attempt.runs = append(w.attempt.runs, run{where.at, append(vfs.AlignedBuffer(len(w.buf), max(w.align.Memory, 1))[:0], w.buf...)})
	}
	w.buf = w.buf[:0]
	return err
}

// tree writes the pages of a tree that are in memory alone, those below first, and
// returns what refers to its root then. The pages must be such as nobody changes
// any more.
func (w *writer) tree(r ref, level int) (ref, error) {
	if !r.isUnwritten() {
		return r, nil
	}
	f := w.cache.frame(r.hint)
	if f == nil || f.id.Load() != r.id {
		return r, fmt.Errorf("%w: page %#x, which was to be written, is not in memory; this is a defect of the engine", engine.ErrCorrupt, r.id)
	}
	if place := f.place.Load(); place != 0 {
		return ref{id: place, birth: r.birth, flags: r.flags, sum: f.sum, hint: r.hint}, nil
	}
	b := f.page()
	if level > 0 {
		stop := w.alone()
		var children []entry
		for i := range pageCount(b) {
			children = append(children, entry{child: readRef(b, i)})
		}
		stop()
		for i, c := range children {
			if !c.child.isUnwritten() {
				continue
			}
			now, err := w.tree(c.child, level-1)
			if err != nil {
				return r, err
			}
			stop := w.alone()
			setRef(f, b, i, now)
			stop()
		}
	}
	return w.page(r, f, b)
}

// alone is that of the engine, unless the transaction has it already.
func (w *writer) alone() func() {
	if w.within {
		return nothing
	}
	return w.Engine.alone()
}

// setRef puts a reference into a page that others may be reading.
func setRef(f *frame, b []byte, i int, r ref) {
	v := f.lock()
	putRef(b, i, r)
	f.unlock(v)
}

// page writes the page in a frame.
func (w *writer) page(r ref, f *frame, b []byte) (ref, error) {
	stop := w.alone()
	w.image = pack(w.image, b)
	stop()
	packed, err := w.options.Compression.compress(w.packed, w.image)
	if err != nil {
		return r, err
	}
	if w.options.Compression != NoCompression && cap(packed) > cap(w.packed) && &packed[0] != &w.image[0] {
		w.packed = packed
	}
	x, err := w.put(packed)
	if err != nil {
		return r, err
	}
	// The last sector is covered whole.
	sum := checksum.Of(w.buf[len(w.buf)-int(x.n)*sectorBytes:])
	f.sum = sum
	f.place.Store(x.id())
	w.written = append(w.written, r)
	w.pages++
	if !w.within {
		// Or else commits would wait a whole slice of the scheduler's time for a processor.
		runtime.Gosched()
	}
	return ref{id: x.id(), birth: r.birth, flags: r.flags, sum: sum, hint: r.hint}, nil
}

// spillIfFull makes room in memory for a transaction that changes much.
func (t *txn) spillIfFull() error {
	if t.cache.unwritten.Load() <= t.options.CacheBytes/2 || len(t.fresh)-t.settled < 64 {
		return nil
	}
	return t.spill()
}

// spill writes the transaction's own pages, so that they can be evicted: leaves,
// and inner pages whose children are all written.
func (t *txn) spill() error {
	w := t.newWriter()
	w.within = true
	root, err := t.spillTree(w, t.root.ref, t.root.level)
	if e := w.finish(); err == nil {
		err = e
	}
	for _, r := range w.written {
		x := extentOf(t.cache.frame(r.hint).place.Load())
		t.spilled = append(t.spilled, x)
		t.young[x.at] = x.n // a checkpoint that is under way does not know of it
	}
	if err != nil {
		return t.refused(err)
	}
	t.root.ref = root
	for _, r := range w.written {
		t.cache.settle(t.cache.frame(r.hint), r.id)
	}
	t.settled = len(t.fresh)
	t.counters.pagesWritten.Add(w.pages)
	t.counters.flushed.Add(w.bytes)
	return nil
}

func (t *txn) spillTree(w *writer, r ref, level int) (ref, error) {
	if !t.owns(r) {
		return r, nil
	}
	f := t.cache.frame(r.hint)
	b := f.page()
	whole := true
	for i := 0; level > 0 && i < pageCount(b); i++ {
		child := readRef(b, i)
		now, err := t.spillTree(w, child, level-1)
		if err != nil {
			return r, err
		}
		if now.id != child.id {
			setRef(f, b, i, now)
		}
		whole = whole && !now.isUnwritten()
	}
	if !whole {
		return r, nil
	}
	return w.page(r, f, b)
}

// settle makes the frame of a page that was written one that may be evicted: no
// reference says any more that it was not. The frame may be another page's by now,
// since a commit lets go of the page as soon as its own references are right.
func (c *cache) settle(f *frame, id uint64) {
	v := f.lock()
	if f.id.Load() != id {
		f.restore(v)
		return
	}
	f.id.Store(f.place.Load())
	f.unlock(v)
	c.unwritten.Add(-int64(minPageBytes << classOf(f.handle)))
}
