package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

// recover finds the segments, replays them, and leaves the newest one open for
// appending.
func (l *Log) recover(ctx context.Context, after uint64, replay func(Record) error) error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix+temporary) {
			if err := l.fs.Remove(filepath.Join(l.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if first, ok := parseName(name); ok {
			l.segments = append(l.segments, first)
		}
	}
	// The names of segments that an earlier process made may not be durable yet.
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	for len(l.segments) > 1 && l.segments[1] <= after+1 {
		if err := l.fs.Remove(filepath.Join(l.dir, segmentName(l.segments[0]))); err != nil {
			return err
		}
		l.segments = l.segments[1:]
	}
	if len(l.segments) == 0 {
		return l.begin(after + 1)
	}
	if l.segments[0] > after+1 {
		return fmt.Errorf("log %s: %w: it begins with record %d, and %d is missing", l.dir, engine.ErrCorrupt, l.segments[0], after+1)
	}
	next := l.segments[0]
	for i, first := range l.segments {
		if first != next {
			return fmt.Errorf("log %s: %w: segment %s follows record %d", l.dir, engine.ErrCorrupt, segmentName(first), next-1)
		}
		if next, err = l.replay(ctx, first, i == len(l.segments)-1, after, replay); err != nil {
			return err
		}
	}
	if l.last = next - 1; l.last >= after {
		return nil
	}
	// The newest records, all durable elsewhere, were lost here.
	old, obsolete := l.file, l.segments
	if err := l.begin(after + 1); err != nil {
		return err
	}
	l.last = after
	for _, first := range obsolete {
		if err := l.fs.Remove(filepath.Join(l.dir, segmentName(first))); err != nil {
			return errors.Join(err, old.Close())
		}
	}
	l.segments = l.segments[len(obsolete):]
	return old.Close()
}

// replay reads one segment and returns the sequence behind its last record. The
// newest one is cut behind that, flushed, and left open.
func (l *Log) replay(ctx context.Context, first uint64, newest bool, after uint64, replay func(Record) error) (next uint64, err error) {
	name := filepath.Join(l.dir, segmentName(first))
	f, err := l.fs.Open(name, 0)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil || !newest {
			err = errors.Join(err, f.Close())
		}
	}()
	data, err := content(f)
	if err != nil {
		return 0, err
	}
	if err := checkHeader(data, first); err != nil {
		return 0, vfs.NewError("read", name, 0, err)
	}
	next = first
	at := headerBytes
	for at < len(data) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		payload, ok := decodeRecord(data[at:], next)
		if !ok {
			break
		}
		if next > after {
			if err := replay(Record{next, payload}); err != nil {
				return 0, err
			}
		}
		at += recordOverhead + len(payload)
		next++
	}
	if !newest {
		if at < len(data) {
			return 0, vfs.NewError("read", name, int64(at), fmt.Errorf("%w: record %d", engine.ErrCorrupt, next))
		}
		return next, nil
	}
	last, closed := decodeEnd(data[at:])
	if closed && (last != next-1 || int64(len(data)-recordOverhead) != endOffset(int64(at))) {
		return 0, vfs.NewError("read", name, int64(at), fmt.Errorf("%w: record %d; the log was closed with record %d", engine.ErrCorrupt, next, last))
	}
	if at < len(data) {
		if err := f.Truncate(int64(at)); err != nil {
			return 0, err
		}
	}
	// What a killed process left in the page cache is now shown as recovered.
	if err := f.Sync(); err != nil {
		return 0, err
	}
	l.file, l.end = f, int64(at)
	return next, nil
}

// content reads a whole file.
func content(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	_, err = f.ReadAt(data, 0)
	return data, err
}
