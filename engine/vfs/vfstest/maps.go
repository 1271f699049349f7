package vfstest

import (
	"bytes"
	"errors"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// mapAlignment is a multiple of every page size.
const mapAlignment = 64 << 10

// mapWritten maps the second half of a new file of two written parts.
func (e *env) mapWritten(name string) (vfs.File, vfs.Mapping) {
	f := e.open(name, vfs.Create)
	e.write(f, bytes.Repeat([]byte{'.'}, 2*mapAlignment), 0)
	e.must(f.Sync())
	m, err := f.Map(mapAlignment, mapAlignment)
	if !e.capabilities().Map {
		e.want(err, engine.ErrUnsupported, "Map, which is not declared")
		e.skip("no mapping here")
	}
	e.must(err)
	e.closeLater(m)
	return f, m
}

func mapCoherent(e *env) {
	f, m := e.mapWritten("a")
	e.check(m.Len() == mapAlignment, "Len is %d", m.Len())
	e.must(m.Write([]byte("mapped"), 10))
	b := make([]byte, 6)
	_, err := f.ReadAt(b, mapAlignment+10)
	e.must(err)
	e.check(string(b) == "mapped", "the file shows %q of what was written through the mapping", b)
	e.write(f, []byte("MAP"), mapAlignment+10)
	e.must(m.View(9, 8, func(p []byte) error {
		if string(p) != ".MAPped." {
			return errors.New("the mapping shows " + string(p))
		}
		return nil
	}))
	mine := errors.New("mine")
	e.check(m.View(0, 1, func([]byte) error { return mine }) == mine, "View changed the error of its function")
	e.must(f.SyncData())

	e.must(f.Close())
	e.must(m.Write([]byte("!"), 16))
	e.must(m.Close())
	e.want(m.Write([]byte("x"), 0), engine.ErrClosed, "write after Close")
	e.want(m.View(0, 1, func([]byte) error { return nil }), engine.ErrClosed, "view after Close")
	e.want(m.Close(), engine.ErrClosed, "second Close")
	f = e.open("a", 0)
	_, err = f.ReadAt(b, mapAlignment+11)
	e.must(err)
	e.check(string(b) == "APped!", "after all, the file shows %q", b)
	e.must(f.Close())
}

func mapBounds(e *env) {
	f, m := e.mapWritten("a")
	for _, r := range []struct{ off, n int }{{-1, 1}, {mapAlignment, 1}, {mapAlignment - 1, 2}, {0, mapAlignment + 1}} {
		e.want(m.Write(make([]byte, r.n), r.off), engine.ErrInvalid, "write outside of the mapping")
		e.want(m.View(r.off, r.n, func([]byte) error { return nil }), engine.ErrInvalid, "view outside of the mapping")
	}
	e.must(m.Write(nil, mapAlignment))
	for _, r := range []struct {
		off int64
		n   int
	}{{0, 0}, {-mapAlignment, mapAlignment}, {mapAlignment, mapAlignment + 1}, {2 * mapAlignment, 1}, {1, 1}} {
		_, err := f.Map(r.off, r.n)
		e.want(err, engine.ErrInvalid, "map of a range that is unaligned or not in the file")
	}
	// A panic of the caller's own function is not taken for a fault.
	func() {
		defer func() { e.check(recover() == "mine", "View swallowed a panic") }()
		m.View(0, 1, func([]byte) error { panic("mine") })
	}()
	e.must(m.Write([]byte("x"), 0))
	e.must(m.Close())
	e.must(f.Close())
}

// mapFault takes the file away under the mapping.
func mapFault(e *env) {
	f, m := e.mapWritten("a")
	e.must(f.Truncate(0))
	err := m.Write([]byte("lost"), 100)
	e.want(err, syscall.EIO, "write where the file is gone")
	var where *vfs.Error
	e.check(errors.As(err, &where) && where.Path == e.path("a") && where.Offset >= mapAlignment && where.Offset <= mapAlignment+104,
		"the error of the fault does not say where: %v", err)
	e.want(m.View(0, 8, func(p []byte) error {
		if p[0] == 1 {
			return errors.New("there is something")
		}
		return nil
	}), syscall.EIO, "view where the file is gone")
	// With the file back, so is the mapping.
	e.write(f, make([]byte, 2*mapAlignment), 0)
	e.must(m.Write([]byte("back"), 100))
	e.must(m.Close())
	e.must(f.Close())
}
