package torture

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress tells a person what goes on: a line for each task when it is done, and
// how far the one under way is: on a terminal below it, elsewhere as a line a
// minute.
type progress struct {
	w        io.Writer
	terminal bool
	width    int
	tasks    int

	mu           sync.Mutex // modes report from many goroutines
	at           int
	mode, engine string
	started      time.Time
	shown        time.Time
}

func newProgress(w *os.File) *progress {
	p := &progress{w: w}
	if width, _, err := term.GetSize(int(w.Fd())); err == nil {
		p.terminal, p.width = true, width
	}
	return p
}

// clear removes the line of the task under way.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// begin says what runs next.
func (p *progress) begin(mode, engine string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at++
	p.mode, p.engine, p.started, p.shown = mode, engine, time.Now(), time.Now()
	if p.terminal {
		p.show("")
	}
}

// step is target.Run.Progress. A terminal is written to ten times a second at
// most.
func (p *progress) step(done, of int64, what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := time.Minute
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if time.Since(p.shown) < pause {
		return
	}
	if of <= 0 {
		p.show(fmt.Sprintf("%s %s", grouped(done), what))
		return
	}
	left := ""
	if past := time.Since(p.started); past > time.Second && done > 0 && done < of {
		left = fmt.Sprintf(", about %s left", time.Duration(float64(past)/float64(done)*float64(of-done)).Round(time.Second))
	}
	p.show(fmt.Sprintf("%d %% of %s %s%s", 100*done/of, grouped(of), what, left))
}

// show writes the line of the task under way. Under mu.
func (p *progress) show(how string) {
	p.shown = time.Now()
	text := fmt.Sprintf("  %d/%d  %s  [%s]  %s", p.at, p.tasks, p.mode, p.engine, how)
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	if len(text) >= p.width {
		text = text[:max(0, p.width-1)]
	}
	p.clear()
	fmt.Fprint(p.w, text)
}

// end writes the line of a task that is done.
func (p *progress) end(o outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, "  %*d/%d  %-9s %-9s %8s  %s", len(strconv.Itoa(p.tasks)), p.at, p.tasks, o.Mode, o.Engine, short(o.Elapsed), o.verdict())
	if o.Error != "" {
		fmt.Fprintf(p.w, ": %s", o.Error)
	}
	fmt.Fprintln(p.w)
}
