package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
)

// Error tells which operation on which file failed, where, and why. Its chain
// holds both the kind of package engine that fits, if one does, and Err.
type Error struct {
	// Op is the operation: "read", "sync".
	Op string
	// Path is the file, or both names of a rename, link or clone.
	Path string
	// Offset is where in the file the failure was met, in bytes; -1 where that
	// says nothing.
	Offset int64
	// Err is the cause: mostly a syscall.Errno.
	Err error

	kind error
}

// NewError makes an *Error of a cause, which it strips of the names that package
// os puts around it, and finds its kind. It returns nil for nil. It is for
// implementations of FS.
func NewError(op, path string, off int64, err error) error {
	if err == nil {
		return nil
	}
	var pathError *fs.PathError
	var linkError *os.LinkError
	if errors.As(err, &pathError) {
		err = pathError.Err
	} else if errors.As(err, &linkError) {
		err = linkError.Err
	}
	return &Error{Op: op, Path: path, Offset: off, Err: err, kind: kindOf(err)}
}

// Error writes "write dir/file at 4096: no space left: no space left on device".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Op, e.Path)
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at %d", e.Offset)
	}
	if e.kind != nil {
		fmt.Fprintf(&b, ": %v", e.kind)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the kind, if there is one, and the cause.
func (e *Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.Err}
	}
	return []error{e.kind, e.Err}
}

// kindOf returns the kind that an errno stands for; nil where none fits, or
// where err names its kind itself.
func kindOf(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return nil
	}
	var kind error
	switch {
	case errno == syscall.ENOSPC || errno == syscall.EDQUOT:
		kind = engine.ErrNoSpace
	case errno == syscall.EROFS:
		kind = engine.ErrReadOnly
	case errno == syscall.EINVAL:
		kind = engine.ErrInvalid
	case errno.Is(errors.ErrUnsupported):
		kind = engine.ErrUnsupported
	default:
		return nil
	}
	if errors.Is(err, kind) {
		return nil
	}
	return kind
}

// ErrorNumber returns the system's number of an error: 0 for nil, -1 for one that is not
// the system's.
func ErrorNumber(err error) int {
	var errno syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno):
		return int(errno)
	}
	return -1
}
