package lsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/prefetch"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// tableMeta is what the manifest says of a table.
type tableMeta struct {
	number uint64
	// bytes is the length of the file, live about how much of it is within the bounds.
	bytes, live int64
	// entries and ranges are the versions and tombstones of ranges in it, deletes the
	// entries that are tombstones.
	entries, deletes, ranges uint64
	// rawBytes are those of keys and values.
	rawBytes uint64
	// lower is not above any key, upper is above all. A merge that takes a part of what a
	// file has leaves pieces of it, with narrower bounds: what the file has beside them
	// counts no more.
	lower, upper []byte
	// lowest and highest are the versions in it, less add, which is what the versions of
	// a bulk load are higher than the file says.
	lowest, highest, add uint64
	// refs are the values of its entries in value files.
	refs []valueUse
}

// valueUse is how many bytes of a value file a table refers to.
type valueUse struct {
	file  uint64
	bytes int64
}

// newest returns the highest version in the table.
func (m *tableMeta) newest() uint64 { return m.highest + m.add }

// table is a table of some state of the store, or a piece of one. Its file is opened
// when it is first read.
type table struct {
	tableMeta
	store *store
	// shared is the file; pieces of it share it.
	shared *tableFile
}

// tableFile is the file of a table.
type tableFile struct {
	number uint64
	store  *store
	// holds counts the states, by their runs, that have it; obsolete says that it goes
	// with the last.
	holds    atomic.Int64
	obsolete atomic.Bool
	reader   atomic.Pointer[tableReader]
	// used says that the file was read since it was last looked whether it was.
	used atomic.Bool
	// mu is held while the file is opened.
	mu     sync.Mutex
	listed int // its place in the list of open files
}

func (f *tableFile) recent() bool { return f.used.Swap(false) }
func (f *tableFile) place() *int  { return &f.listed }

// shut implements openable.
func (f *tableFile) shut() {
	if r := f.reader.Swap(nil); r != nil {
		f.store.tableMemory.Add(-r.memory)
		f.store.cache.drop(r.frames)
		f.store.closeLater(r.file)
	}
}

// tableReader is what is in memory of an open table. It does not change, but for which
// blocks are in frames.
type tableReader struct {
	file    vfs.File
	at      place // of the file
	entries uint64
	index   separators
	// offsets are where the blocks begin, and where the last one ends.
	offsets []uint32
	frames  []atomic.Uint32
	filter  filter
	blocked *blocked // the filter, if it is one
	ranges  fragments
	memory  int64
}

const (
	tableSuffix = ".table"
	valueSuffix = ".values"
)

func fileName(dir string, number uint64, suffix string) string {
	return filepath.Join(dir, fmt.Sprintf("%06d%s", number, suffix))
}

func (t *table) name() string { return fileName(t.store.dir, t.number, tableSuffix) }

// open returns the reader of a table. Who is not in the domain may use what of it is in
// memory, and must not read from the file.
func (t *table) open() (*tableReader, error) {
	if r := t.shared.reader.Load(); r != nil {
		if !t.shared.used.Load() {
			t.shared.used.Store(true)
		}
		return r, nil
	}
	t.shared.mu.Lock()
	defer t.shared.mu.Unlock()
	if r := t.shared.reader.Load(); r != nil {
		return r, nil
	}
	r, err := openTable(t.store.fs, t.name(), place{store: t.store.id, file: t.number}, t.bytes)
	if err != nil {
		err = fmt.Errorf("table of keys from %s to %s: %w", quotePrefixed(t.lower), quotePrefixed(t.upper), err)
		if errors.Is(err, engine.ErrCorrupt) {
			err = fmt.Errorf("%w; restore the file, or the store from a backup", err)
		}
		return nil, err
	}
	t.shared.reader.Store(r)
	t.store.tableMemory.Add(r.memory)
	t.store.files.add(t.shared)
	return r, nil
}

