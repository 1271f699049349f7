package flash

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/internal/checksum"
	"github.com/orbit-persistence/orbit/engine/internal/inspection"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Inspect prints what is in one path of a store, which it does not change and which should
// be closed: the checkpoint of the index, what the log has behind it, and the segments. It
// holds every value against the index.
//
// It returns ErrCorrupt, after printing everything, if something is damaged, and
// engine.ErrNotFound if there is no store.
func Inspect(ctx context.Context, fsys vfs.FS, dir string, w io.Writer) (err error) {
	fsys, devices := onDevices(fsys, fsys.Stat, []string{dir})
	defer func() { err = errors.Join(err, devices.close()) }()
	if _, err := fsys.Stat(filepath.Join(dir, indexName)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("inspect %s: %w", dir, engine.ErrNotFound)
	} else if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	p := inspection.NewPrinter(w)
	var d inspection.Damage
	h, s, t, size, err := readIndex(ctx, fsys, dir, true)
	if errors.Is(err, fs.ErrNotExist) || err != nil && !errors.Is(err, engine.ErrCorrupt) {
		return fmt.Errorf("inspect: %w", err)
	}
	if err != nil {
		p.Printf("flash store in %s\n", dir)
		d.Add(err)
		d.Print(p)
		return errors.Join(p.Err(), d.Err())
	}
	p.Printf("flash store %016x in %s: one of %d paths, format %d\n", h.store, dir, h.paths, formatVersion)
	p.Printf("  index: %d entries, %d bytes, of commit %d, record %d of the log\n", h.entries, size, h.commit, h.sequence)
	e := newEngine(Options{FS: fsys, Paths: []string{dir}, Inline: true, IODepth: 1})
	e.take(h, s, t, size)
	last, err := wal.Read(ctx, fsys, dir, h.sequence, e.replay)
	if err != nil && !errors.Is(err, engine.ErrCorrupt) {
		return fmt.Errorf("inspect: %w", err)
	}
	if err != nil {
		d.Add(err)
	}
	p.Printf("  log: %d records behind that; %d entries with them, of commit %d\n", last-h.sequence, e.index.root.Load().count.Load(), e.visible.Load())
	for name, id := range e.families {
		p.Printf("  family %d  %q\n", id, name)
	}
	if err := e.inspectSegments(ctx, p, &d); err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	d.Print(p)
	return errors.Join(p.Err(), d.Err())
}

// inspectSegments holds the values of each segment against the index, and prints it.
func (e *Engine) inspectSegments(ctx context.Context, p *inspection.Printer, d *inspection.Damage) error {
	in := map[uint32][]entry{}
	c := cursor{root: e.index.root.Load()}
	for ok := c.first(); ok; ok = c.next() {
		at := c.location()
		in[at.segment] = append(in[at.segment], entry{c.appendKey(nil), at})
	}
	list := make([]*segment, 0, len(e.segments))
	for _, s := range e.segments {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *segment) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	dir := e.options.Paths[0]
	for _, s := range list {
		entries := in[s.id]
		delete(in, s.id)
		if len(entries) == 0 {
			continue // it may be gone
		}
		name := filepath.Join(dir, wal.SlotName(s.slot))
		data, err := readWhole(ctx, e.fs, name, true)
		if err == nil {
			// The records behind the last whole one are judged by their values.
			err = wal.ScanSegment(data, s.slot, s.number, nil)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			d.Add(fmt.Errorf("%d values: %w", len(entries), err))
			continue
		}
		var live, bytes int64
		for _, x := range entries {
			live += weightOf(len(x.key), x.at)
			bytes += int64(x.at.bytes())
			end := int64(x.at.offset) + int64(x.at.bytes())
			if end > int64(len(data)) || !checksum.Matches(x.at.check, checksum.Of(data[x.at.offset:end])) {
				d.Add(fmt.Errorf("value of key %s: %w", quotePrefixed(x.key), vfs.NewError("inspect", name, int64(x.at.offset),
					fmt.Errorf("%w: the checksum of %d bytes does not match", engine.ErrCorrupt, x.at.bytes()))))
			}
		}
		if live != s.live {
			d.Add(fmt.Errorf("segment %d: %w: %d is said to be of use, and %d is", s.number, engine.ErrCorrupt, s.live, live))
		}
		p.Printf("  %s  segment %d: %d values of %d bytes, %.1f %% of the segment\n", wal.SlotName(s.slot), s.number, len(entries), bytes, 100*float64(live)/float64(len(data)))
	}
	for id, entries := range in {
		d.Add(fmt.Errorf("%d values: %w: there is no segment %d", len(entries), engine.ErrCorrupt, id))
	}
	return nil
}

// quotePrefixed quotes a key of the index without the number of its family.
func quotePrefixed(key []byte) string {
	f, n := binary.Uvarint(key)
	switch {
	case n <= 0:
		return engine.QuoteKey(key)
	case f == 0:
		return engine.QuoteKey(key[n:])
	}
	return fmt.Sprintf("%s of family %d", engine.QuoteKey(key[n:]), f)
}

// DescribeRecord says what a payload of the log holds that is no batch as package engine
// encodes it; ok is false for those, and for what no flash store logs.
func DescribeRecord(payload []byte) (text string, ok bool) {
	if len(payload) < 2 || payload[0] != recordOther {
		return "", false
	}
	n := 0
	count := func([]byte, location) error {
		n++
		return nil
	}
	switch payload[1] {
	case recordPacked, recordMoves, recordPart:
		if err := eachValue(wal.Record{Payload: payload}, count); err != nil {
			return "", false
		}
		return map[byte]string{
			recordPacked: fmt.Sprintf("a batch that puts %d values, packed", n),
			recordMoves:  fmt.Sprintf("%d values moved", n),
			recordPart:   fmt.Sprintf("part of a bulk load: %d values", n),
		}[payload[1]], true
	case recordFamily:
		id, at, ok := uvarintAt(payload, 2)
		if !ok {
			return "", false
		}
		return fmt.Sprintf("family %d is %q", id, payload[at:]), true
	case recordNoFamily:
		id, _, ok := uvarintAt(payload, 2)
		return fmt.Sprintf("family %d is dropped", id), ok
	case recordLoad:
		return "end of a bulk load", true
	}
	return "", false
}
