package vfs

import "sync/atomic"

// users counts the calls inside a resource, so that closing it neither waits for
// them nor takes it from under them: whoever leaves last releases it.
type users struct{ state atomic.Int64 }

// closing is set in the state by close; the bits below count.
const closing = 1 << 62

// enter reports whether the resource is open; if so, leave must follow.
func (u *users) enter() bool {
	for {
		n := u.state.Load()
		if n&closing != 0 {
			return false
		}
		if u.state.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave reports whether the caller has to release the resource.
func (u *users) leave() bool { return u.state.Add(-1) == closing }

// close lets nobody in any more. It reports whether it was open, and whether the
// caller has to release it.
func (u *users) close() (wasOpen, release bool) {
	n := u.state.Or(closing)
	return n&closing == 0, n == 0
}
