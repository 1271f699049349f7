package logbench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/orbit-persistence/orbit/bench"
	"github.com/orbit-persistence/orbit/internal/loopfs"
)

// Command measures the log and writes the tables.
type Command struct {
	Rounds int           `default:"3" help:"Rounds; each figure is their median."`
	Window time.Duration `default:"1s" help:"How long each closed loop is measured."`
	Dir    string        `type:"existingdir" default:"." help:"A directory on the device to measure."`
	Mirror []string      `type:"existingdir" help:"Two directories on devices of their own, for the mirror; by default two loop devices are made, which takes root."`
	Out    string        `type:"path" help:"Directory for log.md and log.json; nothing is written without it."`
}

// Run measures until it is done or interrupted.
func (c *Command) Run() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp(c.Dir, "orbit-log-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &run{dir: dir, mirrors: c.Mirror, window: c.Window}
	r.Commit, r.Rounds, r.Started = bench.Commit, c.Rounds, time.Now().UTC().Format(time.RFC3339)
	r.Machine = fmt.Sprintf("%s, %s/%s, %d cores, GOMAXPROCS %d", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0))
	for _, s := range stores {
		if s.missing != "" {
			r.LeftOut = append(r.LeftOut, s.name+": "+s.missing)
		}
	}
	if len(c.Mirror) == 0 {
		undo, err := r.loopDevices(ctx)
		defer func() { undo() }()
		if err != nil {
			r.leaveOut("mirror: " + err.Error() + "; or name two directories with --mirror")
		}
	}
	start := time.Now()
	for n := range c.Rounds {
		r.tell = func(what string) {
			fmt.Fprintf(os.Stderr, "\r\x1b[K  %4s  round %d of %d: %s", time.Since(start).Round(time.Second), n+1, c.Rounds, what)
		}
		if err := r.round(ctx); err != nil {
			fmt.Fprintln(os.Stderr)
			return err
		}
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	slices.Sort(r.rates)
	r.FlushesPerSecond = r.rates[len(r.rates)/2]
	var text bytes.Buffer
	r.Result.Write(&text)
	if _, err := os.Stdout.Write(text.Bytes()); err != nil || c.Out == "" {
		return err
	}
	data, err := json.MarshalIndent(r.Result, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Out, "log.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.Out, "log.md"), text.Bytes(), 0o644)
}

// loopDevices makes two file systems on loop devices for the mirror; undo ends
// them, also after an error.
func (r *run) loopDevices(ctx context.Context) (undo func(), err error) {
	var disks []*loopfs.Disk
	undo = func() {
		for _, d := range disks {
			if err := d.Close(false); err != nil {
				fmt.Fprintf(os.Stderr, "orbit-cli: %v\n", err)
			}
		}
	}
	kind := loopfs.Kinds[0]
	kind.Bytes = 512 << 20
	if why := kind.Missing(); why != "" {
		return undo, errors.New(why)
	}
	var paths []string
	for range 2 {
		d, err := loopfs.New(ctx, r.dir, kind)
		if err != nil {
			return undo, err
		}
		disks = append(disks, d)
		if err := d.Mount(); err != nil {
			return undo, err
		}
		paths = append(paths, d.Path())
	}
	r.mirrors = paths
	return undo, nil
}

// Write prints the result as Markdown tables: a row for each case, a column for
// each figure, with the goal behind it and a cross where it was missed.
func (r *Result) Write(w io.Writer) {
	fmt.Fprintf(w, "# The log\n\n")
	fmt.Fprintf(w, "Commit %s, %s; %s. Records of %d bytes. R, the device's own rate of durable 4 KiB overwrites, was %.0f a second (%.0f µs each) in the median.\n", r.Commit, r.Started, r.Machine, RecordBytes, r.FlushesPerSecond, 1e6/r.FlushesPerSecond)
	fmt.Fprintf(w, "Each figure is the median of %d rounds, in brackets its range; behind it stands the goal, if there was one, and ✗ where it was missed.\n", r.Rounds)
	type column struct{ store, unit string }
	var groups []string
	for _, f := range r.Figures {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	for _, group := range groups {
		var columns []column
		var rows []string
		cells := map[string]map[column]*Figure{}
		for _, f := range r.Figures {
			if f.Group != group {
				continue
			}
			c := column{f.Store, f.Unit}
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
			if cells[f.Case] == nil {
				cells[f.Case] = map[column]*Figure{}
				rows = append(rows, f.Case)
			}
			cells[f.Case][c] = f
		}
		fmt.Fprintf(w, "\n## %s\n\n| |", group)
		for _, c := range columns {
			fmt.Fprintf(w, " %s, %s |", c.store, c.unit)
		}
		fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("--:|", len(columns)))
		for _, row := range rows {
			fmt.Fprintf(w, "| %s |", row)
			for _, c := range columns {
				fmt.Fprintf(w, " %s |", cells[row][c].cell())
			}
			fmt.Fprintln(w)
		}
	}
	for _, what := range r.LeftOut {
		fmt.Fprintf(w, "\nLEFT OUT: %s\n", what)
	}
}

// cell returns a figure as it stands in a table.
func (f *Figure) cell() string {
	if f == nil {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(f.Rounds), cmp.Compare[float64])
	text := fmt.Sprintf("%s (%s to %s)", short(f.Median), short(sorted[0]), short(sorted[len(sorted)-1]))
	if f.Goal == 0 {
		return text
	}
	relation := "≥"
	if f.Less {
		relation = "≤"
	}
	text += fmt.Sprintf(", %s %s", relation, short(f.Goal))
	if !f.Met() {
		text += " ✗"
	}
	return text
}

// short returns three digits that count.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
