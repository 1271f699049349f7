// Package lifetime lets an engine over a foreign library close safely: calls
// under way end first, and iterators and snapshots that were left open never
// touch freed memory.
package lifetime

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/orbit-persistence/orbit/engine"
)

// Lifetime guards the resources of one open engine. Its zero value is open.
type Lifetime struct {
	// mu is read-locked by each call under way, and write-locked by Close.
	mu     sync.RWMutex
	closed bool

	iterators, snapshots atomic.Int64
	// holders counts open iterators and snapshots, less one once the engine is
	// closed, so that the zero value is an open engine. Whoever takes it below
	// zero releases.
	holders atomic.Int64
	release func() error
}

// Handle is an iterator or a snapshot, as far as the lifetime is concerned.
type Handle uint8

// The two kinds of handle.
const (
	Iterator Handle = iota
	Snapshot
)

// Enter begins a call: nil, to be matched by Exit, or ErrClosed.
func (l *Lifetime) Enter() error {
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return engine.ErrClosed
	}
	return nil
}

// Exit ends a call.
func (l *Lifetime) Exit() { l.mu.RUnlock() }

// Hold counts a new handle. It is called between Enter and Exit, or, for an
// iterator on a snapshot, while that snapshot is held.
func (l *Lifetime) Hold(h Handle) {
	l.counter(h).Add(1)
	l.holders.Add(1)
}

// Drop ends a handle, after its own resources are released. The last one to
// leave a closed engine releases that, and gets the error of doing so.
func (l *Lifetime) Drop(h Handle) error {
	l.counter(h).Add(-1)
	if l.holders.Add(-1) < 0 {
		return l.release()
	}
	return nil
}

// Close waits for the calls under way and lets no further one in. It calls
// release at once if no handle is open; else it returns ErrInUse with their
// number, and the last handle to be dropped calls it. A second Close is
// ErrClosed.
func (l *Lifetime) Close(release func() error) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return engine.ErrClosed
	}
	l.closed = true
	l.release = release
	iterators, snapshots := l.iterators.Load(), l.snapshots.Load()
	l.mu.Unlock()
	if l.holders.Add(-1) < 0 {
		return release()
	}
	return fmt.Errorf("close: %w: %d iterators and %d snapshots are open; the store closes with the last of them", engine.ErrInUse, iterators, snapshots)
}

// Open returns the number of open iterators and snapshots.
func (l *Lifetime) Open() (iterators, snapshots int64) {
	return l.iterators.Load(), l.snapshots.Load()
}

func (l *Lifetime) counter(h Handle) *atomic.Int64 {
	if h == Snapshot {
		return &l.snapshots
	}
	return &l.iterators
}
