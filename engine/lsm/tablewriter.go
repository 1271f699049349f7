package lsm

import (
	"encoding/binary"
	"fmt"

	"github.com/bits-and-blooms/bloom/v3"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

const (
	tableMagic  = "orbittbl"
	footerBytes = 56
	// writeAtOnce is how much is gathered before it is written.
	writeAtOnce = 256 << 10
)

// tableOptions are how a table is made.
type tableOptions struct {
	store      uint64
	codec      codec
	filter     FilterKind
	bitsPerKey float64
	// mostBlock is how large a block may be, mostTable a table.
	mostBlock, mostTable int64
}

// tableWriter writes a table: entries in order, then finish.
type tableWriter struct {
	o    tableOptions
	file *fileWriter
	meta tableMeta

	block  blockBuilder
	packer packer
	// last is the key before, hashes are those of the keys for the filter.
	last   []byte
	hashes []uint64
	index  indexBuilder
	// refs are the bytes of values in each value file.
	refs map[uint64]int64
}

// fileWriter appends to a new file.
type fileWriter struct {
	fs   vfs.FS
	f    vfs.File
	name string
	buf  []byte
	// written is how much of the file is there, before buf.
	written int64
}

func createFile(fsys vfs.FS, name string) (*fileWriter, error) {
	f, err := fsys.Open(name, vfs.Create|vfs.Exclusive)
	if err != nil {
		return nil, err
	}
	return &fileWriter{fs: fsys, f: f, name: name, buf: make([]byte, 0, writeAtOnce+2*blockTarget)}, nil
}

func (w *fileWriter) offset() int64 { return w.written + int64(len(w.buf)) }

// spill writes what was gathered, if that is enough.
func (w *fileWriter) spill(least int) error {
	if len(w.buf) < least || len(w.buf) == 0 {
		return nil
	}
	n, err := w.f.WriteAt(w.buf, w.written, vfs.Plain)
	w.written += int64(n)
	if err != nil {
		return err
	}
	if cap(w.buf) > 4*writeAtOnce {
		w.buf = make([]byte, 0, writeAtOnce+2*blockTarget)
	}
	w.buf = w.buf[:0]
	return nil
}

// finish makes the content durable, and closes the file.
func (w *fileWriter) finish() error {
	if err := w.spill(0); err != nil {
		return err
	}
	if err := w.f.SyncData(); err != nil {
		return err
	}
	return w.f.Close()
}

// abandon removes the file.
func (w *fileWriter) abandon() {
	// What cannot be closed or removed now is removed when the store is opened again.
	_ = w.f.Close()
	_ = w.fs.Remove(w.name)
}

// newTableWriter begins a table in a new file.
func newTableWriter(fsys vfs.FS, name string, number uint64, o tableOptions) (*tableWriter, error) {
	file, err := createFile(fsys, name)
	if err != nil {
		return nil, err
	}
	w := &tableWriter{o: o, file: file, meta: tableMeta{number: number, lowest: maxVersion}}
	w.block.reset()
	return w, nil
}

// bytes returns about how large the table is by now.
func (w *tableWriter) bytes() int64 {
	return w.file.offset() + int64(len(w.block.keys)+len(w.block.values))
}

// add adds an entry behind the others, whose key is the same, with a newer version, or
// lower. hash is that of the key.
func (w *tableWriter) add(e *entry, hash uint64) error {
	same := w.meta.entries > 0 && string(w.last) == string(e.key)
	if !same {
		if !w.block.fits(e) {
			if err := w.flush(e.key); err != nil {
				return err
			}
		}
		w.last = append(w.last[:0], e.key...)
		w.hashes = append(w.hashes, hash)
	}
	// All versions of a key are in one block.
	if n := w.block.sizeWith(e); n > w.o.mostBlock {
		return fmt.Errorf("table %s: %w: the versions of key %s that snapshots see take %d bytes and more, and a block has up to %d; close snapshots, or open the store with ValuesApart above 0",
			w.file.name, engine.ErrTooLarge, quotePrefixed(e.key), n, w.o.mostBlock)
	}
	if w.meta.entries == 0 {
		w.meta.lower = append([]byte{}, e.key...)
	}
	w.block.add(e, hash, same)
	w.meta.entries++
	w.meta.rawBytes += uint64(len(e.key) + len(e.value))
	switch e.kind {
	case kindDelete:
		w.meta.deletes++
	case kindApart:
		ref, err := decodeValueRef(e.value)
		if err != nil {
			return err
		}
		if w.refs == nil {
			w.refs = map[uint64]int64{}
		}
		w.refs[ref.file] += int64(ref.stored)
	}
	w.meta.lowest, w.meta.highest = min(w.meta.lowest, e.version), max(w.meta.highest, e.version)
	return nil
}

// flush ends a block, before an entry with the key next; nil at the end.
func (w *tableWriter) flush(next []byte) error {
	if len(w.block.entries) == 0 {
		return nil
	}
	payload := w.block.finish()
	start := w.file.offset()
	var err error
	if w.file.buf, err = w.packer.store(w.file.buf, payload, w.o.codec, w.at(start)); err != nil {
		return err
	}
	w.index.close(w.file.offset() - start)
	if next != nil {
		w.index.open(w.last, next)
	}
	w.block.reset()
	return w.file.spill(writeAtOnce)
}

func (w *tableWriter) at(offset int64) place {
	return place{store: w.o.store, file: w.meta.number, offset: offset}
}

// finish writes the rest of the table, with the tombstones of its range, and makes it
// durable. Its bounds are those of the entries and tombstones.
func (w *tableWriter) finish(ranges fragments) (*tableMeta, error) {
	if err := w.flush(nil); err != nil {
		return nil, err
	}
	if w.meta.entries > 0 {
		w.meta.upper = append(append([]byte{}, w.last...), 0)
	}
	for _, f := range ranges {
		w.meta.ranges++
		w.meta.lowest = min(w.meta.lowest, f.versions[len(f.versions)-1])
		w.meta.highest = max(w.meta.highest, f.versions[0])
	}
	if n := len(ranges); n > 0 {
		w.meta.lower = lowest(w.meta.lower, ranges[0].lower, w.meta.entries > 0)
		w.meta.upper = highest(w.meta.upper, ranges[n-1].upper, w.meta.entries > 0)
	}
	filter, err := w.encodeFilter()
	if err != nil {
		return nil, err
	}
	var lengths [3]int64
	for i, payload := range [][]byte{encodeRanges(ranges), filter, w.index.encode()} {
		start := w.file.offset()
		if w.file.buf, err = w.packer.store(w.file.buf, payload, codecNone, w.at(start)); err != nil {
			return nil, err
		}
		lengths[i] = w.file.offset() - start
	}
	foot := make([]byte, footerBytes)
	le := binary.LittleEndian
	copy(foot, tableMagic)
	le.PutUint32(foot[8:], formatVersion)
	le.PutUint64(foot[16:], w.o.store)
	le.PutUint64(foot[24:], w.meta.number)
	le.PutUint64(foot[32:], w.meta.entries)
	for i, n := range lengths {
		if n > 1<<32-1 {
			return nil, fmt.Errorf("table %s: %w: a part of %d bytes", w.file.name, engine.ErrTooLarge, n)
		}
		le.PutUint32(foot[40+4*i:], uint32(n))
	}
	le.PutUint32(foot[52:], checksum.Of(foot[:52]))
	w.file.buf = append(w.file.buf, foot...)
	w.meta.bytes = w.file.offset()
	w.meta.live = w.meta.bytes
	if w.meta.bytes > w.o.mostTable {
		return nil, fmt.Errorf("table %s of keys from %s to %s: %w: %d bytes, of which %d are tombstones of ranges, and a table has up to %d; compact the range",
			w.file.name, quotePrefixed(w.meta.lower), quotePrefixed(w.meta.upper), engine.ErrTooLarge, w.meta.bytes, lengths[0], w.o.mostTable)
	}
	for file, n := range w.refs {
		w.meta.refs = append(w.meta.refs, valueUse{file, n})
	}
	sortUses(w.meta.refs)
	if err := w.file.finish(); err != nil {
		return nil, err
	}
	return &w.meta, nil
}

// lowest and highest return the lower and the higher key; there is only the second, if
// not have.
func lowest(a, b []byte, have bool) []byte {
	if have && string(a) <= string(b) {
		return a
	}
	return append([]byte{}, b...)
}

func highest(a, b []byte, have bool) []byte {
	if have && string(a) >= string(b) {
		return a
	}
	return append([]byte{}, b...)
}

func (w *tableWriter) encodeFilter() ([]byte, error) {
	if len(w.hashes) == 0 || w.o.filter == NoFilter || w.o.bitsPerKey <= 0 {
		return nil, nil
	}
	if w.o.filter == ClassicBloom {
		bits := uint(float64(len(w.hashes))*w.o.bitsPerKey) + 64
		f := classic{bloom.New(bits, uint(max(1, int(w.o.bitsPerKey*0.69))))}
		for _, h := range w.hashes {
			f.add(h)
		}
		return f.encode()
	}
	f := newBlocked(len(w.hashes), w.o.bitsPerKey)
	for _, h := range w.hashes {
		f.add(h)
	}
	return f.encode(), nil
}

// abandon removes the file of a table that will not be.
func (w *tableWriter) abandon() { w.file.abandon() }

// indexBuilder makes the payload of an index:
//
//	index = u32 blocks { shared uvarint, rest uvarint, rest bytes, stored length uvarint }
//
// For each block there is a key that is above all of the block before it, and not above
// its own: as much as is not shared with the one before.
type indexBuilder struct {
	out    []byte
	blocks uint32
	last   []byte
	opened bool
}

// open begins a block whose first key is next; the one before ended with last.
func (x *indexBuilder) open(last, next []byte) {
	sep := next[:min(commonPrefix(last, next)+1, len(next))]
	shared := commonPrefix(x.last, sep)
	x.out = binary.AppendUvarint(x.out, uint64(shared))
	x.out = binary.AppendUvarint(x.out, uint64(len(sep)-shared))
	x.out = append(x.out, sep[shared:]...)
	x.last = append(x.last[:0], sep...)
	x.opened = true
}

// close ends a block, which takes n bytes.
func (x *indexBuilder) close(n int64) {
	if !x.opened { // the first has the empty key
		x.out = append(x.out, 0, 0, 0, 0, 0, 0)
	}
	x.opened = false
	x.out = binary.AppendUvarint(x.out, uint64(n))
	x.blocks++
}

func (x *indexBuilder) encode() []byte {
	if x.blocks == 0 {
		return make([]byte, 4)
	}
	binary.LittleEndian.PutUint32(x.out, x.blocks)
	return x.out
}

// encodeRanges makes the payload of the tombstones:
//
//	ranges   = { fragment }
//	fragment = lower, upper: uvarint length, bytes; uvarint number of versions { uvarint }
func encodeRanges(f fragments) []byte {
	var out []byte
	for _, g := range f {
		for _, k := range [][]byte{g.lower, g.upper} {
			out = binary.AppendUvarint(out, uint64(len(k)))
			out = append(out, k...)
		}
		out = binary.AppendUvarint(out, uint64(len(g.versions)))
		for _, v := range g.versions {
			out = binary.AppendUvarint(out, v)
		}
	}
	return out
}
