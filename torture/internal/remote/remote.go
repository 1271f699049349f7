// Package remote runs a mode of torture in a program of its own, which tells on
// its standard output how far it is and what it found: one JSON object a line.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/orbit-persistence/orbit/torture/target"
)

// message is a line: progress, or the end.
type message struct {
	Done, Of int64
	What     string
	Result   *target.Result `json:",omitempty"`
	// Error is the harness's own, beside a Result.
	Error string `json:",omitempty"`
}

// Serve runs a mode in the program that Run started, and tells of it on w. The
// error is that of w; the mode's own goes to Run.
func Serve(ctx context.Context, w io.Writer, m target.Mode, r target.Run) error {
	lines := json.NewEncoder(w)
	var failed error
	r.Progress = func(done, of int64, what string) {
		if failed == nil {
			failed = lines.Encode(message{Done: done, Of: of, What: what})
		}
	}
	result, err := m(ctx, r)
	last := message{Result: &result}
	if err != nil {
		last.Error = err.Error()
	}
	return errors.Join(failed, lines.Encode(last))
}

// Run starts a program that calls Serve, hands on what it tells of its progress,
// and returns what its mode returned. When the context of cmd ends, the program
// is interrupted, and killed if it does not end within ten seconds.
func Run(cmd *exec.Cmd, progress func(done, of int64, what string)) (target.Result, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return target.Result{}, err
	}
	if err := cmd.Start(); err != nil {
		return target.Result{}, err
	}
	var result *target.Result
	var failed error
	lines := json.NewDecoder(out)
	for {
		var m message
		err := lines.Decode(&m)
		if err == io.EOF {
			break
		}
		if err != nil {
			// What it still writes is read, so that it ends.
			_, copied := io.Copy(io.Discard, out)
			failed = errors.Join(fmt.Errorf("what it writes is not for this program: %w", err), copied)
			break
		}
		if m.Result == nil {
			progress(m.Done, m.Of, m.What)
			continue
		}
		result = m.Result
		if m.Error != "" {
			failed = errors.New(m.Error)
		}
	}
	err = cmd.Wait()
	if result == nil || err != nil || failed != nil {
		if result == nil {
			result = &target.Result{}
			err = errors.Join(err, errors.New("it ended without a result"))
		}
		return *result, fmt.Errorf("%s: %w%s", cmd.Path, errors.Join(failed, err), said(stderr.String()))
	}
	return *result, nil
}

func said(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "; it said:\n" + text
}
