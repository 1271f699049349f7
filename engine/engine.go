package engine

import "context"

// Engine is an ordered, transactional-by-batch key-value store.
type Engine interface {
	Reader

	// Apply commits b atomically: all of it or nothing, visible to every read
	// that starts after Apply returns, and never visible in part. Operations
	// take effect in the order in which they were added, so that the last one
	// on a key wins.
	//
	// It returns when b has reached the durability d. A class that the engine
	// does not have is ErrUnsupported. Whatever a crash loses is always a
	// suffix of the commit order, batches whole.
	//
	// If ctx ends before b has a place in the commit order, nothing is applied
	// and the context's error is returned; later, Apply waits for the outcome.
	//
	// Keys and values are checked against the engine's Limits first: ErrTooLarge,
	// and nothing is applied. An empty batch commits nothing and succeeds; its
	// durability d still holds for all earlier commits. b is the caller's again
	// when Apply returns.
	Apply(ctx context.Context, b *Batch, d Durability) error

	// Snapshot returns a Reader fixed at the newest commit. Later writes do not
	// change what it shows. It must be closed.
	Snapshot() (Snapshot, error)

	// Sync returns when everything applied so far would survive a loss of power.
	// An engine that lives in memory alone returns ErrUnsupported.
	Sync(ctx context.Context) error

	// Checkpoint writes a durable copy of one commit, no older than the call,
	// into dir, while reads and writes go on. The directory must not exist or
	// must be empty, else it is ErrInvalid; afterwards it opens like any other
	// store. If it fails, dir holds nothing that opens.
	Checkpoint(ctx context.Context, dir string) error

	// Compact reclaims space and puts keys in [lower, upper) into the shape that
	// reads fastest. A nil bound is open. It changes nothing that a reader sees.
	Compact(ctx context.Context, lower, upper []byte) error

	// Traits tells what this engine can do. It is constant, also after Close.
	Traits() Traits

	// Metrics returns counters since open and gauges of now. It is cheap enough
	// to be called every second. After Close it returns the zero Metrics.
	Metrics() Metrics

	// Close releases everything. See the package comment.
	Close() error
}

// Reader reads one state of the store.
type Reader interface {
	// Get appends the value of key to dst and returns the extended slice. It is
	// ErrNotFound where the key is not present, and dst is then returned as it
	// was. dst may be nil; dst must not overlap key.
	Get(key, dst []byte) ([]byte, error)

	// NewIterator returns an iterator over the state at the time of the call.
	// It stands on no entry until it is first moved. It must be closed. The
	// bounds are copied.
	NewIterator(o IterOptions) (Iterator, error)
}

// Snapshot is a Reader fixed at one commit.
type Snapshot interface {
	Reader

	// Close releases the snapshot; its iterators must be closed before. A second
	// Close is ErrClosed.
	Close() error
}

// IterOptions restrict an iterator. The zero value shows everything.
type IterOptions struct {
	// Lower is the first key that may appear, Upper the first that may not. Nil
	// is open. Lower >= Upper is an empty iterator.
	Lower, Upper []byte
	// KeysOnly promises that Value is not called, so that values need not be
	// read. Value then returns ErrUnsupported.
	KeysOnly bool
}

// Iterator walks the entries of a Reader in key order.
//
// First, Last, SeekGE and SeekLT move from anywhere. Next and Prev move from
// the entry on which the iterator stands; when it stands on none (new, past an
// end, after an error) they return false and leave it so. Each move returns
// whether the iterator now stands on an entry.
//
// Where false may mean the end or an error, Err tells which. After an error
// every move returns false.
type Iterator interface {
	First() bool
	Last() bool
	// SeekGE moves to the first entry whose key is >= key, within the bounds.
	SeekGE(key []byte) bool
	// SeekLT moves to the last entry whose key is < key, within the bounds.
	SeekLT(key []byte) bool
	Next() bool
	Prev() bool

	// Key returns the key on which the iterator stands, or nil where it stands
	// on none. It is valid until the next move or Close, and not to be changed.
	Key() []byte

	// Value returns the value on which the iterator stands; valid until the next
	// move or Close, and not to be changed. On no entry it is ErrNotFound.
	Value() ([]byte, error)

	// Err returns the first error met, nil if none.
	Err() error

	// Close releases the iterator and returns Err. A second Close is ErrClosed.
	Close() error
}
