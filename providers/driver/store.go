package driver

import (
	"context"
	"iter"
	"time"
)

// Store is a backend.
type Store interface {
	// Get returns the newest entry of key, or ErrNotFound bare. An entry whose
	// time has passed is not there.
	Get(ctx context.Context, key []byte) (Entry, error)

	// List yields entries in the order of their keys. It ends after the first
	// error. The caller may stop at any time; nothing is leaked then.
	List(ctx context.Context, o ListOptions) iter.Seq2[Entry, error]

	// Put sets key to value, and returns the new revision. ErrConflict if the
	// condition of the options does not hold; nothing is applied then.
	Put(ctx context.Context, key, value []byte, o PutOptions) (Revision, error)

	// Delete removes key. ErrConflict if the condition does not hold; without one,
	// a key that is not there is no error.
	Delete(ctx context.Context, key []byte, o DeleteOptions) error

	// Ping asks the backend whether it would serve a request now, as cheaply as
	// can be. An error says why it would not.
	Ping(ctx context.Context) error

	// Capabilities tells what the store can do. It is constant, also after Close.
	Capabilities() Capabilities

	// Close waits for calls under way, ends the store's goroutines, and releases
	// everything. Every later call gives ErrClosed, a second Close too.
	Close() error
}

// Entry is a key with its value.
type Entry struct {
	Key, Value []byte
	// Revision changes with each write of the key, and never comes back, not even
	// when the same bytes are written again or the key was deleted in between.
	Revision Revision
	// ExpiresAt is when the entry ends by the backend's clock; zero is never.
	ExpiresAt time.Time
}

// ListOptions restrict a List. The zero value is everything.
type ListOptions struct {
	// Prefix is what the keys begin with.
	Prefix []byte
	// After is the key after which to begin, itself left out; nil is the first.
	After []byte
	// Limit is the largest number of entries; 0 is no limit.
	Limit int
	// KeysOnly leaves values out, where that is cheaper. Value is nil then, and
	// Revision and ExpiresAt may be zero.
	KeysOnly bool
}

// PutOptions say under which condition to put, and for how long. The zero value
// puts whatever is there, for ever.
type PutOptions struct {
	// IfAbsent asks that the key is not there.
	IfAbsent bool
	// IfRevision, unless zero, asks that the key is there at this revision.
	IfRevision Revision
	// TTL is how long the entry is to live, by the backend's clock; 0 is for ever.
	// ErrUnsupported without the capability.
	TTL time.Duration
	// Fence, unless 0, is the fencing token of the writer's lease. The store
	// remembers for each key the largest that it has seen, also when the key is
	// deleted, and refuses a smaller one with ErrFenced. Writes without a token
	// are not fenced. ErrUnsupported without the capability.
	Fence uint64
}

// DeleteOptions say under which condition to delete.
type DeleteOptions struct {
	// IfRevision, unless zero, asks that the key is there at this revision.
	IfRevision Revision
	// Fence is as in PutOptions.
	Fence uint64
	// Final says that nobody writes the key again, as one that was made at random and
	// given up. A store that has to keep a mark of what was deleted need not keep this.
	Final bool
}
