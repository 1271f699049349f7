package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

func readAt(e *env) {
	e.create("a", "0123456789")
	f := e.open("a", vfs.ReadOnly)
	for _, r := range []struct {
		off  int64
		size int
		want string
		err  error
	}{
		{0, 10, "0123456789", nil},
		{3, 4, "3456", nil},
		{8, 4, "89", io.EOF},
		{10, 1, "", io.EOF},
		{1 << 40, 1, "", io.EOF},
		{0, 0, "", nil},
		{10, 0, "", nil},
		{-1, 1, "", engine.ErrInvalid},
	} {
		p := make([]byte, r.size)
		n, err := f.ReadAt(p, r.off)
		e.check(string(p[:n]) == r.want && errors.Is(err, r.err) && (r.err != nil || err == nil),
			"read of %d at %d: %q and error %v, want %q and %v", r.size, r.off, p[:n], err, r.want, r.err)
		e.check(r.err != io.EOF || err == io.EOF, "io.EOF is not bare: %v", err)
	}
	e.must(f.Close())
}

func writeAt(e *env) {
	f := e.open("a", vfs.Create)
	p := []byte("abc")
	e.write(f, p, 0)
	p[0] = 'x'
	e.write(f, []byte("de"), 5)
	e.check(e.content(f) == "abc\x00\x00de", "content %q", e.content(f))
	e.write(f, []byte("XY"), 2)
	e.check(e.content(f) == "abXY\x00de", "content %q", e.content(f))
	e.write(f, nil, 100)
	size, err := f.Size()
	e.must(err)
	e.check(size == 7, "an empty write set the length to %d", size)
	_, err = f.WriteAt(p, -1, vfs.Plain)
	e.want(err, engine.ErrInvalid, "write at a negative offset")

	const far = 5 << 30
	e.write(f, []byte("far"), far)
	b := make([]byte, 6)
	_, err = f.ReadAt(b, far-3)
	e.must(err)
	e.check(string(b) == "\x00\x00\x00far", "%q at %d", b, int64(far))
	e.must(f.Close())

	info, err := e.Stat(e.path("a"))
	e.must(err)
	e.check(info.Size == far+3 && info.Allocated < 1<<20, "a file with a hole of 5 GiB: %+v", info)
}

func dsync(e *env) {
	able := e.capabilities().DSync
	f := e.open("a", vfs.Create)
	n, err := f.WriteAt([]byte("durable"), 0, vfs.DSync)
	if !able {
		e.want(err, engine.ErrUnsupported, "DSync, which is not declared")
		_, err = e.Open(e.path("b"), vfs.Create|vfs.SyncWrites)
		e.want(err, engine.ErrUnsupported, "SyncWrites, which is not declared")
		e.skip("no DSync here")
	}
	e.must(err)
	e.check(n == 7, "wrote %d of 7", n)
	e.must(f.Close())
	f = e.open("a", vfs.SyncWrites)
	e.write(f, []byte("DUR"), 0)
	_, err = f.WriteAt([]byte("!"), 7, vfs.DSync)
	e.must(err)
	e.must(f.Close())
	e.expect("a", "DURable!")
}

func syncs(e *env) {
	f := e.open("a", vfs.Create)
	e.must(f.Sync())
	e.must(f.SyncData())
	e.write(f, []byte("a"), 0)
	e.must(f.SyncData())
	e.must(f.Sync())
	e.must(f.Close())
}

func truncate(e *env) {
	f := e.open("a", vfs.Create)
	e.write(f, []byte("0123456789"), 0)
	for _, s := range []struct {
		size int64
		want string
	}{
		{4, "0123"}, {8, "0123\x00\x00\x00\x00"}, {0, ""}, {2, "\x00\x00"},
	} {
		e.must(f.Truncate(s.size))
		e.check(e.content(f) == s.want, "truncated to %d: %q", s.size, e.content(f))
	}
	e.want(f.Truncate(-1), engine.ErrInvalid, "truncation to a negative length")
	e.must(f.Close())
}

func writeback(e *env) {
	f := e.open("a", vfs.Create)
	e.write(f, []byte("begun"), 0)
	e.must(f.Writeback(0, 5))
	e.must(f.Writeback(2, 1<<20)) // beyond the end there is nothing to write
	e.want(f.Writeback(-1, 4), engine.ErrInvalid, "a negative offset")
	e.check(e.content(f) == "begun", "after Writeback the content is %q", e.content(f))
	e.must(f.SyncData())
	e.must(f.Close())
}

func preallocate(e *env) {
	able := e.capabilities().Preallocate
	f := e.open("a", vfs.Create)
	e.write(f, []byte("head"), 0)
	err := f.Preallocate(0, 1<<20)
	if !able {
		e.want(err, engine.ErrUnsupported, "Preallocate, which is not declared")
		e.skip("no preallocation here")
	}
	e.must(err)
	want := "head" + strings.Repeat("\x00", 1<<20-4)
	e.check(e.content(f) == want, "preallocated content is wrong")
	e.want(f.Preallocate(-1, 4096), engine.ErrInvalid, "a negative offset")
	e.must(f.Close())
	info, err := e.Stat(e.path("a"))
	e.must(err)
	e.check(info.Size == 1<<20 && info.Allocated >= 1<<20, "preallocated 1 MiB: %+v", info)
}

