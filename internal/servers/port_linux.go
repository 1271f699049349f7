package servers

import (
	"errors"
	"fmt"
	"syscall"
)

// reservePort takes a port for this process, until it ends, and reports whether it could:
// who has it, this process too, has it alone. It binds a socket to a name for that, which
// is no file.
func reservePort(port int) (bool, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("reserve port %d: %w", port, err)
	}
	err = syscall.Bind(fd, &syscall.SockaddrUnix{Name: fmt.Sprintf("@orbit-test-port-%d", port)})
	if err == nil {
		return true, nil // and nobody closes it
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, syscall.Close(fd)
	}
	return false, errors.Join(fmt.Errorf("reserve port %d: %w", port, err), syscall.Close(fd))
}

// withoutStarts calls do while this process starts no other, which would have a copy of what
// do opens until it runs its program.
func withoutStarts(do func() error) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return do()
}