// openTable reads all of a table but its blocks.
func openTable(fsys vfs.FS, name string, at place, bytes int64) (r *tableReader, err error) {
	f, err := fsys.Open(name, vfs.ReadOnly)
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("%w: %w", engine.ErrCorrupt, err)
		}
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	damaged := func(offset int64, format string, args ...any) error {
		return vfs.NewError("open table", name, offset, fmt.Errorf("%w: %s", engine.ErrCorrupt, fmt.Sprintf(format, args...)))
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size != bytes {
		return nil, damaged(min(size, bytes), "the file has %d bytes, and should have %d", size, bytes)
	}
	if size < footerBytes || size > 1<<32-1 {
		return nil, damaged(0, "a table of %d bytes", size)
	}
	foot := make([]byte, footerBytes)
	if n, err := f.ReadAt(foot, size-footerBytes); err != nil {
		return nil, short("open table", f, size-footerBytes+int64(n), err)
	}
	le := binary.LittleEndian
	if !checksum.Matches(le.Uint32(foot[52:]), checksum.Of(foot[:52])) || string(foot[:8]) != tableMagic {
		return nil, damaged(size-footerBytes, "the footer does not match its checksum")
	}
	if v := le.Uint32(foot[8:]); v != formatVersion {
		return nil, damaged(size-footerBytes, "format %d; this program reads format %d", v, formatVersion)
	}
	if le.Uint64(foot[16:]) != at.store || le.Uint64(foot[24:]) != at.file {
		return nil, damaged(size-footerBytes, "it is table %d of store %016x, and should be %d of %016x", le.Uint64(foot[24:]), le.Uint64(foot[16:]), at.file, at.store)
	}
	var payloads [3][]byte
	offset := size - footerBytes
	for i := 2; i >= 0; i-- {
		n := int64(le.Uint32(foot[40+4*i:]))
		if offset -= n; offset < 0 {
			return nil, damaged(size-footerBytes, "parts of %d bytes", n)
		}
		var raw, buf []byte
		if payloads[i], err = readStored(f, "open table", int(n), at.to(offset), &raw, &buf); err != nil {
			return nil, err
		}
	}
	r = &tableReader{file: f, at: at, entries: le.Uint64(foot[32:])}
	if r.ranges, err = decodeRanges(payloads[0]); err == nil {
		if r.filter, err = decodeFilter(payloads[1]); err == nil {
			err = r.decodeIndex(payloads[2], offset)
		}
	}
	if err != nil {
		return nil, vfs.NewError("open table", name, offset, err)
	}
	r.blocked, _ = r.filter.(*blocked)
	r.memory = int64(len(payloads[0]) + len(payloads[1]) + len(r.index.keys) + 8*len(r.index.heads) + 12*len(r.offsets))
	return r, nil
}

func (p place) to(offset int64) place {
	p.offset = offset
	return p
}

// decodeIndex reads the index of blocks that end at an offset.
func (r *tableReader) decodeIndex(p []byte, end int64) error {
	bad := func(what string) error {
		return fmt.Errorf("%w: index of %d bytes: %s", engine.ErrCorrupt, len(p), what)
	}
	if len(p) < 4 {
		return bad("no count")
	}
	n := int64(binary.LittleEndian.Uint32(p))
	if n > int64(len(p)) {
		return bad("too many blocks")
	}
	ends := make([]uint32, 0, n)
	offsets := make([]uint32, 1, n+1)
	var keys, last []byte
	rest := p[4:]
	next := func() (uint64, bool) {
		u, w := binary.Uvarint(rest)
		if w <= 0 {
			return 0, false
		}
		rest = rest[w:]
		return u, true
	}
	var offset uint64
	for i := range n {
		shared, ok1 := next()
		more, ok2 := next()
		if !ok1 || !ok2 || shared > uint64(len(last)) || more > uint64(len(rest)) {
			return bad("a key")
		}
		start := len(keys)
		keys = append(append(keys, last[:shared]...), rest[:more]...)
		key := keys[start:]
		rest = rest[more:]
		length, ok := next()
		if !ok || length <= storedTail {
			return bad("a length")
		}
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return bad("keys out of order")
		}
		if len(keys) > 1<<31 {
			return bad("too long")
		}
		last = key
		ends = append(ends, uint32(len(keys)))
		if offset += length; offset > uint64(end) {
			return bad("blocks behind the end")
		}
		offsets = append(offsets, uint32(offset))
	}
	if len(rest) != 0 || offset != uint64(end) {
		return bad("blocks before the end")
	}
	r.index, r.offsets, r.frames = newSeparators(keys, ends), offsets, make([]atomic.Uint32, n)
	return nil
}

func decodeRanges(p []byte) (fragments, error) {
	bad := fmt.Errorf("%w: tombstones of %d bytes", engine.ErrCorrupt, len(p))
	var out fragments
	next := func() (uint64, bool) {
		u, w := binary.Uvarint(p)
		if w <= 0 {
			return 0, false
		}
		p = p[w:]
		return u, true
	}
	for len(p) > 0 {
		var keys [2][]byte
		for i := range keys {
			n, ok := next()
			if !ok || n > uint64(len(p)) {
				return nil, bad
			}
			keys[i], p = p[:n:n], p[n:]
		}
		n, ok := next()
		if !ok || n == 0 || n > uint64(len(p)) || bytes.Compare(keys[0], keys[1]) >= 0 {
			return nil, bad
		}
		if len(out) > 0 && bytes.Compare(out[len(out)-1].upper, keys[0]) > 0 {
			return nil, bad
		}
		versions := make([]uint64, n)
		for i := range versions {
			if versions[i], ok = next(); !ok || versions[i] > maxVersion || i > 0 && versions[i] >= versions[i-1] {
				return nil, bad
			}
		}
		out = append(out, fragment{keys[0], keys[1], versions})
	}
	return out, nil
}

