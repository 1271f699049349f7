package wal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Options open a log.
type Options struct {
	// FS holds the log; nil is vfs.OS().
	FS vfs.FS
	// Sinks is the directory of the log, which must be there. More than one is
	// ErrUnsupported in this version.
	Sinks []string
	// SegmentBytes is the size at which a new segment begins; 0 for 64 MiB.
	SegmentBytes int64
	// Inline asks for no goroutines of the log's own. This version has none.
	Inline bool
}

// Record is one record of a log.
type Record struct {
	// Sequence is its place in the order of all records, from 1.
	Sequence uint64
	// Payload is what was appended; valid until the callback returns.
	Payload []byte
}

// Log is an open log. Its methods may be called from many goroutines.
type Log struct {
	fs           vfs.FS
	dir          string
	segmentBytes int64

	// flushing is held during a flush, and taken before mu: by one committer for
	// all records appended by then.
	flushing sync.Mutex

	// mu guards what follows.
	mu       sync.Mutex
	segments []uint64 // first sequences, ascending; the last is file's
	file     vfs.File
	end      int64 // of file
	last     uint64
	durable  uint64 // all records up to it are flushed
	scratch  []byte
	failed   error
	closed   bool
}

// Open recovers the log in a directory, or begins one. It calls replay, in order,
// for each record whose sequence is above after; an error of it ends Open. The
// records up to after must be durable elsewhere. Damage is ErrCorrupt with file
// and offset, except for the torn tail of a crash, which is cut off.
func Open(ctx context.Context, o Options, after uint64, replay func(Record) error) (*Log, error) {
	if len(o.Sinks) != 1 {
		return nil, fmt.Errorf("open log: %w: %d sinks; this version has one", engine.ErrUnsupported, len(o.Sinks))
	}
	l := &Log{fs: o.FS, dir: o.Sinks[0], segmentBytes: o.SegmentBytes, last: after}
	if l.fs == nil {
		l.fs = vfs.OS()
	}
	if l.segmentBytes <= 0 {
		l.segmentBytes = 64 << 20
	}
	if err := l.recover(ctx, after, replay); err != nil {
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.durable = l.last
	return l, nil
}

// Append gives payload the next place in the order. When it returns, the record
// survives the death of the process. ErrNoSpace: nothing was appended. Any other
// failure of the file leaves the log read-only.
func (l *Log) Append(ctx context.Context, payload []byte) (sequence uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(ctx); err != nil {
		return 0, fmt.Errorf("append to log %s: %w", l.dir, err)
	}
	if len(payload) > math.MaxUint32-recordOverhead {
		return 0, fmt.Errorf("append to log %s: %w: %d bytes", l.dir, engine.ErrTooLarge, len(payload))
	}
	if l.end >= l.segmentBytes {
		if err := l.rotate(); err != nil {
			return 0, fmt.Errorf("append to log %s: %w", l.dir, err)
		}
	}
	l.scratch = appendRecord(l.scratch[:0], l.last+1, payload)
	if _, err := l.file.WriteAt(l.scratch, l.end, vfs.Plain); err != nil {
		// What was written in part must not stay behind a shorter record.
		if cut := l.file.Truncate(l.end); cut != nil || !errors.Is(err, engine.ErrNoSpace) {
			err = l.fail(errors.Join(err, cut))
		}
		return 0, fmt.Errorf("append to log: %w", err)
	}
	l.end += int64(len(l.scratch))
	l.last++
	if cap(l.scratch) > 1<<20 {
		l.scratch = nil
	}
	return l.last, nil
}

// usable returns why nothing can be appended.
func (l *Log) usable(ctx context.Context) error {
	switch {
	case l.closed:
		return engine.ErrClosed
	case l.failed != nil:
		return l.failed
	}
	return ctx.Err()
}

// fail makes the log read-only for good: after a failed flush nobody knows what
// the device has.
func (l *Log) fail(cause error) error {
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: reopen after the device is mended: %w", engine.ErrReadOnly, cause)
	}
	return l.failed
}

// rotate flushes the newest segment and begins another. mu is held.
func (l *Log) rotate() error {
	if err := l.file.SyncData(); err != nil {
		return l.fail(err)
	}
	l.durable = l.last
	old := l.file
	if err := l.begin(l.last + 1); err != nil {
		return err
	}
	if err := old.Close(); err != nil {
		return l.fail(err)
	}
	return nil
}

// begin makes the segment of the next record, whole and durable before its name
// is there, and its name before a record is in it. mu is held.
func (l *Log) begin(first uint64) error {
	name := filepath.Join(l.dir, segmentName(first))
	f, err := l.fs.Open(name+temporary, vfs.Create|vfs.Truncate)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(encodeHeader(first), 0, vfs.Plain); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(l.fail(err), f.Close())
	}
	if err := l.fs.Rename(name+temporary, name); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return errors.Join(l.fail(err), f.Close())
	}
	l.file, l.end = f, headerBytes
	l.segments = append(l.segments, first)
	return nil
}

// Commit returns when the record of that sequence, and all before it, have the
// durability d.
func (l *Log) Commit(sequence uint64, d engine.Durability) error {
	if d != engine.Flushed {
		return nil // since Append returned
	}
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	file, last, done, err := l.file, l.last, l.durable >= sequence, l.failed
	if l.closed && !done {
		err = engine.ErrClosed
	}
	l.mu.Unlock()
	if done || err != nil {
		return err
	}
	// A segment that was left meanwhile was flushed by rotate before it was closed.
	err = file.SyncData()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.durable >= sequence:
		return nil
	case err != nil:
		return l.fail(err)
	}
	l.durable = max(l.durable, last)
	return nil
}

// Sync returns when all that was appended is flushed.
func (l *Log) Sync() error { return l.Commit(l.LastSequence(), engine.Flushed) }

// LastSequence returns the sequence of the newest record.
func (l *Log) LastSequence() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Release tells that the records up to sequence are durable elsewhere. Segments
// that hold no others are removed.
func (l *Log) Release(sequence uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(context.Background()); err != nil {
		return fmt.Errorf("release log %s: %w", l.dir, err)
	}
	for len(l.segments) > 1 && l.segments[1] <= sequence+1 {
		if err := l.fs.Remove(filepath.Join(l.dir, segmentName(l.segments[0]))); err != nil {
			return fmt.Errorf("release log: %w", err)
		}
		l.segments = l.segments[1:]
	}
	return nil
}

// Close flushes the log and closes it. A second Close is ErrClosed.
func (l *Log) Close() error {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("close log %s: %w", l.dir, engine.ErrClosed)
	}
	l.closed = true
	err := l.failed
	if err == nil {
		err = l.writeEnd()
	}
	if err = errors.Join(err, l.file.Close()); err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}

// writeEnd flushes the records, and then what says that they are all. mu is held.
func (l *Log) writeEnd() error {
	if err := l.file.SyncData(); err != nil {
		return l.fail(err)
	}
	_, err := l.file.WriteAt(encodeEnd(l.last), endOffset(l.end), vfs.Plain)
	if errors.Is(err, engine.ErrNoSpace) {
		// The end only helps to tell damage; the records need no room.
		err = l.file.Truncate(l.end)
	}
	if err == nil {
		err = l.file.SyncData()
	}
	if err != nil {
		return l.fail(err)
	}
	return nil
}
