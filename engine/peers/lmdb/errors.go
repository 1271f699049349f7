//go:build lmdb

package lmdb

import (
	"syscall"

	"github.com/orbit-persistence/orbit/engine"
)

// lmdbError is an error of LMDB's, by its code, or of the operating system.
type lmdbError struct {
	code int // negative: LMDB's; positive: an errno
	kind error
}

func newError(code int) *lmdbError {
	e := &lmdbError{code: code, kind: kinds[code]}
	if no := syscall.Errno(code); no == syscall.ENOSPC || no == syscall.EDQUOT {
		e.kind = engine.ErrNoSpace
	}
	return e
}

func (e *lmdbError) Error() string { return "lmdb: " + errorText(e.code) }

func (e *lmdbError) Unwrap() []error {
	var chain []error
	if e.kind != nil {
		chain = append(chain, e.kind)
	}
	if e.code > 0 {
		chain = append(chain, syscall.Errno(e.code))
	}
	return chain
}
