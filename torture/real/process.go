package real

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/torture/internal/workers"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// process is the parent's end of a child. It belongs to one goroutine.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	pipe    *os.File // what out reads
	log     logTail
	stopped bool
	// unread is what the child answered before it was killed and nobody received.
	unread []byte
}

// start starts a child for an engine, which notes what it does in the ledger.
func start(e target.Engine, l *ledger) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), childEnv+"="+e.Name)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = childAttributes()
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.ExtraFiles = []*os.File{w, l.file}
	p.pipe, p.out = r, bufio.NewReaderSize(r, 1<<16)
	err = p.cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("start a process of %s: %w", e.Name, errors.Join(err, r.Close()))
	}
	return p, nil
}

// call sends a command and waits for the answer.
func (p *process) call(ctx context.Context, cmd command) (answer, error) {
	if err := p.send(cmd); err != nil {
		return answer{}, err
	}
	return p.receive(ctx)
}

// send sends a command.
func (p *process) send(cmd command) error {
	line, err := json.Marshal(cmd)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return p.ended(err)
	}
	return nil
}

// receive waits for an answer. Its error is the failure of the child's answer, a
// *workload.Violation if there is none since the process ended or hangs, or that
// of the context. In the last two cases the process is ended.
func (p *process) receive(ctx context.Context) (answer, error) {
	if err := p.pipe.SetReadDeadline(time.Now().Add(workers.Patience)); err != nil {
		return answer{}, err
	}
	unblock := context.AfterFunc(ctx, func() {
		_ = p.pipe.SetReadDeadline(time.Unix(0, 0)) // fails only if it is closed
	})
	defer unblock()
	line, err := p.out.ReadBytes('\n')
	switch {
	case ctx.Err() != nil:
		p.kill()
		return answer{}, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.kill()
		return answer{}, &workload.Violation{Fault: workload.Hung, Text: fmt.Sprintf("no answer within %v", workers.Patience)}
	case err != nil:
		return answer{}, p.ended(err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("the answer of a child: %w", err)
	}
	if a.Failed != nil {
		return a, a.Failed
	}
	return a, nil
}

// works reports whether the child is still at work on a command after that time:
// whether it has neither answered nor ended.
func (p *process) works(wait time.Duration) bool {
	if p.pipe.SetReadDeadline(time.Now().Add(wait)) != nil {
		return false
	}
	_, err := p.out.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// gone is the fault of a process that ended although nobody ended it.
const gone workload.Fault = "the process exited"

// exited reports whether an error is that of a process that ended by itself.
func exited(err error) bool {
	for v := (*workload.Violation)(nil); errors.As(err, &v); err = v.Err {
		if v.Fault == gone {
			return true
		}
	}
	return false
}

// ended makes the violation of a process that has ended by itself.
func (p *process) ended(cause error) error {
	p.kill()
	if p.cmd.ProcessState == nil {
		return cause
	}
	return &workload.Violation{Fault: gone, Text: howEnded(p.cmd.ProcessState) + p.log.last()}
}

// kill ends the process as a crash would. It is gone when kill returns. A second
// call does nothing.
func (p *process) kill() {
	if p == nil || p.stopped {
		return
	}
	p.stopped = true
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.in.Close()
	_ = p.cmd.Wait()
	if p.pipe.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		p.unread, _ = io.ReadAll(p.out) // its end is that of the process
	}
	_ = p.pipe.Close()
}

// errs returns the errors that stopped writers, as far as the child still told
// them before it was killed.
func (p *process) errs() []*failure {
	var a answer
	if json.Unmarshal(p.unread, &a) != nil {
		return nil // it was killed at work
	}
	all := slices.DeleteFunc(a.Writers, func(f *failure) bool { return f == nil })
	if a.Failed != nil {
		all = append(all, a.Failed)
	}
	return all
}

// byItself reports whether the process ended before it was killed.
func (p *process) byItself() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && !(status.Signaled() && status.Signal() == syscall.SIGKILL)
}

// logTail keeps the last of what a child writes to its standard output and error,
// to be shown if it ends.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

const logTailBytes = 64 << 10

// Write implements io.Writer.
func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - logTailBytes; extra > 0 {
		l.text = append(l.text[:0], l.text[extra:]...)
	}
	return len(p), nil
}

// headlines begin what says why a process ends: of Go's runtime, of C's assert, and
// of libraries that abort.
var headlines = []string{"panic:", "fatal error:", "unexpected fault", "Assertion", "terminate called", "SIG"}

// last returns the lines that say why the process ended, or else the last ones,
// each after a newline.
func (l *logTail) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.text))
	if text == "" {
		return ""
	}
	const most = 4
	lines := strings.Split(text, "\n")
	from := slices.IndexFunc(lines, func(line string) bool {
		return slices.ContainsFunc(headlines, func(h string) bool { return strings.Contains(line, h) })
	})
	if from < 0 {
		from = max(0, len(lines)-most)
	}
	return "\n\t" + strings.Join(lines[from:min(from+most, len(lines))], "\n\t")
}

// howEnded says how a process ended.
func howEnded(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return "the process was ended by " + status.Signal().String()
	}
	return "the process ended: " + state.String()
}
