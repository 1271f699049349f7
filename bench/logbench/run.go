package logbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Figure is one figure of the result, over all rounds.
type Figure struct {
	// Group is the table it stands in, Store the column, Case the row.
	Group string `json:"group"`
	Case  string `json:"case"`
	Store string `json:"store"`
	Unit  string `json:"unit"`
	// Median is that of Rounds; Goal is what was aimed at, 0 if nothing was.
	// Less: the goal is an upper bound.
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
	Goal   float64   `json:"goal,omitempty"`
	Less   bool      `json:"less,omitempty"`
}

// Met reports whether the goal was reached, or there was none.
func (f *Figure) Met() bool {
	return f.Goal == 0 || f.Less && f.Median <= f.Goal || !f.Less && f.Median >= f.Goal
}

// Result is what a run measured.
type Result struct {
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	Started string `json:"started"`
	Rounds  int    `json:"rounds"`
	// FlushesPerSecond is R, the median of all that was measured.
	FlushesPerSecond float64   `json:"flushes_per_second"`
	Figures          []*Figure `json:"figures"`
	// LeftOut names what could not be measured, and why.
	LeftOut []string `json:"left_out,omitempty"`
}

// run is a run under way.
type run struct {
	Result
	dir     string
	mirrors []string
	window  time.Duration
	tell    func(string)
	rates   []float64
}

func (r *run) figure(group, row, store, unit string, value float64) *Figure {
	i := slices.IndexFunc(r.Figures, func(f *Figure) bool { return f.Group == group && f.Case == row && f.Store == store && f.Unit == unit })
	if i < 0 {
		r.Figures = append(r.Figures, &Figure{Group: group, Case: row, Store: store, Unit: unit})
		i = len(r.Figures) - 1
	}
	f := r.Figures[i]
	f.Rounds = append(f.Rounds, value)
	sorted := slices.Sorted(slices.Values(f.Rounds))
	f.Median = sorted[len(sorted)/2]
	return f
}

// goals of the log, in R by writers.
var goals = map[int]float64{1: 0.95, 16: 14, 64: 48, 256: 100}

func (r *run) round(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.flushed, r.thinking, r.busy, r.buffered, r.replay, r.mirrored} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// besideRate runs f between two measurements of R, and returns their mean.
func (r *run) besideRate(f func() error) (float64, error) {
	before, err := FlushRate(r.dir)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := FlushRate(r.dir)
	r.rates = append(r.rates, before, after)
	return (before + after) / 2, err
}

const (
	groupFlushed  = "Flushed commits, closed loop"
	groupThink    = "Flushed commits with think times"
	groupBusy     = "Flushed commits, both cores busy with something else"
	groupBuffered = "Buffered commits"
	groupReplay   = "Replay"
	groupMirror   = "Mirrored on two devices"
)

func (r *run) flushed(ctx context.Context) error {
	for _, writers := range []int{1, 4, 16, 64, 256} {
		row := fmt.Sprintf("%d writers", writers)
		perR := map[string]float64{}
		for _, s := range stores {
			if s.missing != "" {
				continue
			}
			r.tell(groupFlushed + ", " + row + ", " + s.name)
			var x sample
			rate, err := r.besideRate(func() error {
				return within(r.dir, s.open, func(s store) (err error) {
					if _, err = closedLoop(ctx, s, writers, engine.Flushed, 0, r.window/5); err != nil {
						return err
					}
					x, err = closedLoop(ctx, s, writers, engine.Flushed, 0, r.window)
					return err
				})
			})
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.name, row, err)
			}
			perR[s.name] = x.perSecond / rate
			f := r.figure(groupFlushed, row, s.name, "R", x.perSecond/rate)
			r.figure(groupFlushed, row, s.name, "commits/s", x.perSecond)
			p99 := r.figure(groupFlushed, row, s.name, "p99, flushes", x.p99.Seconds()*rate)
			if s.name != stores[0].name {
				continue
			}
			f.Goal = goals[writers]
			if writers <= 64 {
				p99.Goal, p99.Less = 2, true
			}
			r.figure(groupFlushed, row, s.name, "commits/flush", x.commitsPerFlush)
		}
		for _, s := range stores[1:] {
			if perR[s.name] == 0 {
				continue
			}
			f := r.figure(groupFlushed, row, "orbit log ÷ "+s.name, "×", perR[stores[0].name]/perR[s.name])
			if writers == 16 || writers == 64 {
				f.Goal = 3
			}
		}
	}
	return nil
}

func (r *run) thinking(ctx context.Context) error {
	for _, writers := range []int{16, 64} {
		for _, think := range []time.Duration{200 * time.Microsecond, time.Millisecond} {
			row := fmt.Sprintf("%d writers, %v", writers, think)
			for _, s := range stores {
				if s.missing != "" {
					continue
				}
				r.tell(groupThink + ", " + row + ", " + s.name)
				err := within(r.dir, s.open, func(st store) error {
					x, err := closedLoop(ctx, st, writers, engine.Flushed, think, r.window)
					if err == nil {
						r.figure(groupThink, row, s.name, "commits/s", x.perSecond)
					}
					return err
				})
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, row, err)
				}
			}
		}
	}
	return nil
}

