package wal

import (
	"context"
	"fmt"

	"github.com/orbit-persistence/orbit/engine/vfs"
)

// Read calls each, in order, for each record whose sequence is above after of the log
// in a directory, and returns the sequence of the last one; after if there is none. It
// finds the records that Open would, and the same damage, but changes nothing: what a
// killed process left in the page cache is not made durable. An error of each ends it,
// and is returned. A payload is good until each returns. Up to two segments are in memory
// at a time.
//
// A log that has not begun has no records; a directory that is not there is
// fs.ErrNotExist.
func Read(ctx context.Context, fsys vfs.FS, dir string, after uint64, each func(Record) error) (last uint64, err error) {
	l := &Log{fs: fsys, sinks: []*sink{{dir: dir}}, options: Options{Sinks: []string{dir}, Inline: true}}
	r := recovery{Log: l, ctx: ctx, after: after, replay: each, readOnly: true}
	begun, err := r.find()
	if err == nil && !begun {
		err = r.checkNew()
	}
	if err != nil {
		return 0, fmt.Errorf("read log: %w", err)
	}
	return max(r.last, after), nil
}
