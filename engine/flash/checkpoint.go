package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	formatVersion = 1
	indexMagic    = "orbitfls"
	indexName     = "index"
	indexTemp     = "index.new"
	indexHeader   = 64
	partHeader    = 8
	// partBytes is about the size of a part of leaves.
	partBytes = 256 << 10
	// mostPart bounds a part: more than the largest leaf, of one key, takes.
	mostPart = 1 << 24
)

// header is how a checkpoint of the index begins.
type header struct {
	store    uint64
	sequence uint64 // the last record of the log that is in it
	commit   uint64 // the newest commit in it
	entries  uint64
	paths    uint32 // of the store
	path     uint32 // the one that the file is in
}

func (h header) encode() []byte {
	b := make([]byte, indexHeader)
	copy(b, indexMagic)
	binary.LittleEndian.PutUint32(b[8:], formatVersion)
	binary.LittleEndian.PutUint32(b[12:], h.paths)
	for i, v := range [...]uint64{h.store, h.sequence, h.commit, h.entries} {
		binary.LittleEndian.PutUint64(b[16+8*i:], v)
	}
	binary.LittleEndian.PutUint32(b[48:], h.path)
	binary.LittleEndian.PutUint32(b[indexHeader-4:], checksum.Of(b[:indexHeader-4]))
	return b
}

func decodeHeader(b []byte) (h header, err error) {
	switch {
	case len(b) < indexHeader || string(b[:8]) != indexMagic || !checksum.Matches(binary.LittleEndian.Uint32(b[indexHeader-4:]), checksum.Of(b[:indexHeader-4])):
		return h, fmt.Errorf("%w: no header of an index", engine.ErrCorrupt)
	case binary.LittleEndian.Uint32(b[8:]) != formatVersion:
		return h, fmt.Errorf("%w: format version %d; this program reads %d", engine.ErrUnsupported, binary.LittleEndian.Uint32(b[8:]), formatVersion)
	}
	h.paths, h.path = binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[48:])
	for i, v := range [...]*uint64{&h.store, &h.sequence, &h.commit, &h.entries} {
		*v = binary.LittleEndian.Uint64(b[16+8*i:])
	}
	return h, nil
}

// seal is the check of part i: it counts in this place of this checkpoint only.
func (h header) seal(payload []byte, i int) uint32 {
	const p1, p2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	x := h.store ^ (h.sequence*p1 + uint64(i)*p2)
	x ^= x >> 32
	x *= p2
	x ^= x >> 32
	return checksum.Of(payload) + uint32(x)
}

// summary is the first part of a checkpoint: what there is beside the index.
type summary struct {
	nextFamily engine.FamilyID
	families   map[string]engine.FamilyID
	segments   []segmentSummary // by number
}

type segmentSummary struct {
	number, slot, born uint64
	live               int64
}

func (s *summary) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(s.nextFamily))
	b = binary.AppendUvarint(b, uint64(len(s.families)))
	for _, name := range slices.Sorted(maps.Keys(s.families)) {
		b = appendBytes(binary.AppendUvarint(b, uint64(s.families[name])), []byte(name))
	}
	b = binary.AppendUvarint(b, uint64(len(s.segments)))
	for _, g := range s.segments {
		for _, v := range [...]uint64{g.number, g.slot, g.born, uint64(g.live)} {
			b = binary.AppendUvarint(b, v)
		}
	}
	return b
}

