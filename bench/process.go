package bench

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

// process is the parent's end of a child. It stands still (SIGSTOP) except
// while it answers a command, so that its background work is never measured as
// another engine's.
type process struct {
	engine string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	pipe   *os.File // what out reads
	log    logTail
	group  *memoryGroup
	// dead is why the process cannot be used any more.
	dead error
}

// startProcess starts a child for an engine. limit is its memory; why it could
// not be bounded is returned beside a child that runs all the same.
func startProcess(e Engine, limit uint64) (p *process, unbounded, err error) {
	exe := e.Executable
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return nil, nil, err
		}
	}
	p = &process{engine: e.Name, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), childEnv+"="+childName(e))
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
		return nil, nil, fmt.Errorf("start the process of %s: %w", e.Name, err)
	}
	if p.group, unbounded = newMemoryGroup(e.Name, limit); unbounded == nil {
		unbounded = p.group.add(p.cmd.Process.Pid)
	}
	return p, unbounded, nil
}

// childName is the engine's name in the build that runs it.
func childName(e Engine) string {
	if e.ChildName != "" {
		return e.ChildName
	}
	return e.Name
}

// call sends a command and waits for the answer. An error in the answer leaves
// the process usable; one of the process itself, and a cancelled context, end it.
func (p *process) call(ctx context.Context, cmd command) (answer, error) {
	if p.dead != nil {
		return answer{}, p.dead
	}
	line, err := json.Marshal(cmd)
	if err != nil {
		return answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { p.cmd.Process.Kill() })
	defer stop()
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a process that is gone shows at the read
	var a answer
	if _, err = p.in.Write(append(line, '\n')); err == nil {
		if line, err = p.out.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(line, &a)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		p.bury(err)
		return answer{}, p.dead
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// bury ends a process that did not answer, and keeps what is known of its end.
func (p *process) bury(cause error) {
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

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.dead != nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	p.dead = errors.New("the process was killed")
	p.leave()
}

// end closes the store and ends the process.
func (p *process) end(ctx context.Context) error {
	if p.dead != nil {
		return nil
	}
	_, err := p.call(ctx, command{Close: true})
	if p.dead == nil {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.in.Close()
		_ = p.cmd.Wait()
		p.dead = errors.New("the process has ended")
		p.leave()
	}
	return err
}

func (p *process) leave() {
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
