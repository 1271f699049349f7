package flash

import (
	"context"
	"errors"
	"fmt"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
	"github.com/orbit-persistence/orbit/engine/wal"
)

// Status tells how the paths of a store are that nobody has open, without changing
// anything: which has the newest segment and counts, and why others do not.
func Status(ctx context.Context, fsys vfs.FS, paths []string) (out []PathStatus, err error) {
	fsys, devices := onDevices(fsys, fsys.Stat, paths)
	defer func() { err = errors.Join(err, devices.close()) }()
	states, err := wal.Survey(ctx, wal.Options{FS: fsys, Sinks: paths})
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	out = make([]PathStatus, len(paths))
	known := false
	for i, dir := range paths {
		s := &out[i]
		s.Dir = dir
		h, err := readHeader(fsys, dir)
		known = known || err == nil
		switch {
		case states[i].Err != nil:
			s.Cause = states[i].Err
		case err != nil && !states[i].Empty:
			s.Cause = err
		case states[i].Empty && err != nil:
			s.Cause = fmt.Errorf("%w: it is empty", engine.ErrNotFound)
		case !states[i].Current:
			s.Cause = errors.New("it is behind the others")
		case !states[i].Counted:
			s.Cause = errors.New("it was not in sync when the newest segment was begun")
		default:
			s.InSync = true
		}
		s.Commit, s.Entries = h.commit, h.entries
	}
	if !known {
		return out, fmt.Errorf("status: %w: there is no store in %v", engine.ErrNotFound, paths)
	}
	return out, nil
}

// readHeader reads the header of the checkpoint in a path.
func readHeader(fsys vfs.FS, dir string) (header, error) {
	f, err := fsys.Open(dir+"/"+indexName, vfs.ReadOnly)
	if err != nil {
		return header{}, err
	}
	b := make([]byte, indexHeader)
	n, err := f.ReadAt(b, 0)
	if e := f.Close(); err == nil {
		err = e
	}
	if n < indexHeader && err != nil {
		return header{}, vfs.NewError("read", f.Name(), 0, fmt.Errorf("%w: %w", engine.ErrCorrupt, err))
	}
	return decodeHeader(b)
}
