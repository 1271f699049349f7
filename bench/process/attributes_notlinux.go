//go:build unix && !linux

package process

import "syscall"

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the parent alone.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
