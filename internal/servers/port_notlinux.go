//go:build !linux

package servers

import "sync"

// reserved are the ports that this process has taken.
var reserved sync.Map

// reservePort takes a port for this process, and reports whether it had not before. It
// leaves it to chance whether another process draws the same.
func reservePort(port int) (bool, error) {
	_, taken := reserved.LoadOrStore(port, true)
	return !taken, nil
}

// withoutStarts calls do. Elsewhere package net takes the lock itself that would be needed.
func withoutStarts(do func() error) error { return do() }
