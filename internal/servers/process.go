package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program returns the path of a server's program and makes it ready by
// deps/servers/NAME.sh. If that fails the test is skipped.
func Program(t testing.TB, name string) string {
	t.Helper()
	script := filepath.Join(scripts(t), name+".sh")
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "/bin/sh", script)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("SKIPPED, NOT VERIFIED HERE: deps/servers/%s.sh: %v\n%s", name, err, said.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// scripts is where the scripts are, somewhere above the package that is tested: a program
// that is built with -trimpath does not know where its source was.
func scripts(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		in := filepath.Join(at, "deps/servers")
		if _, err := os.Stat(in); err == nil {
			return in
		}
		if at == filepath.Dir(at) {
			t.Fatalf("there is no deps/servers above %s", dir)
		}
	}
}

// Command is a server that is to be started.
type Command struct {
	Path string
	Args []string
	// Env is added to a small environment: PATH, HOME in Dir, and nothing else, so
	// that no credentials of the machine are used.
	Env []string
	// Dir is where it works; "" makes a directory that goes with the test.
	Dir string
	// Ready asks whether it serves; it is asked until it returns nil.
	Ready func(ctx context.Context) error
}

// readyWithin bounds the wait for a server to serve; it is no measure of speed.
const readyWithin = 2 * time.Minute

// Process is a server that runs. It ends with the test, which fails if the server
// ended before without being told to.
type Process struct {
	t       testing.TB
	command Command
	log     string

	mu     sync.Mutex // guards what follows
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	told   bool          // the end of cmd was asked for
}

// Start starts a server and waits until it serves.
func Start(t testing.TB, c Command) *Process {
	t.Helper()
	if c.Dir == "" {
		c.Dir = dataDir(t)
	}
	p := &Process{t: t, command: c, log: filepath.Join(t.TempDir(), filepath.Base(c.Path)+".log")}
	t.Cleanup(func() {
		p.mu.Lock()
		ended := p.cmd != nil && !p.told && isClosed(p.exited)
		p.mu.Unlock()
		p.Kill()
		if ended {
			t.Errorf("%s ended by itself", c.Path)
		}
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", c.Path, p.tail())
		}
	})
	p.Restart()
	return p
}

// Restart starts the server, after it was killed or stopped, and waits until it serves.
func (p *Process) Restart() {
	p.t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Dir = p.command.Dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.command.Dir}, p.command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.command.Path, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is of no interest; that it did, is told
		close(exited)
	}()
	p.mu.Lock()
	p.cmd, p.exited, p.told = cmd, exited, false
	p.mu.Unlock()
	p.WaitReady()
}

// WaitReady waits until the server serves. It is for those that wait for each other;
// Start and Restart call it.
func (p *Process) WaitReady() {
	p.t.Helper()
	if p.command.Ready == nil {
		return
	}
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		err := p.command.Ready(ctx)
		if err == nil {
			return
		}
		select {
		case <-exited:
			p.t.Fatalf("%s ended before it served:\n%s", p.command.Path, p.tail())
		case <-ctx.Done():
			p.t.Fatalf("%s does not serve: %v\n%s", p.command.Path, err, p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server by SIGKILL, as a crash does, and waits until it is gone.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Stop asks the server to end, and waits until it has.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

// Pause stops the server's threads: it answers nothing, and its connections stand.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

func (p *Process) end(how syscall.Signal) {
	p.mu.Lock()
	p.told = true
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	p.send(cmd, how)
	if how != syscall.SIGKILL {
		p.send(cmd, syscall.SIGCONT)
	}
	<-exited
}

func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	cmd := p.cmd
	p.mu.Unlock()
	p.send(cmd, s)
}

func (p *Process) send(cmd *exec.Cmd, s syscall.Signal) {
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("%s: %v: %v", p.command.Path, s, err)
	}
}

// tail returns the end of what the server has written.
func (p *Process) tail() string {
	const most = 4096
	data, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("no log: %v", err)
	}
	return string(data[max(0, len(data)-most):])
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
