package lsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Large values lie in value files, so that merges need not write them again: Lu et al.,
// "WiscKey", FAST 2016. A value file is values as they are stored, one behind the other;
// entries say where. When much of a file is of no use any more, merges write what is
// left anew: see compact.go.

// valueMeta is what the manifest says of a value file.
type valueMeta struct {
	number uint64
	bytes  int64
}

// valueFile is a file of values. It is opened when it is first read.
type valueFile struct {
	valueMeta
	store    *store
	holds    atomic.Int64
	obsolete atomic.Bool
	file     atomic.Pointer[vfs.File]
	used     atomic.Bool // as of a tableFile
	// damaged says that a value of it could not be moved: the file is not cleaned any more.
	damaged atomic.Bool
	mu      sync.Mutex // held while it is opened
	listed  int
}

func (v *valueFile) recent() bool { return v.used.Swap(false) }
func (v *valueFile) place() *int  { return &v.listed }

// shut implements openable.
func (v *valueFile) shut() {
	if f := v.file.Swap(nil); f != nil {
		v.store.closeLater(*f)
	}
}

// valueRef is where a value is: in place of the value of an entry,
//
//	ref = uvarint file, uvarint offset, uvarint stored length, uvarint length
type valueRef struct {
	file, offset, stored, length uint64
}

func (r valueRef) append(out []byte) []byte {
	for _, v := range []uint64{r.file, r.offset, r.stored, r.length} {
		out = binary.AppendUvarint(out, v)
	}
	return out
}

func decodeValueRef(p []byte) (r valueRef, err error) {
	for _, v := range []*uint64{&r.file, &r.offset, &r.stored, &r.length} {
		u, w := binary.Uvarint(p)
		if w <= 0 {
			return r, fmt.Errorf("%w: a reference to a value", engine.ErrCorrupt)
		}
		*v, p = u, p[w:]
	}
	if len(p) != 0 || r.offset > 1<<48 || r.stored > engine.MaxValueBytes+storedTail || r.stored < storedTail || r.length > engine.MaxValueBytes {
		return r, fmt.Errorf("%w: a reference to a value of %d bytes", engine.ErrCorrupt, r.length)
	}
	return r, nil
}

// open returns the file, to who is in the domain.
func (v *valueFile) open() (vfs.File, error) {
	if f := v.file.Load(); f != nil {
		if !v.used.Load() {
			v.used.Store(true)
		}
		return *f, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.file.Load(); f != nil {
		return *f, nil
	}
	f, err := v.store.fs.Open(fileName(v.store.dir, v.number, valueSuffix), vfs.ReadOnly)
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("%w: %w; restore the file, or the store from a backup", engine.ErrCorrupt, err)
		}
		return nil, err
	}
	v.file.Store(&f)
	v.store.files.add(v)
	return f, nil
}

// value appends to dst the value that a reference leads to.
func (l *levels) value(encoded, dst []byte) ([]byte, error) {
	ref, err := decodeValueRef(encoded)
	if err != nil {
		return dst, err
	}
	v := l.values[ref.file]
	if v == nil {
		return dst, fmt.Errorf("%w: a value is in file %d, which is not there; restore the store from a backup", engine.ErrCorrupt, ref.file)
	}
	token := v.store.domain.Enter()
	defer v.store.domain.Exit(token)
	f, err := v.open()
	if err != nil {
		return dst, err
	}
	b := buffersPool.Get().(*buffers)
	defer giveBack(b)
	at := place{store: v.store.id, file: v.number, offset: int64(ref.offset)}
	p, err := readStored(f, "read value", int(ref.stored), at, &b.raw, &b.out)
	if err != nil {
		return dst, err
	}
	if uint64(len(p)) != ref.length {
		return dst, vfs.NewError("read value", f.Name(), at.offset, fmt.Errorf("%w: a value of %d bytes, and should be of %d", engine.ErrCorrupt, len(p), ref.length))
	}
	return append(dst, p...), nil
}

// valueWriter writes value files, each up to a size.
type valueWriter struct {
	store   *store
	codec   codec
	file    *fileWriter
	number  uint64
	packer  packer
	done    []valueMeta
	scratch []byte
}

// put writes a value, and returns the reference to it, good until the next one.
func (w *valueWriter) put(value []byte) ([]byte, error) {
	if w.file != nil && w.file.offset() >= w.store.options.ValueFileBytes {
		if err := w.end(); err != nil {
			return nil, err
		}
	}
	if w.file == nil {
		w.number = w.store.newFile()
		f, err := createFile(w.store.fs, fileName(w.store.dir, w.number, valueSuffix))
		if err != nil {
			return nil, err
		}
		w.file = f
	}
	at := w.file.offset()
	var err error
	if w.file.buf, err = w.packer.store(w.file.buf, value, w.codec, place{w.store.id, w.number, at}); err != nil {
		return nil, err
	}
	ref := valueRef{w.number, uint64(at), uint64(w.file.offset() - at), uint64(len(value))}
	w.scratch = ref.append(w.scratch[:0])
	return w.scratch, w.file.spill(writeAtOnce)
}

// end makes the file durable.
func (w *valueWriter) end() error {
	if w.file == nil {
		return nil
	}
	bytes := w.file.offset()
	if err := w.file.finish(); err != nil {
		return err
	}
	w.done = append(w.done, valueMeta{w.number, bytes})
	w.file = nil
	return nil
}

// abandon removes what was written.
func (w *valueWriter) abandon() {
	if w.file != nil {
		w.file.abandon()
		w.file = nil
	}
	for _, m := range w.done {
		// What cannot be removed now is when the store is opened again.
		_ = w.store.fs.Remove(fileName(w.store.dir, m.number, valueSuffix))
	}
	w.done = nil
}

func sortUses(uses []valueUse) {
	slices.SortFunc(uses, func(a, b valueUse) int {
		if a.file < b.file {
			return -1
		}
		return 1
	})
}

// uses returns about how many bytes of each value file the tables refer to. A piece of a
// table has its share of what the file refers to. A file that nothing refers to is not in
// it; one that something refers to is, be it with 0.
func (l *levels) uses() map[uint64]int64 {
	out := map[uint64]int64{}
	for _, t := range l.all {
		share := 1.0
		if !t.whole() {
			share = float64(t.live) / float64(t.bytes)
		}
		for _, u := range t.refs {
			out[u.file] += int64(share * float64(u.bytes))
		}
	}
	return out
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
