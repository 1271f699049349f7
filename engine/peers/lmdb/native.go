//go:build lmdb

package lmdb

// #cgo LDFLAGS: -llmdb
// #include <stdlib.h>
// #include "native.h"
//
// #cgo noescape lmdb_get
// #cgo nocallback lmdb_get
// #cgo noescape lmdb_multi_get
// #cgo nocallback lmdb_multi_get
// #cgo noescape lmdb_bench_gets
// #cgo nocallback lmdb_bench_gets
// #cgo noescape lmdb_apply
// #cgo nocallback lmdb_apply
// #cgo noescape lmdb_iterator_move
// #cgo nocallback lmdb_iterator_move
// #cgo noescape lmdb_get_info
// #cgo nocallback lmdb_get_info
import "C"

import (
	"slices"
	"unsafe"

	"github.com/orbit-persistence/orbit/engine"
)

// What native.c makes.
type (
	nativeStore    struct{ p *C.lmdb_store }
	nativeReader   struct{ p *C.lmdb_reader } // nil: the newest commit
	nativeIterator struct{ p *C.lmdb_iterator }
)

const (
	notFound     = C.MDB_NOTFOUND
	blockEntries = C.lmdb_block_entries
)

func libraryVersion() string { return C.GoString(C.mdb_version(nil, nil, nil)) }

func errorText(code int) string { return C.GoString(C.mdb_strerror(C.int(code))) }

func openNative(dir string, o Options) (nativeStore, error) {
	var s nativeStore
	cDir := C.CString(dir)
	defer C.free(unsafe.Pointer(cDir))
	flags := C.uint(0)
	if o.NoReadAhead {
		flags |= C.MDB_NORDAHEAD
	}
	return s, codeError(C.lmdb_open(cDir, C.size_t(o.MapBytes), flags, &s.p))
}

func (s nativeStore) close() { C.lmdb_close(s.p) }

// maxKeyBytes is fixed when the library is compiled.
func maxKeyBytes() int {
	var env *C.MDB_env
	if C.mdb_env_create(&env) != 0 {
		return 0
	}
	defer C.mdb_env_close(env)
	return int(C.mdb_env_get_maxkeysize(env))
}

func (s nativeStore) sync() error { return codeError(C.lmdb_sync(s.p)) }

// copy writes a compact copy of the newest commit into dir, an empty directory.
func (s nativeStore) copy(dir string) error {
	cDir := C.CString(dir)
	defer C.free(unsafe.Pointer(cDir))
	return codeError(C.lmdb_copy(s.p, cDir))
}

// info is the shape of the tree and the environment.
type info struct {
	pageBytes, depth, branchPages, leafPages, overflowPages, entries uint64
	mapBytes, usedPages                                              uint64
	readers                                                          uint64
}

func (s nativeStore) info() info {
	var c C.lmdb_info
	C.lmdb_get_info(s.p, &c)
	return info{
		pageBytes: uint64(c.page_bytes), depth: uint64(c.depth), branchPages: uint64(c.branch_pages),
		leafPages: uint64(c.leaf_pages), overflowPages: uint64(c.overflow_pages), entries: uint64(c.entries),
		mapBytes: uint64(c.map_bytes), usedPages: uint64(c.used_pages), readers: uint64(c.readers),
	}
}

func (s nativeStore) takeReader() (nativeReader, error) {
	var r nativeReader
	return r, codeError(C.lmdb_reader_take(s.p, &r.p))
}

func (s nativeStore) giveReader(r nativeReader) { C.lmdb_reader_give(s.p, r.p) }

func chars(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }

// get appends the value of key to dst in one crossing, more if dst has no room.
func (s nativeStore) get(r nativeReader, key, dst []byte) ([]byte, error) {
	for {
		room := dst[len(dst):cap(dst)]
		got := C.lmdb_get(s.p, r.p, chars(key), C.size_t(len(key)), chars(room), C.size_t(len(room)))
		switch {
		case got.rc == notFound:
			return dst, engine.ErrNotFound
		case got.rc != 0:
			return dst, codeError(got.rc)
		case int(got.bytes) <= len(room):
			return dst[:len(dst)+int(got.bytes)], nil
		}
		dst = slices.Grow(dst, int(got.bytes))
	}
}

