package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs/simdisk"
	"github.com/orbit-persistence/orbit/torture/target"
	"github.com/orbit-persistence/orbit/torture/workload"
)

// Scheme is what the replay strings of this mode begin with.
const Scheme = "crash"

// letters stand for the fates in a replay string.
const letters = "LKlrg"

// format writes "crash.SEED.CUTS.WORKLOAD": the seed in hexadecimal, the cuts as
// "EVENT-FATES" joined by commas, and the text of the workload, deflated and in
// base 64.
func format(seed uint64, path []cut, w workload.Workload) string {
	var parts []string
	for _, c := range path {
		fates := make([]byte, len(c.fates))
		for i, f := range c.fates {
			fates[i] = letters[f]
		}
		parts = append(parts, fmt.Sprintf("%d-%s", c.event, fates))
	}
	return fmt.Sprintf("%s.%x.%s.%s", Scheme, seed, strings.Join(parts, ","), w.Pack())
}

// parse reads what format wrote.
func parse(s string) (seed uint64, path []cut, w workload.Workload, err error) {
	bad := func(why any) (uint64, []cut, workload.Workload, error) {
		return 0, nil, nil, fmt.Errorf("%w: replay string %q: %v", engine.ErrInvalid, s, why)
	}
	parts := strings.Split(s, ".")
	if len(parts) != 4 || parts[0] != Scheme {
		return bad("want " + Scheme + ".SEED.CUTS.WORKLOAD")
	}
	if seed, err = strconv.ParseUint(parts[1], 16, 64); err != nil {
		return bad(err)
	}
	for _, part := range strings.Split(parts[2], ",") {
		if part == "" {
			continue
		}
		event, fates, _ := strings.Cut(part, "-")
		var c cut
		if c.event, err = strconv.Atoi(event); err != nil {
			return bad(err)
		}
		for _, letter := range fates {
			f := strings.IndexRune(letters, letter)
			if f < 0 {
				return bad(fmt.Sprintf("no fate %q", letter))
			}
			c.fates = append(c.fates, simdisk.Fate(f))
		}
		path = append(path, c)
	}
	w, err = workload.Unpack(parts[3])
	return seed, path, w, err
}

// Replay does again what the Command of a failure says, and returns the failure
// that it meets; a zero one if the engine keeps its promises.
func Replay(ctx context.Context, e target.Engine, replay string) (target.Failure, error) {
	seed, path, w, err := parse(replay)
	if err != nil {
		return target.Failure{}, err
	}
	if err := able(e); err != nil {
		return target.Failure{}, err
	}
	s := store{engine: e}
	if s.traits, err = traits(e); err != nil {
		return target.Failure{}, err
	}
	failed, trace, err := s.replay(ctx, w, seed, path)
	if err != nil || failed == nil {
		return target.Failure{}, err
	}
	return s.report(failed, trace, w, seed, path), nil
}

// report makes the failure of a mode.
func (s store) report(failed error, trace string, w workload.Workload, seed uint64, path []cut) target.Failure {
	var v *workload.Violation
	if errors.As(failed, &v) && v.Stack != "" {
		trace += "-- the panic\n" + v.Stack
	}
	return target.Failure{
		What:     failed.Error(),
		Seed:     seed,
		Workload: w.String(),
		Command:  fmt.Sprintf("orbit-cli torture --modes crash --engines %s --replay %s", s.engine.Name, format(seed, path, w)),
		Trace:    trace,
	}
}

// replay makes the cuts of path, one in the recovery from the other, and returns
// the first violation, and as text what reached the disks up to it. err is the
// harness's own.
func (s store) replay(ctx context.Context, w workload.Workload, seed uint64, path []cut) (failed error, trace string, err error) {
	var text strings.Builder
	r, history, failed := record(ctx, s.engine, w, seed)
	if r == nil {
		return nil, "", failed
	}
	s.history = history
	if failed != nil {
		return failed, traceOf(r.disk, -1), nil
	}
	level := seed
	for depth, c := range path {
		walk := r.disk.Walk()
		for walk.Next() && walk.Event().Index < c.event {
		}
		if r.disk.Events() <= c.event || len(walk.Pending()) != len(c.fates) {
			return nil, "", fmt.Errorf("%w: replay string: no cut with %d units after event %d; is this the engine and commit it is from?", engine.ErrInvalid, len(c.fates), c.event)
		}
		text.WriteString(traceOf(r.disk, c.event))
		fmt.Fprintf(&text, "-- the power is cut; what was pending:\n")
		for i, u := range walk.Pending() {
			fmt.Fprintf(&text, "   of event %d: %v %s [%d,+%d): %v\n", u.Event, u.Kind, u.Path, u.Offset, u.Length, c.fates[i])
		}
		m := r.at(c.event, walk)
		accept := m.accept
		if allKept(c.fates) {
			accept = both(accept, m.kept)
		}
		level = c.seed(level)
		one := recovery{store: s, image: walk.Crash(c.fates, level), accept: accept, copies: m.copies, depth: depth + 1, seed: level}
		if _, r, failed = one.run(ctx); failed != nil {
			text.WriteString("-- the recovery that failed:\n" + traceOf(r.disk, -1))
			return failed, text.String(), nil
		}
	}
	return nil, text.String(), nil
}

// traceOf returns the trace of a disk up to an event, all of it if that is -1.
func traceOf(d *simdisk.Disk, event int) string {
	var b strings.Builder
	// A strings.Builder takes everything.
	_ = d.WriteTrace(&b)
	if event < 0 {
		return b.String()
	}
	lines := slices.Collect(strings.Lines(b.String()))
	return strings.Join(lines[:min(event+1, len(lines))], "")
}
