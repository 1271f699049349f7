package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// SinkState is what Survey finds out about a sink.
type SinkState struct {
	// Err is why the sink cannot be read.
	Err error
	// Current: it has the newest segment.
	Current bool
	// Counted: the newest segment says that it was in sync.
	Counted bool
	// Empty: there is no segment in it.
	Empty bool
}

// Survey tells which sinks of a log are up to date. It changes nothing. In a log that has
// not begun no sink is current.
func Survey(ctx context.Context, o Options) ([]SinkState, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("survey log: %w", err)
	}
	o.AllowMissing = true
	l := &Log{fs: o.FS, options: o}
	for _, dir := range o.Sinks {
		l.sinks = append(l.sinks, newSink(dir))
	}
	r := recovery{Log: l, ctx: ctx, readOnly: true, stale: make([]bool, len(l.sinks))}
	states := make([]SinkState, len(l.sinks))
	for i, k := range l.sinks {
		var slots map[int]foundSlot
		if slots, states[i].Err = r.lookAt(k.dir); errors.Is(states[i].Err, engine.ErrUnsupported) || ctx.Err() != nil {
			return nil, fmt.Errorf("survey log: %w", states[i].Err)
		}
		k.lost = states[i].Err
		r.found = append(r.found, slots)
	}
	newest, err := r.choose()
	if err != nil {
		return nil, fmt.Errorf("survey log: %w", err)
	}
	for i := range states {
		states[i].Empty = states[i].Err == nil
		for _, s := range r.found[i] {
			states[i].Empty = states[i].Empty && !s.used
		}
		states[i].Current = newest != nil && states[i].Err == nil && !r.stale[i]
		states[i].Counted = newest != nil && newest.has(i)
	}
	return states, nil
}

// RejoinOptions are how a sink is brought level.
type RejoinOptions struct {
	// Pace, unless nil, is called before so many bytes are copied, and waits as it likes.
	Pace func(ctx context.Context, bytes int) error
	// Progress, unless nil, is told how many bytes were copied of how many.
	Progress func(copied, total int64)
	// Ready, unless nil, is called before the sink counts: all but what was appended since
	// is in it. It is the last chance to put beside the log what the caller keeps there.
	Ready func() error
}

const (
	copyChunk = 1 << 20
	// pacedPasses is after how many passes over what was written meanwhile the rest is
	// copied as fast as it can be.
	pacedPasses = 4
)

// Rejoin brings a sink level that was lost, or replaced by an empty directory, while the
// log goes on; it then counts again. Appends wait only while what was appended last is
// copied. A sink of which a call still hangs is ErrInUse: what that call writes might
// land on what is copied. Nobody else may call Rejoin meanwhile.
func (l *Log) Rejoin(ctx context.Context, i int, o RejoinOptions) error {
	k := l.sinks[i]
	if err := l.rejoin(ctx, i, o); err != nil {
		return fmt.Errorf("rejoin sink %s: %w", k.dir, err)
	}
	return nil
}

func (l *Log) rejoin(ctx context.Context, i int, o RejoinOptions) error {
	k := l.sinks[i]
	l.mu.Lock()
	lost, id := k.lost, l.id
	err := l.usable(ctx)
	l.mu.Unlock()
	switch {
	case err != nil:
		return err
	case lost == nil:
		return fmt.Errorf("%w: it is in sync", engine.ErrInvalid)
	case k.calls.Load() > 0:
		return fmt.Errorf("%w: a call of it hangs", engine.ErrInUse)
	}
	k.listen()
	j := joiner{Log: l, ctx: ctx, o: o, i: i, dir: k.dir, copied: make(map[uint64]header)}
	found, marked := make(chan map[int]foundSlot, 1), make(chan uint64, 1)
	if err := l.timed(i, 5, func() error {
		r := recovery{Log: &Log{fs: l.fs}, ctx: ctx, readOnly: true}
		slots, err := r.lookAt(k.dir)
		found <- slots
		if err == nil {
			marked <- j.marked(slots)
		}
		return err
	}); err != nil {
		return err
	}
	j.has, j.durable = <-found, <-marked
	for _, s := range j.has {
		if s.used && s.header.id != id {
			return fmt.Errorf("%w: it has segment %s of log %x, and this is log %x; remove what does not belong", engine.ErrInvalid, segmentName(s.id), s.header.id, id)
		}
		// What a sink that had gone on alone says of its own records says nothing of these.
		if j.knows(s) {
			j.durable = max(j.durable, s.durable)
		}
	}
	for pass := 0; ; pass++ {
		if pass >= pacedPasses {
			j.o.Pace = nil
		}
		if err := l.Sync(); err != nil {
			return err
		}
		n, err := j.copyAll(false)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if o.Ready != nil {
		if err := o.Ready(); err != nil {
			return err
		}
	}
	return j.join()
}

// joiner is a sink that is brought level.
type joiner struct {
	*Log
	ctx     context.Context
	o       RejoinOptions
	i       int
	dir     string
	has     map[int]foundSlot
	durable uint64 // all records up to it are in the segments of the sink
	// copied are the segments that were copied, by number.
	copied map[uint64]header
	done   int64
}

// knows reports whether a slot of the sink has a segment of this log, and not of another one
// of the same name.
func (j *joiner) knows(s foundSlot) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	same := func(of *segment) bool { return of.header == s.header }
	retained := j.retained[s.number]
	return s.used && (retained != nil && same(retained) || slices.ContainsFunc(j.segments, same))
}