func punch(e *env) {
	able := e.capabilities().Punch
	f := e.open("a", vfs.Create)
	b := bytes.Repeat([]byte{7}, 1<<20)
	e.write(f, b, 0)
	e.must(f.Sync())
	err := f.Punch(100, 1<<19)
	if !able {
		e.want(err, engine.ErrUnsupported, "Punch, which is not declared")
		e.skip("no punching of holes here")
	}
	e.must(err)
	// A hole over the end does not change the length.
	e.must(f.Punch(1<<20-10, 4096))
	clear(b[100 : 100+1<<19])
	clear(b[1<<20-10:])
	e.check(e.content(f) == string(b), "content after Punch is wrong")
	e.must(f.Close())
	info, err := e.Stat(e.path("a"))
	e.must(err)
	e.check(info.Allocated < 3<<18, "half of 1 MiB was given back, and %d bytes are allocated", info.Allocated)
}

func closedFile(e *env) {
	f := e.open("a", vfs.Create)
	e.must(f.Close())
	b := make([]byte, 1)
	_, read := f.ReadAt(b, 0)
	_, write := f.WriteAt(b, 0, vfs.Plain)
	_, size := f.Size()
	_, mapped := f.Map(0, 1)
	for i, err := range []error{
		read, write, size, mapped,
		f.Sync(), f.SyncData(), f.Writeback(0, 1), f.Preallocate(0, 1), f.Punch(0, 1), f.Truncate(0), f.Close(),
	} {
		e.want(err, engine.ErrClosed, fmt.Sprintf("call %d on a closed file", i))
	}
}

// concurrent has writers on parts of their own, readers on all, and a Close in
// the middle of it.
func concurrent(e *env) {
	const writers, part = 4, 8192
	f := e.open("a", vfs.Create)
	e.must(f.Truncate(writers * part))
	var group sync.WaitGroup
	errs := make([]error, 2*writers)
	for w := range writers {
		group.Go(func() {
			p := bytes.Repeat([]byte{byte('a' + w)}, part)
			for range 50 {
				if _, err := f.WriteAt(p, int64(w*part), vfs.Plain); err != nil {
					errs[w] = err
					return
				}
			}
		})
		group.Go(func() {
			p := make([]byte, part)
			for range 50 {
				if _, err := f.ReadAt(p, int64(w*part)); err != nil {
					errs[writers+w] = err
					return
				}
			}
		})
	}
	group.Wait()
	e.must(errors.Join(errs...))
	content := e.content(f)
	for w := range writers {
		e.check(content[w*part:(w+1)*part] == strings.Repeat(string(rune('a'+w)), part), "part %d is mixed", w)
	}

	begun := make(chan struct{})
	for i := range errs {
		group.Go(func() {
			p := make([]byte, part)
			for n := 0; errs[i] == nil; n++ {
				_, errs[i] = f.ReadAt(p, 0)
				if n == 0 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range errs {
		<-begun
	}
	e.must(f.Close())
	group.Wait()
	for _, err := range errs {
		e.want(err, engine.ErrClosed, "a read after Close")
	}
}

// model compares random changes with the same changes of a byte slice.
func model(e *env) {
	able := e.capabilities()
	const most = 1 << 16
	random := rand.New(rand.NewPCG(1, 2))
	f := e.open("a", vfs.Create)
	var want []byte
	grow := func(n int) {
		if n > len(want) {
			want = append(want, make([]byte, n-len(want))...)
		}
	}
	for i := range 2000 {
		off, n := random.IntN(most), random.IntN(most/4)
		switch op := random.IntN(10); {
		case op < 5:
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			e.write(f, p, int64(off))
			if n > 0 {
				grow(off + n)
				copy(want[off:], p)
			}
		case op == 5:
			e.must(f.Truncate(int64(off)))
			grow(off)
			want = want[:off:off]
		case op == 6 && able.Punch && n > 0:
			e.must(f.Punch(int64(off), int64(n)))
			if off < len(want) {
				clear(want[off:min(off+n, len(want))])
			}
		case op == 7 && able.Preallocate && n > 0:
			e.must(f.Preallocate(int64(off), int64(n)))
			grow(off + n)
		case op == 8:
			e.must(f.Close())
			f = e.open("a", 0)
		default:
			p := make([]byte, n)
			m, err := f.ReadAt(p, int64(off))
			here := want[min(off, len(want)):min(off+n, len(want))]
			e.check(bytes.Equal(p[:m], here), "step %d: read of %d at %d differs", i, n, off)
			e.check(m == n && err == nil || m < n && err == io.EOF, "step %d: read of %d at %d: %d, %v", i, n, off, m, err)
		}
	}
	e.check(e.content(f) == string(want), "the content differs in the end")
	e.must(f.Close())
}
