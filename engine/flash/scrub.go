package flash

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// ScrubReport is what a scrub has found.
type ScrubReport struct {
	// Segments, Values and Bytes were read in every path that counts: of Values each once
	// for each path.
	Segments, Values, Bytes int64
	// Total is how many bytes there are to be read.
	Total int64
	// Repaired is how many pieces were written again, in a path, from another one; Damaged
	// how many values no path has.
	Repaired, Damaged int64
}

// Scrub reads every value in every path, at Options.ResyncRate, and writes again what is
// damaged in one path and not in another. progress, unless nil, is told how far it is after
// each segment. It returns ErrCorrupt, naming the values, if some are damaged in all paths,
// after it has read everything.
func (e *Engine) Scrub(ctx context.Context, progress func(ScrubReport)) (ScrubReport, error) {
	if err := e.enter(); err != nil {
		return ScrubReport{}, err
	}
	defer e.life.Exit()
	var report ScrubReport
	var damage inspection.Damage
	e.mu.Lock()
	list := make([]*segment, 0, len(e.segments))
	for _, s := range e.segments {
		if s.died == 0 {
			list = append(list, s)
			report.Total += s.bytes * int64(len(e.present()))
		}
	}
	e.mu.Unlock()
	slices.SortFunc(list, func(a, b *segment) int { return cmp.Compare(a.number, b.number) })
	pace := &pacer{rate: e.options.ResyncRate, inline: e.options.Inline}
	places := e.placesBySegment()
	for _, s := range list {
		if err := e.scrubSegment(ctx, s, places[s.id], pace, &report, &damage); err != nil {
			return report, fmt.Errorf("scrub: %w", err)
		}
		report.Segments++
		if progress != nil {
			progress(report)
		}
	}
	if err := damage.Err(); err != nil {
		return report, fmt.Errorf("scrub: %w", err)
	}
	return report, nil
}

// copyOf is the content of a segment in a path.
type copyOf struct {
	path *path
	data []byte
	end  int64 // of the last record that matches
	err  error
}

// scrubSegment holds the copies of a segment against the index, and against each other.
func (e *Engine) scrubSegment(ctx context.Context, s *segment, places []location, pace *pacer, report *ScrubReport, damage *inspection.Damage) error {
	if len(places) == 0 || e.segmentOf(places[0]) != s {
		return ctx.Err()
	}
	var copies []*copyOf
	var best *copyOf
	for _, p := range e.present() {
		if err := pace.wait(ctx, int(s.bytes)); err != nil {
			return err
		}
		c := &copyOf{path: p}
		if c.data, c.err = e.readSegment(ctx, p, s); c.err == nil {
			c.err = wal.ScanSegment(c.data, s.slot, s.number, func(r wal.Record) error {
				c.end = r.Place.Offset + int64(len(r.Payload))
				return nil
			})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		report.Bytes += s.bytes
		if c.data != nil && (best == nil || c.end > best.end) {
			best = c
		}
		copies = append(copies, c)
	}
	var lost []location
	for _, at := range places {
		good, bad := judgeCopies(copies, at, report)
		if good == nil {
			lost = append(lost, at)
			continue
		}
		for _, c := range bad {
			if err := e.repairCopy(c, s, int64(at.offset), good, report); err != nil {
				return err
			}
		}
	}
	if len(lost) > 0 {
		// Cleaning may have taken it elsewhere, and the segment may have gone with it.
		for _, x := range e.stillAt(lost) {
			report.Damaged++
			damage.Add(fmt.Errorf("value of key %s: %w", quotePrefixed(x.key), vfs.NewError("read", copies[0].path.segmentName(s.slot), int64(x.at.offset),
				fmt.Errorf("%w: it is damaged in every path", engine.ErrCorrupt))))
		}
	}
	// Of what lies between the values the copy counts whose records match furthest.
	for _, c := range copies {
		if c == best || best == nil || c.data == nil {
			continue
		}
		for at := int64(0); at < best.end; at += memoryAlign {
			to := min(at+memoryAlign, best.end)
			if bytes.Equal(c.data[at:to], best.data[at:to]) {
				continue
			}
			if err := e.repairCopy(c, s, at, best.data[at:to], report); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeCopies returns what is stored at a place as the index says, and the copies that have
// something else.
func judgeCopies(copies []*copyOf, at location, report *ScrubReport) (good []byte, bad []*copyOf) {
	for _, c := range copies {
		report.Values++
		from, end := int64(at.offset), int64(at.offset)+int64(at.bytes())
		if end <= int64(len(c.data)) && verified(at, c.data[from:end]) == nil {
			good = c.data[from:end]
		} else {
			bad = append(bad, c)
		}
	}
	return good, bad
}

// repairCopy writes a piece of a copy again. A path that does not take it is lost.
func (e *Engine) repairCopy(c *copyOf, s *segment, at int64, good []byte, report *ScrubReport) error {
	if c.path.away.Load() {
		return nil
	}
	if err := e.repair(c.path, s, at, good); err != nil {
		e.losePath(c.path, errors.Join(c.err, err))
		return nil
	}
	report.Repaired++
	if c.data != nil && at+int64(len(good)) <= int64(len(c.data)) {
		copy(c.data[at:], good)
	}
	return nil
}

// placesBySegment returns where the values of each segment lie.
func (e *Engine) placesBySegment() map[uint32][]location {
	out := map[uint32][]location{}
	e.eachEntry(func(c *cursor) {
		if at := c.location(); at.bytes() > 0 {
			out[at.segment] = append(out[at.segment], at)
		}
	})
	return out
}

// stillAt returns the entries that are still at some places.
func (e *Engine) stillAt(places []location) (out []entry) {
	asked := make(map[location]bool, len(places))
	for _, at := range places {
		asked[at] = true
	}
	e.eachEntry(func(c *cursor) {
		if at := c.location(); asked[at] {
			out = append(out, entry{c.appendKey(nil), at})
		}
	})
	return out
}

// eachEntry calls f at every entry of the newest state.
func (e *Engine) eachEntry(f func(c *cursor)) {
	e.mu.Lock()
	state, at := e.hold()
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.unhold(at)
		e.mu.Unlock()
	}()
	c := cursor{root: state}
	for ok := c.first(); ok; ok = c.next() {
		f(&c)
	}
}