func decodeSummary(p []byte) (s summary, err error) {
	bad := func(at int) (summary, error) {
		return summary{}, fmt.Errorf("%w: the summary does not match at offset %d", engine.ErrCorrupt, at)
	}
	at, ok := 0, true
	number := func() (v uint64) {
		if ok {
			v, at, ok = uvarintAt(p, at)
		}
		return v
	}
	s.nextFamily = engine.FamilyID(number())
	n := number()
	s.families = map[string]engine.FamilyID{}
	for ; ok && n > 0; n-- {
		id := number()
		var name []byte
		if ok {
			name, at, ok = bytesAt(p, at)
		}
		if !ok || id == 0 || id > 1<<32-1 {
			return bad(at)
		}
		s.families[string(name)] = engine.FamilyID(id)
	}
	n = number()
	for ; ok && n > 0; n-- {
		g := segmentSummary{number(), number(), number(), int64(number())}
		if k := len(s.segments); k > 0 && s.segments[k-1].number >= g.number || g.live < 0 || g.slot > 1<<31-1 {
			return bad(at)
		}
		s.segments = append(s.segments, g)
	}
	if !ok || at != len(p) {
		return bad(at)
	}
	return s, nil
}

// indexWriter writes a checkpoint to a file.
type indexWriter struct {
	header
	f     vfs.File
	buf   []byte
	at    int64
	parts int
}

func (w *indexWriter) part(payload []byte) error {
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(payload)))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, w.seal(payload, w.parts))
	w.buf = append(w.buf, payload...)
	w.parts++
	if len(w.buf) >= 1<<20 {
		return w.flush()
	}
	return nil
}

func (w *indexWriter) flush() error {
	n, err := w.f.WriteAt(w.buf, w.at, vfs.Plain)
	w.at += int64(n)
	w.buf = w.buf[:0]
	return err
}

// write writes a whole checkpoint, of a state that is held.
func (w *indexWriter) write(ctx context.Context, s *summary, r *root) error {
	w.buf = w.header.encode()
	if err := w.part(s.encode()); err != nil {
		return err
	}
	var leaves, memory []byte
	err := eachLeaf(r.top, r.height, func(l *leaf) error {
		leaves = append(leaves, r.runOf(l, &memory).bytes()[leafImage:]...)
		if len(leaves) < partBytes {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := w.part(leaves)
		leaves = leaves[:0]
		return err
	})
	if err == nil && len(leaves) > 0 {
		err = w.part(leaves)
	}
	if err == nil {
		err = w.part(nil) // the end
	}
	if err == nil {
		err = w.flush()
	}
	return err
}

// leafImage is where the part of a leaf begins that a checkpoint has, which leaves out the
// first notStored bytes of what it describes.
const (
	leafImage = int(unsafe.Offsetof(leaf{}.size))
	notStored = leafImage - inMemory
)

func eachLeaf(p unsafe.Pointer, height int, f func(*leaf) error) error {
	if p == nil {
		return nil
	}
	if height == 0 {
		return f((*leaf)(p))
	}
	n := (*inner)(p)
	for i := range n.kids {
		if err := eachLeaf(loadPointer(&n.kids[i]), height-1, f); err != nil {
			return err
		}
	}
	return nil
}

// checkpoint writes the index to each path, so that what is logged before it is replayed
// no more.
func (e *Engine) checkpoint(ctx context.Context) error {
	e.checkpointing.Lock()
	defer e.checkpointing.Unlock()
	return e.checkpointLocked(ctx)
}

func (e *Engine) checkpointLocked(ctx context.Context) error {
	e.mu.Lock()
	if e.failed != nil {
		e.mu.Unlock()
		return e.failed
	}
	state, at := e.hold()
	h, s := e.summarize(state)
	logged := e.logged
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.unhold(at)
		e.mu.Unlock()
	}()
	// What it says is there must be there.
	if err := e.log.Flush(at); err != nil {
		return e.judge(err)
	}
	var size int64
	for _, p := range e.present() {
		n, err := e.writeIndex(ctx, p, h, s, state)
		if err != nil {
			if err = e.pathFailed(ctx, p, err); err != nil {
				return fmt.Errorf("checkpoint: %w", err)
			}
			continue
		}
		size = n
		e.counters.checkpointBytes.Add(uint64(n))
	}
	// A path that was lost meanwhile is one of a lower generation, before the log forgets.
	if err := e.log.Sync(); err != nil {
		return e.judge(err)
	}
	if err := e.log.Release(at); err != nil {
		return e.judge(err)
	}
	e.mu.Lock()
	e.checkpointed, e.checkpointSize, e.checkpointKeys = at, size, int64(h.entries)
	e.logged -= logged
	e.mayFree = len(e.dead) > 0
	e.mu.Unlock()
	e.counters.checkpoints.Add(1)
	return nil
}

