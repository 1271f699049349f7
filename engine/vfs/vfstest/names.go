package vfstest

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

func openFlags(e *env) {
	_, err := e.Open(e.path("absent"), 0)
	e.want(err, fs.ErrNotExist, "open of an absent file")
	e.check(!errors.Is(err, engine.ErrNotFound), "an absent file reads as an absent key: %v", err)
	e.check(strings.Contains(err.Error(), e.path("absent")), "the error does not name the file: %v", err)
	_, err = e.Open(e.path("absent"), vfs.ReadOnly)
	e.want(err, fs.ErrNotExist, "open of an absent file for reading")

	f := e.open("a", vfs.Create)
	e.check(f.Name() == e.path("a"), "Name is %q, want %q", f.Name(), e.path("a"))
	e.write(f, []byte("one"), 0)
	e.must(f.Close())
	f = e.open("a", vfs.Create)
	e.check(e.content(f) == "one", "Create changed a file that was there")
	e.must(f.Close())

	_, err = e.Open(e.path("a"), vfs.Create|vfs.Exclusive)
	e.want(err, fs.ErrExist, "exclusive creation of a file that is there")
	e.must(e.open("b", vfs.Create|vfs.Exclusive).Close())

	f = e.open("a", vfs.ReadOnly)
	_, err = f.WriteAt([]byte("x"), 0, vfs.Plain)
	e.want(err, engine.ErrInvalid, "write through a read-only handle")
	e.want(f.Truncate(0), engine.ErrInvalid, "truncation through a read-only handle")
	e.check(e.content(f) == "one", "a read-only handle changed the file")
	e.must(f.Close())

	e.must(e.open("a", vfs.Truncate).Close())
	e.expect("a", "")

	for _, flags := range []vfs.OpenFlags{vfs.Exclusive, vfs.ReadOnly | vfs.Create, vfs.ReadOnly | vfs.Truncate} {
		_, err = e.Open(e.path("a"), flags)
		e.want(err, engine.ErrInvalid, "open with flags that exclude each other")
	}
	_, err = e.Open(e.dir, vfs.ReadOnly)
	e.want(err, engine.ErrInvalid, "open of a directory")
}

func rename(e *env) {
	e.create("a", "first")
	e.create("b", "second")
	held := e.open("b", vfs.ReadOnly)
	e.must(e.Rename(e.path("a"), e.path("b")))
	e.expect("b", "first")
	e.check(e.content(held) == "second", "a handle did not stay with the file whose name was taken")
	e.must(held.Close())
	_, err := e.Stat(e.path("a"))
	e.want(err, fs.ErrNotExist, "the old name after a rename")
	e.want(e.Rename(e.path("a"), e.path("c")), fs.ErrNotExist, "rename of an absent file")

	if !e.capabilities().Directories {
		e.must(e.SyncDir(e.dir))
		return
	}
	e.must(e.MkdirAll(e.path("d")))
	e.must(e.Rename(e.path("b"), e.path("d/b")))
	e.expect("d/b", "first")
	e.must(e.Rename(e.path("d"), e.path("e")))
	e.expect("e/b", "first")
	e.must(e.SyncDir(e.path("e")))
	e.must(e.SyncDir(e.dir))
}

func link(e *env) {
	e.create("a", "content")
	err := e.Link(e.path("a"), e.path("b"))
	if !e.capabilities().Link {
		e.want(err, engine.ErrUnsupported, "Link, which is not declared")
		e.skip("no hard links here")
	}
	e.must(err)
	e.expect("b", "content")
	e.want(e.Link(e.path("a"), e.path("b")), fs.ErrExist, "link onto a name that is there")
	e.want(e.Link(e.path("absent"), e.path("c")), fs.ErrNotExist, "link of an absent file")
	f := e.open("a", 0)
	e.write(f, []byte("CON"), 0)
	e.must(f.Close())
	e.expect("b", "CONtent")
	e.must(e.Remove(e.path("a")))
	e.expect("b", "CONtent")
}

func clone(e *env) {
	e.create("a", "content")
	err := e.Clone(e.path("a"), e.path("b"))
	if !e.capabilities().Clone {
		e.want(err, engine.ErrUnsupported, "Clone, which is not declared")
		_, err = e.Stat(e.path("b"))
		e.want(err, fs.ErrNotExist, "the target of a clone that failed")
		e.skip("files cannot share blocks here")
	}
	e.must(err)
	e.expect("b", "content")
	e.want(e.Clone(e.path("a"), e.path("b")), fs.ErrExist, "clone onto a name that is there")
	f := e.open("a", 0)
	e.write(f, []byte("CON"), 0)
	e.must(f.Close())
	e.expect("a", "CONtent")
	e.expect("b", "content")
}

func remove(e *env) {
	e.create("a", "content")
	held := e.open("a", 0)
	e.must(e.Remove(e.path("a")))
	_, err := e.Stat(e.path("a"))
	e.want(err, fs.ErrNotExist, "the name of a removed file")
	e.want(e.Remove(e.path("a")), fs.ErrNotExist, "a second removal")
	e.create("a", "another")
	e.write(held, []byte("CON"), 0)
	e.check(e.content(held) == "CONtent", "a handle of a removed file lost it")
	e.must(held.Close())
	e.expect("a", "another")
}

