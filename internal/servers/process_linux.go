package servers

import (
	"errors"
	"fmt"
	"syscall"
)

// dieWithParent has the kernel end a server whose test was killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// reservePort takes a port for this process, until it ends, and reports whether it could:
// no other has it. It binds a socket to a name for that, which is no file.
func reservePort(port int) (bool, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: fmt.Sprintf("@orbit-test-port-%d", port)})
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, syscall.Close(fd)
	}
	if err != nil {
		return false, fmt.Errorf("reserve port %d: %w", port, err)
	}
	return true, nil
}