// marked returns up to which record all were flushed, as the marks in the newest segment of
// the sink say, if the log knows that segment. Heads, which are written when a segment is
// begun, may be as old as what was written since.
func (j *joiner) marked(slots map[int]foundSlot) uint64 {
	var newest foundSlot
	for _, s := range slots {
		if s.used && s.number >= newest.number {
			newest = s
		}
	}
	if !j.knows(newest) {
		return 0
	}
	src := newSource(filepath.Join(j.dir, segmentName(newest.id)), make([]byte, newest.bytes))
	src.fill(j.ctx, j.fs, 1)
	marks := newScanner(newest.header, 0)
	// Where it cannot be read, the marks before that still hold.
	_ = marks.run(src, math.MaxUint64, nil)
	return marks.marked
}

// wants returns the segments that the sink lacks, by number, but for the newest one
// unless all is set; and the slots that are free. Under mu.
func (j *joiner) wants(all bool) (lacking []*segment, free []slot) {
	every := slices.Clone(j.segments)
	for _, s := range j.retained {
		every = append(every, s)
	}
	slices.SortFunc(every, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	for n, s := range every {
		if s == j.seg && !all {
			continue
		}
		if j.copied[s.number] == s.header && s != j.seg {
			continue
		}
		// A segment is whole in the sink if all its records were flushed there: the next
		// one begins no later than behind them.
		old := j.has[s.slot.id]
		if old.used && old.header == s.header && old.bytes == s.slot.bytes && n+1 < len(every) && every[n+1].first <= j.durable+1 {
			continue
		}
		lacking = append(lacking, s)
	}
	for _, s := range j.free {
		// What a sink that had gone on alone has there says of records that they were
		// flushed which this log never had.
		if old, ok := j.has[s.id]; !ok || old.bytes != s.bytes || old.used || old.beheaded {
			free = append(free, s)
		}
	}
	return lacking, free
}

// copyAll copies what the sink lacks, and returns how many segments that were.
func (j *joiner) copyAll(all bool) (int, error) {
	j.mu.Lock()
	lacking, free := j.wants(all)
	source := -1
	for _, i := range j.inSync() {
		source = i
		break
	}
	heads, slots, ends := make([]header, len(lacking)), make([]slot, len(lacking)), make([]int64, len(lacking))
	var total int64
	for n, s := range lacking {
		heads[n], slots[n], ends[n] = s.header, s.slot, s.slot.bytes
		switch {
		case s == j.seg:
			ends[n] = roundUp(j.end, headBytes)
		case s.used > 0:
			ends[n] = roundUp(s.used, headBytes)
		}
		total += ends[n]
	}
	failed := j.failed
	j.mu.Unlock()
	if failed != nil {
		return 0, failed
	}
	total += j.done
	for n, s := range slots {
		if err := j.copySegment(source, s, ends[n], total); err != nil {
			return n, err
		}
		j.copied[heads[n].number] = heads[n]
		j.has[s.id] = foundSlot{header: heads[n], id: s.id, bytes: s.bytes, used: true}
	}
	for _, s := range free {
		if err := j.makeFree(s, true); err != nil {
			return len(lacking), err
		}
		j.has[s.id] = foundSlot{id: s.id, bytes: s.bytes}
	}
	return len(lacking), nil
}

// copySegment copies the file of a slot up to an end, its head last, so that what was copied
// in part is not taken for whole.
func (j *joiner) copySegment(source int, s slot, end, total int64) (err error) {
	name := filepath.Join(j.dir, segmentName(s.id))
	in, err := j.fs.Open(filepath.Join(j.sinks[source].dir, segmentName(s.id)), vfs.ReadOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	_, was := j.has[s.id]
	if err := j.makeFree(s, false); err != nil {
		return err
	}
	out, err := timedOpen(j.Log, j.i, func() (vfs.File, error) { return j.fs.Open(name, 0) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.timed(j.i, 1, out.Close)) }()
	write := func(p []byte, at int64, sync bool) error {
		return j.timed(j.i, 1, func() error {
			_, err := out.WriteAt(p, at, vfs.Plain)
			if err == nil && sync {
				err = out.SyncData()
			}
			return err
		})
	}
	// What was there does not count any more before anything else is.
	if err := write(zeros[:headBytes], 0, true); err != nil {
		return err
	}
	buf := make([]byte, max(headBytes, min(copyChunk, s.bytes)))
	for at := int64(headBytes); at < end; {
		part := buf[:min(int64(len(buf)), end-at)]
		if err := j.ctx.Err(); err != nil {
			return err
		}
		if j.o.Pace != nil {
			if err := j.o.Pace(j.ctx, len(part)); err != nil {
				return err
			}
		}
		if _, err := in.ReadAt(part, at); err != nil && err != io.EOF {
			return err
		}
		if err := write(part, at, at+int64(len(part)) == end); err != nil {
			return err
		}
		at += int64(len(part))
		j.done += int64(len(part))
		if j.o.Progress != nil {
			j.o.Progress(j.done, max(total, j.done))
		}
	}
	if err := j.clear(write, s, end, was); err != nil {
		return err
	}
	if _, err := in.ReadAt(buf[:headBytes], 0); err != nil {
		return err
	}
	return write(buf[:headBytes], 0, true)
}

// clear writes zeros behind what was copied to a slot that was there before: its marks may
// speak of records that a sink which had gone on alone flushed, and this log never had.
func (j *joiner) clear(write func(p []byte, at int64, sync bool) error, s slot, end int64, was bool) error {
	for at := end; was && at < s.bytes; {
		part := zeros[:min(int64(len(zeros)), s.bytes-at)]
		if j.o.Pace != nil {
			if err := j.o.Pace(j.ctx, len(part)); err != nil {
				return err
			}
		}
		if err := write(part, at, at+int64(len(part)) == s.bytes); err != nil {
			return err
		}
		at += int64(len(part))
	}
	return nil
}

// makeFree makes the file of a slot, if the sink has none of that size, or one that was used
// and is free now.
func (j *joiner) makeFree(s slot, free bool) error {
	if old, ok := j.has[s.id]; ok && old.bytes == s.bytes && !(free && (old.used || old.beheaded)) {
		return nil
	}
	return j.timed(j.i, 5, func() error { return makeSlot(j.fs, j.dir, slot{id: s.id, bytes: s.bytes}) })
}

// join copies what is left while nothing is appended, and lets the sink count.
func (j *joiner) join() error {
	l := j.Log
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.flushing || l.making || l.joining {
		l.settled.Wait()
	}
	if err := l.usable(j.ctx); err != nil {
		return err
	}
	l.joining, l.flushing = true, true
	j.o.Pace = nil
	err := j.level()
	l.joining = false
	l.kick() // the janitor has made nothing meanwhile
	if l.flushing = l.next.led; l.flushing {
		l.next.lead <- struct{}{}
	}
	l.settled.Broadcast()
	return err
}

// level is join while nothing is appended, and nobody else flushes. Under mu, which it gives
// up for a while.
func (j *joiner) level() error {
	l := j.Log
	// What was appended while a flush was under way takes another one.
	for range 2 {
		if err := l.flush(); err != nil {
			return err
		}
	}
	l.mu.Unlock()
	var err error
	for n := 1; n > 0 && err == nil; {
		n, err = j.copyAll(true)
		if n == 1 && err == nil {
			break // the newest one is always lacking
		}
	}
	if err == nil {
		err = j.removeOthers()
	}
	l.mu.Lock()
	if err != nil {
		return err
	}
	k := l.sinks[j.i]
	k.letGo = true
	l.closeLost()
	k.lost, k.hung, k.letGo = nil, false, false
	if k.work == nil && !l.options.Inline {
		k.start(j.i)
	}
	l.generation++
	if err := l.rotate(0); err != nil {
		l.lose(j.i, err, false)
		return err
	}
	if err := l.flush(); err != nil {
		return err
	}
	return k.lost
}

// removeOthers removes the slots that the log does not have.
func (j *joiner) removeOthers() error {
	j.mu.Lock()
	known := make(map[int]bool)
	for _, s := range j.segments {
		known[s.slot.id] = true
	}
	for _, s := range j.retained {
		known[s.slot.id] = true
	}
	for _, s := range j.free {
		known[s.id] = true
	}
	j.mu.Unlock()
	ids := make([]int, 0, len(j.has))
	for id := range j.has {
		if !known[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := removeIfThere(j.fs, filepath.Join(j.dir, segmentName(id))); err != nil {
			return err
		}
		delete(j.has, id)
	}
	return j.fs.SyncDir(j.dir)
}
