package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/bench/result"
	"golang.org/x/term"
)

// progress tells a person what goes on: a line for each row when it is done,
// and on a terminal, below it, what is being measured now and how long the rest
// will take.
type progress struct {
	w        io.Writer
	terminal bool
	width    int
	started  time.Time
	// steps counts the measurements to come and done, for the time left.
	steps, at int
	row       strings.Builder
	// errors are those of the row under way, said those that were shown before.
	errors []string
	said   map[string]bool
}

func newProgress(w *os.File, steps int) *progress {
	p := &progress{w: w, started: time.Now(), steps: steps, said: map[string]bool{}}
	if width, _, err := term.GetSize(int(w.Fd())); err == nil {
		p.terminal, p.width = true, width
	}
	return p
}

func (p *progress) say(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func (p *progress) section(info result.DataInfo) {
	p.say("\n%s: %d records, key %.0f B, value %.0f B — %s", info.Name, info.Records, info.KeyBytes, info.ValueBytes, info.Source)
}

// begin says what is measured next.
func (p *progress) begin(what, engine string) {
	p.at++
	if !p.terminal {
		return
	}
	left := ""
	if done := time.Since(p.started); p.at > 5 && p.steps > p.at {
		rest := time.Duration(float64(done) / float64(p.at) * float64(p.steps-p.at))
		left = fmt.Sprintf(", about %s left", rest.Round(time.Second))
	}
	text := fmt.Sprintf("  %3d %%  %s  [%s]%s", min(99, 100*p.at/max(p.steps, 1)), what, engine, left)
	if len(text) >= p.width {
		text = text[:max(0, p.width-1)]
	}
	p.clear()
	fmt.Fprint(p.w, text)
}

// done notes an engine's figure for the row under way.
func (p *progress) done(engine string, rate float64) {
	fmt.Fprintf(&p.row, "  %s %s/s", engine, count(rate))
}

// took notes an engine's time, where a rate says nothing.
func (p *progress) took(engine string, ns float64) {
	fmt.Fprintf(&p.row, "  %s %.3g ms", engine, ns/1e6)
}

func (p *progress) failed(engine string, err error) {
	fmt.Fprintf(&p.row, "  %s FAILED", engine)
	if text := fmt.Sprintf("%s: %v", engine, err); !p.said[text] {
		p.errors = append(p.errors, text)
		p.said[text] = true
	}
}

// line ends a row.
func (p *progress) line(label string) {
	if p.row.Len() == 0 {
		return
	}
	p.say("  %-42s%s", label, p.row.String())
	p.row.Reset()
	for _, e := range p.errors {
		p.say("    %s", e)
	}
	p.errors = nil
}

// count writes a number with three digits: 1.24M, 310k, 17.2.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.3gM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.3gk", n/1e3)
	}
	return fmt.Sprintf("%.3g", n)
}
