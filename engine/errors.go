package engine

import "errors"

// The kinds of error, to be tested with errors.Is. What an engine returns wraps
// one of them with the operation, the key or file, and the offset where there
// is one. A context's own error is returned as it is; an error of the operating
// system that fits no kind keeps its own identity in the chain.
var (
	// ErrNotFound: the key, family or snapshot is not there.
	ErrNotFound = errors.New("not found")
	// ErrClosed: the handle was closed; open a new one.
	ErrClosed = errors.New("closed")
	// ErrLocked: another handle has the directory open; close that first.
	ErrLocked = errors.New("locked by another opener")
	// ErrCorrupt: stored bytes are not what was written, or are of an unknown
	// format version. Never reported as ErrNotFound.
	ErrCorrupt = errors.New("corrupt")
	// ErrNoSpace: the device is full. Nothing of the batch was applied, and the
	// engine goes on once there is room.
	ErrNoSpace = errors.New("no space left")
	// ErrTooLarge: a key, value or batch exceeds the engine's Limits; nothing
	// was applied.
	ErrTooLarge = errors.New("too large")
	// ErrConflict: what the commit depended on has changed; run it again.
	ErrConflict = errors.New("conflict")
	// ErrUnsupported: this engine does not do that; see its Traits.
	ErrUnsupported = errors.New("unsupported")
	// ErrReadOnly: a flush failed earlier, so no further write can be trusted.
	// Reads go on; reopen after the device is mended.
	ErrReadOnly = errors.New("read-only")
	// ErrInUse: iterators or snapshots are still open; close them first.
	ErrInUse = errors.New("in use")
	// ErrInvalid: an argument that no state of the store could make right, such
	// as sorted input out of order; correct the call.
	ErrInvalid = errors.New("invalid argument")
)

// KeyError wraps err with the operation and the key, which is quoted and cut to
// 64 bytes. It returns nil for a nil error and ErrNotFound bare: a miss is a
// result that hot paths return, and its caller has the key.
func KeyError(op string, key []byte, err error) error {
	if err == nil || err == ErrNotFound {
		return err
	}
	return &keyError{op: op, key: append([]byte(nil), key[:min(len(key), 65)]...), err: err}
}

type keyError struct {
	op  string
	key []byte
	err error
}

func (e *keyError) Error() string { return e.op + " " + QuoteKey(e.key) + ": " + e.err.Error() }
func (e *keyError) Unwrap() error { return e.err }