// pathFailed says what becomes of an error of writing to a path: nil if the store goes on
// without it.
func (e *Engine) pathFailed(ctx context.Context, p *path, err error) error {
	if ctx.Err() != nil || harmless(err) {
		return err
	}
	if e.log.Lose(p.index, err); p.away.Load() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fail(err)
}

// summarize returns what a checkpoint says beside the index. Under mu.
func (e *Engine) summarize(state *root) (header, *summary) {
	h := header{store: e.id, sequence: e.applied, commit: e.visible.Load(), entries: uint64(state.count.Load()), paths: uint32(len(e.options.Paths))}
	s := &summary{nextFamily: e.nextFamily, families: maps.Clone(e.families)}
	for _, g := range e.segments {
		if g.live > 0 {
			s.segments = append(s.segments, segmentSummary{g.number, uint64(g.slot), g.born, g.live})
		}
	}
	slices.SortFunc(s.segments, func(a, b segmentSummary) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return h, s
}

// writeIndex writes a checkpoint to a path, in the place of the one before.
func (e *Engine) writeIndex(ctx context.Context, p *path, h header, s *summary, state *root) (int64, error) {
	h.path = uint32(p.index)
	return replaceIndex(e.fs, p.dir, func(f vfs.File) (int64, error) {
		w := indexWriter{header: h, f: f}
		err := w.write(ctx, s, state)
		return w.at, err
	})
}

// replaceIndex puts a file that write writes in the place of the checkpoint in a
// directory, and returns its size.
func replaceIndex(fsys vfs.FS, dir string, write func(f vfs.File) (int64, error)) (size int64, err error) {
	temp := filepath.Join(dir, indexTemp)
	f, err := fsys.Open(temp, vfs.Create|vfs.Truncate)
	if err != nil {
		return 0, err
	}
	size, err = write(f)
	if err == nil {
		if err = f.Sync(); err != nil {
			err = flushError{err}
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temp, filepath.Join(dir, indexName))
	}
	if err != nil {
		if gone := fsys.Remove(temp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return 0, err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return 0, flushError{err}
	}
	return size, nil
}

// flushError marks a failed flush: whatever its cause, what should have become durable
// may be gone.
type flushError struct{ error }

func (e flushError) Unwrap() error { return e.error }

// harmless reports whether err is one after which all is as before.
func harmless(err error) bool {
	var flush flushError
	return errors.Is(err, engine.ErrNoSpace) && !errors.As(err, &flush)
}

// readIndex reads the checkpoint of a path.
func readIndex(ctx context.Context, fsys vfs.FS, dir string, inline bool) (h header, s summary, t *tree, size int64, err error) {
	name := filepath.Join(dir, indexName)
	data, err := readWhole(ctx, fsys, name, inline)
	if err == nil {
		h, s, t, err = decodeIndex(data, inline)
	}
	if errors.Is(err, engine.ErrCorrupt) {
		err = vfs.NewError("read", name, -1, err)
	}
	return h, s, t, int64(len(data)), err
}

// readWhole reads a file.
func readWhole(ctx context.Context, fsys vfs.FS, name string, inline bool) (data []byte, err error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data = make([]byte, size)
	const chunk = 4 << 20
	chunks := int((size + chunk - 1) / chunk)
	errs := make([]error, chunks)
	read := func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			_, errs[i] = f.ReadAt(data[i*chunk:min(int64(i+1)*chunk, size)], int64(i)*chunk)
		}
	}
	if inline || chunks == 1 {
		for i := range chunks {
			read(i)
		}
	} else {
		parallel(chunks, 4, read)
	}
	return data, errors.Join(errs...)
}

