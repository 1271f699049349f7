package driver

import (
	"errors"

	"github.com/orbit-persistence/orbit/engine"
)

// The kinds of error, to be tested with errors.Is; the first are the engines'.
// What a store returns wraps one of them with the operation and the key, but for
// ErrNotFound of a Get, which is bare. No error holds a secret.
var (
	// ErrNotFound: the key is not there, or its time has passed.
	ErrNotFound = engine.ErrNotFound
	// ErrClosed: the store was closed; open a new one.
	ErrClosed = engine.ErrClosed
	// ErrLocked: another process has the store open.
	ErrLocked = engine.ErrLocked
	// ErrCorrupt: stored bytes are not what was written, or of an unknown format.
	ErrCorrupt = engine.ErrCorrupt
	// ErrNoSpace: the backend is full; nothing was applied.
	ErrNoSpace = engine.ErrNoSpace
	// ErrTooLarge: a key, value or commit exceeds the limits; nothing was applied.
	ErrTooLarge = engine.ErrTooLarge
	// ErrConflict: the condition does not hold, or what a transaction has read is
	// changed; read again. Nothing was applied.
	ErrConflict = engine.ErrConflict
	// ErrUnsupported: this backend does not do that; see its Capabilities.
	ErrUnsupported = engine.ErrUnsupported
	// ErrReadOnly: the backend takes no writes any more; reads go on.
	ErrReadOnly = engine.ErrReadOnly
	// ErrInvalid: an argument or setting that must be corrected.
	ErrInvalid = engine.ErrInvalid
	// ErrInUse: snapshots or lists are still open.
	ErrInUse = engine.ErrInUse

	// ErrFenced: the fencing token is older than one that was seen; the lease is
	// another's. Stop writing. Nothing was applied.
	ErrFenced = errors.New("fenced: the lease is held by another")
	// ErrDenied: the backend refused who asks; correct credentials or rights.
	// Nothing was applied.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable: the backend could not be reached, or is overloaded, and has
	// applied nothing; repeating is safe.
	ErrUnavailable = errors.New("unavailable")
	// ErrOutcomeUnknown: the backend may have applied the write, or may still;
	// read to find out.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// KeyError wraps err with the operation and the quoted key; see engine.KeyError.
func KeyError(op string, key []byte, err error) error { return engine.KeyError(op, key, err) }
