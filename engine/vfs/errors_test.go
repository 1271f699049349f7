package vfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/orbit-persistence/orbit/engine"
	"github.com/orbit-persistence/orbit/engine/vfs"
)

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		cause, kind error
		text        string
	}{
		{syscall.ENOSPC, engine.ErrNoSpace, "write d/f at 7: no space left: no space left on device"},
		{syscall.EDQUOT, engine.ErrNoSpace, "write d/f at 7: no space left: disk quota exceeded"},
		{syscall.EROFS, engine.ErrReadOnly, "write d/f at 7: read-only: read-only file system"},
		{syscall.EOPNOTSUPP, engine.ErrUnsupported, "write d/f at 7: unsupported: operation not supported"},
		{syscall.ENOSYS, engine.ErrUnsupported, "write d/f at 7: unsupported: function not implemented"},
		{syscall.EIO, nil, "write d/f at 7: input/output error"},
		{&fs.PathError{Op: "pwrite", Path: "f", Err: syscall.EIO}, nil, "write d/f at 7: input/output error"},
		{&os.LinkError{Op: "link", Old: "f", New: "g", Err: syscall.ENOENT}, nil, "write d/f at 7: no such file or directory"},
		{fmt.Errorf("%w: %w", engine.ErrLocked, syscall.EBUSY), engine.ErrLocked, "write d/f at 7: locked by another opener: device or resource busy"},
		{fmt.Errorf("%w: %w", engine.ErrUnsupported, syscall.ENOSYS), engine.ErrUnsupported, "write d/f at 7: unsupported: function not implemented"},
	} {
		err := vfs.NewError("write", "d/f", 7, c.cause)
		if got := err.Error(); got != c.text {
			t.Errorf("text of %v: %q, want %q", c.cause, got, c.text)
		}
		if c.kind != nil && !errors.Is(err, c.kind) {
			t.Errorf("%v is not %v", err, c.kind)
		}
		var want, errno syscall.Errno
		if errors.As(c.cause, &want) && (!errors.As(err, &errno) || errno != want) {
			t.Errorf("%v lost its errno", err)
		}
	}
	if err := vfs.NewError("write", "d/f", 7, nil); err != nil {
		t.Errorf("no error became %v", err)
	}
}
