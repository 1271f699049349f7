package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Inspect prints what is in one sink of a log, which it does not change: its
// segments, oldest first, with their groups and records as far as they are whole,
// and slots that are free. each, unless nil, is called for every record, after the
// line of its segment; what it returns is printed behind the record's sequence,
// offset and length.
//
// It returns ErrCorrupt, after printing everything, if a record is damaged that a
// mark or head says was flushed, and engine.ErrNotFound if there is no log.
func Inspect(ctx context.Context, fsys vfs.FS, dir string, w io.Writer, each func(Record) string) error {
	l := &Log{fs: fsys, sinks: []*sink{{dir: dir}}, options: Options{Sinks: []string{dir}}}
	r := recovery{Log: l, ctx: ctx, stale: make([]bool, 1), readOnly: true}
	slots, err := r.lookAt(dir)
	if err != nil {
		return fmt.Errorf("inspect log: %w", err)
	}
	r.found = append(r.found, slots)
	var used []foundSlot
	for _, s := range slots {
		if s.used {
			used = append(used, s)
		}
	}
	if len(slots) == 0 {
		return fmt.Errorf("inspect log %s: %w", dir, engine.ErrNotFound)
	}
	slices.SortFunc(used, func(a, b foundSlot) int {
		if a.newer(b.header) {
			return 1
		}
		return -1
	})
	p := inspection.NewPrinter(w)
	if len(used) > 0 {
		newest := used[len(used)-1]
		p.Printf("log %016x in %s: %d segments, %d slots, flush by %v, generation %d\n",
			newest.header.id, dir, len(used), len(slots), newest.method, newest.generation)
	} else {
		p.Printf("log in %s: %d slots, no records\n", dir, len(slots))
	}
	var corrupt error
	for i, s := range used {
		var before uint64
		if i+1 < len(used) && used[i+1].previous == s.number {
			before = used[i+1].first
		}
		if err := inspectSegment(ctx, p, &r, s, before, each); errors.Is(err, engine.ErrCorrupt) {
			corrupt = errors.Join(corrupt, err)
		} else if err != nil {
			return fmt.Errorf("inspect log: %w", err)
		}
	}
	ids := make([]int, 0, len(slots))
	for id, s := range slots {
		if !s.used {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		p.Printf("%s  %d bytes, never used\n", segmentName(id), slots[id].bytes)
	}
	return errors.Join(p.Err(), corrupt)
}

// inspectSegment prints one segment. before is where the next one goes on; 0 if
// none does.
func inspectSegment(ctx context.Context, p *inspection.Printer, r *recovery, s foundSlot, before uint64, each func(Record) string) error {
	src := newSource(filepath.Join(r.sinks[0].dir, segmentName(s.id)), make([]byte, s.bytes))
	src.fill(ctx, r.fs, 1)
	if err := ctx.Err(); err != nil {
		return err
	}
	scan := newScanner(s.header, before)
	count := *scan
	err := count.run(src, 0, nil)
	follows := "nothing"
	if s.previous != 0 {
		follows = fmt.Sprintf("segment %d", s.previous)
	}
	p.Printf("%s  segment %d of generation %d, %d bytes, follows %s; flushed before it: up to %d\n",
		segmentName(s.id), s.number, s.generation, s.bytes, follows, s.durable)
	if n := count.sequence - s.first; n > 0 {
		p.Printf("  records %d to %d in %d groups, up to offset %d", s.first, count.sequence-1, count.groups, count.off)
	} else {
		p.Printf("  no records, up to offset %d", count.off)
	}
	switch {
	case count.closed:
		p.Printf("; the log was closed here\n")
	case before != 0 && count.sequence >= before:
		p.Printf("; goes on in the next segment\n")
	default:
		p.Printf("; not closed\n")
	}
	if each != nil {
		print := func(rec Record) error {
			p.Printf("  %12d  at %-10d %6d bytes  %s\n", rec.Sequence, scan.off, len(rec.Payload), each(rec))
			return ctx.Err()
		}
		if e := scan.run(src, 0, print); ctx.Err() != nil {
			return e
		}
	}
	if err != nil {
		return err
	}
	if count.closed || before != 0 && count.sequence >= before {
		return nil
	}
	claim, err := claims(src, s.header.id, count.off)
	if err != nil {
		return err
	}
	if claim = max(claim, s.durable); claim >= count.sequence {
		err := vfs.NewError("inspect", src.name, int64(count.off), fmt.Errorf("%w: record %d, and records up to %d were flushed", engine.ErrCorrupt, count.sequence, claim))
		p.Printf("  %v\n", err)
		return err
	}
	return nil
}