// busy keeps every core busy with processes of their own.
func (r *run) busy(ctx context.Context) error {
	for _, writers := range []int{1, 16} {
		row := fmt.Sprintf("%d writers", writers)
		r.tell(groupBusy + ", " + row)
		err := within(r.dir, stores[0].open, func(s store) error {
			quiet, err := closedLoop(ctx, s, writers, engine.Flushed, 0, r.window)
			if err != nil {
				return err
			}
			var spinners []*exec.Cmd
			defer func() {
				for _, c := range spinners {
					_ = c.Process.Kill() // it can only have ended by itself
					_ = c.Wait()
				}
			}()
			for range runtime.NumCPU() {
				c := exec.CommandContext(ctx, "sh", "-c", "while :; do :; done")
				if err := c.Start(); err != nil {
					return err
				}
				spinners = append(spinners, c)
			}
			loaded, err := closedLoop(ctx, s, writers, engine.Flushed, 0, r.window)
			if err == nil {
				r.figure(groupBusy, row, "orbit log", "of the quiet rate", loaded.perSecond/quiet.perSecond)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("busy cores: %w", err)
		}
	}
	return nil
}

func (r *run) buffered(context.Context) error {
	for _, writers := range []int{1, 16} {
		row := fmt.Sprintf("%d writers", writers)
		r.tell(groupBuffered + ", " + row)
		err := within(r.dir, stores[0].open, func(s store) error {
			// The slots that are used again and again are made first.
			if _, err := bare(s, 1, 2_000_000, engine.Buffered); err != nil {
				return err
			}
			ns, err := bare(s, writers, 4_000_000, engine.Buffered)
			if err == nil {
				f := r.figure(groupBuffered, row, "orbit log", "ns", ns)
				f.Goal, f.Less = map[int]float64{1: 100, 16: 170}[writers], true
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("buffered: %w", err)
		}
	}
	return nil
}

// replayRecords fill several segments of the largest size.
const replayRecords = 3_000_000

func (r *run) replay(ctx context.Context) error {
	r.tell(groupReplay)
	dir, err := os.MkdirTemp(r.dir, "replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := wal.Open(ctx, wal.Options{Sinks: []string{dir}}, 0, nil)
	if err != nil {
		return err
	}
	for range replayRecords {
		if _, err := l.Append(ctx, payload, engine.Buffered); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if err := l.Close(); err != nil {
		return err
	}
	open := func() (time.Duration, error) {
		n := 0
		start := time.Now()
		l, err := wal.Open(ctx, wal.Options{Sinks: []string{dir}}, 0, func(wal.Record) error { n++; return nil })
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		if n != replayRecords {
			err = fmt.Errorf("%d records of %d", n, replayRecords)
		}
		return took, errors.Join(err, l.Close())
	}
	if _, err := open(); err != nil {
		return err
	}
	hot, err := open()
	if err != nil {
		return err
	}
	f := r.figure(groupReplay, "from the page cache", "orbit log", "million records/s", replayRecords/hot.Seconds()/1e6)
	f.Goal = 25
	if err := dropCaches(); err != nil {
		r.leaveOut("cold replay: " + err.Error())
		return nil
	}
	cold, err := open()
	if err != nil {
		return err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return err
	}
	var size int64
	var largest string
	var most int64
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		size += info.Size()
		if info.Size() > most {
			largest, most = name, info.Size()
		}
	}
	device, err := readRate(largest)
	if err != nil {
		return err
	}
	records := float64(replayRecords) * (RecordBytes + 8 + 2) // the last is padding to eight
	r.figure(groupReplay, "cold", "orbit log", "MB/s", records/cold.Seconds()/1e6)
	f = r.figure(groupReplay, "cold", "orbit log", "of the device", records/cold.Seconds()/device)
	f.Goal = 0.9
	return nil
}

func (r *run) leaveOut(what string) {
	if !slices.Contains(r.LeftOut, what) {
		r.LeftOut = append(r.LeftOut, what)
	}
}

func (r *run) mirrored(ctx context.Context) error {
	if len(r.mirrors) < 2 {
		r.leaveOut("mirror: name two directories on devices of their own with --mirror")
		return nil
	}
	for _, writers := range []int{1, 16} {
		row := fmt.Sprintf("%d writers", writers)
		r.tell(groupMirror + ", " + row)
		var p50 [2]float64
		for n := range 2 {
			var dirs []string
			for _, parent := range r.mirrors[:n+1] {
				dir, err := os.MkdirTemp(parent, "log-")
				if err != nil {
					return err
				}
				defer os.RemoveAll(dir)
				dirs = append(dirs, dir)
			}
			s, err := openLog(dirs...)
			if err != nil {
				return err
			}
			if _, err := closedLoop(ctx, s, writers, engine.Flushed, 0, r.window/5); err != nil {
				return errors.Join(err, s.close())
			}
			x, err := closedLoop(ctx, s, writers, engine.Flushed, 0, r.window)
			if err = errors.Join(err, s.close()); err != nil {
				return err
			}
			p50[n] = x.p50.Seconds() * 1e6
			r.figure(groupMirror, row, "orbit log", []string{"one sink, p50 µs", "two sinks, p50 µs"}[n], p50[n])
		}
		f := r.figure(groupMirror, row, "orbit log", "two ÷ one", p50[1]/p50[0])
		f.Goal, f.Less = 1.25, true
	}
	return nil
}

// dropCaches makes the kernel forget what it has read. It needs root.
func dropCaches() error {
	f, err := os.OpenFile("/proc/sys/vm/drop_caches", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("1\n")
	return errors.Join(err, f.Close())
}
