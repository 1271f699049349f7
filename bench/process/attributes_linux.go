package process

import "syscall"

// childAttributes put a child into a process group of its own, so that Ctrl-C
// reaches the parent alone, and end it with the parent, stopped or not.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