// multiGet returns the values of keys at the newest commit, one after the other,
// and their sizes, -1 where there is none. packed is the keys, one after the
// other. The values are in dst where it has the room.
func (s nativeStore) multiGet(packed []byte, keySizes []uint32, sizes []int64, dst []byte) ([]byte, error) {
	for {
		room := dst[:cap(dst)]
		got := C.lmdb_multi_get(s.p, C.size_t(len(keySizes)), chars(packed), (*C.uint32_t)(unsafe.SliceData(keySizes)),
			(*C.int64_t)(unsafe.SliceData(sizes)), chars(room), C.size_t(len(room)))
		switch {
		case got.rc != 0:
			return dst, codeError(got.rc)
		case int(got.bytes) <= len(room):
			return room[:got.bytes], nil
		}
		dst = make([]byte, got.bytes)
	}
}

// benchGets is so many gets in C, by keys of one size that stand in packed, and
// returns the bytes of their values.
func (s nativeStore) benchGets(packed []byte, keyBytes int, dst []byte) (int, error) {
	room := dst[:cap(dst)]
	got := C.lmdb_bench_gets(s.p, C.size_t(len(packed)/keyBytes), chars(packed), C.size_t(keyBytes), chars(room), C.size_t(len(room)))
	return int(got.bytes), codeError(got.rc)
}

// apply commits an encoded batch in one write transaction. at is the offset of
// the operation that failed, or the size of the batch.
func (s nativeStore) apply(batch []byte, sync bool) (at int, err error) {
	flag := C.int(0)
	if sync {
		flag = 1
	}
	done := C.lmdb_apply(s.p, (*C.uint8_t)(unsafe.SliceData(batch)), C.size_t(len(batch)), flag)
	return int(done.at), codeError(done.rc)
}

// iterator makes an iterator on a reader. Its bounds are open where nil.
func (s nativeStore) iterator(r nativeReader, o engine.IterOptions) (nativeIterator, error) {
	var it nativeIterator
	return it, codeError(C.lmdb_iterator_new(s.p, r.p,
		bound(o.Lower), C.size_t(len(o.Lower)), bound(o.Upper), C.size_t(len(o.Upper)), &it.p))
}

// bound is chars, with nil for nil and only then.
func bound(b []byte) *C.char {
	if b != nil && cap(b) == 0 {
		b = make([]byte, 0, 1)
	}
	return chars(b)
}

func (it nativeIterator) delete() { C.lmdb_iterator_delete(it.p) }

type move C.int

const (
	moveFirst  move = C.LMDB_FIRST
	moveLast   move = C.LMDB_LAST
	moveSeekGE move = C.LMDB_SEEK_GE
	moveSeekLT move = C.LMDB_SEEK_LT
	moveNext   move = C.LMDB_NEXT
	movePrev   move = C.LMDB_PREV
)

// block is what a move of a nativeIterator hands out.
type block struct {
	entries []C.lmdb_entry
	end     bool  // nothing comes after these
	err     error // met after these
}

func (it nativeIterator) move(m move, key []byte, most int) block {
	got := C.lmdb_iterator_move(it.p, C.int(m), chars(key), C.size_t(len(key)), C.size_t(most))
	b := block{entries: unsafe.Slice((*C.lmdb_entry)(unsafe.Pointer(got.entries)), int(got.count)), end: got.rc != 0}
	if got.rc != 0 && got.rc != notFound {
		b.err = codeError(got.rc)
	}
	return b
}

// take returns the first entry, whose bytes lie in LMDB's map, and removes it.
func (b *block) take() (key, value []byte) {
	e := &b.entries[0]
	b.entries = b.entries[1:]
	return mapped(e.key, e.key_bytes), mapped(e.value, e.value_bytes)
}

func mapped(p *C.char, n C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), int(n))[:n:n]
}

// codeError is newError for what a function in C returned.
func codeError(rc C.int) error {
	if rc == 0 {
		return nil
	}
	return newError(int(rc))
}

// The codes of LMDB's that amount to one of the engine's errors.
var kinds = map[int]error{
	C.MDB_NOTFOUND:         engine.ErrNotFound,
	C.MDB_PAGE_NOTFOUND:    engine.ErrCorrupt,
	C.MDB_CORRUPTED:        engine.ErrCorrupt,
	C.MDB_VERSION_MISMATCH: engine.ErrCorrupt,
	C.MDB_INVALID:          engine.ErrCorrupt,
	C.MDB_MAP_FULL:         engine.ErrNoSpace,
	C.MDB_TXN_FULL:         engine.ErrTooLarge,
	C.MDB_READERS_FULL:     engine.ErrInUse,
	C.MDB_PANIC:            engine.ErrReadOnly,
	C.MDB_BAD_VALSIZE:      engine.ErrInvalid,
}