// parallel calls f for each number below n, some at a time.
func parallel(n, at int, f func(i int)) {
	var wg sync.WaitGroup
	for k := range min(at, n) {
		wg.Go(func() {
			for i := k; i < n; i += at {
				f(i)
			}
		})
	}
	wg.Wait()
}

// decodeIndex reads a checkpoint.
func decodeIndex(data []byte, inline bool) (h header, s summary, t *tree, err error) {
	if h, err = decodeHeader(data); err != nil {
		return h, s, nil, err
	}
	var parts [][]byte
	at, ended := indexHeader, false
	for !ended {
		if len(data)-at < partHeader {
			return h, s, nil, fmt.Errorf("%w: it ends within part %d", engine.ErrCorrupt, len(parts))
		}
		n := int(binary.LittleEndian.Uint32(data[at:]))
		if n > mostPart && len(parts) > 0 || n > len(data)-at-partHeader {
			return h, s, nil, fmt.Errorf("%w: part %d, at %d, has %d bytes", engine.ErrCorrupt, len(parts), at, n)
		}
		parts = append(parts, data[at:at+partHeader+n])
		at += partHeader + n
		ended = n == 0 && len(parts) > 1
	}
	if at != len(data) {
		return h, s, nil, fmt.Errorf("%w: it goes on behind its end, at %d", engine.ErrCorrupt, at)
	}
	leaves := make([][]*leaf, len(parts))
	errs := make([]error, len(parts))
	decode := func(i int) {
		payload := parts[i][partHeader:]
		if !checksum.Matches(binary.LittleEndian.Uint32(parts[i][4:]), h.seal(payload, i)) {
			errs[i] = fmt.Errorf("%w: the checksum of part %d does not match", engine.ErrCorrupt, i)
			return
		}
		if i > 0 {
			leaves[i], errs[i] = decodeLeaves(payload)
		}
	}
	if inline {
		for i := range parts {
			decode(i)
		}
	} else {
		parallel(len(parts), runtime.GOMAXPROCS(0), decode)
	}
	for _, err := range errs {
		if err != nil {
			return h, s, nil, err
		}
	}
	if s, err = decodeSummary(parts[0][partHeader:]); err != nil {
		return h, s, nil, err
	}
	all := slices.Concat(leaves...)
	var count uint64
	var before []byte
	for i, l := range all {
		sh := l.shape()
		if first := l.appendKey(nil, &sh, 0); i > 0 && bytes.Compare(before, first) >= 0 {
			return h, s, nil, fmt.Errorf("%w: its leaves are not in order", engine.ErrCorrupt)
		}
		before = l.appendKey(before[:0], &sh, int(l.n)-1)
		count += uint64(l.n)
	}
	if count != h.entries {
		return h, s, nil, fmt.Errorf("%w: it has %d entries, and should have %d", engine.ErrCorrupt, count, h.entries)
	}
	t = newTree()
	t.build(all, int64(count))
	return h, s, t, nil
}

// decodeLeaves reads a part.
func decodeLeaves(p []byte) (out []*leaf, err error) {
	for at := 0; at < len(p); {
		if len(p)-at < storedHead-notStored {
			return nil, fmt.Errorf("%w: %d bytes are no leaf", engine.ErrCorrupt, len(p)-at)
		}
		size := int(binary.LittleEndian.Uint32(p[at:]))
		if size < storedHead || size-notStored > len(p)-at {
			return nil, fmt.Errorf("%w: a leaf of %d bytes", engine.ErrCorrupt, size)
		}
		l := newLeaf(nil, size, 0)
		copy(l.bytes()[leafImage:], p[at:at+size-notStored])
		if !l.sound() {
			return nil, fmt.Errorf("%w: a leaf of %d bytes has parts that do not match", engine.ErrCorrupt, size)
		}
		out = append(out, l)
		at += size - notStored
	}
	return out, nil
}
