package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Open recovers the log in its sinks, or begins one. It calls replay, in order,
// for each record whose sequence is above after; an error of it ends Open. The
// records up to after must be durable elsewhere, and so may be missing here.
//
// Damage is ErrCorrupt with file and offset, except for the torn tail of a crash:
// the log ends where the first damaged record stands, if nothing says that it was
// flushed. A sink that was left behind is brought level, and a damaged copy
// repaired from another, before Open returns. The caller keeps others from opening
// the same log at the same time, by vfs.FS.Lock.
func Open(ctx context.Context, o Options, after uint64, replay func(Record) error) (*Log, error) {
	o, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{fs: o.FS, options: o, generation: 1, unit: leastUnit, prefillBytes: prefillBytes(o.SegmentBytes)}
	l.settled = sync.NewCond(&l.mu)
	l.next = l.newGroup()
	l.retained = make(map[uint64]*segment)
	l.unwritten.Store(math.MaxUint64)
	for _, dir := range o.Sinks {
		l.sinks = append(l.sinks, newSink(dir))
	}
	r := recovery{Log: l, ctx: ctx, after: after, replay: replay}
	if err := r.run(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if !o.Inline {
		if len(l.sinks) > 1 {
			for i, k := range l.sinks {
				if k.lost == nil {
					k.start(i)
				}
			}
		}
		l.janitor.start(l)
	}
	return l, nil
}

// recovery is an Open under way.
type recovery struct {
	*Log
	ctx    context.Context
	after  uint64
	replay func(Record) error

	found  []map[int]foundSlot // by sink and slot
	stale  []bool              // by sink: it must be brought level
	chain  []foundSlot         // the live segments, ascending
	claim  uint64              // the highest sequence known to have been flushed
	closed bool                // the log was closed, and nothing is wrong with it

	readOnly bool // change nothing in the sinks
}

// foundSlot is a slot as it was found in a sink.
type foundSlot struct {
	header
	id    int
	bytes int64
	used  bool // the header is whole
	// beheaded: the header is not whole, and a group follows it.
	beheaded bool
}

// cut reports whether the file is shorter than any slot is made.
func (s foundSlot) cut() bool { return s.bytes < 2*headBytes }

func (r *recovery) run() error {
	switch begun, err := r.find(); {
	case err != nil:
		return err
	case !begun:
		for _, k := range r.sinks {
			if k.lost != nil && !r.options.AllowMissing {
				return fmt.Errorf("sink %s: %w", k.dir, k.lost)
			}
		}
		return r.begin()
	}
	return r.settle()
}

// find finds the records of the log, and replays them. It changes nothing; begun is false
// if there is no log.
func (r *recovery) find() (begun bool, err error) {
	if err := r.look(); err != nil {
		return false, err
	}
	newest, err := r.choose()
	if err != nil || newest == nil {
		return false, err
	}
	if err := r.link(); err != nil {
		return true, err
	}
	return true, r.replayChain()
}

// look reads the heads of all slots in all sinks.
func (r *recovery) look() error {
	r.stale = make([]bool, len(r.sinks))
	for _, k := range r.sinks {
		slots, err := r.lookAt(k.dir)
		r.found = append(r.found, slots)
		if err == nil {
			continue
		}
		if err := r.without(k, err); err != nil {
			return err
		}
	}
	return nil
}

// without leaves out a sink that failed, if that is allowed and another is left;
// else it returns the error.
func (r *recovery) without(k *sink, err error) error {
	if errors.Is(err, engine.ErrUnsupported) || !r.options.AllowMissing && !r.options.Rejoin || r.ctx.Err() != nil || len(r.inSync()) == 1 {
		return fmt.Errorf("sink %s: %w", k.dir, err)
	}
	k.lost = err
	return nil
}

func (r *recovery) lookAt(dir string) (map[int]foundSlot, error) {
	names, err := r.fs.List(dir)
	if err != nil {
		return nil, err
	}
	slots := make(map[int]foundSlot)
	head := make([]byte, headBytes+markBytes)
	for _, name := range names {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		if strings.HasSuffix(name, suffix+temporary) && !r.readOnly {
			if err := removeIfThere(r.fs, filepath.Join(dir, name)); err != nil {
				return nil, err
			}
		}
		id, ok := parseName(name)
		if !ok {
			continue
		}
		r.lastSlot = max(r.lastSlot, id)
		f, err := r.fs.Open(filepath.Join(dir, name), vfs.ReadOnly)
		if err != nil {
			return nil, err
		}
		s := foundSlot{id: id}
		if s.bytes, err = f.Size(); err == nil {
			n := min(int64(len(head)), s.bytes)
			if _, err = f.ReadAt(head[:n], 0); err == nil || err == io.EOF {
				s.header, s.used, err = decodeHead(head[:min(n, headBytes)], id)
				s.used = s.used && !s.cut()
				if !s.used && !s.cut() {
					_, s.beheaded = decodeMark(head[headBytes:n])
				}
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, vfs.NewError("open log", filepath.Join(dir, name), 0, err)
		}
		slots[id] = s
	}
	if r.readOnly {
		return slots, nil
	}
	// The names of slots that an earlier process made may not be durable yet.
	return slots, r.fs.SyncDir(dir)
}

// choose returns the newest segment, nil in a new log, and tells which sinks are
// behind it.
func (r *recovery) choose() (*foundSlot, error) {
	var newest *foundSlot
	for i, slots := range r.found {
		for _, s := range slots {
			if !s.used {
				continue
			}
			if newest != nil && s.header.id != newest.header.id {
				return nil, fmt.Errorf("sink %s: %w: its segment %s is of log %x, not of %x; remove what does not belong", r.sinks[i].dir, engine.ErrInvalid, segmentName(s.id), s.header.id, newest.header.id)
			}
			if newest == nil || s.newer(newest.header) {
				newest = &s
			}
		}
	}
	if newest == nil {
		return nil, nil
	}
	for i, slots := range r.found {
		r.stale[i] = true
		for _, s := range slots {
			if s.used && s.generation == newest.generation && s.number == newest.number {
				r.stale[i] = false
			}
		}
	}
	if err := r.leave(newest); err != nil {
		return nil, err
	}
	r.Log.id = newest.header.id
	r.generation = newest.generation + 1 + r.leap()
	r.method = newest.method
	return newest, nil
}

// errBehind is the error of a sink that is to be brought level by Rejoin.
var errBehind = errors.New("the sink is behind the others")

// leave leaves out the sinks that are behind or missing, with Options.Rejoin. It returns an
// error for one that may be ahead of those that are there.
func (r *recovery) leave(newest *foundSlot) error {
	if !r.options.Rejoin {
		return nil
	}
	for i, k := range r.sinks {
		empty := true
		// A slot is durable in all sinks before a head is written to it. So a sink with
		// slots and without heads was not replaced: power went before the first flush of
		// all, and the other has by chance what nobody was promised.
		begun := len(r.found[i]) > 0 && newest.durable == 0
		for _, s := range r.found[i] {
			empty = empty && !s.used
			begun = begun && !s.used && !s.beheaded
		}
		counts := newest.has(i) && !r.options.AllowMissing
		switch {
		case k.lost != nil && counts:
			return fmt.Errorf("sink %s: %w; it may have gone on without the others, and records that it alone has would be lost by going on without it: bring it back, or go on without it by force", k.dir, k.lost)
		case k.lost != nil:
		case empty && counts && !begun:
			return fmt.Errorf("sink %s: %w: it is empty, and the others count on it; records that it alone had would be lost by going on: put the one that was there back, or go on without it by force", k.dir, engine.ErrInvalid)
		case r.stale[i]:
			k.lost = errBehind
		}
	}
	return nil
}

// apart is how far generations and numbers leap when the log is opened without one
// of its sinks: farther than that sink can have come alone, so that it cannot win,
// and no number of its own is met in a link, when it is back.
const apart = 1 << 32

// leap returns what is added to generations and numbers at this opening.
func (r *recovery) leap() uint64 {
	if len(r.inSync()) < len(r.sinks) {
		return apart
	}
	return 0
}

// link finds the chain of segments to replay: from the newest one back to the one
// with the record that is needed first. Where a link is missing, the segments
// behind it count for nothing, unless a mark in them says that they were flushed:
// the head of a segment can get lost while that of the next one does not.
func (r *recovery) link() error {
	byNumber := make(map[uint64]foundSlot)
	for i, slots := range r.found {
		for _, s := range slots {
			if r.sinks[i].lost != nil || r.stale[i] {
				continue
			}
			if s.cut() && !r.elsewhere(s.id) {
				return fmt.Errorf("log %s: %w: the file is cut to %d bytes; restore it, or the store from a backup", r.path(i, s), engine.ErrCorrupt, s.bytes)
			}
			if s.beheaded {
				src := newSource(r.path(i, s), make([]byte, s.bytes))
				src.fill(r.ctx, r.fs, 1)
				if err := r.claims(s, src, 0); err != nil {
					return err
				}
			}
			if !s.used {
				continue
			}
			r.claim = max(r.claim, s.durable)
			r.number = max(r.number, s.number)
			if old, ok := byNumber[s.number]; !ok || s.newer(old.header) || s.header == old.header && s.bytes > old.bytes {
				byNumber[s.number] = s
			}
		}
	}
	r.number += r.leap()
	for _, number := range slices.Backward(slices.Sorted(maps.Keys(byNumber))) {
		chain, err := r.follow(byNumber, byNumber[number])
		if err != nil {
			return err
		}
		if chain != nil {
			slices.Reverse(chain)
			r.chain = chain
			return nil
		}
		if err := r.claims(byNumber[number], nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere reports whether a sink that counts has the slot whole.
func (r *recovery) elsewhere(id int) bool {
	for i, slots := range r.found {
		if s, ok := slots[id]; ok && r.sinks[i].lost == nil && !r.stale[i] && !s.cut() {
			return true
		}
	}
	return false
}

// follow returns the chain of segments that ends with the newest, that first; nil
// if one is missing.
func (r *recovery) follow(byNumber map[uint64]foundSlot, newest foundSlot) ([]foundSlot, error) {
	chain := []foundSlot{newest}
	for oldest := newest; oldest.first > r.after+1; {
		s, ok := byNumber[oldest.previous]
		if oldest.previous == 0 || !ok {
			return nil, nil
		}
		if s.first > oldest.first || s.number >= oldest.number {
			return nil, fmt.Errorf("log %s: %w: segment %s says that it follows %s", r.name(), engine.ErrCorrupt, segmentName(oldest.id), segmentName(s.id))
		}
		chain = append(chain, s)
		oldest = s
	}
	return chain, nil
}

// claims learns from the marks of a segment, from an offset on, what was flushed.
func (r *recovery) claims(s foundSlot, src *source, from int) error {
	if src == nil {
		src = newSource(r.path(r.reference(s), s), make([]byte, s.bytes))
		src.fill(r.ctx, r.fs, 1)
	}
	most, err := claims(src, r.Log.id, from)
	r.claim = max(r.claim, most)
	return err
}

// has reports whether a sink has that segment, with that head.
func (r *recovery) has(i int, s foundSlot) bool {
	return r.sinks[i].lost == nil && !r.stale[i] && r.found[i][s.id] == s
}

// errReplay marks an error of the caller's replay function.
type errReplay struct{ error }

func (e errReplay) Unwrap() error { return e.error }

// replayChain gives the records of the chain to the caller. It reads one segment
// ahead of the one it parses.
func (r *recovery) replayChain() error {
	ctx, cancel := context.WithCancel(r.ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	var buffers [2][]byte
	ahead := make([]*source, len(r.chain))
	read := func(k int) {
		if k >= len(r.chain) {
			return
		}
		s := r.chain[k]
		buf := buffers[k%2]
		if int64(cap(buf)) < s.bytes {
			buf = make([]byte, s.bytes)
			buffers[k%2] = buf
		}
		ahead[k] = newSource(r.path(r.reference(s), s), buf[:s.bytes])
		if r.options.Inline {
			ahead[k].fill(ctx, r.fs, 1)
			return
		}
		reading.Add(1)
		go func() {
			defer reading.Done()
			if k > 0 {
				ahead[k-1].wait(len(ahead[k-1].data)) // one after the other: that is how devices are fast
			}
			ahead[k].fill(ctx, r.fs, readers)
		}()
	}
	each := func(record Record) error {
		if err := r.replay(record); err != nil {
			return errReplay{err}
		}
		return nil
	}
	if len(r.chain) == 0 {
		if r.claim > r.after {
			return fmt.Errorf("log %s: %w: records up to %d were flushed, and %d is missing; restore the files, or the store from a backup", r.name(), engine.ErrCorrupt, r.claim, r.after+1)
		}
		return nil
	}
	read(0)
	r.last = r.chain[0].first - 1
	for k, s := range r.chain {
		read(k + 1)
		var before uint64
		if k+1 < len(r.chain) {
			before = r.chain[k+1].first
		}
		scan := newScanner(s.header, before)
		patched, err := r.replaySegment(s, scan, ahead[k], each)
		if err != nil {
			return err
		}
		r.last = scan.sequence - 1
		whole := before != 0 && scan.sequence >= before
		r.closed = before == 0 && scan.closed
		if !whole && !r.closed {
			if err := r.torn(k, scan, ahead[k:]); err != nil {
				return err
			}
		}
		if !whole && r.claim >= max(scan.sequence, r.after+1) {
			return vfs.NewError("read", r.path(r.reference(s), s), int64(scan.off), fmt.Errorf("%w: record %d, and records up to %d were flushed; restore the file, or the store from a backup", engine.ErrCorrupt, scan.sequence, r.claim))
		}
		end := scan.off
		if !whole && !r.closed {
			// What a sink has behind a torn end must not count once its head is there.
			end = len(ahead[k].data)
		}
		if err := r.level(s, ahead[k], end, patched); err != nil {
			return err
		}
		if !whole {
			break
		}
	}
	return nil
}

// reference returns the first sink that has a segment.
func (r *recovery) reference(s foundSlot) int {
	for i := range r.sinks {
		if r.has(i, s) {
			return i
		}
	}
	return -1 // cannot be: the chain is made of such segments
}

func (r *recovery) path(i int, s foundSlot) string {
	return filepath.Join(r.sinks[i].dir, segmentName(s.id))
}

// replaySegment parses one segment. What one sink does not have whole is taken
// from another, and put into the source; patched tells that.
func (r *recovery) replaySegment(s foundSlot, scan *scanner, src *source, each func(Record) error) (patched bool, err error) {
	for {
		err := scan.run(src, r.after, each)
		var own errReplay
		if errors.As(err, &own) {
			return patched, own.error
		}
		if e := r.ctx.Err(); e != nil {
			return patched, e
		}
		if scan.done() {
			return patched, nil
		}
		helped := r.patch(s, scan, src)
		patched = patched || helped
		switch {
		case helped:
		case err != nil:
			return patched, fmt.Errorf("log record %d: %w", scan.sequence, err)
		default:
			return patched, nil
		}
	}
}

// patch looks for a sink that has the record at which the scanner stands, and
// completes the source with what that sink has. It reports whether there is one.
func (r *recovery) patch(s foundSlot, scan *scanner, src *source) bool {
	src.wait(len(src.data)) // whether or not it could be read to the end, the reader is done
	for i := range r.sinks {
		if i == r.reference(s) || !r.has(i, s) {
			continue
		}
		other := newSource(r.path(i, s), make([]byte, s.bytes))
		other.fill(r.ctx, r.fs, 1)
		ahead := *scan
		if ahead.run(other, 0, nil); ahead.sequence == scan.sequence && !ahead.closed {
			continue
		}
		// Not a byte before, where the other may be damaged; except that what this one
		// could not read it does not have.
		from := min(scan.off, src.filled)
		copy(src.data[from:other.filled], other.data[from:other.filled])
		src.mu.Lock()
		src.filled, src.err = max(src.filled, other.filled), other.err
		src.mu.Unlock()
		return true
	}
	return false
}

// torn ends the log in the middle of a segment of the chain. It learns from what
// follows whether anything there was flushed.
func (r *recovery) torn(k int, scan *scanner, ahead []*source) error {
	at := scan.off
	for n, s := range r.chain[k:] {
		if err := r.claims(s, ahead[n], at); err != nil {
			return fmt.Errorf("log record %d: %w", scan.sequence, err)
		}
		at = 0
	}
	r.chain = r.chain[:k+1]
	return nil
}

// settle makes durable what was replayed, and keeps the other slots for later.
func (r *recovery) settle() error {
	if r.last < r.after {
		// The newest records, all durable elsewhere, were lost here.
		r.last, r.chain = r.after, nil
	}
	for k, s := range r.chain {
		seg := &segment{header: s.header, slot: slot{id: s.id, bytes: s.bytes, dirty: true}}
		r.segments = append(r.segments, seg)
		if r.closed && k+1 == len(r.chain) {
			continue
		}
		// What a killed process left in the page cache is now shown as recovered.
		for _, i := range r.inSync() {
			if err := syncFile(r.fs, r.path(i, s)); err != nil {
				if err := r.without(r.sinks[i], err); err != nil {
					return err
				}
			}
		}
	}
	r.durable = r.last
	return r.collect()
}

// collect makes the slots that are in no chain free, and removes those that are not
// the same in all sinks.
func (r *recovery) collect() error {
	live := r.inSync()
	counts, sizes := make(map[int]int), make(map[int]int64)
	for _, i := range live {
		for id, s := range r.found[i] {
			if _, ok := counts[id]; !ok {
				counts[id], sizes[id] = 0, s.bytes
			}
			// In a sink that was left behind, marks may speak of records that count no
			// longer.
			if sizes[id] == s.bytes && !r.stale[i] {
				counts[id]++
			}
		}
	}
	for _, s := range r.chain {
		delete(counts, s.id)
	}
	for _, s := range r.kept() {
		delete(counts, s.id)
		r.retained[s.number] = &segment{header: s.header, slot: slot{id: s.id, bytes: s.bytes, dirty: true}}
	}
	ids := make([]int, 0, len(counts))
	for id := range counts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if counts[id] == len(live) && sizes[id] >= 2*headBytes {
			r.free = append(r.free, slot{id: id, bytes: sizes[id], dirty: true})
			continue
		}
		for _, i := range live {
			if r.sinks[i].lost != nil {
				continue
			}
			if err := removeIfThere(r.fs, filepath.Join(r.sinks[i].dir, segmentName(id))); err != nil {
				if err := r.without(r.sinks[i], err); err != nil {
					return err
				}
			}
		}
	}
	if err := r.trim(); err != nil {
		return err
	}
	if len(r.free)+len(r.segments) == 0 {
		s, err := r.newSlot(r.nextBytes(), false)
		if err != nil {
			return err
		}
		r.free = append(r.free, s)
	}
	return r.prefer()
}

// checkNew returns ErrCorrupt if a log without any whole head had records.
func (r *recovery) checkNew() error {
	for i, slots := range r.found {
		for _, s := range slots {
			if r.sinks[i].lost != nil {
				break
			}
			src := newSource(r.path(i, s), make([]byte, s.bytes))
			src.fill(r.ctx, r.fs, 1)
			flushed, err := claims(src, 0, 0)
			if err != nil {
				if err := r.without(r.sinks[i], err); err != nil {
					return err
				}
			}
			if flushed > r.after {
				return fmt.Errorf("log %s: %w: the heads of all segments are damaged, and records up to %d were flushed; restore the files, or the store from a backup", r.name(), engine.ErrCorrupt, flushed)
			}
		}
	}
	return nil
}

// begin makes a new log. Its first slot is made now, if only to measure on it.
func (r *recovery) begin() error {
	if err := r.checkNew(); err != nil {
		return err
	}
	r.last, r.durable = r.after, r.after
	r.Log.id = rand.Uint64()
	if r.options.Inline {
		r.Log.id = uint64(checksum.Of([]byte(r.name())))
	}
	return r.collect()
}

// prefer finds out how to flush.
func (r *recovery) prefer() error {
	// One of the two is there; a new log has a free slot.
	var example int
	if len(r.free) > 0 {
		example = r.free[0].id
	} else {
		example = r.segments[0].slot.id
	}
	r.canDirect = true
	for _, i := range r.inSync() {
		unit, err := directUnit(r.fs, filepath.Join(r.sinks[i].dir, segmentName(example)))
		switch {
		case errors.Is(err, engine.ErrUnsupported):
			r.canDirect = false
		case err != nil:
			if err := r.without(r.sinks[i], err); err != nil {
				return err
			}
		}
		r.unit = max(r.unit, unit)
	}
	switch {
	case r.options.Flush == Direct && !r.canDirect:
		return fmt.Errorf("log %s: %w: direct writes; set Options.Flush to Probe", r.name(), engine.ErrUnsupported)
	case r.options.Flush != Probe:
		r.method = r.options.Flush
	case !r.canDirect:
		r.method = SyncData
	case r.options.Inline:
		r.method = Direct
	case len(r.sinks) > 1:
		// Stores into a mapping would wait for a sink that hangs.
		r.method, r.options.Flush = Direct, Direct
	case r.method == Probe && len(r.free) > 0:
		method, err := probe(r.fs, r.sinks[r.inSync()[0]].dir, r.free[0], Probe)
		if err != nil {
			return err
		}
		r.method = method
	}
	r.cached = r.method != Direct
	return nil
}

// level gives the sinks that do not have a segment as it was replayed, up to end,
// what they lack. In a log that was closed, sinks with the same heads are level.
func (r *recovery) level(s foundSlot, src *source, end int, patched bool) error {
	live := r.inSync()
	reference := r.reference(s)
	if len(live) == 1 && !patched {
		return nil
	}
	end = min(int(roundUp(int64(end), headBytes)), len(src.data))
	for _, i := range live {
		if i == reference && !patched || r.has(i, s) && r.closed && !patched {
			continue
		}
		err := r.copyTo(i, s, src.data[:end])
		if err == nil {
			r.found[i][s.id] = s
			continue
		}
		if err := r.without(r.sinks[i], fmt.Errorf("bring it level: %w", err)); err != nil {
			return err
		}
	}
	return nil
}

// copyTo makes the file of a segment in a sink begin with data. The head is
// written last, so that a segment that was copied in part is not taken for whole.
func (r *recovery) copyTo(i int, s foundSlot, data []byte) error {
	dir, name := r.sinks[i].dir, r.path(i, s)
	if r.found[i][s.id].bytes != s.bytes {
		if err := makeSlot(r.fs, dir, slot{id: s.id, bytes: s.bytes}); err != nil {
			return err
		}
	}
	old := newSource(name, make([]byte, len(data)))
	old.fill(r.ctx, r.fs, 1)
	if old.err == nil && bytes.Equal(old.data, data) {
		return nil
	}
	f, err := r.fs.Open(name, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data[headBytes:], headBytes, vfs.Plain)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		_, err = f.WriteAt(data[:headBytes], 0, vfs.Plain)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFile makes the content of a file durable.
func syncFile(fsys vfs.FS, name string) error {
	f, err := fsys.Open(name, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.SyncData(), f.Close())
}
