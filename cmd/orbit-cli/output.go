package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/orbit-persistence/orbit/providers/config"
	"github.com/orbit-persistence/orbit/providers/migrate"
	"golang.org/x/term"
)

// engineDefaultSync is how often a memory provider that a command opens writes its
// backup; closing it does so anyway.
const engineDefaultSync = 300 * time.Second

// run runs what a command does, with a context that signals end, and prints its result:
// as JSON, or by text. advice is added to what a signal has stopped.
func (f *outputFlags) run(ctx context.Context, advice string, do func(ctx context.Context) (result any, err error), text func(w io.Writer)) error {
	ctx, stop := interruptible(ctx)
	result, err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("%w: %w", cause, err)
		if advice != "" {
			err = fmt.Errorf("%w; %s", err, advice)
		}
	}
	stop()
	err = oneLine(err)
	switch {
	case err != nil && f.JSON:
		return errors.Join(err, writeJSON(os.Stdout, failure(err)))
	case err != nil:
		return err
	case f.JSON:
		return writeJSON(os.Stdout, result)
	}
	text(os.Stdout)
	return nil
}

// failure is what --json prints of an error, in every command: its mistakes, if it is a
// configuration's.
func failure(err error) map[string]any {
	errs := config.Errors(err)
	if len(errs) == 0 || len(errs) == 1 && errs[0].Error() != err.Error() { // where it says more than its cause
		errs = []*config.Error{{Problem: err.Error()}}
	}
	return map[string]any{"errors": errs}
}

// line returns what prints how far a command has come, a few times in a second at most,
// and what ends that for ""; it prints nothing if nobody looks.
func (f *outputFlags) line() func(text string) {
	rewrite := !f.Progress
	if rewrite && !term.IsTerminal(int(os.Stderr.Fd())) {
		return func(string) {}
	}
	var last time.Time
	return func(text string) {
		switch now := time.Now(); {
		case text == "" && rewrite:
			fmt.Fprint(os.Stderr, "\r\x1b[K")
		case text == "" || now.Sub(last) < time.Second/4:
		case rewrite:
			last = now
			fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text)
		default:
			last = now
			fmt.Fprintln(os.Stderr, text)
		}
	}
}

// reporter returns what prints progress, and what ends its line; nil if nobody looks.
func (f *outputFlags) reporter() (func(migrate.Progress), func()) {
	terminal := term.IsTerminal(int(os.Stderr.Fd()))
	if !terminal && !f.Progress {
		return nil, func() {}
	}
	start, last, phase := time.Now(), time.Time{}, ""
	report := func(p migrate.Progress) {
		now := time.Now()
		if p.Phase != phase {
			phase, start, last = p.Phase, now, time.Time{}
		}
		if now.Sub(last) < time.Second/4 {
			return
		}
		last = now
		line := fmt.Sprintf("%s: %s entries, %s", p.Phase, grouped(p.Entries), inBytes(p.Bytes))
		if p.Pass > 1 {
			line = fmt.Sprintf("pass %d, ", p.Pass) + line
		}
		if took := now.Sub(start).Seconds(); took > 1 {
			line += fmt.Sprintf(", %s/s", grouped(int64(float64(p.Entries)/took)))
		}
		if p.Changed > 0 && p.Phase != "copy" {
			line += fmt.Sprintf(", %s changed", grouped(p.Changed))
		}
		if terminal && !f.Progress {
			fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
		} else {
			fmt.Fprintln(os.Stderr, line)
		}
	}
	return report, func() {
		if terminal && !f.Progress {
			fmt.Fprint(os.Stderr, "\r\x1b[K")
		}
	}
}

// grouped writes a number with a comma before each three digits.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// inBytes writes a number of bytes in the largest unit of which there is at least one.
func inBytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	x := float64(n)
	for len(units) > 1 && x >= 1024 {
		x, units = x/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[0])
}

// printTally says what there is.
func printTally(w io.Writer, t *migrate.Tally) {
	fmt.Fprintf(w, "%s entries, %s", grouped(t.Entries), inBytes(t.Bytes))
	if t.Leases+t.Nodes > 0 {
		fmt.Fprintf(w, "; %s leases, %s nodes", grouped(t.Leases), grouped(t.Nodes))
	}
	if t.Expiring > 0 {
		fmt.Fprintf(w, "; %s expire", grouped(t.Expiring))
	}
	fmt.Fprintf(w, "\ndigest %s\n", t.Digest)
}