// blocks returns the number of blocks.
func (r *tableReader) blocks() int { return len(r.frames) }

// readBlock reads a block from the file. It is in *raw or *buf.
func (r *tableReader) readBlock(i int, raw, buf *[]byte) (block, error) {
	off, n := int64(r.offsets[i]), int(r.offsets[i+1]-r.offsets[i])
	if cap(*raw) < n {
		*raw = make([]byte, n)
	}
	b := (*raw)[:n]
	if m, err := r.file.ReadAt(b, off); err != nil {
		return nil, r.damaged(i, short("read block", r.file, off+int64(m), err))
	}
	return r.decodeBlock(i, b, buf)
}

// decodeBlock returns the block of what is stored for it. It is in that, or in *buf.
func (r *tableReader) decodeBlock(i int, stored []byte, buf *[]byte) (block, error) {
	off := int64(r.offsets[i])
	p, err := unstore(stored, r.at.to(off), buf)
	if err == nil {
		err = checkBlock(p)
	}
	if err != nil {
		return nil, r.damaged(i, vfs.NewError("read block", r.file.Name(), off, err))
	}
	return p, nil
}

// damaged says which keys a block has that cannot be read.
func (r *tableReader) damaged(i int, err error) error {
	if !errors.Is(err, engine.ErrCorrupt) {
		return err
	}
	to := "the end of the table"
	if i+1 < r.index.count() {
		to = quotePrefixed(r.index.key(i + 1))
	}
	return fmt.Errorf("block %d of %d, with keys from %s to %s: %w; other keys stay readable; restore the file, or the store from a backup", i, r.blocks(), quotePrefixed(r.index.key(i)), to, err)
}

// buffers are for a block that is read from a file.
type buffers struct{ raw, out []byte }

var buffersPool = sync.Pool{New: func() any {
	return &buffers{raw: make([]byte, 0, 2*blockTarget), out: make([]byte, 0, 2*blockTarget)}
}}

func giveBack(b *buffers) {
	if b != nil && cap(b.raw)+cap(b.out) < 1<<20 {
		buffersPool.Put(b)
	}
}

// block returns a block, from its frame or the file; done gives back what it is in. The
// caller has entered the domain, and stays as long as it reads the block.
func (s *store) block(r *tableReader, i int) (b block, done *buffers, err error) {
	if b = s.cache.get(r.frames, i); b != nil {
		return b, nil, nil
	}
	s.cache.misses.Add(1)
	done = buffersPool.Get().(*buffers)
	if b, err = r.readBlock(i, &done.raw, &done.out); err != nil {
		giveBack(done)
		return nil, nil, err
	}
	s.cache.put(r.frames, i, b)
	return b, done, nil
}

// get returns the newest version of a key in the table that a reader at a version sees:
// of kind 0 if there is none. What the value is in is good as for block.
func (t *table) get(key []byte, hash, at uint64) (e entry, done *buffers, err error) {
	r, err := t.open()
	if err != nil {
		return e, nil, err
	}
	i := r.find(key, hash)
	if i < 0 {
		return e, nil, nil
	}
	b, done, err := t.store.block(r, i)
	if err != nil {
		return e, nil, err
	}
	// The head and fingerprints, and what follows them.
	prefetch.Lines(unsafe.Pointer(&b[0]), min(3, len(b)/64))
	if value, version, kind, ok := b.get(key, hash, at, t.add); ok {
		e.value, e.version, e.kind = value, version, kind
	}
	return e, done, nil
}

// find returns the block in which a key is, if it is anywhere; -1 if it is not.
func (r *tableReader) find(key []byte, hash uint64) int {
	if r.blocked != nil {
		if !r.blocked.has(hash) {
			return -1
		}
	} else if r.filter != nil && !r.filter.mayContain(hash) {
		return -1
	}
	return r.index.find(key)
}

// short names where a file ended that should have gone on.
func short(op string, f vfs.File, at int64, err error) error {
	if errors.Is(err, io.EOF) {
		return vfs.NewError(op, f.Name(), at, fmt.Errorf("%w: the file ends here", engine.ErrCorrupt))
	}
	return err
}
