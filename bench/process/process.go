// Package process runs an engine that is measured in a process of its own, so
// that its memory, its CPU and its crash are its own.
//
// The parent starts its own executable again, with an environment variable that
// says what it is to be, and the two speak JSON, a line each way for every
// command.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// Process is the parent's end of a child. It stands still (SIGSTOP) except while
// it answers a command, so that its background work is never measured as another
// engine's. One goroutine at a time may use it.
type Process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	pipe  *os.File // what out reads
	log   logTail
	group *memoryGroup
	// dead is why the process cannot be used any more.
	dead error
}

// Options say what to start.
type Options struct {
	// Name is the child's in messages.
	Name string
	// Executable is the program; empty is this one.
	Executable string
	// Env is what the child has in its environment beside the parent's: NAME=value.
	Env string
	// MemoryBytes bounds the child's memory and the page cache that it fills; 0 is
	// no bound.
	MemoryBytes uint64
}

// Start starts a child. Why its memory could not be bounded is returned beside a
// child that runs all the same.
func Start(o Options) (p *Process, unbounded, err error) {
	exe := o.Executable
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	p = &Process{name: o.Name, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), o.Env)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = childAttributes()
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	p.cmd.ExtraFiles = []*os.File{w}
	p.pipe, p.out = r, bufio.NewReaderSize(r, 1<<16)
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, nil, fmt.Errorf("start the process of %s: %w", o.Name, err)
	}
	if o.MemoryBytes == 0 {
		return p, nil, nil
	}
	if p.group, unbounded = newMemoryGroup(o.Name, o.MemoryBytes); unbounded == nil {
		unbounded = p.group.add(p.cmd.Process.Pid)
	}
	return p, unbounded, nil
}

// Bound says by what the child's memory is bounded, "" if it is not.
func (p *Process) Bound() string {
	if p.group == nil {
		return ""
	}
	return p.group.how
}

// Pid is the child's process ID.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended reports whether the process cannot be used any more.
func (p *Process) Ended() bool { return p.dead != nil }

// Call sends a command and waits for the answer. An error is one of the process
// itself, which it ends, as a cancelled context does.
func (p *Process) Call(ctx context.Context, command, answer any) error {
	if p.dead != nil {
		return p.dead
	}
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a process that is gone shows at the read
	if _, err = p.in.Write(append(line, '\n')); err == nil {
		if line, err = p.out.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, answer)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		p.bury(err)
		return p.dead
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	return nil
}

// bury ends a process that did not answer, and keeps what is known of its end.
func (p *Process) bury(cause error) {
	_ = p.cmd.Process.Kill()
	ended := p.cmd.Wait()
	p.dead = cause
	if errors.Is(cause, io.EOF) {
		p.dead = fmt.Errorf("the engine's process ended: %w%s", orUnknown(ended), p.log.last())
	}
	p.leave()
}

func orUnknown(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	if p.dead != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	p.dead = errors.New("the process was killed")
	p.leave()
}

// End ends a process that has nothing to do any more.
func (p *Process) End() {
	if p.dead != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.in.Close()
	_ = p.cmd.Wait()
	p.dead = errors.New("the process has ended")
	p.leave()
}

func (p *Process) leave() {
	_ = p.pipe.Close()
	if p.group != nil {
		_ = p.group.remove() // an empty group left behind bounds nobody
	}
}

// logTail keeps the last of what a child writes to its standard output and
// error, to be shown if it dies.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

const logTailBytes = 4 << 10

func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - logTailBytes; extra > 0 {
		l.text = append(l.text[:0], l.text[extra:]...)
	}
	return len(p), nil
}

// last returns the last lines, each after a newline.
func (l *logTail) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.text)), "\n")
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	return "\n\t" + strings.Join(lines[max(0, len(lines)-8):], "\n\t")
}

// answerFD is where the child writes its answers, the first of ExtraFiles: what an
// engine prints to the standard ones is its log.
const answerFD = 3

// Serve is the child's end: it answers each command, and ends the process with the
// parent, or behind an answer that is the last.
func Serve(serve func(command []byte) (answer any, last bool)) {
	in := bufio.NewReaderSize(os.Stdin, 1<<16)
	out := json.NewEncoder(os.NewFile(answerFD, "answers"))
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			os.Exit(0) // the parent is gone
		}
		a, last := serve(line)
		if err := out.Encode(a); err != nil {
			fmt.Fprintln(os.Stderr, "the answer cannot be sent:", err) // a figure that is not a number, or the parent is gone
			os.Exit(1)
		}
		if last {
			os.Exit(0)
		}
	}
}
