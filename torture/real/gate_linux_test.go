package real

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

// gateEnv names the directory and the mount point, for the process that serves the file
// system. It is one of its own: what waits at the gate cannot be killed before its server
// is, and so a test that is interrupted ends.
const gateEnv = "ORBIT_TORTURE_GATE"

func init() {
	if where := os.Getenv(gateEnv); where != "" {
		below, point, _ := strings.Cut(where, string(filepath.ListSeparator))
		if err := serveGate(below, point); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// serveGate serves the file system until it is unmounted and nobody has a file open there,
// or until there is nobody any more who could open the gate.
func serveGate(below, point string) error {
	root, err := fs.NewLoopbackRoot(below)
	if err != nil {
		return err
	}
	g := &gate{}
	server, err := fuse.NewServer(gatedFS{fs.NewNodeFS(root, &fs.Options{}), g}, point, &fuse.MountOptions{
		DirectMountStrict: true, FsName: "orbit-gated", DisableXAttrs: true,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH, // or reads and writes would go past the gate
	})
	if err != nil {
		return err
	}
	// The end of this process ends what waits.
	abandon := func() {
		_ = unix.Unmount(point, unix.MNT_DETACH)
		os.Exit(0)
	}
	go func() { // it ends with the process
		commands := bufio.NewScanner(os.Stdin)
		for commands.Scan() {
			var closed kindOfRequest
			switch n, err := fmt.Sscan(commands.Text(), &closed); {
			case commands.Text() == "waited":
				fmt.Println(g.waited())
				continue
			case n != 1 || err != nil:
				fmt.Fprintf(os.Stderr, "%q is no command\n", commands.Text())
				os.Exit(1)
			case closed == 0:
				g.open()
			default:
				g.close(closed)
			}
			fmt.Println("done")
		}
		abandon()
	}()
	go func() { // it ends with the process
		for range time.Tick(time.Second) {
			if isKilled(os.Getppid()) {
				abandon()
			}
		}
	}()
	go server.Serve() // it ends when it is unmounted
	if err := server.WaitMount(); err != nil {
		return err
	}
	fmt.Println("mounted")
	server.Wait()
	return nil
}

// isKilled reports whether a process is to end, though it may not be able to: its threads wait
// at the gate, and have its files open.
func isKilled(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "State":
			if strings.HasPrefix(value, "Z") {
				return true
			}
		case "SigPnd":
			pending, err := strconv.ParseUint(value, 16, 64)
			return err != nil || pending&(1<<(unix.SIGKILL-1)) != 0
		}
	}
	return false
}

// remoteGate is the gate of a file system that another process serves.
type remoteGate struct {
	t       *testing.T
	mu      sync.Mutex
	ask     io.Writer
	answers *bufio.Scanner
}

// say sends a command, and returns the answer.
func (r *remoteGate) say(command any) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := fmt.Fprintln(r.ask, command); err != nil || !r.answers.Scan() {
		r.t.Errorf("the gate does not answer: %v, %v", err, r.answers.Err())
		return ""
	}
	return r.answers.Text()
}

func (r *remoteGate) close(k kindOfRequest) { r.say(uint(k)) }

func (r *remoteGate) open() { r.say(0) }

func (r *remoteGate) waited() int {
	n, err := strconv.Atoi(r.say("waited"))
	if err != nil {
		r.t.Error(err)
	}
	return n
}

// mountGated mounts one, over a directory of its own, and returns its mount point. It is
// unmounted at the end of the test, which fails if somebody has a file open there by then.
func mountGated(t *testing.T) (string, *remoteGate) {
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command(self)
	server.Env = append(os.Environ(), gateEnv+"="+below+string(filepath.ListSeparator)+point)
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	g := &remoteGate{t: t, ask: in, answers: bufio.NewScanner(out)}
	if !g.answers.Scan() {
		t.Fatalf("the file system that hangs was not mounted: %v", server.Wait())
	}
	t.Cleanup(func() {
		g.open()
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		// The kernel ends the server when the last file is closed.
		held := time.AfterFunc(time.Minute, func() {
			t.Error("somebody has a file open there")
			_ = server.Process.Kill()
		})
		for g.answers.Scan() {
		}
		held.Stop()
		if err := server.Wait(); err != nil {
			t.Errorf("the server of the file system: %v", err)
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
