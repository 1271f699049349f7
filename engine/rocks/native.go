//go:build rocksdb

package rocks

// #cgo CXXFLAGS: -std=c++17
// #include <stdlib.h>
// #include "native.h"
//
// #cgo noescape rocks_get
// #cgo nocallback rocks_get
// #cgo noescape rocks_multi_get
// #cgo nocallback rocks_multi_get
// #cgo noescape rocks_write
// #cgo nocallback rocks_write
// #cgo noescape rocks_iterator_new
// #cgo nocallback rocks_iterator_new
// #cgo noescape rocks_iterator_move
// #cgo nocallback rocks_iterator_move
import "C"

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/linxGnu/grocksdb"

	"github.com/orbit-persistence/orbit/engine"
)

// The types of RocksDB's objects, by which the functions below tell them apart.
type (
	nativeDB       struct{ p unsafe.Pointer }
	nativeFamily   struct{ p unsafe.Pointer }
	nativeSnapshot struct{ p unsafe.Pointer } // nil is the newest state
	nativeIterator struct{ p *C.rocks_iterator }
)

// Build facts of the RocksDB library that is linked.
var (
	libraryVersion   = takeText(C.rocks_version())
	libraryAsserting = C.rocks_assertions() != 0
)

func nativeOfDB(db *grocksdb.DB) (nativeDB, error) {
	p, err := unwrap(db)
	return nativeDB{p}, err
}

func nativeOfFamily(handle *grocksdb.ColumnFamilyHandle) (nativeFamily, error) {
	p, err := unwrap(handle)
	return nativeFamily{p}, err
}

// unwrap returns the C++ object behind one of grocksdb's, which keep the C
// handle in the field c and have no method that tells it.
func unwrap(object any) (unsafe.Pointer, error) {
	c := reflect.ValueOf(object).Elem().FieldByName("c")
	if c.Kind() != reflect.Pointer || c.IsNil() {
		return nil, fmt.Errorf("%w: %T of this version of grocksdb has no handle in its field c", engine.ErrUnsupported, object)
	}
	return C.rocks_unwrap(c.UnsafePointer()), nil
}

func chars(b []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))) }

// takeText copies a text from C and frees it; nil is "".
func takeText(c *C.char) string {
	if c == nil {
		return ""
	}
	defer C.free(unsafe.Pointer(c))
	return C.GoString(c)
}

// takeError is takeText for the text of a Status.
func takeError(c *C.char) error {
	if c == nil {
		return nil
	}
	return statusError(takeText(c))
}

// get appends the value of key to dst in one crossing, two if dst has no room.
func (db nativeDB) get(f nativeFamily, at nativeSnapshot, key, dst []byte) ([]byte, error) {
	room := dst[len(dst):cap(dst)]
	got := C.rocks_get(db.p, f.p, at.p, chars(key), C.size_t(len(key)), chars(room), C.size_t(len(room)))
	switch {
	case got.missing != 0:
		return dst, engine.ErrNotFound
	case got.err != nil:
		return dst, takeError(got.err)
	case got.rest != nil:
		dst = slices.Grow(dst, int(got.bytes))
		C.rocks_value_rest(got.rest, chars(dst[len(dst):cap(dst)]))
	}
	return dst[:len(dst)+int(got.bytes)], nil
}

// multiGet returns the values of keys, one after the other in dst, and their
// sizes, -1 where there is none. packed is the keys, one after the other. An
// error is that of keys[failed].
func (db nativeDB) multiGet(f nativeFamily, at nativeSnapshot, packed []byte, keySizes []uint32, sizes []int64, dst []byte) (values []byte, failed int, err error) {
	room := dst[:cap(dst)]
	got := C.rocks_multi_get(db.p, f.p, at.p, C.size_t(len(keySizes)), chars(packed),
		(*C.uint32_t)(unsafe.SliceData(keySizes)), (*C.int64_t)(unsafe.SliceData(sizes)), chars(room), C.size_t(len(room)))
	if got.err != nil {
		return dst, int(got.failed), takeError(got.err)
	}
	if got.rest != nil {
		room = make([]byte, got.bytes)
		C.rocks_values_rest(got.rest, chars(room))
	}
	return room[:got.bytes], 0, nil
}

