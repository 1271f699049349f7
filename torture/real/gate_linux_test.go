package real

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// kindOfRequest tells apart what of a file system hangs.
type kindOfRequest uint

const (
	reads kindOfRequest = 1 << iota
	writes
	flushes
	names // open, look up, list, stat, remove, rename, close, usage: all the rest

	everything = reads | writes | flushes | names
)

// gate is where requests to a file system wait while it is closed to their kind.
type gate struct {
	mu     sync.Mutex
	closed kindOfRequest // guarded by mu, as are the following
	opened chan struct{} // closed when the gate is opened
	met    int           // how many requests have waited
}

func (g *gate) close(k kindOfRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.opened, g.met = k, make(chan struct{}), 0
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != 0 {
		g.closed = 0
		close(g.opened)
	}
}

// waited returns how many requests have waited since the gate was closed.
func (g *gate) waited() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.met
}

// pass waits while the gate is closed to a kind of request.
func (g *gate) pass(k kindOfRequest) {
	g.mu.Lock()
	for g.closed&k != 0 {
		opened := g.opened
		g.met++
		g.mu.Unlock()
		<-opened
		g.mu.Lock()
	}
	g.mu.Unlock()
}

// gatedFS is a FUSE file system over a directory, whose requests pass a gate.
type gatedFS struct {
	fuse.RawFileSystem
	gate *gate
}

// mountGated mounts one, over a directory of its own, and returns its mount point. It is
// unmounted at the end of the test, which fails if somebody has a file open there by then.
func mountGated(t *testing.T) (string, *gate) {
	t.Helper()
	if why := loopfs.Kinds[0].Missing(); os.Geteuid() != 0 {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: FUSE: %s", why)
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: FUSE: %v", err)
	}
	dir := t.TempDir()
	below, point := filepath.Join(dir, "below"), filepath.Join(dir, "mount")
	for _, d := range []string{below, point} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root, err := fs.NewLoopbackRoot(below)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	server, err := fuse.NewServer(gatedFS{fs.NewNodeFS(root, &fs.Options{}), g}, point, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "orbit-gated", DisableXAttrs: true,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH, // or reads and writes would go past the gate
	})
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve() // it ends when it is unmounted
	if err := server.WaitMount(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.open()
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		// The kernel ends the server when the last file is closed.
		ended := make(chan struct{})
		go func() { // it ends with the server
			server.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("somebody has a file open there")
		}
	})
	return point, g
}

func (f gatedFS) Lookup(c <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Lookup(c, h, name, out)
}

func (f gatedFS) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.GetAttr(c, in, out)
}

func (f gatedFS) SetAttr(c <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.SetAttr(c, in, out)
}

func (f gatedFS) Unlink(c <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Unlink(c, h, name)
}

func (f gatedFS) Rename(c <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Rename(c, in, from, to)
}

func (f gatedFS) Create(c <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Create(c, in, name, out)
}

func (f gatedFS) Open(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Open(c, in, out)
}

func (f gatedFS) Flush(c <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.Flush(c, in)
}

func (f gatedFS) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.OpenDir(c, in, out)
}

func (f gatedFS) StatFs(c <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	f.gate.pass(names)
	return f.RawFileSystem.StatFs(c, in, out)
}

func (f gatedFS) Read(c <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	f.gate.pass(reads)
	return f.RawFileSystem.Read(c, in, buf)
}

func (f gatedFS) Write(c <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	f.gate.pass(writes)
	return f.RawFileSystem.Write(c, in, data)
}

func (f gatedFS) Writev(c <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	f.gate.pass(writes)
	return f.RawFileSystem.Writev(c, in, data)
}

func (f gatedFS) Fsync(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.gate.pass(flushes)
	return f.RawFileSystem.Fsync(c, in)
}

func (f gatedFS) FsyncDir(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	f.gate.pass(flushes)
	return f.RawFileSystem.FsyncDir(c, in)
}