func directories(e *env) {
	if !e.capabilities().Directories {
		flat(e)
		e.skip("there are no directories on %s", e.capabilities().FileSystem)
	}
	e.must(e.MkdirAll(e.path("d/e/f")))
	e.must(e.MkdirAll(e.path("d/e/f")))
	for _, name := range []string{"d/c", "d/a", "d/b"} {
		e.create(name, "")
	}
	names, err := e.List(e.path("d"))
	e.must(err)
	e.check(slices.Equal(names, []string{"a", "b", "c", "e"}), "List returned %q", names)
	names, err = e.List(e.path("d/e/f"))
	e.must(err)
	e.check(len(names) == 0, "List of an empty directory returned %q", names)
	_, err = e.List(e.path("absent"))
	e.want(err, fs.ErrNotExist, "List of an absent directory")
	e.want(e.SyncDir(e.path("absent")), fs.ErrNotExist, "SyncDir of an absent directory")
	e.check(e.MkdirAll(e.path("d/a")) != nil, "MkdirAll over a file succeeded")
	e.check(e.MkdirAll(e.path("d/a/x")) != nil, "MkdirAll below a file succeeded")

	for _, dir := range []string{"d/e/f", "d/e", "d", "."} {
		e.must(e.SyncDir(e.path(dir)))
	}
	e.check(e.Remove(e.path("d")) != nil, "a directory was removed with what it held")
	e.must(e.Remove(e.path("d/e/f")))
	e.must(e.Remove(e.path("d/e")))

	info, err := e.Stat(e.path("d"))
	e.must(err)
	e.check(info.Kind == vfs.Directory, "Stat of a directory: %+v", info)
	e.create("d/a", "content")
	info, err = e.Stat(e.path("d/a"))
	e.must(err)
	e.check(info.Kind == vfs.RegularFile && info.Size == 7, "Stat of a file of 7 bytes: %+v", info)
}

// flat is directories where there is only the one.
func flat(e *env) {
	e.must(e.MkdirAll(e.dir))
	e.want(e.MkdirAll(e.path("d")), engine.ErrUnsupported, "MkdirAll, where no directories are declared")
	for _, name := range []string{"c", "a", "b"} {
		e.create(name, "content")
	}
	names, err := e.List(e.dir)
	e.must(err)
	e.check(slices.Equal(names, []string{"a", "b", "c"}), "List returned %q", names)
	_, err = e.List(e.path("absent"))
	e.want(err, fs.ErrNotExist, "List of an absent directory")
	e.want(e.SyncDir(e.path("absent")), fs.ErrNotExist, "SyncDir of an absent directory")
	e.check(e.MkdirAll(e.path("a")) != nil, "MkdirAll over a file succeeded")
	e.check(e.MkdirAll(e.path("a/x")) != nil, "MkdirAll below a file succeeded")
	_, err = e.Open(e.path("absent/x"), vfs.Create)
	e.want(err, fs.ErrNotExist, "a file in an absent directory")
	e.must(e.SyncDir(e.dir))
	e.check(e.Remove(e.dir) != nil, "the directory was removed with what it held")
	info, err := e.Stat(e.path("a"))
	e.must(err)
	e.check(info.Kind == vfs.RegularFile && info.Size == 7, "Stat of a file of 7 bytes: %+v", info)
}

func lock(e *env) {
	l, err := e.Lock(e.dir)
	e.must(err)
	e.closeLater(l)
	for range 2 {
		_, err = e.Lock(e.dir)
		e.want(err, engine.ErrLocked, "a second lock")
	}
	if e.capabilities().Directories {
		e.must(e.MkdirAll(e.path("other")))
		other, err := e.Lock(e.path("other"))
		e.must(err)
		e.must(other.Close())
	}
	e.must(l.Close())
	e.want(l.Close(), engine.ErrClosed, "a second unlock")
	l, err = e.Lock(e.dir)
	e.must(err)
	e.must(l.Close())
	_, err = e.Lock(e.path("absent"))
	e.want(err, fs.ErrNotExist, "lock of an absent directory")
}

func usage(e *env) {
	u, err := e.DiskUsage(e.dir)
	if errors.Is(err, engine.ErrUnsupported) {
		e.skip("no disk usage on this platform")
	}
	e.must(err)
	e.check(u.Total > 0 && u.Free <= u.Total && u.Available <= u.Free, "%+v is no usage", u)
	e.check(u.FileSystem != "" && u.FileSystem == e.capabilities().FileSystem, "file system %q, by capabilities %q", u.FileSystem, e.capabilities().FileSystem)
	names, err := e.List(e.dir)
	e.must(err)
	e.check(len(names) == 0, "Capabilities left %q", names)
	_, err = e.DiskUsage(e.path("absent"))
	e.want(err, fs.ErrNotExist, "disk usage of an absent directory")
}
