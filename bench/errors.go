package bench

import (
	"errors"
	"fmt"
)

// UsageError is a mistake in how the bench was called or a lack of what it
// needs: one line to the user, and exit code 2.
type UsageError struct{ err error }

// Error implements error.
func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap returns the error beneath, for errors.Is.
func (e *UsageError) Unwrap() error { return e.err }

// Usagef returns a UsageError; see fmt.Errorf.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// IsUsage reports whether err is a UsageError.
func IsUsage(err error) bool {
	var u *UsageError
	return errors.As(err, &u)
}
