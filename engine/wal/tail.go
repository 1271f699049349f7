package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Tail reads the flushed records of a log while it is written, and keeps segments that
// it has not done with from being used again. It belongs to one goroutine at a time.
type Tail struct {
	log *Log

	// Under log.mu: records above kept stay, unless that takes more than limit bytes.
	// reading: a segment is being read, and stays whatever it takes. lost: some are gone.
	kept    uint64
	limit   int64
	reading bool
	lost    bool

	number uint64   // of the segment in which it reads
	scan   *scanner // where, nil before the first record
	next   uint64   // the sequence that is read next
}

// NewTail returns a Tail that begins behind a record. The log holds on to all records
// above it as if they had not been released, in up to limit bytes of segments beside
// those that it needs itself, 0 for no limit: then the Tail loses them, and Read is
// ErrNotFound. So is NewTail, if some are gone already. The Tail must be closed.
func (l *Log) NewTail(after uint64, limit int64) (*Tail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("read log %s: %w", l.name(), engine.ErrClosed)
	}
	if after > l.last {
		return nil, fmt.Errorf("read log %s: %w: record %d, and the newest is %d", l.name(), engine.ErrInvalid, after, l.last)
	}
	t := &Tail{log: l, kept: after, limit: limit, next: after + 1}
	if oldest := l.oldest(); after+1 < oldest {
		return nil, fmt.Errorf("read log %s: %w: record %d; the oldest that is left is %d", l.name(), engine.ErrNotFound, after+1, oldest)
	}
	l.tails = append(l.tails, t)
	return t, nil
}

// oldest returns the sequence of the oldest record that is left, or of the next one.
// Under mu.
func (l *Log) oldest() uint64 {
	if len(l.segments) > 0 {
		return l.segments[0].first
	}
	return l.last + 1
}

// releasable returns up to which record segments may be used again, if nobody but tails
// needs those up to sequence: what tails keep stays, and those go that would keep too
// much. Under mu.
func (l *Log) releasable(sequence uint64) uint64 {
	up := sequence
	for _, t := range l.tails {
		if t.lost || t.kept >= up {
			continue
		}
		if t.limit > 0 && !t.reading && l.between(t.kept, sequence) > t.limit {
			t.lost = true
			continue
		}
		up = t.kept
	}
	return up
}

// between returns the bytes of segments that have records above one sequence and none
// above another. Under mu.
func (l *Log) between(above, upTo uint64) (bytes int64) {
	for n := 0; n+1 < len(l.segments); n++ {
		if next := l.segments[n+1].first; next > above+1 && next <= upTo+1 {
			bytes += l.segments[n].slot.bytes
		}
	}
	return bytes
}

// Keep tells that the records up to sequence are not needed any more.
func (t *Tail) Keep(sequence uint64) {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	t.kept = max(t.kept, sequence)
}

// Read calls each, in order, for the records that were flushed since the last call, and
// returns the sequence of the last one that each has taken without an error. A payload
// is good until each returns. An error of each ends it, and is returned; the record comes
// again. ErrNotFound: records were given up, see NewTail; begin anew. Up to one segment
// is in memory at a time.
func (t *Tail) Read(ctx context.Context, each func(Record) error) (last uint64, err error) {
	for {
		part, err := t.part()
		if err != nil {
			return t.next - 1, fmt.Errorf("read log %s: %w", t.log.name(), err)
		}
		if part == nil {
			return t.next - 1, nil
		}
		err = part.read(ctx, each)
		t.log.mu.Lock()
		t.reading = false
		t.log.mu.Unlock()
		if err != nil {
			return t.next - 1, err
		}
	}
}

// part is a stretch of one segment.
type part struct {
	*Tail
	path string
	end  int64  // where its bytes end
	upTo uint64 // the last record to read
}

// part returns what is to be read next, nil if nothing is.
func (t *Tail) part() (*part, error) {
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, engine.ErrClosed
	case t.lost:
		return nil, fmt.Errorf("%w: record %d; it was given up, as the log would have kept more than %d bytes for whoever reads it", engine.ErrNotFound, t.next, t.limit)
	case t.next > l.durable:
		return nil, nil
	}
	n := 0
	for n+1 < len(l.segments) && l.segments[n+1].first <= t.next {
		n++
	}
	if n == len(l.segments) || l.segments[n].first > t.next {
		return nil, fmt.Errorf("%w: record %d; the oldest that is left is %d", engine.ErrNotFound, t.next, l.oldest())
	}
	s := l.segments[n]
	p := &part{Tail: t, path: filepath.Join(l.sinks[l.inSync()[0]].dir, segmentName(s.slot.id)), end: s.slot.bytes, upTo: l.durable}
	if n+1 < len(l.segments) {
		p.upTo = min(p.upTo, l.segments[n+1].first-1)
	} else if s == l.seg {
		p.end = min(p.end, l.end)
	}
	if t.scan == nil || t.number != s.number {
		t.scan, t.number = newScanner(s.header, 0), s.number
	}
	t.scan.before = p.upTo + 1 // what follows may be half written
	t.reading = true
	return p, nil
}

// read parses the stretch.
func (p *part) read(ctx context.Context, each func(Record) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	fsys := p.log.fs
	f, err := fsys.Open(p.path, vfs.ReadOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Only what lies behind the last record is read, and so takes memory.
	src := newSource(p.path, make([]byte, p.end))
	for off := int64(p.scan.off); off < p.end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(src.data[off:min(off+readChunk, p.end)], off)
		off += int64(n)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			break
		}
		if err != nil {
			return err
		}
	}
	src.filled = len(src.data)
	err = p.scan.run(src, p.next-1, func(r Record) error {
		if err := each(r); err != nil {
			return err
		}
		p.next = r.Sequence + 1
		return ctx.Err()
	})
	if err == nil && p.next <= p.upTo {
		err = vfs.NewError("read", p.path, int64(p.scan.off), fmt.Errorf("%w: record %d, and records up to %d were flushed", engine.ErrCorrupt, p.scan.sequence, p.upTo))
	}
	return err
}

// Close lets the log use again what only the Tail has kept.
func (t *Tail) Close() error {
	l := t.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.tails {
		if other == t {
			l.tails = append(l.tails[:i], l.tails[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("close tail of log %s: %w", l.name(), engine.ErrClosed)
}

// ID returns the identity of the log, which stays the same across openings once a record
// was appended.
func (l *Log) ID() uint64 { return l.id }

// Batches returns the Tail as an engine's LogReader. other tells of a payload whether it
// is no batch, and whether it is opaque then.
func (t *Tail) Batches(other func(payload []byte) (is, opaque bool)) engine.LogReader {
	return batches{t, other}
}

type batches struct {
	*Tail
	other func(payload []byte) (is, opaque bool)
}

// Read implements engine.LogReader.
func (b batches) Read(ctx context.Context, each func(engine.LogRecord) error) (last uint64, err error) {
	return b.Tail.Read(ctx, func(r Record) error {
		record := engine.LogRecord{Sequence: r.Sequence, Batch: r.Payload}
		if is, opaque := b.other(r.Payload); is {
			record.Batch, record.Opaque = nil, opaque
		}
		return each(record)
	})
}