// write commits an encoded batch. applied tells of an error whether the batch is
// visible nevertheless.
func (db nativeDB) write(batch []byte, sync, flush bool) (applied bool, err error) {
	done := C.rocks_write(db.p, chars(batch), C.size_t(len(batch)), flag(sync), flag(flush))
	if done.err == nil {
		return true, nil
	}
	return done.applied != 0, takeError(done.err)
}

func (db nativeDB) flushLog(sync bool) error { return takeError(C.rocks_flush_log(db.p, flag(sync))) }

func (db nativeDB) snapshot() nativeSnapshot { return nativeSnapshot{C.rocks_snapshot(db.p)} }

func (db nativeDB) releaseSnapshot(at nativeSnapshot) { C.rocks_release_snapshot(db.p, at.p) }

// iterator makes an iterator. Its bounds are open where nil.
func (db nativeDB) iterator(f nativeFamily, at nativeSnapshot, o engine.IterOptions) nativeIterator {
	return nativeIterator{C.rocks_iterator_new(db.p, f.p, at.p,
		bound(o.Lower), C.size_t(len(o.Lower)), bound(o.Upper), C.size_t(len(o.Upper)), flag(o.KeysOnly))}
}

// bound is chars, with nil for nil and only then.
func bound(b []byte) *C.char {
	if b != nil && cap(b) == 0 {
		b = make([]byte, 0, 1)
	}
	return chars(b)
}

// block is what a move of a nativeIterator hands out: entries, or one whose
// size exceeds the buffer and whose bytes are RocksDB's until the next move.
type block struct {
	count      int
	end        bool // nothing comes after these
	large      bool
	key, value []byte
	err        error // met after these
}

type move C.int

const (
	moveFirst  move = C.ROCKS_FIRST
	moveLast   move = C.ROCKS_LAST
	moveSeekGE move = C.ROCKS_SEEK_GE
	moveSeekLT move = C.ROCKS_SEEK_LT
	moveNext   move = C.ROCKS_NEXT
	movePrev   move = C.ROCKS_PREV
)

// move moves and fills dst with up to most entries, to be read by decodeEntry.
func (it nativeIterator) move(m move, key, dst []byte, most int) block {
	got := C.rocks_iterator_move(it.p, C.int(m), chars(key), C.size_t(len(key)), chars(dst), C.size_t(len(dst)), C.uint32_t(most))
	b := block{count: int(got.count), end: got.end != 0}
	if got.key != nil {
		b.large = true
		b.key = unsafe.Slice((*byte)(unsafe.Pointer(got.key)), int(got.key_bytes))
		b.value = unsafe.Slice((*byte)(unsafe.Pointer(got.value)), int(got.value_bytes))
	}
	if got.err != nil {
		b.err = takeError(got.err)
	}
	return b
}

func (it nativeIterator) delete() { C.rocks_iterator_delete(it.p) }

// decodeEntry reads an entry at the head of a block and returns what follows.
func decodeEntry(p []byte) (key, value, rest []byte) {
	k, v := binary.NativeEndian.Uint32(p), binary.NativeEndian.Uint32(p[4:])
	p = p[8:]
	return p[:k:k], p[k : k+v : k+v], p[k+v:]
}

// compact rewrites the tables of a family that hold keys in [lower, upper], until
// ctx ends. A nil bound is open.
func (db nativeDB) compact(ctx context.Context, f nativeFamily, lower, upper []byte) error {
	cancel := C.rocks_cancel_new()
	watched := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { C.rocks_cancel(cancel); close(watched) })
	err := takeError(C.rocks_compact(db.p, f.p, bound(lower), C.size_t(len(lower)), bound(upper), C.size_t(len(upper)), cancel))
	if !stop() {
		<-watched
	}
	C.rocks_cancel_delete(cancel)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// mapProperty returns a property of RocksDB's that is a map; nil if it has none
// of that name.
func (db nativeDB) mapProperty(f nativeFamily, name string) map[string]string {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	lines := takeText(C.rocks_map_property(db.p, f.p, cName))
	properties := map[string]string{}
	for line := range strings.Lines(lines) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok {
			properties[key] = value
		}
	}
	return properties
}

func (db nativeDB) cacheCounts() (hits, misses uint64) {
	counts := C.rocks_cache(db.p)
	return uint64(counts.hits), uint64(counts.misses)
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// emptyRange reports whether no key is in [lower, upper), where a nil upper is
// open.
func emptyRange(lower, upper []byte) bool {
	return upper != nil && bytes.Compare(lower, upper) >= 0
}
