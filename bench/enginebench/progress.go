package enginebench

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress tells a person what is being measured: on a terminal in one line whose
// clock goes on, else in a line for each step.
type progress struct {
	w        io.Writer
	terminal bool
	started  time.Time
	prefix   string // the round

	mu   sync.Mutex
	what string
	stop chan struct{}
	done chan struct{}
}

func newProgress(w io.Writer, terminal bool) *progress {
	p := &progress{w: w, terminal: terminal, started: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	go p.tick()
	return p
}

func (p *progress) tick() {
	defer close(p.done)
	if !p.terminal {
		<-p.stop
		return
	}
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// tell says what is measured next.
func (p *progress) tell(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = p.prefix + fmt.Sprintf(format, args...)
	p.draw()
}

func (p *progress) draw() {
	begin, end := "", "\n"
	if p.terminal {
		begin, end = "\r\x1b[K", ""
	}
	if p.what != "" {
		fmt.Fprintf(p.w, "%s  %6s  %s%s", begin, time.Since(p.started).Round(time.Second), p.what, end)
	}
}

// clear leaves the line to others, until something is told again.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.what = ""; p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// close ends the clock.
func (p *progress) close() {
	p.clear()
	close(p.stop)
	<-p.done
}
