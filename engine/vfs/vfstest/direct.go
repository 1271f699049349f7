package vfstest

import (
	"bytes"
	"fmt"
	"io"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// openDirect returns a new direct file, or ends the case where there are none.
func (e *env) openDirect(name string) (vfs.File, vfs.Alignment) {
	able := e.capabilities()
	f, err := e.Open(e.path(name), vfs.Create|vfs.Direct)
	if !able.Direct {
		e.want(err, engine.ErrUnsupported, "Direct, which is not declared")
		e.skip("no direct I/O on %s: %v", able.FileSystem, err)
	}
	e.must(err)
	e.closeLater(f)
	a := f.Alignment()
	e.check(a == able.Alignment, "alignment %+v, by capabilities %+v", a, able.Alignment)
	for _, n := range []int{a.Memory, a.Offset} {
		e.check(n >= 512 && n&(n-1) == 0, "alignment %d is no power of two of 512 at least", n)
	}
	return f, a
}

func directTransfers(e *env) {
	f, a := e.openDirect("a")
	const blocks = 64
	size := blocks * a.Offset
	want := vfs.AlignedBuffer(size, a.Memory)
	for i := range want {
		want[i] = byte(i / a.Offset)
	}
	e.write(f, want, 0)
	flags := []vfs.WriteFlags{vfs.Plain}
	if e.capabilities().DSync {
		flags = append(flags, vfs.DSync)
	}
	for _, flag := range flags {
		block := vfs.AlignedBuffer(a.Offset, a.Memory)
		block[0] = byte(100 + flag)
		off := int64(1+int(flag)) * int64(a.Offset)
		_, err := f.WriteAt(block, off, flag)
		e.must(err)
		copy(want[off:], block)
	}
	e.must(f.SyncData())

	got := vfs.AlignedBuffer(size, a.Memory)
	_, err := f.ReadAt(got, 0)
	e.must(err)
	e.check(bytes.Equal(got, want), "direct reading differs from direct writing")
	buffered := e.open("a", 0)
	e.check(buffered.Alignment() == vfs.Alignment{Memory: 1, Offset: 1}, "alignment of a buffered handle: %+v", buffered.Alignment())
	e.check(e.content(buffered) == string(want), "buffered reading differs from direct writing")

	// The end of the file, on a block boundary and inside a block.
	n, err := f.ReadAt(got, int64(size-a.Offset))
	e.check(n == a.Offset && err == io.EOF, "read over the end: %d, %v", n, err)
	n, err = f.ReadAt(got, int64(size))
	e.check(n == 0 && err == io.EOF, "read at the end: %d, %v", n, err)
	e.write(buffered, []byte("tail"), int64(size))
	e.must(buffered.Sync())
	e.must(buffered.Close())
	n, err = f.ReadAt(got, int64(size-a.Offset))
	e.check(n == a.Offset+4 && err == io.EOF && string(got[a.Offset:n]) == "tail", "read of an unaligned tail: %d, %v", n, err)
	e.must(f.Close())
}

func directMisaligned(e *env) {
	f, a := e.openDirect("a")
	b := vfs.AlignedBuffer(4*a.Offset+a.Memory, max(a.Memory, a.Offset))
	e.write(f, b[:4*a.Offset], 0)
	for _, m := range []struct {
		what string
		p    []byte
		off  int64
	}{
		{"offset", b[:a.Offset], int64(a.Offset / 2)},
		{"length", b[:a.Offset/2], 0},
		{"memory", b[a.Memory/2:][:a.Offset], 0},
	} {
		_, err := f.ReadAt(m.p, m.off)
		e.want(err, engine.ErrInvalid, fmt.Sprintf("direct read with misaligned %s", m.what))
		_, err = f.WriteAt(m.p, m.off, vfs.Plain)
		e.want(err, engine.ErrInvalid, fmt.Sprintf("direct write with misaligned %s", m.what))
	}
	e.must(f.Close())
}
